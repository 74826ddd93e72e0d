// Power and energy sensors as they are, not as one would wish: a reading is old, averaged, scaled, shifted
// and rounded, and it changes only at the sensor's own updates. Used to give simulated devices honest
// readings. Thread rule: immutable after construction; the truth callable must be safe to call from the
// thread that reads. Ownership: a sensor copies its spec and holds no truth: the truth is given with each
// call. Units: base types; the truth is cumulative energy in integer microjoules. Deterministic: no clock, no
// random numbers.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "math/sensor_kernel.hpp"

namespace perjoule::plant {

// Cumulative energy of the device up to `t`; never decreasing, defined for every t a reading looks back to.
using CumulativeEnergy = std::function<base::Microjoules(base::TimePoint t)>;

// Where a spec's numbers come from: fitted here to a reference meter, published by others, or assumed.
enum class SpecBasis { kFitted, kPublished, kAssumed };

struct SensorSpec {
  base::Duration update_period;  // > 0
  base::Duration phase;          // updates are at phase + k * update_period since 1970
  math::SensorKernel kernel;     // window, lag, delay
  double gain = 1.0;             // reading = gain * filtered power + offset
  base::Watts offset;
  base::Watts resolution;  // readings are multiples of it; 0 = not rounded
  base::Watts max_range;   // readings saturate here; 0 = no limit
  SpecBasis basis = SpecBasis::kAssumed;
  std::string_view source;  // a literal
};

class PowerSensor {
 public:
  // Errors: kBadInput for a period <= 0, a negative window, lag, resolution or range, or a gain that is not
  // positive.
  static base::Result<PowerSensor> create(SensorSpec spec);

  const SensorSpec& spec() const { return spec_; }
  // The newest update at or before t.
  base::TimePoint update_time_at(base::TimePoint t) const;
  // What the sensor shows at t. Without lag: the exact mean (E(b) - E(a)) / (b - a), two calls of the truth.
  // With lag: the sum over ages of kernel weight x mean power, 97 calls; within a part the power is taken as
  // its mean.
  base::Watts reading(base::TimePoint t, const CumulativeEnergy& truth) const;
  // The filtered power at an update, before gain, offset, range and resolution.
  base::Watts filtered(base::TimePoint update, const CumulativeEnergy& truth) const;
  // Gain, offset, range (0 and max_range) and resolution, in this order.
  base::Watts displayed(base::Watts filtered_power) const;

 private:
  explicit PowerSensor(SensorSpec spec) : spec_(spec) {}
  SensorSpec spec_;
};

struct CounterSpec {
  base::Duration update_period;       // > 0
  base::Duration phase;               // updates are at phase + k * update_period since 1970
  std::int64_t counts_per_joule = 0;  // > 0; 16384 for a RAPL unit of 61 uJ, 1000 for a millijoule counter
  std::uint64_t modulus = 0;          // the counter wraps to 0 here; 0 = never
  double gain = 1.0;                  // counted over true energy
  SpecBasis basis = SpecBasis::kAssumed;
  std::string_view source;  // a literal
};

class EnergyCounterSensor {
 public:
  // Errors: kBadInput for a period, counts or gain that is not positive.
  static base::Result<EnergyCounterSensor> create(CounterSpec spec);

  const CounterSpec& spec() const { return spec_; }
  base::TimePoint update_time_at(base::TimePoint t) const;
  // The register at t: gain x E(update) in whole counts, modulo the wrap. The truth must not be negative.
  std::uint64_t reading(base::TimePoint t, const CumulativeEnergy& truth) const;
  // Energy between two readings, taking at most one wrap between them.
  base::Microjoules between(std::uint64_t earlier, std::uint64_t later) const;
  // Longest time between two reads that cannot miss a wrap at this power; kNever's distance where it never
  // wraps.
  base::Duration safe_read_interval(base::Watts peak) const;

 private:
  explicit EnergyCounterSensor(CounterSpec spec) : spec_(spec) {}
  CounterSpec spec_;
};

// Presets. Each says its source and basis; phase 0. See docs/models/sensors.md for what is verified.
SensorSpec a100_pcie_power();       // power.draw = power.draw.instant
SensorSpec hopper_average_power();  // H100 and H200, power.draw: 1 s average
SensorSpec hopper_instant_power();  // H100 and H200, power.draw.instant
SensorSpec v100_power();
SensorSpec redfish_psu_power();
CounterSpec nvml_total_energy();
// unit_exponent: 14 = 61 uJ (most server parts' package zone), 16 = 15.3 uJ.
CounterSpec rapl_package_energy(int unit_exponent);
// As the kernel's powercap shows it: microjoules that wrap at max_energy_range_uj.
CounterSpec powercap_energy(std::uint64_t max_energy_range_uj);

}  // namespace perjoule::plant
