#include "sched/service_load.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace perjoule::sched {
namespace {

TEST(LoadForecast, PlansForTheUpperBoundOfTheCount) {
  LoadForecast forecast(30.0);
  EXPECT_FALSE(forecast.planned());
  forecast.add({90, 9000, 0, 0});
  EXPECT_FALSE(forecast.planned()) << "no request has finished: its length is not known";
  forecast.add({90, 9000, 10, 2000});
  const auto load = forecast.planned();
  ASSERT_TRUE(load);
  EXPECT_DOUBLE_EQ(load->requests_per_s, 3.0 + 3.0 * std::sqrt(0.1));  // 90 + 3 sqrt(90) in 30 s
  EXPECT_DOUBLE_EQ(load->input_tokens, 100.0);
  EXPECT_DOUBLE_EQ(load->output_tokens, 200.0);
  forecast.add({0, 0, 0, 0});
  EXPECT_DOUBLE_EQ(forecast.observed()->requests_per_s, 2.7);
  EXPECT_NEAR(forecast.planned()->requests_per_s, 2.7 + 3.0 * std::sqrt(0.09), 1e-9)
      << "the mean forgets slowly";
}

TEST(PredictionLevel, TheFirstComparisonCountsWholeAndLaterOnesByTheirWeight) {
  PredictionLevel level(0.1);
  EXPECT_FALSE(level.known());
  EXPECT_EQ(level.ttft(), 1.0);
  level.learn({200.0, 30.0}, {100.0, 20.0});
  EXPECT_TRUE(level.known());
  EXPECT_DOUBLE_EQ(level.ttft(), 2.0);
  EXPECT_DOUBLE_EQ(level.gap(), 1.5);
  level.learn({400.0, 20.0}, {100.0, 20.0});
  EXPECT_DOUBLE_EQ(level.ttft(), 2.2);
  EXPECT_DOUBLE_EQ(level.gap(), 1.45);
  level.learn({1e9, 0.0}, {1.0, 20.0});
  EXPECT_DOUBLE_EQ(level.ttft(), 2.2 + 0.1 * (10.0 - 2.2)) << "held within 0.5 and 10";
  EXPECT_DOUBLE_EQ(level.gap(), 1.45 + 0.1 * (0.5 - 1.45));
}

TEST(WithinMargin, IsFortyFivePerCentOfBothTargets) {
  EXPECT_TRUE(within_margin({450.0, 22.5}, {1000.0, 50.0}));
  EXPECT_FALSE(within_margin({450.1, 22.5}, {1000.0, 50.0}));
  EXPECT_FALSE(within_margin({450.0, 22.6}, {1000.0, 50.0}));
}

}  // namespace
}  // namespace perjoule::sched
