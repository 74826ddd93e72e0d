// Time as int64 Unix nanoseconds (UTC) and durations as int64 nanoseconds, plus ISO 8601 text.
// Time never comes from here: a Clock is injected (base/clock.hpp).
// Thread rule: values.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/units.hpp"

namespace perjoule::base {

struct Duration {
  std::int64_t ns = 0;
  constexpr auto operator<=>(const Duration&) const = default;
  friend constexpr Duration operator+(Duration a, Duration b) { return {a.ns + b.ns}; }
  friend constexpr Duration operator-(Duration a, Duration b) { return {a.ns - b.ns}; }
  friend constexpr Duration operator*(Duration a, std::int64_t k) { return {a.ns * k}; }
};

struct TimePoint {
  std::int64_t ns = 0;
  constexpr auto operator<=>(const TimePoint&) const = default;
  friend constexpr TimePoint operator+(TimePoint t, Duration d) { return {t.ns + d.ns}; }
  friend constexpr TimePoint operator-(TimePoint t, Duration d) { return {t.ns - d.ns}; }
  friend constexpr Duration operator-(TimePoint a, TimePoint b) { return {a.ns - b.ns}; }
};

inline constexpr std::int64_t kNsPerUs = 1'000;
inline constexpr std::int64_t kNsPerMs = 1'000'000;
inline constexpr std::int64_t kNsPerSecond = 1'000'000'000;
inline constexpr std::int64_t kNsPerHour = 3'600 * kNsPerSecond;
inline constexpr std::int64_t kNsPerDay = 24 * kNsPerHour;

constexpr Duration nanoseconds(std::int64_t n) { return {n}; }
constexpr Duration milliseconds(std::int64_t n) { return {n * kNsPerMs}; }
constexpr Duration seconds(std::int64_t n) { return {n * kNsPerSecond}; }
inline constexpr TimePoint kNever{INT64_MAX};

// Rounds to the nearest nanosecond. |s| must be below 2.9e2 years.
Duration to_duration(Seconds s);
constexpr Seconds to_seconds(Duration d) { return Seconds(static_cast<double>(d.ns) * 1e-9); }

// Civil UTC parts <-> days since 1970-01-01 (proleptic Gregorian).
struct CivilDate {
  int year = 1970;
  int month = 1;  // 1..12
  int day = 1;    // 1..31
};
std::int64_t days_from_civil(CivilDate date);
CivilDate civil_from_days(std::int64_t days);

// "2026-05-01T13:00:00Z", with a fraction only when it is not zero.
std::string format_iso8601(TimePoint t);
// Accepts YYYY-MM-DD, YYYY-MM-DD[T ]HH:MM[:SS[.fraction]][Z|+HH:MM]; no zone is read as UTC.
Result<TimePoint> parse_iso8601(std::string_view text);
// "30s", "5m", "24h", "3d", "250ms", "100us", "10ns"; a bare number is refused (the unit is missing).
Result<Duration> parse_duration(std::string_view text);
// "1h 02m", "2m 03s", "250 ms": for people.
std::string format_duration(Duration d);

}  // namespace perjoule::base
