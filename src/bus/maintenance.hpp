// What keeps a store small: dropping files whose rows are too old, and making one file of many small ones.
// Both prepare a manifest; whoever holds the store's lock writes it. Internal to the bus. Thread rule: one
// thread. Ownership: the Env must outlive the call. Units: Unix nanoseconds.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "bus/manifest.hpp"
#include "bus/seal.hpp"

namespace perjoule::bus {

// The segments of `table` whose rows are all before `before_ns` leave the manifest, and what they held is
// noted in it. One of a table with rollups stays until it is decided which of them have its rows. Errors: of
// reading a file whose energy is not known.
base::Result<DroppedRows> drop_segments(base::Env& env, const std::string& directory, Manifest& manifest,
                                        Table table, std::int64_t before_ns);

struct CompactionOptions {
  std::size_t files = 8;                              // so many neighbours are worth it
  std::uint64_t small_rows = std::uint64_t{1} << 20;  // a file with fewer rows is small
};

// Files of one table that follow one another, are small and are in the same rollups; none: nothing is to be
// done.
// `but`: files that are left as they are.
std::vector<SegmentEntry> files_to_compact(const Manifest& manifest, const CompactionOptions& options,
                                           const std::set<std::string>& but);

// Their rows as one new file, which takes their place in the manifest. Errors: kCorrupt for a damaged file,
// kIo.
base::Status compact_files(base::Env& env, const std::string& directory, Manifest& manifest,
                           const std::vector<SegmentEntry>& files, const SealOptions& options);

}  // namespace perjoule::bus
