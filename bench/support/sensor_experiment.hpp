// The two sensor experiments on the records with a reference meter, used by bench/sensor_model and by its
// test: (1) fit a sensor on one record and predict the other; (2) power of the on and off phases of the 50/50
// load from readings alone. Thread rule: pure functions; a Trial refers to nothing outside itself. Units:
// base types.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "bench/support/gpu_record.hpp"
#include "ledger/phase_attribution.hpp"
#include "plant/sensor_learning.hpp"

namespace perjoule::bench {

// A record with its update grid learnt from the times at which the readings changed (no power is used for
// that).
struct Trial {
  std::string name;
  GpuRecord record;
  plant::LearnedUpdates grid;
  std::vector<plant::TimedReading>
      readings;  // distinct, inside the meter's record with room for the sensor's memory

  plant::CumulativeEnergy truth() const;
};
base::Result<Trial> load_trial(const std::string& directory, const std::string& name);

struct ErrorSummary {
  std::size_t readings = 0;
  double median = 0.0;
  double p90 = 0.0;
  double mean = 0.0;
};

// One sensor on one record, over all readings and over those between the first and last mark (under load).
struct Prediction {
  std::string sensor;
  std::string fitted_on;    // empty: not fitted
  std::string reported_on;  // fitted_on == reported_on: a fit-record figure, no figure of merit
  plant::SensorSpec spec;
  ErrorSummary all;
  ErrorSummary loaded;
};
// Both fits on both records, the second half of `b` by its first, and as references the boxcar of 25 ms
// (published) and a plain reading of the meter.
base::Result<std::vector<Prediction>> predict_readings(const Trial& a, const Trial& b);

struct PhaseCase {
  std::string name;
  ledger::PhaseQuestion question;
  base::Result<ledger::PhaseAttribution> answer;
};
struct PhaseExperiment {
  std::vector<base::Watts> truth;         // per phase, by the meter
  std::vector<base::Watts> last_reading;  // per phase, by holding the last reading
  base::Duration load_period;
  std::vector<PhaseCase> cases;
};
// Phases "on" and "off" of `load` (its marks alternate); the sensor's constants come from `calibration`, the
// other record.
base::Result<PhaseExperiment> attribute_load(const Trial& load, const Trial& calibration);

}  // namespace perjoule::bench
