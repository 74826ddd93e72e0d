#include "compose/policy_drivers.hpp"

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
      for (plant::Replica& r : hall_->replicas()) {
        for (const plant::FinishedRequest& f : r.engine->finished()) {
          if (!blind) latencies_[0].add(f, hall_->spec().services[0]);
        }
        r.engine->finished().clear();
      }
      driver_->control(latencies_, decisions_);
    }
  }
  double cap() const { return hall_->replicas()[0].cap.value(); }
  std::string_view text(base::Symbol s) const { return symbols_.text(s); }

  base::SymbolTable symbols_;
  std::unique_ptr<plant::Hall> hall_;
  std::unique_ptr<CapDriver> driver_;
  std::vector<LatencyLog> latencies_{1};
  std::vector<DecisionRow> decisions_;
};

TEST_F(CapDriverTest, WithoutARuleNothingIsDecided) {
  start("none");
  run_periods(3);
  EXPECT_TRUE(decisions_.empty());
  EXPECT_EQ(cap(), 700.0);
}

TEST_F(CapDriverTest, OneDecisionPerGpuIsAppliedAndSaysEverything) {
  start("fixed-500");
  run_periods(1);
  ASSERT_EQ(decisions_.size(), 4U);
  EXPECT_EQ(cap(), 500.0);
  std::set<std::string_view> targets;
  for (const DecisionRow& row : decisions_) {
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
  EXPECT_EQ(decisions_.size(), 4U);
  EXPECT_EQ(cap(), 500.0) << "its dead-man would have acted after two periods";
}

TEST_F(CapDriverTest, TheLatencyAwareRuleGoesDownStepByStepAndSaves) {
  start("latency-aware");
  run_periods(12);
  ASSERT_FALSE(decisions_.empty());
  EXPECT_LT(cap(), 700.0);
  double before = 700.0;
  std::int64_t saving = 0;
  for (std::size_t i = 0; i < decisions_.size(); i += 4) {
    EXPECT_EQ(decisions_[i].value_before, before);
    EXPECT_EQ(decisions_[i].value_after, before - 50.0);
    // A cap above what the work draws changes nothing; the steps below it save.
    EXPECT_GE(decisions_[i].expected_saving_uj, 0);
    saving += decisions_[i].expected_saving_uj;
    before = decisions_[i].value_after;
  }
  EXPECT_GT(saving, 0);
  EXPECT_EQ(cap(), before);
}

TEST_F(CapDriverTest, WithNothingFinishedTheRuleStays) {
  start("latency-aware");
  run_periods(3, true);
  EXPECT_TRUE(decisions_.empty());
}

TEST_F(CapDriverTest, AValueChangedByAnotherHandIsSeen) {
  start("fixed-500");
  run_periods(1);
  hall_->set_replica_cap(0, base::Watts(600));
  decisions_.clear();
  run_periods(1);
  ASSERT_EQ(decisions_.size(), 4U);
  for (const DecisionRow& row : decisions_) {
    EXPECT_EQ(text(row.outcome), "refused: the value has changed since the snapshot");
  }
}

}  // namespace
}  // namespace perjoule::compose
