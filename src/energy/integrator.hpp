// Exact integration of piecewise constant power to integer microjoules: the remainder below one microjoule is
// carried, so the sum over any windows equals the integral and no joule is lost to rounding. Power is held as
// whole microwatts; 1 uW x 1 ns = 1e-9 uJ. Thread rule: one thread per integrator.
#pragma once

#include <cstdint>

#include "base/time.hpp"
#include "base/units.hpp"

namespace perjoule::energy {

__extension__ typedef __int128 Int128;

class EnergyIntegrator {
 public:
  // Power from now on. PJ_CHECK: finite, |power| below 9e12 W.
  void set_power(base::Watts power);
  base::Watts power() const { return base::Watts(static_cast<double>(power_uw_) * 1e-6); }
  // Adds power x d. d >= 0.
  void advance(base::Duration d);
  // Adds a lump of energy (work whose energy is known as a whole), rounded once to 1e-9 uJ.
  void add(base::Joules energy);
  // Total since construction, rounded down; never loses the remainder.
  base::Microjoules total() const { return base::Microjoules(total_uj_); }

 private:
  std::int64_t power_uw_ = 0;
  std::int64_t total_uj_ = 0;
  std::int64_t carry_fj_ = 0;  // 1e-9 uJ, in [0, 1e9)
  void add_femtojoules(Int128 amount);
};

}  // namespace perjoule::energy
