#include "plant/sensor_learning.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace perjoule::plant {
namespace {

using base::Duration;
using base::kNsPerMs;
using base::kNsPerUs;
using base::Microjoules;
using base::milliseconds;
using base::TimePoint;
using base::Watts;

// A load that never repeats itself: 200 W with three incommensurate swings; its exact integral in
// microjoules.
Microjoules wavy_energy(TimePoint t) {
  const double s = static_cast<double>(t.ns) * 1e-9;
  const double j = 200.0 * s - 60.0 / 7.0 * std::cos(7.0 * s) - 40.0 / 61.0 * std::cos(61.0 * s) -
                   30.0 / 130.0 * std::cos(130.0 * s) + 100.0;
  return base::to_microjoules(base::Joules(j));
}

SensorSpec hidden_spec() {
  SensorSpec spec;
  spec.update_period = Duration{101'200 * kNsPerUs};
  spec.phase = Duration{33'000 * kNsPerUs};
  spec.kernel = {milliseconds(15), milliseconds(9), milliseconds(3)};
  spec.gain = 0.93;
  spec.offset = Watts(4.0);
  spec.resolution = Watts(0.01);
  return spec;
}

std::vector<PolledReading> poll(const SensorSpec& spec, std::int64_t seconds) {
  const auto sensor = PowerSensor::create(spec).value();
  std::vector<PolledReading> polls;
  // Poll gaps of 11 to 15 ms in a fixed uneven order.
  for (std::int64_t t = base::kNsPerSecond, i = 0; t < (seconds + 1) * base::kNsPerSecond;
       t += (11 + i * 7 % 5) * kNsPerMs, ++i) {
    polls.push_back({{t}, sensor.reading({t}, wavy_energy)});
  }
  return polls;
}

TEST(LearnUpdatePeriod, FindsPeriodAndPhase) {
  const auto spec = hidden_spec();
  const auto learnt = learn_update_period(poll(spec, 12));
  ASSERT_TRUE(learnt.ok());
  EXPECT_NEAR(static_cast<double>(learnt->period.ns), 101.2e6, 0.05e6);
  EXPECT_TRUE(learnt->phase_known);
  const auto off = (learnt->anchor - TimePoint{spec.phase.ns}).ns % spec.update_period.ns;
  const auto miss = std::min(off, spec.update_period.ns - off);
  EXPECT_LT(miss, kNsPerMs) << "the anchor is within a millisecond of a true update";
}

TEST(LearnUpdatePeriod, SurvivesUnseenUpdates) {
  auto spec = hidden_spec();
  spec.resolution = Watts(25.0);  // so coarse that many updates show the same value
  const auto polls = poll(spec, 40);
  ASSERT_LT(distinct_updates(polls).size(), 330U) << "of about 395 updates";
  const auto learnt = learn_update_period(polls);
  ASSERT_TRUE(learnt.ok());
  EXPECT_NEAR(static_cast<double>(learnt->period.ns), 101.2e6, 0.1e6);
}

TEST(LearnUpdatePeriod, RefusesWhatPollingCannotShow) {
  auto fast = hidden_spec();
  fast.update_period = milliseconds(5);
  const auto too_slow = learn_update_period(poll(fast, 5));
  ASSERT_FALSE(too_slow.ok());
  EXPECT_EQ(too_slow.error().kind, base::ErrorKind::kAnswerIsNo);
  const std::vector<PolledReading> flat(100, PolledReading{{0}, Watts(60.0)});
  EXPECT_EQ(learn_update_period(flat).error().kind, base::ErrorKind::kBadInput) << "equal times";
  std::vector<PolledReading> constant;
  for (std::int64_t i = 0; i < 100; ++i) constant.push_back({{i * kNsPerMs}, Watts(60.0)});
  EXPECT_EQ(learn_update_period(constant).error().kind, base::ErrorKind::kAnswerIsNo);
}

std::vector<TimedReading> readings_of(const SensorSpec& spec, std::int64_t first, std::int64_t count) {
  const auto sensor = PowerSensor::create(spec).value();
  std::vector<TimedReading> out;
  for (std::int64_t k = first; k < first + count; ++k) {
    const TimePoint u{spec.phase.ns + k * spec.update_period.ns};
    out.push_back({u, sensor.reading(u, wavy_energy)});
  }
  return out;
}

TEST(FitSensor, RecoversAHiddenSensorAndPredictsOtherReadings) {
  const auto spec = hidden_spec();
  SensorSpec start = spec;
  start.kernel = {milliseconds(10), milliseconds(10), {}};
  start.gain = 1.0;
  start.offset = Watts(0.0);
  const auto fit = fit_sensor(readings_of(spec, 10, 100), wavy_energy, start);
  ASSERT_TRUE(fit.ok());
  EXPECT_NEAR(fit->spec.gain, 0.93, 0.01);
  EXPECT_NEAR(fit->spec.offset.value(), 4.0, 1.5);
  // Window and lag trade against each other; what a load sees is their common mean age.
  const auto mean_age = [](const math::SensorKernel& k) {
    return static_cast<double>((k.delay + k.lag).ns + k.window.ns / 2) * 1e-6;
  };
  EXPECT_NEAR(mean_age(fit->spec.kernel), mean_age(spec.kernel), 0.5);
  const auto errors = relative_errors(readings_of(spec, 200, 100), wavy_energy, fit->spec);
  ASSERT_TRUE(errors.ok());
  for (const double e : *errors) EXPECT_LT(e, 0.01);
}

TEST(FitSensor, RefusesFlatPowerAndTooFewReadings) {
  std::vector<TimedReading> flat;
  for (std::int64_t i = 0; i < 20; ++i)
    flat.push_back({{i * base::kNsPerSecond}, Watts(100.0 + 0.1 * static_cast<double>(i % 3))});
  EXPECT_EQ(fit_sensor(flat, wavy_energy, hidden_spec()).error().kind, base::ErrorKind::kAnswerIsNo);
  flat.resize(5);
  EXPECT_EQ(fit_sensor(flat, wavy_energy, hidden_spec()).error().kind, base::ErrorKind::kBadInput);
}

}  // namespace
}  // namespace perjoule::plant
