#include "answers/explain.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "answers/test_store.hpp"

namespace perjoule::answers {
namespace {

using testing::TestStore;

class ExplainTest : public ::testing::Test {
 protected:
  Explanation of(const std::string& kind, const std::string& id, ExplainOptions options = {}) {
    const auto store = files_.open();
    if (!store.ok()) return ADD_FAILURE() << store.error().message(), Explanation{};
    auto answer = explain(*store, kind, id, options);
    if (!answer.ok()) return ADD_FAILURE() << answer.error().message(), Explanation{};
    return std::move(*answer);
  }
  TestStore files_{std::string("explain-") + ::testing::UnitTest::GetInstance()->current_test_info()->name()};
};

TEST_F(ExplainTest, TracedRequestDownToKernelsAndUpToTheSite) {
  const Explanation e = of("request", "r1");
  EXPECT_EQ(e.energy_uj, 500);
  ASSERT_EQ(e.kernels.size(), 2U);
  EXPECT_EQ(e.kernels[0].name, "decode/L00/qk_t");
  EXPECT_EQ(e.kernels[0].energy_uj, 350);
  ASSERT_EQ(e.meters.size(), 3U);  // site, node, GPU
  EXPECT_EQ(e.meters[0].meter, "s");
  EXPECT_EQ(e.meters[0].energy_uj, 2000);
  EXPECT_EQ(e.meters[2].meter, "s/n/gpu");
  EXPECT_EQ(e.meters[2].part_uj, 500);
  ASSERT_EQ(e.samples.size(), 1U);
  EXPECT_NEAR(e.samples[0].difference, 0.001, 1e-12);
  EXPECT_EQ(e.samples[0].meter_uj, 1000);
  ASSERT_EQ(e.checks.size(), 2U);
  EXPECT_EQ(e.checks[1].left_uj, 1000);
  EXPECT_EQ(e.checks[1].right_uj, 1000);
  EXPECT_TRUE(e.holds());
  ASSERT_EQ(e.rules.size(), 1U);
  EXPECT_EQ(e.rules[0].rule, "serving-steps/1");
  EXPECT_EQ(e.carbon.size(), 2U);  // the first window's CISO and PJM
}

TEST_F(ExplainTest, RequestOverTwoWindowsRecomputesItsCarbon) {
  const Explanation e = of("request", "r2");
  EXPECT_EQ(e.energy_uj, 700);
  EXPECT_EQ(e.windows, 2U);
  EXPECT_TRUE(e.kernels.empty());
  const Fact& carbon = e.facts.back();
  ASSERT_EQ(carbon.name, "carbon_recomputed_g");
  EXPECT_NEAR(std::get<double>(carbon.value), (100 * 100.0 + 600 * 300.0) / 3.6e12, 1e-18);
}

TEST_F(ExplainTest, JobIsSummedOverWindowsWhenLinesAreMany) {
  ExplainOptions options;
  options.detail_rows = 2;
  const Explanation e = of("job", "job-1", options);
  EXPECT_EQ(e.energy_uj, 1600);
  ASSERT_EQ(e.lines.size(), 2U);
  EXPECT_EQ(e.lines[0].window_ns, energy::kNoTime);
  EXPECT_EQ(e.lines[1].energy_uj, 1000);
  EXPECT_TRUE(e.holds());
}

TEST_F(ExplainTest, KernelDecisionAndMeter) {
  EXPECT_EQ(of("kernel", "decode/L00/ffn").energy_uj, 150);
  const Explanation d = of("decision", "d1");
  ASSERT_EQ(d.around.size(), 2U);
  EXPECT_EQ(d.around[0].energy_uj, 1000);
  const Explanation m = of("meter", "s");
  ASSERT_EQ(m.checks.size(), 1U);
  EXPECT_EQ(m.checks[0].left_uj, 4000);
  EXPECT_EQ(m.checks[0].right_uj, 4000);
  EXPECT_EQ(m.energy_uj, 200);
  EXPECT_EQ(m.whole_uj, 4000);  // its children are parts of the reading, and so is its carbon
  ASSERT_EQ(m.facts.back().name, "carbon_recomputed_g");
  EXPECT_NEAR(std::get<double>(m.facts.back().value), (2000 * 100.0 + 2000 * 300.0) / 3.6e12, 1e-18);
}

TEST_F(ExplainTest, EveryLineOfTheReport) {
  for (const std::string& id : explain_lines()) {
    const Explanation e = of("line", id);
    EXPECT_TRUE(e.holds()) << id;
    // This store has no comparison of rules, and says so.
    EXPECT_EQ(std::holds_alternative<std::monostate>(e.facts[0].value), id == "saved_share") << id;
    EXPECT_FALSE(e.lines.empty()) << id;
    EXPECT_FALSE(e.rules.empty()) << id;
    EXPECT_EQ(e.meters[0].meter, "s") << id;
    std::int64_t rows = 0, part = 0;
    for (const EnergyLine& l : e.lines) rows += l.energy_uj;
    for (const MeterLine& m : e.meters) part += m.part_uj;
    EXPECT_EQ(rows, e.energy_uj) << id;
    EXPECT_EQ(part, e.energy_uj) << id;
    const std::string text = explanation_text(e);
    EXPECT_NE(text.find("seed 7"), std::string::npos) << id;
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 64) << id << "\n" << text;
  }
  EXPECT_EQ(std::get<double>(of("line", "pue_interim").facts[0].value), 1.25);
  EXPECT_EQ(nlohmann::json::parse(explanation_json(of("line", "gpu_idle_uj")))["row"]["gpu_idle_uj"], 800);
}

TEST_F(ExplainTest, UnknownIdSaysWhatThereIs) {
  const auto store = files_.open();
  ASSERT_TRUE(store.ok());
  for (const auto& [kind, id, near] :
       {std::tuple{"request", "r3", "r1"}, std::tuple{"job", "job-2", "job-1"},
        std::tuple{"meter", "s/n/gup", "s/n/gpu"}, std::tuple{"reqest", "r1", "request"},
        std::tuple{"line", "pue", "pue_interim"},
        std::tuple{"kernel", "decode/L00/qkt", "decode/L00/qk_t"}}) {
    const auto answer = explain(*store, kind, id);
    ASSERT_FALSE(answer.ok()) << kind;
    EXPECT_EQ(base::exit_status(answer.error().kind), 2);
    EXPECT_NE(answer.error().hint.find(near), std::string::npos) << answer.error().message();
  }
}

TEST_F(ExplainTest, TextAndJson) {
  const Explanation e = of("request", "r1");
  const std::string text = explanation_text(e);
  EXPECT_NE(text.find("requests.energy_uj == sum of its joules rows"), std::string::npos);
  EXPECT_EQ(text.find("NOT EQUAL"), std::string::npos);
  const auto json = nlohmann::json::parse(explanation_json(e));
  EXPECT_EQ(json["row"]["energy_uj"], 500);
  EXPECT_EQ(json["joules"][0]["quality"], "simulated");
  EXPECT_EQ(json["made_by"]["seed"], "7");
  EXPECT_EQ(json["checks"][0]["equal"], true);
}

TEST_F(ExplainTest, TextThatLeavesRowsOutStillAddsUp) {
  ExplainOptions options;
  Explanation e = of("job", "job-1", options);
  const std::string whole = explanation_text(e, true);
  for (int i = 0; i < 10; ++i) e.lines.push_back(e.lines[0]);
  const std::string part = explanation_text(e);
  EXPECT_EQ(whole.find("--all"), std::string::npos);
  EXPECT_NE(part.find("(8 more: --all)"), std::string::npos) << part;
  EXPECT_EQ(explanation_text(e, true).find("--all"), std::string::npos);
}

TEST(Rules, EveryRuleOfTheLedgerIsDescribed) {
  for (const char* rule : {"serving-steps/1", "training-phases/1", "host-by-gpu/1", "idle-holder/1",
                           "overhead-proportional/1", "loss-proportional/1", "residual/1"}) {
    EXPECT_FALSE(rule_text(rule).empty()) << rule;
  }
  EXPECT_TRUE(rule_text("nothing/1").empty());
}

}  // namespace
}  // namespace perjoule::answers
