#include "energy/meter_tree.hpp"

#include <gtest/gtest.h>

#include "base/rng.hpp"

namespace perjoule::energy {
namespace {

class MeterTreeTest : public testing::Test {
 protected:
  MeterId add(std::string_view name, MeterId parent = {}) {
    Meter m;
    m.name = names_.intern(name);
    m.parent = parent;
    return tree_.add(m).value();
  }
  base::SymbolTable names_;
  MeterTree tree_;
};

TEST_F(MeterTreeTest, KeepsParentsChildrenAndNames) {
  const MeterId site = add("site"), it = add("it", site), node = add("node", it),
                cooling = add("cooling", site);
  EXPECT_EQ(tree_.size(), 4u);
  EXPECT_FALSE(tree_[site].parent.valid());
  EXPECT_EQ(tree_[node].parent, it);
  EXPECT_EQ(tree_.children(site), (std::vector<MeterId>{it, cooling}));
  EXPECT_TRUE(tree_.is_leaf(node) && tree_.is_leaf(cooling));
  EXPECT_FALSE(tree_.is_leaf(it));
  EXPECT_EQ(tree_.find(names_.find("node")), node);
  EXPECT_FALSE(tree_.find(names_.intern("unknown")).valid());
}

TEST_F(MeterTreeTest, RefusesASecondMeterOfTheSameName) {
  const MeterId site = add("site");
  add("node", site);
  Meter again;
  again.name = names_.find("node");
  const auto refused = tree_.add(again);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, base::ErrorKind::kBadInput);
  EXPECT_EQ(tree_.size(), 2u);
  EXPECT_EQ(tree_.children(site).size(), 1u);
}

TEST_F(MeterTreeTest, EveryMeterIsTheChildOfItsParentAlone) {
  base::Rng rng(4);
  std::vector<MeterId> ids{add("m0")};
  for (int i = 1; i < 500; ++i) {
    const MeterId parent = rng.below(10) == 0 ? MeterId{} : ids[rng.below(ids.size())];
    ids.push_back(add("m" + std::to_string(i), parent));
  }
  std::size_t edges = 0, roots = 0;
  for (const MeterId id : ids) {
    roots += tree_[id].parent.valid() ? 0U : 1U;
    for (const MeterId child : tree_.children(id)) {
      EXPECT_EQ(tree_[child].parent, id);
      EXPECT_LT(id, child);  // parents before children: one backward pass sums the tree
      ++edges;
    }
  }
  EXPECT_EQ(edges + roots, ids.size());
}

}  // namespace
}  // namespace perjoule::energy
