// How many bytes of blocks a server lets into the engine before their answers: about 20 ms of work at the
// rate at which answers come, or twice the fastest answer where the disk takes longer. More would not be
// stored sooner: it would only stand before the log, and what a small source sends behind it with it. What is
// not let in stays with its sender, whom TCP holds up. Thread rule: any thread. Ownership: a value. Units:
// bytes, seconds of any clock that only goes forward.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>

namespace perjoule::wire {

class FlowWindow {
 public:
  static constexpr double kWorkSeconds = 0.020;
  static constexpr std::uint64_t kLeastBytes = 4U << 20;  // of all sources together; the start

  explicit FlowWindow(std::uint64_t most_bytes) : most_(most_bytes) {}

  // A block got its answer at `now`, so many seconds after it was handed over.
  void answered(std::uint64_t bytes, double seconds, double now);
  // Of all sources together.
  std::uint64_t bytes() const;

 private:
  // The rate is the best of the last kSlots stretches of time: a pause of the disk does not shrink the
  // window.
  static constexpr double kSlotSeconds = 0.05;
  static constexpr std::size_t kSlots = 20;
  struct Slot {
    double rate = 0, fastest = 0;
  };

  const std::uint64_t most_;
  mutable std::mutex mutex_;
  std::array<Slot, kSlots> slots_{};
  std::size_t next_ = 0;
  double began_ = 0, fastest_ = 0;  // of the stretch at hand
  std::uint64_t answered_ = 0;
  bool started_ = false;
  std::uint64_t bytes_ = kLeastBytes;
};

}  // namespace perjoule::wire
