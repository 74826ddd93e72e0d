// The tree of meters: each non-root meter has one parent, whose energy contains it.
// Thread rule: built by one thread, then read by any. Ownership: owns its nodes.
#pragma once

#include <cstdint>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::energy {

struct MeterId {
  std::uint32_t index = UINT32_MAX;
  constexpr bool valid() const { return index != UINT32_MAX; }
  constexpr auto operator<=>(const MeterId&) const = default;
};

struct Meter {
  Symbol name;     // unique in the tree
  MeterId parent;  // invalid for a root
  Device device;
  Symbol zone;  // "it", "cooling", "power", "network"
};

class MeterTree {
 public:
  // Parents before children; refuses a second meter of the same name (kBadInput).
  base::Result<MeterId> add(Meter meter);
  std::size_t size() const { return meters_.size(); }
  const Meter& operator[](MeterId id) const { return meters_[id.index]; }
  const std::vector<MeterId>& children(MeterId id) const { return children_[id.index]; }
  bool is_leaf(MeterId id) const { return children_[id.index].empty(); }
  // Invalid if there is none.
  MeterId find(Symbol name) const;

 private:
  std::vector<Meter> meters_;
  std::vector<std::vector<MeterId>> children_;
  std::unordered_map<std::uint32_t, std::uint32_t> by_name_;
};

}  // namespace perjoule::energy
