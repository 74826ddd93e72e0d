#include "plant/psychrometrics.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::Pascals;

constexpr double kKelvin = 273.15;
constexpr double kTriplePoint = 0.01;  // C
// Each halving adds a bit: 64 of them take any bracket used here below the spacing of doubles.
constexpr int kHalvings = 64;

// Root of an increasing `f` in [low, high]; a fixed number of halvings, so the cost never depends on the
// input.
template <class F>
double bisect(double low, double high, const F& f) {
  for (int i = 0; i < kHalvings; ++i) {
    const double middle = 0.5 * (low + high);
    (f(middle) < 0.0 ? low : high) = middle;
  }
  return 0.5 * (low + high);
}

}  // namespace

Pascals saturation_pressure(Celsius temperature) {
  const double t = temperature.value() + kKelvin;
  PJ_DCHECK(temperature.value() >= -100.0 && temperature.value() <= 200.0);
  if (temperature.value() <= kTriplePoint) {
    return Pascals(
        std::exp(-5.6745359e3 / t + 6.3925247 +
                 t * (-9.6778430e-3 + t * (6.2215701e-7 + t * (2.0747825e-9 - t * 9.4840240e-13))) +
                 4.1635019 * std::log(t)));
  }
  return Pascals(std::exp(-5.8002206e3 / t + 1.3914993 +
                          t * (-4.8640239e-2 + t * (4.1764768e-5 - t * 1.4452093e-8)) +
                          6.5459673 * std::log(t)));
}

double humidity_ratio(Pascals vapour, Pascals station) {
  PJ_CHECK(vapour.value() >= 0.0 && vapour < station);
  return kVapourToAirMass * vapour.value() / (station - vapour).value();
}

double saturation_humidity_ratio(Celsius temperature, Pascals station) {
  return humidity_ratio(saturation_pressure(temperature), station);
}

double moist_air_enthalpy(Celsius dry_bulb, double humidity_ratio) {
  return kDryAirHeat * dry_bulb.value() + humidity_ratio * (2.501e6 + 1860.0 * dry_bulb.value());
}

double moist_air_heat(double humidity_ratio) { return kDryAirHeat + 1860.0 * humidity_ratio; }

double relative_humidity(Celsius dry_bulb, Celsius dew_point) {
  if (dew_point >= dry_bulb) return 100.0;
  return 100.0 * (saturation_pressure(dew_point).value() / saturation_pressure(dry_bulb).value());
}

Celsius wet_bulb_stull(Celsius dry_bulb, double relative_humidity_percent) {
  const double t = dry_bulb.value(), rh = relative_humidity_percent;
  return Celsius(t * std::atan(0.151977 * std::sqrt(rh + 8.313659)) + std::atan(t + rh) -
                 std::atan(rh - 1.676331) + 0.00391838 * std::pow(rh, 1.5) * std::atan(0.023101 * rh) -
                 4.686035);
}

double humidity_ratio_at_wet_bulb(Celsius dry_bulb, Celsius wet_bulb, Pascals station) {
  const double t = dry_bulb.value(), w = wet_bulb.value();
  const double saturated = saturation_humidity_ratio(wet_bulb, station);
  if (w >= 0.0) return ((2501.0 - 2.326 * w) * saturated - 1.006 * (t - w)) / (2501.0 + 1.86 * t - 4.186 * w);
  return ((2830.0 - 0.24 * w) * saturated - 1.006 * (t - w)) / (2830.0 + 1.86 * t - 2.1 * w);
}

Celsius wet_bulb(Celsius dry_bulb, Celsius dew_point, Pascals station) {
  if (dew_point >= dry_bulb) return dry_bulb;
  const double target = humidity_ratio(saturation_pressure(dew_point), station);
  const auto excess = [&](double t) {
    return humidity_ratio_at_wet_bulb(dry_bulb, Celsius(t), station) - target;
  };
  // The wet bulb lies between the dew point and the dry bulb; a bracket around Stull's value is narrower,
  // where it holds.
  const double guess = wet_bulb_stull(dry_bulb, relative_humidity(dry_bulb, dew_point)).value();
  const double low = std::clamp(guess - 2.0, dew_point.value() - 1.0, dry_bulb.value());
  const double high = std::clamp(guess + 2.0, low, dry_bulb.value());
  if (excess(low) <= 0.0 && excess(high) >= 0.0) return Celsius(bisect(low, high, excess));
  return Celsius(bisect(dew_point.value() - 1.0, dry_bulb.value(), excess));
}

Celsius saturated_air_temperature(double enthalpy, Pascals station) {
  // Saturated air of 95 C boils below 84 kPa: there the search ends where the vapour would fill the pressure.
  const auto excess = [&](double t) {
    const Pascals vapour = saturation_pressure(Celsius(t));
    if (vapour.value() > 0.9 * station.value()) return 1.0;
    return moist_air_enthalpy(Celsius(t), humidity_ratio(vapour, station)) - enthalpy;
  };
  return Celsius(bisect(-60.0, 95.0, excess));
}

}  // namespace perjoule::plant
