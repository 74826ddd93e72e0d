// Sleep of idle accelerators (HEAA): when to enter which resting tier, and the named baselines it is compared
// with. A rule is asked at its own times while a device has nothing to do; it proposes, the actuator acts. No
// clock, no heap on the sample path.
//
//   awake --(3 distinct updates: SM < 8.5 %, bandwidth < 12 %, no pending DMA)--> quiet
//   quiet --(a tier pays)--> resting --(longer quiet: a deeper tier pays)--> resting deeper
//   any   --(work, or an announced request)--> awake
//
// A tier pays when the idle time still expected exceeds its break-even (wake energy / power saved, plus the
// wake) by a margin, or when the device has been quiet for the break-even already: with that second rule the
// machine never spends more than twice what a rule that knew the future would (Karlin et al. 1988), whatever
// the forecast. A tier is allowed when its wake fits the latency budget of the work that may come; a device
// that the scheduler has parked gets an early wake instead, so for it every tier is allowed. After a wake the
// machine stays awake for the minimum dwell; the thresholds to leave quiet lie above those to enter it
// (hysteresis). Thread rule: one thread per machine. Units in the types.
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

// Learns how long quiet periods last: the mean excess of past ones over the time already waited.
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
  base::Joules expected_saving;  // against the state before this action, wakes included
};
// What resting in `tier` for `idle` saves against resting in `present` (null: ready).
base::Joules saving_of(const SleepTier& tier, const SleepTier* present, base::Duration idle);

class SleepMachine {
 public:
  // `parked_idle`: shared by the devices that the scheduler parks alike, so that they learn together; null:
  // its own.
  SleepMachine(SleepParams params, std::vector<SleepTier> tiers,
               std::shared_ptr<IdlePredictor> parked_idle = nullptr);
  // A sample with the device time of the one before is a repeat and is ignored.
  std::optional<SleepAction> observe(const ActivitySample& sample);
  // Work came, or a request was announced whose latency sensitivity asks for an early wake.
  void wake(base::TimePoint t);
  // True: the scheduler sends no work until it says otherwise. A quiet period with any parking in it is
  // learnt apart.
  void set_parked(bool parked) {
    parked_ = parked;
    was_parked_ = was_parked_ || parked;
  }
  bool resting() const { return tier_.has_value(); }
  // With the device still quiet, the time of the next sample that could change anything.
  base::TimePoint next_interest(base::TimePoint now, base::Duration update_period) const;
  const std::vector<SleepTier>& tiers() const { return tiers_; }

 private:
  std::optional<SleepAction> consider(base::TimePoint t);
  bool dwelling(base::TimePoint t) const;  // too soon after a wake
  bool allowed(const SleepTier& tier) const;
  IdlePredictor& predictor(bool parked) { return parked ? *parked_idle_ : idle_; }

  SleepParams params_;
  std::vector<SleepTier> tiers_;
  IdlePredictor idle_;  // in service
  std::shared_ptr<IdlePredictor> parked_idle_;
  bool parked_ = false;
  bool was_parked_ = false;  // at some time in this quiet period
  base::TimePoint last_update_{INT64_MIN};
  base::TimePoint quiet_since_{INT64_MIN};
  base::TimePoint awake_since_{INT64_MIN};
  int quiet_updates_ = 0;
  std::optional<std::size_t> tier_;
};

// A rule for one device, asked while the device has nothing to do. Implementations: see sleep_rules().
class SleepRule {
 public:
  virtual ~SleepRule() = default;
  // Work ended at `since`. Returns when to be asked first (kNever: not at all).
  virtual base::TimePoint idle_began(base::TimePoint since) = 0;
  // Asked at the time given. `sample` is the device's update at that time.
  virtual std::optional<SleepAction> look(const ActivitySample& sample) = 0;
  // When to be asked next, after a look at `now`.
  virtual base::TimePoint next_look(base::TimePoint now) const = 0;
  virtual void idle_ended(base::TimePoint until) = 0;
  // Whether the scheduler has parked the device. Returns when to be asked next if it is idle now.
  virtual base::TimePoint set_parked(bool parked, base::TimePoint now) = 0;
};

struct SleepRuleInfo {
  std::string_view name;
  std::string_view baseline;  // "weak", "usual", "strong", or "ours"
  bool packs = false;         // the scheduler uses the notices of released capacity to park devices
  std::string_view description;
};
std::vector<SleepRuleInfo> sleep_rules();
// `update_period`, `phase`: of the activity sensor. No rule for "none". Error: an unknown name, with the
// nearest.
base::Result<std::unique_ptr<SleepRule>> make_sleep_rule(
    std::string_view name, const std::vector<SleepTier>& tiers, const SleepParams& params,
    base::Duration update_period, base::Duration phase, std::shared_ptr<IdlePredictor> parked_idle = nullptr);

}  // namespace perjoule::agent
