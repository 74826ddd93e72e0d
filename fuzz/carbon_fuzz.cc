// Any bytes as each carbon form: a series whose file reads back the same and whose answers obey their
// contract, or one error with a place.
#include <cstddef>
#include <cstdint>
#include <string>

#include "backends/grid/carbon_readers.hpp"
#include "base/assert.hpp"

namespace {

using perjoule::backends::grid::CarbonSeries;
using perjoule::backends::grid::GapPolicy;

void check(const perjoule::base::Result<CarbonSeries>& series) {
  namespace grid = perjoule::backends::grid;
  if (!series.ok()) return PJ_CHECK(!series.error().message().empty());
  const std::string text = grid::format_carbon_csv(*series);
  const auto back = grid::parse_carbon_csv(text, "back");
  PJ_CHECK(back.ok() && grid::format_carbon_csv(*back) == text);
  for (const GapPolicy policy :
       {GapPolicy::kPreviousValidHour, GapPolicy::kSameHourPreviousDay, GapPolicy::kRefuse}) {
    const auto answer = series->at_window(series->begin(), series->end(), policy);
    PJ_CHECK(answer.intensity.has_value() == (answer.quality != perjoule::energy::Quality::kMissing));
    PJ_CHECK(answer.fallback.has_value() == (answer.fallback_used.ns > 0));
  }
  (void)series->shifted_to_year(2024);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace grid = perjoule::backends::grid;
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data + 1), size - 1);
  switch (data[0] % 4) {
    case 0:
      check(grid::parse_carbon_dcrl(text, "fuzz", "X"));
      break;
    case 1:
      check(grid::parse_carbon_opendc(text, "fuzz", "X"));
      break;
    case 2:
      check(grid::parse_carbon_factors(text, "fuzz", "China", 2022));
      break;
    default:
      check(grid::parse_carbon_csv(text, "fuzz"));
      break;
  }
  return 0;
}
