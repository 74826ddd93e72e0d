#include "compose/settler.hpp"

#include <algorithm>

#include "base/rng.hpp"

namespace perjoule::compose {

using base::Microjoules;
using energy::Consumer;
using energy::MeterId;

namespace {
// The batch and context at which a service's kernel shares are taken (docs/models/attribution.md).
constexpr double kKernelBatch = 16.0, kKernelContext = 1300.0, kKernelPrompt = 1155.0;
}  // namespace

Settler::Settler(plant::Hall& hall, base::SymbolTable& symbols, const Scenario& scenario)
    : hall_(hall),
      symbols_(symbols),
      scenario_(scenario),
      serving_(symbols.intern("serving-steps/1")),
      training_(symbols.intern("training-phases/1")),
      host_(symbols.intern("host-by-gpu/1")),
      prefill_(symbols.intern("prefill")),
      decode_(symbols.intern("decode")) {
  for (std::size_t p = 0; p < plant::kTrainingPhases; ++p) {
    phases_[p] = symbols.intern(plant::training_profiles()[0].phases[p].name);
  }
  const auto& services = hall.spec().services;
  prefill_kernels_.resize(services.size());
  decode_kernels_.resize(services.size());
  for (std::size_t s = 0; s < services.size(); ++s) {
    Consumer c;
    c.tenant = symbols.intern(services[s].tenant);
    c.job = symbols.intern(services[s].name);
    c.model = symbols.intern(services[s].model);
    services_.push_back(c);
    const plant::LlmCostModel& model = hall.cost_model(s, base::Watts(1e9));
    for (const auto& k : model.prefill_kernels(kKernelPrompt)) add_kernels(prefill_kernels_[s], "prefill", k);
    for (const auto& k : model.decode_kernels(kKernelBatch, kKernelBatch * kKernelContext)) {
      add_kernels(decode_kernels_[s], "decode", k);
    }
  }
}

// One kernel of every layer gets its own number: "decode/L07/qk_t".
void Settler::add_kernels(std::vector<KernelWeight>& out, std::string_view phase,
                          const plant::KernelShare& kernel) {
  const int n = std::max(kernel.layer_count, 1);
  for (int layer = 0; layer < n; ++layer) {
    std::string name(phase);
    if (n > 1) {
      const std::string number = std::to_string(layer);
      name += "/L" + std::string(number.size() < 2 ? 1 : 0, '0') + number;
    }
    out.push_back({symbols_.intern(name + "/" + std::string(kernel.name)), kernel.energy_share / n});
  }
}

bool Settler::traced(std::uint64_t id) const {
  const auto& named = scenario_.traced_requests;
  if (std::find(named.begin(), named.end(), id) != named.end()) return true;
  std::uint64_t state = scenario_.hall.seed * 0x9e3779b97f4a7c15ULL + id;
  return static_cast<double>(base::splitmix64(state) >> 11) * 0x1.0p-53 < scenario_.kernel_sample;
}

base::Symbol Settler::request_symbol(std::uint64_t id) {
  if (request_symbols_.size() <= id)
    request_symbols_.resize(std::max<std::size_t>(id + 1, request_symbols_.size() * 2));
  base::Symbol& s = request_symbols_[id];
  if (s.empty()) s = symbols_.intern("r" + std::to_string(id));
  return s;
}

const Consumer& Settler::job_consumer(std::size_t job) {
  if (job_consumers_.size() <= job) job_consumers_.resize(hall_.jobs().size());
  Consumer& c = job_consumers_[job];
  if (!c.job.empty()) return c;
  const plant::TrainingJobSpec& spec = hall_.jobs()[job].spec;
  c.tenant = symbols_.intern(spec.tenant);
  c.job = symbols_.intern(spec.name);
  c.model = symbols_.intern(plant::training_profiles()[spec.profile].model);
  return c;
}

base::Symbol Settler::epoch_symbol(std::int64_t epoch) {
  const auto index = static_cast<std::size_t>(epoch);
  if (epoch_symbols_.size() <= index) epoch_symbols_.resize(index + 1);
  base::Symbol& s = epoch_symbols_[index];
  if (s.empty()) s = symbols_.intern("epoch-" + std::to_string(epoch));
  return s;
}

void Settler::settle(ledger::Settlement& settlement) {
  claims_of_ = SIZE_MAX;
  for (const plant::GpuWindow& g : hall_.gpus()) settle_gpu(settlement, g);
  for (std::size_t n = 0; n < hall_.node_meters().size(); ++n) settle_node(settlement, n);
  settle_parents(settlement);
}

void Settler::claim_kernels(const plant::Replica& replica, const Consumer& consumer, bool prefill,
                            double joules) {
  for (const KernelWeight& k : (prefill ? prefill_kernels_ : decode_kernels_)[replica.service]) {
    Consumer c = consumer;
    c.step = c.phase = prefill ? prefill_ : decode_;
    c.kernel = k.kernel;
    claims_.push_back({c, joules * k.share});
  }
}

void Settler::claim_requests(const plant::Replica& replica) {
  for (const plant::RequestUse& use : replica.uses) {
    Consumer c = services_[replica.service];
    c.request = request_symbol(use.id);
    if (!traced(use.id)) {
      // A window in which a request did both is one row, so its phase is not known.
      if (use.prefill_joules <= 0.0) c.phase = decode_;
      if (use.decode_joules <= 0.0) c.phase = prefill_;
      claims_.push_back({c, use.prefill_joules + use.decode_joules});
      continue;
    }
    // One from a later window, so that its meters have a sample before it.
    if (traced_name_.empty() && hall_.window_start() > hall_.spec().start)
      traced_name_ = symbols_.text(c.request);
    if (use.prefill_joules > 0.0) claim_kernels(replica, c, true, use.prefill_joules);
    if (use.decode_joules > 0.0) claim_kernels(replica, c, false, use.decode_joules);
  }
}

void Settler::claim_jobs(const plant::GpuWindow& gpu) {
  for (const plant::JobUse& use : gpu.jobs) {
    Consumer c = job_consumer(use.job);
    c.epoch = epoch_symbol(use.epoch);
    for (std::size_t p = 0; p < plant::kTrainingPhases; ++p) {
      c.kernel = c.phase = phases_[p];
      claims_.push_back({c, use.phase_joules[p]});
    }
  }
}

void Settler::settle_gpu(ledger::Settlement& settlement, const plant::GpuWindow& gpu) {
  ledger::Reading reading;
  reading.meter = gpu.meter;
  reading.energy = hall_.readings()[gpu.meter.index].reading;
  reading.provenance = hall_.provenance(gpu.meter);
  reading.idle = base::to_microjoules(base::Joules(gpu.idle_joules));
  if (gpu.replica >= 0) {
    const auto index = static_cast<std::size_t>(gpu.replica);
    const plant::Replica& replica = hall_.replicas()[index];
    // The GPUs of a replica work in lock step, so they share the claims.
    if (claims_of_ != index) {
      claims_.clear();
      claim_requests(replica);
      claims_of_ = index;
    }
    reading.holder = services_[replica.service];
    reading.direct_method = serving_;
  } else {
    claims_.clear();
    claims_of_ = SIZE_MAX;
    claim_jobs(gpu);
    if (gpu.holder_job >= 0) reading.holder = job_consumer(static_cast<std::size_t>(gpu.holder_job));
    reading.direct_method = training_;
  }
  reading.claims = claims_;
  settlement.settle_leaf(reading);
}

// Host parts follow the GPU energy of who worked on the node; with nobody there they are idle.
void Settler::settle_node(ledger::Settlement& settlement, std::size_t node) {
  host_claims_.clear();
  const auto add = [&](const Consumer& c, double weight) {
    for (ledger::Claim& claim : host_claims_) {
      if (claim.consumer == c) {
        claim.weight += weight;
        return;
      }
    }
    host_claims_.push_back({c, weight});
  };
  Consumer holder;
  for (const std::size_t g : hall_.gpus_of(node)) {
    const plant::GpuWindow& gpu = hall_.gpus()[g];
    if (gpu.replica >= 0) {
      holder = services_[hall_.replicas()[static_cast<std::size_t>(gpu.replica)].service];
      if (gpu.busy_joules > 0.0) add(holder, gpu.busy_joules);
    }
    for (const plant::JobUse& use : gpu.jobs) {
      double joules = 0.0;
      for (const double phase : use.phase_joules) joules += phase;
      add(job_consumer(use.job), joules);
    }
  }
  const plant::NodeMeters& m = hall_.node_meters()[node];
  for (const MeterId leaf : {m.cpu[0], m.cpu[1], m.dram, m.nic}) {
    settlement.settle_leaf({leaf, hall_.readings()[leaf.index].reading, hall_.provenance(leaf),
                            Microjoules(0), holder, host_claims_, host_});
  }
  for (const MeterId leaf : {m.fans, m.board}) {
    settlement.settle_overhead_leaf(leaf, hall_.readings()[leaf.index].reading, hall_.provenance(leaf),
                                    m.node);
  }
}

void Settler::settle_parents(ledger::Settlement& settlement) {
  const energy::MeterTree& tree = hall_.meters();
  for (std::uint32_t i = 0; i < tree.size(); ++i) {
    const MeterId id{i};
    const Microjoules reading = hall_.readings()[i].reading;
    if (tree.is_leaf(id)) {
      const energy::DeviceKind kind = tree[id].device.kind;
      const bool facility = kind == energy::DeviceKind::kChiller || kind == energy::DeviceKind::kTower ||
                            kind == energy::DeviceKind::kPump || kind == energy::DeviceKind::kCrah;
      // A switch serves its rack; cooling serves the whole site.
      if (kind == energy::DeviceKind::kSwitch) {
        settlement.settle_overhead_leaf(id, reading, hall_.provenance(id), tree[id].parent);
      } else if (facility) {
        settlement.settle_overhead_leaf(id, reading, hall_.provenance(id), MeterId{0});
      }
      continue;
    }
    Microjoules children;
    for (const MeterId child : tree.children(id)) children += hall_.readings()[child.index].reading;
    settlement.settle_parent(id, reading, hall_.provenance(id), hall_.expected_loss(id, children));
  }
}

}  // namespace perjoule::compose
