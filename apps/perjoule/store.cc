// What is asked of a store: top, query, explain, report, audit.
#include "bus/store.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <nlohmann/json.hpp>

#include "answers/explain.hpp"
#include "answers/html_report.hpp"
#include "answers/query.hpp"
#include "answers/store_report.hpp"
#include "answers/time_window.hpp"
#include "answers/top.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "bus/conservation.hpp"
#include "command_line.hpp"

namespace perjoule::app {
namespace {

using nlohmann::ordered_json;

struct AuditArgs {
  std::string store = "perjoule-store";
  bool json = false;
};

ordered_json audit_json(const std::vector<bus::Finding>& findings, const bus::ConservationReport& c) {
  ordered_json j{{"schema_version", 1}, {"integrity", ordered_json::array()}};
  for (const bus::Finding& f : findings) {
    j["integrity"].push_back(
        {{"damage", f.damage}, {"file", f.file}, {"table", f.table}, {"byte", f.byte}, {"why", f.why}});
  }
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
  return j;
}

std::string audit_text(const std::vector<bus::Finding>& findings, const bus::ConservationReport& c,
                       std::size_t files, bool damaged) {
  std::string out = fmt::format("integrity     {} files, {}\n", files,
                                findings.empty() ? "every byte as written" : "findings:");
  for (const bus::Finding& f : findings) {
    out += fmt::format("  {} {} (table {}) byte {}: {}\n", f.damage ? "DAMAGED" : "beside", f.file, f.table,
                       f.byte, f.why);
  }
  if (!c.complete && !damaged) {
    out +=
        c.windows == 0
            ? "INCOMPLETE    the run was broken off before a window was sealed: there is nothing to check\n"
            : "INCOMPLETE    the run was broken off: windows from " +
                  base::format_iso8601({c.checked_to_ns}) +
                  " on are not checked, one of the two tables may end before the other\n";
  }
  if (damaged) return out + "conservation  not checked: mend or restore the damaged file first\n";
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
  bus::ConservationReport conservation;
  if (!damaged) {
    PJ_ASSIGN(conservation, bus::check_conservation(store));
  }
  return Answer{args.json ? audit_json(findings, conservation).dump(2) + "\n"
                          : audit_text(findings, conservation, store.manifest().segments.size(), damaged),
                damaged || !conservation.holds() || conservation.windows == 0 ? 1 : 0};
}

struct AskArgs {
  std::string store = "perjoule-store";
  std::string from, to;
  std::string kind, id, sql;
  std::vector<std::string> by{"tenant", "job", "model"};
  std::size_t limit = 20;
  std::string html, csv, json_file, format = "table";
  bool json = false, all = false;
};

using Text = base::Result<std::string>;

// Opens the store and asks: what every question below shares.
template <class Ask>
base::Result<Answer> with_store(const CommandLine& line, const std::string& directory, Ask&& ask) {
  PJ_ASSIGN(const auto store, bus::StoreReader::open(base::posix_env(), directory));
  note_store(line, store);
  Text text = ask(store);
  if (!text.ok()) return text.error();
  return Answer{std::move(text).value()};
}

std::string with_newline(std::string text) {
  if (text.empty() || text.back() != '\n') text += '\n';
  return text;
}

base::Result<Answer> ask_top(const CommandLine& line, const AskArgs& args) {
  return with_store(line, args.store, [&](const bus::StoreReader& store) -> Text {
    PJ_ASSIGN(const auto window, answers::read_window(args.from, args.to, store));
    PJ_ASSIGN(const auto answer, answers::top(store, {args.by, window, args.limit}));
    return with_newline(args.json ? answers::top_json(answer)
                                  : answers::top_text(answer, isatty(STDOUT_FILENO) != 0));
  });
}

base::Result<Answer> ask_explain(const CommandLine& line, const AskArgs& args) {
  return with_store(line, args.store, [&](const bus::StoreReader& store) -> Text {
    answers::ExplainOptions options;
    PJ_ASSIGN(options.window, answers::read_window(args.from, args.to, store));
    PJ_ASSIGN(const auto e, answers::explain(store, args.kind, args.id, options));
    return with_newline(args.json ? answers::explanation_json(e) : answers::explanation_text(e, args.all));
  });
}

base::Result<Answer> ask_query(const CommandLine& line, const AskArgs& args) {
  return with_store(line, args.store, [&](const bus::StoreReader& store) -> Text {
    PJ_ASSIGN(const auto answer, answers::query(store, args.sql));
    if (args.json || args.format == "json") return with_newline(answers::query_json(answer));
    return with_newline(args.format == "csv" ? answers::query_csv(answer) : answers::query_table(answer));
  });
}

base::Status write_report_files(const AskArgs& args, const answers::StoreReport& report) {
  if (!args.html.empty()) PJ_TRY(base::write_output(args.html, answers::report_html(report)));
  if (!args.json_file.empty())
    PJ_TRY(base::write_output(args.json_file, with_newline(answers::report_json(report))));
  if (args.csv.empty()) return base::ok_status();
  PJ_TRY(base::posix_env().create_directories(args.csv));
  for (const auto& [name, text] : answers::report_csv(report))
    PJ_TRY(base::write_output(args.csv + "/" + name, text));
  return base::ok_status();
}

base::Result<Answer> ask_report(const CommandLine& line, const AskArgs& args) {
  return with_store(line, args.store, [&](const bus::StoreReader& store) -> Text {
    answers::ReportOptions options;
    PJ_ASSIGN(options.window, answers::read_window(args.from, args.to, store));
    PJ_ASSIGN(const auto report, answers::store_report(store, options));
    PJ_TRY(write_report_files(args, report));
    std::string out;
    for (const std::string* file : {&args.html, &args.json_file, &args.csv}) {
      if (!file->empty()) out += "written to " + *file + "\n";
    }
    return out.empty() ? with_newline(answers::report_text(report)) : out;
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
  CLI::App& c =
      line.add(line.root(),
               {"query",
                "read-only SQL over a store (needs libduckdb: ./dev duckdb)",
                "Tables: meters, joules, samples, requests, jobs, decisions, carbon. One statement that "
                "reads; other files can "
                "neither be read nor written.",
                {"perjoule query 'select count(*) from joules'",
                 "perjoule query 'select share, sum(energy_uj) from joules group by 1' --json",
                 "perjoule query 'select * from requests order by energy_uj desc limit 5' --format csv"}});
  line.sql(c.add_option("sql", args->sql, "one reading statement")->required(), bus::all_table_names());
  line.words(c.add_option("--format", args->format, "table, csv or json")->capture_default_str(), "FORMAT",
             {"table", "csv", "json"});
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
