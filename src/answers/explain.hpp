// From any number back to the meter (`perjoule explain KIND ID`): the thing's own row -> its joules rows ->
// the meters' readings up to the site -> the sensors' counters -> rules, carbon factors, seed and build.
//   explain(store, kind, id, options) -> Result<Explanation>
//     kinds: request, job, kernel, decision, meter, line (a figure of the report; ids: explain_lines())
//     kBadInput (exit 2): unknown kind or id, with the nearest names or the query that lists them
//   explanation_text(e, all), explanation_json(e): the text has about a screen unless `all`; the JSON has all
// Every equality that is printed was computed here from the rows, with whole microjoules.
// Thread rule: one thread. Ownership: values. Units: microjoules, Unix nanoseconds.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "bus/store.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::answers {

struct ExplainOptions {
  bus::TimeWindow window;        // job, kernel, meter, line: only these settlement windows
  std::size_t detail_rows = 24;  // above: lines are summed over windows
};

// monostate = absent.
using FactValue = std::variant<std::monostate, std::int64_t, double, bool, std::string>;
struct Fact {
  std::string name;  // snake_case with its unit, as in the contract
  FactValue value;
};

struct EnergyLine {            // joules rows of one meter, window (or all windows), share, step and rule
  std::int64_t window_ns = 0;  // energy::kNoTime: summed over windows
  std::string meter, share, step, method;
  std::int64_t energy_uj = 0;
  std::uint64_t joule_rows = 0;
  energy::Quality quality = energy::Quality::kMeasured;
  std::int64_t uncertainty_ppm = 0;  // the largest
};

struct NamedEnergy {
  std::string name;
  std::int64_t energy_uj = 0;
};

struct MeterLine {
  std::string meter, parent, kind, zone, source;
  std::size_t depth = 0;  // 0: the site
  bool leaf = false;      // no meter below it
  std::int64_t t0_ns = 0, t1_ns = 0;
  std::int64_t energy_uj = 0;  // of the windows below, summed
  std::int64_t part_uj = 0;    // of it: what this explanation's rows took from this very meter
  std::uint64_t windows = 0;
  energy::Quality quality = energy::Quality::kMeasured;
  std::int64_t uncertainty_ppm = 0;
};

struct SampleLine {  // a counter at the edges of the windows, beside the meter's own reading
  std::string device, signal, source;
  std::int64_t t_before_ns = INT64_MIN, t_after_ns = INT64_MIN;  // INT64_MIN: none
  double before = 0.0, after = 0.0;                              // NaN: no sample at that edge
  double difference = 0.0;                                       // after - before; NaN if either is absent
  std::int64_t meter_uj = 0;                                     // the meter's readings between the two
  energy::Quality quality = energy::Quality::kMissing;
};

struct RuleText {
  std::string rule, text;
};

struct CarbonLine {
  std::int64_t t0_ns = 0, t1_ns = 0;
  std::string region, kind, source;
  double g_per_kwh = 0.0;
  energy::Quality quality = energy::Quality::kMissing;
};

struct EqualityCheck {
  std::string text;
  std::int64_t left_uj = 0, right_uj = 0;
  bool equal() const { return left_uj == right_uj; }
};

struct Explanation {
  std::string kind, id;
  std::vector<Fact> facts;
  std::int64_t energy_uj = 0;  // sum of all lines
  std::int64_t whole_uj = 0;   // what the parts of `around` are parts of
  std::uint64_t windows = 0;
  std::vector<EnergyLine> lines;
  std::vector<NamedEnergy> kernels;  // largest first; empty where kernels were not recorded
  std::vector<NamedEnergy>
      around;                     // decision: the target's energy by window; meter: children; line: its parts
  std::vector<MeterLine> meters;  // as a tree, site first
  std::vector<SampleLine> samples;
  std::vector<RuleText> rules;
  std::vector<CarbonLine> carbon;
  std::vector<EqualityCheck> checks;
  std::vector<std::string> notes;
  std::vector<std::pair<std::string, std::string>> provenance;  // store, scenario, seed, build, ...
  bool holds() const;                                           // every check is equal
};

std::vector<std::string> explain_kinds();
// Ids of kind "line": the figures of the report, as its JSON names them.
std::vector<std::string> explain_lines();
base::Result<Explanation> explain_line(const bus::StoreReader& store, const std::string& id,
                                       const ExplainOptions& options = {});
// The energy counters of devices at the two edges of a time, each beside what its meter said in between.
base::Result<std::vector<SampleLine>> counters_at_edges(const bus::StoreReader& store,
                                                        const std::vector<std::string>& devices,
                                                        bus::TimeWindow time, std::int64_t window_length_ns);
// Scenario, policies, seed, build, store: what made the numbers.
std::vector<std::pair<std::string, std::string>> provenance_of(const bus::StoreReader& store);
// What a rule of the ledger does, in one line with its formula; empty for an unknown one.
std::string rule_text(const std::string& rule);

base::Result<Explanation> explain(const bus::StoreReader& store, const std::string& kind,
                                  const std::string& id, const ExplainOptions& options = {});
std::string explanation_text(const Explanation& e, bool all = false);
std::string explanation_json(const Explanation& e);

}  // namespace perjoule::answers
