#include "plant/chiller.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::Watts;

double clamp_to(double v, Range range, std::uint8_t bit, std::uint8_t& clamps) {
  const double out = std::clamp(v, range.least, range.most);
  if (out != v) clamps = static_cast<std::uint8_t>(clamps | bit);
  return out;
}

double not_negative(double v, std::uint8_t& clamps) {
  if (v >= 0.0) return v;
  clamps = static_cast<std::uint8_t>(clamps | kClampNegative);
  return 0.0;
}

struct Point {
  double x, y;
};

Point inside(const ChillerParams& p, Celsius leaving, Celsius entering, std::uint8_t& clamps) {
  return {clamp_to(leaving.value(), p.leaving, kClampLeaving, clamps),
          clamp_to(entering.value(), p.entering, kClampEntering, clamps)};
}

}  // namespace

base::Status check(const ChillerParams& p) {
  constexpr const char* kWhat = "cannot set up the chiller";
  if (!(p.capacity.value() > 0.0)) return base::bad_input(kWhat, "capacity", "must be above 0 W");
  if (!(p.cop > 0.0)) return base::bad_input(kWhat, "cop", "must be above 0");
  if (!(p.chilled_flow_per_watt > 0.0 && p.condenser_flow_per_watt > 0.0)) {
    return base::bad_input(kWhat, "flow per watt", "must be above 0 kg/s per W");
  }
  const auto empty = [](Range r) { return !(r.most > r.least); };
  if (empty(p.leaving) || empty(p.entering) || empty(p.part_load) || !(p.part_load.least > 0.0)) {
    return base::bad_input(kWhat, "curve ranges", "a range is empty or not positive");
  }
  return base::ok_status();
}

Watts most_cooling(const ChillerParams& p, Celsius leaving, Celsius entering) {
  std::uint8_t ignored = 0;
  const Point at = inside(p, leaving, entering, ignored);
  return p.capacity * (p.part_load.most * std::max(0.0, p.capacity_curve(at.x, at.y)));
}

ChillerOutput run_chiller(const ChillerParams& p, Watts heat, Celsius leaving, Celsius entering) {
  PJ_CHECK(heat.value() >= 0.0);
  ChillerOutput out;
  const Point at = inside(p, leaving, entering, out.clamps);
  out.available = p.capacity * not_negative(p.capacity_curve(at.x, at.y), out.clamps);
  if (heat.value() == 0.0 || out.available.value() == 0.0) return out.clamps &= kClampNegative, out;
  const double asked = heat / out.available;
  out.part_load = std::min(asked, p.part_load.most);
  if (asked > p.part_load.most) out.clamps = static_cast<std::uint8_t>(out.clamps | kClampPartLoad);
  out.cooling = out.available * out.part_load;
  // Below the least part load the machine runs there for a fraction of the time.
  const double running = std::min(1.0, out.part_load / p.part_load.least);
  const double load = std::max(out.part_load, p.part_load.least);
  const double eir = not_negative(p.eir_curve(at.x, at.y), out.clamps);
  out.power = out.available * (eir * not_negative(p.part_load_curve(load), out.clamps) * running / p.cop);
  out.condenser_heat = out.cooling + out.power * p.motor_to_condenser;
  return out;
}

}  // namespace perjoule::plant
