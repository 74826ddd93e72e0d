#include "compose/host_probe.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>

#include "base/env.hpp"

namespace perjoule::compose {
namespace {

TEST(HostProbe, SaysWhatIsThereAndWhatIsLost) {
  const auto root = std::filesystem::path(::testing::TempDir()) / "host-probe";
  std::filesystem::create_directories(root / "proc/pressure");
  ASSERT_TRUE(
      base::write_atomically(base::posix_env(), (root / "proc/pressure/cpu").string(), "some\n").ok());
  const auto findings = probe_host(root.string());
  const auto state = [&](const std::string& source) {
    return std::find_if(findings.begin(), findings.end(), [&](const auto& f) { return f.source == source; });
  };
  EXPECT_EQ(state("pressure (PSI)")->state, "found");
  EXPECT_EQ(state("BMC (IPMI)")->state, "absent");
  EXPECT_FALSE(state("BMC (IPMI)")->lost.empty());
  EXPECT_FALSE(state("BMC (IPMI)")->fix.empty());
}

}  // namespace
}  // namespace perjoule::compose
