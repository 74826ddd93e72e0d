#include "base/csv.hpp"

#include <gtest/gtest.h>

#include <string>

#include "base/rng.hpp"

namespace perjoule::base {
namespace {

CsvTable parsed(const std::string& text, CsvOptions options = {}) {
  auto table = CsvTable::parse(text, "t.csv", options);
  EXPECT_TRUE(table.ok()) << table.error().message();
  return std::move(table).value();
}

std::string refusal(const std::string& text, CsvOptions options = {}) {
  const auto table = CsvTable::parse(text, "t.csv", options);
  return table.ok() ? "accepted" : table.error().where + ": " + table.error().why;
}

TEST(Csv, ReadsNamesFieldsQuotesAndTrims) {
  const auto t = parsed(
      "\xEF\xBB\xBF"
      "a,\"b, c\",d\r\n1,\"x \"\"y\"\", z\", 2.5 \r\n\r\n-3,\"\",\n");
  ASSERT_EQ(t.columns(), (std::vector<std::string>{"a", "b, c", "d"}));
  ASSERT_EQ(t.rows(), 2u);
  EXPECT_EQ(t.field(0, 1), "x \"y\", z");
  EXPECT_EQ(t.number(0, 2).value(), 2.5);
  EXPECT_EQ(t.integer(1, 0).value(), -3);
  EXPECT_EQ(t.field(1, 1), "");
  EXPECT_FALSE(t.optional_number(1, 2).value().has_value());
  EXPECT_EQ(t.optional_number(0, 2).value(), 2.5);
}

// A quote opens a field only as its first character; after a blank it is text like any other.
TEST(Csv, AQuoteInsideAFieldIsText) {
  const auto t = parsed("a, \"b\"\n1,2\" pipe\n");
  EXPECT_EQ(t.columns()[1], "\"b\"");
  EXPECT_EQ(t.field(0, 1), "2\" pipe");
}

TEST(Csv, NamesLineAndColumnOfAField) {
  const auto t = parsed("a,b\n\n1,\"two\"\n  3 ,x9\n");
  EXPECT_EQ(t.where(0, 0), "t.csv:3:1");
  EXPECT_EQ(t.where(0, 1), "t.csv:3:4");  // inside the quote
  EXPECT_EQ(t.where(1, 0), "t.csv:4:3");
  const auto bad = t.number(1, 1);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message(), "read column 'b': t.csv:4:6: 'x9' is not a finite number");
  EXPECT_EQ(bad.error().kind, ErrorKind::kBadInput);
}

TEST(Csv, RefusesWhatIsNotANumber) {
  for (const char* text : {"", "nan", "inf", "-inf", "1e999", "1,5x", "0x10", "1 2", "--1", "+-1", "1e"}) {
    const auto t = parsed(std::string("a;b\n0;") + text + "\n", {.separator = ';'});
    ASSERT_FALSE(t.number(0, 1).ok()) << text;
    EXPECT_EQ(t.number(0, 1).error().where.substr(0, 7), "t.csv:2");
  }
  const auto t = parsed("a\n1.5\n9223372036854775808\n9223372036854775807\n+7\n");
  EXPECT_FALSE(t.integer(0, 0).ok());
  EXPECT_FALSE(t.integer(1, 0).ok());
  EXPECT_EQ(t.integer(2, 0).value(), INT64_MAX);
  EXPECT_EQ(t.integer(3, 0).value(), 7);
}

TEST(Csv, RefusesBrokenFormWithItsPlace) {
  EXPECT_EQ(refusal(""), "t.csv:1:1: it is empty");
  EXPECT_EQ(refusal("\n \n"), "t.csv:1:1: it is empty");
  EXPECT_EQ(refusal("a,b\n1,2\n\n3\n"), "t.csv:4:1: has 1 fields, expected 2");
  EXPECT_EQ(refusal("a,b\n1,2,3\n"), "t.csv:2:1: has 3 fields, expected 2");
  EXPECT_EQ(refusal("a,b\n1,\"2\n3,4\n"), "t.csv:2:3: a quoted field is not closed on its line");
  EXPECT_EQ(refusal("a,b\n1,\"2\"3\n"), "t.csv:2:6: there is text after the closing quote of a field");
  EXPECT_EQ(refusal("1,2\n", {.header = false, .columns = 3}), "t.csv:1:1: has 2 fields, expected 3");
}

TEST(Csv, ReadsWithoutAHeader) {
  const auto t = parsed("1,2\n3,4", {.header = false});
  ASSERT_EQ(t.rows(), 2u);
  EXPECT_EQ(t.integer(1, 1).value(), 4);
  EXPECT_EQ(t.number(0, 1).value(), 2.0);
  EXPECT_EQ(parsed("1,x", {.header = false}).number(0, 1).error().what, "read field 2");
}

TEST(Csv, AnUnknownColumnNamesTheNearest) {
  const auto t = parsed("power_limit,time\n1,2\n");
  EXPECT_EQ(t.column("time").value(), 1u);
  const auto wrong = t.column("power_limt");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().where, "t.csv:1:1");
  EXPECT_EQ(wrong.error().hint, "Did you mean 'power_limit'?");
}

// What is written with quotes around everything comes back, whatever it holds.
TEST(Csv, RoundTripsRandomFields) {
  constexpr std::string_view kAlphabet = "ab,\" ;.1\xC3\xA9";
  Rng rng(11);
  for (int round = 0; round < 500; ++round) {
    std::vector<std::string> fields(3 * (1 + rng.below(5)));
    std::string text = "x,y,z\n";
    for (std::size_t i = 0; i < fields.size(); ++i) {
      fields[i] = "<";
      for (std::uint64_t n = rng.below(8); n > 0; --n) fields[i] += kAlphabet[rng.below(kAlphabet.size())];
      fields[i] += ">";
      text += "\"";
      for (const char c : fields[i]) text += c == '"' ? std::string("\"\"") : std::string(1, c);
      text += i % 3 == 2 ? "\"\n" : "\",";
    }
    const auto t = parsed(text);
    ASSERT_EQ(t.rows() * 3, fields.size());
    for (std::size_t i = 0; i < fields.size(); ++i) ASSERT_EQ(t.field(i / 3, i % 3), fields[i]) << text;
  }
}

}  // namespace
}  // namespace perjoule::base
