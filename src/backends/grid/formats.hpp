// The carbon formats of `perjoule import`: dcrl-carbon, opendc-carbon, carbon-factors, carbon-csv (by
// mapping), perjoule-carbon (the canonical file). Thread rule: call once per registry.
#pragma once

#include "backends/intake/import.hpp"

namespace perjoule::backends::grid {

void register_formats(intake::ImportRegistry& registry);

}  // namespace perjoule::backends::grid
