// Interned text: an identifier costs four bytes in a row and is compared as a number.
// Symbol 0 is the empty text and means "absent" (NULL in the store).
// Thread rule: intern() from one thread; text() from any thread while nobody interns.
// Ownership: the table owns the characters; string_views stay valid for its life, also while others are
// interned.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

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
  // A run names millions of requests and decisions once each, so the index is one flat table, probed in line
  // and compared by hash first; the characters lie in blocks that never move.
  struct Place {
    std::uint32_t hash = 0, id = 0;  // id 0: free
  };
  static std::uint32_t hash_of(std::string_view text);
  // Where the text is, or the free place where it belongs.
  std::size_t place_of(std::string_view text, std::uint32_t hash) const;
  std::string_view keep(std::string_view text);
  void grow();

  std::vector<std::string_view> texts_;
  std::vector<Place> places_;  // a power of two of them, at most two thirds taken
  std::vector<std::unique_ptr<char[]>> blocks_;
  char* free_ = nullptr;
  std::size_t free_bytes_ = 0;
};

}  // namespace perjoule::base
