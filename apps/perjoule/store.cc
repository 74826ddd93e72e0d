// What is asked of a store: top, query, explain, report, audit.
#include "bus/store.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "answers/explain.hpp"
#include "answers/html_report.hpp"
#include "answers/query.hpp"
#include "answers/store_report.hpp"
#include "answers/store_view.hpp"
#include "answers/top.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "bus/conservation.hpp"
#include "commands.hpp"

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
  j["conservation"] = {{"holds", c.holds()},           {"windows", c.windows},
                       {"leaf_checks", c.leaf_checks}, {"parent_checks", c.parent_checks},
                       {"joule_rows", c.joule_rows},   {"root_uj", c.root_uj},
                       {"joules_uj", c.joule_uj},      {"violation_count", c.violation_count}};
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

void print_audit(const std::vector<bus::Finding>& findings, const bus::ConservationReport& c,
                 std::size_t files) {
  std::printf("integrity     %zu files, %s\n", files,
              findings.empty() ? "every byte as written" : "findings:");
  for (const bus::Finding& f : findings) {
    std::printf("  %s %s (table %s) byte %llu: %s\n", f.damage ? "DAMAGED" : "beside", f.file.c_str(),
                f.table.c_str(), static_cast<unsigned long long>(f.byte), f.why.c_str());
  }
  const auto count = [](std::uint64_t n) { return base::group_digits(static_cast<std::int64_t>(n)); };
  std::printf("equality 1    %s leaf meters x windows: meter == sum of its joules\n",
              count(c.leaf_checks).c_str());
  std::printf("equality 2    %s parents x windows: meter == children + own joules\n",
              count(c.parent_checks).c_str());
  std::printf("site          %s uJ %s %s uJ in %s joules rows\n", base::group_digits(c.root_uj).c_str(),
              c.root_uj == c.joule_uj ? "==" : "!=", base::group_digits(c.joule_uj).c_str(),
              count(c.joule_rows).c_str());
  for (const auto& v : c.violations) {
    std::printf("  VIOLATED %s window %lld: meter %lld, children %lld, joules %lld: %s\n", v.meter.c_str(),
                static_cast<long long>(v.window_ns), static_cast<long long>(v.meter_uj),
                static_cast<long long>(v.children_uj), static_cast<long long>(v.joules_uj), v.why.c_str());
  }
}

int audit(const AuditArgs& args) {
  const auto store = bus::StoreReader::open(base::posix_env(), args.store);
  if (!store.ok()) return fail(store.error());
  const auto findings = store->verify();
  bool damaged = false;
  for (const auto& f : findings) damaged = damaged || f.damage;
  bus::ConservationReport conservation;
  if (!damaged) {
    auto checked = bus::check_conservation(*store);
    if (!checked.ok()) return fail(checked.error());
    conservation = std::move(*checked);
  }
  if (args.json) {
    std::printf("%s\n", audit_json(findings, conservation).dump(2).c_str());
  } else {
    print_audit(findings, conservation, store->manifest().segments.size());
  }
  if (damaged && !args.json) std::puts("conservation  not checked: mend or restore the damaged file first");
  return damaged || !conservation.holds() ? 1 : 0;
}

struct AskArgs {
  std::string store = "perjoule-store";
  std::string from, to;
  std::vector<std::string> words;  // kind and id, or the SQL
  std::vector<std::string> by{"tenant", "job", "model"};
  std::size_t limit = 20;
  std::string html, csv, json_file, format = "table";
  bool json = false, all = false;
};

// ISO 8601, or "-1h" = that long before the end of the store.
base::Result<std::int64_t> moment(const std::string& text, std::int64_t otherwise,
                                  const bus::StoreReader& store) {
  if (text.empty()) return otherwise;
  if (text.front() != '-') {
    PJ_ASSIGN(const auto t, base::parse_iso8601(text));
    return t.ns;
  }
  PJ_ASSIGN(const auto back, base::parse_duration(text.substr(1)));
  PJ_ASSIGN(const auto span, answers::span_of(store));
  return span.end_ns - back.ns;
}

base::Result<bus::TimeWindow> window_of(const AskArgs& args, const bus::StoreReader& store) {
  bus::TimeWindow w;
  PJ_ASSIGN(w.from_ns, moment(args.from, w.from_ns, store));
  PJ_ASSIGN(w.to_ns, moment(args.to, w.to_ns, store));
  return w;
}

// Opens the store, asks, prints: what every question below shares.
template <class Ask>
int with_store(const std::string& directory, Ask&& ask) {
  const auto store = bus::StoreReader::open(base::posix_env(), directory);
  if (!store.ok()) return fail(store.error());
  const auto text = ask(*store);
  if (!text.ok()) return fail(text.error());
  std::fputs(text->c_str(), stdout);
  return 0;
}

using Text = base::Result<std::string>;

std::string with_newline(std::string text) {
  if (text.empty() || text.back() != '\n') text += '\n';
  return text;
}

int ask_top(const AskArgs& args) {
  return with_store(args.store, [&](const bus::StoreReader& store) -> Text {
    PJ_ASSIGN(const auto window, window_of(args, store));
    PJ_ASSIGN(const auto answer, answers::top(store, {args.by, window, args.limit}));
    return with_newline(args.json ? answers::top_json(answer)
                                  : answers::top_text(answer, isatty(STDOUT_FILENO) != 0));
  });
}

int ask_explain(const AskArgs& args) {
  return with_store(args.store, [&](const bus::StoreReader& store) -> Text {
    answers::ExplainOptions options;
    PJ_ASSIGN(options.window, window_of(args, store));
    PJ_ASSIGN(const auto e, answers::explain(store, args.words[0], args.words[1], options));
    return with_newline(args.json ? answers::explanation_json(e) : answers::explanation_text(e, args.all));
  });
}

int ask_query(const AskArgs& args) {
  return with_store(args.store, [&](const bus::StoreReader& store) -> Text {
    PJ_ASSIGN(const auto answer, answers::query(store, args.words[0]));
    if (args.json || args.format == "json") return with_newline(answers::query_json(answer));
    return with_newline(args.format == "csv" ? answers::query_csv(answer) : answers::query_table(answer));
  });
}

base::Status write_report_files(const AskArgs& args, const answers::StoreReport& report) {
  base::Env& env = base::posix_env();
  if (!args.html.empty()) PJ_TRY(base::write_atomically(env, args.html, answers::report_html(report)));
  if (!args.json_file.empty())
    PJ_TRY(base::write_atomically(env, args.json_file, with_newline(answers::report_json(report))));
  if (args.csv.empty()) return base::ok_status();
  PJ_TRY(env.create_directories(args.csv));
  for (const auto& [name, text] : answers::report_csv(report))
    PJ_TRY(base::write_atomically(env, args.csv + "/" + name, text));
  return base::ok_status();
}

int ask_report(const AskArgs& args) {
  return with_store(args.store, [&](const bus::StoreReader& store) -> Text {
    answers::ReportOptions options;
    PJ_ASSIGN(options.window, window_of(args, store));
    PJ_ASSIGN(const auto report, answers::store_report(store, options));
    PJ_TRY(write_report_files(args, report));
    std::string out;
    for (const std::string* file : {&args.html, &args.json_file, &args.csv}) {
      if (!file->empty()) out += "written to " + *file + "\n";
    }
    return out.empty() ? with_newline(answers::report_text(report)) : out;
  });
}

void add_window(CLI::App& c, AskArgs& args) {
  c.add_option("--from", args.from, "ISO 8601, or -1h: that long before the store's end");
  c.add_option("--to", args.to, "as --from");
}

void add_question(CLI::App* c, const std::shared_ptr<AskArgs>& args, Runner& runner,
                  int (*ask)(const AskArgs&)) {
  c->add_option("--store", args->store, "folder of the store")->capture_default_str();
  c->callback([args, ask, &runner] { runner = [args, ask] { return ask(*args); }; });
}

void add_top(CLI::App& app, Runner& runner) {
  auto args = std::make_shared<AskArgs>();
  CLI::App* c = app.add_subcommand("top", "who used the energy, by any dimensions");
  c->add_option("--by", args->by, "dimensions, comma list")->delimiter(',');
  c->add_option("--limit", args->limit, "rows shown; 0 = all")->capture_default_str();
  c->add_flag("--json", args->json, "one JSON document");
  add_window(*c, *args);
  add_question(c, args, runner, ask_top);
  c->footer(
      "Examples:\n  perjoule top\n  perjoule top --by model,share --from -1h\n  perjoule top --by kernel "
      "--limit 5 --json");
}

void add_explain(CLI::App& app, Runner& runner) {
  auto args = std::make_shared<AskArgs>();
  CLI::App* c = app.add_subcommand("explain", "from any number back to meter readings, method and factors");
  c->add_option("what", args->words, "kind (request, job, kernel, decision, meter, line) and id")
      ->required()
      ->expected(2);
  c->add_flag("--json", args->json, "one JSON document");
  c->add_flag("--all", args->all, "every row, not only a screen of them");
  add_window(*c, *args);
  add_question(c, args, runner, ask_explain);
  c->footer(
      "Examples:\n  perjoule explain request r38\n  perjoule explain job job-10 --from -2h --all\n  perjoule "
      "explain line pue_interim --json");
}

void add_query(CLI::App& app, Runner& runner) {
  auto args = std::make_shared<AskArgs>();
  CLI::App* c = app.add_subcommand("query", "read-only SQL over a store (needs libduckdb: ./dev duckdb)");
  c->add_option("sql", args->words, "one reading statement")->required()->expected(1);
  c->add_option("--format", args->format, "table, csv or json")
      ->check(CLI::IsMember({"table", "csv", "json"}));
  c->add_flag("--json", args->json, "one JSON document");
  add_question(c, args, runner, ask_query);
  c->footer(
      "Examples:\n  perjoule query 'select count(*) from joules'\n  perjoule query 'select share, "
      "sum(energy_uj) from joules group by 1' --json\n"
      "  perjoule query 'select * from requests order by energy_uj desc limit 5' --format csv");
}

void add_report(CLI::App& app, Runner& runner) {
  auto args = std::make_shared<AskArgs>();
  CLI::App* c = app.add_subcommand("report", "the store's day: text, HTML, JSON, CSV");
  c->add_option("--html", args->html, "write a self-contained page");
  c->add_option("--json", args->json_file, "write one JSON document");
  c->add_option("--csv", args->csv, "write one file per table into this folder");
  add_window(*c, *args);
  add_question(c, args, runner, ask_report);
  c->footer(
      "Examples:\n  perjoule report\n  perjoule report --html report.html --from -6h\n  perjoule report "
      "--json report.json --csv report");
}

}  // namespace

void add_store_commands(CLI::App& app, Runner& runner) {
  add_top(app, runner);
  add_query(app, runner);
  add_explain(app, runner);
  add_report(app, runner);
  auto args = std::make_shared<AuditArgs>();
  CLI::App* c = app.add_subcommand("audit", "conservation by equality and integrity of every file");
  c->add_option("store", args->store, "folder of the store")->capture_default_str();
  c->add_flag("--json", args->json, "one JSON document");
  c->footer("Examples:\n  perjoule audit\n  perjoule audit /tmp/s\n  perjoule audit /tmp/s --json");
  c->callback([args, &runner] { runner = [args] { return audit(*args); }; });
}

}  // namespace perjoule::app
