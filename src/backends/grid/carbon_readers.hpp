// Readers of carbon intensity files. Each checks the whole file and gives one series, or one error with
// file:line:column. Hours that cannot be used are listed in the series' `rejected`, never filled in:
//   empty               the intensity, or any generation column, is empty
//   no_row              the file steps over it
//   partial_generation  total generation is below half of the median of the other rows within 24 h either
//   side
//                       (judged only where at least 6 such rows exist)
// Times going backwards, times given twice, missing columns, NaN and intensities above 3,000 g/kWh are
// errors. Thread rule: pure functions.
#pragma once

#include <string>
#include <string_view>

#include "backends/grid/carbon_series.hpp"
#include "backends/intake/mapping.hpp"
#include "base/env.hpp"
#include "base/result.hpp"

namespace perjoule::backends::grid {

inline constexpr double kPartialGenerationShare = 0.5;
inline constexpr base::Duration kGenerationNeighbourhood{base::kNsPerDay};
inline constexpr std::size_t kFewestNeighbours = 6;
inline constexpr base::GramsPerKwh kHighestIntensity{3000.0};

// Any delimited table by a mapping of table "carbon". `name` is the file for error places.
base::Result<CarbonSeries> parse_carbon_mapped(std::string text, const std::string& name,
                                               const intake::Mapping& mapping);
base::Result<CarbonSeries> read_carbon_mapped(base::Env& env, const std::string& path,
                                              const intake::Mapping& mapping);

// Hourly: timestamp, generation of 8 kinds in MW, avg_CI in g/kWh (lifecycle, generation only). Derived.
base::Result<CarbonSeries> parse_carbon_dcrl(std::string text, const std::string& name,
                                             const std::string& region);
base::Result<CarbonSeries> read_carbon_dcrl(base::Env& env, const std::string& path,
                                            const std::string& region);

// timestamp_utc, g_per_kwh; 15 min or 1 h. Derived.
base::Result<CarbonSeries> parse_carbon_opendc(std::string text, const std::string& name,
                                               const std::string& region);
base::Result<CarbonSeries> read_carbon_opendc(base::Env& env, const std::string& path,
                                              const std::string& region);

// Annual factors: level, name, kg_per_kwh_YEAR ...; one point over the whole year (UTC). The factor is a
// yearly mean, so as a profile in time it is modelled. Errors list the nearest region and the years that have
// a value.
base::Result<CarbonSeries> parse_carbon_factors(std::string text, const std::string& name,
                                                const std::string& region, int year);
base::Result<CarbonSeries> read_carbon_factors(base::Env& env, const std::string& path,
                                               const std::string& region, int year);

// The canonical file: t0_ns,t1_ns,region,kind,g_per_kwh,quality,source,note; rejected intervals have quality
// `missing`, no value, and the reason as note. Reading back what was written gives the same series.
std::string format_carbon_csv(const CarbonSeries& series);
base::Result<CarbonSeries> parse_carbon_csv(std::string text, const std::string& name);
base::Result<CarbonSeries> read_carbon_csv(base::Env& env, const std::string& path);

}  // namespace perjoule::backends::grid
