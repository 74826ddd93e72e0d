#include "base/rng.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <vector>

namespace perjoule::base {
namespace {

// Published first outputs of SplitMix64 for seed 1234567.
TEST(Rng, SplitMixGivesThePublishedNumbers) {
  std::uint64_t state = 1234567;
  for (const std::uint64_t expected : {6457827717110365317ULL, 3203168211198807973ULL, 9817491932198370423ULL,
                                       4593380528125082431ULL, 16408922859458223821ULL}) {
    EXPECT_EQ(splitmix64(state), expected);
  }
}

// xoshiro256++ seeded by SplitMix64(1234567), computed by an independent implementation in another language.
TEST(Rng, XoshiroGivesTheReferenceNumbers) {
  Rng rng(1234567);
  for (const std::uint64_t expected :
       {437095814655224680ULL, 8127161015984454572ULL, 18128670339019551454ULL, 254746599813523466ULL,
        6010839568078443526ULL, 2241201617888839832ULL}) {
    EXPECT_EQ(rng.next(), expected);
  }
}

TEST(Rng, Hash64IsFnv1a) {
  EXPECT_EQ(hash64(""), 0xcbf29ce484222325ULL);
  EXPECT_EQ(hash64("a"), 0xaf63dc4c8601ec8cULL);
  EXPECT_EQ(hash64("foobar"), 0x85944171f73967e8ULL);
}

TEST(Rng, UniformHasTheRightMomentsAndBounds) {
  Rng rng(1);
  constexpr int kDraws = 200'000;
  double sum = 0.0, squares = 0.0;
  std::array<int, 16> bins{};
  for (int i = 0; i < kDraws; ++i) {
    const double u = rng.uniform();
    ASSERT_GE(u, 0.0);
    ASSERT_LT(u, 1.0);
    sum += u;
    squares += u * u;
    ++bins[static_cast<std::size_t>(u * 16)];
  }
  const double mean = sum / kDraws;
  // Five standard errors: sigma = sqrt(1/12 / n) and, for the variance, sqrt(1/180 / n).
  EXPECT_NEAR(mean, 0.5, 5 * std::sqrt(1.0 / 12 / kDraws));
  EXPECT_NEAR(squares / kDraws - mean * mean, 1.0 / 12, 5 * std::sqrt(1.0 / 180 / kDraws));
  double chi2 = 0.0;
  for (const int b : bins) chi2 += std::pow(b - kDraws / 16.0, 2) / (kDraws / 16.0);
  EXPECT_LT(chi2, 37.7);  // 15 degrees of freedom, p = 0.001
}

TEST(Rng, BelowIsUnbiasedAndInRange) {
  Rng rng(2);
  std::array<int, 3> seen{};
  for (int i = 0; i < 30'000; ++i) ++seen.at(rng.below(3));
  for (const int s : seen) EXPECT_NEAR(s, 10'000, 5 * std::sqrt(30'000 * 2.0 / 9));
  EXPECT_EQ(rng.below(1), 0u);
  // A modulo without rejection would give the lower half twice as often as the upper.
  const std::uint64_t two_thirds = UINT64_MAX / 3 * 2;
  int low = 0;
  for (int i = 0; i < 10'000; ++i) low += rng.below(two_thirds) < two_thirds / 2 ? 1 : 0;
  EXPECT_NEAR(low, 5'000, 250);
}

TEST(Rng, ExponentialAndNormalHaveTheirMoments) {
  Rng rng(3);
  constexpr int kDraws = 200'000;
  double e = 0.0, n = 0.0, nn = 0.0, within = 0.0;
  for (int i = 0; i < kDraws; ++i) {
    const double x = rng.exponential(4.0);
    ASSERT_GE(x, 0.0);
    e += x;
    const double z = rng.normal(10.0, 2.0);
    n += z;
    nn += (z - 10.0) * (z - 10.0);
    within += std::abs(z - 10.0) < 2.0 ? 1.0 : 0.0;
  }
  EXPECT_NEAR(e / kDraws, 4.0, 5 * 4.0 / std::sqrt(kDraws));
  EXPECT_NEAR(n / kDraws, 10.0, 5 * 2.0 / std::sqrt(kDraws));
  EXPECT_NEAR(nn / kDraws, 4.0, 5 * 4.0 * std::sqrt(2.0 / kDraws));
  EXPECT_NEAR(within / kDraws, 0.682689, 0.006);
}

TEST(Rng, StreamsAreReproducibleAndIndependent) {
  Rng again = Rng::stream(9, "arrivals"), same = Rng::stream(9, "arrivals", 0);
  for (int i = 0; i < 100; ++i) ASSERT_EQ(again.next(), same.next());
  const std::vector<Rng> others{Rng::stream(9, "arrivals", 1), Rng::stream(9, "arrivalt"),
                                Rng::stream(8, "arrivals")};
  for (Rng other : others) {
    Rng base = Rng::stream(9, "arrivals");
    constexpr int kDraws = 100'000;
    double product = 0.0;
    for (int i = 0; i < kDraws; ++i) product += (base.uniform() - 0.5) * (other.uniform() - 0.5);
    EXPECT_NEAR(product / kDraws * 12.0, 0.0, 5 / std::sqrt(kDraws));  // correlation
  }
}

// One more draw in one stream does not move another: what makes two policies see the same arrivals.
TEST(Rng, ADrawInOneStreamNeverMovesAnother) {
  Rng a = Rng::stream(1, "a"), b = Rng::stream(1, "b");
  const std::uint64_t first = Rng(b).next();
  for (int i = 0; i < 1000; ++i) a.next();
  EXPECT_EQ(b.next(), first);
}

}  // namespace
}  // namespace perjoule::base
