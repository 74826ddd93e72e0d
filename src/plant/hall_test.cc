#include "plant/hall.hpp"

#include <gtest/gtest.h>

namespace perjoule::plant {
namespace {

using base::Microjoules;
using energy::MeterId;

HallSpec small_hall() {
  HallSpec spec;
  spec.start = {1'700'000'000 * base::kNsPerSecond};
  spec.feeds = {"feed-a", "feed-b"};
  spec.racks = {{"r1", "feed-a", 0.05}, {"r2", "feed-b", 0.20}};
  spec.nodes = {{"n1", "r1", 4, false}, {"n2", "r2", 4, true}};
  spec.services = {{"chat", "acme", "meta-llama/Llama-3.1-8B-Instruct", 2, 0, {"n1"}}};
  spec.jobs = {{"j1", "acme", 0, 2, spec.start, 3600.0}};
  return spec;
}

std::unique_ptr<Hall> make(base::SymbolTable& symbols, HallSpec spec) {
  auto made = Hall::make(std::move(spec), symbols, {});
  EXPECT_TRUE(made.ok()) << made.error().message();
  return std::move(*made);
}

std::string refusal(HallSpec spec) {
  base::SymbolTable symbols;
  auto made = Hall::make(std::move(spec), symbols, {});
  return made.ok() ? std::string() : made.error().message();
}

// Truth is conserved: a parent's energy is its children's and a loss that is never negative.
TEST(Hall, EveryParentIsItsChildrenAndALoss) {
  base::SymbolTable symbols;
  const auto hall = make(symbols, small_hall());
  for (int w = 0; w < 20; ++w) {
    hall->run_window();
    for (std::uint32_t m = 0; m < hall->meters().size(); ++m) {
      if (hall->meters().is_leaf({m})) continue;
      Microjoules children;
      for (const MeterId c : hall->meters().children({m})) children += hall->readings()[c.index].truth;
      EXPECT_GE(hall->readings()[m].truth, children) << symbols.text(hall->meters()[{m}].device.name);
    }
  }
}

TEST(Hall, AHotRackHasAWarmerInletAndDrawsMore) {
  base::SymbolTable symbols;
  HallSpec spec = small_hall();
  spec.nodes = {{"n1", "r1", 4, true}, {"n2", "r2", 4, true}};
  spec.services.clear();
  spec.jobs = {{"j1", "acme", 0, 4, spec.start, 36'000.0}, {"j2", "acme", 0, 4, spec.start, 36'000.0}};
  spec.perfect_meters = true;
  const auto hall = make(symbols, std::move(spec));
  for (int w = 0; w < 120; ++w) hall->run_window();
  EXPECT_GT(hall->inlet(1).value(), hall->inlet(0).value() + 0.5);
  const auto gpu_energy = [&](std::size_t g) {
    return hall->readings()[hall->gpus()[g].meter.index].reading;
  };
  EXPECT_GT(gpu_energy(4), gpu_energy(0)) << "leakage follows the inlet";
  const auto fans = [&](std::size_t n) {
    return hall->readings()[hall->node_meters()[n].fans.index].reading;
  };
  EXPECT_GE(fans(1), fans(0));
}

TEST(Hall, MetersShowTheTruthWhenPerfectAndAreOffByTheirGainOtherwise) {
  for (const bool perfect : {true, false}) {
    base::SymbolTable symbols;
    HallSpec spec = small_hall();
    spec.perfect_meters = perfect;
    const auto hall = make(symbols, std::move(spec));
    for (int w = 0; w < 10; ++w) hall->run_window();
    for (std::uint32_t m = 0; m < hall->meters().size(); ++m) {
      const MeterWindow& window = hall->readings()[m];
      const double off = static_cast<double>((window.reading - window.truth).value()) /
                         static_cast<double>(window.truth.value());
      const double allowed = static_cast<double>(hall->provenance({m}).uncertainty_ppm) * 1e-6 + 1e-3;
      EXPECT_LE(std::abs(off), perfect ? 0.0 : allowed) << symbols.text(hall->meters()[{m}].device.name);
    }
  }
}

TEST(Hall, RefusesAPlaceThatDoesNotExist) {
  HallSpec lost_rack = small_hall();
  lost_rack.racks[1].feed = "feed-c";
  EXPECT_NE(refusal(lost_rack).find("its feed 'feed-c' does not exist"), std::string::npos);
  HallSpec idle_feed = small_hall();
  idle_feed.feeds.push_back("feed-z");
  EXPECT_NE(refusal(idle_feed).find("no rack hangs on it"), std::string::npos);
  HallSpec lost_node = small_hall();
  lost_node.nodes[0].rack = "r3";
  EXPECT_NE(refusal(lost_node).find("its rack 'r3' does not exist"), std::string::npos);
  HallSpec twice = small_hall();
  twice.nodes[1] = twice.nodes[0];
  EXPECT_NE(refusal(twice).find("this name is used twice"), std::string::npos);
}

}  // namespace
}  // namespace perjoule::plant
