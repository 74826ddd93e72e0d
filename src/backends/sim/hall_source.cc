#include "backends/sim/hall_source.hpp"

#include <algorithm>
#include <cmath>

#include "energy/signal_catalogue.hpp"
#include "plant/training.hpp"

namespace perjoule::backends::sim {

using device::SignalKind;
using energy::DeviceKind;
using energy::MeterId;
using energy::SignalNumber;
using plant::GpuWindow;

namespace {

// Share of time the memory moves data while a GPU works: decode reads all weights for each token and is bound
// by memory, prefill is bound by arithmetic. Rough: the plant does not trace bandwidth; hence the wide
// uncertainty.
constexpr double kDecodeDramActive = 0.75;
constexpr double kPrefillDramActive = 0.25;
constexpr std::int64_t kActivityPpm = 50'000;
constexpr std::int64_t kDramActivePpm = 500'000;
// 1 K in 50.
constexpr std::int64_t kTemperaturePpm = 20'000;

}  // namespace

struct HallSource::Form {
  std::uint16_t number;
  std::string_view name;
  std::string_view unit;
  SignalKind kind;
  bool mean;         // over the window
  std::int64_t ppm;  // < 0: the meter's own
};

namespace {

// The catalogue publishes energies in joules; a counter is a whole number, so it counts microjoules.
template <class Form>
Form form_of(SignalNumber number, bool mean, std::int64_t ppm) {
  const energy::SignalInfo& info = energy::signal_info(number);
  const bool counter = info.kind == energy::SignalKind::kCounter;
  return {energy::SignalId(number).number,
          info.name,
          counter ? std::string_view("uJ") : info.unit,
          counter ? SignalKind::kCounter : SignalKind::kGauge,
          mean,
          ppm};
}

}  // namespace

HallSource::HallSource(const plant::Hall& hall, const base::Clock& clock, base::SymbolTable& symbols,
                       std::span<const std::string_view> only)
    : SlottedSource(clock, symbols), hall_(hall) {
  const auto form = [](SignalNumber n, bool mean, std::int64_t ppm) { return form_of<Form>(n, mean, ppm); };
  for (std::size_t g = 0; g < hall.gpus().size(); ++g) {
    const MeterId m = hall.gpus()[g].meter;
    offer(form(SignalNumber::kGpuEnergy, false, -1), m, What::kEnergy, m.index, only);
    offer(form(SignalNumber::kGpuPowerAvg, true, -1), m, What::kMeanPower, m.index, only);
    offer(form(SignalNumber::kGpuTemp, false, kTemperaturePpm), m, What::kTemperature, g, only);
    offer(form(SignalNumber::kGpuCapEnforced, false, 0), m, What::kCap, g, only);
    offer(form(SignalNumber::kSmActive, true, kActivityPpm), m, What::kSmActive, g, only);
    offer(form(SignalNumber::kDramActive, true, kDramActivePpm), m, What::kDramActive, g, only);
  }
  std::vector<std::size_t> node_of(hall.meters().size());
  for (std::size_t n = 0; n < hall.node_meters().size(); ++n) node_of[hall.node_meters()[n].node.index] = n;
  const Form meter{0, "meter.energy", "uJ", SignalKind::kCounter, false, -1};
  for (std::uint32_t i = 0; i < hall.meters().size(); ++i) {
    const MeterId m{i};
    switch (hall.meters()[m].device.kind) {
      case DeviceKind::kGpu:
        break;
      case DeviceKind::kCpu:
        offer(form(SignalNumber::kCpuPkgEnergy, false, -1), m, What::kEnergy, i, only);
        break;
      case DeviceKind::kDram:
        offer(form(SignalNumber::kDramEnergy, false, -1), m, What::kEnergy, i, only);
        break;
      case DeviceKind::kNode:
        offer(form(SignalNumber::kNodePower, true, -1), m, What::kMeanPower, i, only);
        offer(form(SignalNumber::kInletTemp, false, kTemperaturePpm), m, What::kInlet, node_of[i], only);
        break;
      default:
        offer(meter, m, What::kEnergy, i, only);
        break;
    }
  }
}

void HallSource::offer(const Form& form, MeterId meter, What what, std::size_t index,
                       std::span<const std::string_view> only) {
  if (!only.empty() && std::find(only.begin(), only.end(), form.name) == only.end()) return;
  device::SignalDescriptor d;
  d.number = form.number;
  d.name = form.name;
  d.unit = form.unit;
  d.kind = form.kind;
  d.device = hall_.meters()[meter].device;
  d.quality = energy::Quality::kSimulated;
  d.update_period = hall_.spec().window;
  d.window = form.mean ? hall_.spec().window : base::Duration{};
  d.uncertainty_ppm = form.ppm < 0 ? hall_.provenance(meter).uncertainty_ppm : form.ppm;
  declare(d);
  origins_.push_back({what, index});
}

device::RawReading HallSource::do_read(std::size_t signal) {
  const Origin& origin = origins_[signal];
  device::RawReading raw;
  raw.t_device = hall_.now();
  // A mean needs a window to be over; a counter starts at 0.
  if (signals()[signal].window.ns > 0 && hall_.now() == hall_.spec().start) {
    raw.missing = device::MissingReason::kNotRead;
  } else if (origin.what == What::kEnergy) {
    raw.count = hall_.counter(MeterId{static_cast<std::uint32_t>(origin.index)}).value();
  } else {
    raw.value = value_of(origin);
  }
  return raw;
}

std::optional<base::TimePoint> HallSource::do_next_update(std::size_t) const {
  return hall_.now() + hall_.spec().window;
}

double HallSource::value_of(const Origin& origin) const {
  switch (origin.what) {
    case What::kEnergy:
      break;
    case What::kMeanPower:
      return mean_power(origin.index);
    case What::kTemperature:
      return hall_.gpus()[origin.index].temperature.value();
    case What::kCap:
      return cap_of(hall_.gpus()[origin.index]);
    case What::kSmActive:
      return sm_active(hall_.gpus()[origin.index]);
    case What::kDramActive:
      return dram_active(hall_.gpus()[origin.index]);
    case What::kInlet:
      return hall_.inlet(origin.index).value();
  }
  return std::numeric_limits<double>::quiet_NaN();
}

double HallSource::mean_power(std::size_t meter) const {
  return (base::to_joules(hall_.readings()[meter].reading) / base::to_seconds(hall_.spec().window)).value();
}

double HallSource::cap_of(const GpuWindow& gpu) const {
  if (gpu.replica < 0) return hall_.training_cap().value();
  return hall_.replicas()[static_cast<std::size_t>(gpu.replica)].cap.value();
}

double HallSource::sm_active(const GpuWindow& gpu) const {
  return std::clamp(gpu.busy_seconds / base::to_seconds(hall_.spec().window).value(), 0.0, 1.0);
}

double HallSource::dram_active(const GpuWindow& gpu) const {
  double moving = 0.0, all = 0.0;  // joules
  if (gpu.replica >= 0) {
    for (const plant::RequestUse& use : hall_.replicas()[static_cast<std::size_t>(gpu.replica)].uses) {
      moving += use.decode_joules * kDecodeDramActive + use.prefill_joules * kPrefillDramActive;
      all += use.decode_joules + use.prefill_joules;
    }
  }
  for (const plant::JobUse& use : gpu.jobs) {
    const auto& profile = plant::training_profiles()[hall_.jobs()[use.job].spec.profile];
    for (std::size_t p = 0; p < plant::kTrainingPhases; ++p) {
      moving += use.phase_joules[p] * profile.phases[p].activity.memory;
      all += use.phase_joules[p];
    }
  }
  return all > 0.0 ? std::clamp(sm_active(gpu) * moving / all, 0.0, 1.0) : 0.0;
}

}  // namespace perjoule::backends::sim
