// One run of a scenario in virtual time: hall, settlement, policies, and (if asked) a store.
// Thread rule: one thread per run; runs are independent. Same scenario, policies and seed: the same bytes.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "compose/scenario.hpp"
#include "ledger/settlement.hpp"

namespace perjoule::compose {

struct PolicyChoice {
  std::string sleep = "heaa";         // of agent::sleep_rules()
  std::string cap = "latency-aware";  // of sched::cap_rules()
  std::string label() const { return "sleep=" + sleep + " cap=" + cap; }
};
// "none", "all", or a comma list of sleep[=RULE] and cap[=RULE].
base::Result<PolicyChoice> parse_policies(const std::string& text);

struct RunOptions {
  PolicyChoice policies;
  std::string store;  // folder; empty = none
  bool overwrite = false;
  unsigned threads = 1;
  bool samples = true;
  std::string savings_json;  // kept in the store's manifest for reports; empty = none
  // Called about every simulated quarter of an hour; false stops the run after the window (the store stays
  // readable).
  std::function<bool(double share_done)> progress;
};

struct LatencySummary {
  std::int64_t finished = 0, missed = 0;
  double p50_ms = 0, p95_ms = 0, p99_ms = 0;
  double ttft_p50_ms = 0, ttft_p95_ms = 0, ttft_p99_ms = 0;
  double gap_p95_ms = 0;
};

struct ConsumerEnergy {
  std::string tenant, job, model;
  base::Microjoules direct, idle, overhead;
  base::Microjoules total() const { return direct + idle + overhead; }
};

struct RunSummary {
  std::string scenario, policies;
  std::uint64_t seed = 0;
  base::TimePoint t0, t1;
  bool complete = true;
  base::Microjoules site, it, gpu, gpu_idle, serving_gpu, cooling, serving_direct;
  ledger::Settlement::Totals totals;
  bool conserved = false;  // totals of all shares == site meter, by integers
  LatencySummary latency;  // all services
  std::vector<std::pair<std::string, LatencySummary>> services;
  std::int64_t output_tokens = 0, input_tokens = 0, rejected = 0, outstanding = 0;
  std::int64_t jobs_started = 0, jobs_ended = 0;
  double training_seconds = 0.0;  // work done, at full speed, GPU-seconds
  std::int64_t wakes = 0, decisions = 0, events = 0, meters = 0, gpus = 0;
  struct Carbon {
    std::string region;
    double grams = 0.0;
    double mean_g_per_kwh = 0.0;
    std::string quality;
  };
  std::vector<Carbon> carbon;
  std::vector<ConsumerEnergy> consumers;  // largest first
  std::string traced_request;             // one recorded to the kernel, to try `explain` on
  double water_kg = 0.0;
  double host_seconds = 0.0;
};

base::Result<RunSummary> run_scenario(const Scenario& scenario, const RunOptions& options, base::Env& env);

}  // namespace perjoule::compose
