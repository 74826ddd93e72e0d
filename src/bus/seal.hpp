// Writes blocks of one table as one Parquet segment, sorted in stretches (block_merge.hpp). Thread rule: one
// thread. Ownership: the Env must outlive the call.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "bus/block_merge.hpp"
#include "bus/manifest.hpp"
#include "bus/tail.hpp"

namespace perjoule::bus {

struct SealOptions {
  std::size_t sort_rows = std::size_t{1} << 19;  // sorted together
  std::size_t group_rows = std::size_t{1} << 18;
  EncodingOptions encoding;
};

// STORE/<table>/part-<part>.parquet. The file is durable under its name when this returns, but belongs to the
// store only when a manifest names it. `merge` is of this table and
// lends its memory. Errors: kCorrupt for a damaged block, kIo.
base::Result<SegmentEntry> seal_blocks(base::Env& env, const std::string& directory, Table table,
                                       const std::vector<TailBlock>& blocks, std::uint64_t part,
                                       const SealOptions& options, BlockMerge& merge);

}  // namespace perjoule::bus
