#include "sched/service_load.hpp"

#include <algorithm>
#include <cmath>

namespace perjoule::sched {
namespace {

constexpr double kMargin = 0.45;
constexpr double kDeviations = 3.0;
constexpr double kNewestShare = 0.1;  // of the running means
constexpr double kLeastLevel = 0.5, kMostLevel = 10.0;

double blend(double mean, double newest, double share) { return mean + share * (newest - mean); }

}  // namespace

bool within_margin(const Latencies& p95, const Latencies& targets) {
  return p95.ttft_ms <= kMargin * targets.ttft_ms && p95.token_gap_ms <= kMargin * targets.token_gap_ms;
}

void LoadForecast::add(const ServiceLoad& load) {
  last_ = static_cast<double>(load.arrivals) / window_s_;
  mean_ = blend(mean_, last_, any_arrived_ ? kNewestShare : 1.0);
  if (load.arrivals > 0) {
    input_ = blend(input_, static_cast<double>(load.input_tokens) / static_cast<double>(load.arrivals),
                   any_arrived_ ? kNewestShare : 1.0);
    any_arrived_ = true;
  }
  if (load.finished > 0) {
    output_ = blend(output_, static_cast<double>(load.output_tokens) / static_cast<double>(load.finished),
                    any_finished_ ? kNewestShare : 1.0);
    any_finished_ = true;
  }
}

std::optional<LoadEstimate> LoadForecast::observed() const {
  if (!any_arrived_ || !any_finished_) return std::nullopt;
  return LoadEstimate{mean_, input_, output_};
}

std::optional<LoadEstimate> LoadForecast::planned() const {
  auto load = observed();
  if (!load) return load;
  const double rate = std::max(last_, mean_);
  load->requests_per_s = rate + kDeviations * std::sqrt(rate / window_s_);
  return load;
}

void PredictionLevel::learn(const Latencies& seen, const Latencies& predicted) {
  const auto one = [&](double& level, double seen_ms, double predicted_ms) {
    const double now = std::clamp(seen_ms / predicted_ms, kLeastLevel, kMostLevel);
    level = blend(level, now, known_ ? newest_ : 1.0);
  };
  one(ttft_, seen.ttft_ms, predicted.ttft_ms);
  one(gap_, seen.token_gap_ms, predicted.token_gap_ms);
  known_ = true;
}

}  // namespace perjoule::sched
