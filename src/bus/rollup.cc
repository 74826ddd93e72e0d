#include "bus/rollup.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/assert.hpp"
#include "bus/text_order.hpp"

namespace perjoule::bus {
namespace {

constexpr std::size_t kMostDimensions = 5;
constexpr std::array<std::string_view, 5> kConsumer{"tenant", "job", "model", "share", "quality"};
constexpr std::array<std::string_view, 4> kDevice{"device", "phase", "share", "quality"};
constexpr std::array<std::string_view, 5> kKernel{"model", "run", "epoch", "kernel", "quality"};
constexpr std::int64_t kSecondNs = 1'000'000'000;

const Column& column_of(const Batch& batch, Table table, std::string_view name) {
  return batch.columns[schema_of(table).find(name)];
}

std::int64_t floor_to(std::int64_t t, std::int64_t step) {
  const std::int64_t rest = t % step;
  // The first step of time itself may be cut short.
  if (rest < 0 && t < INT64_MIN + (rest + step)) return INT64_MIN;
  return t - (rest < 0 ? rest + step : rest);
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
  static const std::array<RollupSpec, kRollups> all{{{Table::kJoulesByConsumer, 10 * kSecondNs, kConsumer},
                                                     {Table::kJoulesByDevice, 60 * kSecondNs, kDevice},
                                                     {Table::kJoulesByKernel, 60 * kSecondNs, kKernel}}};
  return all;
}

class RollupSums::Impl {
 public:
  explicit Impl(const RollupSpec& s) : spec(s) {
    PJ_CHECK(spec.dimensions.size() <= kMostDimensions);
    for (std::size_t d = 0; d < spec.dimensions.size(); ++d)
      texts_.push_back(std::make_unique<base::SymbolTable>());
    numbers_.resize(spec.dimensions.size());
    codes_.resize(spec.dimensions.size());
  }

  void add(const Batch& batch, Table table, std::string_view time) {
    const auto& window = column_of(batch, table, "window_ns").ints;
    const auto& t = column_of(batch, table, time).ints;
    const auto& energy = column_of(batch, table, "energy_uj").ints;
    const std::int64_t* const counts =
        table == spec.table ? column_of(batch, table, "rows").ints.data() : nullptr;
    for (std::size_t d = 0; d < numbers_.size(); ++d) {
      const Column& c = column_of(batch, table, spec.dimensions[d]);
      number_texts(c, *texts_[d], numbers_[d]);
      codes_[d] = c.codes.data();
    }
    for (std::size_t from = 0; from < batch.rows; from += kStretch) {
      const std::size_t rows = std::min(kStretch, batch.rows - from);
      make_keys(from, rows, window.data(), t.data());
      for (std::size_t i = 0; i < rows; ++i)
        add_one(i, energy[from + i], counts == nullptr ? 1 : static_cast<std::uint64_t>(counts[from + i]));
    }
  }

  void take(const Impl& other) {
    std::vector<std::vector<std::uint32_t>> numbers(texts_.size());
    for (std::size_t d = 0; d < texts_.size(); ++d) {
      for (std::uint32_t i = 0; i < other.texts_[d]->size(); ++i)
        numbers[d].push_back(texts_[d]->intern(other.texts_[d]->text({i})).id);
    }
    const auto take_one = [&](Key key, const Cell& cell) {
      key[0] = time_number(other.times_[key[0]].window_ns, other.times_[key[0]].bucket_ns);
      for (std::size_t d = 0; d < texts_.size(); ++d) key[d + 1] = numbers[d][key[d + 1]];
      add_to(index_.place_of(key, Index::hash_of(key)), cell.energy_uj, cell.rows);
    };
    for (std::size_t i = 0; i < other.cells_.size(); ++i) take_one(other.index_.key(i), other.cells_[i]);
    for (const auto& [key, cell] : other.full_) take_one(key, cell);
  }

  std::size_t rows() const { return cells_.size() + full_.size(); }

  void clear() {
    for (auto& t : texts_) t = std::make_unique<base::SymbolTable>();
    times_.clear();
    has_last_ = false;
    number_of_time_.clear();
    index_.clear();
    cells_.clear();
    full_.clear();
  }

  base::Status for_each_batch(std::size_t batch_rows, const BatchSink& on_batch) const {
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

  const RollupSpec spec;

 private:
  static constexpr std::size_t kStretch = 64;
  using Index = KeyIndex<kMostDimensions + 1>;
  using Key = Index::Key;  // the time's number, then the dimensions'
  struct Times {
    std::int64_t window_ns = 0, bucket_ns = 0;
  };
  struct Cell {
    std::int64_t energy_uj = 0;
    std::uint64_t rows = 0;
  };

  std::uint32_t time_number(std::int64_t window_ns, std::int64_t bucket_ns) {
    const auto [it, fresh] =
        number_of_time_.try_emplace({window_ns, bucket_ns}, static_cast<std::uint32_t>(times_.size()));
    if (fresh) times_.push_back({window_ns, bucket_ns});
    return it->second;
  }

  // Rows that follow one another mostly have one time.
  void make_keys(std::size_t from, std::size_t rows, const std::int64_t* window, const std::int64_t* t) {
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t row = from + i;
      Key& key = keys_[i];
      key.fill(0);
      const std::uint64_t since =
          static_cast<std::uint64_t>(t[row]) - static_cast<std::uint64_t>(last_.bucket_ns);
      // The first step of time itself is a short one.
      const bool same = has_last_ && window[row] == last_.window_ns && last_.bucket_ns != INT64_MIN && t[row] >= last_.bucket_ns &&
                        since < static_cast<std::uint64_t>(spec.step_ns);
      if (!same) {
        last_ = {window[row], floor_to(t[row], spec.step_ns)};
        last_number_ = time_number(last_.window_ns, last_.bucket_ns);
        has_last_ = true;
      }
      key[0] = last_number_;
    }
    for (std::size_t d = 0; d < numbers_.size(); ++d) {
      for (std::size_t i = 0; i < rows; ++i) keys_[i][d + 1] = number_of(numbers_[d], codes_[d][from + i]);
    }
    for (std::size_t i = 0; i < rows; ++i) {
      hashes_[i] = Index::hash_of(keys_[i]);
      index_.prefetch(hashes_[i]);
    }
  }

  void add_one(std::size_t i, std::int64_t energy, std::uint64_t rows) {
    if (i == 0 || keys_[i] != keys_[i - 1]) place_ = index_.place_of(keys_[i], hashes_[i]);
    add_to(place_, energy, rows);
  }

  void add_to(std::size_t place, std::int64_t energy, std::uint64_t rows) {
    if (place == cells_.size()) cells_.emplace_back();
    Cell& cell = cells_[place];
    if (__builtin_add_overflow(cell.energy_uj, energy, &cell.energy_uj)) [[unlikely]] {
      // Taken back; the sum so far becomes a row of its own.
      (void)__builtin_sub_overflow(cell.energy_uj, energy, &cell.energy_uj);
      full_.emplace_back(index_.key(place), cell);
      cell = {energy, 0};
    }
    cell.rows += rows;
  }

  const Key& key(std::uint32_t row) const {
    return row < cells_.size() ? index_.key(row) : full_[row - cells_.size()].first;
  }
  const Cell& cell(std::uint32_t row) const {
    return row < cells_.size() ? cells_[row] : full_[row - cells_.size()].second;
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
      const Key& k = key(row);
      Wide packed = 0;
      for (std::size_t d = 0; d < ranks.size(); ++d)
        packed = packed << width(ranks[d].size()) | ranks[d][k[d + 1]];
      places.push_back({packed << width(times_.size()) | time_ranks[k[0]], row});
    }
    std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) {
      return a.key != b.key ? a.key < b.key : a.row < b.row;
    });
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
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}, dims + 2, dims + 3}) {
      columns[i].type = ColumnType::kInt64;
      columns[i].ints.resize(order.size());
    }
    for (std::size_t d = 0; d < dims; ++d) begin_texts(*texts_[d], order.size(), columns[d + 2]);
    for (std::size_t i = 0; i < order.size(); ++i) {
      const Key& k = key(order[i]);
      const Cell& c = cell(order[i]);
      columns[0].ints[i] = times_[k[0]].window_ns;
      columns[1].ints[i] = times_[k[0]].bucket_ns;
      for (std::size_t d = 0; d < dims; ++d) columns[d + 2].codes[i] = code_of(k[d + 1]);
      columns[dims + 2].ints[i] = c.energy_uj;
      columns[dims + 3].ints[i] = static_cast<std::int64_t>(c.rows);
    }
  }

  std::vector<std::unique_ptr<base::SymbolTable>> texts_;
  std::vector<Times> times_;
  std::map<std::pair<std::int64_t, std::int64_t>, std::uint32_t> number_of_time_;
  Index index_;
  std::vector<Cell> cells_;
  std::vector<std::pair<Key, Cell>> full_;
  // Of the batch and the stretch being added.
  std::vector<std::vector<std::uint32_t>> numbers_;
  std::vector<const std::uint32_t*> codes_;
  std::array<Key, kStretch> keys_;
  std::array<std::uint64_t, kStretch> hashes_;
  bool has_last_ = false;
  Times last_;
  std::uint32_t last_number_ = 0;
  std::size_t place_ = 0;
};

RollupSums::RollupSums(const RollupSpec& spec) : impl_(std::make_unique<Impl>(spec)) {}
RollupSums::RollupSums(RollupSums&&) noexcept = default;
RollupSums::~RollupSums() = default;
const RollupSpec& RollupSums::spec() const { return impl_->spec; }
void RollupSums::add(const Batch& joules) { impl_->add(joules, Table::kJoules, "t1_ns"); }
void RollupSums::add_sums(const Batch& rollup) { impl_->add(rollup, spec().table, "bucket_ns"); }
void RollupSums::take(const RollupSums& other) { impl_->take(*other.impl_); }
void RollupSums::clear() { impl_->clear(); }
std::size_t RollupSums::rows() const { return impl_->rows(); }
base::Status RollupSums::for_each_batch(std::size_t batch_rows, const BatchSink& on_batch) const {
  return impl_->for_each_batch(batch_rows, on_batch);
}

RollupSet::RollupSet() {
  for (const RollupSpec& spec : rollup_specs()) sums_.emplace_back(spec);
}
std::size_t RollupSet::rows() const {
  std::size_t n = 0;
  for (const auto& s : sums_) n += s.rows();
  return n;
}

// ---- the newest readings ----

void LastReadings::add(const Batch& rows) {
  enum : std::size_t { kTime, kDevice, kSignal, kValue, kQuality };
  std::array<std::vector<std::uint32_t>, 3> numbers;
  const std::array<const Column*, 3> texts{&rows.columns[kDevice], &rows.columns[kSignal],
                                           &rows.columns[kQuality]};
  for (std::size_t i = 0; i < texts.size(); ++i) number_texts(*texts[i], (*texts_)[i], numbers[i]);
  const auto& times = rows.columns[kTime].ints;
  for (std::size_t i = 0; i < rows.rows;) {
    // Readings of one device and signal mostly come together.
    const std::uint32_t device = texts[0]->codes[i], signal = texts[1]->codes[i];
    std::size_t newest = i++;
    for (; i < rows.rows && texts[0]->codes[i] == device && texts[1]->codes[i] == signal; ++i) {
      if (times[i] > times[newest]) newest = i;
    }
    keep_newest({number_of(numbers[0], device), number_of(numbers[1], signal)},
                {times[newest], rows.columns[kValue].doubles[newest],
                 number_of(numbers[2], texts[2]->codes[newest])});
  }
}

void LastReadings::take(const LastReadings& other) {
  std::array<std::vector<std::uint32_t>, 3> numbers;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    const base::SymbolTable& texts = (*other.texts_)[i];
    for (std::uint32_t n = 0; n < texts.size(); ++n)
      numbers[i].push_back((*texts_)[i].intern(texts.text({n})).id);
  }
  for (std::size_t i = 0; i < other.cells_.size(); ++i) {
    const auto& key = other.index_.key(i);
    Cell cell = other.cells_[i];
    cell.quality = numbers[2][cell.quality];
    keep_newest({numbers[0][key[0]], numbers[1][key[1]]}, cell);
  }
}

void LastReadings::keep_newest(const KeyIndex<2>::Key& key, const Cell& cell) {
  const std::size_t place = index_.place_of(key, KeyIndex<2>::hash_of(key));
  if (place == cells_.size()) {
    cells_.push_back(cell);
  } else if (cell.t_ns > cells_[place].t_ns) {
    cells_[place] = cell;
  }
}

void LastReadings::clear() {
  texts_ = std::make_unique<std::array<base::SymbolTable, 3>>();
  index_.clear();
  cells_.clear();
}

base::Status LastReadings::for_each_batch(std::size_t batch_rows, const BatchSink& on_batch) const {
  const auto devices = ranks_of((*texts_)[0]), signals = ranks_of((*texts_)[1]);
  std::vector<std::pair<std::uint64_t, std::uint32_t>> order;
  for (std::uint32_t i = 0; i < cells_.size(); ++i) {
    const auto& key = index_.key(i);
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
      const std::uint32_t place = order[from + i].second;
      times.ints[i] = cells_[place].t_ns;
      device.codes[i] = code_of(index_.key(place)[0]);
      signal.codes[i] = code_of(index_.key(place)[1]);
      value.doubles[i] = cells_[place].value;
      quality.codes[i] = code_of(cells_[place].quality);
    }
    PJ_TRY(on_batch(batch));
  }
  return base::ok_status();
}

}  // namespace perjoule::bus
