// What a sensor tells about itself: its update period and phase from the times at which its reading changed,
// and, beside a reference meter, its window, lag, delay, gain and offset. Thread rule: pure functions.
// Ownership: reads its inputs. Units: base types.
#pragma once

#include <span>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "plant/power_sensor.hpp"

namespace perjoule::plant {

// One poll of a sensor by its reader.
struct PolledReading {
  base::TimePoint polled;
  base::Watts shown;
};

// One change of the reading: the sensor updated in (after, by].
struct ObservedUpdate {
  base::TimePoint after;
  base::TimePoint by;
  base::Watts shown;
};

// The polls at which the shown value differs from the poll before. Two equal consecutive updates look like
// none.
std::vector<ObservedUpdate> distinct_updates(std::span<const PolledReading> polls);

struct LearnedUpdates {
  base::Duration period;
  base::TimePoint anchor;  // one update; the others are whole periods away
  base::Duration
      slip;  // 95th percentile of how far an update lies outside (after, by]; large = clock wanders
  bool phase_known = false;  // slip is below a quarter of the period
  std::size_t updates = 0;   // changes used
  base::TimePoint nearest(
      const ObservedUpdate& seen) const;  // the grid's update nearest the middle of the interval
};

// Finds the strict grid that lies inside most of the intervals (a robust least-squares line through them).
// Errors: kBadInput for unsorted polls; kAnswerIsNo with fewer than 8 changes, or where the reading changes
// at nearly every poll, so that the polling and not the sensor sets the interval.
base::Result<LearnedUpdates> learn_update_period(std::span<const PolledReading> polls);

// A reading at a known update time.
struct TimedReading {
  base::TimePoint update;
  base::Watts shown;
};

struct SensorFit {
  SensorSpec spec;                     // update period and resolution as in the start spec
  base::Watts mean_abs_error;          // on the readings fitted
  double median_relative_error = 0.0;  // on the readings fitted: not a figure of merit
};

// Least absolute deviation over window, lag and delay (Nelder-Mead) with gain and offset solved inside.
// `start` gives the starting kernel and what is not fitted. The truth must reach 12 lags and a window before
// each reading. Errors: kBadInput with fewer than 8 readings; kAnswerIsNo where the power hardly varies (gain
// is not identifiable).
base::Result<SensorFit> fit_sensor(std::span<const TimedReading> readings, const CumulativeEnergy& truth,
                                   const SensorSpec& start);

// |shown - reading| / reading of each reading under a spec, in order, the recorded value as the base.
base::Result<std::vector<double>> relative_errors(std::span<const TimedReading> readings,
                                                  const CumulativeEnergy& truth, const SensorSpec& spec);

}  // namespace perjoule::plant
