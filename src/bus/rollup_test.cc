// Rollups beside a slow twin that looks at each row; extreme numbers, sums beyond 64 bits, rollups of rollups.
#include "bus/rollup.hpp"

#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "bus/query_kernels.hpp"
#include "bus/test_rows.hpp"

namespace perjoule::bus {
namespace {

using Key = std::vector<std::string>;  // window, bucket, dimensions
using Totals = std::map<Key, std::pair<WideInt, std::uint64_t>>;

std::int64_t slow_floor(std::int64_t t, std::int64_t step) {
  const WideInt wide = t;
  WideInt steps = wide / step;
  if (steps * step > wide) --steps;
  return fits_int64(steps * step) ? static_cast<std::int64_t>(steps * step) : INT64_MIN;
}

Totals totals_of(const Batch& batch, const RollupSpec& spec, Table table) {
  const TableSchema& schema = schema_of(table);
  const auto column = [&](std::string_view name) -> const Column& { return batch.columns[schema.find(name)]; };
  const bool raw = table == Table::kJoules;
  Totals out;
  for (std::size_t i = 0; i < batch.rows; ++i) {
    const std::int64_t t = column(raw ? "t1_ns" : "bucket_ns").ints[i];
    Key key{std::to_string(column("window_ns").ints[i]), std::to_string(slow_floor(t, spec.step_ns))};
    for (const auto name : spec.dimensions)
      key.push_back(column(name).is_null(i) ? "NULL" : "=" + std::string(column(name).text(i)));
    auto& [sum, rows] = out[key];
    sum += column("energy_uj").ints[i];
    rows += raw ? 1U : static_cast<std::uint64_t>(column("rows").ints[i]);
  }
  return out;
}

std::string first_difference(const Totals& a, const Totals& b) {
  const auto text = [](const Totals::value_type& row) {
    std::string out;
    for (const auto& part : row.first) out += part + " ";
    return out + std::to_string(static_cast<double>(row.second.first)) + " of " +
           std::to_string(row.second.second);
  };
  auto one = a.begin(), other = b.begin();
  for (; one != a.end() && other != b.end() && *one == *other; ++one) ++other;
  if (one == a.end() && other == b.end()) return {};
  return (one == a.end() ? "end" : text(*one)) + " | " + (other == b.end() ? "end" : text(*other));
}

void merge_into(Totals& all, const Totals& more) {
  for (const auto& [key, cell] : more) {
    all[key].first += cell.first;
    all[key].second += cell.second;
  }
}

Batch joules_of(base::SymbolTable& symbols, std::uint64_t seed, std::size_t rows, bool near) {
  testing::RowMaker make(symbols, seed);
  TableBuilder builder(Table::kJoules, symbols, rows);
  for (std::size_t i = 0; i < rows; ++i) {
    energy::JouleRow row = make.joule();
    if (near) {
      row.window_ns = static_cast<std::int64_t>(make.below(4)) * 30'000'000'000;
      row.t1_ns = row.window_ns - static_cast<std::int64_t>(make.below(60'000'000'000));
    }
    builder.append(row);
  }
  return builder.take();
}

Totals read(const RollupSums& sums, std::size_t batch_rows) {
  Totals out;
  std::size_t rows = 0;
  EXPECT_TRUE(sums.for_each_batch(batch_rows, [&](const Batch& b) {
                    EXPECT_LE(b.rows, batch_rows);
                    rows += b.rows;
                    merge_into(out, totals_of(b, sums.spec(), sums.spec().table));
                    return base::ok_status();
                  }).ok());
  EXPECT_EQ(rows, sums.rows());
  return out;
}

TEST(Rollup, EqualsTheSumOfItsRows) {
  for (const bool near : {false, true}) {
    for (const RollupSpec& spec : rollup_specs()) {
      RollupSums sums(spec);
      Totals expected;
      for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        base::SymbolTable symbols;
        const Batch batch = joules_of(symbols, seed, 1000, near);
        sums.add(batch);
        merge_into(expected, totals_of(batch, spec, Table::kJoules));
      }
      EXPECT_GE(sums.rows(), expected.size());
      EXPECT_EQ(first_difference(read(sums, 300), expected), "") << schema_of(spec.table).name;
    }
  }
}

TEST(Rollup, AddsUpInAnyGrouping) {
  for (const RollupSpec& spec : rollup_specs()) {
    RollupSums at_once(spec), in_parts(spec), again(spec);
    for (std::uint64_t seed = 1; seed <= 4; ++seed) {
      base::SymbolTable symbols;
      const Batch batch = joules_of(symbols, seed, 500, true);
      RollupSums part(spec);
      at_once.add(batch);
      part.add(batch);
      in_parts.take(part);
    }
    ASSERT_TRUE(in_parts.for_each_batch(100, [&](const Batch& b) {
                          return again.add_sums(b), base::ok_status();
                        }).ok());
    EXPECT_EQ(first_difference(read(in_parts, 64), read(at_once, 1000)), "");
    EXPECT_EQ(first_difference(read(again, 1000), read(at_once, 1000)), "");
    again.clear();
    EXPECT_EQ(again.rows(), 0U);
  }
}

TEST(Rollup, KeepsASumBeyond64Bits) {
  base::SymbolTable symbols;
  TableBuilder builder(Table::kJoules, symbols, 5);
  for (const std::int64_t uj : {INT64_MAX, INT64_MAX, std::int64_t{-5}, INT64_MAX, std::int64_t{7}}) {
    energy::JouleRow row;
    row.energy_uj = uj;
    builder.append(row);
  }
  const Batch batch = builder.take();
  for (const RollupSpec& spec : rollup_specs()) {
    RollupSums sums(spec);
    sums.add(batch);
    EXPECT_GT(sums.rows(), 1U);
    EXPECT_EQ(read(sums, 10), totals_of(batch, spec, Table::kJoules));
  }
}

TEST(Rollup, IsSortedByItsDimensionsThenByTime) {
  base::SymbolTable symbols;
  const Batch batch = joules_of(symbols, 9, 2000, true);
  for (const RollupSpec& spec : rollup_specs()) {
    RollupSums sums(spec);
    sums.add(batch);
    std::vector<std::vector<std::string>> keys;
    ASSERT_TRUE(sums.for_each_batch(100'000, [&](const Batch& b) {
                      for (std::size_t i = 0; i < b.rows; ++i) {
                        auto& key = keys.emplace_back();
                        for (std::size_t d = 0; d < spec.dimensions.size(); ++d) {
                          const Column& c = b.columns[d + 2];
                          key.push_back(c.is_null(i) ? "\x7f" : std::string(c.text(i)));
                        }
                      }
                      return base::ok_status();
                    }).ok());
    EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  }
}

using Last = std::map<std::pair<std::string, std::string>, std::tuple<std::int64_t, std::uint64_t, std::string>>;

void keep_newest(const Batch& b, Last& last) {
  for (std::size_t i = 0; i < b.rows; ++i) {
    const std::tuple reading{b.columns[0].ints[i], std::bit_cast<std::uint64_t>(b.columns[3].doubles[i]),
                             std::string(b.columns[4].text(i))};
    const std::pair key{std::string(b.columns[1].text(i)), std::string(b.columns[2].text(i))};
    const auto [it, fresh] = last.try_emplace(key, reading);
    if (!fresh && std::get<0>(reading) > std::get<0>(it->second)) it->second = reading;
  }
}

TEST(Rollup, KeepsTheNewestReadings) {
  LastReadings all, in_parts;
  Last expected;
  for (std::uint64_t seed = 1; seed <= 5; ++seed) {
    base::SymbolTable symbols;
    testing::RowMaker make(symbols, seed);
    TableBuilder builder(Table::kSamples, symbols, 800);
    for (int i = 0; i < 800; ++i) builder.append(make.sample());
    const Batch batch = builder.take();
    keep_newest(batch, expected);
    all.add(batch);
    LastReadings part;
    part.add(batch);
    in_parts.take(part);
  }
  for (const LastReadings* readings : {&all, &in_parts}) {
    Last found;
    ASSERT_TRUE(readings->for_each_batch(97, [&](const Batch& b) {
                          return keep_newest(b, found), base::ok_status();
                        }).ok());
    EXPECT_TRUE(found == expected);
    EXPECT_EQ(readings->size(), expected.size());
  }
}

}  // namespace
}  // namespace perjoule::bus
