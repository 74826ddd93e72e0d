#include "compose/latency.hpp"

#include <algorithm>

#include "math/percentile.hpp"

namespace perjoule::compose {
namespace {

double ms_between(base::TimePoint a, base::TimePoint b) { return static_cast<double>(b.ns - a.ns) * 1e-6; }

}  // namespace

RequestTimes LatencyLog::add(const plant::FinishedRequest& f, const plant::ServiceSpec& service) {
  RequestTimes t;
  t.latency_ms = ms_between(f.request.arrival, f.done);
  t.ttft_ms = ms_between(f.request.arrival, f.first_token);
  const auto gaps = std::max<std::int64_t>(f.request.output_tokens - 1, 1);
  t.gap_ms = ms_between(f.first_token, f.done) / static_cast<double>(gaps);
  t.met = t.ttft_ms <= service.slo_ttft_ms && t.gap_ms <= service.slo_token_gap_ms;
  times_.push_back(t);
  return t;
}

void LatencyLog::merge(const LatencyLog& other) {
  times_.insert(times_.end(), other.times_.begin(), other.times_.end());
}

LatencySummary LatencyLog::summary_from(std::size_t first) const {
  LatencySummary out;
  std::vector<double> latency, ttft, gap;
  for (std::size_t i = first; i < times_.size(); ++i) {
    latency.push_back(times_[i].latency_ms);
    ttft.push_back(times_[i].ttft_ms);
    gap.push_back(times_[i].gap_ms);
    out.missed += times_[i].met ? 0 : 1;
  }
  out.finished = static_cast<std::int64_t>(latency.size());
  if (latency.empty()) return out;
  out.p50_ms = math::percentile(latency, 0.50);
  out.p95_ms = math::percentile(latency, 0.95);
  out.p99_ms = math::percentile(latency, 0.99);
  out.ttft_p50_ms = math::percentile(ttft, 0.50);
  out.ttft_p95_ms = math::percentile(ttft, 0.95);
  out.ttft_p99_ms = math::percentile(ttft, 0.99);
  out.gap_p95_ms = math::percentile(gap, 0.95);
  return out;
}

}  // namespace perjoule::compose
