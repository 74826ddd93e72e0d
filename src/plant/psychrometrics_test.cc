#include "plant/psychrometrics.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::Pascals;

// Reference: psychrolib 1.1.1 (npm), SI units: GetSatVapPres and GetSatHumRatio at 101,325 Pa.
struct SaturationRow {
  double t, pressure;
};
constexpr std::array<SaturationRow, 8> kSaturation{{{-60, 1.08167317},
                                                    {-20, 103.260379},
                                                    {-5, 401.764122},
                                                    {0, 611.153571},
                                                    {0.01, 611.657024},
                                                    {5, 872.486654},
                                                    {25, 3169.21647},
                                                    {50, 12349.8565}}};

// Reference: psychrolib 1.1.1 (npm): GetHumRatioFromTDewPoint, GetTWetBulbFromHumRatio (its tolerance is 1e-3
// K), GetMoistAirEnthalpy, GetRelHumFromTDewPoint.
struct AirRow {
  double dry, dew, pressure, ratio, wet, enthalpy, rh;
};
constexpr std::array<AirRow, 10> kAir{{
    {30, 20, 101325, 0.01469505165, 22.93915, 67752.308, 55.0821},
    {40, 5, 97500, 0.005615778502, 18.97068, 54702.876, 11.8168},
    {15, 14, 101900, 0.009912972119, 14.38525, 40158.915, 93.7390},
    {0.5, -5, 101325, 0.002475893534, -1.72263, 6697.512, 63.3923},
    {-5, -8, 99800, 0.001937804513, -6.02136, -201.572, 77.1554},
    {-20, -24, 99000, 0.0004394992295, -20.50439, -19037.162, 67.7019},
    {25.6, 22, 83000, 0.02047023792, 22.87759, 77924.376, 80.5257},
    {35, 28, 99900, 0.02447335336, 29.52911, 98011.072, 67.2055},
    {10, 10, 101325, 0.007630053703, 10.0, 29284.683, 100.0},
    {3, -12, 81500, 0.001662871450, -2.77927, 7186.120, 28.6693},
}};

TEST(Psychrometrics, SaturationPressureMatchesReference) {
  for (const auto& row : kSaturation) {
    EXPECT_NEAR(saturation_pressure(Celsius(row.t)).value() / row.pressure, 1.0, 1e-7) << row.t;
  }
  // ASHRAE Handbook Fundamentals 2017, chapter 1, table 3: 3.1693 kPa at 25 C, 0.10324 kPa over ice at -20 C.
  EXPECT_NEAR(saturation_pressure(Celsius(25)).value(), 3169.3, 0.4);
  EXPECT_NEAR(saturation_pressure(Celsius(-20)).value(), 103.24, 0.05);
}

TEST(Psychrometrics, AirStatesMatchReference) {
  for (const auto& row : kAir) {
    const double w = humidity_ratio(saturation_pressure(Celsius(row.dew)), Pascals(row.pressure));
    EXPECT_NEAR(w / row.ratio, 1.0, 1e-7) << row.dry;
    EXPECT_NEAR(moist_air_enthalpy(Celsius(row.dry), w), row.enthalpy, 0.01) << row.dry;
    EXPECT_NEAR(relative_humidity(Celsius(row.dry), Celsius(row.dew)), row.rh, 1e-3) << row.dry;
    EXPECT_NEAR(wet_bulb(Celsius(row.dry), Celsius(row.dew), Pascals(row.pressure)).value(), row.wet, 2e-3)
        << row.dry;
  }
}

TEST(Psychrometrics, WetBulbIsTheRootOfTheExactRelation) {
  for (double dry = -30.0; dry <= 45.0; dry += 2.5) {
    for (double depression = 0.3; depression <= 40.0; depression *= 1.7) {
      const double dew = dry - depression;
      const Pascals p(95000.0);
      const Celsius wet = wet_bulb(Celsius(dry), Celsius(dew), p);
      const double want = humidity_ratio(saturation_pressure(Celsius(dew)), p);
      // The relation jumps at 0 C, where it passes from ice to water: there any wet bulb next to 0 is the
      // answer.
      if (std::abs(wet.value()) < 1e-6) continue;
      EXPECT_NEAR(humidity_ratio_at_wet_bulb(Celsius(dry), wet, p), want, 1e-12) << dry << " " << dew;
      EXPECT_LE(wet.value(), dry);
      EXPECT_GE(wet.value(), dew - 0.5);
    }
  }
}

TEST(Psychrometrics, StationPressureMattersAndStullIsOnlyAStart) {
  const Celsius dry(30), dew(5);
  const double sea = wet_bulb(dry, dew, Pascals(101325)).value();
  const double denver = wet_bulb(dry, dew, Pascals(81500)).value();
  EXPECT_GT(sea - denver, 0.5);
  const double stull = wet_bulb_stull(dry, relative_humidity(dry, dew)).value();
  EXPECT_NEAR(stull, sea, 1.0);
  // Stull (2011) gives 13.7 C for 20 C and 50 % as its worked example.
  EXPECT_NEAR(wet_bulb_stull(Celsius(20), 50.0).value(), 13.7, 0.05);
}

TEST(Psychrometrics, SaturatedTemperatureInvertsEnthalpy) {
  for (double t = -30.0; t <= 60.0; t += 7.5) {
    for (const double p : {81500.0, 101325.0}) {
      const double h = moist_air_enthalpy(Celsius(t), saturation_humidity_ratio(Celsius(t), Pascals(p)));
      EXPECT_NEAR(saturated_air_temperature(h, Pascals(p)).value(), t, 1e-6);
    }
  }
}

}  // namespace
}  // namespace perjoule::plant
