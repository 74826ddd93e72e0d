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

std::string name_or_dash(const std::string& s) { return s.empty() ? "-" : s; }

std::string grams_text(double g) {
  if (std::isnan(g)) return "- (a window has no factor)";
  return g >= 1e5 ? base::fixed_text(g * 1e-3, 1) + " kg" : base::fixed_text(g, 1) + " g";
}

std::string figures_text(const StoreReport& r) {
  const auto parts = r.parts_uj();
  std::string out = "Site            " + energy_text(r.site_uj) + "   (IT " + energy_text(r.it_uj) +
                    ", cooling " + energy_text(parts[static_cast<std::size_t>(EnergyPart::kCooling)]) + ")\n";
  out += "PUE, interim    " + number_text(r.pue(), 3) + "   (of this period, not of a year)\n";
  out += "GPU             " + energy_text(r.gpu_uj) + ", idle share " +
         (std::isnan(r.idle_share()) ? "-" : base::fixed_text(100.0 * r.idle_share(), 1) + " %") + "\n";
  if (!r.latency.empty()) {
    out += "Serving         " + number_text(r.joules_per_token(), 4) + " J per output token, " +
           number_text(r.joules_per_request(), 1) + " J per request   (GPU energy of the requests)\n";
  }
  for (const ReportCarbon& c : r.carbon) {
    out += "CO2e            " + grams_text(c.grams) + "   (" + c.region + ", " + c.kind + ", mean " +
           number_text(c.mean_g_per_kwh, 1) + " g/kWh, " + std::string(energy::name_of(c.quality)) + ")\n";
  }
  return out;
}

TextTable consumer_table(const StoreReport& r, std::size_t limit) {
  TextTable t{
      {"tenant", "job", "model", "energy", "of site", "direct", "idle", "overhead", "residual", "quality"},
      {false, false, false, true, true, true, true, true, true, false},
      {}};
  for (std::size_t i = 0; i < std::min(limit, r.consumers.size()); ++i) {
    const ReportConsumer& c = r.consumers[i];
    std::vector<std::string> cells{
        name_or_dash(c.tenant), name_or_dash(c.job), name_or_dash(c.model), energy_text(c.total_uj()),
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
    t.rows.push_back({s.policy, s.rule, s.ours() ? "the policy" : s.baseline, energy_text(s.site_uj),
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
                   {"below_none", number(below_none(r, s))},
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

Json figures_json(const StoreReport& r) {
  Json j{{"t0_ns", r.t0_ns},
         {"t1_ns", r.t1_ns},
         {"quality", energy::name_of(r.quality)},
         {"site_uj", r.site_uj},
         {"it_uj", r.it_uj},
         {"gpu_uj", r.gpu_uj},
         {"gpu_idle_uj", r.gpu_idle_uj},
         {"pue_interim", number(r.pue())},
         {"idle_share", number(r.idle_share())},
         {"joules_per_token_j", number(r.joules_per_token())},
         {"joules_per_request_j", number(r.joules_per_request())},
         {"input_tokens", r.input_tokens},
         {"output_tokens", r.output_tokens},
         {"jobs", r.jobs},
         {"jobs_ended", r.jobs_ended},
         {"decisions", r.decisions}};
  const auto parts = r.parts_uj();
  for (std::size_t p = 0; p < kEnergyParts; ++p)
    j["parts"][std::string(kEnergyPartNames[p]) + "_uj"] = parts[p];
  return j;
}

TextTable figures_csv(const StoreReport& r) {
  TextTable t{{"figure", "value", "quality"}, {}, {}};
  const Json figures = figures_json(r);
  for (const auto& [key, value] : figures.items()) {
    if (value.is_object() || key == "quality") continue;
    t.rows.push_back({key, value.is_null() ? "" : value.dump(), std::string(energy::name_of(r.quality))});
  }
  return t;
}

// An array of flat objects with the same keys, as CSV.
std::string csv_of(const Json& rows) {
  TextTable t;
  for (const Json& row : rows) {
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
  }
  return out;
}

}  // namespace

std::string report_text(const StoreReport& r) {
  std::string out = "perjoule report  " + time_text(r.t0_ns) + " to " + time_text(r.t1_ns) +
                    (r.simulated ? "   SIMULATED" : "") + (r.complete ? "" : "   INCOMPLETE RUN") + "\n\n";
  out += figures_text(r) + conservation_text(r);
  out += "\nTop consumers\n" + consumer_table(r, r.consumers_shown).text(2);
  if (r.consumers.size() > r.consumers_shown) {
    out += "  ... and " + std::to_string(r.consumers.size() - r.consumers_shown) + " more: perjoule top\n";
  }
  if (!r.latency.empty()) out += "\nLatency of finished requests\n" + latency_table(r).text(2);
  if (!r.savings.empty()) {
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
  j["simulated"] = r.simulated;
  j["complete"] = r.complete;
  j["figures"] = figures_json(r);
  j["carbon"] = carbon_json(r);
  j["consumers"] = consumers_json(r);
  j["latency"] = latency_json(r);
  j["series"] = hours_json(r);
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
          {"carbon.csv", csv_of(carbon_json(r))},   {"savings.csv", csv_of(savings_json(r))}};
}

}  // namespace perjoule::answers
