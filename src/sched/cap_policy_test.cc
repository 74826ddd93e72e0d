#include "sched/cap_policy.hpp"

#include <gtest/gtest.h>

namespace perjoule::sched {
namespace {

using base::Watts;

const std::vector<CapOption> kOptions{
    {Watts(700), 1.0, 1.0}, {Watts(500), 1.05, 0.85}, {Watts(400), 1.25, 0.75}, {Watts(300), 2.0, 0.95}};

CapObservation seen(double gap_ms, Watts cap) { return {100.0, gap_ms, 1000.0, 50.0, cap, kOptions}; }

TEST(CapRules, BestStaticTakesTheLeastEnergyThatKeepsTheTargetsAndKeepsIt) {
  auto rule = make_cap_rule("best-static").value();
  EXPECT_EQ(rule->choose(seen(20.0, Watts(700))), Watts(400));
  EXPECT_EQ(rule->choose(seen(45.0, Watts(400))), Watts(400));
}

TEST(CapRules, LatencyAwareGoesDownOneStepAndUpAtOnce) {
  auto rule = make_cap_rule("latency-aware").value();
  EXPECT_EQ(rule->choose(seen(20.0, Watts(700))), Watts(500));
  EXPECT_EQ(rule->choose(seen(25.0, Watts(500))), Watts(400));
  EXPECT_EQ(rule->choose(seen(30.0, Watts(400))), Watts(400)) << "300 W costs more energy";
  EXPECT_EQ(rule->choose(seen(43.0, Watts(400))), Watts(700)) << "above 85 % of the target";
  EXPECT_EQ(rule->choose(seen(0.0, Watts(400))), Watts(400)) << "nothing finished: nothing is known";
}

TEST(CapRules, APredictedMissIsNotChosen) {
  auto rule = make_cap_rule("latency-aware").value();
  EXPECT_EQ(rule->choose(seen(42.0, Watts(700))), Watts(700)) << "42 ms x 1.05 exceeds 42.5 ms";
}

TEST(CapRules, FixedAndNone) {
  EXPECT_EQ(make_cap_rule("fixed-500").value()->choose(seen(20.0, Watts(700))), Watts(500));
  EXPECT_EQ(make_cap_rule("none").value()->choose(seen(20.0, Watts(500))), Watts(700));
  EXPECT_FALSE(make_cap_rule("fixed").ok());
}

}  // namespace
}  // namespace perjoule::sched
