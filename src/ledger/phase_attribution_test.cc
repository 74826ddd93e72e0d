#include "ledger/phase_attribution.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace perjoule::ledger {
namespace {

using base::Duration;
using base::kNsPerMs;
using base::milliseconds;
using base::TimePoint;
using base::Watts;

// Three phases of 30, 50 and 20 ms in turn at constant power, read every 71 ms.
constexpr double kPower[] = {300.0, 120.0, 60.0};

PhaseQuestion make_question(math::SensorKernel kernel, int cycles = 60) {
  PhaseQuestion q;
  q.phases = {"prefill", "decode", "idle"};
  q.sensor.kernel = kernel;
  q.sensor.gain_error = 0.01;
  q.sensor.offset_error = Watts(0.5);
  q.sensor.delay_error = Duration{kNsPerMs / 2};
  TimePoint t{base::kNsPerSecond};
  for (int i = 0; i < 3 * cycles; ++i) {
    const auto phase = static_cast<std::size_t>(i % 3);
    const TimePoint end = t + milliseconds(phase == 0 ? 30 : phase == 1 ? 50 : 20);
    q.marks.push_back({phase, t, end});
    t = end;
  }
  return q;
}

// Readings by summing power over ages in steps of 20 us: independent of the closed form the attribution uses.
double slow_reading(const PhaseQuestion& q, TimePoint update) {
  const Duration step{20'000};
  double sum = 0.0;
  double weights = 0.0;
  for (Duration age = q.sensor.kernel.delay; age < q.sensor.kernel.memory(); age = age + step) {
    const TimePoint at = update - age - Duration{10'000};
    const double w = q.sensor.kernel.step_response(age + step) - q.sensor.kernel.step_response(age);
    const auto in = (at.ns - base::kNsPerSecond) / kNsPerMs % 100;
    sum += w * kPower[in < 30 ? 0 : in < 80 ? 1 : 2];
    weights += w;
  }
  return sum / weights;
}

void add_readings(PhaseQuestion& q, Duration period, double noise) {
  std::uint64_t state = 7;
  for (TimePoint u = q.marks.front().t0; u < q.marks.back().t1; u = u + period) {
    state = state * 6364136223846793005ULL + 1442695040888963407ULL;
    const double unit = static_cast<double>(state >> 11) * 0x1p-53;
    q.readings.push_back({u, Watts(slow_reading(q, u) * q.sensor.gain + q.sensor.offset.value() +
                                   noise * (2.0 * unit - 1.0))});
  }
}

TEST(PhaseAttribution, RecoversThreePhasesFromASlowSensor) {
  PhaseQuestion q = make_question({milliseconds(25), milliseconds(5), milliseconds(1)});
  q.sensor.gain = 0.95;
  q.sensor.offset = Watts(-3.0);
  add_readings(q, milliseconds(71), 1.0);
  const auto a = attribute_phases(q);
  ASSERT_TRUE(a.ok()) << a.error().message();
  for (std::size_t j = 0; j < 3; ++j) {
    EXPECT_NEAR(a->phases[j].mean.value(), kPower[j], 3.0);
    EXPECT_LE(a->phases[j].lower.value(), kPower[j]);
    EXPECT_GE(a->phases[j].upper.value(), kPower[j]);
  }
  EXPECT_GT(a->readings_dropped, 0U) << "the first readings look back before the marks";
  EXPECT_EQ(a->readings_used + a->readings_dropped, q.readings.size());
}

TEST(PhaseAttribution, EnergiesAddUpToTheCounterExactly) {
  PhaseQuestion q = make_question({milliseconds(25), {}, {}});
  add_readings(q, milliseconds(71), 2.0);
  // True: 60 x (9 + 6 + 1.2) J = 972 J, so the counter reads 1 % high. Several values, so that roundings
  // differ.
  for (std::int64_t i = 0; i < 20; ++i) {
    q.counter = base::Microjoules(981'234'567 + i);
    const auto a = attribute_phases(q);
    ASSERT_TRUE(a.ok()) << a.error().message();
    base::Microjoules sum;
    for (const auto& p : a->phases) sum += p.energy;
    EXPECT_EQ(sum, *q.counter);
    EXPECT_NEAR(a->counter_disagreement, 972.0 / 981.234567 - 1.0, 0.003);
    for (std::size_t j = 0; j < 3; ++j)
      EXPECT_LE(a->phases[j].lower.value(), kPower[j]) << "the disagreement widens";
  }
}

TEST(PhaseAttribution, RefusesAWindowAsLongAsTheLoad) {
  PhaseQuestion q = make_question({milliseconds(100), {}, {}});
  add_readings(q, milliseconds(71), 0.5);
  const auto a = attribute_phases(q);
  ASSERT_FALSE(a.ok());
  EXPECT_EQ(a.error().kind, base::ErrorKind::kAnswerIsNo);
  EXPECT_NE(a.error().why.find("condition number"), std::string::npos);
}

TEST(PhaseAttribution, RefusesUpdatesInStepWithTheLoad) {
  PhaseQuestion q = make_question({milliseconds(10), {}, {}});
  add_readings(q, milliseconds(100), 0.5);  // each reading sees the same moment of the cycle
  EXPECT_FALSE(attribute_phases(q).ok());
}

TEST(PhaseAttribution, RefusesWhereTheSensorIsNotKnownWellEnough) {
  PhaseQuestion q = make_question({milliseconds(85), {}, {}});
  q.limits.condition_number = 1e6;  // leave it to the interval
  add_readings(q, milliseconds(71), 0.5);
  q.sensor.window_error = Duration{kNsPerMs / 10};
  q.sensor.delay_error = Duration{kNsPerMs / 10};
  const auto known = attribute_phases(q);
  ASSERT_TRUE(known.ok()) << known.error().message();
  q.sensor.window_error = milliseconds(8);
  const auto unknown = attribute_phases(q);
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().why.find("half-width"), std::string::npos);
}

TEST(PhaseAttribution, RefusesTooFewReadings) {
  PhaseQuestion q = make_question({milliseconds(25), {}, {}}, 4);
  add_readings(q, milliseconds(71), 0.0);
  q.readings.resize(4);
  const auto a = attribute_phases(q);
  ASSERT_FALSE(a.ok());
  EXPECT_NE(a.error().why.find("usable readings"), std::string::npos);
}

TEST(PhaseAttribution, NeverReportsNegativePower) {
  PhaseQuestion q = make_question({milliseconds(25), {}, {}});
  add_readings(q, milliseconds(71), 1.0);
  q.sensor.offset = Watts(70.0);  // a wrong offset pushes the 60 W phase below zero
  q.sensor.offset_error = Watts(20.0);
  q.limits.relative_half_width = 10.0;
  const auto a = attribute_phases(q);
  ASSERT_TRUE(a.ok());
  EXPECT_EQ(a->phases[2].mean.value(), 0.0);
  for (const auto& p : a->phases) EXPECT_GE(p.lower.value(), 0.0);
}

TEST(PhaseAttribution, BadInputIsNamed) {
  PhaseQuestion q = make_question({milliseconds(25), {}, {}});
  add_readings(q, milliseconds(71), 1.0);
  auto overlapping = q;
  overlapping.marks[1].t0 = overlapping.marks[0].t0;
  EXPECT_EQ(attribute_phases(overlapping).error().where, "mark 1");
  auto unnamed = q;
  unnamed.phases.pop_back();
  EXPECT_EQ(attribute_phases(unnamed).error().kind, base::ErrorKind::kBadInput);
  auto twice = q;
  twice.readings[3].update = twice.readings[2].update;
  EXPECT_EQ(attribute_phases(twice).error().where, "reading 3");
}

TEST(LearnKernel, FindsTheMemoryFromReadingsAlone) {
  PhaseQuestion q = make_question({milliseconds(20), milliseconds(8), milliseconds(2)}, 200);
  add_readings(q, milliseconds(71), 0.5);
  q.sensor.kernel = {milliseconds(10), milliseconds(5), {}};
  const auto before = attribute_phases(q);
  const auto kernel = learn_kernel(q);
  ASSERT_TRUE(kernel.ok()) << kernel.error().message();
  const double mean_age =
      static_cast<double>((kernel->delay + kernel->lag).ns + kernel->window.ns / 2) * 1e-6;
  EXPECT_NEAR(mean_age, 20.0, 0.5);
  q.sensor.kernel = *kernel;
  const auto after = attribute_phases(q);
  ASSERT_TRUE(after.ok());
  for (std::size_t j = 0; j < 3; ++j) EXPECT_NEAR(after->phases[j].mean.value(), kPower[j], 3.0);
  EXPECT_TRUE(!before.ok() || before->residual > after->residual);
}

}  // namespace
}  // namespace perjoule::ledger
