// The words every part of perjoule speaks: how good a value is, what a device, a zone, a meter and a consumer
// are. Terms follow ISO/IEC 30134 (KPIs), ISO/IEC 21031 (SCI) and the meter tree of an audit. Thread rule:
// values.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "base/symbol.hpp"
#include "base/time.hpp"
#include "base/units.hpp"

namespace perjoule::energy {

using base::Symbol;

// Where a value comes from, best first. Missing is never 0.
enum class Quality : std::uint8_t { kMeasured, kDerived, kModelled, kSimulated, kMissing };
inline constexpr std::array<std::string_view, 5> kQualityNames{"measured", "derived", "modelled", "simulated",
                                                               "missing"};
std::string_view name_of(Quality q);
base::Result<Quality> parse_quality(std::string_view text);
// The quality of a value computed from two others: the worse of the two (a sum with a missing part is
// missing).
Quality worse(Quality a, Quality b);

// A value with everything an auditor asks of it. uncertainty_ppm: 95 % half-width in millionths of the value.
struct Provenance {
  Quality quality = Quality::kMissing;
  Symbol source;
  std::int64_t uncertainty_ppm = 0;
};
template <class T>
struct Measured {
  T value{};
  Provenance provenance;
};

enum class DeviceKind : std::uint8_t {
  kSite,
  kFeed,
  kUps,
  kPdu,
  kRack,
  kNode,
  kCpu,
  kDram,
  kGpu,
  kNic,
  kFan,
  kPsu,
  kBoard,
  kSwitch,
  kChiller,
  kTower,
  kPump,
  kCrah,
};
inline constexpr std::array<std::string_view, 18> kDeviceKindNames{
    "site", "feed", "ups", "pdu",   "rack",   "node",    "cpu",   "dram", "gpu",
    "nic",  "fan",  "psu", "board", "switch", "chiller", "tower", "pump", "crah"};
std::string_view name_of(DeviceKind k);

// One thing that can be metered or told something. `name` is the path site/rack/node/kind/serial.
struct Device {
  Symbol name;
  Symbol site, rack, node;
  DeviceKind kind = DeviceKind::kSite;
  Symbol serial;
};

// Who used the energy. Any part may be absent (Symbol 0).
struct Consumer {
  Symbol tenant, job, model, run, epoch, step, request, kernel;
  Symbol phase{};  // of the work: "prefill", "decode", "forward"; a list of the others may leave it out
  bool operator==(const Consumer&) const = default;
};

// What a share of a meter's energy is.
//   direct    the work that ran                     idle      held by a reservation, not working
//   overhead  losses and cooling passed on          residual  metered but unexplained (may be negative)
enum class Share : std::uint8_t { kDirect, kIdle, kOverhead, kResidual };
inline constexpr std::array<std::string_view, 4> kShareNames{"direct", "idle", "overhead", "residual"};
std::string_view name_of(Share s);

// How a KPI may be read: a ratio over seconds is never called an annual one.
struct KpiDefinition {
  std::string_view id;        // "pue_interim"
  std::string_view standard;  // "ISO/IEC 30134-2"
  std::string_view formula;
  std::string_view unit;
  std::string_view boundary;  // meters inside
  std::string_view period;    // what the standard demands, and what we call a shorter one
};
// Every KPI perjoule reports, with the standard that defines it.
std::span<const KpiDefinition> kpi_definitions();
const KpiDefinition* find_kpi(std::string_view id);

}  // namespace perjoule::energy
