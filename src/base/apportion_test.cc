#include "base/apportion.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "base/rng.hpp"

namespace perjoule::base {
namespace {

__extension__ typedef __int128 Int128;
using Shares = std::vector<std::int64_t>;

Shares split(std::int64_t total, const std::vector<double>& weights) {
  Shares shares(weights.size(), -77);
  apportion(total, weights, shares);
  return shares;
}

// Hamilton's method in whole numbers, by sorting all remainders: slow, and right for whole weights.
Shares reference(std::int64_t total, const std::vector<double>& weights) {
  Int128 sum = 0;
  for (const double w : weights) sum += static_cast<std::int64_t>(w);
  Shares shares(weights.size(), 0);
  if (sum == 0) return shares[0] = total, shares;
  const Int128 magnitude = total < 0 ? -static_cast<Int128>(total) : static_cast<Int128>(total);
  std::vector<std::size_t> order(weights.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::vector<Int128> remainder(weights.size()), whole(weights.size());
  Int128 left = magnitude;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const Int128 product = magnitude * static_cast<std::int64_t>(weights[i]);
    whole[i] = product / sum;
    remainder[i] = product % sum;
    left -= whole[i];
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return remainder[a] > remainder[b]; });
  for (std::size_t k = 0; static_cast<Int128>(k) < left; ++k) ++whole[order[k]];
  for (std::size_t i = 0; i < shares.size(); ++i) {
    shares[i] = static_cast<std::int64_t>(total < 0 ? -whole[i] : whole[i]);
  }
  return shares;
}

Int128 sum_of(const Shares& shares) {
  Int128 sum = 0;
  for (const auto s : shares) sum += s;
  return sum;
}

std::int64_t random_total(Rng& rng) {
  const auto bits = 1 + rng.below(62);
  const auto magnitude = static_cast<std::int64_t>(rng.next() >> (63 - bits) >> 1);
  return rng.below(2) == 0 ? magnitude : -magnitude;
}

TEST(Apportion, SplitsByHand) {
  EXPECT_EQ(split(10, {1, 1, 1}), (Shares{4, 3, 3}));  // ties to the lower index
  EXPECT_EQ(split(100, {47, 16, 15.8, 12, 6.1, 3.1}), (Shares{47, 16, 16, 12, 6, 3}));
  EXPECT_EQ(split(-10, {1, 1, 1}), (Shares{-4, -3, -3}));
  EXPECT_EQ(split(7, {0, 2, 0}), (Shares{0, 7, 0}));
  EXPECT_EQ(split(7, {0, 0}), (Shares{7, 0}));
  EXPECT_EQ(split(0, {3, 4}), (Shares{0, 0}));
  EXPECT_EQ(split(1, {0.2, 0.5, 0.3}), (Shares{0, 1, 0}));
  EXPECT_EQ(split(5, {42}), (Shares{5}));
}

TEST(Apportion, SumsExactlyForAnyTotalAndAnyWeights) {
  Rng rng(20260501);
  for (int round = 0; round < 10'000; ++round) {
    std::vector<double> weights(1 + rng.below(40));
    for (double& w : weights) {
      w = rng.below(4) == 0 ? 0.0 : std::exp(rng.normal(0.0, 10.0));
    }
    const std::int64_t total = random_total(rng);
    const Shares shares = split(total, weights);
    ASSERT_TRUE(sum_of(shares) == total) << "round " << round << " total " << total;
    if (std::none_of(weights.begin(), weights.end(), [](double w) { return w > 0.0; })) continue;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      ASSERT_FALSE(weights[i] == 0.0 && shares[i] != 0)
          << "a consumer of weight 0 got energy, round " << round;
      ASSERT_GE(shares[i] == 0 ? 1 : (shares[i] > 0) == (total > 0), 1);
    }
  }
}

// Beyond 2^53 the split is exact integer arithmetic and must be Hamilton's to the unit.
TEST(Apportion, EqualsTheSlowMethodBeyondTheReachOfDoubles) {
  Rng rng(53);
  for (int round = 0; round < 4'000; ++round) {
    // The largest weight a power of two, so that every weight relative to it is exact.
    std::vector<double> weights(2 + rng.below(20));
    for (double& w : weights) w = static_cast<double>(rng.below(1025));
    weights[rng.below(weights.size())] = 1024;
    const auto magnitude = static_cast<std::int64_t>((1ULL << 53) + rng.below((1ULL << 63) - (1ULL << 53)));
    const std::int64_t total = rng.below(2) == 0 ? magnitude : -magnitude;
    ASSERT_EQ(split(total, weights), reference(total, weights)) << "round " << round << " total " << total;
  }
}

// Below 2^53 the quotas are doubles: the same shares, or others whose remainders tie to within the rounding.
TEST(Apportion, IsHamiltonsMethodUpToRoundingOfTheRemainders) {
  Rng rng(7);
  int equal = 0;
  constexpr int kRounds = 10'000;
  for (int round = 0; round < kRounds; ++round) {
    std::vector<double> weights(1 + rng.below(12));
    for (double& w : weights) w = static_cast<double>(rng.below(1'000'000));
    const auto total = static_cast<std::int64_t>(rng.next() >> (11 + rng.below(50)));
    const Shares shares = split(total, weights), slow = reference(total, weights);
    equal += shares == slow ? 1 : 0;
    const long double sum = std::accumulate(weights.begin(), weights.end(), 0.0L);
    if (sum == 0.0L) continue;
    const long double rounding = static_cast<long double>(total) * 0x1p-52L + 1e-12L;
    long double least_up = 2.0L, most_down = -1.0L;
    for (std::size_t i = 0; i < shares.size(); ++i) {
      const long double over = static_cast<long double>(total) * weights[i] / sum -
                               std::floor(static_cast<long double>(total) * weights[i] / sum);
      const auto up = shares[i] - static_cast<std::int64_t>(static_cast<Int128>(total) *
                                                            static_cast<std::int64_t>(weights[i]) /
                                                            static_cast<std::int64_t>(sum));
      ASSERT_LE(std::abs(up), 2);
      if (up == 1) least_up = std::min(least_up, over);
      if (up == 0) most_down = std::max(most_down, over);
    }
    ASSERT_GE(least_up, most_down - 2 * rounding) << "round " << round << " total " << total;
  }
  EXPECT_GT(equal, kRounds * 9 / 10);
}

TEST(Apportion, HoldsAtTheEdgesOfInt64AndOfDouble) {
  EXPECT_EQ(split(INT64_MAX, {1, 1}), (Shares{INT64_MAX / 2 + 1, INT64_MAX / 2}));
  EXPECT_EQ(split(INT64_MIN, {1, 1}), (Shares{INT64_MIN / 2, INT64_MIN / 2}));
  EXPECT_EQ(split(INT64_MIN, {0, 1}), (Shares{0, INT64_MIN}));
  EXPECT_EQ(split(INT64_MIN, {0, 0}), (Shares{INT64_MIN, 0}));
  EXPECT_EQ(split(9, {1e308, 1e308, 1e308}), (Shares{3, 3, 3}));     // the sum of the weights overflows
  EXPECT_EQ(split(9, {5e-324, 5e-324, 5e-324}), (Shares{3, 3, 3}));  // the scale overflows
  EXPECT_EQ(split(4, {1e308, 1e-308}), (Shares{4, 0}));
}

TEST(ApportionDeathTest, RefusesSpansOfDifferentLength) {
  const std::vector<double> weights{1, 2};
  Shares shares(3);
  EXPECT_DEATH(apportion(1, weights, shares), "defect");
}

}  // namespace
}  // namespace perjoule::base
