#include "plant/llm_model_facts.hpp"

#include <array>
#include <vector>

#include "base/text.hpp"

namespace perjoule::plant {
namespace {

// Rows are built from small pieces so that one text tower is written once.
constexpr ModelFacts dense(std::string_view family, int layers, int hidden, int heads, int kv_heads,
                           int head_dim, int ffn, int vocab) {
  ModelFacts m;
  m.family = family;
  m.layers = m.attention_layers = m.dense_ffn_layers = layers;
  m.hidden = hidden, m.heads = heads, m.kv_heads = kv_heads, m.head_dim = head_dim, m.ffn = ffn,
  m.vocab = vocab;
  return m;
}

struct Experts {
  int layers, count, per_token, ffn, shared = 0;
};
constexpr ModelFacts with_experts(ModelFacts m, Experts e) {
  m.moe_layers = e.layers, m.experts = e.count, m.experts_per_token = e.per_token;
  m.expert_ffn = e.ffn, m.shared_ffn = e.shared;
  m.dense_ffn_layers = m.layers - e.layers;
  return m;
}

constexpr ModelFacts with_window(ModelFacts m, int local_layers, int window) {
  m.local_layers = local_layers, m.window = window;
  return m;
}

constexpr ModelFacts named(ModelFacts m, std::string_view name, WeightFormat format = WeightFormat::kBf16,
                           VisionFacts vision = {}) {
  m.name = name, m.format = format, m.vision = vision;
  // The size of the vision towers' share of the work was derived from their layer counts, not published as a
  // total.
  m.unsure = vision.kind != ImageTokens::kNone;
  return m;
}

constexpr ModelFacts hybrid(ModelFacts m, int ssm_layers, int ffn_layers, int attention_layers) {
  m.ssm_layers = ssm_layers, m.dense_ffn_layers = ffn_layers, m.attention_layers = attention_layers;
  m.ssm_heads = 128, m.ssm_head_dim = 80, m.ssm_state = 128, m.ssm_groups = 8;
  m.ffn_matrices = 2;
  return m;
}

constexpr ModelFacts tied(ModelFacts m) {
  m.tied_embedding = true;
  return m;
}

constexpr ModelFacts plain_ffn(ModelFacts m) {
  m.ffn_matrices = 2;
  return m;
}

constexpr VisionFacts kQwenVision{ImageTokens::kPerArea, 1024.0, 0.0, 4.0, 0.45e9, false};
constexpr VisionFacts kQwenOmni{ImageTokens::kPerArea, 1024.0, 0.0, 4.0, 0.45e9, true};
constexpr VisionFacts kSigLip{ImageTokens::kFixed, 0.0, 256.0, 16.0, 0.41e9, false};
constexpr VisionFacts kLlama4Vision{ImageTokens::kPerTile, 0.0, 144.0, 4.0, 0.85e9, false};
constexpr VisionFacts kRadio{ImageTokens::kPerTile, 0.0, 256.0, 4.0, 0.65e9, false};

constexpr ModelFacts kQwen8 = dense("qwen3-8b", 36, 4096, 32, 8, 128, 12288, 151936);
constexpr ModelFacts kQwen14 = dense("qwen3-14b", 40, 5120, 40, 8, 128, 17408, 151936);
constexpr ModelFacts kQwen32 = dense("qwen3-32b", 64, 5120, 64, 8, 128, 25600, 151936);
constexpr ModelFacts kQwen30 =
    with_experts(dense("qwen3-30b-a3b", 48, 2048, 32, 4, 128, 6144, 151936), {48, 128, 8, 768});
constexpr ModelFacts kQwen235 =
    with_experts(dense("qwen3-235b-a22b", 94, 4096, 64, 4, 128, 12288, 151936), {94, 128, 8, 1536});
constexpr ModelFacts kLlama70 = dense("llama-3-70b", 80, 8192, 64, 8, 128, 28672, 128256);
constexpr ModelFacts kLlama4 = dense("llama-4", 48, 5120, 40, 8, 128, 16384, 202048);
constexpr ModelFacts kNemotron9 =
    hybrid(dense("nemotron-nano-9b", 56, 4480, 40, 8, 128, 15680, 131072), 27, 25, 4);
constexpr ModelFacts kNemotron12 =
    hybrid(dense("nemotron-nano-12b", 62, 5120, 40, 8, 128, 20480, 131072), 28, 28, 6);
constexpr ModelFacts kGptOss20 = with_window(
    with_experts(dense("gpt-oss-20b", 24, 2880, 64, 8, 64, 2880, 201088), {24, 32, 4, 2880}), 12, 128);
constexpr ModelFacts kGptOss120 = with_window(
    with_experts(dense("gpt-oss-120b", 36, 2880, 64, 8, 64, 2880, 201088), {36, 128, 4, 2880}), 18, 128);

constexpr std::array kFacts{
    named(kQwen8, "Qwen/Qwen3-8B"),
    named(kQwen14, "Qwen/Qwen3-14B"),
    named(kQwen32, "Qwen/Qwen3-32B"),
    named(kQwen30, "Qwen/Qwen3-30B-A3B-Instruct-2507"),
    named(kQwen30, "Qwen/Qwen3-30B-A3B-Thinking-2507"),
    named(kQwen30, "Qwen/Qwen3-Coder-30B-A3B-Instruct"),
    named(kQwen235, "Qwen/Qwen3-235B-A22B-Instruct-2507"),
    named(kQwen235, "Qwen/Qwen3-235B-A22B-Instruct-2507-FP8", WeightFormat::kFp8Block),
    named(kQwen235, "Qwen/Qwen3-235B-A22B-Thinking-2507"),
    named(kQwen235, "Qwen/Qwen3-235B-A22B-Thinking-2507-FP8", WeightFormat::kFp8Block),
    named(kQwen8, "Qwen/Qwen3-VL-8B-Instruct", WeightFormat::kBf16, kQwenVision),
    named(kQwen32, "Qwen/Qwen3-VL-32B-Instruct", WeightFormat::kBf16, kQwenVision),
    named(kQwen30, "Qwen/Qwen3-VL-30B-A3B-Instruct", WeightFormat::kBf16, kQwenVision),
    named(kQwen30, "Qwen/Qwen3-Omni-30B-A3B-Instruct", WeightFormat::kBf16, kQwenOmni),
    named(kQwen235, "Qwen/Qwen3-VL-235B-A22B-Instruct", WeightFormat::kBf16, kQwenVision),
    named(kQwen235, "Qwen/Qwen3-VL-235B-A22B-Instruct-FP8", WeightFormat::kFp8Block, kQwenVision),
    named(with_window(tied(dense("gemma-3-12b", 48, 3840, 16, 8, 256, 15360, 262208)), 40, 1024),
          "google/gemma-3-12b-it", WeightFormat::kBf16, kSigLip),
    named(with_window(tied(dense("gemma-3-27b", 62, 5376, 32, 16, 128, 21504, 262208)), 52, 1024),
          "google/gemma-3-27b-it", WeightFormat::kBf16, kSigLip),
    named(dense("llama-3.1-8b", 32, 4096, 32, 8, 128, 14336, 128256), "meta-llama/Llama-3.1-8B-Instruct"),
    named(kLlama70, "meta-llama/Llama-3.1-70B-Instruct"),
    named(kLlama70, "meta-llama/Llama-3.3-70B-Instruct"),
    named(dense("llama-3.1-405b", 126, 16384, 128, 8, 128, 53248, 128256),
          "meta-llama/Llama-3.1-405B-Instruct-FP8", WeightFormat::kFp8Ffn),
    named(with_window(with_experts(kLlama4, {48, 16, 1, 8192, 8192}), 36, 8192),
          "meta-llama/Llama-4-Scout-17B-16E-Instruct", WeightFormat::kBf16, kLlama4Vision),
    named(with_window(with_experts(kLlama4, {24, 128, 1, 8192, 8192}), 36, 8192),
          "meta-llama/Llama-4-Maverick-17B-128E-Instruct-FP8", WeightFormat::kFp8Experts, kLlama4Vision),
    named(kNemotron9, "nvidia/NVIDIA-Nemotron-Nano-9B-v2"),
    named(kNemotron12, "nvidia/NVIDIA-Nemotron-Nano-12B-v2"),
    named(kNemotron12, "nvidia/NVIDIA-Nemotron-Nano-12B-v2-VL-BF16", WeightFormat::kBf16, kRadio),
    named(kGptOss20, "openai/gpt-oss-20b", WeightFormat::kMxfp4Experts),
    named(kGptOss120, "openai/gpt-oss-120b", WeightFormat::kMxfp4Experts),
    named(dense("llama-2-70b", 80, 8192, 64, 8, 128, 28672, 32000), "meta-llama/Llama-2-70b-chat-hf"),
    named(plain_ffn(dense("gpt-j-6b", 28, 4096, 16, 16, 256, 16384, 50400)), "EleutherAI/gpt-j-6b"),
    named(with_experts(dense("mixtral-8x7b", 32, 4096, 32, 8, 128, 14336, 32000), {32, 8, 2, 14336}),
          "mistralai/Mixtral-8x7B-Instruct-v0.1"),
};

std::string_view short_name(std::string_view name) {
  const auto slash = name.find('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

}  // namespace

double ModelFacts::ssm_parameters() const {
  const double inner = double(ssm_heads) * ssm_head_dim;
  return hidden * (2.0 * inner + 2.0 * ssm_groups * ssm_state + ssm_heads) + inner * hidden;
}

double ModelFacts::total_parameters() const {
  return attention_layers * (qkv_parameters() + out_parameters()) + dense_ffn_layers * ffn_parameters() +
         moe_layers * (experts * expert_parameters() + shared_parameters() + router_parameters()) +
         ssm_layers * ssm_parameters() + head_parameters() * (tied_embedding ? 1.0 : 2.0);
}

double ModelFacts::active_parameters() const {
  return total_parameters() - double(moe_layers) * (experts - experts_per_token) * expert_parameters();
}

double ModelFacts::kv_bytes_per_token() const { return 4.0 * kv_heads * head_dim * attention_layers; }

double ModelFacts::ssm_state_bytes() const {
  const double inner = double(ssm_heads) * ssm_head_dim;
  const double convolution = (inner + 2.0 * ssm_groups * ssm_state) * 4.0 * 2.0;
  return ssm_layers * (inner * ssm_state * 4.0 + convolution);
}

std::span<const ModelFacts> all_model_facts() { return kFacts; }

base::Result<ModelFacts> find_model_facts(std::string_view name) {
  std::vector<std::string> names;
  for (const auto& m : kFacts) {
    if (m.name == name || short_name(m.name) == name) return m;
    names.emplace_back(m.name);
  }
  return base::bad_input("unknown model", std::string(name), "no facts for this name",
                         base::nearest_name_hint(name, names));
}

}  // namespace perjoule::plant
