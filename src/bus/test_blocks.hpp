// Small blocks for tests of engine and readers. Block `number` of a
// source has kRowsPerBlock rows that carry its number, and figures made of it. Thread rule: pure functions.
// Ownership: values.
#pragma once

#include <string>

#include "bus/block.hpp"

namespace perjoule::bus::testing {

inline constexpr std::size_t kRowsPerBlock = 5;

inline std::string block_of(TableBuilder& builder, Table table, const std::string& source,
                            std::uint64_t number) {
  return encode_block(table, builder.take(), {source, number - 1, number, number}).value();
}

// Windows of 1,000 ns; the meters' sum of a window is that of its joules.
inline std::string joule_block(const std::string& source, std::uint64_t number) {
  base::SymbolTable symbols;
  TableBuilder builder(Table::kJoules, symbols, kRowsPerBlock);
  const auto n = static_cast<std::int64_t>(number);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(kRowsPerBlock); ++i) {
    energy::JouleRow row;
    row.window_ns = n * 1000;
    row.t0_ns = n * 1000 + i;
    row.t1_ns = row.t0_ns + 10;
    row.meter = row.device = symbols.intern("gpu" + std::to_string(i));
    row.energy_uj = n * 100 + i;
    row.consumer.request = symbols.intern("req" + std::to_string(number % 3));
    row.source = symbols.intern(source);
    row.seq = n;
    builder.append(row);
  }
  return block_of(builder, Table::kJoules, source, number);
}

inline std::string meter_block(const std::string& source, std::uint64_t number) {
  base::SymbolTable symbols;
  TableBuilder builder(Table::kMeters, symbols, kRowsPerBlock);
  const auto n = static_cast<std::int64_t>(number);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(kRowsPerBlock); ++i) {
    energy::MeterRow row;
    row.window_ns = row.t0_ns = n * 1000;
    row.t1_ns = n * 1000 + 1000;
    row.meter = row.device = symbols.intern("gpu" + std::to_string(i));
    row.energy_uj = n * 100 + i;
    row.source = symbols.intern(source);
    builder.append(row);
  }
  return block_of(builder, Table::kMeters, source, number);
}

inline std::string sample_block(const std::string& source, std::uint64_t number) {
  base::SymbolTable symbols;
  TableBuilder builder(Table::kSamples, symbols, kRowsPerBlock);
  const auto n = static_cast<std::int64_t>(number);
  for (std::int64_t i = 0; i < static_cast<std::int64_t>(kRowsPerBlock); ++i) {
    energy::SampleRow row;
    row.t_ns = n * 1000 + i;
    row.device = symbols.intern("gpu" + std::to_string(i));
    row.signal = symbols.intern("power");
    row.value = static_cast<double>(number) + 0.25;
    row.source = symbols.intern(source);
    row.seq = n;
    builder.append(row);
  }
  return block_of(builder, Table::kSamples, source, number);
}

}  // namespace perjoule::bus::testing
