// Any bytes as OpenTelemetry metrics, in both forms: points within bounds or one error, never a crash. What
// can be mapped can be stored; the server's reader of protobuf, which remembers, says the same as the slow
// one.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "api/otlp.hpp"
#include "api/test_otlp.hpp"
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
  static perjoule::api::OtlpReader reader("otlp/fuzz");
  check(perjoule::api::read_otlp_slowly(bytes));
  if (perjoule::api::outcome_of(reader, bytes) != perjoule::api::slow_outcome(bytes)) std::abort();
  check(perjoule::api::read_otlp_json(bytes));
  return 0;
}
