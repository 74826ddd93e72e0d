// What the cap model learns about itself within its own table: the residual kernel, its tuning by leaving
// groups out, the scatter of single rows, and the choice among limits that scatter cannot tell apart.
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numbers>

#include "plant/gpu_cap_detail.hpp"

namespace perjoule::plant::detail {
namespace {

// More groups than this share folds, so that a table of many groups costs no more than one of few.
constexpr std::size_t kMostFolds = 6;
// Weight of a workload far away from the place asked for, so that a spread is always defined.
constexpr double kFarWeight = 1e-3;

double bell(double away) { return std::exp(-0.5 * away * away); }

double kernel(const CapResiduals& residuals, std::size_t i, const CapTuning& tuning, double power_span,
              const CapState& state) {
  if (tuning.power_width <= 0.0) return 0.0;
  const double width = std::max(tuning.power_width * power_span, 1e-6);
  double k = bell((residuals.reference_w[i] - state.watts) / width);
  if (tuning.step_width > 0.0 && state.step_s > 0.0 && residuals.step_s[i] > 0.0) {
    k *= bell(std::log(residuals.step_s[i] / state.step_s) / tuning.step_width);
  }
  return k;
}

CapCorrection kernel_mean(const CapResiduals& residuals, const CapTuning& tuning, double power_span,
                          const CapState& state) {
  double weight = 0.0, energy = 0.0, time = 0.0, square = 0.0;
  const std::size_t count = residuals.reference_w.size();
  for (std::size_t i = 0; i < count; ++i) {
    const double k = kernel(residuals, i, tuning, power_span, state);
    weight += k;
    energy += k * residuals.log_energy[i];
    time += k * residuals.log_time[i];
    square += (k + kFarWeight) * residuals.left_out[i] * residuals.left_out[i];
  }
  CapCorrection out{residuals.limit};
  out.log_energy = energy / (weight + tuning.prior_workloads);
  out.log_time = time / (weight + tuning.prior_workloads);
  out.sigma = std::sqrt(square / (weight + kFarWeight * static_cast<double>(count)));
  return out;
}

// The non-increasing sequence nearest to `values` in least squares (pool adjacent violators).
std::vector<double> falling(const std::vector<double>& values) {
  struct Pool {
    double mean;
    std::size_t count;
  };
  std::vector<Pool> pools;
  for (const double value : values) {
    pools.push_back({value, 1});
    while (pools.size() > 1 && pools[pools.size() - 2].mean < pools.back().mean) {
      const Pool last = pools.back();
      pools.pop_back();
      Pool& into = pools.back();
      const auto count = static_cast<double>(into.count + last.count);
      into.mean =
          (into.mean * static_cast<double>(into.count) + last.mean * static_cast<double>(last.count)) / count;
      into.count += last.count;
    }
  }
  std::vector<double> out;
  for (const Pool& pool : pools) out.insert(out.end(), pool.count, pool.mean);
  return out;
}

double reference_span(std::span<const CapCurve> curves) {
  const auto [low, high] = std::minmax_element(
      curves.begin(), curves.end(),
      [](const auto& a, const auto& b) { return a.reference.mean_power < b.reference.mean_power; });
  return (high->reference.mean_power - low->reference.mean_power).value();
}

// Every tuning that is tried. One place for it: docs/models/gpu-power.md says how many there are.
std::vector<CapTuning> tunings(const CapFitOptions& options, bool steps) {
  if (options.tuning) return {*options.tuning};
  std::vector<CapTuning> out;
  for (const bool shifts : {false, true}) {
    if (shifts && !steps) continue;
    out.push_back({shifts, 0.0, 0.0, 1.0});
    if (!options.residual_correction) continue;
    for (const double power : {0.10, 0.15, 0.30}) {
      for (const double step : {0.0, 1.0, 2.0}) {
        if (step > 0.0 && !steps) continue;
        for (const double prior : {1.0, 3.0}) out.push_back({shifts, power, step, prior});
      }
    }
  }
  return out;
}

struct Fold {
  std::vector<CapCurve> learn;
  std::vector<std::size_t> left_out;  // indices of the curves
};

std::vector<Fold> folds_of(std::span<const CapCurve> curves) {
  std::map<std::string, std::size_t> groups;
  for (const auto& curve : curves) groups.emplace(curve.group, 0);
  std::size_t next = 0;
  for (auto& [group, fold] : groups) fold = next++ % kMostFolds;
  std::vector<Fold> folds(std::min(groups.size(), kMostFolds));
  for (std::size_t i = 0; i < curves.size(); ++i) {
    const std::size_t out = groups.at(curves[i].group);
    for (std::size_t f = 0; f < folds.size(); ++f) {
      if (f == out) folds[f].left_out.push_back(i);
      if (f != out) folds[f].learn.push_back(curves[i]);
    }
  }
  return folds;
}

bool can_learn(const Fold& fold) {
  return std::count_if(fold.learn.begin(), fold.learn.end(),
                       [](const auto& curve) { return curve.points.size() >= 3; }) >= 3;
}

// Errors of log energy of one tuning at the points of the left-out curves, in their order.
using Errors = std::vector<std::vector<double>>;

// What is fitted once per fold and form, however many kernels are tried on it.
class Learnt {
 public:
  Learnt(const Fold& fold, const CapFitOptions& options, const CapForm& form)
      : form_(form),
        field_{fit_parameters(fold.learn, options, form)},
        residuals_(residuals_of(fold.learn, field_.parameters, options.kind, form)) {
    field_.kind = options.kind;
    field_.power_span = reference_span(fold.learn);
  }

  std::vector<double> errors(const CapCurve& curve, const CapTuning& tuning) const {
    const CapState state = state_of(curve.reference, form_);
    const auto corrections = corrections_of(field_, residuals_, tuning, state);
    std::vector<double> out;
    for (const auto& point : curve.points) {
      if (point.limit >= curve.reference.limit) continue;
      const auto raw = mechanism(field_.parameters, field_.dynamic, field_.kind, state, point.limit);
      out.push_back(std::log(raw.energy / point.relative_energy) +
                    correction_at(corrections, state, point.limit).log_energy);
    }
    return out;
  }

 private:
  CapForm form_;
  CapField field_;
  std::vector<CapResiduals> residuals_;
};

}  // namespace

std::vector<CapResiduals> residuals_of(std::span<const CapCurve> curves, const CapParameters& parameters,
                                       LimitKind kind, const CapForm& form) {
  const DynamicCurve dynamic(parameters);
  std::map<double, CapResiduals> by_limit;
  for (const auto& curve : curves) {
    const CapState state = state_of(curve.reference, form);
    for (const auto& point : curve.points) {
      if (point.limit >= curve.reference.limit) continue;
      const auto model = mechanism(parameters, dynamic, kind, state, point.limit);
      auto& out = by_limit[point.limit];
      out.limit = point.limit;
      out.reference_w.push_back(state.watts);
      out.step_s.push_back(state.step_s);
      out.log_energy.push_back(std::log(point.relative_energy / model.energy));
      out.log_time.push_back(std::log(point.relative_time / model.time));
      out.left_out.push_back(point.left_out);
    }
  }
  std::vector<CapResiduals> out;
  for (auto& [limit, residuals] : by_limit) out.push_back(std::move(residuals));
  return out;
}

std::vector<CapCorrection> corrections_of(const CapField& field, std::span<const CapResiduals> residuals,
                                          const CapTuning& tuning, const CapState& state) {
  std::vector<CapCorrection> out;
  std::vector<CapResponse> raw;
  std::vector<double> log_time, log_saving;  // of mean power: a lower limit saves no less
  for (const auto& at_limit : residuals) {
    if (at_limit.limit >= state.limit) continue;
    raw.push_back(mechanism(field.parameters, field.dynamic, field.kind, state, at_limit.limit));
    out.push_back(kernel_mean(at_limit, tuning, field.power_span, state));
    log_time.push_back(std::log(raw.back().time) + out.back().log_time);
    log_saving.push_back(log_time.back() - std::log(raw.back().energy) - out.back().log_energy);
  }
  log_time = falling(log_time);
  log_saving = falling(log_saving);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const double time = std::max(log_time[i], 0.0), saving = std::max(log_saving[i], 0.0);
    out[i].log_time = time - std::log(raw[i].time);
    out[i].log_energy = time - saving - std::log(raw[i].energy);
  }
  return out;
}

CapCorrection correction_at(std::span<const CapCorrection> corrections, const CapState& state, double limit) {
  if (corrections.empty() || limit >= state.limit) return {};
  const auto above = std::lower_bound(corrections.begin(), corrections.end(), limit,
                                      [](const CapCorrection& c, double l) { return c.limit < l; });
  if (above == corrections.begin()) return *above;
  const CapCorrection a = *std::prev(above);
  const CapCorrection b = above == corrections.end() ? CapCorrection{state.limit} : *above;
  const double u = (limit - a.limit) / (b.limit - a.limit);
  return {limit, a.log_time + u * (b.log_time - a.log_time), a.log_energy + u * (b.log_energy - a.log_energy),
          a.sigma + u * (b.sigma - a.sigma)};
}

CapTuning choose_tuning(std::span<CapCurve> curves, const CapFitOptions& options, double typical_step_s) {
  const auto folds = folds_of(curves);
  const auto candidates = tunings(options, typical_step_s > 0.0);
  if (folds.size() < 2 || !std::all_of(folds.begin(), folds.end(), can_learn)) {
    if (options.tuning) return *options.tuning;
    return options.residual_correction ? CapTuning{} : candidates.front();
  }
  std::vector<Errors> errors(candidates.size(), Errors(curves.size()));
  for (const auto& fold : folds) {
    std::map<bool, Learnt> learnt;
    for (std::size_t c = 0; c < candidates.size(); ++c) {
      const bool shifts = candidates[c].shifts_duty;
      const auto& by =
          learnt.try_emplace(shifts, fold, options, CapForm{typical_step_s, shifts}).first->second;
      for (const std::size_t i : fold.left_out) errors[c][i] = by.errors(curves[i], candidates[c]);
    }
  }
  std::size_t best = 0;
  double least = std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < candidates.size(); ++c) {
    double cost = 0.0;
    for (const auto& curve : errors[c]) {
      for (const double error : curve) cost += soft_cost(error);
    }
    if (cost >= least) continue;
    least = cost;
    best = c;
  }
  for (std::size_t i = 0; i < curves.size(); ++i) {
    for (std::size_t k = 0; k < errors[best][i].size(); ++k)
      curves[i].points[k].left_out = errors[best][i][k];
  }
  return candidates[best];
}

CapScatter scatter_of(std::span<const CapCurve> curves, const CapField& field,
                      std::span<const CapResiduals> residuals, const CapTuning& tuning, const CapForm& form) {
  CapScatter out;
  for (const auto& curve : curves) {
    const CapState state = state_of(curve.reference, form);
    const auto corrections = corrections_of(field, residuals, tuning, state);
    std::vector<double> rest;
    for (const auto& point : curve.points) {
      const auto raw = mechanism(field.parameters, field.dynamic, field.kind, state, point.limit);
      rest.push_back(std::log(point.relative_energy / raw.energy) -
                     correction_at(corrections, state, point.limit).log_energy);
    }
    if (rest.size() < 3) continue;
    double square = 0.0;
    for (std::size_t i = 1; i + 1 < rest.size(); ++i) {
      const auto& p = curve.points;
      const double u = (p[i].limit - p[i - 1].limit) / (p[i + 1].limit - p[i - 1].limit);
      const double bend = rest[i] - (1.0 - u) * rest[i - 1] - u * rest[i + 1];
      square += bend * bend / (1.0 + (1.0 - u) * (1.0 - u) + u * u);
    }
    out.reference_w.push_back(state.watts);
    out.variance.push_back(square / static_cast<double>(rest.size() - 2));
  }
  return out;
}

std::vector<double> chance_of_least(std::span<const double> log_energy, double sigma) {
  constexpr int kNodes = 200;
  constexpr double kReach = 5.0;
  std::vector<double> chance(log_energy.size());
  if (!(sigma > 0.0)) {
    const auto least = std::min_element(log_energy.begin(), log_energy.end());
    if (!chance.empty()) chance[static_cast<std::size_t>(least - log_energy.begin())] = 1.0;
    return chance;
  }
  const double low = *std::min_element(log_energy.begin(), log_energy.end()) - kReach * sigma;
  const double step = 2.0 * kReach * sigma / kNodes;
  for (int node = 0; node <= kNodes; ++node) {
    const double at = low + step * node;
    for (std::size_t i = 0; i < log_energy.size(); ++i) {
      double density = bell((at - log_energy[i]) / sigma) / (sigma * std::sqrt(2.0 * std::numbers::pi));
      for (std::size_t j = 0; j < log_energy.size(); ++j) {
        if (j != i) density *= 0.5 * std::erfc((at - log_energy[j]) / (sigma * std::numbers::sqrt2));
      }
      chance[i] += step * density;
    }
  }
  return chance;
}

std::size_t choose_among(std::span<const double> log_energy, double sigma) {
  const auto least = std::min_element(log_energy.begin(), log_energy.end());
  const auto chance = chance_of_least(log_energy, sigma);
  auto best = static_cast<std::size_t>(least - log_energy.begin());
  double most = -1.0;
  for (std::size_t i = 0; i < log_energy.size(); ++i) {
    if (log_energy[i] > *least + sigma) continue;
    const double near =
        (i > 0 ? chance[i - 1] : 0.0) + chance[i] + (i + 1 < chance.size() ? chance[i + 1] : 0.0);
    if (near <= most + 1e-9) continue;
    most = near;
    best = i;
  }
  return best;
}

}  // namespace perjoule::plant::detail
