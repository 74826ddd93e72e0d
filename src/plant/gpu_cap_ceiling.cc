// How often the best limit of a table can be found by somebody who knows each workload's own curve.
#include <algorithm>
#include <cmath>
#include <numbers>

#include "plant/gpu_cap_detail.hpp"

namespace perjoule::plant {
namespace {

// One workload's log energy by rising limit: of the model that has seen it, and what that leaves.
struct OwnCurve {
  std::vector<double> limits, fitted, rest;
};

OwnCurve own_curve(const detail::CapCurve& curve, const GpuCapModel& model) {
  OwnCurve out;
  for (const auto& point : curve.points) {
    out.limits.push_back(point.limit);
    out.fitted.push_back(std::log(model.predict(curve.reference, point.limit).relative_energy));
    out.rest.push_back(std::log(point.relative_energy) - out.fitted.back());
  }
  return out;
}

// The curve with its residuals averaged over three limits (1/4, 1/2, 1/4).
std::vector<double> smoothed(const OwnCurve& own) {
  std::vector<double> out = own.fitted;
  const std::size_t last = out.size() - 1;
  for (std::size_t i = 0; i <= last; ++i) {
    const double below = own.rest[i > 0 ? i - 1 : 0], above = own.rest[std::min(i + 1, last)];
    out[i] += 0.25 * below + 0.5 * own.rest[i] + 0.25 * above;
  }
  return out;
}

// The greatest chance that any one limit of the table lies within a step of the measured least.
double best_chance(const OwnCurve& own, const std::vector<double>& truth, double sigma,
                   const std::vector<double>& table_limits, double step) {
  const auto chance = detail::chance_of_least(truth, sigma);
  double best = 0.0;
  for (const double named : table_limits) {
    double near = 0.0;
    for (std::size_t i = 0; i < chance.size(); ++i) {
      if (std::abs(own.limits[i] - named) <= step * (1.0 + 1e-9)) near += chance[i];
    }
    best = std::max(best, near);
  }
  return std::min(best, 1.0);
}

}  // namespace

double CapCeiling::chance_of(double share) const {
  const double needed = std::ceil(share * workloads - 1e-9) - 0.5;  // half a hit: hits are whole numbers
  if (!(hits_deviation > 0.0)) return expected_hits >= needed ? 1.0 : 0.0;
  return 0.5 * std::erfc((needed - expected_hits) / (hits_deviation * std::numbers::sqrt2));
}

base::Result<CapCeiling> best_limit_ceiling(std::span<const CapSample> samples,
                                            const CapCrossOptions& options) {
  PJ_ASSIGN(const GpuCapModel model, GpuCapModel::fit(samples, options.fit));
  PJ_ASSIGN(const detail::CapCurves set, detail::make_curves(samples, options.fit.kind));
  CapCeiling out;
  double variance = 0.0;
  for (const auto& curve : set.curves) {
    const OwnCurve own = own_curve(curve, model);
    const double sigma = model.scatter_at(curve.reference.mean_power);
    const double chance = best_chance(own, smoothed(own), sigma, set.limits, options.step);
    ++out.workloads;
    out.expected_hits += chance;
    variance += chance * (1.0 - chance);
    out.expected_fitted_hits += best_chance(own, own.fitted, sigma, set.limits, options.step);
    if (options.fit.kind == LimitKind::kPowerCap && curve.reference.mean_power.value() <= set.limits.front())
      continue;
    ++out.bindable_workloads;
    out.expected_bindable_hits += chance;
  }
  out.hits_deviation = std::sqrt(variance);
  return out;
}

}  // namespace perjoule::plant
