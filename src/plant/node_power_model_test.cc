#include "plant/node_power_model.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/gzip.hpp"

namespace perjoule::plant {
namespace {

std::vector<NodeRun> measured_runs() {
  const std::string path =
      std::string(PERJOULE_SOURCE_DIR) + "/data/power/mlperf_inf41_h200x8_summary.csv.gz";
  return parse_node_runs(base::read_text(base::posix_env(), path).value(), path).value();
}

NodeRun run(std::string scenario, double throughput, double watts) {
  return {"t", std::move(scenario), throughput, base::Watts(watts), base::Watts(1000.0), ""};
}

TEST(NodePowerModel, ReadsTheTable) {
  const auto runs = measured_runs();
  ASSERT_EQ(runs.size(), 26u);
  EXPECT_EQ(runs[1].same_log_as, "3d-unet-99.9/Offline");
  EXPECT_DOUBLE_EQ(runs[11].throughput, 169.58);
}

TEST(NodePowerModel, ServerRunsDoNotTouchTheFit) {
  auto runs = measured_runs();
  const auto before = NodePowerModel::fit(runs).value();
  for (auto& r : runs) {
    if (r.scenario == "Server") r.mean_wall = base::Watts(1e6), r.throughput = 1.0;
  }
  const auto after = NodePowerModel::fit(runs).value();
  EXPECT_EQ(before.task_wall("bert-99", 4e4)->value(), after.task_wall("bert-99", 4e4)->value());
}

TEST(NodePowerModel, FullThroughputIsTheOfflineRun) {
  const auto m = NodePowerModel::fit(measured_runs()).value();
  EXPECT_NEAR(m.task_wall("mixtral-8x7b", 48987.9)->value(), 6154.8, 1e-9);
  EXPECT_LT(m.task_wall("mixtral-8x7b", 20000.0)->value(), 6154.8);
}

TEST(NodePowerModel, ThroughputActsByItsExponent) {
  NodeConstants c;
  c.elasticity = 0.5;
  const std::vector<NodeRun> runs{run("Offline", 100.0, 3000.0)};
  const auto m = NodePowerModel::fit(runs, c).value();
  EXPECT_NEAR(m.task_wall("t", 25.0)->value(), 1000.0 + 2000.0 * 0.5, 1e-9);
}

TEST(NodePowerModel, GpuWattsAndWallWattsAreInverse) {
  const auto m = NodePowerModel::h200x8();
  EXPECT_NEAR(m.wall(base::Watts(600.0)).value(), m.idle().value(), 1e-9);
  EXPECT_NEAR(m.wall(base::Watts(0.0)).value(), m.idle().value(), 1e-9);
  EXPECT_NEAR(m.gpus_at(m.wall(base::Watts(4000.0))).value(), 4000.0, 1e-9);
}

TEST(NodePowerModel, AResidentModelExplainsTheMeasuredPlateauBeforeWork) {
  // Before the first query the logs of bert, dlrm and resnet stand at 2,705 to 2,710 W with a context on
  // every GPU.
  const auto m = NodePowerModel::h200x8();
  EXPECT_NEAR(m.wall(base::Watts(8 * 112.0)).value(), 2707.0, 20.0);
}

TEST(NodePowerModel, TheShippedIdleIsTheFittedOne) {
  EXPECT_NEAR(NodePowerModel::h200x8().idle().value(), NodePowerModel::fit(measured_runs())->idle().value(),
              0.1);
}

TEST(NodePowerModel, ElasticityOfAPowerLawIsItsExponent) {
  std::vector<LlmRow> rows;
  for (const double x : {1.0, 0.9, 0.8, 0.3}) {
    LlmRow r{"gpqa", "m", 2, false, 100.0 * x, 10.0, 100.0, 1000.0 * x, 0.01, 0.0, 0.0};
    r.watts = 2.0 * (100.0 + 400.0 * std::pow(x, 0.3));
    rows.push_back(r);
  }
  EXPECT_NEAR(throughput_elasticity(rows, base::Watts(100.0)).value(), 0.3, 1e-9);
  rows.resize(1);
  EXPECT_FALSE(throughput_elasticity(rows, base::Watts(100.0)).ok());
}

TEST(NodePowerModel, RefusesUnknownTasksAndEmptyFits) {
  const auto m = NodePowerModel::fit(measured_runs()).value();
  EXPECT_NE(m.task_wall("mixtral-8x7", 1.0).error().hint.find("mixtral-8x7b"), std::string::npos);
  EXPECT_FALSE(m.task_wall("mixtral-8x7b", 0.0).ok());
  EXPECT_FALSE(NodePowerModel::fit(std::vector<NodeRun>{run("Server", 1.0, 1.0)}).ok());
}

}  // namespace
}  // namespace perjoule::plant
