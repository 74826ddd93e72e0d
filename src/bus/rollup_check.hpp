// Do a store's rollups equal the rows they were made of? Compares energy and number of rows, by exact integers: for
// each settlement window between each rollup and the marked segments of `joules`; and in all, with what was
// dropped for its age. Memory: one entry per window. Thread rule: from any thread. Ownership: values. Units:
// nanoseconds, microjoules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "bus/store.hpp"

namespace perjoule::bus {

struct RollupDifference {
  std::string rollup;
  std::string where;  // "window 1700000000000000000", or "in all"
  std::string rolled, rows;  // "<energy> uJ of <n> rows"
};

struct RollupReport {
  std::uint64_t windows = 0;  // compared, for each rollup
  std::uint64_t rows = 0;     // of joules in rollups
  std::uint64_t difference_count = 0;
  std::vector<RollupDifference> differences;  // the first 20
  bool holds() const { return difference_count == 0; }
};

// Errors: what scan() returns.
base::Result<RollupReport> check_rollups(const StoreReader& store);

}  // namespace perjoule::bus
