#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "answers/answer_format.hpp"
#include "answers/explain.hpp"
#include "base/text.hpp"
#include "energy/records.hpp"

namespace perjoule::answers {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kKernelsInText = 12, kSamplesInText = 12, kFactorsInText = 8;

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

std::string lines_text(const Explanation& e) {
  if (e.lines.empty()) return "";
  const bool summed = e.lines[0].window_ns == energy::kNoTime;
  TextTable t{{"meter", "share", "step", "rule", "energy", "rows", "quality", "95 %"},
              {false, false, false, false, true, true, false, true},
              {}};
  if (!summed) t.header.insert(t.header.begin(), "window"), t.right.insert(t.right.begin(), false);
  for (const EnergyLine& l : e.lines) {
    std::vector<std::string> cells{l.meter,
                                   l.share,
                                   l.step.empty() ? "-" : l.step,
                                   l.method,
                                   exact_energy_text(l.energy_uj),
                                   std::to_string(l.joule_rows),
                                   std::string(energy::name_of(l.quality)),
                                   ppm_text(l.uncertainty_ppm)};
    if (!summed) cells.insert(cells.begin(), time_text(l.window_ns));
    t.rows.push_back(std::move(cells));
  }
  return "\nIts joules rows" +
         std::string(summed ? " (summed over " + std::to_string(e.windows) + " windows)" : "") + ": " +
         exact_energy_text(e.energy_uj) + "\n" + t.text(2);
}

std::string named_text(const std::string& title, const std::vector<NamedEnergy>& all, std::int64_t total,
                       std::size_t limit) {
  if (all.empty()) return "";
  TextTable t{{"", "energy", "part"}, {false, true, true}, {}};
  for (std::size_t i = 0; i < std::min(limit, all.size()); ++i) {
    t.rows.push_back({all[i].name, exact_energy_text(all[i].energy_uj),
                      percent_text(static_cast<double>(all[i].energy_uj), static_cast<double>(total))});
  }
  std::string out = "\n" + title + "\n" + t.text(2);
  if (all.size() > limit)
    out += "  ... and " + std::to_string(all.size() - limit) + " more; --json has all\n";
  return out;
}

std::string meters_text(const Explanation& e) {
  if (e.meters.empty()) return "";
  TextTable t{{"meter", "windows", "reading", "this took", "quality", "source", "95 %"},
              {false, true, true, true, false, false, true},
              {}};
  for (const MeterLine& m : e.meters) {
    const std::string branch = m.depth == 0 ? "" : std::string(2 * (m.depth - 1), ' ') + "└ ";
    t.rows.push_back({branch + m.meter, std::to_string(m.windows), exact_energy_text(m.energy_uj),
                      m.part_uj == 0 ? "." : exact_energy_text(m.part_uj),
                      std::string(energy::name_of(m.quality)), m.source, ppm_text(m.uncertainty_ppm)});
  }
  return "\nMeters, from the site down (readings of the windows above)\n" + t.text(2);
}

std::string around_title(const Explanation& e) {
  return e.kind == "meter" ? "Children" : e.kind == "line" ? "Made of" : "Window by window";
}

std::string samples_text(const Explanation& e) {
  if (e.kind == "line") return "";
  if (e.samples.empty()) return "\nSensor samples: none in the store for these devices\n";
  TextTable t{{"device", "signal", "before", "after", "difference", "meter said", "quality", "source"},
              {false, false, true, true, true, true, false, false},
              {}};
  for (std::size_t i = 0; i < std::min(kSamplesInText, e.samples.size()); ++i) {
    const SampleLine& s = e.samples[i];
    const auto joules = [](double v) {
      return std::isnan(v) ? std::string("-") : base::fixed_text(v, 3) + " J";
    };
    t.rows.push_back({s.device, s.signal, joules(s.before), joules(s.after), joules(s.difference),
                      base::fixed_text(static_cast<double>(s.meter_uj) * 1e-6, 3) + " J",
                      std::string(energy::name_of(s.quality)), s.source});
  }
  std::string out = "\nSensor counters at the outer edges of the windows\n" + t.text(2);
  if (e.samples.size() > kSamplesInText)
    out += "  ... and " + std::to_string(e.samples.size() - kSamplesInText) + " more; --json has all\n";
  return out;
}

std::string carbon_text(const Explanation& e) {
  if (e.kind == "line") return "";
  if (e.carbon.empty()) return "\nCarbon factors: none in the store for this time\n";
  TextTable t{
      {"from", "to", "region", "kind", "g/kWh", "quality"}, {false, false, false, false, true, false}, {}};
  std::vector<std::string> sources;
  for (std::size_t i = 0; i < e.carbon.size(); ++i) {
    const CarbonLine& c = e.carbon[i];
    const std::string source = c.region + ": " + c.source;
    if (std::find(sources.begin(), sources.end(), source) == sources.end()) sources.push_back(source);
    if (i >= kFactorsInText) continue;
    t.rows.push_back({time_text(c.t0_ns), time_text(c.t1_ns), c.region, c.kind, number_text(c.g_per_kwh, 2),
                      std::string(energy::name_of(c.quality))});
  }
  std::string out = "\nCarbon factors (the first average series is the one charged)\n" + t.text(2);
  if (e.carbon.size() > kFactorsInText) {
    out += "  ... and " + std::to_string(e.carbon.size() - kFactorsInText) + " more; --json has all\n";
  }
  for (const std::string& source : sources) out += "  " + source + "\n";
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

std::string explanation_text(const Explanation& e) {
  std::string out = e.kind + " " + e.id + "\n" + facts_text(e);
  out += lines_text(e);
  out += named_text("Kernels, largest first", e.kernels, e.energy_uj, kKernelsInText);
  out += named_text(around_title(e), e.around, e.energy_uj, SIZE_MAX);
  out += meters_text(e) + samples_text(e);
  if (!e.rules.empty()) out += "\nRules (docs/models/attribution.md)\n";
  for (const RuleText& r : e.rules)
    out += "  " + r.rule + ": " + (r.text.empty() ? "not known to this build" : r.text) + "\n";
  out += carbon_text(e) + "\nChecks, by whole microjoules\n";
  for (const EqualityCheck& c : e.checks) {
    out += std::string(c.equal() ? "  equal      " : "  NOT EQUAL  ") + c.text + "\n             " +
           base::group_digits(c.left_uj) + (c.equal() ? " == " : " != ") + base::group_digits(c.right_uj) +
           "\n";
  }
  if (!e.notes.empty()) out += "\n";
  for (const std::string& n : e.notes) out += n + "\n";
  out += "\nMade by\n";
  for (const auto& [key, value] : e.provenance)
    out += "  " + key + ": " + (value.empty() ? "-" : value) + "\n";
  return out;
}

std::string explanation_json(const Explanation& e) {
  Json j;
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
