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

// Value I of 32. All offsets and shifts are known when it is compiled; only the 4 * Width bytes are touched.
template <unsigned Width, std::size_t I>
[[gnu::always_inline]] inline std::uint64_t value_at(const char* from) {
  constexpr std::size_t kBit = I * Width, kBytes = 4 * Width;
  constexpr std::uint64_t kMask = Width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << Width) - 1;
  if constexpr (Width % 64 == 0) {
    std::uint64_t word = 0;
    std::memcpy(&word, from + 8 * I, 8);
    return word;
  } else if constexpr (kBytes < 8) {
    std::uint32_t word = 0;
    std::memcpy(&word, from, 4);
    return (word >> kBit) & kMask;
  } else {
    // The last words are read so that they end with the bytes.
    constexpr std::size_t kByte = kBit / 8 + 8 <= kBytes ? kBit / 8 : kBytes - 8;
    constexpr unsigned kShift = kBit - 8 * kByte;
    std::uint64_t word = 0;
    std::memcpy(&word, from + kByte, 8);
    word >>= kShift;
    if constexpr (kShift + Width > 64)
      word |= std::uint64_t{static_cast<std::uint8_t>(from[kByte + 8])} << (64 - kShift);
    return word & kMask;
  }
}

template <unsigned Width, class T, std::size_t... I>
[[gnu::always_inline]] inline void unpack_all(const char* from, T* v, std::index_sequence<I...>) {
  ((v[I] = static_cast<T>(value_at<Width, I>(from))), ...);
}

template <unsigned Width, class T>
void unpack(const char* from, T* v) {
  unpack_all<Width>(from, v, std::make_index_sequence<kPacked>());
}

template <class T>
using Unpack = void (*)(const char*, T*);

template <class T, std::size_t... I>
constexpr std::array<Unpack<T>, sizeof...(I)> unpack_table(std::index_sequence<I...>) {
  return {unpack<static_cast<unsigned>(I + 1), T>...};
}
constexpr auto kUnpack32 = unpack_table<std::uint32_t>(std::make_index_sequence<32>());
constexpr auto kUnpack64 = unpack_table<std::uint64_t>(std::make_index_sequence<64>());

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
void unpack_32(const char* from, unsigned width, std::uint32_t* values) {
  PJ_DCHECK(width >= 1 && width <= 32);
  kUnpack32[width - 1](from, values);
}
void unpack_32(const char* from, unsigned width, std::uint64_t* values) {
  PJ_DCHECK(width >= 1 && width <= 64);
  kUnpack64[width - 1](from, values);
}

}  // namespace perjoule::bus
