#include "plant/llm_cost_model.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/text.hpp"

namespace perjoule::plant {
namespace {

constexpr std::size_t kTableBatches = 2048;  // beyond, points are computed on demand
constexpr double kUsableMemory = 0.9;        // vLLM's default share of HBM for weights and KV
constexpr double kCapContext = 1024.0;       // KV tokens per sequence at which a cap picks the clock
constexpr int kClockBisections = 30;

base::Result<WeightFormat> format_of(const ServingConfig& c) {
  switch (c.weight_bits) {
    case 0:
      return c.model.format;
    case 16:
      return WeightFormat::kBf16;
    case 8:
      return WeightFormat::kFp8;
    case 4:
      return WeightFormat::kInt4;
    default:
      return base::bad_input("cannot build the LLM cost model", "weight_bits",
                             std::to_string(c.weight_bits) + " bits", "Use 0 (as published), 16, 8 or 4.");
  }
}

base::Status check(const ServingConfig& c) {
  const auto refuse = [](const char* field, double value, const char* hint) {
    return base::bad_input("cannot build the LLM cost model", field,
                           "the value is " + base::shortest_text(value), hint);
  };
  if (c.model.layers <= 0 || c.model.hidden <= 0)
    return refuse("model", c.model.layers, "Use find_model_facts().");
  if (c.tensor_parallel < 1 || c.tensor_parallel > 64)
    return refuse("tensor_parallel", c.tensor_parallel, "Use 1..64.");
  if (!(c.relative_clock > 0.0 && c.relative_clock <= 1.0))
    return refuse("relative_clock", c.relative_clock, "Use a clock over the highest clock, (0, 1].");
  if (!(c.power_cap_w >= 0.0)) return refuse("power_cap_w", c.power_cap_w, "Use watts, or 0 for none.");
  const GpuSpec& g = c.gpu;
  for (const double v :
       {g.hbm_bytes_per_s, g.hbm_bytes, g.bf16_flops, g.fp8_flops, g.tdp_w, g.idle_context_w}) {
    if (!(v > 0.0) || !std::isfinite(v)) return refuse("gpu", v, "Every peak of the GPU must be positive.");
  }
  return base::ok_status();
}

// Sum over i < steps of min(start + i batch, limit).
double sum_below(double start, double batch, double limit, double steps) {
  const double below = std::clamp(std::ceil((limit - start) / batch), 0.0, steps);
  return below * start + batch * below * (below - 1.0) / 2.0 + (steps - below) * limit;
}

}  // namespace

base::Result<LlmCostModel> LlmCostModel::create(const ServingConfig& config,
                                                const LlmCalibration& calibration) {
  PJ_TRY(check(config));
  PJ_ASSIGN(const WeightFormat format, format_of(config));
  LlmCostModel model(config, calibration, format);
  if (model.kv_capacity_tokens_ < 1.0) {
    const double need = model.mechanism_.weight_bytes();
    return base::bad_input("cannot build the LLM cost model", std::string(config.model.name),
                           base::si_text(need, "B") +
                               " of weights per GPU leave no room for the KV cache in " +
                               base::si_text(config.gpu.hbm_bytes, "B"),
                           "Use more GPUs per replica or fewer weight bits.");
  }
  return model;
}

LlmCostModel::LlmCostModel(const ServingConfig& config, const LlmCalibration& calibration,
                           WeightFormat format)
    : config_(config),
      mechanism_(calibration.parameters(), config.model, format, config.gpu, config.tensor_parallel,
                 config.expert_parallel),
      curve_(calibration.configuration_curve()) {
  const double room = kUsableMemory * config.gpu.hbm_bytes - mechanism_.weight_bytes();
  // Window layers are counted in full: an upper bound on need. Without attention the state of a sequence
  // stands in.
  const double per_token = mechanism_.kv_bytes_per_token();
  kv_capacity_tokens_ = per_token > 0.0 ? room / per_token : 0.0;
  points_.reserve(kTableBatches);
  for (std::size_t b = 1; b <= kTableBatches; ++b) points_.push_back(compute_point(static_cast<double>(b)));
}

// The highest clock, at most the configured one, at which the step's mean power is within the cap. A real
// controller averages over milliseconds, that is over many kernels, hence one clock per step.
template <class Step>
double LlmCostModel::clock_under_cap(Step&& watts_at) const {
  double high = config_.relative_clock;
  if (config_.power_cap_w <= 0.0 || watts_at(high) <= config_.power_cap_w) return high;
  double low = std::min(config_.gpu.lowest_clock, high);
  for (int i = 0; i < kClockBisections; ++i) {
    const double middle = 0.5 * (low + high);
    (watts_at(middle) <= config_.power_cap_w ? low : high) = middle;
  }
  return low;
}

double LlmCostModel::decode_clock(double batch) const {
  return clock_under_cap([&](double clock) {
    const StepCost fixed = cost_of(mechanism_.decode_fixed(batch, clock), clock);
    const KvRate rate = mechanism_.kv_rate(clock);
    const double window = mechanism_.window();
    const double kv =
        batch * (rate.seconds_all * kCapContext + rate.seconds_local * std::min(kCapContext, window));
    const double joules = fixed.gpu_joules + kv * (mechanism_.base_w(clock) + rate.dynamic_w);
    return curve_.at(batch).power * joules / (fixed.seconds + kv);
  });
}

double LlmCostModel::prefill_clock(double tokens, double kv_before, double sequences) const {
  return clock_under_cap([&](double clock) {
    const StepCost c = cost_of(mechanism_.prefill_alone(tokens, kv_before, sequences, clock), clock);
    return c.gpu_joules / c.seconds;
  });
}

StepCost LlmCostModel::cost_of(const StepKernels& kernels, double clock) const {
  KernelCost sum;
  for (const KernelCost& k : kernels) {
    sum.seconds += k.seconds, sum.dynamic_joules += k.dynamic_joules;
    sum.sm_seconds += k.sm_seconds, sum.dram_seconds += k.dram_seconds;
  }
  return {sum.seconds, sum.dynamic_joules + mechanism_.base_w(clock) * sum.seconds,
          sum.sm_seconds / sum.seconds, sum.dram_seconds / sum.seconds};
}

LlmCostModel::Point LlmCostModel::compute_point(double batch) const {
  const double clock = decode_clock(batch);
  const StepCost fixed = cost_of(mechanism_.decode_fixed(batch, clock), clock);
  const KvRate rate = mechanism_.kv_rate(clock);
  const auto factor = curve_.at(batch);
  const double t = factor.time, e = factor.time * factor.power;
  Point p;
  p.seconds = t * fixed.seconds, p.joules = e * fixed.gpu_joules;
  p.sm_seconds = fixed.sm_activity * fixed.seconds, p.dram_seconds = fixed.dram_activity * fixed.seconds;
  p.kv_seconds_all = t * rate.seconds_all, p.kv_seconds_local = t * rate.seconds_local;
  p.kv_w = factor.power * (mechanism_.base_w(clock) + rate.dynamic_w);
  p.kv_sm = rate.sm / t, p.kv_dram = rate.dram / t;
  return p;
}

LlmCostModel::Point LlmCostModel::point_at(double batch) const {
  const double b = std::max(batch, 1.0);
  const auto below = static_cast<std::size_t>(b);
  if (below >= points_.size()) return compute_point(b);
  const Point& l = points_[below - 1];
  const double part = b - static_cast<double>(below);
  if (part == 0.0) return l;
  const Point& h = points_[below];
  const auto mix = [part](double x, double y) { return x + part * (y - x); };
  return {mix(l.seconds, h.seconds),
          mix(l.joules, h.joules),
          mix(l.sm_seconds, h.sm_seconds),
          mix(l.dram_seconds, h.dram_seconds),
          mix(l.kv_seconds_all, h.kv_seconds_all),
          mix(l.kv_seconds_local, h.kv_seconds_local),
          mix(l.kv_w, h.kv_w),
          mix(l.kv_sm, h.kv_sm),
          mix(l.kv_dram, h.kv_dram)};
}

StepCost LlmCostModel::decode(double batch, double kv_tokens) const {
  return decode_run(batch, kv_tokens, 1);
}

StepCost LlmCostModel::decode_run(double batch, double kv_tokens_start, std::int64_t steps) const {
  if (steps <= 0) return {};
  const Point p = point_at(batch);
  const auto n = static_cast<double>(steps);
  double kv = p.kv_seconds_all * (n * kv_tokens_start + batch * n * (n - 1.0) / 2.0);
  if (p.kv_seconds_local > 0.0) {
    kv += p.kv_seconds_local * sum_below(kv_tokens_start, batch, batch * mechanism_.window(), n);
  }
  StepCost out;
  out.seconds = n * p.seconds + kv;
  out.gpu_joules = n * p.joules + kv * p.kv_w;
  out.sm_activity = std::min(1.0, (n * p.sm_seconds + kv * p.kv_sm) / out.seconds);
  out.dram_activity = std::min(1.0, (n * p.dram_seconds + kv * p.kv_dram) / out.seconds);
  return out;
}

StepCost LlmCostModel::prefill(double prompt_tokens, double kv_before, double sequences) const {
  if (!(prompt_tokens > 0.0 && sequences > 0.0)) return {};
  const double clock = prefill_clock(prompt_tokens, kv_before, sequences);
  return cost_of(mechanism_.prefill_alone(prompt_tokens, kv_before, sequences, clock), clock);
}

StepCost LlmCostModel::prefill_added(double prompt_tokens, double kv_before) const {
  if (!(prompt_tokens > 0.0)) return {};
  const double clock = prefill_clock(prompt_tokens, kv_before, 1.0);
  return cost_of(mechanism_.prefill_added(prompt_tokens, kv_before, clock), clock);
}

std::vector<KernelShare> LlmCostModel::shares(const StepKernels& kernels, double clock) const {
  const StepCost total = cost_of(kernels, clock);
  const double base = mechanism_.base_w(clock);
  std::vector<KernelShare> out;
  for (std::size_t i = 0; i < kKernels; ++i) {
    const KernelCost& k = kernels[i];
    if (k.seconds <= 0.0) continue;
    const auto kernel = static_cast<Kernel>(i);
    out.push_back({kernel_name(kernel), mechanism_.layer_count(kernel),
                   (k.dynamic_joules + base * k.seconds) / total.gpu_joules, k.seconds / total.seconds});
  }
  return out;
}

std::vector<KernelShare> LlmCostModel::decode_kernels(double batch, double kv_tokens) const {
  const double clock = decode_clock(batch);
  StepKernels kernels = mechanism_.decode_fixed(batch, clock);
  const KvRate rate = mechanism_.kv_rate(clock);
  const double seconds =
      rate.seconds_all * kv_tokens + rate.seconds_local * std::min(kv_tokens, batch * mechanism_.window());
  const auto split = mechanism_.attention_split(false);
  const std::array attention{Kernel::kQkT, Kernel::kSoftmax, Kernel::kAv};
  for (std::size_t i = 0; i < attention.size(); ++i) {
    KernelCost& k = kernels[static_cast<std::size_t>(attention[i])];
    k.seconds = split[i] * seconds;
    k.dynamic_joules = k.seconds * rate.dynamic_w;
  }
  return shares(kernels, clock);
}

std::vector<KernelShare> LlmCostModel::prefill_kernels(double prompt_tokens, double kv_before) const {
  const double clock = prefill_clock(prompt_tokens, kv_before, 1.0);
  return shares(mechanism_.prefill_alone(prompt_tokens, kv_before, 1.0, clock), clock);
}

}  // namespace perjoule::plant
