#include "bus/rollup_check.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>

#include "bus/query_kernels.hpp"
#include "bus/rollup.hpp"

namespace perjoule::bus {
namespace {

struct Total {
  WideInt energy_uj = 0;
  std::uint64_t rows = 0;
  bool operator==(const Total&) const = default;
};
using Windows = std::map<std::int64_t, Total>;  // by their beginnings
using Steps = std::map<std::int64_t, Windows>;  // by their lengths

void add(Total& total, WideInt energy_uj, std::uint64_t rows) {
  total.energy_uj += energy_uj;
  total.rows += rows;
}

std::string text_of(const Total& t) { return fmt::format("{} uJ of {} rows", t.energy_uj, t.rows); }

// Of every step of time: the rollup's rows.
base::Result<Steps> rolled_in(const StoreReader& store, Table rollup) {
  Steps out;
  PJ_TRY(store.scan({rollup, {"window_ns", "step_ns", "energy_uj", "rows"}, {}}, [&](const Batch& b) {
    for (std::size_t i = 0; i < b.rows; ++i)
      add(out[b.columns[1].ints[i]][b.columns[0].ints[i]], b.columns[2].ints[i],
          static_cast<std::uint64_t>(b.columns[3].ints[i]));
    return base::ok_status();
  }));
  return out;
}

// The rows of joules that were summed in these steps.
base::Result<Steps> rows_of(const StoreReader& store, Table rollup) {
  const std::string name(schema_of(rollup).name);
  std::set<std::int64_t> steps;
  for (const auto& e : store.manifest().segments) {
    if (e.table == schema_of(Table::kJoules).name) steps.insert(e.step_in(name));
  }
  steps.erase(0);
  Steps out;
  for (const std::int64_t step : steps) {
    ScanRequest request{Table::kJoules, {"window_ns", "energy_uj"}, {}};
    request.only = [&](const SegmentEntry& e) { return e.step_in(name) == step; };
    PJ_TRY(store.scan(request, [&](const Batch& b) {
      for (std::size_t i = 0; i < b.rows; ++i)
        add(out[step][floor_to_step(b.columns[0].ints[i], step)], b.columns[1].ints[i], 1);
      return base::ok_status();
    }));
  }
  return out;
}

Total total_of(const Steps& steps) {
  Total out;
  for (const auto& [step, windows] : steps) {
    for (const auto& [at, t] : windows) add(out, t.energy_uj, t.rows);
  }
  return out;
}

class Check {
 public:
  Check(const StoreReader& store, RollupReport& report) : store_(store), report_(report) {
    const auto mark = store.manifest().tables.find(std::string(schema_of(Table::kJoules).name));
    if (mark != store.manifest().tables.end()) kept_from_ns_ = mark->second.kept_from_ns;
  }

  base::Status compare(Table rollup) {
    name_ = schema_of(rollup).name;
    PJ_ASSIGN(const Steps rolled, rolled_in(store_, rollup));
    PJ_ASSIGN(const Steps rows, rows_of(store_, rollup));
    for (const auto step : kRollupSteps) {
      const auto own = rolled.find(step), other = rows.find(step);
      compare_windows(own == rolled.end() ? Windows{} : own->second,
                      other == rows.end() ? Windows{} : other->second, step);
    }
    report_.rows = std::max(report_.rows, total_of(rolled).rows);
    Total all = total_of(rows);
    for (const DroppedRows& d : store_.manifest().dropped) {
      const auto in = d.rolled_up.find(name_);
      if (in == d.rolled_up.end()) continue;
      if (!d.energy_uj) return base::ok_status();
      add(all, *d.energy_uj, d.rows);
    }
    differs("in all", total_of(rolled), all);
    return base::ok_status();
  }

 private:
  static constexpr std::uint64_t kShown = 20;

  void differs(std::string where, const Total& sum, const Total& rows) {
    if (sum == rows) return;
    if (++report_.difference_count <= kShown)
      report_.differences.push_back({name_, std::move(where), text_of(sum), text_of(rows)});
  }

  // Windows that are whole: of earlier ones rows may have been dropped.
  void compare_windows(const Windows& rolled, const Windows& rows, std::int64_t step) {
    std::set<std::int64_t> all;
    for (const auto* windows : {&rolled, &rows}) {
      for (const auto& [at, t] : *windows) {
        if (at >= kept_from_ns_) all.insert(at);
      }
    }
    const auto in = [](const Windows& windows, std::int64_t at) {
      const auto found = windows.find(at);
      return found == windows.end() ? Total{} : found->second;
    };
    for (const auto at : all)
      differs(fmt::format("step of {} s at {}", step / 1'000'000'000, at), in(rolled, at), in(rows, at));
    report_.steps += all.size();
  }

  const StoreReader& store_;
  RollupReport& report_;
  std::string name_;
  std::int64_t kept_from_ns_ = INT64_MIN;
};

}  // namespace

base::Result<RollupReport> check_rollups(const StoreReader& store) {
  RollupReport report;
  Check check(store, report);
  for (const RollupSpec& spec : rollup_specs()) PJ_TRY(check.compare(spec.table));
  return report;
}

}  // namespace perjoule::bus
