#include "bus/test_parquet.hpp"

namespace perjoule::bus {
namespace {

using namespace testing;

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

TEST(Parquet, EveryFlippedBitBeforeThePageIndexIsFoundWithoutTheFileHash) {
  Source source(10);
  const std::string bytes = write({source.batch(40)}, 16);
  const auto whole = ParquetFile::open(bytes, "f");
  std::size_t pages_end = 0;
  for (const auto& c : whole->meta().groups[0].columns) {
    pages_end = std::max(pages_end, static_cast<std::size_t>(c.data_offset + c.stored_bytes));
    if (c.bloom_at >= 0)
      pages_end = std::max(pages_end, static_cast<std::size_t>(c.bloom_at + c.bloom_bytes));
  }
  for (std::size_t i = 0; i < pages_end * 8; ++i) {
    std::string bad = bytes;
    bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
    const auto file = ParquetFile::open(bad, "f");
    ASSERT_TRUE(!file.ok() || file->check().has_value()) << "bit " << i;
  }
}

// Whole numbers on a grid of 1,000, readings in a narrow range and codes of many texts: stored byte by byte
// and as literals alone, as the writer does from 1,024 values on.
Batch batch_of_planes(Source& source) {
  constexpr std::size_t kRows = 1100;
  Batch b = source.batch(1);
  for (std::size_t c = 0; c < b.columns.size(); ++c) {
    b.columns[c] = {};
    source.fill(b.columns[c], kColumns[c], kRows, 0);
  }
  b.rows = kRows;
  for (auto& v : b.columns[1].ints) v = static_cast<std::int64_t>(source.below(150'000)) * 1'000;
  for (auto& v : b.columns[2].doubles) v = 1 + static_cast<double>(source.rng.next() >> 12) * 0x1.0p-52;
  for (auto& c : b.columns[4].codes)
    c = static_cast<std::uint32_t>(std::min(source.below(6), source.below(6)));
  for (std::size_t i = 0; i < kRows; i += 50) b.columns[1].valid[i] = 0, b.columns[1].ints[i] = 0;
  return b;
}

TEST(Parquet, NumbersByteByByteRoundTripAndEveryFlippedBitIsFound) {
  Source source(14);
  const Batch rows = batch_of_planes(source);
  const std::string bytes = write({rows}, 1 << 16);
  const auto whole = ParquetFile::open(bytes, "f");
  ASSERT_TRUE(whole.ok()) << whole.error().message();
  ASSERT_FALSE(whole->check().has_value()) << whole->check()->column << ": " << whole->check()->why;
  expect_same(rows, *whole->read(0, kAll));
  for (const std::size_t c : {1U, 2U, 4U}) {
    const ChunkMeta& chunk = whole->meta().groups[0].columns[c];
    const Encoding expected = c == 1   ? Encoding::kDelta
                              : c == 2 ? Encoding::kByteStreamSplit
                                       : Encoding::kRleDictionary;
    ASSERT_EQ(chunk.encoding, expected) << c;
    const auto from =
        static_cast<std::size_t>(chunk.dictionary_offset >= 0 ? chunk.dictionary_offset : chunk.data_offset);
    for (std::size_t i = 8 * from; i < 8 * (from + static_cast<std::size_t>(chunk.stored_bytes)); ++i) {
      std::string bad = bytes;
      bad[i / 8] = static_cast<char>(bad[i / 8] ^ (1 << (i % 8)));
      const auto file = ParquetFile::open(std::move(bad), "f");
      const std::array<std::size_t, 1> column{c};
      ASSERT_TRUE(!file.ok() || !file->read(0, column).ok()) << "bit " << i;
    }
  }
}

TEST(Parquet, ColumnThatRepeatsTheOneBeforeReadsAsItself) {
  static constexpr std::array kTwins = std::to_array<ColumnSpec>({{"t_ns", ColumnType::kInt64},
                                                                  {"meter", ColumnType::kText, true},
                                                                  {"device", ColumnType::kText, true}});
  const TableSchema schema{"twins", kTwins, 0};
  Batch b;
  b.rows = 100;
  b.columns.resize(3);
  b.columns[0].ints.assign(b.rows, 7);
  b.columns[1].type = b.columns[2].type = ColumnType::kText;
  b.columns[1].dictionary = {"b", "a"};
  for (std::uint32_t i = 0; i < b.rows; ++i) b.columns[1].codes.push_back(i % 7 == 0 ? kNullCode : i / 9 % 2);
  b.columns[2] = b.columns[1];
  const auto alone = encode_row_group(schema, b);
  b.columns[2].repeats = true;
  const auto twice = encode_row_group(schema, b);
  EXPECT_EQ(alone->bytes, twice->bytes);
  EXPECT_EQ(alone->meta.raw_bytes, twice->meta.raw_bytes);
  for (std::size_t c = 0; c < 3; ++c) {
    const ChunkMeta &x = alone->meta.columns[c], &y = twice->meta.columns[c];
    EXPECT_EQ(
        std::tuple(x.name, x.data_offset, x.dictionary_offset, x.stored_bytes, x.nulls, x.pages[0].offset),
        std::tuple(y.name, y.data_offset, y.dictionary_offset, y.stored_bytes, y.nulls, y.pages[0].offset));
  }
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
  const auto digit = bytes.find(std::to_string(kFormatVersion), at);
  ASSERT_LT(digit, at + 4) << at;
  bytes[digit] = '9';
  const auto file = ParquetFile::open(bytes, "f");
  ASSERT_FALSE(file.ok());
  EXPECT_EQ(file.error().kind, base::ErrorKind::kBadInput);
  EXPECT_EQ(file.error().hint, "Upgrade perjoule");
}

}  // namespace
}  // namespace perjoule::bus
