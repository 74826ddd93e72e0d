// The merge against a slow obvious one: every row there once, rows of a key together, in order of arrival.
#include "bus/block_merge.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/rng.hpp"
#include "bus/span_chain.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {
namespace {

std::string row_text(const Batch& b, std::size_t row) {
  std::string out;
  for (const Column& c : b.columns) {
    if (c.is_null(row)) {
      out += "NULL";
    } else if (c.type == ColumnType::kText) {
      out += c.text(row);
    } else if (c.type == ColumnType::kInt64) {
      out += std::to_string(c.ints[row]);
    } else if (c.type == ColumnType::kDouble) {
      out += std::to_string(c.doubles[row]);
    } else {
      out += c.bools[row] != 0 ? "yes" : "no";
    }
    out += '|';
  }
  return out;
}

struct Source {
  base::Rng rng;
  base::SymbolTable symbols;
  std::int64_t time = 1'000'000;
  std::uint64_t number = 0;

  explicit Source(std::uint64_t seed) : rng(seed) {}
  std::uint64_t below(std::uint64_t n) { return rng.next() % n; }
  base::Symbol name(const char* before, std::uint64_t n) {
    const auto i = below(n + 1);
    return i == n ? base::Symbol{} : symbols.intern(before + std::to_string(i));
  }

  std::string joules(std::size_t rows, bool constant_request) {
    TableBuilder builder(Table::kJoules, symbols, rows);
    const base::Symbol one = name("req", 5);
    const bool same_meter = below(2) == 0;
    for (std::size_t i = 0; i < rows; ++i) {
      energy::JouleRow row;
      row.t1_ns = time += static_cast<std::int64_t>(below(1000));
      row.t0_ns = row.t1_ns - 100;
      row.window_ns = row.t1_ns / 5000 * 5000;
      row.device = name("gpu", 4);
      row.meter = same_meter ? row.device : name("gpu", 4);
      row.energy_uj = static_cast<std::int64_t>(number++);
      row.consumer.request = constant_request ? one : name("req", 9);
      row.consumer.tenant = name("t", 2);
      row.source = symbols.intern("s");
      builder.append(row);
    }
    const auto n = static_cast<std::uint64_t>(time);
    return encode_block(Table::kJoules, builder.take(), {"s", n - 1, n, n}).value();
  }
  std::string samples(std::size_t rows) {
    TableBuilder builder(Table::kSamples, symbols, rows);
    for (std::size_t i = 0; i < rows; ++i) {
      energy::SampleRow row;
      row.t_ns = time += static_cast<std::int64_t>(below(1000));
      row.device = name("gpu", 7);
      row.signal = name("signal", 3);
      row.value = static_cast<double>(number++);
      row.source = symbols.intern("s");
      builder.append(row);
    }
    const auto n = static_cast<std::uint64_t>(time);
    return encode_block(Table::kSamples, builder.take(), {"s", n - 1, n, n}).value();
  }
};

// What the rows of one group share: the request, else the device.
std::string key_of(Table table, const Batch& b, std::size_t row) {
  const TableSchema& schema = schema_of(table);
  const Column& device = b.columns[schema.find("device")];
  const std::string by_device = device.is_null(row) ? "none" : "device " + std::string(device.text(row));
  if (table == Table::kSamples) return by_device;
  const Column& request = b.columns[schema.find("request")];
  return request.is_null(row) ? by_device : "request " + std::string(request.text(row));
}

void expect_merged(Table table, BlockMerge& merge, const std::vector<std::string>& blocks,
                   std::size_t batch_rows) {
  merge.clear();
  std::map<std::string, std::vector<std::string>> expected, found;
  for (const auto& bytes : blocks) {
    const auto view = BlockView::open(bytes, "b");
    ASSERT_TRUE(merge.add(*view).ok());
    const Batch all = *view->read_all();
    for (std::size_t i = 0; i < all.rows; ++i) expected[key_of(table, all, i)].push_back(row_text(all, i));
  }
  std::set<std::string> closed;
  std::string open;
  const auto done = merge.for_each_batch(batch_rows, [&](const Batch& b) {
    EXPECT_LE(b.rows, batch_rows);
    for (std::size_t c = 0; c < b.columns.size(); ++c) {
      const Column& column = b.columns[c];
      for (std::size_t i = 1; i < column.order.size(); ++i)
        EXPECT_LT(column.dictionary[column.order[i - 1]], column.dictionary[column.order[i]]);
      if (column.repeats) {
        EXPECT_EQ(column.codes, b.columns[c - 1].codes);
      }
    }
    for (std::size_t i = 0; i < b.rows; ++i) {
      const std::string key = key_of(table, b, i);
      if (key != open) {
        EXPECT_TRUE(closed.insert(key).second) << key << " comes in two places";
        open = key;
      }
      found[key].push_back(row_text(b, i));
    }
    return base::ok_status();
  });
  ASSERT_TRUE(done.ok());
  EXPECT_EQ(found, expected);
}

TEST(BlockMerge, RowsOfAKeyComeTogetherInOrderOfArrival) {
  BlockMerge joules(Table::kJoules), samples(Table::kSamples);
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    Source source(seed);
    std::vector<std::string> j, s;
    for (std::uint64_t b = 1 + source.below(5); b-- > 0;) {
      j.push_back(source.joules(1 + source.below(80), source.below(3) == 0));
      s.push_back(source.samples(1 + source.below(80)));
    }
    expect_merged(Table::kJoules, joules, j, 1 + source.below(100));
    expect_merged(Table::kSamples, samples, s, 1 + source.below(100));
    if (HasFatalFailure() || HasNonfatalFailure()) FAIL() << "seed " << seed;
  }
}

TEST(SpanChain, NextIsTheEarliestThatBeginsAfterTheStep) {
  const std::vector<TimeSpan> spans{{0, 10}, {5, 20}, {12, 30}, {11, 13}, {24, 25}};
  EXPECT_EQ(chain_of(spans, 2), (std::vector<std::uint32_t>{0, 2, 1, 4, 3}));
  EXPECT_EQ(chain_of(spans, -5), (std::vector<std::uint32_t>{0, 3, 4, 1, 2}));
  EXPECT_TRUE(chain_of({}, 1).empty());
}

TEST(SpanChain, EverySpanOnceWhateverTheTimes) {
  base::Rng rng(3);
  for (int round = 0; round < 200; ++round) {
    std::vector<TimeSpan> spans(rng.next() % 50);
    for (auto& s : spans) {
      s.first = static_cast<std::int64_t>(rng.next() >> (rng.next() % 64));
      s.last = static_cast<std::int64_t>(rng.next() >> (rng.next() % 64));
    }
    auto order = chain_of(spans, static_cast<std::int64_t>(rng.next()));
    std::sort(order.begin(), order.end());
    ASSERT_EQ(order.size(), spans.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) ASSERT_EQ(order[i], i);
  }
}

// run, epoch and step are all NULL in the first block, so each is stored as the one before; then one of them
// is not.
TEST(BlockMerge, AChainOfColumnsThatRepeatPartsAnywhere) {
  BlockMerge merge(Table::kJoules);
  for (int round = 0; round < 2; ++round) {  // with memory of the round before
    for (int parts = 0; parts < 8; ++parts) {
      merge.clear();
      std::multiset<std::string> expected, found;
      base::SymbolTable symbols;
      for (std::uint64_t n = 1; n <= 3; ++n) {
        TableBuilder builder(Table::kJoules, symbols, 2);
        for (int i = 0; i < 2; ++i) {
          energy::JouleRow row;
          row.t1_ns = static_cast<std::int64_t>(n) * 10 + i;
          const auto text = [&](int bit) {
            return n == 2 && (parts & bit) != 0 ? symbols.intern("x" + std::to_string(bit + round))
                                                : base::Symbol{};
          };
          row.consumer.run = text(1), row.consumer.epoch = text(2), row.consumer.step = text(4);
          builder.append(row);
        }
        const std::string bytes = encode_block(Table::kJoules, builder.take(), {"s", n - 1, n, n}).value();
        const auto view = BlockView::open(bytes, "b").value();
        const Batch batch = view.read_all().value();
        for (std::size_t i = 0; i < batch.rows; ++i) expected.insert(row_text(batch, i));
        ASSERT_TRUE(merge.add(view).ok());
      }
      ASSERT_TRUE(merge
                      .for_each_batch(100,
                                      [&](const Batch& b) {
                                        for (std::size_t i = 0; i < b.rows; ++i) found.insert(row_text(b, i));
                                        return base::ok_status();
                                      })
                      .ok());
      EXPECT_EQ(found, expected) << "round " << round << ", parts " << parts;
    }
  }
}

}  // namespace
}  // namespace perjoule::bus
