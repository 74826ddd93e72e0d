#include "plant/cooling_plant.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"
#include "plant/psychrometrics.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::KilogramsPerSecond;
using base::Seconds;
using base::Watts;

constexpr const char* kWhat = "cannot set up the cooling plant";
constexpr double kAirDensity = 1.2;  // kg/m3, for fan and air volumes
// The chilled water flow is found to 2^-20 of the design flow.
constexpr int kHalvings = 20;

Watts hydraulic_power(const PumpParams& p, KilogramsPerSecond flow) {
  return Watts(p.pressure_pa * flow.value() / kWaterDensity / p.efficiency);
}

base::Status check_pump(const PumpParams& p, const char* where) {
  const bool good = p.pressure_pa >= 0.0 && p.efficiency > 0.0 && p.efficiency <= 1.0 &&
                    p.static_share >= 0.0 && p.static_share <= 1.0 && p.least_flow > 0.0 &&
                    p.least_flow <= 1.0;
  if (good) return base::ok_status();
  return base::bad_input(kWhat, where,
                         "pressure >= 0, efficiency, static share and least flow in 0..1 must hold");
}

base::Status check_crah(const CrahParams& p) {
  const bool good = p.air_margin > 0.0 && p.server_rise > 0.0 && p.pressure_pa >= 0.0 && p.efficiency > 0.0 &&
                    p.efficiency <= 1.0 && p.fan_exponent >= 1.0 && p.transfer_units > 0.0 &&
                    p.air_exponent >= 0.0 && p.water_exponent > 0.0 && p.least_speed > 0.0 &&
                    p.least_speed <= 1.0 && p.ramp_per_second > 0.0;
  if (good) return base::ok_status();
  return base::bad_input(kWhat, "crah", "a parameter is not positive, or a share is above 1");
}

base::Status check_staging(const StagingParams& p) {
  if (p.machines < 1 || !(p.size > 0.0) || !(p.size * p.machines >= 1.0)) {
    return base::bad_input(kWhat, "staging", "the machines together are smaller than the design load",
                           "raise staging size or machines");
  }
  // One machine fewer must not run above `up` right after a stop.
  if (!(p.down > 0.0 && p.up <= 1.0 && p.down * 2.0 < p.up && p.dwell_s >= 0.0)) {
    return base::bad_input(kWhat, "staging",
                           "0 < 2 down < up <= 1 and dwell >= 0 must hold, or machines would hunt");
  }
  return base::ok_status();
}

base::Status check_set_points(const CoolingSetPoints& s) {
  const auto good = [](Celsius t) { return t.value() >= 0.0 && t.value() <= 45.0; };
  if (!good(s.chilled_water) || !good(s.supply_air) || !good(s.condenser_water)) {
    return base::bad_input("cannot take the set points", "temperature", "each must lie in 0..45 C");
  }
  if (s.supply_air <= s.chilled_water) {
    return base::bad_input("cannot take the set points", "supply_air", "must be above the chilled water's");
  }
  if (!(s.air_per_server_air >= 0.2 && s.air_per_server_air <= 3.0)) {
    return base::bad_input("cannot take the set points", "air_per_server_air", "must lie in 0.2..3");
  }
  return base::ok_status();
}

base::Status check_params(const ChilledWaterPlantParams& p) {
  if (!(p.design_load.value() > 0.0 && std::isfinite(p.design_load.value()))) {
    return base::bad_input(kWhat, "design_load", "must be above 0 W");
  }
  if (!(p.zone_capacity > 0.0 && p.chilled_capacity > 0.0 && p.condenser_capacity > 0.0)) {
    return base::bad_input(kWhat, "heat capacities", "must be above 0 J/K per W");
  }
  PJ_TRY(check(p.chiller));
  PJ_TRY(check(p.tower));
  PJ_TRY(check_pump(p.chilled_pump, "chilled_pump"));
  PJ_TRY(check_pump(p.condenser_pump, "condenser_pump"));
  PJ_TRY(check_crah(p.crah));
  PJ_TRY(check_staging(p.staging));
  return check_set_points(p.set_points);
}

// The air coil at an air and a water flow ratio of design.
struct Coil {
  const CrahParams& p;
  double air_rate, design_air_rate, design_water_rate;  // W/K

  // Heat per kelvin between return air and chilled water.
  double conductance(double water_ratio) const {
    const double water_rate = design_water_rate * water_ratio;
    const double ua = p.transfer_units * design_air_rate *
                      std::pow(air_rate / design_air_rate, p.air_exponent) *
                      std::pow(water_ratio, p.water_exponent);
    const double least = std::min(air_rate, water_rate), most = std::max(air_rate, water_rate);
    return counterflow_effectiveness(ua / least, least / most) * least;
  }

  // The least water flow ratio in [least, 1] that carries `wanted` W/K, or 1.
  double water_for(double wanted, double least_ratio) const {
    if (conductance(least_ratio) >= wanted) return least_ratio;
    if (conductance(1.0) <= wanted) return 1.0;
    double low = least_ratio, high = 1.0;
    for (int i = 0; i < kHalvings; ++i) {
      const double middle = 0.5 * (low + high);
      (conductance(middle) < wanted ? low : high) = middle;
    }
    return high;
  }
};

}  // namespace

double counterflow_effectiveness(double n, double c) {
  // Near equal rates the general form is 0 / 0; its limit is n / (1 + n).
  if (1.0 - c < 1e-9) return n / (1.0 + n);
  const double e = std::exp(-n * (1.0 - c));
  return (1.0 - e) / (1.0 - c * e);
}

double pump_fraction(double r, double s) { return (1.0 - s) * r * r * r + s * r; }

const char* name(CoolingClamp clamp) {
  constexpr std::array<const char*, static_cast<std::size_t>(CoolingClamp::kCount)> kNames = {
      "chilled water",  "condenser water", "part load",          "curve negative",
      "tower wet bulb", "tower range",     "tower water to air", "tower approach"};
  PJ_CHECK(clamp < CoolingClamp::kCount);
  return kNames[static_cast<std::size_t>(clamp)];
}

base::Result<ChilledWaterPlant> ChilledWaterPlant::make(const ChilledWaterPlantParams& params) {
  PJ_TRY(check_params(params));
  return ChilledWaterPlant(params);
}

ChilledWaterPlant::ChilledWaterPlant(const ChilledWaterPlantParams& params)
    : params_(params), set_points_(params.set_points) {
  auto& p = params_;
  p.chiller.capacity = p.design_load * p.staging.size;
  const double machines = static_cast<double>(p.staging.machines);
  p.tower.design_heat = p.chiller.capacity * (1.0 + 1.0 / p.chiller.cop);
  p.tower.design_water = KilogramsPerSecond(p.chiller.condenser_flow_per_watt * p.chiller.capacity.value());
  design_chilled_ =
      KilogramsPerSecond(p.chiller.chilled_flow_per_watt * p.chiller.capacity.value() * machines);
  design_condenser_ = p.tower.design_water * machines;
  design_air_ =
      KilogramsPerSecond(p.design_load.value() / (kDryAirHeat * p.crah.server_rise) * p.crah.air_margin);
  crah_design_power_ = Watts(p.crah.pressure_pa * design_air_.value() / kAirDensity / p.crah.efficiency);
  chilled_pump_design_ = hydraulic_power(p.chilled_pump, design_chilled_);
  condenser_pump_design_ = hydraulic_power(p.condenser_pump, design_condenser_);
  zone_ = set_points_.supply_air + Celsius(p.crah.server_rise);
  chilled_ = set_points_.chilled_water;
  condenser_ = set_points_.condenser_water;
  since_change_s_ = p.staging.dwell_s;
}

base::Status ChilledWaterPlant::set(const CoolingSetPoints& set_points) {
  PJ_TRY(check_set_points(set_points));
  set_points_ = set_points;
  return base::ok_status();
}

// Fans follow the server air at their ramp.
void ChilledWaterPlant::move_air(KilogramsPerSecond server_air, Seconds dt) {
  const double wanted =
      std::clamp(set_points_.air_per_server_air * (server_air / design_air_), params_.crah.least_speed, 1.0);
  const double ramp = params_.crah.ramp_per_second * dt.value();
  air_ratio_ = std::clamp(wanted, air_ratio_ - ramp, air_ratio_ + ramp);
}

// Zone air and coils: supply air from the coil at the zone's starting temperature, then the zone's exact
// exponential.
void ChilledWaterPlant::run_air(const CoolingInputs& inputs, Watts heat, CoolingState& out) {
  const auto& p = params_.crah;
  out.server_air =
      inputs.server_air.value_or(KilogramsPerSecond(heat.value() / (kDryAirHeat * p.server_rise)));
  move_air(out.server_air, inputs.dt);
  out.crah_air = design_air_ * air_ratio_;
  out.crahs = crah_design_power_ * std::pow(air_ratio_, p.fan_exponent);
  const double air_rate = out.crah_air.value() * kDryAirHeat;
  const Coil coil{p, air_rate, design_air_.value() * kDryAirHeat, design_chilled_.value() * kWaterHeat};
  const double drive = (zone_ - chilled_).value();
  // Return air colder than the chilled water, or already at the supply set point: the valve is shut.
  const double wanted = air_rate * (zone_ - set_points_.supply_air).value();
  double water_ratio = params_.chilled_pump.least_flow, carried = 0.0;
  if (drive > 0.0 && wanted > 0.0) {
    water_ratio = coil.water_for(wanted / drive, params_.chilled_pump.least_flow);
    carried = std::min(wanted, coil.conductance(water_ratio) * drive);
  }
  out.supply_air = zone_ - Celsius(carried / air_rate);
  out.chilled_flow = design_chilled_ * water_ratio;
  out.chilled_pumps = chilled_pump_design_ * pump_fraction(water_ratio, params_.chilled_pump.static_share);

  const Watts into_air = heat + out.crahs;
  const double capacity = params_.zone_capacity * params_.design_load.value();
  const Celsius settled = out.supply_air + Celsius(into_air.value() / air_rate);
  const Celsius before = zone_;
  zone_ = settled + (before - settled) * std::exp(-inputs.dt.value() * air_rate / capacity);
  out.zone_air = zone_;
  // What did not stay in the air went through the coils, and that fixes the mean return temperature.
  out.coil_heat = into_air - Watts((zone_ - before).value() * capacity / inputs.dt.value());
  out.return_air = out.supply_air + Celsius(out.coil_heat.value() / air_rate);
}

// How many machines: rule with thresholds and a dwell time; a load that cannot be met does not wait.
void ChilledWaterPlant::stage(Watts wanted, Seconds dt) {
  since_change_s_ += dt.value();
  const auto& s = params_.staging;
  const Watts most = most_cooling(params_.chiller, set_points_.chilled_water, condenser_);
  const double load = wanted / (most * static_cast<double>(running_)) * params_.chiller.part_load.most;
  const bool dwelt = since_change_s_ >= s.dwell_s;
  const bool up = running_ < s.machines && (load > params_.chiller.part_load.most || (dwelt && load > s.up));
  const bool down = running_ > 1 && dwelt && load < s.down;
  if (up || down) running_ += up ? 1 : -1, since_change_s_ = 0.0;
}

// Chilled water: the machines bring the loop back to its set point within the step as far as they can; the
// loop's heat capacity takes the rest, so its temperature is an exact balance.
void ChilledWaterPlant::run_chillers(Seconds dt, CoolingState& out) {
  const double capacity = params_.chilled_capacity * params_.design_load.value();
  const Watts into_water = out.coil_heat + out.chilled_pumps;
  const Watts pull((chilled_ - set_points_.chilled_water).value() * capacity / dt.value());
  const Watts wanted = std::max(Watts(0.0), into_water + pull);
  stage(wanted, dt);
  const double machines = static_cast<double>(running_);
  const ChillerOutput one =
      run_chiller(params_.chiller, wanted / machines, set_points_.chilled_water, condenser_);
  out.chillers = one.power * machines;
  out.chiller_heat = one.cooling * machines;
  condenser_heat_ = one.condenser_heat * machines;
  chiller_clamps_ = one.clamps;
  chilled_ += Celsius((into_water - out.chiller_heat).value() * dt.value() / capacity);
  out.chilled_water = chilled_;
  out.machines_running = running_;
}

// Condenser water: each running machine has its pump and its cell; the basin lags behind the cell by its heat
// capacity.
void ChilledWaterPlant::run_towers(const CoolingInputs& inputs, CoolingState& out) {
  const double share = static_cast<double>(running_) / static_cast<double>(params_.staging.machines);
  out.condenser_pumps = condenser_pump_design_ * share;
  const Watts heat = condenser_heat_ + out.condenser_pumps;
  const WeatherSample& w = inputs.weather;
  const double machines = static_cast<double>(running_);
  const TowerOutput cell =
      run_tower(params_.tower, heat / machines, params_.tower.design_water, set_points_.condenser_water,
                {w.dry_bulb, w.wet_bulb, w.dew_point, w.pressure});
  out.towers = cell.fan_power * machines;
  out.water_evaporated_kg = cell.evaporated.value() * machines * inputs.dt.value();
  out.water_used_kg =
      out.water_evaporated_kg + (cell.drift + cell.blowdown).value() * machines * inputs.dt.value();
  const double capacity = params_.condenser_capacity * params_.design_load.value();
  const double rate = params_.tower.design_water.value() * machines * kWaterHeat;
  const Celsius before = condenser_;
  condenser_ = cell.leaving + (before - cell.leaving) * std::exp(-inputs.dt.value() * rate / capacity);
  out.condenser_water = condenser_;
  out.rejected_heat = heat - Watts((condenser_ - before).value() * capacity / inputs.dt.value());
  count(chiller_clamps_, cell.clamps, out);
}

void ChilledWaterPlant::count(std::uint8_t chiller, std::uint8_t tower, CoolingState& out) {
  // The bits of both parts follow the order of CoolingClamp.
  const unsigned bits = static_cast<unsigned>(chiller) | static_cast<unsigned>(tower) << 4U;
  for (std::size_t i = 0; i < out.clamps.size(); ++i) {
    out.clamps[i] = (bits >> i) & 1U;
    clamps_[i] += out.clamps[i];
  }
}

CoolingState ChilledWaterPlant::step(const CoolingInputs& inputs) {
  PJ_CHECK(inputs.dt.value() > 0.0);
  Watts heat;
  for (const Watts group : inputs.heat) {
    PJ_CHECK(group.value() >= 0.0 && std::isfinite(group.value()));
    heat += group;
  }
  CoolingState out;
  run_air(inputs, heat, out);
  run_chillers(inputs.dt, out);
  run_towers(inputs, out);
  return out;
}

}  // namespace perjoule::plant
