// Interned text: an identifier costs four bytes in a row and is compared as a number.
// Symbol 0 is the empty text and means "absent" (NULL in the store).
// Thread rule: intern() from one thread; text() from any thread while nobody interns.
// Ownership: the table owns the characters; string_views stay valid for its life.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <unordered_map>

namespace perjoule::base {

struct Symbol {
  std::uint32_t id = 0;
  constexpr bool empty() const { return id == 0; }
  constexpr bool operator==(const Symbol&) const = default;
  constexpr auto operator<=>(const Symbol&) const = default;
};

class SymbolTable {
 public:
  SymbolTable();
  SymbolTable(const SymbolTable&) = delete;
  SymbolTable& operator=(const SymbolTable&) = delete;

  Symbol intern(std::string_view text);
  // The symbol if it is known, else Symbol 0.
  Symbol find(std::string_view text) const;
  std::string_view text(Symbol s) const { return texts_[s.id]; }
  std::uint32_t size() const { return static_cast<std::uint32_t>(texts_.size()); }

 private:
  std::deque<std::string> texts_;
  std::unordered_map<std::string_view, std::uint32_t> index_;
};

}  // namespace perjoule::base
