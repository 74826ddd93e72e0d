// Moist air: saturation pressure, humidity ratio, enthalpy, dew point and true wet bulb at station pressure.
// Thread rule: pure functions. Ownership: none. Units: C, Pa, kg water per kg dry air, J per kg dry air, %.
// Sources: ASHRAE Handbook Fundamentals (2017) chapter 1; Hyland and Wexler (1983) for the saturation
// pressure. Validity: -100..200 C and station pressures of 30..120 kPa; ideal mixture (enhancement factor 1).
#pragma once

#include "base/units.hpp"

namespace perjoule::plant {

inline constexpr double kDryAirHeat = 1006.0;         // J/(kg K)
inline constexpr double kWaterHeat = 4186.0;          // J/(kg K), liquid, 0..60 C within 0.5 %
inline constexpr double kWaterDensity = 998.0;        // kg/m3 at 20 C
inline constexpr double kVapourToAirMass = 0.621945;  // molar mass of water over that of dry air

// Over ice up to the triple point (0.01 C), over water above it. Handbook equations 5 and 6.
base::Pascals saturation_pressure(base::Celsius temperature);

// W = 0.621945 p_w / (p - p_w). The vapour pressure must be below the station pressure (PJ_CHECK).
double humidity_ratio(base::Pascals vapour, base::Pascals station);
double saturation_humidity_ratio(base::Celsius temperature, base::Pascals station);

// h = 1006 T + W (2501000 + 1860 T), J per kg of dry air, zero for dry air at 0 C.
double moist_air_enthalpy(base::Celsius dry_bulb, double humidity_ratio);
// cp = 1006 + 1860 W, J/(kg K).
double moist_air_heat(double humidity_ratio);

// Relative humidity in %, from 0 to 100: p_ws(dew point) / p_ws(dry bulb); a dew point above the dry bulb is
// 100 %.
double relative_humidity(base::Celsius dry_bulb, base::Celsius dew_point);

// Stull (2011), for sea level, RH in %. Good to about 1 K; here only the start of the search below.
base::Celsius wet_bulb_stull(base::Celsius dry_bulb, double relative_humidity_percent);

// Humidity ratio of air whose wet bulb is `wet_bulb`: handbook equations 33 (water, from 0 C) and 35 (ice).
double humidity_ratio_at_wet_bulb(base::Celsius dry_bulb, base::Celsius wet_bulb, base::Pascals station);
// Thermodynamic wet bulb by bisection to below 1e-9 K; saturated or supersaturated air returns the dry bulb.
base::Celsius wet_bulb(base::Celsius dry_bulb, base::Celsius dew_point, base::Pascals station);

// Temperature at which saturated air has this enthalpy (J/kg), by bisection over -60..95 C to below 1e-9 K.
base::Celsius saturated_air_temperature(double enthalpy, base::Pascals station);

}  // namespace perjoule::plant
