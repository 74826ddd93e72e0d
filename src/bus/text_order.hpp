// The order of a dictionary's texts. Thread rule: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace perjoule::bus {

// Sorts `codes`, indexes into `texts`, by their texts (bytes as unsigned, as Parquet orders text); equal
// texts stay in the order they came. True: no two are equal.
bool sort_by_text(std::span<const std::string_view> texts, std::vector<std::uint32_t>& codes);

}  // namespace perjoule::bus
