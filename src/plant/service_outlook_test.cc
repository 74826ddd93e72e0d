#include "plant/service_outlook.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "plant/llm_model_facts.hpp"
#include "plant/serving_replica.hpp"

namespace perjoule::plant {
namespace {

using base::TimePoint;
using base::Watts;

struct Costs final : StepCostModel {
  explicit Costs(const LlmCostModel& m) : model(m) {}
  PieceCost decode_run(double batch, double kv, std::int64_t steps) const override {
    const StepCost c = model.decode_run(batch, kv, steps);
    return {c.seconds, c.gpu_joules};
  }
  PieceCost prefill(double tokens, double sequences) const override {
    const StepCost c = model.prefill(tokens, 0.0, sequences);
    return {c.seconds, c.gpu_joules};
  }
  double kv_capacity_tokens() const override { return model.kv_capacity_tokens(); }
  const LlmCostModel& model;
};

LlmCostModel model_of(const std::string& name, int tensor_parallel, double cap = 0.0) {
  ServingConfig config{
      find_model_facts(name).value(), GpuSpec::h200_sxm(), tensor_parallel, false, 0, 1.0, cap};
  return std::move(LlmCostModel::create(config)).value();
}

struct Seen {
  double ttft_p95_ms, gap_p95_ms, gpu_w;
};

// An hour of Poisson arrivals of equal requests to a simulated replica.
Seen simulate(const LlmCostModel& model, double rate, std::int64_t input, std::int64_t output) {
  const Costs costs(model);
  ServingReplica replica(costs, {256, 8192}, {{Watts(112), {}, {}}}, {0});
  base::Rng rng = base::Rng::stream(7, "outlook", static_cast<std::uint64_t>(rate * 1000));
  double t = 0.0;
  for (std::uint64_t id = 1; t < 3600.0; ++id) {
    t += -std::log(1.0 - rng.uniform()) / rate;
    replica.offer({id, {static_cast<std::int64_t>(t * 1e9)}, input, output});
  }
  replica.advance({3600 * base::kNsPerSecond});
  std::vector<double> first, gap;
  for (const FinishedRequest& f : replica.finished()) {
    first.push_back(base::to_seconds(f.first_token - f.request.arrival).value() * 1e3);
    gap.push_back(base::to_seconds(f.done - f.first_token).value() * 1e3 / static_cast<double>(output - 1));
  }
  const auto p95 = [](std::vector<double>& v) {
    const auto at = v.begin() + static_cast<std::ptrdiff_t>(0.95 * static_cast<double>(v.size()));
    std::nth_element(v.begin(), at, v.end());
    return *at;
  };
  return {p95(first), p95(gap), (replica.busy_joules() + replica.idle_joules()) / 3600.0};
}

struct Case {
  const char* model;
  int tensor_parallel;
  double rate, cap;
};

TEST(ServiceOutlook, SaysWhatTheSimulatedReplicaDoes) {
  for (const Case& c : {Case{"meta-llama/Llama-3.1-8B-Instruct", 1, 0.1, 0.0},
                        Case{"meta-llama/Llama-3.1-8B-Instruct", 1, 1.0, 0.0},
                        Case{"meta-llama/Llama-3.1-8B-Instruct", 1, 4.0, 0.0},
                        Case{"meta-llama/Llama-3.1-8B-Instruct", 1, 4.0, 350.0},
                        Case{"meta-llama/Llama-3.1-70B-Instruct", 4, 0.5, 0.0},
                        Case{"meta-llama/Llama-3.1-70B-Instruct", 4, 2.0, 400.0}}) {
    const LlmCostModel model = model_of(c.model, c.tensor_parallel, c.cap);
    const Seen seen = simulate(model, c.rate, 1155, 211);
    const ReplicaOutlook said = ServiceOutlook(model, {1155, 211}, 256, Watts(112)).at(c.rate);
    const std::string which = std::string(c.model) + " at " + std::to_string(c.rate) + "/s";
    ASSERT_TRUE(said.possible) << which;
    EXPECT_NEAR(said.gpu_power.value() / seen.gpu_w, 1.0, 0.05) << which;
    EXPECT_NEAR(said.token_gap_p95_ms / seen.gap_p95_ms, 1.0, 0.25) << which;
    EXPECT_NEAR(said.ttft_p95_ms / seen.ttft_p95_ms, 1.0, 0.35) << which;
  }
}

TEST(ServiceOutlook, MoreLoadIsNeverFasterAndSomeIsTooMuch) {
  const LlmCostModel model = model_of("meta-llama/Llama-3.1-8B-Instruct", 1);
  const ServiceOutlook outlook(model, {1155, 211}, 256, Watts(112));
  ReplicaOutlook before = outlook.at(0.0);
  EXPECT_NEAR(before.gpu_power.value(), 112.0, 1e-9);
  for (double rate = 0.25; rate < 64.0; rate *= 2.0) {
    const ReplicaOutlook now = outlook.at(rate);
    EXPECT_GE(now.token_gap_p95_ms, before.token_gap_p95_ms - 1e-9) << rate;
    EXPECT_GE(now.ttft_p95_ms, before.ttft_p95_ms - 1e-9) << rate;
    EXPECT_LE(now.possible, before.possible) << "once impossible, always so: " << rate;
    before = now;
  }
  EXPECT_FALSE(before.possible);
}

}  // namespace
}  // namespace perjoule::plant
