#include "energy/meter_tree.hpp"

namespace perjoule::energy {

base::Result<MeterId> MeterTree::add(Meter meter) {
  if (find(meter.name).valid())
    return base::bad_input("add a meter", "", "a meter of this name is already there");
  PJ_CHECK(!meter.parent.valid() || meter.parent.index < meters_.size());
  const MeterId id{static_cast<std::uint32_t>(meters_.size())};
  if (meter.parent.valid()) children_[meter.parent.index].push_back(id);
  by_name_.emplace(meter.name.id, id.index);
  meters_.push_back(meter);
  children_.emplace_back();
  return id;
}

MeterId MeterTree::find(Symbol name) const {
  const auto it = by_name_.find(name.id);
  return it == by_name_.end() ? MeterId{} : MeterId{it->second};
}

}  // namespace perjoule::energy
