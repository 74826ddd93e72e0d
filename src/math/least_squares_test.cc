#include "math/least_squares.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>

namespace perjoule::math {
namespace {

// A fixed sequence of numbers in [0, 1): enough variety for property tests, the same on every machine.
class Sequence {
 public:
  explicit Sequence(std::uint64_t seed) : state_(seed) {}
  double next() {
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    return static_cast<double>(state_ >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

double cost(const DenseMatrix& a, const std::vector<double>& b, const std::vector<double>& x) {
  double sum = 0.0;
  for (std::size_t i = 0; i < a.rows; ++i) {
    double r = -b[i];
    for (std::size_t j = 0; j < a.cols; ++j) r += a.at(i, j) * x[j];
    sum += r * r;
  }
  return sum;
}

// The obvious slow way for three unknowns: a fine grid over the feasible set, with x2 from the sum where
// there is one.
double grid_best(const DenseMatrix& a, const std::vector<double>& b, const std::optional<SumConstraint>& sum,
                 double top) {
  constexpr int kSteps = 60;
  double best = std::numeric_limits<double>::infinity();
  for (int i = 0; i <= kSteps; ++i) {
    for (int j = 0; j <= kSteps; ++j) {
      std::vector<double> x{top * i / kSteps, top * j / kSteps, 0.0};
      if (sum) {
        const auto& d = sum->coefficients;
        x[2] = (sum->total - d[0] * x[0] - d[1] * x[1]) / d[2];
        if (x[2] >= 0.0) best = std::min(best, cost(a, b, x));
        continue;
      }
      for (int k = 0; k <= kSteps; ++k) {
        x[2] = top * k / kSteps;
        best = std::min(best, cost(a, b, x));
      }
    }
  }
  return best;
}

struct Problem {
  DenseMatrix a;
  std::vector<double> b;
};

Problem random_problem(std::uint64_t seed) {
  Sequence random(seed);
  Problem p{DenseMatrix::zeros(7, 3), std::vector<double>(7)};
  for (auto& v : p.a.data) v = random.next();
  for (auto& v : p.b) v = 4.0 * random.next() - 1.5;
  return p;
}

TEST(LeastSquares, RecoversAnExactSolution) {
  const Problem p = random_problem(5);
  const std::vector<double> truth{2.0, 0.5, 3.0};
  std::vector<double> b(p.a.rows);
  for (std::size_t i = 0; i < p.a.rows; ++i) {
    for (std::size_t j = 0; j < 3; ++j) b[i] += p.a.at(i, j) * truth[j];
  }
  const auto fit = solve_nonnegative(p.a, b);
  ASSERT_TRUE(fit.ok());
  for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(fit->x[j], truth[j], 1e-9);
  EXPECT_NEAR(fit->residual_sum_squares, 0.0, 1e-12);
}

TEST(LeastSquares, NoFeasibleGridPointIsBetter) {
  int at_bound = 0;
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Problem p = random_problem(seed);
    const auto fit = solve_nonnegative(p.a, p.b);
    ASSERT_TRUE(fit.ok()) << fit.error().message();
    for (const double x : fit->x) {
      EXPECT_GE(x, 0.0);
      at_bound += x == 0.0 ? 1 : 0;
    }
    EXPECT_NEAR(fit->residual_sum_squares, cost(p.a, p.b, fit->x), 1e-9);
    const double grid = grid_best(p.a, p.b, std::nullopt, 4.0);
    EXPECT_LE(fit->residual_sum_squares, grid + 1e-9) << "seed " << seed;
    EXPECT_GE(fit->residual_sum_squares, grid - 0.2) << "seed " << seed;
  }
  EXPECT_GT(at_bound, 10) << "the problems must exercise the bounds";
}

// The optimum's own certificate (Karush, Kuhn and Tucker): no slope on the unknowns in use, none upwards at
// the bound.
TEST(LeastSquares, ManyUnknownsMeetTheOptimalityConditions) {
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    Sequence random(seed);
    Problem p{DenseMatrix::zeros(20, 12), std::vector<double>(20)};
    for (auto& v : p.a.data) v = random.next() - 0.4;
    for (auto& v : p.b) v = 4.0 * random.next() - 1.5;
    const auto fit = solve_nonnegative(p.a, p.b);
    ASSERT_TRUE(fit.ok());
    for (std::size_t j = 0; j < p.a.cols; ++j) {
      double slope = 0.0;
      for (std::size_t i = 0; i < p.a.rows; ++i) {
        double r = p.b[i];
        for (std::size_t k = 0; k < p.a.cols; ++k) r -= p.a.at(i, k) * fit->x[k];
        slope += p.a.at(i, j) * r;
      }
      EXPECT_LE(slope, 1e-7) << "seed " << seed << " unknown " << j;
      if (fit->x[j] > 0.0) {
        EXPECT_GE(slope, -1e-7) << "seed " << seed << " unknown " << j;
      }
    }
  }
}

TEST(LeastSquares, SumIsExactAndNoFeasibleGridPointIsBetter) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    const Problem p = random_problem(seed);
    const SumConstraint sum{{1.0, 0.5, 2.0}, 3.0};
    const auto fit = solve_nonnegative(p.a, p.b, sum);
    ASSERT_TRUE(fit.ok());
    EXPECT_NEAR(fit->x[0] + 0.5 * fit->x[1] + 2.0 * fit->x[2], 3.0, 1e-9);
    for (const double x : fit->x) EXPECT_GE(x, 0.0);
    EXPECT_LE(fit->residual_sum_squares, grid_best(p.a, p.b, sum, 6.0) + 1e-9) << "seed " << seed;
  }
}

TEST(LeastSquares, CovarianceEqualsTheTwoByTwoInverse) {
  DenseMatrix a{3, 2, {1.0, 0.0, 0.5, 0.5, 0.0, 1.0}};
  const auto fit = solve_nonnegative(a, {1.0, 1.0, 1.0});
  ASSERT_TRUE(fit.ok());
  // A'A = [1.25 0.25; 0.25 1.25], determinant 1.5.
  EXPECT_NEAR(fit->covariance.at(0, 0), 1.25 / 1.5, 1e-12);
  EXPECT_NEAR(fit->covariance.at(0, 1), -0.25 / 1.5, 1e-12);
  const auto tied = solve_nonnegative(a, {1.0, 1.0, 1.0}, SumConstraint{{1.0, 1.0}, 2.0});
  ASSERT_TRUE(tied.ok());
  // Along (1, -1): 1 / (2 * 1.25 - 2 * 0.25) = 0.5, and the sum itself has no variance.
  EXPECT_NEAR(tied->covariance.at(0, 0), 0.5, 1e-12);
  EXPECT_NEAR(tied->covariance.at(0, 0) + tied->covariance.at(0, 1), 0.0, 1e-12);
}

TEST(LeastSquares, RefusesDependentColumnsAndBadShapes) {
  const DenseMatrix twins{3, 2, {1.0, 1.0, 0.5, 0.5, 0.2, 0.2}};
  const auto dependent = solve_nonnegative(twins, {1.0, 1.0, 1.0});
  ASSERT_FALSE(dependent.ok());
  EXPECT_EQ(dependent.error().kind, base::ErrorKind::kAnswerIsNo);
  const DenseMatrix a{2, 2, {1.0, 0.0, 0.0, 1.0}};
  EXPECT_EQ(solve_nonnegative(a, {1.0}).error().kind, base::ErrorKind::kBadInput);
  EXPECT_FALSE(solve_nonnegative(a, {1.0, 1.0}, SumConstraint{{1.0, 0.0}, 1.0}).ok());
  EXPECT_FALSE(solve_nonnegative(a, {1.0, 1.0}, SumConstraint{{1.0, 1.0}, -1.0}).ok());
}

TEST(ConditionNumber, KnownValues) {
  EXPECT_NEAR(condition_number({2, 2, {3.0, 0.0, 0.0, 0.1}}), 1.0, 1e-12);  // scaled columns
  // Two unit columns with cosine c: sqrt((1 + c) / (1 - c)); here c = 0.6, so 2.
  EXPECT_NEAR(condition_number({2, 2, {1.0, 0.6, 0.0, 0.8}}), 2.0, 1e-12);
  EXPECT_TRUE(std::isinf(condition_number({2, 2, {1.0, 0.0, 1.0, 0.0}})));
  EXPECT_TRUE(std::isinf(condition_number({1, 2, {1.0, 0.5}})));
}

}  // namespace
}  // namespace perjoule::math
