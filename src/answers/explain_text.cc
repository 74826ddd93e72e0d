#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "answers/answer_format.hpp"
#include "answers/explain.hpp"
#include "base/text.hpp"
#include "energy/records.hpp"

namespace perjoule::answers {
namespace {

using Json = nlohmann::ordered_json;

// How much of each part is shown; --all shows everything.
struct Limits {
  std::size_t lines = 6, kernels = 4, around = 11, meters = 14, samples = 3, factors = 2;
};
constexpr Limits kScreen;
constexpr Limits kEverything{SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX};

std::string more_text(std::size_t shown, std::size_t all) {
  return all <= shown ? "" : "  ... and " + std::to_string(all - shown) + " more: --all\n";
}

Json number(double v) { return std::isnan(v) ? Json(nullptr) : Json(v); }

Json json_of(const FactValue& value) {
  if (const auto* i = std::get_if<std::int64_t>(&value)) return *i;
  if (const auto* d = std::get_if<double>(&value)) return number(*d);
  if (const auto* b = std::get_if<bool>(&value)) return *b;
  if (const auto* s = std::get_if<std::string>(&value)) return *s;
  return nullptr;
}

std::string text_of(const Fact& fact) {
  if (const auto* i = std::get_if<std::int64_t>(&fact.value)) {
    if (fact.name.ends_with("_ns")) return time_text(*i);
    if (fact.name.ends_with("_uj")) return exact_energy_text(*i) + "  (" + energy_text(*i) + ")";
    return base::group_digits(*i);
  }
  if (const auto* d = std::get_if<double>(&fact.value)) return base::shortest_text(*d);
  if (const auto* b = std::get_if<bool>(&fact.value)) return *b ? "yes" : "no";
  if (const auto* s = std::get_if<std::string>(&fact.value)) return *s;
  return "-";
}

std::string ppm_text(std::int64_t ppm) {
  return "+-" + base::fixed_text(static_cast<double>(ppm) * 1e-4, 2) + " %";
}

std::string facts_text(const Explanation& e) {
  std::size_t width = 0;
  for (const Fact& f : e.facts) width = std::max(width, f.name.size());
  std::string out;
  for (const Fact& f : e.facts)
    out += "  " + f.name + std::string(width + 2 - f.name.size(), ' ') + text_of(f) + '\n';
  return out;
}

std::string lines_text(const Explanation& e, const Limits& limits) {
  if (e.lines.empty()) return "";
  const bool summed = e.lines[0].window_ns == energy::kNoTime;
  TextTable t{{"meter", "share", "step", "rule", "energy", "rows", "quality", "95 %"},
              {false, false, false, false, true, true, false, true},
              {}};
  if (!summed) t.header.insert(t.header.begin(), "window"), t.right.insert(t.right.begin(), false);
  std::vector<const EnergyLine*> shown;
  for (const EnergyLine& l : e.lines) shown.push_back(&l);
  // Where not all fit: the largest, and the sum of the others, so that the column still adds up.
  EnergyLine rest;
  const std::size_t left_out = shown.size() - std::min(limits.lines, shown.size());
  if (left_out > 1) {
    std::stable_sort(shown.begin(), shown.end(), [](const EnergyLine* a, const EnergyLine* b) {
      return std::abs(a->energy_uj) > std::abs(b->energy_uj);
    });
    rest.meter = "(" + std::to_string(left_out) + " more: --all)";
    rest.window_ns = energy::kNoTime;
    for (std::size_t i = limits.lines; i < shown.size(); ++i) {
      rest.energy_uj += shown[i]->energy_uj, rest.joule_rows += shown[i]->joule_rows;
      rest.quality = energy::worse(rest.quality, shown[i]->quality);
      rest.uncertainty_ppm = std::max(rest.uncertainty_ppm, shown[i]->uncertainty_ppm);
    }
    shown.resize(limits.lines);
    shown.push_back(&rest);
  }
  for (const EnergyLine* l : shown) {
    std::vector<std::string> cells{l->meter,
                                   l->share,
                                   l->step.empty() ? "-" : l->step,
                                   l->method,
                                   exact_energy_text(l->energy_uj),
                                   std::to_string(l->joule_rows),
                                   std::string(energy::name_of(l->quality)),
                                   ppm_text(l->uncertainty_ppm)};
    if (!summed) cells.insert(cells.begin(), l->window_ns == energy::kNoTime ? "" : time_text(l->window_ns));
    t.rows.push_back(std::move(cells));
  }
  return "\nIts joules rows" +
         std::string(summed ? " (summed over " + std::to_string(e.windows) + " windows)" : "") + ": " +
         exact_energy_text(e.energy_uj) + "\n" + t.text(2, false);
}

std::string named_text(const std::string& title, const std::vector<NamedEnergy>& all, std::int64_t total,
                       std::size_t limit) {
  if (all.empty()) return "";
  TextTable t{{"", "energy", "part"}, {false, true, true}, {}};
  for (std::size_t i = 0; i < std::min(limit, all.size()); ++i) {
    t.rows.push_back({all[i].name, exact_energy_text(all[i].energy_uj),
                      percent_text(static_cast<double>(all[i].energy_uj), static_cast<double>(total))});
  }
  return "\n" + title + "\n" + t.text(2, false) + more_text(limit, all.size());
}

// The meters that a screen shows: those with something below them, and of the others below one parent the one
// that gave most, with the rest of them in one line.
std::vector<MeterLine> collapsed(const std::vector<MeterLine>& all) {
  std::map<std::string, std::vector<const MeterLine*>> leaves;
  for (const MeterLine& m : all) {
    if (m.leaf) leaves[m.parent].push_back(&m);
  }
  std::vector<MeterLine> out;
  for (const MeterLine& m : all) {
    if (!m.leaf) {
      out.push_back(m);
      continue;
    }
    const auto& siblings = leaves[m.parent];
    const auto* largest =
        *std::max_element(siblings.begin(), siblings.end(),
                          [](const MeterLine* a, const MeterLine* b) { return a->part_uj < b->part_uj; });
    if (siblings.size() <= 2 || &m == largest) out.push_back(m);
    if (siblings.size() <= 2 || &m != largest) continue;
    MeterLine rest = m;
    rest.meter = "(" + std::to_string(siblings.size() - 1) + " more: --all)";
    rest.source = "", rest.energy_uj = 0, rest.part_uj = 0;
    for (const MeterLine* s : siblings) {
      if (s == largest) continue;
      rest.energy_uj += s->energy_uj, rest.part_uj += s->part_uj;
      rest.quality = energy::worse(rest.quality, s->quality);
      rest.windows = std::max(rest.windows, s->windows);
      rest.uncertainty_ppm = std::max(rest.uncertainty_ppm, s->uncertainty_ppm);
    }
    out.push_back(std::move(rest));
  }
  return out;
}

std::string meters_text(const Explanation& e, const Limits& limits) {
  if (e.meters.empty()) return "";
  TextTable t{{"meter", "windows", "reading", "this took", "quality", "source", "95 %"},
              {false, true, true, true, false, false, true},
              {}};
  const auto shown = e.meters.size() > limits.meters ? collapsed(e.meters) : e.meters;
  for (std::size_t i = 0; i < std::min(shown.size(), limits.meters); ++i) {
    const MeterLine& m = shown[i];
    const std::string branch = m.depth == 0 ? "" : std::string(2 * (m.depth - 1), ' ') + "└ ";
    t.rows.push_back({branch + m.meter, std::to_string(m.windows), exact_energy_text(m.energy_uj),
                      m.part_uj == 0 ? "." : exact_energy_text(m.part_uj),
                      std::string(energy::name_of(m.quality)), m.source == m.meter ? "itself" : m.source,
                      ppm_text(m.uncertainty_ppm)});
  }
  return "\nMeters, from the site down (readings of the windows above)\n" + t.text(2, false) +
         more_text(t.rows.size(), shown.size());
}

std::string around_title(const Explanation& e) {
  return e.kind == "meter" ? "Children" : e.kind == "line" ? "Made of" : "Window by window";
}

std::string samples_text(const Explanation& e, const Limits& limits) {
  if (e.samples.empty()) return "\nSensor samples: none in the store for these devices\n";
  TextTable t{{"device", "signal", "before", "after", "difference", "meter said", "quality", "source"},
              {false, false, true, true, true, true, false, false},
              {}};
  for (std::size_t i = 0; i < std::min(limits.samples, e.samples.size()); ++i) {
    const SampleLine& s = e.samples[i];
    const auto joules = [](double v) {
      return std::isnan(v) ? std::string("-") : base::fixed_text(v, 3) + " J";
    };
    t.rows.push_back({s.device, s.signal, joules(s.before), joules(s.after), joules(s.difference),
                      base::fixed_text(static_cast<double>(s.meter_uj) * 1e-6, 3) + " J",
                      std::string(energy::name_of(s.quality)), s.source});
  }
  return "\nSensor counters at the outer edges of the windows\n" + t.text(2, false) +
         more_text(limits.samples, e.samples.size());
}

std::string carbon_text(const Explanation& e, const Limits& limits) {
  if (e.carbon.empty()) return "\nCarbon factors: none in the store for this time\n";
  TextTable t{
      {"from", "to", "region", "kind", "g/kWh", "quality"}, {false, false, false, false, true, false}, {}};
  std::map<std::string, std::set<std::string>> sources;  // with their regions
  for (std::size_t i = 0; i < e.carbon.size(); ++i) {
    const CarbonLine& c = e.carbon[i];
    sources[c.source].insert(c.region);
    if (i >= limits.factors) continue;
    t.rows.push_back({time_text(c.t0_ns), time_text(c.t1_ns), c.region, c.kind, number_text(c.g_per_kwh, 2),
                      std::string(energy::name_of(c.quality))});
  }
  std::string out = "\nCarbon factors (the first average series is the one charged)\n" + t.text(2, false);
  out += more_text(limits.factors, e.carbon.size());
  for (const auto& [source, regions] : sources) {
    std::string names;
    for (const std::string& region : regions) names += (names.empty() ? "" : ", ") + region;
    out += "  " + names + ": " + source + "\n";
  }
  return out;
}

Json lines_json(const Explanation& e) {
  Json out = Json::array();
  for (const EnergyLine& l : e.lines) {
    out.push_back({{"window_ns", l.window_ns == energy::kNoTime ? Json(nullptr) : Json(l.window_ns)},
                   {"meter", l.meter},
                   {"share", l.share},
                   {"step", l.step.empty() ? Json(nullptr) : Json(l.step)},
                   {"method", l.method},
                   {"energy_uj", l.energy_uj},
                   {"joule_rows", l.joule_rows},
                   {"quality", energy::name_of(l.quality)},
                   {"uncertainty_ppm", l.uncertainty_ppm}});
  }
  return out;
}

Json meters_json(const Explanation& e) {
  Json out = Json::array();
  for (const MeterLine& m : e.meters) {
    out.push_back({{"meter", m.meter},
                   {"parent", m.parent.empty() ? Json(nullptr) : Json(m.parent)},
                   {"kind", m.kind},
                   {"zone", m.zone},
                   {"t0_ns", m.t0_ns},
                   {"t1_ns", m.t1_ns},
                   {"windows", m.windows},
                   {"energy_uj", m.energy_uj},
                   {"part_uj", m.part_uj},
                   {"quality", energy::name_of(m.quality)},
                   {"source", m.source},
                   {"uncertainty_ppm", m.uncertainty_ppm}});
  }
  return out;
}

Json samples_json(const Explanation& e) {
  Json out = Json::array();
  const auto time = [](std::int64_t t) { return t == energy::kNoTime ? Json(nullptr) : Json(t); };
  for (const SampleLine& s : e.samples) {
    out.push_back({{"device", s.device},
                   {"signal", s.signal},
                   {"t_before_ns", time(s.t_before_ns)},
                   {"before_j", number(s.before)},
                   {"t_after_ns", time(s.t_after_ns)},
                   {"after_j", number(s.after)},
                   {"difference_j", number(s.difference)},
                   {"meter_uj", s.meter_uj},
                   {"quality", energy::name_of(s.quality)},
                   {"source", s.source}});
  }
  return out;
}

Json carbon_json(const Explanation& e) {
  Json out = Json::array();
  for (const CarbonLine& c : e.carbon) {
    out.push_back({{"t0_ns", c.t0_ns},
                   {"t1_ns", c.t1_ns},
                   {"region", c.region},
                   {"kind", c.kind},
                   {"g_per_kwh", number(c.g_per_kwh)},
                   {"quality", energy::name_of(c.quality)},
                   {"source", c.source}});
  }
  return out;
}

Json named_json(const std::vector<NamedEnergy>& all, const char* name) {
  Json out = Json::array();
  for (const NamedEnergy& n : all) out.push_back({{name, n.name}, {"energy_uj", n.energy_uj}});
  return out;
}

}  // namespace

std::string explanation_text(const Explanation& e, bool all) {
  const Limits& limits = all ? kEverything : kScreen;
  std::string out = e.kind + " " + e.id + "\n" + facts_text(e);
  out += lines_text(e, limits);
  out += named_text("Kernels, largest first", e.kernels, e.energy_uj, limits.kernels);
  out += named_text(around_title(e), e.around, e.whole_uj, limits.around);
  out += meters_text(e, limits) + samples_text(e, limits);
  if (!e.rules.empty()) out += "\nRules (docs/models/attribution.md)\n";
  for (const RuleText& r : e.rules)
    out += "  " + r.rule + ": " + (r.text.empty() ? "not known to this build" : r.text) + "\n";
  out += carbon_text(e, limits) + "\nChecks, by whole microjoules\n";
  for (const EqualityCheck& c : e.checks) {
    out += std::string(c.equal() ? "  equal      " : "  NOT EQUAL  ") + base::group_digits(c.left_uj) +
           (c.equal() ? " == " : " != ") + base::group_digits(c.right_uj) + "  " + c.text + "\n";
  }
  if (!e.notes.empty()) out += "\n";
  for (const std::string& n : e.notes) out += n + "\n";
  out += "\nMade by";
  for (const auto& [key, value] : e.provenance)
    out += (key == e.provenance.front().first ? " " : ", ") + key + " " + (value.empty() ? "-" : value);
  return out + "\n";
}

std::string explanation_json(const Explanation& e) {
  Json j;
  j["schema_version"] = 1;
  j["kind"] = e.kind;
  j["id"] = e.id;
  for (const Fact& f : e.facts) j["row"][f.name] = json_of(f.value);
  j["energy_uj"] = e.energy_uj;
  j["windows"] = e.windows;
  j["joules"] = lines_json(e);
  if (!e.kernels.empty()) j["kernels"] = named_json(e.kernels, "kernel");
  if (!e.around.empty()) {
    const bool time = e.kind == "decision";
    j[e.kind == "meter"  ? "children"
      : e.kind == "line" ? "parts"
                         : "around"] = named_json(e.around, time               ? "window"
                                                            : e.kind == "line" ? "part"
                                                                               : "meter");
  }
  j["meters"] = meters_json(e);
  j["samples"] = samples_json(e);
  j["rules"] = Json::array();
  for (const RuleText& r : e.rules) j["rules"].push_back({{"method", r.rule}, {"text", r.text}});
  j["carbon"] = carbon_json(e);
  j["checks"] = Json::array();
  for (const EqualityCheck& c : e.checks) {
    j["checks"].push_back(
        {{"check", c.text}, {"left_uj", c.left_uj}, {"right_uj", c.right_uj}, {"equal", c.equal()}});
  }
  j["notes"] = e.notes;
  for (const auto& [key, value] : e.provenance) j["made_by"][key] = value;
  return j.dump(1) + "\n";
}

}  // namespace perjoule::answers
