#include "backends/grid/carbon_series.hpp"

#include <algorithm>
#include <cmath>

namespace perjoule::backends::grid {
namespace {

using base::Duration;
using base::Result;
using base::TimePoint;
using energy::CarbonKind;
using energy::Quality;

constexpr std::array<std::string_view, 2> kKindNames{"average", "marginal"};

std::string place(const CarbonInfo& info, TimePoint t) {
  return info.region + " at " + base::format_iso8601(t);
}

base::Status check_point(const CarbonInfo& info, const CarbonPoint& point) {
  const double g = point.intensity.value();
  if (point.t0 < kEarliest || point.t1 > kLatest) {
    return base::bad_input("make a carbon series", place(info, point.t0), "a time outside 1970 to 2200");
  }
  if (point.t0 >= point.t1)
    return base::bad_input("make a carbon series", place(info, point.t0),
                           "an interval ends before it begins");
  if (!std::isfinite(g))
    return base::bad_input("make a carbon series", place(info, point.t0), "the intensity is no number");
  if (g < 0 && info.kind == CarbonKind::kAverage) {
    return base::bad_input("make a carbon series", place(info, point.t0), "an average intensity below 0");
  }
  return base::ok_status();
}

int year_of(TimePoint t) {
  const std::int64_t days = t.ns / base::kNsPerDay - (t.ns % base::kNsPerDay < 0 ? 1 : 0);
  return base::civil_from_days(days).year;
}

bool is_leap(int year) {
  return base::days_from_civil({year, 3, 1}) - base::days_from_civil({year, 2, 1}) == 29;
}

TimePoint day_start(int year, int month, int day) {
  return {base::days_from_civil({year, month, day}) * base::kNsPerDay};
}

// Moves times of one year to another by calendar; before and after 28 February the distance is constant.
class YearShift {
 public:
  YearShift(int from, int to)
      : march_(day_start(from, 3, 1)),
        leap_day_(is_leap(from) ? day_start(from, 2, 29) : march_),
        early_(day_start(to, 1, 1) - day_start(from, 1, 1)),
        late_(day_start(to, 3, 1) - march_),
        target_leap_day_(is_leap(to) && !is_leap(from) ? std::optional(day_start(to, 2, 29)) : std::nullopt),
        drops_(is_leap(from) && !is_leap(to)) {}

  bool drops(TimePoint t) const { return drops_ && t >= leap_day_ && t < march_; }
  TimePoint operator()(TimePoint t) const { return t + (t < march_ ? early_ : late_); }
  // An interval's end moves with its last instant, so that one ending at 1 March 00:00 stays in February.
  TimePoint end(TimePoint t1) const { return (*this)(t1 - Duration{1}) + Duration{1}; }
  std::optional<TimePoint> new_leap_day() const { return target_leap_day_; }

 private:
  TimePoint march_, leap_day_;
  Duration early_, late_;
  std::optional<TimePoint> target_leap_day_;
  bool drops_;
};

}  // namespace

std::string_view name_of(CarbonKind kind) { return kKindNames[static_cast<std::size_t>(kind)]; }
std::string_view name_of(RejectReason reason) { return kRejectReasonNames[static_cast<std::size_t>(reason)]; }
std::string_view name_of(GapPolicy policy) { return kGapPolicyNames[static_cast<std::size_t>(policy)]; }

Result<CarbonKind> parse_kind(std::string_view text) {
  if (text == kKindNames[0]) return CarbonKind::kAverage;
  if (text == kKindNames[1]) return CarbonKind::kMarginal;
  return base::bad_input("read the kind of a carbon series", "'" + std::string(text) + "'",
                         "must be 'average' or 'marginal'");
}

Result<CarbonSeries> CarbonSeries::make(CarbonInfo info, std::vector<CarbonPoint> points,
                                        std::vector<RejectedInterval> rejected) {
  if (points.empty()) return base::bad_input("make a carbon series", info.region, "it has no valid value");
  for (std::size_t i = 0; i < points.size(); ++i) {
    PJ_TRY(check_point(info, points[i]));
    if (i > 0 && points[i].t0 < points[i - 1].t1) {
      return base::bad_input("make a carbon series", place(info, points[i].t0),
                             "intervals overlap or go backwards");
    }
  }
  std::sort(rejected.begin(), rejected.end(),
            [](const RejectedInterval& a, const RejectedInterval& b) { return a.t0 < b.t0; });
  CarbonSeries series;
  series.info_ = std::move(info);
  series.points_ = std::move(points);
  series.rejected_ = std::move(rejected);
  return series;
}

TimePoint CarbonSeries::begin() const {
  const TimePoint first = points_.front().t0;
  return rejected_.empty() ? first : std::min(first, rejected_.front().t0);
}

TimePoint CarbonSeries::end() const {
  TimePoint last = points_.back().t1;
  for (const RejectedInterval& r : rejected_) last = std::max(last, r.t1);
  return last;
}

std::size_t CarbonSeries::first_after(TimePoint t) const {
  const auto at = std::upper_bound(points_.begin(), points_.end(), t,
                                   [](TimePoint value, const CarbonPoint& p) { return value < p.t0; });
  return static_cast<std::size_t>(at - points_.begin());
}

const CarbonPoint* CarbonSeries::covering(TimePoint t) const {
  const std::size_t next = first_after(t);
  if (next == 0 || t >= points_[next - 1].t1) return nullptr;
  return &points_[next - 1];
}

CarbonSeries::Piece CarbonSeries::piece_at(TimePoint t, TimePoint limit, GapPolicy policy) const {
  if (const CarbonPoint* point = covering(t)) return {std::min(limit, point->t1), point, false};
  if (t < begin() || t >= end() || policy == GapPolicy::kRefuse) return {limit, nullptr, false};
  const std::size_t next = first_after(t);
  const TimePoint gap_end = std::min({limit, end(), next < points_.size() ? points_[next].t0 : limit});
  return policy == GapPolicy::kPreviousValidHour ? previous_valid(t, gap_end)
                                                 : same_hour_previous_day(t, gap_end);
}

CarbonSeries::Piece CarbonSeries::previous_valid(TimePoint t, TimePoint limit) const {
  const std::size_t next = first_after(t);
  if (next == 0) return {limit, nullptr, false};
  const CarbonPoint& previous = points_[next - 1];
  const TimePoint too_old = previous.t1 + kOldestPrevious;
  if (t >= too_old) return {limit, nullptr, false};
  return {std::min(limit, too_old), &previous, true};
}

CarbonSeries::Piece CarbonSeries::same_hour_previous_day(TimePoint t, TimePoint limit) const {
  for (int back = 1; back <= kMostDaysBack; ++back) {
    const Duration shift{back * base::kNsPerDay};
    if (const CarbonPoint* point = covering(t - shift))
      return {std::min(limit, point->t1 + shift), point, true};
    // A nearer day may become known again before the gap ends: answer no further than that.
    const std::size_t next = first_after(t - shift);
    if (next < points_.size()) limit = std::min(limit, points_[next].t0 + shift);
  }
  return {limit, nullptr, false};
}

std::string CarbonSeries::why_missing_at(TimePoint t) const {
  const std::string at = place(info_, t);
  if (t < begin() || t >= end()) {
    return at + ": outside the series (" + base::format_iso8601(begin()) + " to " +
           base::format_iso8601(end()) + ")";
  }
  for (const RejectedInterval& r : rejected_) {
    if (t >= r.t0 && t < r.t1)
      return at + ": rejected (" + std::string(name_of(r.reason)) + ", " + r.where + ")";
  }
  return at + ": no value there";
}

CarbonAnswer CarbonSeries::at_window(TimePoint t0, TimePoint t1, GapPolicy policy) const {
  PJ_CHECK(t0 <= t1);
  // An instant is the shortest window.
  if (t0 == t1) t1 = t0 + Duration{1};
  CarbonAnswer answer;
  answer.quality = Quality::kMeasured;
  double weighted = 0;
  for (TimePoint t = t0; t < t1;) {
    const Piece piece = piece_at(t, t1, policy);
    if (piece.point == nullptr) {
      CarbonAnswer missing;
      missing.why_missing = why_missing_at(t);
      return missing;
    }
    const Duration length = piece.end - t;
    weighted += piece.point->intensity.value() * static_cast<double>(length.ns);
    answer.quality = energy::worse(answer.quality, piece.point->quality);
    if (piece.fallback) {
      answer.quality = energy::worse(answer.quality, Quality::kModelled);
      answer.fallback = policy;
      answer.fallback_used = answer.fallback_used + length;
    }
    t = piece.end;
  }
  answer.intensity = base::GramsPerKwh(weighted / static_cast<double>((t1 - t0).ns));
  return answer;
}

CarbonAnswer CarbonSeries::grams_per_kwh_at(TimePoint t, GapPolicy policy) const {
  return at_window(t, t, policy);
}

CarbonMass CarbonSeries::grams(base::Microjoules energy, TimePoint t0, TimePoint t1, GapPolicy policy) const {
  const CarbonAnswer answer = at_window(t0, t1, policy);
  CarbonMass mass{std::nullopt, answer.quality, answer.fallback_used};
  if (answer.intensity) mass.grams = base::GramsCO2e(base::to_kwh(energy) * answer.intensity->value());
  return mass;
}

Result<CarbonSeries> CarbonSeries::shifted_to_year(int year) const {
  const int from = year_of(begin());
  if (year_of(end() - Duration{1}) != from || year < 1970 || year > 2200) {
    return base::bad_input("shift a carbon series to " + std::to_string(year), info_.region,
                           "it must lie within one calendar year, and the target between 1970 and 2200");
  }
  if (year == from) return *this;
  const YearShift shift(from, year);
  CarbonInfo info = info_;
  info.source += " (modelled: " + std::to_string(from) + " shifted to " + std::to_string(year) +
                 " by month, day and hour)";
  std::vector<CarbonPoint> points;
  for (const CarbonPoint& p : points_) {
    if (shift.drops(p.t0)) continue;
    points.push_back(
        {shift(p.t0), shift.end(p.t1), p.intensity, energy::worse(p.quality, Quality::kModelled)});
  }
  std::vector<RejectedInterval> rejected;
  for (const RejectedInterval& r : rejected_) {
    if (!shift.drops(r.t0)) rejected.push_back({shift(r.t0), shift.end(r.t1), r.reason, r.where, r.detail});
  }
  const TimePoint march = day_start(from, 3, 1);
  // A single point over the whole year covers the new day by itself.
  const bool spanned = covering(march) != nullptr && covering(march) == covering(march - Duration{1});
  if (const auto leap = shift.new_leap_day(); leap && begin() < march && end() > march && !spanned) {
    rejected.push_back({*leap, *leap + Duration{base::kNsPerDay}, RejectReason::kNotInSourceYear,
                        info_.source, std::to_string(from) + " has no 29 February"});
  }
  return make(std::move(info), std::move(points), std::move(rejected));
}

Result<CarbonSeries> CarbonSeries::followed_by(const CarbonSeries& later) const {
  if (later.kind() != kind() || later.region() != region()) {
    return base::bad_input("join carbon series", region() + " and " + later.region(),
                           std::string(name_of(kind())) + " of " + region() + " and " +
                               std::string(name_of(later.kind())) + " of " + later.region() +
                               " are different things",
                           "Keep them as two series");
  }
  CarbonInfo info = info_;
  if (later.source() != source()) info.source += "; " + later.source();
  std::vector<CarbonPoint> points = points_;
  points.insert(points.end(), later.points_.begin(), later.points_.end());
  std::vector<RejectedInterval> rejected = rejected_;
  rejected.insert(rejected.end(), later.rejected_.begin(), later.rejected_.end());
  return make(std::move(info), std::move(points), std::move(rejected));
}

std::vector<energy::CarbonRow> CarbonSeries::rows(TimePoint t0, TimePoint t1,
                                                  base::SymbolTable& symbols) const {
  const base::Symbol region_symbol = symbols.intern(info_.region);
  const base::Symbol source_symbol = symbols.intern(info_.source);
  std::vector<energy::CarbonRow> out;
  for (const CarbonPoint& p : points_) {
    if (p.t1 <= t0 || p.t0 >= t1) continue;
    out.push_back(
        {p.t0.ns, p.t1.ns, region_symbol, info_.kind, p.intensity.value(), p.quality, source_symbol});
  }
  for (const RejectedInterval& r : rejected_) {
    if (r.t1 <= t0 || r.t0 >= t1) continue;
    out.push_back(
        {r.t0.ns, r.t1.ns, region_symbol, info_.kind, energy::kAbsent, Quality::kMissing, source_symbol});
  }
  std::sort(out.begin(), out.end(),
            [](const energy::CarbonRow& a, const energy::CarbonRow& b) { return a.t0_ns < b.t0_ns; });
  return out;
}

}  // namespace perjoule::backends::grid
