// Is every joule accounted for? Compares, for every meter and settlement window of a store and by exact
// integers,
//   meters.energy_uj == sum of its children's meters.energy_uj + sum of its own joules.energy_uj
// which is equality 1 of the store's contract for a meter without children and equality 2 for one with
// children. Memory: one entry per meter and window of a span of windows that holds at most `entries_at_once`
// meter rows (one window at least); rows may come in any order, so late corrections count in the window they
// belong to. Thread rule: from any thread. Ownership: values. Units: nanoseconds, microjoules.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "bus/store.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::bus {

struct ConservationViolation {
  std::string meter;
  std::int64_t window_ns = 0;
  std::int64_t meter_uj = 0;     // what the meter says
  std::int64_t children_uj = 0;  // what its children say
  std::int64_t joules_uj = 0;    // what its own consumers got
  std::int64_t difference_uj = 0;
  std::string why;
};

struct ConservationReport {
  std::uint64_t windows = 0;
  std::uint64_t leaf_checks = 0;    // equality 1: meter and window without children
  std::uint64_t parent_checks = 0;  // equality 2
  std::uint64_t joule_rows = 0;
  std::int64_t root_uj = 0;   // sum of the meters without a parent
  std::int64_t joule_uj = 0;  // sum of all joules rows: equal to root_uj when nothing is violated
  energy::Quality quality = energy::Quality::kMeasured;  // of the meters: the worst of all rows
  // False for a run that was broken off: windows from `checked_to_ns` on were not compared, as one of the two
  // tables may end before the other.
  bool complete = true;
  std::int64_t checked_to_ns = INT64_MAX;
  // Windows before this were not compared: rows of theirs have been dropped for their age.
  std::int64_t checked_from_ns = INT64_MIN;
  std::uint64_t violation_count = 0;
  std::vector<ConservationViolation> violations;  // the first 20 by window, then meter name
  bool holds() const { return violation_count == 0; }
};

// Errors: what scan() returns.
base::Result<ConservationReport> check_conservation(const StoreReader& store,
                                                    std::size_t entries_at_once = 1 << 21);

}  // namespace perjoule::bus
