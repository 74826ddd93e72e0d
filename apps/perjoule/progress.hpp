// A line of progress on stderr, drawn only when it is a terminal, with the share done and the time left.
#pragma once

#include <string>

#include "base/clock.hpp"

namespace perjoule::app {

class Progress {
 public:
  explicit Progress(bool quiet);
  void show(const std::string& what, double share);
  void clear();

 private:
  bool on_;
  bool drawn_ = false;
  base::Stopwatch watch_;
};

// True once SIGINT or SIGTERM came; the first one asks for an orderly end.
bool interrupted();
void watch_signals();

}  // namespace perjoule::app
