#include "device/guarded_actuator.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"
#include "device/signal_source.hpp"

namespace perjoule::device {
namespace {

// Distance to the grid min + k x step, in steps; decimal steps such as 0.1 are not exact in binary.
constexpr double kStepTolerance = 1e-6;

bool on_step(const ControlDescriptor& c, double value) {
  if (c.step == 0.0) return true;
  const double k = (value - c.min) / c.step;
  return std::abs(k - std::round(k)) <= kStepTolerance;
}

std::string range_text(const ControlDescriptor& c) {
  std::string out = base::shortest_text(c.min) + " to " + base::shortest_text(c.max);
  if (c.step != 0.0) out += " in steps of " + base::shortest_text(c.step);
  return out + " " + std::string(c.unit);
}

void keep_first(base::Status& first, base::Status next) {
  if (first.ok() && !next.ok()) first = std::move(next);
}

}  // namespace

void GuardedActuator::declare(ControlDescriptor control) {
  PJ_CHECK(control.min <= control.max && control.step >= 0.0 && known_unit(control.unit));
  const auto index = static_cast<std::uint32_t>(controls_.size());
  PJ_CHECK(by_device_.add(control.device.name, control.name, index));
  controls_.push_back(control);
  dead_men_.emplace_back();
  newest_level_.push_back(kNoLevel);
}

std::string GuardedActuator::where(const ControlDescriptor& c) const {
  return std::string(symbols_.text(c.device.name)) + ":" + std::string(c.name);
}

JournalEntry GuardedActuator::journal_entry(std::uint32_t control, double value) const {
  const ControlDescriptor& c = controls_[control];
  return {std::string(name()), std::string(c.name), std::string(symbols_.text(c.device.name)), value};
}

base::Result<ControlId> GuardedActuator::find(std::string_view control, std::string_view device) const {
  if (const auto index = by_device_.find(symbols_, device, control)) return ControlId{*index};
  std::vector<std::string> names, devices;
  for (const ControlDescriptor& c : controls_) {
    if (c.name == control) devices.emplace_back(symbols_.text(c.device.name));
    names.emplace_back(c.name);
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  const std::string actuator(name());
  if (devices.empty()) {
    return base::bad_input("find a control", actuator, "there is no control '" + std::string(control) + "'",
                           base::nearest_name_hint(control, names));
  }
  return base::bad_input("find the control '" + std::string(control) + "'", actuator,
                         "there is no device '" + std::string(device) + "' that has it",
                         base::nearest_name_hint(device, devices));
}

base::Status GuardedActuator::enable_group(std::string_view group) {
  std::vector<std::string> groups;
  for (const auto& c : controls_) groups.emplace_back(c.group);
  std::sort(groups.begin(), groups.end());
  groups.erase(std::unique(groups.begin(), groups.end()), groups.end());
  if (std::find(groups.begin(), groups.end(), group) == groups.end()) {
    return base::bad_input("enable a control group", std::string(name()),
                           "there is no group '" + std::string(group) + "'",
                           base::nearest_name_hint(group, groups));
  }
  if (std::find(enabled_.begin(), enabled_.end(), group) == enabled_.end()) enabled_.emplace_back(group);
  return base::ok_status();
}

base::Result<double> GuardedActuator::read(ControlId control) {
  PJ_CHECK(control.index < controls_.size());
  return do_read(control.index);
}

base::Status GuardedActuator::check(std::uint32_t control, double value) const {
  const ControlDescriptor& c = controls_[control];
  if (std::find(enabled_.begin(), enabled_.end(), c.group) == enabled_.end()) {
    const std::string group(c.group);
    return base::missing("set a control", where(c), "its group '" + group + "' is not enabled",
                         "Add \"" + group + "\" to [controls] enable in the configuration");
  }
  const bool in_range = value >= c.min && value <= c.max && on_step(c, value);
  if (!in_range && !is_former_value(control, value)) {
    return base::bad_input("set a control", where(c), base::shortest_text(value) + " is not allowed",
                           "Use " + range_text(c));
  }
  return base::ok_status();
}

// A value the device itself had before perjoule came may lie outside the range or off the steps (0 = no cap,
// a vendor's odd default); going back to it is always allowed.
bool GuardedActuator::is_former_value(std::uint32_t control, double value) const {
  return to_be_restored(control) &&
         std::any_of(levels_.begin(), levels_.end(), [&](const std::vector<Undo>& level) {
           return std::any_of(level.begin(), level.end(),
                              [&](const Undo& u) { return u.control == control && u.value == value; });
         });
}

// The value before the first write of a level is kept, in the journal first: a crash after this line can be
// undone.
base::Status GuardedActuator::remember(std::uint32_t control, double before) {
  const auto level = static_cast<std::uint32_t>(levels_.size() - 1);
  std::uint32_t& newest = newest_level_[control];
  if (newest == level || !controls_[control].reversible) return base::ok_status();
  if (journal_ != nullptr && !to_be_restored(control)) {
    PJ_TRY(journal_->record(journal_entry(control, before)));
  }
  levels_.back().push_back({control, before, dead_men_[control], newest});
  newest = level;
  return base::ok_status();
}

base::Status GuardedActuator::write(ControlId control, double value, const WriteOptions& options) {
  PJ_CHECK(control.index < controls_.size());
  const ControlDescriptor& c = controls_[control.index];
  PJ_TRY(check(control.index, value));
  if (!c.reversible && options.expiry != base::kNever) {
    return base::bad_input("set a control", where(c), "it cannot be undone, so it cannot expire",
                           "Write it without an expiry");
  }
  PJ_ASSIGN(const double before, do_read(control.index));
  if (options.dry_run) return base::ok_status();
  PJ_TRY(remember(control.index, before));
  PJ_TRY(do_write(control.index, value));
  DeadMan& dead_man = dead_men_[control.index];
  // Renewing keeps the fallback of the first write; a write without expiry is the new normal.
  if (!dead_man.armed()) dead_man.fallback = before;
  dead_man.expiry = options.expiry;
  dead_man.decision = options.decision;
  return base::ok_status();
}

std::optional<base::TimePoint> GuardedActuator::expiry(ControlId control) const {
  const DeadMan& d = dead_men_[control.index];
  return d.armed() ? std::optional(d.expiry) : std::nullopt;
}

SavePoint GuardedActuator::save() {
  const SavePoint point{static_cast<std::uint32_t>(levels_.size())};
  levels_.emplace_back();
  return point;
}

base::Status GuardedActuator::put_back(const Undo& undo) {
  PJ_TRY(do_write(undo.control, undo.value));
  dead_men_[undo.control] = undo.dead_man;
  return base::ok_status();
}

base::Status GuardedActuator::restore(SavePoint point) {
  if (point.depth >= levels_.size()) {
    return base::bad_input("restore the controls", std::string(name()), "the save point is no longer there",
                           "Restore an older point, or all");
  }
  base::Status first = base::ok_status();
  std::vector<Undo> refused;
  while (levels_.size() > point.depth) {
    std::vector<Undo> level = std::move(levels_.back());
    levels_.pop_back();
    std::for_each(level.rbegin(), level.rend(), [&](const Undo& undo) {
      newest_level_[undo.control] = undo.older;
      // An older value replaces a newer one that was refused: only the oldest is still wanted.
      std::erase_if(refused, [&](const Undo& r) { return r.control == undo.control; });
      base::Status done = put_back(undo);
      if (done.ok() && journal_ != nullptr && !to_be_restored(undo.control)) {
        done = journal_->clear(journal_entry(undo.control, undo.value));
      }
      if (!done.ok()) refused.push_back(undo);
      keep_first(first, std::move(done));
    });
  }
  // The point itself stays, with what is still to be restored (oldest first again).
  std::reverse(refused.begin(), refused.end());
  for (const Undo& undo : refused) newest_level_[undo.control] = point.depth;
  levels_.push_back(std::move(refused));
  return first;
}

base::Status GuardedActuator::expire(base::TimePoint now, std::vector<Expired>& out) {
  base::Status first = base::ok_status();
  for (std::uint32_t i = 0; i < dead_men_.size(); ++i) {
    if (!dead_men_[i].armed() || dead_men_[i].expiry > now) continue;
    base::Status done = do_write(i, dead_men_[i].fallback);
    if (done.ok()) {
      out.push_back({{i}, dead_men_[i].decision, dead_men_[i].fallback});
      dead_men_[i] = {};
    }
    keep_first(first, std::move(done));
  }
  return first;
}

base::TimePoint GuardedActuator::next_expiry() const {
  base::TimePoint next = base::kNever;
  for (const DeadMan& d : dead_men_) next = std::min(next, d.expiry);
  return next;
}

}  // namespace perjoule::device
