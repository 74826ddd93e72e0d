#include "bus/rollup.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/assert.hpp"
#include "bus/text_order.hpp"

namespace perjoule::bus {
namespace {

constexpr std::size_t kMostDimensions = 5;
constexpr std::array<std::string_view, 5> kConsumer{"tenant", "job", "model", "share", "quality"};
constexpr std::array<std::string_view, 4> kDevice{"device", "phase", "share", "quality"};
constexpr std::array<std::string_view, 5> kKernel{"model", "run", "epoch", "kernel", "quality"};
// While rows are being added: more are to come, so sums are only kept from becoming too many for the memory.
constexpr std::uint64_t kRowsPerSum = 8;
constexpr std::size_t kFewSums = std::size_t{1} << 18;

const Column& column_of(const Batch& batch, Table table, std::string_view name) {
  return batch.columns[schema_of(table).find(name)];
}

// numbers[code] of a batch's dictionary; the last entry, for NULL, is 0.
void number_texts(const Column& column, base::SymbolTable& texts, std::vector<std::uint32_t>& numbers) {
  numbers.clear();
  for (const auto text : column.dictionary) numbers.push_back(texts.intern(text).id);
  numbers.push_back(0);
}

std::uint32_t number_of(const std::vector<std::uint32_t>& numbers, std::uint32_t code) {
  return numbers[std::min<std::size_t>(code, numbers.size() - 1)];
}

// rank[number]: where its text stands among all; NULL, number 0, last.
std::vector<std::uint32_t> ranks_of(const base::SymbolTable& texts) {
  std::vector<std::string_view> all;
  for (std::uint32_t i = 1; i < texts.size(); ++i) all.push_back(texts.text({i}));
  std::vector<std::uint32_t> order(all.size()), rank(all.size() + 1);
  std::iota(order.begin(), order.end(), 0U);
  sort_by_text(all, order);
  for (std::uint32_t i = 0; i < order.size(); ++i) rank[order[i] + 1] = i;
  rank[0] = static_cast<std::uint32_t>(order.size());
  return rank;
}

void begin_texts(const base::SymbolTable& texts, std::size_t rows, Column& out) {
  out.type = ColumnType::kText;
  out.codes.resize(rows);
  if (!out.dictionary.empty()) return;
  for (std::uint32_t i = 1; i < texts.size(); ++i) out.dictionary.push_back(texts.text({i}));
}
// Of a number: number 0, NULL, becomes kNullCode.
constexpr std::uint32_t code_of(std::uint32_t number) { return number - 1; }
static_assert(code_of(0) == kNullCode);

}  // namespace

const std::array<RollupSpec, kRollups>& rollup_specs() {
  static const std::array<RollupSpec, kRollups> all{{{Table::kJoulesByConsumer, kConsumer},
                                                     {Table::kJoulesByDevice, kDevice},
                                                     {Table::kJoulesByKernel, kKernel}}};
  return all;
}

std::int64_t coarser_step(std::int64_t step_ns) {
  const auto found = std::upper_bound(kRollupSteps.begin(), kRollupSteps.end(), step_ns);
  return found == kRollupSteps.end() ? 0 : *found;
}

std::int64_t floor_to_step(std::int64_t t, std::int64_t step_ns) {
  const std::int64_t rest = t % step_ns;
  if (rest >= 0) return t - rest;
  return t < INT64_MIN + (rest + step_ns) ? INT64_MIN : t - (rest + step_ns);
}

std::int64_t ceil_to_step(std::int64_t t, std::int64_t step_ns) {
  const std::int64_t rest = t % step_ns;
  if (rest <= 0) return t - rest;
  return t > INT64_MAX - (step_ns - rest) ? INT64_MAX : t + (step_ns - rest);
}

class RollupSums::Impl {
 public:
  Impl(const RollupSpec& s, std::int64_t step) : spec(s), step_ns(step) {
    PJ_CHECK(spec.dimensions.size() <= kMostDimensions);
    for (std::size_t d = 0; d < spec.dimensions.size(); ++d)
      texts_.push_back(std::make_unique<base::SymbolTable>());
    numbers_.resize(spec.dimensions.size());
  }

  void add(const Batch& batch, Table table, std::string_view time) {
    const auto& window = column_of(batch, table, "window_ns").ints;
    const auto& t = column_of(batch, table, time).ints;
    const auto& energy = column_of(batch, table, "energy_uj").ints;
    if (batch.rows == 0) return;
    const std::int64_t* const counts =
        table == spec.table ? column_of(batch, table, "rows").ints.data() : nullptr;
    for (std::size_t d = 0; d < numbers_.size(); ++d) {
      const Column& c = column_of(batch, table, spec.dimensions[d]);
      number_texts(c, *texts_[d], numbers_[d]);
      codes_[d] = c.constant ? nullptr : c.codes.data();
      fixed_[d] = number_of(numbers_[d], c.codes[0]);
    }
    for (std::size_t from = 0; from < batch.rows; from += kStretch) {
      const std::size_t rows = std::min(kStretch, batch.rows - from);
      make_keys(from, rows, window.data(), t.data());
      for (std::size_t i = 0; i < rows; ++i)
        add_one(i, energy[from + i], counts == nullptr ? 1 : static_cast<std::uint64_t>(counts[from + i]));
    }
  }

  void take(Impl& other) {
    coarsen(std::max(step_ns, other.step_ns));
    other.coarsen(step_ns);
    std::vector<std::uint32_t> times;
    for (const Times& t : other.times_) times.push_back(time_number(t.window_ns, t.bucket_ns));
    std::vector<std::vector<std::uint32_t>> numbers(texts_.size());
    for (std::size_t d = 0; d < texts_.size(); ++d) {
      for (std::uint32_t i = 0; i < other.texts_[d]->size(); ++i)
        numbers[d].push_back(texts_[d]->intern(other.texts_[d]->text({i})).id);
    }
    const auto take_one = [&](const Key& from, const Cell& cell) {
      KeyNumbers to{times[from[0]]};
      for (std::size_t d = 0; d < texts_.size(); ++d) to[d + 1] = numbers[d][from[d + 1]];
      const Key key(to);
      add_to(cell_of(key, key.hash()), key, cell.energy_uj, cell.rows);
    };
    for (const auto& [key, cell] : other.cells_.entries()) take_one(key, cell);
    for (const auto& [key, cell] : other.full_) take_one(key, cell);
  }

  std::size_t rows() const { return cells_.size() + full_.size(); }

  void coarsen(std::int64_t step) {
    if (step == step_ns) return;
    Impl coarse(spec, step);
    coarse.texts_.swap(texts_);
    std::vector<std::uint32_t> times;
    for (const Times& t : times_)
      times.push_back(coarse.time_number(floor_to_step(t.window_ns, step), floor_to_step(t.bucket_ns, step)));
    const auto add_one_sum = [&](const Key& from, const Cell& cell) {
      const Key key({times[from[0]], from[1], from[2], from[3], from[4], from[5]});
      coarse.add_to(coarse.cell_of(key, key.hash()), key, cell.energy_uj, cell.rows);
    };
    for (const auto& [key, cell] : cells_.entries()) add_one_sum(key, cell);
    for (const auto& [key, cell] : full_) add_one_sum(key, cell);
    *this = std::move(coarse);
  }

  void clear(std::int64_t step) {
    step_ns = step;
    for (auto& t : texts_) t = std::make_unique<base::SymbolTable>();
    times_.clear();
    has_last_ = false;
    number_of_time_.clear();
    cells_.clear();
    full_.clear();
  }

  base::Status for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const {
    const std::vector<std::uint32_t> order = sorted();
    Batch batch;
    batch.columns.resize(schema_of(spec.table).columns.size());
    for (std::size_t from = 0; from < order.size(); from += batch_rows) {
      batch.rows = std::min(batch_rows, order.size() - from);
      fill(std::span(order).subspan(from, batch.rows), batch);
      PJ_TRY(on_batch(batch));
    }
    return base::ok_status();
  }

  RollupSpec spec;
  std::int64_t step_ns;

 private:
  static constexpr std::size_t kStretch = 64;
  struct Times {
    std::int64_t window_ns = 0, bucket_ns = 0;
  };
  struct Cell {
    std::int64_t energy_uj = 0;
    std::uint64_t rows = 0;
  };
  using Cells = KeyTable<kMostDimensions + 1, Cell>;
  using Key = Cells::Key;  // the time's number, then the dimensions'
  using KeyNumbers = std::array<std::uint32_t, kMostDimensions + 1>;
  static_assert(kMostDimensions == 5);

  // Of a step that begins at `from`; the first one of time itself is a short one, so "no" there.
  bool in_step(std::int64_t t, std::int64_t from) const {
    return t >= from && from != INT64_MIN &&
           static_cast<std::uint64_t>(t) - static_cast<std::uint64_t>(from) <
               static_cast<std::uint64_t>(step_ns);
  }

  std::uint32_t time_number(std::int64_t window_ns, std::int64_t bucket_ns) {
    const auto [it, fresh] =
        number_of_time_.try_emplace({window_ns, bucket_ns}, static_cast<std::uint32_t>(times_.size()));
    if (fresh) times_.push_back({window_ns, bucket_ns});
    return it->second;
  }

  // Rows that follow one another mostly are of one step.
  std::uint32_t time_of(std::int64_t window, std::int64_t t) {
    if (!has_last_ || !in_step(window, last_.window_ns) || !in_step(t, last_.bucket_ns)) {
      last_ = {floor_to_step(window, step_ns), floor_to_step(t, step_ns)};
      last_number_ = time_number(last_.window_ns, last_.bucket_ns);
      has_last_ = true;
    }
    return last_number_;
  }

  // A dimension's number in a row of the batch being added.
  std::uint32_t number_at(std::size_t d, std::size_t row) const {
    return codes_[d] == nullptr ? fixed_[d] : number_of(numbers_[d], codes_[d][row]);
  }

  void make_keys(std::size_t from, std::size_t rows, const std::int64_t* window, const std::int64_t* t) {
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t row = from + i;
      keys_[i] = Key({time_of(window[row], t[row]), number_at(0, row), number_at(1, row), number_at(2, row),
                      number_at(3, row), number_at(4, row)});
    }
    for (std::size_t i = 0; i < rows; ++i) {
      same_[i] = i != 0 && keys_[i] == keys_[i - 1];
      if (same_[i]) continue;
      hashes_[i] = keys_[i].hash();
      cells_.fetch_slot(hashes_[i]);
    }
    for (std::size_t i = 0; i < rows; ++i) {
      if (!same_[i]) cells_.fetch_value(hashes_[i]);
    }
  }

  void add_one(std::size_t i, std::int64_t energy, std::uint64_t rows) {
    if (!same_[i]) cell_ = &cell_of(keys_[i], hashes_[i]);
    add_to(*cell_, keys_[i], energy, rows);
  }

  Cell& cell_of(const Key& key, std::uint64_t hash) {
    bool is_new = false;
    return cells_.at(key, hash, is_new);
  }

  void add_to(Cell& cell, const Key& key, std::int64_t energy, std::uint64_t rows) {
    if (__builtin_add_overflow(cell.energy_uj, energy, &cell.energy_uj)) [[unlikely]] {
      // Taken back; the sum so far becomes a row of its own.
      (void)__builtin_sub_overflow(cell.energy_uj, energy, &cell.energy_uj);
      full_.push_back({key, cell});
      cell = {energy, 0};
    }
    cell.rows += rows;
  }

  const Cells::Entry& entry(std::uint32_t row) const {
    return row < cells_.size() ? cells_.entries()[row] : full_[row - cells_.size()];
  }

  std::vector<std::uint32_t> sorted() const {
    std::vector<std::vector<std::uint32_t>> ranks;
    for (const auto& t : texts_) ranks.push_back(ranks_of(*t));
    const auto time_ranks = ranks_of_times();
    __extension__ typedef unsigned __int128 Wide;
    struct Place {
      Wide key;
      std::uint32_t row;
    };
    std::vector<Place> places;
    places.reserve(rows());
    const auto width = [](std::size_t n) { return static_cast<unsigned>(std::bit_width(n)); };
    unsigned bits = width(times_.size());
    for (const auto& r : ranks) bits += width(r.size());
    PJ_CHECK(bits <= 128);
    for (std::uint32_t row = 0; row < rows(); ++row) {
      const Key& k = entry(row).key;
      Wide packed = 0;
      for (std::size_t d = 0; d < ranks.size(); ++d)
        packed = packed << width(ranks[d].size()) | ranks[d][k[d + 1]];
      places.push_back({packed << width(times_.size()) | time_ranks[k[0]], row});
    }
    std::sort(places.begin(), places.end(),
              [](const Place& a, const Place& b) { return a.key != b.key ? a.key < b.key : a.row < b.row; });
    std::vector<std::uint32_t> order;
    order.reserve(places.size());
    for (const Place& p : places) order.push_back(p.row);
    return order;
  }

  std::vector<std::uint32_t> ranks_of_times() const {
    std::vector<std::uint32_t> rank(times_.size());
    std::uint32_t n = 0;
    for (const auto& [time, number] : number_of_time_) rank[number] = n++;
    return rank;
  }

  void fill(std::span<const std::uint32_t> order, Batch& batch) const {
    const std::size_t dims = texts_.size();
    auto& columns = batch.columns;
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}, std::size_t{2}, dims + 3, dims + 4}) {
      columns[i].type = ColumnType::kInt64;
      columns[i].ints.resize(order.size());
    }
    for (std::size_t d = 0; d < dims; ++d) begin_texts(*texts_[d], order.size(), columns[d + 3]);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const auto& [k, c] = entry(order[i]);
      columns[0].ints[i] = times_[k[0]].window_ns;
      columns[1].ints[i] = times_[k[0]].bucket_ns;
      columns[2].ints[i] = step_ns;
      for (std::size_t d = 0; d < dims; ++d) columns[d + 3].codes[i] = code_of(k[d + 1]);
      columns[dims + 3].ints[i] = c.energy_uj;
      columns[dims + 4].ints[i] = static_cast<std::int64_t>(c.rows);
    }
  }

  std::vector<std::unique_ptr<base::SymbolTable>> texts_;
  std::vector<Times> times_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::uint32_t> number_of_time_;
  Cells cells_;
  std::vector<Cells::Entry> full_;
  // Of the batch and the stretch being added.
  std::vector<std::vector<std::uint32_t>> numbers_;
  std::array<const std::uint32_t*, kMostDimensions> codes_{};  // nullptr: the number is fixed_ in all rows
  std::array<std::uint32_t, kMostDimensions> fixed_{};
  std::array<Key, kStretch> keys_;
  std::array<std::uint64_t, kStretch> hashes_;
  std::array<bool, kStretch> same_;  // as the key before
  bool has_last_ = false;
  Times last_;
  std::uint32_t last_number_ = 0;
  Cell* cell_ = nullptr;  // of the last row, until the next key
};

RollupSums::RollupSums(const RollupSpec& spec, std::int64_t step_ns)
    : impl_(std::make_unique<Impl>(spec, step_ns)) {}
RollupSums::RollupSums(RollupSums&&) noexcept = default;
RollupSums::~RollupSums() = default;
const RollupSpec& RollupSums::spec() const { return impl_->spec; }
std::int64_t RollupSums::step_ns() const { return impl_->step_ns; }
void RollupSums::add(const Batch& joules) { impl_->add(joules, Table::kJoules, "t1_ns"); }
void RollupSums::add_sums(const Batch& rollup) { impl_->add(rollup, spec().table, "bucket_ns"); }
void RollupSums::take(RollupSums& other) { impl_->take(*other.impl_); }
void RollupSums::coarsen(std::int64_t step_ns) { impl_->coarsen(step_ns); }
void RollupSums::clear(std::int64_t step_ns) { impl_->clear(step_ns); }
std::size_t RollupSums::rows() const { return impl_->rows(); }
base::Status RollupSums::for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const {
  return impl_->for_each_batch(batch_rows, on_batch);
}

RollupSet::RollupSet(const RollupSteps& steps) : steps_(steps) {
  for (std::size_t i = 0; i < kRollups; ++i)
    sums_.emplace_back(rollup_specs()[i], std::max(steps[i], kRollupSteps[0]));
}

void RollupSet::clear(const RollupSteps& steps) {
  steps_ = steps;
  joule_rows_ = 0;
  for (std::size_t i = 0; i < kRollups; ++i) sums_[i].clear(std::max(steps[i], kRollupSteps[0]));
}

void RollupSet::add(const Batch& joules) {
  joule_rows_ += joules.rows;
  for (std::size_t i = 0; i < kRollups; ++i) {
    if (has(i)) sums_[i].add(joules);
  }
  condense(kRowsPerSum, kFewSums);
}

void RollupSet::take(RollupSet& other) {
  joule_rows_ += other.joule_rows_;
  for (std::size_t i = 0; i < kRollups; ++i) {
    if (has(i) && other.has(i)) {
      sums_[i].take(other.sums_[i]);
      steps_[i] = other.steps_[i] = sums_[i].step_ns();
    } else {
      steps_[i] = 0;
      sums_[i].clear(kRollupSteps[0]);
    }
  }
}

void RollupSet::condense(std::uint64_t ratio, std::size_t few) {
  for (std::size_t i = 0; i < kRollups; ++i) {
    while (has(i) && sums_[i].rows() > few && sums_[i].rows() * ratio > joule_rows_) {
      steps_[i] = coarser_step(steps_[i]);
      if (has(i)) sums_[i].coarsen(steps_[i]);
      if (!has(i)) sums_[i].clear(kRollupSteps[0]);
    }
  }
}

std::size_t RollupSet::rows() const {
  std::size_t n = 0;
  for (const auto& s : sums_) n += s.rows();
  return n;
}

// ---- the newest readings ----

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
  const auto reading = [&](std::size_t i) { return Reading{times[i], values[i], texts[2]->text(i)}; };
  constexpr std::size_t kStretch = 64;
  std::array<Cells::Key, kStretch> keys;
  std::array<std::uint64_t, kStretch> hashes{};
  std::array<std::size_t, kStretch> newest{};
  for (std::size_t i = 0; i < rows.rows;) {
    std::size_t n = 0;
    for (; n < kStretch && i < rows.rows; ++n) {
      // Readings of one device and signal mostly come together.
      const std::uint32_t device = texts[0]->codes[i], signal = texts[1]->codes[i];
      newest[n] = i++;
      for (; i < rows.rows && texts[0]->codes[i] == device && texts[1]->codes[i] == signal; ++i) {
        if (reading(i).is_newer_than(reading(newest[n]))) newest[n] = i;
      }
      keys[n] = Cells::Key({number_of(numbers[0], device), number_of(numbers[1], signal)});
      hashes[n] = keys[n].hash();
      table_.fetch_slot(hashes[n]);
    }
    for (std::size_t k = 0; k < n; ++k) table_.fetch_value(hashes[k]);
    for (std::size_t k = 0; k < n; ++k)
      keep_newest(keys[k], hashes[k],
                  {times[newest[k]], values[newest[k]], number_of(numbers[2], texts[2]->codes[newest[k]])});
  }
}

void LastReadings::take(const LastReadings& other) {
  std::array<std::vector<std::uint32_t>, 3> numbers;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const base::SymbolTable& texts = (*other.texts_)[i];
    for (std::uint32_t n = 0; n < texts.size(); ++n)
      numbers[i].push_back((*texts_)[i].intern(texts.text({n})).id);
  }
  for (auto [from, cell] : other.table_.entries()) {
    const Cells::Key key({numbers[0][from[0]], numbers[1][from[1]]});
    cell.quality = numbers[2][cell.quality];
    keep_newest(key, key.hash(), cell);
  }
}

void LastReadings::keep_newest(const Cells::Key& key, std::uint64_t hash, const Cell& cell) {
  bool is_new = false;
  Cell& known = table_.at(key, hash, is_new);
  if (is_new || reading_of(cell).is_newer_than(reading_of(known))) known = cell;
}

void LastReadings::clear() {
  texts_ = std::make_unique<std::array<base::SymbolTable, 3>>();
  table_.clear();
}

base::Status LastReadings::for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const {
  const auto devices = ranks_of((*texts_)[0]), signals = ranks_of((*texts_)[1]);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> order;
  for (std::uint32_t i = 0; i < table_.size(); ++i) {
    const auto& key = table_.entries()[i].key;
    order.emplace_back(std::uint64_t{devices[key[0]]} << 32 | signals[key[1]], i);
  }
  std::sort(order.begin(), order.end());
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
      const auto& [key, cell] = table_.entries()[order[from + i].second];
      times.ints[i] = cell.t_ns;
      device.codes[i] = code_of(key[0]);
      signal.codes[i] = code_of(key[1]);
      value.doubles[i] = cell.value;
      quality.codes[i] = code_of(cell.quality);
    }
    PJ_TRY(on_batch(batch));
  }
  return base::ok_status();
}

}  // namespace perjoule::bus
