// The bytes of the log (docs/formats/log.md). STORE/wal/NNNNNNNNNN.log are segments of one fixed size,
// written in groups; a group begins at a multiple of 4,096 bytes with a GroupHead, holds whole blocks back to
// back, and is filled up with zeros to the next such multiple. A segment is used again under a new number, so
// what follows its last group may be left from an earlier life. Internal to the bus. Thread rule: values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

namespace perjoule::bus {

inline constexpr std::uint32_t kGroupMagic = 0x474C4A50;  // "PJLG"
inline constexpr std::uint16_t kLogVersion = 1;

struct GroupHead {
  std::uint32_t magic = kGroupMagic;
  std::uint16_t version = kLogVersion, zero = 0;
  std::uint64_t segment = 0;        // number of the file it was written into
  std::uint64_t group = 0;          // 1, 2, ... over the store's life
  std::uint64_t durable_group = 0;  // the last one known to be on the disk when this one was written
  std::uint64_t first_entry = 0;    // number of its first block; 1, 2, ... over the store's life
  std::uint32_t incarnation = 0;    // grows with every opening of the log for writing
  std::uint32_t blocks = 0;
  std::uint32_t bytes = 0;  // of the blocks
  std::uint32_t zero2 = 0;
  std::uint64_t blocks_checksum = 0;  // XXH3-64
  std::uint64_t head_checksum = 0;    // XXH3-64 of the bytes before
};
static_assert(sizeof(GroupHead) == 72);

// "0000000042.log"; 0 if a name is none.
std::string log_segment_name(std::uint64_t segment);
std::uint64_t log_segment_number(const std::string& name);

}  // namespace perjoule::bus
