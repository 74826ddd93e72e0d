// Any bytes as a segment: rows or one error, never a crash, and no more memory than the limits allow.
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "bus/manifest.hpp"
#include "bus/parquet_reader.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace bus = perjoule::bus;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)bus::parse_manifest(bytes, "manifest");
  const auto file = bus::ParquetFile::open(std::move(bytes), "input", {1 << 12, 1 << 20});
  if (!file.ok()) return 0;
  const auto fault = file->check();
  std::vector<std::size_t> columns(file->meta().schema.size());
  std::iota(columns.begin(), columns.end(), std::size_t{0});
  for (std::size_t g = 0; g < file->groups(); ++g) {
    const auto batch = file->read(g, columns);
    // What check() accepts must be readable.
    if (!fault.has_value() && !batch.ok()) __builtin_trap();
  }
  return 0;
}
