#include "bus/rollup_check.hpp"

#include <fmt/format.h>

#include <map>

#include "bus/query_kernels.hpp"
#include "bus/rollup.hpp"

namespace perjoule::bus {
namespace {

struct Total {
  WideInt energy_uj = 0;
  std::uint64_t rows = 0;
  bool operator==(const Total&) const = default;
};
using Windows = std::map<std::int64_t, Total>;

std::string text_of(const Total& t) {
  return fmt::format("{} uJ of {} rows", t.energy_uj, t.rows);
}

base::Result<Windows> windows_of(const StoreReader& store, Table table, Segments which) {
  const bool counted = table != Table::kJoules;
  ScanRequest request{table, {"window_ns", "energy_uj"}, {}, which};
  if (counted) request.columns.push_back("rows");
  Windows out;
  PJ_TRY(store.scan(request, [&](const Batch& b) {
    for (std::size_t i = 0; i < b.rows; ++i) {
      Total& t = out[b.columns[0].ints[i]];
      t.energy_uj += b.columns[1].ints[i];
      t.rows += counted ? static_cast<std::uint64_t>(b.columns[2].ints[i]) : 1;
    }
    return base::ok_status();
  }));
  return out;
}

// Of what was dropped; nothing if it is not all known.
std::optional<Total> dropped_of(const Manifest& manifest) {
  Total out;
  for (const DroppedRows& d : manifest.dropped) {
    if (d.table != schema_of(Table::kJoules).name) continue;
    if (!d.energy_uj) return std::nullopt;
    out.energy_uj += *d.energy_uj;
    out.rows += d.rows;
  }
  return out;
}

Total total_of(const Windows& windows) {
  Total out;
  for (const auto& [at, t] : windows) {
    out.energy_uj += t.energy_uj;
    out.rows += t.rows;
  }
  return out;
}

class Check {
 public:
  Check(const Manifest& manifest, const Windows& joules) : joules_(joules), dropped_(dropped_of(manifest)) {
    const auto mark = manifest.tables.find(std::string(schema_of(Table::kJoules).name));
    if (mark != manifest.tables.end()) kept_from_ns_ = mark->second.kept_from_ns;
  }

  void compare(Table rollup, const Windows& rolled, RollupReport& report) const {
    const std::string name(schema_of(rollup).name);
    const auto differs = [&](std::string where, const Total& sum, const Total& rows) {
      if (sum == rows) return;
      if (++report.difference_count <= kShown)
        report.differences.push_back({name, std::move(where), text_of(sum), text_of(rows)});
    };
    const auto by_window = [&](const Windows& windows, bool only_new) {
      for (auto at = windows.lower_bound(kept_from_ns_); at != windows.end(); ++at) {
        const auto other = joules_.find(at->first), own = rolled.find(at->first);
        if (only_new && other != joules_.end()) continue;
        differs(fmt::format("window {}", at->first), own == rolled.end() ? Total{} : own->second,
                other == joules_.end() ? Total{} : other->second);
      }
    };
    by_window(joules_, false);
    by_window(rolled, true);
    if (!dropped_) return;
    Total all = total_of(joules_);
    all.energy_uj += dropped_->energy_uj;
    all.rows += dropped_->rows;
    differs("in all", total_of(rolled), all);
  }

 private:
  static constexpr std::uint64_t kShown = 20;
  const Windows& joules_;
  const std::optional<Total> dropped_;
  std::int64_t kept_from_ns_ = INT64_MIN;
};

}  // namespace

base::Result<RollupReport> check_rollups(const StoreReader& store) {
  RollupReport report;
  PJ_ASSIGN(const Windows joules, windows_of(store, Table::kJoules, Segments::kRolledUp));
  report.windows = joules.size();
  report.rows = total_of(joules).rows;
  const Check check(store.manifest(), joules);
  for (const RollupSpec& spec : rollup_specs()) {
    PJ_ASSIGN(const Windows rolled, windows_of(store, spec.table, Segments::kAll));
    check.compare(spec.table, rolled, report);
  }
  return report;
}

}  // namespace perjoule::bus
