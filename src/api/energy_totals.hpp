// Energy per meter since the store began, for /metrics: kept from one scrape to the next, so that a scrape
// reads only the newest windows. Rows of a window more than kGraceWindows behind the newest one are counted
// only if they came before it was that old. Request ids and kernels are no part of it: a series is a meter.
// Thread rule: one thread at a time. Ownership: values. Units: microjoules, Unix nanoseconds.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "api/metrics_text.hpp"
#include "base/result.hpp"
#include "bus/store.hpp"

namespace perjoule::api {

class EnergyTotals {
 public:
  static constexpr int kGraceWindows = 10;

  // Reads what came since the last call. Errors: what StoreReader::scan returns; the totals are then as
  // before.
  base::Status update(const bus::StoreReader& store);
  // Families of sites (meters without a parent), nodes and devices (meters without a meter below), with at
  // most `limit` series in all; `dropped` counts the others.
  std::vector<MetricFamily> families(std::size_t limit, std::uint64_t& dropped) const;

 private:
  struct Total {
    std::string kind, node, site, parent;
    std::int64_t settled_uj = 0, fresh_uj = 0;
  };
  std::map<std::string, Total> meters_;
  std::map<std::string, std::uint64_t> children_;  // of a meter that is a parent
  std::int64_t settled_ns_ = INT64_MIN;            // windows before are in settled_uj
  std::int64_t next_settled_ns_ = INT64_MIN;
  std::int64_t end_ns_ = 0;  // of the newest window
  std::uint64_t rows_ = 0;   // of the store, at the last update
};

}  // namespace perjoule::api
