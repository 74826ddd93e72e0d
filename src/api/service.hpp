// What `perjoule serve` answers over HTTP: the routes of docs/formats/http.md over one store. Answers are
// those of the command line (src/answers), so the JSON is the same.
//   POST /v1/metrics                      OpenTelemetry metrics (protobuf or JSON, gzip)
//   POST /api/v1/write/{table}            rows as JSON lines
//   GET  /metrics                         OpenMetrics, or Prometheus text
//   GET  /api/v1/health, ready, stats     for supervisors
//   GET  /api/v1/top, explain/{kind}/{id} who used it, and why that is so
//   GET, POST /api/v1/query               read-only SQL: JSON lines, JSON, CSV, Arrow or Parquet
// Thread rule: router() once; its handlers from any thread. Ownership: the engine, clock and Env must outlive
// the server that runs the handlers, as must the Service.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <set>
#include <string>

#include "api/energy_totals.hpp"
#include "api/http_server.hpp"
#include "api/receiver.hpp"
#include "base/clock.hpp"
#include "base/env.hpp"
#include "bus/engine.hpp"

namespace perjoule::api {

struct ServiceOptions {
  std::string store;
  std::string start_id;              // names the sources that the server numbers itself; new for every start
  std::string library = {};          // libduckdb; empty: as `perjoule query` looks for it
  std::size_t metric_series = 2000;  // of the energy families
  bool sql = false;                  // questions in SQL are answered; else 403
  unsigned queries = 2;              // at the same time, and one of each client; more get 429
  std::uint64_t query_rows = 1'000'000;
  double query_seconds = 60;
};

class Service {
 public:
  // `engine` nullptr: read only; what writes is refused with 403.
  Service(base::Env& env, const base::Clock& clock, bus::Engine* engine, ServiceOptions options);
  Service(const Service&) = delete;
  Service& operator=(const Service&) = delete;
  ~Service();

  Router router();
  // Whose connections /metrics and stats tell of; nullptr: none.
  void set_server(const HttpServer* server) { server_ = server; }

 private:
  friend class Handlers;
  base::Env& env_;
  const base::Clock& clock_;
  bus::Engine* const engine_;
  const ServiceOptions options_;
  const base::TimePoint started_;
  std::unique_ptr<Receiver> otlp_, rows_;
  std::atomic<const HttpServer*> server_ = nullptr;
  std::mutex queries_mutex_;
  std::multiset<std::string> queries_;  // at work, by client
  std::mutex totals_mutex_;
  EnergyTotals totals_;
};

}  // namespace perjoule::api
