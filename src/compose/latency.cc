#include "compose/latency.hpp"

#include <algorithm>
#include <cmath>

namespace perjoule::compose {
namespace {

// Nearest rank: the smallest value with at least p of all values at or below it. Reorders `values`.
double percentile(std::vector<double>& values, double p) {
  if (values.empty()) return 0.0;
  const auto rank = static_cast<std::size_t>(std::ceil(p * static_cast<double>(values.size())));
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::max<std::size_t>(rank, 1) - 1);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

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
  out.p50_ms = percentile(latency, 0.50);
  out.p95_ms = percentile(latency, 0.95);
  out.p99_ms = percentile(latency, 0.99);
  out.ttft_p50_ms = percentile(ttft, 0.50);
  out.ttft_p95_ms = percentile(ttft, 0.95);
  out.ttft_p99_ms = percentile(ttft, 0.99);
  out.gap_p95_ms = percentile(gap, 0.95);
  return out;
}

}  // namespace perjoule::compose
