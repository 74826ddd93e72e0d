// Rollups: sums of the rows of `joules` that are equal in some of their columns, and the newest reading of
// each device and signal. They answer questions over hours without a look at every row, and stay when the
// rows themselves have grown too old to be kept.
//   joules_by_consumer   tenant, job, model, share, quality
//   joules_by_device     device, phase, share, quality
//   joules_by_kernel     model, run, epoch, kernel, quality
//   samples_last         the newest reading of each device and signal
// A sum is of one step of time (10 s, 1 min, 10 min or 1 h: the finest that makes few sums of many rows), by
// window_ns and by t1_ns, both rounded down to it; a question whose bounds are whole steps needs no other
// rows. Sums are of whole microjoules, so a rollup equals the sum of its rows bit for bit, in any order; rows
// of one key may stand in several files, or twice in one where a sum would not fit 64 bits, and are added
// again by whoever reads them. Thread rule: one thread per object. Ownership: values; batches given out point
// into the object.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "bus/columns.hpp"
#include "bus/last_readings.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {

struct RollupSpec {
  Table table = Table::kJoulesByConsumer;
  // Text columns of joules and of the rollup. The first ones are mostly the same in neighbouring rows, the
  // others change from row to row; at most 4 and 3.
  std::span<const std::string_view> dimensions;
  std::size_t steady = 0;
};
inline constexpr std::size_t kRollups = 3;
// The sums, those of the fewest rows first.
const std::array<RollupSpec, kRollups>& rollup_specs();

// Each divides the next.
inline constexpr std::array<std::int64_t, 4> kRollupSteps{10'000'000'000, 60'000'000'000, 600'000'000'000,
                                                          3'600'000'000'000};
// The next coarser one; 0 after the last.
std::int64_t coarser_step(std::int64_t step_ns);
// The last whole step at or before t; of the first, cut short step of time itself its beginning.
std::int64_t floor_to_step(std::int64_t t, std::int64_t step_ns);
// The first whole step at or after t; the end of time after the last.
std::int64_t ceil_to_step(std::int64_t t, std::int64_t step_ns);

// The sums of one rollup.
class RollupSums {
 public:
  explicit RollupSums(const RollupSpec& spec, std::int64_t step_ns = kRollupSteps[0]);
  RollupSums(RollupSums&&) noexcept;
  ~RollupSums();
  const RollupSpec& spec() const;
  std::int64_t step_ns() const;

  // Rows of `joules`: all its columns, in its schema's order.
  void add(const Batch& joules);
  // Rows of the rollup itself, of this step or a finer one.
  void add_sums(const Batch& rollup);
  // Those of other steps: both get the coarser one.
  void take(RollupSums& other);
  // Adds up what is of one step now. No finer than before.
  void coarsen(std::int64_t step_ns);
  void clear(std::int64_t step_ns);
  std::size_t rows() const;
  // Of memory, about.
  std::size_t bytes() const;
  // All rows in the order of the dimensions' texts (NULL last), then of the times; at most `batch_rows` at a
  // time.
  base::Status for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The steps of all three; 0: that rollup is left out.
using RollupSteps = std::array<std::int64_t, kRollups>;

// All three, each as fine as its rows allow: one whose sums are too many for the rows that they stand for
// gets a coarser step, and is left out if that does not help.
class RollupSet {
 public:
  explicit RollupSet(const RollupSteps& steps = {kRollupSteps[0], kRollupSteps[0], kRollupSteps[0]});
  void clear(const RollupSteps& steps);
  void add(const Batch& joules);
  // Of the rollups that both have; one that `other` lacks is left out.
  void take(RollupSet& other);
  // Leaves no more than `few` sums that stand for fewer than `ratio` rows each.
  void condense(std::uint64_t ratio, std::size_t few);
  std::uint64_t joule_rows() const { return joule_rows_; }
  std::size_t bytes() const;
  bool has(std::size_t rollup) const { return steps_[rollup] != 0; }
  const RollupSteps& steps() const { return steps_; }
  const RollupSums& sums(std::size_t rollup) const { return sums_[rollup]; }

 private:
  std::vector<RollupSums> sums_;
  RollupSteps steps_{};
  std::uint64_t joule_rows_ = 0;
};

// What one thread gathers of the segments that it helps to seal.
struct RollupLane {
  RollupSet sums;
  LastReadings readings;
};

}  // namespace perjoule::bus
