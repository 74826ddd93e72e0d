#include "api/energy_totals.hpp"

#include <algorithm>

#include "answers/store_view.hpp"

namespace perjoule::api {

base::Status EnergyTotals::update(const bus::StoreReader& store) {
  const std::uint64_t rows = store.rows(bus::Table::kMeters);
  if (rows == rows_) return base::ok_status();
  struct Read {
    std::int64_t settled_uj = 0, fresh_uj = 0;
  };
  std::vector<Read> read;
  std::int64_t newest = settled_ns_, length = 0, end = end_ns_;
  const std::int64_t settle = next_settled_ns_;
  const auto reading = [&](std::size_t meter, const answers::MeterReading& r) {
    if (meter >= read.size()) read.resize(meter + 1);
    (r.window_ns < settle ? read[meter].settled_uj : read[meter].fresh_uj) += r.energy_uj;
    newest = std::max(newest, r.window_ns);
    end = std::max(end, r.t1_ns);
    length = std::max(length, r.t1_ns - r.t0_ns);
  };
  bus::TimeWindow window;
  window.from_ns = settled_ns_;
  PJ_ASSIGN(const auto catalog, answers::MeterCatalog::load(store, window, reading));
  for (auto& [name, total] : meters_) total.fresh_uj = 0;
  read.resize(catalog.size());
  for (std::size_t i = 0; i < catalog.size(); ++i) {
    const answers::MeterInfo& info = catalog[i];
    const auto [entry, is_new] = meters_.try_emplace(info.name);
    if (is_new) {
      entry->second = {info.kind, info.node, info.site, info.parent, 0, 0};
      if (!info.parent.empty()) ++children_[info.parent];
    }
    entry->second.settled_uj += read[i].settled_uj;
    entry->second.fresh_uj = read[i].fresh_uj;
  }
  rows_ = rows;
  end_ns_ = end;
  settled_ns_ = settle;
  if (length > 0) next_settled_ns_ = std::max(settle, newest - kGraceWindows * length);
  return base::ok_status();
}

std::vector<MetricFamily> EnergyTotals::families(std::size_t limit, std::uint64_t& dropped) const {
  constexpr auto kCounter = MetricFamily::Type::kCounter;
  MetricFamily site{"perjoule_site_energy_joules", kCounter, "joules", "Energy of meters without a parent."};
  MetricFamily node{"perjoule_node_energy_joules", kCounter, "joules", "Energy of node meters."};
  MetricFamily device{"perjoule_device_energy_joules", kCounter, "joules",
                      "Energy of meters with no meter below; they may be added up."};
  MetricFamily end{"perjoule_energy_window_end_timestamp_seconds", MetricFamily::Type::kGauge, "seconds",
                   "End of the newest settlement window in the store."};
  if (end_ns_ > 0) end.add(std::to_string(end_ns_ / 1'000'000'000));
  std::size_t series = 0;
  const auto put = [&](MetricFamily& family, std::vector<std::pair<std::string, std::string>> labels,
                       std::int64_t uj) {
    if (++series > limit)
      ++dropped;
    else
      family.add(std::move(labels), joules_text(uj));
  };
  // Sites first, then nodes: what the limit cuts is the finest.
  for (const auto& [name, t] : meters_) {
    if (t.parent.empty()) put(site, {{"site", name}}, t.settled_uj + t.fresh_uj);
  }
  for (const auto& [name, t] : meters_) {
    if (t.kind == "node") put(node, {{"node", name}, {"site", t.site}}, t.settled_uj + t.fresh_uj);
  }
  for (const auto& [name, t] : meters_) {
    if (!children_.contains(name) && !t.parent.empty() && t.kind != "node")
      put(device, {{"device", name}, {"kind", t.kind}, {"node", t.node}}, t.settled_uj + t.fresh_uj);
  }
  return {std::move(site), std::move(node), std::move(device), std::move(end)};
}

}  // namespace perjoule::api
