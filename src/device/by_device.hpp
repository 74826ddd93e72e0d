// Finds the signals of a source or the controls of an actuator by device and name without a walk over all of
// them: a hall has tens of thousands. Thread rule: one thread while adding, then any. Ownership: the names'
// characters belong to the descriptors' owner.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "base/symbol.hpp"

namespace perjoule::device {

class ByDevice {
 public:
  // False if the device has one of that name already.
  bool add(base::Symbol device, std::string_view name, std::uint32_t index) {
    return index_.try_emplace(Key{device, name}, index).second;
  }
  std::optional<std::uint32_t> find(const base::SymbolTable& symbols, std::string_view device,
                                    std::string_view name) const {
    const base::Symbol symbol = symbols.find(device);
    const bool unknown = symbol.empty() && !device.empty();
    const auto it = unknown ? index_.end() : index_.find(Key{symbol, name});
    return it == index_.end() ? std::nullopt : std::optional(it->second);
  }

 private:
  struct Key {
    base::Symbol device;
    std::string_view name;
    bool operator==(const Key&) const = default;
  };
  struct Hash {
    std::size_t operator()(const Key& k) const {
      return std::hash<std::string_view>{}(k.name) ^ k.device.id * 0x9e3779b97f4a7c15ULL;
    }
  };
  std::unordered_map<Key, std::uint32_t, Hash> index_;
};

}  // namespace perjoule::device
