// The plots of the HTML report as SVG text. Every plot has a title for screen readers, and each mark a
// tooltip. Thread rule: pure functions. Units: as in StoreReport; sizes in SVG user units.
#pragma once

#include <array>
#include <string>

#include "answers/store_report.hpp"

namespace perjoule::answers {

// Colours that stay apart for colour-blind readers (Okabe and Ito's set), by EnergyPart.
inline constexpr std::array<const char*, kEnergyParts> kPartColours{"#0072b2", "#8ec3e6", "#009e73",
                                                                    "#cc79a7", "#56b4e9", "#e69f00"};

// Mean site power, stacked by part, one bar per piece of the series.
std::string power_chart(const StoreReport& r, int width, int height);
// Share of GPU energy that was idle, in percent, as a line.
std::string idle_chart(const StoreReport& r, int width, int height);
// Grams of CO2 per kWh of the charged series as a line; empty text where there is none.
std::string carbon_chart(const StoreReport& r, int width, int height);
// Site -> parts -> GPU holders -> working and idle. `height` is that of the site's bar; the plot may be
// higher.
std::string flow_chart(const StoreReport& r, int width, int height);

}  // namespace perjoule::answers
