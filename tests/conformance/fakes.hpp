// The smallest source and actuator there are: values in memory, moved by the test. They show what a back end
// must write and let the suite test itself. Thread rule: one thread. Ownership: keep references to the clock
// and the symbols.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "device/guarded_actuator.hpp"
#include "device/slotted_source.hpp"

namespace perjoule::conformance {

inline energy::Device gpu(base::SymbolTable& symbols, std::string_view path) {
  energy::Device d;
  d.name = symbols.intern(path);
  d.kind = energy::DeviceKind::kGpu;
  return d;
}

// One GPU with a power gauge (100 ms), an energy counter that wraps at 1e9 mJ (20 ms), a state and a sensor
// that is not there. Power draws 500 W exactly; the counter follows it.
class FakeSource : public device::SlottedSource {
 public:
  FakeSource(base::VirtualClock& clock, base::SymbolTable& symbols)
      : SlottedSource(clock, symbols), clock_(clock) {
    using device::SignalKind;
    const auto gpu0 = gpu(symbols, "site/r1/n1/gpu/0");
    const auto measured = energy::Quality::kMeasured;
    const base::Duration none;
    declare({68, "gpu.power.inst", "W", SignalKind::kGauge, gpu0, measured, base::milliseconds(100),
             base::milliseconds(25), 50'000, 0});
    declare({69, "gpu.energy", "mJ", SignalKind::kCounter, gpu0, measured, base::milliseconds(20), none,
             20'000, kWrap});
    declare({84, "gpu.pstate", "{state}", SignalKind::kEvent, gpu0, measured, none, none, 0, 0});
    declare({76, "gpu.mem.temp", "Cel", SignalKind::kGauge, gpu0, measured, base::seconds(1), none, 0, 0});
    update_ = clock.now();
  }
  std::string_view name() const override { return "fake"; }

  static constexpr std::int64_t kWrap = 1'000'000'000;
  std::int64_t energy_start = 0;  // of the counter
  bool batch_fails = false, frozen = false;
  double power = 500.0;

 protected:
  base::Status do_begin_batch() override {
    if (batch_fails) return base::io_error("read the fake", "fake", "it is unplugged");
    if (!frozen) update_ = clock_.now();
    return base::ok_status();
  }
  device::RawReading do_read(std::size_t signal) override {
    device::RawReading raw;
    raw.t_device = newest(signal);
    if (signal == 0) raw.value = power;
    if (signal == 1)
      raw.count = (energy_start + raw.t_device.ns / base::kNsPerMs / 2) % kWrap;  // 500 W = 0.5 mJ/us
    if (signal == 2) raw.value = 0.0;
    if (signal == 3) raw.missing = device::MissingReason::kAbsent;
    return raw;
  }
  std::optional<base::TimePoint> do_next_update(std::size_t signal) const override {
    const auto period = signals()[signal].update_period;
    if (period.ns == 0) return std::nullopt;
    return newest(signal) + period;
  }

 private:
  base::TimePoint newest(std::size_t signal) const {
    const auto period = signals()[signal].update_period.ns;
    return {period == 0 ? update_.ns : update_.ns / period * period};
  }
  base::VirtualClock& clock_;
  base::TimePoint update_;
};

// A GPU with a cap in steps, a clock without steps, and a fan in another group. `device` outlives it, as
// hardware does.
struct FakeHardware {
  std::vector<double> values{0.0, 1980.0, 30.0};  // a cap of 0 = none: outside the range that may be written
  std::set<std::size_t> broken;
  int writes = 0;
};

class FakeActuator : public device::GuardedActuator {
 public:
  FakeActuator(FakeHardware& hardware, base::SymbolTable& symbols, device::RestoreJournal* journal = nullptr)
      : GuardedActuator(symbols, journal), hardware_(hardware) {
    const auto gpu0 = gpu(symbols, "site/r1/n1/gpu/0");
    declare({"gpu.cap", "W", gpu0, 200.0, 700.0, 25.0, "gpu-power", base::milliseconds(20), {}, true});
    declare({"gpu.clock", "MHz", gpu0, 345.0, 1980.0, 0.0, "gpu-power", base::milliseconds(50), {}, true});
    declare({"fan.duty", "%", gpu0, 10.0, 100.0, 0.1, "fan", {}, {}, true});
  }
  std::string_view name() const override { return "fake"; }

 protected:
  base::Result<double> do_read(std::size_t control) override { return hardware_.values.at(control); }
  base::Status do_write(std::size_t control, double value) override {
    if (hardware_.broken.contains(control))
      return base::io_error("set a control", "fake", "it does not answer");
    hardware_.values.at(control) = value;
    ++hardware_.writes;
    return base::ok_status();
  }

 private:
  FakeHardware& hardware_;
};

}  // namespace perjoule::conformance
