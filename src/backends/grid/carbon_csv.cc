// The canonical carbon file, written and read back.
#include <algorithm>

#include "backends/grid/carbon_readers.hpp"
#include "backends/intake/import.hpp"
#include "base/csv.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"

namespace perjoule::backends::grid {
namespace {

using base::CsvTable;
using base::Error;
using base::Result;
using base::Status;
using base::TimePoint;

constexpr std::array<std::string_view, 8> kColumns{"t0_ns",     "t1_ns",   "region", "kind",
                                                   "g_per_kwh", "quality", "source", "note"};
enum Column : std::size_t { kT0, kT1, kRegion, kKind, kIntensity, kQuality, kSource, kNote };

std::string line(const CarbonSeries& series, TimePoint t0, TimePoint t1, const std::string& value,
                 energy::Quality quality, const std::string& note) {
  return std::to_string(t0.ns) + "," + std::to_string(t1.ns) + "," + intake::csv_field(series.region()) +
         "," + std::string(name_of(series.kind())) + "," + value + "," +
         std::string(energy::name_of(quality)) + "," + intake::csv_field(series.source()) + "," +
         intake::csv_field(note) + "\n";
}

class CanonicalReader {
 public:
  CanonicalReader(const CsvTable& table, std::string name) : table_(table), name_(std::move(name)) {}

  Result<CarbonSeries> read() {
    for (std::size_t c = 0; c < kColumns.size(); ++c) {
      PJ_ASSIGN(columns_[c], table_.column(kColumns[c]));
    }
    if (table_.rows() == 0) return base::bad_input("read a carbon series", name_ + ":1:1", "there is no row");
    PJ_ASSIGN(const auto kind, kind_of(0));
    const CarbonInfo info{text(0, kRegion), kind, text(0, kSource)};
    for (std::size_t row = 0; row < table_.rows(); ++row) {
      PJ_TRY(read_row(row, info));
    }
    if (points_.empty())
      return base::bad_input("read a carbon series", name_ + ":1:1", "not one row has a value");
    return CarbonSeries::make(info, std::move(points_), std::move(rejected_));
  }

 private:
  std::string text(std::size_t row, Column c) const { return std::string(table_.field(row, columns_[c])); }
  Error fault(std::size_t row, Column c, std::string why) const {
    return base::bad_input("read a carbon series", table_.where(row, columns_[c]), std::move(why));
  }
  Result<energy::CarbonKind> kind_of(std::size_t row) const {
    const auto kind = parse_kind(text(row, kKind));
    if (!kind.ok()) return fault(row, kKind, "'" + text(row, kKind) + "' " + kind.error().why);
    return *kind;
  }

  Status read_row(std::size_t row, const CarbonInfo& info) {
    PJ_ASSIGN(const auto kind, kind_of(row));
    if (kind != info.kind) return fault(row, kKind, "average and marginal in one series");
    if (text(row, kRegion) != info.region) return fault(row, kRegion, "two regions in one series");
    PJ_ASSIGN(const auto t0, table_.integer(row, columns_[kT0]));
    PJ_ASSIGN(const auto t1, table_.integer(row, columns_[kT1]));
    if (t1 <= t0) return fault(row, kT1, "the interval does not end after it begins");
    if (row > 0 && t0 < last_end_) return fault(row, kT0, "times go backwards, or intervals overlap");
    last_end_ = t1;
    const auto quality = energy::parse_quality(text(row, kQuality));
    if (!quality.ok()) return fault(row, kQuality, "'" + text(row, kQuality) + "' is no quality");
    if (*quality == energy::Quality::kMissing) return read_rejected(row, {t0}, {t1});
    PJ_ASSIGN(const double g, table_.number(row, columns_[kIntensity]));
    if (g > kHighestIntensity.value() || (g < 0 && info.kind == energy::CarbonKind::kAverage)) {
      return fault(row, kIntensity, "the intensity cannot be");
    }
    points_.push_back({{t0}, {t1}, base::GramsPerKwh(g), *quality});
    return base::ok_status();
  }

  Status read_rejected(std::size_t row, TimePoint t0, TimePoint t1) {
    if (!text(row, kIntensity).empty()) return fault(row, kIntensity, "a missing row has a value");
    const std::string note = text(row, kNote);
    const auto colon = std::min(note.find(':'), note.size());
    const auto reason =
        std::find(kRejectReasonNames.begin(), kRejectReasonNames.end(), note.substr(0, colon));
    if (reason == kRejectReasonNames.end()) return fault(row, kNote, "no reason known as '" + note + "'");
    rejected_.push_back(
        {t0, t1, static_cast<RejectReason>(reason - kRejectReasonNames.begin()),
         table_.where(row, columns_[kT0]),
         std::string(base::trim(std::string_view(note).substr(std::min(colon + 1, note.size()))))});
    return base::ok_status();
  }

  const CsvTable& table_;
  std::string name_;
  std::array<std::size_t, kColumns.size()> columns_{};
  std::int64_t last_end_ = 0;
  std::vector<CarbonPoint> points_;
  std::vector<RejectedInterval> rejected_;
};

}  // namespace

std::string format_carbon_csv(const CarbonSeries& series) {
  std::vector<std::pair<TimePoint, std::string>> lines;
  for (const CarbonPoint& p : series.points()) {
    lines.emplace_back(p.t0,
                       line(series, p.t0, p.t1, base::shortest_text(p.intensity.value()), p.quality, ""));
  }
  for (const RejectedInterval& r : series.rejected()) {
    lines.emplace_back(r.t0, line(series, r.t0, r.t1, "", energy::Quality::kMissing,
                                  std::string(name_of(r.reason)) + ": " + r.detail));
  }
  std::sort(lines.begin(), lines.end());
  std::string out;
  for (const std::string_view column : kColumns) out.append(out.empty() ? "" : ",").append(column);
  out += '\n';
  for (const auto& entry : lines) out += entry.second;
  return out;
}

Result<CarbonSeries> parse_carbon_csv(std::string text, const std::string& name) {
  PJ_ASSIGN(const auto table, CsvTable::parse(std::move(text), name));
  return CanonicalReader(table, name).read();
}

Result<CarbonSeries> read_carbon_csv(base::Env& env, const std::string& path) {
  PJ_ASSIGN(auto text, base::read_text(env, path));
  return parse_carbon_csv(std::move(text), path);
}

}  // namespace perjoule::backends::grid
