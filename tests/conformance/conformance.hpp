// One suite for every back end: what a SignalSource and an Actuator promise, checked from outside. A back
// end's test gives a factory and calls run_source_conformance or run_actuator_conformance in a TEST; each
// failure names its rule. Thread rule: one thread. Ownership: the fixtures own what the factory made.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "device/actuator.hpp"
#include "device/signal_source.hpp"

namespace perjoule::conformance {

struct SourceUnderTest {
  std::unique_ptr<device::SignalSource> source;
  // Lets the source's time pass: virtual time moves on, a replay steps, a real host waits.
  std::function<void(base::Duration)> advance;
  // Keeps alive what the source refers to (clock, symbols, files).
  std::shared_ptr<void> keep;
};
using SourceFactory = std::function<SourceUnderTest()>;

struct ActuatorUnderTest {
  std::unique_ptr<device::Actuator> actuator;
  std::shared_ptr<void> keep;
};
// With every group enabled, or with none.
using ActuatorFactory = std::function<ActuatorUnderTest(bool enabled)>;

namespace detail {

inline std::vector<device::SlotId> push_all(device::SignalSource& source) {
  std::vector<device::SlotId> slots;
  for (const auto& d : source.signals()) {
    const auto slot = source.push(d.name, source.symbols().text(d.device.name));
    EXPECT_TRUE(slot.ok()) << d.name;
    if (slot.ok()) slots.push_back(*slot);
  }
  return slots;
}

inline void source_describes_itself(const SourceFactory& make) {
  SCOPED_TRACE("every signal has a name, a device, a known unit and a sound form");
  const auto t = make();
  EXPECT_FALSE(t.source->name().empty());
  ASSERT_FALSE(t.source->signals().empty());
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& d : t.source->signals()) {
    const std::string at(t.source->symbols().text(d.device.name));
    EXPECT_FALSE(d.name.empty() || at.empty());
    EXPECT_TRUE(seen.insert({std::string(d.name), at}).second) << d.name << " twice on " << at;
    EXPECT_TRUE(device::known_unit(d.unit)) << d.name << ": " << d.unit;
    EXPECT_LE(d.number, 127);
    EXPECT_GE(d.update_period.ns, 0);
    EXPECT_GE(d.window.ns, 0);
    EXPECT_GE(d.uncertainty_ppm, 0);
    EXPECT_GE(d.wrap, 0);
    EXPECT_TRUE(d.wrap == 0 || d.kind == device::SignalKind::kCounter) << d.name;
  }
}

inline void source_refuses_unknown_names(const SourceFactory& make) {
  SCOPED_TRACE("pushing an unknown signal or device is an error with a hint; pushing twice gives one slot");
  auto t = make();
  const auto& first = t.source->signals()[0];
  const std::string at(t.source->symbols().text(first.device.name)), name(first.name);
  for (const auto& wrong : {t.source->push(name + "x", at), t.source->push(name, at + "x"),
                            t.source->push("", at), t.source->push(name, "")}) {
    ASSERT_FALSE(wrong.ok());
    EXPECT_EQ(wrong.error().kind, base::ErrorKind::kBadInput);
    EXPECT_FALSE(wrong.error().hint.empty());
  }
  EXPECT_NE(t.source->push(name + "x", at).error().hint.find("Did you mean"), std::string::npos);
  const auto a = t.source->push(name, at), b = t.source->push(name, at);
  ASSERT_TRUE(a.ok() && b.ok());
  EXPECT_EQ(*a, *b);
}

inline void source_is_missing_before_the_first_batch(const SourceFactory& make) {
  SCOPED_TRACE("before the first batch a sample is missing, not 0");
  auto t = make();
  for (const auto slot : push_all(*t.source)) {
    const auto& r = t.source->sample(slot);
    EXPECT_EQ(r.validity, device::Validity::kMissing);
    EXPECT_EQ(r.missing, device::MissingReason::kNotRead);
    EXPECT_TRUE(std::isnan(r.value));
  }
}

inline void check_reading(const device::SignalReading& r, const device::SignalDescriptor& d,
                          const device::BatchStamp& stamp) {
  EXPECT_EQ(r.t_host, stamp.middle()) << d.name;
  if (!r.has_value()) {
    EXPECT_TRUE(std::isnan(r.value)) << d.name << " is missing and has a value";
    EXPECT_NE(r.missing, device::MissingReason::kNone) << d.name;
    EXPECT_EQ(r.quality, energy::Quality::kMissing) << d.name;
    return;
  }
  EXPECT_TRUE(std::isfinite(r.value)) << d.name;
  EXPECT_EQ(r.missing, device::MissingReason::kNone) << d.name;
  EXPECT_NE(r.quality, energy::Quality::kMissing) << d.name;
  EXPECT_GE(r.sigma, 0.0) << d.name;
  EXPECT_GE(r.window.ns, 0) << d.name;
  EXPECT_LE(r.t_device, stamp.after) << d.name << " comes from the future";
  EXPECT_GE(r.updates, 1u) << d.name;
  if (d.kind == device::SignalKind::kCounter) {
    EXPECT_EQ(r.value, static_cast<double>(r.count)) << d.name;
    EXPECT_GE(r.count, 0) << d.name;
    EXPECT_TRUE(d.wrap == 0 || r.count < d.wrap) << d.name;
  }
}

inline void check_progress(const device::SignalReading& was, const device::SignalReading& r,
                           const device::SignalDescriptor& d) {
  if (!was.has_value() || !r.has_value()) return;
  EXPECT_GE(r.t_device, was.t_device) << d.name << ": device time goes back";
  EXPECT_GE(r.updates, was.updates) << d.name;
  EXPECT_LE(r.updates, was.updates + 1) << d.name;
  EXPECT_EQ(r.updates == was.updates, r.t_device == was.t_device) << d.name << ": same time = same sample";
  if (r.t_device == was.t_device) {
    EXPECT_EQ(r.value, was.value) << d.name << " changed without an update";
  }
  if (d.kind == device::SignalKind::kCounter && r.count < was.count) {
    EXPECT_TRUE(r.validity == device::Validity::kWrapped || r.validity == device::Validity::kReset)
        << d.name << " fell unmarked";
  }
}

inline void source_batches_are_sound(const SourceFactory& make) {
  SCOPED_TRACE(
      "stamps are ordered, readings sound, counters monotone modulo wrap, repeats are known as repeats");
  auto t = make();
  const auto slots = push_all(*t.source);
  std::vector<device::SignalReading> was(slots.size());
  base::TimePoint last{std::numeric_limits<std::int64_t>::min()};
  for (int batch = 0; batch < 60; ++batch) {
    device::BatchStamp stamp;
    ASSERT_TRUE(t.source->read_batch(stamp).ok());
    EXPECT_LE(stamp.before, stamp.after);
    EXPECT_GE(stamp.before, last);
    EXPECT_LE(stamp.before, stamp.middle());
    EXPECT_LE(stamp.middle(), stamp.after);
    last = stamp.after;
    for (std::size_t i = 0; i < slots.size(); ++i) {
      const auto& d = t.source->descriptor(slots[i]);
      const auto& r = t.source->sample(slots[i]);
      check_reading(r, d, stamp);
      check_progress(was[i], r, d);
      was[i] = r;
    }
    t.advance(base::milliseconds(7 + 13 * (batch % 5)));
  }
}

inline void source_next_update_is_true(const SourceFactory& make) {
  SCOPED_TRACE("a told next update is after the newest one");
  auto t = make();
  const auto slots = push_all(*t.source);
  device::BatchStamp stamp;
  ASSERT_TRUE(t.source->read_batch(stamp).ok());
  for (const auto slot : slots) {
    const auto next = t.source->next_update(slot);
    if (next && t.source->sample(slot).has_value()) {
      EXPECT_GT(*next, t.source->sample(slot).t_device) << t.source->descriptor(slot).name;
    }
  }
}

inline std::vector<double> values_of(device::Actuator& a) {
  std::vector<double> out;
  for (std::uint32_t i = 0; i < a.controls().size(); ++i) {
    const auto v = a.read({i});
    EXPECT_TRUE(v.ok());
    out.push_back(v.ok() ? *v : std::numeric_limits<double>::quiet_NaN());
  }
  return out;
}

// Two different allowed values of a control, the first of which it does not have now; nor the second, unless
// the control has but two values.
inline std::pair<double, double> other_values(const device::ControlDescriptor& c, double present) {
  const double step = c.step > 0.0 ? c.step : (c.max - c.min) / 8.0;
  std::vector<double> found;
  for (int k = 0; k < 4 && found.size() < 2; ++k) {
    const double v = c.min + k * step;
    if (v != present && v <= c.max) found.push_back(v);
  }
  EXPECT_FALSE(found.empty()) << c.name << " has but one value";
  found.resize(2, present);
  return {found[0], found[1]};
}

inline void actuator_describes_itself(const ActuatorFactory& make) {
  SCOPED_TRACE(
      "every control has a name, a device, a group, a known unit and a range; unknown names get a hint");
  const auto t = make(true);
  ASSERT_FALSE(t.actuator->controls().empty());
  std::uint32_t index = 0;
  for (const auto& c : t.actuator->controls()) {
    const std::string at(t.actuator->symbols().text(c.device.name)), name(c.name);
    EXPECT_FALSE(name.empty() || at.empty() || c.group.empty());
    EXPECT_TRUE(device::known_unit(c.unit)) << c.name;
    EXPECT_LE(c.min, c.max) << c.name;
    EXPECT_GE(c.step, 0.0) << c.name;
    const auto id = t.actuator->find(name, at);
    ASSERT_TRUE(id.ok());
    EXPECT_EQ(id->index, index++);
    for (const auto& wrong : {t.actuator->find(name + "x", at), t.actuator->find(name, at + "x")}) {
      ASSERT_FALSE(wrong.ok());
      EXPECT_FALSE(wrong.error().hint.empty());
    }
  }
}

inline void actuator_is_read_only_by_default(const ActuatorFactory& make) {
  SCOPED_TRACE("a control whose group is not enabled is refused without effect and says what to type");
  auto t = make(false);
  const auto before = values_of(*t.actuator);
  for (std::uint32_t i = 0; i < before.size(); ++i) {
    const auto& c = t.actuator->controls()[i];
    const auto s = t.actuator->write({i}, other_values(c, before[i]).first, {});
    ASSERT_FALSE(s.ok()) << c.name;
    EXPECT_EQ(s.error().kind, base::ErrorKind::kMissing);
    EXPECT_NE(s.error().hint.find(c.group), std::string::npos);
  }
  EXPECT_EQ(values_of(*t.actuator), before);
}

inline void actuator_refuses_bad_values(const ActuatorFactory& make) {
  SCOPED_TRACE("out of range, off step and not a number are refused without effect");
  auto t = make(true);
  const auto before = values_of(*t.actuator);
  for (std::uint32_t i = 0; i < before.size(); ++i) {
    const auto& c = t.actuator->controls()[i];
    std::vector<double> wrong{c.max + 1.0, c.min - 1.0, std::numeric_limits<double>::quiet_NaN(),
                              std::numeric_limits<double>::infinity(),
                              -std::numeric_limits<double>::infinity()};
    if (c.step > 0.0) wrong.push_back(c.min + 0.5 * c.step);
    for (const double v : wrong) {
      const auto s = t.actuator->write({i}, v, {});
      ASSERT_FALSE(s.ok()) << c.name << " took " << v;
      EXPECT_EQ(s.error().kind, base::ErrorKind::kBadInput);
      EXPECT_FALSE(s.error().hint.empty());
    }
  }
  EXPECT_EQ(values_of(*t.actuator), before);
  EXPECT_EQ(t.actuator->next_expiry(), base::kNever);
}

inline void actuator_dry_run_changes_nothing(const ActuatorFactory& make) {
  SCOPED_TRACE("a dry run makes every check and has no effect");
  auto t = make(true);
  const auto before = values_of(*t.actuator);
  for (std::uint32_t i = 0; i < before.size(); ++i) {
    const auto& c = t.actuator->controls()[i];
    EXPECT_TRUE(t.actuator->write({i}, other_values(c, before[i]).first, {{1}, true, {}}).ok());
    EXPECT_FALSE(t.actuator->write({i}, c.max + 1.0, {base::kNever, true, {}}).ok());
  }
  EXPECT_EQ(values_of(*t.actuator), before);
  EXPECT_EQ(t.actuator->next_expiry(), base::kNever);
}

inline void actuator_restores_exactly(const ActuatorFactory& make) {
  SCOPED_TRACE("writes are read back; two save points restore exactly, in any order, also twice");
  auto t = make(true);
  auto& a = *t.actuator;
  const auto start = values_of(a);
  const auto outer = a.save();
  std::vector<double> first, second;
  for (std::uint32_t i = 0; i < start.size(); ++i) {
    const auto other = other_values(a.controls()[i], start[i]);
    first.push_back(a.controls()[i].reversible ? other.first : start[i]);
    second.push_back(a.controls()[i].reversible ? other.second : start[i]);
  }
  const auto write_all = [&](const std::vector<double>& values) {
    for (std::uint32_t i = 0; i < values.size(); ++i) {
      if (a.controls()[i].reversible) {
        EXPECT_TRUE(a.write({i}, values[i], {}).ok()) << a.controls()[i].name;
      }
    }
    EXPECT_EQ(values_of(a), values);
  };
  write_all(first);
  const auto inner = a.save();
  write_all(second);
  write_all(first);
  write_all(second);
  EXPECT_TRUE(a.restore(inner).ok());
  EXPECT_EQ(values_of(a), first);
  write_all(second);
  EXPECT_TRUE(a.restore(inner).ok());
  EXPECT_EQ(values_of(a), first);
  EXPECT_TRUE(a.restore(outer).ok());
  EXPECT_EQ(values_of(a), start);
  EXPECT_FALSE(a.restore(inner).ok()) << "a dropped point was restored";
  write_all(second);
  EXPECT_TRUE(a.restore_all().ok());
  EXPECT_EQ(values_of(a), start);
  EXPECT_TRUE(a.restore_all().ok());
  EXPECT_EQ(values_of(a), start);
}

inline void dead_man_of(device::Actuator& a, std::uint32_t i, double start) {
  const auto [one, two] = other_values(a.controls()[i], start);
  std::vector<device::Expired> gone;
  EXPECT_TRUE(a.write({i}, one, {{100}, false, {}}).ok());
  EXPECT_EQ(a.expiry({i}), base::TimePoint{100});
  EXPECT_TRUE(a.write({i}, two, {{200}, false, {}}).ok());  // renewed
  EXPECT_TRUE(a.expire({199}, gone).ok());
  EXPECT_TRUE(gone.empty());
  EXPECT_EQ(*a.read({i}), two);
  EXPECT_EQ(a.next_expiry(), base::TimePoint{200});
  EXPECT_TRUE(a.expire({200}, gone).ok());
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].control.index, i);
  EXPECT_EQ(gone[0].value, start);
  EXPECT_EQ(*a.read({i}), start);
  EXPECT_EQ(a.next_expiry(), base::kNever);
  EXPECT_TRUE(a.expire({1000}, gone).ok());
  EXPECT_EQ(gone.size(), 1u) << "a dead-man acted twice";

  // A write without expiry is the new normal; a later one with expiry falls back to it.
  EXPECT_TRUE(a.write({i}, one, {{300}, false, {}}).ok());
  EXPECT_TRUE(a.write({i}, one, {}).ok());
  EXPECT_EQ(a.expiry({i}), std::nullopt);
  EXPECT_TRUE(a.write({i}, two, {{400}, false, {}}).ok());
  EXPECT_TRUE(a.expire({400}, gone).ok());
  EXPECT_EQ(*a.read({i}), one);
}

inline void actuator_dead_man_restores(const ActuatorFactory& make) {
  SCOPED_TRACE(
      "an expired write is undone, a renewed one is not; restoring a point restores the dead-man too");
  auto t = make(true);
  auto& a = *t.actuator;
  const auto start = values_of(a);
  for (std::uint32_t i = 0; i < start.size(); ++i) {
    if (!a.controls()[i].reversible) continue;
    dead_man_of(a, i, start[i]);
    EXPECT_TRUE(a.restore_all().ok());
    const auto [one, two] = other_values(a.controls()[i], start[i]);
    EXPECT_TRUE(a.write({i}, one, {{50}, false, {}}).ok());
    const auto point = a.save();
    EXPECT_TRUE(a.write({i}, two, {}).ok());
    EXPECT_TRUE(a.restore(point).ok());
    EXPECT_EQ(a.expiry({i}), base::TimePoint{50});
    std::vector<device::Expired> gone;
    EXPECT_TRUE(a.expire({50}, gone).ok());
    EXPECT_EQ(*a.read({i}), start[i]);
    EXPECT_TRUE(a.restore_all().ok());
  }
  EXPECT_EQ(values_of(a), start);
}

}  // namespace detail

inline void run_source_conformance(const SourceFactory& make) {
  detail::source_describes_itself(make);
  detail::source_refuses_unknown_names(make);
  detail::source_is_missing_before_the_first_batch(make);
  detail::source_batches_are_sound(make);
  detail::source_next_update_is_true(make);
}

inline void run_actuator_conformance(const ActuatorFactory& make) {
  detail::actuator_describes_itself(make);
  detail::actuator_is_read_only_by_default(make);
  detail::actuator_refuses_bad_values(make);
  detail::actuator_dry_run_changes_nothing(make);
  detail::actuator_restores_exactly(make);
  detail::actuator_dead_man_restores(make);
}

}  // namespace perjoule::conformance
