// The port through which every measurement enters: hosts, vendor libraries, BMCs, recorded traces and the
// simulated hall are all sources. Signals are pushed once, then read as one batch that is stamped before and
// after. A reading is not a number but a value with its times, window, uncertainty and validity; missing is
// never 0. Thread rule: one thread per source. Ownership: the caller owns the source; text views live as long
// as the source.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "base/symbol.hpp"
#include "base/time.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::device {

// counter: a whole number that only grows, modulo its wrap; gauge: a level; event: a state or code.
enum class SignalKind : std::uint8_t { kCounter, kGauge, kEvent };

struct SignalDescriptor {
  std::uint16_t number = 0;  // of the signal class in the catalogue; 0 = not in it
  std::string_view name;     // "gpu.energy"
  std::string_view unit;     // UCUM; see known_unit
  SignalKind kind = SignalKind::kGauge;
  energy::Device device;
  energy::Quality quality = energy::Quality::kMissing;
  base::Duration update_period;      // of the device; 0 = continuous
  base::Duration window;             // over which the device averages; 0 = instantaneous
  std::int64_t uncertainty_ppm = 0;  // 95 % half-width, millionths of the value
  std::int64_t wrap = 0;             // a counter wraps to 0 when it reaches this; 0 = never
};

// True for the UCUM units perjoule reads and for annotations such as "{event}".
bool known_unit(std::string_view unit);

enum class Validity : std::uint8_t {
  kOk,
  kMissing,  // no value; the reason says why
  kStale,    // the device has not updated for more than three of its periods
  kWrapped,  // a counter that wrapped since the update before; counter_delta still gives the difference
  kReset,    // a counter that started again: the difference to the update before is not known
};
enum class MissingReason : std::uint8_t { kNone, kNotRead, kAbsent, kForbidden, kFailed, kGap };
std::string_view name_of(Validity v);
std::string_view name_of(MissingReason r);

struct SignalReading {
  double value = std::numeric_limits<double>::quiet_NaN();
  std::int64_t count = 0;    // counters: the exact value; 0 for the rest and while missing
  base::TimePoint t_device;  // when the device made the value; the same time = the same sample
  base::TimePoint t_host;    // middle of the batch
  base::Duration window;     // over which the value is averaged, ending at t_device
  double sigma = std::numeric_limits<double>::quiet_NaN();  // standard uncertainty, in the signal's unit
  std::uint64_t updates = 0;  // distinct device updates seen in this slot; grows by at most one per batch
  Validity validity = Validity::kMissing;
  MissingReason missing = MissingReason::kNotRead;
  energy::Quality quality = energy::Quality::kMissing;
  bool has_value() const { return validity != Validity::kMissing; }
};

// after - before of a counter that may have wrapped once in between (wrap 0: never). Both in [0, wrap).
std::int64_t counter_delta(std::int64_t before, std::int64_t after, std::int64_t wrap);

struct SlotId {
  std::uint32_t index = UINT32_MAX;
  constexpr bool valid() const { return index != UINT32_MAX; }
  constexpr auto operator<=>(const SlotId&) const = default;
};

// Host time just before and just after a batch: every value in it was current somewhere in between.
struct BatchStamp {
  base::TimePoint before, after;
  base::TimePoint middle() const { return before + half_width(); }
  base::Duration half_width() const { return {(after - before).ns / 2}; }
};

class SignalSource {
 public:
  virtual ~SignalSource() = default;
  virtual std::string_view name() const = 0;
  // The table that the devices' symbols belong to.
  virtual const base::SymbolTable& symbols() const = 0;
  virtual std::span<const SignalDescriptor> signals() const = 0;
  // Asks for a signal of a device in every batch to come. Pushing a pair again gives the same slot.
  // Errors: kBadInput for an unknown signal or device, with the nearest name.
  virtual base::Result<SlotId> push(std::string_view signal, std::string_view device) = 0;
  // Reads every slot at once. A signal that cannot be read becomes a missing reading; an error is for the
  // whole batch, and leaves every slot missing. No allocation.
  virtual base::Status read_batch(BatchStamp& stamp) = 0;
  // The slot's reading of the last batch (missing before the first). The reference is good until the next
  // call.
  virtual const SignalReading& sample(SlotId slot) const = 0;
  virtual const SignalDescriptor& descriptor(SlotId slot) const = 0;
  // When the device will next update, if the source knows: a policy in virtual time need not poll.
  virtual std::optional<base::TimePoint> next_update(SlotId slot) const = 0;
};

}  // namespace perjoule::device
