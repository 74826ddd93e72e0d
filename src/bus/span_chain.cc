#include "bus/span_chain.hpp"

#include <algorithm>
#include <numeric>

namespace perjoule::bus {
namespace {

// Places that are taken one by one, and the first one left from a place on (union-find with path halving).
class PlacesLeft {
 public:
  explicit PlacesLeft(std::size_t n) : next_(n + 1) { std::iota(next_.begin(), next_.end(), 0U); }
  // The number of places if there is none.
  std::uint32_t from(std::uint32_t place) {
    while (next_[place] != place) place = next_[place] = next_[next_[place]];
    return place;
  }
  void take(std::uint32_t place) { next_[place] = place + 1; }

 private:
  std::vector<std::uint32_t> next_;
};

// Without overflow at the ends of time.
std::int64_t later(std::int64_t time, std::int64_t step) {
  return time > INT64_MAX - step ? INT64_MAX : time + step;
}

}  // namespace

std::vector<std::uint32_t> chain_of(std::span<const TimeSpan> spans, std::int64_t step) {
  const auto n = static_cast<std::uint32_t>(spans.size());
  std::vector<std::uint32_t> by_start(n), out;
  std::iota(by_start.begin(), by_start.end(), 0U);
  std::stable_sort(by_start.begin(), by_start.end(),
                   [&](auto a, auto b) { return spans[a].first < spans[b].first; });
  std::vector<std::int64_t> starts;
  starts.reserve(n);
  for (const auto s : by_start) starts.push_back(spans[s].first);
  PlacesLeft left(n);
  out.reserve(n);
  for (std::uint32_t at = 0; out.size() < n;) {
    at = left.from(at);
    if (at == n) at = left.from(0);
    left.take(at);
    out.push_back(by_start[at]);
    const std::int64_t wanted = later(spans[by_start[at]].last, std::max<std::int64_t>(step, 0));
    at = static_cast<std::uint32_t>(std::lower_bound(starts.begin(), starts.end(), wanted) - starts.begin());
  }
  return out;
}

}  // namespace perjoule::bus
