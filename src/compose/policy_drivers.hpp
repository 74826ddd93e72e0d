// The two policies on the road through the simulated hall: snapshot -> decision -> control -> outcome.
// The cap takes the road of a real device: HallSource -> CapRule -> Proposal -> DecisionLog -> HallActuator.
// The sleep rules act inside a window, at times between two snapshots, so the hall's governor carries them
// out and the driver records them (docs/architecture.md). Thread rule: one thread. Ownership: borrow the hall
// and the symbols.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "agent/sleep_policy.hpp"
#include "backends/sim/hall_actuator.hpp"
#include "backends/sim/hall_source.hpp"
#include "compose/latency.hpp"
#include "device/decision_log.hpp"
#include "energy/records.hpp"
#include "plant/hall.hpp"
#include "sched/cap_policy.hpp"

namespace perjoule::compose {

// One sleep rule per replica, asked at each idle period.
class SleepDriver {
 public:
  static base::Result<std::unique_ptr<SleepDriver>> make(plant::Hall& hall, base::SymbolTable& symbols,
                                                         const std::string& rule, std::uint64_t seed);
  ~SleepDriver();
  // Decisions that were carried out since the last call, in time order.
  void collect(std::vector<energy::DecisionRow>& out);

 private:
  class Governor;
  SleepDriver() = default;
  std::vector<std::unique_ptr<Governor>> governors_;
  std::vector<energy::DecisionRow> decisions_;
};

// One cap rule per service, asked every control period; one decision per GPU whose cap changes. A cap below
// the device's default has a dead-man of two periods and is renewed while the rule keeps it.
class CapDriver {
 public:
  static base::Result<std::unique_ptr<CapDriver>> make(plant::Hall& hall, base::SymbolTable& symbols,
                                                       const std::string& rule);
  // Call after each window. Appends the decisions made, applied or refused.
  void control(std::vector<LatencyLog>& latencies, std::vector<energy::DecisionRow>& out);

 private:
  struct GpuSlots {
    device::SlotId cap, power, active;
  };
  struct Service {
    std::unique_ptr<sched::CapRule> rule;
    std::vector<std::size_t> replicas;
    std::vector<std::size_t> gpus;  // indices in hall.gpus()
    std::vector<GpuSlots> seen;     // of some of them, evenly taken; the first GPU always
  };
  // What one decision is made from.
  struct View {
    sched::CapObservation observation;
    double busy_w = 0.0;  // mean per GPU, above what it draws when idle
    double batch = 1.0;
  };

  CapDriver(plant::Hall& hall, base::SymbolTable& symbols, const std::string& rule);
  base::Status add_service(std::size_t service, const std::string& rule);
  void control_service(std::size_t service, LatencyLog& log);
  // False while the source has no value to decide on.
  bool look(std::size_t service, LatencyLog& log, View& view) const;
  double sequences_per_replica(const Service& service) const;
  std::vector<sched::CapOption> options(std::size_t service, double batch);
  void propose(const Service& service, const View& view, base::Watts cap);
  void renew(const Service& service);

  plant::Hall& hall_;
  base::SymbolTable& symbols_;
  backends::sim::HallClock clock_;
  backends::sim::HallSource source_;
  backends::sim::HallActuator actuator_;
  device::DecisionLog log_;
  base::Symbol policy_, action_, saves_, protects_;
  std::vector<Service> services_;
  std::vector<device::UndoToken> decision_of_;  // by GPU: the newest
  double ready_w_ = 0.0;                        // of an idle GPU
  std::int64_t windows_ = 0;
  std::size_t written_ = 0;  // rows of the log given out
};

}  // namespace perjoule::compose
