// HEAA on the road through the simulated hall, and the scheduler's answer to what it releases.
//
//   the activity sensor's update -> SleepRule -> Proposal -> DecisionLog -> HallActuator (gpu.rest)
//   load of the last window -> Rotation -> Proposal -> DecisionLog -> HallActuator (gpu.admit, early wake)
//
// A rest is a decision of its own for each GPU, made at the device's time inside a window; the applied row is
// the notice "capacity released": from then on the rotation counts the replica as the first to park and, by
// the depth of its rest, among the last to bring back. A replica that comes back from a rest whose wake is
// long against the latency target is woken first and takes requests when it is ready (early wake). Work, or
// an early wake, undoes the decision. Rules that do not pack leave every replica in service.
//
// Thread rule: one thread. Ownership: borrows the hall and the symbols, which outlive it.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "agent/sleep_policy.hpp"
#include "backends/sim/hall_actuator.hpp"
#include "compose/latency.hpp"
#include "device/decision_log.hpp"
#include "device/proposal.hpp"
#include "energy/records.hpp"
#include "plant/hall.hpp"
#include "plant/service_outlook.hpp"
#include "sched/rotation_policy.hpp"

namespace perjoule::compose {

class SleepDriver {
 public:
  // `caps_follow`: a cap policy is at work that will answer a rotation with the cap that suits it.
  static base::Result<std::unique_ptr<SleepDriver>> make(plant::Hall& hall, base::SymbolTable& symbols,
                                                         const std::string& rule, std::uint64_t seed,
                                                         bool caps_follow = false);
  ~SleepDriver();
  // Call after each window, with what each service was asked and the latencies of what it finished.
  void control(std::span<const sched::ServiceLoad> loads, std::span<const LatencySummary> latencies);
  // All that was decided, in the order of deciding.
  std::span<const energy::DecisionRow> decisions() const { return log_.rows(); }

 private:
  class Governor;
  using Control = device::ControlId (backends::sim::HallActuator::*)(std::size_t) const;
  // The time at which the decision at hand is made: the device's, inside a window.
  class DeviceClock final : public base::Clock {
   public:
    base::TimePoint now() const override { return now_; }
    void set(base::TimePoint t) { now_ = t; }

   private:
    base::TimePoint now_;
  };
  struct Service {
    sched::LoadForecast forecast;
    sched::Rotation rotation;
    sched::PredictionLevel level;
  };

  SleepDriver(plant::Hall& hall, base::SymbolTable& symbols, const std::string& rule, bool packs);
  base::Status add_governor(std::size_t replica, const std::string& rule, std::uint64_t seed);
  void rotate(std::size_t service, const sched::ServiceLoad& load, const LatencySummary& seen);
  std::size_t wanted(std::size_t service, const sched::LoadEstimate& load, const LatencySummary& seen);
  plant::ServiceOutlook outlook_at(std::size_t service, const sched::LoadEstimate& load, base::Watts cap);
  std::vector<plant::ServiceOutlook> outlooks(std::size_t service, const sched::LoadEstimate& load);
  void bring_back(std::vector<std::size_t> parked, std::size_t count);
  void park(std::vector<std::size_t> serving, std::size_t count);
  void renew(device::UndoToken token);
  // Dead-man of a rest or a parking: a few windows, renewed after each.
  base::TimePoint dead_man() const;
  // Writes a control of all GPUs of a replica. False if any refused.
  bool write(std::size_t replica, Control control, double value, base::Symbol action, base::Symbol why);

  plant::Hall& hall_;
  base::SymbolTable& symbols_;
  bool packs_;
  bool caps_follow_ = false;
  std::vector<agent::SleepTier> tiers_;
  DeviceClock clock_;
  backends::sim::HallActuator actuator_;
  device::DecisionLog log_;
  base::Symbol sleep_policy_, rotation_policy_, parks_, admits_, wakes_, by_work_, by_early_wake_;
  base::Symbol quiet_, load_falls_, load_grows_, ready_;
  device::ReasonHash rotation_inputs_;                // of the service whose turn it is
  std::vector<device::UndoToken> parked_;             // by GPU: the parking in force
  std::vector<std::unique_ptr<Governor>> governors_;  // by replica; none without a rule
  std::vector<Service> services_;
  std::vector<std::shared_ptr<agent::IdlePredictor>> parked_idle_;  // by service: its replicas learn together
};

}  // namespace perjoule::compose
