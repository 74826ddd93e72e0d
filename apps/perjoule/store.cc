// audit: every byte and every equality of a store. (top, query, explain and report join it in this file.)
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "bus/conservation.hpp"
#include "bus/store.hpp"
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
    j["integrity"].push_back({{"damage", f.damage}, {"file", f.file}, {"table", f.table}, {"byte", f.byte}, {"why", f.why}});
  }
  j["conservation"] = {{"holds", c.holds()}, {"windows", c.windows}, {"leaf_checks", c.leaf_checks},
                       {"parent_checks", c.parent_checks}, {"joule_rows", c.joule_rows}, {"root_uj", c.root_uj},
                       {"joules_uj", c.joule_uj}, {"violation_count", c.violation_count}};
  j["conservation"]["violations"] = ordered_json::array();
  for (const auto& v : c.violations) {
    j["conservation"]["violations"].push_back({{"meter", v.meter}, {"window_ns", v.window_ns}, {"meter_uj", v.meter_uj},
                                               {"children_uj", v.children_uj}, {"joules_uj", v.joules_uj}});
  }
  return j;
}

void print_audit(const std::vector<bus::Finding>& findings, const bus::ConservationReport& c, std::size_t files) {
  std::printf("integrity     %zu files, %s\n", files, findings.empty() ? "every byte as written" : "findings:");
  for (const bus::Finding& f : findings) {
    std::printf("  %s %s (table %s) byte %llu: %s\n", f.damage ? "DAMAGED" : "beside", f.file.c_str(), f.table.c_str(),
                static_cast<unsigned long long>(f.byte), f.why.c_str());
  }
  const auto count = [](std::uint64_t n) { return base::group_digits(static_cast<std::int64_t>(n)); };
  std::printf("equality 1    %s leaf meters x windows: meter == sum of its joules\n", count(c.leaf_checks).c_str());
  std::printf("equality 2    %s parents x windows: meter == children + own joules\n", count(c.parent_checks).c_str());
  std::printf("site          %s uJ %s %s uJ in %s joules rows\n", base::group_digits(c.root_uj).c_str(),
              c.root_uj == c.joule_uj ? "==" : "!=", base::group_digits(c.joule_uj).c_str(), count(c.joule_rows).c_str());
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

}  // namespace

void add_store_commands(CLI::App& app, Runner& runner) {
  auto args = std::make_shared<AuditArgs>();
  CLI::App* c = app.add_subcommand("audit", "conservation by equality and integrity of every file");
  c->add_option("store", args->store, "folder of the store")->capture_default_str();
  c->add_flag("--json", args->json, "one JSON document");
  c->footer("Examples:\n  perjoule audit\n  perjoule audit /tmp/s\n  perjoule audit /tmp/s --json");
  c->callback([args, &runner] { runner = [args] { return audit(*args); }; });
}

}  // namespace perjoule::app
