#include "base/apportion.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/assert.hpp"

namespace perjoule::base {
namespace {

struct Remainder {
  double fraction;
  std::uint32_t index;
  bool operator<(const Remainder& o) const {
    return fraction != o.fraction ? fraction > o.fraction : index < o.index;
  }
};

// Floors of the exact quotas; returns how many units the floors have left over (may be negative by double rounding).
std::int64_t floor_quotas(std::int64_t total, std::span<const double> weights, double weight_sum,
                          std::span<std::int64_t> shares, std::vector<Remainder>& rest) {
  std::int64_t given = 0;
  const double scale = static_cast<double>(total) / weight_sum;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const double quota = weights[i] * scale;
    const double low = std::floor(quota);
    shares[i] = static_cast<std::int64_t>(low);
    given += shares[i];
    rest[i] = {quota - low, static_cast<std::uint32_t>(i)};
  }
  return total - given;
}

// Hands out `left` units, at most n of them one each to the largest remainders; a larger excess (double rounding of
// totals beyond 2^53) goes to the first of them.
void give_rest(std::int64_t left, std::vector<Remainder>& rest, std::span<std::int64_t> shares) {
  const auto n = static_cast<std::int64_t>(rest.size());
  const auto units = static_cast<std::ptrdiff_t>(std::clamp<std::int64_t>(left, 0, n));
  if (units > 0 && units < static_cast<std::ptrdiff_t>(n)) {
    std::nth_element(rest.begin(), rest.begin() + (units - 1), rest.end());
  }
  for (std::ptrdiff_t k = 0; k < units; ++k) ++shares[rest[static_cast<std::size_t>(k)].index];
  const std::int64_t excess = left - units;
  if (excess != 0) *std::max_element(shares.begin(), shares.end()) += excess;
}

}  // namespace

void apportion(std::int64_t total, std::span<const double> weights, std::span<std::int64_t> shares) {
  PJ_CHECK(!weights.empty() && weights.size() == shares.size());
  if (total < 0) {
    apportion(-total, weights, shares);
    for (auto& s : shares) s = -s;
    return;
  }
  double sum = 0.0;
  for (const double w : weights) {
    PJ_DCHECK(std::isfinite(w) && w >= 0.0);
    sum += w;
  }
  if (weights.size() == 1 || !(sum > 0.0)) {
    std::fill(shares.begin(), shares.end(), 0);
    shares[0] = total;
    return;
  }
  thread_local std::vector<Remainder> rest;
  rest.resize(weights.size());
  give_rest(floor_quotas(total, weights, sum, shares, rest), rest, shares);
}

}  // namespace perjoule::base
