// Reads the log from a known place to its end, one group at a time, so that memory does not grow with it.
// What a crash leaves is normal: a last group that is torn or missing is where the log ends. A group that is
// damaged although a later one says that it was on the disk is an error with file and byte, never passed
// over. Thread rule: one thread; a writer may append meanwhile. Ownership: the Env must outlive the call; a
// block's bytes only live during the callback. Units: bytes.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"

namespace perjoule::bus {

// Where a log begins for a reader: everything before is in the store's sealed files.
struct LogStart {
  std::uint64_t segment = 1, group = 1;
  bool operator==(const LogStart&) const = default;
  std::uint64_t bytes = 0;  // the size of the segment's file; 0: not known, there may be none yet
};

// Where a block stands.
struct LogPlace {
  std::uint64_t segment = 0, offset = 0;
  std::uint32_t bytes = 0;
};

// Where the next group belongs, and what was found behind the last whole one.
struct LogEnd {
  std::uint64_t segment = 1, offset = 0;
  std::uint64_t next_group = 1, next_entry = 1;
  std::uint32_t incarnation = 0;
  std::uint64_t groups = 0, bytes = 0;  // read
  std::vector<LogStart> segments;       // each segment in use, with its first group
  std::string torn;                     // "file: byte N" of a torn last group, else empty
};

struct LogEntry {
  std::uint64_t number = 0;
  LogPlace place;
  std::string_view block;
};

// Errors: of the callback; kCorrupt for damage, kMissing for a segment that is gone, kIo.
base::Result<LogEnd> read_log(base::Env& env, const std::string& directory, const LogStart& start,
                              const std::function<base::Status(const LogEntry&)>& on_block);

}  // namespace perjoule::bus
