// A line of progress on stderr with the share done, the rate and the time left. Drawn only on a terminal
// (both stdout and stderr), and only for what takes over two seconds.
#pragma once

#include <string>

#include "base/clock.hpp"

namespace perjoule::app {

class Progress {
 public:
  explicit Progress(bool quiet);
  // `total` in `unit`, of which `share` is done: 24 "h" at one half after 6 s is 2 h/s.
  void show(const std::string& what, double share, double total, const char* unit);
  void clear();

 private:
  bool on_;
  bool drawn_ = false;
  std::string what_;
  base::Stopwatch watch_;
};

// True once SIGINT or SIGTERM came; the first one asks for an orderly end.
bool interrupted();
void watch_signals();

}  // namespace perjoule::app
