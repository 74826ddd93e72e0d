// Writes blocks of one table as one Parquet segment, sorted in stretches (block_merge.hpp), and sums its rows
// for the rollups on the way. Stretches are merged and encoded by several threads; the file's bytes do not
// depend on how many. Thread rule: one thread. Ownership: the Env must outlive it. It keeps memory from one
// call to the next.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "bus/block_merge.hpp"
#include "bus/manifest.hpp"
#include "bus/rollup.hpp"
#include "bus/tail.hpp"

namespace perjoule::bus {

struct SealOptions {
  std::size_t sort_rows = std::size_t{1} << 19;  // sorted together
  std::size_t group_rows = std::size_t{1} << 18;
  EncodingOptions encoding;
  unsigned threads = 1;
};

class Sealer {
 public:
  Sealer(base::Env& env, std::string directory, SealOptions options);
  ~Sealer();

  unsigned threads() const { return static_cast<unsigned>(workers_.size()); }

  // STORE/<table>/part-<part>.parquet. The file is durable under its name when this returns, but belongs to
  // the store only when a manifest names it. Rows of joules and samples are added to the lanes, one for each
  // thread; after an error some of them are there. Errors: kCorrupt for a damaged block, kIo.
  base::Result<SegmentEntry> seal(Table table, const std::vector<TailBlock>& blocks, std::uint64_t part,
                                  std::span<RollupLane> lanes);

 private:
  struct Worker;
  class Job;
  base::Env& env_;
  const std::string directory_;
  const SealOptions options_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace perjoule::bus
