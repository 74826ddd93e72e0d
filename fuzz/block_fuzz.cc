// Any bytes as a block: rows or one error, never a crash; what check() accepts can be read. Checksums would
// stop nearly every input at the door, so they are made to fit first.
#include <cstddef>
#include <cstdint>
#include <string>

#include "bus/block.hpp"
#include "bus/mend_checksums_include.hpp"

namespace {

namespace bus = perjoule::bus;

void read(const std::string& bytes) {
  const auto view = bus::BlockView::open(bytes, "input");
  if (!view.ok()) return;
  const bool whole = view->check().ok();
  if (whole != view->read_all().ok()) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)bus::BlockView::size_of(bytes);
  read(bytes);
  bus::testing::mend_checksums(bytes);
  read(bytes);
  return 0;
}
