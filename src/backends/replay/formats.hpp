// The job and request formats of `perjoule import`. Jobs: gaia-1k, gaia-100k, gavel, swf, jobs-csv (by
// mapping), perjoule-jobs. Requests: azure-llm, mooncake, requests-csv (by mapping), perjoule-requests.
// Thread rule: call once per registry.
#pragma once

#include "backends/intake/import.hpp"

namespace perjoule::backends::replay {

void register_formats(intake::ImportRegistry& registry);

}  // namespace perjoule::backends::replay
