#include "bus/block_merge.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/assert.hpp"
#include "bus/text_order.hpp"

namespace perjoule::bus {
namespace {

std::size_t column_of(Table table, std::string_view name) {
  const std::size_t i = schema_of(table).find(name);
  PJ_CHECK(i < schema_of(table).columns.size());
  return i;
}

// Stable: rows of one place keep their order.
void sort_by(const std::vector<std::uint32_t>& place_of, std::size_t places,
             std::vector<std::uint32_t>& order) {
  std::vector<std::uint32_t> next(places + 1, 0);
  for (const auto p : place_of) ++next[p + 1];
  for (std::size_t p = 1; p < next.size(); ++p) next[p] += next[p - 1];
  std::vector<std::uint32_t> sorted(order.size());
  for (const auto row : order) sorted[next[place_of[row]]++] = row;
  order = std::move(sorted);
}

// place[i]: where text i stands among all of them.
std::vector<std::uint32_t> places_of(const std::vector<std::string_view>& texts) {
  std::vector<std::uint32_t> order(texts.size()), place(texts.size());
  std::iota(order.begin(), order.end(), 0U);
  sort_by_text(texts, order);
  for (std::uint32_t i = 0; i < order.size(); ++i) place[order[i]] = i;
  return place;
}

}  // namespace

// One column of all blocks. Kept as one value as long as all rows have the same one.
struct BlockMerge::Lane {
  Column values;  // vectors are empty while `constant`
  bool constant = true;
  Column first;  // the constant: one row
  std::unique_ptr<base::SymbolTable> texts;

  void clear(ColumnType type) {
    values.type = first.type = type;
    for (Column* c : {&values, &first}) {
      c->ints.clear();
      c->doubles.clear();
      c->bools.clear();
      c->codes.clear();
      c->valid.clear();
    }
    values.dictionary.clear();
    constant = true;
    texts = type == ColumnType::kText ? std::make_unique<base::SymbolTable>() : nullptr;
  }

  // `rows` times the one row of `c`.
  void add_constant(const Column& c, std::size_t before, std::size_t rows) {
    const Column one = one_row(c);
    if (before == 0) first = one;
    if (constant && same(first, one)) return;
    become_varying(before);
    const auto fill = [&](const auto& from, auto& all) {
      if (!from.empty()) all.resize(before + rows, from[0]);
    };
    fill(one.ints, values.ints);
    fill(one.doubles, values.doubles);
    fill(one.bools, values.bools);
    fill(one.codes, values.codes);
    if (!values.valid.empty()) values.valid.resize(before + rows, 1);
  }

  void add(const Column& c, std::size_t before, std::size_t rows) {
    if (before == 0) first = one_row(c);
    become_varying(before);
    append(c, before, rows);
  }

  void gather(const std::uint32_t* order, std::size_t rows, Column& out) const {
    out.type = values.type;
    out.dictionary = values.dictionary;
    const Column& from = constant ? first : values;
    const auto pick = [&](const auto& all, auto& into) {
      if (all.empty()) return into.clear();
      into.resize(rows);
      if (constant) return std::fill(into.begin(), into.end(), all[0]);
      for (std::size_t i = 0; i < rows; ++i) into[i] = all[order[i]];
    };
    pick(from.ints, out.ints);
    pick(from.doubles, out.doubles);
    pick(from.bools, out.bools);
    pick(from.codes, out.codes);
    pick(from.valid, out.valid);
  }

 private:
  void become_varying(std::size_t rows) {
    if (constant) spread(rows);
    constant = false;
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
    const std::uint32_t code = texts->intern(text).id - 1;
    if (code == values.dictionary.size()) values.dictionary.push_back(texts->text({code + 1}));
    return code;
  }

  // The constant as `rows` rows.
  void spread(std::size_t rows) {
    const auto fill = [&](const auto& one, auto& all) {
      if (!one.empty()) all.assign(rows, one[0]);
    };
    fill(first.ints, values.ints);
    fill(first.doubles, values.doubles);
    fill(first.bools, values.bools);
    fill(first.codes, values.codes);
    fill(first.valid, values.valid);
  }

  void append(const Column& c, std::size_t before, std::size_t rows) {
    values.ints.insert(values.ints.end(), c.ints.begin(), c.ints.end());
    values.doubles.insert(values.doubles.end(), c.doubles.begin(), c.doubles.end());
    values.bools.insert(values.bools.end(), c.bools.begin(), c.bools.end());
    if (!c.valid.empty() && values.valid.empty()) values.valid.assign(before, 1);
    if (!c.valid.empty()) values.valid.insert(values.valid.end(), c.valid.begin(), c.valid.end());
    if (c.valid.empty() && !values.valid.empty()) values.valid.resize(before + rows, 1);
    if (c.type == ColumnType::kText) append_codes(c);
  }
  void append_codes(const Column& c) {
    std::vector<std::uint32_t> code(c.dictionary.size());
    for (std::size_t i = 0; i < code.size(); ++i) code[i] = code_of(c.dictionary[i]);
    const std::size_t at = values.codes.size();
    values.codes.resize(at + c.codes.size());
    for (std::size_t i = 0; i < c.codes.size(); ++i)
      values.codes[at + i] = c.codes[i] == kNullCode ? kNullCode : code[c.codes[i]];
  }
};

BlockMerge::BlockMerge(Table table) : table_(table), lanes_(schema_of(table).columns.size()) { clear(); }
BlockMerge::~BlockMerge() = default;

void BlockMerge::clear() {
  rows_ = 0;
  for (std::size_t i = 0; i < lanes_.size(); ++i) lanes_[i].clear(schema_of(table_).columns[i].type);
}

base::Status BlockMerge::add(const BlockView& block) {
  PJ_CHECK(block.table() == table_);
  for (std::size_t i = 0; i < lanes_.size(); ++i) {
    if (block.is_constant(i)) {
      PJ_TRY(block.read_constant(i, column_, scratch_));
      lanes_[i].add_constant(column_, rows_, block.rows());
    } else {
      PJ_TRY(block.read_column(i, column_, scratch_));
      lanes_[i].add(column_, rows_, block.rows());
    }
  }
  rows_ += block.rows();
  return base::ok_status();
}

std::vector<std::uint32_t> BlockMerge::ranks_of(std::size_t column, std::size_t& places) const {
  const Lane& lane = lanes_[column];
  const auto place = places_of(lane.values.dictionary);
  places = place.size() + 1;
  const auto null = static_cast<std::uint32_t>(place.size());
  std::vector<std::uint32_t> out(rows_);
  for (std::size_t i = 0; i < rows_; ++i) {
    const std::uint32_t code = lane.constant ? lane.first.codes[0] : lane.values.codes[i];
    out[i] = code == kNullCode ? null : place[code];
  }
  return out;
}

// A request has one tenant and one model, so the first row of each request says where all of them go.
BlockMerge::Order BlockMerge::by_consumer() const {
  std::size_t tenants = 0, models = 0, requests = 0, devices = 0;
  const auto request = ranks_of(column_of(table_, "request"), requests);
  const auto tenant = ranks_of(column_of(table_, "tenant"), tenants);
  const auto model = ranks_of(column_of(table_, "model"), models);
  const auto device = ranks_of(column_of(table_, "device"), devices);
  std::vector<std::uint64_t> group(requests, UINT64_MAX);
  for (std::size_t i = 0; i < rows_; ++i) {
    std::uint64_t& g = group[request[i]];
    if (g == UINT64_MAX) g = (std::uint64_t{tenant[i]} << 32) | model[i];
  }
  std::vector<std::uint32_t> requests_in_order(requests - 1), place(requests);
  std::iota(requests_in_order.begin(), requests_in_order.end(), 0U);
  std::stable_sort(requests_in_order.begin(), requests_in_order.end(),
                   [&](auto a, auto b) { return group[a] < group[b]; });
  for (std::uint32_t i = 0; i < requests_in_order.size(); ++i) place[requests_in_order[i]] = i;
  std::vector<std::uint32_t> key(rows_);
  const auto null = static_cast<std::uint32_t>(requests - 1);
  for (std::size_t i = 0; i < rows_; ++i) key[i] = request[i] == null ? null + device[i] : place[request[i]];
  Order order(rows_);
  std::iota(order.begin(), order.end(), 0U);
  sort_by(key, requests + devices, order);
  return order;
}

BlockMerge::Order BlockMerge::sorted_order() const {
  if (table_ == Table::kJoules) return by_consumer();
  Order order(rows_);
  std::iota(order.begin(), order.end(), 0U);
  const auto pass = [&](std::string_view column) {
    std::size_t places = 0;
    const auto ranks = ranks_of(column_of(table_, column), places);
    sort_by(ranks, places, order);
  };
  if (table_ == Table::kSamples) pass("signal"), pass("device");
  if (table_ == Table::kMeters) pass("meter");
  return order;
}

base::Status BlockMerge::for_each_batch(std::size_t batch_rows,
                                        const std::function<base::Status(const Batch&)>& on_batch) {
  const Order order = sorted_order();
  Batch& batch = batch_;
  batch.columns.resize(lanes_.size());
  for (std::size_t from = 0; from < rows_; from += batch_rows) {
    batch.rows = std::min(batch_rows, rows_ - from);
    for (std::size_t i = 0; i < lanes_.size(); ++i)
      lanes_[i].gather(order.data() + from, batch.rows, batch.columns[i]);
    PJ_TRY(on_batch(batch));
  }
  return base::ok_status();
}

}  // namespace perjoule::bus
