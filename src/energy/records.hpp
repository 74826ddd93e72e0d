// The rows of the store's tables, field for field as the public contract names them. Times are Unix
// nanoseconds (UTC), energies whole microjoules, identifiers interned (Symbol 0 = NULL). Thread rule: plain
// values.
#pragma once

#include <cstdint>
#include <limits>

#include "energy/vocabulary.hpp"

namespace perjoule::energy {

// A double that may be absent: NaN is stored as NULL, never as 0.
inline constexpr double kAbsent = std::numeric_limits<double>::quiet_NaN();

// `meters`: one row per meter and settlement window.
struct MeterRow {
  std::int64_t window_ns = 0;  // start of the settlement window it belongs to
  std::int64_t t0_ns = 0, t1_ns = 0;
  Symbol meter, parent, site, rack, node, device, kind, zone;
  std::int64_t energy_uj = 0;
  Quality quality = Quality::kMissing;
  Symbol source;
  std::int64_t uncertainty_ppm = 0;
};

// `joules`: one row per consumer's energy within a window.
struct JouleRow {
  std::int64_t window_ns = 0;
  std::int64_t t0_ns = 0, t1_ns = 0;
  Symbol meter, device;
  std::int64_t energy_uj = 0;
  Share share = Share::kResidual;
  Quality quality = Quality::kMissing;
  Symbol method;  // rule name and version, e.g. "serving-tokens/1"
  std::int64_t uncertainty_ppm = 0;
  Consumer consumer;  // tenant, job, model, run, epoch, step, request, kernel, phase
  Symbol source;
  std::int64_t seq = 0;
};

// `samples`: one signal of one device.
struct SampleRow {
  std::int64_t t_ns = 0;
  Symbol device, signal;
  double value = kAbsent;
  Quality quality = Quality::kMissing;
  double window_ms = kAbsent;
  Symbol source;
  std::int64_t seq = 0;
};

// `requests`: one finished request. energy_uj = sum of its direct rows in `joules`.
struct RequestRow {
  Symbol request, tenant, model;
  std::int64_t t_arrival_ns = 0, t_done_ns = 0;
  std::int64_t input_tokens = 0, output_tokens = 0;
  double latency_ms = kAbsent, ttft_ms = kAbsent;
  bool slo_met = false;
  std::int64_t energy_uj = 0;
  double carbon_g = kAbsent;
};

// `jobs`. t_start_ns, t_end_ns = INT64_MIN while not started or not ended (NULL).
inline constexpr std::int64_t kNoTime = std::numeric_limits<std::int64_t>::min();
struct JobRow {
  Symbol job, tenant, model;
  std::int64_t nodes = 0, gpus = 0;
  std::int64_t t_submit_ns = 0, t_start_ns = kNoTime, t_end_ns = kNoTime;
  std::int64_t energy_uj = 0;
  double carbon_g = kAbsent;
};

// `decisions`.
struct DecisionRow {
  Symbol decision;
  std::int64_t t_ns = 0;
  Symbol policy, target, action;
  double value_before = kAbsent, value_after = kAbsent;
  std::uint64_t reason_hash = 0;  // stored as 16 hexadecimal digits
  Symbol why;
  std::int64_t expected_saving_uj = 0;
  std::int64_t bound_uj = 0;  // the most it may cost if the prediction behind it is wrong
  std::int64_t expires_ns = kNoTime;
  Symbol outcome;
  bool undone = false;
};

// `carbon`.
enum class CarbonKind : std::uint8_t { kAverage, kMarginal };
struct CarbonRow {
  std::int64_t t0_ns = 0, t1_ns = 0;
  Symbol region;
  CarbonKind kind = CarbonKind::kAverage;
  double g_per_kwh = kAbsent;
  Quality quality = Quality::kMissing;
  Symbol source;
};

}  // namespace perjoule::energy
