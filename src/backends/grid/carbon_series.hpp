// Carbon intensity of a region's electricity over time, gCO2e/kWh: what each hour was, which hours are not
// known and why, and what is answered there. Nothing is filled in silently: every answer says how good it is
// and, inside a gap, which fallback gave it. Average and marginal series are different things and are never
// joined. Thread rule: immutable once made. Ownership: owns its points. Units: int64 nanoseconds, g/kWh,
// whole microjoules.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/symbol.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "energy/records.hpp"

namespace perjoule::backends::grid {

std::string_view name_of(energy::CarbonKind kind);
base::Result<energy::CarbonKind> parse_kind(std::string_view text);

// 1970-01-01 and 2200-01-01: wide enough for any file, narrow enough that no difference of times overflows.
inline constexpr base::TimePoint kEarliest{0};
inline constexpr base::TimePoint kLatest{84'006 * base::kNsPerDay};

struct CarbonPoint {
  base::TimePoint t0, t1;  // [t0, t1)
  base::GramsPerKwh intensity;
  energy::Quality quality = energy::Quality::kDerived;
};

enum class RejectReason : std::uint8_t { kEmpty, kNoRow, kPartialGeneration, kNotInSourceYear };
inline constexpr std::array<std::string_view, 4> kRejectReasonNames{"empty", "no_row", "partial_generation",
                                                                    "not_in_source_year"};
std::string_view name_of(RejectReason reason);

// An interval that has no usable value.
struct RejectedInterval {
  base::TimePoint t0, t1;
  RejectReason reason = RejectReason::kEmpty;
  std::string where;   // file:line:column; of the row after it when the row itself is missing
  std::string detail;  // figures behind the decision, for people
};

// What to answer inside a gap.
enum class GapPolicy : std::uint8_t { kPreviousValidHour, kSameHourPreviousDay, kRefuse };
inline constexpr std::array<std::string_view, 3> kGapPolicyNames{"previous_valid_hour",
                                                                 "same_hour_previous_day", "refuse"};
std::string_view name_of(GapPolicy policy);
// A previous value older than this is not used; same-hour goes back at most kMostDaysBack days.
inline constexpr base::Duration kOldestPrevious{base::kNsPerDay};
inline constexpr int kMostDaysBack = 7;

// `intensity` is empty exactly when quality is missing. `fallback_used` is the part of the time asked for
// that a fallback answered; any such part makes the quality modelled or worse.
struct CarbonAnswer {
  std::optional<base::GramsPerKwh> intensity;
  energy::Quality quality = energy::Quality::kMissing;
  base::Duration fallback_used{};
  std::optional<GapPolicy> fallback;
  std::string why_missing;
};

struct CarbonMass {
  std::optional<base::GramsCO2e> grams;
  energy::Quality quality = energy::Quality::kMissing;
  base::Duration fallback_used{};
};

struct CarbonInfo {
  std::string region;
  energy::CarbonKind kind = energy::CarbonKind::kAverage;
  std::string source;
};

class CarbonSeries {
 public:
  // Points must be in order, not overlap, lie within [kEarliest, kLatest], have t0 < t1 and a finite
  // intensity (not below 0 when average): else an error. At least one point.
  static base::Result<CarbonSeries> make(CarbonInfo info, std::vector<CarbonPoint> points,
                                         std::vector<RejectedInterval> rejected);

  const std::string& region() const { return info_.region; }
  energy::CarbonKind kind() const { return info_.kind; }
  const std::string& source() const { return info_.source; }
  std::span<const CarbonPoint> points() const { return points_; }
  std::span<const RejectedInterval> rejected() const { return rejected_; }
  // First and last instant it says anything about (rejected intervals included).
  base::TimePoint begin() const;
  base::TimePoint end() const;

  // Outside [begin, end) the answer is missing under every policy: a gap lies between known values.
  CarbonAnswer grams_per_kwh_at(base::TimePoint t, GapPolicy policy) const;
  // Mean over [t0, t1) weighted by time; t0 == t1 is the instant. Missing if any part is missing. Needs t0 <=
  // t1.
  CarbonAnswer at_window(base::TimePoint t0, base::TimePoint t1, GapPolicy policy) const;
  // Carbon of energy drawn evenly over [t0, t1): energy x the window's mean (GHG Protocol scope 2,
  // location-based, when the series is an average one).
  CarbonMass grams(base::Microjoules energy, base::TimePoint t0, base::TimePoint t1, GapPolicy policy) const;

  // The same months, days and hours in another year, e.g. 2022 data for a run in 2026. Every value becomes
  // modelled and the source says so. 29 February is dropped, or a gap when the source has none. Weekdays do
  // not line up. The series must lie within one calendar year (UTC).
  base::Result<CarbonSeries> shifted_to_year(int year) const;
  // This series followed by `later`; refused if region or kind differ or they overlap.
  base::Result<CarbonSeries> followed_by(const CarbonSeries& later) const;

  // Rows of the store's `carbon` table that touch [t0, t1): values, and rejected intervals as quality
  // missing.
  std::vector<energy::CarbonRow> rows(base::TimePoint t0, base::TimePoint t1,
                                      base::SymbolTable& symbols) const;

 private:
  // A stretch answered by one value: until `end` (exclusive).
  struct Piece {
    base::TimePoint end;
    const CarbonPoint* point = nullptr;
    bool fallback = false;
  };

  std::size_t first_after(base::TimePoint t) const;
  const CarbonPoint* covering(base::TimePoint t) const;
  Piece piece_at(base::TimePoint t, base::TimePoint limit, GapPolicy policy) const;
  Piece previous_valid(base::TimePoint t, base::TimePoint limit) const;
  Piece same_hour_previous_day(base::TimePoint t, base::TimePoint limit) const;
  std::string why_missing_at(base::TimePoint t) const;

  CarbonInfo info_;
  std::vector<CarbonPoint> points_;
  std::vector<RejectedInterval> rejected_;
};

}  // namespace perjoule::backends::grid
