// Any bytes as a gzip stream: unpacked within the limit, or refused.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/gzip.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t kLimit = 1 << 20;
  const auto text = perjoule::base::gunzip({reinterpret_cast<const char*>(data), size}, "fuzz", kLimit);
  if (text.ok() && text->size() > kLimit) std::abort();
  return 0;
}
