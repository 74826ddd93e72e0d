#include "backends/replay/request_trace.hpp"

#include <gtest/gtest.h>

#include <set>

namespace perjoule::backends::replay {
namespace {

const std::string kData = std::string(PERJOULE_SOURCE_DIR) + "/data/llm/";

struct Totals {
  std::int64_t input = 0, output = 0, ids = 0;
};
Totals totals(const RequestTrace& trace) {
  Totals out;
  for (const RequestTraceRow& row : trace.rows) {
    out.input += row.input_tokens;
    out.output += row.output_tokens;
    out.ids += static_cast<std::int64_t>(row.prefix.size());
  }
  return out;
}

// Figures of the source files as computed once with pandas.
TEST(RequestTrace, ReadsAzure) {
  const auto t = read_requests_azure(base::posix_env(), kData + "AzureLLMInferenceTrace_conv.csv.gz");
  ASSERT_TRUE(t.ok()) << t.error().message();
  ASSERT_EQ(t->rows.size(), 19'366u);
  EXPECT_EQ(totals(*t).input, 22'361'870);  // mean 1,155
  EXPECT_EQ(totals(*t).output, 4'088'665);  // mean 211
  EXPECT_EQ(base::format_iso8601(*t->start), "2023-11-16T18:15:46.68059Z");
  EXPECT_EQ(t->rows[0].arrival.value(), 0.0);
  EXPECT_NEAR(t->rows[1].arrival.value(), 4.314579, 1e-9);
  EXPECT_NEAR(t->rows.back().arrival.value(), 3'501.721937, 1e-6);
}

TEST(RequestTrace, ReadsMooncake) {
  const auto t = read_requests_mooncake(base::posix_env(), kData + "mooncake_synthetic_trace.jsonl.gz");
  ASSERT_TRUE(t.ok()) << t.error().message();
  ASSERT_EQ(t->rows.size(), 3'993u);
  EXPECT_EQ(totals(*t).input, 61'194'628);
  EXPECT_EQ(totals(*t).output, 595'432);
  EXPECT_EQ(totals(*t).ids, 121'877);
  std::set<std::int64_t> distinct;
  for (const RequestTraceRow& row : t->rows) distinct.insert(row.prefix.begin(), row.prefix.end());
  EXPECT_EQ(distinct.size(), 43'924u);
  EXPECT_EQ(t->prefix_block_tokens, 512);
  EXPECT_EQ(t->rows.back().arrival.value(), 1'022.025);
}

TEST(RequestTrace, AzureFaultsHavePlaces) {
  const auto place = [](const std::string& rows) {
    const auto t = parse_requests_azure("TIMESTAMP,ContextTokens,GeneratedTokens\n" + rows, "r.csv");
    return t.ok() ? "accepted" : t.error().where;
  };
  EXPECT_EQ(place("2023-11-16 18:15:46.68,5,6\n2023-11-16 18:15:46.68,5,6\n"), "accepted");
  EXPECT_EQ(place("2023-11-16 18:15:46.68,5,6\n2023-11-16 18:15:46.67,5,6\n"), "r.csv:3:1");
  EXPECT_EQ(place("yesterday,5,6\n"), "r.csv:2:1");
  EXPECT_EQ(place("2023-11-16 18:15:46,0,6\n"), "r.csv:2:21");
  EXPECT_EQ(place("2023-11-16 18:15:46,5,-6\n"), "r.csv:2:23");
  EXPECT_EQ(place("2023-11-16 18:15:46,5,1.5\n"), "r.csv:2:23");
  EXPECT_EQ(place("2023-11-16 18:15:46,5,\n"), "r.csv:2:23");
  EXPECT_EQ(place("2023-11-16 18:15:46,5\n"), "r.csv:2:1");
  EXPECT_EQ(place("1700-11-16 18:15:46,5,6\n2200-01-01,5,6\n"), "r.csv:3:1");
  EXPECT_EQ(place(""), "r.csv:1:1");
}

TEST(RequestTrace, MooncakeIsStrict) {
  const std::string good = R"({"timestamp": 5, "input_length": 513, "output_length": 2, "hash_ids": [1, 2]})";
  const auto place = [](const std::string& text) {
    const auto t = parse_requests_mooncake(text, "r.jsonl");
    return t.ok() ? "accepted" : t.error().where;
  };
  EXPECT_EQ(place(good + "\n" + good + "\n"), "accepted");
  EXPECT_EQ(place(R"({"timestamp": 5, "input_length": 513, "output_length": 2})"), "accepted");
  EXPECT_EQ(place(""), "r.jsonl:1:1");
  EXPECT_EQ(place(good + "\n{\"timestamp\": 5,"), "r.jsonl:2:17");
  EXPECT_EQ(place("[1]"), "r.jsonl:1:1");
  EXPECT_EQ(place(good + R"(
{"timestamp": 4, "input_length": 5, "output_length": 2})"),
            "r.jsonl:2:2");
  EXPECT_EQ(place(R"({"timestamp": 5, "input_length": 5.5, "output_length": 2})"), "r.jsonl:1:18");
  EXPECT_EQ(place(R"({"timestamp": 5, "input_length": 0, "output_length": 2})"), "r.jsonl:1:18");
  EXPECT_EQ(place(R"({"timestamp": 5, "input_length": 5, "output_length": "2"})"), "r.jsonl:1:37");
  EXPECT_EQ(place(R"({"timestamp": 5, "input_length": 5})"), "r.jsonl:1:1");
  EXPECT_EQ(place(R"({"timestamp": 5, "input_length": 5, "output_length": 2, "x": 1})"), "r.jsonl:1:57");
  EXPECT_EQ(place(R"({"timestamp": 5, "input_length": 5, "output_length": 2, "hash_ids": [1, 2]})"),
            "r.jsonl:1:57");
  EXPECT_EQ(place(R"({"timestamp": 5, "input_length": 5, "output_length": 2, "hash_ids": [-1]})"),
            "r.jsonl:1:57");
  EXPECT_EQ(place(R"({"timestamp": 1e999, "input_length": 5, "output_length": 2})"), "r.jsonl:1:1");
  EXPECT_EQ(place(R"({"timestamp": 18446744073709551615, "input_length": 5, "output_length": 2})"),
            "r.jsonl:1:2");
}

TEST(RequestTrace, CanonicalFileReadsBackTheSame) {
  const auto t = read_requests_mooncake(base::posix_env(), kData + "mooncake_synthetic_trace.jsonl.gz");
  const std::string text = format_requests_csv(*t);
  const auto back = parse_requests_csv(text, "c.csv");
  ASSERT_TRUE(back.ok()) << back.error().message();
  ASSERT_EQ(back->rows.size(), t->rows.size());
  for (std::size_t i = 0; i < t->rows.size(); ++i) {
    ASSERT_EQ(back->rows[i].arrival, t->rows[i].arrival);
    ASSERT_EQ(back->rows[i].prefix, t->rows[i].prefix);
  }
  EXPECT_EQ(format_requests_csv(*back), text);
}

}  // namespace
}  // namespace perjoule::backends::replay
