#include "answers/store_report.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <tuple>
#include <unordered_map>

#include "answers/store_view.hpp"

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
  Reporter(const bus::StoreReader& store, const ReportOptions& options, StoreSpan span)
      : store_(store), options_(options), span_(span), bar_(bar_length(span)) {}

  base::Result<StoreReport> go() {
    describe();
    PJ_TRY(read_meters());
    PJ_TRY(read_joules());
    PJ_TRY(read_requests());
    PJ_TRY(read_jobs());
    PJ_TRY(read_carbon());
    PJ_TRY(read_savings());
    if (options_.check_equalities) {
      PJ_ASSIGN(out_.conservation, bus::check_conservation(store_));
      out_.equalities_checked = true;
    }
    finish();
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
    for (const bus::Table t : {Table::kMeters, Table::kJoules, Table::kSamples, Table::kRequests,
                               Table::kJobs, Table::kDecisions, Table::kCarbon}) {
      out_.table_rows.emplace_back(bus::schema_of(t).name, store_.rows(t));
    }
    out_.decisions = static_cast<std::int64_t>(store_.rows(Table::kDecisions));
    const auto bars = static_cast<std::size_t>((span_.end_ns - span_.first_ns + bar_ - 1) / bar_);
    for (std::size_t i = 0; i < bars; ++i) {
      const std::int64_t t0 = span_.first_ns + static_cast<std::int64_t>(i) * bar_;
      out_.hours.push_back({t0, std::min(t0 + bar_, span_.end_ns), {}, energy::kAbsent});
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
      if (by_meter.size() <= m) by_meter.resize(m + 1, std::vector<std::int64_t>(out_.hours.size() + 1));
      by_meter[m][bar_of(r.window_ns)] += r.energy_uj;
      out_.quality = energy::worse(out_.quality, r.quality);
      out_.simulated = out_.simulated || r.quality == Quality::kSimulated;
    };
    PJ_ASSIGN(meters_, MeterCatalog::load(store_, {}, on_reading));
    for (std::size_t m = 0; m < meters_.size(); ++m) {
      const MeterInfo& info = meters_[m];
      for (std::size_t h = 0; h < out_.hours.size(); ++h) {
        const std::int64_t uj = by_meter[m][h];
        out_.hours[h].energy_uj[index_of(part_of(info))] += uj;
        if (info.parent_index != kNoMeter) {
          out_.hours[h].energy_uj[index_of(part_of(meters_[info.parent_index]))] -= uj;
        }
        if (info.parent.empty()) out_.site_uj += uj;
        if (info.kind == "node" || info.kind == "switch") out_.it_uj += uj;
        if (info.kind == "gpu") out_.gpu_uj += uj;
      }
    }
    return base::ok_status();
  }

  base::Status read_joules() {
    static const std::vector<std::string> kColumns{"window_ns", "meter", "energy_uj", "share",  "quality",
                                                   "tenant",    "job",   "model",     "request"};
    return store_.scan({Table::kJoules, kColumns, {}}, [this](const Batch& b) { return add_joules(b); });
  }

  base::Status add_joules(const Batch& b) {
    const CodeValues<std::size_t> share(
        b.columns[3], 3, [](std::string_view s) { return static_cast<std::size_t>(share_or_residual(s)); });
    const CodeValues<char> gpu(b.columns[1], 0, [&](std::string_view name) {
      const std::size_t m = meters_.find(name);
      return static_cast<char>(m != kNoMeter && meters_[m].kind == "gpu" ? 1 : 0);
    });
    const CodeValues<Quality> quality(b.columns[4], Quality::kMissing, quality_or_missing);
    const auto intern = [&](std::string_view s) { return symbols_.intern(s).id; };
    const CodeValues<std::uint32_t> tenant(b.columns[5], 0U, intern), job(b.columns[6], 0U, intern),
        model(b.columns[7], 0U, intern);
    GroupKey last_key{};
    ReportConsumer* group = nullptr;
    for (std::size_t r = 0; r < b.rows; ++r) {
      const std::int64_t uj = b.columns[2].ints[r];
      const std::size_t s = share.at(r);
      const GroupKey key{tenant.at(r), job.at(r), model.at(r)};
      if (group == nullptr || key != last_key) group = &groups_[key], last_key = key;
      group->by_share_uj[s] += uj;
      group->quality = energy::worse(group->quality, quality.at(r));
      out_.by_share_uj[s] += uj;
      if (!b.columns[8].is_null(r)) out_.serving_direct_uj += uj, group->serving = true;
      if (gpu.at(r) == 0) continue;
      if (s == 0) group->gpu_direct_uj += uj;
      if (s != 1) continue;
      group->gpu_idle_uj += uj;
      out_.gpu_idle_uj += uj;
      auto& parts = out_.hours[bar_of(b.columns[0].ints[r])].energy_uj;
      parts[index_of(EnergyPart::kGpuWork)] -= uj;
      parts[index_of(EnergyPart::kGpuIdle)] += uj;
    }
    return base::ok_status();
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
      row.p50_ms = percentile(latency, 0.50), row.p95_ms = percentile(latency, 0.95);
      row.p99_ms = percentile(latency, 0.99);
      row.ttft_p50_ms = percentile(ttft, 0.50), row.ttft_p95_ms = percentile(ttft, 0.95);
      row.ttft_p99_ms = percentile(ttft, 0.99);
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
                        {}},
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
    return store_.scan({Table::kJobs, {"t_end_ns"}, {}}, [this](const Batch& b) -> base::Status {
      for (std::size_t r = 0; r < b.rows; ++r) out_.jobs_ended += b.columns[0].is_null(r) ? 0 : 1;
      out_.jobs += static_cast<std::int64_t>(b.rows);
      return base::ok_status();
    });
  }

  // Grams of the site: window by window, as a factor changes with the hour.
  base::Status read_carbon() {
    PJ_ASSIGN(const auto series, load_carbon(store_));
    PJ_TRY(site_windows());
    for (const CarbonFactors& f : series) {
      ReportCarbon c{f.region, f.kind,          f.source,
                     0.0,      energy::kAbsent, energy::worse(f.quality, out_.quality)};
      for (std::size_t w = 0; w < site_by_window_.size(); ++w) {
        if (site_by_window_[w] == 0) continue;
        const std::int64_t t0 = span_.first_ns + static_cast<std::int64_t>(w) * span_.window_length_ns;
        c.grams += static_cast<double>(site_by_window_[w]) / 3.6e12 * f.mean(t0, t0 + span_.window_length_ns);
      }
      if (out_.site_uj != 0) c.mean_g_per_kwh = c.grams / (static_cast<double>(out_.site_uj) / 3.6e12);
      out_.carbon.push_back(std::move(c));
    }
    if (!series.empty()) {
      for (ReportHour& h : out_.hours) h.g_per_kwh = series[0].mean(h.t0_ns, h.t1_ns);
    }
    return base::ok_status();
  }

  base::Status site_windows() {
    return store_.scan(
        {Table::kMeters, {"window_ns", "parent", "energy_uj"}, {}}, [this](const Batch& b) -> base::Status {
          for (std::size_t r = 0; r < b.rows; ++r) {
            if (!b.columns[1].is_null(r)) continue;
            const auto w =
                static_cast<std::size_t>((b.columns[0].ints[r] - span_.first_ns) / span_.window_length_ns);
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
    return {text("policy"), text("rule"),   text("baseline"), whole("site_uj"), whole("gpu_uj"),
            real("p50_ms"), real("p95_ms"), real("p99_ms"),   whole("missed"),  whole("finished")};
  }

  void finish() {
    for (auto& [key, group] : groups_) {
      group.tenant = symbols_.text(base::Symbol{key[0]});
      group.job = symbols_.text(base::Symbol{key[1]});
      group.model = symbols_.text(base::Symbol{key[2]});
      out_.joules_uj += group.total_uj();
      out_.quality = energy::worse(out_.quality, group.quality);
      out_.simulated = out_.simulated || group.quality == Quality::kSimulated;
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

double StoreReport::pue() const { return ratio(site_uj, it_uj); }
double StoreReport::idle_share() const { return ratio(gpu_idle_uj, gpu_uj); }
double StoreReport::joules_per_token() const { return ratio(serving_direct_uj, output_tokens) * 1e-6; }
double StoreReport::joules_per_request() const {
  return latency.empty() ? energy::kAbsent : ratio(serving_direct_uj, latency[0].finished) * 1e-6;
}

double percentile(std::vector<double>& values, double p) {
  if (values.empty()) return energy::kAbsent;
  const double rank = std::ceil(p * static_cast<double>(values.size()));
  const std::size_t k = std::max<std::size_t>(1, static_cast<std::size_t>(rank)) - 1;
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(std::min(k, values.size() - 1));
  std::nth_element(values.begin(), at, values.end());
  return *at;
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

base::Result<StoreReport> store_report(const bus::StoreReader& store, const ReportOptions& options) {
  PJ_ASSIGN(const StoreSpan span, span_of(store));
  return Reporter(store, options, span).go();
}

}  // namespace perjoule::answers
