// Devices by path and what contains what: site, feeds, racks, nodes, and the parts of a node.
// Thread rule: built by one thread, then read by any. Ownership: owns its devices, keeps a reference to the
// symbols.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.hpp"
#include "base/symbol.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::device {

struct DeviceId {
  std::uint32_t index = UINT32_MAX;
  constexpr bool valid() const { return index != UINT32_MAX; }
  constexpr auto operator<=>(const DeviceId&) const = default;
};

class Topology {
 public:
  explicit Topology(const base::SymbolTable& symbols) : symbols_(symbols) {}
  // Parents before children; an invalid parent makes a root. Errors: kBadInput for a path that is already
  // there or has no name.
  base::Result<DeviceId> add(const energy::Device& device, DeviceId parent);
  // Error: kBadInput with the nearest path.
  base::Result<DeviceId> find(std::string_view path) const;
  std::size_t size() const { return devices_.size(); }
  const energy::Device& operator[](DeviceId id) const { return devices_[id.index]; }
  std::string_view path(DeviceId id) const { return symbols_.text(devices_[id.index].name); }
  // Invalid for a root.
  DeviceId parent(DeviceId id) const { return parents_[id.index]; }
  // In the order of adding.
  std::span<const DeviceId> children(DeviceId id) const { return children_[id.index]; }
  // The device itself or the nearest one above of that kind; invalid if there is none.
  DeviceId enclosing(DeviceId id, energy::DeviceKind kind) const;

 private:
  const base::SymbolTable& symbols_;
  std::vector<energy::Device> devices_;
  std::vector<DeviceId> parents_;
  std::vector<std::vector<DeviceId>> children_;
  std::unordered_map<std::uint32_t, std::uint32_t> by_name_;
};

}  // namespace perjoule::device
