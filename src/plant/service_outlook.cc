#include "plant/service_outlook.hpp"

#include <algorithm>
#include <cmath>

#include "base/assert.hpp"

namespace perjoule::plant {
namespace {

constexpr double kMostPrefillShare = 0.9;
constexpr int kMostRounds = 100;
constexpr double kRelativeTolerance = 1e-4;
// 95th percentile over mean (service_outlook_test.cc).
constexpr double kGapTail = 1.25;
constexpr double kFirstTokenTail = 1.3;

// Mean of a Poisson count that is not 0.
double when_any(double mean) { return mean < 1e-6 ? 1.0 : mean / -std::expm1(-mean); }

}  // namespace

ServiceOutlook::ServiceOutlook(const LlmCostModel& model, Requests requests, std::int64_t batch_limit,
                               base::Watts ready)
    : model_(model),
      requests_(requests),
      ready_w_(ready.value()),
      prefill_(model.prefill(std::max(1.0, requests.input_tokens))) {
  const double memory = model.kv_capacity_tokens() / (requests.input_tokens + requests.output_tokens);
  most_batch_ = std::max(1.0, std::min(static_cast<double>(batch_limit), memory));
}

ReplicaOutlook ServiceOutlook::at(double rate) const {
  PJ_CHECK(rate >= 0.0);
  const double context = requests_.input_tokens + 0.5 * requests_.output_tokens;
  const double tokens = std::max(0.0, requests_.output_tokens - 1.0);
  const double rho = std::min(rate * prefill_.seconds, kMostPrefillShare);
  ReplicaOutlook out;
  out.possible = rho < kMostPrefillShare;
  double b = 0.0;
  StepCost step;
  for (int round = 0; round < kMostRounds; ++round) {
    out.batch = std::min(when_any(b), most_batch_);
    step = model_.decode(out.batch, out.batch * context);
    const double next = rate * tokens * step.seconds / (1.0 - rho);
    const bool settled = std::abs(next - b) <= kRelativeTolerance * next;
    b = next;
    if (settled || b > most_batch_) break;
  }
  out.possible = out.possible && b <= most_batch_;
  const double decoding = (1.0 - rho) * -std::expm1(-b);
  const double gap = step.seconds / (1.0 - rho);
  const double first = prefill_.seconds / (1.0 - rho) + 0.5 * step.seconds * -std::expm1(-b);
  out.token_gap_p95_ms = kGapTail * gap * 1e3;
  out.ttft_p95_ms = kFirstTokenTail * first * 1e3;
  out.gpu_power =
      base::Watts(rho / prefill_.seconds * prefill_.gpu_joules + decoding * step.gpu_joules / step.seconds +
                  std::max(0.0, 1.0 - rho - decoding) * ready_w_);
  return out;
}

}  // namespace perjoule::plant
