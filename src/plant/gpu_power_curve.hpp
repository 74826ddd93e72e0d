// Analytic power of a simulated GPU at a core clock and an activity, the clock at which a power cap binds,
// and what a lower clock costs in time and energy for a fixed piece of work. For devices without a measured
// cap table.
//
//     P = idle + C u_sm f V(f)^2 / (f_max V_max^2) + M u_mem + L (exp(beta (Tj - T0)) - 1),
//     V(f) = 1 up to the knee f_t, then 1 + b (f - f_t)           (form of Schoonhoven et al., PMBS 2022)
//
// `idle` contains the leakage L at T0. Thread rule: values, const use from any thread. Units in the types;
// clocks in MHz.
#pragma once

#include "base/result.hpp"
#include "base/units.hpp"

namespace perjoule::plant {

struct GpuPowerParameters {
  base::Watts idle_without_context;  // driver loaded, no process
  base::Watts idle_with_context;     // a process holds the GPU and does nothing
  double clock_min_mhz = 0.0;
  double clock_max_mhz = 0.0;
  double clock_step_mhz = 0.0;
  double knee_mhz = 0.0;            // f_t: voltage is constant below
  double voltage_per_mhz = 0.0;     // b, 1/MHz, relative to the voltage below the knee
  base::Watts core_dynamic;         // C: all cores active at the highest clock
  base::Watts memory_dynamic;       // M: memory bandwidth saturated
  base::Watts leakage;              // L, at leakage_at, contained in both idle figures
  base::Celsius leakage_at{35.0};   // T0
  double leakage_per_kelvin = 0.0;  // beta
  base::Watts cap_max;              // highest power limit the device accepts
  base::Watts cap_min;
};

// Work of one kernel or phase, as it runs at the highest clock.
struct GpuActivity {
  double sm = 0.0;             // share of core cycles in use, 0..1
  double memory = 0.0;         // share of memory bandwidth in use, 0..1
  double compute_bound = 0.0;  // share of the time that stretches as 1/clock, 0..1
};

struct GpuOperatingPoint {
  double clock_mhz = 0.0;
  base::Watts power;
  double slowdown = 1.0;         // time over time at the highest clock
  double relative_energy = 1.0;  // energy of the same work over energy at the highest clock
  bool cap_met = true;           // false: even the lowest clock draws more than the cap
};

class GpuPowerCurve {
 public:
  // Errors: bad_input naming the first parameter out of its range.
  static base::Result<GpuPowerCurve> make(const GpuPowerParameters& parameters);
  // A 700 W, 141 GB Hopper part. Every figure is modelled: docs/models/gpu-power.md gives its origin.
  static GpuPowerCurve h200();

  // Power while `sm` and `memory` (0..1) are active at `clock_mhz`; the junction adds leakage above T0.
  base::Watts power(double clock_mhz, double sm, double memory, base::Celsius junction) const;
  // With no work: with or without a context.
  base::Watts idle_power(bool context, base::Celsius junction) const;
  // Nearest clock of the grid at or below `clock_mhz`, within the device's range.
  double grid_clock(double clock_mhz) const;
  // Same work at `clock_mhz`: the needed core cycles and memory bytes are kept, the time stretches.
  GpuOperatingPoint at_clock(double clock_mhz, const GpuActivity& work, base::Celsius junction) const;
  // The highest grid clock at which the same work draws no more than `cap`.
  GpuOperatingPoint at_cap(base::Watts cap, const GpuActivity& work, base::Celsius junction) const;

  const GpuPowerParameters& parameters() const { return parameters_; }

 private:
  explicit GpuPowerCurve(const GpuPowerParameters& parameters) : parameters_(parameters) {}
  double dynamic_factor(double clock_mhz) const;  // f V^2 over its value at the highest clock
  base::Watts excess_leakage(base::Celsius junction) const;

  GpuPowerParameters parameters_;
};

}  // namespace perjoule::plant
