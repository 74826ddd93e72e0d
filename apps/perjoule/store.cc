// What is asked of a store: top, query, explain, report, audit.
#include "bus/store.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "answers/damage.hpp"
#include "answers/explain.hpp"
#include "answers/html_report.hpp"
#include "answers/query.hpp"
#include "answers/query_stream.hpp"
#include "answers/store_report.hpp"
#include "answers/time_window.hpp"
#include "answers/top.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "bus/conservation.hpp"
#include "bus/rollup_check.hpp"
#include "bus/store_repair.hpp"
#include "command_line.hpp"
#include "output.hpp"

namespace perjoule::app {
namespace {

using nlohmann::ordered_json;

struct AuditArgs {
  std::string store = "perjoule-store";
  bool json = false;
};

ordered_json audit_json(const std::vector<bus::Finding>& findings, const bus::ConservationReport& c,
                        const bus::RollupReport& rollups, const std::vector<bus::RepairRecord>& repairs) {
  ordered_json j{{"schema_version", 1}, {"integrity", ordered_json::array()}};
  for (const bus::Finding& f : findings) {
    j["integrity"].push_back(
        {{"damage", f.damage}, {"file", f.file}, {"table", f.table}, {"byte", f.byte}, {"why", f.why}});
    ordered_json& last = j["integrity"].back();
    if (f.rows_known) last["rows"] = f.rows;
    if (f.time.known) last["first_ns"] = f.time.first_ns, last["last_ns"] = f.time.last_ns;
    if (!f.numbers.empty()) last["numbers"] = f.numbers;
  }
  for (const auto& r : repairs) j["repairs"].push_back(ordered_json::parse(r.line, nullptr, false));
  j["conservation"] = {{"holds", c.holds()},
                       {"complete", c.complete},
                       {"windows", c.windows},
                       {"leaf_checks", c.leaf_checks},
                       {"parent_checks", c.parent_checks},
                       {"joule_rows", c.joule_rows},
                       {"root_uj", c.root_uj},
                       {"joules_uj", c.joule_uj},
                       {"quality", energy::name_of(c.quality)},
                       {"violation_count", c.violation_count}};
  j["conservation"]["violations"] = ordered_json::array();
  for (const auto& v : c.violations) {
    j["conservation"]["violations"].push_back({{"meter", v.meter},
                                               {"window_ns", v.window_ns},
                                               {"meter_uj", v.meter_uj},
                                               {"children_uj", v.children_uj},
                                               {"joules_uj", v.joules_uj}});
  }
  j["rollups"] = {{"holds", rollups.holds()},
                  {"steps", rollups.steps},
                  {"joule_rows", rollups.rows},
                  {"difference_count", rollups.difference_count}};
  j["rollups"]["differences"] = ordered_json::array();
  for (const auto& d : rollups.differences) {
    j["rollups"]["differences"].push_back(
        {{"rollup", d.rollup}, {"where", d.where}, {"rolled", d.rolled}, {"rows", d.rows}});
  }
  return j;
}

std::string rollups_text(const bus::RollupReport& r) {
  if (r.steps == 0 && r.holds()) return {};
  std::string out =
      fmt::format("rollups       {} steps of time: sums == the {} rows of joules they stand for\n",
                  base::group_digits(static_cast<std::int64_t>(r.steps)),
                  base::group_digits(static_cast<std::int64_t>(r.rows)));
  for (const auto& d : r.differences)
    out += fmt::format("  VIOLATED {} {}: sums of {}, rows of {}\n", d.rollup, d.where, d.rolled, d.rows);
  return out;
}

// What cannot be read any more because of a finding.
std::string lost_text(const bus::Finding& f) {
  std::string out = f.rows_known ? fmt::format("          lost: {} rows",
                                               base::group_digits(static_cast<std::int64_t>(f.rows)))
                                 : "          lost: rows, nobody knows how many";
  if (f.time.known)
    out += fmt::format(" from {} to {}", base::format_iso8601({f.time.first_ns}),
                       base::format_iso8601({f.time.last_ns}));
  if (!f.numbers.empty()) out += "; numbers of sources: " + f.numbers;
  return out + "\n";
}

// What earlier repairs could not bring back.
std::string repairs_text(const std::vector<bus::RepairRecord>& records) {
  std::string out;
  for (const auto& r : records) {
    const auto j = ordered_json::parse(r.line, nullptr, false);
    if (!r.whole || !j.is_object()) {
      out += "repaired      DAMAGED record in catalog/repairs.jsonl\n";
      continue;
    }
    std::uint64_t rows = 0;
    for (const auto& lost : j["lost"])
      rows += lost["rows"].is_number() ? lost["rows"].get<std::uint64_t>() : 0;
    out += fmt::format("repaired      {}: {} parts were lost, {} rows of them are known\n",
                       j["at"].get<std::string>(), j["lost"].size(),
                       base::group_digits(static_cast<std::int64_t>(rows)));
  }
  return out;
}

std::string audit_text(const std::vector<bus::Finding>& findings, const bus::ConservationReport& c,
                       std::size_t files, bool damaged) {
  std::string out = fmt::format("integrity     {} files, {}\n", files,
                                findings.empty() ? "every byte as written" : "findings:");
  for (const bus::Finding& f : findings) {
    out += fmt::format("  {} {} (table {}) byte {}: {}\n", f.damage ? "DAMAGED" : "beside", f.file, f.table,
                       f.byte, f.why);
    if (f.damage) out += lost_text(f);
  }
  if (!c.complete && !damaged) {
    out +=
        c.windows == 0
            ? "INCOMPLETE    the run was broken off before a window was sealed: there is nothing to check\n"
            : "INCOMPLETE    the run was broken off: windows from " +
                  base::format_iso8601({c.checked_to_ns}) +
                  " on are not checked, one of the two tables may end before the other\n";
  }
  if (damaged)
    return out +
           "conservation  not checked: restore the damaged file, or keep what is sound with perjoule store "
           "repair\n";
  const auto count = [](auto n) { return base::group_digits(static_cast<std::int64_t>(n)); };
  out += fmt::format("equality 1    {} leaf meters x windows: meter == sum of its joules\n",
                     count(c.leaf_checks));
  out += fmt::format("equality 2    {} parents x windows: meter == children + own joules\n",
                     count(c.parent_checks));
  out += fmt::format("site          {} uJ {} {} uJ in {} joules rows\n", count(c.root_uj),
                     c.root_uj == c.joule_uj ? "==" : "!=", count(c.joule_uj), count(c.joule_rows));
  for (const auto& v : c.violations) {
    out += fmt::format("  VIOLATED {} window {}: meter {}, children {}, joules {}: {}\n", v.meter,
                       v.window_ns, v.meter_uj, v.children_uj, v.joules_uj, v.why);
  }
  return out;
}

void note_store(const CommandLine& line, const bus::StoreReader& store) {
  line.note(fmt::format("store {}: {} files, {} joules rows{}", store.directory(),
                        store.manifest().segments.size(),
                        base::group_digits(static_cast<std::int64_t>(store.rows(bus::Table::kJoules))),
                        store.manifest().complete ? "" : ", broken off or still being written"));
}

base::Result<Answer> audit(const CommandLine& line, const AuditArgs& args) {
  PJ_ASSIGN(const auto store, bus::StoreReader::open(base::posix_env(), args.store));
  note_store(line, store);
  const auto findings = store.verify();
  bool damaged = false;
  for (const auto& f : findings) damaged = damaged || f.damage;
  PJ_ASSIGN(const auto repairs, bus::repairs_of(base::posix_env(), args.store));
  for (const auto& r : repairs) damaged = damaged || !r.whole;
  bus::ConservationReport conservation;
  bus::RollupReport rollups;
  if (!damaged) {
    PJ_ASSIGN(conservation, bus::check_conservation(store));
    PJ_ASSIGN(rollups, bus::check_rollups(store));
  }
  return Answer{args.json
                    ? audit_json(findings, conservation, rollups, repairs).dump(2) + "\n"
                    : repairs_text(repairs) +
                          audit_text(findings, conservation, store.manifest().segments.size(), damaged) +
                          rollups_text(rollups),
                damaged || !rollups.holds() || !conservation.holds() || conservation.windows == 0 ? 1 : 0};
}

struct AskArgs {
  std::string store = "perjoule-store";
  std::string from, to;
  std::string kind, id, sql;
  std::vector<std::string> by{"tenant", "job", "model"};
  std::size_t limit = 20;
  std::string html, csv, json_file, format = "table";
  bool json = false, all = false, skip_damaged = false;
};

using Text = base::Result<std::string>;

std::string with_newline(std::string text) {
  if (text.empty() || text.back() != '\n') text += '\n';
  return text;
}

// Opens the store and asks: what every question below shares.
template <class Ask>
base::Result<Answer> with_store(const CommandLine& line, const AskArgs& args, Ask&& ask) {
  base::Env& env = base::posix_env();
  PJ_ASSIGN(const auto store, args.skip_damaged ? bus::StoreReader::open_without_damage(env, args.store)
                                                : bus::StoreReader::open(env, args.store));
  note_store(line, store);
  Text text = ask(store);
  if (!text.ok()) return text.error();
  const std::string mark = answers::damage_text(store.left_out());
  return Answer{std::move(text).value(), mark.empty() ? 0 : 1, mark};
}

// A text says itself that it is not whole.
std::string marked_text(const bus::StoreReader& store, std::string text) {
  const std::string mark = answers::damage_text(store.left_out());
  return (mark.empty() ? "" : mark + "\n\n") + with_newline(std::move(text));
}

std::string marked_json(const bus::StoreReader& store, std::string text) {
  return with_newline(answers::mark_json(std::move(text), store.left_out()));
}

base::Result<Answer> ask_top(const CommandLine& line, const AskArgs& args) {
  return with_store(line, args, [&](const bus::StoreReader& store) -> Text {
    PJ_ASSIGN(const auto window, answers::read_window(args.from, args.to, store));
    PJ_ASSIGN(const auto answer, answers::top(store, {args.by, window, args.limit}));
    return args.json ? marked_json(store, answers::top_json(answer))
                     : marked_text(store, answers::top_text(answer, isatty(STDOUT_FILENO) != 0));
  });
}

base::Result<Answer> ask_explain(const CommandLine& line, const AskArgs& args) {
  return with_store(line, args, [&](const bus::StoreReader& store) -> Text {
    answers::ExplainOptions options;
    PJ_ASSIGN(options.window, answers::read_window(args.from, args.to, store));
    PJ_ASSIGN(const auto e, answers::explain(store, args.kind, args.id, options));
    return args.json ? marked_json(store, answers::explanation_json(e))
                     : marked_text(store, answers::explanation_text(e, args.all));
  });
}

// Bytes that no terminal can show.
bool is_binary(bus::StreamFormat format) {
  return format == bus::StreamFormat::kArrow || format == bus::StreamFormat::kParquet;
}

// Written piece by piece, so that an answer may be larger than the memory.
Text stream_query(const bus::StoreReader& store, const AskArgs& args, bus::StreamFormat format) {
  if (is_binary(format) && isatty(STDOUT_FILENO) != 0)
    return base::bad_input("run the query", "--format " + args.format, "a terminal cannot show it",
                           "Send it to a file: > answer." + args.format);
  PJ_ASSIGN(const auto stream, answers::QueryStream::open(store, args.sql, format));
  for (std::string bytes;; bytes.clear()) {
    PJ_ASSIGN(const bool more, stream->next(bytes));
    if (!more) return std::string{};
    PJ_TRY(write_result(bytes));
  }
}

base::Result<Answer> ask_query(const CommandLine& line, const AskArgs& args) {
  return with_store(line, args, [&](const bus::StoreReader& store) -> Text {
    const auto format = bus::find_stream_format(args.format);
    if (format && !args.json) return stream_query(store, args, *format);
    PJ_ASSIGN(const auto answer, answers::query(store, args.sql));
    if (args.json || args.format == "json") return marked_json(store, answers::query_json(answer));
    return marked_text(store, answers::query_table(answer));
  });
}

base::Status write_report_files(const AskArgs& args, const answers::StoreReport& report,
                                const std::vector<bus::Finding>& left_out) {
  if (!args.html.empty())
    PJ_TRY(base::write_output(args.html, answers::mark_html(answers::report_html(report), left_out)));
  if (!args.json_file.empty())
    PJ_TRY(base::write_output(args.json_file,
                              with_newline(answers::mark_json(answers::report_json(report), left_out))));
  if (args.csv.empty()) return base::ok_status();
  PJ_TRY(base::posix_env().create_directories(args.csv));
  for (const auto& [name, text] : answers::report_csv(report))
    PJ_TRY(base::write_output(args.csv + "/" + name, text));
  return base::ok_status();
}

base::Result<Answer> ask_report(const CommandLine& line, const AskArgs& args) {
  return with_store(line, args, [&](const bus::StoreReader& store) -> Text {
    answers::ReportOptions options;
    PJ_ASSIGN(options.window, answers::read_window(args.from, args.to, store));
    PJ_ASSIGN(const auto report, answers::store_report(store, options));
    PJ_TRY(write_report_files(args, report, store.left_out()));
    std::string out;
    for (const std::string* file : {&args.html, &args.json_file, &args.csv}) {
      if (!file->empty()) out += "written to " + *file + "\n";
    }
    return marked_text(store, out.empty() ? answers::report_text(report) : out);
  });
}

using Ask = base::Result<Answer> (*)(const CommandLine&, const AskArgs&);

// A question's own options come first, then the store and, where it takes one, the window.
void finish_question(CommandLine& line, CLI::App& c, const std::shared_ptr<AskArgs>& args, bool window,
                     Ask ask) {
  line.folder(c.add_option("--store", args->store, "folder of the store")->capture_default_str());
  if (window) {
    c.add_option("--from", args->from, "ISO 8601, or -1h: that long before the store's end")
        ->type_name("TIME");
    c.add_option("--to", args->to, "as --from")->type_name("TIME");
  }

  c.add_flag("--skip-damaged", args->skip_damaged,
             "leave out what is damaged instead of refusing; the answer says so, the status is 1");
  line.on_chosen(c, [&line, args, ask] { return ask(line, *args); });
}

void add_top(CommandLine& line) {
  auto args = std::make_shared<AskArgs>();
  CLI::App& c = line.add(line.root(), {"top",
                                       "who used the energy, by any dimensions",
                                       "Energy of the joules table by one to six dimensions, largest first. "
                                       "The rows and what is left out add up to the "
                                       "site meter.",
                                       {"perjoule top", "perjoule top --by model,share --from -1h",
                                        "perjoule top --by kernel --limit 5 --json"}});
  line.word_list(c.add_option("--by", args->by, "dimensions, comma list")
                     ->delimiter(',')
                     ->allow_extra_args(false)
                     ->default_str("tenant,job,model"),
                 "LIST", answers::top_dimensions());
  line.count(c.add_option("--limit", args->limit, "rows shown; 0 = all")->capture_default_str());
  c.add_flag("--json", args->json, "one JSON document");
  finish_question(line, c, args, true, ask_top);
}

void add_explain(CommandLine& line) {
  auto args = std::make_shared<AskArgs>();
  CLI::App& c =
      line.add(line.root(), {"explain",
                             "from any number back to meter readings, method and factors",
                             "Shows the thing's own row, its joules rows, the meters they came from up to "
                             "the site, the sensors' counters, "
                             "the rules that were applied, carbon factors, seed and build. Every equality it "
                             "prints was computed for this "
                             "answer.",
                             {"perjoule explain request r38", "perjoule explain job job-10 --from -2h --all",
                              "perjoule explain decision d1 --json"}});
  line.known_words(
      c.add_option("kind", args->kind, "request, job, kernel, decision, meter, or line (of the report)")
          ->required(),
      "KIND", answers::explain_kinds());
  c.add_option("id", args->id, "which one; an unknown one gets the nearest names")
      ->type_name("ID")
      ->required();
  c.add_flag("--json", args->json, "one JSON document");
  c.add_flag("--all", args->all, "every row, not only a screen of them");
  finish_question(line, c, args, true, ask_explain);
}

void add_query(CommandLine& line) {
  auto args = std::make_shared<AskArgs>();
  CLI::App& c = line.add(
      line.root(),
      {"query",
       "read-only SQL over a store (needs libduckdb: ./dev duckdb)",
       "Tables: meters, joules, samples, requests, jobs, decisions, carbon, with every row that was "
       "acknowledged. One statement that "
       "reads; other files can "
       "neither be read nor written. csv, jsonl, arrow and parquet are written as they come, whatever "
       "their size.",
       {"perjoule query 'select count(*) from joules'",
        "perjoule query 'select share, sum(energy_uj) from joules group by 1' --json",
        "perjoule query 'select * from joules where tenant is not null' --format arrow > joules.arrow"}});
  line.sql(c.add_option("sql", args->sql, "one reading statement")->required(), bus::all_table_names());
  line.words(c.add_option("--format", args->format, "table, json, jsonl, csv, arrow (IPC stream) or parquet")
                 ->capture_default_str(),
             "FORMAT", {"table", "json", "jsonl", "csv", "arrow", "parquet"});
  c.add_flag("--json", args->json, "one JSON document");
  finish_question(line, c, args, false, ask_query);
}

void add_report(CommandLine& line) {
  auto args = std::make_shared<AskArgs>();
  CLI::App& c = line.add(
      line.root(),
      {"report",
       "the store's day: text, HTML, JSON, CSV",
       "Without an option the report is printed as text. The page needs no other file and no network.",
       {"perjoule report", "perjoule report --html report.html --from -6h",
        "perjoule report --json report.json --csv report"}});
  line.file(c.add_option("--html", args->html, "write a self-contained page"));
  line.file(c.add_option("--json", args->json_file, "write one JSON document"));
  line.folder(c.add_option("--csv", args->csv, "write one file per table into this folder"));
  finish_question(line, c, args, true, ask_report);
}

void add_audit(CommandLine& line) {
  auto args = std::make_shared<AuditArgs>();
  CLI::App& c =
      line.add(line.root(),
               {"audit",
                "conservation by equality and integrity of every file",
                "Reads every byte of the store: sizes, hashes, checksums of pages; then, for every meter and "
                "window, that the "
                "energy of its consumers and children adds up to it exactly. Status 1 if anything does not.",
                {"perjoule audit", "perjoule audit /tmp/s", "perjoule audit /tmp/s --json"}});
  line.folder(c.add_option("store", args->store, "folder of the store")->capture_default_str());
  c.add_flag("--json", args->json, "one JSON document");
  line.on_chosen(c, [&line, args] { return audit(line, *args); });
}

}  // namespace

void add_store_commands(CommandLine& line) {
  add_top(line);
  add_query(line);
  add_explain(line);
  add_report(line);
  add_audit(line);
}

}  // namespace perjoule::app
