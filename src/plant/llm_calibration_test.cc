#include "plant/llm_calibration.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/gzip.hpp"
#include "plant/llm_cost_model.hpp"

namespace perjoule::plant {
namespace {

const std::vector<LlmRow>& table() {
  static const std::vector<LlmRow> rows = [] {
    const std::string path = std::string(PERJOULE_SOURCE_DIR) + "/data/power/mlenergy_v3_llm_h100.csv.gz";
    return parse_llm_rows(base::read_text(base::posix_env(), path).value(), path).value();
  }();
  return rows;
}

TEST(LlmCalibration, ReadsTheTable) {
  ASSERT_EQ(table().size(), 405u);
  EXPECT_EQ(table()[0].model, "Qwen/Qwen3-14B");
  EXPECT_NEAR(table()[0].median_token_gap_s, 0.012535519897937775, 1e-15);
  for (const auto& r : table()) {  // the table's energy is its power over its throughput
    EXPECT_NEAR(r.joules_per_token, r.watts / r.tokens_per_s, 1e-9 * r.joules_per_token);
  }
}

TEST(LlmCalibration, ShippedConstantsAreTheFitOfTheShippedTable) {
  const auto fit = LlmCalibration::fit(table()).value();
  const auto shipped = LlmCalibration::shipped();
  for (const auto& r : table()) {
    const double again = fit.predict(r)->joules_per_token;
    EXPECT_NEAR(shipped.predict(r)->joules_per_token / again, 1.0, 0.01) << r.configuration();
  }
  EXPECT_NEAR(fit.residual().median, shipped.residual().median, 2e-3);
  EXPECT_NEAR(fit.residual().p90, shipped.residual().p90, 5e-3);
}

TEST(LlmCalibration, RecoversRowsThatTheMechanismMade) {
  // Rows made by the start values with one constant moved: the fit must follow to within a per cent, not
  // stay.
  std::vector<LlmRow> rows = table();
  const auto truth = LlmCalibration::shipped();
  for (auto& r : rows) {
    const auto p = truth.predict(r).value();
    r.tokens_per_s = r.mean_batch / p.step_seconds;
    r.median_token_gap_s = p.decode_seconds;
    r.watts = p.watts_per_gpu * r.gpus;
    r.joules_per_token = p.joules_per_token;
  }
  const auto fit = LlmCalibration::fit(rows).value();
  EXPECT_LT(fit.residual().median, 0.02);
  EXPECT_LT(fit.residual().p90, 0.06);
}

TEST(LlmCalibration, TheTablePathAndTheCostModelAgree) {
  const auto calibration = LlmCalibration::shipped();
  const auto& row = table()[3];
  ServingConfig c;
  c.model = find_model_facts(row.model).value();
  c.gpu = GpuSpec::h100_sxm();
  const auto model = LlmCostModel::create(c, calibration).value();
  const double context =
      calibration.parameters().prompt_arena + calibration.parameters().mean_position * row.mean_output_tokens;
  const double batch = 64.0;
  LlmRow at = row;
  at.mean_batch = batch;
  EXPECT_NEAR(model.decode(batch, batch * context).seconds, calibration.predict(at)->decode_seconds, 1e-12);
}

TEST(LlmCalibration, FactorsReproduceTheirRowsAndReachTheCostModel) {
  const auto calibration = LlmCalibration::shipped();
  std::vector<LlmRow> rows;
  for (const auto& r : table()) {
    if (r.configuration() == "lm-arena-chat Qwen/Qwen3-14B x1") rows.push_back(r);
  }
  ASSERT_GE(rows.size(), 4u);
  const auto curve = calibration.curve(rows).value();
  for (const auto& r : rows) {
    const auto p = LlmCalibration::apply(calibration.predict(r).value(), curve, r);
    EXPECT_NEAR(p.joules_per_token, r.joules_per_token, 1e-9 * r.joules_per_token);
    EXPECT_NEAR(p.step_seconds, r.step_seconds(), 1e-9 * r.step_seconds());
  }
  ServingConfig c;
  c.model = find_model_facts("Qwen3-14B").value();
  c.gpu = GpuSpec::h100_sxm();
  auto tuned = calibration;
  tuned.set_curve(curve);
  const double ratio = LlmCostModel::create(c, tuned)->decode(8.0, 8e3).seconds /
                       LlmCostModel::create(c, calibration)->decode(8.0, 8e3).seconds;
  EXPECT_NEAR(ratio, curve.at(8.0).time, 1e-12);
}

TEST(LlmCalibration, ACurveIsStraightInLogBatchAndLevelBeyond) {
  const CalibrationCurve curve{{0.0, 2.0}, {0.1, 0.3}, {0.0, -0.4}};
  EXPECT_NEAR(curve.at(std::exp(1.0)).time, std::exp(0.2), 1e-12);
  EXPECT_NEAR(curve.at(std::exp(0.5)).power, std::exp(-0.1), 1e-12);
  EXPECT_NEAR(curve.at(1e6).time, std::exp(0.3), 1e-12);
  EXPECT_NEAR(curve.at(0.5).time, std::exp(0.1), 1e-12);
  EXPECT_EQ(CalibrationCurve{}.at(5.0).time, 1.0);
}

TEST(LlmCalibration, RefusesBadRows) {
  std::vector<LlmRow> rows(table().begin(), table().begin() + 100);
  EXPECT_FALSE(LlmCalibration::fit(std::span(rows).first(10)).ok());
  rows[7].watts = 0.0;
  EXPECT_EQ(LlmCalibration::fit(rows).error().where, rows[7].configuration());
  rows[7].watts = 100.0;
  rows[7].task = "chess";
  EXPECT_EQ(LlmCalibration::fit(rows).error().where, "chess");
}

TEST(LlmCalibration, ParseErrorsSayWhere) {
  const std::string header =
      "task,model_id,num_gpus,expert_parallel,max_num_seqs,avg_batch_size,avg_output_len,"
      "output_throughput_tokens_per_sec,median_itl_ms,avg_power_watts,energy_per_token_joules\n";
  const auto unknown = parse_llm_rows(header + "gpqa,No/Such,1,1,8,8,100,500,10,400,0.8\n", "t.csv");
  ASSERT_FALSE(unknown.ok());
  EXPECT_NE(unknown.error().message().find("t.csv:2"), std::string::npos) << unknown.error().message();
  EXPECT_FALSE(parse_llm_rows(header + "gpqa,Qwen/Qwen3-8B,1,1,8,8,100,x,10,400,0.8\n", "t.csv").ok());
  EXPECT_FALSE(parse_llm_rows("task,model_id\ngpqa,Qwen/Qwen3-8B\n", "t.csv").ok());
  EXPECT_FALSE(parse_llm_rows(header + "gpqa,Qwen/Qwen3-8B,1,1,8,8,100,0,10,400,0.8\n", "t.csv").ok());
  EXPECT_TRUE(parse_llm_rows(header + "gpqa,Qwen/Qwen3-8B,1,1,8,8,100,500,10,400,0.8\n", "t.csv").ok());
}

}  // namespace
}  // namespace perjoule::plant
