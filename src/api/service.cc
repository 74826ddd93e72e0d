#include "api/service.hpp"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "answers/damage.hpp"
#include "answers/explain.hpp"
#include "answers/query.hpp"
#include "answers/query_stream.hpp"
#include "answers/time_window.hpp"
#include "answers/top.hpp"
#include "api/process_metrics.hpp"
#include "base/text.hpp"

namespace perjoule::api {
namespace {

using Json = nlohmann::ordered_json;
constexpr auto kCounter = MetricFamily::Type::kCounter;
constexpr auto kGauge = MetricFamily::Type::kGauge;

constexpr const char* kJson = "application/json";
constexpr const char* kJsonLines = "application/x-ndjson";
constexpr const char* kCsv = "text/csv; charset=utf-8";

std::string with_newline(std::string text) {
  if (text.empty() || text.back() != '\n') text += '\n';
  return text;
}

MetricFamily one(const char* name, MetricFamily::Type type, const char* unit, const char* help,
                 std::uint64_t value) {
  MetricFamily family{name, type, unit, help};
  family.add(value);
  return family;
}

std::vector<MetricFamily> engine_metrics(const bus::EngineStats& s) {
  MetricFamily refused{"perjoule_ingest_refused_blocks", kCounter, "", "Blocks that were not taken."};
  refused.add({{"reason", "busy"}}, std::to_string(s.busy_blocks));
  refused.add({{"reason", "wrong"}}, std::to_string(s.refused_blocks));
  return {
      one("perjoule_ingest_blocks", kCounter, "", "Blocks stored since the start.", s.blocks),
      one("perjoule_ingest_rows", kCounter, "", "Rows stored since the start.", s.rows),
      one("perjoule_ingest_bytes", kCounter, "bytes", "Bytes of the blocks stored since the start.", s.bytes),
      one("perjoule_ingest_repeated_blocks", kCounter, "", "Blocks sent again that were stored before.",
          s.repeated_blocks),
      std::move(refused),
      one("perjoule_ingest_sources", kGauge, "", "Sources that the store knows.", s.sources),
      one("perjoule_wal_groups", kCounter, "", "Groups of blocks written to the log.", s.groups),
      one("perjoule_wal_written_bytes", kCounter, "bytes", "Bytes written to the log.", s.log_bytes),
      one("perjoule_wal_unsynced_bytes", kGauge, "bytes", "Bytes of the log that are not on the disk yet.",
          s.unsynced_bytes),
      one("perjoule_wal_waiting_bytes", kGauge, "bytes", "Bytes accepted and not written to the log yet.",
          s.waiting_bytes),
      one("perjoule_tail_rows", kGauge, "", "Rows stored and not sealed yet.", s.tail_rows),
      one("perjoule_tail_bytes", kGauge, "bytes", "Bytes stored and not sealed yet.", s.tail_bytes),
      one("perjoule_sealed_rows", kCounter, "", "Rows sealed into Parquet files.", s.sealed_rows),
      one("perjoule_sealed_bytes", kCounter, "bytes", "Bytes of the Parquet files sealed.", s.sealed_bytes),
      one("perjoule_sealed_files", kCounter, "", "Parquet files sealed.", s.sealed_files),
      one("perjoule_engine_up", kGauge, "", "1 while the engine takes rows; 0 after a write error.",
          s.stopped.empty() ? 1 : 0),
      one("perjoule_sealing_up", kGauge, "", "1 while sealing gets on; 0 while it fails.",
          s.sealing_fault.empty() ? 1 : 0),
  };
}

std::vector<MetricFamily> server_metrics(const ServerStats& s) {
  MetricFamily answers{"perjoule_http_responses", kCounter, "", "Answers given, by status."};
  answers.add({{"code", "2xx"}}, std::to_string(s.answers_2xx));
  answers.add({{"code", "4xx"}}, std::to_string(s.answers_4xx));
  answers.add({{"code", "5xx"}}, std::to_string(s.answers_5xx));
  return {one("perjoule_http_connections", kGauge, "", "Connections open.", s.connections),
          one("perjoule_http_refused_connections", kCounter, "", "Connections beyond the limit.",
              s.refused_connections),
          one("perjoule_http_client_timeouts", kCounter, "",
              "Connections closed because the client was slow.", s.timeouts),
          std::move(answers)};
}

void append(std::vector<MetricFamily>& all, std::vector<MetricFamily> more) {
  std::move(more.begin(), more.end(), std::back_inserter(all));
}

Json json_of(const bus::EngineStats& s) {
  return {{"blocks", s.blocks},
          {"rows", s.rows},
          {"bytes", s.bytes},
          {"repeated_blocks", s.repeated_blocks},
          {"refused_blocks", s.refused_blocks},
          {"busy_blocks", s.busy_blocks},
          {"groups", s.groups},
          {"log_bytes", s.log_bytes},
          {"unsynced_bytes", s.unsynced_bytes},
          {"waiting_bytes", s.waiting_bytes},
          {"tail_rows", s.tail_rows},
          {"tail_bytes", s.tail_bytes},
          {"sealed_rows", s.sealed_rows},
          {"sealed_bytes", s.sealed_bytes},
          {"sealed_files", s.sealed_files},
          {"sources", s.sources},
          {"stopped", s.stopped},
          {"sealing_fault", s.sealing_fault}};
}

Json json_of(const ServerStats& s) {
  return {{"connections", s.connections}, {"refused_connections", s.refused_connections},
          {"timeouts", s.timeouts},       {"answers_2xx", s.answers_2xx},
          {"answers_4xx", s.answers_4xx}, {"answers_5xx", s.answers_5xx}};
}

// SQL as it is, as the parameter sql, or {"sql": "..."}.
base::Result<std::string> sql_of(const Request& request) {
  if (const auto sql = request.query_value("sql")) return *sql;
  if (request.method != "POST")
    return base::bad_input("run the query", "sql", "it is missing", "Ask /api/v1/query?sql=select+1");
  if (request.media_type() != kJson) return request.body;
  const auto j = nlohmann::json::parse(request.body, nullptr, false);
  if (j.is_object() && j.contains("sql") && j["sql"].is_string()) return j["sql"].get<std::string>();
  return base::bad_input("run the query", "body", "it is no JSON object with the text sql",
                         R"(Send {"sql": "select 1"}, or the SQL itself as text/plain)");
}

// One of the places for queries, given back when the last that holds it goes.
class Place {
 public:
  // nullptr: all are taken, or this client has one.
  static std::shared_ptr<Place> take(std::mutex& mutex, std::multiset<std::string>& taken,
                                     const std::string& client, unsigned most) {
    const std::lock_guard lock(mutex);
    // Callers without a socket are tests.
    if (taken.size() >= most || (!client.empty() && taken.contains(client))) return nullptr;
    taken.insert(client);
    return std::shared_ptr<Place>(new Place(mutex, taken, client));
  }
  Place(const Place&) = delete;
  Place& operator=(const Place&) = delete;
  ~Place() {
    const std::lock_guard lock(mutex_);
    taken_.erase(taken_.find(client_));
  }

 private:
  Place(std::mutex& mutex, std::multiset<std::string>& taken, std::string client)
      : mutex_(mutex), taken_(taken), client_(std::move(client)) {}
  std::mutex& mutex_;
  std::multiset<std::string>& taken_;
  const std::string client_;
};

// An answer that breaks off on its way: the server closes the connection, so that nobody takes it for whole.
struct BrokenOff : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The rows as they come; the query keeps its place until the last one.
Response stream_rows(std::unique_ptr<answers::QueryStream> stream, bus::StreamFormat format,
                     std::shared_ptr<Place> place) {
  Response response;
  response.type = bus::media_type_of(format);
  response.more = [all = std::shared_ptr<answers::QueryStream>(std::move(stream)),
                   place = std::move(place)](std::string& piece) {
    auto more = all->next(piece);
    if (!more.ok()) throw BrokenOff(more.error().message());
    return *more;
  };
  return response;
}

// "format=" before Accept; nullopt: one JSON document.
base::Result<std::optional<bus::StreamFormat>> format_of(const Request& request) {
  if (const auto name = request.query_value("format")) {
    if (*name == "json") return std::optional<bus::StreamFormat>{};
    if (const auto format = bus::find_stream_format(*name)) return format;
    return base::bad_input("read the question", "format", "'" + *name + "' is not known here",
                           "Give jsonl, json, csv, arrow or parquet");
  }
  constexpr std::array kStreams{bus::StreamFormat::kJsonLines, bus::StreamFormat::kCsv,
                                bus::StreamFormat::kArrow, bus::StreamFormat::kParquet};
  std::vector<std::string_view> types{media_type_of(kStreams[0]), kJson};
  for (std::size_t i = 1; i < kStreams.size(); ++i) types.push_back(media_type_of(kStreams[i]));
  const auto chosen = request.accepted(types);
  for (const auto format : kStreams) {
    if (chosen == media_type_of(format)) return std::optional(format);
  }
  return std::optional<bus::StreamFormat>{};
}

}  // namespace

// The handlers, with the service at hand.
class Handlers {
 public:
  explicit Handlers(Service& service) : s_(service) {}

  Response health(const Request&) const { return json({{"status", "ok"}}); }

  Response ready(const Request&) const {
    const std::string why = s_.engine_ == nullptr ? "" : s_.engine_->stats().stopped;
    if (!why.empty())
      return error_response(503,
                            base::io_error("take rows", s_.options_.store, why, "Restart perjoule serve"));
    const auto store = open();
    if (!store.ok()) return error_response(503, store.error());
    return json({{"status", "ready"}, {"store", s_.options_.store}, {"read_only", s_.engine_ == nullptr}});
  }

  Response stats(const Request&) const {
    Json j{{"schema_version", 1}, {"store", s_.options_.store}, {"read_only", s_.engine_ == nullptr}};
    if (s_.engine_ != nullptr) {
      j["engine"] = json_of(s_.engine_->stats());
      j["log_io"] = s_.engine_->log_io();
      const auto& r = s_.engine_->recovery();
      j["recovery"] = {{"blocks", r.blocks}, {"rows", r.rows}, {"bytes", r.bytes}, {"torn", r.torn}};
    }
    j["http"] = json_of(server_stats());
    return json(j);
  }

  Response metrics(const Request& request) const {
    std::vector<MetricFamily> all;
    MetricFamily build{"perjoule_build_info", kGauge, "", "The version, as a label."};
    all.push_back(std::move(build.add({{"version", PERJOULE_VERSION}}, "1")));
    append(all, process_metrics(s_.started_));
    append(all, server_metrics(server_stats()));
    if (s_.engine_ != nullptr) append(all, engine_metrics(s_.engine_->stats()));
    append(all, energy_metrics());
    Response response;
    response.type = std::string(request.accepted({kPrometheusType, kOpenMetricsType}));
    response.body = response.type == kPrometheusType ? prometheus_text(all) : open_metrics_text(all);
    return response;
  }

  Response top(const Request& request) const {
    answers::TopOptions options;
    if (const auto by = request.query_value("by")) {
      options.dimensions.clear();
      for (const auto part : base::split(*by, ',')) options.dimensions.emplace_back(part);
    }
    if (const auto limit = request.query_value("limit")) {
      const auto n = base::parse_int(*limit);
      if (!n || *n < 0)
        return error_response(
            base::bad_input("read the question", "limit", "'" + *limit + "' is no whole number"));
      options.limit = static_cast<std::size_t>(*n);
    }
    return ask(request, [&](const bus::StoreReader& store, bus::TimeWindow window) -> base::Result<Response> {
      options.window = window;
      PJ_ASSIGN(const auto answer, answers::top(store, options));
      if (request.accepted({kJson, kCsv}) == kCsv)
        return Response{.type = kCsv, .body = answers::top_csv(answer)};
      return Response{.body = with_newline(answers::top_json(answer))};
    });
  }

  Response explain(const Request& request) const {
    const std::string kind(request.parameter("kind")), id(request.parameter("id"));
    return ask(request, [&](const bus::StoreReader& store, bus::TimeWindow window) -> base::Result<Response> {
      answers::ExplainOptions options;
      options.window = window;
      PJ_ASSIGN(const auto e, answers::explain(store, kind, id, options));
      return Response{.body = with_newline(answers::explanation_json(e))};
    });
  }

  Response query(const Request& request) const {
    if (!s_.options_.sql)
      return error_response(403,
                            base::bad_input("run the query", request.path, "this server answers no SQL",
                                            "Start it with --sql, or ask perjoule query beside the store"));
    auto place = Place::take(s_.queries_mutex_, s_.queries_, request.client, s_.options_.queries);
    if (place == nullptr) {
      Response busy =
          error_response(429, base::io_error("run the query", "", "other queries are at work", "Try again"));
      busy.headers.emplace_back("Retry-After", "1");
      return busy;
    }
    auto response = run_query(request, std::move(place));
    if (response.ok()) return std::move(*response);
    return error_response(
        response.error().kind == base::ErrorKind::kMissing ? 503 : status_of(response.error()),
        response.error());
  }

  Response read_only(const Request& request) const {
    return error_response(403, base::bad_input("store rows", request.path, "this server only reads",
                                               "Start it without --read-only"));
  }
  Response take_otlp(const Request& request) const { return s_.otlp_->take_otlp(request); }
  Response write(const Request& request) const { return s_.rows_->take_json_lines(request); }
  bool reads_only() const { return s_.engine_ == nullptr; }

 private:
  static Response json(const Json& j) { return {.body = j.dump() + "\n"}; }

  base::Result<bus::StoreReader> open() const { return bus::StoreReader::open(s_.env_, s_.options_.store); }
  // As the question wants it: `skip_damaged=1` leaves out what is damaged.
  base::Result<bus::StoreReader> open(const Request& request) const {
    if (request.query_value("skip_damaged").value_or("0") != "1") return open();
    return bus::StoreReader::open_without_damage(s_.env_, s_.options_.store);
  }

  ServerStats server_stats() const {
    const HttpServer* server = s_.server_;
    return server == nullptr ? ServerStats{} : server->stats();
  }

  // A store that cannot be read costs the energy families and not the scrape: it shows in perjoule_store_up.
  std::vector<MetricFamily> energy_metrics() const {
    const std::lock_guard lock(s_.totals_mutex_);
    const auto store = open();
    const bool good = store.ok() && s_.totals_.update(*store).ok();
    std::uint64_t dropped = 0;
    auto families = s_.totals_.families(s_.options_.metric_series, dropped);
    families.push_back(one("perjoule_metrics_dropped_series", kGauge, "",
                           "Series left out because there are too many meters.", dropped));
    families.push_back(
        one("perjoule_store_up", kGauge, "", "1 if the store could be read for this scrape.", good));
    return families;
  }

  base::Result<Response> run_query(const Request& request, std::shared_ptr<Place> place) const {
    PJ_ASSIGN(const std::string sql, sql_of(request));
    PJ_ASSIGN(const auto format, format_of(request));
    PJ_ASSIGN(const auto store, open(request));
    answers::QueryOptions options;
    options.library = s_.options_.library;
    options.max_rows = s_.options_.query_rows;
    options.memory = "2GB";
    options.max_seconds = s_.options_.query_seconds;
    options.stop = request.abandoned;
    if (format) {
      PJ_ASSIGN(auto stream, answers::QueryStream::open(store, sql, *format, options));
      return marked(stream_rows(std::move(stream), *format, std::move(place)), store);
    }
    PJ_ASSIGN(const auto answer, answers::query(store, sql, options));
    return marked({.body = answers::query_json(answer)}, store);
  }

  // An answer without what is damaged says so, in its head and, where it is JSON, in its body.
  static Response marked(Response response, const bus::StoreReader& store) {
    if (store.left_out().empty()) return response;
    const auto total = answers::total_of(store.left_out());
    response.headers.emplace_back("X-Perjoule-Damaged", std::to_string(total.parts) + " parts, " +
                                                            (total.all_rows_known ? "" : "at least ") +
                                                            std::to_string(total.rows) + " rows left out");
    if (response.type == kJson)
      response.body = answers::mark_json(std::move(response.body), store.left_out());
    return response;
  }

  template <class Ask>
  Response ask(const Request& request, Ask&& answer) const {
    const auto store = open(request);
    if (!store.ok()) return error_response(store.error());
    const auto window = answers::read_window(request.query_value("from").value_or(""),
                                             request.query_value("to").value_or(""), *store);
    if (!window.ok()) return error_response(window.error());
    auto response = answer(*store, *window);
    return response.ok() ? marked(std::move(*response), *store) : error_response(response.error());
  }

  Service& s_;
};

Service::Service(base::Env& env, const base::Clock& clock, bus::Engine* engine, ServiceOptions options)
    : env_(env), clock_(clock), engine_(engine), options_(std::move(options)), started_(clock_.now()) {
  if (engine_ == nullptr) return;
  otlp_ = std::make_unique<Receiver>(*engine_, "otlp/" + options_.start_id);
  rows_ = std::make_unique<Receiver>(*engine_, "http/" + options_.start_id);
}

Service::~Service() = default;

Router Service::router() {
  const auto handlers = std::make_shared<const Handlers>(*this);
  const auto bind = [&](Response (Handlers::*f)(const Request&) const) -> Handler {
    return [handlers, f](const Request& request) { return ((*handlers).*f)(request); };
  };
  const auto writes = [&](Response (Handlers::*f)(const Request&) const) {
    return bind(handlers->reads_only() ? &Handlers::read_only : f);
  };
  Router router;
  router.add("GET", "/metrics", bind(&Handlers::metrics));
  router.add("GET", "/api/v1/health", bind(&Handlers::health), {.open = true});
  router.add("GET", "/api/v1/ready", bind(&Handlers::ready), {.open = true});
  router.add("GET", "/api/v1/stats", bind(&Handlers::stats));
  router.add("GET", "/api/v1/top", bind(&Handlers::top));
  router.add("GET", "/api/v1/explain/{kind}/{id...}", bind(&Handlers::explain));
  router.add("GET", "/api/v1/query", bind(&Handlers::query));
  router.add("POST", "/api/v1/query", bind(&Handlers::query),
             {.body_bytes = 1U << 20, .types = {"text/plain", "application/sql", kJson}});
  router.add("POST", "/v1/metrics", writes(&Handlers::take_otlp),
             {.body_bytes = 16U << 20, .types = {"application/x-protobuf", kJson}});
  router.add("POST", "/api/v1/write/{table}", writes(&Handlers::write),
             {.body_bytes = 32U << 20, .types = {kJsonLines, "application/jsonl", kJson}});
  return router;
}

}  // namespace perjoule::api
