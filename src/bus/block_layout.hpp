// The bytes of a block, shared by the writer and the reader of blocks (docs/formats/block.md). Internal to
// the bus. Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perjoule::bus {

inline constexpr std::uint32_t kBlockMagic = 0x31424A50;  // "PJB1"
inline constexpr std::uint16_t kBlockVersion = 1;

enum class BlockEncoding : std::uint8_t {
  kConstant = 0,      // every row has `base` (text: the only dictionary entry, or NULL without one)
  kPacked = 1,        // base + packed
  kDelta = 2,         // the first is `base`; each next one adds step + unzigzag(packed)
  kFromPrevious = 3,  // the whole-number column before + base + packed
  kPlain = 4,         // doubles as they are
  kDecimal = 5,       // doubles that are (base + packed) / 10^step
  kDictionary = 6,    // text: packed places in the block's own dictionary; its size stands for NULL
};

// A fixed header, then one ColumnHead per column, then the source's name; each part of a block begins at a
// multiple of eight bytes, filled up with zeros.
struct BlockHead {
  std::uint32_t magic = kBlockMagic;
  std::uint32_t bytes = 0;     // of the whole block
  std::uint64_t checksum = 0;  // XXH3-64 of the header from here to its end
  std::uint16_t version = kBlockVersion;
  std::uint8_t table = 0, columns = 0;
  std::uint32_t rows = 0;
  std::uint64_t after_seq = 0, first_seq = 0, last_seq = 0;
  std::int64_t first_ns = 0, last_ns = 0;
  std::uint32_t source_bytes = 0;
  std::uint32_t header_bytes = 0;
};
static_assert(sizeof(BlockHead) == 72);

struct ColumnHead {
  BlockEncoding encoding = BlockEncoding::kConstant;
  std::uint8_t width = 0;  // bits of a packed number
  std::uint8_t nulls = 0;  // 1: a packed validity bit per row comes first
  std::uint8_t zero = 0;
  std::uint32_t offset = 0;  // from the block's first byte
  std::uint32_t bytes = 0;
  std::uint32_t dictionary = 0;  // entries of a text column
  std::uint32_t exceptions = 0;  // numbers too wide to be packed
  std::uint32_t zero2 = 0;
  std::uint64_t checksum = 0;  // XXH3-64 of its bytes
};
static_assert(sizeof(ColumnHead) == 32);

constexpr std::size_t padded(std::size_t bytes) { return (bytes + 7) / 8 * 8; }

// 10^0..10^9, all exact as doubles.
inline constexpr unsigned kMaxDecimals = 9;
inline constexpr double kPowersOfTen[kMaxDecimals + 1] = {1.0, 10.0, 100.0, 1e3, 1e4,
                                                          1e5, 1e6,  1e7,   1e8, 1e9};

}  // namespace perjoule::bus
