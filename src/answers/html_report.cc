#include "answers/html_report.hpp"

#include <cmath>

#include "answers/answer_format.hpp"
#include "answers/html_charts.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

constexpr const char* kStyle = R"(
:root{color-scheme:light}
*{box-sizing:border-box}
body{margin:0;background:#f5f6f8;color:#1c2330;font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main,header,footer{max-width:1180px;margin:0 auto;padding:0 16px}
header{padding-top:22px}
h1{font-size:24px;margin:0}
h2{font-size:17px;margin:0 0 10px}
.sub{color:#556070;margin:2px 0 0}
.mark{display:inline-block;background:#b3261e;color:#fff;font-weight:700;letter-spacing:.06em;font-size:13px;padding:2px 10px;border-radius:4px;vertical-align:4px;margin-left:10px}
.mark.note{background:#8a5a00}
.tiles{display:grid;grid-template-columns:repeat(auto-fill,minmax(165px,1fr));gap:10px;margin:18px 0}
.tile{background:#fff;border:1px solid #dde1e7;border-radius:8px;padding:10px 12px}
.tile b{display:block;font-size:22px;font-variant-numeric:tabular-nums;line-height:1.25}
.tile span{color:#556070;font-size:13px}
section{background:#fff;border:1px solid #dde1e7;border-radius:8px;padding:14px 16px;margin:0 0 14px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums;font-size:14px}
th{font-weight:600;color:#556070;text-align:left;border-bottom:1px solid #c9ced6;padding:4px 10px 4px 0;white-space:nowrap}
td{padding:4px 10px 4px 0;border-bottom:1px solid #edeff2;white-space:nowrap}
th.r,td.r{text-align:right}
tr.us td{font-weight:650;background:#eef6ee}
svg{display:block;width:100%;height:auto;overflow:visible}
svg .l{font:12px system-ui,sans-serif;fill:#39424f}
svg .b{paint-order:stroke;stroke:#fff;stroke-width:3px;stroke-linejoin:round}
svg .g{stroke:#e3e6eb;stroke-width:1}
svg .h{fill:transparent}
.narrow{display:none}
.key{display:flex;flex-wrap:wrap;gap:4px 16px;margin:0 0 8px;font-size:13px;color:#39424f}
.key i{display:inline-block;width:11px;height:11px;border-radius:2px;margin-right:6px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:14px}
.bar{display:flex;height:14px;background:#f0f2f5;border-radius:3px;overflow:hidden;min-width:60px}
.bar i{display:block}
.who{margin:0 0 9px}
.who p{margin:0;display:flex;justify-content:space-between;gap:10px;font-size:14px}
.who em{font-style:normal;color:#556070;white-space:nowrap;font-variant-numeric:tabular-nums}
.ok{color:#1b6e3c;font-weight:650}.bad{color:#b3261e;font-weight:650}
code{font-size:13px;overflow-wrap:anywhere}
dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 14px;margin:0;font-size:13px}
dt{color:#556070}dd{margin:0;overflow-wrap:anywhere}
footer{padding-bottom:30px;color:#556070;font-size:13px}
p.small{font-size:13px;color:#556070;margin:8px 0 0}
@media(max-width:720px){.wide{display:none}.narrow{display:block}.pair{grid-template-columns:1fr}.pair section{margin:0}.pair{margin-bottom:14px}
 .flow svg{min-width:720px}.tiles{grid-template-columns:1fr 1fr}.tile b{font-size:18px}h1{font-size:20px}}
@media print{body{background:#fff}section{break-inside:avoid}}
)";

constexpr std::array<const char*, 4> kShareColours{"#0072b2", "#8ec3e6", "#e69f00", "#999999"};

std::string section(const std::string& title, const std::string& body) {
  return "<section><h2>" + html_text(title) + "</h2>" + body + "</section>\n";
}

std::string both(const std::string& wide, const std::string& narrow) {
  return "<div class=\"wide\">" + wide + "</div><div class=\"narrow\">" + narrow + "</div>";
}

std::string tile(const std::string& value, const std::string& label) {
  return "<div class=\"tile\"><b>" + html_text(value) + "</b><span>" + html_text(label) + "</span></div>";
}

std::string tiles(const StoreReport& r) {
  std::string out = "<div class=\"tiles\">" + tile(energy_text(r.site_uj), "site") +
                    tile(energy_text(r.it_uj), "IT equipment") +
                    tile(number_text(r.pue(), 3), "PUE, interim (this period, not a year)");
  out += tile(std::isnan(r.idle_share()) ? "-" : base::fixed_text(100.0 * r.idle_share(), 1) + " %",
              "of GPU energy drawn idle");
  if (!r.latency.empty()) {
    out += tile(number_text(r.joules_per_token(), 3) + " J", "GPU, per output token");
    out += tile(number_text(r.joules_per_request(), 1) + " J", "GPU, per request");
  }
  for (const ReportCarbon& c : r.carbon) {
    out += tile(number_text(c.grams * 1e-3, 1) + " kg", "CO2e with " + c.region + ", " + c.kind + " factors");
  }
  return out + "</div>\n";
}

std::string key(const std::array<const char*, kEnergyParts>& titles,
                const std::array<const char*, kEnergyParts>& colours) {
  std::string out = "<div class=\"key\">";
  for (std::size_t p = 0; p < kEnergyParts; ++p) {
    out += "<span><i style=\"background:" + std::string(colours[p]) + "\"></i>" + html_text(titles[p]) +
           "</span>";
  }
  return out + "</div>";
}

std::string consumers(const StoreReport& r) {
  std::string out = "<div class=\"key\">";
  for (std::size_t s = 0; s < 4; ++s) {
    out += "<span><i style=\"background:" + std::string(kShareColours[s]) + "\"></i>" +
           std::string(energy::kShareNames[s]) + "</span>";
  }
  out += "</div>";
  const std::size_t n = std::min(r.consumers_shown, r.consumers.size());
  const double largest = n == 0 ? 1.0 : std::max(1.0, static_cast<double>(r.consumers[0].total_uj()));
  for (std::size_t i = 0; i < n; ++i) {
    const ReportConsumer& c = r.consumers[i];
    const std::string who = c.job.empty() && c.tenant.empty() ? "nobody: unexplained or not reserved"
                                                              : c.job + " · " + c.model + " · " + c.tenant;
    out += "<div class=\"who\"><p><span>" + html_text(who) + "</span><em>" + energy_text(c.total_uj()) +
           ", " + percent_text(static_cast<double>(c.total_uj()), static_cast<double>(r.site_uj)) +
           "</em></p><div class=\"bar\">";
    for (std::size_t s = 0; s < 4; ++s) {
      const double part = 100.0 * static_cast<double>(std::max<std::int64_t>(0, c.by_share_uj[s])) / largest;
      out += "<i style=\"width:" + base::fixed_text(part, 2) + "%;background:" + kShareColours[s] +
             "\" title=\"" + std::string(energy::kShareNames[s]) + " " + energy_text(c.by_share_uj[s]) +
             "\"></i>";
    }
    out += "</div></div>";
  }
  if (r.consumers.size() > n) {
    out += "<p class=\"small\">and " + std::to_string(r.consumers.size() - n) +
           " more: <code>perjoule top --by tenant,job,model</code></p>";
  }
  return out;
}

// The first `left` columns are text.
std::string table(const std::vector<std::string>& header, std::size_t left,
                  const std::vector<std::vector<std::string>>& rows, const std::vector<bool>& marked = {}) {
  std::string out = "<div class=\"scroll\"><table><thead><tr>";
  const auto cls = [&](std::size_t c) { return c < left ? "" : " class=\"r\""; };
  for (std::size_t c = 0; c < header.size(); ++c)
    out += "<th" + std::string(cls(c)) + ">" + html_text(header[c]) + "</th>";
  out += "</tr></thead><tbody>";
  for (std::size_t i = 0; i < rows.size(); ++i) {
    out += i < marked.size() && marked[i] ? "<tr class=\"us\">" : "<tr>";
    for (std::size_t c = 0; c < rows[i].size(); ++c)
      out += "<td" + std::string(cls(c)) + ">" + html_text(rows[i][c]) + "</td>";
    out += "</tr>";
  }
  return out + "</tbody></table></div>";
}

std::string latencies(const StoreReport& r) {
  std::vector<std::vector<std::string>> rows;
  for (const ReportLatency& l : r.latency) {
    rows.push_back({l.model.empty() ? "all" : l.model, l.tenant, base::group_digits(l.finished),
                    number_text(l.p50_ms, 0), number_text(l.p95_ms, 0), number_text(l.p99_ms, 0),
                    number_text(l.ttft_p50_ms, 0), number_text(l.ttft_p95_ms, 0),
                    number_text(l.ttft_p99_ms, 0), base::group_digits(l.missed),
                    percent_text(static_cast<double>(l.missed), static_cast<double>(l.finished))});
  }
  return table({"model", "tenant", "requests", "P50 ms", "P95 ms", "P99 ms", "TTFT P50", "TTFT P95",
                "TTFT P99", "missed", ""},
               2, rows) +
         "<p class=\"small\">Whole request, and time to first token (TTFT), in milliseconds. Missed: its "
         "latency target was not met.</p>";
}

std::string saving_text(double share) {
  return std::isnan(share) ? "" : base::fixed_text(100.0 * share, 2) + " %";
}

std::string savings(const StoreReport& r) {
  std::vector<std::vector<std::string>> rows;
  std::vector<bool> ours;
  for (const ReportSaving& s : r.savings) {
    ours.push_back(s.ours());
    rows.push_back({s.policy, s.rule, s.ours() ? "the policy" : s.baseline, energy_text(s.site_uj),
                    saving_text(below_none(r, s)), saving_text(saved_against(r, s)), energy_text(s.gpu_uj),
                    number_text(s.p50_ms, 0), number_text(s.p95_ms, 0), number_text(s.p99_ms, 0),
                    base::group_digits(s.missed), base::group_digits(s.finished)});
  }
  return table({"policy", "rule", "baseline", "site", "below none", "policy saves", "GPU", "P50 ms", "P95 ms",
                "P99 ms", "missed", "finished"},
               3, rows, ours) +
         "<p class=\"small\">Each line is a whole run with the same arrivals and the same seed. Below none: "
         "site energy less than without any "
         "policy. Policy saves: what the policy (the marked line of the same group) used less than this "
         "line.</p>";
}

std::string conservation(const StoreReport& r) {
  std::string out = "<p style=\"margin:0\"><span class=\"" + std::string(r.adds_up() ? "ok" : "bad") + "\">" +
                    (r.adds_up() ? "Every joule is accounted for." : "Energy is missing or counted twice.") +
                    "</span> Joules rows " + exact_energy_text(r.joules_uj) +
                    (r.adds_up() ? " == " : " != ") + "site meter " + exact_energy_text(r.site_uj) + ".</p>";
  if (r.equalities_checked) {
    const auto& c = r.conservation;
    out += "<p class=\"small\">" + base::group_digits(static_cast<std::int64_t>(c.leaf_checks)) +
           " device windows and " + base::group_digits(static_cast<std::int64_t>(c.parent_checks)) +
           " windows of parent meters compared by whole microjoules; " +
           base::group_digits(static_cast<std::int64_t>(c.violation_count)) + " differ.</p>";
  }
  std::vector<std::vector<std::string>> rows;
  for (std::size_t s = 0; s < 4; ++s) {
    rows.push_back({std::string(energy::kShareNames[s]), exact_energy_text(r.by_share_uj[s]),
                    percent_text(static_cast<double>(r.by_share_uj[s]), static_cast<double>(r.site_uj))});
  }
  return out + table({"share", "energy", "of site"}, 1, rows);
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
  put("energy quality", std::string(energy::name_of(r.quality)));
  for (const ReportCarbon& c : r.carbon) {
    put("carbon " + c.region, c.kind + ", " + std::string(energy::name_of(c.quality)) + ", " + c.source);
  }
  for (const auto& [name, rows] : r.table_rows)
    put(name, base::group_digits(static_cast<std::int64_t>(rows)) + " rows");
  return out + "</dl>";
}

std::string plots(const StoreReport& r) {
  std::string out = section(
      "Site power by part, kW (mean of each bar, UTC)",
      key(kEnergyPartTitles, kPartColours) + both(power_chart(r, 1120, 300), power_chart(r, 340, 240)));
  out += "<div class=\"pair\">" +
         section("GPU energy drawn idle, %", both(idle_chart(r, 540, 190), idle_chart(r, 340, 170)));
  if (!r.carbon.empty()) {
    out += section("Grid, " + r.carbon[0].region + " " + r.carbon[0].kind + ", g CO2e per kWh",
                   both(carbon_chart(r, 540, 190), carbon_chart(r, 340, 170)));
  }
  out += "</div>\n";
  return out + section("Where the energy went",
                       both(flow_chart(r, 1120, 330),
                            "<div class=\"flow scroll\">" + flow_chart(r, 720, 330) + "</div>"));
}

}  // namespace

std::string report_html(const StoreReport& r) {
  std::string out =
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<link rel=\"icon\" href=\"data:,\"><title>perjoule report</title><style>";
  out += std::string(kStyle) + "</style></head>\n<body><header><h1>Energy report";
  if (r.simulated) out += "<span class=\"mark\">SIMULATED</span>";
  if (!r.complete) out += "<span class=\"mark note\">INCOMPLETE RUN</span>";
  out += "</h1><p class=\"sub\">" + time_text(r.t0_ns) + " to " + time_text(r.t1_ns) + " · " +
         base::group_digits(r.jobs) + " jobs · " +
         (r.latency.empty() ? std::string("no requests")
                            : base::group_digits(r.latency[0].finished) + " requests") +
         " · " + base::group_digits(r.decisions) + " decisions</p></header>\n<main>";
  out += tiles(r);
  if (!r.savings.empty()) out += section("What the policies saved", savings(r));
  out += plots(r) + section("Top consumers, with their share of losses and cooling", consumers(r));
  if (!r.latency.empty()) out += section("Latency", latencies(r));
  out += section("Conservation", conservation(r)) + section("Made by", provenance(r));
  out +=
      "</main><footer>Any number can be traced to a meter: <code>perjoule explain meter NAME</code>, "
      "<code>perjoule explain request "
      "ID</code>. The equalities are checked again by <code>perjoule audit</code>.</footer></body></html>\n";
  return out;
}

}  // namespace perjoule::answers
