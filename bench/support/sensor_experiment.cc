#include "bench/support/sensor_experiment.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

namespace perjoule::bench {
namespace {

using base::milliseconds;

plant::SensorSpec start_spec(const Trial& t) {
  plant::SensorSpec spec;
  spec.update_period = t.grid.period;
  spec.kernel = {milliseconds(10), milliseconds(10), {}};
  spec.resolution = base::Watts(0.01);
  return spec;
}

ErrorSummary summarise(std::vector<double> errors) {
  ErrorSummary out;
  out.readings = errors.size();
  if (errors.empty()) return out;
  std::sort(errors.begin(), errors.end());
  const auto at = [&](double q) {
    return errors[static_cast<std::size_t>(q * static_cast<double>(errors.size() - 1))];
  };
  out.median = at(0.5);
  out.p90 = at(0.9);
  for (const double e : errors) out.mean += e / static_cast<double>(errors.size());
  return out;
}

base::Result<Prediction> predict(const Trial& t, const plant::SensorSpec& spec, std::string sensor,
                                 std::string fitted_on) {
  PJ_ASSIGN(const auto errors, plant::relative_errors(t.readings, t.truth(), spec));
  std::vector<double> loaded;
  const auto& marks = t.record.marks;
  // The last mark of the transient record follows six idle seconds; its load ends at the second.
  const base::TimePoint end = marks.size() == 3 ? marks[1] : marks.back();
  for (std::size_t i = 0; i < errors.size(); ++i) {
    if (t.readings[i].update >= marks.front() && t.readings[i].update < end) loaded.push_back(errors[i]);
  }
  return Prediction{std::move(sensor), std::move(fitted_on),        t.name, spec,
                    summarise(errors), summarise(std::move(loaded))};
}

}  // namespace

plant::CumulativeEnergy Trial::truth() const {
  return [meter = record.meter](base::TimePoint t) { return meter.energy_at(t); };
}

base::Result<Trial> load_trial(const std::string& directory, const std::string& name) {
  Trial t;
  t.name = name;
  PJ_ASSIGN(t.record, read_gpu_record(directory, name));
  std::vector<plant::PolledReading> polls;
  for (const auto& p : t.record.polls) polls.push_back({p.polled, p.power});
  PJ_ASSIGN(t.grid, plant::learn_update_period(polls));
  const base::TimePoint first = t.record.meter.at.front() + milliseconds(150);
  const base::TimePoint last = t.record.meter.at.back() - milliseconds(20);
  for (const auto& u : plant::distinct_updates(polls)) {
    const base::TimePoint at = t.grid.nearest(u);
    const bool later = t.readings.empty() || at > t.readings.back().update;
    if (later && at > first && at < last) t.readings.push_back({at, u.shown});
  }
  return t;
}

namespace {

// Fits the first half of the readings and reports the second: nothing of one is in the other but the update
// grid.
base::Result<Prediction> predict_second_half(const Trial& t) {
  const auto middle = t.readings.begin() + static_cast<std::ptrdiff_t>(t.readings.size() / 2);
  const std::vector<plant::TimedReading> first(t.readings.begin(), middle);
  PJ_ASSIGN(const auto fit, plant::fit_sensor(first, t.truth(), start_spec(t)));
  Trial second = t;
  second.readings.assign(middle, t.readings.end());
  second.name += " 2nd half";
  return predict(second, fit.spec, "fitted", t.name + " 1st half");
}

}  // namespace

base::Result<std::vector<Prediction>> predict_readings(const Trial& a, const Trial& b) {
  std::vector<Prediction> out;
  for (const Trial* on : {&a, &b}) {
    PJ_ASSIGN(const auto fit, plant::fit_sensor(on->readings, on->truth(), start_spec(*on)));
    for (const Trial* report : {&a, &b}) {
      PJ_ASSIGN(auto p, predict(*report, fit.spec, "fitted", on->name));
      out.push_back(std::move(p));
    }
  }
  PJ_ASSIGN(auto half, predict_second_half(b));
  out.push_back(std::move(half));
  for (const Trial* report : {&a, &b}) {
    plant::SensorSpec boxcar = start_spec(*report);
    boxcar.kernel = {milliseconds(25), {}, {}};
    boxcar.gain = 1.0 - 0.055;
    PJ_ASSIGN(auto p, predict(*report, boxcar, "published: 25 ms boxcar, -5.5 %", ""));
    out.push_back(std::move(p));
    boxcar.kernel = {milliseconds(1), {}, {}};
    boxcar.gain = 1.0;
    PJ_ASSIGN(auto plain, predict(*report, boxcar, "none: the meter at the update", ""));
    out.push_back(std::move(plain));
  }
  return out;
}

namespace {

std::vector<ledger::PhaseMark> alternating(const std::vector<base::TimePoint>& marks) {
  std::vector<ledger::PhaseMark> out;
  for (std::size_t i = 0; i + 1 < marks.size(); ++i) out.push_back({i % 2, marks[i], marks[i + 1]});
  return out;
}

// Mean of `energy_between(t0, t1)` joules per phase over its time.
template <class EnergyBetween>
std::vector<base::Watts> per_phase(const std::vector<ledger::PhaseMark>& marks,
                                   EnergyBetween energy_between) {
  std::array<double, 2> joules{};
  std::array<double, 2> seconds{};
  for (const auto& m : marks) {
    joules[m.phase] += energy_between(m.t0, m.t1);
    seconds[m.phase] += base::to_seconds(m.t1 - m.t0).value();
  }
  return {base::Watts(joules[0] / seconds[0]), base::Watts(joules[1] / seconds[1])};
}

// Joules by holding the last poll, in steps of a millisecond.
double held_energy(const std::vector<GpuPoll>& polls, base::TimePoint t0, base::TimePoint t1) {
  double joules = 0.0;
  for (base::TimePoint t = t0; t < t1; t = t + milliseconds(1)) {
    const auto next =
        std::upper_bound(polls.begin(), polls.end(), t, [](auto at, const auto& p) { return at < p.polled; });
    const double width = base::to_seconds(std::min(milliseconds(1), t1 - t)).value();
    joules += (next == polls.begin() ? next : next - 1)->power.value() * width;
  }
  return joules;
}

ledger::SensorKnowledge known(const plant::SensorSpec& spec) {
  ledger::SensorKnowledge k;
  k.kernel = spec.kernel;
  k.gain = spec.gain;
  k.offset = spec.offset;
  k.window_error = base::Duration{spec.kernel.window.ns / 20};
  k.lag_error = base::Duration{spec.kernel.lag.ns / 10};
  return k;
}

ledger::PhaseQuestion base_question(const Trial& load) {
  ledger::PhaseQuestion q;
  q.phases = {"on", "off"};
  q.marks = alternating(load.record.marks);
  for (const auto& r : load.readings) q.readings.push_back({r.update, r.shown});
  return q;
}

// A sensor of another window on the same truth; its reader knows window, gain and offset as exactly as for a
// real one.
base::Result<ledger::PhaseQuestion> simulated_window(const Trial& load, base::Duration window) {
  plant::SensorSpec spec = start_spec(load);
  spec.kernel = {window, {}, {}};
  PJ_ASSIGN(const auto sensor, plant::PowerSensor::create(spec));
  const auto truth = load.truth();
  ledger::PhaseQuestion q = base_question(load);
  for (auto& r : q.readings) r.shown = sensor.displayed(sensor.filtered(r.update, truth));
  q.sensor = known(spec);
  return q;
}

base::Result<base::Microjoules> counted(const Trial& load) {
  plant::CounterSpec spec = plant::nvml_total_energy();
  spec.update_period = milliseconds(1);
  PJ_ASSIGN(const auto counter, plant::EnergyCounterSensor::create(spec));
  const auto at = [&](base::TimePoint t) { return counter.reading(t, load.truth()); };
  return counter.between(at(load.record.marks.front()), at(load.record.marks.back()));
}

// The mistake to avoid: the integral of the same readings, each held until the next update, in place of a
// counter.
base::Microjoules integral_of_readings(const ledger::PhaseQuestion& q) {
  double joules = 0.0;
  const base::TimePoint end = q.marks.back().t1;
  for (std::size_t i = 0; i < q.readings.size(); ++i) {
    const base::TimePoint from = std::max(q.readings[i].update, q.marks.front().t0);
    const base::TimePoint to = i + 1 < q.readings.size() ? std::min(q.readings[i + 1].update, end) : end;
    const double watts = (q.readings[i].shown - q.sensor.offset).value() / q.sensor.gain;
    if (to > from) joules += watts * base::to_seconds(to - from).value();
  }
  return base::to_microjoules(base::Joules(joules));
}

void add_case(PhaseExperiment& e, std::string name, ledger::PhaseQuestion q) {
  auto answer = ledger::attribute_phases(q);
  e.cases.push_back({std::move(name), std::move(q), std::move(answer)});
}

}  // namespace

base::Result<PhaseExperiment> attribute_load(const Trial& load, const Trial& calibration) {
  PhaseExperiment e;
  const auto marks = alternating(load.record.marks);
  e.load_period = {(load.record.marks.back() - load.record.marks.front()).ns * 2 /
                   static_cast<std::int64_t>(marks.size())};
  const auto& meter = load.record.meter;
  e.truth = per_phase(marks, [&](auto a, auto b) {
    return base::to_joules(meter.energy_at(b) - meter.energy_at(a)).value();
  });
  e.last_reading = per_phase(marks, [&](auto a, auto b) { return held_energy(load.record.polls, a, b); });

  PJ_ASSIGN(const auto fit,
            plant::fit_sensor(calibration.readings, calibration.truth(), start_spec(calibration)));
  ledger::PhaseQuestion q = base_question(load);
  q.sensor = known(fit.spec);
  q.sensor.gain_error = 0.01;
  add_case(e, "readings only, sensor fitted on the other record", q);
  PJ_ASSIGN(q.sensor.kernel, ledger::learn_kernel(q));
  add_case(e, "readings only, memory learnt from them, gain from the other record", q);
  PJ_ASSIGN(q.counter, counted(load));
  add_case(e, "the same with a simulated energy counter", q);
  ledger::PhaseQuestion integral = q;
  integral.counter = integral_of_readings(q);
  q = base_question(load);
  q.sensor.kernel = {milliseconds(25), {}, {}};
  q.sensor.window_error = milliseconds(3);
  add_case(e, "readings only, published 25 ms boxcar, gain unknown", q);
  PJ_ASSIGN(auto equal, simulated_window(load, e.load_period));
  add_case(e, "simulated sensor, window = load period", std::move(equal));
  PJ_ASSIGN(auto near, simulated_window(load, milliseconds(100)));
  add_case(e, "simulated sensor, window 100 ms", std::move(near));
  PJ_ASSIGN(auto shorter, simulated_window(load, milliseconds(75)));
  add_case(e, "simulated sensor, window 75 ms", std::move(shorter));
  add_case(e, "memory learnt, forced to the integral of the same readings", std::move(integral));
  return e;
}

}  // namespace perjoule::bench
