#include "plant/epw.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "base/text.hpp"
#include "plant/psychrometrics.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;

const std::string kFolder = std::string(PERJOULE_SOURCE_DIR) + "/data/weather/";

WeatherSeries san_jose() {
  auto series = WeatherSeries::read(base::posix_env(), kFolder + "USA_CA_San.Jose-Mineta.epw.gz");
  EXPECT_TRUE(series.ok()) << (series.ok() ? "" : series.error().message());
  return std::move(series).value();
}

base::TimePoint utc(std::string_view text) { return base::parse_iso8601(text).value(); }

// A made-up year: dry bulb = row number / 1000, so that a value tells its row.
std::vector<std::string> made_up(bool leap, const std::string& zone = "-8.0") {
  std::vector<std::string> out = {"LOCATION,Nowhere,XX,YYY,TEST,0,10.0,20.0," + zone + ",100.0",
                                  "DESIGN CONDITIONS,0",
                                  "TYPICAL/EXTREME PERIODS,0",
                                  "GROUND TEMPERATURES,0",
                                  "HOLIDAYS/DAYLIGHT SAVINGS,No,0,0,0",
                                  "COMMENTS 1,made up",
                                  "COMMENTS 2,made up",
                                  "DATA PERIODS,1,1,Data,Sunday,1/1,12/31"};
  const int days[] = {31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  int row = 0;
  for (int month = 1; month <= 12; ++month) {
    for (int day = 1; day <= days[month - 1]; ++day) {
      for (int hour = 1; hour <= 24; ++hour, ++row) {
        out.push_back("1999," + std::to_string(month) + "," + std::to_string(day) + "," +
                      std::to_string(hour) + ",0,flags," + base::fixed_text(row / 1000.0, 3) +
                      ",-5.0,40,100000" + ",0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0");
      }
    }
  }
  return out;
}

std::string join(const std::vector<std::string>& lines) {
  std::string out;
  for (const auto& line : lines) out += line + "\n";
  return out;
}

std::string why_not(const std::vector<std::string>& lines) {
  const auto series = WeatherSeries::parse(join(lines), "made.epw");
  return series.ok() ? "read" : series.error().message();
}

double row_at(const WeatherSeries& series, std::string_view time) {
  return series.at(utc(time)).dry_bulb.value() * 1000.0;
}

TEST(Epw, ReadsTheShippedFiles) {
  const auto series = san_jose();
  EXPECT_EQ(series.hours().size(), 8760U);
  EXPECT_EQ(series.location().city, "San.Jose-Mineta.Intl.AP");
  EXPECT_EQ(series.location().utc_offset.ns, -8 * base::kNsPerHour);
  EXPECT_EQ(series.location().elevation_m, 15.5);
  double least = 99, most = -99, sum = 0;
  for (const auto& hour : series.hours()) {
    least = std::min(least, hour.dry_bulb.value());
    most = std::max(most, hour.dry_bulb.value());
    sum += hour.dry_bulb.value();
    EXPECT_LE(hour.wet_bulb, hour.dry_bulb);
  }
  // Counted in the file with awk.
  EXPECT_EQ(least, -0.6);
  EXPECT_EQ(most, 34.4);
  EXPECT_NEAR(sum / 8760, 15.2, 0.05);
  EXPECT_TRUE(WeatherSeries::read(base::posix_env(), kFolder + "USA_VA_Leesburg.Exec.epw.gz").ok());
}

TEST(Epw, HourEndingLocalStandardTimeBecomesUtc) {
  const auto series = san_jose();
  // Its first row, 1 January hour 1: 6.1 C, 3.3 C, 82 %, 101,897 Pa, valid at 01:00 local = 09:00 UTC.
  const auto first = series.at(utc("2026-01-01T09:00:00Z"));
  EXPECT_EQ(first.dry_bulb.value(), 6.1);
  EXPECT_EQ(first.dew_point.value(), 3.3);
  EXPECT_EQ(first.relative_humidity, 82.0);
  EXPECT_EQ(first.pressure.value(), 101897.0);
  EXPECT_EQ(first.wet_bulb, wet_bulb(Celsius(6.1), Celsius(3.3), base::Pascals(101897)));
  // Half way to the second row (5.6 C).
  EXPECT_NEAR(series.at(utc("2026-01-01T09:30:00Z")).dry_bulb.value(), 5.85, 1e-12);
}

TEST(Epw, AnyYearTakesTheSameMonthDayAndHour) {
  const auto series = WeatherSeries::parse(join(made_up(false)), "x").value();
  EXPECT_NEAR(row_at(series, "2026-01-01T09:00:00Z"), 0.0, 1e-9);
  EXPECT_NEAR(row_at(series, "2023-01-01T10:00:00Z"), 1.0, 1e-9);
  EXPECT_NEAR(row_at(series, "1965-03-01T09:00:00Z"), 59 * 24.0, 1e-9);
  EXPECT_NEAR(row_at(series, "2024-03-01T09:00:00Z"), 59 * 24.0, 1e-9);
  // 24:00 of 31 December is 00:00 of 1 January; between it and the first row of the year it is linear.
  EXPECT_NEAR(row_at(series, "2026-01-01T08:00:00Z"), 8759.0, 1e-9);
  EXPECT_NEAR(row_at(series, "2026-01-01T08:30:00Z"), 8759.0 / 2, 1e-9);
  // 29 February takes the row of the 28th.
  EXPECT_EQ(row_at(series, "2024-02-29T20:00:00Z"), row_at(series, "2024-02-28T20:00:00Z"));
}

TEST(Epw, LeapFileAndOddZones) {
  const auto series = WeatherSeries::parse(join(made_up(true, "5.5")), "x").value();
  EXPECT_EQ(series.hours().size(), 8784U);
  EXPECT_NEAR(row_at(series, "2024-12-31T18:30:00Z"), 8783.0, 1e-9);
  EXPECT_NEAR(row_at(series, "2023-12-31T18:30:00Z"), 8783.0, 1e-9);
  EXPECT_NEAR(row_at(series, "2024-02-29T18:30:00Z"), 60 * 24.0 - 1, 1e-9);
}

TEST(Epw, InterpolatedWetBulbIsNearTheExactOne) {
  const auto series = san_jose();
  double worst = 0.0, sum = 0.0;
  for (int i = 0; i < 8760; ++i) {
    const auto s = series.at(utc("2026-01-01T09:30:00Z") + base::Duration{i * base::kNsPerHour});
    const double exact = wet_bulb(s.dry_bulb, s.dew_point, s.pressure).value();
    worst = std::max(worst, std::abs(exact - s.wet_bulb.value()));
    sum += std::abs(exact - s.wet_bulb.value());
  }
  // The figures of docs/models/weather.md.
  EXPECT_LT(sum / 8760, 0.01);
  EXPECT_LT(worst, 0.35);
  RecordProperty("mean_kelvin", std::to_string(sum / 8760));
  RecordProperty("worst_kelvin", std::to_string(worst));
}

TEST(Epw, WrongNumberOfHoursNamesFileLineAndCount) {
  auto lines = made_up(false);
  lines.pop_back();
  EXPECT_NE(why_not(lines).find("made.epw:8767: the file has 8,759 hours"), std::string::npos)
      << why_not(lines);
  lines = made_up(false);
  lines.erase(lines.begin() + 8 + 100);
  EXPECT_NE(why_not(lines).find("made.epw:109: month/day/hour should be 1/5 hour 5"), std::string::npos);
  EXPECT_NE(why_not(lines).find("8,759 hours"), std::string::npos) << why_not(lines);
  lines = made_up(false);
  lines.push_back(lines.back());
  EXPECT_NE(why_not(lines).find("8,761 hours"), std::string::npos) << why_not(lines);
}

TEST(Epw, MissingCodesAndBadFieldsNameTheLine) {
  const auto with = [](std::string from, std::string to) {
    auto lines = made_up(false);
    std::string& line = lines[8 + 500];
    line.replace(line.find(from), from.size(), to);
    return why_not(lines);
  };
  EXPECT_NE(with("0.500,", "99.9,").find("made.epw:509: dry bulb (field 7) is missing (code 99.9)"),
            std::string::npos);
  EXPECT_NE(with(",-5.0,", ",99.9,").find("dew point (field 8) is missing"), std::string::npos);
  EXPECT_NE(with(",40,", ",999,").find("relative humidity (field 9) is missing"), std::string::npos);
  EXPECT_NE(with(",100000", ",999999").find("station pressure (field 10) is missing"), std::string::npos);
  EXPECT_NE(with(",-5.0,", ",,").find("is not a number"), std::string::npos);
  EXPECT_NE(with(",-5.0,", ",nan,").find("is not a number"), std::string::npos);
  EXPECT_NE(with("0.500,", "71.0,").find("outside -70..70"), std::string::npos);
  EXPECT_NE(with(",40,", ",40,1,").find("the row has 36 fields where 35"), std::string::npos);
  EXPECT_EQ(with(",40,", ",41,"), "read");
}

TEST(Epw, HeaderIsStrict) {
  EXPECT_NE(why_not({}).find("the file ends inside the eight header lines"), std::string::npos);
  auto lines = made_up(false);
  lines.erase(lines.begin() + 5);
  EXPECT_NE(why_not(lines).find("made.epw:6: header line 6 should begin with 'COMMENTS 1'"),
            std::string::npos);
  lines = made_up(false);
  lines[7] = "DATA PERIODS,1,4,Data,Sunday,1/1,12/31";
  EXPECT_NE(why_not(lines).find("one record per hour"), std::string::npos);
  lines = made_up(false, "x");
  EXPECT_NE(why_not(lines).find("time zone"), std::string::npos);
  EXPECT_FALSE(WeatherSeries::read(base::posix_env(), kFolder + "nowhere.epw").ok());
}

}  // namespace
}  // namespace perjoule::plant
