// Bit packing as Parquet has it, least significant bit first, 32 values at a time: 32 values of `width` bits
// take exactly 4 * width bytes. Thread rule: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perjoule::bus {

inline constexpr std::size_t kPacked = 32;

// width 1..32; every value below 2^width.
void pack_32(const std::uint32_t* values, unsigned width, char* to);
// width 1..64; every value below 2^width.
void pack_32(const std::uint64_t* values, unsigned width, char* to);
// The way back, from exactly 4 * width bytes. width 1..32 and 1..64.
void unpack_32(const char* from, unsigned width, std::uint32_t* values);
void unpack_32(const char* from, unsigned width, std::uint64_t* values);

}  // namespace perjoule::bus
