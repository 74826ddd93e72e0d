// Water-cooled chiller by the EIR method: capacity and energy input ratio as biquadratics of leaving chilled
// water and entering condenser water, part load as a quadratic. Curves are used only inside their fitted
// range: inputs are clamped to it, and every clamp is reported. Thread rule: pure functions over values.
// Ownership: none. Units: W, C, kg/s. Source of the method: EnergyPlus Engineering Reference,
// Chiller:Electric:EIR. Source of the default coefficients: EnergyPlus datasets/Chillers.idf, "Carrier 19XR
// 1407 kW / 6.04 COP / VSD" (CoolTools). The curves are not 1 at the reference point (capacity .986,
// EIR 1.016); they are used as published.
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "base/units.hpp"

namespace perjoule::plant {

// c0 + c1 x + c2 x^2 + c3 y + c4 y^2 + c5 x y.
struct Biquadratic {
  double c0 = 0.0, c1 = 0.0, c2 = 0.0, c3 = 0.0, c4 = 0.0, c5 = 0.0;
  double operator()(double x, double y) const { return c0 + x * (c1 + c2 * x + c5 * y) + y * (c3 + c4 * y); }
};

// c0 + c1 x + c2 x^2.
struct Quadratic {
  double c0 = 0.0, c1 = 0.0, c2 = 0.0;
  double operator()(double x) const { return c0 + x * (c1 + x * c2); }
};

struct Range {
  double least = 0.0, most = 0.0;
};

struct ChillerParams {
  base::Watts capacity{1.407e6};  // at the reference point
  double cop = 6.04;              // at 6.67 C leaving and 29.44 C entering
  Biquadratic capacity_curve{1.042261, 2.644821e-3, -1.468026e-3, 1.366256e-2, -8.302334e-4, 1.573579e-3};
  Biquadratic eir_curve{1.026340, -1.612819e-2, -1.092591e-3, -1.784393e-2, 7.961842e-4, -9.586049e-5};
  Quadratic part_load_curve{0.1188880, 0.6723542, 0.2068754};
  Range leaving{4.44, 10.0};     // C
  Range entering{12.78, 32.22};  // C
  Range part_load{0.20, 1.04};   // below the least the machine cycles, and above the most it cannot go
  double motor_to_condenser =
      1.0;  // share of the motor's power that ends in the condenser water (hermetic motor)
  // kg/s per W of capacity: 60.57 and 75.71 L/s for the 1,407 kW machine.
  double chilled_flow_per_watt = 60.57 * 0.998 / 1.407e6;
  double condenser_flow_per_watt = 75.71 * 0.998 / 1.407e6;
};

// Bits of ChillerOutput::clamps.
enum ChillerClamp : std::uint8_t {
  kClampLeaving = 1,
  kClampEntering = 2,
  kClampPartLoad = 4,
  kClampNegative = 8
};

struct ChillerOutput {
  base::Watts power;
  base::Watts cooling;    // delivered: the asked heat, or what the machine can
  base::Watts available;  // capacity at these temperatures and a part load of 1
  base::Watts condenser_heat;
  double part_load = 0.0;  // cooling / available
  std::uint8_t clamps = 0;
};

// Errors (bad_input): a capacity, COP or flow that is not positive, an empty range.
base::Status check(const ChillerParams& params);

// One machine asked to take `heat` (>= 0) out of water that leaves at `leaving`, with condenser water at
// `entering`. Zero heat is a machine that stands: no power and no clamps.
ChillerOutput run_chiller(const ChillerParams& params, base::Watts heat, base::Celsius leaving,
                          base::Celsius entering);

// The most this machine can take out at these temperatures.
base::Watts most_cooling(const ChillerParams& params, base::Celsius leaving, base::Celsius entering);

}  // namespace perjoule::plant
