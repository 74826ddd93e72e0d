// An order of spans of time in which one begins soon after the one before has ended, so that times written
// one span after the other make small steps. Sealing puts the requests of a stretch in this order: a jump
// from the end of one request to the beginning of any other costs every time beside it more bits. Thread
// rule: pure function. Units: those of the caller.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace perjoule::bus {

struct TimeSpan {
  std::int64_t first = 0, last = 0;
};

// Places in `spans`. After each span comes the earliest one left that begins at least `step` after its end;
// where there is none, the earliest one left. Spans that begin together keep the order they have.
std::vector<std::uint32_t> chain_of(std::span<const TimeSpan> spans, std::int64_t step);

}  // namespace perjoule::bus
