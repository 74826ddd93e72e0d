#include "plant/power_chain.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace perjoule::plant {
namespace {

using base::Watts;

constexpr const char* kWhat = "cannot set up the power conversion";

base::Status check_points(std::span<const EfficiencyPoint> points) {
  if (points.empty()) return base::bad_input(kWhat, "points", "the efficiency table is empty");
  double last = 0.0;
  for (const auto& p : points) {
    const std::string where = "load " + base::shortest_text(p.load);
    if (!(p.load > last && p.load <= 1.5))
      return base::bad_input(kWhat, where, "loads must rise within 0..1.5");
    if (!(p.efficiency > 0.0 && p.efficiency <= 1.0)) {
      return base::bad_input(kWhat, where,
                             "efficiency " + base::shortest_text(p.efficiency) + " is outside 0..1",
                             "give efficiencies as parts of 1, not in %");
    }
    last = p.load;
  }
  return base::ok_status();
}

}  // namespace

base::Result<EfficiencyCurve> EfficiencyCurve::make(Watts rated, std::span<const EfficiencyPoint> points) {
  if (!(rated.value() > 0.0 && std::isfinite(rated.value()))) {
    return base::bad_input(kWhat, "rated", "the rating must be above 0 W");
  }
  PJ_TRY(check_points(points));
  EfficiencyCurve out;
  out.rated_ = rated;
  out.points_.push_back({0.0, 0.0});
  for (const auto& p : points) out.points_.push_back({p.load, p.load * (1.0 / p.efficiency - 1.0)});
  auto& l = out.points_;
  // Loss at no load: the first segment carried on to zero; a single point has only itself to go by.
  const double slope = l.size() > 2 ? (l[2].loss - l[1].loss) / (l[2].load - l[1].load) : 0.0;
  l[0].loss = std::clamp(l[1].loss - slope * l[1].load, 0.0, l[1].loss);
  for (std::size_t i = 1; i < l.size(); ++i) {
    if (!(l[i].loss - l[i - 1].loss > -(l[i].load - l[i - 1].load))) {
      return base::bad_input(kWhat, "load " + base::shortest_text(l[i].load),
                             "input power would fall while output grows", "check the efficiencies around it");
    }
  }
  return out;
}

Watts EfficiencyCurve::loss(Watts out) const {
  PJ_CHECK(out.value() >= 0.0);
  const double load = out / rated_;
  const auto above =
      std::find_if(points_.begin() + 1, points_.end() - 1, [&](const auto& p) { return p.load >= load; });
  const LossPoint &a = *(above - 1), &b = *above;
  const double fraction = a.loss + (b.loss - a.loss) * (load - a.load) / (b.load - a.load);
  return rated_ * std::max(0.0, fraction);
}

double EfficiencyCurve::efficiency(Watts out) const {
  const Watts in = input_power(out);
  return in.value() > 0.0 ? out / in : 0.0;
}

bool EfficiencyCurve::in_range(Watts out) const {
  return out.value() >= 0.0 && out <= rated_ * points_.back().load;
}

Watts shared_input_power(const EfficiencyCurve& one, Watts out, int units) {
  PJ_CHECK(units > 0);
  const double n = static_cast<double>(units);
  return one.input_power(out / n) * n;
}

base::Status check(const AffineConversion& c) {
  if (c.constant.value() >= 0.0 && c.efficiency > 0.0 && c.efficiency <= 1.0) return base::ok_status();
  return base::bad_input(kWhat, "affine conversion", "constant >= 0 W and efficiency in 0..1 must hold");
}

Watts input_power(const AffineConversion& c, Watts out) {
  PJ_CHECK(out.value() >= 0.0);
  return (out + c.constant) / c.efficiency;
}

base::Status check(const DistributionParams& p) {
  if (p.rated.value() > 0.0 && p.no_load >= 0.0 && p.at_full >= 0.0) return base::ok_status();
  return base::bad_input(kWhat, "distribution", "rating above 0 W and losses not below 0 must hold");
}

Watts input_power(const DistributionParams& p, Watts out) {
  PJ_CHECK(out.value() >= 0.0);
  const double load = out / p.rated;
  return out + p.rated * (p.no_load + p.at_full * load * load);
}

}  // namespace perjoule::plant
