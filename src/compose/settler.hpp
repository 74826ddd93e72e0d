// Reads a hall's window and settles it: which consumers claim which device's energy, and by which rule.
// Rules (docs/models/attribution.md): "serving-steps/1", "training-phases/1", "host-by-gpu/1".
// Thread rule: one thread. Ownership: borrows hall, symbols and scenario.
#pragma once

#include <string>
#include <vector>

#include "compose/scenario.hpp"
#include "ledger/settlement.hpp"
#include "plant/hall.hpp"

namespace perjoule::compose {

class Settler {
 public:
  Settler(plant::Hall& hall, base::SymbolTable& symbols, const Scenario& scenario);
  void settle(ledger::Settlement& settlement);
  base::Symbol request_symbol(std::uint64_t id);
  const energy::Consumer& service_consumer(std::size_t service) const { return services_[service]; }
  // The name of a request recorded to the kernel, or empty.
  const std::string& a_traced_request() const { return traced_name_; }

 private:
  struct KernelWeight {
    base::Symbol kernel;
    double share;
  };
  void settle_gpu(ledger::Settlement& settlement, const plant::GpuWindow& gpu);
  void settle_node(ledger::Settlement& settlement, std::size_t node);
  void claim_requests(const plant::Replica& replica);
  void claim_jobs(const plant::GpuWindow& gpu);
  void claim_kernels(const plant::Replica& replica, const energy::Consumer& consumer, bool prefill,
                     double joules);
  bool traced(std::uint64_t id) const;
  const energy::Consumer& job_consumer(std::size_t job);
  base::Symbol epoch_symbol(std::int64_t epoch);
  void settle_parents(ledger::Settlement& settlement);
  void add_kernels(std::vector<KernelWeight>& out, std::string_view phase, const plant::KernelShare& kernel);

  plant::Hall& hall_;
  base::SymbolTable& symbols_;
  const Scenario& scenario_;
  std::vector<energy::Consumer> services_;
  std::vector<base::Symbol> request_symbols_, epoch_symbols_;  // by number, made when first named
  std::vector<energy::Consumer> job_consumers_;                // by job, likewise
  std::vector<ledger::Claim> claims_;
  std::vector<ledger::Claim> host_claims_;
  std::size_t claims_of_ = SIZE_MAX;  // replica whose claims are in claims_
  std::vector<std::vector<KernelWeight>> prefill_kernels_, decode_kernels_;  // by service
  base::Symbol serving_, training_, host_, prefill_, decode_;
  std::array<base::Symbol, plant::kTrainingPhases> phases_;
  std::string traced_name_;
};

}  // namespace perjoule::compose
