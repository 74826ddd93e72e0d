// How time, power and energy of a GPU workload answer to a power cap (W) or a locked core clock (MHz), fitted
// to a table of measurements and predicted for a workload never seen from ONE measurement at the highest
// limit.
//
// Mechanism (nine device parameters, docs/models/gpu-power.md): a workload keeps the GPU busy a share d of
// its time at a running power above the floor; a limit lowers the clock of the busy part along P = floor + A
// f V(f)^2; the busy part stretches, and the rest of the step (input, host, synchronisation) hides part of
// that stretch:
//     T(l) = (1 + d^p (s(l)^p - 1))^(1/p),   E(l) T0-relative = [floor T + d s (P_run(l) - floor)] / P0.
// On top lies a kernel-weighted mean of the training workloads' own residuals, which fades to nothing away
// from them.
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
};

// What is known of the workload to predict: one measurement at the highest limit.
struct CapReference {
  double limit = 0.0;  // W or MHz
  base::Seconds time;
  base::Watts mean_power;
};

struct CapPrediction {
  double relative_time = 1.0;  // to the reference
  double relative_power = 1.0;
  double relative_energy = 1.0;
  base::Seconds time;
  base::Watts mean_power;
  base::Joules energy;
  // One standard deviation of relative energy among the nearest training workloads, as a fraction. It does
  // not include what a new network adds: cross_validate() tells that.
  double relative_uncertainty = 0.0;
  bool in_range = false;  // reference power and limit lie within what was fitted
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
};

// Residuals (log measured - log mechanism) of the training workloads at one limit, sorted as they were read.
struct CapResiduals {
  double limit = 0.0;
  std::vector<double> reference_w;  // mean power of the workload at the highest limit, W
  std::vector<double> log_energy;
  std::vector<double> log_time;
};

// The interval the fit covers and how well it holds there (in sample).
struct CapValidity {
  double lowest_limit = 0.0, highest_limit = 0.0;  // W or MHz
  double lowest_reference_w = 0.0, highest_reference_w = 0.0;
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
  // The candidate of least predicted energy whose relative time is at most `max_slowdown`; the highest
  // candidate when none qualifies. `candidates` must not be empty.
  double best_limit(const CapReference& reference, std::span<const double> candidates,
                    double max_slowdown = std::numeric_limits<double>::infinity()) const;

  LimitKind kind() const { return kind_; }
  const CapParameters& parameters() const { return parameters_; }
  const CapValidity& validity() const { return validity_; }
  const std::vector<CapResiduals>& residuals() const { return residuals_; }

 private:
  struct Correction {
    double log_energy = 0.0, log_time = 0.0, sigma = 0.0;
  };
  Correction correction_at(double reference_w, double limit) const;
  Correction kernel_mean(const CapResiduals& residuals, double reference_w) const;

  LimitKind kind_ = LimitKind::kPowerCap;
  bool correct_ = true;
  CapParameters parameters_;
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

}  // namespace perjoule::plant
