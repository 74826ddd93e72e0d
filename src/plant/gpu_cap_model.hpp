// How time, power and energy of a GPU workload answer to a power cap (W) or a locked core clock (MHz), fitted
// to a table of measurements and predicted for a workload never seen from ONE measurement at the highest
// limit.
//
// Mechanism (eleven device parameters, docs/models/gpu-power.md): a workload keeps the GPU busy a share d of
// its time at a running power above the floor; a limit lowers the clock of the busy part along P = floor + A
// f V(f)^2; the busy part stretches, except for a fixed host time per step; and the rest of the step (input,
// synchronisation) hides part of that stretch:
//     T(l) = (1 + d^p (s(l)^p - 1))^(1/p),   E(l) T0-relative = [floor T + d s (P_run(l) - floor)] / P0.
// On top lies a kernel-weighted mean of the training workloads' own residuals, which fades to nothing away
// from them. How wide the kernel is, and which of two forms of the mechanism is used, is chosen within the
// training table by leaving its groups out in turn.
//
// Thread rule: values; const use is safe from any thread. Ownership: owns everything. Units: in the types;
// limits are W or MHz as LimitKind says. Deterministic: no random numbers, no clock.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"

namespace perjoule::plant {

namespace detail {
struct CapField;
}

enum class LimitKind {
  kPowerCap,   // limits are watts
  kCoreClock,  // limits are megahertz
};

// One measured row. Rows of one `workload` form a curve; rows of one `group` (the network) are held out
// together.
struct CapSample {
  std::string workload;
  std::string group;
  double limit = 0.0;      // W or MHz
  base::Seconds time;      // for a fixed piece of work (an epoch, a kernel)
  base::Watts mean_power;  // over that time; may exceed a low cap (clock floor), which is kept
  // Steps (iterations, launches of the kernel) within that time, where known. The model asks how long a step
  // takes: short ones wait for the host and answer less to the limit. All rows have it, or it is not used.
  std::optional<double> steps;
};

// What is known of the workload to predict: one measurement at the highest limit.
struct CapReference {
  double limit = 0.0;  // W or MHz
  base::Seconds time;
  base::Watts mean_power;
  std::optional<base::Seconds> step;  // time of one step; without it the typical one of the table is taken
};

struct CapPrediction {
  double relative_time = 1.0;  // to the reference
  double relative_power = 1.0;
  double relative_energy = 1.0;
  base::Seconds time;
  base::Watts mean_power;
  base::Joules energy;
  // One standard deviation of relative energy, as a fraction: the errors of the nearest training workloads
  // when their own group was left out, so it includes what a new network adds. With fewer than two groups it
  // is their spread in sample.
  double relative_uncertainty = 0.0;
  // Reference power, step time (where the fit used one) and limit lie within what was fitted.
  bool in_range = false;
};

// Device parameters; bounds and starting values in docs/models/gpu-power.md.
struct CapParameters {
  double floor_w = 0.0;            // W drawn while the workload does not use the cores (context open)
  double running_w = 0.0;          // W of a fully busy workload at the highest limit
  double voltage_floor_sq = 0.0;   // (V below the knee / V at the highest clock)^2
  double knee = 0.0;               // clock over highest clock where voltage starts to rise
  double voltage_curvature = 0.0;  // exponent of that rise
  double clock_floor = 0.0;        // lowest clock over highest clock that a cap can force
  double duty_exponent = 0.0;      // x^g of the dynamic power is duty, x^(1-g) is intensity
  double overlap = 0.0;            // p above: 1 = stalls add to busy time, large = stalls hide it
  double memory_share = 0.0;       // part of the busy time that does not slow with the clock
  double host_s = 0.0;             // s of each step that do not slow either; 0 where step times are unknown
  double duty_shift = 0.0;         // duty goes with (step / typical step)^-duty_shift at equal mean power
};

// What a fit chooses by leaving groups of its own table out, never by a left-out row.
struct CapTuning {
  bool shifts_duty = false;    // duty_shift is fitted; otherwise it is 0
  double power_width = 0.15;   // of the residual kernel, as a share of the span of reference powers; 0 = none
  double step_width = 0.0;     // of the kernel over ln(step time); 0 = step times do not enter
  double prior_workloads = 1;  // workloads' worth of zero that is mixed in
};

// Residuals (log measured - log mechanism) of the training workloads at one limit, one entry per workload.
struct CapResiduals {
  double limit = 0.0;
  std::vector<double> reference_w;  // mean power of the workload at the highest limit, W
  std::vector<double> step_s;       // time of one step there, s; 0 = unknown
  std::vector<double> log_energy;
  std::vector<double> log_time;
  std::vector<double> left_out;  // error of log energy when the workload's group was left out
};

// Scatter of single measurements: variance of log energy of one row about its neighbours along the limit.
struct CapScatter {
  std::vector<double> reference_w;  // one entry per workload with three limits or more
  std::vector<double> variance;
};

// The interval the fit covers and how well it holds there (in sample).
struct CapValidity {
  double lowest_limit = 0.0, highest_limit = 0.0;  // W or MHz
  double lowest_reference_w = 0.0, highest_reference_w = 0.0;
  double lowest_step_s = 0.0, typical_step_s = 0.0, highest_step_s = 0.0;  // s; 0 = step times are not used
  double energy_residual_median = 0.0;  // median |relative energy error| in sample, fraction
  double energy_residual_p90 = 0.0;
  int workloads = 0;
  int rows = 0;
  int rows_above_cap = 0;         // mean power above the power cap: kept
  int workloads_without_top = 0;  // left out: no row at the highest limit, so nothing to be relative to
};

struct CapFitOptions {
  LimitKind kind = LimitKind::kPowerCap;
  std::optional<base::Watts> floor;  // power with an open context and no work, if it was measured
  bool residual_correction = true;   // false: the mechanism alone
  bool use_steps = true;             // false: step times are ignored, as if the table had none
  std::optional<CapTuning> tuning;   // fixed instead of chosen
};

class GpuCapModel {
 public:
  // Fits to at least three workloads with a row at the highest limit and three limits each.
  // Errors: bad_input when a row is not positive and finite, or when there are too few rows.
  static base::Result<GpuCapModel> fit(std::span<const CapSample> samples, const CapFitOptions& options = {});
  // Text written by to_json(). Errors: bad_input with the byte or the key.
  static base::Result<GpuCapModel> from_json(std::string_view text, std::string_view name = "model");
  std::string to_json() const;

  // Time, power, energy at `limit`. A limit above the reference's changes nothing and is out of range.
  CapPrediction predict(const CapReference& reference, double limit) const;
  // The candidate of least predicted energy among those whose relative time is at most `max_slowdown`; the
  // highest candidate when none qualifies. Candidates whose energy exceeds the least by no more than the
  // scatter of one measurement cannot be told apart: of these it is the one most likely to lie within one
  // place of the candidate that a measurement would find least. `candidates` must not be empty.
  double best_limit(const CapReference& reference, std::span<const double> candidates,
                    double max_slowdown = std::numeric_limits<double>::infinity()) const;

  LimitKind kind() const { return kind_; }
  const CapParameters& parameters() const { return parameters_; }
  const CapValidity& validity() const { return validity_; }
  const CapTuning& tuning() const { return tuning_; }
  const std::vector<CapResiduals>& residuals() const { return residuals_; }
  // Standard deviation of log energy of one measured row of a workload with this reference power.
  double scatter_at(base::Watts reference) const;

 private:
  detail::CapField field() const;

  LimitKind kind_ = LimitKind::kPowerCap;
  CapParameters parameters_;
  CapTuning tuning_;
  CapScatter scatter_;
  CapValidity validity_;
  std::vector<CapResiduals> residuals_;  // by rising limit, the highest limit (always 0) left out
};

struct CapGroupScore {
  int workloads = 0;
  int rows = 0;
  double energy_median = 0.0;  // median |relative energy error|, fraction
  double energy_p90 = 0.0;
  int best_within_step = 0;  // workloads
};

// Leave-one-group-out result. Rows at the highest limit are 1 by definition and are not counted.
struct CapCrossValidation {
  double energy_median = 0.0, energy_p90 = 0.0;
  double time_median = 0.0;
  int rows = 0;
  int workloads = 0;
  int best_within_step = 0;
  // The workloads that the lowest cap can bind at all (mean power at the highest cap above the lowest cap).
  // Below that the curve is flat and its measured minimum is a draw of the noise.
  int bindable_workloads = 0;
  int bindable_within_step = 0;
  // Share of rows whose error is at most the uncertainty stated for them (0.68 for a normal error); 0 for the
  // nearest neighbour, which states none.
  double within_uncertainty = 0.0;
  double mean_regret = 0.0;  // measured energy at the chosen cap over the measured least, minus 1
  std::map<std::string, CapGroupScore> groups;

  double share_within_step() const { return workloads > 0 ? double(best_within_step) / workloads : 0.0; }
};

struct CapCrossOptions {
  CapFitOptions fit;
  double step = 25.0;  // W or MHz: the tolerance of "best limit within one step"
};

// Every group in turn is left out, the model is fitted to the others, and the left-out workloads are
// predicted from their row at the highest limit alone. Candidates of the best limit are all limits of the
// table. Errors: those of fit(); fewer than two groups.
base::Result<CapCrossValidation> cross_validate(std::span<const CapSample> samples,
                                                const CapCrossOptions& options = {});
// The same folds and figures for the baseline: the curve of the training workload nearest in mean power.
base::Result<CapCrossValidation> cross_validate_nearest_neighbour(std::span<const CapSample> samples,
                                                                  const CapCrossOptions& options = {});

// How often the best limit can be found at all: what somebody would score who knows the true curve of every
// workload and the scatter of a measurement, and names the limit most likely to lie within one step of the
// least that one more measurement of the same limits finds.
struct CapCeiling {
  int workloads = 0;
  // True curve taken as the measured one, its residuals about the model averaged over three limits. That
  // keeps much of the noise in what is taken for true, so curves look less flat than they are: an upper
  // estimate.
  double expected_hits = 0.0, hits_deviation = 0.0;
  int bindable_workloads = 0;  // as in CapCrossValidation
  double expected_bindable_hits = 0.0;
  // True curve taken as that of the model which has seen the workload.
  double expected_fitted_hits = 0.0;

  // Chance that expected_hits becomes `share` of the workloads (normal approximation).
  double chance_of(double share) const;
};

// Estimated on the whole table, in sample. Errors: those of fit().
base::Result<CapCeiling> best_limit_ceiling(std::span<const CapSample> samples,
                                            const CapCrossOptions& options = {});

}  // namespace perjoule::plant
