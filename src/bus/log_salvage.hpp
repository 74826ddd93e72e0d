// Reads what can still be read of a damaged log: the groups behind the damage too, and of a group whose hash
// does not fit the blocks that are whole by their own checksums. read_log() never passes over damage; this is
// for readers and repairs that were asked to, and it tells of every place it passed over. A torn last group,
// which was never acknowledged, is no damage and is left out. Internal to the bus. Thread rule: one thread.
// Ownership: the Env must outlive the call; a block's bytes only live during the callback. Units: bytes.
#pragma once

#include <optional>

#include "bus/log_reader.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {

// Blocks that were on the disk and cannot be read.
struct LogLoss {
  LogStart where;  // segment, and the group if it is known
  std::uint64_t offset = 0;
  std::uint64_t first_entry = 0, blocks = 0;  // their numbers; 0 blocks: not known how many
  std::string why;
  // Of one block whose head could still be read.
  std::optional<Table> table;
  std::uint64_t rows = 0;
  std::int64_t first_ns = 0, last_ns = 0;
};

struct SalvagedLog {
  std::vector<LogLoss> losses;
  std::uint64_t last_segment = 0;                // the highest number of a segment that is there
  std::uint64_t next_group = 1, next_entry = 1;  // behind everything that was found
};

// Errors: of the callback; kIo.
base::Result<SalvagedLog> salvage_log(base::Env& env, const std::string& directory, const LogStart& start,
                                      const std::function<base::Status(const LogEntry&)>& on_block);

}  // namespace perjoule::bus
