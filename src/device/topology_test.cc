#include "device/topology.hpp"

#include <gtest/gtest.h>

namespace perjoule::device {
namespace {

class TopologyTest : public testing::Test {
 protected:
  DeviceId add(std::string_view path, energy::DeviceKind kind, DeviceId parent = {}) {
    energy::Device d;
    d.name = symbols_.intern(path);
    d.kind = kind;
    return topology_.add(d, parent).value();
  }
  base::SymbolTable symbols_;
  Topology topology_{symbols_};
};

TEST_F(TopologyTest, KnowsPathsParentsAndChildren) {
  using K = energy::DeviceKind;
  const auto site = add("hall", K::kSite), rack = add("hall/r1", K::kRack, site);
  const auto node = add("hall/r1/n1", K::kNode, rack);
  const auto gpu0 = add("hall/r1/n1/gpu/0", K::kGpu, node), gpu1 = add("hall/r1/n1/gpu/1", K::kGpu, node);
  EXPECT_EQ(topology_.size(), 5u);
  EXPECT_EQ(*topology_.find("hall/r1/n1/gpu/1"), gpu1);
  EXPECT_EQ(topology_.path(gpu0), "hall/r1/n1/gpu/0");
  EXPECT_EQ(topology_.parent(gpu0), node);
  EXPECT_FALSE(topology_.parent(site).valid());
  ASSERT_EQ(topology_.children(node).size(), 2u);
  EXPECT_EQ(topology_.children(node)[1], gpu1);
  EXPECT_EQ(topology_.enclosing(gpu1, K::kRack), rack);
  EXPECT_EQ(topology_.enclosing(gpu1, K::kGpu), gpu1);
  EXPECT_FALSE(topology_.enclosing(gpu1, K::kUps).valid());
}

TEST_F(TopologyTest, RefusesDoublesAndNamesTheNearest) {
  const auto site = add("hall", energy::DeviceKind::kSite);
  add("hall/r1", energy::DeviceKind::kRack, site);
  energy::Device again;
  again.name = symbols_.find("hall/r1");
  EXPECT_EQ(topology_.add(again, site).error().where, "hall/r1");
  EXPECT_FALSE(topology_.add({}, site).ok());
  EXPECT_EQ(topology_.size(), 2u);
  EXPECT_EQ(topology_.children(site).size(), 1u);
  const auto wrong = topology_.find("hall/r2");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().message(),
            "find a device: 'hall/r2': there is no such device. Did you mean 'hall/r1'?");
  symbols_.intern("known.elsewhere");
  EXPECT_FALSE(topology_.find("known.elsewhere").ok());
  EXPECT_FALSE(topology_.find("").ok());
}

}  // namespace
}  // namespace perjoule::device
