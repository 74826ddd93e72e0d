#include "backends/grid/formats.hpp"

#include "backends/grid/carbon_readers.hpp"

namespace perjoule::backends::grid {
namespace {

using base::Env;
using base::Result;
using intake::ImportReport;
using intake::ImportRequest;

ImportReport report_of(const CarbonSeries& series) {
  ImportReport report;
  report.rows = static_cast<std::int64_t>(series.points().size());
  for (const RejectedInterval& r : series.rejected()) {
    report.rejected.push_back(
        {r.where, base::format_iso8601(r.t0), std::string(name_of(r.reason)) + ": " + r.detail});
  }
  report.notes.push_back("region " + series.region() + ", " + std::string(name_of(series.kind())) +
                         ", quality " + std::string(energy::name_of(series.points().front().quality)));
  report.notes.push_back("source: " + series.source());
  report.notes.push_back("from " + base::format_iso8601(series.begin()) + " to " +
                         base::format_iso8601(series.end()));
  report.csv = format_carbon_csv(series);
  return report;
}

Result<ImportReport> report_of(Result<CarbonSeries> series) {
  if (!series.ok()) return std::move(series).error();
  return report_of(*series);
}

Result<std::string> region_of(const ImportRequest& request) {
  if (!request.region.empty()) return request.region;
  return base::bad_input("import a carbon series", request.path, "the file does not name its region",
                         "Add --region NAME, e.g. --region CISO");
}

Result<ImportReport> import_dcrl(Env& env, const ImportRequest& request) {
  PJ_ASSIGN(const auto region, region_of(request));
  return report_of(read_carbon_dcrl(env, request.path, region));
}

Result<ImportReport> import_opendc(Env& env, const ImportRequest& request) {
  PJ_ASSIGN(const auto region, region_of(request));
  return report_of(read_carbon_opendc(env, request.path, region));
}

Result<ImportReport> import_factors(Env& env, const ImportRequest& request) {
  PJ_ASSIGN(const auto region, region_of(request));
  if (request.year == 0) {
    return base::bad_input("import carbon factors", request.path, "which year?", "Add --year YYYY");
  }
  return report_of(read_carbon_factors(env, request.path, region, request.year));
}

Result<ImportReport> import_mapped(Env& env, const ImportRequest& request) {
  return report_of(read_carbon_mapped(env, request.path, *request.mapping));
}

Result<ImportReport> import_canonical(Env& env, const ImportRequest& request) {
  return report_of(read_carbon_csv(env, request.path));
}

}  // namespace

void register_formats(intake::ImportRegistry& registry) {
  constexpr auto kTable = intake::Table::kCarbon;
  registry.add({"dcrl-carbon", kTable, "hourly generation by kind and mean intensity (dc-rl, EIA)", false,
                import_dcrl});
  registry.add({"opendc-carbon", kTable, "timestamp_utc, g_per_kwh (OpenDC)", false, import_opendc});
  registry.add({"carbon-factors", kTable, "annual factors per region, kg/kWh", false, import_factors});
  registry.add({"carbon-csv", kTable, "any delimited table, by a mapping file", true, import_mapped});
  registry.add({"perjoule-carbon", kTable, "perjoule's own carbon file", false, import_canonical});
}

}  // namespace perjoule::backends::grid
