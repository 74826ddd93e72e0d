// Read-only SQL over a store (`perjoule query`): DuckDB reads the store's Parquet files, loaded at run time
// from libduckdb.so; perjoule itself does not need it.
//   query(store, sql, options) -> Result<QueryAnswer>
//     kMissing: no libduckdb, or one without what is needed (the hint says what to type)
//     kBadInput: SQL that does not parse, fails, or is not one single reading statement
//   query_table(answer), query_csv(answer), query_json(answer)
// Views: meters, joules, samples, requests, jobs, decisions, carbon, over exactly the files that the manifest
// names and the blocks of the log that are in none of them: all that was acknowledged when the reader was
// opened, each row once. A query cannot open any other file, write, load an extension or change a setting.
// Thread rule: from one thread at a time. Ownership: values.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "bus/store.hpp"

namespace perjoule::answers {

struct QueryOptions {
  // Tried before all others; empty: $PERJOULE_LIBDUCKDB, then beside the program, the npm part that
  // ./dev duckdb installs, then the loader's own path.
  std::string library;
  unsigned threads = 0;        // 0: as many as DuckDB likes
  std::uint64_t max_rows = 0;  // of an answer, more are refused; 0: any
  std::string memory = {};     // what DuckDB may take, "1GB"; empty: as it likes
  double max_seconds = 0;      // a query that takes longer is broken off; 0: any
  std::stop_token stop = {};   // asked to stop: the query is broken off at once, with kIo
};

struct QueryAnswer {
  enum class Type : std::uint8_t { kText, kNumber, kBool };
  std::vector<std::string> columns;
  std::vector<Type> types;
  std::vector<std::vector<std::optional<std::string>>> rows;  // nullopt: NULL
  std::string library, version;                               // which DuckDB answered
};

// The places where libduckdb.so is looked for, in order.
std::vector<std::string> duckdb_candidates(const QueryOptions& options);
base::Result<QueryAnswer> query(const bus::StoreReader& store, const std::string& sql,
                                const QueryOptions& options = {});
std::string query_table(const QueryAnswer& answer);
std::string query_csv(const QueryAnswer& answer);
// {"columns": [...], "rows": [{...}], "row_count": n}; numbers that JSON holds exactly are numbers.
std::string query_json(const QueryAnswer& answer);
// One row of it: {"tenant": ..., ...} on a line of its own.
std::string query_json_line(const QueryAnswer& answer, std::size_t row);

}  // namespace perjoule::answers
