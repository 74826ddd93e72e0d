#include "plant/cooling_tower.hpp"

#include <gtest/gtest.h>

#include "plant/psychrometrics.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::KilogramsPerSecond;
using base::Pascals;
using base::Watts;

TowerAir air(double dry, double dew) {
  const Celsius t(dry), d(dew);
  const Pascals p(101325);
  return {t, wet_bulb(t, d, p), d, p};
}

TEST(CoolingTower, ApproachAtTheRatedPoint) {
  // The tower's rating: wet bulb 25.6 C, range 5.6 K, ratio 1. The published polynomial gives 3.86 K there.
  const Approach a = york_approach(Celsius(25.6), 5.6, 1.0);
  EXPECT_NEAR(a.kelvin, 3.86, 0.005);
  EXPECT_EQ(a.clamps, 0);
}

TEST(CoolingTower, ApproachClampsOutsideTheRange) {
  EXPECT_EQ(york_approach(Celsius(29), 5.6, 1).clamps, kClampWetBulb);
  EXPECT_EQ(york_approach(Celsius(29), 5.6, 1).kelvin, york_approach(Celsius(26.67), 5.6, 1).kelvin);
  EXPECT_EQ(york_approach(Celsius(20), 0.4, 1).kelvin, york_approach(Celsius(20), 1.11, 1).kelvin);
  EXPECT_NE(york_approach(Celsius(20), 0.4, 1).clamps & kClampTowerRange, 0);
  EXPECT_NE(york_approach(Celsius(20), 5, 9).clamps & kClampWaterToAir, 0);
}

TEST(CoolingTower, MoreAirMeansColderWaterWhereItRuns) {
  for (double wet = -10.0; wet <= 26.0; wet += 4.0) {
    double last = 0.0;
    for (double ratio = 0.5; ratio <= 8.0; ratio += 0.5) {
      const double a = york_approach(Celsius(wet), 5.0, ratio).kelvin;
      EXPECT_GE(a, last) << wet << " " << ratio;
      last = a;
    }
  }
}

TEST(CoolingTower, FanCurve) {
  EXPECT_NEAR(tower_fan_fraction(1.0), 1.0, 1e-6);
  EXPECT_NEAR(tower_fan_fraction(0.5), 0.1256, 0.001);
}

TEST(CoolingTower, FanHoldsTheSetPointWhereItCan) {
  const TowerParams p;
  const auto out = run_tower(p, p.design_heat * 0.7, p.design_water, Celsius(24), air(22, 12));
  EXPECT_NEAR(out.leaving.value(), 24.0, 1e-5);
  EXPECT_GT(out.air_ratio, p.least_fan);
  EXPECT_LT(out.air_ratio, 1.0);
  const double range = (p.design_heat * 0.7).value() / (p.design_water.value() * kWaterHeat);
  const double approach = york_approach(air(22, 12).wet_bulb, range, 1.0 / out.air_ratio).kelvin;
  EXPECT_NEAR(air(22, 12).wet_bulb.value() + approach, 24.0, 1e-5);
}

TEST(CoolingTower, EndsOfTheFan) {
  const TowerParams p;
  const auto hot = run_tower(p, p.design_heat, p.design_water, Celsius(22), air(35, 24));
  EXPECT_EQ(hot.air_ratio, 1.0);
  EXPECT_NEAR(hot.fan_power / (p.design_heat * p.fan_watts_per_watt), 1.0, 1e-6);
  EXPECT_GT(hot.leaving.value(), 22.0);
  // Half the water in winter: free convection alone makes it colder than asked, and the bypass holds the set
  // point.
  const auto cold = run_tower(p, p.design_heat * 0.1, p.design_water * 0.5, Celsius(26), air(-10, -15));
  EXPECT_EQ(cold.air_ratio, p.free_convection);
  EXPECT_EQ(cold.fan_power.value(), 0.0);
  EXPECT_EQ(cold.leaving.value(), 26.0);
}

TEST(CoolingTower, BelowTheLeastRangeItWorksForAShareOfTheTime) {
  const TowerParams p;
  const Watts least(1.11 * p.design_water.value() * kWaterHeat);
  const auto whole = run_tower(p, least, p.design_water, Celsius(15), air(15, 10));
  const auto half = run_tower(p, least * 0.5, p.design_water, Celsius(15), air(15, 10));
  EXPECT_GT(whole.fan_power.value(), 0.0);
  EXPECT_NEAR(half.fan_power / whole.fan_power, 0.5, 1e-6);
  EXPECT_NEAR(half.evaporated / whole.evaporated, 0.5, 1e-6);
  EXPECT_NE(half.clamps & kClampTowerRange, 0);
}

TEST(CoolingTower, WaterBalance) {
  const TowerParams p;
  const auto out = run_tower(p, p.design_heat, p.design_water, Celsius(15), air(30, 18));
  // If all heat evaporated water at 30 C it would be heat / 2.43 MJ/kg; sensible heat takes a part of it.
  const double most = p.design_heat.value() / 2.43e6;
  EXPECT_GT(out.evaporated.value(), 0.7 * most);
  EXPECT_LT(out.evaporated.value(), 1.05 * most);
  EXPECT_NEAR(out.blowdown.value() + out.drift.value(), out.evaporated.value() / 2.0, 1e-9);
  EXPECT_EQ(run_tower(p, Watts(0), p.design_water, Celsius(15), air(30, 18)).evaporated.value(), 0.0);
}

TEST(CoolingTower, RefusesParametersWithoutMeaning) {
  TowerParams p;
  EXPECT_TRUE(check(p).ok());
  p.cycles = 1.0;
  EXPECT_FALSE(check(p).ok());
  p = {};
  p.least_fan = 0.1;
  EXPECT_FALSE(check(p).ok());
}

}  // namespace
}  // namespace perjoule::plant
