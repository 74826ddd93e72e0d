#include "plant/llm_mechanism.hpp"

#include <algorithm>
#include <cmath>

namespace perjoule::plant {
namespace {

// The fitted watts belong to this part; dividing by its peaks makes them joules per byte and per FLOP.
constexpr double kReferenceBandwidth = 3.35e12;
constexpr double kReferenceBf16 = 989e12;
constexpr double kReferenceFp8 = 1979e12;
constexpr double kReferenceIdleW = 112.0;
// Part of the power of moving data that the memory itself draws; the rest is caches and cores, and follows
// V^2. About 4 pJ per bit of HBM3 at the reference bandwidth.
constexpr double kReferenceHbmW = 110.0;
constexpr double kFourBitBytes = 0.53125;  // 4 bits and a shared 8-bit scale per 32 values
constexpr double kTileRows = 128.0;
constexpr double kScanFlops = 0.1;  // share of peak that the state-space scan of a prompt reaches
// A softmax element costs about five operations on units with 1/15 of the tensor cores' rate.
constexpr double kSoftmaxWork = 75.0;

using P = LlmParameters;
constexpr std::array kRows{
    LlmParameterRow{"bandwidth_dense", &P::bandwidth_dense, .85, .5, 1.0, .1},
    LlmParameterRow{"bandwidth_experts", &P::bandwidth_experts, .75, .2, 1.0, .3},
    LlmParameterRow{"bandwidth_kv", &P::bandwidth_kv, .7, .2, 1.0, .3},
    LlmParameterRow{"bandwidth_ssm", &P::bandwidth_ssm, .6, .1, 1.0, .3},
    LlmParameterRow{"flops_dense", &P::flops_dense, .65, .2, 1.0, .2},
    LlmParameterRow{"flops_experts", &P::flops_experts, .5, .2, 1.0, .3},
    LlmParameterRow{"expert_half_rows", &P::expert_half_rows, 64, 1, 2000, 1},
    LlmParameterRow{"flops_attention", &P::flops_attention, .3, .03, 1.0, .5},
    LlmParameterRow{"seconds_per_layer", &P::seconds_per_layer, 15e-6, 1e-6, 300e-6, 1},
    LlmParameterRow{"seconds_per_step", &P::seconds_per_step, 2e-3, 1e-5, 1e-2, 1},
    LlmParameterRow{"seconds_per_moe_layer", &P::seconds_per_moe_layer, 20e-6, 1e-6, 300e-6, 1},
    LlmParameterRow{"seconds_per_ssm_layer", &P::seconds_per_ssm_layer, 20e-6, 1e-7, 300e-6, 1},
    LlmParameterRow{"seconds_per_sequence", &P::seconds_per_sequence, 20e-6, 1e-7, 2e-4, 1},
    LlmParameterRow{"all_reduce_seconds", &P::all_reduce_seconds, 10e-6, 1e-6, 2e-4, 1},
    LlmParameterRow{"all_reduce_bytes_per_s", &P::all_reduce_bytes_per_s, 200e9, 20e9, 450e9, .7},
    LlmParameterRow{"expert_exchange_seconds", &P::expert_exchange_seconds, 10e-6, 1e-7, 2e-4, 1},
    LlmParameterRow{"fp8_block_padding", &P::fp8_block_padding, .5, .01, 10, 1},
    LlmParameterRow{"expert_imbalance", &P::expert_imbalance, .5, .01, 2, 1},
    LlmParameterRow{"coverage", &P::coverage, .9, .3, 1.2, .3},
    LlmParameterRow{"mixed_layer_seconds", &P::mixed_layer_seconds, 30e-6, 1e-7, 1e-3, 1},
    LlmParameterRow{"prompt_gpqa", &P::prompt_gpqa, 250, 50, 2000, .5},
    LlmParameterRow{"prompt_image", &P::prompt_image, 150, 20, 2000, 1},
    LlmParameterRow{"prompt_arena", &P::prompt_arena, 250, 50, 2000, .5},
    LlmParameterRow{"prompt_code", &P::prompt_code, 800, 50, 8000, 1},
    LlmParameterRow{"prompt_video", &P::prompt_video, 150, 20, 3000, 1},
    LlmParameterRow{"pixels_image", &P::pixels_image, 800e3, 1e5, 8e6, 1},
    LlmParameterRow{"pixels_video", &P::pixels_video, 1e6, 2e5, 5e7, 1},
    LlmParameterRow{"tiles", &P::tiles, 6, 1, 17, .7},
    LlmParameterRow{"mean_position", &P::mean_position, .65, .5, 1.5, .2},
    LlmParameterRow{"host_image_seconds", &P::host_image_seconds, .02, 1e-4, .3, 1},
    LlmParameterRow{"host_video_seconds", &P::host_video_seconds, .05, 1e-3, 1, 1},
    LlmParameterRow{"host_audio_factor", &P::host_audio_factor, 5, 1, 20, 1},
    LlmParameterRow{"overlap", &P::overlap, .5, .01, 1, 1},
    LlmParameterRow{"flops_vision", &P::flops_vision, .3, .03, 1, .7},
    LlmParameterRow{"mxfp4_bandwidth", &P::mxfp4_bandwidth, 1, .3, 1.5, .3},
    LlmParameterRow{"single_expert_bandwidth", &P::single_expert_bandwidth, .7, .2, 1.5, .3},
    LlmParameterRow{"base_w", &P::base_w, 150, 115, 300, .3},
    LlmParameterRow{"memory_w", &P::memory_w, 400, 100, 900, .5},
    LlmParameterRow{"compute_w", &P::compute_w, 600, 50, 1500, .5},
    LlmParameterRow{"expert_compute_w", &P::expert_compute_w, 400, 50, 900, .5},
    LlmParameterRow{"link_w", &P::link_w, 100, 1, 500, 1},
    LlmParameterRow{"fp8_tile_w", &P::fp8_tile_w, 300, 1, 1200, 1},
    LlmParameterRow{"attention_w", &P::attention_w, 300, 50, 900, .5},
    LlmParameterRow{"ceiling_w", &P::ceiling_w, 680, 600, 700, .03},
};

void add(StepKernels& s, Kernel k, const KernelCost& c) {
  KernelCost& to = s[static_cast<std::size_t>(k)];
  to.seconds += c.seconds, to.dynamic_joules += c.dynamic_joules;
  to.sm_seconds += c.sm_seconds, to.dram_seconds += c.dram_seconds;
}

// Expected largest of `gpus` draws of a standard normal: how far the busiest GPU lies above the mean.
double busiest_of(double gpus) { return gpus >= 8 ? 1.42 : gpus >= 4 ? 1.03 : gpus >= 2 ? 0.56 : 0.0; }

}  // namespace

GpuSpec GpuSpec::h100_sxm() { return {"H100 SXM", 3.35e12, 80e9, 989e12, 1979e12, 700.0, 112.0}; }
GpuSpec GpuSpec::h200_sxm() { return {"H200 SXM", 4.8e12, 141e9, 989e12, 1979e12, 700.0, 112.0}; }

double GpuSpec::voltage_squared(double clock) const {
  const double rise = std::max(0.0, (clock - knee_clock) / (1.0 - knee_clock));
  const double v = voltage_at_knee + (1.0 - voltage_at_knee) * rise;
  return v * v;
}

std::span<const LlmParameterRow> llm_parameter_rows() { return kRows; }

LlmParameters llm_parameters_at_start() {
  LlmParameters p{};
  for (const auto& row : kRows) p.*row.member = row.start;
  return p;
}

std::string_view kernel_name(Kernel k) {
  constexpr std::array<std::string_view, kKernels> kNames{
      "qkv_proj",    "qk_t",     "softmax", "av",         "out_proj", "ffn_gate_up", "ffn_down", "moe_router",
      "moe_experts", "ssm_scan", "norm",    "all_reduce", "embed",    "lm_head",     "sampling", "host_gap"};
  return kNames[static_cast<std::size_t>(k)];
}

LlmMechanism::LlmMechanism(const LlmParameters& parameters, const ModelFacts& facts, WeightFormat format,
                           const GpuSpec& gpu, int gpus, bool expert_parallel)
    : p_(parameters),
      facts_(facts),
      format_(format),
      gpu_(gpu),
      gpus_(gpus),
      expert_parallel_(expert_parallel) {
  const bool all8 = format == WeightFormat::kFp8 || format == WeightFormat::kFp8Block;
  const bool ffn8 = all8 || format == WeightFormat::kFp8Ffn;
  const bool all4 = format == WeightFormat::kInt4;
  add_gemm(Kernel::kQkv, facts.attention_layers * facts.qkv_parameters(), all8 || all4, all8);
  add_gemm(Kernel::kOut, facts.attention_layers * facts.out_parameters(), all8 || all4, all8);
  const double ffn = facts.dense_ffn_layers * facts.ffn_parameters();
  const double down = facts.ffn_matrices > 0 ? ffn / facts.ffn_matrices : 0.0;
  add_gemm(Kernel::kFfnGateUp, ffn - down, ffn8 || all4, ffn8);
  add_gemm(Kernel::kFfnDown, down, ffn8 || all4, ffn8);
  const double shared = facts.moe_layers * facts.shared_parameters();
  add_gemm(Kernel::kFfnGateUp, shared * 2.0 / 3.0, all8 || all4, all8);
  add_gemm(Kernel::kFfnDown, shared / 3.0, all8 || all4, all8);
  add_gemm(Kernel::kMoeRouter, facts.moe_layers * facts.router_parameters(), false, false);
  add_gemm(Kernel::kSsm, facts.ssm_layers * facts.ssm_parameters(), all8 || all4, all8);
  add_gemm(Kernel::kLmHead, facts.head_parameters(), false, false);

  const bool experts8 = all8 || format == WeightFormat::kFp8Experts;
  const double expert = facts.moe_layers * facts.expert_parameters();
  const double expert_bytes = experts8                                          ? 1.0
                              : (all4 || format == WeightFormat::kMxfp4Experts) ? kFourBitBytes
                                                                                : 2.0;
  experts_ = {Kernel::kMoeExperts, expert * expert_bytes, 2.0 * expert,
              experts8 ? gpu.fp8_flops : gpu.bf16_flops, experts8 ? kReferenceFp8 : kReferenceBf16};
  experts_per_gpu_ = facts.experts / gpus_;
  weight_bytes_ += experts_.bytes * experts_per_gpu_ +
                   (facts.tied_embedding ? 0.0 : 2.0 * facts.head_parameters()) / gpus_;

  // A KV head cannot be split: beyond one GPU per KV head the cache is copied.
  const double share = std::max(1.0 / gpus_, 1.0 / facts.kv_heads);
  const double per_layer = 4.0 * facts.kv_heads * facts.head_dim * share;
  kv_all_bytes_ = (facts.attention_layers - facts.local_layers) * per_layer;
  kv_local_bytes_ = facts.local_layers * per_layer;
  state_bytes_ = facts.ssm_state_bytes() / gpus_;
  pair_flops_ = 4.0 * facts.heads * facts.head_dim / gpus_;
}

void LlmMechanism::add_gemm(Kernel kernel, double parameters, bool low_precision, bool eight_bit_math) {
  if (parameters <= 0.0) return;
  const double bytes = !low_precision ? 2.0 : eight_bit_math ? 1.0 : kFourBitBytes;
  gemms_[gemm_count_++] = {kernel, parameters * bytes / gpus_, 2.0 * parameters / gpus_,
                           eight_bit_math ? gpu_.fp8_flops : gpu_.bf16_flops,
                           eight_bit_math ? kReferenceFp8 : kReferenceBf16};
  weight_bytes_ += parameters * bytes / gpus_;
}

double LlmMechanism::base_w(double clock) const {
  const double active = p_.base_w - kReferenceIdleW;
  return gpu_.idle_context_w + active * clock * gpu_.voltage_squared(clock);
}

// Power cannot pass the ceiling.
KernelCost LlmMechanism::bounded(KernelCost cost, double clock) const {
  const double ceiling = p_.ceiling_w * gpu_.tdp_w / 700.0;
  cost.dynamic_joules = std::min(cost.dynamic_joules, std::max(0.0, ceiling - base_w(clock)) * cost.seconds);
  return cost;
}

double LlmMechanism::memory_joules(double bytes, double clock) const {
  const double watts = kReferenceHbmW + (p_.memory_w - kReferenceHbmW) * gpu_.voltage_squared(clock);
  return watts * bytes / kReferenceBandwidth;
}

KernelCost LlmMechanism::gemm(const Gemm& g, double tokens, double bytes, double clock) const {
  const double flops = tokens * g.flops_per_token;
  const double memory = bytes / (gpu_.hbm_bytes_per_s * p_.bandwidth_dense);
  const double compute = flops / (g.peak * p_.flops_dense * clock);
  KernelCost out;
  out.seconds = std::max(memory, compute) + 0.5 * p_.overlap * std::min(memory, compute);
  out.dynamic_joules =
      memory_joules(bytes, clock) + p_.compute_w * gpu_.voltage_squared(clock) * flops / g.reference_peak;
  out.sm_seconds = flops / g.peak;
  out.dram_seconds = bytes / gpu_.hbm_bytes_per_s;
  return bounded(out, clock);
}

double LlmMechanism::touched_experts(double tokens) const {
  const double share = facts_.experts_per_token / double(facts_.experts);
  const double draws = std::max(1.0, tokens * p_.coverage);
  const double covered =
      share * draws > 30.0 ? 1.0 : 1.0 - std::exp(draws * std::log1p(-std::min(share, 0.999)));
  const double spread = std::sqrt(experts_per_gpu_ * covered * (1.0 - covered));
  const double imbalance = expert_parallel_ ? p_.expert_imbalance * busiest_of(gpus_) * spread : 0.0;
  return std::min(experts_per_gpu_ * covered + imbalance, experts_per_gpu_);
}

KernelCost LlmMechanism::experts(double tokens, double clock, bool with_weights) const {
  if (facts_.moe_layers == 0) return {};
  const double active = touched_experts(tokens);
  const double touched = with_weights ? active : 0.0;
  const double bytes = touched * experts_.bytes;
  const double flops = tokens * facts_.experts_per_token * experts_.flops_per_token / gpus_;
  double bandwidth = gpu_.hbm_bytes_per_s * p_.bandwidth_experts;
  if (format_ == WeightFormat::kMxfp4Experts) bandwidth *= p_.mxfp4_bandwidth;
  if (facts_.experts_per_token == 1) bandwidth *= p_.single_expert_bandwidth;
  const double padding = format_ == WeightFormat::kFp8Block ? touched * experts_.flops_per_token * kTileRows /
                                                                  experts_.peak * p_.fp8_block_padding
                                                            : 0.0;
  const double memory = bytes / bandwidth;
  // Few rows per expert leave its matrix tiles mostly empty.
  const double rows = tokens * facts_.experts_per_token / (active * gpus_);
  const double reached = p_.flops_experts * rows / (rows + p_.expert_half_rows);
  const double busy = flops / (experts_.peak * reached);
  const double compute = std::max(busy, padding) / clock;
  const double v2 = gpu_.voltage_squared(clock);
  KernelCost out;
  out.seconds = std::max(memory, compute) + 0.5 * p_.overlap * std::min(memory, compute);
  out.dynamic_joules =
      memory_joules(bytes, clock) + v2 * (p_.expert_compute_w * busy + p_.fp8_tile_w * padding);
  out.sm_seconds = flops / experts_.peak;
  out.dram_seconds = bytes / gpu_.hbm_bytes_per_s;
  return bounded(out, clock);
}

// Two all-reduces per layer, each moving the hidden state of every token.
double LlmMechanism::all_reduce_seconds(double tokens, bool latency) const {
  if (gpus_ <= 1.0) return 0.0;
  const double bytes = tokens * facts_.hidden * 2.0 * 2.0 * (gpus_ - 1.0) / gpus_;
  const double start = latency ? p_.all_reduce_seconds * std::log2(gpus_) : 0.0;
  const double exchange = latency && expert_parallel_ ? p_.expert_exchange_seconds * std::log2(gpus_) : 0.0;
  return 2.0 * facts_.layers * (start + bytes / p_.all_reduce_bytes_per_s) + facts_.moe_layers * exchange;
}

void LlmMechanism::add_linear(StepKernels& out, double tokens, double head_rows, bool with_weights,
                              double clock) const {
  for (std::size_t i = 0; i < gemm_count_; ++i) {
    const Gemm& g = gemms_[i];
    const double rows = g.kernel == Kernel::kLmHead ? head_rows : tokens;
    add(out, g.kernel, gemm(g, rows, with_weights ? g.bytes : 0.0, clock));
  }
  add(out, Kernel::kMoeExperts, experts(tokens, clock, with_weights));
}

// Launches, host work and what the norms and the embedding cost once per step.
void LlmMechanism::add_overhead(StepKernels& out, double tokens, double sequences, double clock) const {
  add(out, Kernel::kNorm, {facts_.layers * p_.seconds_per_layer, 0.0, 0.0, 0.0});
  add(out, Kernel::kMoeRouter, {facts_.moe_layers * p_.seconds_per_moe_layer, 0.0, 0.0, 0.0});
  add(out, Kernel::kSsm, {facts_.ssm_layers * p_.seconds_per_ssm_layer, 0.0, 0.0, 0.0});
  add(out, Kernel::kSampling, {sequences * p_.seconds_per_sequence, 0.0, 0.0, 0.0});
  add(out, Kernel::kHostGap, {p_.seconds_per_step, 0.0, 0.0, 0.0});
  const double rows = tokens * facts_.hidden * 2.0 * 2.0;  // read from the table, written to the first layer
  add(out, Kernel::kEmbed,
      {rows / (gpu_.hbm_bytes_per_s * p_.bandwidth_dense), memory_joules(rows, clock), 0.0,
       rows / gpu_.hbm_bytes_per_s});
}

void LlmMechanism::add_link(StepKernels& out, double tokens, bool latency) const {
  const double seconds = all_reduce_seconds(tokens, latency);
  add(out, Kernel::kAllReduce, {seconds, p_.link_w * seconds, 0.0, 0.0});
}

void LlmMechanism::add_scan(StepKernels& out, double tokens, double clock) const {
  const double flops =
      tokens * facts_.ssm_layers * 6.0 * facts_.ssm_heads * facts_.ssm_head_dim * facts_.ssm_state / gpus_;
  const double seconds = flops / (gpu_.bf16_flops * kScanFlops * clock);
  add(out, Kernel::kSsm, bounded({seconds, p_.attention_w * seconds, flops / gpu_.bf16_flops, 0.0}, clock));
}

StepKernels LlmMechanism::decode_fixed(double batch, double clock) const {
  StepKernels out{};
  add_linear(out, batch, batch, true, clock);
  const double state = 2.0 * batch * state_bytes_;  // read and written
  add(out, Kernel::kSsm,
      bounded({state / (gpu_.hbm_bytes_per_s * p_.bandwidth_ssm), memory_joules(state, clock), 0.0,
               state / gpu_.hbm_bytes_per_s},
              clock));
  add_overhead(out, batch, batch, clock);
  add_link(out, batch, true);
  return out;
}

KvRate LlmMechanism::kv_rate(double clock) const {
  KvRate out;
  const double rate = gpu_.hbm_bytes_per_s * p_.bandwidth_kv;
  out.seconds_all = kv_all_bytes_ / rate;
  out.seconds_local = kv_local_bytes_ / rate;
  // attention_w is the reference part's while it streams KV at the same share of its bandwidth.
  const double hbm = std::min(kReferenceHbmW, p_.attention_w);
  const double watts = hbm + (p_.attention_w - hbm) * gpu_.voltage_squared(clock);
  const KernelCost second{1.0, watts * gpu_.hbm_bytes_per_s / kReferenceBandwidth, 0.0, 0.0};
  out.dynamic_w = bounded(second, clock).dynamic_joules;
  out.dram = p_.bandwidth_kv;
  const double grouped = facts_.heads / double(facts_.kv_heads);  // FLOP per byte read
  out.sm = rate * grouped / gpu_.bf16_flops;
  return out;
}

void LlmMechanism::add_attention(StepKernels& out, double tokens, double kv_before, double sequences,
                                 double clock) const {
  const double pairs = tokens * (kv_before + 0.5 * tokens / sequences);
  const double window = facts_.window;
  const double local = facts_.local_layers > 0 ? std::min(pairs, tokens * window) : 0.0;
  const double flops =
      pair_flops_ * ((facts_.attention_layers - facts_.local_layers) * pairs + facts_.local_layers * local);
  KernelCost c;
  c.seconds = flops / (gpu_.bf16_flops * p_.flops_attention * clock);
  c.dynamic_joules = p_.compute_w * gpu_.voltage_squared(clock) * flops / kReferenceBf16;
  c.sm_seconds = flops / gpu_.bf16_flops;
  c = bounded(c, clock);
  const auto split = attention_split(true);
  const std::array kernels{Kernel::kQkT, Kernel::kSoftmax, Kernel::kAv};
  for (std::size_t i = 0; i < 3; ++i) {
    add(out, kernels[i], {split[i] * c.seconds, split[i] * c.dynamic_joules, split[i] * c.sm_seconds, 0.0});
  }
}

StepKernels LlmMechanism::prefill_added(double tokens, double kv_before, double clock) const {
  StepKernels out{};
  add_linear(out, tokens, 1.0, false, clock);
  add_attention(out, tokens, kv_before, 1.0, clock);
  add_scan(out, tokens, clock);
  add_link(out, tokens, false);
  return out;
}

StepKernels LlmMechanism::prefill_alone(double tokens, double kv_before, double sequences,
                                        double clock) const {
  StepKernels out{};
  add_linear(out, tokens, sequences, true, clock);
  add_attention(out, tokens, kv_before, sequences, clock);
  add_scan(out, tokens, clock);
  add_overhead(out, tokens, sequences, clock);
  add_link(out, tokens, true);
  return out;
}

KernelCost LlmMechanism::vision(double image_tokens, double clock) const {
  const VisionFacts& v = facts_.vision;
  const double flops = image_tokens * v.patches_per_token * 2.0 * v.encoder_parameters / gpus_;
  const double seconds = flops / (gpu_.bf16_flops * p_.flops_vision * clock);
  const double joules = p_.compute_w * gpu_.voltage_squared(clock) * flops / kReferenceBf16;
  return bounded({seconds, joules, flops / gpu_.bf16_flops, 0.0}, clock);
}

std::array<double, 3> LlmMechanism::attention_split(bool prefill) const {
  // A prefill is divided by arithmetic; a decode step by bytes: K, the 32-bit scores, V.
  const double matrix = prefill ? 2.0 * facts_.head_dim : 2.0 * facts_.kv_heads * facts_.head_dim;
  const double softmax = prefill ? kSoftmaxWork : 4.0 * facts_.heads;
  const double sum = 2.0 * matrix + softmax;
  return {matrix / sum, softmax / sum, matrix / sum};
}

int LlmMechanism::layer_count(Kernel k) const {
  switch (k) {
    case Kernel::kQkv:
    case Kernel::kQkT:
    case Kernel::kSoftmax:
    case Kernel::kAv:
    case Kernel::kOut:
      return facts_.attention_layers;
    case Kernel::kFfnGateUp:
    case Kernel::kFfnDown:
      return facts_.dense_ffn_layers + (facts_.shared_ffn > 0 ? facts_.moe_layers : 0);
    case Kernel::kMoeRouter:
    case Kernel::kMoeExperts:
      return facts_.moe_layers;
    case Kernel::kSsm:
      return facts_.ssm_layers;
    case Kernel::kNorm:
      return facts_.layers;
    case Kernel::kAllReduce:
      return gpus_ > 1.0 ? 2 * facts_.layers : 0;
    default:
      return 1;
  }
}

}  // namespace perjoule::plant
