#include "device/topology.hpp"

#include <string>

#include "base/text.hpp"

namespace perjoule::device {

base::Result<DeviceId> Topology::add(const energy::Device& device, DeviceId parent) {
  PJ_CHECK(!parent.valid() || parent.index < devices_.size());
  const std::string path(symbols_.text(device.name));
  if (path.empty()) return base::bad_input("add a device", "", "it has no name");
  const DeviceId id{static_cast<std::uint32_t>(devices_.size())};
  if (!by_name_.emplace(device.name.id, id.index).second) {
    return base::bad_input("add a device", path, "a device of this name is already there",
                           "Give it another name");
  }
  devices_.push_back(device);
  parents_.push_back(parent);
  children_.emplace_back();
  if (parent.valid()) children_[parent.index].push_back(id);
  return id;
}

base::Result<DeviceId> Topology::find(std::string_view path) const {
  const auto it = by_name_.find(symbols_.find(path).id);
  if (it != by_name_.end()) return DeviceId{it->second};
  std::vector<std::string> paths;
  for (const auto& d : devices_) paths.emplace_back(symbols_.text(d.name));
  return base::bad_input("find a device", "'" + std::string(path) + "'", "there is no such device",
                         base::nearest_name_hint(path, paths));
}

DeviceId Topology::enclosing(DeviceId id, energy::DeviceKind kind) const {
  while (id.valid() && devices_[id.index].kind != kind) id = parents_[id.index];
  return id;
}

}  // namespace perjoule::device
