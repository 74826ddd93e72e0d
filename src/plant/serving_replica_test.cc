#include "plant/serving_replica.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/rng.hpp"

namespace perjoule::plant {
namespace {

using base::TimePoint;
using base::Watts;

// Linear step: 10 ms + 0.1 ms per sequence + 1 us per KV token; 500 W while decoding, 600 W in prefill.
class LinearCosts final : public StepCostModel {
 public:
  PieceCost decode_run(double batch, double kv, std::int64_t steps) const override {
    const double n = static_cast<double>(steps);
    const double seconds = n * (0.010 + 1e-4 * batch + 1e-6 * kv) + 1e-6 * batch * n * (n - 1) / 2;
    return {seconds, 500.0 * seconds};
  }
  PieceCost prefill(double tokens, double) const override {
    const double seconds = 0.005 + 1e-5 * tokens;
    return {seconds, 600.0 * seconds};
  }
  double kv_capacity_tokens() const override { return capacity; }
  double capacity = 1e6;
};

// The obvious form: one step at a time.
class SlowReplica {
 public:
  SlowReplica(const StepCostModel& costs, std::int64_t limit) : costs_(costs), limit_(limit) {}
  std::map<std::uint64_t, std::pair<double, double>> run(const std::vector<ServingRequest>& requests) {
    std::map<std::uint64_t, std::pair<double, double>> done;  // id -> first token, done (s)
    struct Live {
      ServingRequest r;
      std::int64_t left;
    };
    std::vector<Live> live;
    std::size_t next = 0;
    double t = 0.0, kv = 0.0;
    while (next < requests.size() || !live.empty()) {
      if (live.empty() && next < requests.size()) t = std::max(t, arrival(requests[next]));
      std::vector<ServingRequest> batch;
      std::int64_t budget = 8192;
      while (next < requests.size() && arrival(requests[next]) <= t + 1e-12 &&
             static_cast<std::int64_t>(live.size() + batch.size()) < limit_ &&
             (batch.empty() || budget >= requests[next].input_tokens)) {
        budget -= requests[next].input_tokens;
        batch.push_back(requests[next++]);
      }
      if (!batch.empty()) {
        double tokens = 0.0;
        for (const auto& r : batch) tokens += static_cast<double>(r.input_tokens);
        t += costs_.prefill(tokens, static_cast<double>(batch.size())).seconds;
        for (const auto& r : batch) {
          done[r.id].first = t;
          kv += static_cast<double>(r.input_tokens + 1);
          live.push_back({r, r.output_tokens - 1});
        }
      } else {
        t += costs_.decode_run(static_cast<double>(live.size()), kv, 1).seconds;
        kv += static_cast<double>(live.size());
        for (Live& l : live) --l.left;
      }
      std::erase_if(live, [&](const Live& l) {
        if (l.left > 0) return false;
        done[l.r.id].second = t;
        kv -= static_cast<double>(l.r.input_tokens + l.r.output_tokens);
        return true;
      });
    }
    return done;
  }
  static double arrival(const ServingRequest& r) { return base::to_seconds({r.arrival.ns}).value(); }

 private:
  const StepCostModel& costs_;
  std::int64_t limit_;
};

std::vector<ServingRequest> random_requests(std::uint64_t seed, std::size_t n, double gap_s) {
  base::Rng rng(seed);
  std::vector<ServingRequest> out;
  double t = 0.0;
  for (std::size_t i = 0; i < n; ++i) {
    t += rng.exponential(gap_s);
    out.push_back({i + 1,
                   {base::to_duration(base::Seconds(t)).ns},
                   1 + static_cast<std::int64_t>(rng.below(3000)),
                   1 + static_cast<std::int64_t>(rng.below(400))});
  }
  return out;
}

TEST(ServingReplica, ClosedFormRunsEqualSingleSteps) {
  const LinearCosts costs;
  for (const auto& [gap, limit] :
       {std::pair{2.0, 64}, std::pair{0.2, 64}, std::pair{0.05, 8}, std::pair{30.0, 4}}) {
    const auto requests = random_requests(11, 300, gap);
    ServingReplica fast(costs, {limit, 8192}, {{Watts(100), {}, {}}}, {0});
    for (const auto& r : requests) ASSERT_TRUE(fast.offer(r));
    fast.advance({100'000 * base::kNsPerSecond});
    const auto slow = SlowReplica(costs, limit).run(requests);
    ASSERT_EQ(fast.finished().size(), requests.size());
    for (const FinishedRequest& f : fast.finished()) {
      const auto& expected = slow.at(f.request.id);
      EXPECT_NEAR(base::to_seconds({f.first_token.ns}).value(), expected.first, 2e-5) << f.request.id;
      EXPECT_NEAR(base::to_seconds({f.done.ns}).value(), expected.second, 2e-5) << f.request.id;
    }
  }
}

TEST(ServingReplica, RequestsShareExactlyTheBusyEnergy) {
  const LinearCosts costs;
  const auto requests = random_requests(5, 500, 0.3);
  ServingReplica replica(costs, {32, 8192}, {{Watts(100), {}, {}}}, {0});
  for (const auto& r : requests) replica.offer(r);
  double used = 0.0;
  for (int w = 1; w <= 100; ++w) {
    replica.advance({w * 7 * base::kNsPerSecond});
    for (const RequestUse& u : replica.take_uses()) used += u.prefill_joules + u.decode_joules;
    EXPECT_NEAR(used, replica.busy_joules(), 1e-6 * replica.busy_joules() + 1e-9);
  }
  EXPECT_NEAR(replica.idle_joules(), 100.0 * (700.0 - replica.busy_seconds()), 1e-3);
}

TEST(ServingReplica, RefusesWhatCanNeverFitAndQueuesOnMemory) {
  LinearCosts costs;
  costs.capacity = 1000;
  ServingReplica replica(costs, {64, 8192}, {{Watts(100), {}, {}}}, {0});
  EXPECT_FALSE(replica.offer({1, {0}, 900, 101}));
  EXPECT_TRUE(replica.offer({2, {0}, 500, 100}));
  EXPECT_TRUE(replica.offer({3, {0}, 500, 100}));
  replica.advance({60 * base::kNsPerSecond});
  ASSERT_EQ(replica.finished().size(), 2U);
  EXPECT_GE(replica.finished()[1].first_token.ns, replica.finished()[0].done.ns)
      << "memory holds one at a time";
}

// Rests at level 1 two seconds after work ended.
class AfterTwoSeconds final : public IdleGovernor {
 public:
  explicit AfterTwoSeconds(ServingReplica& replica) : replica_(replica) {}
  TimePoint idle_began(TimePoint since) override { return since + base::seconds(2); }
  TimePoint look(TimePoint) override {
    rests_ += replica_.request_rest(1) ? 1 : 0;
    return base::kNever;
  }
  void idle_ended(TimePoint) override { ++ends_; }
  int rests_ = 0, ends_ = 0;

 private:
  ServingReplica& replica_;
};

TEST(ServingReplica, ARestSavesPowerAndItsWakeDelaysTheFirstToken) {
  const LinearCosts costs;
  const std::vector<RestLevel> levels{{Watts(100), {}, {}},
                                      {Watts(40), base::milliseconds(60), base::Joules(6)}};
  ServingReplica replica(costs, {64, 8192}, levels, {0});
  AfterTwoSeconds governor(replica);
  replica.set_governor(&governor);
  replica.offer({1, {0}, 100, 1});
  replica.offer({2, {10 * base::kNsPerSecond}, 100, 1});
  replica.advance({20 * base::kNsPerSecond});
  ASSERT_EQ(replica.finished().size(), 2U);
  const double first =
      base::to_seconds(replica.finished()[1].first_token - TimePoint{10 * base::kNsPerSecond}).value();
  EXPECT_NEAR(first, 0.060 + 0.006, 1e-6);
  EXPECT_EQ(governor.rests_, 2) << "after each of the two requests";
  EXPECT_EQ(governor.ends_, 2) << "by each of them";
  EXPECT_EQ(replica.wakes(), 1);
  EXPECT_NEAR(replica.level_seconds()[1], 8.0 - 0.006 + 0.06 + 8.0 - 0.066, 1e-3);
}

TEST(ServingReplica, AWrittenRestIsEnteredWhenIdleAndLeftAtWork) {
  const LinearCosts costs;
  const std::vector<RestLevel> levels{{Watts(100), {}, {}},
                                      {Watts(40), base::milliseconds(60), base::Joules(6)}};
  ServingReplica replica(costs, {64, 8192}, levels, {0});
  replica.advance({base::kNsPerSecond});
  ASSERT_TRUE(replica.request_rest(1));
  EXPECT_EQ(replica.rest_level(), 1U);
  replica.offer({1, {3 * base::kNsPerSecond}, 100, 1});
  replica.advance({4 * base::kNsPerSecond});
  ASSERT_EQ(replica.finished().size(), 1U);
  EXPECT_NEAR(base::to_seconds(replica.finished()[0].first_token - TimePoint{3 * base::kNsPerSecond}).value(),
              0.066, 1e-6);
  EXPECT_EQ(replica.rest_level(), 0U) << "the request ended with the work";
  // 1 s ready, 2 s at rest, the wake, 0.006 s of prefill, ready again.
  EXPECT_NEAR(replica.idle_joules(), 100.0 + 80.0 + (0.06 * 40 + 6) + 100.0 * (1.0 - 0.066), 1e-6);
}

TEST(ServingReplica, LeavingAWrittenRestWithoutWorkPaysItsWake) {
  const LinearCosts costs;
  const std::vector<RestLevel> levels{{Watts(100), {}, {}},
                                      {Watts(40), base::milliseconds(60), base::Joules(6)},
                                      {Watts(20), base::seconds(2), base::Joules(50)}};
  ServingReplica replica(costs, {64, 8192}, levels, {0});
  ASSERT_TRUE(replica.request_rest(2));
  replica.advance({10 * base::kNsPerSecond});
  ASSERT_TRUE(replica.request_rest(1));
  EXPECT_EQ(replica.rest_level(), 0U) << "on its way up";
  replica.advance({11 * base::kNsPerSecond});
  ASSERT_TRUE(replica.request_rest(0));
  ASSERT_TRUE(replica.request_rest(1));
  replica.advance({20 * base::kNsPerSecond});
  EXPECT_EQ(replica.rest_level(), 1U);
  EXPECT_EQ(replica.wakes(), 1);
  EXPECT_NEAR(replica.idle_joules(), 10 * 20.0 + (2 * 20.0 + 50.0) + 8 * 40.0, 1e-6);
}

TEST(ServingReplica, AtWorkARestIsRefused) {
  const LinearCosts costs;
  ServingReplica replica(costs, {64, 8192}, {{Watts(100), {}, {}}, {Watts(40), {}, {}}}, {0});
  replica.offer({1, {0}, 100, 1000});
  replica.advance({1'000'000});
  EXPECT_FALSE(replica.may_rest());
  EXPECT_FALSE(replica.request_rest(1));
  EXPECT_TRUE(replica.request_rest(0)) << "leaving is never refused";
}

// The governor hears of an early wake as of the end of the idle period, and of the idle time after it as of a
// new one.
TEST(ServingReplica, AnEarlyWakeEndsTheRestBeforeWorkComes) {
  const LinearCosts costs;
  ServingReplica replica(costs, {64, 8192},
                         {{Watts(100), {}, {}}, {Watts(40), base::milliseconds(500), base::Joules(6)}}, {0});
  AfterTwoSeconds governor(replica);
  replica.set_governor(&governor);
  replica.advance({5 * base::kNsPerSecond});
  ASSERT_EQ(replica.rest_level(), 1U);
  ASSERT_TRUE(replica.request_rest(0));
  EXPECT_TRUE(replica.waking());
  replica.offer({1, {6 * base::kNsPerSecond}, 100, 1});
  replica.advance({7 * base::kNsPerSecond});
  ASSERT_EQ(replica.finished().size(), 1U);
  EXPECT_NEAR(base::to_seconds(replica.finished()[0].first_token - TimePoint{6 * base::kNsPerSecond}).value(),
              0.006, 1e-6)
      << "the wake is over before the request comes";
  EXPECT_EQ(governor.ends_, 2);
}

}  // namespace
}  // namespace perjoule::plant
