// signals, calibrate power, import, doctor.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "backends/grid/formats.hpp"
#include "backends/intake/import.hpp"
#include "backends/intake/mapping.hpp"
#include "backends/replay/formats.hpp"
#include "base/env.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"
#include "command_line.hpp"
#include "compose/host_probe.hpp"
#include "energy/signal_catalogue.hpp"
#include "plant/power_table.hpp"

namespace perjoule::app {
namespace {

using nlohmann::ordered_json;

ordered_json signal_json(const energy::SignalInfo& s) {
  ordered_json j{{"number", s.id().number},
                 {"name", s.name},
                 {"title", s.title},
                 {"unit", s.unit},
                 {"kind", energy::name_of(s.kind)},
                 {"domain", energy::name_of(s.domain)},
                 {"sampling", energy::name_of(s.sampling)},
                 {"scope", s.scope}};
  j["overlap_group"] = s.overlap_group == energy::kNoOverlapGroup
                           ? ordered_json(nullptr)
                           : ordered_json(energy::overlap_groups()[s.overlap_group].name);
  j["sources"] = ordered_json::array();
  for (const energy::SourceInfo& from : s.sources) {
    j["sources"].push_back({{"via", energy::name_of(from.via)},
                            {"path", from.path},
                            {"raw_unit", from.raw_unit},
                            {"scale", from.scale},
                            {"verified", from.verified}});
  }
  return j;
}

struct SignalArgs {
  std::string name;
  bool json = false;
};

std::string signal_text(const energy::SignalInfo& s, bool with_sources) {
  std::string out = fmt::format("{:3}  {:22} {:8} {:8} {:7} {}\n", s.id().number, s.name, s.unit,
                                energy::name_of(s.kind), energy::name_of(s.sampling), s.title);
  if (!with_sources) return out;
  for (const auto& from : s.sources) {
    out += fmt::format("     via {}: {} ({} x {}){}\n", energy::name_of(from.via), from.path, from.raw_unit,
                       base::shortest_text(from.scale), from.verified ? "" : "  unverified");
  }
  return out;
}

base::Result<Answer> signals(const SignalArgs& args) {
  std::vector<const energy::SignalInfo*> chosen;
  if (args.name.empty()) {
    for (const auto& s : energy::signal_catalogue()) chosen.push_back(&s);
  } else {
    PJ_ASSIGN(const auto* found, energy::find_signal(args.name));
    chosen.push_back(found);
  }
  Answer answer;
  if (args.json) {
    ordered_json j{{"schema_version", 1}, {"signals", ordered_json::array()}};
    for (const auto* s : chosen) j["signals"].push_back(signal_json(*s));
    answer.text = j.dump(2) + "\n";
  } else {
    for (const auto* s : chosen) answer.text += signal_text(*s, !args.name.empty());
  }
  return answer;
}

struct CalibrateArgs {
  std::string file, out, workload, group, limit, time, power, steps, batch, dataset;
  double step = 25.0;
  bool clock = false, json = false;
};

plant::PowerTableMapping mapping_of(const CalibrateArgs& args) {
  plant::PowerTableMapping m;
  if (!args.workload.empty()) {
    m.workload.clear();
    for (const auto part : base::split(args.workload, ',')) m.workload.emplace_back(part);
  }
  if (!args.group.empty()) m.group = args.group;
  if (!args.limit.empty()) m.limit = args.limit;
  if (!args.time.empty()) m.time = args.time;
  if (!args.power.empty()) m.power = args.power;
  if (!args.steps.empty()) m.steps = args.steps;
  if (!args.batch.empty()) m.batch = args.batch;
  if (!args.dataset.empty()) m.dataset = args.dataset;
  return m;
}

ordered_json score_json(const plant::CapCrossValidation& v) {
  return {{"energy_error_median", v.energy_median},
          {"energy_error_p90", v.energy_p90},
          {"time_error_median", v.time_median},
          {"best_limit_within_step_share", v.share_within_step()},
          {"workloads", v.workloads},
          {"rows", v.rows},
          {"mean_regret", v.mean_regret},
          {"quality", "modelled"}};
}

ordered_json model_json(const plant::CapCrossValidation& v) {
  ordered_json j = score_json(v);
  j["uncertainty"] = {{"kind", "spread of the errors of left-out groups"},
                      {"share_of_rows_within", v.within_uncertainty}};
  j["groups"] = ordered_json::array();
  for (const auto& [group, score] : v.groups) {
    j["groups"].push_back({{"left_out", group}, {"energy_error_median", score.energy_median}});
  }
  return j;
}

std::string score_text(const char* name, const plant::CapCrossValidation& v) {
  return fmt::format(
      "  {:18} energy error median {:5.2f} %  p90 {:5.1f} %   best limit within one step {} of {} ({:.1f} "
      "%)\n",
      name, 100.0 * v.energy_median, 100.0 * v.energy_p90, v.best_within_step, v.workloads,
      100.0 * v.share_within_step());
}

base::Result<Answer> calibrate(const CalibrateArgs& args) {
  PJ_ASSIGN(const auto text, base::read_text(base::posix_env(), args.file));
  PJ_ASSIGN(const auto rows, plant::parse_power_table(text, args.file, mapping_of(args)));
  plant::CapCrossOptions options;
  options.step = args.step;
  if (args.clock) options.fit.kind = plant::LimitKind::kCoreClock;
  PJ_ASSIGN(const auto model, plant::GpuCapModel::fit(rows, options.fit));
  PJ_ASSIGN(const auto ours, plant::cross_validate(rows, options));
  PJ_ASSIGN(const auto nearest, plant::cross_validate_nearest_neighbour(rows, options));
  if (!args.out.empty()) PJ_TRY(base::write_output(args.out, model.to_json()));
  if (args.json) {
    return Answer{ordered_json{{"schema_version", 1},
                               {"file", args.file},
                               {"quality", "modelled"},
                               {"cross_validation", "leave one group out"},
                               {"model", model_json(ours)},
                               {"nearest_neighbour", score_json(nearest)}}
                      .dump(2) +
                  "\n"};
  }
  std::string out =
      fmt::format("{}: {} rows, {} workloads; leave one group out\n", args.file, rows.size(), ours.workloads);
  out += score_text("this model", ours) + score_text("nearest neighbour", nearest);
  for (const auto& [group, score] : ours.groups)
    out += fmt::format("    left out {:24} median {:5.2f} %\n", group, 100.0 * score.energy_median);
  if (!args.out.empty()) out += "written to " + args.out + "\n";
  return Answer{out};
}

struct ImportArgs {
  std::string format, file, mapping, region, out;
  int year = 0;
  bool json = false;
};

backends::intake::ImportRegistry known_formats() {
  backends::intake::ImportRegistry registry;
  backends::grid::register_formats(registry);
  backends::replay::register_formats(registry);
  return registry;
}

base::Result<Answer> import_file(const CommandLine& line, const ImportArgs& args) {
  backends::intake::ImportRequest request{args.file, {}, args.region, args.year};
  if (!args.mapping.empty()) {
    PJ_ASSIGN(request.mapping, backends::intake::read_mapping(base::posix_env(), args.mapping));
  }
  PJ_ASSIGN(const auto report,
            backends::intake::import_trace(known_formats(), base::posix_env(), args.format, request));
  const std::string out = args.out.empty() ? args.file + ".perjoule.csv" : args.out;
  PJ_TRY(backends::intake::write_canonical(base::posix_env(), out, report));
  line.note(fmt::format("{} bytes of canonical text", report.csv.size()));
  if (args.json) {
    ordered_json j{{"schema_version", 1}, {"format", report.format},           {"rows", report.rows},
                   {"file", out},         {"rejected", ordered_json::array()}, {"notes", report.notes}};
    for (const auto& r : report.rejected)
      j["rejected"].push_back({{"where", r.where}, {"time", r.time}, {"reason", r.reason}});
    return Answer{j.dump(2) + "\n"};
  }
  std::string text = fmt::format("{}: {} rows taken, {} rejected, written to {}\n", args.file, report.rows,
                                 report.rejected.size(), out);
  for (const auto& r : report.rejected)
    text += fmt::format("  rejected {} {}: {}\n", r.where, r.time, r.reason);
  for (const auto& note : report.notes) text += fmt::format("  note: {}\n", note);
  return Answer{text};
}

base::Result<Answer> doctor(bool json) {
  const auto findings = compose::probe_host("/");
  if (json) {
    ordered_json j{{"schema_version", 1}, {"sources", ordered_json::array()}};
    for (const auto& f : findings) {
      j["sources"].push_back({{"source", f.source},
                              {"state", f.state},
                              {"where", f.where},
                              {"lost_without", f.lost},
                              {"fix", f.fix}});
    }
    return Answer{j.dump(2) + "\n"};
  }
  std::string out =
      fmt::format("{:26} {:10} {:38} {}\n", "source", "state", "lost without it", "what to type");
  for (const auto& f : findings)
    out += fmt::format("{:26} {:10} {:38} {}\n", f.source, f.state, f.lost, f.fix);
  return Answer{out};
}

void add_import(CommandLine& line) {
  auto args = std::make_shared<ImportArgs>();
  CLI::App& c = line.add(
      line.root(),
      {"import",
       "bring a trace in: jobs, requests, carbon",
       "Checks the whole file and writes it in the canonical form that scenarios read. Nothing is "
       "written unless all of "
       "it is good; rows that are left out are listed with the reason.",
       {"perjoule import dcrl-carbon data/carbon/dcrl_PJM_2022.csv.gz --region PJM --out /tmp/pjm.csv",
        "perjoule import azure-llm data/llm/AzureLLMInferenceTrace_conv.csv.gz --out /tmp/requests.csv",
        "perjoule import jobs-csv trace.csv --mapping examples/mappings/pm100_jobs.toml"}});
  std::vector<std::string> names;
  const auto registry = known_formats();
  for (const auto& format : registry.formats()) names.push_back(format.name);
  line.known_words(
      c.add_option("format", args->format, "name of the format; a wrong name lists the nearest")->required(),
      "FORMAT", std::move(names));
  line.file(c.add_option("file", args->file, "plain or gzip text")->required());
  line.file(c.add_option("--mapping", args->mapping, "mapping file (TOML) for formats that need one"));
  c.add_option("--region", args->region, "region, for carbon files that do not name it")->type_name("NAME");
  c.add_option("--year", args->year, "year, for tables of annual factors")->type_name("YYYY");
  line.file(c.add_option("--out", args->out, "canonical file to write; without it, FILE.perjoule.csv"));
  c.add_flag("--json", args->json, "one JSON document");
  line.on_chosen(c, [&line, args] { return import_file(line, *args); });
}

void add_calibrate(CommandLine& line) {
  auto args = std::make_shared<CalibrateArgs>();
  CLI::App& parent =
      line.add(line.root(), {"calibrate",
                             "fit a model to measurements",
                             "",
                             {"perjoule calibrate power data/power/zeus_summary_power_v100.csv.gz",
                              "perjoule calibrate power data/power/zeus_summary_power_a40.csv.gz --json",
                              "perjoule calibrate power mine.csv --limit cap_w --time s --power w"}});
  parent.require_subcommand(1);
  CLI::App& c = line.add(
      parent,
      {"power",
       "fit the GPU cap or clock model to a table, with cross-validated error",
       "The error shown is of workloads that the fit has not seen: each group is left out in turn.",
       {"perjoule calibrate power data/power/zeus_summary_power_v100.csv.gz",
        "perjoule calibrate power data/power/zeus_summary_power_a40.csv.gz --json",
        "perjoule calibrate power mine.csv --workload net --group net --limit cap_w --time s --power w --out "
        "mine.json"}});
  line.file(c.add_option("file", args->file, "table of limit, time and mean power per workload")->required());
  c.add_option("--workload", args->workload, "columns that name a workload, comma list")->type_name("LIST");
  c.add_option("--group", args->group, "column whose values are left out in turn")->type_name("COLUMN");
  c.add_option("--limit", args->limit, "column of the cap (W) or clock (MHz)")->type_name("COLUMN");
  c.add_option("--time", args->time, "column of the time")->type_name("COLUMN");
  c.add_option("--power", args->power, "column of the mean power (W)")->type_name("COLUMN");
  c.add_option("--steps", args->steps, "column of the steps within the time (optional)")->type_name("COLUMN");
  c.add_option("--batch", args->batch,
               "column of the batch size (optional, gives the steps of a known data set)")
      ->type_name("COLUMN");
  c.add_option("--dataset", args->dataset, "column of the data set (optional)")->type_name("COLUMN");
  c.add_option("--step", args->step, "tolerance of the best limit")
      ->type_name("X")
      ->check(CLI::PositiveNumber.description(""))
      ->capture_default_str();
  c.add_flag("--clock", args->clock, "the limit is a core clock");
  line.file(c.add_option("--out", args->out, "write the fitted model (JSON)"));
  c.add_flag("--json", args->json, "one JSON document");
  line.on_chosen(c, [args] { return calibrate(*args); });
}

void add_signals(CommandLine& line) {
  auto args = std::make_shared<SignalArgs>();
  CLI::App& c = line.add(line.root(),
                         {"signals",
                          "the catalogue of signal classes",
                          "What a device can tell, with unit, kind, sampling and the places it is read from.",
                          {"perjoule signals", "perjoule signals gpu.energy", "perjoule signals --json"}});
  std::vector<std::string> names;
  for (const auto& s : energy::signal_catalogue()) names.emplace_back(s.name);
  line.known_words(c.add_option("name", args->name, "one signal, with its sources"), "NAME",
                   std::move(names));
  c.add_flag("--json", args->json, "one JSON document");
  line.on_chosen(c, [args] { return signals(*args); });
}

void add_doctor(CommandLine& line) {
  auto json = std::make_shared<bool>(false);
  CLI::App& c =
      line.add(line.root(), {"doctor",
                             "sources on this host: found or not, what is lost, what to type",
                             "",
                             {"perjoule doctor", "perjoule doctor --json", "sudo perjoule doctor"}});
  c.add_flag("--json", *json, "one JSON document");
  line.on_chosen(c, [json] { return doctor(*json); });
}

}  // namespace

void add_tool_commands(CommandLine& line) {
  add_signals(line);
  add_calibrate(line);
  add_import(line);
  add_doctor(line);
}

}  // namespace perjoule::app
