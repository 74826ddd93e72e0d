#include "device/by_device.hpp"

#include <gtest/gtest.h>

#include <string>

namespace perjoule::device {
namespace {

TEST(ByDevice, KnowsEachNameOfEachDeviceOnce) {
  base::SymbolTable symbols;
  ByDevice index;
  for (std::uint32_t d = 0; d < 300; ++d) {
    const base::Symbol device = symbols.intern("gpu/" + std::to_string(d));
    EXPECT_TRUE(index.add(device, "gpu.cap", 2 * d));
    EXPECT_TRUE(index.add(device, "gpu.rest", 2 * d + 1));
    EXPECT_FALSE(index.add(device, "gpu.cap", 7));
  }
  EXPECT_EQ(index.find(symbols, "gpu/299", "gpu.cap"), 598U);
  EXPECT_EQ(index.find(symbols, "gpu/0", "gpu.rest"), 1U);
  EXPECT_EQ(index.find(symbols, "gpu/0", "gpu.clock"), std::nullopt);
}

TEST(ByDevice, AnUnknownDeviceIsNotTheNamelessOne) {
  base::SymbolTable symbols;
  ByDevice index;
  EXPECT_TRUE(index.add({}, "carbon", 0));
  EXPECT_EQ(index.find(symbols, "", "carbon"), 0U);
  EXPECT_EQ(index.find(symbols, "gpu/0", "carbon"), std::nullopt);
}

}  // namespace
}  // namespace perjoule::device
