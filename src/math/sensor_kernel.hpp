// The memory of a power sensor: how a reading weighs the ages of the power before it.
// A boxcar average of width `window` behind a first-order low-pass of time constant `lag`, seen after a pure
// `delay`. Thread rule: a value; all functions are pure. Units: base::Duration (integer ns) at the interface.
#pragma once

#include "base/time.hpp"

namespace perjoule::math {

struct SensorKernel {
  base::Duration window;  // boxcar width, >= 0
  base::Duration lag;     // first-order time constant, >= 0
  base::Duration
      delay;  // age of the newest power in the reading; negative when a reader stamps before it reads

  // Part (0..1) of the reading that power younger than `age` has made: the sensor's step response.
  // Source: the integral of the convolution of a box and (1/lag) exp(-x/lag), in closed form.
  double step_response(base::Duration age) const;
  // Part (0..1) of a reading updated at `update` that comes from power between t0 and t1 (t0 <= t1).
  double weight(base::TimePoint update, base::TimePoint t0, base::TimePoint t1) const;
  // The age beyond which less than 1e-5 of the weight is left.
  base::Duration memory() const;
};

}  // namespace perjoule::math
