// Any bytes as ISO 8601 or a duration. A time that is read and written again must read as the same time.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/time.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static_cast<void>(perjoule::base::parse_duration(text).ok());
  const auto time = perjoule::base::parse_iso8601(text);
  if (!time.ok()) return 0;
  const auto again = perjoule::base::parse_iso8601(perjoule::base::format_iso8601(*time));
  if (!again.ok() || *again != *time) std::abort();
  return 0;
}
