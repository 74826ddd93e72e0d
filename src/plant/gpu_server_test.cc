#include "plant/gpu_server.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "plant/node_power_model.hpp"

namespace perjoule::plant {
namespace {

using base::Celsius;
using base::Seconds;
using base::Watts;

// Draw at the wall once everything has settled, each GPU at `nominal`.
double settled_wall(Watts nominal, Watts idle = Watts(75.0), Celsius inlet = Celsius(25.0)) {
  const GpuServerParams params = GpuServerParams::h200(8);
  GpuServer server(params, inlet);
  const EfficiencyCurve supply = supply_of(params);
  double wall = 0.0;
  for (int w = 0; w < 60; ++w) {
    server.begin(inlet, Seconds(30));
    Watts gpus{0.0};
    for (std::size_t g = 0; g < 8; ++g) gpus += server.gpu(g, nominal);
    const HostPower host = server.end((nominal - idle) * 8.0);
    wall = supply.input_power(gpus + host.sum()).value();
    server.heat_into_air(Watts(0.0));
  }
  return wall;
}

TEST(GpuServer, AtRestItDrawsWhatWasMeasuredAtTheWall) {
  EXPECT_NEAR(settled_wall(Watts(75.0)), NodePowerModel::h200x8().idle().value(), 10.0);
}

// The other road to the wall: the model fitted to MLPerf logs. Both are models; they must tell one story.
TEST(GpuServer, AgreesWithTheNodeModelUnderLoad) {
  const NodePowerModel node = NodePowerModel::h200x8();
  for (const double gpu : {150.0, 250.0, 350.0, 450.0, 550.0, 650.0}) {
    const double theirs = node.wall(Watts(8.0 * gpu)).value();
    EXPECT_NEAR(settled_wall(Watts(gpu)) / theirs, 1.0, 0.06) << gpu << " W per GPU";
  }
}

TEST(GpuServer, WarmAirCostsLeakageAndFans) {
  EXPECT_GT(settled_wall(Watts(500.0), Watts(75.0), Celsius(32.0)), settled_wall(Watts(500.0)) + 100.0);
}

// Over a long run all that it draws leaves as heat.
TEST(GpuServer, HeatIntoTheAirIsThePowerDrawn) {
  GpuServer server(GpuServerParams::h200(4), Celsius(20));
  double drawn = 0.0, heat = 0.0;
  for (int w = 0; w < 4000; ++w) {
    server.begin(Celsius(20), Seconds(30));
    const Watts nominal((w / 7) % 2 == 0 ? 600.0 : 120.0);
    Watts gpus{0.0};
    for (std::size_t g = 0; g < 4; ++g) gpus += server.gpu(g, nominal);
    const HostPower host = server.end(gpus);
    drawn += (gpus + host.sum()).value() + 50.0;
    heat += server.heat_into_air(Watts(50.0)).value();
  }
  EXPECT_NEAR(heat / drawn, 1.0, 0.005) << "what is missing is stored in the mass";
}

TEST(GpuServer, TheTickOfAllGpusIsThatOfOne) {
  const GpuThermalParams p;
  const GpuThermalTick tick(p, 0.6, Seconds(30));
  GpuThermalState a{Celsius(40), Celsius(35)}, b = a;
  gpu_thermal_step(tick, a, Watts(500), Celsius(24));
  for (int i = 0; i < 300; ++i) {
    gpu_thermal_step(GpuThermalTick(p, 0.6, Seconds(0.1)), b, Watts(500), Celsius(24));
  }
  EXPECT_NEAR(a.die.value(), b.die.value(), 0.5);
}

}  // namespace
}  // namespace perjoule::plant
