// The port through which everything is told what to do. Read-only by default: a control acts only when its
// privilege group is enabled. Every write can be undone (save points), expires on request (dead-man), and can
// be tried dry. Thread rule: one thread per actuator. Ownership: the caller owns it; text views live as long
// as the actuator.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/symbol.hpp"
#include "base/time.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::device {

struct ControlId {
  std::uint32_t index = UINT32_MAX;
  constexpr bool valid() const { return index != UINT32_MAX; }
  constexpr auto operator<=>(const ControlId&) const = default;
};

struct ControlDescriptor {
  std::string_view name;  // "gpu.cap"
  std::string_view unit;  // UCUM
  energy::Device device;
  double min = 0.0, max = 0.0;   // inclusive, in the unit
  double step = 0.0;             // allowed values are min + k x step; 0 = any in the range
  std::string_view group;        // privilege group, e.g. "gpu-power"
  base::Duration apply_latency;  // from write to effect
  base::Duration wake_latency;   // from leaving the set state to full service
  bool reversible = true;        // false: what it was before cannot be set again; no expiry, no restore
};

struct WriteOptions {
  base::TimePoint expiry = base::kNever;  // dead-man: unless written again, undone from this time on
  bool dry_run = false;                   // all checks, no effect
  base::Symbol decision;                  // on whose behalf
};

// A control that its dead-man has put back.
struct Expired {
  ControlId control;
  base::Symbol decision;
  double value = 0.0;  // what it was put back to
};

// A mark in the history of writes.
struct SavePoint {
  std::uint32_t depth = 0;
};

class Actuator {
 public:
  virtual ~Actuator() = default;
  virtual std::string_view name() const = 0;
  virtual const base::SymbolTable& symbols() const = 0;
  virtual std::span<const ControlDescriptor> controls() const = 0;
  // Errors: kBadInput for an unknown control or device, with the nearest name.
  virtual base::Result<ControlId> find(std::string_view control, std::string_view device) const = 0;
  virtual base::Result<double> read(ControlId control) = 0;
  // Errors, all without effect: kBadInput out of range, off step or not a number; kMissing the group is not
  // enabled, with what to type; kIo the device refused.
  virtual base::Status write(ControlId control, double value, const WriteOptions& options) = 0;
  // When the control's dead-man will undo it, if it is armed.
  virtual std::optional<base::TimePoint> expiry(ControlId control) const = 0;

  // Marks the present state. Points nest: restore(p) also drops every point made after p.
  virtual SavePoint save() = 0;
  // Puts every control written since the point back to its value and its dead-man at the point, newest write
  // first. Error: kBadInput for a point that was dropped. A control that refuses does not stop the others; it
  // stays to be restored, and the first error is returned.
  virtual base::Status restore(SavePoint point) = 0;
  // Back to the state before the first write.
  base::Status restore_all() { return restore(SavePoint{0}); }

  // Undoes every write whose expiry is at or before `now`; appends to `out` what it undid. Errors as restore.
  virtual base::Status expire(base::TimePoint now, std::vector<Expired>& out) = 0;
  // The earliest armed expiry; kNever if none.
  virtual base::TimePoint next_expiry() const = 0;
};

}  // namespace perjoule::device
