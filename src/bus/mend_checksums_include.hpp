// Damage that checksums do not show, for tests and the fuzzer. Thread rule: pure. Ownership: the caller's
// bytes.
#pragma once

#include <xxhash.h>

#include <cstring>
#include <string>

#include "bus/block.hpp"
#include "bus/block_layout.hpp"

namespace perjoule::bus::testing {

// Gives damaged bytes the length and checksums that they state, so that their form is what stops a reader.
inline void mend_checksums(std::string& bytes) {
  BlockHead head;
  if (bytes.size() < sizeof head) return;
  std::memcpy(&head, bytes.data(), sizeof head);
  head.magic = kBlockMagic;
  head.bytes = static_cast<std::uint32_t>(bytes.size());
  if (head.header_bytes > bytes.size() || head.header_bytes < sizeof head) return;
  for (std::size_t i = 0; i < head.columns; ++i) {
    const std::size_t at = sizeof head + i * sizeof(ColumnHead);
    ColumnHead column;
    if (at + sizeof column > head.header_bytes) break;
    std::memcpy(&column, bytes.data() + at, sizeof column);
    if (column.offset > bytes.size() || column.bytes > bytes.size() - column.offset) continue;
    column.checksum = XXH3_64bits(bytes.data() + column.offset, column.bytes);
    std::memcpy(bytes.data() + at, &column, sizeof column);
  }
  constexpr std::size_t kFrom = offsetof(BlockHead, version);
  head.checksum = XXH3_64bits(bytes.data() + kFrom, head.header_bytes - kFrom);
  std::memcpy(bytes.data(), &head, kFrom);
}

}  // namespace perjoule::bus::testing
