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

SleepMachine::SleepMachine(SleepParams params, std::vector<SleepTier> tiers)
    : params_(params), tiers_(std::move(tiers)) {}

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

std::optional<SleepAction> SleepMachine::consider(TimePoint t) {
  const Duration elapsed = t - quiet_since_;
  const auto expected = predictor_.remaining(elapsed);
  if (!expected) return std::nullopt;
  const std::size_t first = tier_ ? *tier_ + 1 : 0;
  for (std::size_t k = tiers_.size(); k-- > first;) {
    const SleepTier& tier = tiers_[k];
    if (tier.wake > params_.wake_budget || tier.break_even().ns == INT64_MAX) continue;
    const double needed = static_cast<double>(tier.break_even().ns) * params_.margin;
    if (static_cast<double>(expected->ns) < needed) continue;
    tier_ = k;
    const double saving = tier.saved.value() * base::to_seconds(*expected).value() - tier.wake_energy.value();
    return SleepAction{k, *expected, base::Joules(saving)};
  }
  return std::nullopt;
}

bool SleepMachine::dwelling(TimePoint t) const {
  return awake_since_.ns != INT64_MIN && t - awake_since_ < params_.minimum_dwell;
}

void SleepMachine::wake(TimePoint t) {
  if (quiet_updates_ > 0) predictor_.add(t - quiet_since_);
  quiet_updates_ = 0;
  tier_.reset();
  awake_since_ = t;
}

void SleepMachine::ended_idle(TimePoint since, TimePoint until) {
  predictor_.add(until - since);
  quiet_updates_ = 0;
  tier_.reset();
  awake_since_ = until;
  last_update_ = std::min(last_update_, until);
}

TimePoint SleepMachine::next_interest(TimePoint now, Duration update_period) const {
  if (quiet_updates_ < params_.distinct_updates || dwelling(now)) {
    return now + update_period;
  }
  if (tier_ && *tier_ + 1 >= tiers_.size()) return base::kNever;
  // Nothing but the passing of time can change the answer; look again when twice as much has passed.
  const std::int64_t waited = std::max<std::int64_t>((now - quiet_since_).ns, update_period.ns);
  const std::int64_t updates = (waited + update_period.ns - 1) / update_period.ns;
  if (waited > base::kNsPerHour) return base::kNever;
  return now + update_period * updates;
}

namespace {

class FixedTimeout final : public SleepRule {
 public:
  FixedTimeout(std::size_t tier, Duration timeout, base::Watts saved)
      : tier_(tier), timeout_(timeout), saved_(saved) {}
  void plan(TimePoint since, std::vector<PlannedRest>& out) override {
    out.push_back({since + timeout_, tier_, saved_ * base::to_seconds(timeout_)});
  }
  void ended(TimePoint, TimePoint) override {}

 private:
  std::size_t tier_;
  Duration timeout_;
  base::Watts saved_;
};

// Deterministic rent-or-buy over the tiers that fit the wake budget: enter each when the time already waited
// equals its break-even. At most twice the energy of a rule that knew the future (Karlin et al. 1988),
// whatever arrives.
class RentOrBuy final : public SleepRule {
 public:
  RentOrBuy(std::vector<SleepTier> tiers, Duration budget) : tiers_(std::move(tiers)), budget_(budget) {}
  void plan(TimePoint since, std::vector<PlannedRest>& out) override {
    for (std::size_t k = 0; k < tiers_.size(); ++k) {
      const Duration even = tiers_[k].break_even();
      if (tiers_[k].wake > budget_ || even.ns == INT64_MAX) continue;
      out.push_back({since + even, k, tiers_[k].saved * base::to_seconds(even)});
    }
  }
  void ended(TimePoint, TimePoint) override {}

 private:
  std::vector<SleepTier> tiers_;
  Duration budget_;
};

// Runs the state machine on the updates that an idle device would show.
class HeaaRule final : public SleepRule {
 public:
  HeaaRule(SleepMachine machine, Duration period, Duration phase)
      : machine_(std::move(machine)), period_(period), phase_(phase) {}

  void plan(TimePoint since, std::vector<PlannedRest>& out) override {
    const std::int64_t k = (since.ns - phase_.ns) / period_.ns + 1;
    TimePoint t{phase_.ns + k * period_.ns};
    while (t != base::kNever && out.size() < machine_.tiers().size()) {
      if (const auto action = machine_.observe({t, 0.0, 0.0, false})) {
        out.push_back({t, action->tier, action->expected_saving});
      }
      t = machine_.next_interest(t, period_);
    }
  }
  void ended(TimePoint since, TimePoint until) override { machine_.ended_idle(since, until); }

 private:
  SleepMachine machine_;
  Duration period_, phase_;
};

}  // namespace

std::vector<SleepRuleInfo> sleep_rules() {
  return {{"none", "weak", "never rests: idle with a context at full clocks"},
          {"timeout", "usual", "low clocks after 60 s without work"},
          {"rent-or-buy", "strong", "each tier at its break-even time (2-competitive)"},
          {"heaa", "ours", "state machine of 3 distinct updates with predicted idle time"}};
}

base::Result<std::unique_ptr<SleepRule>> make_sleep_rule(std::string_view name,
                                                         const std::vector<SleepTier>& tiers,
                                                         const SleepParams& params, Duration period,
                                                         Duration phase) {
  using Rule = std::unique_ptr<SleepRule>;
  if (name == "none") return Rule{};
  if (name == "timeout") {
    const std::size_t tier = std::min<std::size_t>(1, tiers.size() - 1);
    return Rule(std::make_unique<FixedTimeout>(tier, base::seconds(60), tiers[tier].saved));
  }
  if (name == "rent-or-buy") return Rule(std::make_unique<RentOrBuy>(tiers, params.wake_budget));
  if (name == "heaa") return Rule(std::make_unique<HeaaRule>(SleepMachine(params, tiers), period, phase));
  std::vector<std::string> names;
  for (const auto& rule : sleep_rules()) names.emplace_back(rule.name);
  return base::bad_input("choose a sleep rule", "'" + std::string(name) + "'", "there is no such rule",
                         base::nearest_name_hint(name, names));
}

}  // namespace perjoule::agent
