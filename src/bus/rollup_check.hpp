// Do a store's rollups equal the rows they were made of? Compares energy and number of rows, by exact
// integers: for each step of time between each rollup and the segments of `joules` that are marked as being
// in it; and in all, with what was dropped for its age. Memory: one entry per step. Thread rule: from any
// thread. Ownership: values. Units: nanoseconds, microjoules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "bus/store.hpp"

namespace perjoule::bus {

struct RollupDifference {
  std::string rollup;
  std::string where;         // "step of 60 s at 1700000000000000000", or "in all"
  std::string rolled, rows;  // "<energy> uJ of <n> rows"
};

struct RollupReport {
  std::uint64_t steps = 0;  // of time compared, of all rollups
  std::uint64_t rows = 0;   // of joules in the rollup of most
  std::uint64_t difference_count = 0;
  std::vector<RollupDifference> differences;  // the first 20
  bool holds() const { return difference_count == 0; }
};

// Errors: what scan() returns.
base::Result<RollupReport> check_rollups(const StoreReader& store);

}  // namespace perjoule::bus
