// Small least squares with non-negative unknowns and, where wanted, one exact linear sum: min |A x - b| with
// x >= 0 and sum(d_j x_j) = total. A primal active-set method (as Lawson and Hanson, 1974, with the equality
// kept at each step); meant for tens of unknowns. Thread rule: pure functions. Units: the caller's.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "base/result.hpp"

namespace perjoule::math {

// Row-major.
struct DenseMatrix {
  std::size_t rows = 0;
  std::size_t cols = 0;
  std::vector<double> data;  // rows * cols

  static DenseMatrix zeros(std::size_t rows, std::size_t cols) {
    return {rows, cols, std::vector<double>(rows * cols)};
  }
  double& at(std::size_t r, std::size_t c) { return data[r * cols + c]; }
  double at(std::size_t r, std::size_t c) const { return data[r * cols + c]; }
};

struct SumConstraint {
  std::vector<double> coefficients;  // one per unknown, all > 0
  double total = 0.0;                // >= 0
};

struct NonnegativeFit {
  std::vector<double> x;
  double residual_sum_squares = 0.0;
  // Unscaled covariance of x (multiply by the residual variance): on the free unknowns, within the sum
  // constraint. An unknown held at zero has the variance it would have if it were free, so its upper bound
  // stays honest.
  DenseMatrix covariance;
};

// Errors: kBadInput for shapes that do not match, a non-positive coefficient or a negative total; kAnswerIsNo
// where the columns are linearly dependent.
base::Result<NonnegativeFit> solve_nonnegative(const DenseMatrix& a, const std::vector<double>& b,
                                               const std::optional<SumConstraint>& sum = std::nullopt);

// Largest over smallest singular value after each column is scaled to length 1; infinity where a column is
// zero.
double condition_number(const DenseMatrix& a);

}  // namespace perjoule::math
