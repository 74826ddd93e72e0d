#include "answers/top.hpp"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "answers/answer_format.hpp"
#include "answers/store_view.hpp"
#include "base/text.hpp"
#include "bus/queries.hpp"

namespace perjoule::answers {
namespace {

using bus::Batch;
using Json = nlohmann::ordered_json;

constexpr std::size_t kMaxDimensions = 6;
constexpr std::array<std::string_view, 15> kColumnDimensions{
    "tenant", "job",    "model", "run",   "epoch",  "step",   "request", "kernel",
    "phase",  "device", "meter", "share", "method", "source", "quality"};
constexpr std::array<std::string_view, 5> kMeterDimensions{"node", "rack", "site", "kind", "zone"};

bool is_meter_dimension(std::string_view d) {
  return std::find(kMeterDimensions.begin(), kMeterDimensions.end(), d) != kMeterDimensions.end();
}

std::string_view field_of(const MeterInfo& m, std::string_view dimension) {
  if (dimension == "node") return m.node;
  if (dimension == "rack") return m.rack;
  if (dimension == "site") return m.site;
  if (dimension == "kind") return m.kind;
  return m.zone;
}

using Key = std::array<std::uint32_t, kMaxDimensions>;
struct KeyHash {
  std::size_t operator()(const Key& key) const {
    std::uint64_t h = 0xcbf29ce484222325ULL;
    for (const std::uint32_t part : key) h = (h ^ part) * 0x100000001b3ULL, h ^= h >> 29;
    return static_cast<std::size_t>(h);
  }
};

// The rows in their order, those beyond the limit put together.
TopAnswer in_order(const TopOptions& options, std::vector<TopRow> rows) {
  TopAnswer out;
  out.dimensions = options.dimensions;
  for (const TopRow& row : rows) out.total_uj += row.energy_uj;
  std::sort(rows.begin(), rows.end(), [](const TopRow& a, const TopRow& b) {
    return a.energy_uj != b.energy_uj ? a.energy_uj > b.energy_uj : a.keys < b.keys;
  });
  out.rows = std::move(rows);
  if (options.limit == 0 || out.rows.size() <= options.limit) return out;
  out.other_groups = out.rows.size() - options.limit;
  for (std::size_t i = options.limit; i < out.rows.size(); ++i) {
    const TopRow& row = out.rows[i];
    out.others.energy_uj += row.energy_uj;
    for (std::size_t s = 0; s < 4; ++s) out.others.by_share_uj[s] += row.by_share_uj[s];
    out.others.quality = energy::worse(out.others.quality, row.quality);
    out.others.joule_rows += row.joule_rows;
  }
  out.rows.resize(options.limit);
  return out;
}

// A fixed question of the bus: it takes sums where a rollup has all the columns, and reads rows with several
// threads and without looking up a text twice. What hangs on the meter is put together afterwards.
class BusQuestion {
 public:
  BusQuestion(const TopOptions& options, const MeterCatalog& meters) : options_(options), meters_(meters) {
    query_.window = options.window;
    for (const std::string& d : options.dimensions)
      place_of_.push_back(place_of(is_meter_dimension(d) ? "meter" : d));
    share_ = place_of("share");
    quality_ = place_of("quality");
  }

  base::Result<TopAnswer> ask(const bus::StoreReader& store) {
    bus::QuerySession session{bus::StoreReader(store)};
    PJ_ASSIGN(const auto answer, bus::energy_by(session, query_));
    for (const auto& group : answer.groups) add(group);
    std::vector<TopRow> rows;
    for (auto& [key, row] : rows_) rows.push_back(std::move(row));
    TopAnswer out = in_order(options_, std::move(rows));
    out.rollup = answer.rollup;
    out.lacks_before_ns = answer.lacks_before_ns;
    return out;
  }

 private:
  std::size_t place_of(std::string_view column) {
    const auto found = std::find(query_.by.begin(), query_.by.end(), column);
    if (found == query_.by.end()) return query_.by.emplace_back(column), query_.by.size() - 1;
    return static_cast<std::size_t>(found - query_.by.begin());
  }

  void add(const bus::EnergyGroup& group) {
    std::vector<std::string> keys;
    for (std::size_t d = 0; d < place_of_.size(); ++d) keys.push_back(key_of(d, group.keys[place_of_[d]]));
    const auto [at, fresh] = rows_.try_emplace(std::move(keys));
    TopRow& row = at->second;
    if (fresh) row.keys = at->first;
    row.energy_uj += group.energy_uj;
    row.by_share_uj[static_cast<std::size_t>(share_or_residual(group.keys[share_]))] += group.energy_uj;
    row.quality = energy::worse(row.quality, quality_or_missing(group.keys[quality_]));
    row.joule_rows += group.rows;
  }

  std::string key_of(std::size_t d, std::string_view text) const {
    const std::string& dimension = options_.dimensions[d];
    if (!is_meter_dimension(dimension)) return std::string(text);
    const std::size_t meter = meters_.find(text);
    return meter == kNoMeter ? std::string() : std::string(field_of(meters_[meter], dimension));
  }

  const TopOptions& options_;
  const MeterCatalog& meters_;
  bus::EnergyQuery query_;
  std::vector<std::size_t> place_of_;  // of each dimension in the query
  std::size_t share_ = 0, quality_ = 0;
  std::map<std::vector<std::string>, TopRow> rows_;
};

class Collector {
 public:
  Collector(const TopOptions& options, const MeterCatalog& meters) : options_(options), meters_(meters) {}

  base::Status read(const bus::StoreReader& store) {
    std::vector<std::string> columns{"energy_uj", "share", "quality"};
    for (const auto& d : options_.dimensions) columns.push_back(is_meter_dimension(d) ? "meter" : d);
    return store.scan({bus::Table::kJoules, columns, options_.window},
                      [this](const Batch& b) { return add(b); });
  }

  TopAnswer answer() {
    std::vector<TopRow> rows;
    for (auto& [key, row] : groups_) {
      for (std::size_t d = 0; d < options_.dimensions.size(); ++d) {
        row.keys.emplace_back(symbols_.text(base::Symbol{key[d]}));
      }
      rows.push_back(std::move(row));
    }
    return in_order(options_, std::move(rows));
  }

 private:
  base::Status add(const Batch& b) {
    const CodeValues<std::size_t> share(
        b.columns[1], 3, [](std::string_view s) { return static_cast<std::size_t>(share_or_residual(s)); });
    const CodeValues<energy::Quality> quality(b.columns[2], energy::Quality::kMissing, quality_or_missing);
    std::vector<CodeValues<std::uint32_t>> parts;
    for (std::size_t d = 0; d < options_.dimensions.size(); ++d) {
      parts.emplace_back(b.columns[3 + d], 0U, [&](std::string_view text) { return symbol(d, text); });
    }
    for (std::size_t r = 0; r < b.rows; ++r) {
      Key key{};
      for (std::size_t d = 0; d < parts.size(); ++d) key[d] = parts[d].at(r);
      TopRow& row = groups_[key];
      row.energy_uj += b.columns[0].ints[r];
      row.by_share_uj[share.at(r)] += b.columns[0].ints[r];
      row.quality = energy::worse(row.quality, quality.at(r));
      ++row.joule_rows;
    }
    return base::ok_status();
  }

  std::uint32_t symbol(std::size_t d, std::string_view text) {
    const std::string& dimension = options_.dimensions[d];
    if (!is_meter_dimension(dimension)) return symbols_.intern(text).id;
    const std::size_t meter = meters_.find(text);
    return meter == kNoMeter ? 0U : symbols_.intern(field_of(meters_[meter], dimension)).id;
  }

  const TopOptions& options_;
  const MeterCatalog& meters_;
  base::SymbolTable symbols_;
  std::unordered_map<Key, TopRow, KeyHash> groups_;
};

base::Status check(const TopOptions& options) {
  const auto known = top_dimensions();
  for (const auto& d : options.dimensions) {
    if (std::find(known.begin(), known.end(), d) == known.end()) {
      return base::bad_input("group energy", "--by '" + d + "'", "there is no such dimension",
                             base::nearest_name_hint(d, known));
    }
  }
  if (!options.dimensions.empty() && options.dimensions.size() <= kMaxDimensions) return base::ok_status();
  return base::bad_input("group energy", "--by", std::to_string(options.dimensions.size()) + " dimensions",
                         "Give one to " + std::to_string(kMaxDimensions));
}

base::Result<TopAnswer> answer_of(const bus::StoreReader& store, const TopOptions& options,
                                  const MeterCatalog& meters) {
  if (!options.by_scan) {
    auto answer = BusQuestion(options, meters).ask(store);
    if (answer.ok() || answer.error().why != bus::kTooManyGroups) return answer;
  }
  Collector collector(options, meters);
  PJ_TRY(collector.read(store));
  TopAnswer out = collector.answer();
  out.lacks_before_ns = bus::lacks_before(store.manifest(), bus::Table::kJoules, options.window);
  return out;
}

std::vector<std::string> cells_of(const std::vector<std::string>& keys, const TopRow& row,
                                  std::int64_t total) {
  std::vector<std::string> cells;
  for (const auto& key : keys) cells.push_back(key.empty() ? "-" : key);
  cells.push_back(energy_text(row.energy_uj));
  cells.push_back(percent_text(static_cast<double>(row.energy_uj), static_cast<double>(total)));
  for (const std::int64_t uj : row.by_share_uj) cells.push_back(uj == 0 ? "." : energy_text(uj));
  cells.emplace_back(energy::name_of(row.quality));
  return cells;
}

Json json_of(const TopAnswer& a, const TopRow& row) {
  Json j;
  for (std::size_t d = 0; d < row.keys.size(); ++d) {
    j[a.dimensions[d]] = row.keys[d].empty() ? Json(nullptr) : Json(row.keys[d]);
  }
  j["energy_uj"] = row.energy_uj;
  if (a.total_uj != 0)
    j["share_of_total"] = static_cast<double>(row.energy_uj) / static_cast<double>(a.total_uj);
  for (std::size_t s = 0; s < 4; ++s) j[std::string(energy::kShareNames[s]) + "_uj"] = row.by_share_uj[s];
  j["joule_rows"] = row.joule_rows;
  j["quality"] = energy::name_of(row.quality);
  return j;
}

// The total beside the site meter; where rows were dropped for their age, what that means for both.
std::string total_text(const TopAnswer& a) {
  const std::string total = "Total " + exact_energy_text(a.total_uj),
                    site = "site meter " + exact_energy_text(a.site_uj);
  if (!a.lacks_before_ns && !a.site_lacks_before_ns)
    return total + (a.equal() ? " == " : " != ") + site + (a.equal() ? "" : "  (run perjoule audit)") + "\n";
  std::string out;
  if (a.lacks_before_ns)
    out +=
        "Rows of joules before " + time_text(*a.lacks_before_ns) +
        " have been dropped for their age, and no kept sums stand for them in this table: what they used is "
        "missing above.\n";
  if (a.site_lacks_before_ns)
    out +=
        "Rows of meters before " + time_text(*a.site_lacks_before_ns) + " have been dropped for their age.\n";
  return out + total + ", " + site + ": of different times, so they are not compared\n";
}

// Eighths of a character, so that small rows differ too.
std::string bar_text(std::int64_t uj, std::int64_t largest) {
  constexpr std::int64_t kWidth = 20;
  static constexpr std::array<const char*, 8> kEighths{"", "▏", "▎", "▍", "▌", "▋", "▊", "▉"};
  if (uj <= 0 || largest <= 0) return "";
  const double share = std::min(1.0, static_cast<double>(uj) / static_cast<double>(largest));
  const auto eighths = static_cast<std::size_t>(share * 8.0 * static_cast<double>(kWidth) + 0.5);
  std::string out;
  for (std::size_t i = 0; i < eighths / 8; ++i) out += "█";
  return out + kEighths[eighths % 8];
}

}  // namespace

std::vector<std::string> top_dimensions() {
  std::vector<std::string> out(kColumnDimensions.begin(), kColumnDimensions.end());
  out.insert(out.end(), kMeterDimensions.begin(), kMeterDimensions.end());
  return out;
}

base::Result<TopAnswer> top(const bus::StoreReader& store, const TopOptions& options) {
  PJ_TRY(check(options));
  std::vector<std::int64_t> by_meter;
  std::int64_t first = INT64_MAX, last = INT64_MIN;
  const auto on_reading = [&](std::size_t meter, const MeterReading& r) {
    if (by_meter.size() <= meter) by_meter.resize(meter + 1);
    by_meter[meter] += r.energy_uj;
    first = std::min(first, r.window_ns);
    last = std::max(last, r.t1_ns);
  };
  PJ_ASSIGN(const MeterCatalog meters, MeterCatalog::load(store, options.window, on_reading));
  PJ_ASSIGN(TopAnswer out, answer_of(store, options, meters));
  out.site_lacks_before_ns = bus::lacks_before(store.manifest(), bus::Table::kMeters, options.window);
  for (std::size_t m = 0; m < by_meter.size(); ++m) {
    if (meters[m].parent.empty()) out.site_uj += by_meter[m];
  }
  if (first <= last) out.from_ns = first, out.to_ns = last;
  return out;
}

std::string top_text(const TopAnswer& a, bool bars) {
  TextTable table;
  table.header = a.dimensions;
  table.right.assign(a.dimensions.size(), false);
  for (const char* name : {"energy", "of total", "direct", "idle", "overhead", "residual"}) {
    table.header.emplace_back(name);
    table.right.push_back(true);
  }
  table.header.emplace_back("quality");
  const std::int64_t largest = a.rows.empty() ? 0 : a.rows[0].energy_uj;
  for (const TopRow& row : a.rows) {
    table.rows.push_back(cells_of(row.keys, row, a.total_uj));
    if (bars) table.rows.back().push_back(bar_text(row.energy_uj, largest));
  }
  if (bars) table.header.emplace_back("");
  if (a.other_groups != 0) {
    std::vector<std::string> keys(a.dimensions.size());
    keys[0] = "(" + std::to_string(a.other_groups) + " more)";
    table.rows.push_back(cells_of(keys, a.others, a.total_uj));
    if (bars) table.rows.back().emplace_back("");
  }
  const bool simulated = std::any_of(a.rows.begin(), a.rows.end(), [](const TopRow& row) {
    return row.quality == energy::Quality::kSimulated;
  });
  std::string out = simulated ? "SIMULATED  energy by" : "Energy by";
  for (std::size_t d = 0; d < a.dimensions.size(); ++d) out += (d == 0 ? " " : ", ") + a.dimensions[d];
  out += ", " + time_text(a.from_ns) + " to " + time_text(a.to_ns) + "\n\n" + table.text();
  const auto sampled = [](const std::string& d) { return d == "request" || d == "step" || d == "kernel"; };
  if (std::any_of(a.dimensions.begin(), a.dimensions.end(), sampled)) {
    out +=
        "\nStep and kernel are recorded for the traced share of requests and for training; '-' holds all the "
        "rest.\n";
  }
  return out + "\n" + total_text(a);
}

std::string top_json(const TopAnswer& a) {
  Json j;
  j["schema_version"] = 1;
  j["dimensions"] = a.dimensions;
  j["from_ns"] = a.from_ns;
  j["to_ns"] = a.to_ns;
  j["rows"] = Json::array();
  for (const TopRow& row : a.rows) j["rows"].push_back(json_of(a, row));
  if (a.other_groups != 0) {
    j["others"] = json_of(a, a.others);
    j["others"]["groups"] = a.other_groups;
  }
  j["total_uj"] = a.total_uj;
  j["site_uj"] = a.site_uj;
  j["total_equals_site"] = a.equal();
  if (a.lacks_before_ns) j["lacks_before_ns"] = *a.lacks_before_ns;
  if (a.site_lacks_before_ns) j["site_lacks_before_ns"] = *a.site_lacks_before_ns;
  return j.dump(1) + "\n";
}

std::string top_csv(const TopAnswer& a) {
  TextTable table;
  table.header = a.dimensions;
  for (const char* name : {"energy_uj", "direct_uj", "idle_uj", "overhead_uj", "residual_uj", "quality"}) {
    table.header.emplace_back(name);
  }
  for (const TopRow& row : a.rows) {
    std::vector<std::string> cells = row.keys;
    cells.push_back(std::to_string(row.energy_uj));
    for (const std::int64_t uj : row.by_share_uj) cells.push_back(std::to_string(uj));
    cells.emplace_back(energy::name_of(row.quality));
    table.rows.push_back(std::move(cells));
  }
  return table.csv();
}

}  // namespace perjoule::answers
