// Any bytes as OpenTelemetry metrics, in both forms: points within bounds or one error, never a crash. What
// can be mapped can be stored.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/otlp.hpp"
#include "bus/block.hpp"

namespace {

void check(const perjoule::base::Result<perjoule::api::OtlpBatch>& batch) {
  if (!batch.ok()) return;
  if (batch->points.size() > 2 * perjoule::api::kMostOtlpPoints) std::abort();
  for (const auto& point : batch->points) {
    const auto mapped = perjoule::api::map_point(point);
    if (!mapped.ok()) continue;
    for (const auto& text : {mapped->device, mapped->signal})
      if (text.empty() || text.size() > perjoule::bus::kMaxTextBytes) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view bytes(reinterpret_cast<const char*>(data), size);
  check(perjoule::api::read_otlp(bytes));
  check(perjoule::api::read_otlp_json(bytes));
  return 0;
}
