// Nanoseconds per claim of settlement, on halls as wide as the largest scenario; both equalities are checked.
//   ledger [--nodes N] [--claims N] [--windows N] [--json]
// A hall of nodes of 8 GPUs and a fan, 16 nodes to a rack; every GPU's energy is split over `claims` requests
// of four services. Processor time, one thread. Exit status: 0 done, 1 an equality does not hold, 2 for a bad
// command line.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "base/rng.hpp"
#include "energy/meter_tree.hpp"
#include "ledger/settlement.hpp"

namespace {

namespace base = perjoule::base;
namespace energy = perjoule::energy;
namespace ledger = perjoule::ledger;
using energy::MeterId;

struct Options {
  std::uint32_t nodes = 128, claims = 50, windows = 200;
  bool json = false;
};

struct Hall {
  energy::MeterTree tree;
  MeterId site;
  std::vector<MeterId> gpus, fans, nodes, racks;
};

MeterId add(Hall& hall, base::SymbolTable& symbols, const std::string& name, MeterId parent) {
  return hall.tree.add({symbols.intern(name), parent, {}, {}}).value();
}

Hall make_hall(std::uint32_t nodes, base::SymbolTable& symbols) {
  Hall hall;
  hall.site = add(hall, symbols, "site", {});
  for (std::uint32_t n = 0; n < nodes; ++n) {
    if (n % 16 == 0) hall.racks.push_back(add(hall, symbols, "rack" + std::to_string(n / 16), hall.site));
    const std::string name = "node" + std::to_string(n);
    hall.nodes.push_back(add(hall, symbols, name, hall.racks.back()));
    for (int g = 0; g < 8; ++g) {
      hall.gpus.push_back(add(hall, symbols, name + "/gpu" + std::to_string(g), hall.nodes.back()));
    }
    hall.fans.push_back(add(hall, symbols, name + "/fan", hall.nodes.back()));
  }
  return hall;
}

// Adds up what comes out, meter by meter, as any reader of the two tables would.
class Sums final : public ledger::RowSink {
 public:
  explicit Sums(std::size_t symbols) : own_(symbols), reading_(symbols) {}
  void meter(const energy::MeterRow& row) override { reading_[row.meter.id] += row.energy_uj; }
  void joule(const energy::JouleRow& row) override { own_[row.meter.id] += row.energy_uj; }
  // Equality 1 and 2: every meter's reading is its own rows plus its children's readings.
  bool conserved(const energy::MeterTree& tree) const {
    for (std::uint32_t m = 0; m < tree.size(); ++m) {
      std::int64_t sum = own_[tree[{m}].name.id];
      for (const MeterId child : tree.children({m})) sum += reading_[tree[child].name.id];
      if (sum != reading_[tree[{m}].name.id]) return false;
    }
    return true;
  }

 private:
  std::vector<std::int64_t> own_, reading_;
};

// Claims of one window, made once: the cost of making them is the caller's.
struct Window {
  std::vector<ledger::Claim> claims;
  std::vector<std::int64_t> gpu_uj;
};

Window make_window(const Hall& hall, const Options& o, base::SymbolTable& symbols) {
  base::Rng rng = base::Rng::stream(1, "ledger-bench");
  Window out;
  for (std::size_t g = 0; g < hall.gpus.size(); ++g) {
    const std::string service = "service" + std::to_string(g / 8 % 4);
    for (std::uint32_t c = 0; c < o.claims; ++c) {
      ledger::Claim claim;
      claim.consumer.tenant = claim.consumer.job = claim.consumer.model = symbols.intern(service);
      claim.consumer.request = symbols.intern("r" + std::to_string(g / 8 * o.claims + c));
      claim.weight = rng.uniform(0.0, 400.0);
      out.claims.push_back(claim);
    }
    out.gpu_uj.push_back(static_cast<std::int64_t>(rng.uniform(3e9, 20e9)));
  }
  return out;
}

void settle(ledger::Settlement& settlement, const Hall& hall, const Window& window, std::size_t claims,
            std::int64_t second) {
  const energy::Provenance from{energy::Quality::kSimulated, {}, 5000};
  settlement.begin_window({second}, {second + 30});
  std::vector<std::int64_t> node_uj(hall.nodes.size());
  for (std::size_t g = 0; g < hall.gpus.size(); ++g) {
    const std::int64_t uj = window.gpu_uj[g] + second;
    node_uj[g / 8] += uj;
    settlement.settle_leaf({hall.gpus[g],
                            base::Microjoules(uj),
                            from,
                            base::Microjoules(uj / 10),
                            window.claims[g * claims].consumer,
                            std::span(window.claims).subspan(g * claims, claims),
                            {}});
  }
  const std::int64_t fan_uj = 3'000'000'000, loss_uj = 1'000'000'000;
  std::vector<std::int64_t> rack_uj(hall.racks.size());
  for (std::size_t n = 0; n < hall.nodes.size(); ++n) {
    settlement.settle_overhead_leaf(hall.fans[n], base::Microjoules(fan_uj), from, hall.nodes[n]);
    node_uj[n] += fan_uj + loss_uj;
    settlement.settle_parent(hall.nodes[n], base::Microjoules(node_uj[n]), from,
                             base::Microjoules(loss_uj - 7));
    rack_uj[n / 16] += node_uj[n];
  }
  std::int64_t site_uj = 0;
  for (std::size_t r = 0; r < hall.racks.size(); ++r) {
    settlement.settle_parent(hall.racks[r], base::Microjoules(rack_uj[r] + loss_uj), from,
                             base::Microjoules(loss_uj));
    site_uj += rack_uj[r] + loss_uj;
  }
  settlement.settle_parent(hall.site, base::Microjoules(site_uj), from, base::Microjoules(0));
  settlement.end_window();
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--json") {
      o.json = true;
      continue;
    }
    std::uint32_t* field = arg == "--nodes"     ? &o.nodes
                           : arg == "--claims"  ? &o.claims
                           : arg == "--windows" ? &o.windows
                                                : nullptr;
    if (field == nullptr || i + 1 == argc) return false;
    *field = static_cast<std::uint32_t>(std::atoi(argv[++i]));
  }
  return o.nodes > 0 && o.nodes <= 4096 && o.claims > 0 && o.claims <= 4096 && o.windows > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fputs("usage: ledger [--nodes N] [--claims N] [--windows N] [--json]\n", stderr);
    return 2;
  }
  base::SymbolTable symbols;
  const Hall hall = make_hall(o.nodes, symbols);
  const Window window = make_window(hall, o, symbols);
  Sums sums(symbols.size() + 16);
  ledger::Settlement settlement(hall.tree, symbols, sums);
  const std::clock_t before = std::clock();
  for (std::uint32_t w = 0; w < o.windows; ++w) settle(settlement, hall, window, o.claims, w);
  const double seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  const double claims = static_cast<double>(hall.gpus.size()) * o.claims * o.windows;
  const bool conserved = sums.conserved(hall.tree);
  std::printf(o.json ? "{\"gpus\": %zu, \"claims_per_gpu\": %u, \"windows\": %u, \"ns_per_claim\": %.2f, "
                       "\"rows\": %lld, \"conserved\": %s}\n"
                     : "%zu GPUs, %u claims each, %u windows: %.1f ns per claim, %lld rows, conserved: %s\n",
              hall.gpus.size(), o.claims, o.windows, 1e9 * seconds / claims,
              static_cast<long long>(settlement.totals().joule_rows), conserved ? "true" : "false");
  return conserved ? 0 : 1;
}
