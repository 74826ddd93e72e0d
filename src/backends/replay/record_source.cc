#include "backends/replay/record_source.hpp"

#include <algorithm>
#include <cmath>
#include <map>

#include "energy/signal_catalogue.hpp"

namespace perjoule::backends::replay {

using base::TimePoint;
using device::SignalKind;
using energy::Quality;
using energy::SampleRow;

namespace {

constexpr std::int64_t kMissingCount = -1;
constexpr double kLargestCount = 9.2e18;

// How a recorded number becomes a reading.
struct Form {
  std::uint16_t number = 0;
  std::string_view unit = "{unknown}";
  SignalKind kind = SignalKind::kGauge;
  double counts_per_unit = 1.0;
};

Form form_of(std::string_view signal) {
  const auto found = energy::find_signal(signal);
  if (!found.ok()) return {};
  const energy::SignalInfo& info = **found;
  Form form{info.id().number, info.unit, SignalKind::kGauge, 1.0};
  if (info.kind == energy::SignalKind::kEvent) form.kind = SignalKind::kEvent;
  if (info.kind != energy::SignalKind::kCounter) return form;
  form.kind = SignalKind::kCounter;
  if (info.unit == "J") return {form.number, "uJ", form.kind, 1e6};
  if (info.unit == "s") return {form.number, "ns", form.kind, 1e9};
  return form;
}

energy::DeviceKind kind_of(std::string_view signal) {
  using energy::DeviceKind;
  using energy::SignalDomain;
  const auto found = energy::find_signal(signal);
  if (!found.ok()) return DeviceKind::kNode;
  switch ((*found)->domain) {
    case SignalDomain::kCpu:
      return DeviceKind::kCpu;
    case SignalDomain::kDram:
      return DeviceKind::kDram;
    case SignalDomain::kGpu:
      return DeviceKind::kGpu;
    case SignalDomain::kNic:
      return DeviceKind::kNic;
    case SignalDomain::kFan:
      return DeviceKind::kFan;
    case SignalDomain::kPsu:
      return DeviceKind::kPsu;
    case SignalDomain::kBoard:
      return DeviceKind::kBoard;
    case SignalDomain::kPcie:
    case SignalDomain::kDisk:
    case SignalDomain::kNode:
      return DeviceKind::kNode;
  }
  return DeviceKind::kNode;
}

bool is_missing(const SampleRow& row) { return std::isnan(row.value) || row.quality == Quality::kMissing; }

base::Duration to_window(double window_ms) {
  return std::isfinite(window_ms) ? base::Duration{std::llround(window_ms * 1e6)} : base::Duration{};
}

}  // namespace

// Gathers the rows of each signal in the order of their first row.
struct RecordSource::Builder {
  struct Signal {
    base::Symbol signal, device;
    Form form;
    Quality quality = Quality::kMeasured;
    base::Duration window;
    Series points;
  };
  base::SymbolTable& symbols;
  std::map<std::pair<base::Symbol, base::Symbol>, std::size_t> index;
  std::vector<Signal> signals;

  Signal& signal_of(const SampleRow& row) {
    const auto [it, fresh] = index.try_emplace({row.signal, row.device}, signals.size());
    if (fresh) signals.push_back({row.signal, row.device, form_of(symbols.text(row.signal)), {}, {}, {}});
    return signals[it->second];
  }

  base::Status add(const SampleRow& row, const std::string& where) {
    const auto refuse = [&](std::string why, std::string hint) {
      return base::bad_input("replay a record", where, std::move(why), std::move(hint));
    };
    Signal& s = signal_of(row);
    if (!s.points.empty() && row.t_ns <= s.points.back().t.ns) {
      return refuse("the time of '" + std::string(symbols.text(s.signal)) + "' does not grow",
                    "Sort the rows of each signal by time, one row for each time");
    }
    Point p{{row.t_ns}, row.value, kMissingCount};
    if (is_missing(row)) {
      p.value = energy::kAbsent;
    } else {
      const double count = row.value * s.form.counts_per_unit;
      if (!std::isfinite(row.value))
        return refuse("the value is not finite", "Leave the value empty if it is not known");
      if (s.form.kind == SignalKind::kCounter) {
        if (count < 0.0 || count > kLargestCount) return refuse("a counter is below 0 or too large", {});
        p.count = std::llround(count);
      }
      s.quality = energy::worse(s.quality, row.quality);
      s.window = std::max(s.window, to_window(row.window_ms));
    }
    s.points.push_back(p);
    return base::ok_status();
  }

  static base::Duration median_distance(const Series& points) {
    std::vector<std::int64_t> distances;
    for (std::size_t i = 1; i < points.size(); ++i) distances.push_back((points[i].t - points[i - 1].t).ns);
    if (distances.empty()) return {};
    const auto middle = distances.begin() + static_cast<std::ptrdiff_t>(distances.size() / 2);
    std::nth_element(distances.begin(), middle, distances.end());
    return {*middle};
  }

  base::Result<std::unique_ptr<RecordSource>> finish(const base::Clock& clock, const RecordOptions& options) {
    if (signals.empty())
      return base::bad_input("replay a record", {}, "it has no row", "Give a record with samples");
    std::unique_ptr<RecordSource> source(new RecordSource(clock, symbols));
    for (Signal& s : signals) {
      device::SignalDescriptor d;
      d.number = s.form.number;
      d.name = symbols.text(s.signal);
      d.unit = s.form.unit;
      d.kind = s.form.kind;
      d.device.name = s.device;
      d.device.kind = kind_of(d.name);
      d.quality = s.quality;
      d.update_period = median_distance(s.points);
      d.window = s.window;
      d.uncertainty_ppm = options.uncertainty_ppm;
      source->declare(d);
      source->series_.push_back(std::move(s.points));
    }
    return source;
  }
};

base::Result<std::unique_ptr<RecordSource>> RecordSource::from_rows(std::span<const SampleRow> rows,
                                                                    const base::Clock& clock,
                                                                    base::SymbolTable& symbols,
                                                                    const RecordOptions& options) {
  Builder builder{symbols, {}, {}};
  for (std::size_t i = 0; i < rows.size(); ++i)
    PJ_TRY(builder.add(rows[i], "sample " + std::to_string(i + 1)));
  return builder.finish(clock, options);
}

base::Result<std::unique_ptr<RecordSource>> RecordSource::from_csv(const base::CsvTable& table,
                                                                   const base::Clock& clock,
                                                                   base::SymbolTable& symbols,
                                                                   const RecordOptions& options) {
  PJ_ASSIGN(const std::size_t t, table.column("t_ns"));
  PJ_ASSIGN(const std::size_t device, table.column("device"));
  PJ_ASSIGN(const std::size_t signal, table.column("signal"));
  PJ_ASSIGN(const std::size_t value, table.column("value"));
  Builder builder{symbols, {}, {}};
  for (std::size_t i = 0; i < table.rows(); ++i) {
    SampleRow row;
    PJ_ASSIGN(row.t_ns, table.integer(i, t));
    row.device = symbols.intern(table.field(i, device));
    row.signal = symbols.intern(table.field(i, signal));
    if (row.device.empty() || row.signal.empty()) {
      return base::bad_input("replay a record", table.where(i, row.device.empty() ? device : signal),
                             "the field is empty", "Name the device and the signal of every row");
    }
    PJ_ASSIGN(const auto number, table.optional_number(i, value));
    row.value = number.value_or(energy::kAbsent);
    row.quality = number ? options.csv_quality : Quality::kMissing;
    PJ_TRY(builder.add(row, table.where(i, value)));
  }
  return builder.finish(clock, options);
}

base::Status RecordSource::do_begin_batch() {
  now_ = clock_.now();
  return base::ok_status();
}

RecordSource::Series::const_iterator RecordSource::after_now(std::size_t signal) const {
  const Series& series = series_[signal];
  return std::upper_bound(series.begin(), series.end(), now_,
                          [](TimePoint t, const Point& p) { return t < p.t; });
}

device::RawReading RecordSource::do_read(std::size_t signal) {
  const auto next = after_now(signal);
  device::RawReading raw;
  const bool counter = signals()[signal].kind == SignalKind::kCounter;
  if (next == series_[signal].begin()) {
    raw.missing = device::MissingReason::kGap;
    return raw;
  }
  const Point& p = *std::prev(next);
  raw.t_device = p.t;
  raw.value = p.value;
  raw.count = p.count;
  if (counter ? p.count == kMissingCount : std::isnan(p.value)) raw.missing = device::MissingReason::kGap;
  return raw;
}

std::optional<TimePoint> RecordSource::do_next_update(std::size_t signal) const {
  const auto next = after_now(signal);
  if (next == series_[signal].end()) return std::nullopt;
  return next->t;
}

}  // namespace perjoule::backends::replay
