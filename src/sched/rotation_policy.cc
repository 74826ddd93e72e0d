#include "sched/rotation_policy.hpp"

#include <algorithm>

namespace perjoule::sched {

bool keeps(const RotationOutlook& outlook, const Latencies& targets) {
  return outlook.possible && within_margin(outlook.p95, targets);
}

// Latencies fall with n, so the least n that keeps the targets is found by halving.
std::size_t Rotation::least_that_keeps(const Latencies& targets,
                                       const std::function<RotationOutlook(std::size_t)>& outlook) const {
  std::size_t low = 0, high = replicas_;  // all of them where even that is not enough
  while (high - low > 1) {
    const std::size_t middle = (low + high) / 2;
    (keeps(outlook(middle), targets) ? high : low) = middle;
  }
  return high;
}

std::size_t Rotation::choose(const Latencies& targets,
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
