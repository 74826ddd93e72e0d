// One in-memory DuckDB with a view for each table of a store, locked so that it can read that store and
// nothing else. What a view shows is the reader's moment: the files of its manifest, and the blocks of the
// log that were in none of them. Internal to the answers. Thread rule: one thread at a time. Ownership: the
// library outlives the session; the session keeps what its views read.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "answers/duckdb_library.hpp"
#include "answers/duckdb_tail.hpp"
#include "answers/query.hpp"

namespace perjoule::answers {

class DuckSession {
 public:
  explicit DuckSession(const duckdb::Library& library) : duck_(library) {}
  DuckSession(const DuckSession&) = delete;
  DuckSession& operator=(const DuckSession&) = delete;
  ~DuckSession();

  base::Status open(const bus::StoreReader& store, const QueryOptions& options);
  // Exactly one statement, and one that only reads.
  base::Status check(const std::string& sql);
  // Runs a statement that passed check(); the caller destroys the result. Error: kBadInput with DuckDB's
  // words.
  base::Status execute(const std::string& sql, bool streaming, duckdb::QueryResult& result);
  // Why the answer broke off: the time was up, nobody waits for it any more, or DuckDB's own reason.
  base::Error broken_off(duckdb::QueryResult& result) const;
  bool is_broken_off() const { return late_ || stop_.stop_requested(); }
  const duckdb::Library& library() const { return duck_; }

 private:
  base::Status set_up(const std::string& sql);
  base::Status make_views(const bus::StoreReader& store);
  base::Status make_view(const bus::StoreReader& store, bus::Table table);
  base::Status lock(const bus::StoreReader& store);
  base::Status check_type(duckdb::Handle statements);
  void watch();

  const duckdb::Library& duck_;
  duckdb::Handle database_ = nullptr, connection_ = nullptr;
  std::vector<std::unique_ptr<TailTable>> tails_;
  double max_seconds_ = 0;
  std::stop_token stop_;
  std::mutex mutex_;
  std::condition_variable_any wake_;
  bool done_ = false;  // under mutex_
  std::atomic<bool> late_ = false;
  std::thread watchdog_;
};

base::Error refused_query(const std::string& why, std::string hint = {});

}  // namespace perjoule::answers
