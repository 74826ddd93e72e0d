#include "backends/grid/carbon_readers.hpp"

#include <algorithm>
#include <map>

#include "backends/intake/mapped_table.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"

namespace perjoule::backends::grid {
namespace {

using base::Duration;
using base::Error;
using base::Result;
using base::Status;
using base::TimePoint;
using intake::MappedTable;

constexpr const char* kDcrlMapping = R"(
table = "carbon"
source = "HewlettPackard/dc-rl, from EIA bulk data; generation only, lifecycle factors"
step = "1h"
[fields.time]
column = "timestamp"
[fields.intensity]
column = "avg_CI"
[fields.region]
constant = "-"
[fields.kind]
constant = "average"
[[generation]]
column = "WND"
[[generation]]
column = "SUN"
[[generation]]
column = "WAT"
[[generation]]
column = "OIL"
[[generation]]
column = "NG"
[[generation]]
column = "COL"
[[generation]]
column = "NUC"
[[generation]]
column = "OTH"
)";

constexpr const char* kOpendcMapping = R"(
table = "carbon"
source = "atlarge-research/opendc, ENTSO-E origin"
[fields.time]
column = "timestamp_utc"
[fields.intensity]
column = "g_per_kwh"
[fields.region]
constant = "-"
[fields.kind]
constant = "average"
)";

struct Row {
  TimePoint t0, t1;
  std::optional<double> intensity;         // g/kWh
  std::optional<double> total_generation;  // MW
  std::string where;
};

class SeriesReader {
 public:
  explicit SeriesReader(const MappedTable& table) : table_(table) {}

  Result<CarbonSeries> read() {
    PJ_TRY(read_info());
    for (std::size_t row = 0; row < table_.rows(); ++row) {
      PJ_TRY(read_row(row));
    }
    PJ_TRY(close_intervals());
    sort_out();
    if (points_.empty()) {
      return base::bad_input("read a carbon series", rows_.front().where, "not one row has a usable value");
    }
    return CarbonSeries::make(info_, std::move(points_), std::move(rejected_));
  }

 private:
  Error fault(std::size_t row, std::string_view field, std::string why, std::string hint = {}) const {
    return base::bad_input("read a carbon series", table_.where(row, field), std::move(why), std::move(hint));
  }

  Status read_info() {
    const auto kind = parse_kind(table_.text(0, "kind"));
    if (!kind.ok())
      return fault(0, "kind", "'" + std::string(table_.text(0, "kind")) + "' " + kind.error().why);
    info_ = {std::string(table_.text(0, "region")), *kind, table_.mapping().source};
    if (info_.region.empty()) return fault(0, "region", "the region is empty");
    return base::ok_status();
  }

  Status check_same(std::size_t row, std::string_view field) const {
    if (table_.text(row, field) == table_.text(0, field)) return base::ok_status();
    return fault(row, field,
                 "'" + std::string(table_.text(row, field)) + "' and '" + std::string(table_.text(0, field)) +
                     "' in one series",
                 "Pick one with only = \"...\" in [fields." + std::string(field) + "]");
  }

  Status read_row(std::size_t i) {
    PJ_TRY(check_same(i, "region"));
    PJ_TRY(check_same(i, "kind"));
    Row row;
    row.where = table_.where(i, "time");
    PJ_ASSIGN(row.t0, table_.time(i, "time"));
    PJ_TRY(check_range(i, "time", row.t0));
    PJ_TRY(check_order(i, row));
    if (table_.has("end")) {
      PJ_ASSIGN(row.t1, table_.time(i, "end"));
      PJ_TRY(check_range(i, "end", row.t1));
      if (row.t1 <= row.t0) return fault(i, "end", "the interval does not end after it begins");
    }
    PJ_ASSIGN(row.intensity, table_.number(i, "intensity"));
    PJ_TRY(read_generation(i, row));
    PJ_TRY(check_intensity(i, row));
    rows_.push_back(std::move(row));
    return base::ok_status();
  }

  Status check_range(std::size_t i, std::string_view field, TimePoint t) const {
    if (t >= kEarliest && t < kLatest) return base::ok_status();
    return fault(i, field, base::format_iso8601(t) + " is outside 1970 to 2200",
                 "Check 'unit' (epoch_s or epoch_ms?)");
  }

  Status check_order(std::size_t i, const Row& row) const {
    if (rows_.empty() || row.t0 > rows_.back().t0) return base::ok_status();
    const bool twice = row.t0 == rows_.back().t0;
    return fault(
        i, "time", twice ? "the time is given twice" : "times go backwards",
        twice ? "Local times repeat an hour in autumn: use the UTC column" : "Sort the file by time");
  }

  Status check_intensity(std::size_t i, const Row& row) const {
    if (!row.intensity) return base::ok_status();
    if (*row.intensity > kHighestIntensity.value()) {
      return fault(i, "intensity",
                   base::shortest_text(*row.intensity) + " g/kWh is above anything that burns",
                   "Check 'unit' in the mapping");
    }
    if (*row.intensity < 0 && info_.kind == energy::CarbonKind::kAverage) {
      return fault(i, "intensity", "an average intensity cannot be below 0");
    }
    return base::ok_status();
  }

  // Total MW, and the intensity as the mean weighted by generation when the file has no intensity column. A
  // row with an empty generation column counts as empty: a part of the mix is unknown.
  Status read_generation(std::size_t i, Row& row) const {
    const auto& columns = table_.mapping().generation;
    if (columns.empty()) return base::ok_status();
    double total = 0, grams = 0;
    bool whole = true;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      PJ_ASSIGN(const auto mw, table_.generation(i, c));
      whole = whole && mw.has_value();
      total += mw.value_or(0.0);
      grams += mw.value_or(0.0) * columns[c].g_per_kwh.value_or(0.0);
    }
    if (!whole) return row.intensity.reset(), base::ok_status();
    row.total_generation = total;
    if (!table_.has("intensity") && total > 0) row.intensity = grams / total;
    return base::ok_status();
  }

  // The commonest spacing of rows, the smaller one of two equally common.
  Duration common_spacing() const {
    std::map<Duration, std::size_t> counts;
    for (std::size_t i = 1; i < rows_.size(); ++i) ++counts[rows_[i].t0 - rows_[i - 1].t0];
    const auto most = std::max_element(counts.begin(), counts.end(),
                                       [](const auto& a, const auto& b) { return a.second < b.second; });
    return most->first;
  }

  // Gives each row its end and lists what the file steps over.
  Status close_intervals() {
    const bool given = table_.has("end");
    if (!given && !table_.mapping().step && rows_.size() < 2) {
      return fault(0, "time", "one row alone does not tell its length", "Give step = \"1h\" in the mapping");
    }
    Duration step{};
    if (!given) step = table_.mapping().step ? *table_.mapping().step : common_spacing();
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      Row& row = rows_[i];
      const bool last = i + 1 == rows_.size();
      if (!given) row.t1 = last ? row.t0 + step : std::min(row.t0 + step, rows_[i + 1].t0);
      if (last) break;
      if (row.t1 > rows_[i + 1].t0) return fault(i, "end", "the interval runs into the next row");
      if (row.t1 < rows_[i + 1].t0) {
        rejected_.push_back(
            {row.t1, rows_[i + 1].t0, RejectReason::kNoRow, rows_[i + 1].where, "no row in the file"});
      }
    }
    return base::ok_status();
  }

  // Median of the total generation of the other rows within the neighbourhood; nothing if they are too few.
  std::optional<double> neighbour_median(std::size_t at) const {
    std::vector<double> totals;
    const auto take = [&](const Row& row) {
      if (row.total_generation) totals.push_back(*row.total_generation);
    };
    for (std::size_t i = at; i-- > 0 && rows_[at].t0 - rows_[i].t0 <= kGenerationNeighbourhood;)
      take(rows_[i]);
    for (std::size_t i = at + 1; i < rows_.size() && rows_[i].t0 - rows_[at].t0 <= kGenerationNeighbourhood;
         ++i) {
      take(rows_[i]);
    }
    if (totals.size() < kFewestNeighbours) return std::nullopt;
    const auto middle = totals.begin() + static_cast<std::ptrdiff_t>(totals.size() / 2);
    std::nth_element(totals.begin(), middle, totals.end());
    if (totals.size() % 2 == 1) return *middle;
    return (*middle + *std::max_element(totals.begin(), middle)) / 2;
  }

  void sort_out() {
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const Row& row = rows_[i];
      if (!row.intensity) {
        rejected_.push_back({row.t0, row.t1, RejectReason::kEmpty, row.where, "no value in the row"});
        continue;
      }
      const auto median = row.total_generation ? neighbour_median(i) : std::nullopt;
      if (median && *row.total_generation < kPartialGenerationShare * *median) {
        rejected_.push_back({row.t0, row.t1, RejectReason::kPartialGeneration, row.where,
                             base::fixed_text(*row.total_generation, 0) + " MW where the day around has " +
                                 base::fixed_text(*median, 0) + " MW"});
        continue;
      }
      points_.push_back({row.t0, row.t1, base::GramsPerKwh(*row.intensity), table_.mapping().quality});
    }
  }

  const MappedTable& table_;
  CarbonInfo info_;
  std::vector<Row> rows_;
  std::vector<CarbonPoint> points_;
  std::vector<RejectedInterval> rejected_;
};

// A built-in mapping, with the region put in.
intake::Mapping built_in(const char* toml, const std::string& region) {
  auto mapping = intake::parse_mapping(toml, "built-in mapping");
  PJ_CHECK(mapping.ok());
  for (intake::FieldMapping& field : mapping->fields) {
    if (field.field == "region") field.constant = region;
  }
  return std::move(mapping).value();
}

}  // namespace

Result<CarbonSeries> parse_carbon_mapped(std::string text, const std::string& name,
                                         const intake::Mapping& mapping) {
  PJ_CHECK(mapping.table == intake::Table::kCarbon);
  PJ_ASSIGN(const auto table, MappedTable::parse(std::move(text), name, mapping));
  if (table.rows() == 0) {
    return base::bad_input("read a carbon series", name + ":1:1", "no row is left to read",
                           "Check the file, and 'only' in the mapping");
  }
  return SeriesReader(table).read();
}

Result<CarbonSeries> read_carbon_mapped(base::Env& env, const std::string& path,
                                        const intake::Mapping& mapping) {
  PJ_ASSIGN(auto text, base::read_text(env, path));
  return parse_carbon_mapped(std::move(text), path, mapping);
}

Result<CarbonSeries> parse_carbon_dcrl(std::string text, const std::string& name, const std::string& region) {
  return parse_carbon_mapped(std::move(text), name, built_in(kDcrlMapping, region));
}

Result<CarbonSeries> read_carbon_dcrl(base::Env& env, const std::string& path, const std::string& region) {
  return read_carbon_mapped(env, path, built_in(kDcrlMapping, region));
}

Result<CarbonSeries> parse_carbon_opendc(std::string text, const std::string& name,
                                         const std::string& region) {
  return parse_carbon_mapped(std::move(text), name, built_in(kOpendcMapping, region));
}

Result<CarbonSeries> read_carbon_opendc(base::Env& env, const std::string& path, const std::string& region) {
  return read_carbon_mapped(env, path, built_in(kOpendcMapping, region));
}

}  // namespace perjoule::backends::grid
