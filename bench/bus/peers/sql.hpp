// The questions in SQL for the engines that speak it. The tables are `joules` and `samples` with the columns
// of the batches; identifiers are stored as places in Names, requests as text. Thread rule: pure functions.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "bench/bus/query.hpp"

namespace perjoule::bench {

enum class Dialect : std::uint8_t { kDuckdb, kClickhouse, kSqlite };

// One SELECT whose columns are the answer's, in order: whole numbers as 64-bit integers, readings as doubles.
std::string sql_text(QueryId id, const QueryParams& params, Dialect dialect);

// Rows of the table `names` (kind, place, name): what the stored places mean, so that a store can be read by
// itself.
struct NameRow {
  const char* kind;
  std::size_t place;
  const std::string* name;
};
std::vector<NameRow> name_rows();
// "INSERT INTO names VALUES ('device',0,'n0000/gpu0'),..." of all of them.
std::string insert_names();

}  // namespace perjoule::bench
