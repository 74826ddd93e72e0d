// Packs unsigned numbers of one width, 1,024 at a time, in the transposed layout that SIMD likes: number i of
// a vector lies in lane i % 32, and a lane's 32 numbers fill `width` 32-bit words one after the other; word w
// of lane l is at w * 32 + l. Numbers of more than 32 bits are two planes, the low 32 bits first. The last
// vector of a sequence is filled up with zeros. The instruction set is chosen at run time (Highway). Thread
// rule: pure functions. Ownership: spans of the caller. Units: bits and bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace perjoule::bus {

inline constexpr std::size_t kPackVector = 1024;

// Bytes of `count` packed numbers of `width` bits (0..64).
constexpr std::size_t packed_bytes(std::size_t count, unsigned width) {
  return (count + kPackVector - 1) / kPackVector * (kPackVector / 8) * width;
}

// Appends `values`, each below 2^width; higher bits are cut off.
void pack(std::span<const std::uint32_t> values, unsigned width, std::string& out);  // width 0..32
void pack(std::span<const std::uint64_t> values, unsigned width, std::string& out);  // width 0..64
// Fills `out` from bytes of exactly packed_bytes(out.size(), width).
void unpack(std::string_view bytes, unsigned width, std::span<std::uint32_t> out);
void unpack(std::string_view bytes, unsigned width, std::span<std::uint64_t> out);
// The largest of all numbers of `width` bits (1..32) in whole vectors, what fills up the last one included.
std::uint32_t largest_packed(std::string_view bytes, unsigned width);

}  // namespace perjoule::bus
