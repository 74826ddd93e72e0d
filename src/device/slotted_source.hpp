// What every source does alike: names, slots, stamps, distinct updates, wraps, staleness. A back end lists
// its signals and answers do_read. Thread rule: one thread per source. Ownership: keeps references to the
// clock and the symbol table (they outlive it).
#pragma once

#include <vector>

#include "base/clock.hpp"
#include "device/by_device.hpp"
#include "device/signal_source.hpp"

namespace perjoule::device {

// What a device told, before it is judged. Counters fill `count`, the rest `value`.
struct RawReading {
  double value = std::numeric_limits<double>::quiet_NaN();
  std::int64_t count = 0;
  base::TimePoint t_device;
  MissingReason missing = MissingReason::kNone;
};

class SlottedSource : public SignalSource {
 public:
  const base::SymbolTable& symbols() const final { return symbols_; }
  std::span<const SignalDescriptor> signals() const final { return signals_; }
  base::Result<SlotId> push(std::string_view signal, std::string_view device) final;
  base::Status read_batch(BatchStamp& stamp) final;
  const SignalReading& sample(SlotId slot) const final { return slots_[slot.index].reading; }
  const SignalDescriptor& descriptor(SlotId slot) const final { return signals_[slots_[slot.index].signal]; }
  std::optional<base::TimePoint> next_update(SlotId slot) const final {
    return do_next_update(slots_[slot.index].signal);
  }

 protected:
  SlottedSource(const base::Clock& clock, const base::SymbolTable& symbols)
      : clock_(clock), symbols_(symbols) {}
  // Before the first push. PJ_CHECK: the unit is known; a signal of a device is declared once.
  void declare(SignalDescriptor signal);

  // Once per batch, before the signals: fetch what is shared (one file, one library call).
  virtual base::Status do_begin_batch() { return base::ok_status(); }
  // The newest value of signals()[signal]. A NaN value, a negative count or a count beyond the wrap is a
  // failed read.
  virtual RawReading do_read(std::size_t signal) = 0;
  virtual std::optional<base::TimePoint> do_next_update(std::size_t) const { return std::nullopt; }

 private:
  struct Slot {
    std::size_t signal = 0;
    SignalReading reading;
    bool seen = false;  // some batch gave a value; last_* hold its newest
    base::TimePoint last_device;
    std::int64_t last_count = 0;
    Validity last_validity = Validity::kOk;
  };
  static constexpr std::uint32_t kNoSlot = UINT32_MAX;
  void take(Slot& slot, const RawReading& raw, base::TimePoint host) const;
  base::Error no_such(std::string_view signal, std::string_view device) const;

  const base::Clock& clock_;
  const base::SymbolTable& symbols_;
  std::vector<SignalDescriptor> signals_;
  ByDevice by_device_;
  std::vector<Slot> slots_;
  std::vector<std::uint32_t> slot_of_;  // by signal, kNoSlot before the first push
};

}  // namespace perjoule::device
