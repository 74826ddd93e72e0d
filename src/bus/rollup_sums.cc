#include <algorithm>
#include <bit>
#include <map>
#include <numeric>

#include "base/assert.hpp"
#include "base/symbol.hpp"
#include "bus/key_table.hpp"
#include "bus/rollup.hpp"
#include "bus/text_numbers.hpp"

namespace perjoule::bus {
namespace {

const Column& column_of(const Batch& batch, Table table, std::string_view name) {
  return batch.columns[schema_of(table).find(name)];
}

}  // namespace

// Rows come sorted by request: for some of them (a stretch) the step of time and the steady dimensions stay,
// while the rest of the dimensions goes to and fro between few values. So sums that differ only in the rest
// lie together, kPageCells to a page: a stretch looks up one or two pages, and its rows find their sum there
// by number.
class RollupSums::Impl {
 public:
  Impl(const RollupSpec& s, std::int64_t step) : spec(s), step_ns(step) {
    PJ_CHECK(spec.steady <= kMostSteady && spec.dimensions.size() - spec.steady <= kMostOther);
    for (std::size_t d = 0; d < spec.dimensions.size(); ++d)
      texts_.push_back(std::make_unique<base::SymbolTable>());
  }

  void add(const Batch& batch, Table table, std::string_view time) {
    if (batch.rows == 0) return;
    const std::int64_t* const window = column_of(batch, table, "window_ns").ints.data();
    const std::int64_t* const t = column_of(batch, table, time).ints.data();
    const std::int64_t* const energy = column_of(batch, table, "energy_uj").ints.data();
    const std::int64_t* const counts =
        table == spec.table ? column_of(batch, table, "rows").ints.data() : nullptr;
    begin_batch(batch, table);
    for (std::size_t from = 0; from < batch.rows; from += kChunk) {
      const std::size_t rows = std::min(kChunk, batch.rows - from);
      find_visits(from, rows, window, t);
      find_pages();
      for (std::size_t i = 0; i < rows; ++i)
        add_to(visits_[visit_of_[i]].page, rest_of_[i], energy[from + i],
               counts == nullptr ? 1 : static_cast<std::uint64_t>(counts[from + i]));
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
    for (const auto& key : other.steady_.keys()) {
      SteadyNumbers to{time_number(other.times_[key[0]])};
      for (std::size_t d = 0; d < spec.steady; ++d) to[d + 1] = numbers[d][key[d + 1]];
      steady.push_back(place(steady_, to));
    }
    for (const auto& key : other.rest_.keys()) {
      RestNumbers to{};
      for (std::size_t d = spec.steady; d < texts_.size(); ++d)
        to[d - spec.steady] = numbers[d][key[d - spec.steady]];
      rest.push_back(place(rest_, to));
    }
    other.each([&](const Sum& s) { add_sum({steady[s.steady], rest[s.rest], s.cell}); });
  }

  std::size_t rows() const { return used_ + full_.size(); }
  std::size_t bytes() const { return pages_.size() * (sizeof(Page) + 32) + full_.size() * sizeof(Sum); }

  void coarsen(std::int64_t step) {
    if (step == step_ns) return;
    Impl coarse(spec, step);
    coarse.texts_.swap(texts_);
    std::swap(coarse.rest_, rest_);
    std::vector<std::uint32_t> steady;
    for (const auto& key : steady_.keys()) {
      const Times& t = times_[key[0]];
      SteadyNumbers to{
          coarse.time_number({floor_to_step(t.window_ns, step), floor_to_step(t.bucket_ns, step)})};
      for (std::size_t d = 0; d < spec.steady; ++d) to[d + 1] = key[d + 1];
      steady.push_back(place(coarse.steady_, to));
    }
    each([&](const Sum& s) { coarse.add_sum({steady[s.steady], s.rest, s.cell}); });
    *this = std::move(coarse);
  }

  void clear(std::int64_t step) { *this = Impl(spec, step); }

  base::Status for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const {
    const std::vector<Sum> sums = sorted();
    Batch batch;
    batch.columns.resize(schema_of(spec.table).columns.size());
    for (std::size_t from = 0; from < sums.size(); from += batch_rows) {
      batch.rows = std::min(batch_rows, sums.size() - from);
      fill(std::span(sums).subspan(from, batch.rows), batch);
      PJ_TRY(on_batch(batch));
    }
    return base::ok_status();
  }

  RollupSpec spec;
  std::int64_t step_ns;

 private:
  static constexpr std::size_t kChunk = 1024, kMostSteady = 4, kMostOther = 3, kPageCells = 8;
  // Of a batch's combinations of the other dimensions' codes, so many are known by place.
  static constexpr std::size_t kMostKnown = std::size_t{1} << 16;
  static constexpr std::uint32_t kUnknown = UINT32_MAX;
  struct Times {
    std::int64_t window_ns = 0, bucket_ns = 0;
    auto operator<=>(const Times&) const = default;
  };
  struct Cell {
    std::int64_t energy_uj = 0;
    std::uint64_t rows = 0;  // 0: no sum
  };
  struct alignas(64) Page {
    std::array<Cell, kPageCells> cells;
  };
  struct Sum {
    std::uint32_t steady = 0, rest = 0;  // places
    Cell cell;
  };
  using SteadyNumbers = std::array<std::uint32_t, kMostSteady + 1>;  // the time's first
  using RestNumbers = std::array<std::uint32_t, kMostOther>;
  using PageTable = KeyTable<2>;  // by the steady place and the rest's place / kPageCells
  // A page that rows of one stretch go to.
  struct Visit {
    PageTable::Key key;
    std::uint64_t hash = 0;
    std::size_t page = 0;
  };
  struct LastVisit {
    std::uint64_t stretch = 0;
    std::uint32_t visit = 0;
  };

  template <class Keys, class Numbers>
  static std::uint32_t place(Keys& keys, const Numbers& numbers) {
    return static_cast<std::uint32_t>(keys.place_of(typename Keys::Key(numbers)));
  }
  std::size_t page_of(const PageTable::Key& key, std::uint64_t hash) {
    const std::size_t page = page_table_.place_of(key, hash);
    if (page == pages_.size()) pages_.emplace_back();
    return page;
  }

  template <class F>
  void each(F&& f) const {
    for (std::size_t page = 0; page < pages_.size(); ++page) {
      const auto& key = page_table_.keys()[page];
      for (std::uint32_t i = 0; i < kPageCells; ++i) {
        const Cell& cell = pages_[page].cells[i];
        if (cell.rows != 0) f(Sum{key[0], key[1] * static_cast<std::uint32_t>(kPageCells) + i, cell});
      }
    }
    for (const Sum& s : full_) f(s);
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
      varies_[d] = !c.constant;
      if (d >= spec.steady && varies_[d]) known = std::min(known * numbers_[d].size(), kMostKnown + 1);
    }
    last_visit_.resize(rest_.size() / kPageCells + 1);
    known_.assign(known <= kMostKnown ? known : 0, kUnknown);
  }

  std::uint32_t number_at(std::size_t d, std::size_t row) const {
    return number_of(numbers_[d], codes_[d][row]);
  }

  // Which rows of the chunk differ from the row before in a steady dimension.
  void mark_changes(std::size_t from, std::size_t rows) {
    std::fill_n(changes_.begin(), rows, std::uint8_t{0});
    const std::size_t first = from == 0 ? 1 : 0;
    for (std::size_t d = 0; d < spec.steady; ++d) {
      if (!varies_[d]) continue;
      const std::uint32_t* const codes = codes_[d] + from;
      for (std::size_t i = first; i < rows; ++i) changes_[i] |= codes[i] != codes[i - 1];
    }
  }

  void find_steady(std::size_t row, std::int64_t window, std::int64_t t) {
    if (!has_last_ || !in_step(window, last_.window_ns) || !in_step(t, last_.bucket_ns)) {
      last_ = {floor_to_step(window, step_ns), floor_to_step(t, step_ns)};
      last_number_ = time_number(last_);
      has_last_ = true;
    }
    SteadyNumbers numbers{last_number_};
    for (std::size_t d = 0; d < spec.steady; ++d) numbers[d + 1] = number_at(d, row);
    steady_place_ = place(steady_, numbers);
  }

  std::uint32_t rest_at(std::size_t row) {
    std::size_t combination = 0;
    for (std::size_t d = spec.steady; d < spec.dimensions.size(); ++d) {
      if (!varies_[d]) continue;
      combination =
          combination * numbers_[d].size() + std::min<std::size_t>(codes_[d][row], numbers_[d].size() - 1);
    }
    if (!known_.empty() && known_[combination] != kUnknown) return known_[combination];
    RestNumbers numbers{};
    for (std::size_t d = spec.steady; d < spec.dimensions.size(); ++d)
      numbers[d - spec.steady] = number_at(d, row);
    const std::uint32_t at = place(rest_, numbers);
    if (!known_.empty()) known_[combination] = at;
    last_visit_.resize(rest_.size() / kPageCells + 1);
    return at;
  }

  // Each row's page, as the number of a visit, and sum in it.
  void find_visits(std::size_t from, std::size_t rows, const std::int64_t* window, const std::int64_t* t) {
    mark_changes(from, rows);
    visits_.clear();
    ++stretch_;
    for (std::size_t i = 0; i < rows; ++i) {
      const std::size_t row = from + i;
      const bool same = has_last_ && changes_[i] == 0 && in_step(window[row], last_.window_ns) &&
                        in_step(t[row], last_.bucket_ns);
      if (!same) {
        find_steady(row, window[row], t[row]);
        ++stretch_;
      }
      rest_of_[i] = rest_at(row);
      const auto part = static_cast<std::uint32_t>(rest_of_[i] / kPageCells);
      LastVisit& last = last_visit_[part];
      if (last.stretch != stretch_) {
        last = {stretch_, static_cast<std::uint32_t>(visits_.size())};
        const PageTable::Key key({steady_place_, part});
        visits_.push_back({key, key.hash(), 0});
        page_table_.fetch_slot(visits_.back().hash);
      }
      visit_of_[i] = last.visit;
    }
  }

  void find_pages() {
    for (const Visit& v : visits_) {
      const std::size_t page = page_table_.fetch_key(v.hash);
      if (page != pages_.size()) {
        for (std::size_t i = 0; i < kPageCells; i += 64 / sizeof(Cell))
          __builtin_prefetch(&pages_[page].cells[i], 1);
      }
    }
    for (Visit& v : visits_) v.page = page_of(v.key, v.hash);
  }

  void add_sum(const Sum& s) {
    const PageTable::Key key({s.steady, static_cast<std::uint32_t>(s.rest / kPageCells)});
    add_to(page_of(key, key.hash()), s.rest, s.cell.energy_uj, s.cell.rows);
  }
  void add_to(std::size_t page, std::uint32_t rest, std::int64_t energy, std::uint64_t rows) {
    Cell& cell = pages_[page].cells[rest % kPageCells];
    if (cell.rows == 0) ++used_;
    if (__builtin_add_overflow(cell.energy_uj, energy, &cell.energy_uj)) [[unlikely]] {
      // Taken back; the sum so far becomes a row of its own.
      (void)__builtin_sub_overflow(cell.energy_uj, energy, &cell.energy_uj);
      full_.push_back({page_table_.keys()[page][0], rest, cell});
      cell = {energy, 0};
    }
    cell.rows += rows;
  }

  std::uint32_t time_of(const Sum& s) const { return steady_.keys()[s.steady][0]; }
  std::uint32_t number_of_sum(const Sum& s, std::size_t d) const {
    return d < spec.steady ? steady_.keys()[s.steady][d + 1] : rest_.keys()[s.rest][d - spec.steady];
  }

  std::vector<Sum> sorted() const {
    std::vector<std::vector<std::uint32_t>> ranks;
    for (const auto& t : texts_) ranks.push_back(ranks_of(*t));
    const auto time_ranks = ranks_of_times();
    __extension__ typedef unsigned __int128 Wide;
    struct Place {
      Wide key;
      Sum sum;
    };
    std::vector<Place> places;
    places.reserve(rows());
    const auto width = [](std::size_t n) { return static_cast<unsigned>(std::bit_width(n)); };
    unsigned bits = width(times_.size());
    for (const auto& r : ranks) bits += width(r.size());
    PJ_CHECK(bits <= 128);
    each([&](const Sum& s) {
      Wide packed = 0;
      for (std::size_t d = 0; d < ranks.size(); ++d)
        packed = packed << width(ranks[d].size()) | ranks[d][number_of_sum(s, d)];
      places.push_back({packed << width(times_.size()) | time_ranks[time_of(s)], s});
    });
    std::stable_sort(places.begin(), places.end(),
                     [](const Place& a, const Place& b) { return a.key < b.key; });
    std::vector<Sum> sums;
    sums.reserve(places.size());
    for (const Place& p : places) sums.push_back(p.sum);
    return sums;
  }

  std::vector<std::uint32_t> ranks_of_times() const {
    std::vector<std::uint32_t> rank(times_.size());
    std::uint32_t n = 0;
    for (const auto& [time, number] : number_of_time_) rank[number] = n++;
    return rank;
  }

  void fill(std::span<const Sum> sums, Batch& batch) const {
    const std::size_t dims = texts_.size();
    auto& columns = batch.columns;
    for (const std::size_t i : {std::size_t{0}, std::size_t{1}, std::size_t{2}, dims + 3, dims + 4}) {
      columns[i].type = ColumnType::kInt64;
      columns[i].ints.resize(sums.size());
    }
    for (std::size_t d = 0; d < dims; ++d) begin_texts(*texts_[d], sums.size(), columns[d + 3]);
    for (std::size_t i = 0; i < sums.size(); ++i) {
      const Sum& s = sums[i];
      columns[0].ints[i] = times_[time_of(s)].window_ns;
      columns[1].ints[i] = times_[time_of(s)].bucket_ns;
      columns[2].ints[i] = step_ns;
      for (std::size_t d = 0; d < dims; ++d) columns[d + 3].codes[i] = code_of(number_of_sum(s, d));
      columns[dims + 3].ints[i] = s.cell.energy_uj;
      columns[dims + 4].ints[i] = static_cast<std::int64_t>(s.cell.rows);
    }
  }

  std::vector<std::unique_ptr<base::SymbolTable>> texts_;
  std::vector<Times> times_;
  std::map<Times, std::uint32_t> number_of_time_;
  KeyTable<kMostSteady + 1> steady_;
  KeyTable<kMostOther> rest_;
  PageTable page_table_;
  std::vector<Page> pages_;  // by the place in page_table_
  std::size_t used_ = 0;     // cells that are sums
  std::vector<Sum> full_;
  // Of the batch and the chunk being added.
  std::array<std::vector<std::uint32_t>, kMostSteady + kMostOther> numbers_;
  std::array<const std::uint32_t*, kMostSteady + kMostOther> codes_{};
  std::array<bool, kMostSteady + kMostOther> varies_{};
  std::vector<std::uint32_t> known_;  // place in rest_ by combination of the codes that vary
  std::array<std::uint8_t, kChunk> changes_;
  std::array<std::uint32_t, kChunk> visit_of_, rest_of_;
  std::vector<Visit> visits_;
  std::vector<LastVisit> last_visit_ = std::vector<LastVisit>(1);  // of the stretch, by the page's rest
  std::uint64_t stretch_ = 0;
  bool has_last_ = false;
  Times last_;
  std::uint32_t last_number_ = 0, steady_place_ = 0;
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
std::size_t RollupSums::bytes() const { return impl_->bytes(); }
base::Status RollupSums::for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const {
  return impl_->for_each_batch(batch_rows, on_batch);
}

}  // namespace perjoule::bus
