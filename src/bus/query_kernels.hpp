// Loops over a piece's rows. The instruction set is chosen at run time (Highway). Internal to the bus. Thread
// rule: pure functions. Ownership: spans of the caller.
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

#include "bus/store.hpp"

namespace perjoule::bus {

__extension__ typedef __int128 WideInt;

// `selected` becomes the places of the rows that have this code, in their order.
void select_equal(std::span<const std::uint32_t> codes, std::uint32_t code,
                  std::vector<std::uint32_t>& selected);
// 0 of none.
std::uint32_t largest_of(std::span<const std::uint32_t> codes);
// How often a value differs from the one before it.
std::size_t changes_in(std::span<const std::uint32_t> codes);
// Smallest and largest; of none the extremes the other way round.
std::pair<std::int64_t, std::int64_t> bounds_of(std::span<const std::int64_t> values);

// `selected` becomes the places of the rows that pass, or keeps those of its own that do (`narrow`).
template <class Passes>
void select_rows(std::size_t rows, bool narrow, std::vector<std::uint32_t>& selected, Passes&& passes) {
  std::size_t n = 0;
  if (narrow) {
    for (const auto row : selected) {
      selected[n] = row;
      n += passes(row) ? 1U : 0U;
    }
  } else {
    selected.resize(rows + 1);
    for (std::uint32_t row = 0; row < rows; ++row) {
      selected[n] = row;
      n += passes(row) ? 1U : 0U;
    }
  }
  selected.resize(n);
}

// No value of the sum of so many rows can be beyond this.
inline WideInt bound_of_sum(std::span<const std::int64_t> values) {
  const auto [least, greatest] = bounds_of(values);
  const WideInt low = least < 0 ? -static_cast<WideInt>(least) : 0, high = greatest > 0 ? greatest : 0;
  return static_cast<WideInt>(values.size()) * (low > high ? low : high);
}

inline bool fits_int64(WideInt v) {
  return v >= std::numeric_limits<std::int64_t>::min() && v <= std::numeric_limits<std::int64_t>::max();
}

}  // namespace perjoule::bus
