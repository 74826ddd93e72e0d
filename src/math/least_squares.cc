#include "math/least_squares.hpp"

#include <Eigen/Dense>
#include <algorithm>
#include <limits>
#include <string>

namespace perjoule::math {
namespace {

using Matrix = Eigen::MatrixXd;
using Vector = Eigen::VectorXd;

Matrix to_eigen(const DenseMatrix& a) {
  using RowMajor = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  return Eigen::Map<const RowMajor>(a.data.data(), static_cast<Eigen::Index>(a.rows),
                                    static_cast<Eigen::Index>(a.cols));
}

base::Status check_shapes(const DenseMatrix& a, const std::vector<double>& b,
                          const std::optional<SumConstraint>& sum) {
  const auto refuse = [](std::string why) {
    return base::bad_input("cannot solve the least squares", "", std::move(why));
  };
  if (a.cols == 0 || a.data.size() != a.rows * a.cols)
    return refuse("the matrix has no columns or the wrong size");
  if (b.size() != a.rows) return refuse("the right-hand side has not one value per row");
  if (!sum) return base::ok_status();
  if (sum->coefficients.size() != a.cols) return refuse("the sum has not one coefficient per unknown");
  if (!(sum->total >= 0.0)) return refuse("the sum's total is negative or not a number");
  const bool positive =
      std::all_of(sum->coefficients.begin(), sum->coefficients.end(), [](double d) { return d > 0.0; });
  if (!positive) return refuse("a coefficient of the sum is not positive");
  return base::ok_status();
}

// The problem as normal equations: min x'Gx - 2c'x, with d'x = total where `tied`.
struct Quadratic {
  Matrix g;
  Vector c;
  Vector d;
  double total = 0.0;
  bool tied = false;
};

Quadratic make_quadratic(const Matrix& a, const Vector& b, const std::optional<SumConstraint>& sum) {
  Quadratic q{a.transpose() * a, a.transpose() * b, Vector::Zero(a.cols()), 0.0, sum.has_value()};
  if (sum) {
    q.d = Eigen::Map<const Vector>(sum->coefficients.data(), a.cols());
    const double scale = q.d.norm();  // keeps the bordered matrix well scaled
    q.total = sum->total / scale;
    q.d /= scale;
  }
  return q;
}

// The bordered (KKT) matrix of the unknowns in `free`.
Matrix bordered(const Quadratic& q, const std::vector<Eigen::Index>& free) {
  const auto n = static_cast<Eigen::Index>(free.size());
  const Eigen::Index size = n + (q.tied ? 1 : 0);
  Matrix k = Matrix::Zero(size, size);
  for (Eigen::Index i = 0; i < n; ++i) {
    for (Eigen::Index j = 0; j < n; ++j)
      k(i, j) = q.g(free[static_cast<std::size_t>(i)], free[static_cast<std::size_t>(j)]);
    if (q.tied) k(i, n) = k(n, i) = q.d(free[static_cast<std::size_t>(i)]);
  }
  return k;
}

struct Candidate {
  Vector x;             // all unknowns, zero where not free
  double multiplier{};  // of the sum constraint
};

Candidate solve_free(const Quadratic& q, const std::vector<Eigen::Index>& free) {
  const auto n = static_cast<Eigen::Index>(free.size());
  const Matrix k = bordered(q, free);
  Vector rhs(k.rows());
  for (Eigen::Index i = 0; i < n; ++i) rhs(i) = q.c(free[static_cast<std::size_t>(i)]);
  if (q.tied) rhs(n) = q.total;
  const Vector s = k.fullPivLu().solve(rhs);
  Candidate out{Vector::Zero(q.c.size()), q.tied ? s(n) : 0.0};
  for (Eigen::Index i = 0; i < n; ++i) out.x(free[static_cast<std::size_t>(i)]) = s(i);
  return out;
}

// Moves from x towards the candidate until the first unknown reaches zero, and drops what is at zero from
// `free`.
void step_towards(const Vector& goal, Vector& x, std::vector<Eigen::Index>& free) {
  double alpha = 1.0;
  for (const auto j : free) {
    if (goal(j) <= 0.0)
      alpha = std::min(alpha, x(j) / std::max(x(j) - goal(j), std::numeric_limits<double>::min()));
  }
  x += alpha * (goal - x);
  const double tiny = 1e-12 * std::max(1.0, x.cwiseAbs().maxCoeff());
  std::erase_if(free, [&](Eigen::Index j) {
    const bool gone = goal(j) <= 0.0 && x(j) <= tiny;
    if (gone) x(j) = 0.0;
    return gone;
  });
}

// The unknown at zero whose release lowers the residual most, or -1 at the optimum.
Eigen::Index best_release(const Quadratic& q, const Candidate& now, const std::vector<Eigen::Index>& free) {
  const Vector slope = q.c - q.g * now.x - now.multiplier * q.d;
  const double tolerance = 1e-10 * std::max(1.0, q.c.cwiseAbs().maxCoeff());
  Eigen::Index best = -1;
  for (Eigen::Index j = 0; j < slope.size(); ++j) {
    if (std::find(free.begin(), free.end(), j) != free.end() || slope(j) <= tolerance) continue;
    if (best < 0 || slope(j) > slope(best)) best = j;
  }
  return best;
}

Vector minimise(const Quadratic& q) {
  const auto n = q.c.size();
  // A feasible start with every unknown positive, so that steps only ever shrink towards a bound.
  Vector x = Vector::Constant(n, q.tied ? q.total / q.d.sum() : 1.0);
  std::vector<Eigen::Index> free(static_cast<std::size_t>(n));
  for (Eigen::Index j = 0; j < n; ++j) free[static_cast<std::size_t>(j)] = j;
  for (Eigen::Index round = 0; round < 20 * n + 20; ++round) {
    const Candidate goal = solve_free(q, free);
    const bool inside =
        std::all_of(free.begin(), free.end(), [&](Eigen::Index j) { return goal.x(j) > 0.0; });
    if (!inside) {
      step_towards(goal.x, x, free);
      if (free.empty()) return x;
      continue;
    }
    x = goal.x;
    const Eigen::Index release = best_release(q, goal, free);
    if (release < 0) return x;
    free.push_back(release);
  }
  return x;
}

DenseMatrix free_covariance(const Quadratic& q) {
  std::vector<Eigen::Index> all(static_cast<std::size_t>(q.c.size()));
  for (std::size_t j = 0; j < all.size(); ++j) all[j] = static_cast<Eigen::Index>(j);
  const Matrix inverse = bordered(q, all).fullPivLu().inverse();
  DenseMatrix out = DenseMatrix::zeros(all.size(), all.size());
  for (std::size_t i = 0; i < all.size(); ++i) {
    for (std::size_t j = 0; j < all.size(); ++j) {
      out.at(i, j) = inverse(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(j));
    }
  }
  return out;
}

}  // namespace

base::Result<NonnegativeFit> solve_nonnegative(const DenseMatrix& a, const std::vector<double>& b,
                                               const std::optional<SumConstraint>& sum) {
  PJ_TRY(check_shapes(a, b, sum));
  if (condition_number(a) > 1e7) {
    return base::Error{base::ErrorKind::kAnswerIsNo, "cannot solve the least squares", "",
                       "its columns are linearly dependent", "merge unknowns that always occur together"};
  }
  const Matrix m = to_eigen(a);
  const Vector rhs = Eigen::Map<const Vector>(b.data(), static_cast<Eigen::Index>(b.size()));
  const Quadratic q = make_quadratic(m, rhs, sum);
  const Vector x = minimise(q);
  NonnegativeFit fit;
  fit.x.assign(x.data(), x.data() + x.size());
  fit.residual_sum_squares = (m * x - rhs).squaredNorm();
  fit.covariance = free_covariance(q);
  return fit;
}

double condition_number(const DenseMatrix& a) {
  if (a.rows == 0 || a.cols == 0) return std::numeric_limits<double>::infinity();
  Matrix m = to_eigen(a);
  for (Eigen::Index j = 0; j < m.cols(); ++j) {
    const double norm = m.col(j).norm();
    if (!(norm > 0.0)) return std::numeric_limits<double>::infinity();
    m.col(j) /= norm;
  }
  const Vector s = m.bdcSvd().singularValues();
  const double smallest = m.rows() < m.cols() ? 0.0 : s(s.size() - 1);
  return smallest > 0.0 ? s(0) / smallest : std::numeric_limits<double>::infinity();
}

}  // namespace perjoule::math
