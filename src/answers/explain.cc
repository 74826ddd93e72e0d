#include "answers/explain.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "answers/answer_format.hpp"
#include "answers/store_view.hpp"
#include "base/text.hpp"
#include "bus/queries.hpp"

namespace perjoule::answers {
namespace {

using bus::Batch;
using bus::Table;
using bus::TimeWindow;
using energy::Quality;

constexpr std::int64_t kNoTime = energy::kNoTime;
constexpr std::size_t kNamesInHint = 200'000;  // ids compared for the nearest one
constexpr std::int64_t kWindowsAround = 5;     // on each side of a decision

const std::map<std::string, std::string>& rules() {
  static const std::map<std::string, std::string> kRules{
      {"serving-steps/1",
       "GPU energy that is not idle, split over the requests in each step: a decode step by tokens and "
       "context, a "
       "prefill by tokens; E_i = E_direct * w_i / sum(w), w_i = modelled joules of request i in the window"},
      {"training-phases/1",
       "GPU energy that is not idle, split over the phases of the job's steps (forward, backward, optimiser, "
       "all-reduce): E_p = E_direct * w_p / sum(w), w_p = modelled joules of phase p in the window"},
      {"host-by-gpu/1",
       "CPU, DRAM and NIC energy of a node, split by the GPU energy of who worked on the node: "
       "E_c = E_host * G_c / sum(G)"},
      {"idle-holder/1",
       "Energy drawn without work goes to the holder of the reservation and is shown apart: share = idle"},
      {"overhead-proportional/1",
       "Fans, boards, switches and cooling, passed on by the energy used below them: E_c = E_overhead * U_c "
       "/ sum(U)"},
      {"loss-proportional/1",
       "Expected conversion and line losses (meter - children), passed on by the energy used below: "
       "E_c = E_loss * U_c / sum(U)"},
      {"residual/1",
       "What the meter says beyond its children and expected losses; never spread, never hidden: "
       "E_residual = E_meter - sum(children) - E_passed_on"}};
  return kRules;
}

struct ConsumerFilter {
  std::string column;  // "request", "job", "kernel", "meter"
  std::string value;
};

struct LineKey {
  std::int64_t window_ns;
  std::string meter, share, step, method;
  bool operator<(const LineKey& o) const {
    return std::tie(window_ns, meter, share, step, method) <
           std::tie(o.window_ns, o.meter, o.share, o.step, o.method);
  }
};

// One explanation under construction.
class Explainer {
 public:
  Explainer(const bus::StoreReader& store, const ExplainOptions& options, StoreSpan span, std::string kind,
            std::string id)
      : store_(store), options_(options), span_(span) {
    out_.kind = std::move(kind);
    out_.id = std::move(id);
  }

  base::Result<Explanation> request();
  base::Result<Explanation> job();
  base::Result<Explanation> kernel();
  base::Result<Explanation> meter();
  base::Result<Explanation> decision();

 private:
  template <class F>
  base::Status find_row(Table table, const std::string& column, F&& found);
  base::Error unknown(Table table, const std::string& column) const;
  base::Status gather(const ConsumerFilter& filter, TimeWindow window);
  base::Status gather_batch(const Batch& b, const ConsumerFilter& filter,
                            std::map<LineKey, EnergyLine>& lines);
  void keep_lines(std::map<LineKey, EnergyLine>& lines);
  base::Status note_dropped_rows(const ConsumerFilter& filter, TimeWindow window);
  base::Status gather_meters();
  base::Status check_meters();
  base::Status gather_samples(const std::vector<std::string>& devices);
  base::Status gather_carbon();
  base::Status trace();
  void finish();

  TimeWindow clipped(std::int64_t from_ns, std::int64_t to_ns) const {
    return {std::max(from_ns, options_.window.from_ns), std::min(to_ns, options_.window.to_ns)};
  }
  TimeWindow used_span() const;

  const bus::StoreReader& store_;
  const ExplainOptions& options_;
  StoreSpan span_;
  Explanation out_;
  // meter -> window -> energy of this explanation's rows
  std::map<std::string, std::map<std::int64_t, std::int64_t>> used_;
  std::map<std::int64_t, std::int64_t> by_window_;
  std::map<std::string, std::int64_t> kernels_seen_;  // with kernels of other consumers, at 0
};

TimeWindow Explainer::used_span() const {
  if (by_window_.empty()) return {0, 0};
  return {by_window_.begin()->first, by_window_.rbegin()->first + 1};
}

// Calls found(batch, row) for the first row whose text column is the id; kBadInput if there is none.
template <class F>
base::Status Explainer::find_row(Table table, const std::string& column, F&& found) {
  bool seen = false;
  const std::size_t at = bus::schema_of(table).find(column);
  const auto on_batch = [&](const Batch& b) -> base::Status {
    const auto& c = b.columns[at];
    const auto code = std::find(c.dictionary.begin(), c.dictionary.end(), out_.id);
    if (seen || code == c.dictionary.end()) return base::ok_status();
    const auto wanted = static_cast<std::uint32_t>(code - c.dictionary.begin());
    const auto row = std::find(c.codes.begin(), c.codes.end(), wanted);
    if (row == c.codes.end()) return base::ok_status();
    seen = true;
    found(b, static_cast<std::size_t>(row - c.codes.begin()));
    return base::ok_status();
  };
  PJ_TRY(store_.scan({table, {}, {}, {}, bus::TextIs{column, out_.id}}, on_batch));
  return seen ? base::ok_status() : base::Status(unknown(table, column));
}

base::Error Explainer::unknown(Table table, const std::string& column) const {
  std::set<std::string> names;
  const auto on_batch = [&](const Batch& b) -> base::Status {
    for (const auto text : b.columns[0].dictionary) {
      if (names.size() < kNamesInHint) names.emplace(text);
    }
    return base::ok_status();
  };
  const base::Status read = store_.scan({table, {column}, {}}, on_batch);
  const std::string name(bus::schema_of(table).name);
  std::string hint = "This store has none";
  if (!read.ok()) {
    hint = read.error().message();
  } else if (!names.empty()) {
    hint = base::nearest_name_hint(out_.id, std::vector<std::string>(names.begin(), names.end())) +
           " To list them: perjoule query 'SELECT DISTINCT " + column + " FROM " + name +
           "', or perjoule top --by " +
           (table == Table::kMeters   ? "meter"
            : out_.kind == "decision" ? "tenant,job"
                                      : out_.kind);
  }
  return base::bad_input("explain " + out_.kind + " '" + out_.id + "'", store_.directory(),
                         "the store's table " + name + " has no such " + out_.kind, hint);
}

base::Status Explainer::gather(const ConsumerFilter& filter, TimeWindow window) {
  static const std::vector<std::string> kColumns{
      "window_ns", "meter", "energy_uj", "share", "quality", "method", "uncertainty_ppm", "step", "kernel"};
  std::vector<std::string> columns = kColumns;
  columns.push_back(filter.column);
  std::map<LineKey, EnergyLine> lines;
  const auto on_batch = [&](const Batch& b) { return gather_batch(b, filter, lines); };
  PJ_TRY(
      store_.scan({Table::kJoules, columns, window, {}, bus::TextIs{filter.column, filter.value}}, on_batch));
  keep_lines(lines);
  return note_dropped_rows(filter, window);
}

// Rows that have been dropped for their age are in none of the lines; sums may still know what they used.
base::Status Explainer::note_dropped_rows(const ConsumerFilter& filter, TimeWindow window) {
  const auto kept_from = bus::lacks_before(store_.manifest(), Table::kJoules, window);
  if (!kept_from) return base::ok_status();
  std::string note = "Rows of joules before " + time_text(*kept_from) +
                     " have been dropped for their age: all figures here are of what is left.";
  bus::QuerySession session{bus::StoreReader(store_)};
  bus::EnergyQuery query;
  query.by = {filter.column};
  query.is = {{filter.column, filter.value}};
  query.window = window;
  PJ_ASSIGN(const auto all, bus::energy_by(session, query));
  if (!all.rollup.empty() && !all.lacks_before_ns && !all.groups.empty())
    note +=
        " With them it is " + exact_energy_text(all.groups[0].energy_uj) + " (sums of " + all.rollup + ").";
  out_.notes.push_back(std::move(note));
  return base::ok_status();
}

base::Status Explainer::gather_batch(const Batch& b, const ConsumerFilter& filter,
                                     std::map<LineKey, EnergyLine>& lines) {
  const auto& wanted = b.columns[9];
  const auto code = std::find(wanted.dictionary.begin(), wanted.dictionary.end(), filter.value);
  if (code == wanted.dictionary.end()) return base::ok_status();
  const auto match = static_cast<std::uint32_t>(code - wanted.dictionary.begin());
  const CodeValues<Quality> quality(b.columns[4], Quality::kMissing, quality_or_missing);
  const CodeValues<std::int64_t*> kernel(
      b.columns[8], nullptr, [&](std::string_view name) { return &kernels_seen_[std::string(name)]; });
  // Where the rows of one window, meter, share, step and rule are counted; rows of a kind come in runs.
  struct Place {
    EnergyLine* line = nullptr;
    std::int64_t *used = nullptr, *window = nullptr;
  };
  std::map<std::array<std::int64_t, 5>, Place> places;
  for (std::size_t r = 0; r < b.rows; ++r) {
    if (wanted.codes[r] != match) continue;
    const std::int64_t window = b.columns[0].ints[r], uj = b.columns[2].ints[r];
    Place& place = places[{window, b.columns[1].codes[r], b.columns[3].codes[r], b.columns[7].codes[r],
                           b.columns[5].codes[r]}];
    if (place.line == nullptr) {
      const auto text = [&](std::size_t c) { return std::string(b.columns[c].text(r)); };
      place = {&lines[{window, text(1), text(3), text(7), text(5)}], &used_[text(1)][window],
               &by_window_[window]};
    }
    place.line->energy_uj += uj;
    ++place.line->joule_rows;
    place.line->quality = energy::worse(place.line->quality, quality.at(r));
    place.line->uncertainty_ppm = std::max(place.line->uncertainty_ppm, b.columns[6].ints[r]);
    *place.used += uj;
    *place.window += uj;
    if (std::int64_t* k = kernel.at(r); k != nullptr) *k += uj;
    out_.energy_uj += uj;
  }
  return base::ok_status();
}

// As they are if they are few, else summed over the windows.
void Explainer::keep_lines(std::map<LineKey, EnergyLine>& lines) {
  out_.windows = by_window_.size();
  if (lines.size() > options_.detail_rows) {
    std::map<LineKey, EnergyLine> summed;
    for (const auto& [key, line] : lines) {
      EnergyLine& s = summed[{kNoTime, key.meter, key.share, key.step, key.method}];
      s.energy_uj += line.energy_uj;
      s.joule_rows += line.joule_rows;
      s.quality = energy::worse(s.quality, line.quality);
      s.uncertainty_ppm = std::max(s.uncertainty_ppm, line.uncertainty_ppm);
    }
    lines.swap(summed);
  }
  std::set<std::string> methods;
  for (auto& [key, line] : lines) {
    line.window_ns = key.window_ns;
    line.meter = key.meter;
    line.share = key.share;
    line.step = key.step;
    line.method = key.method;
    methods.insert(key.method);
    out_.lines.push_back(line);
  }
  for (const auto& m : methods) out_.rules.push_back({m, rule_text(m)});
  for (const auto& [name, uj] : kernels_seen_) {
    if (uj != 0) out_.kernels.push_back({name, uj});
  }
  std::stable_sort(out_.kernels.begin(), out_.kernels.end(),
                   [](const auto& a, const auto& b) { return a.energy_uj > b.energy_uj; });
}

base::Status Explainer::gather_meters() {
  std::map<std::size_t, std::map<std::int64_t, MeterReading>> readings;
  std::set<std::string> sources;
  const auto on_reading = [&](std::size_t meter, const MeterReading& r) {
    if (by_window_.count(r.window_ns) == 0) return;
    MeterReading& kept = readings[meter][r.window_ns];
    const std::int64_t before = kept.energy_uj;
    const std::string_view source = sources.emplace(r.source).first->c_str();
    kept = r;
    kept.source = source;
    kept.energy_uj += before;
  };
  PJ_ASSIGN(const MeterCatalog catalog, MeterCatalog::load(store_, used_span(), on_reading));
  // A meter's windows are those of the rows on it and below it.
  std::map<std::size_t, std::set<std::int64_t>> windows;
  for (const auto& [name, uses] : used_) {
    for (const std::size_t m : catalog.chain(catalog.find(name))) {
      for (const auto& [window, uj] : uses) windows[m].insert(window);
    }
  }
  for (const auto& [m, set] : windows) {
    const MeterInfo& info = catalog[m];
    MeterLine line;
    line.meter = info.name;
    line.parent = info.parent;
    line.kind = info.kind;
    line.zone = info.zone;
    line.depth = catalog.chain(m).size() - 1;
    line.leaf = info.children.empty();
    line.t0_ns = INT64_MAX;
    line.t1_ns = INT64_MIN;
    for (const std::int64_t w : set) {
      const auto found = readings[m].find(w);
      if (found == readings[m].end()) continue;
      const MeterReading& r = found->second;
      line.energy_uj += r.energy_uj;
      line.t0_ns = std::min(line.t0_ns, r.t0_ns);
      line.t1_ns = std::max(line.t1_ns, r.t1_ns);
      line.quality = energy::worse(line.quality, r.quality);
      line.source = r.source;
      line.uncertainty_ppm = std::max(line.uncertainty_ppm, r.uncertainty_ppm);
      ++line.windows;
    }
    if (const auto own = used_.find(info.name); own != used_.end()) {
      for (const auto& [w, uj] : own->second) line.part_uj += uj;
    }
    out_.meters.push_back(std::move(line));
  }
  const auto path = [&catalog](const MeterLine& line) {
    std::vector<std::string> names;
    for (const std::size_t m : catalog.chain(catalog.find(line.meter))) names.push_back(catalog[m].name);
    std::reverse(names.begin(), names.end());
    return names;
  };
  std::stable_sort(out_.meters.begin(), out_.meters.end(),
                   [&](const MeterLine& a, const MeterLine& b) { return path(a) < path(b); });
  return base::ok_status();
}

// Reading of the meters without children below them == all their joules rows, in the windows used.
base::Status Explainer::check_meters() {
  std::int64_t readings = 0, rows = 0;
  std::set<std::string> leaves;
  for (const MeterLine& m : out_.meters) {
    if (!m.leaf || used_.count(m.meter) == 0) continue;
    leaves.insert(m.meter);
    readings += m.energy_uj;
  }
  if (leaves.empty()) return base::ok_status();
  const auto on_batch = [&](const Batch& b) -> base::Status {
    const CodeValues<const std::map<std::int64_t, std::int64_t>*> uses(
        b.columns[1], nullptr, [&](std::string_view name) -> const std::map<std::int64_t, std::int64_t>* {
          const std::string key(name);
          return leaves.count(key) == 0 ? nullptr : &used_.at(key);
        });
    for (std::size_t r = 0; r < b.rows; ++r) {
      const auto* used = uses.at(r);
      if (used != nullptr && used->count(b.columns[0].ints[r]) != 0) rows += b.columns[2].ints[r];
    }
    return base::ok_status();
  };
  PJ_TRY(store_.scan({Table::kJoules, {"window_ns", "meter", "energy_uj"}, used_span()}, on_batch));
  out_.checks.push_back({"readings of the " + std::to_string(leaves.size()) +
                             " metered devices in these windows == all joules rows on them, everybody's",
                         readings, rows});
  return base::ok_status();
}

base::Status Explainer::gather_samples(const std::vector<std::string>& devices) {
  const bus::TimeWindow time{used_span().from_ns, used_span().to_ns - 1 + span_.window_length_ns};
  PJ_ASSIGN(out_.samples, counters_at_edges(store_, devices, time, span_.window_length_ns));
  const bool no_before = std::any_of(out_.samples.begin(), out_.samples.end(),
                                     [](const SampleLine& l) { return l.t_before_ns == kNoTime; });
  if (no_before)
    out_.notes.emplace_back(
        "No sample lies at the start of the first window, so the counter's difference is not known there.");
  return base::ok_status();
}

base::Status Explainer::gather_carbon() {
  const std::int64_t t0 = used_span().from_ns, t1 = used_span().to_ns - 1 + span_.window_length_ns;
  PJ_ASSIGN(const auto series, load_carbon(store_));
  for (const CarbonFactors& f : series) {
    for (const auto& p : f.pieces) {
      if (p.t1_ns <= t0 || p.t0_ns >= t1) continue;
      out_.carbon.push_back({p.t0_ns, p.t1_ns, f.region, f.kind, f.source, p.g_per_kwh, f.quality});
    }
  }
  if (series.empty() || by_window_.empty()) return base::ok_status();
  double grams = 0.0;
  for (const auto& [window, uj] : by_window_) {
    grams += static_cast<double>(uj) / 3.6e12 * series[0].mean(window, window + span_.window_length_ns);
  }
  out_.facts.push_back({"carbon_recomputed_g", std::isnan(grams) ? FactValue{} : FactValue{grams}});
  return base::ok_status();
}

base::Status Explainer::trace() {
  PJ_TRY(gather_meters());
  PJ_TRY(check_meters());
  std::vector<std::string> devices;
  for (const auto& [meter, uses] : used_) devices.push_back(meter);
  PJ_TRY(gather_samples(devices));
  PJ_TRY(gather_carbon());
  finish();
  return base::ok_status();
}

void Explainer::finish() { out_.provenance = provenance_of(store_); }

std::int64_t int_at(const Batch& b, Table table, std::size_t row, std::string_view column) {
  const auto& c = b.columns[bus::schema_of(table).find(column)];
  return c.is_null(row) ? kNoTime : c.ints[row];
}

// Every column of the row as a fact.
std::vector<Fact> facts_of(const Batch& b, Table table, std::size_t row) {
  std::vector<Fact> out;
  const auto& columns = bus::schema_of(table).columns;
  for (std::size_t c = 0; c < columns.size(); ++c) {
    const bus::Column& column = b.columns[c];
    FactValue value;
    if (!column.is_null(row)) {
      switch (column.type) {
        case bus::ColumnType::kInt64:
          value = column.ints[row];
          break;
        case bus::ColumnType::kDouble:
          value = column.doubles[row];
          break;
        case bus::ColumnType::kBool:
          value = column.bools[row] != 0;
          break;
        case bus::ColumnType::kText:
          value = std::string(column.text(row));
          break;
      }
    }
    out.push_back({std::string(columns[c].name), std::move(value)});
  }
  return out;
}

base::Result<Explanation> Explainer::request() {
  std::int64_t arrival = 0, done = 0, stored = 0;
  PJ_TRY(find_row(Table::kRequests, "request", [&](const Batch& b, std::size_t row) {
    out_.facts = facts_of(b, Table::kRequests, row);
    arrival = int_at(b, Table::kRequests, row, "t_arrival_ns");
    done = int_at(b, Table::kRequests, row, "t_done_ns");
    stored = int_at(b, Table::kRequests, row, "energy_uj");
  }));
  PJ_TRY(gather({"request", out_.id}, {arrival - span_.window_length_ns, done + 1}));
  out_.checks.push_back({"requests.energy_uj == sum of its joules rows", stored, out_.energy_uj});
  const auto texts = [&](const char* name) {
    for (const Fact& f : out_.facts) {
      if (f.name == name && std::holds_alternative<std::string>(f.value))
        return std::get<std::string>(f.value);
    }
    return std::string("-");
  };
  out_.notes.push_back(
      "This is GPU energy alone. Idle time, host, losses and cooling are on its service: perjoule "
      "top --by job,share, tenant " +
      texts("tenant") + ", model " + texts("model") + ".");
  if (out_.kernels.empty()) {
    out_.notes.emplace_back(
        "This request was recorded in total; a sampled share of requests is recorded to the kernel.");
  }
  PJ_TRY(trace());
  return std::move(out_);
}

base::Result<Explanation> Explainer::job() {
  std::int64_t stored = 0;
  PJ_TRY(find_row(Table::kJobs, "job", [&](const Batch& b, std::size_t row) {
    out_.facts = facts_of(b, Table::kJobs, row);
    stored = int_at(b, Table::kJobs, row, "energy_uj");
  }));
  PJ_TRY(gather({"job", out_.id}, options_.window));
  const bool whole = options_.window.from_ns <= span_.first_ns && options_.window.to_ns >= span_.end_ns;
  if (whole)
    out_.checks.push_back({"jobs.energy_uj == sum of its joules rows, all shares", stored, out_.energy_uj});
  PJ_TRY(trace());
  return std::move(out_);
}

base::Result<Explanation> Explainer::kernel() {
  PJ_TRY(gather({"kernel", out_.id}, options_.window));
  if (out_.lines.empty()) return unknown(Table::kJoules, "kernel");
  out_.kernels.clear();
  out_.notes.emplace_back(
      "Kernels are recorded for a sampled share of requests, so this is not the kernel's whole energy.");
  PJ_TRY(trace());
  return std::move(out_);
}

base::Result<Explanation> Explainer::meter() {
  const TimeWindow window = clipped(span_.first_ns, span_.end_ns);
  std::int64_t reading = 0;
  std::map<std::size_t, std::int64_t> by_meter;
  std::map<std::size_t, std::map<std::int64_t, std::int64_t>> windows;
  const auto on_reading = [&](std::size_t m, const MeterReading& r) {
    by_meter[m] += r.energy_uj, windows[m][r.window_ns] += r.energy_uj;
  };
  PJ_ASSIGN(const MeterCatalog catalog, MeterCatalog::load(store_, window, on_reading));
  const std::size_t index = catalog.find(out_.id);
  if (index == kNoMeter) return unknown(Table::kMeters, "meter");
  reading = by_meter[index];
  std::int64_t children = 0;
  for (const std::size_t c : catalog[index].children) children += by_meter[c];
  PJ_TRY(gather({"meter", out_.id}, window));
  out_.facts = {{"meter", out_.id},     {"kind", catalog[index].kind}, {"zone", catalog[index].zone},
                {"energy_uj", reading}, {"children_uj", children},     {"own_rows_uj", out_.energy_uj}};
  for (const std::size_t c : catalog[index].children) out_.around.push_back({catalog[c].name, by_meter[c]});
  out_.checks.push_back(
      {"meter reading == children's readings + its own joules rows", reading, children + out_.energy_uj});
  out_.whole_uj = reading;
  by_window_.clear();
  for (const auto& [w, uj] : windows[index]) used_[out_.id][w], by_window_[w] += uj;
  out_.windows = by_window_.size();
  PJ_TRY(gather_meters());
  PJ_TRY(gather_samples({catalog[index].device.empty() ? out_.id : catalog[index].device}));
  PJ_TRY(gather_carbon());
  finish();
  return std::move(out_);
}

base::Result<Explanation> Explainer::decision() {
  std::int64_t at = 0;
  std::string target;
  PJ_TRY(find_row(Table::kDecisions, "decision", [&](const Batch& b, std::size_t row) {
    out_.facts = facts_of(b, Table::kDecisions, row);
    at = int_at(b, Table::kDecisions, row, "t_ns");
    target = b.columns[bus::schema_of(Table::kDecisions).find("target")].text(row);
  }));
  const std::int64_t half = kWindowsAround * span_.window_length_ns;
  const TimeWindow window{at - half - span_.window_length_ns + 1, at + half + 1};
  PJ_ASSIGN(const MeterCatalog catalog, MeterCatalog::load(store_, window, nullptr));
  const bool metered = catalog.find(target) != kNoMeter;
  PJ_TRY(gather({metered ? "meter" : "job", target}, window));
  for (const auto& [w, uj] : by_window_) out_.around.push_back({time_text(w), uj});
  out_.whole_uj = out_.energy_uj;
  out_.notes.push_back("Energy of " + std::string(metered ? "the device " : "the service ") + target + ", " +
                       std::to_string(kWindowsAround) +
                       " windows before and after. What the policy saved is the "
                       "difference between whole runs with the same arrivals: perjoule report shows it.");
  PJ_TRY(trace());
  return std::move(out_);
}

}  // namespace

bool Explanation::holds() const {
  return std::all_of(checks.begin(), checks.end(), [](const EqualityCheck& c) { return c.equal(); });
}

std::vector<std::string> explain_kinds() { return {"request", "job", "kernel", "decision", "meter", "line"}; }

std::vector<std::pair<std::string, std::string>> provenance_of(const bus::StoreReader& store) {
  std::vector<std::pair<std::string, std::string>> out;
  for (const char* key : {"scenario", "policies", "seed", "build"}) {
    const auto it = store.manifest().meta.find(key);
    out.emplace_back(key, it == store.manifest().meta.end() ? "" : it->second);
  }
  out.emplace_back("store", store.directory());
  out.emplace_back("complete", store.manifest().complete ? "true" : "false");
  return out;
}

std::string rule_text(const std::string& rule) {
  const auto it = rules().find(rule);
  return it == rules().end() ? std::string() : it->second;
}

base::Result<std::vector<SampleLine>> counters_at_edges(const bus::StoreReader& store,
                                                        const std::vector<std::string>& devices,
                                                        TimeWindow time, std::int64_t window_length_ns) {
  std::map<std::pair<std::string, std::string>, SampleLine> lines;
  const std::set<std::string> wanted(devices.begin(), devices.end());
  base::SymbolTable symbols;
  const auto take = [&](std::int64_t edge, bool after) {
    const auto on_row = [&, edge, after](const energy::SampleRow& row) {
      const std::string device(symbols.text(row.device)), signal(symbols.text(row.signal));
      if (row.t_ns > edge || wanted.count(device) == 0 || !signal.ends_with(".energy")) return;
      SampleLine& line = lines[{device, signal}];
      line.device = device;
      line.signal = signal;
      line.source = symbols.text(row.source);
      line.quality = row.quality;
      (after ? line.t_after_ns : line.t_before_ns) = row.t_ns;
      (after ? line.after : line.before) = row.value;
    };
    return store.for_each_sample(symbols, on_row, {edge - window_length_ns + 1, edge + 1});
  };
  PJ_TRY(take(time.from_ns, false));
  PJ_TRY(take(time.to_ns, true));
  // The counter covers every window between the edges, also those in which this thing used nothing.
  std::map<std::string, std::int64_t> between;
  const auto on_batch = [&](const Batch& b) -> base::Status {
    const CodeValues<std::int64_t*> sum(b.columns[1], nullptr, [&](std::string_view name) -> std::int64_t* {
      const std::string key(name);
      return wanted.count(key) == 0 ? nullptr : &between[key];
    });
    for (std::size_t r = 0; r < b.rows; ++r) {
      if (std::int64_t* s = sum.at(r); s != nullptr) *s += b.columns[0].ints[r];
    }
    return base::ok_status();
  };
  PJ_TRY(store.scan({Table::kMeters, {"energy_uj", "device"}, time}, on_batch));
  std::vector<SampleLine> out;
  for (auto& [key, line] : lines) {
    if (line.t_before_ns == kNoTime) line.before = energy::kAbsent;
    if (line.t_after_ns == kNoTime) line.after = energy::kAbsent;
    line.difference = line.after - line.before;
    line.meter_uj = between[line.device];
    out.push_back(line);
  }
  return out;
}

base::Result<Explanation> explain(const bus::StoreReader& store, const std::string& kind,
                                  const std::string& id, const ExplainOptions& options) {
  const auto kinds = explain_kinds();
  if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) {
    return base::bad_input("explain", "'" + kind + "'", "there is no such kind of thing",
                           base::nearest_name_hint(kind, kinds));
  }
  if (kind == "line") return explain_line(store, id, options);
  PJ_ASSIGN(const StoreSpan span, span_of(store));
  Explainer explainer(store, options, span, kind, id);
  if (kind == "request") return explainer.request();
  if (kind == "job") return explainer.job();
  if (kind == "kernel") return explainer.kernel();
  if (kind == "meter") return explainer.meter();
  return explainer.decision();
}

}  // namespace perjoule::answers
