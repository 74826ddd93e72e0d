#include "agent/sleep_policy.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace perjoule::agent {
namespace {

using base::Duration;
using base::milliseconds;
using base::TimePoint;

std::vector<SleepTier> tiers() {
  return {{"fine", base::Watts(20), Duration{300 * base::kNsPerUs}, base::Joules(0.05)},
          {"deep", base::Watts(40), base::seconds(10), base::Joules(400)}};
}

TimePoint at_ms(std::int64_t ms) { return {ms * base::kNsPerMs}; }

SleepMachine trained(Duration usual_idle, SleepParams params = {}) {
  SleepMachine m(params, tiers());
  // Twenty quiet periods of the usual length: an idle update begins each, work ends it.
  for (int i = 1; i <= 20; ++i) {
    const TimePoint since{-1'000'000'000'000'000 + i * 10 * usual_idle.ns};
    m.observe({since, 0.0, 0.0, false});
    m.wake(since + usual_idle);
  }
  return m;
}

TEST(SleepMachine, RestsAtTheThirdDistinctUpdateAndNotBefore) {
  SleepMachine m = trained(base::seconds(5));
  EXPECT_FALSE(m.observe({at_ms(10'000), 0.0, 0.0, false}));
  EXPECT_FALSE(m.observe({at_ms(10'100), 0.0, 0.0, false}));
  EXPECT_FALSE(m.observe({at_ms(10'100), 0.0, 0.0, false})) << "a repeated reading is not an update";
  const auto action = m.observe({at_ms(10'200), 0.0, 0.0, false});
  ASSERT_TRUE(action);
  EXPECT_EQ(action->tier, 0U) << "the deep tier's 10 s wake exceeds the 350 us budget";
}

TEST(SleepMachine, ThresholdsAreThoseOfTheSpecification) {
  const auto third = [](double sm, double dram, bool dma) {
    SleepMachine m = trained(base::seconds(5));
    for (int i = 0; i < 2; ++i) m.observe({at_ms(10'000 + i * 100), sm, dram, dma});
    return m.observe({at_ms(10'200), sm, dram, dma}).has_value();
  };
  EXPECT_TRUE(third(0.0849, 0.1199, false));
  EXPECT_FALSE(third(0.0851, 0.0, false));
  EXPECT_FALSE(third(0.0, 0.1201, false));
  EXPECT_FALSE(third(0.0, 0.0, true)) << "pending DMA";
}

TEST(SleepMachine, HysteresisKeepsQuietThroughASmallRise) {
  SleepMachine m = trained(base::seconds(5));
  m.observe({at_ms(10'000), 0.0, 0.0, false});
  m.observe({at_ms(10'100), 0.10, 0.0, false});  // above 8.5 %, below 8.5 % x 1.5
  EXPECT_TRUE(m.observe({at_ms(10'200), 0.0, 0.0, false}));
}

TEST(SleepMachine, DoesNotRestWhenIdlePeriodsAreShorterThanBreakEven) {
  SleepParams params;
  params.wake_budget = base::seconds(60);
  SleepMachine shallow = trained(base::seconds(5), params);
  for (int i = 0; i < 3; ++i) {
    const auto a = shallow.observe({at_ms(10'000 + i * 100), 0.0, 0.0, false});
    ASSERT_EQ(a.has_value(), i == 2);
    if (a) {
      EXPECT_EQ(a->tier, 0U);
    }
  }
  // 400 J at 40 W = 10 s, plus 10 s wake, times the margin 1.5: 30 s. Sixty expected seconds pay, five do
  // not.
  SleepMachine deep = trained(base::seconds(60), params);
  std::optional<SleepAction> last;
  for (int i = 0; i < 3; ++i) {
    if (const auto a = deep.observe({at_ms(100'000 + i * 100), 0.0, 0.0, false})) last = a;
  }
  ASSERT_TRUE(last);
  EXPECT_EQ(last->tier, 1U);
}

TEST(SleepMachine, StaysAwakeForTheMinimumDwellAfterAWake) {
  SleepMachine m = trained(base::seconds(5));
  m.wake(at_ms(10'000));
  for (int i = 1; i <= 4; ++i) EXPECT_FALSE(m.observe({at_ms(10'000 + i * 100), 0.0, 0.0, false}));
  EXPECT_TRUE(m.observe({at_ms(10'500), 0.0, 0.0, false}));
}

TEST(IdlePredictor, MeanExcessOverTimeAlreadyWaited) {
  IdlePredictor p;
  for (int i = 1; i <= 7; ++i) p.add(base::seconds(i));
  EXPECT_FALSE(p.remaining({0}));
  p.add(base::seconds(8));
  EXPECT_EQ(p.remaining({0})->ns, base::seconds(36).ns / 8);
  EXPECT_EQ(*p.remaining(base::seconds(6)), milliseconds(1500));  // (1 + 2) / 2
  EXPECT_EQ(*p.remaining(base::seconds(9)), base::seconds(9));
}

TEST(IdlePredictor, AgreesWithASumOverTheLast128Periods) {
  IdlePredictor p;
  std::vector<std::int64_t> all;
  base::Rng rng(7);
  for (int i = 0; i < 1000; ++i) {
    all.push_back(static_cast<std::int64_t>(rng.below(i % 3 == 0 ? 5 : 1'000'000'000)));
    p.add(Duration{all.back()});
    if (all.size() < 8) continue;
    const Duration elapsed{static_cast<std::int64_t>(rng.below(1'100'000'000))};
    double sum = 0.0, longer = 0.0;
    for (std::size_t k = all.size() - std::min<std::size_t>(all.size(), 128); k < all.size(); ++k) {
      if (all[k] <= elapsed.ns) continue;
      sum += static_cast<double>(all[k] - elapsed.ns);
      ++longer;
    }
    const auto expected = longer > 0.0 ? static_cast<std::int64_t>(sum / longer) : elapsed.ns;
    ASSERT_EQ(p.remaining(elapsed)->ns, expected) << i;
  }
}

// What a rule does in an idle period that begins at `since` and does not end: (time, tier).
std::vector<std::pair<TimePoint, std::size_t>> rests(SleepRule& rule, TimePoint since) {
  std::vector<std::pair<TimePoint, std::size_t>> out;
  int looks = 0;
  for (TimePoint t = rule.idle_began(since); t != base::kNever && looks < 10'000;
       t = rule.next_look(t), ++looks) {
    if (const auto action = rule.look({t, 0.0, 0.0, false})) out.emplace_back(t, action->tier);
  }
  EXPECT_LT(looks, 10'000) << "it must come to an end";
  return out;
}

TEST(SleepRules, RentOrBuyEntersAtBreakEvenOnly) {
  SleepParams params;
  params.wake_budget = base::seconds(60);
  auto rule = make_sleep_rule("rent-or-buy", tiers(), params, milliseconds(100), {}).value();
  const auto plan = rests(*rule, {0});
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[0].first.ns, 2'800'000);  // 0.05 J / 20 W + 300 us
  EXPECT_EQ(plan[1].first, TimePoint{base::seconds(20).ns});
}

TEST(SleepRules, HeaaRestsAtTheThirdUpdateOnceItKnowsTheIdleTimes) {
  auto rule = make_sleep_rule("heaa", tiers(), {}, milliseconds(100), milliseconds(30)).value();
  for (int i = 0; i < 10; ++i) {
    rests(*rule, at_ms(i * 20'000));
    rule->idle_ended(at_ms(i * 20'000 + 10'000));
  }
  const auto plan = rests(*rule, at_ms(500'000));
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].first, at_ms(500'230)) << "updates at .030, .130 and .230 after the period began";
}

TEST(SleepRules, HeaaRestsAtBreakEvenBeforeItKnowsAnything) {
  SleepParams params;
  params.wake_budget = base::seconds(60);
  auto rule = make_sleep_rule("heaa", tiers(), params, milliseconds(100), {}).value();
  const auto plan = rests(*rule, at_ms(1'777'000'050));
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_EQ(plan[0], std::make_pair(at_ms(1'777'000'300), std::size_t{0}));
  EXPECT_EQ(plan[1], std::make_pair(at_ms(1'777'020'100), std::size_t{1}))
      << "20 s after the first quiet update";
}

TEST(SleepRules, OnlyAParkedDeviceTakesATierWhoseWakeExceedsTheBudget) {
  auto rule = make_sleep_rule("heaa", tiers(), {}, milliseconds(100), {}).value();
  EXPECT_EQ(rests(*rule, at_ms(1'000)).back().second, 0U);
  rule->idle_ended(at_ms(100'000));
  rule->set_parked(true, at_ms(100'000));
  EXPECT_EQ(rests(*rule, at_ms(100'000)).back().second, 1U);
}

// A parked period ends with an early wake, after the scheduler has taken the parking back. It is learnt as
// parked, by all replicas together, and leaves the forecast for periods in service alone.
TEST(SleepRules, ParkedPeriodsAreLearntApartAndTogether) {
  const auto parked = std::make_shared<IdlePredictor>();
  const auto make = [&] {
    return make_sleep_rule("heaa", tiers(), {}, milliseconds(100), {}, parked).value();
  };
  auto one = make(), other = make();
  TimePoint t = at_ms(0);
  for (int i = 0; i < 10; ++i) {
    one->set_parked(true, t);
    rests(*one, t);
    t = t + base::seconds(600);
    one->set_parked(false, t);
    one->idle_ended(t);
    t = t + base::seconds(60);
  }
  EXPECT_TRUE(parked->remaining({0}));
  other->set_parked(true, t);
  const auto plan = rests(*other, t);
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0], std::make_pair(t + milliseconds(300), std::size_t{1})) << "deep at the third update";
  one->idle_ended(t + base::seconds(1));
  const auto in_service = rests(*one, t + base::seconds(2));
  EXPECT_EQ(in_service[0].second, 0U);
}

TEST(SleepTier, ADeeperRestSavesAgainstTheOneBefore) {
  const auto all = tiers();
  EXPECT_DOUBLE_EQ(saving_of(all[0], nullptr, base::seconds(10)).value(), 20.0 * 10 - 0.05);
  EXPECT_DOUBLE_EQ(saving_of(all[1], &all[0], base::seconds(100)).value(), (40.0 - 20.0) * 100 - 400 + 0.05);
}

// Parked while it rests already: the deeper tier comes at its own break-even, or at once if that has passed.
TEST(SleepRules, RentOrBuyGoesDeeperWhenParked) {
  auto rule = make_sleep_rule("rent-or-buy-packed", tiers(), {}, milliseconds(100), {}).value();
  ASSERT_EQ(rule->look({rule->idle_began({0}), 0.0, 0.0, false})->tier, 0U);
  EXPECT_EQ(rule->next_look(at_ms(3)), base::kNever);
  EXPECT_EQ(rule->set_parked(true, at_ms(1'000)), at_ms(20'000));
  EXPECT_EQ(rule->set_parked(true, at_ms(30'000)), at_ms(30'000) + Duration{1});
  EXPECT_EQ(rule->look({at_ms(30'001), 0.0, 0.0, false})->tier, 1U);
}

TEST(SleepRules, UnknownNameListsTheNearest) {
  const auto rule = make_sleep_rule("hea", tiers(), {}, milliseconds(100), {});
  ASSERT_FALSE(rule.ok());
  EXPECT_NE(rule.error().hint.find("heaa"), std::string::npos);
}

}  // namespace
}  // namespace perjoule::agent
