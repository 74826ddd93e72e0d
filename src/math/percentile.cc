#include "math/percentile.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace perjoule::math {

double percentile(std::vector<double>& values, double p) {
  if (values.empty()) return std::numeric_limits<double>::quiet_NaN();
  const double rank = std::ceil(p * static_cast<double>(values.size()));
  const std::size_t k = std::max<std::size_t>(1, static_cast<std::size_t>(rank)) - 1;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::min(k, values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

}  // namespace perjoule::math
