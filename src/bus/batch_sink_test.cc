#include "bus/batch_sink.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "bus/parquet_reader.hpp"
#include "bus/store_export.hpp"

namespace perjoule::bus {
namespace {

const std::vector<SinkColumn> kColumns{{"n", ColumnType::kInt64},
                                       {"x", ColumnType::kDouble},
                                       {"ok", ColumnType::kBool},
                                       {"text", ColumnType::kText},
                                       {"big", ColumnType::kText, true, true}};

Column column_of(ColumnType type, std::vector<std::uint8_t> valid = {}) {
  Column c;
  c.type = type;
  c.valid = std::move(valid);
  return c;
}

Batch three_rows() {
  Batch b;
  b.rows = 3;
  for (const auto& c : kColumns) b.columns.push_back(column_of(c.type));
  b.columns[0].ints = {1, INT64_MIN, 0};
  b.columns[0].valid = b.columns[2].valid = {1, 1, 0};
  b.columns[1].doubles = {0.1, 3.0, std::numeric_limits<double>::quiet_NaN()};
  b.columns[2].bools = {1, 0, 0};
  b.columns[3].codes = {1, 0, kNullCode};
  b.columns[3].dictionary = {"a,\"b\"\n", "é"};
  b.columns[4].codes = {0, 0, kNullCode};
  b.columns[4].dictionary = {"170141183460469231731"};
  return b;
}

std::string written(StreamFormat format, int times = 1) {
  std::string out;
  const auto sink = make_sink(format, kColumns, "query", [&](std::string_view bytes) {
    out += bytes;
    return base::ok_status();
  });
  for (int i = 0; i < times; ++i) EXPECT_TRUE(sink->write(three_rows()).ok());
  EXPECT_TRUE(sink->end().ok());
  return out;
}

TEST(BatchSink, Csv) {
  EXPECT_EQ(
      written(StreamFormat::kCsv),
      "n,x,ok,text,big\n1,0.1,true,é,170141183460469231731\n-9223372036854775808,3.0,false,\"a,\"\"b\"\"\n\","
      "170141183460469231731\n,,,,\n");
}

TEST(BatchSink, JsonLines) {
  const std::string text = written(StreamFormat::kJsonLines);
  EXPECT_EQ(text.substr(0, text.find('\n') + 1),
            "{\"n\":1,\"x\":0.1,\"ok\":true,\"text\":\"é\",\"big\":170141183460469231731}\n");
  const std::string second = text.substr(text.find('\n') + 1);
  const auto j = nlohmann::json::parse(second.substr(0, second.find('\n')));
  EXPECT_EQ(j["text"], "a,\"b\"\n");
  EXPECT_EQ(j["n"], INT64_MIN);
  EXPECT_NE(text.find("{\"n\":null,\"x\":null,\"ok\":null,\"text\":null,\"big\":null}\n"), std::string::npos);
}

TEST(BatchSink, ParquetIsReadBack) {
  const auto file = ParquetFile::open(written(StreamFormat::kParquet, 3), "answer");
  ASSERT_TRUE(file.ok()) << file.error().message();
  EXPECT_EQ(file->table(), "query");
  ASSERT_EQ(file->groups(), 1U);
  EXPECT_FALSE(file->check().has_value());
  const auto batch = file->read(0, std::vector<std::size_t>{0, 1, 2, 3, 4});
  ASSERT_TRUE(batch.ok());
  ASSERT_EQ(batch->rows, 9U);
  EXPECT_EQ(batch->columns[0].ints[4], INT64_MIN);
  EXPECT_TRUE(batch->columns[0].is_null(5));
  EXPECT_TRUE(std::isnan(batch->columns[1].doubles[8]));
  EXPECT_EQ(batch->columns[3].text(7), "a,\"b\"\n");
  EXPECT_TRUE(batch->columns[3].is_null(8));
  EXPECT_TRUE(ParquetFile::open(written(StreamFormat::kParquet, 0), "none").ok());
}

// tests/store reads these bytes with pyarrow; here their frame.
TEST(BatchSink, ArrowMessagesAreWholeAndAligned) {
  const std::string bytes = written(StreamFormat::kArrow, 2);
  EXPECT_EQ(bytes.size() % 8, 0U);
  EXPECT_EQ(bytes.substr(0, 4), "\xFF\xFF\xFF\xFF");
  EXPECT_EQ(bytes.substr(bytes.size() - 8), std::string("\xFF\xFF\xFF\xFF\0\0\0\0", 8));
}

TEST(BatchSink, AnErrorOfTheReceiverEndsIt) {
  const auto sink = make_sink(StreamFormat::kCsv, kColumns, "query", [](std::string_view) {
    return base::Status(base::io_error("write", "", "gone"));
  });
  EXPECT_FALSE(sink->write(three_rows()).ok());
}

TEST(BatchJoin, KeepsRowsAndNulls) {
  BatchJoin join;
  Batch whole = three_rows();
  whole.columns[0].valid.clear();
  join.add(whole);
  join.add(three_rows());
  ASSERT_EQ(join.rows(), 6U);
  const Batch& b = join.batch();
  EXPECT_FALSE(b.columns[0].is_null(2));
  EXPECT_TRUE(b.columns[0].is_null(5));
  EXPECT_EQ(b.columns[3].dictionary.size(), 2U);
  EXPECT_EQ(b.columns[3].text(0), b.columns[3].text(3));
  join.clear();
  join.add(three_rows());
  join.add(whole);
  EXPECT_TRUE(join.batch().columns[0].is_null(2)) << "NULLs from the start";
  EXPECT_FALSE(join.batch().columns[0].is_null(5));
}

}  // namespace
}  // namespace perjoule::bus
