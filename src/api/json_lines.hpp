// One JSON object per line as rows of a table: the names are the table's columns (docs/formats/store.md). A
// column that may be NULL may be left out or null; the others must be there. All or nothing: one error names
// line and column of the table (or the byte of the line where it is no JSON). Thread rule: pure functions.
// Ownership: a Rows owns its characters; its batch points at them.
#pragma once

#include <memory>
#include <string_view>

#include "base/result.hpp"
#include "base/symbol.hpp"
#include "bus/tables.hpp"

namespace perjoule::api {

struct JsonRows {
  std::unique_ptr<base::SymbolTable> texts;
  bus::Batch batch;
};

// `source` and `first_seq`: for rows of a table with these columns that leave them out; seq then counts up.
// Errors: kBadInput for no row, or more than bus::kMaxBlockRows.
base::Result<JsonRows> read_json_lines(bus::Table table, std::string_view text, std::string_view source,
                                       std::int64_t first_seq);

}  // namespace perjoule::api
