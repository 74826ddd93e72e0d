// Some rows of a column, by themselves. Internal to the bus. Thread rule: pure function. Ownership: the
// characters stay those of `from`.
#pragma once

#include <cstdint>
#include <vector>

#include "bus/columns.hpp"

namespace perjoule::bus {

// These rows, in this order, and of the dictionary what they use.
Column picked_rows(const Column& from, const std::vector<std::uint32_t>& rows);

}  // namespace perjoule::bus
