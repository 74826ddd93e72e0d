// Latencies of finished requests and their percentiles (nearest rank).
// Thread rule: one thread. Units: milliseconds.
#pragma once

#include <cstdint>
#include <vector>

#include "compose/run.hpp"
#include "plant/hall.hpp"

namespace perjoule::compose {

struct RequestTimes {
  double latency_ms = 0.0, ttft_ms = 0.0, gap_ms = 0.0;  // gap: mean time per output token after the first
  bool met = false;
};

class LatencyLog {
 public:
  RequestTimes add(const plant::FinishedRequest& finished, const plant::ServiceSpec& service);
  void merge(const LatencyLog& other);
  LatencySummary summary() const { return summary_from(0); }
  std::size_t size() const { return times_.size(); }
  // Of the requests from the `first` added on.
  LatencySummary summary_from(std::size_t first) const;
  // Of the requests added since the last call of mark().
  LatencySummary since_mark() const { return summary_from(mark_); }
  void mark() { mark_ = times_.size(); }

 private:
  std::vector<RequestTimes> times_;
  std::size_t mark_ = 0;
};

}  // namespace perjoule::compose
