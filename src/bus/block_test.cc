#include "bus/block.hpp"

#include <gtest/gtest.h>

#include <bit>

#include "bus/lane_packing.hpp"
#include "bus/test_rows.hpp"

namespace perjoule::bus {
namespace {

using testing::RowMaker;

void append_row(TableBuilder& b, RowMaker& make, Table table) {
  switch (table) {
    case Table::kMeters:
      return b.append(make.meter());
    case Table::kJoules:
      return b.append(make.joule());
    case Table::kSamples:
      return b.append(make.sample());
    case Table::kRequests:
      return b.append(make.request());
    case Table::kJobs:
      return b.append(make.job());
    case Table::kDecisions:
      return b.append(make.decision());
    case Table::kCarbon:
      return b.append(make.carbon());
    default:
      FAIL() << "not a table of events";
  }
}

Batch random_batch(base::SymbolTable& symbols, Table table, std::size_t rows, std::uint64_t seed) {
  RowMaker make(symbols, seed);
  TableBuilder builder(table, symbols, rows);
  for (std::size_t i = 0; i < rows; ++i) append_row(builder, make, table);
  return builder.take();
}

std::string cell(const Column& c, std::size_t row) {
  if (c.is_null(row)) return "NULL";
  if (c.type == ColumnType::kText) return std::string(c.text(row));
  if (c.type == ColumnType::kBool) return c.bools[row] != 0 ? "yes" : "no";
  if (c.type == ColumnType::kInt64) return std::to_string(c.ints[row]);
  return std::to_string(std::bit_cast<std::uint64_t>(c.doubles[row]));
}

void expect_equal(const Batch& a, const Batch& b) {
  ASSERT_EQ(a.rows, b.rows);
  ASSERT_EQ(a.columns.size(), b.columns.size());
  for (std::size_t c = 0; c < a.columns.size(); ++c) {
    for (std::size_t r = 0; r < a.rows; ++r)
      ASSERT_EQ(cell(a.columns[c], r), cell(b.columns[c], r)) << "column " << c << " row " << r;
  }
}

TEST(LanePacking, GivesBackEveryWidthAndLength) {
  std::uint64_t state = 7;
  for (unsigned width = 0; width <= 64; ++width) {
    for (const std::size_t n : {1UL, 31UL, 1024UL, 2500UL}) {
      std::vector<std::uint64_t> values(n), back(n, 1);
      for (auto& v : values) {
        state = state * 6364136223846793005ULL + 1442695040888963407ULL;
        v = width == 0 ? 0 : (state ^ (state >> 29)) >> (64 - width);
      }
      std::string bytes = "x";
      pack(std::span<const std::uint64_t>(values), width, bytes);
      ASSERT_EQ(bytes.size(), 1 + packed_bytes(n, width));
      unpack(std::string_view(bytes).substr(1), width, std::span(back));
      ASSERT_EQ(values, back) << width << " bits, " << n << " numbers";
      if (width > 32) continue;
      std::vector<std::uint32_t> small(values.begin(), values.end()), small_back(n, 1);
      std::string small_bytes;
      pack(std::span<const std::uint32_t>(small), width, small_bytes);
      ASSERT_EQ(small_bytes, bytes.substr(1));
      unpack(small_bytes, width, std::span(small_back));
      ASSERT_EQ(small, small_back);
    }
  }
}

TEST(Block, GivesBackRandomRowsOfEveryTable) {
  for (std::size_t t = 0; t < kEventTables; ++t) {
    for (const std::size_t rows : {1UL, 2UL, 777UL, 5000UL}) {
      base::SymbolTable symbols;
      const auto table = static_cast<Table>(t);
      const Batch batch = random_batch(symbols, table, rows, t * 100 + rows);
      const auto bytes = encode_block(table, batch, {"agent-1", 3, 5, 9});
      ASSERT_TRUE(bytes.ok()) << bytes.error().message();
      EXPECT_EQ(BlockView::size_of(*bytes), bytes->size());
      const auto view = BlockView::open(*bytes, "test");
      ASSERT_TRUE(view.ok()) << view.error().message();
      EXPECT_EQ(view->table(), table);
      EXPECT_EQ(view->key().source, "agent-1");
      EXPECT_EQ(view->key().after_seq, 3U);
      EXPECT_EQ(view->key().first_seq, 5U);
      EXPECT_EQ(view->key().last_seq, 9U);
      EXPECT_TRUE(view->check().ok());
      const auto back = view->read_all();
      ASSERT_TRUE(back.ok()) << back.error().message();
      expect_equal(batch, *back);
    }
  }
}

// Shapes that random numbers do not have: constants, steps, outliers, an offset to the column before,
// decimals.
TEST(Block, IsSmallForTheShapesThatTimesAndReadingsHave) {
  base::SymbolTable symbols;
  TableBuilder builder(Table::kJoules, symbols, 60'000);
  energy::JouleRow row;
  row.device = symbols.intern("n1/gpu0");
  for (std::int64_t i = 0; i < 60'000; ++i) {
    row.window_ns = 1'700'000'000'000'000'000;
    row.t0_ns =
        row.window_ns + i * 7'000 + (i % 100 == 0 ? -300'000'000'000 : 0);  // one in a hundred is late
    row.t1_ns = row.t0_ns + 5'000'000 + i % 8;
    row.energy_uj = i % 1024;
    row.seq = i + 1;
    builder.append(row);
  }
  const Batch batch = builder.take();
  const auto bytes = encode_block(Table::kJoules, batch, {"s", 0, 1, 60'000});
  ASSERT_TRUE(bytes.ok());
  // 10 bits of energy, 3 of duration, 4 per cent of exceptions at 10 bytes: about 2.3 bytes, and 8 % for a
  // rest.
  EXPECT_LT(bytes->size(), 60'000 * 2.5);
  const auto view = BlockView::open(*bytes, "test");
  ASSERT_TRUE(view.ok());
  const auto back = view->read_all();
  ASSERT_TRUE(back.ok()) << back.error().message();
  expect_equal(batch, *back);
}

TEST(Block, FindsEveryFlippedByteAndEveryCut) {
  base::SymbolTable symbols;
  const Batch batch = random_batch(symbols, Table::kSamples, 40, 3);
  const std::string bytes = encode_block(Table::kSamples, batch, {"agent", 0, 1, 40}).value();
  const auto is_whole = [](std::string_view b) {
    const auto view = BlockView::open(b, "test");
    return view.ok() && view->check().ok();
  };
  ASSERT_TRUE(is_whole(bytes));
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (const int bit : {0, 3, 7}) {
      std::string damaged = bytes;
      damaged[i] = static_cast<char>(damaged[i] ^ (1 << bit));
      ASSERT_FALSE(is_whole(damaged)) << "byte " << i << " bit " << bit;
    }
    ASSERT_FALSE(is_whole(std::string_view(bytes).substr(0, i))) << "cut at " << i;
  }
  EXPECT_FALSE(is_whole(bytes + std::string(8, '\0')));
}

TEST(Block, RefusesNamesThatNoReaderCouldKeep) {
  base::SymbolTable symbols;
  TableBuilder builder(Table::kSamples, symbols, 1);
  energy::SampleRow row;
  row.device = symbols.intern(std::string(kMaxTextBytes + 1, 'x'));
  builder.append(row);
  const auto too_long = encode_block(Table::kSamples, builder.take(), {"s", 0, 1, 1});
  ASSERT_FALSE(too_long.ok());
  EXPECT_NE(too_long.error().message().find("column device: an identifier has 1025 bytes"), std::string::npos)
      << too_long.error().message();
  row.device = symbols.intern("\xFF");
  builder.append(row);
  const Batch bad = builder.take();
  EXPECT_FALSE(encode_block(Table::kSamples, bad, {"s", 0, 1, 1}).ok());
  EXPECT_FALSE(encode_block(Table::kSamples, bad, {"", 0, 1, 1}).ok());
  EXPECT_FALSE(encode_block(Table::kSamples, bad, {std::string(129, 'n'), 0, 1, 1}).ok());
}

}  // namespace
}  // namespace perjoule::bus
