#include "plant/gpu_power_curve.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::Watts;

const Celsius kCool{35.0};

TEST(GpuPowerCurve, PowerIsTheFormulaAndRisesWithTheClock) {
  const auto gpu = GpuPowerCurve::h200();
  // Worked by hand: V(1980)/V(1300) = 1 + 4.3e-4 * 680 = 1.2924; f V^2 ratio at 1300 = 1300 / (1980
  // * 1.67030).
  EXPECT_NEAR(gpu.power(1300.0, 1.0, 0.5, kCool).value(), 112.0 + 560.0 * 1300.0 / (1980.0 * 1.670298) + 55.0,
              1e-3);
  for (double f = 345.0; f < 1980.0; f += 15.0) {
    EXPECT_LT(gpu.power(f, 0.6, 0.5, kCool), gpu.power(f + 15.0, 0.6, 0.5, kCool));
  }
}

TEST(GpuPowerCurve, LeakageGrowsByItsLaw) {
  const auto gpu = GpuPowerCurve::h200();
  const double rise = (gpu.idle_power(true, Celsius(75.0)) - gpu.idle_power(true, kCool)).value();
  EXPECT_NEAR(rise, 55.0 * (std::exp(0.015 * 40.0) - 1.0), 1e-9);
  EXPECT_NEAR((gpu.idle_power(true, kCool) - gpu.idle_power(false, kCool)).value(), 37.0, 1e-9);
  EXPECT_LT(gpu.idle_power(true, Celsius(1e6)).value(), 1000.0);  // the exponent is capped
}

TEST(GpuPowerCurve, TheCapFindsTheHighestClockThatFits) {
  const auto gpu = GpuPowerCurve::h200();
  const GpuActivity works[] = {{1.0, 0.4, 1.0}, {0.5, 0.9, 0.4}, {0.1, 1.0, 0.0}};
  for (const auto& work : works) {
    for (double cap = 275.0; cap <= 700.0; cap += 25.0) {
      double slow_answer = 0.0;
      for (int step = 109; step >= 0; --step) {
        const double clock = 1980.0 - 15.0 * step;
        if (gpu.at_clock(clock, work, kCool).power <= Watts(cap)) slow_answer = clock;
      }
      const auto point = gpu.at_cap(Watts(cap), work, kCool);
      EXPECT_TRUE(point.cap_met);
      EXPECT_EQ(point.clock_mhz, slow_answer) << cap;
      EXPECT_LE(point.power.value(), cap);
    }
  }
}

TEST(GpuPowerCurve, SaysWhenEvenTheLowestClockExceedsTheCap) {
  const auto gpu = GpuPowerCurve::h200();
  const auto point = gpu.at_cap(Watts(100.0), {1.0, 1.0, 1.0}, kCool);
  EXPECT_FALSE(point.cap_met);
  EXPECT_EQ(point.clock_mhz, 345.0);
  EXPECT_GT(point.power.value(), 100.0);
}

TEST(GpuPowerCurve, EnergyOfAMixedWorkloadHasAnInteriorMinimumOverTheCap) {
  const auto gpu = GpuPowerCurve::h200();
  const GpuActivity mixed{0.8, 0.6, 0.7};
  double least = 2.0, at = 0.0;
  for (double cap = 200.0; cap <= 700.0; cap += 25.0) {
    const double energy = gpu.at_cap(Watts(cap), mixed, kCool).relative_energy;
    if (energy < least) least = energy, at = cap;
  }
  EXPECT_GT(at, 225.0);
  EXPECT_LT(at, 600.0);
  EXPECT_LT(least, 0.95);
  EXPECT_GT(gpu.at_cap(Watts(200.0), mixed, kCool).relative_energy, least + 0.02);
  EXPECT_DOUBLE_EQ(gpu.at_cap(Watts(700.0), mixed, kCool).relative_energy, 1.0);
}

TEST(GpuPowerCurve, TimeFollowsTheComputeShareAndNeverRunsMoreCyclesThanThereAre) {
  const auto gpu = GpuPowerCurve::h200();
  EXPECT_DOUBLE_EQ(gpu.at_clock(990.0, {0.5, 0.5, 1.0}, kCool).slowdown, 2.0);
  EXPECT_DOUBLE_EQ(gpu.at_clock(990.0, {0.3, 1.0, 0.0}, kCool).slowdown, 1.0);
  EXPECT_DOUBLE_EQ(gpu.at_clock(990.0, {0.5, 0.5, 0.4}, kCool).slowdown, 1.4);
  // Cores 80 % full at 1980 MHz need at least 1.6 times as long at half the clock, whatever else binds.
  EXPECT_DOUBLE_EQ(gpu.at_clock(990.0, {0.8, 1.0, 0.0}, kCool).slowdown, 1.6);
  EXPECT_DOUBLE_EQ(gpu.at_clock(1.0, {0.1, 1.0, 0.0}, kCool).clock_mhz, 345.0);
  // Twice the time at half the clock: the same occupancy, half the bandwidth.
  EXPECT_NEAR(gpu.at_clock(990.0, {0.5, 0.5, 1.0}, kCool).power.value(),
              112.0 + 560.0 * 0.5 * 990.0 / (1980.0 * 1.670298) + 110.0 * 0.25, 1e-3);
}

TEST(GpuPowerCurve, ClocksLieOnTheGridBelow) {
  const auto gpu = GpuPowerCurve::h200();
  EXPECT_EQ(gpu.grid_clock(1980.0), 1980.0);
  EXPECT_EQ(gpu.grid_clock(1979.0), 1965.0);
  EXPECT_EQ(gpu.grid_clock(1965.0), 1965.0);
  EXPECT_EQ(gpu.grid_clock(5000.0), 1980.0);
  EXPECT_EQ(gpu.grid_clock(0.0), 345.0);
}

TEST(GpuPowerCurve, RefusesParametersByName) {
  const auto refused = [](auto change) {
    auto p = GpuPowerCurve::h200().parameters();
    change(p);
    const auto made = GpuPowerCurve::make(p);
    return made.ok() ? std::string("accepted") : made.error().where;
  };
  EXPECT_EQ(refused([](auto&) {}), "accepted");
  EXPECT_EQ(refused([](auto& p) { p.idle_with_context = Watts(10.0); }), "idle_with_context");
  EXPECT_EQ(refused([](auto& p) { p.clock_max_mhz = 100.0; }), "clock_max_mhz");
  EXPECT_EQ(refused([](auto& p) { p.core_dynamic = Watts(std::nan("")); }), "core_dynamic");
  EXPECT_EQ(refused([](auto& p) { p.clock_step_mhz = 0.0; }), "clock_step_mhz");
  EXPECT_EQ(refused([](auto& p) { p.leakage_per_kelvin = -1.0; }), "leakage_per_kelvin");
  EXPECT_EQ(refused([](auto& p) { p.cap_max = Watts(10.0); }), "cap_max");
}

}  // namespace
}  // namespace perjoule::plant
