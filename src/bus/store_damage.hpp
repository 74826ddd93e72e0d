// What is damaged in a store, part by part: a row group of a sealed file, a whole file, a block or a stretch
// of the log; each with the rows and times that are lost with it, as far as that is known. Audit lists it,
// readers that were asked to leave it out, repair keeps the rest. Internal to the bus. Thread rule: one
// thread. Ownership: values; the Env must outlive the calls.
#pragma once

#include <string>
#include <vector>

#include "bus/log_salvage.hpp"
#include "bus/store.hpp"

namespace perjoule::bus {

struct SegmentDamage {
  std::vector<Finding> findings;         // empty: the file is as it was written
  bool whole_file = false;               // nothing of it can be relied on
  std::vector<std::size_t> groups = {};  // the row groups that are damaged, if it is not the whole file
};
SegmentDamage damage_of(base::Env& env, const std::string& directory, const SegmentEntry& entry);

// The summary a manifest would have of this file, which was read as a whole and is sound.
FileSummary summary_of(const ParquetFile& file, std::string_view bytes);

// Puts what can be read of a damaged log into state.tail, in place of what is there. Findings: what cannot,
// with the numbers of sources that are missing between the blocks around it.
struct SalvagedTail {
  SalvagedLog log;
  std::vector<Finding> findings;
  std::map<std::string, std::uint64_t> sources;  // the last number seen of each
};
base::Result<SalvagedTail> salvage_tail(base::Env& env, const std::string& directory, StoreState& state);

}  // namespace perjoule::bus
