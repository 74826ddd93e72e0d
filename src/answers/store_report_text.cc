#include <cmath>
#include <nlohmann/json.hpp>

#include "answers/answer_format.hpp"
#include "answers/store_report.hpp"
#include "base/text.hpp"
#include "base/time.hpp"

namespace perjoule::answers {
namespace {

using Json = nlohmann::ordered_json;

Json number(double v) { return std::isnan(v) ? Json(nullptr) : Json(v); }
Json ppm_json(std::int64_t ppm) { return ppm < 0 ? Json(nullptr) : Json(ppm); }

std::string name_or_dash(const std::string& s) { return s.empty() ? "-" : s; }

// The figures with their uncertainty and quality; what is missing says why.
std::string figures_text(const StoreReport& r) {
  TextTable t{
      {"figure", "value", "95 %", "quality", "perjoule explain line"}, {false, true, true, false, false}, {}};
  for (const ReportFigure& f : report_figures(r)) {
    t.rows.push_back({f.title, figure_text(f), f.missing() ? "" : uncertainty_text(f.uncertainty_ppm),
                      f.missing() ? "missing: " + f.missing_because : std::string(energy::name_of(f.quality)),
                      f.id});
  }
  std::string out = t.text();
  for (std::size_t i = 1; i < r.carbon.size(); ++i) {
    const ReportCarbon& c = r.carbon[i];
    out += "beside it: " + grams_text(c.grams) + " with " + c.region + ", " + c.kind + " factors, mean " +
           number_text(c.mean_g_per_kwh, 1) + " g/kWh, " + std::string(energy::name_of(c.quality)) + "\n";
  }
  return out + "\n";
}

TextTable consumer_table(const StoreReport& r, std::size_t limit) {
  TextTable t{{"tenant", "job", "model", "energy", "95 %", "of site", "direct", "idle", "overhead",
               "residual", "quality"},
              {false, false, false, true, true, true, true, true, true, true, false},
              {}};
  for (std::size_t i = 0; i < std::min(limit, r.consumers.size()); ++i) {
    const ReportConsumer& c = r.consumers[i];
    std::vector<std::string> cells{
        name_or_dash(c.tenant),
        name_or_dash(c.job),
        name_or_dash(c.model),
        energy_text(c.total_uj()),
        uncertainty_text(c.off.ppm()),
        percent_text(static_cast<double>(c.total_uj()), static_cast<double>(r.site_uj))};
    for (const std::int64_t uj : c.by_share_uj) cells.push_back(uj == 0 ? "." : energy_text(uj));
    cells.emplace_back(energy::name_of(c.quality));
    t.rows.push_back(std::move(cells));
  }
  return t;
}

TextTable latency_table(const StoreReport& r) {
  TextTable t{
      {"tenant", "model", "requests", "P50 ms", "P95 ms", "P99 ms", "TTFT P50", "P95", "P99", "missed"},
      {false, false, true, true, true, true, true, true, true, true},
      {}};
  for (const ReportLatency& l : r.latency) {
    t.rows.push_back({l.model.empty() ? "all" : name_or_dash(l.tenant), name_or_dash(l.model),
                      base::group_digits(l.finished), number_text(l.p50_ms, 0), number_text(l.p95_ms, 0),
                      number_text(l.p99_ms, 0), number_text(l.ttft_p50_ms, 0), number_text(l.ttft_p95_ms, 0),
                      number_text(l.ttft_p99_ms, 0),
                      percent_text(static_cast<double>(l.missed), static_cast<double>(l.finished))});
  }
  return t;
}

std::string saving_text(double share) {
  return std::isnan(share) ? "." : base::fixed_text(100.0 * share, 2) + " %";
}

TextTable savings_table(const StoreReport& r) {
  TextTable t{{"policy", "rule", "role", "site", "below none", "policy saves", "P50 ms", "P95 ms", "P99 ms",
               "missed", "finished"},
              {false, false, false, true, true, true, true, true, true, true, true},
              {}};
  for (const ReportSaving& s : r.savings) {
    t.rows.push_back({s.policy, s.rule, s.ours() ? "ours" : s.baseline, energy_text(s.site_uj),
                      saving_text(below_none(r, s)), saving_text(saved_against(r, s)),
                      number_text(s.p50_ms, 0), number_text(s.p95_ms, 0), number_text(s.p99_ms, 0),
                      base::group_digits(s.missed), base::group_digits(s.finished)});
  }
  return t;
}

std::string conservation_text(const StoreReport& r) {
  std::string out = "Conservation    " + base::group_digits(r.joules_uj) + " uJ in joules rows" +
                    (r.adds_up() ? " == " : " != ") + base::group_digits(r.site_uj) + " uJ at the site meter";
  if (!r.equalities_checked) return out + "\n";
  const auto& c = r.conservation;
  return out + "; " + base::group_digits(static_cast<std::int64_t>(c.leaf_checks + c.parent_checks)) +
         " meter windows compared, " + base::group_digits(static_cast<std::int64_t>(c.violation_count)) +
         " differ\n";
}

Json consumers_json(const StoreReport& r) {
  Json out = Json::array();
  for (const ReportConsumer& c : r.consumers) {
    const auto text = [](const std::string& s) { return s.empty() ? Json(nullptr) : Json(s); };
    out.push_back({{"tenant", text(c.tenant)},
                   {"job", text(c.job)},
                   {"model", text(c.model)},
                   {"energy_uj", c.total_uj()},
                   {"direct_uj", c.by_share_uj[0]},
                   {"idle_uj", c.by_share_uj[1]},
                   {"overhead_uj", c.by_share_uj[2]},
                   {"residual_uj", c.by_share_uj[3]},
                   {"gpu_direct_uj", c.gpu_direct_uj},
                   {"gpu_idle_uj", c.gpu_idle_uj},
                   {"uncertainty_ppm", ppm_json(c.off.ppm())},
                   {"quality", energy::name_of(c.quality)}});
  }
  return out;
}

Json latency_json(const StoreReport& r) {
  Json out = Json::array();
  for (const ReportLatency& l : r.latency) {
    out.push_back({{"tenant", l.model.empty() ? Json(nullptr) : Json(l.tenant)},
                   {"model", l.model.empty() ? Json(nullptr) : Json(l.model)},
                   {"finished", l.finished},
                   {"missed", l.missed},
                   {"output_tokens", l.output_tokens},
                   {"latency_p50_ms", number(l.p50_ms)},
                   {"latency_p95_ms", number(l.p95_ms)},
                   {"latency_p99_ms", number(l.p99_ms)},
                   {"ttft_p50_ms", number(l.ttft_p50_ms)},
                   {"ttft_p95_ms", number(l.ttft_p95_ms)},
                   {"ttft_p99_ms", number(l.ttft_p99_ms)},
                   {"energy_uj", l.energy_uj},
                   {"quality", energy::name_of(r.quality)}});
  }
  return out;
}

Json hours_json(const StoreReport& r) {
  Json out = Json::array();
  for (const ReportHour& h : r.hours) {
    Json row{{"t0_ns", h.t0_ns}, {"t1_ns", h.t1_ns}, {"site_uj", h.site_uj()}};
    for (std::size_t p = 0; p < kEnergyParts; ++p)
      row[std::string(kEnergyPartNames[p]) + "_uj"] = h.energy_uj[p];
    for (std::size_t k = 0; k < kEnergyKinds; ++k)
      row["by_kind"][std::string(kEnergyKindNames[k]) + "_uj"] = h.by_kind_uj[k];
    for (std::size_t k = 0; k < 4; ++k)
      row["by_share"][std::string(energy::kShareNames[k]) + "_uj"] = h.by_share_uj[k];
    row["g_per_kwh"] = number(h.g_per_kwh);
    row["quality"] = energy::name_of(r.quality);
    out.push_back(std::move(row));
  }
  return out;
}

Json savings_json(const StoreReport& r) {
  Json out = Json::array();
  for (const ReportSaving& s : r.savings) {
    out.push_back({{"policy", s.policy},
                   {"rule", s.rule},
                   {"baseline", s.baseline.empty() ? Json(nullptr) : Json(s.baseline)},
                   {"site_uj", s.site_uj},
                   {"gpu_uj", s.gpu_uj},
                   {"serving_gpu_uj", s.serving_gpu_uj ? Json(*s.serving_gpu_uj) : Json(nullptr)},
                   {"below_none", number(below_none(r, s))},
                   {"serving_below_none", number(serving_below_none(r, s))},
                   {"policy_saves", number(saved_against(r, s))},
                   {"latency_p50_ms", number(s.p50_ms)},
                   {"latency_p95_ms", number(s.p95_ms)},
                   {"latency_p99_ms", number(s.p99_ms)},
                   {"missed", s.missed},
                   {"finished", s.finished},
                   {"quality", energy::name_of(r.quality)}});
  }
  return out;
}

Json value_json(const ReportFigure& f) {
  if (const auto* i = std::get_if<std::int64_t>(&f.value)) return *i;
  if (const auto* d = std::get_if<double>(&f.value)) return *d;
  return nullptr;
}

Json figures_json(const StoreReport& r) {
  Json j{{"t0_ns", r.t0_ns}, {"t1_ns", r.t1_ns}, {"quality", energy::name_of(r.quality)}};
  for (const ReportFigure& f : report_figures(r)) j[f.id] = value_json(f);
  for (const auto& [name, value] :
       {std::pair{"serving_direct_uj", r.serving_direct_uj}, std::pair{"serving_gpu_uj", r.serving_gpu_uj},
        std::pair{"input_tokens", r.input_tokens}, std::pair{"output_tokens", r.output_tokens},
        std::pair{"jobs", r.jobs}, std::pair{"jobs_ended", r.jobs_ended},
        std::pair{"decisions", r.decisions}}) {
    j[name] = value;
  }
  const auto parts = r.parts_uj();
  for (std::size_t p = 0; p < kEnergyParts; ++p)
    j["parts"][std::string(kEnergyPartNames[p]) + "_uj"] = parts[p];
  const auto kinds = r.kinds_uj();
  for (std::size_t k = 0; k < kEnergyKinds; ++k)
    j["kinds"][std::string(kEnergyKindNames[k]) + "_uj"] = kinds[k];
  for (std::size_t s = 0; s < 4; ++s)
    j["shares"][std::string(energy::kShareNames[s]) + "_uj"] = r.by_share_uj[s];
  return j;
}

// The same figures, each with what an auditor asks of it.
Json figure_list_json(const StoreReport& r) {
  Json out = Json::array();
  for (const ReportFigure& f : report_figures(r)) {
    out.push_back({{"figure", f.id},
                   {"title", f.title},
                   {"value", value_json(f)},
                   {"unit", f.unit},
                   {"quality", energy::name_of(f.quality)},
                   {"uncertainty_ppm", ppm_json(f.uncertainty_ppm)},
                   {"missing_because", f.missing() ? Json(f.missing_because) : Json(nullptr)},
                   {"formula", f.formula},
                   {"explain", "perjoule explain line " + f.id}});
  }
  return out;
}

Json meters_json(const StoreReport& r) {
  Json out = Json::array();
  for (const ReportMeter& m : r.meters) {
    const auto text = [](const std::string& s) { return s.empty() ? Json(nullptr) : Json(s); };
    Json row{{"meter", m.name},
             {"parent", m.parent == SIZE_MAX ? Json(nullptr) : Json(r.meters[m.parent].name)},
             {"rack", text(m.rack)},
             {"node", text(m.node)},
             {"kind", m.kind},
             {"zone", m.zone},
             {"energy_uj", m.energy_uj}};
    for (std::size_t s = 0; s < 4; ++s)
      row["own_" + std::string(energy::kShareNames[s]) + "_uj"] = m.own_uj[s];
    row["quality"] = energy::name_of(m.quality);
    row["uncertainty_ppm"] = ppm_json(m.off.ppm());
    out.push_back(std::move(row));
  }
  return out;
}

Json actions_json(const StoreReport& r) {
  Json out = Json::array();
  for (const ReportAction& a : r.actions) {
    out.push_back({{"policy", a.policy},
                   {"action", a.action},
                   {"decisions", a.count},
                   {"undone", a.undone},
                   {"targets", a.targets},
                   {"expected_saving_uj", a.expected_saving_uj},
                   {"quality", "modelled"},
                   {"by_hour", a.by_hour}});
  }
  return out;
}

TextTable figures_csv(const StoreReport& r) {
  TextTable t{{"figure", "value", "unit", "quality", "uncertainty_ppm", "missing_because"}, {}, {}};
  for (const ReportFigure& f : report_figures(r)) {
    t.rows.push_back({f.id, f.missing() ? "" : value_json(f).dump(), f.unit,
                      std::string(energy::name_of(f.quality)),
                      f.uncertainty_ppm < 0 ? "" : std::to_string(f.uncertainty_ppm), f.missing_because});
  }
  return t;
}

// An array of objects with the same keys, as CSV; what is inside an entry becomes "entry.inner".
std::string csv_of(const Json& rows) {
  TextTable t;
  for (const Json& deep : rows) {
    Json row;
    for (const auto& [key, value] : deep.items()) {
      if (!value.is_structured()) row[key] = value;
      if (value.is_object()) {
        for (const auto& [inner, v] : value.items()) row[key + "." + inner] = v;
      }
    }
    std::vector<std::string> cells;
    for (const auto& [key, value] : row.items()) {
      if (t.rows.empty()) t.header.push_back(key);
      cells.push_back(value.is_null() ? "" : value.is_string() ? value.get<std::string>() : value.dump());
    }
    t.rows.push_back(std::move(cells));
  }
  return t.csv();
}

Json carbon_json(const StoreReport& r) {
  Json out = Json::array();
  for (const ReportCarbon& c : r.carbon) {
    out.push_back({{"region", c.region},
                   {"kind", c.kind},
                   {"carbon_g", number(c.grams)},
                   {"mean_g_per_kwh", number(c.mean_g_per_kwh)},
                   {"quality", energy::name_of(c.quality)},
                   {"source", c.source}});
    for (const double v : c.g_per_kwh) out.back()["g_per_kwh"].push_back(number(v));
  }
  return out;
}

}  // namespace

std::string report_text(const StoreReport& r) {
  std::string out = "perjoule report  " + time_text(r.t0_ns) + " to " + time_text(r.t1_ns) +
                    (r.whole ? "" : " (part of the store)") + (r.simulated ? "   SIMULATED" : "") +
                    (r.complete ? "" : "   INCOMPLETE RUN") + "\n\n";
  out += figures_text(r) + conservation_text(r);
  out += "\nTop consumers\n" + consumer_table(r, r.consumers_shown).text(2);
  if (r.consumers.size() > r.consumers_shown) {
    out += "  ... and " + std::to_string(r.consumers.size() - r.consumers_shown) + " more: perjoule top\n";
  }
  if (!r.latency.empty()) out += "\nLatency of finished requests\n" + latency_table(r).text(2);
  if (!r.savings.empty()) {
    if (!r.whole) out += "\nThe savings below are of the whole run, not of the period above.\n";
    out +=
        "\nSavings: the same arrivals and the same seed under each rule (below none: less\n"
        "than without any policy; policy saves: what the group's policy used less than this line)\n" +
        savings_table(r).text(2);
  }
  out += "\nMade by\n";
  for (const auto& [key, value] : r.meta) {
    if (value.find('\n') == std::string::npos) out += "  " + key + ": " + value + "\n";
  }
  return out;
}

std::string report_json(const StoreReport& r) {
  Json j;
  j["schema_version"] = 1;
  j["simulated"] = r.simulated;
  j["complete"] = r.complete;
  j["figures"] = figures_json(r);
  j["figure_list"] = figure_list_json(r);
  j["carbon"] = carbon_json(r);
  j["consumers"] = consumers_json(r);
  j["latency"] = latency_json(r);
  j["series"] = hours_json(r);
  j["meters"] = meters_json(r);
  j["decisions"] = actions_json(r);
  j["savings"] = savings_json(r);
  j["conservation"] = {{"joules_uj", r.joules_uj}, {"site_uj", r.site_uj}, {"equal", r.adds_up()}};
  if (r.equalities_checked) {
    j["conservation"]["leaf_checks"] = r.conservation.leaf_checks;
    j["conservation"]["parent_checks"] = r.conservation.parent_checks;
    j["conservation"]["violations"] = r.conservation.violation_count;
  }
  for (const auto& [table, rows] : r.table_rows) j["store"]["rows"][table] = rows;
  j["store"]["path"] = r.store;
  j["store"]["meta"] = r.meta;
  return j.dump(1) + "\n";
}

std::map<std::string, std::string> report_csv(const StoreReport& r) {
  return {{"figures.csv", figures_csv(r).csv()},    {"consumers.csv", csv_of(consumers_json(r))},
          {"latency.csv", csv_of(latency_json(r))}, {"series.csv", csv_of(hours_json(r))},
          {"carbon.csv", csv_of(carbon_json(r))},   {"savings.csv", csv_of(savings_json(r))},
          {"meters.csv", csv_of(meters_json(r))},   {"decisions.csv", csv_of(actions_json(r))}};
}

}  // namespace perjoule::answers
