// Sleep of idle accelerators (HEAA): when to enter which resting tier, and the named baselines it is compared
// with. The state machine takes distinct sensor updates; it proposes, the actuator acts. No clock, no heap on
// the sample path.
//
//   awake --(3 distinct updates: SM < 8.5 %, bandwidth < 12 %, no pending DMA)--> quiet --(a tier pays)-->
//   resting resting --(longer quiet: a deeper tier pays)--> resting deeper;  any --(work or an announced
//   request)--> awake
//
// A tier pays when its break-even time, wake energy / power saved, is shorter than the idle time still
// expected; it is allowed when its wake latency fits the latency budget of the work that may come. After a
// wake the machine stays awake for the minimum dwell; the thresholds to leave quiet lie above those to enter
// it (hysteresis). Thread rule: one thread per machine. Units in the types.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/units.hpp"

namespace perjoule::agent {

// One device update.
struct ActivitySample {
  base::TimePoint device_time;
  double sm_active = 0.0;    // 0..1
  double dram_active = 0.0;  // 0..1
  bool pending_dma = false;
};

// A state the device can rest in, shallowest first.
struct SleepTier {
  std::string name;
  base::Watts saved;  // against ready
  base::Duration wake;
  base::Joules wake_energy;  // extra energy of one wake
  // Idle time from which the tier saves energy; never if it saves nothing.
  base::Duration break_even() const;
};

struct SleepParams {
  double sm_below = 0.085;    // S1.4
  double dram_below = 0.12;   // S1.4
  double leave_factor = 1.5;  // hysteresis: leave quiet above threshold x this
  int distinct_updates = 3;   // S1.4
  base::Duration minimum_dwell = base::milliseconds(500);
  base::Duration wake_budget = base::Duration{350 * base::kNsPerUs};  // S1.5, for latency-sensitive work
  double margin = 1.5;  // expected idle must exceed break-even by this factor
};

// Learns how long idle periods last: the mean excess of past ones over the time already waited.
class IdlePredictor {
 public:
  void add(base::Duration idle);
  // Expected further idle time after `elapsed`; nothing until 8 periods were seen. Beyond the longest one
  // seen it assumes as much again as has passed.
  std::optional<base::Duration> remaining(base::Duration elapsed) const;

 private:
  static constexpr std::size_t kKept = 128;
  std::size_t known() const { return std::min(count_, kKept); }
  std::array<std::int64_t, kKept> kept_{};      // a ring, in the order they came
  std::array<std::int64_t, kKept> sorted_{};    // the same, shortest first
  std::array<std::int64_t, kKept> sum_from_{};  // of sorted_, from each place to the last
  std::size_t count_ = 0;
};

struct SleepAction {
  std::size_t tier = 0;  // index in the tiers, 0 = the shallowest
  base::Duration expected_idle;
  base::Joules expected_saving;
};

class SleepMachine {
 public:
  SleepMachine(SleepParams params, std::vector<SleepTier> tiers);
  // A sample with the device time of the one before is a repeat and is ignored.
  std::optional<SleepAction> observe(const ActivitySample& sample);
  // Work came, or a request was announced whose latency sensitivity asks for an early wake.
  void wake(base::TimePoint t);
  // The whole idle period is known afterwards (virtual time): learn it and be awake. Samples after `until`
  // that were only planned did not happen.
  void ended_idle(base::TimePoint since, base::TimePoint until);
  bool resting() const { return tier_.has_value(); }
  // With the device still quiet, the time of the next sample that could change anything.
  base::TimePoint next_interest(base::TimePoint now, base::Duration update_period) const;
  const std::vector<SleepTier>& tiers() const { return tiers_; }

 private:
  std::optional<SleepAction> consider(base::TimePoint t);
  bool dwelling(base::TimePoint t) const;  // too soon after a wake

  SleepParams params_;
  std::vector<SleepTier> tiers_;
  IdlePredictor predictor_;
  base::TimePoint last_update_{INT64_MIN};
  base::TimePoint quiet_since_{INT64_MIN};
  base::TimePoint awake_since_{INT64_MIN};
  int quiet_updates_ = 0;
  std::optional<std::size_t> tier_;
};

// What is planned for an idle period that began at `since` if nothing arrives.
struct PlannedRest {
  base::TimePoint at;
  std::size_t tier = 0;
  base::Joules expected_saving;
};

// A rule for one device. Implementations: see sleep_rules().
class SleepRule {
 public:
  virtual ~SleepRule() = default;
  virtual void plan(base::TimePoint since, std::vector<PlannedRest>& out) = 0;
  virtual void ended(base::TimePoint since, base::TimePoint until) = 0;
};

struct SleepRuleInfo {
  std::string_view name;
  std::string_view baseline;  // "weak", "usual", "strong", or "ours"
  std::string_view description;
};
std::vector<SleepRuleInfo> sleep_rules();
// `update_period`, `phase`: of the activity sensor. Error: an unknown name, with the nearest.
base::Result<std::unique_ptr<SleepRule>> make_sleep_rule(std::string_view name,
                                                         const std::vector<SleepTier>& tiers,
                                                         const SleepParams& params,
                                                         base::Duration update_period, base::Duration phase);

}  // namespace perjoule::agent
