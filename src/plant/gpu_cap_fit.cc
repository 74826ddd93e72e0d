// Curves from rows, the mechanism, and the least-squares fit of its parameters.
#include <algorithm>
#include <cmath>
#include <utility>

#include "plant/gpu_cap_detail.hpp"

namespace perjoule::plant::detail {
namespace {

constexpr int kFree = 11;
using Vector = std::array<double, kFree>;
using Matrix = std::array<Vector, kFree>;

double logistic(double z) { return 1.0 / (1.0 + std::exp(-z)); }

// A parameter lives between two bounds: low + (high - low) logistic(z). The starting z is also the centre of
// a weak prior (two units of z weigh as much as one 5 % error), which keeps parameters that a table cannot
// tell at their start.
struct Bound {
  double low, high, start;
};
constexpr double kPriorWeight = 0.5;
constexpr double kEnergyScale = 0.05;  // relative error that counts as one
constexpr double kTimeScale = 0.10;

struct Problem {
  std::span<const CapCurve> curves;
  LimitKind kind;
  CapForm form;
  std::array<Bound, kFree> bounds;

  CapParameters unpack(const Vector& z) const {
    Vector v{};
    for (std::size_t i = 0; i < kFree; ++i) {
      v[i] = bounds[i].low + (bounds[i].high - bounds[i].low) * logistic(z[i]);
    }
    const double host = form.typical_step_s * std::exp(v[9]);
    return {v[0], v[1], v[2], v[3], v[8], v[4], v[5], v[6], v[7], host, v[10]};
  }

  std::vector<double> errors(const Vector& z) const {
    const CapParameters parameters = unpack(z);
    const DynamicCurve dynamic(parameters);
    std::vector<double> out;
    for (const auto& curve : curves) {
      const CapState state = state_of(curve.reference, form);
      for (const auto& point : curve.points) {
        if (point.limit >= curve.reference.limit) continue;
        const auto model = mechanism(parameters, dynamic, kind, state, point.limit);
        out.push_back(std::log(model.energy / point.relative_energy) / kEnergyScale);
        out.push_back(std::log(model.time / point.relative_time) / kTimeScale);
      }
    }
    for (std::size_t i = 0; i < kFree; ++i) out.push_back(kPriorWeight * (z[i] - bounds[i].start));
    return out;
  }
};

// Soft-L1: quadratic near 0, linear far away, so that a few odd rows do not steer the fit.
double soft_l1(double error) { return std::sqrt(1.0 + error * error) - 1.0; }

double cost_of(const std::vector<double>& errors) {
  double sum = 0.0;
  for (const double e : errors) sum += soft_l1(e);
  return sum;
}

// Solves the symmetric positive definite a x = b by Cholesky; false when a is not positive definite.
bool solve(Matrix a, Vector b, Vector& x) {
  for (std::size_t j = 0; j < kFree; ++j) {
    for (std::size_t k = 0; k < j; ++k) a[j][j] -= a[j][k] * a[j][k];
    if (!(a[j][j] > 0.0)) return false;
    a[j][j] = std::sqrt(a[j][j]);
    for (std::size_t i = j + 1; i < kFree; ++i) {
      for (std::size_t k = 0; k < j; ++k) a[i][j] -= a[i][k] * a[j][k];
      a[i][j] /= a[j][j];
    }
  }
  for (std::size_t i = 0; i < kFree; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  for (std::size_t i = kFree; i-- > 0;) {
    for (std::size_t k = i + 1; k < kFree; ++k) b[i] -= a[k][i] * b[k];
    b[i] /= a[i][i];
  }
  x = b;
  return true;
}

struct Normal {
  Matrix hessian{};
  Vector gradient{};
};

// Weighted normal equations of the soft-L1 cost at z, by forward differences.
Normal normal_equations(const Problem& problem, const Vector& z, const std::vector<double>& errors) {
  constexpr double kStep = 1e-4;
  std::array<std::vector<double>, kFree> slope;
  for (std::size_t i = 0; i < kFree; ++i) {
    Vector moved = z;
    moved[i] += kStep;
    slope[i] = problem.errors(moved);
    for (std::size_t r = 0; r < errors.size(); ++r) slope[i][r] = (slope[i][r] - errors[r]) / kStep;
  }
  Normal out;
  for (std::size_t r = 0; r < errors.size(); ++r) {
    const double weight = 1.0 / std::sqrt(1.0 + errors[r] * errors[r]);
    for (std::size_t i = 0; i < kFree; ++i) {
      out.gradient[i] += weight * slope[i][r] * errors[r];
      for (std::size_t j = 0; j <= i; ++j) out.hessian[i][j] += weight * slope[i][r] * slope[j][r];
    }
  }
  for (std::size_t i = 0; i < kFree; ++i) {
    for (std::size_t j = i + 1; j < kFree; ++j) out.hessian[i][j] = out.hessian[j][i];
  }
  return out;
}

// One damped step; false when no damping lowers the cost any more.
bool improve(const Problem& problem, Vector& z, std::vector<double>& errors, double& damping) {
  const Normal normal = normal_equations(problem, z, errors);
  const double before = cost_of(errors);
  for (; damping < 1e9; damping *= 4.0) {
    Matrix a = normal.hessian;
    for (std::size_t i = 0; i < kFree; ++i) a[i][i] *= 1.0 + damping;
    Vector step{};
    if (!solve(a, normal.gradient, step)) continue;
    Vector trial = z;
    for (std::size_t i = 0; i < kFree; ++i) trial[i] -= step[i];
    auto trial_errors = problem.errors(trial);
    const double after = cost_of(trial_errors);
    if (!(after < before)) continue;
    z = trial;
    errors = std::move(trial_errors);
    damping = std::max(damping / 9.0, 1e-9);
    return before - after > 1e-7 * before;
  }
  return false;
}

std::array<Bound, kFree> bounds_of(std::span<const CapCurve> curves, const CapFitOptions& options,
                                   const CapForm& form) {
  double low = curves.front().reference.mean_power.value(), high = low;
  for (const auto& curve : curves) {
    low = std::min(low, curve.reference.mean_power.value());
    high = std::max(high, curve.reference.mean_power.value());
  }
  Bound floor{0.85 * low, 1.05 * low, 0.0};
  const Bound host{std::log(0.002), std::log(2.0), 0.0};
  const Bound shift = form.shifts_duty ? Bound{-0.3, 0.3, 0.0} : Bound{0.0, 0.0, 0.0};
  if (options.floor) floor = {0.999 * options.floor->value(), 1.001 * options.floor->value(), 0.0};
  return {{floor,
           {0.85 * high, 1.45 * high, -0.5},
           {0.3, 0.9, 0.0},     // voltage_floor_sq
           {0.3, 0.9, 0.0},     // knee
           {0.05, 0.45, -1.0},  // clock_floor
           {0.0, 1.0, 0.5},     // duty_exponent
           {1.0, 8.0, -0.5},    // overlap
           {0.0, 0.4, -2.0},    // memory_share
           {0.7, 2.0, -1.0},    // voltage_curvature
           host,                // ln(host_s over the typical step)
           shift}};
}

base::Status check_row(const CapSample& sample) {
  const auto good = [](double v) { return std::isfinite(v) && v > 0.0; };
  if (good(sample.limit) && good(sample.time.value()) && good(sample.mean_power.value()) &&
      good(sample.steps.value_or(1.0)))
    return base::ok_status();
  return base::bad_input("cannot use a row of the power table", "workload " + sample.workload,
                         "limit, time, power and steps must be positive and finite",
                         "remove or repair the row");
}

struct Mean {
  double time = 0.0, energy = 0.0, steps = 0.0;
  int rows = 0;
  bool all_steps = true;
  void add(const CapSample& sample) {
    time += sample.time.value();
    steps += sample.steps.value_or(0.0);
    all_steps = all_steps && sample.steps.has_value();
    energy += (sample.time * sample.mean_power).value();
    ++rows;
  }
};

struct Rows {
  std::string group;
  std::map<double, Mean> by_limit;
};

CapCurve make_curve(const std::string& workload, const Rows& rows) {
  const auto& [top_limit, top] = *rows.by_limit.rbegin();
  CapCurve curve{workload, rows.group, {}, {}};
  curve.reference = {top_limit, base::Seconds(top.time / top.rows), base::Watts(top.energy / top.time), {}};
  if (top.all_steps) curve.reference.step = base::Seconds(top.time / top.steps);
  for (const auto& [limit, mean] : rows.by_limit) {
    const double scale = static_cast<double>(top.rows) / mean.rows;
    curve.points.push_back({limit, scale * mean.time / top.time, scale * mean.energy / top.energy});
  }
  return curve;
}

}  // namespace

DynamicCurve::DynamicCurve(const CapParameters& p) {
  const double low = std::sqrt(p.voltage_floor_sq);
  for (int i = 0; i < kPoints; ++i) {
    const double clock = kLowest + (1.0 - kLowest) * i / (kPoints - 1);
    const double rise =
        clock <= p.knee ? 0.0 : std::pow((clock - p.knee) / (1.0 - p.knee), p.voltage_curvature);
    const double voltage = low + (1.0 - low) * rise;
    power_[static_cast<std::size_t>(i)] = clock * voltage * voltage;
  }
}

double DynamicCurve::power_at(double clock) const {
  const double at = std::clamp((clock - kLowest) / (1.0 - kLowest), 0.0, 1.0) * (kPoints - 1);
  const auto i = std::min(static_cast<std::size_t>(at), static_cast<std::size_t>(kPoints - 2));
  return power_[i] + (at - static_cast<double>(i)) * (power_[i + 1] - power_[i]);
}

double DynamicCurve::clock_at(double power) const {
  if (power <= power_.front()) return kLowest;
  if (power >= power_.back()) return 1.0;
  const auto above = std::upper_bound(power_.begin(), power_.end(), power);
  const auto below = std::prev(above);
  const double u = (power - *below) / (*above - *below);
  return kLowest + (1.0 - kLowest) * (static_cast<double>(below - power_.begin()) + u) / (kPoints - 1);
}

CapState state_of(const CapReference& reference, const CapForm& form) {
  CapState state{reference.mean_power.value(), reference.limit};
  if (form.typical_step_s > 0.0) {
    state.step_s = reference.step.value_or(base::Seconds(form.typical_step_s)).value();
    state.step_ratio = state.step_s / form.typical_step_s;
  }
  return state;
}

CapResponse mechanism(const CapParameters& p, const DynamicCurve& curve, LimitKind kind,
                      const CapState& state, double limit) {
  const double full = p.running_w - p.floor_w;
  const double x = std::clamp((state.watts - p.floor_w) / full, 1e-3, 1.3);
  const double duty = std::min(std::pow(x, p.duty_exponent) * std::pow(state.step_ratio, -p.duty_shift), 1.0);
  const double dynamic = x / duty * full;  // W above the floor while busy, at the highest limit
  const auto clock = [&](double l) {
    if (kind == LimitKind::kCoreClock) return std::min(l / state.limit, 1.0);
    return std::clamp(curve.clock_at((l - p.floor_w) / dynamic), p.clock_floor, 1.0);
  };
  const double here = clock(limit), top = clock(state.limit);
  const double host = state.step_s > 0.0 ? p.host_s / state.step_s : 0.0;
  const double slowing = (1.0 - p.memory_share) / (1.0 + host);
  const double stretch = slowing * top / here + 1.0 - slowing;
  const double drawn = dynamic * curve.power_at(here) / curve.power_at(top);
  CapResponse out;
  out.time =
      std::pow(1.0 + std::pow(duty, p.overlap) * (std::pow(stretch, p.overlap) - 1.0), 1.0 / p.overlap);
  out.energy = (p.floor_w * out.time + duty * stretch * drawn) / (p.floor_w + duty * dynamic);
  return out;
}

base::Result<CapCurves> make_curves(std::span<const CapSample> samples, LimitKind kind) {
  std::map<std::string, Rows> rows;
  CapCurves out;
  for (const auto& sample : samples) {
    PJ_TRY(check_row(sample));
    auto& workload = rows[sample.workload];
    workload.group = sample.group;
    workload.by_limit[sample.limit].add(sample);
    out.limits.push_back(sample.limit);
    if (kind == LimitKind::kPowerCap && sample.mean_power.value() > sample.limit) ++out.rows_above_cap;
  }
  std::sort(out.limits.begin(), out.limits.end());
  out.limits.erase(std::unique(out.limits.begin(), out.limits.end()), out.limits.end());
  for (const auto& [workload, of_workload] : rows) {
    if (of_workload.by_limit.rbegin()->first < out.limits.back()) {
      ++out.without_top;
      continue;
    }
    out.curves.push_back(make_curve(workload, of_workload));
  }
  return out;
}

CapParameters fit_parameters(std::span<const CapCurve> curves, const CapFitOptions& options,
                             const CapForm& form) {
  const Problem problem{curves, options.kind, form, bounds_of(curves, options, form)};
  Vector z{};
  for (std::size_t i = 0; i < kFree; ++i) z[i] = problem.bounds[i].start;
  auto errors = problem.errors(z);
  double damping = 1e-2;
  constexpr int kMostSteps = 100;
  for (int i = 0; i < kMostSteps && improve(problem, z, errors, damping); ++i) {
  }
  return problem.unpack(z);
}

double soft_cost(double log_energy_error) { return soft_l1(log_energy_error / kEnergyScale); }

double quantile(std::vector<double> values, double q) {
  if (values.empty()) return 0.0;
  std::sort(values.begin(), values.end());
  const double at = q * static_cast<double>(values.size() - 1);
  const auto i = static_cast<std::size_t>(at);
  if (i + 1 >= values.size()) return values.back();
  return values[i] + (at - static_cast<double>(i)) * (values[i + 1] - values[i]);
}

}  // namespace perjoule::plant::detail
