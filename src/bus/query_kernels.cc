#include "bus/query_kernels.hpp"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bus/query_kernels.cc"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace perjoule::bus::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

// `out` has room for a vector more than there are rows.
std::size_t select_equal(const std::uint32_t* HWY_RESTRICT codes, std::size_t rows, std::uint32_t code,
                         std::uint32_t* HWY_RESTRICT out) {
  const hn::ScalableTag<std::uint32_t> d;
  const std::size_t lanes = hn::Lanes(d);
  const auto wanted = hn::Set(d, code);
  std::size_t n = 0, i = 0;
  for (; i + lanes <= rows; i += lanes) {
    const auto hit = hn::Eq(hn::LoadU(d, codes + i), wanted);
    if (hn::AllFalse(d, hit)) continue;
    n += hn::CompressStore(hn::Iota(d, static_cast<std::uint32_t>(i)), hit, d, out + n);
  }
  for (; i < rows; ++i) {
    out[n] = static_cast<std::uint32_t>(i);
    n += codes[i] == code ? 1U : 0U;
  }
  return n;
}

std::pair<std::int64_t, std::int64_t> bounds_of(const std::int64_t* HWY_RESTRICT values, std::size_t rows) {
  const hn::ScalableTag<std::int64_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::int64_t least = std::numeric_limits<std::int64_t>::max();
  std::int64_t greatest = std::numeric_limits<std::int64_t>::min();
  auto low = hn::Set(d, least), high = hn::Set(d, greatest);
  std::size_t i = 0;
  for (; i + lanes <= rows; i += lanes) {
    const auto v = hn::LoadU(d, values + i);
    low = hn::Min(low, v);
    high = hn::Max(high, v);
  }
  least = hn::GetLane(hn::MinOfLanes(d, low));
  greatest = hn::GetLane(hn::MaxOfLanes(d, high));
  for (; i < rows; ++i) {
    least = values[i] < least ? values[i] : least;
    greatest = values[i] > greatest ? values[i] : greatest;
  }
  return {least, greatest};
}

std::uint32_t largest_of(const std::uint32_t* HWY_RESTRICT codes, std::size_t rows) {
  const hn::ScalableTag<std::uint32_t> d;
  const std::size_t lanes = hn::Lanes(d);
  auto high = hn::Zero(d);
  std::size_t i = 0;
  for (; i + lanes <= rows; i += lanes) high = hn::Max(high, hn::LoadU(d, codes + i));
  std::uint32_t largest = hn::GetLane(hn::MaxOfLanes(d, high));
  for (; i < rows; ++i) largest = codes[i] > largest ? codes[i] : largest;
  return largest;
}

std::size_t changes_in(const std::uint32_t* HWY_RESTRICT codes, std::size_t rows) {
  const hn::ScalableTag<std::uint32_t> d;
  const std::size_t lanes = hn::Lanes(d);
  std::size_t n = 0, i = 1;
  for (; i + lanes <= rows; i += lanes)
    n += hn::CountTrue(d, hn::Ne(hn::LoadU(d, codes + i), hn::LoadU(d, codes + i - 1)));
  for (; i < rows; ++i) n += codes[i] != codes[i - 1] ? 1U : 0U;
  return n;
}

}  // namespace perjoule::bus::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace perjoule::bus {
namespace {

HWY_EXPORT(select_equal);
HWY_EXPORT(bounds_of);
HWY_EXPORT(largest_of);
HWY_EXPORT(changes_in);
constexpr std::size_t kMostLanes = 64;

}  // namespace

void select_equal(std::span<const std::uint32_t> codes, std::uint32_t code,
                  std::vector<std::uint32_t>& selected) {
  selected.resize(codes.size() + kMostLanes);
  selected.resize(HWY_DYNAMIC_DISPATCH(select_equal)(codes.data(), codes.size(), code, selected.data()));
}

std::uint32_t largest_of(std::span<const std::uint32_t> codes) {
  return HWY_DYNAMIC_DISPATCH(largest_of)(codes.data(), codes.size());
}

std::size_t changes_in(std::span<const std::uint32_t> codes) {
  return HWY_DYNAMIC_DISPATCH(changes_in)(codes.data(), codes.size());
}

std::pair<std::int64_t, std::int64_t> bounds_of(std::span<const std::int64_t> values) {
  return HWY_DYNAMIC_DISPATCH(bounds_of)(values.data(), values.size());
}

}  // namespace perjoule::bus
#endif  // HWY_ONCE
