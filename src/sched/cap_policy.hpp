// Energy-aware power cap per workload under its latency targets, and the named baselines beside it.
// The policy is given a table of caps: what each would mean at the load seen, from the calibrated cost model
// (plant/service_outlook.hpp) with its level corrected by what was observed. It picks the least predicted
// power among those that keep a margin to the targets. Power is that of the whole device over time, idle time
// included: slower work takes the place of idle time. Thread rule: one thread per policy. Units in the names.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "sched/service_load.hpp"

namespace perjoule::sched {

// What a cap means at the present load.
struct CapOption {
  base::Watts cap;
  Latencies p95;
  base::Watts power;  // mean of one GPU
};
// The option of the nearest cap; `options` has at least one.
const CapOption& option_at(std::span<const CapOption> options, base::Watts cap);

struct CapObservation {
  Latencies targets;
  base::Watts cap;                     // in force
  std::span<const CapOption> options;  // highest cap first; at least one
};

class CapRule {
 public:
  virtual ~CapRule() = default;
  virtual base::Watts choose(const CapObservation& seen) = 0;
};

struct CapRuleInfo {
  std::string_view name;
  std::string_view baseline;  // weak, usual, strong or ours
  bool follows_load = false;  // answers another load, or number of replicas, with another cap
  std::string_view description;
};
std::vector<CapRuleInfo> cap_rules();
// False for an unknown name.
bool cap_follows_load(std::string_view name);
base::Result<std::unique_ptr<CapRule>> make_cap_rule(std::string_view name);

}  // namespace perjoule::sched
