#include "ledger/phase_attribution.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "math/least_squares.hpp"
#include "math/simplex_search.hpp"

namespace perjoule::ledger {
namespace {

base::Error unidentifiable(std::string why) {
  return {
      base::ErrorKind::kAnswerIsNo, "phases are not identifiable", "", std::move(why),
      "use a faster sensor, more readings, or a load period that is not a multiple of the sensor's window"};
}

base::Status check(const PhaseQuestion& q) {
  const auto refuse = [](std::string where, std::string why) {
    return base::bad_input("cannot attribute the phases", std::move(where), std::move(why));
  };
  std::vector<bool> marked(q.phases.size(), false);
  for (std::size_t i = 0; i < q.marks.size(); ++i) {
    const auto& m = q.marks[i];
    if (m.phase >= q.phases.size()) return refuse(fmt::format("mark {}", i), "its phase has no name");
    if (m.t1 <= m.t0) return refuse(fmt::format("mark {}", i), "it does not end after its start");
    if (i > 0 && m.t0 < q.marks[i - 1].t1)
      return refuse(fmt::format("mark {}", i), "it overlaps the mark before");
    marked[m.phase] = true;
  }
  const auto missing = std::find(marked.begin(), marked.end(), false);
  if (q.phases.empty() || missing != marked.end()) return refuse("", "no phases, or a phase without marks");
  for (std::size_t i = 1; i < q.readings.size(); ++i) {
    if (q.readings[i].update <= q.readings[i - 1].update)
      return refuse(fmt::format("reading {}", i), "not in time order");
  }
  if (!(q.sensor.gain > 0.0)) return refuse("sensor", "the gain must be positive");
  if (q.counter && q.counter->value() < 0) return refuse("counter", "the energy is negative");
  return base::ok_status();
}

// Share of each phase in the memory of one reading; they add up to the covered part.
std::vector<double> shares(const PhaseQuestion& q, const math::SensorKernel& kernel, base::TimePoint update) {
  std::vector<double> row(q.phases.size(), 0.0);
  const base::TimePoint oldest = update - kernel.memory();
  auto m = std::partition_point(q.marks.begin(), q.marks.end(),
                                [&](const PhaseMark& x) { return x.t1 <= oldest; });
  for (; m != q.marks.end() && m->t0 < update - kernel.delay; ++m)
    row[m->phase] += kernel.weight(update, m->t0, m->t1);
  return row;
}

struct Design {
  math::DenseMatrix a;
  std::vector<double> watts;  // at the device: offset and gain taken out
};

// Which readings count is decided once, by the nominal kernel, so that every variant answers from the same
// readings.
std::vector<SensorReading> covered_readings(const PhaseQuestion& q) {
  std::vector<SensorReading> used;
  for (const auto& r : q.readings) {
    const auto row = shares(q, q.sensor.kernel, r.update);
    if (std::accumulate(row.begin(), row.end(), 0.0) >= q.limits.coverage) used.push_back(r);
  }
  return used;
}

Design make_design(const PhaseQuestion& q, const std::vector<SensorReading>& used,
                   const SensorKnowledge& sensor) {
  Design d{math::DenseMatrix::zeros(used.size(), q.phases.size()), {}};
  for (std::size_t i = 0; i < used.size(); ++i) {
    const auto row = shares(q, sensor.kernel, used[i].update);
    const double covered = std::accumulate(row.begin(), row.end(), 0.0);
    for (std::size_t j = 0; j < row.size(); ++j) d.a.at(i, j) = covered > 0.0 ? row[j] / covered : 0.0;
    d.watts.push_back((used[i].shown.value() - sensor.offset.value()) / sensor.gain);
  }
  return d;
}

std::vector<base::Duration> phase_times(const PhaseQuestion& q) {
  std::vector<base::Duration> times(q.phases.size());
  for (const auto& m : q.marks) times[m.phase] = times[m.phase] + (m.t1 - m.t0);
  return times;
}

std::optional<math::SumConstraint> counter_constraint(const PhaseQuestion& q) {
  if (!q.counter) return std::nullopt;
  math::SumConstraint sum{{}, base::to_joules(*q.counter).value()};
  for (const auto t : phase_times(q)) sum.coefficients.push_back(base::to_seconds(t).value());
  return sum;
}

// Every sensor that the stated errors allow, one parameter at a time and to one side or the other.
std::vector<SensorKnowledge> variants(const SensorKnowledge& s) {
  std::vector<SensorKnowledge> out;
  const auto add = [&](auto change) {
    for (const int sign : {-1, 1}) {
      SensorKnowledge v = s;
      change(v, sign);
      v.kernel.window = std::max(v.kernel.window, base::Duration{0});
      v.kernel.lag = std::max(v.kernel.lag, base::Duration{0});
      out.push_back(v);
    }
  };
  add([&](SensorKnowledge& v, int sign) { v.kernel.window = v.kernel.window + s.window_error * sign; });
  add([&](SensorKnowledge& v, int sign) { v.kernel.lag = v.kernel.lag + s.lag_error * sign; });
  add([&](SensorKnowledge& v, int sign) { v.kernel.delay = v.kernel.delay + s.delay_error * sign; });
  add([&](SensorKnowledge& v, int sign) { v.gain *= 1.0 + s.gain_error * sign; });
  add([&](SensorKnowledge& v, int sign) { v.offset += s.offset_error * static_cast<double>(sign); });
  return out;
}

// Correlated residuals carry less information than their number: (1 + r) / (1 - r) for a first-order process.
double correlation_inflation(const Design& d, const std::vector<double>& x) {
  std::vector<double> r(d.watts.size());
  for (std::size_t i = 0; i < r.size(); ++i) {
    r[i] = d.watts[i];
    for (std::size_t j = 0; j < x.size(); ++j) r[i] -= d.a.at(i, j) * x[j];
  }
  double square = 0.0;
  double product = 0.0;
  for (std::size_t i = 0; i < r.size(); ++i) {
    square += r[i] * r[i];
    if (i > 0) product += r[i] * r[i - 1];
  }
  const double rho = square > 0.0 ? std::clamp(product / square, 0.0, 0.95) : 0.0;
  return (1.0 + rho) / (1.0 - rho);
}

// Squared 95 % half-widths from the scatter of the readings.
std::vector<double> scatter(const Design& d, const math::NonnegativeFit& fit, bool tied) {
  const double freedom = static_cast<double>(d.a.rows - d.a.cols) + (tied ? 1.0 : 0.0);
  const double variance = fit.residual_sum_squares / freedom * correlation_inflation(d, fit.x);
  std::vector<double> out;
  for (std::size_t j = 0; j < fit.x.size(); ++j)
    out.push_back(4.0 * variance * std::max(0.0, fit.covariance.at(j, j)));
  return out;
}

using Answer = std::vector<double>;

// Adds the larger squared change of each pair of variants. A variant that cannot be solved makes the width
// infinite.
void add_sensor_error(const PhaseQuestion& q, const std::vector<SensorReading>& used, const Answer& x,
                      std::vector<double>& squares) {
  const auto sum = counter_constraint(q);
  const auto all = variants(q.sensor);
  for (std::size_t pair = 0; pair < all.size(); pair += 2) {
    std::vector<double> largest(x.size(), 0.0);
    for (std::size_t side = 0; side < 2; ++side) {
      const Design d = make_design(q, used, all[pair + side]);
      const auto fit = math::solve_nonnegative(d.a, d.watts, sum);
      for (std::size_t j = 0; j < x.size(); ++j) {
        largest[j] = fit.ok() ? std::max(largest[j], std::abs(fit->x[j] - x[j])) : HUGE_VAL;
      }
    }
    for (std::size_t j = 0; j < x.size(); ++j) squares[j] += largest[j] * largest[j];
  }
}

// Energies in integer microjoules: rounded, and with a counter the last microjoules go to the largest phase.
void settle(const PhaseQuestion& q, std::vector<PhasePower>& phases) {
  base::Microjoules sum;
  for (auto& p : phases) sum += p.energy = base::to_microjoules(p.mean * base::to_seconds(p.time));
  if (!q.counter) return;
  const auto largest = std::max_element(phases.begin(), phases.end(),
                                        [](const auto& a, const auto& b) { return a.energy < b.energy; });
  largest->energy += *q.counter - sum;
}

double mean_power(const Answer& x, const std::vector<base::Duration>& times) {
  double energy = 0.0;
  double time = 0.0;
  for (std::size_t j = 0; j < x.size(); ++j) {
    energy += x[j] * base::to_seconds(times[j]).value();
    time += base::to_seconds(times[j]).value();
  }
  return energy / time;
}

struct Fitted {
  Design design;
  math::NonnegativeFit fit;
  std::vector<double> squares;  // of the 95 % half-widths
  double disagreement = 0.0;
};

base::Result<Fitted> fit_with_errors(const PhaseQuestion& q, const std::vector<SensorReading>& used) {
  Fitted out{make_design(q, used, q.sensor), {}, {}, 0.0};
  PJ_ASSIGN(out.fit, math::solve_nonnegative(out.design.a, out.design.watts, counter_constraint(q)));
  out.squares = scatter(out.design, out.fit, q.counter.has_value());
  add_sensor_error(q, used, out.fit.x, out.squares);
  if (!q.counter) return out;
  PJ_ASSIGN(const auto alone, math::solve_nonnegative(out.design.a, out.design.watts));
  for (std::size_t j = 0; j < out.squares.size(); ++j)
    out.squares[j] += std::pow(alone.x[j] - out.fit.x[j], 2);
  const auto times = phase_times(q);
  out.disagreement = mean_power(alone.x, times) / mean_power(out.fit.x, times) - 1.0;
  return out;
}

base::Status check_widths(const PhaseQuestion& q, const Fitted& f) {
  const double mean = mean_power(f.fit.x, phase_times(q));
  for (std::size_t j = 0; j < f.squares.size(); ++j) {
    const double half = std::sqrt(f.squares[j]);
    if (half <= q.limits.relative_half_width * mean) continue;
    return unidentifiable(
        fmt::format("phase {}: 95 % half-width {:.1f} W is more than {:.0f} % of the mean power {:.1f} W",
                    q.phases[j], half, 100.0 * q.limits.relative_half_width, mean));
  }
  return base::ok_status();
}

PhaseAttribution report(const PhaseQuestion& q, const Fitted& f) {
  PhaseAttribution out;
  const auto times = phase_times(q);
  for (std::size_t j = 0; j < q.phases.size(); ++j) {
    const double half = std::sqrt(f.squares[j]);
    const double x = f.fit.x[j];
    out.phases.push_back({q.phases[j], base::Watts(x), base::Watts(std::max(0.0, x - half)),
                          base::Watts(x + half), times[j], base::Microjoules()});
  }
  settle(q, out.phases);
  const auto rows = static_cast<double>(f.design.a.rows);
  out.residual = base::Watts(std::sqrt(f.fit.residual_sum_squares / rows));
  out.readings_used = f.design.a.rows;
  out.readings_dropped = q.readings.size() - f.design.a.rows;
  out.counter_disagreement = f.disagreement;
  return out;
}

// The condition number of the design, or the refusal.
base::Result<double> check_design(const PhaseQuestion& q, const std::vector<SensorReading>& used) {
  if (used.size() < q.phases.size() + 2) {
    return unidentifiable(fmt::format("{} usable readings for {} phases, {} are needed", used.size(),
                                      q.phases.size(), q.phases.size() + 2));
  }
  const double condition = math::condition_number(make_design(q, used, q.sensor).a);
  if (condition <= q.limits.condition_number) return condition;
  return unidentifiable(
      fmt::format("condition number {:.0f} is above {:.0f}: the phases always weigh alike in a reading",
                  condition, q.limits.condition_number));
}

math::SensorKernel kernel_at(const std::vector<double>& ms) {
  const auto duration = [](double v) { return base::to_duration(base::Seconds(v * 1e-3)); };
  return {duration(std::abs(ms[0])), duration(std::abs(ms[1])), duration(ms[2])};
}

}  // namespace

base::Result<PhaseAttribution> attribute_phases(const PhaseQuestion& question) {
  PJ_TRY(check(question));
  const auto used = covered_readings(question);
  PJ_ASSIGN(const double condition, check_design(question, used));
  PJ_ASSIGN(const auto fitted, fit_with_errors(question, used));
  PJ_TRY(check_widths(question, fitted));
  PhaseAttribution out = report(question, fitted);
  out.condition_number = condition;
  return out;
}

base::Result<math::SensorKernel> learn_kernel(const PhaseQuestion& question) {
  PJ_TRY(check(question));
  const auto used = covered_readings(question);
  PJ_ASSIGN([[maybe_unused]] const double condition, check_design(question, used));
  const auto residual = [&](const std::vector<double>& ms) {
    SensorKnowledge sensor = question.sensor;
    sensor.kernel = kernel_at(ms);
    const Design d = make_design(question, used, sensor);
    const auto fit = math::solve_nonnegative(d.a, d.watts);
    return fit.ok() ? fit->residual_sum_squares : HUGE_VAL;
  };
  const auto ms = [](base::Duration d) { return static_cast<double>(d.ns) * 1e-6; };
  const math::SensorKernel& start = question.sensor.kernel;
  // Twice: a fresh simplex escapes the flat valley between window and lag. Steps of 5 ms, then 2 ms.
  std::vector<double> best{ms(start.window), ms(start.lag), ms(start.delay)};
  best = math::simplex_search(residual, best, 5.0, 120);
  best = math::simplex_search(residual, best, 2.0, 120);
  return kernel_at(best);
}

}  // namespace perjoule::ledger
