#include "plant/node_power_model.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/csv.hpp"
#include "base/text.hpp"

namespace perjoule::plant {
namespace {

constexpr double kH200x8IdleW = 2374.5;  // median over the Offline logs of their lowest second
constexpr double kNearLow = 0.70, kNearHigh = 0.97;

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  const auto n = v.size();
  return n % 2 == 1 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

}  // namespace

base::Result<std::vector<NodeRun>> parse_node_runs(std::string text, const std::string& name) {
  PJ_ASSIGN(const base::CsvTable table, base::CsvTable::parse(std::move(text), name));
  constexpr std::array<std::string_view, 6> kNames{"task",         "scenario",   "result", "mean_w_in_window",
                                                   "min_w_in_log", "same_log_as"};
  std::array<std::size_t, kNames.size()> at{};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    PJ_ASSIGN(at[i], table.column(kNames[i]));
  }
  std::vector<NodeRun> out;
  for (std::size_t r = 0; r < table.rows(); ++r) {
    PJ_ASSIGN(const double result, table.number(r, at[2]));
    PJ_ASSIGN(const double mean, table.number(r, at[3]));
    PJ_ASSIGN(const double lowest, table.number(r, at[4]));
    out.push_back({std::string(table.field(r, at[0])), std::string(table.field(r, at[1])), result,
                   base::Watts(mean), base::Watts(lowest), std::string(table.field(r, at[5]))});
  }
  return out;
}

base::Result<double> throughput_elasticity(std::span<const LlmRow> rows, base::Watts gpu_idle) {
  std::map<std::string, const LlmRow*> best;
  for (const auto& r : rows) {
    const LlmRow*& b = best[r.configuration()];
    if (b == nullptr || r.tokens_per_s > b->tokens_per_s) b = &r;
  }
  std::vector<double> slopes;
  for (const auto& r : rows) {
    const LlmRow& b = *best[r.configuration()];
    const double x = r.tokens_per_s / b.tokens_per_s;
    if (r.batch_limit >= b.batch_limit || x < kNearLow || x > kNearHigh) continue;
    const double y = (r.watts_per_gpu() - gpu_idle.value()) / (b.watts_per_gpu() - gpu_idle.value());
    if (y > 0.0) slopes.push_back(std::log(y) / std::log(x));
  }
  if (slopes.empty()) {
    return base::bad_input("cannot find how power follows throughput", "rows",
                           "no configuration has a row at 70 to 97 % of its best throughput");
  }
  return median(std::move(slopes));
}

base::Result<NodePowerModel> NodePowerModel::fit(std::span<const NodeRun> runs,
                                                 const NodeConstants& constants) {
  NodePowerModel out;
  out.constants_ = constants;
  std::vector<double> lowest;
  for (const auto& r : runs) {
    if (r.scenario != "Offline") continue;
    if (!(r.throughput > 0.0 && r.mean_wall.value() > 0.0 && r.lowest_wall.value() > 0.0)) {
      return base::bad_input("cannot fit the node model", r.task,
                             "a value of the Offline run is not positive");
    }
    out.tasks_[r.task] = {r.throughput, r.mean_wall};
    if (r.same_log_as.empty()) lowest.push_back(r.lowest_wall.value());
  }
  if (lowest.empty()) {
    return base::bad_input("cannot fit the node model", "runs",
                           "there is no Offline run with a log of its own");
  }
  out.idle_ = base::Watts(median(std::move(lowest)));
  return out;
}

NodePowerModel NodePowerModel::h200x8() {
  NodePowerModel out;
  out.idle_ = base::Watts(kH200x8IdleW);
  return out;
}

base::Watts NodePowerModel::wall(base::Watts gpu_watts) const {
  const base::Watts above = gpu_watts - constants_.gpu_idle * double(constants_.gpus);
  return idle_ + base::Watts(std::max(0.0, above.value())) * constants_.wall_per_gpu_watt;
}

base::Watts NodePowerModel::gpus_at(base::Watts wall) const {
  const double above = std::max(0.0, (wall - idle_).value()) / constants_.wall_per_gpu_watt;
  return constants_.gpu_idle * double(constants_.gpus) + base::Watts(above);
}

base::Result<base::Watts> NodePowerModel::task_wall(std::string_view task, double throughput) const {
  const auto it = tasks_.find(task);
  if (it == tasks_.end()) {
    std::vector<std::string> names;
    for (const auto& [name, full] : tasks_) names.push_back(name);
    return base::bad_input("unknown task", std::string(task), "no Offline run of it was fitted",
                           base::nearest_name_hint(task, names));
  }
  if (!(throughput > 0.0) || !std::isfinite(throughput)) {
    return base::bad_input("cannot predict wall power", std::string(task), "the throughput is not positive");
  }
  const double x = throughput / it->second.throughput;
  return idle_ + (it->second.wall - idle_) * std::pow(x, constants_.elasticity);
}

}  // namespace perjoule::plant
