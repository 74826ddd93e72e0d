// Percentiles by nearest rank. Thread rule: pure function.
#pragma once

#include <vector>

namespace perjoule::math {

// The smallest value with at least p (0..1) of all at or below it; NaN for none. Reorders `values`.
double percentile(std::vector<double>& values, double p);

}  // namespace perjoule::math
