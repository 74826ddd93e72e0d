// What this process uses, by the names that Prometheus' client libraries have for it. Thread rule: any
// thread.
#pragma once

#include <vector>

#include "api/metrics_text.hpp"
#include "base/time.hpp"

namespace perjoule::api {

std::vector<MetricFamily> process_metrics(base::TimePoint started);

}  // namespace perjoule::api
