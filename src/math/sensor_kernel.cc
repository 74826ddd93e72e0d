#include "math/sensor_kernel.hpp"

#include <algorithm>
#include <cmath>

namespace perjoule::math {
namespace {

// Mean of 1 - exp(-x / lag) over x in [max(0, age - window), age], lengths in ns; age > 0, lag > 0, window >
// 0. expm1 keeps the digits where the age is much smaller than the lag.
double lagged_box(double age, double window, double lag) {
  if (age <= window) return (age + lag * std::expm1(-age / lag)) / window;
  return 1.0 + (lag / window) * std::exp(-(age - window) / lag) * std::expm1(-window / lag);
}

}  // namespace

double SensorKernel::step_response(base::Duration age) const {
  const auto a = static_cast<double>((age - delay).ns);
  const auto w = static_cast<double>(window.ns);
  const auto tau = static_cast<double>(lag.ns);
  if (a <= 0.0) return 0.0;
  if (tau <= 0.0) return a >= w ? 1.0 : a / w;
  if (w <= 0.0) return -std::expm1(-a / tau);
  return std::clamp(lagged_box(a, w, tau), 0.0, 1.0);
}

double SensorKernel::weight(base::TimePoint update, base::TimePoint t0, base::TimePoint t1) const {
  return step_response(update - t0) - step_response(update - t1);
}

base::Duration SensorKernel::memory() const {
  constexpr std::int64_t kLags = 12;  // exp(-12) = 6e-6
  return delay + window + lag * kLags;
}

}  // namespace perjoule::math
