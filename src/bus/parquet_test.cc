#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <limits>

#include "base/rng.hpp"
#include "bus/parquet_reader.hpp"
#include "bus/parquet_writer.hpp"

namespace perjoule::bus {
namespace {

constexpr std::array kColumns = std::to_array<ColumnSpec>({{"t_ns", ColumnType::kInt64},
                                                           {"count", ColumnType::kInt64, true},
                                                           {"value", ColumnType::kDouble, true},
                                                           {"name", ColumnType::kText, true},
                                                           {"kind", ColumnType::kText},
                                                           {"flag", ColumnType::kBool},
                                                           {"maybe", ColumnType::kBool, true}});
const TableSchema kSchema{"things", kColumns, 0};
constexpr std::array<std::size_t, 7> kAll{0, 1, 2, 3, 4, 5, 6};

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

void expect_same(const Batch& a, const Batch& b) {
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

std::string scratch_file() {
  return (std::filesystem::temp_directory_path() / ("perjoule-parquet-" + std::to_string(::getpid())))
      .string();
}

std::string write(const std::vector<Batch>& groups, std::size_t page_rows) {
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
  std::filesystem::remove(path);
  return bytes;
}

TEST(Parquet, RandomRowsRoundTrip) {
  for (std::uint64_t seed = 0; seed < 300; ++seed) {
    Source source(seed);
    std::vector<Batch> groups;
    for (std::uint64_t g = 1 + source.below(4); g-- > 0;)
      groups.push_back(source.batch(1 + source.below(200)));
    const auto file = ParquetFile::open(write(groups, 1 + source.below(60)), "f");
    ASSERT_TRUE(file.ok()) << seed << file.error().message();
    ASSERT_EQ(file->groups(), groups.size());
    ASSERT_FALSE(file->check().has_value())
        << seed << ": " << file->check()->column << ": " << file->check()->why;
    for (std::size_t g = 0; g < groups.size(); ++g) expect_same(groups[g], *file->read(g, kAll));
  }
}

TEST(Parquet, LargeGroupsRoundTrip) {
  Source source(5);
  std::vector<Batch> groups;
  groups.push_back(source.batch(200'000));
  const auto file = ParquetFile::open(write(groups, 1 << 16), "f");
  ASSERT_TRUE(file.ok());
  EXPECT_EQ(file->meta().groups[0].columns.size(), kColumns.size());
  expect_same(groups[0], *file->read(0, kAll));
}

TEST(Parquet, ColumnsComeInTheOrderAsked) {
  Source source(6);
  const std::vector<Batch> groups{source.batch(50)};
  const auto file = ParquetFile::open(write(groups, 8), "f");
  const std::array<std::size_t, 2> asked{5, 0};
  const auto batch = file->read(0, asked);
  ASSERT_EQ(batch->columns.size(), 2U);
  EXPECT_EQ(batch->columns[0].bools, groups[0].columns[5].bools);
  EXPECT_EQ(batch->columns[1].ints, groups[0].columns[0].ints);
}

TEST(Parquet, DictionaryIsSortedAndOnlyOfTextsInUse) {
  Source source(7);
  Batch b = source.batch(3);
  b.columns[4] = {};
  b.columns[4].type = ColumnType::kText;
  b.columns[4].dictionary = {"c", "unused", "a", "c"};
  b.columns[4].codes = {0, 2, 3};
  const auto file = ParquetFile::open(write({b}, 8), "f");
  const std::array<std::size_t, 1> asked{4};
  const auto read = file->read(0, asked);
  EXPECT_EQ(read->columns[0].dictionary, (std::vector<std::string_view>{"a", "c"}));
  EXPECT_EQ(read->columns[0].codes, (std::vector<std::uint32_t>{1, 0, 1}));
}

TEST(Parquet, StatisticsAreTheObviousOnes) {
  Source source(8);
  const Batch b = source.batch(100);
  const auto& times = b.columns[0].ints;
  const auto file = ParquetFile::open(write({b}, 9), "f");
  const auto bounds = file->int_bounds(0, 0);
  ASSERT_TRUE(bounds.has_value());
  EXPECT_EQ(bounds->first, *std::min_element(times.begin(), times.end()));
  EXPECT_EQ(bounds->second, *std::max_element(times.begin(), times.end()));
  std::int64_t nulls = 0;
  for (std::size_t i = 0; i < b.rows; ++i) nulls += b.columns[2].is_null(i);
  EXPECT_EQ(file->meta().groups[0].columns[2].nulls, nulls);
}

TEST(Parquet, TruncatedAtEveryLengthIsAnError) {
  Source source(9);
  const std::string bytes = write({source.batch(30), source.batch(20)}, 7);
  for (std::size_t n = 0; n < bytes.size(); ++n) {
    const auto file = ParquetFile::open(bytes.substr(0, n), "cut.parquet");
    ASSERT_FALSE(file.ok()) << n;
    ASSERT_EQ(file.error().kind, base::ErrorKind::kCorrupt);
    ASSERT_NE(file.error().where.find("cut.parquet"), std::string::npos);
  }
}

TEST(Parquet, FlippedBitsInPagesAreFoundWithoutTheFileHash) {
  Source source(10);
  const std::string bytes = write({source.batch(40)}, 16);
  const auto whole = ParquetFile::open(bytes, "f");
  const auto& last = whole->meta().groups[0].columns.back();
  const auto pages_end = static_cast<std::size_t>(last.data_offset + last.stored_bytes) - 3 * 4;
  std::size_t found = 0, tried = 0;
  for (std::size_t i = 4; i < pages_end; ++i) {
    std::string bad = bytes;
    bad[i] = static_cast<char>(bad[i] ^ 0x10);
    SegmentFault fault;
    const auto file = ParquetFile::open(bad, "f", {}, &fault);
    ++tried;
    if (!file.ok() || file->check().has_value()) ++found;
  }
  // Header fields that readers need not look at (such as "is sorted") have no CRC: the file's hash covers
  // those.
  EXPECT_GT(found, tried * 19 / 20);
}

TEST(Parquet, AnyDamageGivesRowsOrAnError) {
  Source source(11);
  const std::string bytes = write({source.batch(60), source.batch(9)}, 16);
  base::Rng rng(12);
  int errors = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::string bad = bytes;
    for (std::size_t k = 0; k < 1 + rng.next() % 4; ++k)
      bad[rng.next() % bad.size()] = static_cast<char>(rng.next());
    const auto file = ParquetFile::open(std::move(bad), "f", {1 << 12, 1 << 20});
    if (!file.ok() || file->check().has_value()) ++errors;
  }
  EXPECT_GT(errors, 19'000);
}

TEST(Parquet, NewerFormatIsBadInput) {
  Source source(13);
  std::string bytes = write({source.batch(4)}, 16);
  const auto at = bytes.rfind(kVersionKey) + kVersionKey.size();
  const auto digit = bytes.find('1', at);
  ASSERT_LT(digit, at + 4);
  bytes[digit] = '9';
  const auto file = ParquetFile::open(bytes, "f");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().kind, base::ErrorKind::kBadInput);
  EXPECT_EQ(file.error().hint, "Upgrade perjoule");
}

}  // namespace
}  // namespace perjoule::bus
