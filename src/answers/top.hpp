// Who used the energy: joules of a store by any dimensions over a window (`perjoule top`).
//   top(store, options)    -> Result<TopAnswer>; kBadInput names an unknown dimension and the nearest ones
//   top_text(answer), top_json(answer), top_csv(answer)
// Thread rule: one thread. Ownership: values. Units: microjoules, Unix nanoseconds.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "bus/store.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::answers {

struct TopOptions {
  std::vector<std::string> dimensions{"tenant", "job", "model"};  // 1..6 of top_dimensions()
  bus::TimeWindow window;  // compared with the settlement window's start
  std::size_t limit = 20;  // 0: all
  bool by_scan = false;    // row by row, whatever faster way there is: what tests compare with
};

struct TopRow {
  std::vector<std::string> keys;  // one per dimension; empty = nobody (NULL in the store)
  std::int64_t energy_uj = 0;
  std::array<std::int64_t, 4> by_share_uj{};  // in the order of energy::Share
  energy::Quality quality = energy::Quality::kMeasured;
  std::uint64_t joule_rows = 0;
};

struct TopAnswer {
  std::vector<std::string> dimensions;
  std::int64_t from_ns = 0, to_ns = 0;  // of the rows that were read
  std::vector<TopRow> rows;             // largest first, then by name
  TopRow others;                        // all rows beyond the limit; no keys
  std::size_t other_groups = 0;
  std::int64_t total_uj = 0;  // every joules row of the window
  std::int64_t site_uj = 0;   // the meters without a parent
  bool equal() const { return total_uj == site_uj; }
  std::string rollup;  // whose sums stood for rows; empty: rows alone
  // Rows before this time have been dropped for their age: of joules, where no sums stand for all of them;
  // and of meters.
  std::optional<std::int64_t> lacks_before_ns, site_lacks_before_ns;
};

// tenant, job, model, run, epoch, step, request, kernel, device, meter, share, method, source, quality, and
// by the meter: node, rack, site, kind, zone.
std::vector<std::string> top_dimensions();
base::Result<TopAnswer> top(const bus::StoreReader& store, const TopOptions& options);
// `bars`: one beside each row, for a terminal.
std::string top_text(const TopAnswer& answer, bool bars = false);
std::string top_json(const TopAnswer& answer);
std::string top_csv(const TopAnswer& answer);

}  // namespace perjoule::answers
