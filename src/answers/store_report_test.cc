#include "answers/store_report.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "answers/html_report.hpp"
#include "answers/test_store.hpp"

namespace perjoule::answers {
namespace {

using testing::TestStore;

constexpr const char* kSavings =
    R"([{"policy":"none","rule":"none","baseline":"weak","site_uj":5000,"gpu_uj":3000,"p50_ms":1,"p95_ms":2,"p99_ms":3,"missed":0,"finished":2},
        {"policy":"cap","rule":"fixed","baseline":"usual","site_uj":4800,"gpu_uj":2800,"p50_ms":1,"p95_ms":2,"p99_ms":3,"missed":0,"finished":2},
        {"policy":"cap","rule":"<aware>","baseline":"ours","site_uj":4000,"gpu_uj":2000,"p50_ms":1,"p95_ms":2,"p99_ms":3,"missed":1,"finished":2}])";

StoreReport report_of(const TestStore& files) {
  const auto store = files.open();
  if (!store.ok()) return ADD_FAILURE() << store.error().message(), StoreReport{};
  auto r = store_report(*store);
  if (!r.ok()) return ADD_FAILURE() << r.error().message(), StoreReport{};
  return std::move(*r);
}

TEST(StoreReport, FiguresAgainstHandCounts) {
  const TestStore files("report", {{"savings_json", kSavings}});
  const StoreReport r = report_of(files);
  EXPECT_EQ(r.site_uj, 4000);
  EXPECT_EQ(r.it_uj, 3200);
  EXPECT_DOUBLE_EQ(r.pue(), 1.25);
  EXPECT_DOUBLE_EQ(r.idle_share(), 0.4);
  EXPECT_EQ(r.serving_direct_uj, 1200);
  EXPECT_DOUBLE_EQ(r.joules_per_token(), 1200e-6 / 50);
  EXPECT_DOUBLE_EQ(r.joules_per_request(), 600e-6);
  EXPECT_TRUE(r.adds_up());
  EXPECT_TRUE(r.conservation.holds());
  EXPECT_TRUE(r.simulated);
  // gpu work, gpu idle, host, network, cooling, losses (node 100 and site 100 a window)
  EXPECT_EQ(r.parts_uj(), (std::array<std::int64_t, 6>{1200, 800, 1000, 0, 600, 400}));
  std::int64_t sum = 0;
  for (const ReportHour& h : r.hours) sum += h.site_uj();
  EXPECT_EQ(sum, r.site_uj);
}

TEST(StoreReport, CarbonByWindowAndItsGaps) {
  const TestStore files("report-carbon");
  const StoreReport r = report_of(files);
  ASSERT_EQ(r.carbon.size(), 2U);
  EXPECT_NEAR(r.carbon[0].grams, (2000 * 100.0 + 2000 * 300.0) / 3.6e12, 1e-18);
  EXPECT_TRUE(std::isnan(r.carbon[1].grams));  // PJM has no factor for the second window: absent, not less
}

TEST(StoreReport, LatencyAndConsumers) {
  const TestStore files("report-latency");
  const StoreReport r = report_of(files);
  ASSERT_EQ(r.latency.size(), 2U);
  EXPECT_EQ(r.latency[0].finished, 2);
  EXPECT_EQ(r.latency[0].missed, 1);
  EXPECT_EQ(r.latency[0].p50_ms, 100.0);
  EXPECT_EQ(r.latency[0].p95_ms, 300.0);
  ASSERT_EQ(r.consumers.size(), 3U);
  EXPECT_EQ(r.consumers[0].job, "chat");
  EXPECT_TRUE(r.consumers[0].serving);
  EXPECT_EQ(r.consumers[0].gpu_idle_uj, 800);
  EXPECT_FALSE(r.consumers[1].serving);
}

TEST(StoreReport, SavingsAreAgainstEachBaseline) {
  const TestStore files("report-savings", {{"savings_json", kSavings}});
  const StoreReport r = report_of(files);
  ASSERT_EQ(r.savings.size(), 4U);
  EXPECT_EQ(r.savings[3].policy, kRecordedRun);
  EXPECT_EQ(r.savings[3].site_uj, r.site_uj);
  EXPECT_EQ(r.savings[3].missed, 1);
  EXPECT_NEAR(saved_against(r, r.savings[1]), 1.0 - 4000.0 / 4800.0, 1e-12);
  EXPECT_NEAR(below_none(r, r.savings[2]), 0.2, 1e-12);
  EXPECT_TRUE(std::isnan(saved_against(r, r.savings[2])));
  const TestStore broken("report-broken", {{"savings_json", "[{\"policy\":1}]"}});
  const auto store = broken.open();
  ASSERT_TRUE(store.ok());
  const auto answer = store_report(*store);
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(base::exit_status(answer.error().kind), 2);
}

TEST(StoreReport, EveryForm) {
  const TestStore files("report-forms", {{"savings_json", kSavings}});
  const StoreReport r = report_of(files);
  const auto json = nlohmann::json::parse(report_json(r));
  EXPECT_EQ(json["figures"]["site_uj"], 4000);
  EXPECT_EQ(json["simulated"], true);
  EXPECT_TRUE(json["carbon"][1]["carbon_g"].is_null());
  EXPECT_NE(report_text(r).find("4,000 uJ in joules rows == 4,000 uJ"), std::string::npos);
  EXPECT_EQ(report_html(r), report_html(r));
  EXPECT_NE(report_csv(r).at("consumers.csv").find("acme,chat,m-8b,2200,1200,800,200,0"), std::string::npos);
  const std::string html = report_html(r);
  EXPECT_NE(html.find("SIMULATED"), std::string::npos);
  EXPECT_NE(html.find("&lt;aware&gt;"), std::string::npos);
  for (const char* banned :
       {"<script", "http://", "https://", "src=", "@import", "url(", "<aware>", ">nan", "nan "}) {
    EXPECT_EQ(html.find(banned), std::string::npos) << banned;
  }
}

// The second cell of the line that begins with `name`.
std::string csv_value(const std::string& csv, const std::string& name) {
  const auto at = csv.find("\n" + name + ",");
  if (at == std::string::npos) return "no row " + name;
  const auto from = at + name.size() + 2;
  return csv.substr(from, csv.find(',', from) - from);
}

void expect_same_numbers(const StoreReport& r) {
  const std::string text = report_text(r), html = report_html(r);
  const auto json = nlohmann::json::parse(report_json(r));
  const auto csv = report_csv(r);
  const auto figures = report_figures(r);
  ASSERT_EQ(json["figure_list"].size(), figures.size());
  for (std::size_t i = 0; i < figures.size(); ++i) {
    const ReportFigure& f = figures[i];
    const auto& listed = json["figure_list"][i];
    EXPECT_EQ(listed["figure"], f.id);
    EXPECT_EQ(listed["value"], json["figures"][f.id]) << f.id;
    EXPECT_EQ(listed["quality"], energy::name_of(f.quality)) << f.id;
    EXPECT_EQ(csv_value(csv.at("figures.csv"), f.id), f.missing() ? "" : listed["value"].dump()) << f.id;
    EXPECT_EQ(listed["value"].is_null(), listed["missing_because"].is_string()) << f.id;
    const auto line = text.find(f.title + " ");
    ASSERT_NE(line, std::string::npos) << f.id;
    EXPECT_NE(text.substr(line, text.find('\n', line) - line).find(figure_text(f)), std::string::npos)
        << f.id;
  }
  for (const char* id : {"site_uj", "pue_interim", "idle_share", "joules_per_token_j", "joules_per_request_j",
                         "carbon_g", "saved_share"}) {
    const auto f = std::find_if(figures.begin(), figures.end(), [&](const auto& x) { return x.id == id; });
    ASSERT_NE(f, figures.end()) << id;
    EXPECT_NE(html.find("<b>" + figure_text(*f) + "</b>"), std::string::npos) << id;
    EXPECT_EQ(
        html.find(f->missing_because.empty() ? "missing because" : f->missing_because) == std::string::npos,
        f->missing_because.empty())
        << id;
    EXPECT_NE(html.find("perjoule explain line " + f->id + " --store"), std::string::npos) << id;
  }
  // Whole numbers and their sums, in every form.
  std::int64_t by_meter = 0, by_hour = 0;
  for (const auto& m : json["meters"]) {
    for (const char* share : {"own_direct_uj", "own_idle_uj", "own_overhead_uj", "own_residual_uj"})
      by_meter += m[share].get<std::int64_t>();
    EXPECT_TRUE(m["quality"].is_string());
  }
  for (const auto& h : json["series"]) {
    for (const auto& [kind, uj] : h["by_kind"].items()) by_hour += uj.get<std::int64_t>();
  }
  EXPECT_EQ(by_meter, r.site_uj);
  EXPECT_EQ(by_hour, r.site_uj);
  EXPECT_EQ(json["figures"]["kinds"]["cpu_uj"], 1000);
  EXPECT_EQ(json["figures"]["parts"]["host_uj"], 1000);
  EXPECT_NE(csv.at("meters.csv").find("\ns/n/gpu,s/n,r,n,gpu,it,2000,1200,800,0,0,simulated,10000\n"),
            std::string::npos)
      << csv.at("meters.csv");
}

TEST(StoreReport, EveryFormSaysTheSameNumbers) {
  expect_same_numbers(report_of(TestStore("report-same", {{"savings_json", kSavings}})));
}

TEST(StoreReport, EveryFormSaysTheSameIsMissing) {
  const StoreReport r = report_of(TestStore("report-missing"));
  ASSERT_TRUE(report_figures(r).back().missing());
  expect_same_numbers(r);
}

TEST(StoreReport, UncertaintyIsThatOfTheMeters) {
  const TestStore files("report-uncertainty");
  const auto figures = report_figures(report_of(files));
  EXPECT_EQ(figures[0].id, "site_uj");
  EXPECT_EQ(figures[0].uncertainty_ppm, 10'000);
  EXPECT_EQ(figures[5].id, "pue_interim");
  EXPECT_EQ(figures[5].uncertainty_ppm, 20'000);  // both errors the same way
  EXPECT_TRUE(figures.back().missing());
  EXPECT_EQ(figures.back().missing_because, "the store has no savings_json; perjoule demo writes it");
}

TEST(StoreReport, OfAWindow) {
  const TestStore files("report-window", {{"savings_json", kSavings}});
  const auto store = files.open();
  ASSERT_TRUE(store.ok());
  ReportOptions options;
  options.window = {TestStore::kT0 + 1, TestStore::kT0 + 2 * TestStore::kWindow};
  const auto r = store_report(*store, options);
  ASSERT_TRUE(r.ok()) << r.error().message();
  EXPECT_EQ(r->t0_ns, TestStore::kT0 + TestStore::kWindow);
  EXPECT_FALSE(r->whole);
  EXPECT_EQ(r->site_uj, 2000);
  EXPECT_TRUE(r->adds_up());
  EXPECT_EQ(r->serving_direct_uj, 600);
  ASSERT_FALSE(r->latency.empty());
  EXPECT_EQ(r->latency[0].finished, 1);
  EXPECT_EQ(r->decisions, 1);
  EXPECT_EQ(r->savings.size(), 3U);  // the recorded run is not among them: this is a part of it
  EXPECT_TRUE(report_figures(*r).back().missing());
  options.window = {TestStore::kT0 + 3 * TestStore::kWindow, INT64_MAX};
  const auto after = store_report(*store, options);
  ASSERT_FALSE(after.ok());
  EXPECT_EQ(base::exit_status(after.error().kind), 2);
}

}  // namespace
}  // namespace perjoule::answers
