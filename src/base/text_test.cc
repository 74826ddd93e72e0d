#include "base/text.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include "base/result.hpp"
#include "base/rng.hpp"
#include "base/symbol.hpp"

namespace perjoule::base {
namespace {

TEST(Text, TrimsAndSplits) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim(" \n"), "");
  EXPECT_EQ(split("a,,b,", ','), (std::vector<std::string_view>{"a", "", "b", ""}));
  EXPECT_EQ(split("", ','), (std::vector<std::string_view>{""}));
}

TEST(Text, NumbersAreStrict) {
  EXPECT_EQ(parse_double("1.5e3"), 1500.0);
  EXPECT_EQ(parse_double("+2"), 2.0);
  EXPECT_EQ(parse_double("-.5"), -0.5);
  EXPECT_EQ(parse_int("-12"), -12);
  EXPECT_EQ(parse_int("+9223372036854775807"), INT64_MAX);
  for (const char* s : {"", "+", "-", " 1", "1 ", "1x", "inf", "nan", "-inf", "1e999", "+-1", "++1", "0x1"}) {
    EXPECT_FALSE(parse_double(s).has_value()) << s;
    EXPECT_FALSE(parse_int(s).has_value()) << s;
  }
  EXPECT_FALSE(parse_int("1.0").has_value());
  EXPECT_FALSE(parse_int("9223372036854775808").has_value());
}

TEST(Text, ShortestTextReadsBackTheSameDouble) {
  Rng rng(64);
  for (int i = 0; i < 20'000; ++i) {
    const double v = std::bit_cast<double>(rng.next());
    if (!std::isfinite(v) || std::fpclassify(v) == FP_SUBNORMAL) continue;
    ASSERT_EQ(parse_double(shortest_text(v)), v);
  }
  EXPECT_EQ(shortest_text(0.1), "0.1");
}

// The recurrence written as it is defined, without tables.
std::size_t slow_distance(std::string_view a, std::string_view b) {
  if (a.empty() || b.empty()) return a.size() + b.size();
  const auto drop = [](std::string_view s, std::size_t n) { return s.substr(0, s.size() - n); };
  std::size_t best = slow_distance(drop(a, 1), drop(b, 1)) + (a.back() == b.back() ? 0 : 1);
  best = std::min(best, slow_distance(drop(a, 1), b) + 1);
  best = std::min(best, slow_distance(a, drop(b, 1)) + 1);
  if (a.size() > 1 && b.size() > 1 && a.back() == b[b.size() - 2] && a[a.size() - 2] == b.back()) {
    best = std::min(best, slow_distance(drop(a, 2), drop(b, 2)) + 1);
  }
  return best;
}

TEST(Text, EditDistanceEqualsItsDefinition) {
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("abcd", "acbd"), 1u);
  Rng rng(3);
  for (int i = 0; i < 300; ++i) {
    std::string a(rng.below(6), 'a'), b(rng.below(6), 'a');
    for (char& c : a) c = static_cast<char>('a' + rng.below(3));
    for (char& c : b) c = static_cast<char>('a' + rng.below(3));
    ASSERT_EQ(edit_distance(a, b), slow_distance(a, b)) << a << " " << b;
  }
}

TEST(Text, HintsNameTheNearestOrAll) {
  const std::vector<std::string> names{"gpu.power.avg", "gpu.energy", "node.power"};
  EXPECT_EQ(nearest_name_hint("gpu.enrgy", names), "Did you mean 'gpu.energy'?");
  EXPECT_EQ(nearest_name_hint("zzzzzzzz", names), "Known: gpu.power.avg, gpu.energy, node.power");
  const std::string many = nearest_name_hint("zzzzzzzz", std::vector<std::string>(20, "aaaaaaaaaaaaaaaaa"));
  EXPECT_EQ(std::count(many.begin(), many.end(), ','), 11);  // twelve names
  EXPECT_TRUE(many.ends_with(" ..."));
}

TEST(Text, NumbersForPeople) {
  EXPECT_EQ(group_digits(0), "0");
  EXPECT_EQ(group_digits(999), "999");
  EXPECT_EQ(group_digits(-1000), "-1,000");
  EXPECT_EQ(group_digits(12345678), "12,345,678");
  EXPECT_EQ(group_digits(INT64_MIN), "-9,223,372,036,854,775,808");
  EXPECT_EQ(si_text(1234.0, "W"), "1.23 kW");
  EXPECT_EQ(si_text(999.6, "W"), "1.00 kW");
  EXPECT_EQ(si_text(-0.0125, "J"), "-12.5 mJ");
  EXPECT_EQ(si_text(0.0, "J"), "0.00 J");
  EXPECT_EQ(si_text(456e6, "W"), "456 MW");
  EXPECT_EQ(fixed_text(3.14159, 2), "3.14");
  EXPECT_EQ(fixed_text(-1e300, 1).size(), 1u + 301 + 2);
  EXPECT_EQ(hex64(0xab), "00000000000000ab");
}

TEST(Symbols, ManyStayWhereTheyAre) {
  SymbolTable table;
  const std::string long_name(100'000, 'x');
  std::vector<std::string_view> views;
  for (std::uint32_t i = 0; i < 5000; ++i) {
    // One in a thousand is longer than a block of characters.
    const std::string name = "r" + std::to_string(i) + (i % 1000 == 0 ? long_name : "");
    ASSERT_EQ(table.intern(name).id, i + 1);
    views.push_back(table.text({i + 1}));
  }
  for (std::uint32_t i = 0; i < 5000; ++i) {
    EXPECT_EQ(views[i], "r" + std::to_string(i) + (i % 1000 == 0 ? long_name : ""));
    EXPECT_EQ(table.find(views[i]).id, i + 1);
    EXPECT_EQ(table.text({i + 1}).data(), views[i].data());
  }
  EXPECT_TRUE(table.find("r5000").empty());
  EXPECT_EQ(table.size(), 5001U);
}

TEST(Symbols, AreDenseStableAndFound) {
  SymbolTable table;
  EXPECT_TRUE(table.intern("").empty());
  const Symbol a = table.intern("a");
  const std::string_view text = table.text(a);
  for (int i = 0; i < 10'000; ++i) table.intern("n" + std::to_string(i));
  EXPECT_EQ(table.text(a).data(), text.data());  // views stay valid
  EXPECT_EQ(table.intern("a"), a);
  EXPECT_EQ(table.find("n77"), table.intern("n77"));
  EXPECT_EQ(table.text(table.find("n9999")), "n9999");
  EXPECT_TRUE(table.find("absent").empty());
  EXPECT_EQ(table.size(), 10'002u);
}

Result<int> half(int n) {
  if (n % 2 != 0) return bad_input("halve", "n", std::to_string(n) + " is odd", "Give an even number");
  return n / 2;
}
Result<int> quarter(int n) {
  PJ_ASSIGN(const int h, half(n));
  PJ_TRY(half(h));
  return half(h);
}

TEST(Results, CarryTheErrorUp) {
  EXPECT_EQ(*quarter(12), 3);
  const auto bad = quarter(6);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message(), "halve: n: 3 is odd. Give an even number");
  EXPECT_EQ(bad.error().within("split").message(), "split: n: halve: 3 is odd. Give an even number");
  EXPECT_EQ(Error{}.within("x").why, "");
}

TEST(Results, MapToTheExitStatusOfTheContract) {
  EXPECT_EQ(exit_status(ErrorKind::kAnswerIsNo), 1);
  EXPECT_EQ(exit_status(ErrorKind::kCorrupt), 1);
  EXPECT_EQ(exit_status(ErrorKind::kBadInput), 2);
  EXPECT_EQ(exit_status(ErrorKind::kMissing), 3);
  EXPECT_EQ(exit_status(ErrorKind::kIo), 3);
  EXPECT_EQ(exit_status(ErrorKind::kDefect), 4);
}

TEST(ResultsDeathTest, AValueIsNotTakenFromAnError) {
  EXPECT_DEATH(static_cast<void>(half(3).value()), "defect");
}

TEST(LineWithDeepKey, FindsKeysThatNestTooDeeplyAndNothingElse) {
  const auto dotted = [](std::size_t dots, const std::string& part) {
    std::string key = part;
    for (std::size_t i = 0; i < dots; ++i) key += "." + part;
    return key;
  };
  EXPECT_EQ(line_with_deep_key(dotted(128, "a") + " = 1"), 0U);
  EXPECT_EQ(line_with_deep_key("x = 1\n" + dotted(129, "a") + " = 1"), 2U);
  EXPECT_EQ(line_with_deep_key("[" + dotted(500, "\"a b\"") + "]"), 1U);
  EXPECT_EQ(line_with_deep_key("x = {" + dotted(500, " a\t") + " = 1}"), 1U);
  EXPECT_EQ(line_with_deep_key("# " + std::string(500, '.')), 0U);
  std::string numbers = "x = [";
  for (int i = 0; i < 500; ++i) numbers += "1.5, ";
  EXPECT_EQ(line_with_deep_key(numbers + "]"), 0U);
}

}  // namespace
}  // namespace perjoule::base
