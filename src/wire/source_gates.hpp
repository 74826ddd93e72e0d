// Which connection may hand blocks of a source to the engine, and which blocks have no answer yet. A client
// that takes a source over waits until nothing of its earlier life can still be stored (docs/formats/wire.md,
// "Taking over"). Thread rule: any thread; callbacks come from the thread that brings the last answer, or
// from enter() itself, without a lock held. Ownership: gates and sources are kept until leave().
#pragma once

#include <condition_variable>
#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace perjoule::wire {

class SourceGates {
 public:
  // One connection's way to the engine. Shut for good by a connection that takes its source over.
  class Gate {
   public:
    explicit Gate(std::function<void()> on_shut) : on_shut_(std::move(on_shut)) {}

   private:
    friend class SourceGates;
    std::string source_;
    bool shut_ = false;
    std::function<void()> on_shut_;
  };

  // `ready` is called when blocks may be handed over: at once, or with `take_over` when the other gates of
  // the source are shut and all that they let through is answered.
  void enter(const std::shared_ptr<Gate>& gate, const std::string& source, bool take_over,
             std::function<void()> ready);
  void leave(const std::shared_ptr<Gate>& gate);

  // Before a block is handed to the engine: false if the gate is shut. After true comes one answered().
  bool pass(Gate& gate);
  void answered(const std::string& source);
  // Waits until the engine owes no answer.
  void wait_until_answered();

 private:
  struct Source {
    std::vector<std::shared_ptr<Gate>> gates;
    std::size_t open = 0;  // blocks without an answer
    std::vector<std::function<void()>> waiting;
  };
  void forget_if_unused(const std::string& source);

  std::mutex mutex_;
  std::condition_variable all_answered_;
  std::map<std::string, Source> sources_;
  std::size_t open_ = 0;
};

}  // namespace perjoule::wire
