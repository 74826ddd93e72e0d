#include "plant/sensor_learning.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "math/simplex_search.hpp"

namespace perjoule::plant {
namespace {

constexpr std::size_t kFewestUpdates = 8;

double quantile(std::vector<double> values, double q) {
  PJ_CHECK(!values.empty());
  const auto at = static_cast<std::size_t>(q * static_cast<double>(values.size() - 1));
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(at), values.end());
  return values[at];
}

// An observed update in seconds since the first one; `count` is its number on the grid.
struct Interval {
  double after;
  double by;
  double count;
  double middle() const { return 0.5 * (after + by); }
};

struct Line {
  double start;
  double period;
  double at(const Interval& i) const { return start + period * i.count; }
};

double outside(const Interval& i, double t) { return std::max({0.0, i.after - t, t - i.by}); }

// The typical gap, blind to the longer ones where equal consecutive updates were not seen.
double first_period(const std::vector<Interval>& seen) {
  std::vector<double> gaps;
  for (std::size_t i = 1; i < seen.size(); ++i) gaps.push_back(seen[i].by - seen[i - 1].by);
  const double shortest = quantile(gaps, 0.25);
  std::erase_if(gaps, [&](double g) { return g > 1.5 * shortest; });
  return quantile(gaps, 0.5);
}

void number_updates(std::vector<Interval>& seen, double period) {
  for (std::size_t i = 1; i < seen.size(); ++i) {
    const double steps = std::round((seen[i].middle() - seen[i - 1].middle()) / period);
    seen[i].count = seen[i - 1].count + std::max(1.0, steps);
  }
}

Line weighted_line(const std::vector<Interval>& seen, const std::vector<double>& target,
                   const std::vector<double>& weight) {
  double sw = 0, sx = 0, sy = 0;
  for (std::size_t i = 0; i < seen.size(); ++i)
    sw += weight[i], sx += weight[i] * seen[i].count, sy += weight[i] * target[i];
  double sxx = 0, sxy = 0;
  for (std::size_t i = 0; i < seen.size(); ++i) {
    const double dx = seen[i].count - sx / sw;
    sxx += weight[i] * dx * dx;
    sxy += weight[i] * dx * (target[i] - sy / sw);
  }
  const double slope = sxy / sxx;
  return {sy / sw - slope * sx / sw, slope};
}

// Minimises the sum of the distances outside the intervals, with a slight pull to their middles that decides
// among the many lines that break none. Iteratively reweighted, so that a few late polls do not bend the
// line.
Line robust_line(const std::vector<Interval>& seen) {
  constexpr double kPull = 1e-3;
  constexpr double kFloor = 1e-4;  // s: below this a violation counts as squared
  std::vector<double> target(seen.size());
  std::vector<double> weight(seen.size(), 1.0);
  for (std::size_t i = 0; i < seen.size(); ++i) target[i] = seen[i].middle();
  Line line = weighted_line(seen, target, weight);
  for (int round = 0; round < 200; ++round) {
    for (std::size_t i = 0; i < seen.size(); ++i) {
      const double gap = outside(seen[i], line.at(seen[i]));
      const double force = gap > 0.0 ? kFloor / std::max(gap, kFloor) : 0.0;
      const double edge = std::clamp(line.at(seen[i]), seen[i].after, seen[i].by);
      target[i] = (force * edge + kPull * seen[i].middle()) / (force + kPull);
      weight[i] = force + kPull;
    }
    line = weighted_line(seen, target, weight);
  }
  return line;
}

base::Status check_polls(std::span<const PolledReading> polls) {
  for (std::size_t i = 1; i < polls.size(); ++i) {
    if (polls[i].polled <= polls[i - 1].polled) {
      return base::bad_input("cannot learn the update period", "poll " + std::to_string(i),
                             "polls are not in time order");
    }
  }
  return base::ok_status();
}

base::Error unlearnable(std::string why, std::string hint) {
  return {base::ErrorKind::kAnswerIsNo, "cannot learn the update period", "", std::move(why),
          std::move(hint)};
}

}  // namespace

std::vector<ObservedUpdate> distinct_updates(std::span<const PolledReading> polls) {
  std::vector<ObservedUpdate> updates;
  for (std::size_t i = 1; i < polls.size(); ++i) {
    if (polls[i].shown != polls[i - 1].shown)
      updates.push_back({polls[i - 1].polled, polls[i].polled, polls[i].shown});
  }
  return updates;
}

base::TimePoint LearnedUpdates::nearest(const ObservedUpdate& seen) const {
  const base::TimePoint middle{seen.after.ns + (seen.by - seen.after).ns / 2};
  const auto steps = std::llround(static_cast<double>((middle - anchor).ns) / static_cast<double>(period.ns));
  return anchor + period * steps;
}

base::Result<LearnedUpdates> learn_update_period(std::span<const PolledReading> polls) {
  PJ_TRY(check_polls(polls));
  const auto updates = distinct_updates(polls);
  if (updates.size() < kFewestUpdates) {
    return unlearnable("the reading changed " + std::to_string(updates.size()) + " times, 8 are needed",
                       "poll for longer");
  }
  if (static_cast<double>(updates.size()) > 0.8 * static_cast<double>(polls.size() - 1)) {
    return unlearnable("the reading changes at nearly every poll", "poll at least twice as often");
  }
  const base::TimePoint origin = updates.front().by;
  std::vector<Interval> seen;
  for (const auto& u : updates) {
    seen.push_back(
        {base::to_seconds(u.after - origin).value(), base::to_seconds(u.by - origin).value(), 0.0});
  }
  Line line{0.0, first_period(seen)};
  for (int round = 0; round < 3; ++round) {
    number_updates(seen, line.period);
    line = robust_line(seen);
  }
  std::vector<double> slips;
  for (const auto& i : seen) slips.push_back(outside(i, line.at(i)));
  LearnedUpdates out;
  out.period = base::to_duration(base::Seconds(line.period));
  // The anchor in the middle of the record: an error of the period then moves the ends least.
  const double middle = line.at(seen[seen.size() / 2]);
  out.anchor = origin + base::to_duration(base::Seconds(middle));
  out.slip = base::to_duration(base::Seconds(quantile(slips, 0.95)));
  out.phase_known = out.slip.ns * 4 < out.period.ns;
  out.updates = updates.size();
  return out;
}

namespace {

using Point = std::vector<double>;  // window, lag, delay in ms

struct Scale {
  double gain = 1.0;
  double offset = 0.0;
  double mean_abs = std::numeric_limits<double>::infinity();
};

// y = gain x + offset with the least sum of absolute deviations, by iterative reweighting.
Scale least_absolute_line(const std::vector<double>& x, const std::vector<double>& y) {
  constexpr double kFloor = 0.2;  // W: deviations below it count as squared
  std::vector<double> w(x.size(), 1.0);
  Scale s;
  for (int round = 0; round < 40; ++round) {
    double sw = 0, sx = 0, sy = 0, sxx = 0, sxy = 0;
    for (std::size_t i = 0; i < x.size(); ++i) sw += w[i], sx += w[i] * x[i], sy += w[i] * y[i];
    for (std::size_t i = 0; i < x.size(); ++i) {
      sxx += w[i] * (x[i] - sx / sw) * (x[i] - sx / sw);
      sxy += w[i] * (x[i] - sx / sw) * (y[i] - sy / sw);
    }
    s.gain = sxy / sxx;
    s.offset = (sy - s.gain * sx) / sw;
    s.mean_abs = 0.0;
    for (std::size_t i = 0; i < x.size(); ++i) {
      const double r = std::abs(y[i] - s.gain * x[i] - s.offset);
      w[i] = 1.0 / std::max(r, kFloor);
      s.mean_abs += r / static_cast<double>(x.size());
    }
  }
  return s;
}

math::SensorKernel to_kernel(const Point& p) {
  const auto ms = [](double v) { return base::to_duration(base::Seconds(v * 1e-3)); };
  return {ms(std::abs(p[0])), ms(std::abs(p[1])), ms(p[2])};
}

class FitProblem {
 public:
  FitProblem(std::span<const TimedReading> readings, const CumulativeEnergy& truth, SensorSpec start)
      : readings_(readings), truth_(truth), spec_(start) {
    for (const auto& r : readings_) shown_.push_back(r.shown.value());
  }

  Scale scale_at(const Point& p) const {
    SensorSpec spec = spec_;
    spec.kernel = to_kernel(p);
    const PowerSensor sensor = PowerSensor::create(spec).value();
    std::vector<double> x;
    for (const auto& r : readings_) x.push_back(sensor.filtered(r.update, truth_).value());
    return least_absolute_line(x, shown_);
  }
  double cost(const Point& p) const { return scale_at(p).mean_abs; }

 private:
  std::span<const TimedReading> readings_;
  const CumulativeEnergy& truth_;
  SensorSpec spec_;
  std::vector<double> shown_;
};

base::Status check_readings(std::span<const TimedReading> readings) {
  if (readings.size() < kFewestUpdates) {
    return base::bad_input("cannot fit the sensor", "", "fewer than 8 readings", "record for longer");
  }
  const auto [low, high] = std::minmax_element(
      readings.begin(), readings.end(), [](const auto& a, const auto& b) { return a.shown < b.shown; });
  if (high->shown.value() < 1.2 * low->shown.value()) {
    return base::Error{base::ErrorKind::kAnswerIsNo, "cannot fit the sensor", "",
                       "the power varies by less than a fifth, so gain and offset cannot be told apart",
                       "record a run with load steps"};
  }
  return base::ok_status();
}

}  // namespace

base::Result<SensorFit> fit_sensor(std::span<const TimedReading> readings, const CumulativeEnergy& truth,
                                   const SensorSpec& start) {
  PJ_TRY(check_readings(readings));
  if (auto valid = PowerSensor::create(start); !valid.ok()) return std::move(valid).error();
  const FitProblem problem(readings, truth, start);
  const auto ms = [](base::Duration d) { return static_cast<double>(d.ns) * 1e-6; };
  Point best{ms(start.kernel.window), ms(start.kernel.lag), ms(start.kernel.delay)};
  // Twice: a fresh simplex escapes the flat valley between window and lag. Steps of 5 ms, then 2 ms.
  const auto cost = [&](const Point& p) { return problem.cost(p); };
  best = math::simplex_search(cost, best, 5.0, 120);
  best = math::simplex_search(cost, best, 2.0, 120);
  const Scale scale = problem.scale_at(best);
  SensorFit fit;
  fit.spec = start;
  fit.spec.kernel = to_kernel(best);
  fit.spec.gain = scale.gain;
  fit.spec.offset = base::Watts(scale.offset);
  fit.spec.basis = SpecBasis::kFitted;
  fit.spec.source = "fitted to a reference meter";
  fit.mean_abs_error = base::Watts(scale.mean_abs);
  PJ_ASSIGN(auto errors, relative_errors(readings, truth, fit.spec));
  fit.median_relative_error = quantile(errors, 0.5);
  return fit;
}

base::Result<std::vector<double>> relative_errors(std::span<const TimedReading> readings,
                                                  const CumulativeEnergy& truth, const SensorSpec& spec) {
  PJ_ASSIGN(const PowerSensor sensor, PowerSensor::create(spec));
  std::vector<double> errors;
  for (const auto& r : readings) {
    if (!(r.shown.value() > 0.0)) {
      return base::bad_input("cannot compare the sensor", base::format_iso8601(r.update),
                             "a recorded reading is not positive");
    }
    const base::Watts simulated = sensor.displayed(sensor.filtered(r.update, truth));
    errors.push_back(std::abs((simulated - r.shown) / r.shown));
  }
  return errors;
}

}  // namespace perjoule::plant
