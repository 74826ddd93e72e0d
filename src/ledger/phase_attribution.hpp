// Attribution below the sensor period: the mean power of recurring phases (prefill and decode, a kernel and
// the gap after it) from slow readings and the phases' exact marks, by non-negative regression of the
// readings on the share each phase has in the sensor's memory. It refuses where the readings do not determine
// the answer. Thread rule: pure function. Ownership: reads its input. Units: base types; energy sums are
// exact integers.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "math/sensor_kernel.hpp"

namespace perjoule::ledger {

// One stay in a phase, [t0, t1).
struct PhaseMark {
  std::size_t phase = 0;  // index into PhaseQuestion::phases
  base::TimePoint t0;
  base::TimePoint t1;
};

// A distinct reading and the time of the sensor's update.
struct SensorReading {
  base::TimePoint update;
  base::Watts shown;
};

// What is known of the sensor, each with its 95 % half-width. The defaults are those of a sensor nobody has
// calibrated.
struct SensorKnowledge {
  math::SensorKernel kernel;
  double gain = 1.0;
  base::Watts offset;
  base::Duration window_error;
  base::Duration lag_error;
  base::Duration delay_error = base::milliseconds(2);
  double gain_error = 0.05;
  base::Watts offset_error = base::Watts(2.0);
};

struct IdentifiabilityLimits {
  // Of the design (columns scaled to length 1): how much it magnifies an error of the readings.
  double condition_number = 30.0;
  // Widest accepted 95 % half-width over the mean power of all phases together.
  double relative_half_width = 0.25;
  // A reading is used when at least this part of its memory lies inside the marks.
  double coverage = 0.98;
};

struct PhaseQuestion {
  std::vector<std::string> phases;      // names
  std::vector<PhaseMark> marks;         // in time order, not overlapping
  std::vector<SensorReading> readings;  // in time order
  SensorKnowledge sensor;
  // Energy of all marks together by an independent counter; the phases then add up to it exactly. Never the
  // integral of these same readings: that brings no information and the aliasing error of the slow readings.
  std::optional<base::Microjoules> counter;
  IdentifiabilityLimits limits;
};

struct PhasePower {
  std::string phase;
  base::Watts mean;
  base::Watts lower;  // 95 % interval, never below 0
  base::Watts upper;
  base::Duration time;       // in the phase, over all marks
  base::Microjoules energy;  // mean x time; with a counter the energies sum to it exactly
};

struct PhaseAttribution {
  std::vector<PhasePower> phases;
  double condition_number = 0.0;
  base::Watts residual;  // root mean square of the fit, W at the device
  std::size_t readings_used = 0;
  std::size_t readings_dropped = 0;  // memory not inside the marks
  // Energy of the fit without the counter over the counter, minus 1; 0 without a counter.
  double counter_disagreement = 0.0;
};

// Interval: twice the standard error of the fit (residual variance, inflated for correlated residuals), and,
// added in squares, the change of the answer when each of window, lag, delay, gain and offset moves by its
// error, and when the counter is left out. Errors: kBadInput for marks or readings out of order, an unknown
// phase or a phase without marks; kAnswerIsNo
// ("phases are not identifiable") with too few readings, a condition number or an interval above the limits;
// the reason gives the figures.
base::Result<PhaseAttribution> attribute_phases(const PhaseQuestion& question);

// The sensor's memory from the readings and marks alone, without a reference meter: the kernel whose
// regression leaves the smallest residual (simplex search from question.sensor.kernel). Gain and offset
// cannot be learnt this way: they scale and shift every phase alike. Use it where the phases differ clearly
// and the load and update periods drift against each other. Errors: as attribute_phases for the start
// kernel's design, the widths aside.
base::Result<math::SensorKernel> learn_kernel(const PhaseQuestion& question);

}  // namespace perjoule::ledger
