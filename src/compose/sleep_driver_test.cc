#include "compose/sleep_driver.hpp"

#include <gtest/gtest.h>

#include <algorithm>

namespace perjoule::compose {
namespace {

using energy::DecisionRow;

// One node, four replicas of two GPUs, and requests at a rate that changes with time.
class SleepDriverTest : public ::testing::Test {
 protected:
  // `gap(t)`: seconds from the request at t (s from the start) to the next; 0 ends the stream.
  void start(const std::string& rule, std::function<double(double)> gap, double ttft_target_ms = 2000.0) {
    plant::HallSpec spec;
    spec.start = {1'700'000'000 * base::kNsPerSecond};
    spec.feeds = {"feed-a"};
    spec.racks = {{"r1", "feed-a"}};
    spec.nodes = {{"n1", "r1", 8, false}};
    spec.services = {{"chat", "acme", "meta-llama/Llama-3.1-8B-Instruct", 2, 0, {"n1"}, 256, ttft_target_ms}};
    const base::TimePoint start = spec.start;
    double t = 0.0;
    std::uint64_t id = 0;
    auto made =
        plant::Hall::make(std::move(spec), symbols_, [=]() mutable -> std::optional<plant::HallRequest> {
          const double next = gap(t);
          if (next <= 0.0) return std::nullopt;
          t += next;
          const base::TimePoint at = start + base::to_duration(base::Seconds(t));
          return plant::HallRequest{0, {++id, at, 800, 200}};
        });
    ASSERT_TRUE(made.ok()) << made.error().message();
    hall_ = std::move(*made);
    auto driver = SleepDriver::make(*hall_, symbols_, rule, 1);
    ASSERT_TRUE(driver.ok()) << driver.error().message();
    driver_ = std::move(*driver);
  }
  void run_minutes(int minutes) {
    for (int w = 0; w < 2 * minutes; ++w) {
      hall_->run_window();
      LatencyLog log;
      const plant::Arrivals& arrivals = hall_->arrivals()[0];
      sched::ServiceLoad load{arrivals.requests, arrivals.input_tokens, 0, 0};
      for (plant::Replica& r : hall_->replicas()) {
        for (const plant::FinishedRequest& f : r.engine->finished()) {
          slowest_ttft_ms_ = std::max(slowest_ttft_ms_, log.add(f, hall_->spec().services[0]).ttft_ms);
          ++load.finished;
          load.output_tokens += f.request.output_tokens;
        }
        r.engine->finished().clear();
      }
      const LatencySummary summary = log.summary();
      driver_->control({&load, 1}, {&summary, 1});
    }
  }
  std::size_t admitted() const {
    const auto replicas = std::as_const(*hall_).replicas();
    return static_cast<std::size_t>(
        std::count_if(replicas.begin(), replicas.end(), [](const plant::Replica& r) { return r.admitted; }));
  }
  std::size_t rest_level(std::size_t r) const {
    return std::as_const(*hall_).replicas()[r].engine->rest_level();
  }
  std::size_t count(std::string_view action, std::string_view outcome = {}) const {
    const auto rows = driver_->decisions();
    return static_cast<std::size_t>(std::count_if(rows.begin(), rows.end(), [&](const DecisionRow& row) {
      return symbols_.text(row.action) == action &&
             (outcome.empty() || symbols_.text(row.outcome) == outcome);
    }));
  }

  base::SymbolTable symbols_;
  std::unique_ptr<plant::Hall> hall_;
  std::unique_ptr<SleepDriver> driver_;
  double slowest_ttft_ms_ = 0.0;
};

TEST_F(SleepDriverTest, WithoutARuleNothingIsDecided) {
  start("none", [](double) { return 10.0; });
  run_minutes(20);
  EXPECT_TRUE(driver_->decisions().empty());
  EXPECT_EQ(admitted(), 4U);
}

TEST_F(SleepDriverTest, ARestIsADecisionPerGpuThatWorkUndoes) {
  start("rent-or-buy", [](double) { return 10.0; });
  run_minutes(10);
  EXPECT_EQ(admitted(), 4U) << "this rule does not pack";
  ASSERT_GT(count("rest:finer-unit"), 0U);
  EXPECT_EQ(count("rest:finer-unit") % 2, 0U) << "two GPUs to a replica";
  EXPECT_GT(count("rest:finer-unit", "superseded"), 0U) << "by the deeper one";
  EXPECT_GT(count("rest:low-clocks", "applied, undone by work"), 0U);
  for (const DecisionRow& row : driver_->decisions()) {
    EXPECT_EQ(symbols_.text(row.policy), "sleep:rent-or-buy/2");
    EXPECT_FALSE(symbols_.text(row.outcome).starts_with("refused")) << symbols_.text(row.outcome);
    EXPECT_NE(row.reason_hash, 0U);
    EXPECT_EQ(row.value_after, symbols_.text(row.action) == "rest:finer-unit" ? 1.0 : 2.0);
  }
}

TEST_F(SleepDriverTest, HeaaParksWhatIsNotNeededAndItRestsAsDeepAsItCan) {
  start("heaa", [](double) { return 5.0; });
  run_minutes(30);
  EXPECT_EQ(admitted(), 1U);
  EXPECT_EQ(count("park"), 6U);
  std::size_t deep = 0;
  for (std::size_t r = 0; r < 4; ++r) deep += rest_level(r) == 3 ? 1U : 0U;
  EXPECT_EQ(deep, 3U) << "context released";
}

// The load grows twentyfold at once: what was parked is woken first and takes requests only when it is ready,
// so nobody waits for a wake of twelve seconds.
TEST_F(SleepDriverTest, EarlyWakeKeepsRequestsFromWaiting) {
  start("heaa", [](double t) { return t < 1800.0 ? 5.0 : 0.02; });
  run_minutes(30);
  ASSERT_EQ(admitted(), 1U);
  run_minutes(10);
  EXPECT_GT(admitted(), 1U);
  EXPECT_GT(count("early wake"), 0U);
  EXPECT_GT(count("rest:context-release", "applied, undone by early wake"), 0U);
  EXPECT_LT(slowest_ttft_ms_, 12'000.0) << "a request sent to a sleeping replica would add its wake of 12 s";
}

// Work without a tight target may wait for a wake: no early wake, the first request wakes the replica.
TEST_F(SleepDriverTest, InsensitiveWorkNeedsNoEarlyWake) {
  start(
      "heaa", [](double t) { return t < 1800.0 ? 5.0 : 0.02; }, 600'000.0);
  run_minutes(45);
  EXPECT_EQ(count("early wake"), 0U);
}

TEST_F(SleepDriverTest, AnUnknownRuleIsRefusedWithTheNearest) {
  start("none", [](double) { return 10.0; });
  const auto made = SleepDriver::make(*hall_, symbols_, "rent-or-by", 1);
  ASSERT_FALSE(made.ok());
  EXPECT_NE(made.error().hint.find("rent-or-buy"), std::string::npos);
}

}  // namespace
}  // namespace perjoule::compose
