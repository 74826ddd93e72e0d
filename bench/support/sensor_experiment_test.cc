#include "bench/support/sensor_experiment.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

namespace perjoule::bench {
namespace {

const std::string kData = std::string(PERJOULE_SOURCE_DIR) + "/data/power";

TEST(GpuRecord, MeterReadsTheUnconnectedInputsAsNothing) {
  const auto r = read_gpu_record(kData, "transient_A100");
  ASSERT_TRUE(r.ok()) << r.error().message();
  EXPECT_EQ(r->meter.at.size(), 67'051U);
  EXPECT_EQ(r->polls.size(), 1'245U);
  EXPECT_EQ(r->marks.size(), 3U);
  // 4095 taken as full scale would give 143 W; an independent decoder with the wrap gives 122.11 W.
  EXPECT_NEAR(r->meter.mean(r->meter.at.front(), r->meter.at.back()).value(), 122.11, 0.05);
}

TEST(GpuRecord, MeterAndMarksAgreeOnTheFirstLoadEdge) {
  const auto r = read_gpu_record(kData, "5050_A100").value();
  const auto before = r.meter.mean(r.marks[0] - base::milliseconds(5), r.marks[0] - base::milliseconds(1));
  const auto after = r.meter.mean(r.marks[0] + base::milliseconds(2), r.marks[0] + base::milliseconds(6));
  EXPECT_LT(before.value(), 75.0);
  EXPECT_GT(after.value(), 110.0);
}

TEST(GpuRecord, ErrorsNameTheFile) {
  const auto absent = read_gpu_polls(kData + "/no_such_file.csv.gz", {});
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().kind, base::ErrorKind::kMissing);
  const auto wrong = read_gpu_polls(kData + "/gpupb_5050_A100_timestamps.csv.gz", {});
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().where.find("timestamps.csv.gz:2"), std::string::npos);
  EXPECT_FALSE(
      read_meter(kData + "/gpupb_5050_A100_gpudata.csv.gz", kData + "/gpupb_5050_A100_PMD_start_ts.txt")
          .ok());
}

plant::LearnedUpdates learnt(const std::string& file) {
  std::vector<plant::PolledReading> polls;
  const auto recorded = read_gpu_polls(kData + "/" + file, {}).value();
  for (const auto& p : recorded) polls.push_back({p.polled, p.instant});
  return plant::learn_update_period(polls).value();
}

TEST(LearnUpdatePeriodOnRecords, A100And20msV100) {
  const auto a100 = learnt("gpupb_A100_gpudata.csv.gz");
  EXPECT_NEAR(static_cast<double>(a100.period.ns) * 1e-6, 101.1, 0.5);
  EXPECT_TRUE(a100.phase_known);
  const auto v100 = learnt("gpupb_V100_gpudata.csv.gz");
  EXPECT_NEAR(static_cast<double>(v100.period.ns) * 1e-6, 20.0, 0.3);
  EXPECT_FALSE(v100.phase_known) << "its clock wanders over the 200 s";
}

class Experiments : public testing::Test {
 protected:
  Trial transient = load_trial(kData, "transient_A100").value();
  Trial half = load_trial(kData, "5050_A100").value();
};

TEST_F(Experiments, HeldOutReadingsAreReproduced) {
  const auto predictions = predict_readings(transient, half).value();
  int held_out = 0;
  double boxcar = 0.0;
  for (const auto& p : predictions) {
    if (p.fitted_on.empty() && p.reported_on == half.name) boxcar = std::max(boxcar, p.loaded.median);
    if (p.fitted_on.empty() || p.fitted_on == p.reported_on) continue;
    ++held_out;
    EXPECT_LE(p.all.median, 0.03) << p.fitted_on << " -> " << p.reported_on;
    EXPECT_LE(p.loaded.median, 0.03) << p.fitted_on << " -> " << p.reported_on;
  }
  EXPECT_EQ(held_out, 3);
  EXPECT_GT(boxcar, 0.05) << "the published boxcar does not describe this sensor";
}

TEST_F(Experiments, PhasesAreRecoveredAndTheSlowSensorRefused) {
  const auto e = attribute_load(half, transient).value();
  ASSERT_EQ(e.cases.size(), 8U);
  const auto& answer = e.cases[1].answer;
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  for (std::size_t j = 0; j < 2; ++j) {
    EXPECT_NEAR(answer->phases[j].mean / e.truth[j], 1.0, 0.10);
    EXPECT_LE(answer->phases[j].lower, e.truth[j]);
    EXPECT_GE(answer->phases[j].upper, e.truth[j]);
  }
  EXPECT_GT(std::abs(e.last_reading[1] / e.truth[1] - 1.0), 0.5) << "the naive method is far off";
  EXPECT_FALSE(e.cases[4].answer.ok()) << "window = load period";
  const auto& counted = e.cases[2];
  ASSERT_TRUE(counted.answer.ok());
  EXPECT_EQ(counted.answer->phases[0].energy + counted.answer->phases[1].energy, *counted.question.counter);
}

}  // namespace
}  // namespace perjoule::bench
