#include "wire/numbering.hpp"

#include <xxhash.h>

#include <cstddef>
#include <cstring>

#include "base/assert.hpp"
#include "bus/block_layout.hpp"

namespace perjoule::wire {
namespace {

bus::BlockHead head_of(std::string_view block) {
  bus::BlockHead head;
  PJ_CHECK(block.size() >= sizeof head);
  std::memcpy(&head, block.data(), sizeof head);
  PJ_CHECK(head.magic == bus::kBlockMagic && head.bytes == block.size() && head.header_bytes >= sizeof head &&
           head.header_bytes <= block.size());
  return head;
}

}  // namespace

Numbers numbers_of(std::string_view block) {
  const bus::BlockHead head = head_of(block);
  return {head.after_seq, head.first_seq, head.last_seq};
}

void set_numbers(std::string& block, const Numbers& numbers) {
  PJ_CHECK(numbers.after < numbers.first && numbers.first <= numbers.last);
  bus::BlockHead head = head_of(block);
  head.after_seq = numbers.after;
  head.first_seq = numbers.first;
  head.last_seq = numbers.last;
  std::memcpy(block.data(), &head, sizeof head);
  constexpr std::size_t kFrom = offsetof(bus::BlockHead, version);
  head.checksum = XXH3_64bits(block.data() + kFrom, head.header_bytes - kFrom);
  std::memcpy(block.data(), &head, sizeof head);
}

}  // namespace perjoule::wire
