// Leave-one-group-out cross-validation of the GPU cap model and of its baseline.
#include <algorithm>
#include <cmath>
#include <functional>
#include <set>

#include "plant/gpu_cap_detail.hpp"

namespace perjoule::plant {
namespace {

struct Response {
  double time = 1.0, energy = 1.0;
  double sigma = 0.0;  // of relative energy; 0 = not stated
};

// What a workload does at a limit and which limit to take, from its reference alone.
struct Predictor {
  std::function<Response(const CapReference&, double limit)> respond;
  std::function<double(const CapReference&, std::span<const double> limits)> choose;
};
using Fitter = std::function<base::Result<Predictor>(std::span<const CapSample>)>;

struct Errors {
  std::vector<double> energy, time;
};

class Scorer {
 public:
  Scorer(std::span<const double> limits, double step, LimitKind kind)
      : limits_(limits.begin(), limits.end()), step_(step), kind_(kind) {}

  void add(const detail::CapCurve& curve, const Predictor& predict) {
    auto& errors = groups_[curve.group];
    for (const auto& point : curve.points) {
      if (point.limit >= curve.reference.limit) continue;
      const auto predicted = predict.respond(curve.reference, point.limit);
      errors.energy.push_back(std::abs(predicted.energy / point.relative_energy - 1.0));
      const double away = std::abs(std::log(predicted.energy / point.relative_energy));
      within_sigma_ += away <= predicted.sigma ? 1 : 0;
      errors.time.push_back(std::abs(predicted.time / point.relative_time - 1.0));
    }
    add_choice(curve, predict);
  }

  CapCrossValidation result() {
    Errors all;
    for (auto& [group, errors] : groups_) {
      auto& score = out_.groups[group];
      score.rows = static_cast<int>(errors.energy.size());
      score.energy_median = detail::quantile(errors.energy, 0.5);
      score.energy_p90 = detail::quantile(errors.energy, 0.9);
      all.energy.insert(all.energy.end(), errors.energy.begin(), errors.energy.end());
      all.time.insert(all.time.end(), errors.time.begin(), errors.time.end());
    }
    out_.rows = static_cast<int>(all.energy.size());
    out_.energy_median = detail::quantile(all.energy, 0.5);
    out_.energy_p90 = detail::quantile(all.energy, 0.9);
    out_.time_median = detail::quantile(all.time, 0.5);
    if (out_.rows > 0) out_.within_uncertainty = static_cast<double>(within_sigma_) / out_.rows;
    out_.mean_regret = out_.workloads > 0 ? regret_ / out_.workloads : 0.0;
    return out_;
  }

 private:
  void add_choice(const detail::CapCurve& curve, const Predictor& predict) {
    const double chosen = predict.choose(curve.reference, limits_);
    const auto truth =
        std::min_element(curve.points.begin(), curve.points.end(),
                         [](const auto& a, const auto& b) { return a.relative_energy < b.relative_energy; });
    const auto measured =
        std::min_element(curve.points.begin(), curve.points.end(), [&](const auto& a, const auto& b) {
          return std::abs(a.limit - chosen) < std::abs(b.limit - chosen);
        });
    const bool hit = std::abs(chosen - truth->limit) <= step_ * (1.0 + 1e-9);
    const bool bindable =
        kind_ == LimitKind::kCoreClock || curve.reference.mean_power.value() > limits_.front();
    auto& group = out_.groups[curve.group];
    ++group.workloads;
    group.best_within_step += hit ? 1 : 0;
    ++out_.workloads;
    out_.best_within_step += hit ? 1 : 0;
    out_.bindable_workloads += bindable ? 1 : 0;
    out_.bindable_within_step += bindable && hit ? 1 : 0;
    regret_ += measured->relative_energy / truth->relative_energy - 1.0;
  }

  std::vector<double> limits_;
  double step_;
  LimitKind kind_;
  double regret_ = 0.0;
  int within_sigma_ = 0;
  std::map<std::string, Errors> groups_;
  CapCrossValidation out_;
};

base::Result<CapCrossValidation> leave_groups_out(std::span<const CapSample> samples,
                                                  const CapCrossOptions& options, const Fitter& fitter) {
  PJ_ASSIGN(const detail::CapCurves set, detail::make_curves(samples, options.fit.kind));
  std::set<std::string> groups;
  for (const auto& curve : set.curves) groups.insert(curve.group);
  if (groups.size() < 2) {
    return base::bad_input("cannot cross-validate", "", "the table has fewer than two groups to leave out",
                           "map the group column to what should be held out together");
  }
  Scorer scorer(set.limits, options.step, options.fit.kind);
  for (const auto& group : groups) {
    std::vector<CapSample> others;
    for (const auto& sample : samples) {
      if (sample.group != group) others.push_back(sample);
    }
    PJ_ASSIGN(const Predictor predict, fitter(others));
    for (const auto& curve : set.curves) {
      if (curve.group == group) scorer.add(curve, predict);
    }
  }
  return scorer.result();
}

// A measured curve at any limit, linear between its points and held outside.
Response interpolate(const detail::CapCurve& curve, double limit) {
  const auto& points = curve.points;
  const auto above = std::lower_bound(points.begin(), points.end(), limit,
                                      [](const auto& p, double l) { return p.limit < l; });
  if (above == points.begin()) return {above->relative_time, above->relative_energy};
  if (above == points.end()) return {points.back().relative_time, points.back().relative_energy};
  const auto below = std::prev(above);
  const double u = (limit - below->limit) / (above->limit - below->limit);
  return {below->relative_time + u * (above->relative_time - below->relative_time),
          below->relative_energy + u * (above->relative_energy - below->relative_energy)};
}

}  // namespace

base::Result<CapCrossValidation> cross_validate(std::span<const CapSample> samples,
                                                const CapCrossOptions& options) {
  const auto fitter = [&](std::span<const CapSample> others) -> base::Result<Predictor> {
    PJ_ASSIGN(const GpuCapModel model, GpuCapModel::fit(others, options.fit));
    Predictor out;
    out.respond = [model](const CapReference& reference, double limit) {
      const auto predicted = model.predict(reference, limit);
      return Response{predicted.relative_time, predicted.relative_energy, predicted.relative_uncertainty};
    };
    out.choose = [model](const CapReference& reference, std::span<const double> limits) {
      return model.best_limit(reference, limits);
    };
    return out;
  };
  return leave_groups_out(samples, options, fitter);
}

base::Result<CapCrossValidation> cross_validate_nearest_neighbour(std::span<const CapSample> samples,
                                                                  const CapCrossOptions& options) {
  const auto fitter = [&](std::span<const CapSample> others) -> base::Result<Predictor> {
    PJ_ASSIGN(detail::CapCurves set, detail::make_curves(others, options.fit.kind));
    if (set.curves.empty())
      return base::bad_input("cannot cross-validate", "", "no workload is left to learn from");
    Predictor out;
    out.respond = [curves = std::move(set.curves)](const CapReference& reference, double limit) {
      const auto nearest = std::min_element(curves.begin(), curves.end(), [&](const auto& a, const auto& b) {
        return std::abs((a.reference.mean_power - reference.mean_power).value()) <
               std::abs((b.reference.mean_power - reference.mean_power).value());
      });
      return interpolate(*nearest, limit);
    };
    out.choose = [respond = out.respond](const CapReference& reference, std::span<const double> limits) {
      return *std::min_element(limits.begin(), limits.end(), [&](double a, double b) {
        return respond(reference, a).energy < respond(reference, b).energy;
      });
    };
    return out;
  };
  return leave_groups_out(samples, options, fitter);
}

}  // namespace perjoule::plant
