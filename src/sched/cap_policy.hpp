// Energy-aware power cap per workload under its latency targets, and the named baselines beside it.
// Once per control period the policy sees a service's latency percentiles and load, and picks from a table of
// caps the one of least predicted energy whose predicted latency keeps a margin to the targets. The table
// (relative time and energy per cap) comes from the calibrated cost model at the load seen; the observation
// corrects its level. Thread rule: one thread per policy. Units in the names.
#pragma once

#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace perjoule::sched {

// What a cap does to the work at the present load, relative to no cap.
struct CapOption {
  base::Watts cap;
  double relative_time = 1.0;    // of a decode step
  double relative_energy = 1.0;  // per token
};

struct CapObservation {
  double ttft_p95_ms = 0.0;  // over the last period; 0 = nothing finished
  double token_gap_p95_ms = 0.0;
  double ttft_target_ms = 0.0;
  double token_gap_target_ms = 0.0;
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
  std::string_view description;
};
std::vector<CapRuleInfo> cap_rules();
base::Result<std::unique_ptr<CapRule>> make_cap_rule(std::string_view name);

}  // namespace perjoule::sched
