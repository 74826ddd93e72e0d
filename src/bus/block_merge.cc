#include "bus/block_merge.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <numeric>

#include "base/assert.hpp"
#include "base/symbol.hpp"
#include "bus/span_chain.hpp"
#include "bus/text_order.hpp"

namespace perjoule::bus {
namespace {

// A run's key: a text of the key column; of the other one, with this bit; or NULL in both.
constexpr std::uint32_t kOther = std::uint32_t{1} << 31;
// Texts that stay known from one merge to the next.
constexpr std::uint32_t kKeptTexts = 1 << 16;

// place[order[i]] = i.
std::vector<std::uint32_t> places_in(const std::vector<std::uint32_t>& order) {
  std::vector<std::uint32_t> place(order.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  return place;
}

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Runs lie all over it: large pages spare the processor most of its look-ups of where a page is.
void* large_memory(std::size_t bytes) {
  constexpr std::size_t kLargePage = std::size_t{2} << 20;
  if (bytes < kLargePage) {
    void* const small = std::malloc(bytes);
    PJ_CHECK(small != nullptr);
    return small;
  }
  const std::size_t whole = (bytes + kLargePage - 1) / kLargePage * kLargePage;
  void* const memory = std::aligned_alloc(kLargePage, whole);
  PJ_CHECK(memory != nullptr);
  // Advice: without large pages it works all the same.
  (void)::madvise(memory, whole, MADV_HUGEPAGE);
  return memory;
}

// Values behind one another, in memory that is kept and not filled with zeros. A little more of it than
// values, for copies in steps.
template <class T>
class Values {
 public:
  static constexpr std::size_t kStep = 32 / sizeof(T);

  bool empty() const { return size_ == 0; }
  const T* data() const { return values_.get(); }
  void clear() { size_ = 0; }
  // Room for `n` more, to be written by the caller.
  T* extend(std::size_t n) {
    if (size_ + n + kStep > room_) grow(size_ + n + kStep);
    T* const at = values_.get() + size_;
    size_ += n;
    return at;
  }

 private:
  void grow(std::size_t wanted) {
    std::size_t room = std::max<std::size_t>(2 * room_, kMaxBlockRows);
    while (room < wanted) room *= 2;
    std::unique_ptr<T[], Free> values(static_cast<T*>(large_memory(room * sizeof(T))));
    if (size_ != 0) std::memcpy(values.get(), values_.get(), size_ * sizeof(T));
    // What lies behind the values is copied too, though never used.
    std::memset(static_cast<void*>(values.get() + size_), 0, (room - size_) * sizeof(T));
    values_ = std::move(values);
    room_ = room;
  }

  std::unique_ptr<T[], Free> values_;
  std::size_t size_ = 0, room_ = 0;
};

// Runs are short: copied in steps of 32 bytes, of which the last may write more than the run, where the next
// one follows.
template <class T>
void copy_run(const T* from, std::size_t n, T* to, const T* end) {
  constexpr std::size_t kStep = Values<T>::kStep, kShort = 16 * kStep;
  if (n > kShort || static_cast<std::size_t>(end - to) < n + kStep) {
    std::memcpy(to, from, n * sizeof(T));
    return;
  }
  for (std::size_t i = 0; i < n; i += kStep) std::memcpy(to + i, from + i, kStep * sizeof(T));
}

}  // namespace

// One column of all blocks. Kept as one value as long as all rows have the same one.
class BlockMerge::Lane {
 public:
  void clear(const ColumnSpec& spec) {
    type_ = first_.type = spec.type;
    ints_.clear();
    doubles_.clear();
    bools_.clear();
    codes_.clear();
    valid_.clear();
    constant_ = true;
    repeats_ = false;
    // Names come again and again; a request does not.
    const bool keep = texts_ != nullptr && !spec.bloom && dictionary_.size() < kKeptTexts;
    if (type_ != ColumnType::kText || keep) return;
    texts_ = std::make_unique<base::SymbolTable>();
    dictionary_.clear();
    order_.clear();
  }

  // All rows so far are those of the lane before, and stored only there.
  bool repeats() const { return repeats_; }
  void may_repeat() { repeats_ = true; }
  // Of the next rows that is not so: takes the first `rows` from there.
  void part_from(const Lane& before, std::size_t rows) {
    repeats_ = false;
    if (rows == 0) return;
    Column names;
    names.dictionary = before.dictionary_;
    const std::uint32_t* const map = codes_of(names).data();
    const auto null = static_cast<std::uint32_t>(names.dictionary.size());
    first_.codes.assign(1, map[std::min(before.first_.codes[0], null)]);
    constant_ = before.constant_;
    if (constant_) return;
    std::uint32_t* const to = codes_.extend(rows);
    for (std::size_t i = 0; i < rows; ++i) to[i] = map[std::min(before.codes_.data()[i], null)];
  }
  const std::vector<std::string_view>& dictionary() const { return dictionary_; }
  // Places in the dictionary in the order of their texts.
  const std::vector<std::uint32_t>& order() {
    if (order_.size() == dictionary_.size()) return order_;
    order_.resize(dictionary_.size());
    std::iota(order_.begin(), order_.end(), 0U);
    sort_by_text(dictionary_, order_);
    return order_;
  }
  // The values of an int64 column; nullptr if all rows have the same.
  const std::int64_t* ints() const { return constant_ ? nullptr : ints_.data(); }

  // This lane's code of each of the column's texts, and of NULL behind them.
  const std::vector<std::uint32_t>& codes_of(const Column& c) {
    code_of_.resize(c.dictionary.size() + 1);
    for (std::size_t i = 0; i < c.dictionary.size(); ++i) code_of_[i] = code_of(c.dictionary[i]);
    code_of_.back() = kNullCode;
    return code_of_;
  }

  // `rows` times the one row of `c`.
  void add_constant(const Column& c, std::size_t before, std::size_t rows) {
    const Column one = one_row(c);
    if (before == 0) first_ = one;
    if (constant_ && same(first_, one)) return;
    become_varying(before);
    spread(one, rows);
    if (!valid_.empty()) std::fill_n(valid_.extend(rows), rows, std::uint8_t{1});
  }

  // The rows of `c` in this order; nullptr: as they are.
  void add(const Column& c, std::size_t before, std::size_t rows, const std::uint16_t* order) {
    if (before == 0) first_ = one_row(c);
    become_varying(before);
    append(c.ints, order, ints_);
    append(c.doubles, order, doubles_);
    append(c.bools, order, bools_);
    if (!c.valid.empty() && valid_.empty()) std::fill_n(valid_.extend(before), before, std::uint8_t{1});
    if (!c.valid.empty()) {
      append(c.valid, order, valid_);
    } else if (!valid_.empty()) {
      std::fill_n(valid_.extend(rows), rows, std::uint8_t{1});
    }
    if (type_ == ColumnType::kText) append_codes(c, order);
  }

  void fill(const std::vector<Run>& runs, std::size_t rows, Column& out) const {
    name(out);
    if (constant_) return fill_constant(rows, out);
    out.constant = false;
    const auto pick = [&](const auto& all, auto& into) {
      if (all.empty()) return into.clear();
      into.resize(rows);
      copy_runs(all.data(), runs, into.data(), into.data() + rows);
    };
    pick(ints_, out.ints);
    pick(doubles_, out.doubles);
    pick(bools_, out.bools);
    pick(codes_, out.codes);
    pick(valid_, out.valid);
  }
  // Of the column that runs have their keys from.
  void fill_keys(const std::vector<Run>& runs, std::size_t rows, Column& out) const {
    name(out);
    out.constant = false;
    out.codes.resize(rows);
    std::uint32_t* to = out.codes.data();
    for (const Run& run : runs) to = std::fill_n(to, run.count, run.key < kOther ? run.key : kNullCode);
  }

 private:
  void name(Column& out) const {
    out.type = type_;
    out.dictionary = dictionary_;
    out.order = order_;
    out.repeats = false;
  }

  // Nothing to write where the batch before had as many rows of the same value.
  void fill_constant(std::size_t rows, Column& out) const {
    const auto fill = [&](const auto& one, auto& into) {
      if (one.empty()) return into.clear();
      const bool filled =
          out.constant && !into.empty() && std::memcmp(into.data(), one.data(), sizeof one[0]) == 0;
      if (!filled) into.clear();
      into.resize(rows, one[0]);
    };
    fill(first_.ints, out.ints);
    fill(first_.doubles, out.doubles);
    fill(first_.bools, out.bools);
    fill(first_.codes, out.codes);
    fill(first_.valid, out.valid);
    out.constant = true;
  }

  // Runs lie anywhere, and are too short for the processor to foresee the next one.
  template <class T>
  static void copy_runs(const T* all, const std::vector<Run>& runs, T* to, const T* end) {
    constexpr std::size_t kAhead = 8, kLine = 64;
    for (std::size_t i = 0; i < runs.size(); ++i) {
      if (i + kAhead < runs.size()) {
        const auto* const next = reinterpret_cast<const char*>(all + runs[i + kAhead].from);
        for (std::size_t line = 0; line < 3; ++line) __builtin_prefetch(next + line * kLine);
      }
      copy_run(all + runs[i].from, runs[i].count, to, end);
      to += runs[i].count;
    }
  }

  void become_varying(std::size_t rows) {
    if (constant_) spread(first_, rows);
    constant_ = false;
  }

  // The first row of a block's column; its text in this lane's own dictionary.
  Column one_row(const Column& c) {
    Column one;
    one.type = c.type;
    if (!c.ints.empty()) one.ints.assign(1, c.ints[0]);
    if (!c.doubles.empty()) one.doubles.assign(1, c.doubles[0]);
    if (!c.bools.empty()) one.bools.assign(1, c.bools[0]);
    if (!c.valid.empty()) one.valid.assign(1, c.valid[0]);
    if (!c.codes.empty())
      one.codes.assign(1, c.codes[0] == kNullCode ? kNullCode : code_of(c.dictionary[c.codes[0]]));
    return one;
  }
  static bool same(const Column& a, const Column& b) {
    const bool doubles = a.doubles.empty() || std::bit_cast<std::uint64_t>(a.doubles[0]) ==
                                                  std::bit_cast<std::uint64_t>(b.doubles[0]);
    return a.ints == b.ints && a.bools == b.bools && a.codes == b.codes && a.valid == b.valid && doubles;
  }

  std::uint32_t code_of(std::string_view text) {
    const std::uint32_t code = texts_->intern(text).id - 1;
    if (code == dictionary_.size()) dictionary_.push_back(texts_->text({code + 1}));
    return code;
  }

  // `rows` more times this row. Its mark of NULL is the caller's.
  void spread(const Column& one, std::size_t rows) {
    const auto fill = [&](const auto& from, auto& all) {
      if (!from.empty()) std::fill_n(all.extend(rows), rows, from[0]);
    };
    fill(one.ints, ints_);
    fill(one.doubles, doubles_);
    fill(one.bools, bools_);
    fill(one.codes, codes_);
  }

  template <class T>
  static void append(const std::vector<T>& from, const std::uint16_t* order, Values<T>& all) {
    if (from.empty()) return;
    T* const to = all.extend(from.size());
    if (order == nullptr) {
      std::memcpy(to, from.data(), from.size() * sizeof(T));
    } else {
      for (std::size_t i = 0; i < from.size(); ++i) to[i] = from[order[i]];
    }
  }
  void append_codes(const Column& c, const std::uint16_t* order) {
    const std::uint32_t* const map = codes_of(c).data();
    const auto null = static_cast<std::uint32_t>(c.dictionary.size());
    std::uint32_t* const to = codes_.extend(c.codes.size());
    if (order == nullptr) {
      for (std::size_t i = 0; i < c.codes.size(); ++i) to[i] = map[std::min(c.codes[i], null)];
    } else {
      for (std::size_t i = 0; i < c.codes.size(); ++i) to[i] = map[std::min(c.codes[order[i]], null)];
    }
  }

  ColumnType type_ = ColumnType::kInt64;
  bool constant_ = true, repeats_ = false;
  Column first_;  // the constant: one row
  // Empty while it is constant.
  Values<std::int64_t> ints_;
  Values<double> doubles_;
  Values<std::uint8_t> bools_, valid_;
  Values<std::uint32_t> codes_;
  std::unique_ptr<base::SymbolTable> texts_;
  std::vector<std::string_view> dictionary_;
  std::vector<std::uint32_t> order_, code_of_;
};

BlockMerge::BlockMerge(Table table) : table_(table), lanes_(schema_of(table).columns.size()) {
  const TableSchema& schema = schema_of(table);
  key_ = other_ = time_ = lanes_.size();
  other_names_ = std::make_unique<Lane>();
  if (table == Table::kJoules) {
    key_ = schema.find("request");
    other_ = schema.find("device");
    time_ = schema.find("t1_ns");
  } else if (table == Table::kSamples) {
    key_ = schema.find("device");
  } else if (table == Table::kMeters) {
    key_ = schema.find("meter");
  }
  clear();
}
BlockMerge::~BlockMerge() = default;

void BlockMerge::clear() {
  rows_ = 0;
  runs_.clear();
  const auto& columns = schema_of(table_).columns;
  const auto is_text = [&](std::size_t i) { return i != key_ && columns[i].type == ColumnType::kText; };
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    lanes_[i].clear(columns[i]);
    if (i != 0 && is_text(i) && is_text(i - 1)) lanes_[i].may_repeat();
  }
  if (other_ != lanes_.size()) other_names_->clear(columns[other_]);
}

base::Status BlockMerge::add(const BlockView& block) {
  PJ_CHECK(block.table() == table_);
  const bool has_key = key_ != lanes_.size();
  if (has_key) PJ_TRY(read_keys(block));
  if (!has_key)
    runs_.push_back({static_cast<std::uint32_t>(rows_), static_cast<std::uint32_t>(block.rows()), 0});
  const std::uint16_t* const order = has_key && !is_sorted_ ? order_.data() : nullptr;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (i == key_) continue;  // runs have it
    if (lanes_[i].repeats()) {
      if (block.repeats_previous(i)) continue;
      // The lane before may itself be stored further back.
      std::size_t stored = i - 1;
      while (lanes_[stored].repeats()) --stored;
      lanes_[i].part_from(lanes_[stored], rows_);
    }
    if (block.is_constant(i)) {
      PJ_TRY(block.read_constant(i, column_, scratch_));
      lanes_[i].add_constant(column_, rows_, block.rows());
    } else {
      PJ_TRY(block.read_column(i, column_, scratch_));
      lanes_[i].add(column_, rows_, block.rows(), order);
    }
  }
  rows_ += block.rows();
  return base::ok_status();
}

// Each row's key as a number: a text of the key column, behind those of the other one, behind them NULL.
base::Status BlockMerge::read_keys(const BlockView& block) {
  PJ_TRY(block.read_column(key_, key_column_, scratch_));
  const auto texts = static_cast<std::uint32_t>(key_column_.dictionary.size());
  const auto& codes = key_column_.codes;
  other_column_.dictionary.clear();
  const bool null = std::find(codes.begin(), codes.end(), kNullCode) != codes.end();
  const bool other = null && other_ != lanes_.size();
  if (other) PJ_TRY(block.read_column(other_, other_column_, scratch_));
  const auto all = texts + static_cast<std::uint32_t>(other_column_.dictionary.size());
  keys_.resize(codes.size());
  if (other) {
    for (std::size_t i = 0; i < codes.size(); ++i)
      keys_[i] = codes[i] != kNullCode ? codes[i] : texts + std::min(other_column_.codes[i], all - texts);
  } else {
    for (std::size_t i = 0; i < codes.size(); ++i) keys_[i] = std::min(codes[i], all);
  }
  starts_.assign(all + 2, 0);
  sort_block(codes.size());
  // starts_[k] is now where the rows of key k end.
  const auto& code = lanes_[key_].codes_of(key_column_);
  std::uint32_t from = 0;
  const auto add_run = [&](std::uint32_t k, std::uint32_t key) {
    const std::uint32_t to = starts_[k];
    if (to != from) runs_.push_back({static_cast<std::uint32_t>(rows_) + from, to - from, key});
    from = to;
  };
  for (std::uint32_t k = 0; k < texts; ++k) add_run(k, code[k]);
  if (other) {
    const auto& other_code = other_names_->codes_of(other_column_);
    for (std::uint32_t k = texts; k < all; ++k) add_run(k, kOther | other_code[k - texts]);
  }
  add_run(all, kNullCode);
  return base::ok_status();
}

// Rows by their key, those of one key as they came, into order_; starts_[k] becomes the end of key k.
void BlockMerge::sort_block(std::size_t rows) {
  std::uint32_t* const next = starts_.data();
  bool sorted = true;
  std::uint32_t before = 0;
  for (const auto k : keys_) {
    ++next[k + 1];
    sorted = sorted && k >= before;
    before = k;
  }
  for (std::size_t k = 1; k < starts_.size(); ++k) next[k] += next[k - 1];
  is_sorted_ = sorted;
  if (sorted) {
    std::copy(starts_.begin() + 1, starts_.end(), starts_.begin());
    return;
  }
  order_.resize(rows);
  for (std::size_t i = 0; i < rows; ++i) order_[next[keys_[i]]++] = static_cast<std::uint16_t>(i);
}

// How far apart two events of one request are: one tenth of a sample is nearer.
std::int64_t BlockMerge::usual_step(const std::int64_t* times) const {
  constexpr std::size_t kSample = 1024;
  std::vector<std::int64_t> steps;
  for (const Run& run : runs_) {
    if (run.count < 2 || run.key >= kOther) continue;
    steps.push_back(static_cast<std::int64_t>(static_cast<std::uint64_t>(times[run.from + 1]) -
                                              static_cast<std::uint64_t>(times[run.from])));
    if (steps.size() == kSample) break;
  }
  if (steps.empty()) return 0;
  const auto tenth = steps.begin() + static_cast<std::ptrdiff_t>(steps.size() / 10);
  std::nth_element(steps.begin(), tenth, steps.end());
  return *tenth;
}

// Requests in their chain; those that begin together by name.
std::vector<std::uint32_t> BlockMerge::requests_in_order() {
  const auto& by_name = lanes_[key_].order();
  const std::int64_t* const times = lanes_[time_].ints();
  if (times == nullptr) return by_name;
  std::vector<TimeSpan> span_of(by_name.size()), spans;
  std::vector<std::uint8_t> has_begun(by_name.size(), 0);
  for (const Run& run : runs_) {
    if (run.key >= kOther) continue;
    TimeSpan& span = span_of[run.key];
    if (has_begun[run.key] == 0) span.first = times[run.from];
    has_begun[run.key] = 1;
    span.last = times[run.from + run.count - 1];
  }
  for (const auto r : by_name) spans.push_back(span_of[r]);
  auto order = chain_of(spans, usual_step(times));
  for (auto& r : order) r = by_name[r];
  return order;
}

// By key: texts of the key column, of the other one, NULL.
std::vector<std::uint32_t> BlockMerge::place_of_keys() {
  auto place = places_in(table_ == Table::kJoules ? requests_in_order() : lanes_[key_].order());
  const auto texts = static_cast<std::uint32_t>(place.size());
  if (other_ != lanes_.size()) {
    for (const auto p : places_in(other_names_->order())) place.push_back(texts + p);
  }
  place.push_back(static_cast<std::uint32_t>(place.size()));
  return place;
}

// Stable: runs of one key stay in the order of arrival.
void BlockMerge::sort_runs() {
  const auto place = place_of_keys();
  const auto texts = static_cast<std::uint32_t>(lanes_[key_].dictionary().size());
  const auto place_of = [&](std::uint32_t key) {
    return key < kOther ? place[key] : key == kNullCode ? place.back() : place[texts + (key & ~kOther)];
  };
  std::vector<std::uint32_t> next(place.size() + 1, 0);
  for (const Run& run : runs_) ++next[place_of(run.key) + 1];
  for (std::size_t p = 1; p < next.size(); ++p) next[p] += next[p - 1];
  std::vector<Run> sorted(runs_.size());
  for (const Run& run : runs_) sorted[next[place_of(run.key)]++] = run;
  runs_ = std::move(sorted);
}

void BlockMerge::fill_batch(const std::vector<Run>& runs, std::size_t rows) {
  batch_.rows = rows;
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (i == key_) {
      lanes_[i].fill_keys(runs, rows, batch_.columns[i]);
    } else if (lanes_[i].repeats()) {
      batch_.columns[i] = batch_.columns[i - 1];
      batch_.columns[i].repeats = true;
    } else {
      lanes_[i].fill(runs, rows, batch_.columns[i]);
    }
  }
}

base::Status BlockMerge::for_each_batch(std::size_t batch_rows,
                                        const std::function<base::Status(const Batch&)>& on_batch) {
  if (key_ != lanes_.size()) sort_runs();
  batch_.columns.resize(lanes_.size());
  for (Lane& lane : lanes_) lane.order();
  std::vector<Run> runs;
  std::size_t rows = 0;
  for (Run run : runs_) {
    while (run.count != 0) {
      const auto part = static_cast<std::uint32_t>(std::min<std::size_t>(run.count, batch_rows - rows));
      runs.push_back({run.from, part, run.key});
      rows += part;
      run.from += part;
      run.count -= part;
      if (rows < batch_rows) continue;
      fill_batch(runs, rows);
      PJ_TRY(on_batch(batch_));
      runs.clear();
      rows = 0;
    }
  }
  if (rows == 0) return base::ok_status();
  fill_batch(runs, rows);
  return on_batch(batch_);
}

}  // namespace perjoule::bus
