#include "wire/source_gates.hpp"

#include <algorithm>
#include <utility>

namespace perjoule::wire {

void SourceGates::enter(const std::shared_ptr<Gate>& gate, const std::string& source, bool take_over,
                        std::function<void()> ready) {
  std::vector<std::shared_ptr<Gate>> shut;
  bool now = true;
  {
    const std::lock_guard lock(mutex_);
    Source& s = sources_[source];
    if (take_over) {
      for (const auto& other : s.gates) {
        if (!std::exchange(other->shut_, true)) shut.push_back(other);
      }
      now = s.open == 0;
    }
    gate->source_ = source;
    s.gates.push_back(gate);
    if (!now) s.waiting.push_back(ready);
  }
  for (const auto& other : shut) other->on_shut_();
  if (now) ready();
}

void SourceGates::leave(const std::shared_ptr<Gate>& gate) {
  const std::lock_guard lock(mutex_);
  const auto found = sources_.find(gate->source_);
  if (found == sources_.end()) return;
  std::erase(found->second.gates, gate);
  forget_if_unused(gate->source_);
}

void SourceGates::forget_if_unused(const std::string& source) {
  const auto found = sources_.find(source);
  if (found->second.gates.empty() && found->second.open == 0 && found->second.waiting.empty())
    sources_.erase(found);
}

bool SourceGates::pass(Gate& gate) {
  const std::lock_guard lock(mutex_);
  if (gate.shut_) return false;
  ++sources_[gate.source_].open;
  ++open_;
  return true;
}

void SourceGates::answered(const std::string& source) {
  std::vector<std::function<void()>> ready;
  {
    const std::lock_guard lock(mutex_);
    Source& s = sources_.at(source);
    if (--s.open == 0) ready.swap(s.waiting);
    forget_if_unused(source);
    if (--open_ == 0) all_answered_.notify_all();
  }
  for (const auto& call : ready) call();
}

void SourceGates::wait_until_answered() {
  std::unique_lock lock(mutex_);
  all_answered_.wait(lock, [&] { return open_ == 0; });
}

}  // namespace perjoule::wire
