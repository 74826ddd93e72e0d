// The plots of the HTML report as SVG text. Every plot has a title and a description for screen readers, axes
// with their unit, and a tooltip on each mark; colours are classes of the page's style.
// Thread rule: pure functions. Units: as in StoreReport; sizes in SVG user units.
#pragma once

#include <string>

#include "answers/store_report.hpp"

namespace perjoule::answers {

// Mean site power in kW, one bar per piece of the series, stacked by share or by kind of device. What is
// below zero (a residual) hangs below it.
std::string share_chart(const StoreReport& r, int width, int height);
std::string kind_chart(const StoreReport& r, int width, int height);
// Share of GPU energy that was idle, in percent.
std::string idle_chart(const StoreReport& r, int width, int height);
// Grams of CO2 per kWh of every series: average drawn through, marginal dashed; empty text without any.
std::string carbon_chart(const StoreReport& r, int width, int height);
// P99 latency against site energy of every compared rule, each named; empty text without any.
std::string rules_chart(const StoreReport& r, int width, int height);
// Decisions of one kind by piece of the series.
std::string action_chart(const StoreReport& r, const ReportAction& action, int width, int height);

// Joules from the site through feeds, UPS and racks to kinds of device and consumers. With `few`, only site,
// kinds and consumers. What is below zero is not drawn: undrawn_uj(r).
std::string flow_chart(const StoreReport& r, int width, int height, bool few);
std::int64_t undrawn_uj(const StoreReport& r);

}  // namespace perjoule::answers
