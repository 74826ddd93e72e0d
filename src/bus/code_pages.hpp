// Rows of a page of dictionary codes, without making a number of each: a run passes or fails as a whole, and
// of packed codes only those that are asked for are unpacked. Internal to the bus. Thread rule: pure
// functions. Ownership: spans of the caller.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "bus/byte_io.hpp"

namespace perjoule::bus {

// Appends `first` + i for every row i of the page's `count` whose code passes. False for a damaged page: one
// that decode_hybrid() refuses, or with a code that is not below passes.size().
bool select_codes(ByteReader& in, unsigned width, std::size_t count, std::span<const std::uint8_t> passes,
                  std::uint32_t first, std::vector<std::uint32_t>& selected);
// The codes of the rows places[i] + offset (which wraps), which ascend and are of the page, into `out`. False
// where a stretch of the page before the last of them cannot be read or one of them is not below `limit`.
bool pick_codes(ByteReader& in, unsigned width, std::size_t count, std::span<const std::uint32_t> places,
                std::size_t offset, std::size_t limit, std::uint32_t* out);

}  // namespace perjoule::bus
