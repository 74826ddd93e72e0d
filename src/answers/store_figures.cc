// The figures at the top of the report: one list for every form of it and for `perjoule explain line`.
#include <cmath>

#include "answers/answer_format.hpp"
#include "answers/store_report.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

using energy::Quality;

// Of a quotient whose two errors may add up: an upper bound. -1 if either is not known.
std::int64_t added(std::int64_t a, std::int64_t b) { return a < 0 || b < 0 ? -1 : a + b; }

ReportFigure energy_figure(const StoreReport& r, const char* id, const char* title, const char* formula,
                           std::int64_t uj, std::int64_t ppm, const char* needs) {
  ReportFigure f{id, title, formula, "uJ", uj, r.quality, ppm, ""};
  if (ppm < 0) f.value = {}, f.quality = Quality::kMissing, f.missing_because = needs;
  return f;
}

ReportFigure ratio_figure(const StoreReport& r, const char* id, const char* title, const char* formula,
                          const char* unit, double value, std::int64_t ppm, const char* needs) {
  ReportFigure f{id, title, formula, unit, value, r.quality, ppm, ""};
  if (std::isnan(value)) {
    f.value = {}, f.quality = Quality::kMissing, f.uncertainty_ppm = -1, f.missing_because = needs;
  }
  return f;
}

double joules_per(std::int64_t uj, std::int64_t count) {
  return count == 0 ? energy::kAbsent : static_cast<double>(uj) * 1e-6 / static_cast<double>(count);
}

void add_carbon(const StoreReport& r, std::vector<ReportFigure>& out) {
  ReportFigure f{"carbon_g",
                 "CO2e of the site",
                 "sum over settlement windows of site energy in kWh * g/kWh of the first average series",
                 "g",
                 {},
                 Quality::kMissing,
                 -1,
                 "the store has no average carbon factors"};
  if (!r.carbon.empty() && r.carbon[0].kind == "average") {
    const ReportCarbon& c = r.carbon[0];
    f.title = "CO2e of the site with " + c.region + ", " + c.kind + " factors";
    f.missing_because = "a settlement window has no factor";
    // The factor's own uncertainty is in no store, so that of the grams is not known.
    if (!std::isnan(c.grams)) f.value = c.grams, f.quality = c.quality, f.missing_because.clear();
  }
  out.push_back(std::move(f));
}

void add_saving(const StoreReport& r, std::vector<ReportFigure>& out) {
  ReportFigure f{"saved_share",
                 "Site energy below the run without any policy",
                 "1 - site_uj / site_uj of the row of policy none in the manifest's savings_json",
                 "1",
                 {},
                 Quality::kMissing,
                 -1,
                 r.whole ? "the store has no savings_json; perjoule demo writes it"
                         : "what rules saved is known for the whole run only"};
  if (!r.savings.empty() && r.savings.back().policy == kRecordedRun) {
    const double share = below_none(r, r.savings.back());
    if (!std::isnan(share)) f.value = share, f.quality = r.quality, f.missing_because.clear();
  }
  out.push_back(std::move(f));
}

}  // namespace

std::string grams_text(double grams) {
  if (std::isnan(grams)) return "missing";
  return grams >= 1e3 ? base::fixed_text(grams * 1e-3, 1) + " kg" : base::fixed_text(grams, 1) + " g";
}

std::string uncertainty_text(std::int64_t ppm) {
  return ppm < 0 ? "± not known" : "±" + base::fixed_text(static_cast<double>(ppm) * 1e-4, 2) + " %";
}

std::string figure_text(const ReportFigure& f) {
  if (const auto* uj = std::get_if<std::int64_t>(&f.value)) return energy_text(*uj);
  const auto* v = std::get_if<double>(&f.value);
  if (v == nullptr) return "missing";
  if (f.unit == "J") return base::fixed_text(*v, *v < 100.0 ? 3 : 1) + " J";
  if (f.unit == "g") return grams_text(*v);
  return f.id.ends_with("_share") ? base::fixed_text(100.0 * *v, f.id == "saved_share" ? 2 : 1) + " %"
                                  : base::fixed_text(*v, 3);
}

std::vector<ReportFigure> report_figures(const StoreReport& r) {
  const std::int64_t finished = r.latency.empty() ? 0 : r.latency[0].finished;
  const std::int64_t site = r.site_off.ppm(), it = r.it_off.ppm(), gpu = r.gpu_off.ppm(),
                     serving = r.serving_off.ppm();
  const std::int64_t cooling = r.parts_uj()[static_cast<std::size_t>(EnergyPart::kCooling)];
  const char* no_gpu = "the store has no GPU meter";
  const char* no_request = "no request was finished in this period";
  std::vector<ReportFigure> out{
      energy_figure(r, "site_uj", "Site energy", "sum of meters.energy_uj over the meters without a parent",
                    r.site_uj, site, "the site meter read nothing"),
      energy_figure(r, "it_uj", "IT energy", "sum of meters.energy_uj over node inputs and switches", r.it_uj,
                    it, "the store has no node or switch meter"),
      energy_figure(r, "cooling_uj", "Cooling energy", "sum of the energy that meters of zone cooling use",
                    cooling, r.cooling_off.ppm(), "the store has no cooling meter"),
      energy_figure(r, "gpu_uj", "GPU energy", "sum of meters.energy_uj over GPU meters", r.gpu_uj, gpu,
                    no_gpu),
      energy_figure(r, "gpu_idle_uj", "GPU energy drawn idle",
                    "sum of joules.energy_uj over GPU meters where share = idle", r.gpu_idle_uj, gpu, no_gpu),
      ratio_figure(r, "pue_interim", "PUE, interim: of this period, not of a year", "site_uj / it_uj", "1",
                   r.pue(), added(site, it), "the store has no node or switch meter"),
      ratio_figure(r, "idle_share", "Share of GPU energy drawn idle", "gpu_idle_uj / gpu_uj", "1",
                   r.idle_share(), added(gpu, gpu), no_gpu),
      ratio_figure(r, "joules_per_token_j", "GPU energy per output token",
                   "serving_direct_uj / 1e6 / output tokens of finished requests", "J", r.joules_per_token(),
                   serving, no_request),
      ratio_figure(r, "joules_per_request_j", "GPU energy per request",
                   "serving_direct_uj / 1e6 / finished requests", "J", r.joules_per_request(), serving,
                   no_request),
      ratio_figure(r, "joules_per_token_with_idle_j", "GPU energy per output token, with idle time",
                   "(direct + idle GPU energy of the services) / 1e6 / output tokens of finished requests",
                   "J", joules_per(r.serving_gpu_uj, r.output_tokens), gpu, no_request),
      ratio_figure(r, "joules_per_request_with_idle_j", "GPU energy per request, with idle time",
                   "(direct + idle GPU energy of the services) / 1e6 / finished requests", "J",
                   joules_per(r.serving_gpu_uj, finished), gpu, no_request)};
  add_carbon(r, out);
  add_saving(r, out);
  return out;
}

}  // namespace perjoule::answers
