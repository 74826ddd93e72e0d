#include "ledger/settlement.hpp"

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "base/rng.hpp"

namespace perjoule::ledger {
namespace {

using base::Microjoules;
using base::Rng;
using energy::MeterId;
using energy::Share;

class Rows final : public RowSink {
 public:
  void meter(const energy::MeterRow& row) override { meters.push_back(row); }
  void joule(const energy::JouleRow& row) override { joules.push_back(row); }
  std::vector<energy::MeterRow> meters;
  std::vector<energy::JouleRow> joules;
};

// The two equalities, computed from nothing but the rows.
void expect_conserved(const Rows& rows) {
  std::map<std::uint32_t, std::int64_t> own, children, reading, parent;
  for (const auto& j : rows.joules) own[j.meter.id] += j.energy_uj;
  for (const auto& m : rows.meters) {
    reading[m.meter.id] = m.energy_uj;
    if (!m.parent.empty()) children[m.parent.id] += m.energy_uj;
  }
  for (const auto& [meter, energy] : reading) {
    ASSERT_EQ(energy, own[meter] + children[meter]) << "meter " << meter;
    ASSERT_TRUE(own.contains(meter));
  }
}

energy::Consumer random_consumer(Rng& rng, base::SymbolTable& symbols) {
  const auto pick = [&](const char* prefix, std::uint64_t n) {
    const auto k = rng.below(n + 1);
    return k == 0 ? base::Symbol{} : symbols.intern(prefix + std::to_string(k));
  };
  return {pick("tenant", 3), pick("job", 5), pick("model", 4), {}, {}, {}, pick("r", 50), pick("k", 9)};
}

std::int64_t random_energy(Rng& rng) {
  const auto magnitude = rng.below(5);
  if (magnitude == 0) return 0;
  return static_cast<std::int64_t>(rng.below(magnitude == 4 ? 1'000'000'000'000'000ULL : 40'000'000ULL));
}

energy::MeterTree random_tree(Rng& rng, base::SymbolTable& symbols) {
  energy::MeterTree tree;
  const auto n = 1 + rng.below(60);
  for (std::uint64_t i = 0; i < n; ++i) {
    energy::Meter m;
    m.name = symbols.intern("m" + std::to_string(i));
    if (i > 0)
      m.parent = MeterId{static_cast<std::uint32_t>(i - 1 - rng.below(std::min<std::uint64_t>(i, 8)))};
    EXPECT_TRUE(tree.add(m).ok());
  }
  return tree;
}

void settle_randomly(Settlement& settlement, const energy::MeterTree& tree, Rng& rng,
                     base::SymbolTable& symbols) {
  for (std::uint32_t i = 0; i < tree.size(); ++i) {
    const MeterId id{i};
    const energy::Provenance from{energy::Quality::kSimulated, symbols.intern("test"), 5000};
    const Microjoules energy(random_energy(rng));
    if (!tree.is_leaf(id)) {
      settlement.settle_parent(id, energy, from, Microjoules(random_energy(rng)));
    } else if (rng.below(4) == 0) {
      const MeterId scope{static_cast<std::uint32_t>(rng.below(tree.size()))};
      settlement.settle_overhead_leaf(id, energy, from, scope);
    } else {
      std::vector<Claim> claims(rng.below(20));
      for (Claim& c : claims)
        c = {random_consumer(rng, symbols), rng.below(3) == 0 ? 0.0 : rng.uniform(0.0, 1e6)};
      settlement.settle_leaf({id, energy, from, Microjoules(random_energy(rng)),
                              random_consumer(rng, symbols), claims, symbols.intern("direct/1")});
    }
  }
}

TEST(Settlement, TenThousandRandomHallsKeepBothEqualities) {
  for (std::uint64_t seed = 0; seed < 10'000; ++seed) {
    Rng rng = Rng::stream(7, "settlement", seed);
    base::SymbolTable symbols;
    const auto tree = random_tree(rng, symbols);
    Rows rows;
    Settlement settlement(tree, symbols, rows);
    settlement.begin_window({0}, {30});
    settle_randomly(settlement, tree, rng, symbols);
    settlement.end_window();
    ASSERT_NO_FATAL_FAILURE(expect_conserved(rows)) << "seed " << seed;
    const auto& t = settlement.totals();
    const auto all = t.direct + t.idle + t.overhead + t.residual;
    ASSERT_EQ(all, Microjoules(rows.meters[0].energy_uj))
        << "the site's rows sum to the site meter, seed " << seed;
  }
}

struct NodeFixture : ::testing::Test {
  NodeFixture() {
    node = tree.add({symbols.intern("node"), {}, {}, {}}).value();
    gpu = tree.add({symbols.intern("gpu"), node, {}, {}}).value();
    fan = tree.add({symbols.intern("fan"), node, {}, {}}).value();
  }
  base::SymbolTable symbols;
  energy::MeterTree tree;
  MeterId node, gpu, fan;
  Rows rows;
  energy::Provenance from{energy::Quality::kSimulated, {}, 0};
};

TEST_F(NodeFixture, SplitsDirectIdleOverheadAndResidual) {
  energy::Consumer a, b;
  a.job = symbols.intern("a"), a.request = symbols.intern("r1");
  b.job = symbols.intern("b");
  const std::vector<Claim> claims{{a, 3.0}, {b, 1.0}};
  Settlement s(tree, symbols, rows);
  s.begin_window({0}, {30});
  s.settle_leaf({gpu, Microjoules(1001), from, Microjoules(201), b, claims, symbols.intern("direct/1")});
  s.settle_overhead_leaf(fan, Microjoules(100), from, node);
  s.settle_parent(node, Microjoules(1200), from, Microjoules(50));
  s.end_window();
  expect_conserved(rows);
  std::map<std::string, std::int64_t> by;
  for (const auto& j : rows.joules) {
    by[std::string(symbols.text(j.meter)) + "/" + std::string(energy::name_of(j.share)) + "/" +
       std::string(symbols.text(j.consumer.job))] += j.energy_uj;
    if (j.share == Share::kOverhead) {
      EXPECT_TRUE(j.consumer.request.empty());
    }
  }
  // gpu: 800 direct as 3:1, 201 idle to b. Below the node a has 600, b 401: the fan's 100 is 60 + 40.
  const std::map<std::string, std::int64_t> expected{
      {"gpu/direct/a", 600},  {"gpu/direct/b", 200},   {"gpu/idle/b", 201},     {"fan/overhead/a", 60},
      {"fan/overhead/b", 40}, {"node/overhead/a", 30}, {"node/overhead/b", 20}, {"node/residual/", 49}};
  EXPECT_EQ(by, expected);
}

TEST_F(NodeFixture, AParentThatReadsLessThanItsChildrenHasANegativeResidual) {
  Settlement s(tree, symbols, rows);
  s.begin_window({0}, {30});
  s.settle_leaf({gpu, Microjoules(1000), from, Microjoules(0), {}, {}, {}});
  s.settle_overhead_leaf(fan, Microjoules(100), from, node);
  s.settle_parent(node, Microjoules(1090), from, Microjoules(50));
  s.end_window();
  expect_conserved(rows);
  EXPECT_EQ(s.totals().residual, Microjoules(-10));
}

}  // namespace
}  // namespace perjoule::ledger
