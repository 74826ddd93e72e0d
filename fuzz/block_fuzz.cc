// Any bytes as a block: rows or one error, never a crash; what check() accepts can be read. Checksums would
// stop nearly every input at the door, so they are made to fit first.
#include <xxhash.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

#include "bus/block.hpp"
#include "bus/block_layout.hpp"

namespace {

namespace bus = perjoule::bus;

void mend_checksums(std::string& bytes) {
  bus::BlockHead head;
  if (bytes.size() < sizeof head) return;
  std::memcpy(&head, bytes.data(), sizeof head);
  head.magic = bus::kBlockMagic;
  head.bytes = static_cast<std::uint32_t>(bytes.size());
  if (head.header_bytes > bytes.size() || head.header_bytes < sizeof head) return;
  for (std::size_t i = 0; i < head.columns; ++i) {
    const std::size_t at = sizeof head + i * sizeof(bus::ColumnHead);
    bus::ColumnHead column;
    if (at + sizeof column > head.header_bytes) break;
    std::memcpy(&column, bytes.data() + at, sizeof column);
    if (column.offset > bytes.size() || column.bytes > bytes.size() - column.offset) continue;
    column.checksum = XXH3_64bits(bytes.data() + column.offset, column.bytes);
    std::memcpy(bytes.data() + at, &column, sizeof column);
  }
  constexpr std::size_t kFrom = offsetof(bus::BlockHead, version);
  head.checksum = XXH3_64bits(bytes.data() + kFrom, head.header_bytes - kFrom);
  std::memcpy(bytes.data(), &head, kFrom);
}

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
  mend_checksums(bytes);
  read(bytes);
  return 0;
}
