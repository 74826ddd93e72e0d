#include "sched/rotation_policy.hpp"

#include <algorithm>
#include <cmath>

namespace perjoule::sched {
namespace {

// Of a latency target that a predicted 95th percentile may use up: see cap_policy.cc.
constexpr double kMargin = 0.45;
constexpr double kDeviations = 3.0;   // of the Poisson count of a window
constexpr double kNewestShare = 0.1;  // of the longer means

double blend(double mean, double newest, bool first) {
  return first ? newest : mean + kNewestShare * (newest - mean);
}

}  // namespace

void LoadForecast::add(const ServiceLoad& load) {
  last_ = static_cast<double>(load.arrivals) / window_s_;
  mean_ = blend(mean_, last_, !any_arrived_);
  if (load.arrivals > 0) {
    input_ = blend(input_, static_cast<double>(load.input_tokens) / static_cast<double>(load.arrivals),
                   !any_arrived_);
    any_arrived_ = true;
  }
  if (load.finished > 0) {
    output_ = blend(output_, static_cast<double>(load.output_tokens) / static_cast<double>(load.finished),
                    !any_finished_);
    any_finished_ = true;
  }
}

std::optional<PlannedLoad> LoadForecast::planned() const {
  if (!any_arrived_ || !any_finished_) return std::nullopt;
  const double rate = std::max(last_, mean_);
  return PlannedLoad{rate + kDeviations * std::sqrt(rate / window_s_), input_, output_};
}

bool keeps(const RotationOutlook& o, const RotationTargets& targets) {
  return o.possible && o.ttft_p95_ms <= kMargin * targets.ttft_ms &&
         o.token_gap_p95_ms <= kMargin * targets.token_gap_ms;
}

// Latencies fall with n, so the least n that keeps the targets is found by halving.
std::size_t Rotation::least_that_keeps(const RotationTargets& targets,
                                       const std::function<RotationOutlook(std::size_t)>& outlook) const {
  std::size_t low = 0, high = replicas_;  // all of them where even that is not enough
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (keeps(outlook(middle), targets) ? high : low) = middle;
  }
  return high;
}

std::size_t Rotation::choose(const RotationTargets& targets,
                             const std::function<RotationOutlook(std::size_t)>& outlook) {
  std::size_t wanted = least_that_keeps(targets, outlook);
  base::Watts power = outlook(wanted).power;
  while (wanted < replicas_) {
    const base::Watts next = outlook(wanted + 1).power;
    if (next >= power) break;
    power = next;
    ++wanted;
  }
  wanted_[turn_++ % wanted_.size()] = wanted;
  return *std::max_element(wanted_.begin(), wanted_.end());
}

}  // namespace perjoule::sched
