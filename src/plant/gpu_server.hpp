// One GPU server as the hall sees it: what its parts draw beside the work of its GPUs, how warm they get, how
// much air it moves and how much heat it gives to it. Puts the models of server_models.hpp together for one
// chassis; the conversion losses of its power supplies are the node meter's (power_chain.hpp).
//
// The caller gives a window at a time: begin(), then gpu() once for each GPU, then end(). Fans follow the
// window before (their controller looks at temperatures, which lag). Thread rule: one thread. Ownership: owns
// its state. Units in the types. Sources and what is unverified: docs/models/server.md.
#pragma once

#include <vector>

#include "base/result.hpp"
#include "base/units.hpp"
#include "plant/power_chain.hpp"
#include "plant/server_models.hpp"

namespace perjoule::plant {

struct GpuServerParams {
  int gpus = 8;
  CpuParams cpu;  // one of two sockets
  DramParams dram;
  FanParams fans;
  GpuThermalParams gpu;
  ServerHeatParams heat;
  base::Watts nic;           // all network cards
  base::Watts board;         // GPU baseboard with its switches, management, drives, regulators
  base::Watts gpu_most;      // largest draw of one GPU
  base::Watts supply_rated;  // of all power supplies together

  // An air-cooled chassis of the class with eight H200; other counts of GPUs scale what belongs to them.
  // At rest, with no context on any GPU, eight of them draw the 2,374.5 W measured at the wall
  // (node-power.md).
  static GpuServerParams h200(int gpus);
};
// The supplies as one converter: 80 PLUS Titanium at the rating.
EfficiencyCurve supply_of(const GpuServerParams& params);

// Means over a window.
struct HostPower {
  base::Watts cpu;  // of one socket
  base::Watts dram, nic, board, fans;
  base::Watts sum() const { return cpu * 2.0 + dram + nic + board + fans; }
};

class GpuServer {
 public:
  // Starts at rest, settled at this inlet.
  GpuServer(const GpuServerParams& params, base::Celsius inlet);

  void begin(base::Celsius inlet, base::Seconds window);
  // The mean power of a GPU whose work asks for `nominal` (a power at reference conditions): leakage follows
  // the die. Once for each GPU and window; `gpu` is 0 .. gpus-1.
  base::Watts gpu(std::size_t gpu, base::Watts nominal);
  // `busy`: mean GPU power spent on work, all GPUs together.
  HostPower end(base::Watts busy);
  // After end(). Losses of the supplies are heat too: `losses`. Never below 0.
  base::Watts heat_into_air(base::Watts losses);

  base::Celsius die(std::size_t gpu) const { return thermals_[gpu].die; }
  const FanState& fans() const { return fans_; }  // of the window last begun
  const GpuServerParams& params() const { return params_; }

 private:
  GpuServerParams params_;
  std::vector<GpuThermalState> thermals_;
  base::Celsius mass_, inlet_;
  base::Seconds window_{30.0};
  FanState fans_;
  GpuThermalTick tick_;
  double load_ = 0.0;  // server heat over its most, of the last window
  base::Watts gpu_sum_, drawn_;
};

}  // namespace perjoule::plant
