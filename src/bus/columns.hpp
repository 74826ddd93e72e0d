// A batch of rows as columns: what the writer encodes and the reader gives back. Text is a code into the
// batch's own dictionary, so a row costs four bytes per identifier. Thread rule: values. Ownership: a Column
// owns its numbers; its dictionary's characters belong to `arena` when it is set (a batch that was read),
// else to whoever filled it (a SymbolTable that must outlive the batch).
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"

namespace perjoule::bus {

enum class ColumnType : std::uint8_t { kInt64, kDouble, kBool, kText };

struct ColumnSpec {
  std::string_view name;
  ColumnType type = ColumnType::kInt64;
  bool nullable = false;
  bool bloom = false;  // text: with a Bloom filter per row group
  int since = 1;  // the store format that brought the column; files of an older one lack it and read as NULL
};

// Rows that have no time: answers, not tables of a store.
inline constexpr std::size_t kNoTimeColumn = SIZE_MAX;

struct TableSchema {
  std::string_view name;
  std::span<const ColumnSpec> columns;
  // The int64 column that time windows are compared with.
  std::size_t time_column = 0;

  // Index of a column, or columns.size() if there is none of that name.
  std::size_t find(std::string_view column) const {
    std::size_t i = 0;
    while (i < columns.size() && columns[i].name != column) ++i;
    return i;
  }
};

inline constexpr std::uint32_t kNullCode = UINT32_MAX;

// Only the vector of the column's type is filled, one entry per row. NULL is: kNullCode, NaN, or valid[row]
// == 0 (the number beside it is 0).
struct Column {
  ColumnType type = ColumnType::kInt64;
  std::vector<std::int64_t> ints;
  std::vector<double> doubles;
  std::vector<std::uint8_t> bools;
  std::vector<std::uint32_t> codes;
  std::vector<std::uint8_t> valid;  // int64 and bool only; empty = no NULL
  std::vector<std::string_view> dictionary;
  // What whoever filled the column knows, so that the writer need not look; false where it is not known.
  bool all_used = false;  // every entry of the dictionary is in some row
  bool constant = false;  // all rows are the same
  std::vector<std::uint32_t>
      order;             // text: all places of the dictionary in the order of their texts, no two the same
  bool repeats = false;  // text: all rows and the dictionary are those of the column before
  std::shared_ptr<const std::string> arena;

  bool is_null(std::size_t row) const {
    if (type == ColumnType::kText) return codes[row] == kNullCode;
    if (type == ColumnType::kDouble) return std::isnan(doubles[row]);
    return !valid.empty() && valid[row] == 0;
  }
  // The text of a row; empty for NULL.
  std::string_view text(std::size_t row) const {
    return codes[row] == kNullCode ? std::string_view{} : dictionary[codes[row]];
  }
};

struct Batch {
  std::size_t rows = 0;
  std::vector<Column> columns;
};
using OnBatch = std::function<base::Status(const Batch&)>;

}  // namespace perjoule::bus
