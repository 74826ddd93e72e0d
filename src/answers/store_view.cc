#include "answers/store_view.hpp"

#include <algorithm>
#include <array>

namespace perjoule::answers {
namespace {

using bus::Batch;
using bus::Table;

const std::vector<std::string>& meter_columns() {
  static const std::vector<std::string> kColumns{
      "meter",     "parent", "site",  "rack",      "node",    "device", "kind",           "zone",
      "window_ns", "t0_ns",  "t1_ns", "energy_uj", "quality", "source", "uncertainty_ppm"};
  return kColumns;
}

MeterInfo info_at(const Batch& b, std::size_t row) {
  const auto text = [&](std::size_t c) { return std::string(b.columns[c].text(row)); };
  return {text(0), text(1), text(2), text(3), text(4), text(5), text(6), text(7), kNoMeter, {}};
}

}  // namespace

energy::Quality quality_or_missing(std::string_view text) {
  const auto q = energy::parse_quality(text);
  return q.ok() ? *q : energy::Quality::kMissing;
}

energy::Share share_or_residual(std::string_view text) {
  const auto& names = energy::kShareNames;
  const auto it = std::find(names.begin(), names.end(), text);
  return it == names.end() ? energy::Share::kResidual : static_cast<energy::Share>(it - names.begin());
}

std::size_t MeterCatalog::find(std::string_view name) const {
  const auto it = by_name_.find(std::string(name));
  return it == by_name_.end() ? kNoMeter : it->second;
}

std::size_t MeterCatalog::add(MeterInfo info) {
  const auto [it, fresh] = by_name_.try_emplace(info.name, meters_.size());
  if (fresh) meters_.push_back(std::move(info));
  return it->second;
}

void MeterCatalog::link() {
  for (std::size_t i = 0; i < meters_.size(); ++i) {
    if (meters_[i].parent.empty()) continue;
    const std::size_t parent = find(meters_[i].parent);
    meters_[i].parent_index = parent;
    if (parent != kNoMeter) meters_[parent].children.push_back(i);
  }
}

std::vector<std::string> MeterCatalog::names() const {
  std::vector<std::string> out;
  for (const MeterInfo& m : meters_) out.push_back(m.name);
  return out;
}

std::vector<std::size_t> MeterCatalog::chain(std::size_t meter) const {
  std::vector<std::size_t> out;
  // A damaged store may hold a ring of parents; a chain is never longer than the tree.
  for (; meter != kNoMeter && out.size() < meters_.size(); meter = meters_[meter].parent_index) {
    out.push_back(meter);
  }
  return out;
}

std::string_view MeterCatalog::category_of(const MeterInfo& meter) {
  if (meter.zone == "cooling") return "cooling";
  if (meter.kind == "gpu") return "gpu";
  if (meter.kind == "switch") return "network";
  constexpr std::array<std::string_view, 5> kHost{"cpu", "dram", "nic", "fan", "board"};
  if (std::find(kHost.begin(), kHost.end(), meter.kind) != kHost.end()) return "host";
  return "losses";
}

base::Result<MeterCatalog> MeterCatalog::load(const bus::StoreReader& store, bus::TimeWindow window,
                                              const ReadingCallback& reading) {
  MeterCatalog catalog;
  const auto on_batch = [&](const Batch& b) -> base::Status {
    std::vector<std::size_t> index_of(b.columns[0].dictionary.size(), kNoMeter);
    const CodeValues<energy::Quality> quality(b.columns[12], energy::Quality::kMissing, quality_or_missing);
    for (std::size_t r = 0; r < b.rows; ++r) {
      const std::uint32_t code = b.columns[0].codes[r];
      if (code == bus::kNullCode) continue;
      if (index_of[code] == kNoMeter) index_of[code] = catalog.add(info_at(b, r));
      if (!reading) continue;
      reading(index_of[code],
              {b.columns[8].ints[r], b.columns[9].ints[r], b.columns[10].ints[r], b.columns[11].ints[r],
               quality.at(r), b.columns[13].text(r), b.columns[14].ints[r]});
    }
    return base::ok_status();
  };
  PJ_TRY(store.scan({Table::kMeters, meter_columns(), window}, on_batch));
  catalog.link();
  return catalog;
}

base::Result<StoreSpan> span_of(const bus::StoreReader& store) {
  const bus::TimeRange range = store.time_range(Table::kMeters);
  if (!range.known) {
    return base::bad_input("read the store's meters", store.directory(), "the store has no meter rows",
                           "Make one with perjoule demo, or name another with --store DIR");
  }
  StoreSpan span{0, range.first_ns, range.last_ns};
  const auto on_batch = [&](const Batch& b) -> base::Status {
    for (const std::int64_t t1 : b.columns[0].ints) span.end_ns = std::max(span.end_ns, t1);
    return base::ok_status();
  };
  PJ_TRY(store.scan({Table::kMeters, {"t1_ns"}, {range.last_ns, range.last_ns + 1}}, on_batch));
  span.window_length_ns = span.end_ns - range.last_ns;
  return span;
}

double CarbonFactors::mean(std::int64_t t0_ns, std::int64_t t1_ns) const {
  double sum = 0.0;
  std::int64_t covered = 0;
  auto it =
      std::partition_point(pieces.begin(), pieces.end(), [&](const Piece& p) { return p.t1_ns <= t0_ns; });
  for (; it != pieces.end() && it->t0_ns < t1_ns; ++it) {
    const std::int64_t part = std::min(t1_ns, it->t1_ns) - std::max(t0_ns, it->t0_ns);
    sum += it->g_per_kwh * static_cast<double>(part);
    covered += part;
  }
  return covered == t1_ns - t0_ns && covered > 0 ? sum / static_cast<double>(covered) : energy::kAbsent;
}

base::Result<std::vector<CarbonFactors>> load_carbon(const bus::StoreReader& store) {
  std::vector<CarbonFactors> out;
  base::SymbolTable symbols;
  const auto on_row = [&](const energy::CarbonRow& row) {
    const auto region = symbols.text(row.region);
    const char* kind = row.kind == energy::CarbonKind::kAverage ? "average" : "marginal";
    auto it = std::find_if(out.begin(), out.end(),
                           [&](const CarbonFactors& f) { return f.region == region && f.kind == kind; });
    if (it == out.end()) {
      out.push_back({std::string(region), kind, std::string(symbols.text(row.source)), row.quality, {}});
      it = out.end() - 1;
    }
    it->quality = energy::worse(it->quality, row.quality);
    it->pieces.push_back({row.t0_ns, row.t1_ns, row.g_per_kwh});
  };
  PJ_TRY(store.for_each_carbon(symbols, on_row));
  for (CarbonFactors& f : out) {
    std::stable_sort(f.pieces.begin(), f.pieces.end(),
                     [](const auto& a, const auto& b) { return a.t0_ns < b.t0_ns; });
  }
  return out;
}

}  // namespace perjoule::answers
