// Inside of the GPU cap model, shared by its fit, its prediction and its cross-validation. Not for other
// modules. Thread rule: pure functions and values. Units: W or MHz as LimitKind says; all responses are
// relative.
#pragma once

#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "plant/gpu_cap_model.hpp"

namespace perjoule::plant::detail {

// Response of one workload to a limit, relative to its reference.
struct CapResponse {
  double time = 1.0;
  double energy = 1.0;
};

// Dynamic power against clock, both over their value at the highest clock: y = f V(f)^2. Tabulated once per
// parameter set because a fit inverts it thousands of times.
class DynamicCurve {
 public:
  explicit DynamicCurve(const CapParameters& parameters);
  double power_at(double clock) const;  // clock 0..1
  double clock_at(double power) const;  // inverse, clamped to the table

 private:
  static constexpr int kPoints = 400;
  static constexpr double kLowest = 0.02;
  std::array<double, kPoints> power_{};
};

// The mechanism without correction.
CapResponse mechanism(const CapParameters& parameters, const DynamicCurve& curve, LimitKind kind,
                      double reference_w, double limit, double reference_limit);

struct CapPoint {
  double limit = 0.0;
  double relative_time = 1.0;
  double relative_energy = 1.0;
};

// One workload's measured curve by rising limit; the last point is the reference (1, 1).
struct CapCurve {
  std::string workload;
  std::string group;
  CapReference reference;
  std::vector<CapPoint> points;
};

struct CapCurves {
  std::vector<CapCurve> curves;  // by workload name
  std::vector<double> limits;    // all limits of the table, rising
  int rows_above_cap = 0;
  int without_top = 0;
};

// Groups rows into curves; rows repeated for one workload and limit are averaged (time, and energy).
base::Result<CapCurves> make_curves(std::span<const CapSample> samples, LimitKind kind);

// Least squares of the device parameters on `curves` (bounded, soft-L1, Levenberg-Marquardt).
CapParameters fit_parameters(std::span<const CapCurve> curves, const CapFitOptions& options);

// The q quantile (0..1) by linear interpolation; 0 for an empty set.
double quantile(std::vector<double> values, double q);

}  // namespace perjoule::plant::detail
