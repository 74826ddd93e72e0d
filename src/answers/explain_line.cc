// `perjoule explain line ID`: a figure of the report, with its formula, the joules rows and meters it is made
// of, the counters behind these, and the checks.
#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>
#include <tuple>

#include "answers/explain.hpp"
#include "answers/store_report.hpp"
#include "answers/store_view.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

using bus::Batch;
using bus::Table;
using energy::Quality;

// Which joules rows a figure is made of.
enum class Rows : std::uint8_t { kAll, kIt, kCooling, kGpu, kGpuIdle, kRequests, kServices };

Rows rows_of(const std::string& id) {
  if (id == "it_uj") return Rows::kIt;
  if (id == "cooling_uj") return Rows::kCooling;
  if (id == "gpu_uj" || id == "idle_share") return Rows::kGpu;
  if (id == "gpu_idle_uj") return Rows::kGpuIdle;
  if (id.ends_with("_with_idle_j")) return Rows::kServices;
  return id.starts_with("joules_per_") ? Rows::kRequests : Rows::kAll;
}

const char* about(Rows rows) {
  switch (rows) {
    case Rows::kIt:
      return "joules rows on node and switch meters and below == readings of these";
    case Rows::kCooling:
      return "joules rows on cooling meters == energy of the part cooling";
    case Rows::kGpu:
      return "joules rows on GPU meters == readings of these";
    case Rows::kGpuIdle:
      return "joules rows on GPU meters with share idle == gpu_idle_uj";
    case Rows::kRequests:
      return "joules rows with a request == serving_direct_uj";
    case Rows::kServices:
      return "joules rows of the services on GPU meters == serving_gpu_uj";
    default:
      return "joules rows == site meter";
  }
}

class LineTracer {
 public:
  LineTracer(const bus::StoreReader& store, const StoreReport& report, Rows rows, Explanation& out)
      : store_(store), r_(report), rows_(rows), out_(out), window_{report.t0_ns, report.t1_ns} {}

  base::Status go() {
    describe_meters();
    PJ_TRY(read_rows());
    keep_lines();
    keep_meters();
    std::vector<std::string> devices;
    for (const MeterLine& m : out_.meters) devices.push_back(m.meter);
    PJ_ASSIGN(out_.samples, counters_at_edges(store_, devices, window_, r_.window_length_ns));
    PJ_TRY(keep_factors());
    out_.checks.push_back({about(rows_), out_.energy_uj, expected()});
    return base::ok_status();
  }

 private:
  void describe_meters() {
    part_.resize(r_.meters.size());
    it_.resize(r_.meters.size());
    for (std::size_t m = 0; m < r_.meters.size(); ++m) {
      index_[r_.meters[m].name] = m;
      std::size_t at = m;
      // A damaged store may hold a ring of parents.
      for (std::size_t steps = 0; at != SIZE_MAX && steps < r_.meters.size(); ++steps) {
        it_[m] = it_[m] || r_.meters[at].kind == "node" || r_.meters[at].kind == "switch";
        at = r_.meters[at].parent;
      }
    }
    for (const ReportConsumer& c : r_.consumers) {
      if (c.serving) services_.insert({c.tenant, c.job, c.model});
    }
  }

  bool meter_counts(std::size_t m) const {
    const ReportMeter& meter = r_.meters[m];
    if (rows_ == Rows::kIt) return it_[m];
    if (rows_ == Rows::kCooling) return meter.zone == "cooling";
    const bool any = rows_ == Rows::kAll || rows_ == Rows::kRequests;
    return any || meter.kind == "gpu";
  }

  std::int64_t expected() const {
    switch (rows_) {
      case Rows::kIt:
        return r_.it_uj;
      case Rows::kCooling:
        return r_.parts_uj()[static_cast<std::size_t>(EnergyPart::kCooling)];
      case Rows::kGpu:
        return r_.gpu_uj;
      case Rows::kGpuIdle:
        return r_.gpu_idle_uj;
      case Rows::kRequests:
        return r_.serving_direct_uj;
      case Rows::kServices:
        return r_.serving_gpu_uj;
      default:
        return r_.site_uj;
    }
  }

  base::Status read_rows() {
    static const std::vector<std::string> kColumns{"meter",   "energy_uj", "share",           "method",
                                                   "quality", "request",   "uncertainty_ppm", "tenant",
                                                   "job",     "model"};
    return store_.scan({Table::kJoules, kColumns, window_}, [this](const Batch& b) { return add(b); });
  }

  base::Status add(const Batch& b) {
    const CodeValues<std::size_t> meter(b.columns[0], kNoMeter, [&](std::string_view name) {
      const auto it = index_.find(std::string(name));
      return it == index_.end() || !meter_counts(it->second) ? kNoMeter : it->second;
    });
    const CodeValues<std::size_t> share(
        b.columns[2], 3, [](std::string_view s) { return static_cast<std::size_t>(share_or_residual(s)); });
    const CodeValues<Quality> quality(b.columns[4], Quality::kMissing, quality_or_missing);
    // One place per meter, share and rule: rows of a kind come in runs.
    std::map<std::tuple<std::size_t, std::size_t, std::uint32_t>, EnergyLine*> places;
    known_services_.clear();  // a code means another text in another batch
    for (std::size_t r = 0; r < b.rows; ++r) {
      const std::size_t m = meter.at(r), s = share.at(r);
      if (m == kNoMeter || !row_counts(b, r, s)) continue;
      EnergyLine*& line = places[{m, s, b.columns[3].codes[r]}];
      if (line == nullptr) {
        line = &lines_[{r_.meters[m].kind, s, std::string(b.columns[3].text(r))}];
        on_line_[line].insert(m);
      }
      const std::int64_t uj = b.columns[1].ints[r];
      line->energy_uj += uj;
      ++line->joule_rows;
      line->quality = energy::worse(line->quality, quality.at(r));
      line->uncertainty_ppm = std::max(line->uncertainty_ppm, b.columns[6].ints[r]);
      part_[m] += uj;
      out_.energy_uj += uj;
    }
    return base::ok_status();
  }

  bool row_counts(const Batch& b, std::size_t r, std::size_t share) {
    if (rows_ == Rows::kGpuIdle) return share == 1;
    if (rows_ == Rows::kRequests) return !b.columns[5].is_null(r);
    if (rows_ != Rows::kServices) return true;
    return share <= 1 && is_service(b, r);
  }

  // Asked once per consumer of a batch, not once per row.
  bool is_service(const Batch& b, std::size_t r) {
    const auto [it, fresh] =
        known_services_.try_emplace({b.columns[7].codes[r], b.columns[8].codes[r], b.columns[9].codes[r]});
    if (fresh) {
      const auto text = [&](std::size_t c) { return std::string(b.columns[c].text(r)); };
      it->second = services_.count({text(7), text(8), text(9)}) != 0;
    }
    return it->second;
  }

  void keep_lines() {
    std::set<std::string> methods;
    for (auto& [key, line] : lines_) {
      const auto& [kind, share, method] = key;
      const std::size_t meters = on_line_[&line].size();
      line.meter = std::to_string(meters) + " " + kind + (meters == 1 ? " meter" : " meters");
      line.share = energy::kShareNames[share];
      line.method = method;
      line.window_ns = energy::kNoTime;
      methods.insert(method);
      out_.lines.push_back(line);
    }
    std::stable_sort(out_.lines.begin(), out_.lines.end(),
                     [](const EnergyLine& a, const EnergyLine& b) { return a.energy_uj > b.energy_uj; });
    for (const std::string& method : methods) out_.rules.push_back({method, rule_text(method)});
    out_.windows = static_cast<std::uint64_t>((r_.t1_ns - r_.t0_ns) / r_.window_length_ns);
  }

  // The meters with rows and all above them, as a tree.
  void keep_meters() {
    std::vector<bool> used(r_.meters.size()), parent(r_.meters.size());
    std::vector<std::vector<std::string>> paths(r_.meters.size());
    for (std::size_t m = 0; m < r_.meters.size(); ++m) {
      std::size_t at = m;
      for (std::size_t steps = 0; at != SIZE_MAX && steps <= r_.meters.size(); ++steps) {
        paths[m].insert(paths[m].begin(), r_.meters[at].name);
        used[at] = used[at] || part_[m] != 0;
        at = r_.meters[at].parent;
      }
      if (r_.meters[m].parent != SIZE_MAX) parent[r_.meters[m].parent] = true;
    }
    std::vector<std::size_t> order;
    for (std::size_t m = 0; m < r_.meters.size(); ++m) {
      if (used[m]) order.push_back(m);
    }
    std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return paths[a] < paths[b]; });
    for (const std::size_t m : order) {
      const ReportMeter& meter = r_.meters[m];
      MeterLine line;
      line.meter = meter.name;
      line.parent = meter.parent == SIZE_MAX ? "" : r_.meters[meter.parent].name;
      line.kind = meter.kind;
      line.zone = meter.zone;
      line.source = meter.name;
      line.depth = paths[m].size() - 1;
      line.leaf = !parent[m];
      line.t0_ns = r_.t0_ns, line.t1_ns = r_.t1_ns;
      line.energy_uj = meter.energy_uj;
      line.part_uj = part_[m];
      line.windows = out_.windows;
      line.quality = meter.quality;
      line.uncertainty_ppm = std::max<std::int64_t>(0, meter.off.ppm());
      out_.meters.push_back(std::move(line));
    }
  }

  base::Status keep_factors() {
    PJ_ASSIGN(const auto series, load_carbon(store_));
    for (const CarbonFactors& f : series) {
      for (const auto& p : f.pieces) {
        if (p.t1_ns <= window_.from_ns || p.t0_ns >= window_.to_ns) continue;
        out_.carbon.push_back({p.t0_ns, p.t1_ns, f.region, f.kind, f.source, p.g_per_kwh, f.quality});
      }
    }
    return base::ok_status();
  }

  const bus::StoreReader& store_;
  const StoreReport& r_;
  Rows rows_;
  Explanation& out_;
  bus::TimeWindow window_;
  std::map<std::string, std::size_t> index_;
  std::set<std::tuple<std::string, std::string, std::string>> services_;
  std::map<std::array<std::uint32_t, 3>, bool> known_services_;
  std::vector<bool> it_;
  std::vector<std::int64_t> part_;
  std::map<std::tuple<std::string, std::size_t, std::string>, EnergyLine> lines_;
  std::map<const EnergyLine*, std::set<std::size_t>> on_line_;
};

FactValue value_of(const ReportFigure& f) {
  if (const auto* i = std::get_if<std::int64_t>(&f.value)) return *i;
  if (const auto* d = std::get_if<double>(&f.value)) return *d;
  return {};
}

void add_definition(Explanation& e, const ReportFigure& f) {
  e.facts.push_back({"formula", f.formula});
  std::string kpi = f.id;
  for (const char* ending : {"_with_idle_j", "_j"}) {
    if (kpi.ends_with(ending)) kpi.erase(kpi.size() - std::char_traits<char>::length(ending));
  }
  const energy::KpiDefinition* definition = energy::find_kpi(kpi);
  if (definition == nullptr) return;
  e.facts.push_back({"standard", std::string(definition->standard)});
  e.facts.push_back({"boundary", std::string(definition->boundary)});
  e.facts.push_back({"period", std::string(definition->period)});
}

// The numbers that the formula names.
void add_operands(Explanation& e, const StoreReport& r) {
  const auto put = [&](const std::string& name, FactValue v) { e.facts.push_back({name, std::move(v)}); };
  if (e.id == "pue_interim") put("site_uj", r.site_uj), put("it_uj", r.it_uj);
  if (e.id == "idle_share") put("gpu_idle_uj", r.gpu_idle_uj), put("gpu_uj", r.gpu_uj);
  if (e.id.starts_with("joules_per_")) {
    if (e.id.ends_with("_with_idle_j"))
      put("serving_gpu_uj", r.serving_gpu_uj);
    else
      put("serving_direct_uj", r.serving_direct_uj);
    put("output_tokens", r.output_tokens);
    put("finished_requests", r.latency.empty() ? std::int64_t{0} : r.latency[0].finished);
  }
  if (e.id == "carbon_g") {
    for (const ReportCarbon& c : r.carbon) {
      const FactValue grams = std::isnan(c.grams) ? FactValue{} : FactValue{c.grams};
      put(c.region + "_" + c.kind + "_g", grams);
    }
  }
  if (e.id == "saved_share") {
    for (const ReportSaving& s : r.savings) put("site_uj " + s.policy + " " + s.rule, s.site_uj);
  }
}

}  // namespace

std::vector<std::string> explain_lines() {
  std::vector<std::string> out;
  for (const ReportFigure& f : report_figures({})) out.push_back(f.id);
  return out;
}

base::Result<Explanation> explain_line(const bus::StoreReader& store, const std::string& id,
                                       const ExplainOptions& options) {
  const auto known = explain_lines();
  if (std::find(known.begin(), known.end(), id) == known.end()) {
    return base::bad_input("explain line '" + id + "'", store.directory(), "the report has no such figure",
                           base::nearest_name_hint(id, known));
  }
  PJ_ASSIGN(const StoreReport r, store_report(store, {false, 0, options.window}));
  const auto figures = report_figures(r);
  const auto& f = *std::find_if(figures.begin(), figures.end(), [&](const auto& x) { return x.id == id; });
  Explanation e;
  e.kind = "line";
  e.id = id;
  e.facts = {{id, value_of(f)}, {"quality", std::string(energy::name_of(f.quality))}};
  if (f.missing()) e.facts.push_back({"missing_because", f.missing_because});
  e.facts.push_back({"uncertainty_ppm", f.uncertainty_ppm < 0 ? FactValue{} : FactValue{f.uncertainty_ppm}});
  e.facts.push_back({"t0_ns", r.t0_ns});
  e.facts.push_back({"t1_ns", r.t1_ns});
  add_definition(e, f);
  add_operands(e, r);
  PJ_TRY(LineTracer(store, r, rows_of(id), e).go());
  e.whole_uj = r.site_uj;
  if (id == "site_uj" || id == "carbon_g") {
    const auto parts = r.parts_uj();
    std::int64_t sum = 0;
    for (std::size_t p = 0; p < kEnergyParts; ++p) {
      e.around.push_back({kEnergyPartNames[p], parts[p]});
      sum += parts[p];
    }
    e.checks.push_back({"site meter == sum of the parts", r.site_uj, sum});
  } else if (rows_of(id) != Rows::kAll) {
    e.checks.push_back({"site meter == sum of all joules rows", r.site_uj, r.joules_uj});
  }
  if (id == "saved_share") {
    e.notes.emplace_back(
        "The runs compared with are in the manifest (meta savings_json), each with the same arrivals and "
        "seed; "
        "the rows and meters here are those of the run in this store.");
  }
  e.notes.emplace_back("Further down: perjoule explain meter NAME, or request, job, kernel, decision ID.");
  e.provenance = provenance_of(store);
  return e;
}

}  // namespace perjoule::answers
