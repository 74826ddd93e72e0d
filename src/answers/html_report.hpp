// The report as one HTML file (`perjoule report --html FILE`): styles and plots are in it, no script, nothing
// is fetched. Readable from 390 pixels up and on paper.
//   report_html(r) -> std::string
// Thread rule: pure function. Units: as in StoreReport.
#pragma once

#include <string>

#include "answers/store_report.hpp"

namespace perjoule::answers {

std::string report_html(const StoreReport& r);

}  // namespace perjoule::answers
