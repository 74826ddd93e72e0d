#include "plant/epw.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

#include "base/assert.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"
#include "plant/psychrometrics.hpp"

namespace perjoule::plant {
namespace {

using base::Result;
using base::Status;

constexpr const char* kWhat = "cannot read the weather file";
constexpr const char* kFetch = "fetch the file again, or take another EPW file";
constexpr std::size_t kHeaderLines = 8;
constexpr std::size_t kYearHours = 8'760;
constexpr std::size_t kLeapYearHours = 8'784;
// Older files lack the last three of the 35 columns (albedo and liquid precipitation).
constexpr std::size_t kFewestColumns = 32;
constexpr std::array<std::string_view, kHeaderLines> kHeaders = {"LOCATION",
                                                                 "DESIGN CONDITIONS",
                                                                 "TYPICAL/EXTREME PERIODS",
                                                                 "GROUND TEMPERATURES",
                                                                 "HOLIDAYS/DAYLIGHT SAVINGS",
                                                                 "COMMENTS 1",
                                                                 "COMMENTS 2",
                                                                 "DATA PERIODS"};
constexpr std::array<int, 12> kMonthDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};

struct Line {
  std::string_view text;
  std::size_t number = 0;
};

struct FieldRule {
  const char* name;
  std::size_t column;  // from 0
  double missing, least, most;
};
// Ranges and missing codes of the EPW data dictionary.
constexpr FieldRule kDryBulb{"dry bulb", 6, 99.9, -70.0, 70.0};
constexpr FieldRule kDewPoint{"dew point", 7, 99.9, -70.0, 70.0};
constexpr FieldRule kHumidity{"relative humidity", 8, 999.0, 0.0, 110.0};
constexpr FieldRule kPressure{"station pressure", 9, 999999.0, 31000.0, 120000.0};

class Parser {
 public:
  Parser(std::string_view text, const std::string& name) : name_(name) { cut(text); }

  Result<WeatherLocation> location() const;
  Status check_headers() const;
  Result<std::vector<WeatherSample>> hours() const;

 private:
  using Fields = std::vector<std::string_view>;

  void cut(std::string_view text);
  base::Error error(std::size_t line, std::string why, std::string hint = kFetch) const {
    return base::bad_input(kWhat, name_ + ":" + std::to_string(line), std::move(why), std::move(hint));
  }
  Result<double> number(const Fields& fields, const Line& line, const FieldRule& rule) const;
  Result<double> plain_number(const Fields& fields, std::size_t column, double limit, const char* what) const;
  Result<WeatherSample> sample(const Fields& fields, const Line& line) const;
  Status check_order() const;
  std::size_t data_lines() const { return lines_.size() - kHeaderLines; }

  const std::string& name_;
  std::vector<Line> lines_;  // blank ones left out
};

void Parser::cut(std::string_view text) {
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    const std::string_view line = base::trim(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (!line.empty()) lines_.push_back({line, number});
  }
}

Status Parser::check_headers() const {
  for (std::size_t i = 0; i < kHeaderLines; ++i) {
    if (i >= lines_.size()) return error(i + 1, "the file ends inside the eight header lines");
    const std::string_view head = base::trim(lines_[i].text.substr(0, lines_[i].text.find(',')));
    if (head != kHeaders[i]) {
      return error(lines_[i].number, "header line " + std::to_string(i + 1) + " should begin with '" +
                                         std::string(kHeaders[i]) + "', not with '" +
                                         std::string(head.substr(0, 40)) + "'");
    }
  }
  const Fields periods = base::split(lines_[kHeaderLines - 1].text, ',');
  if (periods.size() < 3 || base::trim(periods[1]) != "1" || base::trim(periods[2]) != "1") {
    return error(lines_[kHeaderLines - 1].number,
                 "only one data period with one record per hour is understood");
  }
  return base::ok_status();
}

Result<double> Parser::plain_number(const Fields& fields, std::size_t column, double limit,
                                    const char* what) const {
  const auto value = column < fields.size() ? base::parse_double(base::trim(fields[column])) : std::nullopt;
  if (!value || std::abs(*value) > limit) {
    return error(lines_[0].number, std::string("the LOCATION line has no valid ") + what + " in field " +
                                       std::to_string(column + 1));
  }
  return *value;
}

Result<WeatherLocation> Parser::location() const {
  const Fields fields = base::split(lines_[0].text, ',');
  if (fields.size() < 10) {
    return error(lines_[0].number,
                 "the LOCATION line has " + std::to_string(fields.size()) + " fields, 10 expected");
  }
  WeatherLocation out;
  out.city = base::trim(fields[1]);
  out.region = base::trim(fields[2]);
  out.country = base::trim(fields[3]);
  PJ_ASSIGN(out.latitude, plain_number(fields, 6, 90.0, "latitude"));
  PJ_ASSIGN(out.longitude, plain_number(fields, 7, 180.0, "longitude"));
  PJ_ASSIGN(const double zone, plain_number(fields, 8, 14.0, "time zone (hours from UTC)"));
  PJ_ASSIGN(out.elevation_m, plain_number(fields, 9, 9000.0, "elevation"));
  out.utc_offset = base::to_duration(base::Seconds(zone * 3600.0));
  return out;
}

Result<double> Parser::number(const Fields& fields, const Line& line, const FieldRule& rule) const {
  const std::string_view text = base::trim(fields[rule.column]);
  const auto value = base::parse_double(text);
  const std::string place = std::string(rule.name) + " (field " + std::to_string(rule.column + 1) + ")";
  if (!value)
    return error(line.number, place + " is not a number: '" + std::string(text.substr(0, 40)) + "'");
  if (*value == rule.missing) {
    return error(line.number, place + " is missing (code " + std::string(text.substr(0, 40)) + ")",
                 "fill the hour from another source, or take another EPW file");
  }
  if (*value < rule.least || *value > rule.most) {
    return error(line.number, place + " is " + std::string(text.substr(0, 40)) + ", outside " +
                                  base::shortest_text(rule.least) + ".." + base::shortest_text(rule.most));
  }
  return *value;
}

Result<WeatherSample> Parser::sample(const Fields& fields, const Line& line) const {
  PJ_ASSIGN(const double dry, number(fields, line, kDryBulb));
  PJ_ASSIGN(const double dew, number(fields, line, kDewPoint));
  PJ_ASSIGN(const double humidity, number(fields, line, kHumidity));
  PJ_ASSIGN(const double pressure, number(fields, line, kPressure));
  WeatherSample out{base::Celsius(dry), base::Celsius(dew), humidity, base::Pascals(pressure), {}};
  if (saturation_pressure(out.dew_point).value() > 0.9 * pressure) {
    return error(line.number, "the dew point and the station pressure cannot both be true");
  }
  out.wet_bulb = wet_bulb(out.dry_bulb, out.dew_point, out.pressure);
  return out;
}

struct Stamp {
  int month = 1, day = 1, hour = 1;
  void advance(bool leap) {
    if (++hour <= 24) return;
    hour = 1;
    const int days = kMonthDays[static_cast<std::size_t>(month - 1)] + (leap && month == 2 ? 1 : 0);
    if (++day <= days) return;
    day = 1;
    month = month % 12 + 1;
  }
  std::string text() const {
    return std::to_string(month) + "/" + std::to_string(day) + " hour " + std::to_string(hour);
  }
};

// Exactly one year of hours, each in its place. A file with an hour too few or too many says where the order
// breaks.
Status Parser::check_order() const {
  const std::size_t count = data_lines();
  const bool leap = count == kLeapYearHours;
  const std::string hours = base::group_digits(static_cast<std::int64_t>(count)) + " hours";
  const bool whole = leap || count == kYearHours;
  Stamp want;
  for (std::size_t i = 0; i < std::min(count, kLeapYearHours); ++i, want.advance(leap)) {
    const Line& line = lines_[kHeaderLines + i];
    const Fields fields = base::split(line.text, ',');
    const auto field = [&](std::size_t column) {
      return column < fields.size() ? base::parse_int(base::trim(fields[column])) : std::nullopt;
    };
    if (field(1) == want.month && field(2) == want.day && field(3) == want.hour) continue;
    return error(line.number, "month/day/hour should be " + want.text() + " here; the file has " + hours +
                                  " where 8,760 (or 8,784) are needed");
  }
  if (whole) return base::ok_status();
  return error(lines_.back().number, "the file has " + hours + " where 8,760 (or 8,784) are needed");
}

Result<std::vector<WeatherSample>> Parser::hours() const {
  PJ_TRY(check_order());
  const std::size_t columns = base::split(lines_[kHeaderLines].text, ',').size();
  std::vector<WeatherSample> out;
  out.reserve(data_lines());
  for (std::size_t i = kHeaderLines; i < lines_.size(); ++i) {
    const Fields fields = base::split(lines_[i].text, ',');
    if (fields.size() < kFewestColumns || fields.size() != columns) {
      return error(lines_[i].number, "the row has " + std::to_string(fields.size()) + " fields where " +
                                         std::to_string(std::max(columns, kFewestColumns)) +
                                         " were expected");
    }
    PJ_ASSIGN(WeatherSample row, sample(fields, lines_[i]));
    out.push_back(row);
  }
  return out;
}

double mix(double a, double b, double share) { return a + (b - a) * share; }

template <class Unit>
Unit mix(Unit a, Unit b, double share) {
  return Unit(mix(a.value(), b.value(), share));
}

std::int64_t floor_div(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0 ? 1 : 0); }

}  // namespace

Result<WeatherSeries> WeatherSeries::parse(std::string_view text, const std::string& name) {
  if (text.substr(0, 3) == "\xEF\xBB\xBF") text.remove_prefix(3);
  const Parser parser(text, name);
  PJ_TRY(parser.check_headers());
  WeatherSeries out;
  PJ_ASSIGN(out.location_, parser.location());
  PJ_ASSIGN(out.hours_, parser.hours());
  return out;
}

Result<WeatherSeries> WeatherSeries::read(base::Env& env, const std::string& path) {
  // A year of hours is about 1.6 MB; a hundred times that is no weather file.
  PJ_ASSIGN(const std::string text, base::read_text(env, path, 160ULL << 20));
  return parse(text, path);
}

// `local_hour`: whole hours of local standard time since 1970. The row of an hour carries its end.
std::size_t WeatherSeries::row_ending_at(std::int64_t local_hour) const {
  const std::int64_t begin = local_hour - 1;
  const std::int64_t day = floor_div(begin, 24);
  const base::CivilDate date = base::civil_from_days(day);
  const bool leap_file = hours_.size() == kLeapYearHours;
  int day_of_year = date.month == 2 && date.day == 29 && !leap_file ? 27 : date.day - 1;
  for (int month = 1; month < date.month; ++month) {
    day_of_year += kMonthDays[static_cast<std::size_t>(month - 1)] + (month == 2 && leap_file ? 1 : 0);
  }
  return static_cast<std::size_t>(day_of_year * 24 + (begin - day * 24));
}

WeatherSample WeatherSeries::at(base::TimePoint t) const {
  PJ_CHECK(t.ns > -base::kNever.ns + base::kNsPerDay && t.ns < base::kNever.ns - base::kNsPerDay);
  const std::int64_t local = t.ns + location_.utc_offset.ns;
  const std::int64_t hour = floor_div(local, base::kNsPerHour);
  const double share =
      static_cast<double>(local - hour * base::kNsPerHour) / static_cast<double>(base::kNsPerHour);
  const WeatherSample& a = hours_[row_ending_at(hour)];
  const WeatherSample& b = hours_[row_ending_at(hour + 1)];
  return {mix(a.dry_bulb, b.dry_bulb, share), mix(a.dew_point, b.dew_point, share),
          mix(a.relative_humidity, b.relative_humidity, share), mix(a.pressure, b.pressure, share),
          mix(a.wet_bulb, b.wet_bulb, share)};
}

}  // namespace perjoule::plant
