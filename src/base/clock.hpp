// The only door to the time of day. Everything above takes a Clock, so that a run can live in virtual time.
// Thread rule: now() from any thread; VirtualClock::advance_to from one thread.
#pragma once

#include "base/time.hpp"

namespace perjoule::base {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual TimePoint now() const = 0;
};

// The machine's real-time clock (CLOCK_REALTIME, nanosecond resolution).
class SystemClock final : public Clock {
 public:
  TimePoint now() const override;
};

// Time that moves only when told. Never moves backwards (PJ_CHECK).
class VirtualClock final : public Clock {
 public:
  explicit VirtualClock(TimePoint start) : now_(start) {}
  TimePoint now() const override { return now_; }
  void advance_to(TimePoint t) {
    PJ_CHECK(t >= now_);
    now_ = t;
  }

 private:
  TimePoint now_;
};

// Monotonic stopwatch for progress lines and benchmarks; never enters a stored value.
class Stopwatch {
 public:
  Stopwatch();
  Seconds elapsed() const;

 private:
  std::int64_t start_ns_;
};

}  // namespace perjoule::base
