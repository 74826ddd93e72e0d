#include "plant/chiller.hpp"

#include <gtest/gtest.h>

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::Watts;

double cop(const ChillerOutput& out) { return out.cooling / out.power; }

// Worked by hand from the published coefficients, apart from this code: capacity curve .98607 and EIR
// curve 1.01592 at (6.67, 29.44); COP at (x leaving, y entering, load in parts of the nominal capacity).
TEST(Chiller, CheckValuesOfThe1407KilowattMachine) {
  const ChillerParams p;
  EXPECT_NEAR(p.capacity_curve(6.67, 29.44), 0.986, 0.001);
  EXPECT_NEAR(p.eir_curve(6.67, 29.44), 1.016, 0.001);
  EXPECT_NEAR(cop(run_chiller(p, p.capacity, Celsius(6.67), Celsius(29.4))), 5.96, 0.01);
  EXPECT_NEAR(cop(run_chiller(p, p.capacity * 0.5, Celsius(6.67), Celsius(20))), 7.13, 0.01);
  EXPECT_NEAR(cop(run_chiller(p, p.capacity * 0.5, Celsius(10), Celsius(20))), 8.32, 0.01);
}

TEST(Chiller, ClampsAtTheFittedRangeAndSaysSo) {
  const ChillerParams p;
  const auto inside = run_chiller(p, p.capacity * 0.5, Celsius(10), Celsius(32.22));
  EXPECT_EQ(inside.clamps, 0);
  const auto outside = run_chiller(p, p.capacity * 0.5, Celsius(16), Celsius(45));
  EXPECT_EQ(outside.clamps, kClampLeaving | kClampEntering);
  EXPECT_EQ(outside.power, inside.power);
  const auto cold = run_chiller(p, p.capacity * 0.5, Celsius(10), Celsius(5));
  EXPECT_EQ(cold.power, run_chiller(p, p.capacity * 0.5, Celsius(10), Celsius(12.78)).power);
  const auto over = run_chiller(p, p.capacity * 3.0, Celsius(7), Celsius(25));
  EXPECT_EQ(over.clamps, kClampPartLoad);
  EXPECT_EQ(over.part_load, p.part_load.most);
  EXPECT_NEAR(over.cooling / most_cooling(p, Celsius(7), Celsius(25)), 1.0, 1e-12);
}

TEST(Chiller, CyclesBelowTheLeastPartLoadAndStandsAtZero) {
  const ChillerParams p;
  const auto least = run_chiller(p, p.capacity * 0.1, Celsius(7), Celsius(25));
  const auto half = run_chiller(p, p.capacity * 0.05, Celsius(7), Celsius(25));
  EXPECT_NEAR(half.power / least.power, 0.5, 1e-12);
  EXPECT_EQ(run_chiller(p, Watts(0), Celsius(7), Celsius(25)).power.value(), 0.0);
}

TEST(Chiller, CondenserTakesTheHeatAndThePower) {
  const ChillerParams p;
  const auto out = run_chiller(p, Watts(9e5), Celsius(7), Celsius(25));
  EXPECT_DOUBLE_EQ(out.condenser_heat.value(), (out.cooling + out.power).value());
}

TEST(Chiller, RefusesParametersWithoutMeaning) {
  ChillerParams p;
  EXPECT_TRUE(check(p).ok());
  p.cop = 0.0;
  EXPECT_FALSE(check(p).ok());
  p = {};
  p.capacity = Watts(-1);
  EXPECT_FALSE(check(p).ok());
  p = {};
  p.entering = {30.0, 20.0};
  EXPECT_FALSE(check(p).ok());
}

}  // namespace
}  // namespace perjoule::plant
