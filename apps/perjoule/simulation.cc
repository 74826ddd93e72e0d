// demo, simulate, config check.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <thread>

#include "agent/sleep_policy.hpp"
#include "base/env.hpp"
#include "base/text.hpp"
#include "bus/store.hpp"
#include "command_line.hpp"
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
using nlohmann::ordered_json;

struct SimulateArgs {
  std::string scenario;
  std::string store;
  std::string policies = "all";
  std::optional<std::uint64_t> seed;
  std::optional<double> hours;
  unsigned threads = 1;
  bool overwrite = false, json = false, golden = false, no_samples = false;
};

void add_common(CommandLine& line, CLI::App& command, SimulateArgs& args) {
  line.count(command.add_option("--seed", args.seed, "seed of every random draw (default: the scenario's)"));
  command.add_option("--hours", args.hours, "length of the run (default: the scenario's)")->type_name("H");
  CLI::Option* threads = command.add_option(
      "--threads", args.threads, "threads of the store's writer, 1 to 64; the bytes do not depend on it");
  line.count(threads);
  threads->check(CLI::Range(1U, 64U).description(""))->capture_default_str();
  command.add_flag("--overwrite", args.overwrite, "replace a store that is there");
  command.add_flag("--json", args.json, "one JSON document");
}

constexpr const char* kInterrupted = "interrupted; the store ends with its last whole window";

double hours_of(const Scenario& scenario) {
  return static_cast<double>(scenario.length.ns) / static_cast<double>(base::kNsPerHour);
}

void note_scenario(const CommandLine& line, const std::string& path, const Scenario& scenario) {
  line.note("scenario " + path + ": " + std::to_string(scenario.hall.nodes.size()) + " nodes, " +
            base::format_duration(scenario.length) + ", seed " + std::to_string(scenario.hall.seed));
}

void note_end(const CommandLine& line, const std::string& store, const base::Stopwatch& watch) {
  line.note((store.empty() ? "no store was written; " : "store " + store + " written; ") +
            base::fixed_text(watch.elapsed().value(), 1) + " s");
}

base::Result<Answer> simulate(const CommandLine& line, const SimulateArgs& args) {
  watch_signals();
  const base::Stopwatch watch;
  PJ_ASSIGN(const auto scenario,
            compose::read_scenario(base::posix_env(), args.scenario, {args.seed, args.hours}));
  PJ_ASSIGN(const auto policies, compose::parse_policies(args.policies));
  note_scenario(line, args.scenario, scenario);
  Progress progress(line.common().quiet);
  RunOptions options{policies, args.store, args.overwrite, args.threads, !args.no_samples, {}, {}};
  options.progress = [&](double share) {
    progress.show("simulating " + scenario.name, share, hours_of(scenario), "h");
    return !interrupted();
  };
  const auto run = compose::run_scenario(scenario, options, base::posix_env());
  progress.clear();
  if (!run.ok()) return run.error();
  note_end(line, args.store, watch);
  Answer answer{args.golden ? compose::golden_text(*run)
                : args.json ? compose::summary_json(*run, {}) + "\n"
                            : compose::screen_text(*run, {}),
                run->conserved ? 0 : 4};
  if (interrupted()) answer.status = 130, answer.remark = kInterrupted;
  return answer;
}

// The runs whose table the demo shows: every rule of each policy alone, then the strong ones together. Ours
// together is the run that is recorded.
std::vector<Comparison> comparison_plan() {
  std::vector<Comparison> plan{{"none", "none", "weak", {"none", "none"}, {}}};
  for (const auto& r : agent::sleep_rules()) {
    if (r.name == "none") continue;
    plan.push_back(
        {"sleep", std::string(r.name), std::string(r.baseline), {std::string(r.name), "none"}, {}});
  }
  for (const auto& r : sched::cap_rules()) {
    if (r.name == "none") continue;
    plan.push_back({"cap", std::string(r.name), std::string(r.baseline), {"none", std::string(r.name)}, {}});
  }
  plan.push_back({"both", "packed + static", "strong", {"rent-or-buy-packed", "best-static"}, {}});
  return plan;
}

// Runs the plan on `threads` threads; each run is independent and deterministic, so the order does not
// matter. Progress is drawn by the calling thread alone.
base::Status run_plan(const Scenario& scenario, std::vector<Comparison>& plan, unsigned threads,
                      Progress& progress) {
  std::atomic<std::size_t> next{0}, done{0};
  std::vector<base::Status> results(plan.size(), base::ok_status());
  const double rules = static_cast<double>(plan.size());
  const auto work = [&](bool draws) {
    for (std::size_t i = next++; i < plan.size(); i = next++) {
      RunOptions options;
      options.policies = plan[i].choice;
      options.progress = [&](double share) {
        if (draws)
          progress.show("comparing rules", (static_cast<double>(done) + share) / rules, rules, "rules");
        return !interrupted();
      };
      auto run = compose::run_scenario(scenario, options, base::posix_env());
      if (run.ok())
        plan[i].run = std::move(*run);
      else
        results[i] = run.error();
      ++done;
    }
  };
  std::vector<std::jthread> pool;
  for (unsigned t = 1; t < threads; ++t) pool.emplace_back(work, false);
  work(true);
  pool.clear();
  for (auto& r : results) PJ_TRY(std::move(r));
  return base::ok_status();
}

std::string demo_scenario_path() {
  const char* home = std::getenv("PERJOULE_HOME");
  return std::string(home != nullptr ? home : PERJOULE_DATA_DIR) + "/scenarios/demo.toml";
}

// As a shell takes it.
std::string quoted(const std::string& word) {
  const std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./-+=:,@%";
  if (!word.empty() && word.find_first_not_of(plain) == std::string::npos) return word;
  std::string out = "'";
  for (const char c : word) out += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return out + "'";
}

// The way this program was called, so that what is printed can be typed where one stands.
std::string program_name() {
  std::error_code ec;
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe", ec);
  if (ec) return "perjoule";
  const char* path = std::getenv("PATH");
  for (const std::string_view folder : base::split(path != nullptr ? path : "", ':')) {
    if (std::filesystem::equivalent(std::filesystem::path(folder) / "perjoule", self, ec) && !ec)
      return "perjoule";
  }
  const std::filesystem::path here = std::filesystem::relative(self, ec);
  const bool near = !ec && !here.empty() && *here.begin() != "..";
  return quoted(near ? here.string() : self.string());
}

std::string next_steps(const SimulateArgs& args, const RunSummary& run) {
  const std::string program = "  " + program_name(), store = " --store " + quoted(args.store) + "\n";
  return "\nnext\n" +
         (run.traced_request.empty() ? "" : program + " explain request " + run.traced_request + store) +
         program + " top --by tenant,model" + store + program + " report --html report.html" + store;
}

// A store of an earlier run, which can be made again; not one that took events, or that cannot be read.
bool is_recorded_run(const std::string& directory) {
  const auto store = bus::StoreReader::open(base::posix_env(), directory);
  return store.ok() && store->manifest().tables.empty();
}

// Before the work, not after it.
base::Status may_record(const SimulateArgs& args) {
  const std::string manifest = args.store + "/catalog/manifest.json";
  if (args.overwrite || !base::posix_env().exists(manifest) || is_recorded_run(args.store))
    return base::ok_status();
  return base::bad_input("record the demo", args.store,
                         "the store there takes events (perjoule serve), or cannot be read",
                         "Choose another --store, or say --overwrite to lose what is in it");
}

base::Result<Answer> demo(const CommandLine& line, const SimulateArgs& args) {
  watch_signals();
  PJ_TRY(may_record(args));
  const base::Stopwatch watch;
  PJ_ASSIGN(const auto scenario,
            compose::read_scenario(base::posix_env(), demo_scenario_path(), {args.seed, args.hours}));
  note_scenario(line, demo_scenario_path(), scenario);
  Progress progress(line.common().quiet);
  const unsigned cores = std::max(1U, std::thread::hardware_concurrency());
  auto plan = comparison_plan();
  const auto compared = run_plan(scenario, plan, cores, progress);
  progress.clear();
  if (!compared.ok()) return compared.error();
  // The runs that were broken off cannot be compared, and a store would hold their figures.
  if (interrupted()) return Answer{"", 130, "interrupted; no store was written"};
  RunOptions options;
  options.store = args.store;
  options.overwrite = args.overwrite || is_recorded_run(args.store);
  options.threads = args.threads;
  options.savings_json = compose::savings_json(plan.front().run, plan);
  options.progress = [&](double share) {
    progress.show("recording the run with both policies", share, hours_of(scenario), "h");
    return !interrupted();
  };
  auto run = compose::run_scenario(scenario, options, base::posix_env());
  progress.clear();
  if (!run.ok()) return run.error();
  note_end(line, args.store, watch);
  plan.push_back({"both", "heaa + aware", "ours", options.policies, *run});
  if (interrupted()) return Answer{compose::screen_text(*run, {}), 130, kInterrupted};
  return Answer{args.json ? compose::summary_json(*run, plan) + "\n"
                          : compose::screen_text(*run, plan) + next_steps(args, *run),
                run->conserved ? 0 : 4};
}

// A scenario has a name, a start and lists of sections; settings have none of them.
bool looks_like_settings(std::string_view text) {
  bool any = false;
  for (const std::string_view line : base::split(text, '\n')) {
    const std::string_view key = base::trim(line.substr(0, line.find('=')));
    if (key == "name" || key == "start" || key.starts_with("[[")) return false;
    any = any || (!key.empty() && key.front() != '#');
  }
  return any;
}

struct CheckArgs {
  std::string file;
  bool json = false;
};

base::Result<Answer> check_config(CommandLine& line, const CheckArgs& args) {
  base::Env& env = base::posix_env();
  constexpr std::uint64_t kLargest = 16U << 20;
  PJ_ASSIGN(const auto text, env.read_file(args.file, kLargest));
  ordered_json j{{"schema_version", 1}, {"file", args.file}};
  std::string said;
  if (looks_like_settings(text)) {
    PJ_TRY(line.apply_settings(text, args.file));
    j["kind"] = "settings";
    said = "settings";
  } else {
    // Not read again: the file may be a pipe.
    const std::string folder = std::filesystem::path(args.file).parent_path().string();
    PJ_ASSIGN(const auto scenario,
              compose::parse_scenario(env, text, args.file, folder.empty() ? "." : folder));
    base::SymbolTable symbols;
    PJ_ASSIGN(const auto hall, plant::Hall::make(scenario.hall, symbols, {}));
    j["kind"] = "scenario";
    j["nodes"] = scenario.hall.nodes.size();
    j["meters"] = hall->meters().size();
    j["length_ns"] = scenario.length.ns;
    said = std::to_string(scenario.hall.nodes.size()) + " nodes, " + std::to_string(hall->meters().size()) +
           " meters, " + base::format_duration(scenario.length);
  }
  j["good"] = true;
  return Answer{args.json ? j.dump(2) + "\n" : args.file + ": good: " + said + "\n"};
}

std::vector<std::string> policy_words() {
  std::vector<std::string> words{"none", "all", "sleep", "cap"};
  for (const auto& r : agent::sleep_rules()) words.push_back("sleep=" + std::string(r.name));
  for (const auto& r : sched::cap_rules()) words.push_back("cap=" + std::string(r.name));
  return words;
}

void add_demo(CommandLine& line) {
  auto args = std::make_shared<SimulateArgs>();
  args->store = "perjoule-store";
  CLI::App& c = line.add(
      line.root(),
      {"demo",
       "the main job on the built-in real input: simulate, record, attribute, compare",
       "Runs a day of a hall of eight H200 servers once for every energy policy and its baselines, "
       "records the run with both policies in the store, replacing an earlier run, and shows "
       "who used the energy and what was saved. Whatever it shows is simulated.",
       {"perjoule demo", "perjoule demo --hours 2 --store /tmp/s", "perjoule demo --json --seed 7"}});
  line.folder(c.add_option("--store", args->store, "folder of the store")->capture_default_str());
  add_common(line, c, *args);
  line.on_chosen(c, [&line, args] { return demo(line, *args); });
}

void add_simulate(CommandLine& line) {
  auto args = std::make_shared<SimulateArgs>();
  CLI::App& c = line.add(line.root(),
                         {"simulate",
                          "run a scenario in virtual time",
                          "The same scenario, policies and seed give the same bytes, whatever the number of "
                          "threads. SIGINT ends the run "
                          "after the window that is under way; the store then holds what was simulated and "
                          "says that it is not complete.",
                          {"perjoule simulate scenarios/demo.toml --policies none",
                           "perjoule simulate scenarios/demo.toml --policies sleep=rent-or-buy,cap --hours 6",
                           "perjoule simulate scenarios/demo.toml --store /tmp/s --json"}});
  line.file(c.add_option("scenario", args->scenario, "a scenario file (TOML)")->required(), "SCENARIO");
  line.word_list(
      c.add_option("--policies", args->policies, "none, all, or a comma list of sleep[=RULE] and cap[=RULE]")
          ->capture_default_str(),
      "LIST", policy_words());
  line.folder(c.add_option("--store", args->store, "folder of the store; without it none is written"));
  c.add_flag("--golden", args->golden, "sorted key = value lines");
  c.add_flag("--no-samples", args->no_samples, "leave the samples table empty");
  add_common(line, c, *args);
  line.on_chosen(c, [&line, args] { return simulate(line, *args); });
}

void add_config(CommandLine& line) {
  CLI::App& parent = line.add(
      line.root(), {"config",
                    "scenarios and settings files",
                    "",
                    {"perjoule config check scenarios/demo.toml",
                     "perjoule config check settings.toml --json", "perjoule --config settings.toml top"}});
  parent.require_subcommand(1);
  auto args = std::make_shared<CheckArgs>();
  CLI::App& c = line.add(
      parent,
      {"check",
       "validate a scenario or a settings file without running it",
       "A file with a name, a start or [[sections]] is a scenario, any other a settings file as --config "
       "takes "
       "it: 'option = value' for every command that has the option, [command] for one; '-' in a name is '_'.",
       {"perjoule config check scenarios/demo.toml", "perjoule config check settings.toml",
        "perjoule config check scenarios/demo.toml --json"}});
  line.file(c.add_option("file", args->file, "the file")->required());
  c.add_flag("--json", args->json, "one JSON document");
  line.on_chosen(c, [&line, args] { return check_config(line, *args); });
}

}  // namespace

void add_simulation_commands(CommandLine& line) {
  add_demo(line);
  add_simulate(line);
  add_config(line);
}

}  // namespace perjoule::app
