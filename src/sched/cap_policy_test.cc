#include "sched/cap_policy.hpp"

#include <gtest/gtest.h>

namespace perjoule::sched {
namespace {

using base::Watts;

// The same four caps at a load that makes everything `slower` times as slow.
std::vector<CapOption> options(double slower) {
  return {{Watts(700), {100.0 * slower, 10.0 * slower}, Watts(400)},
          {Watts(500), {120.0 * slower, 11.0 * slower}, Watts(340)},
          {Watts(400), {150.0 * slower, 13.0 * slower}, Watts(300)},
          {Watts(300), {200.0 * slower, 20.0 * slower}, Watts(380)}};
}

// Targets of which 45 % may be used: 450 ms and 22.5 ms.
Watts choose(CapRule& rule, double slower, Watts cap) {
  const auto table = options(slower);
  return rule.choose({{1000.0, 50.0}, cap, table});
}

TEST(CapRules, BestStaticTakesTheLeastPowerThatKeepsTheTargetsAndKeepsIt) {
  auto rule = make_cap_rule("best-static").value();
  EXPECT_EQ(choose(*rule, 1.0, Watts(700)), Watts(400));
  EXPECT_EQ(choose(*rule, 10.0, Watts(400)), Watts(400)) << "whatever comes";
}

TEST(CapRules, LatencyAwareFollowsTheLoad) {
  auto rule = make_cap_rule("latency-aware").value();
  EXPECT_EQ(choose(*rule, 1.0, Watts(700)), Watts(400));
  EXPECT_EQ(choose(*rule, 1.7, Watts(400)), Watts(400)) << "22.1 ms of 22.5";
  EXPECT_EQ(choose(*rule, 1.8, Watts(400)), Watts(500)) << "23.4 ms is too slow, 19.8 ms is not";
  EXPECT_EQ(choose(*rule, 3.0, Watts(400)), Watts(700)) << "none keeps the targets: no cap";
  EXPECT_EQ(choose(*rule, 1.0, Watts(300)), Watts(400)) << "300 W keeps the targets and draws more";
}

TEST(CapRules, TheFirstTokenCountsToo) {
  auto rule = make_cap_rule("latency-aware").value();
  auto table = options(1.0);
  table[2].p95.ttft_ms = 451.0;
  EXPECT_EQ(rule->choose({{1000.0, 50.0}, Watts(700), table}), Watts(500));
}

TEST(CapRules, AChangeMustBeWorthIt) {
  auto rule = make_cap_rule("latency-aware").value();
  auto table = options(1.0);
  table[1].power = Watts(300.1);
  EXPECT_EQ(rule->choose({{1000.0, 50.0}, Watts(500), table}), Watts(500)) << "a gain of 0.1 W in 300";
}

TEST(CapRules, FixedAndNone) {
  EXPECT_EQ(choose(*make_cap_rule("fixed-500").value(), 1.0, Watts(700)), Watts(500));
  EXPECT_EQ(choose(*make_cap_rule("none").value(), 1.0, Watts(500)), Watts(700));
  EXPECT_FALSE(make_cap_rule("fixed").ok());
}

}  // namespace
}  // namespace perjoule::sched
