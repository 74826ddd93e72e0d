// The numbers of an encoded block, read and changed in place: a client encodes rows before it knows their
// numbers, and where rows were dropped the next block says so (docs/formats/block.md, `after_seq`). Thread
// rule: pure functions. Ownership: the caller's bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace perjoule::wire {

struct Numbers {
  std::uint64_t after = 0, first = 1, last = 1;
  bool operator==(const Numbers&) const = default;
};

// Of a block that BlockView::open accepts (PJ_CHECK).
Numbers numbers_of(std::string_view block);
// Writes them and the header's checksum; after < first <= last (PJ_CHECK).
void set_numbers(std::string& block, const Numbers& numbers);

}  // namespace perjoule::wire
