#include "plant/cooling_plant.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "plant/psychrometrics.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::KilogramsPerSecond;
using base::Pascals;
using base::Seconds;
using base::Watts;

WeatherSample weather(double dry, double dew) {
  const Celsius t(dry), d(dew);
  const Pascals p(101325);
  return {t, d, relative_humidity(t, d), p, wet_bulb(t, d, p)};
}

ChilledWaterPlant plant_of(double design_watts) {
  ChilledWaterPlantParams params;
  params.design_load = Watts(design_watts);
  return ChilledWaterPlant::make(params).value();
}

CoolingState run(ChilledWaterPlant& plant, double watts, const WeatherSample& w, int steps) {
  const std::vector<Watts> heat = {Watts(watts * 0.25), Watts(watts * 0.75)};
  CoolingState out;
  for (int i = 0; i < steps; ++i) out = plant.step({heat, std::nullopt, w, Seconds(30)});
  return out;
}

TEST(CoolingPlant, SettlesAtItsSetPoints) {
  auto plant = plant_of(1e6);
  const auto s = run(plant, 7e5, weather(20, 12), 400);
  EXPECT_NEAR(s.supply_air.value(), 20.0, 1e-3);
  EXPECT_NEAR(s.chilled_water.value(), 10.0, 1e-6);
  EXPECT_NEAR(s.condenser_water.value(), 22.0, 1e-3);
  EXPECT_NEAR((s.return_air - s.zone_air).value(), 0.0, 1e-6);
  // Steady: servers' heat and fan heat leave through the coils; all of it and all machine power leaves to the
  // air.
  EXPECT_NEAR(s.coil_heat.value(), 7e5 + s.crahs.value(), 1.0);
  EXPECT_NEAR(s.rejected_heat.value(), 7e5 + (s.total() - s.towers).value(), 100.0);
  EXPECT_NEAR((s.return_air - s.supply_air).value(), s.coil_heat.value() / (s.crah_air.value() * kDryAirHeat),
              1e-6);
}

// What goes in comes out or is stored, at any step and in any transient: the slow account of the whole run.
TEST(CoolingPlant, ConservesHeatThroughTransients) {
  for (const double dt : {1.0, 30.0, 300.0}) {
    ChilledWaterPlantParams params;
    auto plant = ChilledWaterPlant::make(params).value();
    const double zone0 = params.set_points.supply_air.value() + params.crah.server_rise;
    double in = 0.0, out = 0.0;
    CoolingState s;
    for (int i = 0; i < 500; ++i) {
      const std::vector<Watts> heat = {Watts(5e5 + 4.9e5 * std::sin(i * 0.37))};
      s = plant.step({heat, std::nullopt, weather(25 + 10 * std::sin(i * 0.01), 12), Seconds(dt)});
      in += (heat[0] + s.crahs + s.chilled_pumps + s.chillers + s.condenser_pumps).value() * dt;
      out += s.rejected_heat.value() * dt;
    }
    const double stored =
        params.design_load.value() *
        (params.zone_capacity * (s.zone_air.value() - zone0) +
         params.chilled_capacity * (s.chilled_water - params.set_points.chilled_water).value() +
         params.condenser_capacity * (s.condenser_water - params.set_points.condenser_water).value());
    EXPECT_NEAR((out + stored) / in, 1.0, 1e-10) << dt;
  }
}

TEST(CoolingPlant, SmallHallsScale) {
  auto small = plant_of(4e4);
  auto large = plant_of(4e6);
  const auto a = run(small, 2.5e4, weather(18, 10), 300);
  const auto b = run(large, 2.5e6, weather(18, 10), 300);
  EXPECT_NEAR(a.total().value() * 100.0 / b.total().value(), 1.0, 1e-9);
  EXPECT_NEAR(a.water_used_kg * 100.0 / b.water_used_kg, 1.0, 1e-6);
  EXPECT_EQ(a.supply_air, b.supply_air);
}

TEST(CoolingPlant, PowerIsInThePublishedRangeAndFollowsLoadAndWeather) {
  // Rule set points at a full megawatt, no economiser: about .2 W of cooling per W of IT (own steady-state
  // study over Chicago, San Francisco and Phoenix); a wide band, since fans and pumps are sized otherwise
  // here.
  auto plant = plant_of(1e6);
  const auto mild = run(plant, 9e5, weather(16, 9), 400);
  const double ratio = mild.total().value() / 9e5;
  EXPECT_GT(ratio, 0.12);
  EXPECT_LT(ratio, 0.30);
  const auto hot = run(plant, 9e5, weather(38, 24), 400);
  EXPECT_GT(hot.chillers, mild.chillers);
  EXPECT_GT(hot.towers, mild.towers);
  const auto less = run(plant, 4e5, weather(16, 9), 400);
  EXPECT_LT(less.total(), mild.total());
  // Evaporation: of the order of the rejected heat over 2.45 MJ/kg.
  EXPECT_GT(mild.water_evaporated_kg, 0.5 * mild.rejected_heat.value() * 30 / 2.45e6);
  EXPECT_LT(mild.water_evaporated_kg, 1.0 * mild.rejected_heat.value() * 30 / 2.45e6);
}

TEST(CoolingPlant, WarmerWaterSavesChillerPower) {
  auto cold = plant_of(1e6), warm = plant_of(1e6);
  ASSERT_TRUE(cold.set({Celsius(6), Celsius(20), Celsius(22), 1.05}).ok());
  const auto a = run(cold, 7e5, weather(16, 9), 400), b = run(warm, 7e5, weather(16, 9), 400);
  EXPECT_GT(a.chillers, b.chillers);
  // Warmer water carries the same heat only with more flow.
  auto warmer = plant_of(1e6);
  ASSERT_TRUE(warmer.set({Celsius(15), Celsius(20), Celsius(22), 1.05}).ok());
  EXPECT_LT(run(cold, 9.5e5, weather(16, 9), 400).chilled_flow,
            run(warmer, 9.5e5, weather(16, 9), 400).chilled_flow);
}

TEST(CoolingPlant, CoilMeetsItsEquationAtTheFlowTheValveFound) {
  const ChilledWaterPlantParams params;
  auto plant = plant_of(1e6);
  ASSERT_TRUE(plant.set({Celsius(15), Celsius(20), Celsius(22), 1.05}).ok());
  const auto s = run(plant, 9.5e5, weather(16, 9), 400);
  // Written out from design figures, apart from the plant's code.
  const double design_air = 1e6 / (1006.0 * 12.0) * 1.15 * 1006.0;
  const double design_water = 60.57 * 0.998 / 1.407e6 * 0.6e6 * 2 * 4186.0;
  const double air = s.crah_air.value() * 1006.0, water = s.chilled_flow.value() * 4186.0;
  ASSERT_GT(water / design_water, 0.31);
  ASSERT_LT(water / design_water, 0.99);
  const double ua = params.crah.transfer_units * design_air * std::pow(air / design_air, 0.6) *
                    std::pow(water / design_water, 0.3);
  const double least = std::min(air, water), c = least / std::max(air, water), n = ua / least;
  const double eps = (1 - std::exp(-n * (1 - c))) / (1 - c * std::exp(-n * (1 - c)));
  EXPECT_NEAR(eps * least * (s.return_air - s.chilled_water).value() / s.coil_heat.value(), 1.0, 1e-5);
}

TEST(CoolingPlant, ZoneFollowsTheExactExponential) {
  // With the coil at its set point, the zone is C dT/dt = Q - m cp (T - Tsup). The oracle is explicit Euler
  // in 3,000 small steps; one long step must agree.
  ChilledWaterPlantParams params;
  params.crah.ramp_per_second = 1.0;
  auto plant = ChilledWaterPlant::make(params).value();
  run(plant, 5e5, weather(16, 9), 400);
  const std::vector<Watts> heat = {Watts(8e5)};
  const double before = run(plant, 5e5, weather(16, 9), 1).zone_air.value();
  const auto s = plant.step({heat, std::nullopt, weather(16, 9), Seconds(30)});
  double zone = before;
  const double rate = s.crah_air.value() * kDryAirHeat, capacity = params.zone_capacity * 1e6;
  for (int i = 0; i < 3000; ++i) {
    zone += 0.01 * ((8e5 + s.crahs.value()) - rate * (zone - s.supply_air.value())) / capacity;
  }
  EXPECT_NEAR(s.zone_air.value(), zone, 1e-3);
}

TEST(CoolingPlant, StagesTheSecondMachineAndBack) {
  auto plant = plant_of(1e6);
  EXPECT_EQ(run(plant, 3e5, weather(16, 9), 100).machines_running, 1);
  EXPECT_EQ(run(plant, 9e5, weather(16, 9), 10).machines_running, 2);
  EXPECT_EQ(run(plant, 6.5e5, weather(16, 9), 200).machines_running, 2);
  // Dwell: just after the start of the second machine a low load does not stop it.
  auto fresh = plant_of(1e6);
  run(fresh, 9e5, weather(16, 9), 10);
  EXPECT_EQ(run(fresh, 2e5, weather(16, 9), 10).machines_running, 2);
  EXPECT_EQ(run(fresh, 2e5, weather(16, 9), 60).machines_running, 1);
}

TEST(CoolingPlant, OverloadWarmsTheHallAndCountsClamps) {
  auto plant = plant_of(1e6);
  const auto s = run(plant, 2.5e6, weather(40, 27), 100);
  EXPECT_GT(s.supply_air.value(), 25.0);
  EXPECT_GT(s.chilled_water.value(), 12.0);
  EXPECT_GT(plant.clamps()[static_cast<std::size_t>(CoolingClamp::kPartLoad)], 0U);
  EXPECT_GT(plant.clamps()[static_cast<std::size_t>(CoolingClamp::kTowerWetBulb)], 0U);
  EXPECT_STREQ(name(CoolingClamp::kPartLoad), "part load");
  auto easy = plant_of(1e6);
  run(easy, 7e5, weather(16, 9), 100);
  for (const auto count : easy.clamps()) EXPECT_EQ(count, 0U);
}

TEST(CoolingPlant, IdleHallStaysSane) {
  auto plant = plant_of(1e6);
  const auto s = run(plant, 0.0, weather(-20, -25), 2000);
  EXPECT_GE(s.zone_air.value(), 19.0);
  EXPECT_LE(s.zone_air.value(), 25.0);
  EXPECT_GE(s.total().value(), 0.0);
  EXPECT_GE(s.water_used_kg, 0.0);
}

TEST(CoolingPlant, SameInputsSameBytes) {
  auto a = plant_of(3e5), b = plant_of(3e5);
  for (int i = 0; i < 50; ++i) {
    const auto x = run(a, 1e5 + 3e3 * i, weather(10 + i % 7, 3), 1);
    const auto y = run(b, 1e5 + 3e3 * i, weather(10 + i % 7, 3), 1);
    EXPECT_EQ(x.total().value(), y.total().value());
    EXPECT_EQ(x.zone_air.value(), y.zone_air.value());
  }
}

TEST(CoolingPlant, RefusesWhatHasNoMeaning) {
  ChilledWaterPlantParams params;
  params.design_load = Watts(0);
  EXPECT_FALSE(ChilledWaterPlant::make(params).ok());
  params = {};
  params.staging.size = 0.4;
  EXPECT_FALSE(ChilledWaterPlant::make(params).ok());
  params = {};
  params.staging.down = 0.5;
  EXPECT_FALSE(ChilledWaterPlant::make(params).ok());
  auto plant = plant_of(1e6);
  EXPECT_FALSE(
      plant.set({Celsius(std::numeric_limits<double>::quiet_NaN()), Celsius(20), Celsius(22), 1.0}).ok());
  EXPECT_FALSE(plant.set({Celsius(21), Celsius(20), Celsius(22), 1.0}).ok());
  EXPECT_EQ(plant.set_points().supply_air.value(), 20.0);
}

TEST(CoolingPlant, PartsHaveTheirKnownForms) {
  // Counterflow, N = 2: c = 0 gives 1 - e^-2, c = 1 gives 2/3, c = .5 gives (1 - e^-1) / (1 - .5 e^-1).
  EXPECT_NEAR(counterflow_effectiveness(2.0, 0.0), 0.864665, 1e-6);
  EXPECT_NEAR(counterflow_effectiveness(2.0, 1.0), 0.666667, 1e-6);
  EXPECT_NEAR(counterflow_effectiveness(2.0, 0.5), 0.774600, 1e-6);
  EXPECT_NEAR(counterflow_effectiveness(2.0, 1.0 - 1e-7), 0.666667, 1e-6);
  EXPECT_DOUBLE_EQ(pump_fraction(1.0, 0.2), 1.0);
  EXPECT_NEAR(pump_fraction(0.5, 0.2), 0.2, 1e-12);
}

}  // namespace
}  // namespace perjoule::plant
