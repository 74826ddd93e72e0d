// The catalogue of signal classes: what a device can tell, in which unit, from which places, and what may be
// added to what. The tables are generated from schema/signals.toml by scripts/generate_catalogue.py. A
// catalogue entry says nothing about this host: most signals are absent on a given node. Thread rule:
// constants, read by any thread. Ownership: static storage; pointers and views never dangle.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.hpp"
#include "energy/generated/signal_numbers.hpp"

namespace perjoule::energy {

inline constexpr std::size_t kSignalCount = 127;

// A catalogue number as records carry it. 0 = none.
struct SignalId {
  std::uint16_t number = 0;
  constexpr SignalId() = default;
  constexpr explicit SignalId(std::uint16_t n) : number(n) {}
  constexpr SignalId(SignalNumber n) : number(static_cast<std::uint16_t>(n)) {}  // NOLINT: implicit by design
  constexpr bool valid() const { return number >= 1 && number <= kSignalCount; }
  constexpr auto operator<=>(const SignalId&) const = default;
};

// Counter: only grows, but for wrap and reset. Gauge: a value now. Event: a state, bits or a record.
enum class SignalKind : std::uint8_t { kCounter, kGauge, kEvent };
inline constexpr std::array<std::string_view, 3> kSignalKindNames{"counter", "gauge", "event"};

enum class SignalDomain : std::uint8_t { kCpu, kDram, kGpu, kNic, kPcie, kDisk, kFan, kPsu, kBoard, kNode };
inline constexpr std::array<std::string_view, 10> kSignalDomainNames{"cpu",  "dram", "gpu", "nic",   "pcie",
                                                                     "disk", "fan",  "psu", "board", "node"};

// Fast 10-100 ms, medium 1 s, slow 10-60 s.
enum class Sampling : std::uint8_t { kFast, kMedium, kSlow };
inline constexpr std::array<std::string_view, 3> kSamplingNames{"fast", "medium", "slow"};

// The interface a source is read by.
enum class Via : std::uint8_t {
  kPowercap,
  kPerf,
  kHwmon,
  kSysfs,
  kProcfs,
  kCgroup,
  kResctrl,
  kNvml,
  kGpm,
  kDcgm,
  kCupti,
  kAmdsmi,
  kRocm,
  kRoctracer,
  kDcmi,
  kCndev,
  kRedfish,
  kIpmi,
};
inline constexpr std::array<std::string_view, 18> kViaNames{
    "powercap", "perf",  "hwmon",  "sysfs", "procfs",    "cgroup", "resctrl", "nvml",    "gpm",
    "dcgm",     "cupti", "amdsmi", "rocm",  "roctracer", "dcmi",   "cndev",   "redfish", "ipmi"};

// How the published value follows from raw x scale.
//   value       as it is
//   integrate   the source is a rate per second: integrate over time
//   difference  the source is a counter: divide its change by the time
enum class Derive : std::uint8_t { kValue, kIntegrate, kDifference };
inline constexpr std::array<std::string_view, 3> kDeriveNames{"value", "integrate", "difference"};

// What a counter does at its top, in raw units.
//   not a counter
//   none        64 bit: does not wrap in practice
//   bits        wraps at 2^bits
//   range file  wraps at the number in `range_file` beside the source
//   unknown     a fall is not repaired: the interval is missing
enum class WrapKind : std::uint8_t { kNotACounter, kNone, kBits, kRangeFile, kUnknown };
struct Wrap {
  WrapKind kind = WrapKind::kNotACounter;
  std::uint8_t bits = 0;
  std::string_view range_file;
};

// One place a signal can be read from. Letters such as N, IF or BDF in `path` stand for the instance.
struct SourceInfo {
  Via via;
  std::string_view path;        // file, event, field id or call
  std::string_view label;       // not empty: one part of the signal's split, a series of its own
  std::string_view raw_unit;    // UCUM
  double scale;                 // published = raw x scale
  std::string_view scale_file;  // not empty: the kernel's file whose number overrides `scale`
  Derive derive;
  Wrap wrap;
  bool verified;  // seen in the vendor's header or the kernel's documents
  std::string_view note;
};

// Matter that can be measured more than once. Signals of one group are alternatives for the same matter;
// `inside` is the group (index into overlap_groups) whose matter contains it.
inline constexpr std::uint8_t kNoOverlapGroup = 255;
struct OverlapGroup {
  std::string_view name;
  std::string_view title;
  std::uint8_t inside = kNoOverlapGroup;
};

struct SignalInfo {
  SignalNumber number;
  std::string_view name;  // dotted, unique: "gpu.power.avg"
  std::string_view title;
  std::string_view unit;  // UCUM, as published
  SignalKind kind;
  SignalDomain domain;
  Sampling sampling;
  std::string_view scope;                  // one value per ...
  std::uint8_t overlap_group;              // index into overlap_groups, or kNoOverlapGroup
  std::span<const SourceInfo> sources;     // best first, at least one
  std::span<const SignalNumber> contains;  // signals whose matter lies inside this one's, at any depth
  std::string_view otel;                   // OpenTelemetry hardware metric; empty: perjoule.<name>
  std::string_view note;

  constexpr SignalId id() const { return number; }
};

std::string_view name_of(SignalKind k);
std::string_view name_of(SignalDomain d);
std::string_view name_of(Sampling s);
std::string_view name_of(Via v);
std::string_view name_of(Derive d);

// All signals, number 1 first.
std::span<const SignalInfo> signal_catalogue();
// Outer groups before inner ones.
std::span<const OverlapGroup> overlap_groups();

const SignalInfo& signal_info(SignalNumber number);
// kBadInput with the nearest name in the hint.
base::Result<const SignalInfo*> find_signal(std::string_view name);
// kBadInput outside 1..127.
base::Result<const SignalInfo*> find_signal(std::uint16_t number);

// Whether values of the two for the same instance (or the energies they stand for) may stand in one sum:
// false for a signal and itself, for two of one overlap group, and when one's matter lies inside the other's.
// Says nothing of units.
bool may_add(SignalNumber a, SignalNumber b);
// kBadInput naming the first two that must not stand in one sum, and why.
base::Status check_sum(std::span<const SignalNumber> terms);

}  // namespace perjoule::energy
