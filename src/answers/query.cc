#include "answers/query.hpp"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "answers/answer_format.hpp"
#include "answers/duckdb_library.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

namespace fs = std::filesystem;
using duckdb::Handle;
using duckdb::Library;
using duckdb::QueryResult;
using Json = nlohmann::ordered_json;

constexpr const char* kNpmPart = "npm/node_modules/@duckdb/node-bindings-linux-x64/libduckdb.so";
// Numbers of DuckDB's C interface (duckdb_statement_type, duckdb_type).
constexpr int kSelectStatement = 1, kExplainStatement = 4;
constexpr int kBooleanType = 1, kFirstInteger = 2, kDouble = 11, kHugeInt = 16, kVarchar = 17, kDecimal = 19;
constexpr int kUnsignedHugeInt = 32;

std::string sql_text(std::string_view text) {
  std::string out = "'";
  for (const char c : text) {
    out += c;
    if (c == '\'') out += c;
  }
  return out + "'";
}

base::Error refused(const std::string& why, std::string hint = {}) {
  return base::bad_input("run the query", "SQL", why, std::move(hint));
}

// One in-memory database with the store's views. Closes everything it opened.
class Session {
 public:
  explicit Session(const Library& library) : duck_(library) {}
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;
  ~Session() {
    if (connection_ != nullptr) duck_.disconnect(&connection_);
    if (database_ != nullptr) duck_.close(&database_);
  }

  base::Status open(const bus::StoreReader& store, const QueryOptions& options) {
    char* error = nullptr;
    if (duck_.open(nullptr, &database_, nullptr, &error) != 0 ||
        duck_.connect(database_, &connection_) != 0) {
      std::string why = error != nullptr ? error : "it does not start";
      if (error != nullptr) duck_.free_memory(error);
      return base::missing("query the store", duck_.path, why, "Type: ./dev duckdb");
    }
    PJ_TRY(set_up("SET autoinstall_known_extensions=false"));
    PJ_TRY(set_up("SET autoload_known_extensions=false"));
    if (options.threads != 0) PJ_TRY(set_up("SET threads=" + std::to_string(options.threads)));
    if (!options.memory.empty()) PJ_TRY(set_up("SET memory_limit=" + sql_text(options.memory)));
    max_rows_ = options.max_rows;
    PJ_TRY(make_views(store));
    return lock(store);
  }

  // Exactly one statement, and one that only reads.
  base::Status check(const std::string& sql) {
    Handle statements = nullptr;
    const std::uint64_t n = duck_.extract(connection_, sql.c_str(), &statements);
    base::Status status = base::ok_status();
    if (n == 0) {
      const char* why = duck_.extract_error(statements);
      status = refused(why != nullptr ? why : "there is no statement in it");
    } else if (n > 1) {
      status = refused(std::to_string(n) + " statements; give one");
    } else {
      status = check_type(statements);
    }
    duck_.destroy_extracted(&statements);
    return status;
  }

  base::Result<QueryAnswer> run(const std::string& sql) {
    QueryResult result;
    base::Result<QueryAnswer> answer = QueryAnswer{};
    if (duck_.query(connection_, sql.c_str(), &result) != 0) {
      const char* why = duck_.result_error(&result);
      answer = refused(why != nullptr ? why : "DuckDB gave no reason");
    } else {
      answer = read(result);
    }
    duck_.destroy_result(&result);
    return answer;
  }

 private:
  base::Status set_up(const std::string& sql) {
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

  static std::string files_of(const bus::StoreReader& store, std::string_view table) {
    const fs::path root = fs::absolute(store.directory()).lexically_normal();
    std::string list;
    for (const auto& segment : store.manifest().segments) {
      if (!table.empty() && segment.table != table) continue;
      list += (list.empty() ? "" : ",") + sql_text((root / segment.file).string());
    }
    return "[" + list + "]";
  }

  base::Status make_views(const bus::StoreReader& store) {
    for (const std::string& table : bus::all_table_names()) {
      const std::string files = files_of(store, table);
      if (files == "[]") continue;
      // DuckDB reads the files' ends here, so what it refuses is the store.
      const auto made = set_up("CREATE VIEW " + table + " AS SELECT * FROM read_parquet(" + files + ")");
      if (made.ok()) continue;
      const std::string& why = made.error().why;
      return base::corrupt("query the store", store.directory() + ", table " + table,
                           why.substr(0, why.find('\n')), "Type: perjoule audit " + store.directory());
    }
    return base::ok_status();
  }

  base::Status lock(const bus::StoreReader& store) {
    PJ_TRY(set_up("SET allowed_paths=" + files_of(store, {})));
    PJ_TRY(set_up("SET enable_external_access=false"));
    return set_up("SET lock_configuration=true");
  }

  base::Status check_type(Handle statements) {
    Handle prepared = nullptr;
    base::Status status = base::ok_status();
    if (duck_.prepare_extracted(connection_, statements, 0, &prepared) != 0) {
      const char* why = duck_.prepare_error(prepared);
      status = refused(why != nullptr ? why : "it cannot be prepared");
    } else if (const int type = duck_.statement_type(prepared);
               type != kSelectStatement && type != kExplainStatement) {
      status = refused("the store is read-only", "Use SELECT, WITH, DESCRIBE, SHOW, SUMMARIZE or EXPLAIN");
    }
    duck_.destroy_prepared(&prepared);
    return status;
  }

  base::Result<QueryAnswer> read(QueryResult& result) const {
    QueryAnswer answer;
    answer.library = duck_.path;
    answer.version = duck_.version();
    const std::uint64_t columns = duck_.column_count(&result), rows = duck_.row_count(&result);
    if (max_rows_ != 0 && rows > max_rows_)
      return refused(
          "the answer has more than " + base::group_digits(static_cast<std::int64_t>(max_rows_)) + " rows",
          "Add a LIMIT, or sum up");
    for (std::uint64_t c = 0; c < columns; ++c) {
      answer.columns.emplace_back(duck_.column_name(&result, c));
      const int type = duck_.column_type(&result, c);
      PJ_TRY(check_column(answer.columns.back(), type));
      answer.types.push_back(type_of(type));
    }
    answer.rows.resize(rows);
    for (std::uint64_t r = 0; r < rows; ++r) {
      for (std::uint64_t c = 0; c < columns; ++c) answer.rows[r].push_back(value(result, c, r));
    }
    return answer;
  }

  // The C interface gives text for plain values only; a nested one would come back as NULL.
  static base::Status check_column(const std::string& name, int type) {
    const bool plain =
        (type >= kBooleanType && type <= kVarchar) || type == kDecimal || type == kUnsignedHugeInt;
    if (plain) return base::ok_status();
    return refused(
        "column '" + name + "' has a type that has no plain text (a list, a structure or the like)",
        "Turn it into text: SELECT CAST(... AS VARCHAR)");
  }

  static QueryAnswer::Type type_of(int type) {
    if (type == kBooleanType) return QueryAnswer::Type::kBool;
    const bool number = (type >= kFirstInteger && type <= kDouble) || type == kHugeInt || type == kDecimal ||
                        type == kUnsignedHugeInt;
    return number ? QueryAnswer::Type::kNumber : QueryAnswer::Type::kText;
  }

  std::optional<std::string> value(QueryResult& result, std::uint64_t column, std::uint64_t row) const {
    if (duck_.value_is_null(&result, column, row)) return std::nullopt;
    char* text = duck_.value_text(&result, column, row);
    if (text == nullptr) return std::nullopt;
    std::string out(text);
    duck_.free_memory(text);
    return out;
  }

  const Library& duck_;
  Handle database_ = nullptr, connection_ = nullptr;
  std::uint64_t max_rows_ = 0;
};

Json json_value(const std::optional<std::string>& value, QueryAnswer::Type type) {
  if (!value) return nullptr;
  if (type == QueryAnswer::Type::kBool) return *value == "true";
  if (type == QueryAnswer::Type::kNumber) {
    if (const auto whole = base::parse_int(*value)) return *whole;
    if (value->find_first_of(".eE") != std::string::npos) {
      if (const auto real = base::parse_double(*value)) return *real;
    }
  }
  return *value;
}

Json json_row(const QueryAnswer& answer, std::size_t row) {
  Json object = Json::object();
  for (std::size_t c = 0; c < answer.columns.size(); ++c)
    object[answer.columns[c]] = json_value(answer.rows[row][c], answer.types[c]);
  return object;
}

}  // namespace

std::vector<std::string> duckdb_candidates(const QueryOptions& options) {
  if (!options.library.empty()) return {options.library};
  std::vector<std::string> out;
  if (const char* named = std::getenv("PERJOULE_LIBDUCKDB"); named != nullptr && *named != '\0') {
    return {named};
  }
  std::error_code no_link;
  const fs::path program = fs::read_symlink("/proc/self/exe", no_link);
  if (!no_link) {
    out.push_back((program.parent_path() / "libduckdb.so").string());
    out.push_back((program.parent_path() / kNpmPart).string());
  }
  out.push_back(fs::absolute(fs::path("build") / kNpmPart).string());
  out.emplace_back("libduckdb.so");
  return out;
}

base::Result<QueryAnswer> query(const bus::StoreReader& store, const std::string& sql,
                                const QueryOptions& options) {
  // The library would answer from a flipped bit without a word.
  for (const bus::Finding& f : store.verify()) {
    if (!f.damage) continue;
    return base::Error{
        base::ErrorKind::kAnswerIsNo, "query a store", store.directory() + "/" + f.file,
        "it is damaged at byte " + std::to_string(f.byte) + " (table " + f.table + "): " + f.why,
        "Restore the file, or see perjoule audit"};
  }
  PJ_ASSIGN(const Library library, duckdb::load_library(duckdb_candidates(options)));
  Session session(library);
  PJ_TRY(session.open(store, options));
  PJ_TRY(session.check(sql));
  return session.run(sql);
}

std::string query_table(const QueryAnswer& answer) {
  TextTable table;
  table.header = answer.columns;
  for (const auto type : answer.types) table.right.push_back(type == QueryAnswer::Type::kNumber);
  for (const auto& row : answer.rows) {
    std::vector<std::string> cells;
    for (const auto& value : row) cells.push_back(value.value_or("NULL"));
    table.rows.push_back(std::move(cells));
  }
  const std::size_t n = answer.rows.size();
  return table.text() + "(" + base::group_digits(static_cast<std::int64_t>(n)) +
         (n == 1 ? " row)\n" : " rows)\n");
}

std::string query_csv(const QueryAnswer& answer) {
  TextTable table;
  table.header = answer.columns;
  for (const auto& row : answer.rows) {
    std::vector<std::string> cells;
    for (const auto& value : row) cells.push_back(value.value_or(""));
    table.rows.push_back(std::move(cells));
  }
  return table.csv();
}

std::string query_json(const QueryAnswer& answer) {
  Json j;
  j["schema_version"] = 1;
  j["columns"] = answer.columns;
  j["rows"] = Json::array();
  for (std::size_t row = 0; row < answer.rows.size(); ++row) j["rows"].push_back(json_row(answer, row));
  j["row_count"] = answer.rows.size();
  return j.dump(1) + "\n";
}

std::string query_json_line(const QueryAnswer& answer, std::size_t row) {
  return json_row(answer, row).dump() + "\n";
}

}  // namespace perjoule::answers
