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

// A workload as the mechanism sees it: its row at the highest limit.
struct CapState {
  double watts = 0.0;
  double limit = 0.0;
  double step_s = 0.0;      // 0 = unknown: nothing depends on the step
  double step_ratio = 1.0;  // step over the typical step of the table
};

// The mechanism without correction.
CapResponse mechanism(const CapParameters& parameters, const DynamicCurve& curve, LimitKind kind,
                      const CapState& state, double limit);

struct CapPoint {
  double limit = 0.0;
  double relative_time = 1.0;
  double relative_energy = 1.0;
  double left_out = 0.0;  // log predicted - log measured energy with the workload's group left out
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

// Which terms of the mechanism are fitted.
struct CapForm {
  double typical_step_s = 0.0;  // median step of the table; 0 = step times are not used
  bool shifts_duty = false;
};

CapState state_of(const CapReference& reference, const CapForm& form);

// Least squares of the device parameters on `curves` (bounded, soft-L1, Levenberg-Marquardt).
CapParameters fit_parameters(std::span<const CapCurve> curves, const CapFitOptions& options,
                             const CapForm& form);
// Error of log energy over its scale in the fit, as that fit weighs it: quadratic near 0, then linear.
double soft_cost(double log_energy_error);

// Residuals of `curves` about the mechanism, by rising limit.
std::vector<CapResiduals> residuals_of(std::span<const CapCurve> curves, const CapParameters& parameters,
                                       LimitKind kind, const CapForm& form);

// What is learnt from a table: the mechanism with its residuals, ready to answer for a workload.
struct CapField {
  CapParameters parameters;
  DynamicCurve dynamic{parameters};
  LimitKind kind = LimitKind::kPowerCap;
  double power_span = 0.0;  // of the reference powers, W
};

// Added to the mechanism's logarithms at one limit. sigma: spread of the left-out errors of log energy there.
struct CapCorrection {
  double limit = 0.0;
  double log_time = 0.0, log_energy = 0.0, sigma = 0.0;
};

// The corrections of one workload at every limit of `residuals` below its reference's: kernel means of the
// residuals, then moved as little as makes a lower limit never raise the mean power and never shorten the
// time (isotonic regression of the corrected logarithms).
std::vector<CapCorrection> corrections_of(const CapField& field, std::span<const CapResiduals> residuals,
                                          const CapTuning& tuning, const CapState& state);
// Linear between the corrections, fading to 0 at the reference's limit, held below the lowest.
CapCorrection correction_at(std::span<const CapCorrection> corrections, const CapState& state, double limit);

// Chooses the tuning by leaving the groups of `curves` out in turn (at most six folds), and notes each
// point's left-out error in `curves`. With fewer than two groups, or too few workloads without one, it is
// the default tuning and the errors stay 0.
CapTuning choose_tuning(std::span<CapCurve> curves, const CapFitOptions& options, double typical_step_s);

// Scatter of each curve with three points or more about its neighbours, the corrected mechanism removed.
CapScatter scatter_of(std::span<const CapCurve> curves, const CapField& field,
                      std::span<const CapResiduals> residuals, const CapTuning& tuning, const CapForm& form);

// P(candidate i is the least) when each log energy is measured once with independent normal scatter.
std::vector<double> chance_of_least(std::span<const double> log_energy, double sigma);

// Index into `log_energy` (by rising limit) of the choice that best_limit() describes, for curves whose
// measured points scatter independently by `sigma`.
std::size_t choose_among(std::span<const double> log_energy, double sigma);

// The q quantile (0..1) by linear interpolation; 0 for an empty set.
double quantile(std::vector<double> values, double q);

}  // namespace perjoule::plant::detail
