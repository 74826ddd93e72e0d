#include "bus/rollup.hpp"

#include <algorithm>

namespace perjoule::bus {
namespace {

constexpr std::array<std::string_view, 5> kConsumer{"tenant", "job", "model", "share", "quality"};
constexpr std::array<std::string_view, 4> kDevice{"device", "phase", "share", "quality"};
constexpr std::array<std::string_view, 5> kKernel{"model", "run", "epoch", "kernel", "quality"};
// While rows are being added: more are to come, so sums are only kept from becoming too many for the memory.
constexpr std::uint64_t kRowsPerSum = 8;
constexpr std::size_t kFewSums = std::size_t{1} << 18;

}  // namespace

const std::array<RollupSpec, kRollups>& rollup_specs() {
  static const std::array<RollupSpec, kRollups> all{{{Table::kJoulesByConsumer, kConsumer, 3},
                                                     {Table::kJoulesByDevice, kDevice, 1},
                                                     {Table::kJoulesByKernel, kKernel, 3}}};
  return all;
}

std::int64_t coarser_step(std::int64_t step_ns) {
  const auto found = std::upper_bound(kRollupSteps.begin(), kRollupSteps.end(), step_ns);
  return found == kRollupSteps.end() ? 0 : *found;
}

std::int64_t floor_to_step(std::int64_t t, std::int64_t step_ns) {
  const std::int64_t rest = t % step_ns;
  if (rest >= 0) return t - rest;
  return t < INT64_MIN + (rest + step_ns) ? INT64_MIN : t - (rest + step_ns);
}

std::int64_t ceil_to_step(std::int64_t t, std::int64_t step_ns) {
  const std::int64_t rest = t % step_ns;
  if (rest <= 0) return t - rest;
  return t > INT64_MAX - (step_ns - rest) ? INT64_MAX : t + (step_ns - rest);
}

RollupSet::RollupSet(const RollupSteps& steps) : steps_(steps) {
  for (std::size_t i = 0; i < kRollups; ++i)
    sums_.emplace_back(rollup_specs()[i], std::max(steps[i], kRollupSteps[0]));
}

void RollupSet::clear(const RollupSteps& steps) {
  steps_ = steps;
  joule_rows_ = 0;
  for (std::size_t i = 0; i < kRollups; ++i) sums_[i].clear(std::max(steps[i], kRollupSteps[0]));
}

void RollupSet::add(const Batch& joules) {
  joule_rows_ += joules.rows;
  for (std::size_t i = 0; i < kRollups; ++i) {
    if (has(i)) sums_[i].add(joules);
  }
  condense(kRowsPerSum, kFewSums);
}

void RollupSet::take(RollupSet& other) {
  joule_rows_ += other.joule_rows_;
  for (std::size_t i = 0; i < kRollups; ++i) {
    if (has(i) && other.has(i)) {
      sums_[i].take(other.sums_[i]);
      steps_[i] = other.steps_[i] = sums_[i].step_ns();
    } else {
      steps_[i] = 0;
      sums_[i].clear(kRollupSteps[0]);
    }
  }
}

void RollupSet::condense(std::uint64_t ratio, std::size_t few) {
  for (std::size_t i = 0; i < kRollups; ++i) {
    while (has(i) && sums_[i].rows() > few && sums_[i].rows() * ratio > joule_rows_) {
      steps_[i] = coarser_step(steps_[i]);
      if (has(i)) sums_[i].coarsen(steps_[i]);
      if (!has(i)) sums_[i].clear(kRollupSteps[0]);
    }
  }
}

std::size_t RollupSet::bytes() const {
  std::size_t n = 0;
  for (const auto& s : sums_) n += s.bytes();
  return n;
}

}  // namespace perjoule::bus
