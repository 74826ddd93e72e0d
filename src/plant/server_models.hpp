// A server's parts and its air: CPU and DRAM power, fans, the GPU's die and heat sink with leakage, the
// server's heat capacity, and the temperature of the air that reaches a rack. Each model is a parameter
// struct with defaults, check() for the parameters, and functions of state and input. Steps are exact
// exponentials of the linear equations, good at any step length. Thread rule: pure functions over values.
// Ownership: none. Units: W, C, K/W, J/K, kg/s, s. Sources, validity and what is unverified:
// docs/models/server.md.
#pragma once

#include <array>

#include "base/result.hpp"
#include "base/units.hpp"

namespace perjoule::plant {

// --- CPU
// ---------------------------------------------------------------------------------------------------------------
// Power over full power at utilisation 0, .1, ... 1. Default: medians of published two-socket SPECpower
// results since 2019. These are whole servers at the wall; as a package curve the shape is an assumption.
inline constexpr std::array<double, 11> kSpecPowerShape = {0.205, 0.351, 0.397, 0.442, 0.500, 0.553,
                                                           0.613, 0.668, 0.756, 0.889, 1.000};
struct CpuParams {
  base::Watts full{350.0};  // one socket (unverified: class of a current server CPU)
  std::array<double, 11> shape = kSpecPowerShape;
};
// Errors (bad_input): full power not above 0; a shape that falls, or leaves (0, 1], or does not end at 1.
base::Status check(const CpuParams& params);
// `utilisation` 0..1 (PJ_CHECK); linear between the points.
base::Watts cpu_power(const CpuParams& params, double utilisation);

// --- DRAM
// --------------------------------------------------------------------------------------------------------------
struct DramParams {
  int modules = 32;
  base::Watts idle{2.5};    // per module, refresh and interface (unverified, 64 GB DDR5 RDIMM class)
  base::Watts active{5.5};  // per module, on top at full bandwidth (unverified)
};
base::Status check(const DramParams& params);
// `bandwidth` as a share of the peak, 0..1 (PJ_CHECK).
base::Watts dram_power(const DramParams& params, double bandwidth);

// --- Fans
// --------------------------------------------------------------------------------------------------------------
// phi = clamp(least + inlet_gain (Tin - knee) + load_gain load, least, 1); flow = phi flow_full; power =
// phi^3 full.
struct FanParams {
  base::Watts full{1200.0};  // all fans of an 8-GPU air-cooled server (10-15 % of it, unverified)
  base::KilogramsPerSecond flow_full{0.85};  // (unverified; 10 kW at a rise of 12 K)
  double least = 0.35;
  base::Celsius knee{24.0};
  double inlet_gain = 0.04;  // per K above the knee (unverified)
  double load_gain = 0.45;   // from no to full load (unverified)
};
struct FanState {
  double speed = 0.0;  // phi
  base::Watts power;
  base::KilogramsPerSecond flow;
};
base::Status check(const FanParams& params);
// `load`: server heat over its maximum, 0..1 (PJ_CHECK).
FanState fan_state(const FanParams& params, base::Celsius inlet, double load);

// --- GPU die and heat sink
// ------------------------------------------------------------------------------------------------ C1 dTj/dt
// = P - (Tj - Th)/R1;  C2 dTh/dt = (Tj - Th)/R1 - (Th - Tin)/(R2 phi^-0.8). Leakage: L(T) = leak exp(min(beta
// (T - T0), cap)). A nominal power (from a table or a power model) already holds the leakage of the
// temperature it was measured at: that of the steady state at `reference_inlet` and `reference_speed`. So
// what is added is the difference, and at reference conditions the power is the nominal one.
struct GpuThermalParams {
  double die_resistance = 0.03;   // R1, K/W (unverified, 400-700 W air-cooled)
  double die_capacity = 80.0;     // C1, J/K: 2-3 s (unverified)
  double sink_resistance = 0.06;  // R2 at full fan speed, K/W (unverified)
  double sink_capacity = 700.0;   // C2, J/K: about 50 s (unverified)
  double speed_exponent = 0.8;
  base::Watts leak{84.0};       // 12 % of 700 W (unverified: 10-15 %)
  base::Celsius leak_at{60.0};  // T0
  double leak_rate = 0.015;     // beta, 1/K (unverified: .01-.02)
  double leak_cap = 1.0;        // greatest exponent: L <= e x leak
  base::Celsius reference_inlet{25.0};
  double reference_speed = 0.8;
};
struct GpuThermalState {
  base::Celsius die, sink;
};
struct GpuThermalStep {
  base::Watts power;     // mean over the step: nominal + excess leakage, never below 0
  base::Watts excess;    // mean excess leakage, may be below 0
  base::Watts into_air;  // mean heat from the sink to the air
};
// Errors (bad_input): parameters not positive, or leakage that could run away: beta L R must stay below 1 at
// the cap and at the slowest fan speed `least_speed`.
base::Status check(const GpuThermalParams& params, double least_speed);
// State in the long run at this nominal power.
GpuThermalState gpu_steady(const GpuThermalParams& params, base::Watts nominal, base::Celsius inlet,
                           double speed);
// What a step needs beside the state, the same for every GPU behind the same fans: made once, used for all.
// `speed` (> 0) is the fans' phi, dt > 0.
class GpuThermalTick {
 public:
  GpuThermalTick() = default;
  GpuThermalTick(const GpuThermalParams& params, double speed, base::Seconds dt);

 private:
  friend GpuThermalStep gpu_thermal_step(const GpuThermalTick&, GpuThermalState&, base::Watts, base::Celsius);
  GpuThermalState advance(GpuThermalState from, double heat, base::Celsius inlet) const;

  GpuThermalParams params_;
  double dt_ = 0.0, sink_resistance_ = 0.0, reference_resistance_ = 0.0;
  double a_ = 0.0, b_ = 0.0, d_ = 0.0, l1_ = 0.0, l2_ = 0.0, e1_ = 0.0, e2_ = 0.0, scale_ = 0.0;
};
// Advances the state by the tick's dt.
GpuThermalStep gpu_thermal_step(const GpuThermalTick& tick, GpuThermalState& state, base::Watts nominal,
                                base::Celsius inlet);

// --- Server heat capacity
// --------------------------------------------------------------------------------------------- C dT/dt = P -
// eps m cp (T - Tin);  Tout = Tin + eps (T - Tin). The form of Pardey et al. (2015).
struct ServerHeatParams {
  double mass_kg = 130.0;        // 8-GPU server (unverified)
  double specific_heat = 600.0;  // J/(kg K) (unverified)
  double effectiveness = 0.5;    // (unverified)
};
struct ServerHeatStep {
  base::Watts into_air;  // mean over the step
  base::Celsius outlet;  // mean over the step; the inlet where there is no flow
};
base::Status check(const ServerHeatParams& params);
// Advances the mass's temperature by dt (> 0). `flow` >= 0.
ServerHeatStep server_heat_step(const ServerHeatParams& params, base::Celsius& mass, base::Watts power,
                                base::Celsius inlet, base::KilogramsPerSecond flow, base::Seconds dt);

// --- Rack inlet
// ------------------------------------------------------------------------------------------------------- Tin
// = (1 - r) Tsupply + r Treturn;  r = min(1, max(0, 1 - CRAH air / server air) + leak).
struct RecirculationParams {
  double leak = 0.05;  // of the server air, always (.02-.1; a hot rack has more) (unverified)
};
base::Status check(const RecirculationParams& params);
// Server air of 0 leaves only the leak.
double recirculation(const RecirculationParams& params, base::KilogramsPerSecond crah_air,
                     base::KilogramsPerSecond server_air);
base::Celsius rack_inlet(double recirculation, base::Celsius supply, base::Celsius return_air);

}  // namespace perjoule::plant
