// First form of `perjoule doctor`: which energy sources this host shows, by looking at files only. Reads
// nothing else and changes nothing. `root` is prefixed to every path, so that recorded trees are tests.
// Thread rule: pure but for the file system.
#pragma once

#include <string>
#include <vector>

namespace perjoule::compose {

struct SourceFinding {
  std::string source;
  std::string state;  // "found", "absent", "forbidden"
  std::string where;
  std::string lost;  // what cannot be said without it
  std::string fix;   // what to type; empty when there is nothing to do
};

std::vector<SourceFinding> probe_host(const std::string& root);

}  // namespace perjoule::compose
