// What one step of LLM serving costs on one GPU of a replica: time, energy, activity; and how that divides
// over kernels. Decode is linear in the KV tokens read (piecewise with sliding windows), so a run of steps
// has a closed form. Mechanism, constants, residuals: docs/models/llm-serving.md. Quality of every figure:
// modelled.
//
// Thread rule: const use from any thread after create(). Ownership: owns everything. Units: s, J per GPU (the
// whole draw, base power included), tokens. decode() and decode_run() are a table look-up: tens of
// nanoseconds.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "plant/llm_calibration.hpp"
#include "plant/llm_mechanism.hpp"

namespace perjoule::plant {

struct StepCost {
  double seconds = 0.0;
  double gpu_joules = 0.0;     // of one GPU, idle and base power included
  double sm_activity = 0.0;    // mean share of peak FLOP/s, 0..1
  double dram_activity = 0.0;  // mean share of HBM bandwidth, 0..1
};

struct ServingConfig {
  ModelFacts model;
  GpuSpec gpu;
  int tensor_parallel = 1;       // GPUs that share one copy of the model
  bool expert_parallel = false;  // routed experts are spread whole over those GPUs
  int weight_bits = 0;           // 0: as published; else 16, 8 or 4 for every linear layer
  double relative_clock = 1.0;   // core clock over the highest, (0, 1]
  double power_cap_w = 0.0;      // per GPU; 0: none
};

struct KernelShare {
  std::string_view name;
  int layer_count = 0;  // instances per step
  double energy_share = 0.0;
  double time_share = 0.0;
};

class LlmCostModel {
 public:
  // Errors: bad_input naming the field out of range, and where the weights do not fit in the GPUs.
  static base::Result<LlmCostModel> create(const ServingConfig& config,
                                           const LlmCalibration& calibration = LlmCalibration::shipped());

  // One decode step: `batch` sequences (any value >= 1) whose caches hold `kv_tokens` in total.
  StepCost decode(double batch, double kv_tokens) const;
  // `steps` decode steps; the caches grow by one token per sequence and step. Seconds and joules of the whole
  // run.
  StepCost decode_run(double batch, double kv_tokens_start, std::int64_t steps) const;
  // One step that does nothing but compute `prompt_tokens` in all, of `sequences` prompts of equal length,
  // each behind `kv_before` cached tokens. Zero cost for no tokens.
  StepCost prefill(double prompt_tokens, double kv_before = 0.0, double sequences = 1.0) const;
  // What the same prompt adds to a decode step that carries it (chunked prefill).
  StepCost prefill_added(double prompt_tokens, double kv_before = 0.0) const;

  // KV tokens of one replica that fit beside the weights (a share of memory is kept for activations).
  double kv_capacity_tokens() const { return kv_capacity_tokens_; }
  double weight_bytes_per_gpu() const { return mechanism_.weight_bytes(); }

  // Kernels of a step with their shares; each column sums to 1. Not for inner loops.
  std::vector<KernelShare> decode_kernels(double batch, double kv_tokens) const;
  std::vector<KernelShare> prefill_kernels(double prompt_tokens, double kv_before = 0.0) const;

  const ServingConfig& config() const { return config_; }

 private:
  // Costs at one batch size: step = fixed + rate x seconds of KV reading.
  struct Point {
    double seconds = 0.0, joules = 0.0, sm_seconds = 0.0, dram_seconds = 0.0;
    double kv_seconds_all = 0.0, kv_seconds_local = 0.0;  // per token
    double kv_w = 0.0;                                    // whole power while reading KV
    double kv_sm = 0.0, kv_dram = 0.0;
  };
  LlmCostModel(const ServingConfig& config, const LlmCalibration& calibration, WeightFormat format);
  Point compute_point(double batch) const;
  Point point_at(double batch) const;
  double decode_clock(double batch) const;
  double prefill_clock(double tokens, double kv_before, double sequences) const;
  template <class Step>
  double clock_under_cap(Step&& watts_at) const;
  StepCost cost_of(const StepKernels& kernels, double clock) const;
  std::vector<KernelShare> shares(const StepKernels& kernels, double clock) const;

  ServingConfig config_;
  LlmMechanism mechanism_;
  CalibrationCurve curve_;
  double kv_capacity_tokens_ = 0.0;
  std::vector<Point> points_;  // batch 1, 2, ...
};

}  // namespace perjoule::plant
