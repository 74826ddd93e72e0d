// The report of a store (`perjoule report`): the site's day in figures, tables and series.
//   store_report(store, options) -> Result<StoreReport>
//   report_text(r), report_json(r), report_csv(r) -> file name -> text; report_html(r) is in html_report.hpp
// Every part of the energy here adds up to the site meter exactly: `hours` and `flow` count, for every meter,
// the energy it does not hand to its children.
// Thread rule: one thread. Ownership: values. Units: microjoules, Unix nanoseconds, milliseconds, grams.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "bus/conservation.hpp"
#include "bus/store.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::answers {

struct ReportOptions {
  bool check_equalities = true;  // equality 1 and 2 for every meter and window: one more pass over the store
  std::size_t consumers = 15;
};

// Parts of the site's energy, in the order they are stacked.
enum class EnergyPart : std::uint8_t { kGpuWork, kGpuIdle, kHost, kNetwork, kCooling, kLosses };
inline constexpr std::size_t kEnergyParts = 6;
inline constexpr std::array<const char*, kEnergyParts> kEnergyPartNames{"gpu_work", "gpu_idle", "host",
                                                                        "network",  "cooling",  "losses"};
inline constexpr std::array<const char*, kEnergyParts> kEnergyPartTitles{
    "GPU, working", "GPU, idle", "Host (CPU, DRAM, NIC, fans, board)",
    "Network",      "Cooling",   "Conversion losses and unexplained"};

struct ReportHour {
  std::int64_t t0_ns = 0, t1_ns = 0;
  std::array<std::int64_t, kEnergyParts> energy_uj{};
  double g_per_kwh = 0.0;  // of the first average series; NaN: not known
  std::int64_t site_uj() const;
  double mean_power_w(std::size_t part) const;
};

struct ReportConsumer {
  std::string tenant, job, model;  // empty: nobody
  std::array<std::int64_t, 4> by_share_uj{};
  std::int64_t gpu_direct_uj = 0, gpu_idle_uj = 0;
  bool serving = false;  // it has rows of requests
  energy::Quality quality = energy::Quality::kMeasured;
  std::int64_t total_uj() const { return by_share_uj[0] + by_share_uj[1] + by_share_uj[2] + by_share_uj[3]; }
};

struct ReportLatency {
  std::string tenant, model;  // both empty: all requests
  std::int64_t finished = 0, missed = 0, output_tokens = 0;
  double p50_ms = 0.0, p95_ms = 0.0, p99_ms = 0.0;  // NaN: no request
  double ttft_p50_ms = 0.0, ttft_p95_ms = 0.0, ttft_p99_ms = 0.0;
  std::int64_t energy_uj = 0;  // direct, of these requests
};

struct ReportCarbon {
  std::string region, kind, source;
  double grams = 0.0, mean_g_per_kwh = 0.0;  // NaN: a window without a factor
  energy::Quality quality = energy::Quality::kMissing;
};

// One row of the manifest's "savings_json".
struct ReportSaving {
  std::string policy, rule, baseline;  // baseline: "" or "ours" for the policy itself, else its strength
  std::int64_t site_uj = 0, gpu_uj = 0;
  double p50_ms = 0.0, p95_ms = 0.0, p99_ms = 0.0;
  std::int64_t missed = 0, finished = 0;
  bool ours() const { return baseline.empty() || baseline == "ours"; }
};

struct StoreReport {
  std::string store;
  std::map<std::string, std::string> meta;
  bool complete = true, simulated = false;
  std::int64_t t0_ns = 0, t1_ns = 0, window_length_ns = 0;
  energy::Quality quality = energy::Quality::kMeasured;  // of the energy: the worst of all rows
  std::int64_t site_uj = 0, it_uj = 0, gpu_uj = 0, gpu_idle_uj = 0, joules_uj = 0;
  std::array<std::int64_t, 4> by_share_uj{};
  std::int64_t serving_direct_uj = 0;  // rows with a request
  std::int64_t output_tokens = 0, input_tokens = 0, jobs = 0, jobs_ended = 0, decisions = 0;
  std::vector<ReportHour> hours;
  std::vector<ReportConsumer> consumers;  // all, largest first
  std::size_t consumers_shown = 15;
  std::vector<ReportLatency> latency;  // all requests first
  std::vector<ReportCarbon> carbon;    // the first is the one charged
  std::vector<ReportSaving> savings;
  bus::ConservationReport conservation;
  bool equalities_checked = false;
  std::vector<std::pair<std::string, std::uint64_t>> table_rows;

  std::array<std::int64_t, kEnergyParts> parts_uj() const;
  double pue() const;  // interim: of this period, not of a year; NaN: no IT energy
  double idle_share() const;
  double joules_per_token() const;
  double joules_per_request() const;
  bool adds_up() const { return joules_uj == site_uj; }
};

// Errors: what the store's reader returns; kBadInput for a store without meter rows or a savings_json that is
// not as above.
base::Result<StoreReport> store_report(const bus::StoreReader& store, const ReportOptions& options = {});
// Nearest rank: the smallest value with at least p of all at or below it; NaN for none.
double percentile(std::vector<double>& values, double p);
// Site energy that the policy of the row's group saved against `row`, as a share of the row's; NaN for the
// policy itself and for a row whose group has no policy.
double saved_against(const StoreReport& r, const ReportSaving& row);
// Site energy that `row` used less than the run without any policy (the row of policy "none"); NaN without
// one.
double below_none(const StoreReport& r, const ReportSaving& row);

std::string report_text(const StoreReport& r);
std::string report_json(const StoreReport& r);
std::map<std::string, std::string> report_csv(const StoreReport& r);

}  // namespace perjoule::answers
