#include "plant/llm_calibration.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "base/csv.hpp"

namespace perjoule::plant {
namespace {

constexpr std::size_t kMinRows = 60;
constexpr double kMaxImageTokens = 16000.0;

// fit() over the whole ML.ENERGY H100 table (405 rows, 29 models), in the order of llm_parameter_rows(). A
// test fits again and compares.
constexpr std::array<double, 44> kShipped{
    0.90042,   0.96311,    0.71443,   0.99923,    0.84318,    0.20011,    10.012,     0.51207,   1.6915e-05,
    0.0019112, 2.5807e-05, 6.434e-06, 2.2919e-05, 9.9707e-06, 4.4953e+11, 1.8363e-05, 3.9107,    0.23204,
    0.68763,   3.5597e-06, 424.47,    220.51,     534.79,     1638.8,     578.21,     8.295e+05, 6.8584e+05,
    6.3017,    0.50018,    0.01272,   0.040722,   12.681,     0.99846,    0.20889,    1.0199,    0.49343,
    243.17,    301.02,     888.23,    446.46,     5.1088,     352.07,     456.79,     699.96};
constexpr LlmResidual kShippedResidual{0.0714, 0.2067, 405};

enum class Task : std::uint8_t { kGpqa, kImage, kArena, kCode, kVideo };
struct TaskRow {
  std::string_view name;
  Task task;
  double LlmParameters::*prompt;
};
constexpr std::array kTasks{
    TaskRow{"gpqa", Task::kGpqa, &LlmParameters::prompt_gpqa},
    TaskRow{"image-chat", Task::kImage, &LlmParameters::prompt_image},
    TaskRow{"lm-arena-chat", Task::kArena, &LlmParameters::prompt_arena},
    TaskRow{"sourcegraph-fim", Task::kCode, &LlmParameters::prompt_code},
    TaskRow{"video-chat", Task::kVideo, &LlmParameters::prompt_video},
};

const TaskRow* find_task(std::string_view name) {
  const auto it =
      std::find_if(kTasks.begin(), kTasks.end(), [&](const TaskRow& t) { return t.name == name; });
  return it == kTasks.end() ? nullptr : it;
}

// A row with its names looked up.
struct Setting {
  ModelFacts facts;
  const TaskRow* task = nullptr;
  const LlmRow* row = nullptr;
};

base::Result<Setting> resolve(const LlmRow& row) {
  PJ_ASSIGN(const ModelFacts facts, find_model_facts(row.model));
  const TaskRow* task = find_task(row.task);
  if (task == nullptr) {
    return base::bad_input("unknown serving task", row.task,
                           "its prompt length is not a constant of the mechanism",
                           "Use gpqa, image-chat, lm-arena-chat, sourcegraph-fim or video-chat.");
  }
  return Setting{facts, task, &row};
}

double image_tokens(const LlmParameters& p, const ModelFacts& facts, Task task) {
  if (task != Task::kImage && task != Task::kVideo) return 0.0;
  const VisionFacts& v = facts.vision;
  switch (v.kind) {
    case ImageTokens::kPerArea: {
      const double pixels = task == Task::kImage ? p.pixels_image : p.pixels_video;
      return std::min(pixels / v.pixels_per_token, kMaxImageTokens);
    }
    case ImageTokens::kFixed:
      return v.tokens_per_tile;
    case ImageTokens::kPerTile:
      return v.tokens_per_tile * (1.0 + p.tiles);
    default:
      return 0.0;
  }
}

double host_seconds(const LlmParameters& p, const ModelFacts& facts, Task task) {
  if (task == Task::kImage) return p.host_image_seconds;
  if (task == Task::kVideo)
    return p.host_video_seconds * (facts.vision.has_audio ? p.host_audio_factor : 1.0);
  return 0.0;
}

KernelCost sum_of(const StepKernels& kernels) {
  KernelCost sum;
  for (const KernelCost& k : kernels) sum.seconds += k.seconds, sum.dynamic_joules += k.dynamic_joules;
  return sum;
}

// A step of the steady state: the batch decodes, and batch / output length prompts join per step.
LlmPrediction mechanism_of(const LlmParameters& p, const Setting& s) {
  const LlmRow& row = *s.row;
  const double batch = row.mean_batch, clock = 1.0;
  const LlmMechanism m(p, s.facts, s.facts.format, GpuSpec::h100_sxm(), row.gpus, row.expert_parallel);
  const double images = image_tokens(p, s.facts, s.task->task);
  const double prompt = p.*(s.task->prompt) + images;
  const double context = prompt + p.mean_position * row.mean_output_tokens;
  const KvRate rate = m.kv_rate(clock);
  const double kv = batch * (rate.seconds_all * context + rate.seconds_local * std::min(context, m.window()));
  const KernelCost fixed = sum_of(m.decode_fixed(batch, clock));
  const double decode = fixed.seconds + kv;

  const double joins = batch / row.mean_output_tokens;  // requests per step
  const KernelCost added = sum_of(m.prefill_added(prompt, 0.0, clock));
  const KernelCost seen = m.vision(images, clock);
  const double mixed = (1.0 - std::exp(-joins)) * s.facts.layers * p.mixed_layer_seconds;
  const double seconds =
      decode + mixed + joins * (added.seconds + seen.seconds + host_seconds(p, s.facts, s.task->task));
  const double dynamic =
      fixed.dynamic_joules + kv * rate.dynamic_w + joins * (added.dynamic_joules + seen.dynamic_joules);
  LlmPrediction out;
  out.step_seconds = seconds;
  out.decode_seconds = decode;
  out.watts_per_gpu = m.base_w(clock) + dynamic / seconds;
  out.joules_per_token = out.watts_per_gpu * row.gpus * seconds / batch;
  return out;
}

// --- fit
// ---------------------------------------------------------------------------------------------------------

using Vector = std::vector<double>;

constexpr double kResidualScale = 0.1;  // a log error that counts as one
constexpr double kGapWeight = 0.5;      // the median gap is a median, the mechanism a mean
constexpr double kPowerWeight = 1.5;
constexpr double kPriorWeight = 0.5;
constexpr int kRounds = 200;

// Free constants live in z: log value = low + (high - low) logistic(z).
double logistic(double z) { return 1.0 / (1.0 + std::exp(-z)); }

LlmParameters unpack(const Vector& z) {
  LlmParameters p{};
  const auto rows = llm_parameter_rows();
  for (std::size_t i = 0; i < rows.size(); ++i) {
    p.*rows[i].member = rows[i].low * std::exp(std::log(rows[i].high / rows[i].low) * logistic(z[i]));
  }
  return p;
}

Vector start_point() {
  Vector z;
  for (const auto& r : llm_parameter_rows()) {
    const double part = std::clamp(std::log(r.start / r.low) / std::log(r.high / r.low), 0.02, 0.98);
    z.push_back(std::log(part / (1.0 - part)));
  }
  return z;
}

struct Problem {
  std::vector<Setting> settings;
  Vector weights;

  // Weighted errors in units of the residual scale; the last ones are the prior's.
  Vector errors(const Vector& z) const {
    const LlmParameters p = unpack(z);
    Vector out;
    out.reserve(3 * settings.size() + z.size());
    for (std::size_t i = 0; i < settings.size(); ++i) {
      const LlmRow& row = *settings[i].row;
      const LlmPrediction m = mechanism_of(p, settings[i]);
      const bool gap = settings[i].task->task != Task::kVideo && row.median_token_gap_s > 0.0;
      out.push_back(std::log(m.step_seconds / row.step_seconds()) / kResidualScale);
      out.push_back(gap ? std::log(m.decode_seconds / row.median_token_gap_s) / kResidualScale : 0.0);
      out.push_back(std::log(m.watts_per_gpu / row.watts_per_gpu()) / kResidualScale);
    }
    const auto rows = llm_parameter_rows();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      out.push_back(kPriorWeight * std::log(p.*rows[i].member / rows[i].start) / rows[i].log_sigma);
    }
    return out;
  }
  double weight(std::size_t error) const {
    if (error >= 3 * settings.size()) return 1.0;
    constexpr std::array kKind{1.0, kGapWeight * kGapWeight, kPowerWeight * kPowerWeight};
    return weights[error / 3] * kKind[error % 3];
  }
  // Soft-L1 for rows, so that a few odd ones do not steer; quadratic for the prior.
  double cost(const Vector& e) const {
    double sum = 0.0;
    for (std::size_t r = 0; r < e.size(); ++r) {
      const bool prior = r >= 3 * settings.size();
      sum += weight(r) * (prior ? 0.5 * e[r] * e[r] : std::sqrt(1.0 + e[r] * e[r]) - 1.0);
    }
    return sum;
  }
};

// Rows of one model share an influence that grows with the square root of their number.
Vector model_weights(std::span<const LlmRow> rows) {
  std::map<std::string_view, double> counts;
  for (const auto& r : rows) counts[r.model] += 1.0;
  std::vector<double> sorted;
  for (const auto& [model, n] : counts) sorted.push_back(n);
  std::nth_element(sorted.begin(), sorted.begin() + std::ptrdiff_t(sorted.size() / 2), sorted.end());
  const double typical = sorted[sorted.size() / 2];
  Vector out;
  for (const auto& r : rows) out.push_back(std::sqrt(typical / counts[r.model]));
  return out;
}

struct Normal {
  std::vector<Vector> hessian;
  Vector gradient;
};

Normal normal_equations(const Problem& problem, const Vector& z, const Vector& errors) {
  constexpr double kStep = 1e-4;
  const std::size_t n = z.size();
  std::vector<Vector> slope(n);
  for (std::size_t i = 0; i < n; ++i) {
    Vector moved = z;
    moved[i] += kStep;
    slope[i] = problem.errors(moved);
    for (std::size_t r = 0; r < errors.size(); ++r) slope[i][r] = (slope[i][r] - errors[r]) / kStep;
  }
  Vector weights(errors.size());
  for (std::size_t r = 0; r < errors.size(); ++r) {
    const bool prior = r >= 3 * problem.settings.size();
    weights[r] = problem.weight(r) * (prior ? 1.0 : 1.0 / std::sqrt(1.0 + errors[r] * errors[r]));
  }
  Normal out{std::vector<Vector>(n, Vector(n)), Vector(n)};
  for (std::size_t i = 0; i < n; ++i) {
    Vector weighted(errors.size());
    for (std::size_t r = 0; r < errors.size(); ++r) weighted[r] = weights[r] * slope[i][r];
    for (std::size_t r = 0; r < errors.size(); ++r) out.gradient[i] += weighted[r] * errors[r];
    for (std::size_t j = 0; j <= i; ++j) {
      double dot = 0.0;
      for (std::size_t r = 0; r < errors.size(); ++r) dot += weighted[r] * slope[j][r];
      out.hessian[i][j] = out.hessian[j][i] = dot;
    }
  }
  return out;
}

// Solves the symmetric positive definite a x = b by Cholesky; nullopt when a is not positive definite.
std::optional<Vector> solve(std::vector<Vector> a, Vector b) {
  const std::size_t n = b.size();
  for (std::size_t j = 0; j < n; ++j) {
    for (std::size_t k = 0; k < j; ++k) a[j][j] -= a[j][k] * a[j][k];
    if (!(a[j][j] > 0.0)) return std::nullopt;
    a[j][j] = std::sqrt(a[j][j]);
    for (std::size_t i = j + 1; i < n; ++i) {
      for (std::size_t k = 0; k < j; ++k) a[i][j] -= a[i][k] * a[j][k];
      a[i][j] /= a[j][j];
    }
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t k = 0; k < i; ++k) b[i] -= a[i][k] * b[k];
    b[i] /= a[i][i];
  }
  for (std::size_t i = n; i-- > 0;) {
    for (std::size_t k = i + 1; k < n; ++k) b[i] -= a[k][i] * b[k];
    b[i] /= a[i][i];
  }
  return b;
}

// One damped Gauss-Newton step; false when nothing is gained any more.
bool improve(const Problem& problem, Vector& z, Vector& errors, double& damping) {
  const Normal normal = normal_equations(problem, z, errors);
  const double before = problem.cost(errors);
  for (; damping < 1e9; damping *= 4.0) {
    std::vector<Vector> a = normal.hessian;
    for (std::size_t i = 0; i < a.size(); ++i) a[i][i] *= 1.0 + damping;
    const auto step = solve(std::move(a), normal.gradient);
    if (!step) continue;
    Vector trial = z;
    // Far out the logistic is flat: a bounded step and a bounded z keep every constant movable.
    for (std::size_t i = 0; i < z.size(); ++i) {
      trial[i] = std::clamp(z[i] - std::clamp((*step)[i], -2.0, 2.0), -8.0, 8.0);
    }
    Vector trial_errors = problem.errors(trial);
    const double after = problem.cost(trial_errors);
    if (!(after < before)) continue;
    z = std::move(trial);
    errors = std::move(trial_errors);
    damping = std::max(damping / 9.0, 1e-9);
    return before - after > 1e-6 * before;
  }
  return false;
}

LlmResidual residual_of(const LlmParameters& p, const std::vector<Setting>& settings) {
  Vector errors;
  for (const auto& s : settings) {
    errors.push_back(std::abs(mechanism_of(p, s).joules_per_token / s.row->joules_per_token - 1.0));
  }
  std::sort(errors.begin(), errors.end());
  const auto n = errors.size();
  return {errors[n / 2], errors[std::min(n - 1, n * 9 / 10)], int(n)};
}

base::Status usable(const LlmRow& r) {
  for (const double v : {r.mean_batch, r.mean_output_tokens, r.tokens_per_s, r.watts, r.joules_per_token}) {
    if (!(v > 0.0) || !std::isfinite(v)) {
      return base::bad_input("cannot use a serving row", r.configuration(),
                             "a value is not positive and finite");
    }
  }
  return base::ok_status();
}

}  // namespace

std::string LlmRow::configuration() const { return task + " " + model + " x" + std::to_string(gpus); }

base::Result<std::vector<LlmRow>> parse_llm_rows(std::string text, const std::string& name) {
  PJ_ASSIGN(const base::CsvTable table, base::CsvTable::parse(std::move(text), name));
  PJ_ASSIGN(const std::size_t task, table.column("task"));
  PJ_ASSIGN(const std::size_t model, table.column("model_id"));
  constexpr std::array<std::string_view, 9> kNames{
      "num_gpus",       "expert_parallel", "max_num_seqs",
      "avg_batch_size", "avg_output_len",  "output_throughput_tokens_per_sec",
      "median_itl_ms",  "avg_power_watts", "energy_per_token_joules"};
  std::array<std::size_t, kNames.size()> at{};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    PJ_ASSIGN(at[i], table.column(kNames[i]));
  }
  std::vector<LlmRow> out;
  for (std::size_t r = 0; r < table.rows(); ++r) {
    std::array<double, kNames.size()> v{};
    for (std::size_t i = 0; i < kNames.size(); ++i) {
      PJ_ASSIGN(v[i], table.number(r, at[i]));
    }
    LlmRow row{std::string(table.field(r, task)),
               std::string(table.field(r, model)),
               int(v[0]),
               v[1] > 1.0,
               v[2],
               v[3],
               v[4],
               v[5],
               v[6] * 1e-3,
               v[7],
               v[8]};
    if (const auto known = resolve(row); !known.ok()) return known.error().within(table.where(r, model));
    if (auto good = usable(row); !good.ok()) return std::move(good).error().within(table.where(r, at[0]));
    out.push_back(std::move(row));
  }
  return out;
}

CalibrationCurve::Factors CalibrationCurve::at(double batch) const {
  if (log_batch.empty()) return {};
  const double x = std::log(batch);
  const auto above = std::lower_bound(log_batch.begin(), log_batch.end(), x);
  if (above == log_batch.begin()) return {std::exp(log_time.front()), std::exp(log_power.front())};
  if (above == log_batch.end()) return {std::exp(log_time.back()), std::exp(log_power.back())};
  const auto h = static_cast<std::size_t>(above - log_batch.begin());
  const double part = (x - log_batch[h - 1]) / (log_batch[h] - log_batch[h - 1]);
  return {std::exp(log_time[h - 1] + part * (log_time[h] - log_time[h - 1])),
          std::exp(log_power[h - 1] + part * (log_power[h] - log_power[h - 1]))};
}

LlmCalibration LlmCalibration::shipped() {
  LlmCalibration out;
  const auto rows = llm_parameter_rows();
  static_assert(kShipped.size() * sizeof(double) == sizeof(LlmParameters));
  for (std::size_t i = 0; i < rows.size(); ++i) out.parameters_.*rows[i].member = kShipped[i];
  out.residual_ = kShippedResidual;
  return out;
}

base::Result<LlmCalibration> LlmCalibration::fit(std::span<const LlmRow> rows) {
  if (rows.size() < kMinRows) {
    return base::bad_input("cannot fit the serving mechanism", "rows", std::to_string(rows.size()) + " rows",
                           "At least " + std::to_string(kMinRows) + " rows are needed.");
  }
  Problem problem;
  for (const auto& r : rows) {
    PJ_TRY(usable(r));
    PJ_ASSIGN(Setting s, resolve(r));
    problem.settings.push_back(s);
  }
  problem.weights = model_weights(rows);
  Vector z = start_point();
  Vector errors = problem.errors(z);
  double damping = 1e-2;
  for (int round = 0; round < kRounds; ++round) {
    if (!improve(problem, z, errors, damping)) break;
  }
  LlmCalibration out;
  out.parameters_ = unpack(z);
  out.residual_ = residual_of(out.parameters_, problem.settings);
  return out;
}

base::Result<LlmPrediction> LlmCalibration::predict(const LlmRow& setting) const {
  PJ_ASSIGN(const Setting s, resolve(setting));
  return mechanism_of(parameters_, s);
}

base::Result<CalibrationCurve> LlmCalibration::curve(std::span<const LlmRow> rows) const {
  // Rows at one batch size (repeated measurements) are averaged.
  std::map<double, std::array<double, 3>> sums;
  for (const auto& r : rows) {
    PJ_TRY(usable(r));
    PJ_ASSIGN(const LlmPrediction m, predict(r));
    auto& s = sums[std::log(r.mean_batch)];
    s[0] += std::log(r.step_seconds() / m.step_seconds);
    s[1] += std::log(r.watts_per_gpu() / m.watts_per_gpu);
    s[2] += 1.0;
  }
  CalibrationCurve out;
  for (const auto& [x, s] : sums) {
    out.log_batch.push_back(x);
    out.log_time.push_back(s[0] / s[2]);
    out.log_power.push_back(s[1] / s[2]);
  }
  return out;
}

LlmPrediction LlmCalibration::apply(const LlmPrediction& mechanism, const CalibrationCurve& curve,
                                    const LlmRow& setting) {
  const auto f = curve.at(setting.mean_batch);
  return {mechanism.step_seconds * f.time, mechanism.decode_seconds * f.time,
          mechanism.watts_per_gpu * f.power, mechanism.joules_per_token * f.time * f.power};
}

}  // namespace perjoule::plant
