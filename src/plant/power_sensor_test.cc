#include "plant/power_sensor.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace perjoule::plant {
namespace {

using base::Duration;
using base::kNsPerMs;
using base::Microjoules;
using base::milliseconds;
using base::TimePoint;
using base::Watts;

TimePoint at_ms(std::int64_t ms) { return {ms * kNsPerMs}; }

// 100 W up to 1 s, 300 W after, in exact microjoules.
Microjoules step_energy(TimePoint t) {
  const std::int64_t before = std::min<std::int64_t>(t.ns, base::kNsPerSecond);
  const std::int64_t after = std::max<std::int64_t>(t.ns - base::kNsPerSecond, 0);
  return Microjoules((before * 100 + after * 300) / 1000);
}

PowerSensor make(SensorSpec spec) { return PowerSensor::create(spec).value(); }

SensorSpec boxcar(int period_ms, int window_ms) {
  SensorSpec spec;
  spec.update_period = milliseconds(period_ms);
  spec.kernel.window = milliseconds(window_ms);
  return spec;
}

TEST(PowerSensor, UpdatesOnItsGridAlsoBeforeThePhase) {
  SensorSpec spec = boxcar(100, 25);
  spec.phase = milliseconds(30);
  const PowerSensor s = make(spec);
  EXPECT_EQ(s.update_time_at(at_ms(130)), at_ms(130));
  EXPECT_EQ(s.update_time_at(at_ms(229)), at_ms(130));
  EXPECT_EQ(s.update_time_at(at_ms(29)), at_ms(-70));
}

TEST(PowerSensor, BoxcarIsTheExactMean) {
  const PowerSensor s = make(boxcar(100, 50));
  // The update at 1000 ms sees only 100 W; the next one only 300 W; a window across the step is in between.
  EXPECT_DOUBLE_EQ(s.reading(at_ms(1099), step_energy).value(), 100.0);
  EXPECT_DOUBLE_EQ(s.reading(at_ms(1100), step_energy).value(), 300.0);
  const PowerSensor wide = make(boxcar(100, 400));
  EXPECT_DOUBLE_EQ(wide.reading(at_ms(1150), step_energy).value(), 150.0);
}

TEST(PowerSensor, DelayShowsOldPower) {
  SensorSpec spec = boxcar(10, 10);
  spec.kernel.delay = milliseconds(40);
  EXPECT_DOUBLE_EQ(make(spec).reading(at_ms(1040), step_energy).value(), 100.0);
  EXPECT_DOUBLE_EQ(make(spec).reading(at_ms(1050), step_energy).value(), 300.0);
}

TEST(PowerSensor, LagFollowsTheExponential) {
  SensorSpec spec = boxcar(1, 0);
  spec.kernel.lag = milliseconds(20);
  const PowerSensor s = make(spec);
  for (const int after : {1, 5, 20, 60, 200}) {
    const double expected = 300.0 - 200.0 * std::exp(-after / 20.0);
    EXPECT_NEAR(s.reading(at_ms(1000 + after), step_energy).value(), expected, 0.6)
        << after << " ms after the step";
  }
}

TEST(PowerSensor, GainOffsetRangeAndResolutionInThisOrder) {
  SensorSpec spec = boxcar(100, 25);
  spec.gain = 0.95;
  spec.offset = Watts(-2.4);
  spec.resolution = Watts(0.5);
  spec.max_range = Watts(250.0);
  const PowerSensor s = make(spec);
  EXPECT_DOUBLE_EQ(s.displayed(Watts(100.0)).value(), 92.5);  // 92.6 rounded to halves
  EXPECT_DOUBLE_EQ(s.displayed(Watts(300.0)).value(), 250.0);
  EXPECT_DOUBLE_EQ(s.displayed(Watts(1.0)).value(), 0.0);
}

TEST(PowerSensor, RefusesNonsense) {
  EXPECT_FALSE(PowerSensor::create(boxcar(0, 25)).ok());
  EXPECT_FALSE(PowerSensor::create(boxcar(100, -1)).ok());
  SensorSpec spec = boxcar(100, 25);
  spec.gain = 0.0;
  EXPECT_FALSE(PowerSensor::create(spec).ok());
}

TEST(PowerSensor, PresetsAreValidAndNameASource) {
  for (const auto& spec : {a100_pcie_power(), hopper_average_power(), hopper_instant_power(), v100_power(),
                           redfish_psu_power()}) {
    EXPECT_TRUE(PowerSensor::create(spec).ok());
    EXPECT_FALSE(spec.source.empty());
  }
  // A second's average hides what the instant reading shows: 60 ms after the step.
  EXPECT_NEAR(make(hopper_instant_power()).reading(at_ms(1100), step_energy).value(), 300.0, 1e-9);
  EXPECT_NEAR(make(hopper_average_power()).reading(at_ms(1100), step_energy).value(), 120.0, 1e-9);
}

TEST(EnergyCounter, CountsWholeUnitsOfItsLastUpdate) {
  const auto c = EnergyCounterSensor::create(rapl_package_energy(14)).value();
  // 100 W for 500 ms = 50 J = 819,200 counts of 2^-14 J; 0.9 ms later the register has not moved.
  EXPECT_EQ(c.reading(at_ms(500), step_energy), 819'200U);
  EXPECT_EQ(c.reading(at_ms(500) + Duration{900'000}, step_energy), 819'200U);
  EXPECT_EQ(c.reading(at_ms(501), step_energy), 820'838U);  // 50.1 J = 820,838.4
  EXPECT_EQ(c.between(0, 819'200), Microjoules(50'000'000));
}

TEST(EnergyCounter, WrapsAndUnwraps) {
  const auto c = EnergyCounterSensor::create(rapl_package_energy(14)).value();
  const auto steady = [](TimePoint t) { return Microjoules(t.ns / 1000 * 1000); };  // 1 kW
  const auto before = c.reading({200 * base::kNsPerSecond}, steady);
  const auto after = c.reading({300 * base::kNsPerSecond}, steady);
  EXPECT_LT(after, before) << "2^32 counts are 262 kJ";
  EXPECT_NEAR(static_cast<double>(c.between(before, after).value()), 100'000.0 * 1e6, 62.0);
  EXPECT_LT(base::to_seconds(c.safe_read_interval(Watts(1000.0))).value(), 132.0);
  EXPECT_GT(base::to_seconds(c.safe_read_interval(Watts(1000.0))).value(), 130.0);
}

TEST(EnergyCounter, SumOfDifferencesIsTheWhole) {
  const auto c = EnergyCounterSensor::create(powercap_energy(262'143'328'850)).value();
  Microjoules sum;
  std::uint64_t last = c.reading(at_ms(0), step_energy);
  for (std::int64_t t = 7; t <= 7'000; t += 7) {
    const auto now = c.reading(at_ms(t), step_energy);
    sum += c.between(last, now);
    last = now;
  }
  EXPECT_EQ(sum, step_energy(at_ms(7'000)));
}

TEST(EnergyCounter, NeverWrapsWithoutModulus) {
  const auto c = EnergyCounterSensor::create(nvml_total_energy()).value();
  EXPECT_EQ(c.safe_read_interval(Watts(700.0)).ns, INT64_MAX);
  EXPECT_EQ(c.reading(at_ms(500), step_energy), 50'000U);
  CounterSpec bad = nvml_total_energy();
  bad.counts_per_joule = 0;
  EXPECT_FALSE(EnergyCounterSensor::create(bad).ok());
}

}  // namespace
}  // namespace perjoule::plant
