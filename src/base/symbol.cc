#include "base/symbol.hpp"

#include <algorithm>
#include <cstring>
#include <functional>

#include "base/assert.hpp"

namespace perjoule::base {
namespace {

constexpr std::size_t kFirstPlaces = 1024;
constexpr std::size_t kBlockBytes = std::size_t{1} << 16;

}  // namespace

SymbolTable::SymbolTable() : texts_(1), places_(kFirstPlaces) {}

std::uint32_t SymbolTable::hash_of(std::string_view text) {
  const std::uint64_t hash = std::hash<std::string_view>{}(text);
  return static_cast<std::uint32_t>(hash ^ hash >> 32);
}

std::size_t SymbolTable::place_of(std::string_view text, std::uint32_t hash) const {
  const std::size_t mask = places_.size() - 1;
  std::size_t at = hash & mask;
  while (places_[at].id != 0 && (places_[at].hash != hash || texts_[places_[at].id] != text)) {
    at = (at + 1) & mask;
  }
  return at;
}

Symbol SymbolTable::intern(std::string_view text) {
  if (text.empty()) return {};
  const std::uint32_t hash = hash_of(text);
  std::size_t at = place_of(text, hash);
  if (places_[at].id != 0) return {places_[at].id};
  if (texts_.size() * 3 > places_.size() * 2) {
    grow();
    at = place_of(text, hash);
  }
  PJ_CHECK(texts_.size() < UINT32_MAX);
  const std::uint32_t id = size();
  texts_.push_back(keep(text));
  places_[at] = {hash, id};
  return {id};
}

Symbol SymbolTable::find(std::string_view text) const {
  return text.empty() ? Symbol{} : Symbol{places_[place_of(text, hash_of(text))].id};
}

std::string_view SymbolTable::keep(std::string_view text) {
  if (text.size() > free_bytes_) {
    free_bytes_ = std::max(kBlockBytes, text.size());
    blocks_.push_back(std::make_unique_for_overwrite<char[]>(free_bytes_));
    free_ = blocks_.back().get();
  }
  char* const at = free_;
  std::memcpy(at, text.data(), text.size());
  free_ += text.size();
  free_bytes_ -= text.size();
  return {at, text.size()};
}

void SymbolTable::grow() {
  std::vector<Place> old(places_.size() * 2);
  old.swap(places_);
  const std::size_t mask = places_.size() - 1;
  for (const Place& place : old) {
    if (place.id == 0) continue;
    std::size_t at = place.hash & mask;
    while (places_[at].id != 0) at = (at + 1) & mask;
    places_[at] = place;
  }
}

}  // namespace perjoule::base
