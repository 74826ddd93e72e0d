// The encodings of numbers of the store's pages, as the Parquet format describes them (Encodings.md): the
// RLE and bit-packing hybrid for levels, flags and dictionary codes, and DELTA_BINARY_PACKED (blocks of 128,
// miniblocks of 32) for int64, and BYTE_STREAM_SPLIT for real numbers. Decoders accept exactly what
// the encoders write and any other legal hybrid; they never read past the end. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "bus/byte_io.hpp"

namespace perjoule::bus {

// Bits of the largest value, at least 1 (some readers refuse width 0), at most 32.
unsigned bit_width_of(std::uint32_t largest);

// Appends the hybrid of `values`, each below 2^width. No length prefix.
void encode_hybrid(std::span<const std::uint32_t> values, unsigned width, std::string& out);
// The same of values that come in runs, whose counts are above 0.
struct ValueRun {
  std::uint32_t value = 0, count = 0;
};
void encode_hybrid_runs(std::span<const ValueRun> runs, unsigned width, std::string& out);
// Appends the hybrid that has all values packed, without runs: `values` whole groups of bytes that may be
// compressed.
void encode_packed(std::span<const std::uint32_t> values, unsigned width, std::string& out);
// Appends the hybrid of `count` times `value`.
void encode_hybrid_run(std::uint32_t value, std::size_t count, unsigned width, std::string& out);
// A part of a hybrid: a run of one value, or packed values.
struct HybridStretch {
  const char* packed = nullptr;  // groups of 8, the last one filled up; nullptr: a run
  std::uint32_t value = 0;       // of a run
  std::size_t count = 0;
};
// The next one of a hybrid of which `left` values, more than 0, are to come. False as decode_hybrid().
bool next_stretch(ByteReader& in, unsigned width, std::size_t left, HybridStretch& out);
// `n` of the packed values, from one on whose place is a multiple of 8.
void unpack_stretch(const HybridStretch& packed, unsigned width, std::size_t from, std::size_t n,
                    std::uint32_t* out);
// Fills `out`; false when the bytes are cut short, too many, or a value is not below 2^width.
bool decode_hybrid(ByteReader& in, unsigned width, std::span<std::uint32_t> out);

// Differences wrap modulo 2^64, so every int64 sequence is representable. Gives the smallest and the largest
// value (0 and 0 of none), which it sees on its way.
std::pair<std::int64_t, std::int64_t> encode_delta(std::span<const std::int64_t> values, std::string& out);
// The same of `count` times `value`.
void encode_delta_constant(std::int64_t value, std::size_t count, std::string& out);
// The count in the bytes must be out.size(), and the bytes must end with the last value.
bool decode_delta(ByteReader& in, std::span<std::int64_t> out);

// BYTE_STREAM_SPLIT: all first bytes of the values, then all second ones, and so on to the eighth.
void encode_planes(std::span<const std::uint64_t> values, std::string& out);
// `bytes` are 8 per value.
void decode_planes(std::string_view bytes, std::span<std::uint64_t> out);

}  // namespace perjoule::bus
