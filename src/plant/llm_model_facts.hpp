// Published shape of large language models: what a serving cost mechanism needs to count weights, FLOPs and
// KV bytes. Sources: each model's public configuration file; the parameter totals that follow from a row are
// tested against the published totals. Thread rule: constant data. Ownership: views into static storage.
// Units: counts; bytes where named.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace perjoule::plant {

// How the published weights are stored. Embedding, output head and router are 16 bit in all of them.
enum class WeightFormat : std::uint8_t {
  kBf16,
  kFp8,           // every linear layer, one scale per tensor or channel
  kFp8Block,      // every linear layer, one scale per 128 x 128 block
  kFp8Ffn,        // feed-forward layers only
  kFp8Experts,    // routed experts only
  kMxfp4Experts,  // routed experts at 4.25 bits, computed in 16 bit
  kInt4,          // every linear layer at 4.25 bits, computed in 16 bit
};

// How an image becomes tokens.
enum class ImageTokens : std::uint8_t {
  kNone,
  kPerArea,  // one token per `pixels_per_token`
  kFixed,    // `tokens_per_tile`, once
  kPerTile,  // `tokens_per_tile` for each tile and once for the whole image
};

struct VisionFacts {
  ImageTokens kind = ImageTokens::kNone;
  double pixels_per_token = 0.0;
  double tokens_per_tile = 0.0;
  double patches_per_token = 0.0;  // encoder positions per token handed to the language model
  double encoder_parameters = 0.0;
  bool has_audio = false;  // the same request also carries an audio track through a host-side pipeline
};

struct ModelFacts {
  std::string_view name;  // hub name
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  int kv_heads = 0;
  int head_dim = 0;
  int ffn = 0;           // width of a dense feed-forward layer
  int ffn_matrices = 3;  // 3 gated, 2 plain
  int vocab = 0;
  bool tied_embedding = false;
  int attention_layers = 0;
  int local_layers = 0;  // of these, with a sliding window or chunk of `window` tokens
  int window = 0;
  int dense_ffn_layers = 0;
  int moe_layers = 0;
  int experts = 0;
  int experts_per_token = 0;
  int expert_ffn = 0;
  int shared_ffn = 0;  // width of the always-active expert, 0 = none
  int ssm_layers = 0;  // Mamba-2
  int ssm_heads = 0;
  int ssm_head_dim = 0;
  int ssm_state = 0;
  int ssm_groups = 0;
  WeightFormat format = WeightFormat::kBf16;
  VisionFacts vision;
  // Models of one family share a text tower: a test that leaves out one but trains on another is easier than
  // it looks.
  std::string_view family;
  bool unsure = false;  // at least one figure was not found in a public configuration

  // Parameters by part (per layer where it says so).
  double qkv_parameters() const { return double(hidden) * head_dim * (heads + 2.0 * kv_heads); }
  double out_parameters() const { return double(hidden) * head_dim * heads; }
  double ffn_parameters() const { return double(ffn_matrices) * hidden * ffn; }
  double expert_parameters() const { return 3.0 * hidden * expert_ffn; }
  double shared_parameters() const { return 3.0 * hidden * shared_ffn; }
  double router_parameters() const { return double(hidden) * experts; }
  double ssm_parameters() const;
  double head_parameters() const { return double(hidden) * vocab; }
  double total_parameters() const;    // language model without vision or audio towers
  double active_parameters() const;   // one token's experts; embedding table and head in full
  double kv_bytes_per_token() const;  // 16-bit KV, all attention layers, before any window
  double ssm_state_bytes() const;     // of one sequence, 32-bit state and 16-bit convolution, all layers
};

std::span<const ModelFacts> all_model_facts();
// By hub name, or its part after the slash. Errors: bad_input with the nearest name.
base::Result<ModelFacts> find_model_facts(std::string_view name);

}  // namespace perjoule::plant
