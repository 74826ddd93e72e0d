// signals, calibrate power, import, doctor.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "backends/grid/formats.hpp"
#include "backends/intake/import.hpp"
#include "backends/intake/mapping.hpp"
#include "backends/replay/formats.hpp"
#include "base/env.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"
#include "commands.hpp"
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

int signals(const SignalArgs& args) {
  std::vector<const energy::SignalInfo*> chosen;
  if (args.name.empty()) {
    for (const auto& s : energy::signal_catalogue()) chosen.push_back(&s);
  } else {
    const auto found = energy::find_signal(args.name);
    if (!found.ok()) return fail(found.error());
    chosen.push_back(*found);
  }
  if (args.json) {
    ordered_json j{{"schema_version", 1}, {"signals", ordered_json::array()}};
    for (const auto* s : chosen) j["signals"].push_back(signal_json(*s));
    std::printf("%s\n", j.dump(2).c_str());
    return 0;
  }
  for (const auto* s : chosen) {
    std::printf("%3d  %-22.*s %-8.*s %-8.*s %-7.*s %.*s\n", s->id().number, static_cast<int>(s->name.size()),
                s->name.data(), static_cast<int>(s->unit.size()), s->unit.data(),
                static_cast<int>(energy::name_of(s->kind).size()), energy::name_of(s->kind).data(),
                static_cast<int>(energy::name_of(s->sampling).size()), energy::name_of(s->sampling).data(),
                static_cast<int>(s->title.size()), s->title.data());
    if (args.name.empty()) continue;
    for (const auto& from : s->sources) {
      std::printf("     via %.*s: %.*s (%.*s x %s)%s\n", static_cast<int>(energy::name_of(from.via).size()),
                  energy::name_of(from.via).data(), static_cast<int>(from.path.size()), from.path.data(),
                  static_cast<int>(from.raw_unit.size()), from.raw_unit.data(),
                  base::shortest_text(from.scale).c_str(), from.verified ? "" : "  unverified");
    }
  }
  return 0;
}

struct CalibrateArgs {
  std::string file, out, workload, group, limit, time, power;
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
  return m;
}

int calibrate(const CalibrateArgs& args) {
  const auto text = base::read_text(base::posix_env(), args.file);
  if (!text.ok()) return fail(text.error());
  const auto rows = plant::parse_power_table(*text, args.file, mapping_of(args));
  if (!rows.ok()) return fail(rows.error());
  plant::CapCrossOptions options;
  options.step = args.step;
  if (args.clock) options.fit.kind = plant::LimitKind::kCoreClock;
  const auto model = plant::GpuCapModel::fit(*rows, options.fit);
  if (!model.ok()) return fail(model.error());
  const auto ours = plant::cross_validate(*rows, options);
  if (!ours.ok()) return fail(ours.error());
  const auto nearest = plant::cross_validate_nearest_neighbour(*rows, options);
  if (!nearest.ok()) return fail(nearest.error());
  if (!args.out.empty()) {
    if (const auto s = base::write_atomically(base::posix_env(), args.out, model->to_json()); !s.ok())
      return fail(s.error());
  }
  if (args.json) {
    const auto score = [](const plant::CapCrossValidation& v) {
      return ordered_json{{"energy_error_median", v.energy_median},
                          {"energy_error_p90", v.energy_p90},
                          {"best_limit_within_step_share", v.share_within_step()},
                          {"workloads", v.workloads},
                          {"rows", v.rows},
                          {"mean_regret", v.mean_regret}};
    };
    std::printf("%s\n", ordered_json{{"schema_version", 1},
                                     {"file", args.file},
                                     {"quality", "modelled"},
                                     {"cross_validation", "leave one group out"},
                                     {"model", score(*ours)},
                                     {"nearest_neighbour", score(*nearest)}}
                            .dump(2)
                            .c_str());
    return 0;
  }
  std::printf("%s: %zu rows, %d workloads; leave one group out\n", args.file.c_str(), rows->size(),
              ours->workloads);
  const auto line = [](const char* name, const plant::CapCrossValidation& v) {
    std::printf(
        "  %-18s energy error median %5.2f %%  p90 %5.1f %%   best limit within one step %d of %d (%.1f "
        "%%)\n",
        name, 100.0 * v.energy_median, 100.0 * v.energy_p90, v.best_within_step, v.workloads,
        100.0 * v.share_within_step());
  };
  line("this model", *ours);
  line("nearest neighbour", *nearest);
  for (const auto& [group, score] : ours->groups) {
    std::printf("    left out %-24s median %5.2f %%\n", group.c_str(), 100.0 * score.energy_median);
  }
  if (!args.out.empty()) std::printf("written to %s\n", args.out.c_str());
  return 0;
}

struct ImportArgs {
  std::string format, file, mapping, region, out;
  int year = 0;
  bool json = false;
};

int import_file(const ImportArgs& args) {
  backends::intake::ImportRegistry registry;
  backends::grid::register_formats(registry);
  backends::replay::register_formats(registry);
  backends::intake::ImportRequest request{args.file, {}, args.region, args.year};
  if (!args.mapping.empty()) {
    auto mapping = backends::intake::read_mapping(base::posix_env(), args.mapping);
    if (!mapping.ok()) return fail(mapping.error());
    request.mapping = std::move(*mapping);
  }
  const auto report = backends::intake::import_trace(registry, base::posix_env(), args.format, request);
  if (!report.ok()) return fail(report.error());
  const std::string out = args.out.empty() ? args.file + ".perjoule.csv" : args.out;
  if (const auto s = backends::intake::write_canonical(base::posix_env(), out, *report); !s.ok())
    return fail(s.error());
  if (args.json) {
    ordered_json j{{"schema_version", 1}, {"format", report->format},          {"rows", report->rows},
                   {"file", out},         {"rejected", ordered_json::array()}, {"notes", report->notes}};
    for (const auto& r : report->rejected)
      j["rejected"].push_back({{"where", r.where}, {"time", r.time}, {"reason", r.reason}});
    std::printf("%s\n", j.dump(2).c_str());
    return 0;
  }
  std::printf("%s: %lld rows taken, %zu rejected, written to %s\n", args.file.c_str(),
              static_cast<long long>(report->rows), report->rejected.size(), out.c_str());
  for (const auto& r : report->rejected)
    std::printf("  rejected %s %s: %s\n", r.where.c_str(), r.time.c_str(), r.reason.c_str());
  for (const auto& note : report->notes) std::printf("  note: %s\n", note.c_str());
  return 0;
}

int doctor(bool json) {
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
    std::printf("%s\n", j.dump(2).c_str());
    return 0;
  }
  std::printf("%-26s %-10s %-38s %s\n", "source", "state", "lost without it", "what to type");
  for (const auto& f : findings) {
    std::printf("%-26s %-10s %-38s %s\n", f.source.c_str(), f.state.c_str(), f.lost.c_str(), f.fix.c_str());
  }
  return 0;
}

void add_import(CLI::App& app, Runner& runner) {
  auto args = std::make_shared<ImportArgs>();
  CLI::App* c = app.add_subcommand("import", "bring a trace in: jobs, requests, carbon");
  c->add_option("format", args->format, "name of the format; a wrong name lists the nearest")->required();
  c->add_option("file", args->file, "plain or gzip text")->required();
  c->add_option("--mapping", args->mapping, "mapping file (TOML) for formats that need one");
  c->add_option("--region", args->region, "region, for carbon files that do not name it");
  c->add_option("--year", args->year, "year, for tables of annual factors");
  c->add_option("--out", args->out, "canonical file to write (default: FILE.perjoule.csv)");
  c->add_flag("--json", args->json, "one JSON document");
  c->footer(
      "Examples:\n  perjoule import dcrl data/carbon/dcrl_PJM_2022.csv.gz --region PJM --out /tmp/pjm.csv\n"
      "  perjoule import azure data/llm/AzureLLMInferenceTrace_conv.csv.gz --out /tmp/requests.csv\n"
      "  perjoule import jobs trace.csv --mapping examples/mappings/pm100_jobs.toml");
  c->callback([args, &runner] { runner = [args] { return import_file(*args); }; });
}

void add_calibrate(CLI::App& app, Runner& runner) {
  auto args = std::make_shared<CalibrateArgs>();
  CLI::App* parent = app.add_subcommand("calibrate", "fit a model to measurements");
  parent->require_subcommand(1);
  CLI::App* c = parent->add_subcommand(
      "power", "fit the GPU cap or clock model to a table, with cross-validated error");
  c->add_option("file", args->file, "table of limit, time and mean power per workload")->required();
  c->add_option("--workload", args->workload, "columns that name a workload, comma list");
  c->add_option("--group", args->group, "column whose values are left out in turn");
  c->add_option("--limit", args->limit, "column of the cap (W) or clock (MHz)");
  c->add_option("--time", args->time, "column of the time");
  c->add_option("--power", args->power, "column of the mean power (W)");
  c->add_option("--step", args->step, "tolerance of the best limit")->capture_default_str();
  c->add_flag("--clock", args->clock, "the limit is a core clock");
  c->add_option("--out", args->out, "write the fitted model (JSON)");
  c->add_flag("--json", args->json, "one JSON document");
  c->footer(
      "Examples:\n  perjoule calibrate power data/power/zeus_summary_power_v100.csv.gz\n"
      "  perjoule calibrate power data/power/zeus_summary_power_a40.csv.gz --json\n"
      "  perjoule calibrate power mine.csv --workload net --group net --limit cap_w --time s --power w --out "
      "mine.json");
  c->callback([args, &runner] { runner = [args] { return calibrate(*args); }; });
}

}  // namespace

void add_tool_commands(CLI::App& app, Runner& runner) {
  auto signal_args = std::make_shared<SignalArgs>();
  CLI::App* s = app.add_subcommand("signals", "the catalogue of signal classes");
  s->add_option("name", signal_args->name, "one signal, with its sources");
  s->add_flag("--json", signal_args->json, "one JSON document");
  s->footer("Examples:\n  perjoule signals\n  perjoule signals gpu.energy\n  perjoule signals --json");
  s->callback([signal_args, &runner] { runner = [signal_args] { return signals(*signal_args); }; });
  add_calibrate(app, runner);
  add_import(app, runner);
  auto json = std::make_shared<bool>(false);
  CLI::App* d =
      app.add_subcommand("doctor", "sources on this host: found or not, what is lost, what to type");
  d->add_flag("--json", *json, "one JSON document");
  d->footer("Examples:\n  perjoule doctor\n  perjoule doctor --json\n  sudo perjoule doctor");
  d->callback([json, &runner] { runner = [json] { return doctor(*json); }; });
}

}  // namespace perjoule::app
