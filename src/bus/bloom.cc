#include "bus/bloom.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "bus/thrift_compact.hpp"

namespace perjoule::bus {
namespace {

constexpr std::size_t kBlockBytes = 32;
constexpr std::size_t kBitsPerText = 10;
constexpr std::size_t kMaxBytes = std::size_t{128} << 20;  // the limit of other readers
using Block = std::array<std::uint32_t, 8>;
constexpr Block kSalt{0x47b6137bU, 0x44974d91U, 0x8824ad5bU, 0xa2b7289dU,
                      0x705495c7U, 0x2df1424bU, 0x9efc4947U, 0x5c6bfb31U};

std::uint64_t hash_of(std::string_view text) { return XXH64(text.data(), text.size(), 0); }

// The upper half of the hash picks the block, the lower one the bits.
std::size_t block_at(std::uint64_t hash, std::size_t bytes) {
  return static_cast<std::size_t>((hash >> 32) * (bytes / kBlockBytes) >> 32) * kBlockBytes;
}
Block mask_of(std::uint64_t hash) {
  Block mask{};
  for (std::size_t i = 0; i < mask.size(); ++i)
    mask[i] = 1U << (static_cast<std::uint32_t>(hash) * kSalt[i] >> 27);
  return mask;
}

// A union whose only member is the empty struct number 1: block, XXH64, uncompressed.
void write_first_choice(int field, ThriftWriter& out) {
  out.begin_struct(field);
  out.begin_struct(1);
  out.end_struct();
  out.end_struct();
}
bool read_first_choice(ThriftReader& in, ThriftType type) {
  int field = 0;
  ThriftType inner{};
  if (!in.begin_struct(type) || !in.next(field, inner) || field != 1 || !in.skip(inner)) return false;
  return !in.next(field, inner) && !in.failed();
}

// The header's size in bytes, and the size of the bits as it states it.
bool read_header(std::string_view bytes, std::size_t& used, std::int32_t& bits_bytes) {
  ThriftReader in(bytes);
  int field = 0;
  ThriftType type{};
  unsigned choices = 0;
  while (in.next(field, type)) {
    const bool ok = field == 1   ? in.integer32(type, bits_bytes)
                    : field <= 4 ? (choices |= 1U << field, read_first_choice(in, type))
                                 : in.skip(type);
    if (!ok) return false;
  }
  used = in.position();
  return !in.failed() && choices == (1U << 2 | 1U << 3 | 1U << 4);
}

}  // namespace

void write_bloom(std::span<const std::string_view> texts, std::string& out) {
  const std::size_t size =
      std::clamp(std::bit_ceil((texts.size() * kBitsPerText + 7) / 8), kBlockBytes, kMaxBytes);
  ThriftWriter header(out);
  header.i32(1, static_cast<std::int32_t>(size));
  for (const int choice : {2, 3, 4}) write_first_choice(choice, header);
  header.stop();
  const std::size_t start = out.size();
  out.resize(start + size);
  char* blocks = out.data() + start;
  for (const auto text : texts) {
    const std::uint64_t hash = hash_of(text);
    char* at = blocks + block_at(hash, size);
    const Block mask = mask_of(hash);
    Block block;
    std::memcpy(&block, at, sizeof block);
    for (std::size_t i = 0; i < block.size(); ++i) block[i] |= mask[i];
    std::memcpy(at, &block, sizeof block);
  }
}

std::optional<BloomView> BloomView::of(std::string_view bytes) {
  std::size_t used = 0;
  std::int32_t size = 0;
  if (!read_header(bytes, used, size)) return std::nullopt;
  const bool fits = size > 0 && size % static_cast<std::int32_t>(kBlockBytes) == 0 &&
                    static_cast<std::size_t>(size) == bytes.size() - used;
  if (!fits) return std::nullopt;
  return BloomView(bytes.substr(used));
}

bool BloomView::may_contain(std::string_view text) const {
  const std::uint64_t hash = hash_of(text);
  Block block;
  std::memcpy(&block, blocks_.data() + block_at(hash, blocks_.size()), sizeof block);
  const Block mask = mask_of(hash);
  std::uint32_t missing = 0;
  for (std::size_t i = 0; i < block.size(); ++i) missing |= mask[i] & ~block[i];
  return missing == 0;
}

}  // namespace perjoule::bus
