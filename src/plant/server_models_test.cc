#include "plant/server_models.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "plant/psychrometrics.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::KilogramsPerSecond;
using base::Seconds;
using base::Watts;

TEST(CpuPower, MeetsThePublishedPointsAndInterpolates) {
  const CpuParams p;
  ASSERT_TRUE(check(p).ok());
  EXPECT_NEAR(cpu_power(p, 0.0).value(), 0.205 * 350, 1e-9);
  EXPECT_NEAR(cpu_power(p, 0.5).value(), 0.553 * 350, 1e-9);
  EXPECT_NEAR(cpu_power(p, 1.0).value(), 350, 1e-9);
  EXPECT_NEAR(cpu_power(p, 0.95).value(), (0.889 + 1.0) / 2 * 350, 1e-9);
  // The jump of the first tenth, which the form 2u - u^r cannot give.
  EXPECT_GT((cpu_power(p, 0.1) - cpu_power(p, 0.0)) / (cpu_power(p, 0.3) - cpu_power(p, 0.2)), 3.0);
  for (double u = 0.0; u < 0.999; u += 0.001) EXPECT_LE(cpu_power(p, u), cpu_power(p, u + 0.001));
}

TEST(CpuPower, RefusesAFallingShape) {
  CpuParams p;
  p.shape[4] = 0.3;
  EXPECT_FALSE(check(p).ok());
  p = {};
  p.full = Watts(0);
  EXPECT_FALSE(check(p).ok());
}

TEST(DramPower, IdleAndFull) {
  const DramParams p{16, Watts(2), Watts(4)};
  ASSERT_TRUE(check(p).ok());
  EXPECT_EQ(dram_power(p, 0.0).value(), 32.0);
  EXPECT_EQ(dram_power(p, 1.0).value(), 96.0);
}

TEST(Fans, SpeedFlowAndCube) {
  const FanParams p;
  ASSERT_TRUE(check(p).ok());
  const auto idle = fan_state(p, Celsius(18), 0.0);
  EXPECT_EQ(idle.speed, p.least);
  EXPECT_NEAR(idle.power.value(), 1200 * 0.35 * 0.35 * 0.35, 1e-9);
  EXPECT_NEAR(idle.flow.value(), 0.85 * 0.35, 1e-12);
  const auto warm = fan_state(p, Celsius(27), 0.5);
  EXPECT_NEAR(warm.speed, 0.35 + 0.04 * 3 + 0.45 * 0.5, 1e-12);
  EXPECT_EQ(fan_state(p, Celsius(45), 1.0).speed, 1.0);
}

GpuThermalParams without_leakage() {
  GpuThermalParams p;
  p.leak = Watts(0);
  return p;
}

// Classic Runge-Kutta in small steps: the slow, obvious answer to the same two equations, leakage included.
struct Oracle {
  double die, sink, energy = 0.0;
  void run(const GpuThermalParams& p, double nominal, double inlet, double speed, double seconds) {
    const double r2 = p.sink_resistance * std::pow(speed, -p.speed_exponent);
    const double reference =
        p.reference_inlet.value() +
        nominal * (p.die_resistance + p.sink_resistance * std::pow(p.reference_speed, -p.speed_exponent));
    const auto leak = [&](double t) {
      return p.leak.value() * std::exp(std::min(p.leak_rate * (t - p.leak_at.value()), p.leak_cap));
    };
    const auto power = [&](double t) { return nominal + leak(t) - leak(reference); };
    const auto slope_die = [&](double j, double h) {
      return (power(j) - (j - h) / p.die_resistance) / p.die_capacity;
    };
    const auto slope_sink = [&](double j, double h) {
      return ((j - h) / p.die_resistance - (h - inlet) / r2) / p.sink_capacity;
    };
    const double dt = 0.01;
    for (int i = 0; i < static_cast<int>(std::lround(seconds / dt)); ++i) {
      const double a1 = slope_die(die, sink), b1 = slope_sink(die, sink);
      const double a2 = slope_die(die + dt / 2 * a1, sink + dt / 2 * b1);
      const double b2 = slope_sink(die + dt / 2 * a1, sink + dt / 2 * b1);
      const double a3 = slope_die(die + dt / 2 * a2, sink + dt / 2 * b2);
      const double b3 = slope_sink(die + dt / 2 * a2, sink + dt / 2 * b2);
      const double a4 = slope_die(die + dt * a3, sink + dt * b3),
                   b4 = slope_sink(die + dt * a3, sink + dt * b3);
      const double before = power(die);
      die += dt / 6 * (a1 + 2 * a2 + 2 * a3 + a4);
      sink += dt / 6 * (b1 + 2 * b2 + 2 * b3 + b4);
      energy += dt * 0.5 * (before + power(die));
    }
  }
};

TEST(GpuThermal, StepIsTheExactSolution) {
  const auto p = without_leakage();
  for (const double dt : {0.1, 2.0, 30.0, 300.0}) {
    GpuThermalState state{Celsius(35), Celsius(33)};
    Oracle oracle{35, 33};
    const auto step = gpu_thermal_step(GpuThermalTick(p, 0.7, Seconds(dt)), state, Watts(650), Celsius(24));
    oracle.run(p, 650, 24, 0.7, dt);
    EXPECT_NEAR(state.die.value(), oracle.die, 1e-6) << dt;
    EXPECT_NEAR(state.sink.value(), oracle.sink, 1e-6) << dt;
    EXPECT_EQ(step.power.value(), 650.0);
  }
}

TEST(GpuThermal, LeakageThroughAStepOfLoadMatchesSmallSteps) {
  const GpuThermalParams p;
  GpuThermalState state = gpu_steady(p, Watts(120), Celsius(22), 0.5);
  Oracle oracle{state.die.value(), state.sink.value()};
  double energy = 0.0;
  for (int i = 0; i < 20; ++i) {
    energy += 30 * gpu_thermal_step(GpuThermalTick(p, 0.6, Seconds(30)), state, Watts(i < 10 ? 700 : 200),
                                    Celsius(27))
                       .power.value();
    oracle.run(p, i < 10 ? 700 : 200, 27, 0.6, 30);
    EXPECT_NEAR(state.die.value(), oracle.die, 0.5) << i;
  }
  EXPECT_NEAR(energy / oracle.energy, 1.0, 1e-3);
}

TEST(GpuThermal, NominalPowerAtReferenceConditionsAndMoreWhenWarm) {
  const GpuThermalParams p;
  for (const double nominal : {80.0, 400.0, 700.0}) {
    GpuThermalState state = gpu_steady(p, Watts(nominal), p.reference_inlet, p.reference_speed);
    const auto at = gpu_thermal_step(GpuThermalTick(p, p.reference_speed, Seconds(30)), state, Watts(nominal),
                                     p.reference_inlet);
    EXPECT_NEAR(at.power.value(), nominal, 1e-6);
    EXPECT_NEAR(at.into_air.value(), nominal, 1e-6);
    GpuThermalState warm = gpu_steady(p, Watts(nominal), Celsius(35), p.reference_speed);
    const auto hot = gpu_thermal_step(GpuThermalTick(p, p.reference_speed, Seconds(30)), warm, Watts(nominal),
                                      Celsius(35));
    EXPECT_GT(hot.excess.value(), 1.0);
    EXPECT_LT(hot.excess.value(), 0.25 * p.leak.value() * std::exp(p.leak_cap));
  }
  // 700 W: 25 + 700 (.03 + .06 x .8^-.8) = 96.2 C.
  EXPECT_NEAR(gpu_steady(p, Watts(700), Celsius(25), 0.8).die.value(), 96.21, 0.02);
}

TEST(GpuThermal, HeatIsConserved) {
  const GpuThermalParams p;
  GpuThermalState state{Celsius(25), Celsius(25)};
  double in = 0.0, out = 0.0;
  for (int i = 0; i < 100; ++i) {
    const auto s = gpu_thermal_step(GpuThermalTick(p, 0.5 + 0.004 * i, Seconds(3)), state,
                                    Watts(i % 7 * 100.0), Celsius(25));
    in += s.power.value() * 3, out += s.into_air.value() * 3;
  }
  const double stored =
      p.die_capacity * (state.die.value() - 25) + p.sink_capacity * (state.sink.value() - 25);
  EXPECT_NEAR(in, out + stored, 1e-6 * in);
}

TEST(GpuThermal, RunawayParametersAreRefused) {
  GpuThermalParams p;
  EXPECT_TRUE(check(p, 0.35).ok());
  // .015 x 84 e (.03 + .06 x .35^-.8) = .58 with the defaults; a leakage of twice that would run away.
  p.leak = Watts(168);
  EXPECT_FALSE(check(p, 0.35).ok());
  p = {};
  p.sink_capacity = 0.0;
  EXPECT_FALSE(check(p, 0.35).ok());
  // And with accepted parameters even the worst case settles.
  p = {};
  const auto worst = gpu_steady(p, Watts(700), Celsius(45), 0.35);
  EXPECT_LT(worst.die.value(), 250.0);
  GpuThermalState state = worst;
  gpu_thermal_step(GpuThermalTick(p, 0.35, Seconds(3000)), state, Watts(700), Celsius(45));
  EXPECT_NEAR(state.die.value(), worst.die.value(), 0.01);
}

TEST(ServerHeat, ExactExponentialAndBalance) {
  const ServerHeatParams p;
  ASSERT_TRUE(check(p).ok());
  Celsius mass(25);
  const double capacity = 130 * 600.0, conductance = 0.5 * 0.6 * kDryAirHeat;
  const auto s = server_heat_step(p, mass, Watts(9000), Celsius(25), KilogramsPerSecond(0.6), Seconds(120));
  const double want = 25 + 9000 / conductance * (1 - std::exp(-120 * conductance / capacity));
  EXPECT_NEAR(mass.value(), want, 1e-9);
  EXPECT_NEAR(s.into_air.value() * 120 + capacity * (mass.value() - 25), 9000.0 * 120, 1e-3);
  for (int i = 0; i < 100; ++i) {
    server_heat_step(p, mass, Watts(9000), Celsius(25), KilogramsPerSecond(0.6), Seconds(120));
  }
  const auto late = server_heat_step(p, mass, Watts(9000), Celsius(25), KilogramsPerSecond(0.6), Seconds(30));
  EXPECT_NEAR(late.outlet.value(), 25 + 9000 / (0.6 * kDryAirHeat), 1e-6);
}

TEST(ServerHeat, WithoutAirItOnlyWarms) {
  const ServerHeatParams p;
  Celsius mass(25);
  const auto s = server_heat_step(p, mass, Watts(7800), Celsius(25), KilogramsPerSecond(0), Seconds(10));
  EXPECT_NEAR(mass.value(), 26.0, 1e-9);
  EXPECT_EQ(s.into_air.value(), 0.0);
}

TEST(RackInlet, OneParameterForm) {
  const RecirculationParams p;
  EXPECT_NEAR(recirculation(p, KilogramsPerSecond(11), KilogramsPerSecond(10)), 0.05, 1e-12);
  EXPECT_NEAR(recirculation(p, KilogramsPerSecond(8), KilogramsPerSecond(10)), 0.25, 1e-12);
  EXPECT_EQ(recirculation(p, KilogramsPerSecond(0), KilogramsPerSecond(10)), 1.0);
  EXPECT_NEAR(recirculation(p, KilogramsPerSecond(1), KilogramsPerSecond(0)), 0.05, 1e-12);
  EXPECT_NEAR(rack_inlet(0.25, Celsius(20), Celsius(32)).value(), 23.0, 1e-12);
  EXPECT_FALSE(check(RecirculationParams{1.5}).ok());
}

}  // namespace
}  // namespace perjoule::plant
