// How many replicas of a service take new requests. The agent reports which devices rest (capacity released);
// this is the scheduler's answer: work goes to as few replicas as keep the latency targets, the others are
// parked and may rest as deep as they can. Fewer replicas mean larger batches, hence less energy per token,
// and longer rests.
//
// Once per settlement window: the arrival rate to plan for is an upper bound of the last window's and the
// longer mean's, with three standard deviations of a Poisson count on top. A table, made by the caller from
// the calibrated cost model at that rate, says what n replicas would mean; the least predicted power among
// those whose predicted latencies keep a margin wins. More replicas come into rotation at once, fewer only
// after `kPatience` windows that all wanted fewer. Thread rule: one thread per rotation. Units in the names.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "base/units.hpp"
#include "sched/service_load.hpp"

namespace perjoule::sched {

// What n replicas in rotation would mean at the planned load.
struct RotationOutlook {
  Latencies p95;
  base::Watts power;     // of all replicas of the service, parked ones included
  bool possible = true;  // false: the load exceeds what n can do
};

// Possible, and within the margin of the targets.
bool keeps(const RotationOutlook& outlook, const Latencies& targets);

class Rotation {
 public:
  static constexpr int kPatience = 10;
  explicit Rotation(std::size_t replicas) : replicas_(replicas) { wanted_.fill(replicas); }
  // `outlook(n)` for 1 <= n <= replicas; latencies must not rise with n. Returns how many should be in
  // rotation.
  std::size_t choose(const Latencies& targets, const std::function<RotationOutlook(std::size_t)>& outlook);

 private:
  std::size_t least_that_keeps(const Latencies& targets,
                               const std::function<RotationOutlook(std::size_t)>& outlook) const;

  std::size_t replicas_;
  std::array<std::size_t, kPatience> wanted_{};
  std::size_t turn_ = 0;
};

}  // namespace perjoule::sched
