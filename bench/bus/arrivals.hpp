// Events that arrive over the wire while questions are asked: a process of its own, which encodes its blocks
// before it begins and sends each when it is due. Thread rule: one thread; start() before this process has
// others. Ownership: the process ends with the object. Units: events per second, milliseconds.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "base/result.hpp"

namespace perjoule::bench {

struct ArrivalReport {
  std::uint64_t batches = 0, events = 0;      // of arriving_stream(), from its beginning; all acknowledged
  double seconds = 0, cpu_s = 0;              // of sending
  double p50_ms = 0, p99_ms = 0, max_ms = 0;  // from when a block was due to its answer
  std::uint64_t busy = 0;
  bool failed = false;
};

class Arrivals {
 public:
  Arrivals() = default;
  Arrivals(const Arrivals&) = delete;
  Arrivals& operator=(const Arrivals&) = delete;
  ~Arrivals();

  // Begins to encode what arrives in so many seconds at this rate.
  bool start(double rate, double seconds);
  // Waits until that is done.
  bool wait_ready();
  // To the server at this port of this machine.
  bool begin(std::uint16_t port);
  // True when all of it has been sent.
  bool has_ended() const;
  // No more is sent; waits for the last answer.
  ArrivalReport end();

 private:
  pid_t pid_ = -1;
  int fd_ = -1;
};

}  // namespace perjoule::bench
