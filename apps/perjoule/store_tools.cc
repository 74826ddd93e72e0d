// store info, export, compact, repair: looking after a store.
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>

#include "answers/damage.hpp"
#include "base/clock.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "bus/retention.hpp"
#include "bus/store.hpp"
#include "bus/store_export.hpp"
#include "bus/store_repair.hpp"
#include "command_line.hpp"
#include "output.hpp"
#include "progress.hpp"

namespace perjoule::app {
namespace {

using nlohmann::ordered_json;

std::string count_text(std::uint64_t n) { return base::group_digits(static_cast<std::int64_t>(n)); }

// ---- info ----

struct InfoArgs {
  std::string store = "perjoule-store";
  bool json = false;
};

struct TableInfo {
  std::string name;
  std::uint64_t files = 0, sealed_rows = 0, bytes = 0;  // of the files
  std::uint64_t unsealed_rows = 0, unsealed_blocks = 0, unsealed_bytes = 0;
  bus::TimeRange time;
  double bytes_per_row() const {
    return sealed_rows == 0 ? 0.0 : static_cast<double>(bytes) / static_cast<double>(sealed_rows);
  }
};

TableInfo table_info(const bus::StoreReader& store, bus::Table table) {
  TableInfo out;
  out.name = bus::schema_of(table).name;
  for (const auto& e : store.manifest().segments) {
    if (e.table != out.name) continue;
    ++out.files;
    out.sealed_rows += e.summary.rows;
    out.bytes += e.summary.bytes;
  }
  for (const auto& b : store.tail()) {
    if (b.table != table) continue;
    ++out.unsealed_blocks;
    out.unsealed_rows += b.rows;
    out.unsealed_bytes += b.bytes->size();
  }
  out.time = store.time_range(table);
  return out;
}

std::vector<TableInfo> table_infos(const bus::StoreReader& store) {
  std::vector<TableInfo> out;
  for (std::size_t t = 0; t < bus::kTableCount; ++t)
    out.push_back(table_info(store, static_cast<bus::Table>(t)));
  return out;
}

std::size_t log_segments(base::Env& env, const std::string& store) {
  const auto names = env.list(store + "/wal");
  std::size_t n = 0;
  for (std::size_t i = 0; names.ok() && i < names->size(); ++i)
    n += (*names)[i].ends_with(".log") && !(*names)[i].starts_with("spare-") ? 1U : 0U;
  return n;
}

ordered_json info_json(const bus::StoreReader& store, base::Env& env) {
  const auto& m = store.manifest();
  ordered_json j{{"schema_version", 1}, {"store", store.directory()}, {"format_version", m.format_version}};
  j["complete"] = m.complete;
  j["takes_events"] = !m.tables.empty();
  j["tables"] = ordered_json::array();
  for (const TableInfo& t : table_infos(store)) {
    ordered_json table{{"table", t.name},
                       {"rows", t.sealed_rows + t.unsealed_rows},
                       {"files", t.files},
                       {"sealed_rows", t.sealed_rows},
                       {"bytes", t.bytes},
                       {"bytes_per_row", t.bytes_per_row()},
                       {"unsealed_rows", t.unsealed_rows},
                       {"unsealed_blocks", t.unsealed_blocks},
                       {"unsealed_bytes", t.unsealed_bytes}};
    if (t.time.known) table["first_ns"] = t.time.first_ns, table["last_ns"] = t.time.last_ns;
    j["tables"].push_back(std::move(table));
  }
  j["dropped"] = ordered_json::array();
  for (const auto& d : m.dropped) {
    j["dropped"].push_back({{"table", d.table},
                            {"files", d.files},
                            {"rows", d.rows},
                            {"first_ns", d.first_ns},
                            {"last_ns", d.last_ns}});
    if (d.energy_uj) j["dropped"].back()["energy_uj"] = *d.energy_uj;
  }
  j["files"] = ordered_json::array();
  for (const auto& e : m.segments) j["files"].push_back(e.file);
  j["log"] = {{"segments", log_segments(env, store.directory())}, {"unsealed_blocks", store.tail().size()}};
  if (const auto log = store.log_status(); !log.ok()) j["log"]["fault"] = log.error().message();
  j["sources"] = ordered_json::object();
  for (const auto& [source, last] : m.sources) j["sources"][source] = last;
  j["meta"] = ordered_json::object();
  for (const auto& [key, value] : m.meta) j["meta"][key] = value;
  return j;
}

std::string info_text(const bus::StoreReader& store, base::Env& env) {
  const auto& m = store.manifest();
  std::string out = fmt::format("{}  format {}, {}\n\n", store.directory(), m.format_version,
                                m.complete          ? "complete"
                                : !m.tables.empty() ? "takes events"
                                                    : "broken off or still being written");
  out += fmt::format("{:<18} {:>15} {:>7} {:>15} {:>11} {:>13}  {}\n", "table", "rows", "files", "bytes",
                     "bytes/row", "not sealed", "time");
  for (const TableInfo& t : table_infos(store)) {
    out += fmt::format(
        "{:<18} {:>15} {:>7} {:>15} {:>11} {:>13}  {}\n", t.name, count_text(t.sealed_rows + t.unsealed_rows),
        t.files, count_text(t.bytes), t.sealed_rows == 0 ? "-" : fmt::format("{:.2f}", t.bytes_per_row()),
        count_text(t.unsealed_rows),
        t.time.known
            ? base::format_iso8601({t.time.first_ns}) + " to " + base::format_iso8601({t.time.last_ns})
            : "-");
  }
  for (const auto& d : m.dropped)
    out +=
        fmt::format("dropped    {}: {} files, {} rows from {} to {}\n", d.table, d.files, count_text(d.rows),
                    base::format_iso8601({d.first_ns}), base::format_iso8601({d.last_ns}));
  if (m.tables.empty()) return out;
  out += fmt::format("\nlog        {} segments, {} blocks not sealed\n", log_segments(env, store.directory()),
                     count_text(store.tail().size()));
  if (const auto log = store.log_status(); !log.ok())
    out += "           DAMAGED: " + log.error().message() + "\n";
  constexpr std::size_t kShown = 20;
  std::size_t shown = 0;
  for (const auto& [source, last] : m.sources) {
    if (shown++ == kShown) break;
    out +=
        fmt::format("{:<10} {} through number {}\n", shown == 1 ? "sources" : "", source, count_text(last));
  }
  if (m.sources.size() > kShown)
    out += fmt::format("           and {} more (--json)\n", m.sources.size() - kShown);
  return out;
}

base::Result<Answer> info(const InfoArgs& args) {
  base::Env& env = base::posix_env();
  PJ_ASSIGN(const auto store, bus::StoreReader::open(env, args.store));
  return Answer{args.json ? info_json(store, env).dump(2) + "\n" : info_text(store, env)};
}

// ---- export ----

struct ExportArgs {
  std::string store = "perjoule-store", table, format = "parquet", out, from, to;
  bool skip_damaged = false;
};

// ISO 8601, or -1h: that long before the table's last row.
base::Result<std::int64_t> moment(const std::string& text, const bus::TimeRange& range) {
  if (!text.starts_with('-')) {
    PJ_ASSIGN(const auto t, base::parse_iso8601(text));
    return t.ns;
  }
  PJ_ASSIGN(const auto back, base::parse_duration(text.substr(1)));
  return (range.known ? range.last_ns : 0) + 1 - back.ns;
}

base::Result<bus::ExportRequest> export_request(const ExportArgs& args, const bus::StoreReader& store) {
  bus::ExportRequest request;
  request.table = *bus::find_table(args.table);
  request.format = *bus::find_stream_format(args.format);
  const auto range = store.time_range(request.table);
  if (!args.from.empty()) {
    PJ_ASSIGN(request.window.from_ns, moment(args.from, range));
  }
  if (!args.to.empty()) {
    PJ_ASSIGN(request.window.to_ns, moment(args.to, range));
  }
  return request;
}

// A file that is whole takes the place of what is there: that must not be a device, or a file of the store.
base::Status check_export_place(const ExportArgs& args) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path out = fs::weakly_canonical(args.out, ignored),
                 store = fs::weakly_canonical(args.store, ignored);
  if (fs::exists(out, ignored) && !fs::is_regular_file(out, ignored))
    return base::bad_input("export", args.out, "it is no regular file",
                           "Say --out - and redirect standard output");
  const auto [end, rest] = std::mismatch(store.begin(), store.end(), out.begin(), out.end());
  if (end == store.end())
    return base::bad_input("export", args.out, "it is inside the store",
                           "Choose a place outside of " + args.store);
  return base::ok_status();
}

base::Result<Answer> export_rows(const CommandLine& line, const ExportArgs& args) {
  base::Env& env = base::posix_env();
  PJ_ASSIGN(const auto store, args.skip_damaged ? bus::StoreReader::open_without_damage(env, args.store)
                                                : bus::StoreReader::open(env, args.store));
  PJ_ASSIGN(const auto request, export_request(args, store));
  const bool to_stdout = args.out == "-";
  std::unique_ptr<base::PendingFile> file;
  if (!to_stdout) {
    PJ_TRY(check_export_place(args));
    PJ_ASSIGN(file, env.create(args.out));
  }
  const auto put = [&](std::string_view bytes) -> base::Status {
    if (interrupted()) return base::io_error("export", args.out, "interrupted; nothing was written");
    return to_stdout ? write_result(bytes) : file->append(bytes);
  };
  watch_signals();
  Progress progress(line.common().quiet);
  const auto all = static_cast<double>(store.rows(request.table));
  const auto rows = bus::export_table(store, request, put, [&](std::uint64_t n) {
    progress.show("export", static_cast<double>(n) / std::max(all, 1.0), all, "rows");
  });
  progress.clear();
  if (!rows.ok()) return rows.error();
  if (!to_stdout) PJ_TRY(file->commit());
  const std::string mark = answers::damage_text(store.left_out());
  return Answer{
      to_stdout ? "" : fmt::format("{} rows of {} written to {}\n", count_text(*rows), args.table, args.out),
      mark.empty() ? 0 : 1, mark};
}

// ---- repair ----

struct RepairArgs {
  std::string store = "perjoule-store", give_up_log_from;
  bool apply = false;
};

std::string plan_text(const bus::RepairPlan& plan, bool applied) {
  if (plan.nothing_to_do()) return "nothing to repair\n";
  const char* will = applied ? "" : "would be ";
  std::string out;
  for (const auto& f : plan.lost) {
    out += fmt::format("lost       {} byte {}: {}\n", f.file, f.byte, f.why);
    out += "           " +
           (f.rows_known ? count_text(f.rows) + " rows" : std::string("rows: not known how many"));
    if (f.time.known)
      out += fmt::format(" from {} to {}", base::format_iso8601({f.time.first_ns}),
                         base::format_iso8601({f.time.last_ns}));
    out += (f.numbers.empty() ? "" : "; numbers of sources: " + f.numbers) + "\n";
  }
  for (const auto& file : plan.rewrite)
    out += fmt::format("rewritten  {}: its sound row groups {}a new file\n", file, will);
  for (const auto& file : plan.move) out += fmt::format("put aside  {} {}moved to lost+found\n", file, will);
  for (const auto& file : plan.remove) out += fmt::format("removed    {} (unfinished)\n", file);
  if (plan.new_log)
    out += fmt::format("log        what is whole of it {}sealed into files, a new one begun\n", will);
  if (plan.new_manifest) out += fmt::format("manifest   {}made anew from the sealed files\n", will);
  for (const auto& text : plan.uncertain) out += "uncertain  " + text + "\n";
  if (!plan.refused.empty()) out += "refused    " + plan.refused + "\n           " + plan.hint + "\n";
  return out + (applied ? "done; the loss is written down in catalog/repairs.jsonl, perjoule audit shows it\n"
                        : "nothing was changed; say --apply to do it\n");
}

base::Result<Answer> repair(const RepairArgs& args) {
  base::Env& env = base::posix_env();
  PJ_ASSIGN(const auto lock, bus::lock_for_repair(env, args.store));
  const bus::RepairOptions options{args.give_up_log_from, PERJOULE_VERSION};
  PJ_ASSIGN(const auto plan, bus::plan_repair(env, args.store, options));
  if (args.apply) PJ_TRY(bus::apply_repair(env, args.store, plan, options, base::SystemClock().now()));
  return Answer{plan_text(plan, args.apply), args.apply || plan.nothing_to_do() ? 0 : 1};
}

// ---- compact ----

struct CompactArgs {
  std::string store = "perjoule-store";
  std::vector<std::string> keep;
};

base::Result<Answer> compact(const CompactArgs& args) {
  base::Env& env = base::posix_env();
  std::vector<bus::KeepRule> rules;
  for (const auto& text : args.keep) {
    PJ_ASSIGN(const auto rule, bus::parse_keep_rule(text));
    rules.push_back(rule);
  }
  PJ_ASSIGN(const auto before, bus::StoreReader::open(env, args.store));
  bus::EngineOptions options;
  options.threads = false;
  options.compaction.files = 2;
  std::string out;
  {
    PJ_ASSIGN(const auto engine, bus::Engine::open(env, args.store, options));
    PJ_TRY(engine->seal_all());
    PJ_ASSIGN(const auto dropped, bus::drop_old(*engine, base::SystemClock().now(), rules));
    for (const auto& d : dropped)
      out += fmt::format("dropped    {}: {} files, {} rows from {} to {}\n", d.table, d.files,
                         count_text(d.rows), base::format_iso8601({d.first_ns}),
                         base::format_iso8601({d.last_ns}));
    PJ_TRY(engine->compact());
  }
  PJ_ASSIGN(const auto after, before.reopen());
  out += fmt::format("files      {} before, {} now\n", before.manifest().segments.size(),
                     after.manifest().segments.size());
  return Answer{out};
}

// ---- the commands ----

void add_info(CommandLine& line, CLI::App& parent) {
  auto args = std::make_shared<InfoArgs>();
  CLI::App& c = line.add(parent, {"info",
                                  "tables, rows, bytes, times, log and sources of a store",
                                  "Reads the catalogue and the log's unsealed blocks, no sealed rows.",
                                  {"perjoule store info", "perjoule store info /var/lib/perjoule",
                                   "perjoule store info --json"}});
  line.folder(c.add_option("store", args->store, "folder of the store")->capture_default_str());
  c.add_flag("--json", args->json, "one JSON document");
  line.on_chosen(c, [args] { return info(*args); });
}

void add_export(CommandLine& line, CLI::App& parent) {
  auto args = std::make_shared<ExportArgs>();
  CLI::App& c = line.add(
      parent,
      {"export",
       "one table as Parquet, CSV, JSON lines or an Arrow stream",
       "Every row that was acknowledged, the log's unsealed ones too. A file gets its name when it is whole.",
       {"perjoule store export --table joules --out joules.parquet",
        "perjoule store export --table samples --format csv --from -1h --out -",
        "perjoule store export /tmp/s --table requests --format arrow --out requests.arrow"}});
  line.folder(c.add_option("store", args->store, "folder of the store")->capture_default_str());
  line.words(c.add_option("--table", args->table, "which one")->required(), "TABLE", bus::table_names());
  line.words(c.add_option("--format", args->format, "parquet, csv, jsonl or arrow (IPC stream)")
                 ->capture_default_str(),
             "FORMAT", {"parquet", "csv", "jsonl", "arrow"});
  line.file(c.add_option("--out", args->out, "where to; - is standard output")->required());
  c.add_option("--from", args->from, "ISO 8601, or -1h: that long before the table's last row")
      ->type_name("TIME");
  c.add_option("--to", args->to, "as --from")->type_name("TIME");
  c.add_flag("--skip-damaged", args->skip_damaged,
             "leave out what is damaged instead of refusing; a line on stderr says so, the status is 1");
  line.on_chosen(c, [&line, args] { return export_rows(line, *args); });
}

void add_compact(CommandLine& line, CLI::App& parent) {
  auto args = std::make_shared<CompactArgs>();
  CLI::App& c = line.add(
      parent,
      {"compact",
       "make few files of many small ones, and drop what is too old",
       "For a store that no server writes (perjoule serve does the same by itself): seals what is only in "
       "the log, brings the rollups up to it, and merges small neighbouring files of a table.",
       {"perjoule store compact", "perjoule store compact /var/lib/perjoule",
        "perjoule store compact --keep joules=90d --keep samples=30d"}});
  line.folder(c.add_option("store", args->store, "folder of the store")->capture_default_str());
  c.add_option("--keep", args->keep,
               "how long a table's rows are kept; may be said for several tables. Rollups keep the sums")
      ->type_name("TABLE=AGE");
  line.on_chosen(c, [args] { return compact(*args); });
}

void add_repair(CommandLine& line, CLI::App& parent) {
  auto args = std::make_shared<RepairArgs>();
  CLI::App& c = line.add(
      parent,
      {"repair",
       "keep what is sound of a damaged store, and write down what is lost",
       "Without --apply it only says what it would do. Damaged files go to STORE/lost+found, nothing is "
       "deleted; the sound row groups of a damaged file become a new one. A damaged log is given up only at "
       "the place that you name; a lost manifest is made anew only where no row can count twice.",
       {"perjoule store repair", "perjoule store repair --apply",
        "perjoule store repair --apply --give-up-log-from wal/0000000001.log:8192"}});
  line.folder(c.add_option("store", args->store, "folder of the store")->capture_default_str());
  c.add_flag("--apply", args->apply, "do it");
  c.add_option(
       "--give-up-log-from", args->give_up_log_from,
       "the log's first damaged place, as the dry run names it: what cannot be read from there on is lost")
      ->type_name("PLACE");
  line.on_chosen(c, [args] { return repair(*args); });
}

}  // namespace

void add_store_tool_commands(CommandLine& line) {
  CLI::App& store = line.add(
      line.root(), {"store",
                    "look after a store: info, export, compact, repair",
                    "",
                    {"perjoule store info", "perjoule store export --table joules --out joules.parquet",
                     "perjoule store repair"}});
  store.require_subcommand(1);
  add_info(line, store);
  add_export(line, store);
  add_compact(line, store);
  add_repair(line, store);
}

}  // namespace perjoule::app
