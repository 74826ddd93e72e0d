// One sealed file by itself: reading the rows of one that a manifest names, and writing one of a rollup.
// Internal to the bus. Thread rule: pure functions on files. Ownership: the Env must outlive the call.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "bus/manifest.hpp"
#include "bus/rollup.hpp"

namespace perjoule::bus {

// The file is damaged or gone, and will be; not something that passes.
inline bool is_damage(const base::Error& error) {
  return error.kind == base::ErrorKind::kCorrupt || error.kind == base::ErrorKind::kMissing;
}

inline constexpr std::size_t kRollupGroupRows = std::size_t{1} << 18;

// All rows, the named columns (none: all, in the schema's order). Errors: as of StoreReader::scan().
base::Status read_segment(base::Env& env, const std::string& directory, const SegmentEntry& segment,
                          const std::vector<std::string>& columns, const OnBatch& on_batch);

// STORE/<rollup>/part-<part>.parquet of the batches that `for_each_batch` gives; durable under its name.
base::Result<SegmentEntry> write_rollup(base::Env& env, const std::string& directory, Table rollup,
                                        std::uint64_t part,
                                        const std::function<base::Status(const OnBatch&)>& for_each_batch);

}  // namespace perjoule::bus
