#include "plant/cooling_tower.hpp"

#include <algorithm>
#include <array>

#include "base/assert.hpp"
#include "plant/psychrometrics.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::KilogramsPerSecond;
using base::Watts;

// kYork[i][j][k] multiplies (water to air)^i, range^j, (wet bulb)^k.
constexpr double kYork[3][3][3] = {{{-0.359741205, -0.055053608, 0.0023850432},
                                    {0.173926877, -0.0248473764, 0.00048430224},
                                    {-0.005589849456, 0.0005770079712, -0.00001342427256}},
                                   {{2.84765801111111, -0.121765149, 0.0014599242},
                                    {1.680428651, -0.0166920786, -0.0007190532},
                                    {-0.025485194448, 0.0000487491696, 0.00002719234152}},
                                   {{-0.0653766255555556, -0.002278167, 0.0002500254},
                                    {-0.0910565458, 0.00318176316, 0.000038621772},
                                    {-0.0034285382352, 0.00000856589904, -0.000001516821552}}};
// The fan's air flow is found to 2^-24 of its range.
constexpr int kHalvings = 24;
constexpr double kLeastRange = 1.11, kMostRange = 22.22;  // K

double clamp_to(double v, double least, double most, TowerClamp bit, std::uint8_t& clamps) {
  const double out = std::clamp(v, least, most);
  if (out != v) clamps = static_cast<std::uint8_t>(clamps | bit);
  return out;
}

// The polynomial in the water to air ratio alone, once wet bulb and range are known: 27 terms become three.
struct ApproachAt {
  std::array<double, 3> c{};
  std::uint8_t clamps = 0;

  ApproachAt(Celsius wet_bulb, double range_kelvin) {
    const double w = clamp_to(wet_bulb.value(), -34.4, 26.67, kClampWetBulb, clamps);
    const double r = clamp_to(range_kelvin, kLeastRange, kMostRange, kClampTowerRange, clamps);
    for (std::size_t i = 0; i < 3; ++i) {
      const auto in_wet_bulb = [&](std::size_t j) {
        return kYork[i][j][0] + w * (kYork[i][j][1] + w * kYork[i][j][2]);
      };
      c[i] = in_wet_bulb(0) + r * (in_wet_bulb(1) + r * in_wet_bulb(2));
    }
  }

  Approach operator()(double water_to_air) const {
    Approach out{0.0, clamps};
    const double l = clamp_to(water_to_air, 0.0, 8.0, kClampWaterToAir, out.clamps);
    out.kelvin = clamp_to(c[0] + l * (c[1] + l * c[2]), 1.11, 40.0, kClampApproach, out.clamps);
    return out;
  }
};

// The air flow ratio that lets the water leave at `set_point`, or the nearest end of what the cell can do.
double find_air_ratio(const TowerParams& p, const ApproachAt& approach, double water_ratio, double wanted) {
  const auto too_warm = [&](double air) { return approach(water_ratio / air).kelvin > wanted; };
  if (too_warm(1.0)) return 1.0;
  if (!too_warm(p.free_convection)) return p.free_convection;
  double low = p.free_convection, high = 1.0;
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = 0.5 * (low + high);
    (too_warm(middle) ? low : high) = middle;
  }
  return high;
}

Watts fan_power(const TowerParams& p, double air_ratio) {
  const Watts design = p.design_heat * p.fan_watts_per_watt;
  if (air_ratio >= p.least_fan) return design * tower_fan_fraction(air_ratio);
  // Cycling between off (free convection) and the least speed gives any air flow in between.
  const double on = (air_ratio - p.free_convection) / (p.least_fan - p.free_convection);
  return design * (tower_fan_fraction(p.least_fan) * std::max(0.0, on));
}

// Air takes up the heat and leaves saturated; what it gained in humidity came from the water.
double evaporation(Watts heat, double air_flow, const TowerAir& air) {
  if (heat.value() <= 0.0) return 0.0;
  const double in = humidity_ratio(saturation_pressure(std::min(air.dew_point, air.dry_bulb)), air.pressure);
  const double enthalpy = moist_air_enthalpy(air.dry_bulb, in) + heat.value() / air_flow;
  const Celsius out = saturated_air_temperature(enthalpy, air.pressure);
  return std::max(0.0, air_flow * (saturation_humidity_ratio(out, air.pressure) - in));
}

}  // namespace

base::Status check(const TowerParams& p) {
  constexpr const char* kWhat = "cannot set up the cooling tower";
  if (!(p.design_heat.value() > 0.0 && p.design_water.value() > 0.0 && p.water_to_air > 0.0)) {
    return base::bad_input(kWhat, "design values", "heat, water flow and water to air ratio must be above 0");
  }
  if (!(p.cycles > 1.0)) return base::bad_input(kWhat, "cycles", "cycles of concentration must be above 1");
  if (!(p.fan_watts_per_watt >= 0.0 && p.drift >= 0.0)) {
    return base::bad_input(kWhat, "fan_watts_per_watt, drift", "must not be negative");
  }
  if (!(p.free_convection > 0.0 && p.least_fan > p.free_convection && p.least_fan <= 1.0)) {
    return base::bad_input(kWhat, "least_fan", "0 < free_convection < least_fan <= 1 must hold");
  }
  return base::ok_status();
}

Approach york_approach(Celsius wet_bulb, double range_kelvin, double water_to_air) {
  return ApproachAt(wet_bulb, range_kelvin)(water_to_air);
}

double tower_fan_fraction(double r) {
  return -0.00931516 + r * (0.05123340 + r * (-0.08383647 + r * 1.04191823));
}

TowerOutput run_tower(const TowerParams& p, Watts heat, KilogramsPerSecond water, Celsius set_point,
                      const TowerAir& air) {
  PJ_CHECK(heat.value() >= 0.0 && water.value() > 0.0);
  TowerOutput out;
  const double water_ratio = water / p.design_water;
  const double range = heat.value() / (water.value() * kWaterHeat);
  // Less heat than the least range carries: the cell works at that range for the matching share of the time.
  const double working = std::min(1.0, range / kLeastRange);
  const ApproachAt approach(air.wet_bulb, range);
  out.air_ratio = find_air_ratio(p, approach, water_ratio, (set_point - air.wet_bulb).value());
  const Approach found = approach(water_ratio / out.air_ratio);
  out.clamps = found.clamps;
  out.leaving = std::max(set_point, air.wet_bulb + Celsius(found.kelvin));
  out.fan_power = fan_power(p, out.air_ratio) * working;
  const double air_flow = p.design_water.value() / p.water_to_air * out.air_ratio * working;
  const double evaporated = evaporation(heat, air_flow, air), drift = p.drift * water.value();
  out.evaporated = KilogramsPerSecond(evaporated);
  out.drift = KilogramsPerSecond(drift);
  out.blowdown = KilogramsPerSecond(std::max(0.0, evaporated / (p.cycles - 1.0) - drift));
  return out;
}

}  // namespace perjoule::plant
