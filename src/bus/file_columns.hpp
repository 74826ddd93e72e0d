// Where a table's columns stand in a file of an earlier format. Internal to the bus. Thread rule: pure.
#pragma once

#include <cstddef>
#include <limits>
#include <vector>

#include "bus/columns.hpp"
#include "bus/parquet_reader.hpp"

namespace perjoule::bus {

inline constexpr std::size_t kAbsentColumn = std::numeric_limits<std::size_t>::max();

// By the column's place in the schema; kAbsentColumn: it came after that format.
inline std::vector<std::size_t> places_of(const TableSchema& schema, int format_version) {
  std::vector<std::size_t> out;
  std::size_t next = 0;
  for (const auto& c : schema.columns) out.push_back(c.since <= format_version ? next++ : kAbsentColumn);
  return out;
}

// Has the file the table's columns, as they were in its format?
inline bool has_columns_of(const ParquetFile& file, const TableSchema& schema) {
  const auto& found = file.meta().schema;
  std::size_t n = 0;
  for (const auto& c : schema.columns) {
    if (c.since > file.format_version()) continue;
    if (n == found.size() || found[n].name != c.name || found[n].type != parquet_type_of(c.type) ||
        found[n].nullable != c.nullable) {
      return false;
    }
    ++n;
  }
  return n == found.size();
}

}  // namespace perjoule::bus
