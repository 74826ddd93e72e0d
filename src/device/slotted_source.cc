#include "device/slotted_source.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

#include "base/text.hpp"

namespace perjoule::device {
namespace {

constexpr std::int64_t kStalePeriods = 3;

bool is_value(const RawReading& raw, const SignalDescriptor& d) {
  if (raw.missing != MissingReason::kNone) return false;
  if (d.kind != SignalKind::kCounter) return std::isfinite(raw.value);
  return raw.count >= 0 && (d.wrap == 0 || raw.count < d.wrap);
}

SignalReading missing_reading(MissingReason reason, base::TimePoint host, std::uint64_t updates) {
  SignalReading r;
  r.missing = reason;
  r.t_host = host;
  r.updates = updates;
  return r;
}

void add_once(std::vector<std::string>& names, std::string_view name) {
  if (std::find(names.begin(), names.end(), name) == names.end()) names.emplace_back(name);
}

}  // namespace

bool known_unit(std::string_view unit) {
  constexpr std::array kUnits{"1",    "%",    "uJ",   "mJ",   "J",    "kW.h", "uW",   "mW",    "W",
                              "kW",   "Cel",  "mCel", "Hz",   "kHz",  "MHz",  "ns",   "us",    "ms",
                              "s",    "mV",   "V",    "mA",   "A",    "By",   "kBy",  "KiBy",  "MiBy",
                              "GiBy", "/min", "Pa",   "kg/s", "m3/s", "By/s", "GT/s", "g/kW.h"};
  if (unit.size() > 2 && unit.front() == '{' && unit.back() == '}') return true;
  return std::find(kUnits.begin(), kUnits.end(), unit) != kUnits.end();
}

std::string_view name_of(Validity v) {
  constexpr std::array<std::string_view, 5> kNames{"ok", "missing", "stale", "wrapped", "reset"};
  return kNames[static_cast<std::size_t>(v)];
}

std::string_view name_of(MissingReason r) {
  constexpr std::array<std::string_view, 6> kNames{"none",      "not read", "absent",
                                                   "forbidden", "failed",   "gap"};
  return kNames[static_cast<std::size_t>(r)];
}

std::int64_t counter_delta(std::int64_t before, std::int64_t after, std::int64_t wrap) {
  return after >= before || wrap == 0 ? after - before : wrap - before + after;
}

void SlottedSource::declare(SignalDescriptor signal) {
  PJ_CHECK(slots_.empty());
  PJ_CHECK(known_unit(signal.unit));
  const auto index = static_cast<std::uint32_t>(signals_.size());
  PJ_CHECK(by_device_.add(signal.device.name, signal.name, index));
  signals_.push_back(signal);
  slot_of_.push_back(kNoSlot);
}

base::Result<SlotId> SlottedSource::push(std::string_view signal, std::string_view device) {
  const auto index = by_device_.find(symbols_, device, signal);
  if (!index) return no_such(signal, device);
  std::uint32_t& slot = slot_of_[*index];
  if (slot == kNoSlot) {
    slot = static_cast<std::uint32_t>(slots_.size());
    slots_.emplace_back().signal = *index;
  }
  return SlotId{slot};
}

base::Error SlottedSource::no_such(std::string_view signal, std::string_view device) const {
  std::vector<std::string> names, devices;
  for (const SignalDescriptor& d : signals_) {
    add_once(names, d.name);
    if (d.name == signal) devices.emplace_back(symbols_.text(d.device.name));
  }
  const std::string source(name());
  if (devices.empty()) {
    return base::bad_input("read a signal", source, "there is no signal '" + std::string(signal) + "'",
                           base::nearest_name_hint(signal, names));
  }
  return base::bad_input("read the signal '" + std::string(signal) + "'", source,
                         "there is no device '" + std::string(device) + "' that has it",
                         base::nearest_name_hint(device, devices));
}

base::Status SlottedSource::read_batch(BatchStamp& stamp) {
  stamp.before = clock_.now();
  const base::Status begun = do_begin_batch();
  // Host times are given to the readings after the last of them is read.
  for (Slot& slot : slots_) {
    if (begun.ok()) {
      take(slot, do_read(slot.signal), stamp.before);
    } else {
      slot.reading = missing_reading(MissingReason::kFailed, stamp.before, slot.reading.updates);
    }
  }
  stamp.after = clock_.now();
  for (Slot& slot : slots_) {
    SignalReading& r = slot.reading;
    r.t_host = stamp.middle();
    const base::Duration period = signals_[slot.signal].update_period;
    if (r.validity == Validity::kOk && period.ns > 0 && r.t_host - r.t_device > period * kStalePeriods) {
      r.validity = Validity::kStale;
    }
  }
  return begun;
}

void SlottedSource::take(Slot& slot, const RawReading& raw, base::TimePoint host) const {
  const SignalDescriptor& d = signals_[slot.signal];
  if (!is_value(raw, d)) {
    const auto reason = raw.missing == MissingReason::kNone ? MissingReason::kFailed : raw.missing;
    slot.reading = missing_reading(reason, host, slot.reading.updates);
    return;
  }
  SignalReading& r = slot.reading;
  if (!slot.seen || raw.t_device != slot.last_device) {
    ++r.updates;
    slot.last_validity = Validity::kOk;
    if (slot.seen && d.kind == SignalKind::kCounter && raw.count < slot.last_count) {
      slot.last_validity = d.wrap != 0 ? Validity::kWrapped : Validity::kReset;
    }
    slot.last_device = raw.t_device;
    slot.last_count = raw.count;
    slot.seen = true;
  }
  r.count = d.kind == SignalKind::kCounter ? raw.count : 0;
  r.value = d.kind == SignalKind::kCounter ? static_cast<double>(raw.count) : raw.value;
  r.t_device = raw.t_device;
  r.window = d.window;
  // The catalogue states a 95 % half-width: 1.96 standard deviations.
  r.sigma = std::abs(r.value) * static_cast<double>(d.uncertainty_ppm) * 1e-6 / 1.959964;
  r.validity = slot.last_validity;
  r.missing = MissingReason::kNone;
  r.quality = d.quality;
}

}  // namespace perjoule::device
