// Texts by numbers that several batches share: from a batch's codes to numbers and back to columns. 0 is
// NULL. Internal to the bus. Thread rule: pure functions on what they are given.
#pragma once

#include <algorithm>
#include <cstdint>
#include <numeric>
#include <string_view>
#include <vector>

#include "base/symbol.hpp"
#include "bus/columns.hpp"
#include "bus/text_order.hpp"

namespace perjoule::bus {

// numbers[code] of a batch's dictionary; the last entry, for NULL, is 0.
inline void number_texts(const Column& column, base::SymbolTable& texts,
                         std::vector<std::uint32_t>& numbers) {
  numbers.clear();
  for (const auto text : column.dictionary) numbers.push_back(texts.intern(text).id);
  numbers.push_back(0);
}

inline std::uint32_t number_of(const std::vector<std::uint32_t>& numbers, std::uint32_t code) {
  return numbers[std::min<std::size_t>(code, numbers.size() - 1)];
}

// rank[number]: where its text stands among all; NULL, number 0, last.
inline std::vector<std::uint32_t> ranks_of(const base::SymbolTable& texts) {
  std::vector<std::string_view> all;
  for (std::uint32_t i = 1; i < texts.size(); ++i) all.push_back(texts.text({i}));
  std::vector<std::uint32_t> order(all.size()), rank(all.size() + 1);
  std::iota(order.begin(), order.end(), 0U);
  sort_by_text(all, order);
  for (std::uint32_t i = 0; i < order.size(); ++i) rank[order[i] + 1] = i;
  rank[0] = static_cast<std::uint32_t>(order.size());
  return rank;
}

inline void begin_texts(const base::SymbolTable& texts, std::size_t rows, Column& out) {
  out.type = ColumnType::kText;
  out.codes.resize(rows);
  if (!out.dictionary.empty()) return;
  for (std::uint32_t i = 1; i < texts.size(); ++i) out.dictionary.push_back(texts.text({i}));
}
// Of a number: number 0, NULL, becomes kNullCode.
constexpr std::uint32_t code_of(std::uint32_t number) { return number - 1; }
static_assert(code_of(0) == kNullCode);

}  // namespace perjoule::bus
