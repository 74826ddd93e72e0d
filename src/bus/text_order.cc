#include "bus/text_order.hpp"

#include <algorithm>
#include <array>
#include <cstring>

namespace perjoule::bus {
namespace {

struct Key {
  std::uint64_t head;
  std::uint32_t code;
};

// The length of the beginning that all texts share. Names of a kind begin alike ("req-...").
std::size_t shared_prefix(std::span<const std::string_view> texts, const std::vector<std::uint32_t>& codes) {
  const std::string_view first = texts[codes[0]];
  std::size_t n = first.size();
  for (const auto code : codes) {
    const std::string_view text = texts[code];
    n = std::min(n, text.size());
    if (n == 0) return 0;
    if (std::memcmp(text.data(), first.data(), n) == 0) continue;
    n = static_cast<std::size_t>(
        std::mismatch(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(n), first.begin()).first -
        text.begin());
  }
  return n;
}

// Eight bytes from `from` on as a number that is ordered as they are; a shorter text ends in zeros.
std::uint64_t head_of(std::string_view text, std::size_t from) {
  std::uint64_t head = 0;
  if (text.size() > from)
    std::memcpy(&head, text.data() + from, std::min<std::size_t>(text.size() - from, sizeof head));
  return __builtin_bswap64(head);
}

// By one byte of the head, stable; counts[b]: how many have it.
void sort_by_byte(std::vector<Key>& keys, std::vector<Key>& spare, unsigned shift,
                  const std::array<std::uint32_t, 256>& counts) {
  std::array<std::uint32_t, 256> at{};
  for (std::size_t b = 1; b < at.size(); ++b) at[b] = at[b - 1] + counts[b - 1];
  spare.resize(keys.size());
  for (const Key& key : keys) spare[at[key.head >> shift & 0xFF]++] = key;
  keys.swap(spare);
}

void sort_by_head(std::vector<Key>& keys) {
  constexpr std::size_t kFew = 256;
  if (keys.size() < kFew) {
    std::stable_sort(keys.begin(), keys.end(), [](const Key& a, const Key& b) { return a.head < b.head; });
    return;
  }
  std::vector<std::array<std::uint32_t, 256>> counts(8);
  for (const Key& key : keys) {
    for (unsigned b = 0; b < 8; ++b) ++counts[b][key.head >> (8 * b) & 0xFF];
  }
  std::vector<Key> spare;
  for (unsigned b = 0; b < 8; ++b) {
    const bool same = counts[b][keys[0].head >> (8 * b) & 0xFF] == keys.size();
    if (!same) sort_by_byte(keys, spare, 8 * b, counts[b]);
  }
}

}  // namespace

bool sort_by_text(std::span<const std::string_view> texts, std::vector<std::uint32_t>& codes) {
  if (codes.size() < 2) return true;
  const std::size_t prefix = shared_prefix(texts, codes);
  std::vector<Key> keys;
  keys.reserve(codes.size());
  for (const auto code : codes) keys.push_back({head_of(texts[code], prefix), code});
  const auto less = [](const Key& a, const Key& b) { return a.head < b.head; };
  if (!std::is_sorted(keys.begin(), keys.end(), less)) sort_by_head(keys);
  bool distinct = true;
  for (std::size_t from = 0; from < keys.size();) {
    std::size_t to = from + 1;
    while (to < keys.size() && keys[to].head == keys[from].head) ++to;
    // Equal in eight bytes and the beginning: the rest decides.
    if (to - from > 1) {
      const auto part = std::span(keys).subspan(from, to - from);
      std::stable_sort(part.begin(), part.end(),
                       [&](const Key& a, const Key& b) { return texts[a.code] < texts[b.code]; });
      distinct = distinct && std::adjacent_find(part.begin(), part.end(), [&](const Key& a, const Key& b) {
                               return texts[a.code] == texts[b.code];
                             }) == part.end();
    }
    from = to;
  }
  for (std::size_t i = 0; i < keys.size(); ++i) codes[i] = keys[i].code;
  return distinct;
}

}  // namespace perjoule::bus
