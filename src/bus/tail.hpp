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

// Gives blocks' bytes, from the log where they are not in memory; keeps the segment open that it read last,
// as blocks come in its order. Whoever reads while another writes looks afterwards whether the segment was
// released meanwhile. Thread rule: one thread. Ownership: the Env must outlive it.
class TailReader {
 public:
  TailReader(base::Env& env, std::string log_directory)
      : env_(env), log_directory_(std::move(log_directory)) {}
  // Errors: of reading the log; kMissing for a segment that was released.
  base::Result<std::shared_ptr<const std::string>> bytes_of(const TailBlock& block);

 private:
  base::Env& env_;
  const std::string log_directory_;
  std::unique_ptr<base::LogFile> segment_;
  std::uint64_t number_ = 0;  // of segment_
};

}  // namespace perjoule::bus
