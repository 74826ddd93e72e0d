#include "bus/bit_packing.hpp"

#include <array>
#include <cstring>
#include <utility>

#include "base/assert.hpp"

namespace perjoule::bus {
namespace {

// Adds pieces of Bits bits to a stream of 64-bit words. All shifts are known when it is compiled: the loop is
// unrolled, once per width.
template <unsigned Bits, std::size_t Pieces, class PieceAt>
[[gnu::always_inline]] inline void pack_pieces(PieceAt piece_at, char* to) {
  std::uint64_t word = 0;
  unsigned used = 0;
#pragma GCC unroll 32
  for (std::size_t i = 0; i < Pieces; ++i) {
    const std::uint64_t piece = piece_at(i);
    word |= piece << used;
    used += Bits;
    if (used < 64) continue;
    std::memcpy(to, &word, 8);
    to += 8;
    used -= 64;
    word = used == 0 ? 0 : piece >> (Bits - used);
  }
  if (used != 0) std::memcpy(to, &word, 4);  // 32 values are a whole number of 32-bit words
}

template <unsigned Width, class T>
void pack(const T* v, char* to) {
  if constexpr (Width <= 16) {
    // Fours and pairs first: they do not wait for each other.
    pack_pieces<4 * Width, 8>(
        [v](std::size_t i) {
          const std::uint64_t low = v[4 * i] | static_cast<std::uint64_t>(v[4 * i + 1]) << Width;
          const std::uint64_t high = v[4 * i + 2] | static_cast<std::uint64_t>(v[4 * i + 3]) << Width;
          return low | high << (2 * Width);
        },
        to);
  } else if constexpr (Width <= 32) {
    pack_pieces<2 * Width, 16>(
        [v](std::size_t i) { return v[2 * i] | static_cast<std::uint64_t>(v[2 * i + 1]) << Width; }, to);
  } else {
    pack_pieces<Width, 32>([v](std::size_t i) { return v[i]; }, to);
  }
}

template <class T>
using Pack = void (*)(const T*, char*);

template <class T, std::size_t... I>
constexpr std::array<Pack<T>, sizeof...(I)> table(std::index_sequence<I...>) {
  return {pack<static_cast<unsigned>(I + 1), T>...};
}
constexpr auto kPack32 = table<std::uint32_t>(std::make_index_sequence<32>());
constexpr auto kPack64 = table<std::uint64_t>(std::make_index_sequence<64>());

}  // namespace

void pack_32(const std::uint32_t* values, unsigned width, char* to) {
  PJ_DCHECK(width >= 1 && width <= 32);
  kPack32[width - 1](values, to);
}
void pack_32(const std::uint64_t* values, unsigned width, char* to) {
  PJ_DCHECK(width >= 1 && width <= 64);
  kPack64[width - 1](values, to);
}

}  // namespace perjoule::bus
