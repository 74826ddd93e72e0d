#include "plant/gpu_cap_model.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "plant/gpu_cap_detail.hpp"

namespace perjoule::plant {
namespace {

// Width of the kernel that averages the scatter of single rows, over the span of reference powers.
constexpr double kScatterWidth = 0.15;
// Relative slack when a limit is compared with the fitted range.
constexpr double kRangeSlack = 0.005;

bool covers(double low, double high, double x) {
  return x >= low * (1.0 - kRangeSlack) && x <= high * (1.0 + kRangeSlack);
}

// The median step of the table, 0 unless every workload has one.
double typical_step(std::span<const detail::CapCurve> curves, bool wanted) {
  std::vector<double> steps;
  for (const auto& curve : curves) {
    if (curve.reference.step) steps.push_back(curve.reference.step->value());
  }
  return wanted && steps.size() == curves.size() ? detail::quantile(steps, 0.5) : 0.0;
}

CapValidity range_of(const detail::CapCurves& set, double typical_step_s) {
  CapValidity validity;
  validity.typical_step_s = typical_step_s;
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
    if (typical_step_s <= 0.0) continue;
    const double step = curve.reference.step->value();
    validity.lowest_step_s = validity.lowest_step_s > 0.0 ? std::min(validity.lowest_step_s, step) : step;
    validity.highest_step_s = std::max(validity.highest_step_s, step);
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
  PJ_ASSIGN(detail::CapCurves set, detail::make_curves(samples, options.kind));
  PJ_TRY(check_enough(set));
  GpuCapModel model;
  model.kind_ = options.kind;
  model.validity_ = range_of(set, typical_step(set.curves, options.use_steps));
  model.tuning_ = detail::choose_tuning(set.curves, options, model.validity_.typical_step_s);
  const detail::CapForm form{model.validity_.typical_step_s, model.tuning_.shifts_duty};
  model.parameters_ = detail::fit_parameters(set.curves, options, form);
  model.residuals_ = detail::residuals_of(set.curves, model.parameters_, options.kind, form);
  model.scatter_ = detail::scatter_of(set.curves, model.field(), model.residuals_, model.tuning_, form);
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

detail::CapField GpuCapModel::field() const {
  return {parameters_, detail::DynamicCurve(parameters_), kind_,
          validity_.highest_reference_w - validity_.lowest_reference_w};
}

CapPrediction GpuCapModel::predict(const CapReference& reference, double limit) const {
  const double watts = reference.mean_power.value();
  const auto& v = validity_;
  CapPrediction out;
  if (limit < reference.limit) {
    const auto state = detail::state_of(reference, {v.typical_step_s, tuning_.shifts_duty});
    const detail::CapField field = this->field();
    const auto raw = detail::mechanism(parameters_, field.dynamic, kind_, state, limit);
    const auto correction =
        detail::correction_at(detail::corrections_of(field, residuals_, tuning_, state), state, limit);
    out.relative_time = raw.time * std::exp(correction.log_time);
    out.relative_energy = raw.energy * std::exp(correction.log_energy);
    out.relative_power = out.relative_energy / out.relative_time;
    out.relative_uncertainty = correction.sigma;
  }
  out.time = reference.time * out.relative_time;
  out.mean_power = reference.mean_power * out.relative_power;
  out.energy = reference.time * reference.mean_power * out.relative_energy;
  const bool step_covered =
      v.typical_step_s <= 0.0 ||
      (reference.step && covers(v.lowest_step_s, v.highest_step_s, reference.step->value()));
  out.in_range = limit <= reference.limit && covers(v.lowest_limit, v.highest_limit, limit) &&
                 covers(v.highest_limit, v.highest_limit, reference.limit) &&
                 covers(v.lowest_reference_w, v.highest_reference_w, watts) && step_covered;
  return out;
}

double GpuCapModel::scatter_at(base::Watts reference) const {
  const double width =
      std::max(kScatterWidth * (validity_.highest_reference_w - validity_.lowest_reference_w), 1e-6);
  double weight = 0.0, variance = 0.0;
  for (std::size_t i = 0; i < scatter_.variance.size(); ++i) {
    const double away = (scatter_.reference_w[i] - reference.value()) / width;
    const double k = std::exp(-0.5 * away * away) + 1e-3;
    weight += k;
    variance += k * scatter_.variance[i];
  }
  return weight > 0.0 ? std::sqrt(variance / weight) : 0.0;
}

double GpuCapModel::best_limit(const CapReference& reference, std::span<const double> candidates,
                               double max_slowdown) const {
  PJ_CHECK(!candidates.empty());
  std::vector<double> limits(candidates.begin(), candidates.end());
  std::sort(limits.begin(), limits.end());
  const double highest = limits.back();
  std::vector<double> log_energy;
  std::erase_if(limits, [&](double limit) {
    const auto predicted = predict(reference, limit);
    if (predicted.relative_time > max_slowdown) return true;
    log_energy.push_back(std::log(predicted.relative_energy));
    return false;
  });
  return limits.empty() ? highest
                        : limits[detail::choose_among(log_energy, scatter_at(reference.mean_power))];
}

}  // namespace perjoule::plant
