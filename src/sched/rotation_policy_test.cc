#include "sched/rotation_policy.hpp"

#include <gtest/gtest.h>

namespace perjoule::sched {
namespace {

using base::Watts;

// A service whose latency is `work / n` ms and whose power grows by 100 W per replica in rotation.
auto outlook(double work) {
  return [work](std::size_t n) {
    const double ms = work / static_cast<double>(n);
    return RotationOutlook{{ms, ms / 20.0}, Watts(100.0 * static_cast<double>(n)), true};
  };
}
constexpr Latencies kTargets{1000.0, 50.0};

std::size_t settled(Rotation& rotation, double work) {
  std::size_t n = 0;
  for (int i = 0; i < Rotation::kPatience; ++i) n = rotation.choose(kTargets, outlook(work));
  return n;
}

TEST(Rotation, TakesTheLeastNumberThatKeepsTheTargetsWithAMargin) {
  Rotation rotation(16);
  EXPECT_EQ(settled(rotation, 1350.0), 3U) << "1,350 / 3 = 450 ms = 0.45 of the target";
  EXPECT_EQ(settled(rotation, 1351.0), 4U);
  EXPECT_EQ(settled(rotation, 10.0), 1U);
  EXPECT_EQ(settled(rotation, 1e6), 16U) << "never enough: all of them";
}

TEST(Rotation, GrowsAtOnceAndShrinksOnlyAfterPatience) {
  Rotation rotation(16);
  EXPECT_EQ(settled(rotation, 450.0), 1U);
  EXPECT_EQ(rotation.choose(kTargets, outlook(4500.0)), 10U);
  for (int i = 1; i < Rotation::kPatience; ++i) EXPECT_EQ(rotation.choose(kTargets, outlook(450.0)), 10U);
  EXPECT_EQ(rotation.choose(kTargets, outlook(450.0)), 1U);
}

TEST(Rotation, MoreReplicasWhereTheyDrawLess) {
  Rotation rotation(8);
  const auto u_shaped = [](std::size_t n) {
    const double d = static_cast<double>(n) - 5.0;
    return RotationOutlook{{1.0, 1.0}, Watts(100.0 + d * d), true};
  };
  std::size_t n = 0;
  for (int i = 0; i < Rotation::kPatience; ++i) n = rotation.choose(kTargets, u_shaped);
  EXPECT_EQ(n, 5U);
}

TEST(Rotation, NothingImpossibleIsChosen) {
  Rotation rotation(8);
  const auto from_six = [](std::size_t n) { return RotationOutlook{{1.0, 1.0}, Watts(1.0), n >= 6}; };
  std::size_t n = 0;
  for (int i = 0; i < Rotation::kPatience; ++i) n = rotation.choose(kTargets, from_six);
  EXPECT_EQ(n, 6U);
}

}  // namespace
}  // namespace perjoule::sched
