#include "plant/llm_cost_model.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace perjoule::plant {
namespace {

ServingConfig llama_on_h200() {
  ServingConfig c;
  c.model = find_model_facts("Llama-2-70b-chat-hf").value();
  c.gpu = GpuSpec::h200_sxm();
  c.tensor_parallel = 2;
  return c;
}

struct Sum {
  double seconds = 0.0, joules = 0.0, sm = 0.0, dram = 0.0;
};

// The slow, obvious form: one step after another.
Sum step_by_step(const LlmCostModel& m, double batch, double kv, int steps) {
  Sum sum;
  for (int i = 0; i < steps; ++i, kv += batch) {
    const StepCost c = m.decode(batch, kv);
    sum.seconds += c.seconds, sum.joules += c.gpu_joules;
    sum.sm += c.sm_activity * c.seconds, sum.dram += c.dram_activity * c.seconds;
  }
  return sum;
}

void expect_closed_form(const ServingConfig& config, double batch, double kv, int steps) {
  const auto m = LlmCostModel::create(config);
  ASSERT_TRUE(m.ok()) << m.error().message();
  const Sum slow = step_by_step(*m, batch, kv, steps);
  const StepCost run = m->decode_run(batch, kv, steps);
  EXPECT_NEAR(run.seconds, slow.seconds, 1e-9 * slow.seconds);
  EXPECT_NEAR(run.gpu_joules, slow.joules, 1e-9 * slow.joules);
  EXPECT_NEAR(run.sm_activity, slow.sm / slow.seconds, 1e-9);
  EXPECT_NEAR(run.dram_activity, slow.dram / slow.seconds, 1e-9);
}

TEST(LlmCostModel, ARunOfStepsEqualsItsSteps) {
  expect_closed_form(llama_on_h200(), 1.0, 100.0, 1000);
  expect_closed_form(llama_on_h200(), 17.5, 0.0, 333);
  ServingConfig capped = llama_on_h200();
  capped.power_cap_w = 350.0;
  expect_closed_form(capped, 192.0, 192.0 * 700.0, 64);
}

TEST(LlmCostModel, ARunThatCrossesTheSlidingWindowEqualsItsSteps) {
  ServingConfig c = llama_on_h200();
  c.model = find_model_facts("gemma-3-27b-it").value();
  expect_closed_form(c, 24.0, 24.0 * 900.0, 400);  // crosses 1,024
  expect_closed_form(c, 24.0, 24.0 * 2000.0, 50);  // beyond
  expect_closed_form(c, 23.3, 24.0 * 100.0, 3);    // before
}

void expect_shares(const std::vector<KernelShare>& kernels) {
  double energy = 0.0, time = 0.0;
  for (const auto& k : kernels) {
    EXPECT_GT(k.time_share, 0.0) << k.name;
    EXPECT_GT(k.layer_count, 0) << k.name;
    energy += k.energy_share, time += k.time_share;
  }
  EXPECT_NEAR(energy, 1.0, 1e-12);
  EXPECT_NEAR(time, 1.0, 1e-12);
}

TEST(LlmCostModel, KernelSharesAddUpToTheStep) {
  for (const char* name : {"Llama-2-70b-chat-hf", "gpt-oss-120b", "NVIDIA-Nemotron-Nano-9B-v2"}) {
    ServingConfig c = llama_on_h200();
    c.model = find_model_facts(name).value();
    const auto m = LlmCostModel::create(c).value();
    expect_shares(m.decode_kernels(64.0, 64e3));
    expect_shares(m.prefill_kernels(2000.0));
  }
}

TEST(LlmCostModel, AttentionKernelsAreTheKvPartOfTheStep) {
  const auto m = LlmCostModel::create(llama_on_h200()).value();
  const StepCost with = m.decode(64.0, 64e3), without = m.decode(64.0, 0.0);
  double time = 0.0, energy = 0.0;
  for (const auto& k : m.decode_kernels(64.0, 64e3)) {
    if (k.name == "qk_t" || k.name == "softmax" || k.name == "av")
      time += k.time_share, energy += k.energy_share;
  }
  EXPECT_NEAR(time * with.seconds, with.seconds - without.seconds, 1e-12);
  EXPECT_NEAR(energy * with.gpu_joules, with.gpu_joules - without.gpu_joules, 1e-9);
}

TEST(LlmCostModel, KernelsAreThoseOfTheArchitecture) {
  ServingConfig c = llama_on_h200();
  c.model = find_model_facts("gpt-oss-120b").value();
  const auto m = LlmCostModel::create(c).value();
  const auto kernels = m.decode_kernels(8.0, 8e3);
  const auto count = [&](std::string_view name) {
    for (const auto& k : kernels) {
      if (k.name == name) return k.layer_count;
    }
    return 0;
  };
  EXPECT_EQ(count("moe_experts"), 36);
  EXPECT_EQ(count("qkv_proj"), 36);
  EXPECT_EQ(count("all_reduce"), 72);  // two per layer
  EXPECT_EQ(count("ffn_down"), 0);
  EXPECT_EQ(count("lm_head"), 1);
}

TEST(LlmCostModel, BatchesBetweenAndBeyondTheTableAreContinuous) {
  const auto m = LlmCostModel::create(llama_on_h200()).value();
  const double low = m.decode(40.0, 4e4).seconds, high = m.decode(41.0, 4e4).seconds;
  EXPECT_NEAR(m.decode(40.25, 4e4).seconds, low + 0.25 * (high - low), 1e-12);
  EXPECT_NEAR(m.decode(2048.5, 4e4).seconds / m.decode(2048.0, 4e4).seconds, 1.0, 1e-3);
  EXPECT_NEAR(m.decode(2047.75, 4e4).seconds / m.decode(2048.0, 4e4).seconds, 1.0, 1e-3);
}

TEST(LlmCostModel, PromptCostGrowsWithTheSquareOfItsLengthInAttention) {
  const auto m = LlmCostModel::create(llama_on_h200()).value();
  const double first = m.prefill(4096.0).seconds, second = m.prefill(4096.0, 4096.0).seconds;
  // Extra pairs: 4096 x 4096, four FLOP each per head dimension and head, 80 layers, two GPUs.
  const double flops = 4096.0 * 4096.0 * 4.0 * 64.0 * 128.0 * 80.0 / 2.0;
  const double rate = 989e12 * LlmCalibration::shipped().parameters().flops_attention;
  EXPECT_NEAR(second - first, flops / rate, 1e-9);
  // Two prompts of half the length have half the pairs.
  const double sampled = LlmCalibration::shipped().parameters().seconds_per_sequence;
  EXPECT_NEAR(first - m.prefill(4096.0, 0.0, 2.0).seconds, 0.25 * flops / rate - sampled, 1e-4);
  EXPECT_LT(m.prefill_added(4096.0).seconds, first);  // no weights to read, no launches
}

TEST(LlmCostModel, DecodeAtBatchOneIsBoundByReadingTheWeights) {
  const auto m = LlmCostModel::create(llama_on_h200()).value();
  const double least = m.weight_bytes_per_gpu() / 4.8e12;  // bytes over the data sheet's bandwidth
  EXPECT_GT(m.decode(1.0, 0.0).seconds, least);
  EXPECT_LT(m.decode(1.0, 0.0).seconds, 2.0 * least);
  EXPECT_NEAR(m.weight_bytes_per_gpu(), 69e9, 1e9);  // 69e9 parameters, two bytes each, over two GPUs
}

TEST(LlmCostModel, KvCapacityIsWhatMemoryLeavesOver) {
  const auto m = LlmCostModel::create(llama_on_h200()).value();
  // 2 x 80 layers x 8 heads x 128 x 2 bytes = 327,680 bytes per token over two GPUs.
  EXPECT_NEAR(m.kv_capacity_tokens(), (0.9 * 141e9 - m.weight_bytes_per_gpu()) / 163840.0, 1.0);
}

TEST(LlmCostModel, LowerClockSlowsComputeMoreThanMemoryAndSavesPower) {
  ServingConfig slow = llama_on_h200();
  slow.relative_clock = 0.6;
  const auto full = LlmCostModel::create(llama_on_h200()).value();
  const auto low = LlmCostModel::create(slow).value();
  EXPECT_NEAR(low.decode(1.0, 1e4).seconds / full.decode(1.0, 1e4).seconds, 1.0, 0.03);
  EXPECT_GT(low.prefill(4000.0).seconds / full.prefill(4000.0).seconds, 1.4);
  EXPECT_LT(low.decode(1.0, 1e4).gpu_joules, 0.95 * full.decode(1.0, 1e4).gpu_joules);
}

TEST(LlmCostModel, ACapIsKept) {
  ServingConfig capped = llama_on_h200();
  capped.power_cap_w = 450.0;
  const auto m = LlmCostModel::create(capped).value();
  const StepCost p = m.prefill(4000.0);
  EXPECT_LE(p.gpu_joules / p.seconds, 450.01);
  const StepCost d = m.decode(256.0, 256.0 * 1024.0);
  EXPECT_LE(d.gpu_joules / d.seconds, 450.01);
}

TEST(LlmCostModel, RefusesWhatCannotRun) {
  ServingConfig c = llama_on_h200();
  c.tensor_parallel = 1;
  EXPECT_EQ(LlmCostModel::create(c).error().kind, base::ErrorKind::kBadInput);  // 138 GB in 141 x 0.9
  c.weight_bits = 8;
  EXPECT_TRUE(LlmCostModel::create(c).ok());
  c.weight_bits = 5;
  EXPECT_EQ(LlmCostModel::create(c).error().where, "weight_bits");
}

}  // namespace
}  // namespace perjoule::plant
