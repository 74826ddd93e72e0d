#include "plant/gpu_power_curve.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/assert.hpp"

namespace perjoule::plant {
namespace {

// Above this the exponential law is far outside its fit; a hotter junction throttles anyway.
constexpr double kMostLeakageExponent = 2.0;
constexpr double kClockSlack = 1e-9;

struct Rule {
  const char* name;
  bool holds;
  const char* why;
};

}  // namespace

base::Result<GpuPowerCurve> GpuPowerCurve::make(const GpuPowerParameters& p) {
  const auto watts = [](base::Watts w) { return std::isfinite(w.value()) && w.value() >= 0.0; };
  const Rule rules[] = {
      {"idle_without_context", watts(p.idle_without_context), "must be 0 W or more"},
      {"idle_with_context", watts(p.idle_with_context) && p.idle_with_context >= p.idle_without_context,
       "must be at least idle_without_context"},
      {"clock_min_mhz", p.clock_min_mhz > 0.0, "must be positive"},
      {"clock_max_mhz", p.clock_max_mhz > p.clock_min_mhz && std::isfinite(p.clock_max_mhz),
       "must exceed clock_min_mhz"},
      {"clock_step_mhz", p.clock_step_mhz > 0.0 && p.clock_step_mhz <= p.clock_max_mhz, "must be positive"},
      {"knee_mhz", p.knee_mhz > 0.0 && p.knee_mhz <= p.clock_max_mhz, "must lie within the clock range"},
      {"voltage_per_mhz", p.voltage_per_mhz >= 0.0 && p.voltage_per_mhz < 0.01, "must lie in [0, 0.01)"},
      {"core_dynamic", watts(p.core_dynamic), "must be 0 W or more"},
      {"memory_dynamic", watts(p.memory_dynamic), "must be 0 W or more"},
      {"leakage", watts(p.leakage) && p.leakage <= p.idle_with_context, "must be at most idle_with_context"},
      {"leakage_at", std::isfinite(p.leakage_at.value()), "must be finite"},
      {"leakage_per_kelvin", p.leakage_per_kelvin >= 0.0 && p.leakage_per_kelvin <= 0.1,
       "must lie in [0, 0.1]"},
      {"cap_min", watts(p.cap_min) && p.cap_min > base::Watts(0.0), "must be positive"},
      {"cap_max", watts(p.cap_max) && p.cap_max >= p.cap_min, "must be at least cap_min"},
  };
  for (const auto& rule : rules) {
    if (!rule.holds) return base::bad_input("cannot use the GPU power parameters", rule.name, rule.why);
  }
  return GpuPowerCurve(p);
}

GpuPowerCurve GpuPowerCurve::h200() {
  GpuPowerParameters p;
  p.idle_without_context = base::Watts(75.0);
  p.idle_with_context = base::Watts(112.0);
  p.clock_min_mhz = 345.0;
  p.clock_max_mhz = 1980.0;
  p.clock_step_mhz = 15.0;
  p.knee_mhz = 1300.0;
  p.voltage_per_mhz = 4.3e-4;
  p.core_dynamic = base::Watts(560.0);
  p.memory_dynamic = base::Watts(110.0);
  p.leakage = base::Watts(55.0);
  p.leakage_at = base::Celsius(35.0);
  p.leakage_per_kelvin = 0.015;
  p.cap_max = base::Watts(700.0);
  p.cap_min = base::Watts(200.0);
  auto made = make(p);
  PJ_CHECK(made.ok());
  return *made;
}

double GpuPowerCurve::dynamic_factor(double clock_mhz) const {
  const auto& p = parameters_;
  const auto product = [&](double f) {
    const double v = 1.0 + p.voltage_per_mhz * std::max(0.0, f - p.knee_mhz);
    return f * v * v;
  };
  return product(clock_mhz) / product(p.clock_max_mhz);
}

base::Watts GpuPowerCurve::excess_leakage(base::Celsius junction) const {
  const double exponent = std::min(
      parameters_.leakage_per_kelvin * (junction - parameters_.leakage_at).value(), kMostLeakageExponent);
  return parameters_.leakage * std::expm1(exponent);
}

base::Watts GpuPowerCurve::power(double clock_mhz, double sm, double memory, base::Celsius junction) const {
  return idle_power(true, junction) +
         parameters_.core_dynamic * (std::clamp(sm, 0.0, 1.0) * dynamic_factor(clock_mhz)) +
         parameters_.memory_dynamic * std::clamp(memory, 0.0, 1.0);
}

base::Watts GpuPowerCurve::idle_power(bool context, base::Celsius junction) const {
  const base::Watts base_power = context ? parameters_.idle_with_context : parameters_.idle_without_context;
  return std::max(base::Watts(0.0), base_power + excess_leakage(junction));
}

double GpuPowerCurve::grid_clock(double clock_mhz) const {
  const auto& p = parameters_;
  const double below_top = p.clock_max_mhz - std::clamp(clock_mhz, p.clock_min_mhz, p.clock_max_mhz);
  const double steps = std::ceil(below_top / p.clock_step_mhz - kClockSlack);
  return std::max(p.clock_max_mhz - steps * p.clock_step_mhz, p.clock_min_mhz);
}

GpuOperatingPoint GpuPowerCurve::at_clock(double clock_mhz, const GpuActivity& work,
                                          base::Celsius junction) const {
  const double top = parameters_.clock_max_mhz;
  const double bound = std::clamp(work.compute_bound, 0.0, 1.0);
  GpuOperatingPoint out;
  out.clock_mhz = std::clamp(clock_mhz, parameters_.clock_min_mhz, top);
  const double stretch = top / out.clock_mhz;
  // The same cycles out of fewer offered ones: occupancy rises until the cores are full, then the time must
  // follow.
  out.slowdown = std::max(bound * stretch + 1.0 - bound, std::clamp(work.sm, 0.0, 1.0) * stretch);
  const double sm = work.sm * stretch / out.slowdown;
  out.power = power(out.clock_mhz, sm, work.memory / out.slowdown, junction);
  const base::Watts at_top = power(top, work.sm, work.memory, junction);
  out.relative_energy = at_top > base::Watts(0.0) ? out.power / at_top * out.slowdown : out.slowdown;
  return out;
}

// Power rises with the clock (each factor does), so the answer is found by halving the grid.
GpuOperatingPoint GpuPowerCurve::at_cap(base::Watts cap, const GpuActivity& work,
                                        base::Celsius junction) const {
  const auto& p = parameters_;
  const auto count =
      static_cast<int>(std::ceil((p.clock_max_mhz - p.clock_min_mhz) / p.clock_step_mhz - kClockSlack));
  const auto clock = [&](int steps) {
    return std::max(p.clock_max_mhz - steps * p.clock_step_mhz, p.clock_min_mhz);
  };
  const auto fits = [&](int steps) { return at_clock(clock(steps), work, junction).power <= cap; };
  int good = count, bad = -1;  // steps down from the highest clock
  if (!fits(count)) {
    auto out = at_clock(p.clock_min_mhz, work, junction);
    out.cap_met = false;
    return out;
  }
  while (good - bad > 1) {
    const int middle = (good + bad) / 2;
    (fits(middle) ? good : bad) = middle;
  }
  return at_clock(clock(good), work, junction);
}

}  // namespace perjoule::plant
