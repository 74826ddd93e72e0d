#include "bus/conservation.hpp"

#include <algorithm>
#include <map>
#include <tuple>
#include <unordered_map>

namespace perjoule::bus {
namespace {

constexpr std::size_t kShown = 20;
constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max();

struct Key {
  std::int64_t window = 0;
  std::uint32_t meter = 0;
  bool operator==(const Key&) const = default;
};
struct KeyHash {
  std::size_t operator()(const Key& k) const {
    // Multiplication by the odd constant of splitmix64 spreads neighbouring windows.
    return (static_cast<std::size_t>(k.window) ^ (static_cast<std::size_t>(k.meter) << 40)) *
           0x9E3779B97F4A7C15ULL;
  }
};
struct Entry {
  std::int64_t meter = 0, children = 0, joules = 0;
  bool has_row = false, has_children = false, overflow = false;
};

void add(std::int64_t& sum, std::int64_t v, bool& overflow) {
  if (__builtin_add_overflow(sum, v, &sum)) overflow = true;
}

// A batch's dictionary codes as ids of the audit's own symbol table.
std::vector<std::uint32_t> ids_of(const Column& column, base::SymbolTable& symbols) {
  std::vector<std::uint32_t> ids;
  for (const auto text : column.dictionary) ids.push_back(symbols.intern(text).id);
  return ids;
}
std::uint32_t id_at(const Column& column, const std::vector<std::uint32_t>& ids, std::size_t row) {
  return column.codes[row] == kNullCode ? 0 : ids[column.codes[row]];
}

class Auditor {
 public:
  Auditor(const StoreReader& store, std::size_t entries) : store_(store), at_once_(entries) {}

  base::Result<ConservationReport> run() {
    begin_after_dropped();
    PJ_TRY(count_windows());
    limit_to_whole_windows();
    for (const auto& span : spans()) {
      entries_.clear();
      PJ_TRY(read_meters(span));
      PJ_TRY(read_joules(span));
      compare();
    }
    if (total_overflow_) {
      ++report_.violation_count;
      report_.violations.push_back({"(all meters)", 0, 0, 0, 0, 0, "the store's total is beyond 64 bits"});
    }
    return std::move(report_);
  }

 private:
  void begin_after_dropped() {
    for (const Table table : {Table::kMeters, Table::kJoules}) {
      const auto mark = store_.manifest().tables.find(std::string(schema_of(table).name));
      if (mark != store_.manifest().tables.end())
        report_.checked_from_ns = std::max(report_.checked_from_ns, mark->second.kept_from_ns);
    }
  }

  base::Status count_windows() {
    const TimeWindow kept{report_.checked_from_ns, kLast};
    return store_.scan({Table::kMeters, {"window_ns", "quality"}, kept}, [&](const Batch& b) {
      for (const auto w : b.columns[0].ints) ++rows_in_[w];
      for (const auto& text : b.columns[1].dictionary) {
        if (const auto quality = energy::parse_quality(text); quality.ok())
          report_.quality = energy::worse(report_.quality, *quality);
      }
      return base::ok_status();
    });
  }

  void limit_to_whole_windows() {
    report_.complete = store_.manifest().complete;
    if (report_.complete) return;
    const TimeRange meters = store_.time_range(Table::kMeters), joules = store_.time_range(Table::kJoules);
    const bool both = meters.known && joules.known;
    report_.checked_to_ns =
        both ? std::min(meters.last_ns, joules.last_ns) : std::numeric_limits<std::int64_t>::min();
  }

  // Spans of windows of at most at_once_ meter rows each, together from the beginning of time to the limit.
  std::vector<TimeWindow> spans() const {
    std::vector<TimeWindow> out{{report_.checked_from_ns, kLast}};
    std::uint64_t rows = 0;
    for (const auto& [window, n] : rows_in_) {
      if (rows != 0 && rows + n > at_once_ && window < report_.checked_to_ns) {
        out.back().to_ns = window;
        out.push_back({window, kLast});
        rows = 0;
      }
      rows += n;
    }
    out.back().to_ns = report_.checked_to_ns;
    return out;
  }

  base::Status read_meters(const TimeWindow& span) {
    return store_.scan(
        {Table::kMeters, {"window_ns", "meter", "parent", "energy_uj"}, span}, [&](const Batch& b) {
          const auto meters = ids_of(b.columns[1], symbols_), parents = ids_of(b.columns[2], symbols_);
          for (std::size_t i = 0; i < b.rows; ++i) {
            const std::int64_t window = b.columns[0].ints[i], energy = b.columns[3].ints[i];
            Entry& e = entries_[{window, id_at(b.columns[1], meters, i)}];
            e.has_row = true;
            add(e.meter, energy, e.overflow);
            const std::uint32_t parent = id_at(b.columns[2], parents, i);
            if (parent == 0) {
              add(report_.root_uj, energy, total_overflow_);
              continue;
            }
            Entry& above = entries_[{window, parent}];
            above.has_children = true;
            add(above.children, energy, above.overflow);
          }
          return base::ok_status();
        });
  }

  base::Status read_joules(const TimeWindow& span) {
    return store_.scan({Table::kJoules, {"window_ns", "meter", "energy_uj"}, span}, [&](const Batch& b) {
      const auto meters = ids_of(b.columns[1], symbols_);
      Key last;
      Entry* entry = nullptr;  // rows of one meter and window mostly come together
      for (std::size_t i = 0; i < b.rows; ++i) {
        const Key key{b.columns[0].ints[i], id_at(b.columns[1], meters, i)};
        if (entry == nullptr || !(key == last)) entry = &entries_[key];
        last = key;
        add(entry->joules, b.columns[2].ints[i], entry->overflow);
        add(report_.joule_uj, b.columns[2].ints[i], total_overflow_);
      }
      report_.joule_rows += b.rows;
      return base::ok_status();
    });
  }

  void compare() {
    std::vector<ConservationViolation> found;
    std::vector<std::int64_t> windows;
    for (const auto& [key, e] : entries_) {
      windows.push_back(key.window);
      ++(e.has_children ? report_.parent_checks : report_.leaf_checks);
      ConservationViolation v{
          std::string(symbols_.text({key.meter})), key.window, e.meter, e.children, e.joules, 0, {}};
      if (violates(e, v)) found.push_back(std::move(v));
    }
    std::sort(windows.begin(), windows.end());
    report_.windows +=
        static_cast<std::uint64_t>(std::unique(windows.begin(), windows.end()) - windows.begin());
    report_.violation_count += found.size();
    std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
      return std::tie(a.window_ns, a.meter) < std::tie(b.window_ns, b.meter);
    });
    for (auto& v : found) {
      if (report_.violations.size() < kShown) report_.violations.push_back(std::move(v));
    }
  }

  static bool violates(const Entry& e, ConservationViolation& v) {
    bool overflow = e.overflow;
    std::int64_t accounted = 0;
    add(accounted, e.children, overflow);
    add(accounted, e.joules, overflow);
    if (__builtin_sub_overflow(e.meter, accounted, &v.difference_uj)) overflow = true;
    if (overflow) return v.why = "a sum is beyond 64 bits", true;
    if (!e.has_row) return v.why = "joules or children of a meter that has no row in this window", true;
    if (v.difference_uj == 0) return false;
    v.why = e.has_children ? "meter differs from its children and own joules (equality 2)"
                           : "meter differs from its joules (equality 1)";
    return true;
  }

  const StoreReader& store_;
  const std::size_t at_once_;
  base::SymbolTable symbols_;
  std::map<std::int64_t, std::uint64_t> rows_in_;
  std::unordered_map<Key, Entry, KeyHash> entries_;
  bool total_overflow_ = false;
  ConservationReport report_;
};

}  // namespace

base::Result<ConservationReport> check_conservation(const StoreReader& store, std::size_t entries_at_once) {
  return Auditor(store, entries_at_once).run();
}

}  // namespace perjoule::bus
