#include "math/sensor_kernel.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>

namespace perjoule::math {
namespace {

using base::Duration;
using base::milliseconds;
using base::TimePoint;

// The obvious slow way: run a step through the low-pass (forward Euler), then average the last window of its
// output.
double stepped(Duration window, Duration lag, Duration age) {
  const double h = 1e-6;
  const double tau = static_cast<double>(lag.ns) * 1e-9;
  const auto steps = static_cast<int>(age.ns / 1000);
  const auto first = steps - static_cast<int>(window.ns / 1000);
  double y = 0.0;
  double sum = 0.0;
  for (int i = 0; i < steps; ++i) {
    y = tau > 0.0 ? y + h / tau * (1.0 - y) : 1.0;
    if (i >= first) sum += y;
  }
  return window.ns == 0 ? y : sum * h / (static_cast<double>(window.ns) * 1e-9);
}

using Shape = std::tuple<int, int, int>;
class StepResponse : public testing::TestWithParam<Shape> {};

TEST_P(StepResponse, EqualsTheSteppedFilter) {
  const auto [window, lag, age] = GetParam();
  const SensorKernel k{milliseconds(window), milliseconds(lag), {}};
  EXPECT_NEAR(k.step_response(milliseconds(age)),
              stepped(milliseconds(window), milliseconds(lag), milliseconds(age)), 1e-4);
}

INSTANTIATE_TEST_SUITE_P(Shapes, StepResponse,
                         testing::Values(Shape{25, 0, 10}, Shape{25, 0, 40}, Shape{0, 12, 5},
                                         Shape{0, 12, 60}, Shape{4, 12, 3}, Shape{4, 12, 20},
                                         Shape{100, 5, 90}, Shape{100, 5, 130}));

TEST(SensorKernel, DelayShiftsTheResponse) {
  const SensorKernel plain{milliseconds(10), milliseconds(7), {}};
  const SensorKernel late{milliseconds(10), milliseconds(7), milliseconds(3)};
  EXPECT_DOUBLE_EQ(late.step_response(milliseconds(20)), plain.step_response(milliseconds(17)));
  EXPECT_EQ(late.step_response(milliseconds(3)), 0.0);
}

TEST(SensorKernel, WeightsOfAPartitionAddToOne) {
  const SensorKernel k{milliseconds(25), milliseconds(12), milliseconds(2)};
  const TimePoint update{base::kNsPerSecond};
  double sum = 0.0;
  for (std::int64_t i = 0; i < 100; ++i) {
    const TimePoint a{i * 10 * base::kNsPerMs};
    sum += k.weight(update, a, a + milliseconds(10));
  }
  EXPECT_NEAR(sum, 1.0, 1e-12);
}

TEST(SensorKernel, MemoryHoldsAllButATrace) {
  for (const int lag : {0, 1, 12, 100}) {
    const SensorKernel k{milliseconds(25), milliseconds(lag), milliseconds(2)};
    EXPECT_GT(k.step_response(k.memory()), 1.0 - 1e-5);
  }
}

TEST(SensorKernel, TinyLagIsABoxcar) {
  const SensorKernel boxcar{milliseconds(25), {}, {}};
  const SensorKernel nearly{milliseconds(25), base::nanoseconds(10), {}};
  EXPECT_NEAR(boxcar.step_response(milliseconds(7)), nearly.step_response(milliseconds(7)), 1e-5);
}

}  // namespace
}  // namespace perjoule::math
