// The power cap on the road through the simulated hall: HallSource -> CapRule -> Proposal -> DecisionLog ->
// HallActuator. One cap rule per service, asked every control period and whenever the number of replicas in
// service changes; one decision per GPU whose cap changes. A cap below the device's default has a dead-man of
// two periods and is renewed while the rule keeps it. Thread rule: one thread. Ownership: borrows the hall
// and the symbols, which outlive it.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/sim/hall_actuator.hpp"
#include "backends/sim/hall_source.hpp"
#include "compose/latency.hpp"
#include "device/decision_log.hpp"
#include "energy/records.hpp"
#include "plant/hall.hpp"
#include "plant/service_outlook.hpp"
#include "sched/cap_policy.hpp"
#include "sched/rotation_policy.hpp"

namespace perjoule::compose {

class CapDriver {
 public:
  static base::Result<std::unique_ptr<CapDriver>> make(plant::Hall& hall, base::SymbolTable& symbols,
                                                       const std::string& rule);
  // Call after each window, with what each service was asked. Marks the logs at the end of a period.
  void control(std::span<const sched::ServiceLoad> loads, std::span<LatencyLog> latencies);
  // All that was decided, in the order of deciding.
  std::span<const energy::DecisionRow> decisions() const { return log_.rows(); }

 private:
  struct GpuSlots {
    device::SlotId cap, power, active;
  };
  struct Service {
    std::unique_ptr<sched::CapRule> rule;
    std::vector<std::size_t> replicas;
    std::vector<std::size_t> gpus;  // indices in hall.gpus()
    std::vector<GpuSlots> seen;     // of some of them, evenly taken; the first GPU always
    sched::LoadForecast forecast;
    std::size_t serving = 0;  // replicas in service when the rule was last asked
    sched::PredictionLevel level{1.0};
  };
  // What one decision is made from.
  struct View {
    sched::CapObservation observation;
    double busy_w = 0.0;  // mean per GPU, above what it draws when idle
    sched::LoadEstimate load;
  };

  CapDriver(plant::Hall& hall, base::SymbolTable& symbols, const std::string& rule);
  base::Status add_service(std::size_t service, const std::string& rule);
  void control_service(std::size_t service);
  // Compares what was predicted for the period that ends now with what was seen.
  void learn(std::size_t service, const sched::LoadEstimate& load, LatencyLog& log);
  std::size_t serving(const Service& service) const;
  plant::ReplicaOutlook outlook(std::size_t service, const sched::LoadEstimate& load, base::Watts cap) const;
  std::vector<sched::CapOption> options(std::size_t service, const sched::LoadEstimate& load) const;
  // Mean per GPU above what it draws when idle; nothing while the source has no value.
  std::optional<double> busy_power(const Service& service) const;
  void propose(const Service& service, const View& view, base::Watts cap);
  void renew(const Service& service);
  base::Duration dead_man() const;

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
};

}  // namespace perjoule::compose
