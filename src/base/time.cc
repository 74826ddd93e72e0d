#include "base/time.hpp"

#include <array>
#include <cmath>
#include <cstdio>

#include "base/text.hpp"

namespace perjoule::base {
namespace {

bool read_digits(std::string_view& s, std::size_t count, int& out) {
  if (s.size() < count) return false;
  int v = 0;
  for (std::size_t i = 0; i < count; ++i) {
    if (s[i] < '0' || s[i] > '9') return false;
    v = v * 10 + (s[i] - '0');
  }
  out = v;
  s.remove_prefix(count);
  return true;
}

bool eat(std::string_view& s, char c) {
  if (s.empty() || s.front() != c) return false;
  s.remove_prefix(1);
  return true;
}

bool leap(int y) { return (y % 4 == 0 && y % 100 != 0) || y % 400 == 0; }
int days_in_month(int y, int m) {
  constexpr std::array<int, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return m == 2 && leap(y) ? 29 : kDays[static_cast<std::size_t>(m - 1)];
}

bool read_date(std::string_view& s, CivilDate& d) {
  return read_digits(s, 4, d.year) && eat(s, '-') && read_digits(s, 2, d.month) && eat(s, '-') &&
         read_digits(s, 2, d.day) && d.month >= 1 && d.month <= 12 && d.day >= 1 &&
         d.day <= days_in_month(d.year, d.month);
}

bool read_fraction(std::string_view& s, std::int64_t& ns) {
  if (!eat(s, '.')) return true;
  std::int64_t scale = kNsPerSecond / 10;
  bool any = false;
  while (!s.empty() && s.front() >= '0' && s.front() <= '9') {
    ns += (s.front() - '0') * scale;
    scale /= 10;
    s.remove_prefix(1);
    any = true;
  }
  return any;
}

bool read_clock(std::string_view& s, std::int64_t& ns) {
  int h = 0, m = 0, sec = 0;
  if (!read_digits(s, 2, h) || !eat(s, ':') || !read_digits(s, 2, m)) return false;
  if (eat(s, ':') && !read_digits(s, 2, sec)) return false;
  if (h > 24 || m > 59 || sec > 60) return false;
  ns = ((h * 60LL + m) * 60 + sec) * kNsPerSecond;
  return read_fraction(s, ns) && (h < 24 || ns == kNsPerDay);
}

bool read_zone(std::string_view& s, std::int64_t& offset_ns) {
  if (s.empty() || eat(s, 'Z')) return true;
  const int sign = s.front() == '-' ? -1 : 1;
  if (s.front() != '+' && s.front() != '-') return false;
  s.remove_prefix(1);
  int h = 0, m = 0;
  if (!read_digits(s, 2, h)) return false;
  const bool minutes_follow = eat(s, ':') || !s.empty();
  if ((minutes_follow && !read_digits(s, 2, m)) || h > 23 || m > 59) return false;
  offset_ns = sign * (h * 60LL + m) * 60 * kNsPerSecond;
  return true;
}

}  // namespace

Duration to_duration(Seconds s) { return {static_cast<std::int64_t>(std::llround(s.value() * 1e9))}; }

// Howard Hinnant's well-known era arithmetic: 400-year eras of 146,097 days, years starting in March.
std::int64_t days_from_civil(CivilDate date) {
  const std::int64_t y = date.month <= 2 ? date.year - 1 : date.year;
  const std::int64_t era = (y >= 0 ? y : y - 399) / 400;
  const std::int64_t yoe = y - era * 400;
  const std::int64_t doy = (153 * (date.month + (date.month > 2 ? -3 : 9)) + 2) / 5 + date.day - 1;
  return era * 146'097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719'468;
}

CivilDate civil_from_days(std::int64_t days) {
  const std::int64_t z = days + 719'468;
  const std::int64_t era = (z >= 0 ? z : z - 146'096) / 146'097;
  const std::int64_t doe = z - era * 146'097;
  const std::int64_t yoe = (doe - doe / 1'460 + doe / 36'524 - doe / 146'096) / 365;
  const std::int64_t doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
  const std::int64_t mp = (5 * doy + 2) / 153;
  const int month = static_cast<int>(mp < 10 ? mp + 3 : mp - 9);
  const auto year = yoe + era * 400 + (month <= 2 ? 1 : 0);
  return {static_cast<int>(year), month, static_cast<int>(doy - (153 * mp + 2) / 5 + 1)};
}

std::string format_iso8601(TimePoint t) {
  std::int64_t days = t.ns / kNsPerDay;
  std::int64_t rest = t.ns % kNsPerDay;
  if (rest < 0) rest += kNsPerDay, --days;
  const CivilDate d = civil_from_days(days);
  const std::int64_t s = rest / kNsPerSecond;
  const std::int64_t fraction = rest % kNsPerSecond;
  std::array<char, 64> buf{};
  std::snprintf(buf.data(), buf.size(), "%04d-%02d-%02dT%02d:%02d:%02d", d.year, d.month, d.day,
                static_cast<int>(s / 3600), static_cast<int>(s / 60 % 60), static_cast<int>(s % 60));
  std::string out = buf.data();
  if (fraction != 0) {
    std::snprintf(buf.data(), buf.size(), ".%09lld", static_cast<long long>(fraction));
    out += buf.data();
    while (out.back() == '0') out.pop_back();
  }
  return out + "Z";
}

Result<TimePoint> parse_iso8601(std::string_view text) {
  std::string_view s = text;
  CivilDate date;
  std::int64_t clock_ns = 0, offset_ns = 0;
  bool good = read_date(s, date);
  if (good && !s.empty()) {
    good = (eat(s, 'T') || eat(s, ' ')) && read_clock(s, clock_ns) && read_zone(s, offset_ns) && s.empty();
  }
  // int64 nanoseconds span 1677..2262.
  if (!good || date.year < 1678 || date.year > 2261) {
    return bad_input("read a time", "'" + std::string(text) + "'", "not an ISO 8601 time",
                     "Write it as 2026-05-01T13:00:00Z");
  }
  return TimePoint{days_from_civil(date) * kNsPerDay + clock_ns - offset_ns};
}

Result<Duration> parse_duration(std::string_view text) {
  struct Unit {
    std::string_view name;
    double ns;
  };
  constexpr std::array<Unit, 7> kUnits{
      {{"ns", 1.0}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}}};
  const auto last_digit = text.find_last_of("0123456789.");
  const std::size_t unit_at = last_digit == std::string_view::npos ? 0 : last_digit + 1;
  const auto number = parse_double(text.substr(0, unit_at));
  const std::string_view unit = text.substr(unit_at);
  for (const Unit& u : kUnits) {
    const double ns = number.value_or(0.0) * u.ns;
    if (number && unit == u.name && std::abs(ns) < 9e18) {
      return Duration{static_cast<std::int64_t>(std::llround(ns))};
    }
  }
  return bad_input("read a duration", "'" + std::string(text) + "'",
                   "needs a number and one of ns us ms s m h d", "Write it as 30s, 5m, 24h or 3d");
}

// Three significant digits below 1000, never in exponent form.
static std::string three_digits(double v) {
  std::array<char, 64> buf{};
  std::snprintf(buf.data(), buf.size(), v >= 99.95 ? "%.0f" : "%.3g", v);
  return buf.data();
}

std::string format_duration(Duration d) {
  if (d.ns < 0) return "-" + format_duration({d.ns == INT64_MIN ? INT64_MAX : -d.ns});
  std::array<char, 64> buf{};
  const double ns = static_cast<double>(d.ns);
  const auto s = d.ns / kNsPerSecond;
  if (d.ns < kNsPerMs) return three_digits(ns * 1e-3) + " us";
  if (d.ns < kNsPerSecond) return three_digits(ns * 1e-6) + " ms";
  if (s < 60) return three_digits(ns * 1e-9) + " s";
  if (s < 3600) {
    std::snprintf(buf.data(), buf.size(), "%lldm %02llds", static_cast<long long>(s / 60),
                  static_cast<long long>(s % 60));
  } else {
    std::snprintf(buf.data(), buf.size(), "%lldh %02lldm", static_cast<long long>(s / 3600),
                  static_cast<long long>(s / 60 % 60));
  }
  return buf.data();
}

}  // namespace perjoule::base
