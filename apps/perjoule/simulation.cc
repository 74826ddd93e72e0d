// demo, simulate, config check.
#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <thread>

#include "agent/sleep_policy.hpp"
#include "base/env.hpp"
#include "commands.hpp"
#include "compose/run.hpp"
#include "compose/scenario.hpp"
#include "compose/summary_text.hpp"
#include "progress.hpp"
#include "sched/cap_policy.hpp"

namespace perjoule::app {
namespace {

using compose::Comparison;
using compose::RunOptions;
using compose::RunSummary;
using compose::Scenario;

struct SimulateArgs {
  std::string scenario;
  std::string store;
  std::string policies = "all";
  std::optional<std::uint64_t> seed;
  std::optional<double> hours;
  unsigned threads = 1;
  bool overwrite = false, json = false, golden = false, quiet = false, no_samples = false;
};

void add_common(CLI::App& command, SimulateArgs& args) {
  command.add_option("--seed", args.seed, "seed of every random draw (default: the scenario's)");
  command.add_option("--hours", args.hours, "length of the run (default: the scenario's)");
  command
      .add_option("--threads", args.threads, "threads of the store's writer; the bytes do not depend on it")
      ->check(CLI::Range(1U, 64U));
  command.add_flag("--overwrite", args.overwrite, "replace a store that is there");
  command.add_flag("--json", args.json, "one JSON document");
  command.add_flag("--quiet", args.quiet, "no progress");
}

int simulate(const SimulateArgs& args) {
  watch_signals();
  auto scenario = compose::read_scenario(base::posix_env(), args.scenario, {args.seed, args.hours});
  if (!scenario.ok()) return fail(scenario.error());
  auto policies = compose::parse_policies(args.policies);
  if (!policies.ok()) return fail(policies.error());
  Progress progress(args.quiet || args.json || args.golden);
  RunOptions options{*policies, args.store, args.overwrite, args.threads, !args.no_samples, {}, {}};
  options.progress = [&](double share) {
    progress.show("simulating " + scenario->name, share);
    return !interrupted();
  };
  const auto run = compose::run_scenario(*scenario, options, base::posix_env());
  progress.clear();
  if (!run.ok()) return fail(run.error());
  const std::string text = args.golden ? compose::golden_text(*run)
                           : args.json ? compose::summary_json(*run, {}) + "\n"
                                       : compose::screen_text(*run, {});
  std::fputs(text.c_str(), stdout);
  if (interrupted()) {
    std::fputs("perjoule: interrupted; the store ends with its last whole window\n", stderr);
    return 130;
  }
  return run->conserved ? 0 : 4;
}

// The runs whose table the demo shows: every rule of each policy alone, then both of ours.
std::vector<Comparison> comparison_plan() {
  std::vector<Comparison> plan{{"none", "none", "weak", {}}};
  for (const auto& r : agent::sleep_rules()) {
    if (r.name != "none") plan.push_back({"sleep", std::string(r.name), std::string(r.baseline), {}});
  }
  for (const auto& r : sched::cap_rules()) {
    if (r.name != "none") plan.push_back({"cap", std::string(r.name), std::string(r.baseline), {}});
  }
  return plan;
}

compose::PolicyChoice choice_of(const Comparison& c) {
  return {c.policy == "sleep" ? c.rule : "none", c.policy == "cap" ? c.rule : "none"};
}

// Runs the plan on `threads` threads; each run is independent and deterministic, so the order does not
// matter.
base::Status run_plan(const Scenario& scenario, std::vector<Comparison>& plan, unsigned threads,
                      Progress& progress) {
  std::atomic<std::size_t> next{0}, done{0};
  std::vector<base::Status> results(plan.size(), base::ok_status());
  const auto work = [&] {
    for (std::size_t i = next++; i < plan.size(); i = next++) {
      RunOptions options;
      options.policies = choice_of(plan[i]);
      options.progress = [](double) { return !interrupted(); };
      auto run = compose::run_scenario(scenario, options, base::posix_env());
      if (run.ok())
        plan[i].run = std::move(*run);
      else
        results[i] = run.error();
      ++done;
    }
  };
  std::vector<std::jthread> pool;
  for (unsigned t = 1; t < threads; ++t) pool.emplace_back(work);
  progress.show("comparing " + std::to_string(plan.size()) + " rules", 0.0);
  work();
  pool.clear();
  for (auto& r : results) PJ_TRY(std::move(r));
  return base::ok_status();
}

std::string demo_scenario_path() {
  const char* home = std::getenv("PERJOULE_HOME");
  return std::string(home != nullptr ? home : PERJOULE_DATA_DIR) + "/scenarios/demo.toml";
}

int demo(const SimulateArgs& args) {
  watch_signals();
  auto scenario = compose::read_scenario(base::posix_env(), demo_scenario_path(), {args.seed, args.hours});
  if (!scenario.ok()) return fail(scenario.error());
  Progress progress(args.quiet || args.json);
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  auto plan = comparison_plan();
  if (const auto s = run_plan(*scenario, plan, cores, progress); !s.ok()) return fail(s.error());
  RunOptions options;
  options.store = args.store;
  options.overwrite = args.overwrite;
  options.threads = args.threads;
  options.savings_json = compose::savings_json(plan.front().run, plan);
  options.progress = [&](double share) {
    progress.show("recording the run with both policies", share);
    return !interrupted();
  };
  auto run = compose::run_scenario(*scenario, options, base::posix_env());
  progress.clear();
  if (!run.ok()) return fail(run.error());
  plan.push_back({"both", "heaa + latency-aware", "ours", *run});
  std::fputs(
      (args.json ? compose::summary_json(*run, plan) + "\n" : compose::screen_text(*run, plan)).c_str(),
      stdout);
  if (interrupted()) return 130;
  if (!args.json) {
    std::printf(
        "\nnext\n  perjoule explain request %s --store %s\n  perjoule top --by tenant,model --store %s\n  "
        "perjoule report --html report.html --store %s\n",
        run->traced_request.c_str(), args.store.c_str(), args.store.c_str(), args.store.c_str());
  }
  return run->conserved ? 0 : 4;
}

int check_config(const std::string& path) {
  const auto scenario = compose::read_scenario(base::posix_env(), path);
  if (!scenario.ok()) return fail(scenario.error());
  base::SymbolTable symbols;
  const auto hall = plant::Hall::make(scenario->hall, symbols, {});
  if (!hall.ok()) return fail(hall.error());
  std::printf("%s: good: %zu nodes, %zu meters, %s\n", path.c_str(), scenario->hall.nodes.size(),
              (*hall)->meters().size(), base::format_duration(scenario->length).c_str());
  return 0;
}

}  // namespace

void add_simulation_commands(CLI::App& app, Runner& runner) {
  auto demo_args = std::make_shared<SimulateArgs>();
  demo_args->store = "perjoule-store";
  demo_args->overwrite = true;
  CLI::App* d = app.add_subcommand(
      "demo", "the main job on the built-in real input: simulate, record, attribute, compare");
  d->add_option("--store", demo_args->store, "folder of the store")->capture_default_str();
  add_common(*d, *demo_args);
  d->footer(
      "Examples:\n  perjoule demo\n  perjoule demo --hours 2 --store /tmp/s\n  perjoule demo --json --seed "
      "7");
  d->callback([demo_args, &runner] { runner = [demo_args] { return demo(*demo_args); }; });

  auto args = std::make_shared<SimulateArgs>();
  CLI::App* s = app.add_subcommand("simulate", "run a scenario in virtual time");
  s->add_option("scenario", args->scenario, "a scenario file (TOML)")->required();
  s->add_option("--policies", args->policies, "none, all, or a comma list of sleep[=RULE] and cap[=RULE]")
      ->capture_default_str();
  s->add_option("--store", args->store, "folder of the store (default: none is written)");
  s->add_flag("--golden", args->golden, "sorted key = value lines");
  s->add_flag("--no-samples", args->no_samples, "leave the samples table empty");
  add_common(*s, *args);
  s->footer(
      "Examples:\n  perjoule simulate scenarios/demo.toml --policies none\n  perjoule simulate "
      "scenarios/demo.toml --policies sleep=rent-or-buy,cap --hours 6\n  perjoule simulate "
      "scenarios/demo.toml --store /tmp/s --json");
  s->callback([args, &runner] { runner = [args] { return simulate(*args); }; });

  CLI::App* c = app.add_subcommand("config", "configuration files");
  c->require_subcommand(1);
  auto path = std::make_shared<std::string>();
  CLI::App* check = c->add_subcommand("check", "validate a scenario without running it");
  check->add_option("file", *path, "the file")->required();
  check->callback([path, &runner] { runner = [path] { return check_config(*path); }; });
}

}  // namespace perjoule::app
