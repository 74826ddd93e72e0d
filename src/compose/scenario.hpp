// A scenario: the hall, what it is asked to do, for how long, and the series around it. Read from TOML
// (docs/formats/scenario.md) with errors at file:line:column, or made in code.
// Thread rule: values; copies share the traces.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "backends/grid/carbon_series.hpp"
#include "backends/replay/request_trace.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "plant/hall.hpp"

namespace perjoule::compose {

// A request trace, tiled end to end (or, a list written by hand, gone through once) and warped in time so
// that hour h of a day sees `profile[h]` times the trace's own rate times `rate`. Order and token counts are
// kept.
struct RequestSource {
  std::shared_ptr<const backends::replay::RequestTrace> trace;
  double rate = 1.0;
  std::array<double, 24> profile{};      // of the UTC hour; all 1 = flat
  std::vector<double> service_weights;   // by service; requests are dealt by a seeded draw
  bool tiled = true;                     // otherwise the stream ends with the trace
  std::vector<std::size_t> row_service;  // service of each row of the trace; empty = dealt by weight
};

struct Scenario {
  std::string name;
  std::string text;  // the TOML it came from, kept in the store
  plant::HallSpec hall;
  base::Duration length = base::Duration{24 * base::kNsPerHour};
  RequestSource requests;
  std::vector<backends::grid::CarbonSeries>
      carbon;                                  // the first one is charged, the others are shown beside it
  double kernel_sample = 0.01;                 // share of requests recorded to the kernel
  std::vector<std::uint64_t> traced_requests;  // always recorded to the kernel
};

// What a command line puts in place of the scenario's own: they decide which jobs are taken and what is drawn
// for them, so they must be known while reading. Hours are rounded down to whole windows.
struct ScenarioChanges {
  std::optional<std::uint64_t> seed;
  std::optional<double> hours;
};

// Paths in the scenario are relative to `base_directory`; `name` stands in error places. Errors are kBadInput
// at name:line:column with a hint, kMissing for a file that is not there, or whatever the reader of a trace
// finds.
base::Result<Scenario> parse_scenario(base::Env& env, const std::string& text, const std::string& name,
                                      const std::string& base_directory, const ScenarioChanges& changes = {});
base::Result<Scenario> read_scenario(base::Env& env, const std::string& path,
                                     const ScenarioChanges& changes = {});
// The stream a hall pulls from; the same numbers for the same seed, whatever the policies do.
plant::RequestStream make_request_stream(const Scenario& scenario);

}  // namespace perjoule::compose
