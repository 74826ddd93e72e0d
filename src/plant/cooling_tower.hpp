// Evaporative cooling tower: leaving water by the YorkCalc approach polynomial, fan power by part load, and
// the water it evaporates. Inputs are clamped to the polynomial's range; every clamp is reported. Thread
// rule: pure functions over values. Ownership: none. Units: K, C, W, kg/s. Source: EnergyPlus Engineering
// Reference, variable speed tower (YorkCalc model, fan curve, free convection).
#pragma once

#include <cstdint>

#include "base/result.hpp"
#include "base/units.hpp"

namespace perjoule::plant {

struct TowerParams {
  base::Watts design_heat{1.64e6};               // rejected at full flow
  base::KilogramsPerSecond design_water{75.56};  // per design heat; one cell
  double fan_watts_per_watt = 0.0105;            // design fan power per design heat (EnergyPlus default)
  double water_to_air = 1.2;                     // kg of water per kg of dry air at design (unverified)
  double least_fan = 0.2;                        // below it the fan cycles
  double free_convection = 0.125;                // air flow, in parts of the design flow, with the fan off
  double drift = 8e-5;                           // water lost as drops, per water flow
  double cycles = 3.0;                           // of concentration, for blowdown (EnergyPlus default)
};

// Bits of TowerOutput::clamps.
enum TowerClamp : std::uint8_t {
  kClampWetBulb = 1,
  kClampTowerRange = 2,
  kClampWaterToAir = 4,
  kClampApproach = 8
};

struct Approach {
  double kelvin = 0.0;
  std::uint8_t clamps = 0;
};

// Leaving water above the wet bulb. `water_to_air` is relative to design. Range of validity: wet bulb
// -34.4..26.67 C, range 1.11..22.22 K, ratio up to 8, approach 1.11..40 K.
Approach york_approach(base::Celsius wet_bulb, double range_kelvin, double water_to_air);

// Fan power over design fan power at an air flow ratio from `least_fan` up.
double tower_fan_fraction(double air_ratio);

struct TowerAir {
  base::Celsius dry_bulb, wet_bulb, dew_point;
  base::Pascals pressure;
};

struct TowerOutput {
  base::Celsius leaving;
  base::Watts fan_power;
  double air_ratio = 0.0;  // of the design air flow, free convection included
  base::KilogramsPerSecond evaporated, drift, blowdown;
  std::uint8_t clamps = 0;
};

// Errors (bad_input): a design value that is not positive, cycles not above 1, a fan limit outside 0..1.
base::Status check(const TowerParams& params);

// One cell that rejects `heat` from `water` and tries to hold `set_point`: the fan slows down until the water
// leaves at it. With the fan off and the water colder still, a bypass holds the set point; with the fan at
// full speed the water is as warm as it is.
TowerOutput run_tower(const TowerParams& params, base::Watts heat, base::KilogramsPerSecond water,
                      base::Celsius set_point, const TowerAir& air);

}  // namespace perjoule::plant
