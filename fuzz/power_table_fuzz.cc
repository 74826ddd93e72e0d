// Any bytes as a power table: rows of positive finite numbers, or one error with a place in the file.
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/assert.hpp"
#include "plant/power_table.hpp"

namespace {

bool positive(double value) { return std::isfinite(value) && value > 0.0; }

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto rows = perjoule::plant::parse_power_table(text, "fuzz.csv");
  if (!rows.ok()) {
    PJ_CHECK(rows.error().where.starts_with("fuzz.csv"));
    PJ_CHECK(!rows.error().why.empty());
    return 0;
  }
  PJ_CHECK(!rows->empty());
  for (const auto& row : *rows) {
    PJ_CHECK(positive(row.limit) && positive(row.time.value()) && positive(row.mean_power.value()));
  }
  return 0;
}
