// A training job as its GPUs see it: a cycle of forward, backward, all-reduce and optimiser phases, repeated.
// Energy and progress over any interval come in closed form (whole cycles plus a part), so the cost does not
// depend on the number of steps; a test compares this with adding up single phases. Source of the phase
// shares: modelled (docs/models/training.md). Power per phase comes from GpuPowerCurve. Thread rule: values.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/units.hpp"
#include "plant/gpu_power_curve.hpp"

namespace perjoule::plant {

struct TrainingPhase {
  std::string_view name;
  double time_share = 0.0;  // of a step at the highest clock; shares sum to 1
  GpuActivity activity;
};
inline constexpr std::size_t kTrainingPhases = 4;

// A class of training work. step_seconds at the highest clock.
struct TrainingProfile {
  std::string_view model;
  double step_seconds = 1.0;
  std::array<TrainingPhase, kTrainingPhases> phases;
};
std::span<const TrainingProfile> training_profiles();

// One step's cost per GPU under a power cap.
struct TrainingCycle {
  double seconds = 0.0;  // one step
  double joules = 0.0;
  std::array<double, kTrainingPhases> phase_seconds{};
  std::array<double, kTrainingPhases> phase_joules{};

  // Energy per GPU of `steps` (fractional) further steps from the step position `from` (fractional part =
  // place in the cycle).
  double joules_between(double from_steps, double steps) const;
};
TrainingCycle make_cycle(const TrainingProfile& profile, const GpuPowerCurve& gpu, base::Watts cap,
                         base::Celsius junction);

}  // namespace perjoule::plant
