// Keeps a store's rollups: gathers the sums of sealed segments and writes them as Parquet files, many
// segments at a time. A segment whose rows are in the rollups is marked so in the manifest that names their
// files, so every row of a store is in one of two places for whoever sums: in a rollup, or in a segment that
// is not marked (or in the log). What was gathered but not written when a writer died is read again from the
// segments. `samples_last` is no sum but a state: one file, replaced by a newer one now and then. Thread
// rule: one thread; while a segment is being sealed, each lane is of one of the threads that do it.
// Ownership: the Env must outlive it.
#pragma once

#include <array>
#include <cstdint>
#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "bus/manifest.hpp"
#include "bus/rollup.hpp"

namespace perjoule::bus {

struct RollupOptions {
  // Gathered sums are written after so many rows, bytes of memory, or seconds.
  std::uint64_t rows = std::uint64_t{16} << 20;
  std::size_t bytes = std::size_t{64} << 20;
  double seconds = 300;
  // A sum stands for so many rows at least, or has a coarser step of time, or is left out; but few sums are
  // never too many.
  std::uint64_t rows_per_sum = 24;
  std::size_t few_sums = std::size_t{1} << 14;
};

class RollupKeeper {
 public:
  RollupKeeper(base::Env& env, std::string directory, RollupOptions options, unsigned lanes);

  // Where the threads that seal a segment gather what take() or forget() is then called for.
  std::span<RollupLane> lanes() { return lanes_; }
  // The segment's rows are in the lanes, and it is in the store.
  void take(const SegmentEntry& segment);
  // The rows of a segment that came to nothing may be in the lanes: what is gathered of its table is read
  // again.
  void forget(Table table);

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
  bool many_readings() const;
  bool too_many() const;
  // False: `samples_last` was damaged, and all samples are to be read again.
  base::Result<bool> load_readings(Manifest& manifest);
  base::Status write_sums(Manifest& manifest);
  base::Status write_readings(Manifest& manifest);
  void choose_steps(const RollupSet& written);

  base::Env& env_;
  const std::string directory_;
  const RollupOptions options_;
  RollupSteps steps_{kRollupSteps[0], kRollupSteps[0], kRollupSteps[0]};
  std::array<int, kRollups> waits_{};  // files to come before one that was left out is tried again
  std::vector<RollupLane> lanes_;
  LastReadings all_;  // as in the last `samples_last`, and maybe more
  bool loaded_ = false, starts_anew_ = false;
  bool wrote_sums_ = false, wrote_readings_ = false;  // by the last write()
  std::set<std::string> joules_, samples_;            // files gathered
  std::set<std::string> unreadable_;
  std::uint64_t joule_rows_ = 0, sample_rows_ = 0;
  base::Stopwatch since_first_;
};

}  // namespace perjoule::bus
