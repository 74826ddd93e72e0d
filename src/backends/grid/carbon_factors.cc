// Annual emission factors of a table of regions.
#include "backends/grid/carbon_readers.hpp"
#include "base/csv.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"

namespace perjoule::backends::grid {
namespace {

using base::CsvTable;
using base::Result;
using base::TimePoint;

constexpr std::string_view kColumnPrefix = "kg_per_kwh_";
constexpr double kGramsPerKilogram = 1000.0;

Result<std::size_t> row_of(const CsvTable& table, const std::string& name, std::size_t column,
                           const std::string& region) {
  std::vector<std::string> names;
  for (std::size_t row = 0; row < table.rows(); ++row) {
    if (table.field(row, column) == region) return row;
    names.emplace_back(table.field(row, column));
  }
  return base::bad_input("read annual carbon factors", name + ":1:1", "there is no region '" + region + "'",
                         base::nearest_name_hint(region, names));
}

std::string years_with_value(const CsvTable& table, std::size_t row) {
  std::string out;
  for (std::size_t c = 0; c < table.columns().size(); ++c) {
    const std::string& column = table.columns()[c];
    if (!column.starts_with(kColumnPrefix) || table.field(row, c).empty()) continue;
    out += (out.empty() ? "" : ", ") + column.substr(kColumnPrefix.size());
  }
  return out.empty() ? "none" : out;
}

}  // namespace

Result<CarbonSeries> parse_carbon_factors(std::string text, const std::string& name,
                                          const std::string& region, int year) {
  PJ_ASSIGN(const auto table, CsvTable::parse(std::move(text), name));
  PJ_ASSIGN(const std::size_t name_column, table.column("name"));
  PJ_ASSIGN(const std::size_t row, row_of(table, name, name_column, region));
  const std::string years = "Years with a factor for " + region + ": " + years_with_value(table, row);
  const auto column = table.column(std::string(kColumnPrefix) + std::to_string(year));
  if (!column.ok()) {
    return base::bad_input("read annual carbon factors", name + ":1:1",
                           "no column for " + std::to_string(year), years);
  }
  PJ_ASSIGN(const auto factor, table.optional_number(row, *column));
  if (!factor) {
    return base::bad_input("read annual carbon factors", table.where(row, *column),
                           "no factor for " + std::to_string(year), years);
  }
  const base::GramsPerKwh intensity(*factor * kGramsPerKilogram);
  if (intensity < base::GramsPerKwh(0) || intensity > kHighestIntensity) {
    return base::bad_input("read annual carbon factors", table.where(row, *column),
                           base::shortest_text(*factor) + " kg/kWh cannot be");
  }
  const TimePoint t0{base::days_from_civil({year, 1, 1}) * base::kNsPerDay};
  const TimePoint t1{base::days_from_civil({year + 1, 1, 1}) * base::kNsPerDay};
  CarbonInfo info{region, energy::CarbonKind::kAverage,
                  name + " (annual factor " + std::to_string(year) + ", the same at every hour)"};
  return CarbonSeries::make(std::move(info), {{t0, t1, intensity, energy::Quality::kModelled}}, {});
}

Result<CarbonSeries> read_carbon_factors(base::Env& env, const std::string& path, const std::string& region,
                                         int year) {
  PJ_ASSIGN(auto text, base::read_text(env, path));
  return parse_carbon_factors(std::move(text), path, region, year);
}

}  // namespace perjoule::backends::grid
