#include "plant/power_sensor.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace perjoule::plant {
namespace {

base::TimePoint last_update(base::TimePoint t, base::Duration phase, base::Duration period) {
  const std::int64_t since = t.ns - phase.ns;
  std::int64_t k = since / period.ns;
  if (since < k * period.ns) --k;  // division truncates towards zero; updates need the floor
  return {phase.ns + k * period.ns};
}

double mean_watts(const CumulativeEnergy& truth, base::TimePoint a, base::TimePoint b) {
  const auto energy = static_cast<double>((truth(b) - truth(a)).value());
  return energy * 1e3 / static_cast<double>((b - a).ns);  // uJ / ns = 1e3 W
}

base::Error refuse(const char* why) { return base::bad_input("cannot make the sensor", "", why); }

}  // namespace

base::Result<PowerSensor> PowerSensor::create(SensorSpec spec) {
  if (spec.update_period.ns <= 0) return refuse("the update period must be positive");
  if (spec.kernel.window.ns < 0 || spec.kernel.lag.ns < 0)
    return refuse("window and lag must not be negative");
  if (!(spec.gain > 0.0)) return refuse("the gain must be positive");
  if (!(spec.resolution.value() >= 0.0 && spec.max_range.value() >= 0.0)) {
    return refuse("resolution and range must not be negative");
  }
  return PowerSensor(spec);
}

base::TimePoint PowerSensor::update_time_at(base::TimePoint t) const {
  return last_update(t, spec_.phase, spec_.update_period);
}

base::Watts PowerSensor::filtered(base::TimePoint update, const CumulativeEnergy& truth) const {
  const base::TimePoint newest = update - spec_.kernel.delay;
  if (spec_.kernel.lag.ns == 0) {
    // A sensor without memory still converts over some time; a microsecond stands for "instantaneous".
    const base::Duration window = std::max(spec_.kernel.window, base::Duration{base::kNsPerUs});
    return base::Watts(mean_watts(truth, newest - window, newest));
  }
  constexpr std::int64_t kParts = 96;
  const base::Duration span = spec_.kernel.memory() - spec_.kernel.delay;
  double sum = 0.0;
  double weights = 0.0;
  base::TimePoint later = newest;
  base::Microjoules energy_later = truth(later);
  for (std::int64_t i = 1; i <= kParts; ++i) {
    // Parts grow with age (quadratic edges): fine where the weight is, coarse in the tail.
    const base::TimePoint earlier = newest - base::Duration{span.ns / (kParts * kParts) * i * i};
    if (earlier == later) continue;
    const base::Microjoules energy_earlier = truth(earlier);
    const double w = spec_.kernel.weight(update, earlier, later);
    sum += w * static_cast<double>((energy_later - energy_earlier).value()) * 1e3 /
           static_cast<double>((later - earlier).ns);
    weights += w;
    later = earlier;
    energy_later = energy_earlier;
  }
  return base::Watts(sum / weights);
}

base::Watts PowerSensor::displayed(base::Watts filtered_power) const {
  double shown = std::max(0.0, spec_.gain * filtered_power.value() + spec_.offset.value());
  if (spec_.max_range.value() > 0.0) shown = std::min(shown, spec_.max_range.value());
  const double step = spec_.resolution.value();
  return base::Watts(step > 0.0 ? std::round(shown / step) * step : shown);
}

base::Watts PowerSensor::reading(base::TimePoint t, const CumulativeEnergy& truth) const {
  return displayed(filtered(update_time_at(t), truth));
}

base::Result<EnergyCounterSensor> EnergyCounterSensor::create(CounterSpec spec) {
  if (spec.update_period.ns <= 0) return refuse("the update period must be positive");
  if (spec.counts_per_joule <= 0) return refuse("the counts per joule must be positive");
  if (!(spec.gain > 0.0)) return refuse("the gain must be positive");
  return EnergyCounterSensor(spec);
}

base::TimePoint EnergyCounterSensor::update_time_at(base::TimePoint t) const {
  return last_update(t, spec_.phase, spec_.update_period);
}

std::uint64_t EnergyCounterSensor::reading(base::TimePoint t, const CumulativeEnergy& truth) const {
  std::int64_t energy = truth(update_time_at(t)).value();
  PJ_CHECK(energy >= 0);
  if (spec_.gain != 1.0) energy = std::llround(spec_.gain * static_cast<double>(energy));
  // Whole joules and the rest apart, so that the product stays inside 64 bits.
  const auto per_joule = static_cast<std::uint64_t>(spec_.counts_per_joule);
  const auto uj = static_cast<std::uint64_t>(energy);
  const std::uint64_t counts = uj / 1'000'000 * per_joule + uj % 1'000'000 * per_joule / 1'000'000;
  return spec_.modulus == 0 ? counts : counts % spec_.modulus;
}

base::Microjoules EnergyCounterSensor::between(std::uint64_t earlier, std::uint64_t later) const {
  const std::uint64_t counts =
      later >= earlier || spec_.modulus == 0 ? later - earlier : later + (spec_.modulus - earlier);
  const auto per_joule = static_cast<std::uint64_t>(spec_.counts_per_joule);
  const std::uint64_t rest = counts % per_joule * 1'000'000;
  return base::Microjoules(
      static_cast<std::int64_t>(counts / per_joule * 1'000'000 + (rest + per_joule / 2) / per_joule));
}

base::Duration EnergyCounterSensor::safe_read_interval(base::Watts peak) const {
  if (spec_.modulus == 0 || !(peak.value() > 0.0)) return {INT64_MAX};
  const double full = static_cast<double>(spec_.modulus) / static_cast<double>(spec_.counts_per_joule);
  // Half the time to a full turn, less one update: a late read still sees at most one wrap.
  return base::to_duration(base::Seconds(0.5 * full / (peak.value() * spec_.gain))) - spec_.update_period;
}

namespace {

constexpr std::string_view kPartTime =
    "arXiv 2312.02741 and the traces published with it (GPU_Power_Benchmark)";

SensorSpec nvml_spec(std::int64_t period_us, math::SensorKernel kernel, SpecBasis basis,
                     std::string_view source) {
  SensorSpec spec;
  spec.update_period = base::Duration{period_us * base::kNsPerUs};
  spec.kernel = kernel;
  spec.resolution = base::Watts(0.01);  // nvidia-smi prints hundredths
  spec.basis = basis;
  spec.source = source;
  return spec;
}

}  // namespace

SensorSpec a100_pcie_power() {
  // Fitted to the 50/50 record (bench/sensor_model); one card and its reference meter, so gain and offset are
  // this pair's.
  constexpr base::Duration kWindow{3'700 * base::kNsPerUs};
  constexpr base::Duration kLag{12'500 * base::kNsPerUs};
  SensorSpec spec = nvml_spec(101'200, {kWindow, kLag, {}}, SpecBasis::kFitted,
                              "fitted to GPU_Power_Benchmark 5050/A100 against its 4.78 kHz meter");
  spec.gain = 0.9616;
  spec.offset = base::Watts(-2.4);
  return spec;
}

SensorSpec hopper_average_power() {
  // H100 PCIe as published; that H200 behaves alike is assumed.
  return nvml_spec(100'000, {base::seconds(1), {}, {}}, SpecBasis::kPublished, kPartTime);
}

SensorSpec hopper_instant_power() {
  return nvml_spec(100'000, {base::milliseconds(25), {}, {}}, SpecBasis::kPublished, kPartTime);
}

SensorSpec v100_power() {
  return nvml_spec(20'080, {base::milliseconds(10), {}, {}}, SpecBasis::kPublished, kPartTime);
}

SensorSpec redfish_psu_power() {
  SensorSpec spec;
  spec.update_period = base::seconds(1);
  spec.kernel.window = base::seconds(1);
  spec.resolution = base::Watts(1.0);
  spec.source = "assumed: service processors document neither update period nor averaging";
  return spec;
}

CounterSpec nvml_total_energy() {
  return {base::milliseconds(100),
          {},
          1000,
          0,
          1.0,
          SpecBasis::kAssumed,
          "unit (mJ) by the vendor's header; the update period is assumed (10 ms to 100 ms are reported)"};
}

CounterSpec rapl_package_energy(int unit_exponent) {
  PJ_CHECK(unit_exponent > 0 && unit_exponent < 32);
  return {base::milliseconds(1),
          {},
          std::int64_t{1} << unit_exponent,
          std::uint64_t{1} << 32,
          1.0,
          SpecBasis::kPublished,
          "32-bit register, unit 2^-n J from the unit register; the 1 ms update is consensus, unverified"};
}

CounterSpec powercap_energy(std::uint64_t max_energy_range_uj) {
  return {
      base::milliseconds(1),
      {},
      1'000'000,
      max_energy_range_uj,
      1.0,
      SpecBasis::kPublished,
      "kernel powercap interface: microjoules, wraps at max_energy_range_uj; the 1 ms update is unverified"};
}

}  // namespace perjoule::plant
