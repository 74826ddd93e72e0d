// Wall power of an 8-GPU server from what its GPUs draw, or from the throughput of a task it was measured at
// full load with. Conversion, fans and host are inside: never add an overhead factor on top.
//
//     by GPUs:  W = idle + k sum_i (P_i - P_idle,i)
//     by task:  W = idle + (W_full - idle) (x / x_full)^e
//
// Sources, residuals: docs/models/node-power.md. Quality: modelled.
// Thread rule: values, const use from any thread. Units: W; throughput in any unit, the same for x and
// x_full.
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "plant/llm_calibration.hpp"

namespace perjoule::plant {

// One measured run of a benchmark task, whole server.
struct NodeRun {
  std::string task;
  std::string scenario;  // "Offline" (all work at once) or "Server" (arrivals with a latency limit)
  double throughput = 0.0;
  base::Watts mean_wall;    // within the measured window
  base::Watts lowest_wall;  // anywhere in the log
  std::string same_log_as;  // not empty: the same measurement under another name
};

// Columns task, scenario, result, mean_w_in_window, min_w_in_log, same_log_as. Errors: bad_input at
// file:line:column.
base::Result<std::vector<NodeRun>> parse_node_runs(std::string text, const std::string& name);

// How the power above idle of a GPU that serves at a lower batch limit follows its throughput: the median of
// d log(P - idle) / d log(tokens/s) between each configuration's best row and its rows at 70 to 97 % of that.
// Errors: bad_input when no configuration has such rows.
base::Result<double> throughput_elasticity(std::span<const LlmRow> rows, base::Watts gpu_idle);

struct NodeConstants {
  int gpus = 8;
  base::Watts gpu_idle{75.0};       // without a context, as in the lowest wall power
  double wall_per_gpu_watt = 1.12;  // conversion losses and fans that follow the GPUs
  double elasticity = 0.26;
};

class NodePowerModel {
 public:
  // Uses the Offline runs alone. Errors: bad_input without any, or with a value that is not positive.
  static base::Result<NodePowerModel> fit(std::span<const NodeRun> runs, const NodeConstants& constants = {});
  // Eight H200 SXM in the power-tuned setting of the MLPerf v4.1 submission; no tasks.
  static NodePowerModel h200x8();

  base::Watts idle() const { return idle_; }
  // `gpu_watts`: sum over the node's GPUs. Not below what GPUs at rest give.
  base::Watts wall(base::Watts gpu_watts) const;
  // Inverse of wall(): what the GPUs draw in all.
  base::Watts gpus_at(base::Watts wall) const;
  // A fitted task at `throughput`. Errors: bad_input with the nearest task name, or a throughput that is not
  // positive.
  base::Result<base::Watts> task_wall(std::string_view task, double throughput) const;
  const NodeConstants& constants() const { return constants_; }

 private:
  struct Full {
    double throughput = 0.0;
    base::Watts wall;
  };
  NodeConstants constants_;
  base::Watts idle_;
  std::map<std::string, Full, std::less<>> tasks_;
};

}  // namespace perjoule::plant
