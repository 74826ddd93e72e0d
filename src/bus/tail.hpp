// The blocks that are stored but not sealed yet, oldest first: what readers see besides the sealed files. A
// block's bytes are in memory, or (after a restart) only in the log. Thread rule: values; a vector of
// TailBlocks may be read from any thread. Ownership: shares the bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "bus/block.hpp"
#include "bus/log_reader.hpp"

namespace perjoule::bus {

struct TailBlock {
  std::uint64_t entry = 0;  // number in the log; 0: it is in memory alone
  Table table = Table::kJoules;
  std::uint64_t rows = 0;
  std::int64_t first_ns = 0, last_ns = 0;
  LogPlace place;
  std::shared_ptr<const std::string> bytes;  // empty: read them from the log
};

// The block's bytes. Errors: of reading the log.
base::Result<std::shared_ptr<const std::string>> bytes_of(base::Env& env, const std::string& log_directory,
                                                          const TailBlock& block);

}  // namespace perjoule::bus
