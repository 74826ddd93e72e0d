#include "compose/summary_text.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "base/text.hpp"

namespace perjoule::compose {
namespace {

using base::Microjoules;
using base::to_joules;
using base::to_kwh;
using nlohmann::ordered_json;

double per(double a, std::int64_t n) { return n > 0 ? a / static_cast<double>(n) : 0.0; }

double saving_percent(Microjoules baseline, Microjoules run) {
  return 100.0 * (1.0 - static_cast<double>(run.value()) / static_cast<double>(baseline.value()));
}

std::string latency_line(const LatencySummary& l) {
  return fmt::format(
      "latency P50/P95/P99 {:.2f}/{:.2f}/{:.2f} s   first token P50/P95/P99 {:.0f}/{:.0f}/{:.0f} ms   misses "
      "{} of {}",
      l.p50_ms / 1e3, l.p95_ms / 1e3, l.p99_ms / 1e3, l.ttft_p50_ms, l.ttft_p95_ms, l.ttft_p99_ms,
      base::group_digits(l.missed), base::group_digits(l.finished));
}

std::string head_text(const RunSummary& r) {
  const double hours = base::to_seconds(r.t1 - r.t0).value() / 3600.0;
  return fmt::format("SIMULATED  {}  {} .. {}  ({:.1f} h, {} GPUs, {} meters, seed {})\npolicies   {}\n\n",
                     r.scenario, base::format_iso8601(r.t0), base::format_iso8601(r.t1), hours, r.gpus,
                     r.meters, r.seed, r.policies);
}

std::string energy_text(const RunSummary& r) {
  std::string out;
  out += fmt::format(
      "site energy      {:>12.1f} kWh    PUE interim {:.3f}  (IT {:.1f} + cooling {:.1f} + power losses "
      "{:.1f} kWh), "
      "water {:.0f} kg\n",
      to_kwh(r.site), static_cast<double>(r.site.value()) / static_cast<double>(r.it.value()), to_kwh(r.it),
      to_kwh(r.cooling), to_kwh(r.site - r.it - r.cooling), r.water_kg);
  out += fmt::format("GPU energy       {:>12.1f} kWh    idle share of it {:.1f} %\n", to_kwh(r.gpu),
                     100.0 * static_cast<double>(r.gpu_idle.value()) /
                         static_cast<double>(std::max<std::int64_t>(r.gpu.value(), 1)));
  const double direct = to_joules(r.serving_direct).value(), serving = to_joules(r.serving_gpu).value();
  out += fmt::format("per output token {:>12.3f} J GPU  with idle {:.3f} J   ({} tokens out)\n",
                     per(direct, r.output_tokens), per(serving, r.output_tokens),
                     base::group_digits(r.output_tokens));
  out += fmt::format(
      "per request      {:>12.1f} J GPU  with idle {:.1f} J   ({} finished, {} under way, {} refused)\n",
      per(direct, r.latency.finished), per(serving, r.latency.finished),
      base::group_digits(r.latency.finished), r.outstanding, r.rejected);
  for (const auto& c : r.carbon) {
    out += fmt::format("carbon {:<10}{:>12.1f} kg     {:.0f} g/kWh average, {}\n", c.region, c.grams / 1e3,
                       c.mean_g_per_kwh, c.quality);
  }
  return out;
}

std::string consumers_text(const RunSummary& r) {
  std::string out = fmt::format("\n{:<12} {:<14} {:<34} {:>10} {:>9} {:>9} {:>9}\n", "top tenant", "job",
                                "model", "kWh", "direct", "idle", "overhead");
  std::size_t shown = 0;
  for (const ConsumerEnergy& c : r.consumers) {
    if (++shown > 8) break;
    out += fmt::format("{:<12} {:<14} {:<34} {:>10.1f} {:>9.1f} {:>9.1f} {:>9.1f}\n", c.tenant, c.job,
                       c.model, to_kwh(c.total()), to_kwh(c.direct), to_kwh(c.idle), to_kwh(c.overhead));
  }
  return out;
}

std::string savings_text(std::span<const Comparison> comparisons) {
  if (comparisons.empty()) return {};
  const RunSummary& none = comparisons.front().run;
  std::string out =
      "\nsavings against no policy, same arrivals (common random numbers); misses: requests over a latency "
      "target, at most 1 in 100 is the aim\n";
  out +=
      fmt::format("{:<8} {:<18} {:<7} {:>9} {:>8} {:>12} {:>8} {:>8} {:>8} {:>8} {:>9}\n", "policy", "rule",
                  "kind", "site kWh", "site", "serving GPU", "P50 s", "P95 s", "P99 s", "misses", "finished");
  for (const Comparison& c : comparisons) {
    const LatencySummary& l = c.run.latency;
    out += fmt::format(
        "{:<8} {:<18} {:<7} {:>9.1f} {:>6.2f} % {:>10.2f} % {:>8.2f} {:>8.2f} {:>8.2f} {:>8} {:>9}\n",
        c.policy, c.rule, c.baseline, to_kwh(c.run.site), saving_percent(none.site, c.run.site),
        saving_percent(none.serving_gpu, c.run.serving_gpu), l.p50_ms / 1e3, l.p95_ms / 1e3, l.p99_ms / 1e3,
        l.missed, l.finished);
  }
  return out;
}

std::string conservation_text(const RunSummary& r) {
  const auto& t = r.totals;
  return fmt::format(
      "\nconservation  site {} uJ {} direct {} + idle {} + overhead {} + residual {}\n              {} "
      "windows, {} meter rows, {} joule rows\n",
      base::group_digits(r.site.value()), r.conserved ? "==" : "!=", base::group_digits(t.direct.value()),
      base::group_digits(t.idle.value()), base::group_digits(t.overhead.value()),
      base::group_digits(t.residual.value()), base::group_digits(t.windows), base::group_digits(t.meter_rows),
      base::group_digits(t.joule_rows));
}

ordered_json latency_json(const LatencySummary& l) {
  return {{"finished", l.finished},       {"missed", l.missed},           {"p50_ms", l.p50_ms},
          {"p95_ms", l.p95_ms},           {"p99_ms", l.p99_ms},           {"ttft_p50_ms", l.ttft_p50_ms},
          {"ttft_p95_ms", l.ttft_p95_ms}, {"ttft_p99_ms", l.ttft_p99_ms}, {"token_gap_p95_ms", l.gap_p95_ms}};
}

ordered_json comparison_json(const RunSummary& none, const Comparison& c) {
  return {{"policy", c.policy},
          {"rule", c.rule},
          {"baseline", c.baseline},
          {"site_uj", c.run.site.value()},
          {"gpu_uj", c.run.gpu.value()},
          {"serving_gpu_uj", c.run.serving_gpu.value()},
          {"site_saving_percent", saving_percent(none.site, c.run.site)},
          {"serving_gpu_saving_percent", saving_percent(none.serving_gpu, c.run.serving_gpu)},
          {"wakes", c.run.wakes},
          {"decisions", c.run.decisions},
          {"p50_ms", c.run.latency.p50_ms},
          {"p95_ms", c.run.latency.p95_ms},
          {"p99_ms", c.run.latency.p99_ms},
          {"missed", c.run.latency.missed},
          {"finished", c.run.latency.finished},
          {"training_gpu_seconds", c.run.training_seconds},
          {"quality", "simulated"}};
}

ordered_json comparisons_json(const RunSummary& none, std::span<const Comparison> comparisons) {
  ordered_json out = ordered_json::array();
  for (const Comparison& c : comparisons) out.push_back(comparison_json(none, c));
  return out;
}

}  // namespace

std::string screen_text(const RunSummary& run, std::span<const Comparison> comparisons) {
  std::string out = head_text(run) + energy_text(run);
  if (run.latency.finished > 0) out += latency_line(run.latency) + "\n";
  out += fmt::format("training         {:>12.0f} GPU-h of work   {} jobs started, {} ended\n",
                     run.training_seconds / 3600.0, run.jobs_started, run.jobs_ended);
  return out + consumers_text(run) + savings_text(comparisons) + conservation_text(run);
}

std::string savings_json(const RunSummary& none, std::span<const Comparison> comparisons) {
  return comparisons_json(none, comparisons).dump();
}

// Long because it is one flat list: each line of the document, in its order.
std::string summary_json(const RunSummary& r, std::span<const Comparison> comparisons) {
  ordered_json j;
  j["schema_version"] = 1;
  j["scenario"] = r.scenario;
  j["simulated"] = true;
  j["quality"] = "simulated";
  j["policies"] = r.policies;
  j["seed"] = r.seed;
  j["t0_ns"] = r.t0.ns;
  j["t1_ns"] = r.t1.ns;
  j["complete"] = r.complete;
  j["energy_uj"] = {{"site", r.site.value()},
                    {"it", r.it.value()},
                    {"gpu", r.gpu.value()},
                    {"gpu_idle", r.gpu_idle.value()},
                    {"serving_gpu", r.serving_gpu.value()},
                    {"serving_direct", r.serving_direct.value()},
                    {"cooling", r.cooling.value()}};
  j["shares_uj"] = {{"direct", r.totals.direct.value()},
                    {"idle", r.totals.idle.value()},
                    {"overhead", r.totals.overhead.value()},
                    {"residual", r.totals.residual.value()}};
  j["conserved"] = r.conserved;
  j["pue_interim"] =
      r.it.value() > 0 ? static_cast<double>(r.site.value()) / static_cast<double>(r.it.value()) : 0.0;
  j["joules_per_output_token"] = per(to_joules(r.serving_direct).value(), r.output_tokens);
  j["joules_per_request"] = per(to_joules(r.serving_direct).value(), r.latency.finished);
  j["input_tokens"] = r.input_tokens;
  j["output_tokens"] = r.output_tokens;
  j["requests"] = latency_json(r.latency);
  j["requests"]["refused"] = r.rejected;
  j["requests"]["under_way"] = r.outstanding;
  for (const auto& [name, l] : r.services) j["services"][name] = latency_json(l);
  j["jobs"] = {
      {"started", r.jobs_started}, {"ended", r.jobs_ended}, {"work_gpu_seconds", r.training_seconds}};
  j["carbon"] = ordered_json::array();
  for (const auto& c : r.carbon)
    j["carbon"].push_back({{"region", c.region},
                           {"carbon_g", c.grams},
                           {"mean_g_per_kwh", c.mean_g_per_kwh},
                           {"quality", c.quality}});
  j["consumers"] = ordered_json::array();
  for (const ConsumerEnergy& c : r.consumers) {
    j["consumers"].push_back({{"tenant", c.tenant},
                              {"job", c.job},
                              {"model", c.model},
                              {"direct_uj", c.direct.value()},
                              {"idle_uj", c.idle.value()},
                              {"overhead_uj", c.overhead.value()},
                              {"quality", "simulated"}});
  }
  j["wakes"] = r.wakes;
  j["decisions"] = r.decisions;
  j["events"] = r.events;
  j["meter_rows"] = r.totals.meter_rows;
  j["joule_rows"] = r.totals.joule_rows;
  j["water_kg"] = r.water_kg;
  j["gpus"] = r.gpus;
  j["host_seconds"] = r.host_seconds;
  if (!comparisons.empty()) j["savings"] = comparisons_json(comparisons.front().run, comparisons);
  return j.dump(2);
}

std::string golden_text(const RunSummary& r) {
  std::map<std::string, std::string> lines;
  const auto put = [&](const std::string& key, std::int64_t v) { lines[key] = std::to_string(v); };
  put("site_uj", r.site.value());
  put("it_uj", r.it.value());
  put("gpu_uj", r.gpu.value());
  put("gpu_idle_uj", r.gpu_idle.value());
  put("cooling_uj", r.cooling.value());
  put("share[direct]_uj", r.totals.direct.value());
  put("share[idle]_uj", r.totals.idle.value());
  put("share[overhead]_uj", r.totals.overhead.value());
  put("share[residual]_uj", r.totals.residual.value());
  put("windows", r.totals.windows);
  put("meter_rows", r.totals.meter_rows);
  put("joule_rows", r.totals.joule_rows);
  put("requests.finished", r.latency.finished);
  put("requests.missed", r.latency.missed);
  put("requests.refused", r.rejected);
  put("requests.under_way", r.outstanding);
  put("tokens.in", r.input_tokens);
  put("tokens.out", r.output_tokens);
  put("jobs.started", r.jobs_started);
  put("jobs.ended", r.jobs_ended);
  put("wakes", r.wakes);
  put("decisions", r.decisions);
  lines["conserved"] = r.conserved ? "yes" : "no";
  lines["training.gpu_seconds"] = base::fixed_text(r.training_seconds, 3);
  lines["latency.p50_ms"] = base::fixed_text(r.latency.p50_ms, 3);
  lines["latency.p99_ms"] = base::fixed_text(r.latency.p99_ms, 3);
  lines["ttft.p50_ms"] = base::fixed_text(r.latency.ttft_p50_ms, 3);
  lines["ttft.p99_ms"] = base::fixed_text(r.latency.ttft_p99_ms, 3);
  for (const auto& c : r.carbon)
    lines["carbon[" + c.region + "]_g"] = base::fixed_text(c.grams, 3) + " " + c.quality;
  for (const ConsumerEnergy& c : r.consumers) {
    const std::string who = "joules[" + c.tenant + "," + c.job + "," + c.model + "]";
    put(who + ".direct_uj", c.direct.value());
    put(who + ".idle_uj", c.idle.value());
    put(who + ".overhead_uj", c.overhead.value());
  }
  std::string out;
  for (const auto& [key, value] : lines) out += key + " = " + value + "\n";
  return out;
}

}  // namespace perjoule::compose
