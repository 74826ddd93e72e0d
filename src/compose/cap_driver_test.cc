#include "compose/cap_driver.hpp"

#include <gtest/gtest.h>

#include <set>

namespace perjoule::compose {
namespace {

using energy::DecisionRow;

// Four GPUs in two replicas, one short request every two seconds: far below any latency target.
class CapDriverTest : public ::testing::Test {
 protected:
  CapDriverTest() {
    plant::HallSpec spec;
    spec.start = {1'700'000'000 * base::kNsPerSecond};
    spec.feeds = {"feed-a"};
    spec.racks = {{"r1", "feed-a"}};
    spec.nodes = {{"n1", "r1", 4, false}};
    spec.services = {{"chat", "acme", "meta-llama/Llama-3.1-8B-Instruct", 2, 0, {"n1"}}};
    base::TimePoint t = spec.start;
    std::uint64_t id = 0;
    auto made =
        plant::Hall::make(std::move(spec), symbols_, [t, id]() mutable -> std::optional<plant::HallRequest> {
          t = t + base::seconds(2);
          return plant::HallRequest{0, {++id, t, 800, 200}};
        });
    EXPECT_TRUE(made.ok()) << made.error().message();
    hall_ = std::move(*made);
  }
  void start(const std::string& rule) {
    auto made = CapDriver::make(*hall_, symbols_, rule);
    ASSERT_TRUE(made.ok()) << made.error().message();
    driver_ = std::move(*made);
  }
  // `blind`: the latencies are not shown, as if nothing finished.
  void run_periods(int periods, bool blind = false) {
    for (int w = 0; w < periods * 10; ++w) {
      hall_->run_window();
      const plant::Arrivals& arrivals = hall_->arrivals()[0];
      std::vector<sched::ServiceLoad> loads{{arrivals.requests, arrivals.input_tokens, 0, 0}};
      for (plant::Replica& r : hall_->replicas()) {
        for (const plant::FinishedRequest& f : r.engine->finished()) {
          if (blind) continue;
          latencies_[0].add(f, hall_->spec().services[0]);
          ++loads[0].finished;
          loads[0].output_tokens += f.request.output_tokens;
        }
        r.engine->finished().clear();
      }
      driver_->control(loads, latencies_);
    }
  }
  std::vector<DecisionRow> decisions() const {
    return {driver_->decisions().begin(), driver_->decisions().end()};
  }
  double cap() const { return hall_->replicas()[0].cap.value(); }
  std::string_view text(base::Symbol s) const { return symbols_.text(s); }

  base::SymbolTable symbols_;
  std::unique_ptr<plant::Hall> hall_;
  std::unique_ptr<CapDriver> driver_;
  std::vector<LatencyLog> latencies_{1};
};

TEST_F(CapDriverTest, WithoutARuleNothingIsDecided) {
  start("none");
  run_periods(3);
  EXPECT_TRUE(decisions().empty());
  EXPECT_EQ(cap(), 700.0);
}

TEST_F(CapDriverTest, OneDecisionPerGpuIsAppliedAndSaysEverything) {
  start("fixed-500");
  run_periods(1);
  ASSERT_EQ(decisions().size(), 4U);
  EXPECT_EQ(cap(), 500.0);
  std::set<std::string_view> targets;
  for (const DecisionRow& row : decisions()) {
    targets.insert(text(row.target));
    EXPECT_EQ(row.t_ns, hall_->now().ns);
    EXPECT_EQ(text(row.policy), "cap:fixed-500/1");
    EXPECT_EQ(text(row.outcome), "applied");
    EXPECT_EQ(row.value_before, 700.0);
    EXPECT_EQ(row.value_after, 500.0);
    EXPECT_EQ(row.expires_ns, (hall_->now() + base::seconds(600)).ns);
    EXPECT_NE(row.reason_hash, 0U);
    EXPECT_FALSE(row.decision.empty());
  }
  EXPECT_EQ(targets.size(), 4U);
  EXPECT_TRUE(targets.contains("site/r1/n1/gpu/3"));
}

TEST_F(CapDriverTest, ACapThatIsKeptIsRenewedWithoutANewDecision) {
  start("fixed-500");
  run_periods(6);
  EXPECT_EQ(decisions().size(), 4U);
  EXPECT_EQ(cap(), 500.0) << "its dead-man would have acted after two periods";
}

TEST_F(CapDriverTest, TheLatencyAwareRuleGoesWhereItSavesAndStays) {
  start("latency-aware");
  run_periods(12);
  ASSERT_EQ(decisions().size(), 4U) << "the load does not change";
  EXPECT_LT(cap(), 500.0);
  EXPECT_EQ(decisions()[0].value_before, 700.0);
  EXPECT_EQ(decisions()[0].value_after, cap());
  EXPECT_GT(decisions()[0].expected_saving_uj, 0);
}

TEST_F(CapDriverTest, WithNothingFinishedTheRuleStays) {
  start("latency-aware");
  run_periods(3, true);
  EXPECT_TRUE(decisions().empty());
}

TEST_F(CapDriverTest, AValueChangedByAnotherHandIsSeen) {
  start("fixed-500");
  run_periods(1);
  hall_->set_replica_cap(0, base::Watts(600));
  run_periods(1);
  ASSERT_EQ(decisions().size(), 8U);
  for (const DecisionRow& row : driver_->decisions().subspan(4)) {
    EXPECT_EQ(text(row.outcome), "refused: the value has changed since the snapshot");
  }
}

}  // namespace
}  // namespace perjoule::compose
