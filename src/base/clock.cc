#include "base/clock.hpp"

#include <chrono>

namespace perjoule::base {
namespace {
std::int64_t steady_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
}  // namespace

TimePoint SystemClock::now() const {
  return {std::chrono::duration_cast<std::chrono::nanoseconds>(
              std::chrono::system_clock::now().time_since_epoch())
              .count()};
}

Stopwatch::Stopwatch() : start_ns_(steady_ns()) {}
Seconds Stopwatch::elapsed() const { return to_seconds({steady_ns() - start_ns_}); }

}  // namespace perjoule::base
