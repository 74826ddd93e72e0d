// What a policy hands to the decision log: a proposal, and the fingerprint of what it was made from. A policy
// acts on nothing itself, and takes time and numbers only from what it is given, so the same object runs in
// the simulator, in a canary and live. Thread rule: values.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/symbol.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "device/actuator.hpp"

namespace perjoule::device {

// Fingerprint of what a decision was made from: equal inputs give equal hashes on every platform.
class ReasonHash {
 public:
  ReasonHash& add(std::uint64_t v) {
    for (int byte = 0; byte < 8; ++byte) h_ = (h_ ^ ((v >> (8 * byte)) & 0xff)) * 0x100000001b3ULL;
    return *this;
  }
  // Every NaN is the same absent value, and 0 has no sign.
  ReasonHash& add(double v) {
    if (v != v) return add(std::uint64_t{0x7ff8000000000000});
    return add(std::bit_cast<std::uint64_t>(v == 0.0 ? 0.0 : v));
  }
  // Bytes, then their number: ("ab", "c") and ("a", "bc") differ.
  ReasonHash& add(std::string_view text) {
    for (const char c : text) h_ = (h_ ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    return add(static_cast<std::uint64_t>(text.size()));
  }
  std::uint64_t value() const { return h_; }

 private:
  std::uint64_t h_ = 0xcbf29ce484222325ULL;  // FNV-1a
};

struct Proposal {
  base::Symbol policy;  // name and version, "heaa/1"
  base::Symbol target;  // device
  base::Symbol action;  // the control's name, or what is done with it ("sleep", "cap")
  ControlId control;
  // What the policy saw; NaN = it did not look. A proposal made from another value than the present one is
  // refused.
  double value_before = std::numeric_limits<double>::quiet_NaN();
  double value_after = std::numeric_limits<double>::quiet_NaN();
  base::Symbol why;               // a short text from a fixed set, e.g. "3 updates below 8.5 % SM"
  std::uint64_t reason_hash = 0;  // of the inputs
  base::Microjoules expected_saving;
  base::Microjoules bound;                // the most it may cost if the prediction behind it is wrong
  base::TimePoint expiry = base::kNever;  // dead-man
};

}  // namespace perjoule::device
