#include "plant/gpu_server.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace perjoule::plant {

using base::Celsius;
using base::Watts;

namespace {

// How the host follows the work of the GPUs: data loading, tokenising, launches. A proxy (unverified); more
// would leave the node model that was fitted to wall readings by more than 6 % under load.
constexpr double kCpuAtFullLoad = 0.20;
constexpr double kDramAtFullLoad = 0.20;

}  // namespace

GpuServerParams GpuServerParams::h200(int gpus) {
  const double size = static_cast<double>(gpus) / 8.0;
  GpuServerParams p;
  p.gpus = gpus;
  p.fans.full = p.fans.full * size;
  p.fans.flow_full = p.fans.flow_full * size;
  p.heat.mass_kg *= size;
  p.nic = Watts(140.0 * size);
  p.board = Watts(1'116.0 * size);
  p.gpu_most = Watts(700.0);
  p.supply_rated = Watts(10'200.0 * size);
  return p;
}

EfficiencyCurve supply_of(const GpuServerParams& params) {
  auto made = EfficiencyCurve::make(params.supply_rated, kTitaniumSupply);
  PJ_CHECK(made.ok());
  return *made;
}

GpuServer::GpuServer(const GpuServerParams& params, Celsius inlet)
    : params_(params), mass_(inlet), inlet_(inlet), fans_(fan_state(params.fans, inlet, 0.0)) {
  PJ_CHECK(params.gpus > 0 && check(params.gpu, params.fans.least).ok() && check(params.fans).ok());
  thermals_.assign(static_cast<std::size_t>(params.gpus),
                   gpu_steady(params.gpu, Watts(75.0), inlet, fans_.speed));
}

void GpuServer::begin(Celsius inlet, base::Seconds window) {
  inlet_ = inlet;
  window_ = window;
  fans_ = fan_state(params_.fans, inlet, load_);
  tick_ = GpuThermalTick(params_.gpu, fans_.speed, window);
  gpu_sum_ = Watts(0.0);
}

Watts GpuServer::gpu(std::size_t gpu, Watts nominal) {
  const Watts power = gpu_thermal_step(tick_, thermals_[gpu], nominal, inlet_).power;
  gpu_sum_ += power;
  return power;
}

HostPower GpuServer::end(Watts busy) {
  const double load = std::clamp(busy / (params_.gpu_most * static_cast<double>(params_.gpus)), 0.0, 1.0);
  const HostPower host{cpu_power(params_.cpu, kCpuAtFullLoad * load),
                       dram_power(params_.dram, kDramAtFullLoad * load), params_.nic, params_.board,
                       fans_.power};
  drawn_ = gpu_sum_ + host.sum();
  load_ = std::clamp(drawn_ / params_.supply_rated, 0.0, 1.0);
  return host;
}

Watts GpuServer::heat_into_air(Watts losses) {
  const ServerHeatStep step =
      server_heat_step(params_.heat, mass_, drawn_ + losses, inlet_, fans_.flow, window_);
  return std::max(Watts(0.0), step.into_air);
}

}  // namespace perjoule::plant
