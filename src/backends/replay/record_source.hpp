// A record played back as a source: at every batch each signal shows its newest recorded value at the clock's
// time. Nothing above the port knows that it is not a live device. Before a signal's first row, and where a
// row says missing, the reading is missing (kGap); after its last row it goes stale.
//
// A signal of the catalogue keeps its number, unit and kind; another is a gauge of unit "{unknown}". Recorded
// counters of joules and seconds become whole microjoules and nanoseconds, others are rounded to whole
// counts; a fall is a reset (a record does not say where its counters wrap). The update period is the median
// distance of the rows. Thread rule: one thread. Ownership: owns the record; keeps references to the clock
// and the symbols.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "base/csv.hpp"
#include "base/result.hpp"
#include "device/slotted_source.hpp"
#include "energy/records.hpp"

namespace perjoule::backends::replay {

struct RecordOptions {
  std::int64_t uncertainty_ppm = 0;  // of every value, 95 % half-width
  // Of a CSV, which does not say. Rows have their own; a signal gets the worst of its rows.
  energy::Quality csv_quality = energy::Quality::kMeasured;
};

class RecordSource final : public device::SlottedSource {
 public:
  // Errors (kBadInput): no row; a signal's times do not grow; a counter below 0. Rows of different signals
  // may come in any order.
  static base::Result<std::unique_ptr<RecordSource>> from_rows(std::span<const energy::SampleRow> rows,
                                                               const base::Clock& clock,
                                                               base::SymbolTable& symbols,
                                                               const RecordOptions& options = {});
  // Columns t_ns, device, signal, value (others are ignored); an empty value is a missing one. Errors as
  // from_rows and as the CSV reader, at file:line:column.
  static base::Result<std::unique_ptr<RecordSource>> from_csv(const base::CsvTable& table,
                                                              const base::Clock& clock,
                                                              base::SymbolTable& symbols,
                                                              const RecordOptions& options = {});
  std::string_view name() const override { return "replay"; }

 protected:
  base::Status do_begin_batch() override;
  device::RawReading do_read(std::size_t signal) override;
  std::optional<base::TimePoint> do_next_update(std::size_t signal) const override;

 private:
  struct Point {
    base::TimePoint t;
    double value = 0.0;      // gauges; NaN = missing
    std::int64_t count = 0;  // counters; -1 = missing
  };
  using Series = std::vector<Point>;
  struct Builder;

  RecordSource(const base::Clock& clock, base::SymbolTable& symbols)
      : SlottedSource(clock, symbols), clock_(clock) {}
  // The first point after now_.
  Series::const_iterator after_now(std::size_t signal) const;

  const base::Clock& clock_;
  base::TimePoint now_{INT64_MIN};
  std::vector<Series> series_;  // by signal
};

}  // namespace perjoule::backends::replay
