#include "energy/integrator.hpp"

#include <cmath>

#include "base/assert.hpp"

namespace perjoule::energy {
namespace {
constexpr std::int64_t kFemtoPerMicrojoule = 1'000'000'000;
}

void EnergyIntegrator::set_power(base::Watts power) {
  PJ_CHECK(std::abs(power.value()) < 9e12);
  power_uw_ = std::llround(power.value() * 1e6);
}

void EnergyIntegrator::add_femtojoules(Int128 amount) {
  amount += carry_fj_;
  Int128 whole = amount / kFemtoPerMicrojoule;
  if (amount % kFemtoPerMicrojoule < 0) whole -= 1;
  total_uj_ += static_cast<std::int64_t>(whole);
  carry_fj_ = static_cast<std::int64_t>(amount - whole * kFemtoPerMicrojoule);
}

void EnergyIntegrator::advance(base::Duration d) {
  PJ_DCHECK(d.ns >= 0);
  add_femtojoules(static_cast<Int128>(power_uw_) * d.ns);
}

void EnergyIntegrator::add(base::Joules energy) {
  PJ_DCHECK(std::abs(energy.value()) < 9e3 * 1e9);
  const double whole_j = std::floor(energy.value());
  const auto rest_fj = std::llround((energy.value() - whole_j) * 1e15);
  add_femtojoules(static_cast<Int128>(static_cast<std::int64_t>(whole_j)) * 1'000'000 * kFemtoPerMicrojoule +
                  rest_fj);
}

}  // namespace perjoule::energy
