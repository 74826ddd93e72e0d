#include "bus/code_pages.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "bus/encodings.hpp"
#include "bus/query_kernels.hpp"

namespace perjoule::bus {
namespace {

constexpr std::size_t kChunk = 1024;

void append_run(std::uint32_t from, std::size_t count, std::vector<std::uint32_t>& selected) {
  const std::size_t size = selected.size();
  selected.resize(size + count);
  std::iota(selected.begin() + static_cast<std::ptrdiff_t>(size), selected.end(), from);
}

// Tests packed codes a chunk at a time.
class PackedTest {
 public:
  explicit PackedTest(std::span<const std::uint8_t> passes) : passes_(passes) {
    const auto one = std::find(passes.begin(), passes.end(), 1);
    if (one != passes.end() && std::find(one + 1, passes.end(), 1) == passes.end())
      only_ = static_cast<std::uint32_t>(one - passes.begin());
  }

  bool append(const HybridStretch& packed, unsigned width, std::uint32_t first,
              std::vector<std::uint32_t>& selected) {
    for (std::size_t from = 0; from < packed.count; from += kChunk) {
      const std::span codes(codes_.data(), std::min(kChunk, packed.count - from));
      unpack_stretch(packed, width, from, codes.size(), codes.data());
      std::uint32_t largest = 0;
      for (const auto c : codes) largest = std::max(largest, c);
      if (largest >= passes_.size()) return false;
      append(codes, first + static_cast<std::uint32_t>(from), selected);
    }
    return true;
  }

 private:
  void append(std::span<const std::uint32_t> codes, std::uint32_t first,
              std::vector<std::uint32_t>& selected) {
    std::size_t n = 0;
    if (only_ != UINT32_MAX && codes.size() > kFew) {
      select_equal(codes, only_, found_);
      for (const auto place : found_) rows_[n++] = first + place;
    } else {
      for (std::uint32_t i = 0; i < codes.size(); ++i) {
        rows_[n] = first + i;
        n += passes_[codes[i]] != 0 ? 1U : 0U;
      }
    }
    selected.insert(selected.end(), rows_.begin(), rows_.begin() + static_cast<std::ptrdiff_t>(n));
  }

  static constexpr std::size_t kFew = 64;
  const std::span<const std::uint8_t> passes_;
  std::uint32_t only_ = UINT32_MAX;
  std::array<std::uint32_t, kChunk> codes_;
  std::array<std::uint32_t, kChunk + 1> rows_;
  std::vector<std::uint32_t> found_;
};

}  // namespace

bool select_codes(ByteReader& in, unsigned width, std::size_t count, std::span<const std::uint8_t> passes,
                  std::uint32_t first, std::vector<std::uint32_t>& selected) {
  PackedTest test(passes);
  HybridStretch s;
  for (std::size_t done = 0; done < count; done += s.count) {
    if (!next_stretch(in, width, count - done, s)) return false;
    const std::uint32_t from = first + static_cast<std::uint32_t>(done);
    if (s.packed != nullptr) {
      if (!test.append(s, width, from, selected)) return false;
    } else {
      if (s.value >= passes.size()) return false;
      if (passes[s.value] != 0) append_run(from, s.count, selected);
    }
  }
  return in.left() == 0;
}

bool pick_codes(ByteReader& in, unsigned width, std::size_t count, std::span<const std::uint32_t> places,
                std::size_t offset, std::size_t limit, std::uint32_t* out) {
  std::array<std::uint32_t, 8> group{};
  HybridStretch s;
  std::size_t next = 0;
  for (std::size_t done = 0; done < count && next < places.size(); done += s.count) {
    if (!next_stretch(in, width, count - done, s)) return false;
    for (std::size_t unpacked = SIZE_MAX; next < places.size(); ++next) {
      const std::size_t i = places[next] + offset - done;
      if (i >= s.count) break;
      if (s.packed != nullptr && unpacked != i / 8) {
        unpacked = i / 8;
        unpack_stretch(s, width, unpacked * 8, std::min<std::size_t>(8, s.count - unpacked * 8),
                       group.data());
      }
      out[next] = s.packed != nullptr ? group[i % 8] : s.value;
      if (out[next] >= limit) return false;
    }
  }
  return next == places.size();
}

}  // namespace perjoule::bus
