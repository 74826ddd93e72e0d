// Seeded random numbers, the same on every platform (no std:: distributions). Sub-streams by name, so that
// one more draw in one place never shifts the numbers of another (common random numbers for comparing
// policies). Source: SplitMix64 (Steele, Lea, Flood 2014) seeds xoshiro256++ (Blackman, Vigna 2019). Thread
// rule: one Rng per thread.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

namespace perjoule::base {

std::uint64_t splitmix64(std::uint64_t& state);
// FNV-1a, for turning stream names into seeds.
std::uint64_t hash64(std::string_view text);

class Rng {
 public:
  explicit Rng(std::uint64_t seed);
  // An independent stream for `name` and `index` under the same seed.
  static Rng stream(std::uint64_t seed, std::string_view name, std::uint64_t index = 0);

  std::uint64_t next();
  // Uniform in [0, 1), 53 bits.
  double uniform();
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  // Uniform integer in [0, n), n >= 1, unbiased.
  std::uint64_t below(std::uint64_t n);
  // Exponential with the given mean (inverse transform).
  double exponential(double mean);
  // Normal by Box-Muller (one draw per call, none cached).
  double normal(double mean = 0.0, double sigma = 1.0);

 private:
  std::array<std::uint64_t, 4> s_{};
};

}  // namespace perjoule::base
