#include "bus/lane_packing.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/assert.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bus/lane_packing.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace perjoule::bus::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

constexpr std::size_t kLanes = 32, kRows = 32;
using Tag = hn::CappedTag<std::uint32_t, kLanes>;

// One vector of 1,024 numbers; `words` holds 32 * width words, width 1..32.
void pack_vector(const std::uint32_t* HWY_RESTRICT values, unsigned width,
                 std::uint32_t* HWY_RESTRICT words) {
  const Tag d;
  const auto mask = hn::Set(d, width == 32 ? ~0U : (1U << width) - 1);
  for (std::size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
    std::uint32_t* out = words + lane;
    auto word = hn::Zero(d);
    unsigned filled = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      const auto v = hn::And(hn::LoadU(d, values + row * kLanes + lane), mask);
      word = hn::Or(word, hn::ShiftLeftSame(v, static_cast<int>(filled)));
      filled += width;
      if (filled < 32) continue;
      hn::StoreU(word, d, out);
      out += kLanes;
      filled -= 32;
      // What did not fit any more; a shift by the whole word would be undefined.
      word = filled == 0 ? hn::Zero(d) : hn::ShiftRightSame(v, static_cast<int>(width - filled));
    }
  }
}

void unpack_vector(const std::uint32_t* HWY_RESTRICT words, unsigned width,
                   std::uint32_t* HWY_RESTRICT values) {
  const Tag d;
  const auto mask = hn::Set(d, width == 32 ? ~0U : (1U << width) - 1);
  for (std::size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
    const std::uint32_t* in = words + lane;
    auto word = hn::LoadU(d, in);
    unsigned used = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      auto v = hn::ShiftRightSame(word, static_cast<int>(used));
      used += width;
      if (used >= 32 && row + 1 < kRows) {
        used -= 32;
        in += kLanes;
        word = hn::LoadU(d, in);
        if (used != 0) v = hn::Or(v, hn::ShiftLeftSame(word, static_cast<int>(width - used)));
      }
      hn::StoreU(hn::And(v, mask), d, values + row * kLanes + lane);
    }
  }
}

// As unpack_vector, but the numbers are only compared.
std::uint32_t largest_of_vector(const std::uint32_t* HWY_RESTRICT words, unsigned width) {
  const Tag d;
  const auto mask = hn::Set(d, width == 32 ? ~0U : (1U << width) - 1);
  auto largest = hn::Zero(d);
  for (std::size_t lane = 0; lane < kLanes; lane += hn::Lanes(d)) {
    const std::uint32_t* in = words + lane;
    auto word = hn::LoadU(d, in);
    unsigned used = 0;
    for (std::size_t row = 0; row < kRows; ++row) {
      auto v = hn::ShiftRightSame(word, static_cast<int>(used));
      used += width;
      if (used >= 32 && row + 1 < kRows) {
        used -= 32;
        in += kLanes;
        word = hn::LoadU(d, in);
        if (used != 0) v = hn::Or(v, hn::ShiftLeftSame(word, static_cast<int>(width - used)));
      }
      largest = hn::Max(largest, hn::And(v, mask));
    }
  }
  return hn::GetLane(hn::MaxOfLanes(d, largest));
}

}  // namespace perjoule::bus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace perjoule::bus {
namespace {

HWY_EXPORT(pack_vector);
HWY_EXPORT(unpack_vector);
HWY_EXPORT(largest_of_vector);
using Vector = std::array<std::uint32_t, kPackVector>;

constexpr std::size_t kBytesPerBit = kPackVector / 8;

// `plane` of numbers: 0 the low 32 bits, 1 the high ones.
template <class T>
void pack_plane(std::span<const T> values, unsigned width, unsigned plane, char* out) {
  Vector numbers, words;
  for (std::size_t from = 0; from < values.size(); from += kPackVector) {
    const std::size_t n = std::min(kPackVector, values.size() - from);
    for (std::size_t i = 0; i < n; ++i)
      numbers[i] = static_cast<std::uint32_t>(static_cast<std::uint64_t>(values[from + i]) >> (32 * plane));
    std::fill(numbers.begin() + static_cast<std::ptrdiff_t>(n), numbers.end(), 0);
    HWY_DYNAMIC_DISPATCH(pack_vector)(numbers.data(), width, words.data());
    std::memcpy(out, words.data(), kBytesPerBit * width);
    out += kBytesPerBit * width;
  }
}

template <class T>
void unpack_plane(const char* bytes, unsigned width, unsigned plane, std::span<T> out) {
  Vector numbers, words;
  for (std::size_t from = 0; from < out.size(); from += kPackVector) {
    std::memcpy(words.data(), bytes, kBytesPerBit * width);
    bytes += kBytesPerBit * width;
    const std::size_t n = std::min(kPackVector, out.size() - from);
    HWY_DYNAMIC_DISPATCH(unpack_vector)(words.data(), width, numbers.data());
    if (plane == 0) {
      std::copy_n(numbers.begin(), n, out.begin() + static_cast<std::ptrdiff_t>(from));
    } else {
      for (std::size_t i = 0; i < n; ++i)
        out[from + i] = static_cast<T>(out[from + i] | static_cast<std::uint64_t>(numbers[i]) << 32);
    }
  }
}

}  // namespace

void pack(std::span<const std::uint32_t> values, unsigned width, std::string& out) {
  PJ_CHECK(width <= 32);
  const std::size_t at = out.size();
  out.resize(at + packed_bytes(values.size(), width));
  if (width != 0) pack_plane(values, width, 0, out.data() + at);
}

void pack(std::span<const std::uint64_t> values, unsigned width, std::string& out) {
  PJ_CHECK(width <= 64);
  const unsigned low = std::min(width, 32U);
  const std::size_t at = out.size();
  out.resize(at + packed_bytes(values.size(), width));
  if (low != 0) pack_plane(values, low, 0, out.data() + at);
  if (width > 32) pack_plane(values, width - 32, 1, out.data() + at + packed_bytes(values.size(), 32));
}

void unpack(std::string_view bytes, unsigned width, std::span<std::uint32_t> out) {
  PJ_CHECK(width <= 32 && bytes.size() == packed_bytes(out.size(), width));
  if (width == 0) return std::fill(out.begin(), out.end(), 0U), void();
  unpack_plane(bytes.data(), width, 0, out);
}

void unpack(std::string_view bytes, unsigned width, std::span<std::uint64_t> out) {
  PJ_CHECK(width <= 64 && bytes.size() == packed_bytes(out.size(), width));
  if (width == 0) return std::fill(out.begin(), out.end(), 0U), void();
  unpack_plane(bytes.data(), std::min(width, 32U), 0, out);
  if (width > 32) unpack_plane(bytes.data() + packed_bytes(out.size(), 32), width - 32, 1, out);
}

std::uint32_t largest_packed(std::string_view bytes, unsigned width) {
  PJ_CHECK(width >= 1 && width <= 32 && bytes.size() % (kBytesPerBit * width) == 0);
  Vector words;
  std::uint32_t largest = 0;
  for (; !bytes.empty(); bytes.remove_prefix(kBytesPerBit * width)) {
    std::memcpy(words.data(), bytes.data(), kBytesPerBit * width);
    largest = std::max(largest, HWY_DYNAMIC_DISPATCH(largest_of_vector)(words.data(), width));
  }
  return largest;
}

}  // namespace perjoule::bus
#endif  // HWY_ONCE
