#include "base/apportion.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/assert.hpp"

namespace perjoule::base {
namespace {

__extension__ typedef __int128 Int128;

constexpr std::uint64_t kExactDouble = 1ULL << 53;

template <class Fraction>
struct Remainder {
  Fraction fraction;
  std::uint32_t index;
  bool operator<(const Remainder& o) const {
    return fraction != o.fraction ? fraction > o.fraction : index < o.index;
  }
};

// Hands out `left` units, at most n of them one each to the largest remainders; what double rounding leaves
// beyond that (a unit at most, of either sign) goes to the largest share.
template <class Fraction>
void give_rest(std::int64_t left, std::vector<Remainder<Fraction>>& rest, std::span<std::int64_t> shares) {
  const auto n = static_cast<std::int64_t>(rest.size());
  const auto units = static_cast<std::ptrdiff_t>(std::clamp<std::int64_t>(left, 0, n));
  if (units > 0 && units < static_cast<std::ptrdiff_t>(n)) {
    std::nth_element(rest.begin(), rest.begin() + (units - 1), rest.end());
  }
  for (std::ptrdiff_t k = 0; k < units; ++k) ++shares[rest[static_cast<std::size_t>(k)].index];
  const std::int64_t excess = left - units;
  if (excess != 0) *std::max_element(shares.begin(), shares.end()) += excess;
}

// Quotas in double: exact enough while the total itself is (below 2^53).
void split_fast(std::int64_t total, std::span<const double> weights, double weight_sum,
                std::span<std::int64_t> shares) {
  thread_local std::vector<Remainder<double>> rest;
  rest.resize(weights.size());
  std::int64_t left = total;
  const double scale = static_cast<double>(total) / weight_sum;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double quota = weights[i] * scale;
    // Cut off, which is the floor of what is not negative, and no call.
    shares[i] = static_cast<std::int64_t>(quota);
    left -= shares[i];
    rest[i] = {quota - static_cast<double>(shares[i]), static_cast<std::uint32_t>(i)};
  }
  give_rest(left, rest, shares);
}

// Quotas as exact fractions of integers: the weights relative to the largest, in steps of 2^-60. For totals
// or weights that doubles cannot carry. The shares of 2^63 (the magnitude of INT64_MIN) wrap to INT64_MIN,
// which is their negative.
void split_exact(std::uint64_t total, std::span<const double> weights, double largest,
                 std::span<std::int64_t> shares) {
  std::vector<Remainder<Int128>> rest(weights.size());
  Int128 parts = 0;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    rest[i] = {static_cast<Int128>(std::ldexp(weights[i] / largest, 60)), static_cast<std::uint32_t>(i)};
    parts += rest[i].fraction;
  }
  std::uint64_t left = total;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Int128 product = rest[i].fraction * static_cast<Int128>(total);
    const auto low = static_cast<std::uint64_t>(product / parts);
    shares[i] = static_cast<std::int64_t>(low);
    left -= low;
    rest[i].fraction = product % parts;
  }
  give_rest(static_cast<std::int64_t>(left), rest, shares);
}

void split_magnitude(std::uint64_t total, std::span<const double> weights, std::span<std::int64_t> shares) {
  double sum = 0.0, largest = 0.0;
  for (const double w : weights) {
    PJ_DCHECK(std::isfinite(w) && w >= 0.0);
    sum += w;
    largest = std::max(largest, w);
  }
  if (weights.size() == 1 || !(sum > 0.0)) {
    std::fill(shares.begin(), shares.end(), 0);
    shares[0] = static_cast<std::int64_t>(total);
  } else if (total < kExactDouble && std::isfinite(sum) && std::isfinite(static_cast<double>(total) / sum)) {
    split_fast(static_cast<std::int64_t>(total), weights, sum, shares);
  } else {
    split_exact(total, weights, largest, shares);
  }
}

}  // namespace

void apportion(std::int64_t total, std::span<const double> weights, std::span<std::int64_t> shares) {
  PJ_CHECK(!weights.empty() && weights.size() == shares.size());
  const auto bits = static_cast<std::uint64_t>(total);
  split_magnitude(total < 0 ? 0 - bits : bits, weights, shares);
  if (total >= 0) return;
  for (auto& s : shares) s = static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(s));
}

}  // namespace perjoule::base
