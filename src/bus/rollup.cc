#include "bus/rollup.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/assert.hpp"
#include "bus/text_numbers.hpp"

namespace perjoule::bus {
namespace {

constexpr std::array<std::string_view, 5> kConsumer{"tenant", "job", "model", "share", "quality"};
constexpr std::array<std::string_view, 4> kDevice{"device", "phase", "share", "quality"};
constexpr std::array<std::string_view, 5> kKernel{"model", "run", "epoch", "kernel", "quality"};
// While rows are being added: more are to come, so sums are only kept from becoming too many for the memory.
constexpr std::uint64_t kRowsPerSum = 8;
constexpr std::size_t kFewSums = std::size_t{1} << 18;

const Column& column_of(const Batch& batch, Table table, std::string_view name) {
  return batch.columns[schema_of(table).find(name)];
}

}  // namespace

const std::array<RollupSpec, kRollups>& rollup_specs() {
  static const std::array<RollupSpec, kRollups> all{{{Table::kJoulesByConsumer, kConsumer, 3},
                                                     {Table::kJoulesByDevice, kDevice, 1},
                                                     {Table::kJoulesByKernel, kKernel, 3}}};
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
    PJ_CHECK(spec.steady <= kMostSteady && spec.dimensions.size() - spec.steady <= kMostOther);
    for (std::size_t d = 0; d < spec.dimensions.size(); ++d)
      texts_.push_back(std::make_unique<base::SymbolTable>());
  }

  void add(const Batch& batch, Table table, std::string_view time) {
    if (batch.rows == 0) return;
    const auto& window = column_of(batch, table, "window_ns").ints;
    const auto& t = column_of(batch, table, time).ints;
    const auto& energy = column_of(batch, table, "energy_uj").ints;
    const std::int64_t* const counts =
        table == spec.table ? column_of(batch, table, "rows").ints.data() : nullptr;
    begin_batch(batch, table);
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
    std::vector<std::vector<std::uint32_t>> numbers(texts_.size());
    for (std::size_t d = 0; d < texts_.size(); ++d) {
      for (std::uint32_t i = 0; i < other.texts_[d]->size(); ++i)
        numbers[d].push_back(texts_[d]->intern(other.texts_[d]->text({i})).id);
    }
    std::vector<std::uint32_t> steady, rest;
    for (const auto& [key, none] : other.steady_.entries()) {
      SteadyNumbers to{time_number(other.times_[key[0]])};
      for (std::size_t d = 0; d < spec.steady; ++d) to[d + 1] = numbers[d][key[d + 1]];
      steady.push_back(place(steady_, to));
    }
    for (const auto& [key, none] : other.rest_.entries()) {
      RestNumbers to{};
      for (std::size_t d = spec.steady; d < texts_.size(); ++d)
        to[d - spec.steady] = numbers[d][key[d - spec.steady]];
      rest.push_back(place(rest_, to));
    }
    other.each([&](const Key& key, const Cell& cell) {
      add_to(Key({steady[key[0]], rest[key[1]]}), cell.energy_uj, cell.rows);
    });
  }

  std::size_t rows() const { return cells_.size() + full_.size(); }

  void coarsen(std::int64_t step) {
    if (step == step_ns) return;
    Impl coarse(spec, step);
    coarse.texts_.swap(texts_);
    std::swap(coarse.rest_, rest_);
    std::vector<std::uint32_t> steady;
    for (const auto& [key, none] : steady_.entries()) {
      const Times& t = times_[key[0]];
      SteadyNumbers to{
          coarse.time_number({floor_to_step(t.window_ns, step), floor_to_step(t.bucket_ns, step)})};
      for (std::size_t d = 0; d < spec.steady; ++d) to[d + 1] = key[d + 1];
      steady.push_back(place(coarse.steady_, to));
    }
    each([&](const Key& key, const Cell& cell) {
      coarse.add_to(Key({steady[key[0]], key[1]}), cell.energy_uj, cell.rows);
    });
    *this = std::move(coarse);
  }

  void clear(std::int64_t step) { *this = Impl(spec, step); }

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
  static constexpr std::size_t kStretch = 64, kMostSteady = 4, kMostOther = 3;
  // Of a batch's combinations of the other dimensions' codes, so many are known by place.
  static constexpr std::size_t kMostKnown = std::size_t{1} << 16;
  static constexpr std::uint32_t kUnknown = UINT32_MAX;
  struct Nothing {};
  struct Times {
    std::int64_t window_ns = 0, bucket_ns = 0;
    auto operator<=>(const Times&) const = default;
  };
  struct Cell {
    std::int64_t energy_uj = 0;
    std::uint64_t rows = 0;
  };
  using SteadyNumbers = std::array<std::uint32_t, kMostSteady + 1>;  // the time's first
  using RestNumbers = std::array<std::uint32_t, kMostOther>;
  using Cells = KeyTable<2, Cell>;  // by the places of both
  using Key = Cells::Key;

  template <class KeyTableType, class Numbers>
  static std::uint32_t place(KeyTableType& table, const Numbers& numbers) {
    return static_cast<std::uint32_t>(table.place_of(typename KeyTableType::Key(numbers)));
  }

  template <class F>
  void each(F&& f) const {
    for (const auto& [key, cell] : cells_.entries()) f(key, cell);
    for (const auto& [key, cell] : full_) f(key, cell);
  }

  // Of a step that begins at `from`; the first one of time itself is a short one, so "no" there.
  bool in_step(std::int64_t t, std::int64_t from) const {
    return t >= from && from != INT64_MIN &&
           static_cast<std::uint64_t>(t) - static_cast<std::uint64_t>(from) <
               static_cast<std::uint64_t>(step_ns);
  }

  std::uint32_t time_number(const Times& time) {
    const auto [it, fresh] = number_of_time_.try_emplace(time, static_cast<std::uint32_t>(times_.size()));
    if (fresh) times_.push_back(time);
    return it->second;
  }

  void begin_batch(const Batch& batch, Table table) {
    has_last_ = false;
    std::size_t known = 1;
    for (std::size_t d = 0; d < spec.dimensions.size(); ++d) {
      const Column& c = column_of(batch, table, spec.dimensions[d]);
      number_texts(c, *texts_[d], numbers_[d]);
      codes_[d] = c.codes.data();
      if (d >= spec.steady) known = std::min(known * numbers_[d].size(), kMostKnown + 1);
    }
    known_.assign(known <= kMostKnown ? known : 0, kUnknown);
  }

  std::uint32_t number_at(std::size_t d, std::size_t row) const {
    return number_of(numbers_[d], codes_[d][row]);
  }

  // Rows that follow one another mostly are of one step, and the same in the steady dimensions.
  void find_steady(std::size_t row, std::int64_t window, std::int64_t t) {
    bool same = has_last_ && in_step(window, last_.window_ns) && in_step(t, last_.bucket_ns);
    for (std::size_t d = 0; d < spec.steady; ++d) same = same && codes_[d][row] == codes_[d][row - 1];
    if (same) return;
    if (!has_last_ || !in_step(window, last_.window_ns) || !in_step(t, last_.bucket_ns)) {
      last_ = {floor_to_step(window, step_ns), floor_to_step(t, step_ns)};
      last_number_ = time_number(last_);
      has_last_ = true;
    }
    SteadyNumbers numbers{last_number_};
    for (std::size_t d = 0; d < spec.steady; ++d) numbers[d + 1] = number_at(d, row);
    steady_place_ = place(steady_, numbers);
  }

  std::uint32_t rest_of(std::size_t row) {
    std::size_t combination = 0;
    for (std::size_t d = spec.steady; d < spec.dimensions.size(); ++d)
      combination =
          combination * numbers_[d].size() + std::min<std::size_t>(codes_[d][row], numbers_[d].size() - 1);
    if (!known_.empty() && known_[combination] != kUnknown) return known_[combination];
    RestNumbers numbers{};
    for (std::size_t d = spec.steady; d < spec.dimensions.size(); ++d)
      numbers[d - spec.steady] = number_at(d, row);
    const std::uint32_t at = place(rest_, numbers);
    if (!known_.empty()) known_[combination] = at;
    return at;
  }

  void make_keys(std::size_t from, std::size_t rows, const std::int64_t* window, const std::int64_t* t) {
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t row = from + i;
      find_steady(row, window[row], t[row]);
      keys_[i] = Key({steady_place_, rest_of(row)});
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
    if (!same_[i]) cell_ = &cells_.value(cells_.place_of(keys_[i], hashes_[i]));
    add_to(*cell_, keys_[i], energy, rows);
  }
  void add_to(const Key& key, std::int64_t energy, std::uint64_t rows) {
    add_to(cells_.value(cells_.place_of(key)), key, energy, rows);
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
  std::uint32_t time_in(const Key& key) const { return steady_.entries()[key[0]].key[0]; }
  std::uint32_t number_in(const Key& key, std::size_t d) const {
    return d < spec.steady ? steady_.entries()[key[0]].key[d + 1]
                           : rest_.entries()[key[1]].key[d - spec.steady];
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
        packed = packed << width(ranks[d].size()) | ranks[d][number_in(k, d)];
      places.push_back({packed << width(times_.size()) | time_ranks[time_in(k)], row});
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
      columns[0].ints[i] = times_[time_in(k)].window_ns;
      columns[1].ints[i] = times_[time_in(k)].bucket_ns;
      columns[2].ints[i] = step_ns;
      for (std::size_t d = 0; d < dims; ++d) columns[d + 3].codes[i] = code_of(number_in(k, d));
      columns[dims + 3].ints[i] = c.energy_uj;
      columns[dims + 4].ints[i] = static_cast<std::int64_t>(c.rows);
    }
  }

  std::vector<std::unique_ptr<base::SymbolTable>> texts_;
  std::vector<Times> times_;
  std::map<Times, std::uint32_t> number_of_time_;
  KeyTable<kMostSteady + 1, Nothing> steady_;
  KeyTable<kMostOther, Nothing> rest_;
  Cells cells_;
  std::vector<Cells::Entry> full_;
  // Of the batch and the stretch being added.
  std::array<std::vector<std::uint32_t>, kMostSteady + kMostOther> numbers_;
  std::array<const std::uint32_t*, kMostSteady + kMostOther> codes_{};
  std::vector<std::uint32_t> known_;  // place in rest_ by combination of codes
  std::array<Key, kStretch> keys_;
  std::array<std::uint64_t, kStretch> hashes_;
  std::array<bool, kStretch> same_;  // as the key before
  bool has_last_ = false;
  Times last_;
  std::uint32_t last_number_ = 0, steady_place_ = 0;
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

}  // namespace perjoule::bus
