#include "backends/grid/carbon_series.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.hpp"

namespace perjoule::backends::grid {
namespace {

using base::Duration;
using base::GramsPerKwh;
using base::TimePoint;
using energy::CarbonKind;
using energy::Quality;

constexpr GapPolicy kPrevious = GapPolicy::kPreviousValidHour;
constexpr GapPolicy kYesterday = GapPolicy::kSameHourPreviousDay;

TimePoint at(const char* text) { return base::parse_iso8601(text).value(); }
Duration hours(std::int64_t n) { return {n * base::kNsPerHour}; }

// Hours of one series from `start`; a negative value is a gap.
CarbonSeries hourly(TimePoint start, const std::vector<double>& values,
                    CarbonKind kind = CarbonKind::kAverage) {
  std::vector<CarbonPoint> points;
  std::vector<RejectedInterval> rejected;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const TimePoint t0 = start + hours(static_cast<std::int64_t>(i));
    if (values[i] < 0) {
      rejected.push_back({t0, t0 + hours(1), RejectReason::kEmpty, "f.csv:9:1", ""});
    } else {
      points.push_back({t0, t0 + hours(1), GramsPerKwh(values[i]), Quality::kDerived});
    }
  }
  return CarbonSeries::make({"X", kind, "test"}, points, rejected).value();
}

std::vector<double> ramp(std::size_t n) {
  std::vector<double> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(100.0 + static_cast<double>(i));
  return out;
}

TEST(CarbonSeries, AnswersInstantsAndWindows) {
  const TimePoint t = at("2022-01-01T00:00Z");
  const auto s = hourly(t, {100, 200, 400});
  EXPECT_EQ(s.grams_per_kwh_at(t, kPrevious).intensity->value(), 100);
  EXPECT_EQ(s.grams_per_kwh_at(t + hours(1) - Duration{1}, kPrevious).intensity->value(), 100);
  EXPECT_EQ(s.grams_per_kwh_at(t + hours(1), kPrevious).intensity->value(), 200);
  const auto mean = s.at_window(t + base::seconds(1800), t + base::seconds(9000), kPrevious);
  EXPECT_DOUBLE_EQ(mean.intensity->value(), (0.5 * 100 + 200 + 0.5 * 400) / 2);
  EXPECT_EQ(mean.quality, Quality::kDerived);
  EXPECT_EQ(mean.fallback_used.ns, 0);
  EXPECT_FALSE(mean.fallback.has_value());
}

TEST(CarbonSeries, GramsAreEnergyTimesTheWindowMean) {
  const TimePoint t = at("2022-01-01T00:00Z");
  const auto s = hourly(t, {100, 300});
  const auto mass = s.grams(base::Microjoules(7'200'000'000'000), t, t + hours(2), kPrevious);  // 2 kWh
  EXPECT_DOUBLE_EQ(mass.grams->value(), 400.0);
  EXPECT_EQ(mass.quality, Quality::kDerived);
}

TEST(CarbonSeries, GapsAreAnsweredByTheStatedFallbackOnly) {
  const TimePoint t = at("2022-01-01T00:00Z");
  auto values = ramp(60);
  values[30] = -1;
  const auto s = hourly(t, values);
  const TimePoint gap = t + hours(30);
  const auto previous = s.grams_per_kwh_at(gap, kPrevious);
  EXPECT_EQ(previous.intensity->value(), 129);
  EXPECT_EQ(previous.quality, Quality::kModelled);
  EXPECT_EQ(previous.fallback, kPrevious);
  const auto yesterday = s.grams_per_kwh_at(gap, kYesterday);
  EXPECT_EQ(yesterday.intensity->value(), 106);
  EXPECT_EQ(yesterday.quality, Quality::kModelled);
  const auto refused = s.grams_per_kwh_at(gap, GapPolicy::kRefuse);
  EXPECT_FALSE(refused.intensity.has_value());
  EXPECT_EQ(refused.quality, Quality::kMissing);
  EXPECT_NE(refused.why_missing.find("f.csv:9:1"), std::string::npos) << refused.why_missing;
  // A window that only touches the gap says how much of it was filled.
  const auto window = s.at_window(gap - hours(2), gap + hours(1), kPrevious);
  EXPECT_EQ(window.fallback_used.ns, base::kNsPerHour);
  EXPECT_DOUBLE_EQ(window.intensity->value(), (128.0 + 129 + 129) / 3);
  EXPECT_FALSE(s.grams(base::Microjoules(5), gap, gap + hours(1), GapPolicy::kRefuse).grams.has_value());
}

TEST(CarbonSeries, FallbacksDoNotReachForEver) {
  const TimePoint t = at("2022-01-01T00:00Z");
  std::vector<double> values(24 * 12, -1.0);
  values[0] = 100;
  values.back() = 200;
  const auto s = hourly(t, values);
  EXPECT_TRUE(s.grams_per_kwh_at(t + hours(24), kPrevious).intensity.has_value());
  EXPECT_FALSE(s.grams_per_kwh_at(t + hours(25), kPrevious).intensity.has_value());
  EXPECT_EQ(s.grams_per_kwh_at(t + hours(7 * 24), kYesterday).intensity->value(), 100);
  EXPECT_FALSE(s.grams_per_kwh_at(t + hours(8 * 24), kYesterday).intensity.has_value());
  EXPECT_FALSE(s.at_window(t, t + hours(30), kPrevious).intensity.has_value());
}

TEST(CarbonSeries, OutsideTheSeriesIsMissing) {
  const TimePoint t = at("2022-01-01T00:00Z");
  const auto s = hourly(t, {100, 200});
  for (const GapPolicy policy : {kPrevious, kYesterday, GapPolicy::kRefuse}) {
    EXPECT_FALSE(s.grams_per_kwh_at(t - Duration{1}, policy).intensity.has_value());
    EXPECT_FALSE(s.grams_per_kwh_at(t + hours(2), policy).intensity.has_value());
    EXPECT_FALSE(s.at_window(t, t + hours(2) + Duration{1}, policy).intensity.has_value());
  }
}

// The slow obvious way: one instant per minute.
TEST(CarbonSeries, WindowsAgreeWithMinuteByMinuteAnswers) {
  base::Rng rng(7);
  const TimePoint t = at("2022-06-01T00:00Z");
  std::vector<double> values = ramp(24 * 9);
  for (double& v : values) {
    if (rng.uniform() < 0.3) v = -1;
  }
  values.front() = 50;
  const auto s = hourly(t, values);
  for (int trial = 0; trial < 60; ++trial) {
    const auto from = static_cast<std::int64_t>(rng.uniform() * 24 * 8 * 60);
    const auto minutes = 1 + static_cast<std::int64_t>(rng.uniform() * 600);
    for (const GapPolicy policy : {kPrevious, kYesterday, GapPolicy::kRefuse}) {
      double sum = 0;
      bool known = true;
      std::int64_t filled = 0;
      for (std::int64_t m = from; m < from + minutes; ++m) {
        const auto one = s.grams_per_kwh_at(t + base::seconds(60 * m), policy);
        known = known && one.intensity.has_value();
        if (one.intensity) sum += one.intensity->value();
        if (one.fallback) ++filled;
      }
      const auto window =
          s.at_window(t + base::seconds(60 * from), t + base::seconds(60 * (from + minutes)), policy);
      ASSERT_EQ(window.intensity.has_value(), known);
      if (!known) continue;
      EXPECT_NEAR(window.intensity->value(), sum / static_cast<double>(minutes), 1e-9);
      EXPECT_EQ(window.fallback_used.ns, filled * 60 * base::kNsPerSecond);
    }
  }
}

TEST(CarbonSeries, AverageAndMarginalAreNeverJoined) {
  const TimePoint t = at("2022-01-01T00:00Z");
  const auto average = hourly(t, {100});
  const auto marginal = hourly(t + hours(1), {500}, CarbonKind::kMarginal);
  EXPECT_FALSE(average.followed_by(marginal).ok());
  const auto next = hourly(t + hours(1), {120});
  EXPECT_EQ(average.followed_by(next).value().points().size(), 2u);
  EXPECT_FALSE(next.followed_by(average).ok());
}

TEST(CarbonSeries, RefusesBadPoints) {
  const TimePoint t = at("2022-01-01T00:00Z");
  const auto make = [&](std::vector<CarbonPoint> points, CarbonKind kind = CarbonKind::kAverage) {
    return CarbonSeries::make({"X", kind, ""}, std::move(points), {}).ok();
  };
  EXPECT_FALSE(make({}));
  EXPECT_FALSE(make({{t, t, GramsPerKwh(1)}}));
  EXPECT_FALSE(make({{t, t + hours(1), GramsPerKwh(std::nan(""))}}));
  EXPECT_FALSE(make({{t, t + hours(1), GramsPerKwh(-1)}}));
  EXPECT_TRUE(make({{t, t + hours(1), GramsPerKwh(-1)}}, CarbonKind::kMarginal));
  EXPECT_FALSE(make({{t, t + hours(2), GramsPerKwh(1)}, {t + hours(1), t + hours(3), GramsPerKwh(1)}}));
}

TEST(CarbonSeries, ShiftsByMonthDayAndHour) {
  const auto s = hourly(at("2022-01-01T00:00Z"), ramp(365 * 24));
  const auto later = s.shifted_to_year(2026);
  ASSERT_TRUE(later.ok());
  EXPECT_EQ(later->points().size(), 8'760u);
  const auto old_value = s.grams_per_kwh_at(at("2022-07-04T15:30Z"), kPrevious);
  const auto new_value = later->grams_per_kwh_at(at("2026-07-04T15:30Z"), kPrevious);
  EXPECT_EQ(new_value.intensity->value(), old_value.intensity->value());
  EXPECT_EQ(new_value.quality, Quality::kModelled);
  EXPECT_NE(later->source().find("2022 shifted to 2026"), std::string::npos);
}

TEST(CarbonSeries, ShiftsAcrossLeapYears) {
  const auto common = hourly(at("2022-01-01T00:00Z"), ramp(365 * 24)).shifted_to_year(2024).value();
  EXPECT_EQ(common.end(), at("2025-01-01T00:00Z"));
  EXPECT_FALSE(common.grams_per_kwh_at(at("2024-02-29T12:00Z"), GapPolicy::kRefuse).intensity.has_value());
  ASSERT_EQ(common.rejected().size(), 1u);
  EXPECT_EQ(common.rejected()[0].reason, RejectReason::kNotInSourceYear);
  // 1 March 2022 is hour 59 * 24.
  EXPECT_EQ(common.grams_per_kwh_at(at("2024-03-01T00:00Z"), kPrevious).intensity->value(), 100.0 + 59 * 24);
  const auto leap = hourly(at("2024-01-01T00:00Z"), ramp(366 * 24)).shifted_to_year(2023).value();
  EXPECT_EQ(leap.points().size(), 8'760u);
  EXPECT_EQ(leap.grams_per_kwh_at(at("2023-03-01T00:00Z"), kPrevious).intensity->value(), 100.0 + 60 * 24);
  EXPECT_EQ(leap.grams_per_kwh_at(at("2023-02-28T23:00Z"), kPrevious).intensity->value(),
            100.0 + 59 * 24 - 1);
  EXPECT_FALSE(hourly(at("2022-12-31T23:00Z"), {1, 2}).shifted_to_year(2026).ok());
}

TEST(CarbonSeries, GivesRowsOfTheStore) {
  const TimePoint t = at("2022-01-01T00:00Z");
  const auto s = hourly(t, {100, -1, 300});
  base::SymbolTable symbols;
  const auto rows = s.rows(t + hours(1), t + hours(3), symbols);
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].quality, Quality::kMissing);
  EXPECT_TRUE(std::isnan(rows[0].g_per_kwh));
  EXPECT_EQ(rows[1].g_per_kwh, 300);
  EXPECT_EQ(symbols.text(rows[1].region), "X");
}

}  // namespace
}  // namespace perjoule::backends::grid
