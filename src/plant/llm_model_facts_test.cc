#include "plant/llm_model_facts.hpp"

#include <gtest/gtest.h>

#include <set>

namespace perjoule::plant {
namespace {

TEST(LlmModelFacts, ParameterTotalsAreThePublishedOnes) {
  // Billions, language model alone, from the model cards (Scout, Maverick and Gemma less their vision
  // towers).
  const std::pair<const char*, double> published[] = {{"Qwen3-8B", 8.2},
                                                      {"Qwen3-14B", 14.8},
                                                      {"Qwen3-32B", 32.8},
                                                      {"Qwen3-30B-A3B-Instruct-2507", 30.5},
                                                      {"Qwen3-235B-A22B-Instruct-2507", 235.0},
                                                      {"gemma-3-12b-it", 11.8},
                                                      {"gemma-3-27b-it", 27.0},
                                                      {"Llama-3.1-8B-Instruct", 8.03},
                                                      {"Llama-3.1-70B-Instruct", 70.6},
                                                      {"Llama-3.1-405B-Instruct-FP8", 405.8},
                                                      {"Llama-4-Scout-17B-16E-Instruct", 108.0},
                                                      {"Llama-4-Maverick-17B-128E-Instruct-FP8", 400.7},
                                                      {"NVIDIA-Nemotron-Nano-9B-v2", 8.89},
                                                      {"NVIDIA-Nemotron-Nano-12B-v2", 12.3},
                                                      {"gpt-oss-20b", 20.9},
                                                      {"gpt-oss-120b", 116.8},
                                                      {"Llama-2-70b-chat-hf", 69.0},
                                                      {"gpt-j-6b", 6.05},
                                                      {"Mixtral-8x7B-Instruct-v0.1", 46.7}};
  for (const auto& [name, billions] : published) {
    const auto facts = find_model_facts(name);
    ASSERT_TRUE(facts.ok()) << name;
    EXPECT_NEAR(facts->total_parameters() / 1e9, billions, 0.01 * billions) << name;
  }
}

TEST(LlmModelFacts, ActiveParametersAndKvBytes) {
  const auto mixtral = find_model_facts("Mixtral-8x7B-Instruct-v0.1").value();
  EXPECT_NEAR(mixtral.active_parameters() / 1e9, 12.9, 0.1);
  EXPECT_DOUBLE_EQ(mixtral.kv_bytes_per_token(), 131072.0);                                   // 128 KiB
  EXPECT_DOUBLE_EQ(find_model_facts("Llama-2-70b-chat-hf")->kv_bytes_per_token(), 327680.0);  // 320 KiB
  EXPECT_DOUBLE_EQ(find_model_facts("NVIDIA-Nemotron-Nano-9B-v2")->kv_bytes_per_token(),
                   16384.0);  // 4 layers
}

TEST(LlmModelFacts, LayersAddUp) {
  for (const auto& m : all_model_facts()) {
    EXPECT_EQ(m.heads % m.kv_heads, 0) << m.name;
    EXPECT_LE(m.local_layers, m.attention_layers) << m.name;
    const int mixers = m.attention_layers + m.ssm_layers;
    const int blocks =
        m.ssm_layers > 0 ? mixers + m.dense_ffn_layers : mixers;  // a hybrid's layers hold one block each
    EXPECT_EQ(blocks, m.layers) << m.name;
    if (m.ssm_layers == 0) {
      EXPECT_EQ(m.dense_ffn_layers + m.moe_layers, m.layers) << m.name;
    }
  }
}

TEST(LlmModelFacts, NamesAreUniqueAndFoundWithOrWithoutOwner) {
  std::set<std::string_view> names;
  for (const auto& m : all_model_facts()) EXPECT_TRUE(names.insert(m.name).second) << m.name;
  EXPECT_EQ(names.size(), 32u);
  EXPECT_EQ(find_model_facts("openai/gpt-oss-20b")->hidden, find_model_facts("gpt-oss-20b")->hidden);
}

TEST(LlmModelFacts, AnUnknownNameGetsTheNearest) {
  const auto wrong = find_model_facts("Qwen/Qwen3-23B");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().kind, base::ErrorKind::kBadInput);
  EXPECT_NE(wrong.error().hint.find("Qwen/Qwen3-"), std::string::npos) << wrong.error().hint;
}

}  // namespace
}  // namespace perjoule::plant
