// Blocks for the tests of wire: samples of eight devices, a real number each.
// Thread rule: any thread. Ownership: values.
#pragma once

#include <string>
#include <string_view>

#include "base/symbol.hpp"
#include "bus/block.hpp"
#include "wire/numbering.hpp"

namespace perjoule::wire::testing {

inline energy::SampleRow sample(base::SymbolTable& symbols, std::uint64_t seq) {
  energy::SampleRow row;
  row.t_ns = static_cast<std::int64_t>(1'000'000'000 + seq * 7919 % 1'000'003);
  row.device = symbols.intern("gpu" + std::to_string(seq % 8));
  row.signal = symbols.intern("power");
  row.value = static_cast<double>(seq) / 7.0;  // not a decimal: eight bytes each
  row.quality = energy::Quality::kMeasured;
  row.seq = static_cast<std::int64_t>(seq);
  return row;
}

// `rows` samples whose seq is 1, 2, ...
inline std::string block_of(std::string_view source, const Numbers& numbers, std::size_t rows) {
  base::SymbolTable symbols;
  bus::TableBuilder builder(bus::Table::kSamples, symbols, rows);
  for (std::size_t i = 0; i < rows; ++i) builder.append(sample(symbols, i + 1));
  return bus::encode_block(bus::Table::kSamples, builder.take(),
                           {source, numbers.after, numbers.first, numbers.last})
      .value();
}

}  // namespace perjoule::wire::testing
