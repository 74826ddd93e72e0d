// Keeps a store's rollups: gathers the sums of sealed segments and writes them as Parquet files, many segments at a
// time. A segment whose rows are in the rollups is marked so in the manifest that names their files, so every
// row of a store is in one of two places for whoever sums: in a rollup, or in a segment that is not marked (or in
// the log). What was gathered but not written when a writer died is read again from the segments.
// `samples_last` is no sum but a state: one file, replaced by a newer one now and then.
// Thread rule: one thread. Ownership: the Env must outlive it.
#pragma once

#include <cstdint>
#include <set>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "bus/manifest.hpp"
#include "bus/rollup.hpp"
#include "bus/seal.hpp"

namespace perjoule::bus {

struct RollupOptions {
  // Gathered sums are written after so many rows of joules, sums in memory, or seconds.
  std::uint64_t rows = std::uint64_t{16} << 20;
  std::size_t sums = std::size_t{1} << 20;
  double seconds = 300;
  // More devices and signals than this have no `samples_last`.
  std::size_t readings = std::size_t{4} << 20;
};

class RollupKeeper {
 public:
  RollupKeeper(base::Env& env, std::string directory, RollupOptions options)
      : env_(env), directory_(std::move(directory)), options_(options) {}

  // The segment that `sealer` made last; `manifest` names it. Readings are gathered in the order of writing, so
  // one of samples is left for take_from_file() as long as an earlier one is.
  void take(const SegmentEntry& segment, const Sealer& sealer, const Manifest& manifest);
  // The first segment that is in the store, neither marked nor gathered; nullptr: there is none.
  const SegmentEntry* next_unknown(const Manifest& manifest) const;
  // A file that cannot be read is left out for the rest of the writer's life.
  base::Status take_from_file(const SegmentEntry& segment);

  bool due() const;
  // Writes what is gathered, and changes the manifest: new files, marks, and no old `samples_last`. Call
  // written() when the manifest is on the disk; without it, the same is written again. `all`: also readings
  // that are too few to be worth a file.
  base::Status write(Manifest& manifest, bool all);
  void written();
  bool empty() const { return joules_.empty() && samples_.empty(); }

 private:
  bool is_unknown(const SegmentEntry& segment) const;
  // False: `samples_last` was damaged, and all samples are to be read again.
  base::Result<bool> load_readings(Manifest& manifest);
  bool many_readings() const;
  bool too_many() const { return all_.size() + added_.size() > options_.readings; }
  base::Status write_sums(Manifest& manifest);
  base::Status write_readings(Manifest& manifest);
  void mark(Manifest& manifest, const std::set<std::string>& files) const;

  base::Env& env_;
  const std::string directory_;
  const RollupOptions options_;
  RollupSet sums_;
  LastReadings added_;  // since the last written `samples_last`
  LastReadings all_;    // as it was written
  bool loaded_ = false;
  bool wrote_sums_ = false, wrote_readings_ = false;  // by the last write()
  std::set<std::string> joules_, samples_;            // files gathered
  std::set<std::string> unreadable_;
  std::uint64_t joule_rows_ = 0, sample_rows_ = 0;
  base::Stopwatch since_first_;
};

}  // namespace perjoule::bus
