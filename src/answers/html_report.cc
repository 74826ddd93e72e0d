#include "answers/html_report.hpp"

#include <algorithm>
#include <cmath>
#include <tuple>

#include "answers/answer_format.hpp"
#include "answers/html_charts.hpp"
#include "answers/html_style.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

using Rows = std::vector<std::vector<std::string>>;

constexpr std::size_t kHeatNodes = 64;

std::string section(const std::string& title, const std::string& body) {
  return "<section><h2>" + html_text(title) + "</h2>" + body + "</section>\n";
}

std::string small(const std::string& text) { return "<p class=\"small\">" + text + "</p>"; }

std::string missing(const std::string& what, const std::string& why) {
  return small("<b>" + html_text(what) + " missing:</b> " + html_text(why) + ".");
}

std::string both(const std::string& wide, const std::string& narrow) {
  return "<div class=\"wide\">" + wide + "</div><div class=\"narrow\">" + narrow + "</div>";
}

std::string command(const StoreReport& r, const std::string& what) {
  return "<code>" + html_text("perjoule " + what + " --store " + r.store) + "</code>";
}

std::string share_text(std::int64_t part, std::int64_t whole) {
  return percent_text(static_cast<double>(part), static_cast<double>(whole));
}

std::string signed_percent(double share) {
  return std::isnan(share) ? "missing" : base::fixed_text(100.0 * share, 2) + " %";
}

std::string seconds(double ms) { return std::isnan(ms) ? "missing" : base::fixed_text(ms * 1e-3, 2); }

std::string digits(std::uint64_t v) { return base::group_digits(static_cast<std::int64_t>(v)); }

struct TableLook {
  std::size_t left = 1;              // the first columns are text
  std::vector<bool> marked;          // rows
  std::vector<std::size_t> spare{};  // columns that a narrow page leaves out
};

std::string table(const std::string& name, const std::vector<std::string>& header, const Rows& rows,
                  const TableLook& look = {}) {
  const auto cls = [&](std::size_t c) {
    const bool spare = std::find(look.spare.begin(), look.spare.end(), c) != look.spare.end();
    const std::string names = std::string(c < look.left ? "" : "r") + (spare ? " opt" : "");
    return names.empty() ? std::string() : " class=\"" + names + "\"";
  };
  std::string out = "<div class=\"scroll\" role=\"region\" tabindex=\"0\" aria-label=\"" + html_text(name) +
                    "\"><table><thead><tr>";
  for (std::size_t c = 0; c < header.size(); ++c)
    out += "<th scope=\"col\"" + cls(c) + ">" + html_text(header[c]) + "</th>";
  out += "</tr></thead><tbody>";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out += i < look.marked.size() && look.marked[i] ? "<tr class=\"us\">" : "<tr>";
    for (std::size_t c = 0; c < rows[i].size(); ++c)
      out += "<td" + cls(c) + ">" + html_text(rows[i][c]) + "</td>";
    out += "</tr>";
  }
  return out + "</tbody></table></div>";
}

// What a plot shows, as numbers.
std::string behind(const std::string& name, const std::vector<std::string>& header, const Rows& rows) {
  return "<details><summary>" + html_text(name) + ": the numbers</summary>" + table(name, header, rows) +
         "</details>";
}

std::string key_item(const std::string& cls, const std::string& text) {
  return "<li><i class=\"" + cls + "\"></i>" + html_text(text) + "</li>";
}

// ---- the top

std::string tile(const StoreReport& r, const ReportFigure& f, const std::string& label) {
  const std::string quality = std::string(energy::name_of(f.quality));
  return "<details class=\"tile\"><summary><b>" + html_text(figure_text(f)) + "</b><span>" +
         html_text(label) + "</span><span class=\"q\">" +
         html_text(f.missing() ? f.missing_because
                               : uncertainty_text(f.uncertainty_ppm) +
                                     (f.id.ends_with("_share") && f.uncertainty_ppm >= 0 ? " of it" : "") +
                                     " · " + quality) +
         " · <u>source</u></span></summary><p>" + html_text(f.formula) + "</p><p>" +
         command(r, "explain line " + f.id) + "</p></details>";
}

std::string tiles(const StoreReport& r) {
  std::string out = "<div class=\"tiles\">";
  const auto figures = report_figures(r);
  const auto put = [&](const char* id, const std::string& label) {
    const auto f =
        std::find_if(figures.begin(), figures.end(), [&](const ReportFigure& x) { return x.id == id; });
    if (f != figures.end()) out += tile(r, *f, label);
  };
  put("site_uj", "site energy");
  put("pue_interim", "PUE, interim: this period, not a year");
  put("joules_per_token_j", "GPU energy per output token");
  put("joules_per_request_j", "GPU energy per request");
  put("carbon_g", r.carbon.empty() ? "CO2e" : "CO2e, " + r.carbon[0].region + " " + r.carbon[0].kind);
  put("idle_share", "of GPU energy drawn idle");
  put("saved_share", "of site energy saved against no policy (weak)");
  std::string equality = base::group_digits(r.joules_uj) + (r.adds_up() ? " == " : " != ") +
                         base::group_digits(r.site_uj) + " uJ";
  out += "<details class=\"tile\"><summary><b class=\"" + std::string(r.adds_up() ? "good" : "bad") + "\">" +
         (r.adds_up() ? "exact" : "NOT EQUAL") +
         "</b><span>consumers' joules == site meter</span><span class=\"q\">" +
         (r.equalities_checked ? digits(r.conservation.violation_count) + " of " +
                                     digits(r.conservation.leaf_checks + r.conservation.parent_checks) +
                                     " meter windows differ"
                               : std::string("windows not compared")) +
         " · <u>source</u></span></summary><p>" + equality + "</p><p>" + command(r, "explain line site_uj") +
         "</p></details>";
  return out + "</div>\n";
}

// ---- savings

std::string against(const StoreReport& r, const std::string& policy, const std::string& strength) {
  std::string out;
  for (const ReportSaving& s : r.savings) {
    if (s.policy != policy || s.baseline != strength) continue;
    out += (out.empty() ? "" : ", ") + signed_percent(saved_against(r, s)) + " (" + s.rule + ")";
  }
  return out.empty() ? "not compared" : out;
}

std::string latency_triple(const ReportSaving& s) {
  return seconds(s.p50_ms) + " / " + seconds(s.p95_ms) + " / " + seconds(s.p99_ms);
}

std::string baselines(const StoreReport& r) {
  Rows rows;
  std::vector<bool> marked;
  for (const ReportSaving& s : r.savings) {
    const bool none = s.policy == "none";
    if (!s.ours() && !none) continue;
    marked.push_back(s.policy == kRecordedRun);
    rows.push_back({s.policy == kRecordedRun ? "this run"
                    : none                   ? "no policy"
                                             : s.policy + ": " + s.rule,
                    none ? "is it" : signed_percent(below_none(r, s)),
                    none ? "" : against(r, s.policy, "usual"), none ? "" : against(r, s.policy, "strong"),
                    none ? "is it" : signed_percent(serving_below_none(r, s)), latency_triple(s),
                    base::group_digits(s.missed) + " of " + base::group_digits(s.finished)});
  }
  return table(
      "Savings of our policies against each baseline",
      {"policy", "vs none (weak)", "vs usual", "vs strong", "services' GPU", "P50 / P95 / P99 s", "misses"},
      rows, {1, marked, {4}});
}

std::string rule_rows(const StoreReport& r) {
  Rows rows;
  std::vector<bool> ours;
  for (const ReportSaving& s : r.savings) {
    ours.push_back(s.ours());
    rows.push_back({s.policy, s.rule, s.ours() ? "ours" : s.baseline, energy_text(s.site_uj),
                    s.policy == "none" ? "is it" : signed_percent(below_none(r, s)), energy_text(s.gpu_uj),
                    seconds(s.p50_ms), seconds(s.p95_ms), seconds(s.p99_ms), base::group_digits(s.missed),
                    base::group_digits(s.finished)});
  }
  return table("Every compared rule",
               {"policy", "rule", "role", "site", "below none", "GPU", "P50 s", "P95 s", "P99 s", "missed",
                "finished"},
               rows, {3, ours, {2, 5, 6, 7, 10}});
}

std::string savings(const StoreReport& r) {
  if (r.savings.empty())
    return missing("Savings", "the store has no savings_json; perjoule demo compares rules and writes it");
  const auto shape = [](const char* d, const char* cls) {
    return std::string("<svg viewBox=\"-9 -9 18 18\" aria-hidden=\"true\"><path class=\"") + cls + "\" d=\"" +
           d + "\"/></svg>";
  };
  const std::string key = "<ul class=\"key\"><li>" + shape("M-6 0a6 6 0 1 0 12 0a6 6 0 1 0-12 0Z", "m0") +
                          "weak baseline (no policy)</li><li>" + shape("M-6-6H6V6H-6Z", "m1") +
                          "usual baseline</li><li>" + shape("M0-8L8 0L0 8L-8 0Z", "m2") +
                          "strong baseline</li><li>" + shape("M0-8L8 6L-8 6Z", "m3") + "ours</li></ul>";
  std::string out =
      baselines(r) + small(
                         "Site energy that the policy used less than each baseline, and GPU energy of the "
                         "services less than with none; a minus is more. Each row is a whole run with "
                         "the same arrivals and seed, simulated. " +
                         command(r, "explain line saved_share"));
  if (!r.whole) out += small("These are runs of the whole scenario, not of the period above.");
  out += "<h3>Latency against energy: lower left is better</h3>" + key +
         both(rules_chart(r, 1120, 330), rules_chart(r, 340, 300));
  return out + "<details open><summary>Every compared rule: the numbers</summary>" + rule_rows(r) +
         "</details>";
}

// ---- plots

template <class Values>
Rows series_rows(const StoreReport& r, const Values& values) {
  Rows rows;
  for (std::size_t h = 0; h < r.hours.size(); ++h) {
    std::vector<std::string> cells = values(h);
    cells.insert(cells.begin(), time_text(r.hours[h].t0_ns));
    rows.push_back(std::move(cells));
  }
  return rows;
}

std::string mean_kw(const ReportHour& h, std::int64_t uj) {
  return base::fixed_text(static_cast<double>(uj) / static_cast<double>(h.t1_ns - h.t0_ns), 3);
}

std::string power_by_share(const StoreReport& r) {
  std::string key = "<ul class=\"key\">";
  std::vector<std::string> header{"from, UTC"};
  for (std::size_t s = 0; s < 4; ++s) {
    const std::string name(energy::kShareNames[s]);
    key += key_item("s" + std::to_string(s), name + " " + energy_text(r.by_share_uj[s]));
    header.push_back(name + ", kW");
  }
  const Rows rows = series_rows(r, [&](std::size_t h) {
    std::vector<std::string> cells;
    for (const std::int64_t uj : r.hours[h].by_share_uj) cells.push_back(mean_kw(r.hours[h], uj));
    return cells;
  });
  return key + "</ul>" + both(share_chart(r, 560, 260), share_chart(r, 340, 220)) +
         behind("Mean site power by share", header, rows);
}

std::string power_by_kind(const StoreReport& r) {
  const auto kinds = r.kinds_uj();
  std::string key = "<ul class=\"key\">";
  std::vector<std::string> header{"from, UTC"};
  for (std::size_t k = 0; k < kEnergyKinds; ++k) {
    key += key_item("k" + std::to_string(k), kEnergyKindTitles[k] + std::string(" ") + energy_text(kinds[k]));
    header.push_back(std::string(kEnergyKindTitles[k]) + ", kW");
  }
  const Rows rows = series_rows(r, [&](std::size_t h) {
    std::vector<std::string> cells;
    for (const std::int64_t uj : r.hours[h].by_kind_uj) cells.push_back(mean_kw(r.hours[h], uj));
    return cells;
  });
  return key + "</ul>" + both(kind_chart(r, 560, 260), kind_chart(r, 340, 220)) +
         behind("Mean site power by kind", header, rows);
}

std::string flow(const StoreReport& r) {
  if (r.site_uj <= 0) return missing("Flow", "the site meter read nothing");
  Rows rows;
  for (const ReportMeter& m : r.meters) {
    const bool trunk = m.kind == "site" || m.kind == "feed" || m.kind == "ups" || m.kind == "pdu" ||
                       m.kind == "rack" || m.kind == "switch" || m.kind == "node" || m.zone == "cooling";
    if (!trunk) continue;
    rows.push_back({m.name, m.kind, energy_text(m.energy_uj), share_text(m.energy_uj, r.site_uj),
                    uncertainty_text(m.off.ppm()), std::string(energy::name_of(m.quality))});
  }
  std::string out =
      both(flow_chart(r, 1120, 330, false), flow_chart(r, 340, 330, true)) +
      small("A band is as wide as its energy; what is narrower than 0.05 % of the site is left out. " +
            command(r, "explain meter NAME") + " says what a meter is made of.");
  if (const std::int64_t below = undrawn_uj(r); below != 0) {
    out += small("Not drawn: " + energy_text(below) +
                 " of residual below zero, where a meter read less than the meters below it.");
  }
  return out +
         behind("Meters from the site down", {"meter", "kind", "energy", "of site", "95 %", "quality"}, rows);
}

struct HeatRow {
  std::string rack, node;
  std::vector<const ReportMeter*> gpus;
  std::int64_t energy_uj = 0;
};

std::vector<HeatRow> heat_rows(const StoreReport& r) {
  std::vector<const ReportMeter*> gpus;
  for (const ReportMeter& m : r.meters) {
    if (m.kind == "gpu") gpus.push_back(&m);
  }
  std::sort(gpus.begin(), gpus.end(), [](const ReportMeter* a, const ReportMeter* b) {
    return std::forward_as_tuple(a->rack, a->node, a->name.size(), a->name) <
           std::forward_as_tuple(b->rack, b->node, b->name.size(), b->name);
  });
  std::vector<HeatRow> rows;
  for (const ReportMeter* m : gpus) {
    if (rows.empty() || rows.back().rack != m->rack || rows.back().node != m->node) {
      rows.push_back({m->rack, m->node, {}, 0});
    }
    rows.back().gpus.push_back(m);
    rows.back().energy_uj += m->energy_uj;
  }
  return rows;
}

std::string heat_table(const std::vector<HeatRow>& rows, const std::string& name, const std::string& unit,
                       double (*value)(const ReportMeter&), int decimals, double lowest, double highest) {
  std::size_t columns = 0;
  for (const HeatRow& row : rows) columns = std::max(columns, row.gpus.size());
  std::string out = "<table class=\"heat\"><caption class=\"q\">" + html_text(name) +
                    "</caption><thead><tr><th class=\"n\" scope=\"col\">node</th>";
  for (std::size_t c = 0; c < columns; ++c) out += "<th scope=\"col\">" + std::to_string(c) + "</th>";
  out += "</tr></thead><tbody>";
  std::string rack = "\n";
  for (const HeatRow& row : rows) {
    if (row.rack != rack) {
      out += "<tr><th scope=\"rowgroup\" colspan=\"" + std::to_string(columns + 1) + "\">" +
             html_text(row.rack.empty() ? "no rack" : row.rack) + "</th></tr>";
    }
    rack = row.rack;
    out += "<tr><th scope=\"row\">" + html_text(row.node) + "</th>";
    for (const ReportMeter* m : row.gpus) {
      const double v = value(*m);
      if (std::isnan(v)) {
        out += "<td title=\"" + html_text(m->name) + ": missing, its meter read nothing\">-</td>";
        continue;
      }
      const double level = (v - lowest) / std::max(highest - lowest, 1e-9);
      const int step = std::clamp(static_cast<int>(level * 10.0), 0, 9);
      const std::string text = base::fixed_text(v, decimals);
      out += "<td class=\"h" + std::to_string(step) + "\" title=\"" + html_text(m->name) + ": " + text + " " +
             unit + ", " + std::string(energy::name_of(m->quality)) + ", " + uncertainty_text(m->off.ppm()) +
             "\">" + text + "</td>";
    }
    out += "</tr>";
  }
  return out + "</tbody></table>";
}

double gpu_kwh(const ReportMeter& m) { return static_cast<double>(m.energy_uj) / 3.6e12; }
double gpu_idle_percent(const ReportMeter& m) {
  return m.energy_uj == 0 ? std::nan("")
                          : 100.0 * static_cast<double>(m.own_uj[1]) / static_cast<double>(m.energy_uj);
}

std::string heat(const StoreReport& r) {
  std::vector<HeatRow> rows = heat_rows(r);
  if (rows.empty()) return missing("Heat map", "the store has no GPU meter");
  const std::size_t nodes = rows.size();
  std::string note;
  if (nodes > kHeatNodes) {
    rows.resize(kHeatNodes);
    note = small("The first " + std::to_string(kHeatNodes) + " of " + std::to_string(nodes) +
                 " nodes: " + command(r, "top --by node,kind,share --limit 0"));
  }
  double highest = 0.0;
  for (const HeatRow& row : rows) {
    for (const ReportMeter* m : row.gpus) highest = std::max(highest, gpu_kwh(*m));
  }
  const int decimals = highest >= 100.0 ? 0 : highest >= 10.0 ? 1 : 2;
  return "<div class=\"pair\"><div>" +
         heat_table(rows, "Energy of each GPU, kWh", "kWh", gpu_kwh, decimals, 0.0, highest) + "</div><div>" +
         heat_table(rows, "Of it drawn idle, %", "% idle", gpu_idle_percent, 0, 0.0, 100.0) + "</div></div>" +
         note + small("Dark is little, bright is much. " + command(r, "explain meter NAME"));
}

std::string carbon(const StoreReport& r) {
  if (r.carbon.empty()) return missing("Carbon", "the store has no carbon factors");
  std::string key = "<ul class=\"key\">";
  std::vector<std::string> header{"from, UTC"}, regions;
  Rows sums;
  bool marginal = false;
  for (const ReportCarbon& c : r.carbon) {
    auto it = std::find(regions.begin(), regions.end(), c.region);
    if (it == regions.end()) it = regions.insert(regions.end(), c.region);
    const std::string cls = "c" + std::to_string(std::min<std::ptrdiff_t>(4, it - regions.begin()));
    key += key_item(cls + (c.kind == "marginal" ? " dash" : ""), c.region + " " + c.kind);
    header.push_back(c.region + " " + c.kind + ", g/kWh");
    marginal = marginal || c.kind == "marginal";
    sums.push_back({c.region, c.kind, grams_text(c.grams),
                    std::isnan(c.mean_g_per_kwh) ? "missing" : base::fixed_text(c.mean_g_per_kwh, 1),
                    std::string(energy::name_of(c.quality))});
  }
  const Rows rows = series_rows(r, [&](std::size_t h) {
    std::vector<std::string> cells;
    for (const ReportCarbon& c : r.carbon)
      cells.push_back(std::isnan(c.g_per_kwh[h]) ? "missing" : base::fixed_text(c.g_per_kwh[h], 1));
    return cells;
  });
  std::string out = key + "</ul>" + both(carbon_chart(r, 560, 230), carbon_chart(r, 340, 200));
  if (!marginal)
    out += missing("Marginal factors",
                   "this store holds average ones only, and one is never used for the other");
  return out + behind("Carbon intensity", header, rows) +
         table("Grams of the site by region and kind", {"region", "kind", "CO2e", "mean g/kWh", "quality"},
               sums, {2, {}});
}

std::string idle(const StoreReport& r) {
  const Rows rows = series_rows(r, [&](std::size_t h) {
    const std::int64_t gpu = r.hours[h].energy_uj[0] + r.hours[h].energy_uj[1];
    return std::vector<std::string>{gpu == 0 ? "missing" : share_text(r.hours[h].energy_uj[1], gpu)};
  });
  return both(idle_chart(r, 560, 230), idle_chart(r, 340, 200)) +
         behind("GPU energy drawn idle", {"from, UTC", "idle"}, rows);
}

std::string consumers(const StoreReport& r) {
  std::string out = "<ul class=\"key\">";
  for (std::size_t s = 0; s < 4; ++s)
    out += key_item("s" + std::to_string(s), std::string(energy::kShareNames[s]));
  out += "</ul>";
  const std::size_t n = std::min(r.consumers_shown, r.consumers.size());
  const double largest = n == 0 ? 1.0 : std::max(1.0, static_cast<double>(r.consumers[0].total_uj()));
  for (std::size_t i = 0; i < n; ++i) {
    const ReportConsumer& c = r.consumers[i];
    const std::string who = c.job.empty() && c.tenant.empty() ? "no one: not reserved, or unexplained"
                                                              : c.job + " · " + c.model + " · " + c.tenant;
    out += "<div class=\"who\"><p><span>" + html_text(who) + "</span><span class=\"amount\">" +
           html_text(energy_text(c.total_uj()) + " " + uncertainty_text(c.off.ppm()) + ", " +
                     share_text(c.total_uj(), r.site_uj) + ", " + std::string(energy::name_of(c.quality))) +
           "</span></p><div class=\"bar\">";
    for (std::size_t s = 0; s < 4; ++s) {
      const double part = 100.0 * static_cast<double>(std::max<std::int64_t>(0, c.by_share_uj[s])) / largest;
      if (part < 0.005) continue;
      out += "<i class=\"s" + std::to_string(s) + "\" style=\"width:" + base::fixed_text(part, 2) +
             "%\" title=\"" + std::string(energy::kShareNames[s]) + " " + energy_text(c.by_share_uj[s]) +
             "\"></i>";
    }
    out += "</div></div>";
  }
  if (r.consumers.size() > n)
    out += small("and " + std::to_string(r.consumers.size() - n) +
                 " more: " + command(r, "top --by tenant,job,model --limit 0"));
  return out + small("Losses and cooling are passed on as overhead. " + command(r, "explain job JOB"));
}

std::string decisions(const StoreReport& r) {
  if (r.actions.empty()) return missing("Decisions", "no policy acted in this period");
  std::string plots;
  Rows rows;
  for (const ReportAction& a : r.actions) {
    plots += "<div><h3>" + html_text(a.policy + " · " + a.action) + "</h3>" +
             both(action_chart(r, a, 560, 150), action_chart(r, a, 340, 140)) + "</div>";
    rows.push_back({a.policy, a.action, base::group_digits(a.count), base::group_digits(a.undone),
                    digits(a.targets), energy_text(a.expected_saving_uj)});
  }
  return "<div class=\"pair\">" + plots + "</div>" +
         table("Decisions by policy and action",
               {"policy", "action", "decisions", "undone by work", "targets", "saving expected"}, rows,
               {2, {}, {3, 4}}) +
         small("Expected is what the policy's model said at the time, not what was saved. " +
               command(r, "explain decision ID"));
}

std::string latencies(const StoreReport& r) {
  if (r.latency.empty()) return missing("Latency", "no request was finished in this period");
  Rows rows;
  for (const ReportLatency& l : r.latency) {
    rows.push_back({l.model.empty() ? "all" : l.model, l.tenant, base::group_digits(l.finished),
                    seconds(l.p50_ms), seconds(l.p95_ms), seconds(l.p99_ms), seconds(l.ttft_p50_ms),
                    seconds(l.ttft_p95_ms), seconds(l.ttft_p99_ms), base::group_digits(l.missed),
                    energy_text(l.energy_uj)});
  }
  return table("Latency by model",
               {"model", "tenant", "requests", "P50 s", "P95 s", "P99 s", "TTFT P50 s", "TTFT P95 s",
                "TTFT P99 s", "missed", "GPU, direct"},
               rows, {2, {}, {1, 3, 6, 7, 8, 10}}) +
         small("Whole request, and time to first token (TTFT). Missed: a latency target was not met. " +
               command(r, "explain request ID"));
}

// ---- the end

std::string conservation(const StoreReport& r) {
  std::string out = "<p style=\"margin:0\"><span class=\"" + std::string(r.adds_up() ? "good" : "bad") +
                    "\">" +
                    (r.adds_up() ? "Every joule is accounted for." : "Energy is missing or counted twice.") +
                    "</span> Joules rows " + exact_energy_text(r.joules_uj) +
                    (r.adds_up() ? " == " : " != ") + "site meter " + exact_energy_text(r.site_uj) + ".</p>";
  if (r.equalities_checked) {
    const auto& c = r.conservation;
    out += small("In the whole store, " + digits(c.leaf_checks) + " device windows and " +
                 digits(c.parent_checks) + " windows of parent meters were compared by whole microjoules; " +
                 digits(c.violation_count) + " differ. To do it again: <code>perjoule audit " +
                 html_text(r.store) + "</code>");
  }
  Rows rows;
  for (std::size_t s = 0; s < 4; ++s) {
    rows.push_back({std::string(energy::kShareNames[s]), exact_energy_text(r.by_share_uj[s]),
                    share_text(r.by_share_uj[s], r.site_uj)});
  }
  return out + table("Energy by share", {"share", "energy", "of site"}, rows);
}

std::string provenance(const StoreReport& r) {
  std::string out = "<dl>";
  const auto put = [&](const std::string& k, const std::string& v) {
    out += "<dt>" + html_text(k) + "</dt><dd>" + html_text(v) + "</dd>";
  };
  for (const auto& [k, v] : r.meta) {
    if (v.find('\n') == std::string::npos && v.size() <= 400) put(k, v);
  }
  put("store", r.store);
  put("settlement window", base::fixed_text(static_cast<double>(r.window_length_ns) * 1e-9, 0) + " s");
  put("energy quality", std::string(energy::name_of(r.quality)) + " (the worst of all rows)");
  put("uncertainty",
      "95 %, as if every error went the same way: an upper bound; of a share of a shared meter, that of the "
      "meter");
  for (const ReportCarbon& c : r.carbon)
    put("carbon " + c.region, c.kind + ", " + std::string(energy::name_of(c.quality)) + ", " + c.source);
  for (const auto& [name, rows] : r.table_rows) put(name, digits(rows) + " rows");
  return out + "</dl>";
}

std::string head(const StoreReport& r) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; "
      "img-src data:; base-uri 'none'; form-action 'none'\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<link rel=\"icon\" href=\"data:,\"><title>";
  out += std::string(r.simulated ? "SIMULATED · " : "") + "perjoule report</title><style>";
  out += std::string(kReportStyle) + "</style></head>\n<body><header class=\"top\"><div><h1>Energy report";
  if (const auto scenario = r.meta.find("scenario"); scenario != r.meta.end())
    out += " · " + html_text(scenario->second);
  out += "</h1>";
  if (r.simulated) out += "<span class=\"mark\">SIMULATED</span>";
  if (!r.complete) out += "<span class=\"mark note\">INCOMPLETE RUN</span>";
  return out + "<p class=\"sub\">" + time_text(r.t0_ns) + " to " + time_text(r.t1_ns) +
         (r.whole ? "" : ", part of the store") + " · " + std::to_string(r.nodes) + " nodes, " +
         std::to_string(r.gpus) + " GPUs · " + base::group_digits(r.jobs) + " jobs · " +
         (r.latency.empty() ? std::string("no requests")
                            : base::group_digits(r.latency[0].finished) + " requests") +
         " · " + base::group_digits(r.decisions) + " decisions</p></div></header>\n<main>";
}

}  // namespace

std::string report_html(const StoreReport& r) {
  std::string out = head(r) + tiles(r) + section("What the policies saved", savings(r));
  out += "<div class=\"pair\">" + section("Site power by share", power_by_share(r)) +
         section("Site power by kind of device", power_by_kind(r)) + "</div>\n";
  out += section("Where the energy went", flow(r)) + section("GPUs by rack", heat(r));
  out += "<div class=\"pair\">" + section("Carbon intensity of the grid", carbon(r)) +
         section("GPU energy drawn idle", idle(r)) + "</div>\n";
  out += section("Top consumers", consumers(r)) + section("Decisions over time", decisions(r)) +
         section("Latency", latencies(r)) + section("Conservation", conservation(r)) +
         section("Made by", provenance(r));
  out +=
      "</main><footer>Every figure above opens to the command that traces it; <code>perjoule explain KIND "
      "ID</code> goes from a request, job, kernel, decision, meter or line back to meter readings.</footer>"
      "</body></html>\n";
  return out;
}

}  // namespace perjoule::answers
