#include "plant/gpu_cap_model.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "plant/gpu_cap_detail.hpp"

namespace perjoule::plant {
namespace {

// Width of the residual kernel over the span of reference powers, and how many workloads' worth of zero is
// mixed in. Chosen while looking at cross-validation output; see docs/models/gpu-power.md.
constexpr double kKernelShare = 0.15;
constexpr double kPriorCount = 1.0;
// Relative slack when a limit is compared with the fitted range.
constexpr double kRangeSlack = 0.005;

double kernel(double distance, double width) {
  return std::exp(-0.5 * distance * distance / (width * width));
}

bool covers(double low, double high, double x) {
  return x >= low * (1.0 - kRangeSlack) && x <= high * (1.0 + kRangeSlack);
}

// Everything the fit can say about `curves` once the device parameters are known.
std::vector<CapResiduals> residuals_of(std::span<const detail::CapCurve> curves,
                                       const CapParameters& parameters, LimitKind kind) {
  const detail::DynamicCurve dynamic(parameters);
  std::map<double, CapResiduals> by_limit;
  for (const auto& curve : curves) {
    const double watts = curve.reference.mean_power.value();
    for (const auto& point : curve.points) {
      if (point.limit >= curve.reference.limit) continue;
      const auto model =
          detail::mechanism(parameters, dynamic, kind, watts, point.limit, curve.reference.limit);
      auto& out = by_limit[point.limit];
      out.limit = point.limit;
      out.reference_w.push_back(watts);
      out.log_energy.push_back(std::log(point.relative_energy / model.energy));
      out.log_time.push_back(std::log(point.relative_time / model.time));
    }
  }
  std::vector<CapResiduals> out;
  for (auto& [limit, residuals] : by_limit) out.push_back(std::move(residuals));
  return out;
}

CapValidity range_of(const detail::CapCurves& set) {
  CapValidity validity;
  validity.lowest_limit = set.limits.front();
  validity.highest_limit = set.limits.back();
  validity.workloads = static_cast<int>(set.curves.size());
  validity.rows_above_cap = set.rows_above_cap;
  validity.workloads_without_top = set.without_top;
  validity.lowest_reference_w = set.curves.front().reference.mean_power.value();
  for (const auto& curve : set.curves) {
    const double watts = curve.reference.mean_power.value();
    validity.lowest_reference_w = std::min(validity.lowest_reference_w, watts);
    validity.highest_reference_w = std::max(validity.highest_reference_w, watts);
    validity.rows += static_cast<int>(curve.points.size());
  }
  return validity;
}

base::Status check_enough(const detail::CapCurves& set) {
  const auto usable = std::count_if(set.curves.begin(), set.curves.end(),
                                    [](const auto& curve) { return curve.points.size() >= 3; });
  if (usable >= 3) return base::ok_status();
  return base::bad_input(
      "cannot fit the GPU cap model", "",
      std::to_string(usable) + " workloads have three limits or more with one at the highest",
      "measure at least three workloads at three limits each");
}

}  // namespace

base::Result<GpuCapModel> GpuCapModel::fit(std::span<const CapSample> samples, const CapFitOptions& options) {
  PJ_ASSIGN(const detail::CapCurves set, detail::make_curves(samples, options.kind));
  PJ_TRY(check_enough(set));
  GpuCapModel model;
  model.kind_ = options.kind;
  model.correct_ = options.residual_correction;
  model.parameters_ = detail::fit_parameters(set.curves, options);
  model.validity_ = range_of(set);
  model.residuals_ = residuals_of(set.curves, model.parameters_, options.kind);
  std::vector<double> errors;
  for (const auto& curve : set.curves) {
    for (const auto& point : curve.points) {
      if (point.limit >= curve.reference.limit) continue;
      const double predicted = model.predict(curve.reference, point.limit).relative_energy;
      errors.push_back(std::abs(predicted / point.relative_energy - 1.0));
    }
  }
  model.validity_.energy_residual_median = detail::quantile(errors, 0.5);
  model.validity_.energy_residual_p90 = detail::quantile(errors, 0.9);
  return model;
}

GpuCapModel::Correction GpuCapModel::kernel_mean(const CapResiduals& residuals, double reference_w) const {
  const double width =
      std::max(kKernelShare * (validity_.highest_reference_w - validity_.lowest_reference_w), 1e-6);
  double weight = 0.0, energy = 0.0, time = 0.0, square = 0.0;
  for (std::size_t i = 0; i < residuals.reference_w.size(); ++i) {
    const double k = kernel(residuals.reference_w[i] - reference_w, width);
    weight += k;
    energy += k * residuals.log_energy[i];
    time += k * residuals.log_time[i];
  }
  Correction out;
  if (correct_) out.log_energy = energy / (weight + kPriorCount);
  if (correct_) out.log_time = time / (weight + kPriorCount);
  for (std::size_t i = 0; i < residuals.reference_w.size(); ++i) {
    const double rest = residuals.log_energy[i] - out.log_energy;
    square += (kernel(residuals.reference_w[i] - reference_w, width) + 1e-3) * rest * rest;
  }
  const auto count = static_cast<double>(residuals.reference_w.size());
  out.sigma = std::sqrt(square / (weight + 1e-3 * count));
  return out;
}

// Linear between the fitted limits, fading to 0 at the highest; held below the lowest.
GpuCapModel::Correction GpuCapModel::correction_at(double reference_w, double limit) const {
  if (residuals_.empty() || limit >= validity_.highest_limit) return {};
  const auto above = std::lower_bound(residuals_.begin(), residuals_.end(), limit,
                                      [](const CapResiduals& r, double l) { return r.limit < l; });
  const auto at = [&](auto it) {
    return it == residuals_.end() ? Correction{} : kernel_mean(*it, reference_w);
  };
  if (above == residuals_.begin()) return at(above);
  const auto below = std::prev(above);
  const double high = above == residuals_.end() ? validity_.highest_limit : above->limit;
  const double u = (limit - below->limit) / (high - below->limit);
  const Correction a = at(below), b = at(above);
  return {a.log_energy + u * (b.log_energy - a.log_energy), a.log_time + u * (b.log_time - a.log_time),
          a.sigma + u * (b.sigma - a.sigma)};
}

CapPrediction GpuCapModel::predict(const CapReference& reference, double limit) const {
  const double watts = reference.mean_power.value();
  CapPrediction out;
  if (limit < reference.limit) {
    const auto raw = detail::mechanism(parameters_, detail::DynamicCurve(parameters_), kind_, watts, limit,
                                       reference.limit);
    const Correction correction = correction_at(watts, limit);
    out.relative_time = raw.time * std::exp(correction.log_time);
    out.relative_energy = raw.energy * std::exp(correction.log_energy);
    out.relative_power = out.relative_energy / out.relative_time;
    out.relative_uncertainty = correction.sigma;
  }
  out.time = reference.time * out.relative_time;
  out.mean_power = reference.mean_power * out.relative_power;
  out.energy = reference.time * reference.mean_power * out.relative_energy;
  out.in_range = limit <= reference.limit && covers(validity_.lowest_limit, validity_.highest_limit, limit) &&
                 covers(validity_.highest_limit, validity_.highest_limit, reference.limit) &&
                 covers(validity_.lowest_reference_w, validity_.highest_reference_w, watts);
  return out;
}

double GpuCapModel::best_limit(const CapReference& reference, std::span<const double> candidates,
                               double max_slowdown) const {
  PJ_CHECK(!candidates.empty());
  double best = *std::max_element(candidates.begin(), candidates.end());
  double least = std::numeric_limits<double>::infinity();
  for (const double limit : candidates) {
    const auto predicted = predict(reference, limit);
    if (predicted.relative_time > max_slowdown || predicted.relative_energy >= least) continue;
    least = predicted.relative_energy;
    best = limit;
  }
  return best;
}

}  // namespace perjoule::plant
