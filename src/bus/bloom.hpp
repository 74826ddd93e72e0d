// Parquet's split-block Bloom filter (BloomFilter.md of apache/parquet-format): is a text certainly not in a
// column chunk? XXH64 of the text picks a block of 32 bytes and one bit in each of its eight words, so a
// question looks at one cache line. About 10 bits per text and never fewer; the size is a power of two, as
// other readers demand, so false answers of "perhaps" stay below 2 %. Thread rule: pure functions. Ownership:
// a BloomView looks at bytes of its caller.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace perjoule::bus {

// Appends header and bits for these texts (each once; the order does not matter).
void write_bloom(std::span<const std::string_view> texts, std::string& out);

class BloomView {
 public:
  // Header and bits, nothing before or after; nothing if they do not fit together.
  static std::optional<BloomView> of(std::string_view bytes);
  bool may_contain(std::string_view text) const;

 private:
  explicit BloomView(std::string_view blocks) : blocks_(blocks) {}
  std::string_view blocks_;
};

}  // namespace perjoule::bus
