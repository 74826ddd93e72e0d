// Rollups beside a slow twin that looks at each row; extreme numbers, sums beyond 64 bits, rollups of
// rollups.
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

// Both times rounded down to the step.
Totals totals_of(const Batch& batch, const RollupSpec& spec, Table table, std::int64_t step) {
  const TableSchema& schema = schema_of(table);
  const auto column = [&](std::string_view name) -> const Column& {
    return batch.columns[schema.find(name)];
  };
  const bool raw = table == Table::kJoules;
  Totals out;
  for (std::size_t i = 0; i < batch.rows; ++i) {
    const std::int64_t t = column(raw ? "t1_ns" : "bucket_ns").ints[i];
    Key key{std::to_string(slow_floor(column("window_ns").ints[i], step)),
            std::to_string(slow_floor(t, step))};
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
  EXPECT_TRUE(sums.for_each_batch(batch_rows,
                                  [&](const Batch& b) {
                                    EXPECT_LE(b.rows, batch_rows);
                                    for (const auto step : b.columns[2].ints) EXPECT_EQ(step, sums.step_ns());
                                    rows += b.rows;
                                    merge_into(out,
                                               totals_of(b, sums.spec(), sums.spec().table, sums.step_ns()));
                                    return base::ok_status();
                                  })
                  .ok());
  EXPECT_EQ(rows, sums.rows());
  return out;
}

TEST(Rollup, EqualsTheSumOfItsRows) {
  for (const bool near : {false, true}) {
    for (const RollupSpec& spec : rollup_specs()) {
      for (const std::int64_t step : kRollupSteps) {
        RollupSums sums(spec, step);
        Totals expected;
        for (std::uint64_t seed = 1; seed <= 3; ++seed) {
          base::SymbolTable symbols;
          const Batch batch = joules_of(symbols, seed, 500, near);
          sums.add(batch);
          merge_into(expected, totals_of(batch, spec, Table::kJoules, step));
        }
        EXPECT_GE(sums.rows(), expected.size());
        EXPECT_EQ(first_difference(read(sums, 300), expected), "") << schema_of(spec.table).name;
      }
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
    ASSERT_TRUE(
        in_parts.for_each_batch(100, [&](const Batch& b) { return again.add_sums(b), base::ok_status(); })
            .ok());
    EXPECT_EQ(first_difference(read(in_parts, 64), read(at_once, 1000)), "");
    EXPECT_EQ(first_difference(read(again, 1000), read(at_once, 1000)), "");
    again.clear(kRollupSteps[0]);
    EXPECT_EQ(again.rows(), 0U);
  }
}

TEST(Rollup, ACoarserStepIsTheSameAsOneFromTheStart) {
  for (const RollupSpec& spec : rollup_specs()) {
    for (const std::int64_t step : kRollupSteps) {
      RollupSums coarsened(spec), from_start(spec, step), fine(spec), taken(spec, step);
      for (std::uint64_t seed = 1; seed <= 4; ++seed) {
        base::SymbolTable symbols;
        const Batch batch = joules_of(symbols, seed, 500, seed % 2 == 0);
        coarsened.add(batch);
        from_start.add(batch);
        fine.add(batch);
        if (seed == 2) coarsened.coarsen(step);
      }
      taken.take(fine);
      EXPECT_EQ(first_difference(read(coarsened, 1000), read(from_start, 1000)), "");
      EXPECT_EQ(first_difference(read(taken, 1000), read(from_start, 1000)), "");
      EXPECT_EQ(taken.step_ns(), step);
    }
  }
}

TEST(Rollup, StepsAreOfTheCalendar) {
  for (const std::int64_t step : kRollupSteps) {
    for (const std::int64_t t : {INT64_MIN, INT64_MIN + 1, std::int64_t{-1}, std::int64_t{0}, std::int64_t{1},
                                 step - 1, step, -step, -step - 1, INT64_MAX}) {
      EXPECT_EQ(floor_to_step(t, step), slow_floor(t, step)) << t;
      const std::int64_t up = ceil_to_step(t, step);
      EXPECT_GE(up, t);
      EXPECT_TRUE(up % step == 0 || up == INT64_MAX) << t;
      EXPECT_TRUE(up == t || floor_to_step(up - 1, step) <= t) << t;
    }
  }
  EXPECT_EQ(coarser_step(kRollupSteps[0]), kRollupSteps[1]);
  EXPECT_EQ(coarser_step(kRollupSteps.back()), 0);
}

// Rows that are all different: no step makes few sums of them.
TEST(Rollup, LeavesOutSumsThatStandForTooFewRows) {
  base::SymbolTable symbols;
  constexpr std::size_t kRows = 40'000;
  TableBuilder builder(Table::kJoules, symbols, kRows);
  for (std::size_t i = 0; i < kRows; ++i) {
    energy::JouleRow row;
    row.t1_ns = static_cast<std::int64_t>(i) * 100'000'000;  // over an hour and more
    row.consumer.kernel = symbols.intern("kernel" + std::to_string(i));
    row.device = symbols.intern("gpu");
    builder.append(row);
  }
  RollupSet set, other;
  const Batch batch = builder.take();
  set.add(batch);
  other.add(batch);
  EXPECT_TRUE(set.has(2));
  set.condense(4, 100);
  EXPECT_TRUE(set.has(0));
  EXPECT_FALSE(set.has(2));
  EXPECT_EQ(set.sums(2).rows(), 0U);
  other.take(set);
  EXPECT_EQ(other.joule_rows(), 2 * kRows);
  EXPECT_TRUE(other.has(1));
  EXPECT_FALSE(other.has(2));
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
    EXPECT_TRUE(read(sums, 10) == totals_of(batch, spec, Table::kJoules, kRollupSteps[0]));
  }
}

TEST(Rollup, IsSortedByItsDimensionsThenByTime) {
  base::SymbolTable symbols;
  const Batch batch = joules_of(symbols, 9, 2000, true);
  for (const RollupSpec& spec : rollup_specs()) {
    RollupSums sums(spec);
    sums.add(batch);
    std::vector<std::vector<std::string>> keys;
    ASSERT_TRUE(sums.for_each_batch(100'000,
                                    [&](const Batch& b) {
                                      for (std::size_t i = 0; i < b.rows; ++i) {
                                        auto& key = keys.emplace_back();
                                        for (std::size_t d = 0; d < spec.dimensions.size(); ++d) {
                                          const Column& c = b.columns[d + 3];
                                          key.push_back(c.is_null(i) ? "\x7f" : std::string(c.text(i)));
                                        }
                                      }
                                      return base::ok_status();
                                    })
                    .ok());
    EXPECT_TRUE(std::is_sorted(keys.begin(), keys.end()));
  }
}

using Last =
    std::map<std::pair<std::string, std::string>, std::tuple<std::int64_t, std::uint64_t, std::string>>;

void keep_newest(const Batch& b, Last& last) {
  for (std::size_t i = 0; i < b.rows; ++i) {
    const std::tuple reading{b.columns[0].ints[i], std::bit_cast<std::uint64_t>(b.columns[3].doubles[i]),
                             std::string(b.columns[4].text(i))};
    const std::pair key{std::string(b.columns[1].text(i)), std::string(b.columns[2].text(i))};
    const auto [it, fresh] = last.try_emplace(key, reading);
    const auto as_reading = [](const auto& r) {
      return Reading{std::get<0>(r), std::bit_cast<double>(std::get<1>(r)), std::get<2>(r)};
    };
    if (!fresh && as_reading(reading).is_newer_than(as_reading(it->second))) it->second = reading;
  }
}

TEST(Rollup, AmongReadingsOfOneTimeTheOrderDoesNotMatter) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<Reading> oldest_first{{1, 9.0, "measured"}, {2, nan, "missing"},   {2, -1.0, "measured"},
                                          {2, -0.0, "derived"}, {2, 0.0, "simulated"}, {2, 0.0, "measured"},
                                          {2, 7.0, "derived"},  {3, nan, "missing"}};
  for (std::size_t a = 0; a < oldest_first.size(); ++a) {
    for (std::size_t b = 0; b < oldest_first.size(); ++b)
      EXPECT_EQ(oldest_first[a].is_newer_than(oldest_first[b]), a > b) << a << " " << b;
  }
}

// Devices with signals of their own would need a cell for each pair.
TEST(Rollup, ReadingsOfTooManyDevicesAndSignalsAreFull) {
  base::SymbolTable symbols;
  constexpr std::size_t kRows = 5'000;
  TableBuilder builder(Table::kSamples, symbols, kRows);
  for (std::size_t i = 0; i < kRows; ++i) {
    energy::SampleRow row;
    row.device = symbols.intern("d" + std::to_string(i));
    row.signal = symbols.intern("s" + std::to_string(i));
    builder.append(row);
  }
  LastReadings readings;
  readings.add(builder.take());
  EXPECT_TRUE(readings.is_full());
  EXPECT_LT(readings.size(), kRows);
  readings.clear();
  EXPECT_FALSE(readings.is_full());
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
    part.take(in_parts);
    in_parts = std::move(part);
  }
  for (const LastReadings* readings : {&all, &in_parts}) {
    Last found;
    ASSERT_TRUE(
        readings->for_each_batch(97, [&](const Batch& b) { return keep_newest(b, found), base::ok_status(); })
            .ok());
    EXPECT_TRUE(found == expected);
    EXPECT_EQ(readings->size(), expected.size());
  }
}

}  // namespace
}  // namespace perjoule::bus
