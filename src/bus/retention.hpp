// How long the rows of each table are kept: files whose rows are all older are dropped, now and every hour.
// Their sums stay in the rollups, a note of them in the manifest. Thread
// rule: start() and stop() from one thread; it has a thread of its own between them. Ownership: engine and
// clock must outlive it.
#pragma once

#include <array>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/result.hpp"
#include "bus/engine.hpp"

namespace perjoule::bus {

struct KeepRule {
  Table table = Table::kJoules;
  base::Duration age;
};
// "joules=90d". Errors: kBadInput for an unknown table, or an age that is none or not above zero.
base::Result<KeepRule> parse_keep_rule(const std::string& text);

// What is older than its rule now; the notes of what went.
base::Result<std::vector<DroppedRows>> drop_old(Engine& engine, base::TimePoint now,
                                                const std::vector<KeepRule>& rules);

class Retention {
 public:
  Retention(Engine& engine, const base::Clock& clock, std::vector<KeepRule> rules)
      : engine_(engine), clock_(clock), rules_(std::move(rules)) {}
  ~Retention() { stop(); }
  // Nothing without rules.
  void start();
  void stop();
  // Of the last time, empty if all went well.
  std::string fault() const;

 private:
  void run();

  Engine& engine_;
  const base::Clock& clock_;
  const std::vector<KeepRule> rules_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool ending_ = false;
  std::string fault_;
  std::thread thread_;
};

}  // namespace perjoule::bus
