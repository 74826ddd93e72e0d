#include "base/symbol.hpp"

namespace perjoule::base {

SymbolTable::SymbolTable() {
  texts_.emplace_back();
  index_.emplace(texts_.front(), 0U);
}

Symbol SymbolTable::intern(std::string_view text) {
  if (const auto it = index_.find(text); it != index_.end()) return {it->second};
  const auto id = static_cast<std::uint32_t>(texts_.size());
  texts_.emplace_back(text);
  index_.emplace(texts_.back(), id);
  return {id};
}

Symbol SymbolTable::find(std::string_view text) const {
  const auto it = index_.find(text);
  return it == index_.end() ? Symbol{} : Symbol{it->second};
}

}  // namespace perjoule::base
