// What both policies know of a service: its load, the load to plan for, how far predictions of its latency
// have to be corrected, and how much of a latency target a prediction may use up. Thread rule: values, one
// thread each. Units in the names.
#pragma once

#include <cstdint>
#include <optional>

namespace perjoule::sched {

struct Latencies {
  double ttft_ms = 0.0;       // to the first token
  double token_gap_ms = 0.0;  // mean per later token
};

// Whether 95th percentiles stay within the share of the targets that a prediction may use up. The 99th are
// about twice as long, so the share, 45 %, is meant to keep the targets for 99 requests of 100.
bool within_margin(const Latencies& p95, const Latencies& targets);

// What one service was asked in a window.
struct ServiceLoad {
  std::int64_t arrivals = 0;
  std::int64_t input_tokens = 0;  // of the arrivals
  std::int64_t finished = 0;
  std::int64_t output_tokens = 0;  // of the finished
};

struct LoadEstimate {
  double requests_per_s = 0.0;
  double input_tokens = 0.0;   // mean per request
  double output_tokens = 0.0;  // mean per request
};

class LoadForecast {
 public:
  explicit LoadForecast(double window_s) : window_s_(window_s) {}
  void add(const ServiceLoad& load);
  // The running mean. Nothing until a request has finished.
  std::optional<LoadEstimate> observed() const;
  // To plan for: the larger of the last window and the mean, and three standard deviations of a Poisson
  // count.
  std::optional<LoadEstimate> planned() const;

 private:
  double window_s_;
  double last_ = 0.0, mean_ = 0.0;  // arrivals per second
  double input_ = 0.0, output_ = 0.0;
  bool any_arrived_ = false, any_finished_ = false;
};

// Seen over predicted 95th percentiles: real prompts are of unequal length and come in bursts.
class PredictionLevel {
 public:
  // `newest`: weight of the newest comparison, (0, 1].
  explicit PredictionLevel(double newest) : newest_(newest) {}
  void learn(const Latencies& seen_p95, const Latencies& predicted_p95);
  bool known() const { return known_; }
  double ttft() const { return ttft_; }  // 1 until known
  double gap() const { return gap_; }

 private:
  double newest_;
  double ttft_ = 1.0, gap_ = 1.0;
  bool known_ = false;
};

}  // namespace perjoule::sched
