#include "plant/server_models.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "base/assert.hpp"
#include "plant/psychrometrics.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::KilogramsPerSecond;
using base::Seconds;
using base::Watts;

base::Status refuse_unless(bool good, const char* where, const char* rule) {
  if (good) return base::ok_status();
  return base::bad_input("cannot set up the server model", where, std::string(rule) + " must hold");
}

bool is_share(double v) { return v >= 0.0 && v <= 1.0; }

}  // namespace

base::Status check(const CpuParams& p) {
  bool good = p.full.value() > 0.0 && p.shape.front() > 0.0 && p.shape.back() == 1.0;
  for (std::size_t i = 1; i < p.shape.size(); ++i) good = good && p.shape[i] >= p.shape[i - 1];
  return refuse_unless(good, "cpu", "full power above 0 W and a shape that rises from above 0 to 1");
}

Watts cpu_power(const CpuParams& p, double utilisation) {
  PJ_CHECK(is_share(utilisation));
  const double at = utilisation * 10.0;
  const std::size_t i = std::min<std::size_t>(9, static_cast<std::size_t>(at));
  const double share = at - static_cast<double>(i);
  return p.full * (p.shape[i] + (p.shape[i + 1] - p.shape[i]) * share);
}

base::Status check(const DramParams& p) {
  return refuse_unless(p.modules >= 0 && p.idle.value() >= 0.0 && p.active.value() >= 0.0, "dram",
                       "modules and powers not below 0");
}

Watts dram_power(const DramParams& p, double bandwidth) {
  PJ_CHECK(is_share(bandwidth));
  return (p.idle + p.active * bandwidth) * static_cast<double>(p.modules);
}

base::Status check(const FanParams& p) {
  return refuse_unless(p.full.value() >= 0.0 && p.flow_full.value() > 0.0 && p.least > 0.0 &&
                           p.least <= 1.0 && p.inlet_gain >= 0.0 && p.load_gain >= 0.0,
                       "fans", "power and gains not below 0, flow above 0 and 0 < least <= 1");
}

FanState fan_state(const FanParams& p, Celsius inlet, double load) {
  PJ_CHECK(is_share(load));
  const double warm = std::max(0.0, (inlet - p.knee).value());
  const double speed = std::clamp(p.least + p.inlet_gain * warm + p.load_gain * load, p.least, 1.0);
  return {speed, p.full * (speed * speed * speed), p.flow_full * speed};
}

namespace {

double leakage(const GpuThermalParams& p, Celsius die) {
  return p.leak.value() * std::exp(std::min(p.leak_rate * (die - p.leak_at).value(), p.leak_cap));
}

double sink_resistance(const GpuThermalParams& p, double speed) {
  return p.sink_resistance * std::pow(speed, -p.speed_exponent);
}

// Leakage that the nominal power already holds: at the steady die temperature of reference conditions,
// reached over the thermal resistance `to_inlet`.
double nominal_leakage(const GpuThermalParams& p, Watts nominal, double to_inlet) {
  return leakage(p, p.reference_inlet + Celsius(nominal.value() * to_inlet));
}
double reference_resistance(const GpuThermalParams& p) {
  return p.die_resistance + sink_resistance(p, p.reference_speed);
}

// Each round shrinks the error by beta L R < 1/2; this many leave it below a millikelvin.
constexpr int kSteadyRounds = 40;
// Within a step the die moves little in answer to its own leakage: three rounds settle its mean.
constexpr int kStepRounds = 3;

}  // namespace

base::Status check(const GpuThermalParams& p, double least_speed) {
  PJ_TRY(refuse_unless(
      p.die_resistance > 0.0 && p.die_capacity > 0.0 && p.sink_resistance > 0.0 && p.sink_capacity > 0.0 &&
          p.leak.value() >= 0.0 && p.leak_rate >= 0.0 && p.leak_cap >= 0.0 && p.speed_exponent >= 0.0 &&
          p.reference_speed > 0.0 && p.reference_speed <= 1.0 && least_speed > 0.0 && least_speed <= 1.0,
      "gpu thermal", "resistances and capacities above 0, leakage not below 0, speeds in 0..1"));
  const double gain = p.leak_rate * p.leak.value() * std::exp(p.leak_cap) *
                      (p.die_resistance + sink_resistance(p, least_speed));
  return refuse_unless(gain < 1.0, "gpu thermal",
                       "leak_rate x leakage x thermal resistance < 1 (or it runs away)");
}

GpuThermalState gpu_steady(const GpuThermalParams& p, Watts nominal, Celsius inlet, double speed) {
  PJ_CHECK(nominal.value() >= 0.0 && speed > 0.0);
  const double sink_r = sink_resistance(p, speed),
               without = nominal.value() - nominal_leakage(p, nominal, reference_resistance(p));
  double heat = nominal.value();
  for (int i = 0; i < kSteadyRounds; ++i) {
    heat = std::max(0.0, without + leakage(p, inlet + Celsius(heat * (sink_r + p.die_resistance))));
  }
  const Celsius sink = inlet + Celsius(heat * sink_r);
  return {sink + Celsius(heat * p.die_resistance), sink};
}

GpuThermalTick::GpuThermalTick(const GpuThermalParams& p, double speed, Seconds dt)
    : params_(p),
      dt_(dt.value()),
      sink_resistance_(sink_resistance(p, speed)),
      reference_resistance_(reference_resistance(p)) {
  PJ_CHECK(speed > 0.0 && dt_ > 0.0);
  a_ = 1.0 / (p.die_resistance * p.die_capacity);
  b_ = 1.0 / (p.die_resistance * p.sink_capacity);
  d_ = b_ + 1.0 / (sink_resistance_ * p.sink_capacity);
  const double half = 0.5 * (a_ + d_), root = std::sqrt(0.25 * (a_ - d_) * (a_ - d_) + a_ * b_);
  l1_ = -half + root;
  l2_ = -half - root;
  e1_ = std::exp(l1_ * dt_);
  e2_ = std::exp(l2_ * dt_);
  scale_ = 1.0 / (l1_ - l2_);
}

// The pair (die, sink) after dt at constant heat: x(t) = x_inf + exp(A t) (x_0 - x_inf). A has two real
// negative eigenvalues, so exp(A t) = [(A - l2) e^(l1 t) - (A - l1) e^(l2 t)] / (l1 - l2).
GpuThermalState GpuThermalTick::advance(GpuThermalState from, double heat, Celsius inlet) const {
  const double sink_inf = inlet.value() + heat * sink_resistance_,
               die_inf = sink_inf + heat * params_.die_resistance;
  const double x = from.die.value() - die_inf, y = from.sink.value() - sink_inf;
  const double ax = -a_ * x + a_ * y, ay = b_ * x - d_ * y;  // A (x, y)
  return {Celsius(die_inf + scale_ * ((ax - l2_ * x) * e1_ - (ax - l1_ * x) * e2_)),
          Celsius(sink_inf + scale_ * ((ay - l2_ * y) * e1_ - (ay - l1_ * y) * e2_))};
}

GpuThermalStep gpu_thermal_step(const GpuThermalTick& tick, GpuThermalState& state, Watts nominal,
                                Celsius inlet) {
  PJ_CHECK(nominal.value() >= 0.0 && tick.dt_ > 0.0);
  const GpuThermalParams& p = tick.params_;
  const double without = nominal.value() - nominal_leakage(p, nominal, tick.reference_resistance_);
  // The die follows a change within seconds and then the sink: over a tick its mean is taken between its
  // quasi-static temperatures over the first and the last sink temperature; for steps within its own time
  // constant, between its ends.
  const bool fast = tick.dt_ < p.die_resistance * p.die_capacity;
  double heat = std::max(0.0, without + leakage(p, state.die));
  GpuThermalState end = state;
  for (int i = 0; i < kStepRounds; ++i) {
    end = tick.advance(state, heat, inlet);
    const Celsius first = fast ? state.die : state.sink + Celsius(heat * p.die_resistance);
    heat = std::max(0.0, without + 0.5 * (leakage(p, first) + leakage(p, end.die)));
  }
  end = tick.advance(state, heat, inlet);
  const double stored =
      (p.die_capacity * (end.die - state.die).value() + p.sink_capacity * (end.sink - state.sink).value()) /
      tick.dt_;
  state = end;
  return {Watts(heat), Watts(heat) - nominal, Watts(heat - stored)};
}

base::Status check(const ServerHeatParams& p) {
  return refuse_unless(
      p.mass_kg > 0.0 && p.specific_heat > 0.0 && p.effectiveness > 0.0 && p.effectiveness <= 1.0,
      "server heat", "mass and specific heat above 0 and 0 < effectiveness <= 1");
}

ServerHeatStep server_heat_step(const ServerHeatParams& p, Celsius& mass, Watts power, Celsius inlet,
                                KilogramsPerSecond flow, Seconds dt) {
  PJ_CHECK(flow.value() >= 0.0 && dt.value() > 0.0);
  const double capacity = p.mass_kg * p.specific_heat, air = flow.value() * kDryAirHeat;
  const double conductance = p.effectiveness * air, before = mass.value();
  if (conductance == 0.0) {
    mass = Celsius(before + power.value() * dt.value() / capacity);
    return {Watts(0.0), inlet};
  }
  const double settled = inlet.value() + power.value() / conductance;
  mass = Celsius(settled + (before - settled) * std::exp(-dt.value() * conductance / capacity));
  const double into_air = power.value() - capacity * (mass.value() - before) / dt.value();
  return {Watts(into_air), inlet + Celsius(into_air / air)};
}

base::Status check(const RecirculationParams& p) {
  return refuse_unless(is_share(p.leak), "recirculation", "leak in 0..1");
}

double recirculation(const RecirculationParams& p, KilogramsPerSecond crah_air,
                     KilogramsPerSecond server_air) {
  PJ_CHECK(crah_air.value() >= 0.0 && server_air.value() >= 0.0);
  const double lack = server_air.value() > 0.0 ? std::max(0.0, 1.0 - crah_air / server_air) : 0.0;
  return std::min(1.0, lack + p.leak);
}

Celsius rack_inlet(double r, Celsius supply, Celsius return_air) {
  return supply * (1.0 - r) + return_air * r;
}

}  // namespace perjoule::plant
