#include "answers/duckdb_session.hpp"

#include <chrono>
#include <filesystem>

namespace perjoule::answers {
namespace {

namespace fs = std::filesystem;
using duckdb::Handle;
using duckdb::QueryResult;

constexpr std::chrono::milliseconds kInterruptAgain{20};
constexpr int kSelectStatement = 1, kExplainStatement = 4;  // duckdb_statement_type

std::string sql_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    out += c;
    if (c == '\'') out += c;
  }
  return out + "'";
}

// The files that DuckDB may read itself, of one table and one format; format 0: any.
base::Result<std::string> files_of(const bus::StoreReader& store, std::string_view table, int format) {
  const fs::path root = fs::absolute(store.directory()).lexically_normal();
  std::string list;
  for (const auto& entry : store.manifest().segments) {
    if (!table.empty() && entry.table != table) continue;
    if (store.leaves_out_all_of(entry) || store.leaves_out_some_of(entry)) continue;
    if (format != 0) {
      PJ_ASSIGN(const auto file, store.segment(entry));
      if (file->format_version() != format) continue;
    }
    list += (list.empty() ? "" : ",") + sql_text((root / entry.file).string());
  }
  return list.empty() ? list : "[" + list + "]";
}

// The columns of a table as a file of a format has them; those that came later are NULL.
std::string columns_of(const bus::TableSchema& schema, int format) {
  std::string out;
  for (const auto& c : schema.columns) {
    if (!out.empty()) out += ",";
    out += c.since <= format ? "\"" + std::string(c.name) + "\""
                             : "NULL::VARCHAR AS \"" + std::string(c.name) + "\"";
  }
  return out;
}

}  // namespace

base::Error refused_query(const std::string& why, std::string hint) {
  return base::bad_input("run the query", "SQL", why, std::move(hint));
}

DuckSession::~DuckSession() {
  {
    const std::lock_guard lock(mutex_);
    done_ = true;
  }
  wake_.notify_all();
  if (watchdog_.joinable()) watchdog_.join();
  if (connection_ != nullptr) duck_.disconnect(&connection_);
  if (database_ != nullptr) duck_.close(&database_);
}

base::Status DuckSession::open(const bus::StoreReader& store, const QueryOptions& options) {
  char* error = nullptr;
  if (duck_.open(nullptr, &database_, nullptr, &error) != 0 || duck_.connect(database_, &connection_) != 0) {
    std::string why = error != nullptr ? error : "it does not start";
    if (error != nullptr) duck_.free_memory(error);
    return base::missing("query the store", duck_.path, why, "Type: ./dev duckdb");
  }
  PJ_TRY(set_up("SET autoinstall_known_extensions=false"));
  PJ_TRY(set_up("SET autoload_known_extensions=false"));
  if (options.threads != 0) PJ_TRY(set_up("SET threads=" + std::to_string(options.threads)));
  if (!options.memory.empty()) PJ_TRY(set_up("SET memory_limit=" + sql_text(options.memory)));
  max_seconds_ = options.max_seconds;
  stop_ = options.stop;
  PJ_TRY(make_views(store));
  return lock(store);
}

base::Status DuckSession::set_up(const std::string& sql) {
  QueryResult result;
  base::Status status = base::ok_status();
  if (duck_.query(connection_, sql.c_str(), &result) != 0) {
    const char* why = duck_.result_error(&result);
    status = base::missing("query the store", duck_.path, why != nullptr ? why : "a setting was refused",
                           "DuckDB 1.2 or newer is needed. Type: ./dev duckdb");
  }
  duck_.destroy_result(&result);
  return status;
}

base::Status DuckSession::make_views(const bus::StoreReader& store) {
  for (std::size_t t = 0; t < bus::kTableCount; ++t) {
    const auto made = make_view(store, static_cast<bus::Table>(t));
    if (made.ok()) continue;
    // DuckDB reads the files' ends here, so what it refuses is the store.
    const std::string& why = made.error().why;
    return base::corrupt("query the store", store.directory() + ", table " + bus::all_table_names()[t],
                         why.substr(0, why.find('\n')), "Type: perjoule audit " + store.directory());
  }
  return base::ok_status();
}

base::Status DuckSession::make_view(const bus::StoreReader& store, bus::Table table) {
  const bus::TableSchema& schema = bus::schema_of(table);
  std::string sql;
  for (int format = 1; format <= bus::kFormatVersion; ++format) {
    PJ_ASSIGN(const std::string files, files_of(store, schema.name, format));
    if (files.empty()) continue;
    sql += (sql.empty() ? "" : " UNION ALL ") + ("SELECT " + columns_of(schema, format)) +
           " FROM read_parquet(" + files + ")";
  }
  PJ_ASSIGN(auto tail, tail_of(duck_, store, table));
  if (!tail->pieces.empty() || sql.empty()) {
    PJ_TRY(tail->register_in(connection_));
    sql += (sql.empty() ? "" : " UNION ALL ") + ("SELECT " + columns_of(schema, bus::kFormatVersion)) +
           " FROM " + tail->function_name() + "()";
    tails_.push_back(std::move(tail));
  }
  return set_up("CREATE VIEW " + std::string(schema.name) + " AS " + sql);
}

base::Status DuckSession::lock(const bus::StoreReader& store) {
  PJ_ASSIGN(const std::string files, files_of(store, {}, 0));
  if (!files.empty()) PJ_TRY(set_up("SET allowed_paths=" + files));
  PJ_TRY(set_up("SET enable_external_access=false"));
  return set_up("SET lock_configuration=true");
}

base::Status DuckSession::check(const std::string& sql) {
  Handle statements = nullptr;
  const std::uint64_t n = duck_.extract(connection_, sql.c_str(), &statements);
  base::Status status = base::ok_status();
  if (n == 0) {
    const char* why = duck_.extract_error(statements);
    status = refused_query(why != nullptr ? why : "there is no statement in it");
  } else if (n > 1) {
    status = refused_query(std::to_string(n) + " statements; give one");
  } else {
    status = check_type(statements);
  }
  duck_.destroy_extracted(&statements);
  return status;
}

base::Status DuckSession::check_type(Handle statements) {
  Handle prepared = nullptr;
  base::Status status = base::ok_status();
  if (duck_.prepare_extracted(connection_, statements, 0, &prepared) != 0) {
    const char* why = duck_.prepare_error(prepared);
    status = refused_query(why != nullptr ? why : "it cannot be prepared");
  } else if (const int type = duck_.statement_type(prepared);
             type != kSelectStatement && type != kExplainStatement) {
    status =
        refused_query("the store is read-only", "Use SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN");
  }
  duck_.destroy_prepared(&prepared);
  return status;
}

void DuckSession::watch() {
  watchdog_ = std::thread([this] {
    const auto is_done = [this] { return done_; };
    std::unique_lock lock(mutex_);
    if (max_seconds_ > 0)
      wake_.wait_for(lock, stop_, std::chrono::duration<double>(max_seconds_), is_done);
    else
      wake_.wait(lock, stop_, is_done);
    late_ = !done_ && !stop_.stop_requested();
    // Again and again: DuckDB forgets an interrupt that comes before the query begins.
    while (!done_) {
      duck_.interrupt(connection_);
      wake_.wait_for(lock, kInterruptAgain, is_done);
    }
  });
}

base::Status DuckSession::execute(const std::string& sql, bool streaming, QueryResult& result) {
  if (max_seconds_ > 0 || stop_.stop_possible()) watch();
  if (!streaming) {
    if (duck_.query(connection_, sql.c_str(), &result) == 0) return base::ok_status();
    return broken_off(result);
  }
  Handle statements = nullptr, prepared = nullptr;
  base::Status status = base::ok_status();
  if (duck_.extract(connection_, sql.c_str(), &statements) != 1 ||
      duck_.prepare_extracted(connection_, statements, 0, &prepared) != 0) {
    // An interrupt may come here already.
    status = is_broken_off() ? base::Status(broken_off(result)) : refused_query("it cannot be prepared");
  } else if (duck_.execute_streaming(prepared, &result) != 0) {
    status = broken_off(result);
  }
  duck_.destroy_prepared(&prepared);
  duck_.destroy_extracted(&statements);
  return status;
}

base::Error DuckSession::broken_off(QueryResult& result) const {
  if (late_)
    return refused_query(
        "it took longer than " + std::to_string(static_cast<long>(max_seconds_)) + " seconds",
        "Ask for less: a shorter time, fewer groups");
  if (stop_.stop_requested())
    return base::io_error("run the query", "SQL", "it was broken off: the server stops, or its client left",
                          "Ask again");
  const char* why = duck_.result_error(&result);
  return refused_query(why != nullptr ? why : "DuckDB gave no reason");
}

}  // namespace perjoule::answers
