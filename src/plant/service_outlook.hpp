// What a steady load does to one replica of an LLM service, in closed form from the calibrated cost model:
// latencies, batch, power. Policies ask it what another cap or another number of replicas would mean; the
// replica itself (serving_replica.hpp) is simulated request by request, and a test compares the two.
//
// Arrivals are taken as Poisson, lengths as their means. b, the mean number of sequences that decode, solves
//     b = rate x (output - 1) x step(b') / (1 - rho),    b' = b / (1 - exp(-b)),    rho = rate x prefill
// where b' is the mean batch while anything decodes and rho the share of time that prefills take from
// decoding. The 95th percentiles are the means times constants that the test holds against the simulated
// replica; a burstier load has longer tails, so ask with a margin. Thread rule: const use from any thread.
// Ownership: borrows the model.
#pragma once

#include <cstdint>

#include "base/units.hpp"
#include "plant/llm_cost_model.hpp"

namespace perjoule::plant {

struct ReplicaOutlook {
  double ttft_p95_ms = 0.0;
  double token_gap_p95_ms = 0.0;
  double batch = 1.0;     // mean while anything decodes
  base::Watts gpu_power;  // mean of one GPU, idle time included
  bool possible = true;   // false: the load exceeds the replica; the other figures are then of its limit
};

class ServiceOutlook {
 public:
  struct Requests {
    double input_tokens = 1.0, output_tokens = 1.0;  // means
  };
  // `ready`: draw of one GPU while the replica has nothing to do.
  ServiceOutlook(const LlmCostModel& model, Requests requests, std::int64_t batch_limit, base::Watts ready);

  // At this arrival rate to one replica, per second (>= 0).
  ReplicaOutlook at(double requests_per_s) const;

 private:
  const LlmCostModel& model_;
  Requests requests_;
  double ready_w_;
  double most_batch_;
  StepCost prefill_;
};

}  // namespace perjoule::plant
