// `perjoule explain line ID`: a figure of the report, with its formula, its parts and the meters they come
// from.
#include <algorithm>
#include <cmath>

#include "answers/explain.hpp"
#include "answers/store_report.hpp"
#include "base/text.hpp"

namespace perjoule::answers {
namespace {

struct Line {
  const char* id;
  const char* formula;
  const char* kpi;      // of energy::kpi_definitions(), or ""
  const char* command;  // shows the rows behind it
};

constexpr std::array<Line, 8> kLines{{
    {"site_uj", "sum of meters.energy_uj over the meters without a parent", "",
     "perjoule top --by kind,share"},
    {"it_uj", "sum of meters.energy_uj over node inputs and switches", "", "perjoule top --by node"},
    {"gpu_uj", "sum of meters.energy_uj over GPU meters", "", "perjoule top --by kind,share"},
    {"gpu_idle_uj", "sum of joules.energy_uj over GPU meters where share = idle", "",
     "perjoule top --by kind,share"},
    {"pue_interim", "site_uj / it_uj", "pue_interim", "perjoule top --by zone,kind"},
    {"idle_share", "gpu_idle_uj / gpu_uj", "idle_share", "perjoule top --by kind,share"},
    {"joules_per_token_j", "serving_direct_uj / 1e6 / output tokens of finished requests", "joules_per_token",
     "perjoule top --by request"},
    {"joules_per_request_j", "serving_direct_uj / 1e6 / finished requests", "joules_per_request",
     "perjoule top --by request"},
}};

FactValue value_of(const StoreReport& r, const std::string& id) {
  const auto real = [](double v) { return std::isnan(v) ? FactValue{} : FactValue{v}; };
  if (id == "site_uj") return r.site_uj;
  if (id == "it_uj") return r.it_uj;
  if (id == "gpu_uj") return r.gpu_uj;
  if (id == "gpu_idle_uj") return r.gpu_idle_uj;
  if (id == "pue_interim") return real(r.pue());
  if (id == "idle_share") return real(r.idle_share());
  return real(id == "joules_per_token_j" ? r.joules_per_token() : r.joules_per_request());
}

void add_definition(Explanation& e, const Line& line) {
  e.facts.push_back({"formula", std::string(line.formula)});
  const energy::KpiDefinition* kpi = energy::find_kpi(line.kpi);
  if (kpi == nullptr) return;
  e.facts.push_back({"standard", std::string(kpi->standard)});
  e.facts.push_back({"boundary", std::string(kpi->boundary)});
  e.facts.push_back({"period", std::string(kpi->period)});
}

}  // namespace

std::vector<std::string> explain_lines() {
  std::vector<std::string> out;
  for (const Line& line : kLines) out.emplace_back(line.id);
  return out;
}

base::Result<Explanation> explain_line(const bus::StoreReader& store, const std::string& id) {
  const auto line = std::find_if(kLines.begin(), kLines.end(), [&](const Line& l) { return l.id == id; });
  if (line == kLines.end()) {
    return base::bad_input("explain line '" + id + "'", store.directory(), "the report has no such figure",
                           base::nearest_name_hint(id, explain_lines()));
  }
  PJ_ASSIGN(const StoreReport r, store_report(store, {false, 0}));
  Explanation e;
  e.kind = "line";
  e.id = id;
  e.energy_uj = r.site_uj;
  e.facts = {{id, value_of(r, id)},
             {"quality", std::string(energy::name_of(r.quality))},
             {"t0_ns", r.t0_ns},
             {"t1_ns", r.t1_ns}};
  add_definition(e, *line);
  e.facts.push_back({"output_tokens", r.output_tokens});
  e.facts.push_back({"finished_requests", r.latency.empty() ? std::int64_t{0} : r.latency[0].finished});
  e.facts.push_back({"serving_direct_uj", r.serving_direct_uj});
  const auto parts = r.parts_uj();
  for (std::size_t p = 0; p < kEnergyParts; ++p) e.around.push_back({kEnergyPartNames[p], parts[p]});
  std::int64_t sum = 0;
  for (const std::int64_t uj : parts) sum += uj;
  e.checks.push_back({"site meter == sum of all joules rows", r.site_uj, r.joules_uj});
  e.checks.push_back({"site meter == sum of the parts", r.site_uj, sum});
  e.notes.push_back("The rows behind it: " + std::string(line->command) +
                    "; then perjoule explain meter NAME.");
  e.provenance = provenance_of(store);
  return e;
}

}  // namespace perjoule::answers
