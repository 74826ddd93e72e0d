// A run's summary as people, scripts and golden scenarios read it.
// Thread rule: pure functions.
#pragma once

#include <span>
#include <string>

#include "compose/run.hpp"

namespace perjoule::compose {

// One row of the savings table: a rule of one policy against the run without policies.
struct Comparison {
  std::string policy;  // "sleep", "cap", "both"
  std::string rule;
  std::string baseline;  // weak, usual, strong, ours
  PolicyChoice choice;
  RunSummary run;
};

// The first screen of the demo.
std::string screen_text(const RunSummary& run, std::span<const Comparison> comparisons);
// One JSON document (contract: snake_case, units in names).
std::string summary_json(const RunSummary& run, std::span<const Comparison> comparisons);
// Savings table alone, as JSON array text: kept in the store for reports.
std::string savings_json(const RunSummary& none, std::span<const Comparison> comparisons);
// Sorted `key = value` lines of integers and fixed decimals, for golden scenarios.
std::string golden_text(const RunSummary& run);

}  // namespace perjoule::compose
