#include "api/json_lines.hpp"

#include <gtest/gtest.h>

namespace perjoule::api {
namespace {

base::Result<JsonRows> read(std::string_view text, bus::Table table = bus::Table::kSamples) {
  return read_json_lines(table, text, "src", 5);
}

std::string where(std::string_view text, bus::Table table = bus::Table::kSamples) {
  const auto rows = read(text, table);
  return rows.ok() ? "no error" : rows.error().where;
}

constexpr const char* kRow = R"({"t_ns":1,"device":"d","signal":"s","value":1.5,"quality":"measured"})";

TEST(JsonLines, ReadsRows) {
  const auto rows =
      read(std::string(kRow) + "\r\n\n" +
           R"({"t_ns":-9223372036854775808,"quality":"derived","value":null,"seq":9,"source":"me"})"
           "\n");
  ASSERT_TRUE(rows.ok()) << rows.error().message();
  const auto& c = rows->batch.columns;
  ASSERT_EQ(rows->batch.rows, 2U);
  EXPECT_EQ(c[0].ints, (std::vector<std::int64_t>{1, INT64_MIN}));
  EXPECT_EQ(c[1].text(0), "d");
  EXPECT_TRUE(c[1].is_null(1));
  EXPECT_EQ(c[3].doubles[0], 1.5);
  EXPECT_TRUE(c[3].is_null(1));
  EXPECT_EQ(c[6].text(0), "src");
  EXPECT_EQ(c[6].text(1), "me");
  EXPECT_EQ(c[7].ints, (std::vector<std::int64_t>{5, 9}));
}

TEST(JsonLines, NamesLineAndColumn) {
  const std::string good = std::string(kRow) + "\n";
  EXPECT_EQ(where(good + R"({"t_ns":"x","quality":"measured"})"), "line 2, column t_ns");
  EXPECT_EQ(where(R"({"t_ns":1.0,"quality":"measured"})"), "line 1, column t_ns");
  EXPECT_EQ(where(R"({"t_ns":9223372036854775808,"quality":"measured"})"), "line 1, column t_ns");
  EXPECT_EQ(where(R"({"t_ns":null,"quality":"measured"})"), "line 1, column t_ns");
  EXPECT_EQ(where(R"({"t_ns":1})"), "line 1, column quality");
  EXPECT_EQ(where(R"({"t_ns":1,"quality":"good"})"), "line 1, column quality");
  EXPECT_EQ(where(R"({"t_ns":1,"quality":"measured","device":""})"), "line 1, column device");
  EXPECT_EQ(where(R"({"t_ns":1,"quality":"measured","device":7})"), "line 1, column device");
  EXPECT_EQ(where(R"({"t_ns":1,"quality":"measured","devise":"x"})"), "line 1, column devise");
  EXPECT_EQ(where(R"({"t_ns":1,"quality":"measured","device":[[1]]})"), "line 1");
  EXPECT_EQ(where(R"({"t_ns":1,"t_ns":2,"quality":"measured"})"), "line 1");
  EXPECT_EQ(where("[1]"), "line 1");
  EXPECT_EQ(where(good + "{\"t_ns\":"), "line 2");
  EXPECT_EQ(where("\n \n"), "body");
  EXPECT_NE(read(good + "{nope").error().why.find("at byte"), std::string::npos);
}

TEST(JsonLines, ChecksWordsOfOtherTables) {
  EXPECT_EQ(where(R"({"t0_ns":1,"t1_ns":2,"kind":"mean","quality":"measured"})", bus::Table::kCarbon),
            "line 1, column kind");
  EXPECT_EQ(where(R"({"t_ns":1,"reason_hash":"xyz","expected_saving_uj":0,"bound_uj":0,"undone":false})",
                  bus::Table::kDecisions),
            "line 1, column reason_hash");
  const auto job = read(R"({"job":"j","nodes":1,"gpus":8,"t_submit_ns":5,"energy_uj":0})"
                        "\n"
                        R"({"job":"k","nodes":1,"gpus":8,"t_submit_ns":5,"t_start_ns":7,"energy_uj":0})",
                        bus::Table::kJobs);
  ASSERT_TRUE(job.ok()) << job.error().message();
  EXPECT_TRUE(job->batch.columns[6].is_null(0));
  EXPECT_FALSE(job->batch.columns[6].is_null(1));
  EXPECT_TRUE(job->batch.columns[7].is_null(1));
}

TEST(JsonLines, DeepValuesAreNoTrouble) {
  EXPECT_EQ(where(std::string(1'000'000, '[')), "line 1");
  EXPECT_EQ(where("{\"t_ns\":" + std::string(1'000'000, '{')), "line 1");
}

}  // namespace
}  // namespace perjoule::api
