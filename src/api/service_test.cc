#include "api/service.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "answers/test_store.hpp"
#include "api/metrics_text.hpp"
#include "base/memory_env.hpp"

namespace perjoule::api {
namespace {

using Json = nlohmann::json;

const base::VirtualClock& clock() {
  static const base::VirtualClock kClock({1'777'600'000'000'000'000});
  return kClock;
}

struct Answer {
  unsigned status = 0;
  std::string head, body;
  Json json() const { return Json::parse(body); }
};

Answer ask(Service& service, const std::string& bytes) {
  const Gate gate(service.router(), {});
  const std::string text = answer_bytes(gate, bytes);
  Answer answer;
  answer.status = static_cast<unsigned>(std::stoi(text.substr(9, 3)));
  answer.head = text.substr(0, text.find("\r\n\r\n"));
  answer.body = text.substr(answer.head.size() + 4);
  return answer;
}

Answer get(Service& service, const std::string& target, const std::string& more = "") {
  return ask(service, "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n");
}

Answer post(Service& service, const std::string& target, const std::string& body,
            const std::string& type = "application/x-ndjson") {
  return ask(service, "POST " + target + " HTTP/1.1\r\nHost: localhost\r\nContent-Type: " + type +
                          "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
}

class ReadingTest : public ::testing::Test {
 protected:
  answers::testing::TestStore files_{std::string("api-") +
                                     ::testing::UnitTest::GetInstance()->current_test_info()->name()};
  Service service_{
      base::posix_env(), clock(), nullptr, {.store = files_.file(""), .start_id = "test", .sql = true}};
};

TEST_F(ReadingTest, MetricsHoldTheMetersEnergy) {
  const Answer plain = get(service_, "/metrics");
  EXPECT_EQ(plain.status, 200U);
  EXPECT_NE(plain.head.find(kPrometheusType), std::string::npos);
  for (const char* line :
       {"\nperjoule_site_energy_joules_total{site=\"s\"} 0.004000\n",
        "\nperjoule_node_energy_joules_total{node=\"s/n\",site=\"s\"} 0.003200\n",
        "\nperjoule_device_energy_joules_total{device=\"s/n/gpu\",kind=\"gpu\",node=\"n\"} 0.002000\n",
        "\nperjoule_metrics_dropped_series 0\n", "\nperjoule_store_up 1\n",
        "# TYPE perjoule_site_energy_joules_total counter\n"})
    EXPECT_NE(plain.body.find(line), std::string::npos) << line << plain.body;
  const Answer open = get(service_, "/metrics", "Accept: application/openmetrics-text;version=1.0.0,*/*\r\n");
  EXPECT_NE(open.head.find(kOpenMetricsType), std::string::npos);
  EXPECT_NE(open.body.find(
                "# TYPE perjoule_site_energy_joules counter\n# UNIT perjoule_site_energy_joules joules\n"),
            std::string::npos);
  EXPECT_TRUE(open.body.ends_with("# EOF\n"));
  EXPECT_EQ(get(service_, "/metrics").body.find("request"), std::string::npos);
}

TEST_F(ReadingTest, SeriesAreLimited) {
  Service small{
      base::posix_env(), clock(), nullptr, {.store = files_.file(""), .start_id = "t", .metric_series = 2}};
  const std::string body = get(small, "/metrics").body;
  EXPECT_NE(body.find("perjoule_node_energy_joules_total{"), std::string::npos);
  EXPECT_EQ(body.find("perjoule_device_energy_joules_total{"), std::string::npos);
  EXPECT_NE(body.find("\nperjoule_metrics_dropped_series 3\n"), std::string::npos) << body;
}

TEST_F(ReadingTest, AnswersQuestions) {
  const Json top = get(service_, "/api/v1/top?by=tenant&limit=0").json();
  EXPECT_EQ(top["total_uj"], 4000);
  EXPECT_EQ(get(service_, "/api/v1/top?by=tenent").status, 400U);
  EXPECT_EQ(get(service_, "/api/v1/top?limit=-1").status, 400U);
  EXPECT_EQ(get(service_, "/api/v1/top?from=2030-01-01").status, 400U);
  EXPECT_TRUE(get(service_, "/api/v1/top?by=model", "Accept: text/csv\r\n").body.starts_with("model,"));
  EXPECT_EQ(get(service_, "/api/v1/explain/request/r1").json()["id"], "r1");
  EXPECT_EQ(get(service_, "/api/v1/explain/meter/s/n/gpu").json()["id"], "s/n/gpu");
  EXPECT_EQ(get(service_, "/api/v1/health").status, 200U);
  EXPECT_EQ(get(service_, "/api/v1/ready").json()["read_only"], true);
  EXPECT_EQ(get(service_, "/api/v1/stats").status, 200U);
}

TEST_F(ReadingTest, ReadOnlyRefusesRows) {
  EXPECT_EQ(post(service_, "/api/v1/write/samples", "{}").status, 403U);
  EXPECT_EQ(post(service_, "/v1/metrics", "{}", "application/json").status, 403U);
}

TEST_F(ReadingTest, AnswersSql) {
  const std::string sql = "select tenant, sum(energy_uj) e from joules group by 1 order by 1 nulls last";
  const Answer lines = post(service_, "/api/v1/query", sql, "text/plain");
  if (lines.status == 503) GTEST_SKIP() << lines.body;
  EXPECT_NE(lines.body.find(R"({"tenant":"acme","e":2200})"
                            "\n"),
            std::string::npos)
      << lines.body;
  EXPECT_EQ(post(service_, "/api/v1/query", R"({"sql": "delete from joules"})", "application/json").status,
            400U);
  EXPECT_EQ(post(service_, "/api/v1/query", R"({"sql": 3})", "application/json").status, 400U);
  const Answer csv = get(service_, "/api/v1/query?sql=select+count(*)+n+from+jobs&format=csv");
  EXPECT_NE(csv.body.find("n\n1\n"), std::string::npos) << csv.body;
  EXPECT_NE(csv.head.find("Content-Type: text/csv"), std::string::npos);
  const Answer arrow =
      get(service_, "/api/v1/query?sql=from+joules", "Accept: application/vnd.apache.arrow.stream\r\n");
  EXPECT_NE(arrow.head.find("application/vnd.apache.arrow.stream"), std::string::npos);
  EXPECT_NE(get(service_, "/api/v1/query?sql=from+joules&format=parquet").body.find("PAR1"),
            std::string::npos);
  EXPECT_EQ(get(service_, "/api/v1/query?sql=from+joules&format=xml").status, 400U);
  EXPECT_EQ(get(service_, "/api/v1/query").status, 400U);
  Service closed{base::posix_env(), clock(), nullptr, {.store = files_.file(""), .start_id = "test"}};
  EXPECT_EQ(get(closed, "/api/v1/query?sql=select+1").status, 403U);
  Service late{base::posix_env(),
               clock(),
               nullptr,
               {.store = files_.file(""), .start_id = "test", .sql = true, .query_seconds = 0.01}};
  EXPECT_EQ(get(late, "/api/v1/query?sql=select+count(*)+from+range(10000000000)+a,range(1000)+b").status,
            400U);
}

TEST_F(ReadingTest, DamageIsLeftOutOnlyWhenAskedAndSaid) {
  const std::string path = files_.file("joules/part-000001.parquet");
  std::string bytes = base::posix_env().read_file(path).value();
  const auto file = bus::ParquetFile::open(bytes, "joules");
  const auto at = static_cast<std::size_t>(file->meta().groups[0].columns[5].data_offset) + 30;
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  ASSERT_TRUE(base::write_output(path, bytes).ok());
  EXPECT_EQ(get(service_, "/api/v1/top?by=tenant").status, 500U);
  const Answer rest = get(service_, "/api/v1/top?by=tenant&skip_damaged=1");
  EXPECT_EQ(rest.status, 200U);
  EXPECT_EQ(rest.json()["damaged"].size(), 1U);
  EXPECT_NE(rest.head.find("X-Perjoule-Damaged: 1 parts"), std::string::npos) << rest.head;
}

constexpr const char* kRow = R"({"t_ns":1,"device":"d","signal":"s","value":1.5,"quality":"measured"})";

class WritingTest : public ::testing::Test {
 protected:
  WritingTest() {
    bus::EngineOptions options;
    options.threads = false;
    options.lock = false;
    options.log.segment_bytes = 64 << 10;
    auto engine = bus::Engine::open(env_, "/store", std::move(options));
    EXPECT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(engine).value();
    service_ = std::make_unique<Service>(env_, clock(), engine_.get(), ServiceOptions{"/store", "boot"});
  }
  std::uint64_t stored(std::string_view source) const { return engine_->stored_through(source); }
  std::vector<energy::SampleRow> samples(base::SymbolTable& symbols) {
    EXPECT_TRUE(engine_->seal_all().ok());
    std::vector<energy::SampleRow> rows;
    const auto store = bus::StoreReader::open(env_, "/store");
    EXPECT_TRUE(store.ok() &&
                store->for_each_sample(symbols, [&](const auto& row) { rows.push_back(row); }).ok());
    return rows;
  }

  base::MemoryEnv env_;
  std::unique_ptr<bus::Engine> engine_;
  std::unique_ptr<Service> service_;
};

TEST_F(WritingTest, NumbersRowsItself) {
  const Json first = post(*service_, "/api/v1/write/samples", std::string(kRow) + "\n" + kRow).json();
  EXPECT_EQ(first["outcome"], "stored");
  EXPECT_EQ(first["rows"], 2);
  EXPECT_EQ(first["stored_through"], 2);
  EXPECT_EQ(post(*service_, "/api/v1/write/samples", kRow).json()["stored_through"], 3);
  EXPECT_EQ(stored("http/boot"), 3U);
}

TEST_F(WritingTest, TheSendersNumbersMakeResendingHarmless) {
  const std::string target = "/api/v1/write/samples?source=s1&after=0&first=1&last=1";
  EXPECT_EQ(post(*service_, target, kRow).json()["outcome"], "stored");
  EXPECT_EQ(post(*service_, target, kRow).json()["outcome"], "already stored");
  const Answer hole = post(*service_, "/api/v1/write/samples?source=s1&after=5&first=6&last=6", kRow);
  EXPECT_EQ(hole.status, 409U);
  EXPECT_EQ(hole.json()["stored_through"], 1);
  base::SymbolTable symbols;
  EXPECT_EQ(samples(symbols).size(), 1U);
}

TEST_F(WritingTest, AnErrorStoresNothing) {
  const Answer wrong = post(*service_, "/api/v1/write/samples", std::string(kRow) + "\n{\"t_ns\":1}");
  EXPECT_EQ(wrong.status, 400U);
  EXPECT_EQ(wrong.json()["error"]["where"], "line 2, column quality");
  EXPECT_EQ(post(*service_, "/api/v1/write/sampels", kRow).status, 404U);
  EXPECT_EQ(post(*service_, "/api/v1/write/samples?source=x&after=0&first=1", kRow).status, 400U);
  EXPECT_EQ(post(*service_, "/api/v1/write/samples?source=x&after=3&first=1&last=4", kRow).status, 400U);
  EXPECT_EQ(post(*service_, "/api/v1/write/samples", kRow, "text/html").status, 415U);
  EXPECT_EQ(engine_->stats().rows, 0U);
}

TEST_F(WritingTest, OtlpBecomesSamples) {
  const Answer answer =
      post(*service_, "/v1/metrics", R"({"resourceMetrics":[{"resource":{"attributes":[{"key":"host.id",
    "value":{"stringValue":"n1"}}]},"scopeMetrics":[{"metrics":[{"name":"hw.host.power","gauge":{"dataPoints":[
    {"timeUnixNano":"5","asInt":"400"},{"asInt":"1"}]}}]}]}]})",
           "application/json");
  ASSERT_EQ(answer.status, 200U) << answer.body;
  EXPECT_EQ(answer.json()["partialSuccess"]["rejectedDataPoints"], "1");
  base::SymbolTable symbols;
  const auto rows = samples(symbols);
  ASSERT_EQ(rows.size(), 1U);
  EXPECT_EQ(symbols.text(rows[0].device), "n1");
  EXPECT_EQ(symbols.text(rows[0].signal), "node.power");
  EXPECT_EQ(symbols.text(rows[0].source), "otlp/boot");
  EXPECT_EQ(rows[0].value, 400.0);
  EXPECT_EQ(rows[0].seq, 1);
  EXPECT_EQ(stored("otlp/boot"), 1U);
  EXPECT_EQ(post(*service_, "/v1/metrics", "garbage", "application/x-protobuf").status, 400U);
}

TEST_F(WritingTest, MetricsTellOfTheEngine) {
  post(*service_, "/api/v1/write/samples", kRow);
  const std::string body = get(*service_, "/metrics").body;
  EXPECT_NE(body.find("\nperjoule_ingest_rows_total 1\n"), std::string::npos);
  EXPECT_NE(body.find("\nperjoule_wal_unsynced_bytes 0\n"), std::string::npos);
  EXPECT_NE(body.find("perjoule_ingest_refused_blocks_total{reason=\"busy\"} 0\n"), std::string::npos);
}

TEST(MetricsText, JoulesAreExact) {
  EXPECT_EQ(joules_text(1), "0.000001");
  EXPECT_EQ(joules_text(-2'500'000), "-2.500000");
  EXPECT_EQ(joules_text(INT64_MIN), "-9223372036854.775808");
  const std::string text =
      prometheus_text({{"a", MetricFamily::Type::kGauge, "", "h\\\n", {{{{"l", "q\"\n\\"}}, "1"}}}});
  EXPECT_EQ(text, "# HELP a h\\\\\\n\n# TYPE a gauge\na{l=\"q\\\"\\n\\\\\"} 1\n");
}

}  // namespace
}  // namespace perjoule::api
