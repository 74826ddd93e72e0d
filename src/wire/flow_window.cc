#include "wire/flow_window.hpp"

#include <algorithm>

namespace perjoule::wire {

void FlowWindow::answered(std::uint64_t bytes, double seconds, double now) {
  const std::lock_guard lock(mutex_);
  if (!started_) began_ = now;
  fastest_ = answered_ == 0 ? seconds : std::min(fastest_, seconds);
  started_ = true;
  answered_ += bytes;
  if (now - began_ < kSlotSeconds) return;
  slots_[next_] = {static_cast<double>(answered_) / (now - began_), fastest_};
  next_ = (next_ + 1) % kSlots;
  began_ = now;
  answered_ = 0;
  Slot best;
  for (const Slot& slot : slots_) {
    if (slot.rate == 0) continue;
    best.fastest = best.rate == 0 ? slot.fastest : std::min(best.fastest, slot.fastest);
    best.rate = std::max(best.rate, slot.rate);
  }
  const double wanted = best.rate * std::max(kWorkSeconds, 2 * best.fastest);
  bytes_ =
      std::clamp(static_cast<std::uint64_t>(std::min(wanted, 1e15)), std::min(kLeastBytes, most_), most_);
}

std::uint64_t FlowWindow::bytes() const {
  const std::lock_guard lock(mutex_);
  return std::min(bytes_, most_);
}

}  // namespace perjoule::wire
