#include "answers/query.hpp"

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "answers/answer_format.hpp"
#include "answers/duckdb_library.hpp"
#include "answers/duckdb_session.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

namespace fs = std::filesystem;
using duckdb::Library;
using duckdb::QueryResult;
using Json = nlohmann::ordered_json;

constexpr const char* kNpmPart = "npm/node_modules/@duckdb/node-bindings-linux-x64/libduckdb.so";
// ---- an answer as a whole ----

// The C interface gives text for plain values only; a nested one would come back as NULL.
base::Status check_column(const std::string& name, int type) {
  const bool plain = (type >= duckdb::kBoolean && type <= duckdb::kVarchar) || type == duckdb::kDecimal ||
                     type == duckdb::kUHugeInt;
  if (plain) return base::ok_status();
  return refused_query(
      "column '" + name + "' has a type that has no plain text (a list, a structure or the like)",
      "Turn it into text: SELECT CAST(... AS VARCHAR)");
}

QueryAnswer::Type type_of(int type) {
  if (type == duckdb::kBoolean) return QueryAnswer::Type::kBool;
  const bool number = (type >= duckdb::kTinyInt && type <= duckdb::kDouble) || type == duckdb::kHugeInt ||
                      type == duckdb::kDecimal || type == duckdb::kUHugeInt;
  return number ? QueryAnswer::Type::kNumber : QueryAnswer::Type::kText;
}

std::optional<std::string> value_at(const Library& duck, QueryResult& result, std::uint64_t column,
                                    std::uint64_t row) {
  if (duck.value_is_null(&result, column, row)) return std::nullopt;
  char* text = duck.value_text(&result, column, row);
  if (text == nullptr) return std::nullopt;
  std::string out(text);
  duck.free_memory(text);
  return out;
}

base::Result<QueryAnswer> read_answer(const Library& duck, QueryResult& result, std::uint64_t max_rows) {
  QueryAnswer answer;
  answer.library = duck.path;
  answer.version = duck.version();
  const std::uint64_t columns = duck.column_count(&result), rows = duck.row_count(&result);
  if (max_rows != 0 && rows > max_rows)
    return refused_query(
        "the answer has more than " + base::group_digits(static_cast<std::int64_t>(max_rows)) + " rows",
        "Add a LIMIT, or sum up");
  for (std::uint64_t c = 0; c < columns; ++c) {
    answer.columns.emplace_back(duck.column_name(&result, c));
    const int type = duck.column_type(&result, c);
    PJ_TRY(check_column(answer.columns.back(), type));
    answer.types.push_back(type_of(type));
  }
  answer.rows.resize(rows);
  for (std::uint64_t r = 0; r < rows; ++r) {
    for (std::uint64_t c = 0; c < columns; ++c) answer.rows[r].push_back(value_at(duck, result, c, r));
  }
  return answer;
}

base::Result<QueryAnswer> ask_once(const Library& library, const bus::StoreReader& store,
                                   const std::string& sql, const QueryOptions& options) {
  PJ_TRY(store.log_status());
  // The library would answer from a flipped bit without a word.
  PJ_TRY(store.check_hashes());
  DuckSession session(library);
  PJ_TRY(session.open(store, options));
  PJ_TRY(session.check(sql));
  QueryResult result;
  const base::Status ran = session.execute(sql, false, result);
  base::Result<QueryAnswer> answer = ran.ok() ? read_answer(library, result, options.max_rows) : ran.error();
  library.destroy_result(&result);
  return answer;
}

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
  PJ_ASSIGN(const Library library, duckdb::load_library(duckdb_candidates(options)));
  return ask_once(library, store, sql, options);
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
