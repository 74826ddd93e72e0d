#include "base/time.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "base/clock.hpp"
#include "base/rng.hpp"

namespace perjoule::base {
namespace {

// Seconds since 1970 computed with another language's calendar.
TEST(Iso8601, AgreesWithKnownDates) {
  const std::pair<const char*, std::int64_t> known[] = {
      {"1970-01-01T00:00:00Z", 0},           {"2000-02-29T12:30:15Z", 951827415},
      {"1900-03-01T00:00:00Z", -2203891200}, {"2100-02-28T23:59:59Z", 4107542399},
      {"2026-05-01T13:00:00Z", 1777640400},  {"1678-01-01T00:00:00Z", -9214560000},
      {"2261-12-31T23:59:59Z", 9214646399},  {"1969-12-31T23:59:59Z", -1}};
  for (const auto& [text, s] : known) {
    EXPECT_EQ(parse_iso8601(text).value().ns, s * kNsPerSecond) << text;
    EXPECT_EQ(format_iso8601({s * kNsPerSecond}), text);
  }
}

TEST(Iso8601, AcceptsItsForms) {
  const TimePoint t{1777640400 * kNsPerSecond};
  for (const char* text :
       {"2026-05-01T13:00:00Z", "2026-05-01 13:00:00", "2026-05-01T13:00", "2026-05-01T13:00Z",
        "2026-05-01T15:00:00+02:00", "2026-05-01T15:00:00+0200", "2026-05-01T15:00:00+02",
        "2026-05-01T09:30:00-03:30", "2026-05-01T13:00:00.000Z"}) {
    const auto read = parse_iso8601(text);
    ASSERT_TRUE(read.ok()) << text;
    EXPECT_EQ(read.value(), t) << text;
  }
  EXPECT_EQ(parse_iso8601("2026-05-01").value().ns, (1777640400 - 13 * 3600) * kNsPerSecond);
  EXPECT_EQ(parse_iso8601("2026-04-30T24:00:00").value(), parse_iso8601("2026-05-01").value());
  EXPECT_EQ(parse_iso8601("1970-01-01T00:00:00.000000001Z").value().ns, 1);
  EXPECT_EQ(parse_iso8601("1970-01-01T00:00:00.25").value().ns, 250 * kNsPerMs);
}

TEST(Iso8601, RefusesEverythingElse) {
  for (const char* text : {"",
                           "now",
                           "2026",
                           "2026-05",
                           "2026-5-1",
                           "2026-13-01",
                           "2026-00-10",
                           "2026-02-29",
                           "1900-02-29",
                           "2026-04-31",
                           "2026-05-01T",
                           "2026-05-01T13",
                           "2026-05-01T13:60",
                           "2026-05-01T25:00",
                           "2026-05-01T24:00:01",
                           "2026-05-01T24:30",
                           "2026-05-01T13:00:61",
                           "2026-05-01T13:00:00.",
                           "2026-05-01T13:00:00X",
                           "2026-05-01T13:00:00Zx",
                           "2026-05-01T13:00:00+2",
                           "2026-05-01T13:00:00+02:",
                           "2026-05-01T13:00:00+24:00",
                           "2026-05-01T13:00:00+02:60",
                           "2026-05-01T13:00:",
                           "1677-12-31",
                           "2262-01-01",
                           "2026-05-01 ",
                           " 2026-05-01"}) {
    const auto read = parse_iso8601(text);
    ASSERT_FALSE(read.ok()) << text;
    EXPECT_EQ(read.error().kind, ErrorKind::kBadInput);
    EXPECT_EQ(read.error().where, "'" + std::string(text) + "'");
  }
}

TEST(Iso8601, RoundTripsRandomTimes) {
  Rng rng(8601);
  const std::int64_t low = -9214560000 * kNsPerSecond, high = 9214646399 * kNsPerSecond;
  for (int i = 0; i < 20'000; ++i) {
    std::int64_t ns = static_cast<std::int64_t>(
        static_cast<std::uint64_t>(low) +
        rng.below(static_cast<std::uint64_t>(high) - static_cast<std::uint64_t>(low)));
    const std::int64_t grains[] = {1, 1000, kNsPerMs, kNsPerSecond, kNsPerDay};
    const std::int64_t grain = grains[rng.below(5)];
    ns = ns / grain * grain;
    const std::string text = format_iso8601({ns});
    ASSERT_EQ(parse_iso8601(text).value().ns, ns) << text;
  }
}

// Day by day over 600 years against a calendar that only counts.
TEST(Civil, EveryDayFollowsTheOneBefore) {
  CivilDate d{1678, 1, 1};
  for (std::int64_t day = days_from_civil(d); d.year < 2262; ++day) {
    ASSERT_EQ(days_from_civil(d), day);
    const CivilDate back = civil_from_days(day);
    ASSERT_TRUE(back.year == d.year && back.month == d.month && back.day == d.day) << day;
    const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    const bool leap = d.year % 400 == 0 || (d.year % 4 == 0 && d.year % 100 != 0);
    const int length = lengths[d.month - 1] + (d.month == 2 && leap ? 1 : 0);
    if (++d.day > length) d.day = 1, ++d.month;
    if (d.month > 12) d.month = 1, ++d.year;
  }
}

TEST(DurationText, ReadsNumbersWithUnits) {
  EXPECT_EQ(parse_duration("30s").value(), seconds(30));
  EXPECT_EQ(parse_duration("5m").value(), seconds(300));
  EXPECT_EQ(parse_duration("24h").value().ns, kNsPerDay);
  EXPECT_EQ(parse_duration("3d").value().ns, 3 * kNsPerDay);
  EXPECT_EQ(parse_duration("250ms").value(), milliseconds(250));
  EXPECT_EQ(parse_duration("100us").value().ns, 100'000);
  EXPECT_EQ(parse_duration("10ns").value().ns, 10);
  EXPECT_EQ(parse_duration("1.5h").value(), seconds(5400));
  EXPECT_EQ(parse_duration("-1h").value(), seconds(-3600));
  for (const char* text : {"", "s", "30", "30 s", " 30s", "30s ", "30x", "nans", "infs", "0x10s", "1e400s",
                           "300000d", "--1s", "1..5s"}) {
    ASSERT_FALSE(parse_duration(text).ok()) << text;
    EXPECT_EQ(parse_duration(text).error().kind, ErrorKind::kBadInput);
  }
}

TEST(DurationText, IsWrittenForPeople) {
  EXPECT_EQ(format_duration({100}), "0.1 us");
  EXPECT_EQ(format_duration(milliseconds(250)), "250 ms");
  EXPECT_EQ(format_duration({999'999'999}), "1000 ms");
  EXPECT_EQ(format_duration({1'230'000'000}), "1.23 s");
  EXPECT_EQ(format_duration(seconds(123)), "2m 03s");
  EXPECT_EQ(format_duration(seconds(3723)), "1h 02m");
  EXPECT_EQ(format_duration(seconds(-3723)), "-1h 02m");
  EXPECT_EQ(format_duration({INT64_MIN})[0], '-');
}

TEST(DurationValue, ConvertsSeconds) {
  EXPECT_EQ(to_duration(Seconds(0.35e-3)).ns, 350'000);
  EXPECT_EQ(to_duration(Seconds(-1.5)).ns, -1'500'000'000);
  EXPECT_EQ(to_seconds(milliseconds(1500)).value(), 1.5);
}

TEST(Clocks, VirtualTimeMovesOnlyWhenTold) {
  VirtualClock clock({5});
  EXPECT_EQ(clock.now().ns, 5);
  clock.advance_to({5});
  clock.advance_to({9});
  EXPECT_EQ(clock.now().ns, 9);
  EXPECT_GT(SystemClock().now(), parse_iso8601("2024-01-01").value());
}

TEST(ClocksDeathTest, VirtualTimeNeverGoesBack) {
  VirtualClock clock({5});
  EXPECT_DEATH(clock.advance_to({4}), "defect");
}

}  // namespace
}  // namespace perjoule::base
