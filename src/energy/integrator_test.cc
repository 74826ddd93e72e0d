#include "energy/integrator.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.hpp"

namespace perjoule::energy {
namespace {

using base::Duration;
using base::Joules;
using base::Rng;
using base::Watts;

// Rounds down, also below zero.
std::int64_t floor_microjoules(Int128 femto) {
  constexpr std::int64_t kUnit = 1'000'000'000;
  Int128 whole = femto / kUnit;
  if (whole * kUnit > femto) --whole;
  return static_cast<std::int64_t>(whole);
}

TEST(Integrator, CountsByHand) {
  EnergyIntegrator e;
  e.set_power(Watts(700));
  e.advance(base::seconds(10));
  EXPECT_EQ(e.total().value(), 7'000'000'000);
  e.set_power(Watts(1e-6));  // one microwatt needs a second for a microjoule
  e.advance(base::milliseconds(999));
  EXPECT_EQ(e.total().value(), 7'000'000'000);
  e.advance(base::milliseconds(1));
  EXPECT_EQ(e.total().value(), 7'000'000'001);
  EXPECT_EQ(e.power().value(), 1e-6);
}

TEST(Integrator, EqualsTheExactIntegralAtEveryStep) {
  Rng rng(128);
  for (int run = 0; run < 50; ++run) {
    EnergyIntegrator e;
    Int128 exact = 0;
    for (int step = 0; step < 400; ++step) {
      const auto uw = static_cast<std::int64_t>(rng.below(2'000'000'000'000)) - 1'000'000'000'000;
      const auto ns = static_cast<std::int64_t>(rng.next() >> (20 + rng.below(44)));
      e.set_power(Watts(static_cast<double>(uw) * 1e-6));
      ASSERT_EQ(std::llround(e.power().value() * 1e6), uw);
      e.advance(Duration{ns});
      exact += static_cast<Int128>(uw) * ns;
      ASSERT_EQ(e.total().value(), floor_microjoules(exact)) << "run " << run << " step " << step;
    }
  }
}

// However the time is cut, the whole is the same: no joule is lost to rounding.
TEST(Integrator, IsTheSameForEveryCutOfTime) {
  Rng rng(77);
  for (int run = 0; run < 200; ++run) {
    EnergyIntegrator whole, cut;
    const Watts power(rng.uniform(-900.0, 900.0));
    whole.set_power(power);
    cut.set_power(power);
    std::int64_t sum = 0;
    for (int i = 0; i < 200; ++i) {
      const auto ns = static_cast<std::int64_t>(rng.below(100'000));
      cut.advance(Duration{ns});
      sum += ns;
    }
    whole.advance(Duration{sum});
    ASSERT_EQ(cut.total(), whole.total());
  }
}

TEST(Integrator, PowerThereAndBackIsNothing) {
  EnergyIntegrator e;
  for (const double w : {123.456789, -123.456789}) {
    e.set_power(Watts(w));
    e.advance(Duration{987'654'321});
  }
  EXPECT_EQ(e.total().value(), 0);
  e.set_power(Watts(-1e-6));
  e.advance(Duration{1});
  EXPECT_EQ(e.total().value(), -1);  // rounded down, remainder carried
  e.set_power(Watts(1e-6));
  e.advance(Duration{1});
  EXPECT_EQ(e.total().value(), 0);
}

TEST(Integrator, LumpsAddUpWithoutLoss) {
  EnergyIntegrator e;
  for (int i = 0; i < 10; ++i) e.add(Joules(1e-7));
  EXPECT_EQ(e.total().value(), 1);
  e.add(Joules(-2.5));
  EXPECT_EQ(e.total().value(), -2'499'999);
  EnergyIntegrator large;
  large.add(Joules(5e12));
  EXPECT_EQ(large.total().value(), 5'000'000'000'000'000'000);
}

TEST(Integrator, HoldsAYearOfAHundredMegawatts) {
  EnergyIntegrator e;
  e.set_power(Watts(100e6 / 365));
  for (int day = 0; day < 365; ++day) e.advance(Duration{base::kNsPerDay});
  const Int128 uw = std::llround(100e12 / 365);
  EXPECT_EQ(e.total().value(), static_cast<std::int64_t>(uw * 86'400 * 365));
}

TEST(IntegratorDeathTest, RefusesPowerThatIsNoNumber) {
  EnergyIntegrator e;
  EXPECT_DEATH(e.set_power(Watts(std::numeric_limits<double>::quiet_NaN())), "defect");
  EXPECT_DEATH(e.set_power(Watts(1e13)), "defect");
}

}  // namespace
}  // namespace perjoule::energy
