#include "compose/latency.hpp"

#include <gtest/gtest.h>

namespace perjoule::compose {
namespace {

plant::FinishedRequest finished(std::int64_t arrival_ms, std::int64_t first_ms, std::int64_t done_ms,
                                std::int64_t tokens) {
  plant::FinishedRequest f;
  f.request = {1, {arrival_ms * base::kNsPerMs}, 10, tokens};
  f.first_token = {first_ms * base::kNsPerMs};
  f.done = {done_ms * base::kNsPerMs};
  return f;
}

TEST(LatencyLog, TimesOfOneRequest) {
  LatencyLog log;
  plant::ServiceSpec service;
  service.slo_ttft_ms = 100.0;
  service.slo_token_gap_ms = 50.0;
  const RequestTimes t = log.add(finished(1000, 1090, 1590, 11), service);
  EXPECT_DOUBLE_EQ(t.ttft_ms, 90.0);
  EXPECT_DOUBLE_EQ(t.latency_ms, 590.0);
  EXPECT_DOUBLE_EQ(t.gap_ms, 50.0);
  EXPECT_TRUE(t.met);
  EXPECT_FALSE(log.add(finished(1000, 1101, 1200, 11), service).met);
}

TEST(LatencyLog, PercentilesAreNearestRank) {
  LatencyLog log;
  for (std::int64_t ms = 100; ms >= 1; --ms) log.add(finished(0, 0, ms, 2), {});
  const LatencySummary s = log.summary();
  EXPECT_EQ(s.finished, 100);
  EXPECT_DOUBLE_EQ(s.p50_ms, 50.0);
  EXPECT_DOUBLE_EQ(s.p95_ms, 95.0);
  EXPECT_DOUBLE_EQ(s.p99_ms, 99.0);
  log.mark();
  log.add(finished(0, 0, 7, 2), {});
  EXPECT_DOUBLE_EQ(log.since_mark().p95_ms, 7.0);
}

}  // namespace
}  // namespace perjoule::compose
