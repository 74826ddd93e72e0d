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
#include <optional>

#include "base/units.hpp"

namespace perjoule::sched {

// What one service was asked in a window.
struct ServiceLoad {
  std::int64_t arrivals = 0;
  std::int64_t input_tokens = 0;  // of the arrivals
  std::int64_t finished = 0;
  std::int64_t output_tokens = 0;  // of the finished
};

// The load to plan for.
struct PlannedLoad {
  double requests_per_s = 0.0;
  double input_tokens = 0.0;   // mean per request
  double output_tokens = 0.0;  // mean per request
};

class LoadForecast {
 public:
  explicit LoadForecast(double window_s) : window_s_(window_s) {}
  void add(const ServiceLoad& load);
  // Nothing until a request has finished.
  std::optional<PlannedLoad> planned() const;

 private:
  double window_s_;
  double last_ = 0.0, mean_ = 0.0;  // arrivals per second
  double input_ = 0.0, output_ = 0.0;
  bool any_arrived_ = false, any_finished_ = false;
};

// What n replicas in rotation would mean at the planned load.
struct RotationOutlook {
  double ttft_p95_ms = 0.0;
  double token_gap_p95_ms = 0.0;
  base::Watts power;     // of all replicas of the service, parked ones included
  bool possible = true;  // false: the load exceeds what n can do
};

struct RotationTargets {
  double ttft_ms = 0.0;
  double token_gap_ms = 0.0;
};

// Within a margin of the targets.
bool keeps(const RotationOutlook& outlook, const RotationTargets& targets);

class Rotation {
 public:
  static constexpr int kPatience = 10;
  explicit Rotation(std::size_t replicas) : replicas_(replicas) { wanted_.fill(replicas); }
  // `outlook(n)` for 1 <= n <= replicas; latencies must not rise with n. Returns how many should be in
  // rotation.
  std::size_t choose(const RotationTargets& targets,
                     const std::function<RotationOutlook(std::size_t)>& outlook);

 private:
  std::size_t least_that_keeps(const RotationTargets& targets,
                               const std::function<RotationOutlook(std::size_t)>& outlook) const;

  std::size_t replicas_;
  std::array<std::size_t, kPatience> wanted_{};
  std::size_t turn_ = 0;
};

}  // namespace perjoule::sched
