#include "energy/vocabulary.hpp"

#include <algorithm>

namespace perjoule::energy {

std::string_view name_of(Quality q) { return kQualityNames[static_cast<std::size_t>(q)]; }
std::string_view name_of(DeviceKind k) { return kDeviceKindNames[static_cast<std::size_t>(k)]; }
std::string_view name_of(Share s) { return kShareNames[static_cast<std::size_t>(s)]; }

base::Result<Quality> parse_quality(std::string_view text) {
  for (std::size_t i = 0; i < kQualityNames.size(); ++i) {
    if (kQualityNames[i] == text) return static_cast<Quality>(i);
  }
  return base::bad_input("read a quality", "'" + std::string(text) + "'", "unknown",
                         "Use measured, derived, modelled, simulated or missing");
}

Quality worse(Quality a, Quality b) { return std::max(a, b); }

std::span<const KpiDefinition> kpi_definitions() {
  static constexpr std::array<KpiDefinition, 7> kAll{{
      {"pue_interim", "ISO/IEC 30134-2", "E_DC / E_IT", "1", "site meter over node inputs and switches",
       "12 months; shorter periods are interim"},
      {"cue_interim", "ISO/IEC 30134-8", "CO2 of E_DC / E_IT", "kg/kWh", "site meter, grid average factor",
       "12 months; shorter periods are interim"},
      {"cer_interim", "ISO/IEC 30134-7", "heat removed / E_cooling", "1", "cooling plant",
       "12 months; interim"},
      {"sci", "ISO/IEC 21031", "E x I per R (M not included)", "g/R", "site meter with overhead",
       "as stated"},
      {"joules_per_token", "perjoule", "E_direct of serving / output tokens", "J", "GPU meters", "as stated"},
      {"joules_per_request", "perjoule", "E_direct of serving / finished requests", "J", "GPU meters",
       "as stated"},
      {"idle_share", "perjoule", "idle rows / all rows of GPU meters", "1", "GPU meters", "as stated"},
  }};
  return kAll;
}

const KpiDefinition* find_kpi(std::string_view id) {
  const auto all = kpi_definitions();
  const auto it = std::find_if(all.begin(), all.end(), [&](const KpiDefinition& k) { return k.id == id; });
  return it == all.end() ? nullptr : &*it;
}

}  // namespace perjoule::energy
