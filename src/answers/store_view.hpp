// The store's meters as a tree, and rows of `joules` read by column: what every answer from a store is built
// from. Thread rule: one thread per object. Ownership: a MeterCatalog owns its texts; what a JouleBatch hands
// out lives as long as its batch. Units: Unix nanoseconds, microjoules.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "bus/store.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::answers {

inline constexpr std::size_t kNoMeter = SIZE_MAX;

struct MeterInfo {
  std::string name, parent, site, rack, node, device, kind, zone;
  std::size_t parent_index = kNoMeter;  // kNoMeter: a root
  std::vector<std::size_t> children;
};

struct MeterReading {
  std::int64_t window_ns = 0, t0_ns = 0, t1_ns = 0;
  std::int64_t energy_uj = 0;
  energy::Quality quality = energy::Quality::kMissing;
  std::string_view source;
  std::int64_t uncertainty_ppm = 0;
};

class MeterCatalog {
 public:
  using ReadingCallback = std::function<void(std::size_t meter, const MeterReading&)>;
  // Reads `meters` in the window; `reading` is called for each row, in the order of the store. Errors: what
  // StoreReader::scan returns.
  static base::Result<MeterCatalog> load(const bus::StoreReader& store, bus::TimeWindow window,
                                         const ReadingCallback& reading);

  std::size_t size() const { return meters_.size(); }
  const MeterInfo& operator[](std::size_t i) const { return meters_[i]; }
  // kNoMeter if there is none.
  std::size_t find(std::string_view name) const;
  std::vector<std::string> names() const;
  // The meter and its parents, up to the root.
  std::vector<std::size_t> chain(std::size_t meter) const;
  // Where the energy that a meter does not hand to its children is counted: "gpu", "host", "network",
  // "cooling" or "losses". Every meter has one, so the categories' own energies add up to the site's.
  static std::string_view category_of(const MeterInfo& meter);

 private:
  std::size_t add(MeterInfo info);
  void link();
  std::vector<MeterInfo> meters_;
  std::unordered_map<std::string, std::size_t> by_name_;
};

// Length of a settlement window, and the bounds of the store's windows. Errors: kBadInput for a store without
// meter rows.
struct StoreSpan {
  std::int64_t window_length_ns = 0;
  std::int64_t first_ns = 0;  // start of the first window
  std::int64_t end_ns = 0;    // end of the last one
};
base::Result<StoreSpan> span_of(const bus::StoreReader& store);

// The codes of one text column turned into values of T, once per batch: of[code], and `null` for NULL.
template <class T>
class CodeValues {
 public:
  template <class F>
  CodeValues(const bus::Column& column, T null, F&& value) : column_(column), null_(null) {
    of_.reserve(column.dictionary.size());
    for (const std::string_view text : column.dictionary) of_.push_back(value(text));
  }
  T at(std::size_t row) const {
    const std::uint32_t code = column_.codes[row];
    return code == bus::kNullCode ? null_ : of_[code];
  }

 private:
  const bus::Column& column_;
  T null_;
  std::vector<T> of_;
};

energy::Quality quality_or_missing(std::string_view text);
energy::Share share_or_residual(std::string_view text);

// Grams of CO2 per kWh over time, of one region and kind.
struct CarbonFactors {
  std::string region, kind, source;
  energy::Quality quality = energy::Quality::kMeasured;
  struct Piece {
    std::int64_t t0_ns = 0, t1_ns = 0;
    double g_per_kwh = energy::kAbsent;
  };
  std::vector<Piece> pieces;  // by time

  // Mean over [t0, t1), weighted by time; NaN where any part is not known.
  double mean(std::int64_t t0_ns, std::int64_t t1_ns) const;
};
// In the order of the store; the first average series is the one charged to requests and jobs.
base::Result<std::vector<CarbonFactors>> load_carbon(const bus::StoreReader& store);

}  // namespace perjoule::answers
