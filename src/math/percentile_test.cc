#include "math/percentile.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace perjoule::math {
namespace {

TEST(Percentile, NearestRank) {
  std::vector<double> v{15, 20, 35, 40, 50};
  EXPECT_EQ(percentile(v, 0.30), 20);
  EXPECT_EQ(percentile(v, 0.40), 20);
  EXPECT_EQ(percentile(v, 0.50), 35);
  EXPECT_EQ(percentile(v, 1.00), 50);
  std::vector<double> none;
  EXPECT_TRUE(std::isnan(percentile(none, 0.5)));
}

}  // namespace
}  // namespace perjoule::math
