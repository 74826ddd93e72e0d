// A hall small enough for a test: one serving node (replicas of two GPUs) and one training node. Thread rule:
// one thread. Ownership: owns the symbols and the hall.
#pragma once

#include <memory>
#include <utility>
#include <vector>

#include "plant/hall.hpp"

namespace perjoule::backends::sim {

struct TestHall {
  explicit TestHall(std::vector<plant::ServingRequest> requests = {},
                    base::Duration window = base::seconds(1)) {
    plant::HallSpec spec;
    spec.start = {1'700'000'000 * base::kNsPerSecond};
    spec.window = window;
    spec.feeds = {"feed-a"};
    spec.racks = {{"r1", "feed-a"}};
    spec.nodes = {{"n1", "r1", 4, false}, {"n2", "r1", 4, true}};
    spec.services = {{"chat", "acme", "meta-llama/Llama-3.1-8B-Instruct", 2, 0, {"n1"}}};
    spec.jobs = {{"j1", "acme", 0, 2, spec.start, 3600.0}};
    auto list = std::make_shared<std::vector<plant::ServingRequest>>(std::move(requests));
    auto next = std::make_shared<std::size_t>(0);
    const base::TimePoint start = spec.start;
    auto made = plant::Hall::make(
        std::move(spec), symbols, [list, next, start]() -> std::optional<plant::HallRequest> {
          if (*next == list->size()) return std::nullopt;
          plant::ServingRequest r = (*list)[(*next)++];
          r.arrival = start + base::Duration{r.arrival.ns};  // given from the start of the hall
          return plant::HallRequest{0, r};
        });
    PJ_CHECK(made.ok());
    hall = std::move(*made);
  }
  base::SymbolTable symbols;
  std::unique_ptr<plant::Hall> hall;
};

}  // namespace perjoule::backends::sim
