// Cross-validated errors of the LLM serving mechanism and of the node model.
//   llm_model [--json] [DIRECTORY of the tables, default data/power]
// (1) one batch limit left out, the configuration's others known; (2) a model left out, and harder, a whole
// family of models with the same text tower; (3) wall watts of MLPerf Server runs from a node model fitted to
// Offline runs. Exit status: 0 when every target is met, 1 when one is not, 2 or 3 for bad or missing input.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "base/gzip.hpp"
#include "plant/llm_calibration.hpp"
#include "plant/node_power_model.hpp"

namespace {

namespace plant = perjoule::plant;
namespace base = perjoule::base;
using Json = nlohmann::ordered_json;
using plant::LlmCalibration;
using plant::LlmRow;

constexpr double kLimitMedianTarget = 0.04;
constexpr double kModelMedianTarget = 0.15;
constexpr double kModelP90Target = 0.40;
constexpr double kServerTarget = 0.05;
constexpr std::size_t kLimitFolds = 5;

struct Score {
  double median = 0.0, p90 = 0.0;
  std::size_t rows = 0;
};

Score score(std::vector<double> errors) {
  std::sort(errors.begin(), errors.end());
  const auto quantile = [&](double q) {
    const double at = q * static_cast<double>(errors.size() - 1);
    const auto low = static_cast<std::size_t>(at);
    const double part = at - static_cast<double>(low);
    return errors[low] + part * (errors[std::min(low + 1, errors.size() - 1)] - errors[low]);
  };
  return {quantile(0.5), quantile(0.9), errors.size()};
}

double error_of(double predicted, double measured) { return std::abs(predicted / measured - 1.0); }

// --- (2) a group of models left out
// ------------------------------------------------------------------------------

struct LeftOut {
  Score energy, time, power;
  std::map<std::string, Score> groups;
};

base::Result<LeftOut> leave_out(const std::vector<LlmRow>& rows,
                                const std::function<std::string(const LlmRow&)>& group_of) {
  std::map<std::string, std::vector<LlmRow>> groups;
  for (const auto& r : rows) groups[group_of(r)].push_back(r);
  LeftOut out;
  std::vector<double> energy, time, power;
  for (const auto& [name, held] : groups) {
    std::vector<LlmRow> training;
    for (const auto& r : rows) {
      if (group_of(r) != name) training.push_back(r);
    }
    PJ_ASSIGN(const LlmCalibration fit, LlmCalibration::fit(training));
    std::vector<double> own;
    for (const auto& r : held) {
      PJ_ASSIGN(const plant::LlmPrediction p, fit.predict(r));
      own.push_back(error_of(p.joules_per_token, r.joules_per_token));
      time.push_back(error_of(p.step_seconds, r.step_seconds()));
      power.push_back(error_of(p.watts_per_gpu, r.watts_per_gpu()));
    }
    energy.insert(energy.end(), own.begin(), own.end());
    out.groups[name] = score(own);
  }
  out.energy = score(energy), out.time = score(time), out.power = score(power);
  return out;
}

// --- (1) a batch limit left out
// ----------------------------------------------------------------------------------

struct LimitScores {
  Score mechanism_with_factors, interpolation;
};

// Straight line through the neighbours in log batch and log energy; the nearest two beyond the ends.
double interpolate(std::vector<LlmRow> rows, double batch) {
  std::sort(rows.begin(), rows.end(),
            [](const auto& a, const auto& b) { return a.mean_batch < b.mean_batch; });
  std::size_t h = 1;
  while (h + 1 < rows.size() && rows[h].mean_batch < batch) ++h;
  const double x0 = std::log(rows[h - 1].mean_batch), x1 = std::log(rows[h].mean_batch);
  const double y0 = std::log(rows[h - 1].joules_per_token), y1 = std::log(rows[h].joules_per_token);
  if (x1 - x0 < 1e-9) return std::exp(y0);
  return std::exp(y0 + (std::log(batch) - x0) / (x1 - x0) * (y1 - y0));
}

// Every row is held out once. The constants are fitted without the row's fold; the factors come from the
// other limits of its configuration.
base::Result<LimitScores> leave_limit_out(const std::vector<LlmRow>& rows) {
  std::map<std::string, std::vector<LlmRow>> configurations;
  for (const auto& r : rows) configurations[r.configuration()].push_back(r);
  std::vector<double> model, line;
  for (std::size_t fold = 0; fold < kLimitFolds; ++fold) {
    std::vector<LlmRow> training;
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (i % kLimitFolds != fold) training.push_back(rows[i]);
    }
    PJ_ASSIGN(const LlmCalibration fit, LlmCalibration::fit(training));
    for (std::size_t i = fold; i < rows.size(); i += kLimitFolds) {
      std::vector<LlmRow> others;
      for (const auto& r : configurations[rows[i].configuration()]) {
        if (r.batch_limit != rows[i].batch_limit) others.push_back(r);
      }
      if (others.size() < 2) continue;
      PJ_ASSIGN(const plant::CalibrationCurve curve, fit.curve(others));
      PJ_ASSIGN(const plant::LlmPrediction p, fit.predict(rows[i]));
      model.push_back(
          error_of(LlmCalibration::apply(p, curve, rows[i]).joules_per_token, rows[i].joules_per_token));
      line.push_back(error_of(interpolate(others, rows[i].mean_batch), rows[i].joules_per_token));
    }
  }
  return LimitScores{score(model), score(line)};
}

// --- (3) wall watts of Server runs
// -------------------------------------------------------------------------------

struct ServerRow {
  std::string task;
  double relative_throughput = 0.0, predicted_w = 0.0, measured_w = 0.0, same_as_offline_w = 0.0;
  double error() const { return predicted_w / measured_w - 1.0; }
};
struct NodeScores {
  double idle_w = 0.0, elasticity = 0.0;
  std::vector<ServerRow> rows;
  double largest() const {
    double worst = 0.0;
    for (const auto& r : rows) worst = std::max(worst, std::abs(r.error()));
    return worst;
  }
};

base::Result<NodeScores> node_scores(const std::string& directory, const std::vector<LlmRow>& llm) {
  const std::string path = directory + "/mlperf_inf41_h200x8_summary.csv.gz";
  PJ_ASSIGN(std::string text, base::read_text(base::posix_env(), path));
  PJ_ASSIGN(const std::vector<plant::NodeRun> runs, plant::parse_node_runs(std::move(text), path));
  plant::NodeConstants constants;
  PJ_ASSIGN(constants.elasticity,
            plant::throughput_elasticity(llm, base::Watts(plant::GpuSpec::h100_sxm().idle_context_w)));
  PJ_ASSIGN(const plant::NodePowerModel node, plant::NodePowerModel::fit(runs, constants));
  NodeScores out{node.idle().value(), constants.elasticity, {}};
  for (const auto& server : runs) {
    if (server.scenario != "Server" || !server.same_log_as.empty()) continue;
    const auto offline = std::find_if(runs.begin(), runs.end(), [&](const plant::NodeRun& r) {
      return r.scenario == "Offline" && r.task == server.task;
    });
    if (offline == runs.end()) continue;
    PJ_ASSIGN(const base::Watts watts, node.task_wall(server.task, server.throughput));
    out.rows.push_back({server.task, server.throughput / offline->throughput, watts.value(),
                        server.mean_wall.value(), offline->mean_wall.value()});
  }
  return out;
}

// --- output
// ------------------------------------------------------------------------------------------------------

Json to_json(const Score& s) { return {{"error_median", s.median}, {"error_p90", s.p90}, {"rows", s.rows}}; }

void print(const char* label, const Score& s) {
  std::printf("  %-52s %6.2f %%  %6.2f %%  %4zu\n", label, 100 * s.median, 100 * s.p90, s.rows);
}

struct Report {
  Score in_sample;
  LimitScores limits;
  LeftOut model, family;
  NodeScores node;
};

base::Result<Report> measure(const std::string& directory) {
  const std::string path = directory + "/mlenergy_v3_llm_h100.csv.gz";
  PJ_ASSIGN(std::string text, base::read_text(base::posix_env(), path));
  PJ_ASSIGN(const std::vector<LlmRow> rows, plant::parse_llm_rows(std::move(text), path));
  Report out;
  std::vector<double> errors;
  for (const auto& r : rows) {
    PJ_ASSIGN(const plant::LlmPrediction p, LlmCalibration::shipped().predict(r));
    errors.push_back(error_of(p.joules_per_token, r.joules_per_token));
  }
  out.in_sample = score(errors);
  PJ_ASSIGN(out.limits, leave_limit_out(rows));
  PJ_ASSIGN(out.model, leave_out(rows, [](const LlmRow& r) { return r.model; }));
  PJ_ASSIGN(out.family, leave_out(rows, [](const LlmRow& r) {
              return std::string(plant::find_model_facts(r.model).value().family);
            }));
  PJ_ASSIGN(out.node, node_scores(directory, rows));
  return out;
}

void print(const char* title, const LeftOut& l) {
  std::printf("%s\n", title);
  print("joules per token", l.energy);
  print("step time", l.time);
  print("watts per GPU", l.power);
  for (const auto& [name, s] : l.groups) print(("  left out: " + name).c_str(), s);
}

Json to_json(const LeftOut& l) {
  Json out{{"energy", to_json(l.energy)}, {"time", to_json(l.time)}, {"power", to_json(l.power)}};
  for (const auto& [name, s] : l.groups) out["groups"][name] = to_json(s);
  return out;
}

Json to_json(const NodeScores& n) {
  Json out{{"idle_w", n.idle_w}, {"elasticity", n.elasticity}, {"error_largest", n.largest()}};
  for (const auto& r : n.rows) {
    out["runs"].push_back({{"task", r.task},
                           {"relative_throughput", r.relative_throughput},
                           {"predicted_w", r.predicted_w},
                           {"measured_w", r.measured_w},
                           {"same_as_offline_w", r.same_as_offline_w}});
  }
  return out;
}

void print(const NodeScores& n) {
  std::printf("(3) wall watts of Server runs; idle %.1f W, exponent %.3f, largest error %.2f %%\n", n.idle_w,
              n.elasticity, 100 * n.largest());
  for (const auto& r : n.rows) {
    std::printf(
        "    %-20s throughput %5.3f of Offline  %7.1f W  measured %7.1f W  %+5.2f %%  (as Offline %+5.2f "
        "%%)\n",
        r.task.c_str(), r.relative_throughput, r.predicted_w, r.measured_w, 100 * r.error(),
        100 * (r.same_as_offline_w / r.measured_w - 1.0));
  }
}

bool met(const Report& r) {
  return r.limits.mechanism_with_factors.median <= kLimitMedianTarget &&
         r.model.energy.median <= kModelMedianTarget && r.model.energy.p90 <= kModelP90Target &&
         r.node.largest() <= kServerTarget;
}

void print(const Report& r) {
  std::printf("  %-52s %8s  %8s  %4s\n", "", "median", "p90", "rows");
  std::printf("In sample, shipped constants\n");
  print("joules per token", r.in_sample);
  std::printf("(1) one batch limit left out\n");
  print("mechanism with the configuration's factors", r.limits.mechanism_with_factors);
  print("log-log interpolation", r.limits.interpolation);
  print("(2a) a model left out", r.model);
  print("(2b) a family of models left out", r.family);
  print(r.node);
}

Json to_json(const Report& r) {
  return {{"targets",
           {{"limit_median", kLimitMedianTarget},
            {"model_median", kModelMedianTarget},
            {"model_p90", kModelP90Target},
            {"server_largest", kServerTarget}}},
          {"met", met(r)},
          {"in_sample", to_json(r.in_sample)},
          {"limit_left_out", to_json(r.limits.mechanism_with_factors)},
          {"limit_left_out_interpolation", to_json(r.limits.interpolation)},
          {"model_left_out", to_json(r.model)},
          {"family_left_out", to_json(r.family)},
          {"server_runs", to_json(r.node)}};
}

}  // namespace

int main(int argc, char** argv) {
  bool json = false;
  std::string directory = "data/power";
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    (arg == "--json") ? void(json = true) : void(directory = arg);
  }
  const auto measured = measure(directory);
  if (!measured.ok()) {
    std::fprintf(stderr, "%s\n", measured.error().message().c_str());
    return base::exit_status(measured.error().kind);
  }
  if (json) {
    std::printf("%s\n", to_json(*measured).dump(2).c_str());
  } else {
    print(*measured);
  }
  return met(*measured) ? 0 : 1;
}
