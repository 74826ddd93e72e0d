// Strong units: one type per physical dimension, so that watts are never added to joules.
// Models use the double quantities; what is stored and counted is the integer Microjoules (exact, order-free
// sums). Thread rule: values, freely copied.
#pragma once

#include <cmath>
#include <compare>
#include <cstdint>

namespace perjoule::base {

// A double with a dimension. `Tag` names the unit; the number is always in that SI (or stated) unit.
template <class Tag>
class Quantity {
 public:
  constexpr Quantity() = default;
  constexpr explicit Quantity(double v) : value_(v) {}
  constexpr double value() const { return value_; }
  constexpr auto operator<=>(const Quantity&) const = default;

  constexpr Quantity operator-() const { return Quantity(-value_); }
  constexpr Quantity& operator+=(Quantity o) { return value_ += o.value_, *this; }
  constexpr Quantity& operator-=(Quantity o) { return value_ -= o.value_, *this; }
  friend constexpr Quantity operator+(Quantity a, Quantity b) { return Quantity(a.value_ + b.value_); }
  friend constexpr Quantity operator-(Quantity a, Quantity b) { return Quantity(a.value_ - b.value_); }
  friend constexpr Quantity operator*(Quantity a, double k) { return Quantity(a.value_ * k); }
  friend constexpr Quantity operator*(double k, Quantity a) { return Quantity(a.value_ * k); }
  friend constexpr Quantity operator/(Quantity a, double k) { return Quantity(a.value_ / k); }
  friend constexpr double operator/(Quantity a, Quantity b) { return a.value_ / b.value_; }

 private:
  double value_ = 0.0;
};

using Joules = Quantity<struct JouleTag>;
using Watts = Quantity<struct WattTag>;
using Seconds = Quantity<struct SecondTag>;
using Celsius = Quantity<struct CelsiusTag>;
using Pascals = Quantity<struct PascalTag>;
using Hertz = Quantity<struct HertzTag>;
using KilogramsPerSecond = Quantity<struct MassFlowTag>;
using GramsCO2e = Quantity<struct GramCo2eTag>;
using GramsPerKwh = Quantity<struct GramsPerKwhTag>;

constexpr Joules operator*(Watts p, Seconds t) { return Joules(p.value() * t.value()); }
constexpr Joules operator*(Seconds t, Watts p) { return p * t; }
constexpr Watts operator/(Joules e, Seconds t) { return Watts(e.value() / t.value()); }

// Energy as it is stored: a whole number of microjoules. int64 holds 9.2e12 J = 2.56 GWh.
class Microjoules {
 public:
  constexpr Microjoules() = default;
  constexpr explicit Microjoules(std::int64_t v) : value_(v) {}
  constexpr std::int64_t value() const { return value_; }
  constexpr auto operator<=>(const Microjoules&) const = default;

  constexpr Microjoules operator-() const { return Microjoules(-value_); }
  constexpr Microjoules& operator+=(Microjoules o) { return value_ += o.value_, *this; }
  constexpr Microjoules& operator-=(Microjoules o) { return value_ -= o.value_, *this; }
  friend constexpr Microjoules operator+(Microjoules a, Microjoules b) {
    return Microjoules(a.value_ + b.value_);
  }
  friend constexpr Microjoules operator-(Microjoules a, Microjoules b) {
    return Microjoules(a.value_ - b.value_);
  }

 private:
  std::int64_t value_ = 0;
};

constexpr Joules to_joules(Microjoules e) { return Joules(static_cast<double>(e.value()) * 1e-6); }
// Rounds to the nearest microjoule (half away from zero).
inline Microjoules to_microjoules(Joules e) {
  return Microjoules(static_cast<std::int64_t>(std::llround(e.value() * 1e6)));
}
constexpr double to_kwh(Microjoules e) { return static_cast<double>(e.value()) / 3.6e12; }

}  // namespace perjoule::base
