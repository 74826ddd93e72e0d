#include "sched/cap_policy.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/text.hpp"

namespace perjoule::sched {
namespace {

using base::Watts;

constexpr Watts kFixedCap{500.0};
constexpr double kLeastGain = 0.002;  // of power, for a change of cap

// The least power among the caps that keep the targets; the highest cap where none does.
const CapOption& least_power(const CapObservation& seen) {
  const CapOption* best = &seen.options.front();
  for (const CapOption& o : seen.options) {
    if (o.power < best->power && within_margin(o.p95, seen.targets)) best = &o;
  }
  return *best;
}

class FixedCap final : public CapRule {
 public:
  Watts choose(const CapObservation&) override { return kFixedCap; }
};

// The best single cap for the workload, found once at its first load and kept: what a sweep before deployment
// gives.
class BestStatic final : public CapRule {
 public:
  Watts choose(const CapObservation& seen) override {
    if (chosen_.value() == 0.0) chosen_ = least_power(seen).cap;
    return chosen_;
  }

 private:
  Watts chosen_;
};

// Follows the load. Where the targets are kept now, a change must be worth it.
class LatencyAware final : public CapRule {
 public:
  Watts choose(const CapObservation& seen) override {
    const CapOption& now = option_at(seen.options, seen.cap);
    const CapOption& best = least_power(seen);
    const bool worth_it = best.power < now.power * (1.0 - kLeastGain);
    return worth_it || !within_margin(now.p95, seen.targets) ? best.cap : now.cap;
  }
};

class NoCap final : public CapRule {
 public:
  Watts choose(const CapObservation& seen) override { return seen.options.front().cap; }
};

}  // namespace

const CapOption& option_at(std::span<const CapOption> options, Watts cap) {
  const auto it =
      std::min_element(options.begin(), options.end(), [&](const CapOption& a, const CapOption& b) {
        return std::abs(a.cap.value() - cap.value()) < std::abs(b.cap.value() - cap.value());
      });
  return *it;
}

std::vector<CapRuleInfo> cap_rules() {
  return {{"none", "weak", false, "the device's default limit"},
          {"fixed-500", "usual", false, "one limit of 500 W for every device"},
          {"best-static", "strong", false, "the best single cap per workload, found at its first load"},
          {"latency-aware", "ours", true,
           "least predicted power under the latency targets, every control period"}};
}

bool cap_follows_load(std::string_view name) {
  const auto rules = cap_rules();
  return std::any_of(rules.begin(), rules.end(),
                     [&](const auto& r) { return r.name == name && r.follows_load; });
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
