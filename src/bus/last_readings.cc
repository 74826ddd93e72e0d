#include "bus/last_readings.hpp"

#include <algorithm>
#include <cmath>

#include "bus/text_numbers.hpp"

namespace perjoule::bus {

bool Reading::is_newer_than(const Reading& other) const {
  if (t_ns != other.t_ns) return t_ns > other.t_ns;
  if (std::isnan(value) != std::isnan(other.value)) return std::isnan(other.value);
  if (!std::isnan(value) && value != other.value) return value > other.value;
  if (std::signbit(value) != std::signbit(other.value)) return std::signbit(other.value);
  return quality < other.quality;
}

void LastReadings::add(const Batch& rows) {
  enum : std::size_t { kTime, kDevice, kSignal, kValue, kQuality };
  std::array<std::vector<std::uint32_t>, 3> numbers;
  const std::array<const Column*, 3> texts{&rows.columns[kDevice], &rows.columns[kSignal],
                                           &rows.columns[kQuality]};
  for (std::size_t i = 0; i < texts.size(); ++i) number_texts(*texts[i], (*texts_)[i], numbers[i]);
  const auto& times = rows.columns[kTime].ints;
  const auto& values = rows.columns[kValue].doubles;
  for (std::size_t i = 0; i < rows.rows; ++i) {
    const auto number = [&](std::size_t t) { return number_of(numbers[t], texts[t]->codes[i]); };
    keep_newest(number(0), number(1), {times[i], values[i], number(2), true});
  }
}

void LastReadings::take(const LastReadings& other) {
  std::array<std::vector<std::uint32_t>, 3> numbers;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const base::SymbolTable& texts = (*other.texts_)[i];
    for (std::uint32_t n = 0; n < texts.size(); ++n)
      numbers[i].push_back((*texts_)[i].intern(texts.text({n})).id);
  }
  for (std::size_t device = 0; device < other.cells_.size(); ++device) {
    for (std::size_t signal = 0; signal < other.cells_[device].size(); ++signal) {
      Cell cell = other.cells_[device][signal];
      cell.quality = numbers[2][cell.quality];
      if (cell.known) keep_newest(numbers[0][device], numbers[1][signal], cell);
    }
  }
}

void LastReadings::keep_newest(std::uint32_t device, std::uint32_t signal, const Cell& cell) {
  if (device >= cells_.size()) cells_.resize(device + 1);
  auto& signals = cells_[device];
  if (signal >= signals.size()) {
    cell_count_ += signal + 1 - signals.size();
    if (is_full()) return;
    signals.resize(signal + 1);
  }
  Cell& kept = signals[signal];
  size_ += kept.known ? 0 : 1;
  const bool newer = !kept.known || cell.t_ns > kept.t_ns ||
                     (cell.t_ns == kept.t_ns && reading_of(cell).is_newer_than(reading_of(kept)));
  if (newer) kept = cell;
}

void LastReadings::clear() { *this = LastReadings(); }

base::Status LastReadings::for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const {
  struct Place {
    std::uint64_t rank;
    std::uint32_t device, signal;
  };
  const auto devices = ranks_of((*texts_)[0]), signals = ranks_of((*texts_)[1]);
  std::vector<Place> order;
  for (std::uint32_t d = 0; d < cells_.size(); ++d) {
    for (std::uint32_t s = 0; s < cells_[d].size(); ++s) {
      if (cells_[d][s].known) order.push_back({std::uint64_t{devices[d]} << 32 | signals[s], d, s});
    }
  }
  std::sort(order.begin(), order.end(), [](const Place& a, const Place& b) { return a.rank < b.rank; });
  Batch batch;
  batch.columns.resize(schema_of(Table::kSamplesLast).columns.size());
  Column &times = batch.columns[0], &device = batch.columns[1], &signal = batch.columns[2],
         &value = batch.columns[3], &quality = batch.columns[4];
  value.type = ColumnType::kDouble;
  for (std::size_t from = 0; from < order.size(); from += batch_rows) {
    batch.rows = std::min(batch_rows, order.size() - from);
    times.ints.resize(batch.rows);
    value.doubles.resize(batch.rows);
    begin_texts((*texts_)[0], batch.rows, device);
    begin_texts((*texts_)[1], batch.rows, signal);
    begin_texts((*texts_)[2], batch.rows, quality);
    for (std::size_t i = 0; i < batch.rows; ++i) {
      const Place& place = order[from + i];
      const Cell& cell = cells_[place.device][place.signal];
      times.ints[i] = cell.t_ns;
      device.codes[i] = code_of(place.device);
      signal.codes[i] = code_of(place.signal);
      value.doubles[i] = cell.value;
      quality.codes[i] = code_of(cell.quality);
    }
    PJ_TRY(on_batch(batch));
  }
  return base::ok_status();
}

}  // namespace perjoule::bus
