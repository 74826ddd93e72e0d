#include "plant/training.hpp"

#include <algorithm>
#include <cmath>

namespace perjoule::plant {
namespace {

// Joules from the start of a cycle to the share `position` (0..1) of its time.
double joules_to(const TrainingCycle& c, double position) {
  double left = position * c.seconds;
  double joules = 0.0;
  for (std::size_t p = 0; p < kTrainingPhases; ++p) {
    const double t = std::min(left, c.phase_seconds[p]);
    if (c.phase_seconds[p] > 0.0) joules += c.phase_joules[p] * t / c.phase_seconds[p];
    left -= t;
  }
  return joules;
}

constexpr TrainingProfile profile(std::string_view model, double step, double forward, double backward,
                                  double reduce, double optimiser, double sm) {
  return {model,
          step,
          {{{"forward", forward, {sm, 0.55, 0.75}},
            {"backward", backward, {sm * 1.05, 0.60, 0.75}},
            {"all_reduce", reduce, {0.15, 0.30, 0.05}},
            {"optimiser", optimiser, {0.30, 0.90, 0.05}}}}};
}

}  // namespace

std::span<const TrainingProfile> training_profiles() {
  // Modelled: a backward pass does twice the arithmetic of a forward one; the rest is communication and
  // update.
  static constexpr std::array<TrainingProfile, 4> kProfiles{
      profile("llm-7b-finetune", 1.20, 0.28, 0.56, 0.11, 0.05, 0.88),
      profile("vit-large", 0.42, 0.30, 0.58, 0.08, 0.04, 0.80),
      profile("resnet-152", 0.25, 0.31, 0.59, 0.07, 0.03, 0.66),
      profile("dlrm", 0.09, 0.24, 0.42, 0.22, 0.12, 0.35),
  };
  return kProfiles;
}

double TrainingCycle::joules_between(double from_steps, double steps) const {
  const double to = from_steps + steps;
  const double first = std::floor(from_steps), last = std::floor(to);
  return (last - first) * joules + joules_to(*this, to - last) - joules_to(*this, from_steps - first);
}

TrainingCycle make_cycle(const TrainingProfile& profile, const GpuPowerCurve& gpu, base::Watts cap,
                         base::Celsius junction) {
  TrainingCycle c;
  for (std::size_t p = 0; p < kTrainingPhases; ++p) {
    const TrainingPhase& phase = profile.phases[p];
    const GpuOperatingPoint point = gpu.at_cap(cap, phase.activity, junction);
    c.phase_seconds[p] = phase.time_share * profile.step_seconds * point.slowdown;
    c.phase_joules[p] = c.phase_seconds[p] * point.power.value();
    c.seconds += c.phase_seconds[p];
    c.joules += c.phase_joules[p];
  }
  return c;
}

}  // namespace perjoule::plant
