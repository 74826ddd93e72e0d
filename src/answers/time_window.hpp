// The window of a question, as people write it. Thread rule: pure functions. Units: Unix nanoseconds.
#pragma once

#include <string>

#include "base/result.hpp"
#include "bus/store.hpp"

namespace perjoule::answers {

// Each bound: empty (open), ISO 8601, or "-1h": that long before the store's end. Errors: kBadInput for
// another text, and for a window in which nothing of the store lies.
base::Result<bus::TimeWindow> read_window(const std::string& from, const std::string& to,
                                          const bus::StoreReader& store);

}  // namespace perjoule::answers
