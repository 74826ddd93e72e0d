#include "plant/gpu_cap_model.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "plant/gpu_cap_detail.hpp"
#include "plant/power_table.hpp"

namespace perjoule::plant {
namespace {

using base::Seconds;
using base::Watts;

std::vector<CapSample> shipped(const std::string& table) {
  const std::string path =
      std::string(PERJOULE_SOURCE_DIR) + "/data/power/zeus_summary_power_" + table + ".csv.gz";
  gzFile file = gzopen(path.c_str(), "rb");
  std::string text;
  char buffer[4096];
  for (int got = 0; file != nullptr && (got = gzread(file, buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  if (file != nullptr) gzclose(file);
  auto parsed = parse_power_table(text, path);
  EXPECT_TRUE(parsed.ok());
  return parsed.ok() ? *parsed : std::vector<CapSample>{};
}

// The cross-validation of a shipped table, measured once for all tests.
const CapCrossValidation& scored(const std::string& table) {
  static std::map<std::string, CapCrossValidation> scores;
  if (!scores.contains(table)) {
    const auto result = cross_validate(shipped(table));
    EXPECT_TRUE(result.ok());
    scores[table] = result.ok() ? *result : CapCrossValidation{};
  }
  return scores[table];
}

CapParameters device() { return {40.0, 300.0, 0.6, 0.65, 1.2, 0.15, 0.6, 2.0, 0.05, 0.0, 0.0}; }

// Workloads of 50 to 260 W in four groups; steps from 20 ms to 1.3 s, in another order than the powers.
double watts_of(int workload) { return 50.0 + 14.0 * workload; }
double step_of(int workload) { return 0.02 * std::pow(1.32, (7 * workload) % 16); }

// Rows that a device would give if the mechanism were exact.
std::vector<CapSample> made_by(const CapParameters& parameters, LimitKind kind,
                               const std::vector<double>& limits) {
  const detail::DynamicCurve curve(parameters);
  std::vector<CapSample> out;
  for (int w = 0; w < 16; ++w) {
    const double watts = watts_of(w);
    const double seconds = 10.0 + w;
    const detail::CapState state{watts, limits.back(), step_of(w)};
    for (const double limit : limits) {
      const auto r = detail::mechanism(parameters, curve, kind, state, limit);
      out.push_back({"w" + std::to_string(w), "g" + std::to_string(w % 4), limit, Seconds(seconds * r.time),
                     Watts(watts * r.energy / r.time), std::nullopt});
    }
  }
  return out;
}

const std::vector<double> kCaps{100, 125, 150, 175, 200, 225, 250};

TEST(GpuCapMechanism, EqualsTheClosedFormWhenVoltageIsConstantAndTheGpuAlwaysBusy) {
  CapParameters p{50.0, 250.0, 1.0, 0.5, 1.0, 0.05, 0.0, 1.0, 0.0};
  const auto r = detail::mechanism(p, detail::DynamicCurve(p), LimitKind::kPowerCap, {250.0, 250.0}, 150.0);
  // 200 W of dynamic power, 100 W allowed: half the clock, twice the time, at exactly the cap.
  EXPECT_NEAR(r.time, 2.0, 1e-9);
  EXPECT_NEAR(r.energy, 2.0 * 150.0 / 250.0, 1e-9);
}

TEST(GpuCapMechanism, StallsHideTheStretchOfAHalfBusyWorkload) {
  CapParameters p{50.0, 250.0, 1.0, 0.5, 1.0, 0.05, 1.0, 8.0, 0.0};
  // Half busy at 250 W running power; at 200 W the busy half takes 4/3, which still fits into the whole.
  const auto r = detail::mechanism(p, detail::DynamicCurve(p), LimitKind::kPowerCap, {150.0, 250.0}, 200.0);
  EXPECT_NEAR(r.time, std::pow(1.0 + std::pow(0.5, 8) * (std::pow(4.0 / 3.0, 8) - 1.0), 0.125), 1e-12);
  EXPECT_LT(r.time, 1.005);
}

TEST(GpuCapMechanism, HostTimeOfAShortStepDoesNotStretch) {
  CapParameters p{50.0, 250.0, 1.0, 0.5, 1.0, 0.05, 0.0, 1.0, 0.0, 0.1, 0.0};
  const detail::DynamicCurve curve(p);
  const auto time = [&](double step) {
    return detail::mechanism(p, curve, LimitKind::kPowerCap, {250.0, 250.0, step}, 150.0).time;
  };
  // Half the clock doubles what follows it: 1 / (1 + host / step) of the time.
  EXPECT_NEAR(time(0.1), 1.5, 1e-9);
  EXPECT_NEAR(time(0.3), 1.75, 1e-9);
  EXPECT_NEAR(time(0.0), 2.0, 1e-9);  // unknown: no host time
}

TEST(GpuCapMechanism, DynamicCurveInvertsItself) {
  const detail::DynamicCurve curve(device());
  EXPECT_NEAR(curve.power_at(0.5), 0.5 * 0.6, 1e-3);  // below the knee: f times the squared floor voltage
  EXPECT_NEAR(curve.power_at(1.0), 1.0, 1e-12);
  for (double clock = 0.05; clock < 1.0; clock += 0.05)
    EXPECT_NEAR(curve.clock_at(curve.power_at(clock)), clock, 1e-9);
}

TEST(GpuCapModel, RecoversCurvesOfADeviceThatFollowsTheMechanism) {
  for (const auto kind : {LimitKind::kPowerCap, LimitKind::kCoreClock}) {
    const std::vector<double> limits =
        kind == LimitKind::kPowerCap ? kCaps : std::vector<double>{600, 800, 1000, 1200, 1400};
    const auto samples = made_by(device(), kind, limits);
    CapCrossOptions options;
    options.fit.kind = kind;
    options.fit.residual_correction = false;
    options.step = 1.0;
    const auto result = cross_validate(samples, options);
    ASSERT_TRUE(result.ok());
    EXPECT_LT(result->energy_median, 0.01);
    EXPECT_LT(result->energy_p90, 0.03);
    EXPECT_EQ(result->workloads, 16);
  }
}

TEST(GpuCapModel, FindsTheHostTimeOfADeviceAndNeedsStepsForIt) {
  auto parameters = device();
  parameters.host_s = 0.05;
  auto samples = made_by(parameters, LimitKind::kPowerCap, kCaps);
  const auto blind = cross_validate(samples);
  for (auto& s : samples) {
    const int w = std::stoi(s.workload.substr(1));
    s.steps = (10.0 + w) / step_of(w);
  }
  const auto model = GpuCapModel::fit(samples);
  const auto seeing = cross_validate(samples);
  ASSERT_TRUE(model.ok() && seeing.ok() && blind.ok());
  EXPECT_NEAR(model->parameters().host_s, 0.05, 0.015);
  EXPECT_LT(seeing->energy_median, 0.5 * blind->energy_median);
  CapFitOptions ignore;
  ignore.use_steps = false;
  const auto ignoring = GpuCapModel::fit(samples, ignore);
  ASSERT_TRUE(ignoring.ok());
  EXPECT_EQ(ignoring->parameters().host_s, 0.0);
  samples[5].steps.reset();  // at 225 W: the reference still has its step
  EXPECT_GT(GpuCapModel::fit(samples)->parameters().host_s, 0.0);
  samples[6].steps.reset();  // at 250 W: now one workload has none, so the table has none
  EXPECT_EQ(GpuCapModel::fit(samples)->parameters().host_s, 0.0);
}

TEST(GpuCapModel, AReferenceWithoutAStepTakesTheTypicalOneAndSaysSo) {
  const auto model = GpuCapModel::fit(shipped("a40"));
  ASSERT_TRUE(model.ok());
  const double typical = model->validity().typical_step_s;
  const CapReference without{300.0, Seconds(1.0), Watts(250.0), {}};
  const CapReference with{300.0, Seconds(1.0), Watts(250.0), Seconds(typical)};
  EXPECT_EQ(model->predict(without, 150.0).relative_energy, model->predict(with, 150.0).relative_energy);
  EXPECT_FALSE(model->predict(without, 150.0).in_range);
  EXPECT_TRUE(model->predict(with, 150.0).in_range);
  EXPECT_FALSE(model->predict({300.0, Seconds(1.0), Watts(250.0), Seconds(100.0)}, 150.0).in_range);
}

TEST(GpuCapModel, ALowerLimitNeverRaisesPowerOrShortensTime) {
  for (const char* table : {"v100", "a40"}) {
    const auto model = GpuCapModel::fit(shipped(table));
    ASSERT_TRUE(model.ok());
    const double top = model->validity().highest_limit;
    for (const double watts : {40.0, 90.0, 120.0, 180.0, 225.0}) {
      for (const double step : {0.01, 0.1, 1.0}) {
        const CapReference reference{top, Seconds(1.0), Watts(watts), Seconds(step)};
        CapPrediction above = model->predict(reference, top);
        for (double cap = top - 25.0; cap >= 100.0; cap -= 25.0) {
          const auto here = model->predict(reference, cap);
          EXPECT_LE(here.relative_power, above.relative_power + 1e-9) << table << watts << " W at " << cap;
          EXPECT_GE(here.relative_time, above.relative_time - 1e-9) << table << watts << " W at " << cap;
          above = here;
        }
      }
    }
  }
}

TEST(GpuCapModel, UncertaintyOfALeftOutNetworkIsNeitherProudNorShy) {
  for (const char* table : {"v100", "a40"}) {
    EXPECT_NEAR(scored(table).within_uncertainty, 0.68, 0.10) << table;
  }
}

TEST(GpuCapModel, PredictsTheReferenceItselfExactlyAndFlagsWhatLiesOutside) {
  const auto model = GpuCapModel::fit(made_by(device(), LimitKind::kPowerCap, kCaps));
  ASSERT_TRUE(model.ok());
  const CapReference reference{250.0, Seconds(8.0), Watts(200.0), {}};
  const auto same = model->predict(reference, 250.0);
  EXPECT_EQ(same.relative_time, 1.0);
  EXPECT_EQ(same.energy.value(), 1600.0);
  EXPECT_TRUE(same.in_range);
  const auto lower = model->predict(reference, 150.0);
  EXPECT_TRUE(lower.in_range);
  EXPECT_NEAR(lower.energy.value(), (lower.time * lower.mean_power).value(), 1e-9);
  EXPECT_FALSE(model->predict(reference, 80.0).in_range);                                 // below every cap
  EXPECT_FALSE(model->predict({250.0, Seconds(8.0), Watts(400.0), {}}, 150.0).in_range);  // too much power
  EXPECT_FALSE(model->predict({200.0, Seconds(8.0), Watts(180.0), {}}, 150.0).in_range);  // not the top cap
  EXPECT_FALSE(model->predict(reference, 300.0).in_range);
  EXPECT_EQ(model->predict(reference, 300.0).relative_energy, 1.0);
}

TEST(GpuCapModel, ExtrapolationStaysFiniteAndPositive) {
  const auto model = GpuCapModel::fit(shipped("a40"));
  ASSERT_TRUE(model.ok());
  for (const double watts : {1.0, 40.0, 84.0, 300.0, 1000.0}) {
    for (const double limit : {1.0, 60.0, 100.0, 290.0}) {
      const auto p = model->predict({300.0, Seconds(1.0), Watts(watts), {}}, limit);
      EXPECT_TRUE(std::isfinite(p.relative_energy) && p.relative_energy > 0.0) << watts << " W at " << limit;
      EXPECT_TRUE(std::isfinite(p.relative_time) && p.relative_time > 0.5) << watts << " W at " << limit;
    }
  }
}

TEST(GpuCapModel, BestLimitIsTheLeastEnergyWithinTheSlowdownAllowedUpToTheScatterOfARow) {
  const auto model = GpuCapModel::fit(shipped("v100"));
  ASSERT_TRUE(model.ok());
  const CapReference busy{250.0, Seconds(1.0), Watts(225.0), Seconds(0.3)};
  const double scatter = model->scatter_at(busy.mean_power);
  EXPECT_GT(scatter, 0.001);
  EXPECT_LT(scatter, 0.02);
  EXPECT_GT(model->scatter_at(Watts(38.0)), 2.0 * scatter);  // NCF's rows scatter by about 5 %
  const double free_choice = model->best_limit(busy, kCaps);
  const double bounded = model->best_limit(busy, kCaps, 1.06);
  const double allowed = std::exp(-scatter);
  for (const double cap : kCaps) {
    const auto p = model->predict(busy, cap);
    EXPECT_GE(p.relative_energy, allowed * model->predict(busy, free_choice).relative_energy);
    if (p.relative_time <= 1.06) {
      EXPECT_GE(p.relative_energy, allowed * model->predict(busy, bounded).relative_energy);
    }
  }
  EXPECT_LT(free_choice, bounded);
  EXPECT_LE(model->predict(busy, bounded).relative_time, 1.06);
  EXPECT_EQ(model->best_limit(busy, kCaps, 0.5), 250.0);  // nothing is that fast: leave the cap alone
  std::vector<double> backwards(kCaps.rbegin(), kCaps.rend());
  EXPECT_EQ(model->best_limit(busy, backwards), free_choice);
}

TEST(GpuCapChoice, TakesTheLeastWhereItIsClearAndTheMiddleWhereItIsNot) {
  EXPECT_EQ(detail::choose_among(std::vector<double>{-0.3, -0.2, -0.1, 0.0}, 0.01), 0u);
  EXPECT_EQ(detail::choose_among(std::vector<double>{-0.1, -0.2, -0.1, 0.0}, 0.01), 1u);
  // Flat: an end of the range has one neighbour, so an inner limit is likelier to be near the measured least.
  EXPECT_EQ(detail::choose_among(std::vector<double>{-0.01, -0.005, 0.0, 0.0}, 0.05), 1u);
  EXPECT_EQ(detail::choose_among(std::vector<double>{-0.01, -0.005, 0.0, 0.0}, 0.0), 0u);
  EXPECT_EQ(detail::choose_among(std::vector<double>{0.5}, 0.1), 0u);
}

TEST(GpuCapChoice, ChancesAddUpAndFollowTheScatter) {
  const std::vector<double> flat(5, 0.2);
  double sum = 0.0;
  for (const double chance : detail::chance_of_least(flat, 0.03)) {
    EXPECT_NEAR(chance, 0.2, 1e-3);
    sum += chance;
  }
  EXPECT_NEAR(sum, 1.0, 1e-3);
  // Two candidates one standard deviation of their difference apart: Phi(1) = 0.841.
  const auto two = detail::chance_of_least(std::vector<double>{0.0, std::sqrt(2.0) * 0.01}, 0.01);
  EXPECT_NEAR(two[0], 0.8413, 1e-3);
}

TEST(GpuCapModel, EnergyHasAnInteriorMinimumOnTheA40) {
  const auto model = GpuCapModel::fit(shipped("a40"));
  ASSERT_TRUE(model.ok());
  const CapReference busy{300.0, Seconds(1.0), Watts(265.0), Seconds(0.3)};
  const std::vector<double> caps{100, 125, 150, 175, 200, 225, 250, 275, 300};
  const double best = model->best_limit(busy, caps);
  EXPECT_GE(best, 150.0);
  EXPECT_LE(best, 200.0);
  EXPECT_GT(model->predict(busy, 100.0).relative_energy, 1.3);  // measured 1.45..1.67
  EXPECT_LT(model->predict(busy, best).relative_energy, 0.85);  // measured 0.75..0.82
}

TEST(GpuCapModel, TextRoundTripKeepsEveryPrediction) {
  const auto model = GpuCapModel::fit(shipped("v100"));
  ASSERT_TRUE(model.ok());
  const auto again = GpuCapModel::from_json(model->to_json());
  ASSERT_TRUE(again.ok()) << again.error().message();
  EXPECT_EQ(again->to_json(), model->to_json());
  for (const double watts : {36.0, 120.0, 228.0}) {
    const CapReference reference{250.0, Seconds(3.0), Watts(watts), Seconds(0.2)};
    EXPECT_EQ(again->predict(reference, 130.0).relative_energy,
              model->predict(reference, 130.0).relative_energy);
    EXPECT_EQ(again->predict(reference, 130.0).in_range, model->predict(reference, 130.0).in_range);
  }
}

TEST(GpuCapModel, BrokenTextIsRefusedWithItsPlace) {
  const auto model = GpuCapModel::fit(made_by(device(), LimitKind::kPowerCap, kCaps));
  ASSERT_TRUE(model.ok());
  const std::string good = model->to_json();
  const auto where = [](const std::string& text) {
    const auto read = GpuCapModel::from_json(text, "m.json");
    return read.ok() ? std::string("accepted") : read.error().where;
  };
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    const auto at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  EXPECT_EQ(where(good), "accepted");
  EXPECT_EQ(where(good.substr(0, good.size() / 2)).rfind("m.json:byte ", 0), 0u);
  EXPECT_EQ(where("[]"), "m.json");
  EXPECT_EQ(where(with("\"version\": 2", "\"version\": 1")), "m.json");
  EXPECT_EQ(where(with("\"version\": 2", "\"version\": \"x\"")), "m.json");
  EXPECT_EQ(where(with("\"knee\"", "\"bend\"")), "m.json: parameters: key knee");
  EXPECT_EQ(where(with("\"floor_w\": ", "\"floor_w\": -")), "m.json: parameters: key floor_w");
  EXPECT_EQ(where(with("power_cap_w", "volts")), "m.json: key limit_kind");
  EXPECT_EQ(where(with("\"log_time\": [", "\"log_time\": [0.5,")), "m.json: residuals[0]: key log_time");
  EXPECT_EQ(where(with("\"shifts_duty\"", "\"shifts\"")), "m.json: tuning: key shifts_duty");
  EXPECT_EQ(where(with("\"variance\": [", "\"variance\": [0.5,")), "m.json: scatter: key variance");
  EXPECT_EQ(where(with("\"host_s\": ", "\"host_s\": -1")), "m.json: parameters: key host_s");
}

TEST(GpuCapModel, KeepsRowsAboveTheirCapAndCountsThem) {
  const auto v100 = GpuCapModel::fit(shipped("v100"));
  const auto a40 = GpuCapModel::fit(shipped("a40"));
  ASSERT_TRUE(v100.ok() && a40.ok());
  EXPECT_EQ(v100->validity().rows_above_cap, 8);
  EXPECT_EQ(a40->validity().rows_above_cap, 39);
  EXPECT_EQ(v100->validity().rows, 476);
  EXPECT_EQ(a40->validity().rows, 453);
}

TEST(GpuCapModel, RefusesRowsAndTablesItCannotUse) {
  auto samples = made_by(device(), LimitKind::kPowerCap, kCaps);
  samples[3].mean_power = Watts(std::nan(""));
  EXPECT_FALSE(GpuCapModel::fit(samples).ok());
  samples[3].mean_power = Watts(-5.0);
  EXPECT_FALSE(GpuCapModel::fit(samples).ok());
  EXPECT_FALSE(GpuCapModel::fit({}).ok());
  const auto one = made_by(device(), LimitKind::kPowerCap, {200.0, 250.0});
  EXPECT_FALSE(GpuCapModel::fit(one).ok());  // two limits each: no curve
}

TEST(GpuCapModel, WorkloadsWithoutTheHighestLimitAreLeftOutAndCounted) {
  auto samples = made_by(device(), LimitKind::kPowerCap, kCaps);
  std::erase_if(samples, [](const CapSample& s) { return s.workload == "w5" && s.limit == 250.0; });
  const auto model = GpuCapModel::fit(samples);
  ASSERT_TRUE(model.ok());
  EXPECT_EQ(model->validity().workloads, 15);
  EXPECT_EQ(model->validity().workloads_without_top, 1);
}

TEST(GpuCapCurves, RepeatedRowsAreAveragedByTimeAndEnergy) {
  const std::vector<CapSample> samples{{"a", "g", 100, Seconds(10), Watts(50), 5.0},
                                       {"a", "g", 200, Seconds(4), Watts(100), 5.0},
                                       {"a", "g", 200, Seconds(6), Watts(200), 5.0}};
  const auto set = detail::make_curves(samples, LimitKind::kPowerCap);
  ASSERT_TRUE(set.ok());
  const auto& curve = set->curves.at(0);
  EXPECT_DOUBLE_EQ(curve.reference.time.value(), 5.0);
  EXPECT_DOUBLE_EQ(curve.reference.mean_power.value(), 160.0);  // (400 J + 1200 J) / 10 s
  ASSERT_TRUE(curve.reference.step.has_value());
  EXPECT_DOUBLE_EQ(curve.reference.step->value(), 1.0);  // 10 s in 10 steps
  EXPECT_DOUBLE_EQ(curve.points.at(0).relative_time, 2.0);
  EXPECT_DOUBLE_EQ(curve.points.at(0).relative_energy, 500.0 / 800.0);
}

// The slow way: fit on the other networks by hand and look at one network's rows.
TEST(GpuCapCrossValidation, AGroupsScoreComesFromTheOtherGroupsAlone) {
  const auto samples = shipped("v100");
  std::vector<CapSample> others, held;
  for (const auto& s : samples) (s.group == "resnet50" ? held : others).push_back(s);
  const auto model = GpuCapModel::fit(others);
  ASSERT_TRUE(model.ok());
  std::vector<double> errors;
  for (const auto& s : held) {
    const auto top = std::find_if(held.begin(), held.end(), [&](const CapSample& t) {
      return t.workload == s.workload && t.limit == 250.0;
    });
    if (s.limit == 250.0) continue;
    const double truth = (s.time * s.mean_power) / (top->time * top->mean_power);
    const CapReference reference{250.0, top->time, top->mean_power, Seconds(top->time.value() / *top->steps)};
    errors.push_back(std::abs(model->predict(reference, s.limit).relative_energy / truth - 1));
  }
  std::sort(errors.begin(), errors.end());
  const auto& group = scored("v100").groups.at("resnet50");
  EXPECT_EQ(group.rows, 48);
  EXPECT_EQ(errors.size(), 48u);
  EXPECT_NEAR(group.energy_median, (errors[23] + errors[24]) / 2, 1e-12);
}

TEST(GpuCapCrossValidation, MeetsTheMedianTargetAndBeatsTheNearestNeighbourOnBothTables) {
  for (const char* table : {"v100", "a40"}) {
    const auto* const model = &scored(table);
    const auto nearest = cross_validate_nearest_neighbour(shipped(table));
    ASSERT_TRUE(nearest.ok());
    EXPECT_LE(model->energy_median, 0.036) << table;
    EXPECT_LT(model->energy_median, nearest->energy_median) << table;
    EXPECT_LT(model->energy_p90, nearest->energy_p90) << table;
    EXPECT_GT(model->share_within_step(), nearest->share_within_step()) << table;
    EXPECT_GE(model->bindable_within_step, static_cast<int>(0.85 * model->bindable_workloads)) << table;
    EXPECT_EQ(model->groups.size(), 5u);
  }
}

TEST(GpuCapCrossValidation, StepTimesLowerTheErrorOfLeftOutNetworks) {
  CapCrossOptions ignore;
  ignore.fit.use_steps = false;
  for (const char* table : {"v100", "a40"}) {
    const auto* const with = &scored(table);
    const auto without = cross_validate(shipped(table), ignore);
    ASSERT_TRUE(without.ok());
    EXPECT_LT(with->energy_p90, without->energy_p90) << table;
    EXPECT_LT(with->time_median, without->time_median) << table;
  }
}

TEST(GpuCapCrossValidation, ManyGroupsShareSixFolds) {
  auto samples = made_by(device(), LimitKind::kPowerCap, kCaps);
  for (auto& s : samples) s.group = s.workload;  // 16 groups
  const auto result = cross_validate(samples);
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->groups.size(), 16u);
  EXPECT_LT(result->energy_median, 0.01);
}

TEST(GpuCapCeiling, IsEveryWorkloadWithoutScatterAndLessWithIt) {
  auto samples = made_by(device(), LimitKind::kPowerCap, kCaps);
  const auto clean = best_limit_ceiling(samples);
  ASSERT_TRUE(clean.ok());
  EXPECT_EQ(clean->workloads, 16);
  EXPECT_GT(clean->expected_hits, 15.5);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    samples[i].mean_power = samples[i].mean_power * (i % 2 == 0 ? 1.08 : 0.92);
  }
  const auto noisy = best_limit_ceiling(samples);
  ASSERT_TRUE(noisy.ok());
  EXPECT_LT(noisy->expected_fitted_hits, 14.0);
  EXPECT_LE(noisy->chance_of(1.0), 0.5);
  EXPECT_GE(noisy->chance_of(0.0), 0.99);
}

TEST(GpuCapCrossValidation, NeedsTwoGroups) {
  auto samples = made_by(device(), LimitKind::kPowerCap, kCaps);
  for (auto& s : samples) s.group = "one";
  EXPECT_FALSE(cross_validate(samples).ok());
  EXPECT_FALSE(cross_validate_nearest_neighbour(samples).ok());
}

TEST(GpuCapCrossValidation, IsTheSameEveryTimeAndInAnyRowOrder) {
  auto samples = shipped("a40");
  const auto* const first = &scored("a40");
  std::reverse(samples.begin(), samples.end());
  const auto second = cross_validate(samples);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(first->energy_median, second->energy_median);
  EXPECT_EQ(first->best_within_step, second->best_within_step);
}

TEST(GpuCapDetail, QuantileInterpolates) {
  EXPECT_DOUBLE_EQ(detail::quantile({3.0, 1.0, 2.0}, 0.5), 2.0);
  EXPECT_DOUBLE_EQ(detail::quantile({0.0, 10.0}, 0.9), 9.0);
  EXPECT_DOUBLE_EQ(detail::quantile({}, 0.5), 0.0);
}

}  // namespace
}  // namespace perjoule::plant
