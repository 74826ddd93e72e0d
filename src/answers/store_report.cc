#include "answers/store_report.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>
#include <unordered_map>

#include "answers/store_view.hpp"
#include "base/text.hpp"
#include "base/time.hpp"
#include "math/percentile.hpp"

namespace perjoule::answers {
namespace {

using bus::Batch;
using bus::Table;
using energy::Quality;
using Json = nlohmann::json;

constexpr std::int64_t kLongSpanHours = 240;

std::size_t index_of(EnergyPart p) { return static_cast<std::size_t>(p); }

EnergyPart part_of(const MeterInfo& m) {
  const auto category = MeterCatalog::category_of(m);
  if (category == "gpu") return EnergyPart::kGpuWork;
  if (category == "host") return EnergyPart::kHost;
  if (category == "network") return EnergyPart::kNetwork;
  if (category == "cooling") return EnergyPart::kCooling;
  return EnergyPart::kLosses;
}

EnergyKind kind_of(const MeterInfo& m) {
  switch (part_of(m)) {
    case EnergyPart::kCooling:
      return EnergyKind::kCooling;
    case EnergyPart::kNetwork:
      return EnergyKind::kNetwork;
    case EnergyPart::kLosses:
      return EnergyKind::kLosses;
    default:
      break;
  }
  const auto& names = kEnergyKindNames;
  const auto it = std::find(names.begin(), names.end(), m.kind);
  return it == names.end() ? EnergyKind::kLosses : static_cast<EnergyKind>(it - names.begin());
}

// Length of a bar of the series: an hour, less for a short run, more for a long one.
std::int64_t bar_length(const StoreSpan& span) {
  const std::int64_t length = span.end_ns - span.first_ns;
  if (length > kLongSpanHours * base::kNsPerHour) return 6 * base::kNsPerHour;
  if (length >= 6 * base::kNsPerHour) return base::kNsPerHour;
  const std::int64_t windows = std::max<std::int64_t>(1, length / 24 / span.window_length_ns);
  return windows * span.window_length_ns;
}

class Reporter {
 public:
  // `span` is what the window leaves of the store.
  Reporter(const bus::StoreReader& store, const ReportOptions& options, StoreSpan span, bool whole)
      : store_(store),
        options_(options),
        span_(span),
        window_{span.first_ns, span.end_ns},
        whole_(whole),
        bar_(bar_length(span)) {}

  base::Result<StoreReport> go() {
    describe();
    PJ_TRY(read_meters());
    PJ_TRY(read_joules());
    PJ_TRY(read_requests());
    PJ_TRY(read_jobs());
    PJ_TRY(read_decisions());
    PJ_TRY(read_carbon());
    PJ_TRY(read_savings());
    if (options_.check_equalities) {
      PJ_ASSIGN(out_.conservation, bus::check_conservation(store_));
      out_.equalities_checked = true;
    }
    finish();
    add_recorded_run();
    return std::move(out_);
  }

 private:
  using GroupKey = std::array<std::uint32_t, 3>;
  struct GroupHash {
    std::size_t operator()(const GroupKey& k) const {
      return (k[0] * 0x9e3779b97f4a7c15ULL ^ k[1]) * 0x9e3779b97f4a7c15ULL ^ k[2];
    }
  };

  void describe() {
    out_.store = store_.directory();
    out_.meta = store_.manifest().meta;
    out_.complete = store_.manifest().complete;
    out_.t0_ns = span_.first_ns;
    out_.t1_ns = span_.end_ns;
    out_.window_length_ns = span_.window_length_ns;
    out_.consumers_shown = options_.consumers;
    out_.whole = whole_;
    for (const bus::Table t : {Table::kMeters, Table::kJoules, Table::kSamples, Table::kRequests,
                               Table::kJobs, Table::kDecisions, Table::kCarbon}) {
      out_.table_rows.emplace_back(bus::schema_of(t).name, store_.rows(t));
    }
    const auto bars = static_cast<std::size_t>((span_.end_ns - span_.first_ns + bar_ - 1) / bar_);
    for (std::size_t i = 0; i < bars; ++i) {
      const std::int64_t t0 = span_.first_ns + static_cast<std::int64_t>(i) * bar_;
      ReportHour hour;
      hour.t0_ns = t0, hour.t1_ns = std::min(t0 + bar_, span_.end_ns), hour.g_per_kwh = energy::kAbsent;
      out_.hours.push_back(hour);
    }
    site_by_window_.resize(
        static_cast<std::size_t>((span_.end_ns - span_.first_ns) / span_.window_length_ns) + 1);
  }

  std::size_t bar_of(std::int64_t window) const {
    return std::min(out_.hours.size() - 1, static_cast<std::size_t>((window - span_.first_ns) / bar_));
  }

  // A meter's energy is taken from its parent's part and added to its own, so that all parts add up to the
  // site.
  base::Status read_meters() {
    std::vector<std::vector<std::int64_t>> by_meter;
    const auto on_reading = [&](std::size_t m, const MeterReading& r) {
      if (by_meter.size() <= m) {
        by_meter.resize(m + 1, std::vector<std::int64_t>(out_.hours.size()));
        out_.meters.resize(m + 1);
      }
      by_meter[m][bar_of(r.window_ns)] += r.energy_uj;
      out_.meters[m].quality = energy::worse(out_.meters[m].quality, r.quality);
      out_.meters[m].off.add(r.energy_uj, r.uncertainty_ppm);
    };
    PJ_ASSIGN(meters_, MeterCatalog::load(store_, window_, on_reading));
    out_.meters.resize(meters_.size());
    for (std::size_t m = 0; m < meters_.size(); ++m) take_meter(m, by_meter[m]);
    return base::ok_status();
  }

  void take_meter(std::size_t m, const std::vector<std::int64_t>& by_hour) {
    const MeterInfo& info = meters_[m];
    ReportMeter& meter = out_.meters[m];
    meter.name = info.name, meter.rack = info.rack, meter.node = info.node;
    meter.kind = info.kind, meter.zone = info.zone, meter.parent = info.parent_index;
    for (std::size_t h = 0; h < by_hour.size(); ++h) {
      meter.energy_uj += by_hour[h];
      out_.hours[h].energy_uj[index_of(part_of(info))] += by_hour[h];
      if (info.parent_index != kNoMeter) {
        out_.hours[h].energy_uj[index_of(part_of(meters_[info.parent_index]))] -= by_hour[h];
      }
    }
    const auto count = [&](std::int64_t& sum, UncertainSum& off) {
      sum += meter.energy_uj;
      off.uj += meter.off.uj, off.off_uj += meter.off.off_uj;
    };
    if (info.parent.empty()) count(out_.site_uj, out_.site_off);
    if (info.kind == "node" || info.kind == "switch") count(out_.it_uj, out_.it_off);
    if (info.kind == "gpu") count(out_.gpu_uj, out_.gpu_off), ++out_.gpus;
    if (info.kind == "node") ++out_.nodes;
    std::int64_t cooling = 0;
    if (info.zone == "cooling" && (info.parent.empty() || meters_[info.parent_index].zone != "cooling")) {
      count(cooling, out_.cooling_off);
    }
    out_.quality = energy::worse(out_.quality, meter.quality);
    out_.simulated = out_.simulated || meter.quality == Quality::kSimulated;
  }

  base::Status read_joules() {
    static const std::vector<std::string> kColumns{"window_ns", "meter",          "energy_uj", "share",
                                                   "quality",   "tenant",         "job",       "model",
                                                   "request",   "uncertainty_ppm"};
    return store_.scan({Table::kJoules, kColumns, window_}, [this](const Batch& b) { return add_joules(b); });
  }

  base::Status add_joules(const Batch& b) {
    const CodeValues<std::size_t> share(
        b.columns[3], 3, [](std::string_view s) { return static_cast<std::size_t>(share_or_residual(s)); });
    const CodeValues<std::size_t> meter(b.columns[1], kNoMeter,
                                        [&](std::string_view name) { return meters_.find(name); });
    const CodeValues<Quality> quality(b.columns[4], Quality::kMissing, quality_or_missing);
    const auto intern = [&](std::string_view s) { return symbols_.intern(s).id; };
    const CodeValues<std::uint32_t> tenant(b.columns[5], 0U, intern), job(b.columns[6], 0U, intern),
        model(b.columns[7], 0U, intern);
    GroupKey last_key{};
    ReportConsumer* group = nullptr;
    for (std::size_t r = 0; r < b.rows; ++r) {
      const std::int64_t uj = b.columns[2].ints[r], ppm = b.columns[9].ints[r];
      const std::size_t s = share.at(r);
      const GroupKey key{tenant.at(r), job.at(r), model.at(r)};
      if (group == nullptr || key != last_key) group = &groups_[key], last_key = key;
      group->by_share_uj[s] += uj;
      group->off.add(uj, ppm);
      group->quality = energy::worse(group->quality, quality.at(r));
      out_.by_share_uj[s] += uj;
      if (!b.columns[8].is_null(r)) {
        out_.serving_direct_uj += uj, out_.serving_off.add(uj, ppm), group->serving = true;
      }
      count_on_meter(*group, meter.at(r), s, bar_of(b.columns[0].ints[r]), uj);
    }
    return base::ok_status();
  }

  void count_on_meter(ReportConsumer& group, std::size_t m, std::size_t share, std::size_t bar,
                      std::int64_t uj) {
    const EnergyKind kind = m == kNoMeter ? EnergyKind::kLosses : kind_of(meters_[m]);
    ReportHour& hour = out_.hours[bar];
    hour.by_share_uj[share] += uj;
    hour.by_kind_uj[static_cast<std::size_t>(kind)] += uj;
    group.by_kind_uj[static_cast<std::size_t>(kind)] += uj;
    if (m != kNoMeter) out_.meters[m].own_uj[share] += uj;
    if (kind != EnergyKind::kGpu) return;
    if (share == 0) group.gpu_direct_uj += uj;
    if (share != 1) return;
    group.gpu_idle_uj += uj;
    out_.gpu_idle_uj += uj;
    hour.energy_uj[index_of(EnergyPart::kGpuWork)] -= uj;
    hour.energy_uj[index_of(EnergyPart::kGpuIdle)] += uj;
  }

  struct Times {
    ReportLatency row;
    std::vector<double> latency, ttft;
    void add(double latency_ms, double ttft_ms, bool met, std::int64_t tokens, std::int64_t uj) {
      ++row.finished;
      row.missed += met ? 0 : 1;
      row.output_tokens += tokens;
      row.energy_uj += uj;
      if (!std::isnan(latency_ms)) latency.push_back(latency_ms);
      if (!std::isnan(ttft_ms)) ttft.push_back(ttft_ms);
    }
    ReportLatency finish() {
      row.p50_ms = math::percentile(latency, 0.50), row.p95_ms = math::percentile(latency, 0.95);
      row.p99_ms = math::percentile(latency, 0.99);
      row.ttft_p50_ms = math::percentile(ttft, 0.50), row.ttft_p95_ms = math::percentile(ttft, 0.95);
      row.ttft_p99_ms = math::percentile(ttft, 0.99);
      return std::move(row);
    }
  };

  base::Status read_requests() {
    Times all;
    std::map<std::pair<std::string, std::string>, Times> groups;
    const auto on_batch = [&](const Batch& b) -> base::Status {
      for (std::size_t r = 0; r < b.rows; ++r) {
        const double latency = b.columns[2].doubles[r], ttft = b.columns[3].doubles[r];
        const bool met = b.columns[4].bools[r] != 0;
        const std::int64_t tokens = b.columns[5].ints[r], uj = b.columns[7].ints[r];
        out_.output_tokens += tokens;
        out_.input_tokens += b.columns[6].ints[r];
        all.add(latency, ttft, met, tokens, uj);
        groups[{std::string(b.columns[0].text(r)), std::string(b.columns[1].text(r))}].add(latency, ttft, met,
                                                                                           tokens, uj);
      }
      return base::ok_status();
    };
    PJ_TRY(store_.scan({Table::kRequests,
                        {"tenant", "model", "latency_ms", "ttft_ms", "slo_met", "output_tokens",
                         "input_tokens", "energy_uj"},
                        window_},
                       on_batch));
    if (all.row.finished == 0) return base::ok_status();
    out_.latency.push_back(all.finish());
    for (auto& [key, times] : groups) {
      std::tie(times.row.tenant, times.row.model) = key;
      out_.latency.push_back(times.finish());
    }
    return base::ok_status();
  }

  base::Status read_jobs() {
    return store_.scan({Table::kJobs, {"t_end_ns"}, window_}, [this](const Batch& b) -> base::Status {
      for (std::size_t r = 0; r < b.rows; ++r) out_.jobs_ended += b.columns[0].is_null(r) ? 0 : 1;
      out_.jobs += static_cast<std::int64_t>(b.rows);
      return base::ok_status();
    });
  }

  base::Status read_decisions() {
    std::map<std::pair<std::string, std::string>, std::pair<ReportAction, std::set<std::string>>> actions;
    const auto on_batch = [&](const Batch& b) -> base::Status {
      for (std::size_t r = 0; r < b.rows; ++r) {
        auto& [action, targets] =
            actions[{std::string(b.columns[1].text(r)), std::string(b.columns[2].text(r))}];
        action.by_hour.resize(out_.hours.size());
        ++action.count, ++out_.decisions;
        action.undone += b.columns[4].bools[r] != 0 ? 1 : 0;
        action.expected_saving_uj += b.columns[5].ints[r];
        ++action.by_hour[bar_of(b.columns[0].ints[r])];
        targets.emplace(b.columns[3].text(r));
      }
      return base::ok_status();
    };
    PJ_TRY(store_.scan(
        {Table::kDecisions, {"t_ns", "policy", "action", "target", "undone", "expected_saving_uj"}, window_},
        on_batch));
    for (auto& [key, found] : actions) {
      std::tie(found.first.policy, found.first.action) = key;
      found.first.targets = found.second.size();
      out_.actions.push_back(std::move(found.first));
    }
    return base::ok_status();
  }

  // Grams of the site: window by window, as a factor changes with the hour.
  base::Status read_carbon() {
    PJ_ASSIGN(const auto series, load_carbon(store_));
    PJ_TRY(site_windows());
    for (const CarbonFactors& f : series) {
      ReportCarbon c{f.region, f.kind, f.source, 0.0, energy::kAbsent, energy::worse(f.quality, out_.quality),
                     {}};
      for (const ReportHour& h : out_.hours) c.g_per_kwh.push_back(f.mean(h.t0_ns, h.t1_ns));
      for (std::size_t w = 0; w < site_by_window_.size(); ++w) {
        if (site_by_window_[w] == 0) continue;
        const std::int64_t t0 = span_.first_ns + static_cast<std::int64_t>(w) * span_.window_length_ns;
        c.grams += static_cast<double>(site_by_window_[w]) / 3.6e12 * f.mean(t0, t0 + span_.window_length_ns);
      }
      if (out_.site_uj != 0) c.mean_g_per_kwh = c.grams / (static_cast<double>(out_.site_uj) / 3.6e12);
      out_.carbon.push_back(std::move(c));
    }
    const auto charged = std::find_if(out_.carbon.begin(), out_.carbon.end(),
                                      [](const ReportCarbon& c) { return c.kind == "average"; });
    if (charged == out_.carbon.end()) return base::ok_status();
    std::rotate(out_.carbon.begin(), charged, charged + 1);
    for (std::size_t h = 0; h < out_.hours.size(); ++h) out_.hours[h].g_per_kwh = out_.carbon[0].g_per_kwh[h];
    return base::ok_status();
  }

  base::Status site_windows() {
    return store_.scan({Table::kMeters, {"window_ns", "parent", "energy_uj"}, window_},
                       [this](const Batch& b) -> base::Status {
                         for (std::size_t r = 0; r < b.rows; ++r) {
                           if (!b.columns[1].is_null(r)) continue;
                           const auto w = static_cast<std::size_t>((b.columns[0].ints[r] - span_.first_ns) /
                                                                   span_.window_length_ns);
                           site_by_window_[std::min(w, site_by_window_.size() - 1)] += b.columns[2].ints[r];
                         }
                         return base::ok_status();
                       });
  }

  base::Status read_savings() {
    const auto it = out_.meta.find("savings_json");
    if (it == out_.meta.end()) return base::ok_status();
    const Json rows = Json::parse(it->second, nullptr, false);
    const auto wrong = [&](const std::string& why) {
      return base::bad_input("read the savings", store_.directory() + ": meta savings_json", why);
    };
    if (!rows.is_array()) return wrong("it is not a JSON array");
    for (const Json& j : rows) {
      if (!j.is_object() || !j.contains("site_uj") || !j["site_uj"].is_number_integer()) {
        return wrong("a row has no whole number site_uj");
      }
      out_.savings.push_back(saving_of(j));
    }
    out_.meta.erase("savings_json");
    return base::ok_status();
  }

  // The run in the store beside the rules it was compared with; only as a whole is it one of them.
  void add_recorded_run() {
    if (out_.savings.empty() || !whole_ || out_.latency.empty()) return;
    const ReportLatency& all = out_.latency[0];
    const auto policies = out_.meta.find("policies");
    out_.savings.push_back({kRecordedRun, policies == out_.meta.end() ? "" : policies->second, "ours",
                            out_.site_uj, out_.gpu_uj, all.p50_ms, all.p95_ms, all.p99_ms, all.missed,
                            all.finished, out_.serving_gpu_uj});
  }

  static ReportSaving saving_of(const Json& j) {
    const auto text = [&](const char* key) {
      const auto it = j.find(key);
      if (it == j.end() || it->is_null()) return std::string();
      if (it->is_boolean()) return std::string(it->get<bool>() ? "baseline" : "");
      return it->is_string() ? it->get<std::string>() : it->dump();
    };
    const auto real = [&](const char* key) {
      return j.contains(key) && j[key].is_number() ? j[key].get<double>() : energy::kAbsent;
    };
    const auto whole = [&](const char* key) {
      return j.contains(key) && j[key].is_number_integer() ? j[key].get<std::int64_t>() : std::int64_t{0};
    };
    ReportSaving row{text("policy"),  text("rule"),      text("baseline"), whole("site_uj"),
                     whole("gpu_uj"), real("p50_ms"),    real("p95_ms"),   real("p99_ms"),
                     whole("missed"), whole("finished"), std::nullopt};
    if (j.contains("serving_gpu_uj")) row.serving_gpu_uj = whole("serving_gpu_uj");
    return row;
  }

  void finish() {
    for (auto& [key, group] : groups_) {
      group.tenant = symbols_.text(base::Symbol{key[0]});
      group.job = symbols_.text(base::Symbol{key[1]});
      group.model = symbols_.text(base::Symbol{key[2]});
      out_.joules_uj += group.total_uj();
      out_.quality = energy::worse(out_.quality, group.quality);
      out_.simulated = out_.simulated || group.quality == Quality::kSimulated;
      if (group.serving) out_.serving_gpu_uj += group.gpu_direct_uj + group.gpu_idle_uj;
      out_.consumers.push_back(std::move(group));
    }
    std::sort(out_.consumers.begin(), out_.consumers.end(),
              [](const ReportConsumer& a, const ReportConsumer& b) {
                return a.total_uj() != b.total_uj()
                           ? a.total_uj() > b.total_uj()
                           : std::tie(a.tenant, a.job, a.model) < std::tie(b.tenant, b.job, b.model);
              });
  }

  const bus::StoreReader& store_;
  const ReportOptions& options_;
  StoreSpan span_;
  bus::TimeWindow window_;
  bool whole_;
  std::int64_t bar_;
  StoreReport out_;
  MeterCatalog meters_;
  base::SymbolTable symbols_;
  std::unordered_map<GroupKey, ReportConsumer, GroupHash> groups_;
  std::vector<std::int64_t> site_by_window_;
};

double ratio(std::int64_t part, std::int64_t whole) {
  return whole == 0 ? energy::kAbsent : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

std::int64_t ReportHour::site_uj() const {
  std::int64_t sum = 0;
  for (const std::int64_t uj : energy_uj) sum += uj;
  return sum;
}

double ReportHour::mean_power_w(std::size_t part) const {
  return static_cast<double>(energy_uj[part]) * 1e-6 / (static_cast<double>(t1_ns - t0_ns) * 1e-9);
}

std::array<std::int64_t, kEnergyParts> StoreReport::parts_uj() const {
  std::array<std::int64_t, kEnergyParts> out{};
  for (const ReportHour& h : hours) {
    for (std::size_t p = 0; p < kEnergyParts; ++p) out[p] += h.energy_uj[p];
  }
  return out;
}

std::array<std::int64_t, kEnergyKinds> StoreReport::kinds_uj() const {
  std::array<std::int64_t, kEnergyKinds> out{};
  for (const ReportHour& h : hours) {
    for (std::size_t k = 0; k < kEnergyKinds; ++k) out[k] += h.by_kind_uj[k];
  }
  return out;
}

void UncertainSum::add(std::int64_t energy_uj, std::int64_t ppm) {
  const double size = std::abs(static_cast<double>(energy_uj));
  uj += static_cast<double>(energy_uj);
  off_uj += size * static_cast<double>(ppm) * 1e-6;
}

std::int64_t UncertainSum::ppm() const {
  return std::abs(uj) > 0.0 ? std::llround(off_uj / std::abs(uj) * 1e6) : -1;
}

double StoreReport::pue() const { return ratio(site_uj, it_uj); }
double StoreReport::idle_share() const { return ratio(gpu_idle_uj, gpu_uj); }
double StoreReport::joules_per_token() const { return ratio(serving_direct_uj, output_tokens) * 1e-6; }
double StoreReport::joules_per_request() const {
  return latency.empty() ? energy::kAbsent : ratio(serving_direct_uj, latency[0].finished) * 1e-6;
}

double saved_against(const StoreReport& r, const ReportSaving& row) {
  for (const ReportSaving& s : r.savings) {
    if (!row.ours() && s.policy == row.policy && s.ours()) return 1.0 - ratio(s.site_uj, row.site_uj);
  }
  return energy::kAbsent;
}

double below_none(const StoreReport& r, const ReportSaving& row) {
  for (const ReportSaving& s : r.savings) {
    if (s.policy == "none" && &s != &row) return 1.0 - ratio(row.site_uj, s.site_uj);
  }
  return energy::kAbsent;
}

double serving_below_none(const StoreReport& r, const ReportSaving& row) {
  for (const ReportSaving& s : r.savings) {
    if (s.policy != "none" || &s == &row || !s.serving_gpu_uj || !row.serving_gpu_uj) continue;
    return 1.0 - ratio(*row.serving_gpu_uj, *s.serving_gpu_uj);
  }
  return energy::kAbsent;
}

base::Result<StoreReport> store_report(const bus::StoreReader& store, const ReportOptions& options) {
  PJ_ASSIGN(const StoreSpan all, span_of(store));
  StoreSpan span = all;
  // To whole settlement windows, each taken when it starts inside.
  const auto first_from = [&](std::int64_t t, std::int64_t otherwise) {
    if (t <= all.first_ns || t >= all.end_ns) return otherwise;
    const std::int64_t length = all.window_length_ns;
    return all.first_ns + (t - all.first_ns + length - 1) / length * length;
  };
  if (options.window.from_ns >= all.end_ns || options.window.to_ns <= all.first_ns ||
      options.window.from_ns >= options.window.to_ns) {
    return base::bad_input("report", store.directory(), "the store has nothing between --from and --to",
                           "It holds " + base::format_iso8601(base::TimePoint{all.first_ns}) + " to " +
                               base::format_iso8601(base::TimePoint{all.end_ns}));
  }
  span.first_ns = first_from(options.window.from_ns, all.first_ns);
  span.end_ns = first_from(options.window.to_ns, all.end_ns);
  if (span.first_ns >= span.end_ns) {
    return base::bad_input("report", store.directory(), "no settlement window starts between --from and --to",
                           "A window of this store lasts " +
                               base::fixed_text(static_cast<double>(all.window_length_ns) * 1e-9, 0) + " s");
  }
  const bool whole = span.first_ns == all.first_ns && span.end_ns == all.end_ns;
  return Reporter(store, options, span, whole).go();
}

}  // namespace perjoule::answers
