// A table with every type of column, random rows of every shape, and a file of them, for the tests of the
// Parquet files. Thread rule: one thread. Ownership: batches look at the texts of the Source they come from.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>

#include "base/rng.hpp"
#include "bus/parquet_reader.hpp"
#include "bus/parquet_writer.hpp"

namespace perjoule::bus::testing {

inline constexpr std::array kColumns = std::to_array<ColumnSpec>({{"t_ns", ColumnType::kInt64},
                                                                  {"count", ColumnType::kInt64, true},
                                                                  {"value", ColumnType::kDouble, true},
                                                                  {"name", ColumnType::kText, true, true},
                                                                  {"kind", ColumnType::kText},
                                                                  {"flag", ColumnType::kBool},
                                                                  {"maybe", ColumnType::kBool, true}});
inline const TableSchema kSchema{"things", kColumns, 0};
inline constexpr std::array<std::size_t, 7> kAll{0, 1, 2, 3, 4, 5, 6};

// Rows with every shape: constant columns, all NULL, mixed; texts incl. the empty one and one of 300 bytes.
struct Source {
  base::Rng rng;
  std::vector<std::string> texts{"", "a", "b", "zz", "Zürich", std::string(300, 'x')};

  explicit Source(std::uint64_t seed) : rng(seed) {}
  std::uint64_t below(std::uint64_t n) { return rng.next() % n; }
  std::int64_t integer() {
    if (below(9) == 0)
      return below(2) == 0 ? std::numeric_limits<std::int64_t>::min()
                           : std::numeric_limits<std::int64_t>::max();
    return static_cast<std::int64_t>(rng.next()) >> below(60);
  }
  // shape 0: constant, 1: all NULL where allowed, 2: mixed.
  void fill(Column& c, const ColumnSpec& spec, std::size_t rows, std::uint64_t shape) {
    c.type = spec.type;
    for (const auto& t : texts) {
      if (c.type == ColumnType::kText) c.dictionary.push_back(t);
    }
    for (std::size_t i = 0; i < rows; ++i) {
      const bool null = spec.nullable && (shape == 1 || (shape == 2 && below(3) == 0));
      const auto pick = shape == 0 ? 1 : below(texts.size());
      if (c.type == ColumnType::kInt64) c.ints.push_back(null ? 0 : shape == 0 ? -5 : integer());
      if (c.type == ColumnType::kBool) c.bools.push_back(!null && (shape == 0 || below(2) == 1));
      if (c.type == ColumnType::kDouble)
        c.doubles.push_back(null ? std::nan("") : shape == 0 ? 1.5 : static_cast<double>(integer()));
      if (c.type == ColumnType::kText) c.codes.push_back(null ? kNullCode : static_cast<std::uint32_t>(pick));
      const bool has_valid = c.type == ColumnType::kInt64 || c.type == ColumnType::kBool;
      if (has_valid && spec.nullable) c.valid.push_back(!null);
    }
  }
  Batch batch(std::size_t rows) {
    Batch b;
    b.rows = rows;
    for (const auto& spec : kColumns) fill(b.columns.emplace_back(), spec, rows, below(3));
    return b;
  }
};

inline void expect_same(const Batch& a, const Batch& b) {
  ASSERT_EQ(a.rows, b.rows);
  for (std::size_t c = 0; c < kColumns.size(); ++c) {
    const Column &x = a.columns[c], &y = b.columns[c];
    ASSERT_EQ(x.type, y.type);
    for (std::size_t i = 0; i < a.rows; ++i) {
      ASSERT_EQ(x.is_null(i), y.is_null(i)) << kColumns[c].name << " row " << i;
      if (x.is_null(i)) continue;
      const std::string where = std::string(kColumns[c].name) + " row " + std::to_string(i);
      switch (x.type) {
        case ColumnType::kInt64:
          ASSERT_EQ(x.ints[i], y.ints[i]) << where;
          break;
        case ColumnType::kBool:
          ASSERT_EQ(x.bools[i], y.bools[i]) << where;
          break;
        case ColumnType::kDouble:
          ASSERT_EQ(x.doubles[i], y.doubles[i]) << where;
          break;
        case ColumnType::kText:
          ASSERT_EQ(x.text(i), y.text(i)) << where;
          break;
      }
    }
  }
}

inline std::string scratch_file() {
  return (std::filesystem::temp_directory_path() / ("perjoule-parquet-" + std::to_string(::getpid())))
      .string();
}

inline std::string write(const std::vector<Batch>& groups, std::size_t page_rows) {
  const std::string path = scratch_file();
  auto writer = ParquetWriter::create(base::posix_env(), path, kSchema);
  EXPECT_TRUE(writer.ok());
  EncodingOptions options;
  options.page_rows = page_rows;
  for (const auto& g : groups) EXPECT_TRUE(writer->append(*encode_row_group(kSchema, g, options)).ok());
  const auto summary = writer->seal();
  std::string bytes = *base::posix_env().read_file(path);
  EXPECT_EQ(summary->bytes, bytes.size());
  EXPECT_EQ(summary->xxh3_128, xxh3_128_of(bytes));
  EXPECT_EQ(summary->tail.xxh3_128,
            xxh3_128_of(std::string_view(bytes).substr(bytes.size() - summary->tail.bytes)));
  std::filesystem::remove(path);
  return bytes;
}

}  // namespace perjoule::bus::testing
