// Calibration of the LLM serving mechanism: global constants, and per-configuration factors over the batch
// size. Rows are measurements of a serving engine at one batch limit (the columns of the ML.ENERGY
// leaderboard).
//
// Thread rule: values. Ownership: owns everything. Units: s, W, J, tokens; GPU watts are for all GPUs of a
// row. Deterministic: no random numbers.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "plant/llm_mechanism.hpp"

namespace perjoule::plant {

struct LlmRow {
  std::string task;  // gpqa, image-chat, lm-arena-chat, sourcegraph-fim, video-chat
  std::string model;
  int gpus = 1;
  bool expert_parallel = false;
  double batch_limit = 0.0;
  double mean_batch = 0.0;
  double mean_output_tokens = 0.0;
  double tokens_per_s = 0.0;  // output, whole replica
  double median_token_gap_s = 0.0;
  double watts = 0.0;  // all GPUs
  double joules_per_token = 0.0;

  double step_seconds() const { return mean_batch / tokens_per_s; }
  double watts_per_gpu() const { return watts / gpus; }
  std::string configuration() const;  // task, model, GPUs
};

// Reads the columns by name. Errors: bad_input at file:line:column, unknown model or task.
base::Result<std::vector<LlmRow>> parse_llm_rows(std::string text, const std::string& name);

struct LlmPrediction {
  double step_seconds = 0.0;    // mean batch / output throughput
  double decode_seconds = 0.0;  // a step without prompts: the median token gap
  double watts_per_gpu = 0.0;
  double joules_per_token = 0.0;
};

// Log factors measured / mechanism at some batch sizes of one configuration.
struct CalibrationCurve {
  std::vector<double> log_batch;  // rising
  std::vector<double> log_time;
  std::vector<double> log_power;

  bool empty() const { return log_batch.empty(); }
  struct Factors {
    double time = 1.0, power = 1.0;
  };
  // Interpolated over log batch; level beyond the ends.
  Factors at(double batch) const;
};

struct LlmResidual {
  double median = 0.0, p90 = 0.0;  // |predicted / measured - 1| of joules per token, in sample
  int rows = 0;
};

class LlmCalibration {
 public:
  // Constants fitted to the whole shipped table.
  static LlmCalibration shipped();
  // Errors: bad_input for fewer than 60 rows, a value that is not positive and finite, or an unknown model or
  // task.
  static base::Result<LlmCalibration> fit(std::span<const LlmRow> rows);

  // The mechanism alone. Unknown model: bad_input.
  base::Result<LlmPrediction> predict(const LlmRow& setting) const;
  // Factors of one configuration from its measured rows (any order).
  base::Result<CalibrationCurve> curve(std::span<const LlmRow> rows) const;
  static LlmPrediction apply(const LlmPrediction& mechanism, const CalibrationCurve& curve,
                             const LlmRow& setting);

  // Used by LlmCostModel for every batch size; empty: none.
  void set_curve(CalibrationCurve curve) { curve_ = std::move(curve); }
  const CalibrationCurve& configuration_curve() const { return curve_; }
  const LlmParameters& parameters() const { return parameters_; }
  const LlmResidual& residual() const { return residual_; }

 private:
  LlmParameters parameters_{};
  LlmResidual residual_;
  CalibrationCurve curve_;
};

}  // namespace perjoule::plant
