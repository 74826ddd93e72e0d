#include "progress.hpp"

#include <unistd.h>

#include <csignal>
#include <cstdio>

#include "base/time.hpp"

namespace perjoule::app {
namespace {
volatile std::sig_atomic_t g_interrupted = 0;
void on_signal(int) { g_interrupted = 1; }
}  // namespace

bool interrupted() { return g_interrupted != 0; }

void watch_signals() {
  struct sigaction action {};
  action.sa_handler = on_signal;
  action.sa_flags = static_cast<int>(SA_RESETHAND);  // a second one ends the program at once
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

Progress::Progress(bool quiet) : on_(!quiet && isatty(STDERR_FILENO) != 0 && isatty(STDOUT_FILENO) != 0) {}

void Progress::show(const std::string& what, double share, double total, const char* unit) {
  if (!on_) return;
  if (what != what_) what_ = what, watch_ = base::Stopwatch();
  const double elapsed = watch_.elapsed().value();
  if (elapsed < 2.0 || share <= 0.0) return;
  std::fprintf(stderr, "\r\033[K%s  %3.0f %%  %.3g %s/s  %.0f s left", what.c_str(), share * 100.0,
               share * total / elapsed, unit, elapsed / share - elapsed);
  drawn_ = true;
}

void Progress::clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

}  // namespace perjoule::app
