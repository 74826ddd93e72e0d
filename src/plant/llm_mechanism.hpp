// The mechanism under llm_cost_model.hpp: time and energy of every kernel of one serving step on one GPU,
// from a model's shape, a GPU's peaks and a set of fitted constants. The fit and the cost model share this
// code, so that what was calibrated is what runs. Formulas and sources: docs/models/llm-serving.md.
//
// Thread rule: values, const use from any thread. Ownership: owns everything. Units: seconds, joules and
// watts per GPU; bytes, FLOP, tokens; clocks relative to the highest (0..1].
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "plant/llm_model_facts.hpp"

namespace perjoule::plant {

// A GPU as the mechanism sees it. Peaks are dense (no sparsity).
struct GpuSpec {
  std::string name;
  double hbm_bytes_per_s = 0.0;
  double hbm_bytes = 0.0;
  double bf16_flops = 0.0;
  double fp8_flops = 0.0;
  double tdp_w = 0.0;
  double idle_context_w = 0.0;     // a process holds the GPU and does nothing
  double knee_clock = 0.657;       // voltage is constant below
  double voltage_at_knee = 0.774;  // relative to the voltage at the highest clock
  double lowest_clock = 0.174;

  static GpuSpec h100_sxm();
  static GpuSpec h200_sxm();
  // (V(f) / V(1))^2: what a lower clock does to the energy of one operation.
  double voltage_squared(double clock) const;
};

// Constants of the mechanism. Efficiencies are shares of the peak; watts are those of an H100 SXM at its
// highest clock and become joules per byte and per FLOP for other GPUs.
struct LlmParameters {
  double bandwidth_dense, bandwidth_experts, bandwidth_kv, bandwidth_ssm;  // achieved share of HBM bandwidth
  double flops_dense, flops_experts, flops_attention;                      // achieved share of peak FLOP/s
  double expert_half_rows;  // rows per expert at which its matrix products reach half of flops_experts
  double seconds_per_layer, seconds_per_step, seconds_per_moe_layer, seconds_per_ssm_layer,
      seconds_per_sequence;
  double all_reduce_seconds, all_reduce_bytes_per_s;  // per all-reduce and doubling of GPUs; link rate
  double
      expert_exchange_seconds;  // per mixture layer and doubling of GPUs, where experts are spread over GPUs
  double fp8_block_padding;     // share of a 128-row tile that each touched FP8-block expert costs
  double expert_imbalance;      // spread of expert load over GPUs, 1 = as independent draws
  double coverage;              // effective share of independent tokens in the batch when experts are chosen
  double mixed_layer_seconds;   // per layer, when a step also carries a prompt
  double prompt_gpqa, prompt_image, prompt_arena, prompt_code, prompt_video;  // text tokens per request
  double pixels_image, pixels_video, tiles;                                   // per request
  double mean_position;  // mean KV length beyond the prompt / output length
  double host_image_seconds, host_video_seconds, host_audio_factor;  // per request, not overlapped
  double overlap;  // 0: the shorter of memory and compute hides, 1: half of it shows
  double flops_vision;
  double mxfp4_bandwidth, single_expert_bandwidth;  // factors on bandwidth_experts
  double base_w;                                    // while any step runs, at the highest clock
  double memory_w, compute_w, expert_compute_w, link_w, fp8_tile_w, attention_w;  // above base, at full use
  double ceiling_w;                                                               // power saturates here
};

// One free constant of the fit, in log space.
struct LlmParameterRow {
  std::string_view name;
  double LlmParameters::*member;
  double start, low, high;
  double log_sigma;  // weak prior
};
std::span<const LlmParameterRow> llm_parameter_rows();
LlmParameters llm_parameters_at_start();

enum class Kernel : std::uint8_t {
  kQkv,
  kQkT,
  kSoftmax,
  kAv,
  kOut,
  kFfnGateUp,
  kFfnDown,
  kMoeRouter,
  kMoeExperts,
  kSsm,
  kNorm,
  kAllReduce,
  kEmbed,
  kLmHead,
  kSampling,
  kHostGap,
};
inline constexpr std::size_t kKernels = 16;
std::string_view kernel_name(Kernel k);

// What one kernel (all its layers) costs within a step, on one GPU.
struct KernelCost {
  double seconds = 0.0;
  double dynamic_joules = 0.0;  // above the base power
  double sm_seconds = 0.0;      // time x share of peak FLOP/s
  double dram_seconds = 0.0;    // time x share of HBM bandwidth
};
using StepKernels = std::array<KernelCost, kKernels>;

// Seconds and joules per KV token read; the KV part of a step is linear in it.
struct KvRate {
  double seconds_all = 0.0;    // per token seen by the layers without a window
  double seconds_local = 0.0;  // per token within the window of the local layers
  double dynamic_w = 0.0;
  double sm = 0.0, dram = 0.0;  // activity while reading
};

class LlmMechanism {
 public:
  // `gpus` share one copy of the model.
  LlmMechanism(const LlmParameters& parameters, const ModelFacts& facts, WeightFormat format,
               const GpuSpec& gpu, int gpus, bool expert_parallel);

  // Everything of a decode step but reading the KV cache.
  StepKernels decode_fixed(double batch, double clock) const;
  KvRate kv_rate(double clock) const;
  // One step that computes `tokens` prompt tokens of `sequences` equal prompts, each behind `kv_before`
  // cached ones.
  StepKernels prefill_alone(double tokens, double kv_before, double sequences, double clock) const;
  // What the same prompt adds to a step that reads the weights anyway.
  StepKernels prefill_added(double tokens, double kv_before, double clock) const;
  // Encoder work for `image_tokens` tokens.
  KernelCost vision(double image_tokens, double clock) const;
  // Power while a step runs and nothing is active.
  double base_w(double clock) const;
  double weight_bytes() const { return weight_bytes_; }                          // per GPU
  double kv_bytes_per_token() const { return kv_all_bytes_ + kv_local_bytes_; }  // per GPU, before any window
  double state_bytes_per_sequence() const { return state_bytes_; }               // per GPU
  double window() const { return facts_.window; }
  // Shares of qk_t, softmax and av in the attention of a decode step (by bytes) and a prefill (by FLOP).
  std::array<double, 3> attention_split(bool prefill) const;
  int layer_count(Kernel k) const;
  const LlmParameters& parameters() const { return p_; }

 private:
  struct Gemm {
    Kernel kernel = Kernel::kQkv;
    double bytes = 0.0;            // per GPU, all layers
    double flops_per_token = 0.0;  // per GPU, all layers
    double peak = 0.0, reference_peak = 0.0;
  };
  void add_gemm(Kernel kernel, double parameters, bool low_precision, bool eight_bit_math);
  KernelCost gemm(const Gemm& g, double tokens, double bytes, double clock) const;
  KernelCost experts(double tokens, double clock, bool with_weights) const;
  KernelCost bounded(KernelCost cost, double clock) const;
  double touched_experts(double tokens) const;  // per GPU and layer
  double all_reduce_seconds(double tokens, bool latency) const;
  void add_linear(StepKernels& out, double tokens, double head_rows, bool with_weights, double clock) const;
  void add_overhead(StepKernels& out, double tokens, double sequences, double clock) const;
  double memory_joules(double bytes, double clock) const;
  void add_link(StepKernels& out, double tokens, bool latency) const;
  void add_scan(StepKernels& out, double tokens, double clock) const;
  void add_attention(StepKernels& out, double tokens, double kv_before, double sequences, double clock) const;

  LlmParameters p_;
  ModelFacts facts_;
  WeightFormat format_;
  GpuSpec gpu_;
  double gpus_;
  bool expert_parallel_;
  std::array<Gemm, 10> gemms_{};
  std::size_t gemm_count_ = 0;
  Gemm experts_;  // bytes and flops of ONE expert in all layers, not divided by GPUs
  double experts_per_gpu_ = 0.0;
  double kv_all_bytes_ = 0.0, kv_local_bytes_ = 0.0, state_bytes_ = 0.0;
  double pair_flops_ = 0.0;  // attention FLOP per query-key pair of one layer, per GPU
  double weight_bytes_ = 0.0;
};

}  // namespace perjoule::plant
