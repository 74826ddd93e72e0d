// Back ends by name: what the configuration calls "sim" or "nvml" is made here. An unknown name lists the
// nearest. Thread rule: filled at start by one thread, then read by any. Ownership: owns the factories; what
// they make is the caller's.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "base/text.hpp"

namespace perjoule::device {

// Makes objects of `Port` from `Args` (settings, clock, symbols, ...).
template <class Port, class... Args>
class Registry {
 public:
  using Factory = std::function<base::Result<std::unique_ptr<Port>>(Args...)>;
  struct Entry {
    std::string name;
    std::string description;  // one line, for `perjoule doctor`
    Factory factory;
  };

  // `kind` names the thing in errors: "source", "actuator".
  explicit Registry(std::string kind) : kind_(std::move(kind)) {}
  // PJ_CHECK: the name is new and not empty.
  void add(std::string name, std::string description, Factory factory) {
    PJ_CHECK(!name.empty() && find(name) == nullptr);
    entries_.push_back({std::move(name), std::move(description), std::move(factory)});
  }
  const std::vector<Entry>& entries() const { return entries_; }

  // Errors: kBadInput for an unknown name, with the nearest; else the factory's own.
  base::Result<std::unique_ptr<Port>> create(std::string_view name, Args... args) const {
    if (const Entry* e = find(name)) return e->factory(std::forward<Args>(args)...);
    std::vector<std::string> names;
    for (const Entry& e : entries_) names.push_back(e.name);
    return base::bad_input("make a " + kind_, "'" + std::string(name) + "'",
                           "there is no " + kind_ + " of this name", base::nearest_name_hint(name, names));
  }

 private:
  const Entry* find(std::string_view name) const {
    for (const Entry& e : entries_) {
      if (e.name == name) return &e;
    }
    return nullptr;
  }
  std::string kind_;
  std::vector<Entry> entries_;
};

}  // namespace perjoule::device
