#include "agent/sleep_policy.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace perjoule::agent {

using base::Duration;
using base::TimePoint;

Duration SleepTier::break_even() const {
  if (saved.value() <= 0.0) return {INT64_MAX};
  return base::to_duration(base::Seconds(wake_energy.value() / saved.value())) + wake;
}

base::Joules saving_of(const SleepTier& tier, const SleepTier* present, Duration idle) {
  const base::Joules all = tier.saved * base::to_seconds(idle) - tier.wake_energy;
  return present == nullptr ? all : all - (present->saved * base::to_seconds(idle) - present->wake_energy);
}

// Asked several times per idle period and told once: so the asking is a binary search.
void IdlePredictor::add(Duration idle) {
  auto end = sorted_.begin() + static_cast<std::ptrdiff_t>(known());
  std::int64_t& oldest = kept_[count_ % kKept];
  if (count_ >= kKept) {
    const auto out = std::lower_bound(sorted_.begin(), end, oldest);
    end = std::move(out + 1, end, out);
  }
  oldest = idle.ns;
  ++count_;
  const auto in = std::upper_bound(sorted_.begin(), end, idle.ns);
  std::move_backward(in, end, end + 1);
  *in = idle.ns;
  std::int64_t sum = 0;
  for (std::size_t i = known(); i-- > 0;) sum_from_[i] = sum += sorted_[i];
}

std::optional<Duration> IdlePredictor::remaining(Duration elapsed) const {
  if (count_ < 8) return std::nullopt;
  const auto end = sorted_.begin() + static_cast<std::ptrdiff_t>(known());
  const auto first_longer = std::upper_bound(sorted_.begin(), end, elapsed.ns);
  if (first_longer == end) return elapsed;
  const std::int64_t longer = end - first_longer;
  const std::int64_t sum =
      sum_from_[static_cast<std::size_t>(first_longer - sorted_.begin())] - longer * elapsed.ns;
  return Duration{static_cast<std::int64_t>(static_cast<double>(sum) / static_cast<double>(longer))};
}

SleepMachine::SleepMachine(SleepParams params, std::vector<SleepTier> tiers,
                           std::shared_ptr<IdlePredictor> parked_idle)
    : params_(params),
      tiers_(std::move(tiers)),
      parked_idle_(parked_idle ? std::move(parked_idle) : std::make_shared<IdlePredictor>()) {}

std::optional<SleepAction> SleepMachine::observe(const ActivitySample& s) {
  if (s.device_time <= last_update_) return std::nullopt;
  last_update_ = s.device_time;
  const double factor = quiet_updates_ > 0 ? params_.leave_factor : 1.0;
  const bool quiet = s.sm_active < params_.sm_below * factor && s.dram_active < params_.dram_below * factor &&
                     !s.pending_dma;
  if (!quiet) {
    wake(s.device_time);
    return std::nullopt;
  }
  if (quiet_updates_++ == 0) quiet_since_ = s.device_time;
  if (quiet_updates_ < params_.distinct_updates) return std::nullopt;
  if (dwelling(s.device_time)) return std::nullopt;
  return consider(s.device_time);
}

bool SleepMachine::allowed(const SleepTier& tier) const {
  return (parked_ || tier.wake <= params_.wake_budget) && tier.break_even().ns != INT64_MAX;
}

std::optional<SleepAction> SleepMachine::consider(TimePoint t) {
  const Duration elapsed = t - quiet_since_;
  const auto expected = predictor(parked_).remaining(elapsed);
  const std::size_t first = tier_ ? *tier_ + 1 : 0;
  for (std::size_t k = tiers_.size(); k-- > first;) {
    const SleepTier& tier = tiers_[k];
    if (!allowed(tier)) continue;
    const double even = static_cast<double>(tier.break_even().ns);
    const bool forecast = expected && static_cast<double>(expected->ns) >= even * params_.margin;
    if (!forecast && static_cast<double>(elapsed.ns) < even) continue;
    const SleepTier* present = tier_ ? &tiers_[*tier_] : nullptr;
    const Duration idle = expected.value_or(elapsed);
    tier_ = k;
    return SleepAction{k, idle, saving_of(tier, present, idle)};
  }
  return std::nullopt;
}

bool SleepMachine::dwelling(TimePoint t) const {
  return awake_since_.ns != INT64_MIN && t - awake_since_ < params_.minimum_dwell;
}

void SleepMachine::wake(TimePoint t) {
  if (quiet_updates_ > 0) predictor(was_parked_).add(t - quiet_since_);
  was_parked_ = parked_;
  quiet_updates_ = 0;
  tier_.reset();
  awake_since_ = t;
}

TimePoint SleepMachine::next_interest(TimePoint now, Duration period) const {
  if (quiet_updates_ < params_.distinct_updates || dwelling(now)) return now + period;
  // Only the passing of time can change the answer: a break-even is reached, or so much has passed that the
  // forecast is another one.
  const Duration waited = now - quiet_since_;
  std::int64_t next = 2 * std::max(waited.ns, period.ns);
  bool deeper = false;
  for (std::size_t k = tier_ ? *tier_ + 1 : 0; k < tiers_.size(); ++k) {
    if (!allowed(tiers_[k])) continue;
    deeper = true;
    const std::int64_t even = tiers_[k].break_even().ns;
    if (even > waited.ns) next = std::min(next, even);
  }
  if (!deeper || waited.ns > base::kNsPerHour) return base::kNever;
  // On the sensor's grid.
  const std::int64_t updates = std::max<std::int64_t>(1, (next - waited.ns + period.ns - 1) / period.ns);
  return now + period * updates;
}

namespace {

// One tier after a fixed time.
class FixedTimeout final : public SleepRule {
 public:
  FixedTimeout(std::size_t number, SleepTier tier, Duration timeout)
      : number_(number), tier_(std::move(tier)), timeout_(timeout) {}
  TimePoint idle_began(TimePoint since) override { return since + timeout_; }
  std::optional<SleepAction> look(const ActivitySample&) override {
    return SleepAction{number_, timeout_, saving_of(tier_, nullptr, timeout_)};
  }
  TimePoint next_look(TimePoint) const override { return base::kNever; }
  void idle_ended(TimePoint) override {}
  TimePoint set_parked(bool, TimePoint) override { return base::kNever; }

 private:
  std::size_t number_;
  SleepTier tier_;
  Duration timeout_;
};

// Deterministic rent-or-buy over the tiers that fit the wake budget (all of them while parked): enter each
// when the time already waited equals its break-even. At most twice the energy of a rule that knew the future
// (Karlin et al. 1988), whatever arrives. It is given the very instant at which work ends, which no sensor
// tells.
class RentOrBuy final : public SleepRule {
 public:
  RentOrBuy(const std::vector<SleepTier>& tiers, Duration budget) : tiers_(tiers), budget_(budget) {
    for (std::size_t k = 0; k < tiers_.size(); ++k) {
      const Duration even = tiers_[k].break_even();
      if (even.ns != INT64_MAX) steps_.push_back({even, k});
    }
    std::stable_sort(steps_.begin(), steps_.end(),
                     [](const Step& a, const Step& b) { return a.even < b.even; });
  }
  TimePoint idle_began(TimePoint since) override {
    since_ = since;
    next_ = 0;
    present_.reset();
    return next_look(since);
  }
  std::optional<SleepAction> look(const ActivitySample& sample) override {
    std::size_t step = allowed_from(next_);
    // Parked late, the break-even of a deeper tier may have passed already.
    for (std::size_t s = step; s < steps_.size() && since_ + steps_[s].even <= sample.device_time;
         s = allowed_from(s + 1)) {
      step = s;
    }
    next_ = step + 1;
    const SleepTier* present = present_ ? &tiers_[*present_] : nullptr;
    present_ = steps_[step].tier;
    return SleepAction{*present_, steps_[step].even,
                       saving_of(tiers_[*present_], present, steps_[step].even)};
  }
  TimePoint next_look(TimePoint now) const override {
    const std::size_t s = allowed_from(next_);
    return s < steps_.size() ? std::max(since_ + steps_[s].even, now + Duration{1}) : base::kNever;
  }
  void idle_ended(TimePoint) override {}
  TimePoint set_parked(bool parked, TimePoint now) override {
    parked_ = parked;
    return next_look(now);
  }

 private:
  struct Step {
    Duration even;
    std::size_t tier;
  };
  std::size_t allowed_from(std::size_t s) const {
    while (s < steps_.size() && !parked_ && tiers_[steps_[s].tier].wake > budget_) ++s;
    return s;
  }

  std::vector<SleepTier> tiers_;
  Duration budget_;
  std::vector<Step> steps_;  // by break-even
  TimePoint since_;
  std::size_t next_ = 0;
  std::optional<std::size_t> present_;  // the tier it rests in
  bool parked_ = false;
};

// The state machine, fed with the updates of the activity sensor.
class HeaaRule final : public SleepRule {
 public:
  HeaaRule(SleepMachine machine, Duration period, Duration phase)
      : machine_(std::move(machine)), period_(period), phase_(phase) {}

  TimePoint idle_began(TimePoint since) override {
    const std::int64_t k = (since.ns - phase_.ns) / period_.ns + 1;
    return {phase_.ns + k * period_.ns};
  }
  std::optional<SleepAction> look(const ActivitySample& sample) override { return machine_.observe(sample); }
  TimePoint next_look(TimePoint now) const override { return machine_.next_interest(now, period_); }
  void idle_ended(TimePoint until) override { machine_.wake(until); }
  TimePoint set_parked(bool parked, TimePoint now) override {
    machine_.set_parked(parked);
    return idle_began(now);
  }

 private:
  SleepMachine machine_;
  Duration period_, phase_;
};

}  // namespace

std::vector<SleepRuleInfo> sleep_rules() {
  return {
      {"none", "weak", false, "never rests: idle with a context at full clocks"},
      {"timeout", "usual", false, "low clocks after 60 s without work"},
      {"rent-or-buy", "strong", false, "each tier at its break-even time (2-competitive)"},
      {"rent-or-buy-packed", "strong", true, "the same, and the scheduler parks what it does not need"},
      {"heaa", "ours", true, "state machine of 3 distinct updates with predicted idle time and early wake"}};
}

base::Result<std::unique_ptr<SleepRule>> make_sleep_rule(std::string_view name,
                                                         const std::vector<SleepTier>& tiers,
                                                         const SleepParams& params, Duration period,
                                                         Duration phase,
                                                         std::shared_ptr<IdlePredictor> parked_idle) {
  using Rule = std::unique_ptr<SleepRule>;
  if (name == "none") return Rule{};
  if (name == "timeout") {
    const std::size_t tier = std::min<std::size_t>(1, tiers.size() - 1);
    return Rule(std::make_unique<FixedTimeout>(tier, tiers[tier], base::seconds(60)));
  }
  if (name == "rent-or-buy" || name == "rent-or-buy-packed") {
    return Rule(std::make_unique<RentOrBuy>(tiers, params.wake_budget));
  }
  if (name == "heaa") {
    SleepMachine machine(params, tiers, std::move(parked_idle));
    return Rule(std::make_unique<HeaaRule>(std::move(machine), period, phase));
  }
  std::vector<std::string> names;
  for (const auto& rule : sleep_rules()) names.emplace_back(rule.name);
  return base::bad_input("choose a sleep rule", "'" + std::string(name) + "'", "there is no such rule",
                         base::nearest_name_hint(name, names));
}

}  // namespace perjoule::agent
