// The report of a store (`perjoule report`): the site's day in figures, tables and series.
//   store_report(store, options) -> Result<StoreReport>
//   report_text(r), report_json(r), report_csv(r) -> file name -> text; report_html(r) is in html_report.hpp
//   report_figures(r): the figures at the top, each with unit, quality, uncertainty, or why it is missing
// Every part of the energy here adds up to the site meter exactly: series, kinds and meters count, for every
// meter, the energy it does not hand to its children.
// A window takes the settlement windows that start in it, the requests that were finished in it, the jobs
// submitted and the decisions made in it. What rules saved is known for whole runs only.
// Thread rule: one thread. Ownership: values. Units: microjoules, Unix nanoseconds, milliseconds, grams.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "bus/conservation.hpp"
#include "bus/store.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::answers {

struct ReportOptions {
  bool check_equalities = true;  // equality 1 and 2 for every meter and window: one more pass over the store
  std::size_t consumers = 15;
  bus::TimeWindow window{};
};

// Parts of the site's energy, in the order they are stacked.
enum class EnergyPart : std::uint8_t { kGpuWork, kGpuIdle, kHost, kNetwork, kCooling, kLosses };
inline constexpr std::size_t kEnergyParts = 6;
inline constexpr std::array<const char*, kEnergyParts> kEnergyPartNames{"gpu_work", "gpu_idle", "host",
                                                                        "network",  "cooling",  "losses"};
inline constexpr std::array<const char*, kEnergyParts> kEnergyPartTitles{
    "GPU, working", "GPU, idle", "Host (CPU, DRAM, NIC, fans, board)",
    "Network",      "Cooling",   "Conversion losses and unexplained"};

// The same energy by kind of device, finer than the parts; losses hold the unexplained too.
enum class EnergyKind : std::uint8_t { kGpu, kCpu, kDram, kNic, kFan, kBoard, kNetwork, kCooling, kLosses };
inline constexpr std::size_t kEnergyKinds = 9;
inline constexpr std::array<const char*, kEnergyKinds> kEnergyKindNames{
    "gpu", "cpu", "dram", "nic", "fan", "board", "network", "cooling", "losses"};
inline constexpr std::array<const char*, kEnergyKinds> kEnergyKindTitles{
    "GPU", "CPU", "DRAM", "NIC", "Fans", "Boards", "Network", "Cooling", "Losses and unexplained"};

using ByShare = std::array<std::int64_t, 4>;  // in the order of energy::Share

// The half-width of a sum whose parts may all be off the same way: an upper bound, in ppm of the sum.
struct UncertainSum {
  double uj = 0.0, off_uj = 0.0;
  void add(std::int64_t energy_uj, std::int64_t ppm);
  std::int64_t ppm() const;  // -1: nothing was added
};

struct ReportHour {
  std::int64_t t0_ns = 0, t1_ns = 0;
  std::array<std::int64_t, kEnergyParts> energy_uj{};
  ByShare by_share_uj{};
  std::array<std::int64_t, kEnergyKinds> by_kind_uj{};
  double g_per_kwh = 0.0;  // of the first average series; NaN: not known
  std::int64_t site_uj() const;
  double mean_power_w(std::size_t part) const;
};

struct ReportConsumer {
  std::string tenant, job, model;  // empty: nobody
  ByShare by_share_uj{};
  std::array<std::int64_t, kEnergyKinds> by_kind_uj{};
  std::int64_t gpu_direct_uj = 0, gpu_idle_uj = 0;
  UncertainSum off;
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
  std::vector<double> g_per_kwh;  // by piece of the series; NaN: not known
};

// One meter over the whole period.
struct ReportMeter {
  std::string name, rack, node, kind, zone;
  std::size_t parent = SIZE_MAX;  // in StoreReport::meters; SIZE_MAX: a root
  std::int64_t energy_uj = 0;
  ByShare own_uj{};  // its own joules rows
  energy::Quality quality = energy::Quality::kMeasured;
  UncertainSum off;
};

// Decisions of one policy that do the same.
struct ReportAction {
  std::string policy, action;
  std::int64_t count = 0, undone = 0, expected_saving_uj = 0;
  std::size_t targets = 0;
  std::vector<std::int64_t> by_hour;
};

// One row of the manifest's "savings_json", or (policy kRecordedRun) the run that the store itself holds.
inline constexpr const char* kRecordedRun = "recorded";
struct ReportSaving {
  std::string policy, rule, baseline;  // baseline: "" or "ours" for the policy itself, else its strength
  std::int64_t site_uj = 0, gpu_uj = 0;
  double p50_ms = 0.0, p95_ms = 0.0, p99_ms = 0.0;
  std::int64_t missed = 0, finished = 0;
  std::optional<std::int64_t> serving_gpu_uj;  // GPU energy of the services, idle time with it
  bool ours() const { return baseline.empty() || baseline == "ours"; }
};

struct StoreReport {
  std::string store;
  std::map<std::string, std::string> meta;
  bool complete = true, simulated = false;
  std::int64_t t0_ns = 0, t1_ns = 0, window_length_ns = 0;
  energy::Quality quality = energy::Quality::kMeasured;  // of the energy: the worst of all rows
  std::int64_t site_uj = 0, it_uj = 0, gpu_uj = 0, gpu_idle_uj = 0, joules_uj = 0;
  UncertainSum site_off, it_off, gpu_off, cooling_off, serving_off;
  ByShare by_share_uj{};
  bool whole = true;                   // the period is the whole store
  std::int64_t serving_direct_uj = 0;  // rows with a request
  std::int64_t serving_gpu_uj = 0;     // GPU energy of who served requests, with their idle time
  std::size_t gpus = 0, nodes = 0;
  std::int64_t output_tokens = 0, input_tokens = 0, jobs = 0, jobs_ended = 0, decisions = 0;
  std::vector<ReportHour> hours;
  std::vector<ReportConsumer> consumers;  // all, largest first
  std::size_t consumers_shown = 15;
  std::vector<ReportLatency> latency;  // all requests first
  std::vector<ReportCarbon> carbon;    // the first average series is the one charged, and comes first
  std::vector<ReportMeter> meters;     // in the order of the store
  std::vector<ReportAction> actions;   // by policy, then action
  std::vector<ReportSaving> savings;
  bus::ConservationReport conservation;
  bool equalities_checked = false;
  std::vector<std::pair<std::string, std::uint64_t>> table_rows;

  std::array<std::int64_t, kEnergyParts> parts_uj() const;
  std::array<std::int64_t, kEnergyKinds> kinds_uj() const;
  double pue() const;  // interim: of this period, not of a year; NaN: no IT energy
  double idle_share() const;
  double joules_per_token() const;
  double joules_per_request() const;
  bool adds_up() const { return joules_uj == site_uj; }
};

// Errors: what the store's reader returns; kBadInput for a store without meter rows or a savings_json that is
// not as above.
base::Result<StoreReport> store_report(const bus::StoreReader& store, const ReportOptions& options = {});

// A figure of the report's top. What is missing has a reason and no value.
struct ReportFigure {
  std::string id;  // as in the JSON, and for `perjoule explain line ID`
  std::string title, formula, unit;
  std::variant<std::monostate, std::int64_t, double> value;
  energy::Quality quality = energy::Quality::kMissing;
  std::int64_t uncertainty_ppm = -1;  // 95 % half-width; -1: not known
  std::string missing_because;
  bool missing() const { return value.index() == 0; }
};
std::vector<ReportFigure> report_figures(const StoreReport& r);
// "805.4 kWh", "9.6 %", "3.991 J"; "missing" where it is.
std::string figure_text(const ReportFigure& f);
std::string uncertainty_text(std::int64_t ppm);  // "±0.25 %"; "± not known"
// "124.7 kg", "0.3 g"; "missing" for NaN.
std::string grams_text(double grams);

// Site energy that the policy of the row's group saved against `row`, as a share of the row's; NaN for the
// policy itself and for a row whose group has no policy.
double saved_against(const StoreReport& r, const ReportSaving& row);
// Site energy that `row` used less than the run without any policy (the row of policy "none"); NaN without
// one.
double below_none(const StoreReport& r, const ReportSaving& row);
// The same for the GPU energy of the services; NaN where one of the two is not known.
double serving_below_none(const StoreReport& r, const ReportSaving& row);

std::string report_text(const StoreReport& r);
std::string report_json(const StoreReport& r);
std::map<std::string, std::string> report_csv(const StoreReport& r);

}  // namespace perjoule::answers
