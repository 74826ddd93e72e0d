#include "math/simplex_search.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace perjoule::math {
namespace {

TEST(SimplexSearch, FindsTheEndOfTheBananaValley) {
  const auto rosenbrock = [](const std::vector<double>& p) {
    return 100.0 * std::pow(p[1] - p[0] * p[0], 2) + std::pow(1.0 - p[0], 2);
  };
  const auto best = simplex_search(rosenbrock, {-1.2, 1.0}, 0.5, 300);
  EXPECT_NEAR(best[0], 1.0, 1e-5);
  EXPECT_NEAR(best[1], 1.0, 1e-5);
}

TEST(SimplexSearch, HandlesAKinkInThreeVariables) {
  const auto kink = [](const std::vector<double>& p) {
    return std::abs(p[0] - 3.0) + 2.0 * std::abs(p[1] + 1.0) + std::abs(p[2]);
  };
  const auto best = simplex_search(kink, {10.0, 10.0, 10.0}, 5.0, 400);
  EXPECT_LT(kink(best), 1e-3);
}

TEST(SimplexSearch, NeverWorseThanTheStart) {
  const auto bumpy = [](const std::vector<double>& p) { return std::sin(9.0 * p[0]) + 0.1 * p[0] * p[0]; };
  for (int i = -20; i <= 20; ++i) {
    const std::vector<double> start{0.3 * i};
    EXPECT_LE(bumpy(simplex_search(bumpy, start, 0.1, 30)), bumpy(start));
  }
}

}  // namespace
}  // namespace perjoule::math
