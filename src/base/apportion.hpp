// Integer split by largest remainder (Hamilton's method): shares follow the weights and sum to the total
// exactly. Thread rule: pure function.
#pragma once

#include <cstdint>
#include <span>

namespace perjoule::base {

// Writes to `shares` an integer split of `total` (any sign) in proportion to `weights` (each finite and >=
// 0). sum(shares) == total always. If every weight is 0 the first share takes it all. Ties go to the lower
// index, so the result depends on nothing but the input. weights.size() == shares.size() >= 1 (PJ_CHECK).
// Quotas are doubles while the total is below 2^53 (a remainder is good to total x 2^-52), exact integer
// fractions above it. Cost: O(n) plus a partial selection of the remainders; above 2^53 a 128-bit division
// per share.
void apportion(std::int64_t total, std::span<const double> weights, std::span<std::int64_t> shares);

}  // namespace perjoule::base
