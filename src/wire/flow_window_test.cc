#include "wire/flow_window.hpp"

#include <gtest/gtest.h>

namespace perjoule::wire {
namespace {

constexpr std::uint64_t kMost = 64U << 20;

// Answers of `bytes` each, `per_second` of them, for so long.
void play(FlowWindow& window, double& now, double seconds, double per_second, std::uint64_t bytes,
          double answer_seconds) {
  for (const double end = now + seconds; now < end; now += 1 / per_second)
    window.answered(bytes, answer_seconds, now);
}

TEST(FlowWindow, HoldsTwentyMillisecondsOfTheRate) {
  FlowWindow window(kMost);
  EXPECT_EQ(window.bytes(), FlowWindow::kLeastBytes);
  double now = 100;
  play(window, now, 2, 500, 1'000'000, 0.008);
  EXPECT_NEAR(static_cast<double>(window.bytes()), 500e6 * 0.020, 0.5e6);
}

TEST(FlowWindow, HoldsTwoAnswersOfASlowDisk) {
  FlowWindow window(kMost);
  double now = 0;
  play(window, now, 2, 100, 1'000'000, 0.100);
  EXPECT_NEAR(static_cast<double>(window.bytes()), 100e6 * 0.200, 1.5e6);
}

TEST(FlowWindow, KeepsItsSizeOverAPauseAndForgetsAFastTimeLater) {
  FlowWindow window(kMost);
  double now = 0;
  play(window, now, 2, 500, 1'000'000, 0.008);
  const auto before = static_cast<double>(window.bytes());
  now += 0.4;  // the disk stands still
  play(window, now, 0.1, 50, 1'000'000, 0.008);
  EXPECT_NEAR(static_cast<double>(window.bytes()), before, 0.5e6);
  play(window, now, 2, 20, 1'000'000, 0.008);
  EXPECT_EQ(window.bytes(), FlowWindow::kLeastBytes);
}

TEST(FlowWindow, StaysWithinItsBounds) {
  FlowWindow window(kMost), small(1'000);
  double now = 0;
  play(window, now, 1, 1'000, 100'000'000, 1);
  EXPECT_EQ(window.bytes(), kMost);
  EXPECT_EQ(small.bytes(), 1'000U);
  play(small, now, 1, 1'000, 100'000'000, 1);
  EXPECT_EQ(small.bytes(), 1'000U);
}

}  // namespace
}  // namespace perjoule::wire
