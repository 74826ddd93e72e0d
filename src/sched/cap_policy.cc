#include "sched/cap_policy.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/text.hpp"

namespace perjoule::sched {
namespace {

using base::Watts;

constexpr double kMargin = 0.85;  // of a latency target that a prediction may use up
constexpr double kFixedCapW = 500.0;

const CapOption& option_at(std::span<const CapOption> options, Watts cap) {
  const auto it =
      std::min_element(options.begin(), options.end(), [&](const CapOption& a, const CapOption& b) {
        return std::abs(a.cap.value() - cap.value()) < std::abs(b.cap.value() - cap.value());
      });
  return *it;
}

bool keeps_targets(const CapObservation& seen, double slower) {
  return seen.ttft_p95_ms * slower <= kMargin * seen.ttft_target_ms &&
         seen.token_gap_p95_ms * slower <= kMargin * seen.token_gap_target_ms;
}

class FixedCap final : public CapRule {
 public:
  Watts choose(const CapObservation& seen) override { return option_at(seen.options, Watts(kFixedCapW)).cap; }
};

// The best single cap for the workload, found once at its first load and kept: what a sweep before deployment
// gives.
class BestStatic final : public CapRule {
 public:
  Watts choose(const CapObservation& seen) override {
    if (chosen_.value() == 0.0 && seen.token_gap_p95_ms > 0.0) chosen_ = least_energy(seen).cap;
    return chosen_.value() == 0.0 ? seen.options.front().cap : chosen_;
  }
  static const CapOption& least_energy(const CapObservation& seen) {
    const CapOption* best = &seen.options.front();
    const double now = option_at(seen.options, seen.cap).relative_time;
    for (const CapOption& o : seen.options) {
      if (o.relative_energy < best->relative_energy && keeps_targets(seen, o.relative_time / now)) best = &o;
    }
    return *best;
  }

 private:
  Watts chosen_;
};

// Follows the load: least predicted energy that keeps the targets, one step at a time downwards, at once
// upwards.
class LatencyAware final : public CapRule {
 public:
  Watts choose(const CapObservation& seen) override {
    if (seen.token_gap_p95_ms <= 0.0) return seen.cap;
    if (!keeps_targets(seen, 1.0)) return seen.options.front().cap;
    const Watts wanted = BestStatic::least_energy(seen).cap;
    if (wanted >= seen.cap) return wanted;
    Watts next = wanted;
    for (const CapOption& o : seen.options) {
      if (o.cap < seen.cap) next = std::max(next, o.cap);
    }
    return next;
  }
};

class NoCap final : public CapRule {
 public:
  Watts choose(const CapObservation& seen) override { return seen.options.front().cap; }
};

}  // namespace

std::vector<CapRuleInfo> cap_rules() {
  return {
      {"none", "weak", "the device's default limit"},
      {"fixed-500", "usual", "one limit of 500 W for every device"},
      {"best-static", "strong", "the best single cap per workload, from a sweep at its first load"},
      {"latency-aware", "ours", "least predicted energy under the latency targets, every control period"}};
}

base::Result<std::unique_ptr<CapRule>> make_cap_rule(std::string_view name) {
  using Rule = std::unique_ptr<CapRule>;
  if (name == "none") return Rule(std::make_unique<NoCap>());
  if (name == "fixed-500") return Rule(std::make_unique<FixedCap>());
  if (name == "best-static") return Rule(std::make_unique<BestStatic>());
  if (name == "latency-aware") return Rule(std::make_unique<LatencyAware>());
  std::vector<std::string> names;
  for (const auto& rule : cap_rules()) names.emplace_back(rule.name);
  return base::bad_input("choose a cap rule", "'" + std::string(name) + "'", "there is no such rule",
                         base::nearest_name_hint(name, names));
}

}  // namespace perjoule::sched
