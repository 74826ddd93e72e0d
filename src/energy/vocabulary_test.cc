#include "energy/vocabulary.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <string>

#include "energy/records.hpp"

namespace perjoule::energy {
namespace {

TEST(Vocabulary, QualityNamesReadBack) {
  for (std::size_t i = 0; i < kQualityNames.size(); ++i) {
    EXPECT_EQ(parse_quality(kQualityNames[i]).value(), static_cast<Quality>(i));
    EXPECT_EQ(name_of(static_cast<Quality>(i)), kQualityNames[i]);
  }
  for (const char* wrong : {"", "Measured", "measured ", "guess"}) {
    ASSERT_FALSE(parse_quality(wrong).ok());
    EXPECT_EQ(parse_quality(wrong).error().kind, base::ErrorKind::kBadInput);
  }
}

// A sum is as good as its worst part, and missing wins over everything.
TEST(Vocabulary, WorseIsAnOrder) {
  const Quality all[] = {Quality::kMeasured, Quality::kDerived, Quality::kModelled, Quality::kSimulated,
                         Quality::kMissing};
  for (const Quality a : all) {
    EXPECT_EQ(worse(a, a), a);
    EXPECT_EQ(worse(a, Quality::kMissing), Quality::kMissing);
    EXPECT_EQ(worse(Quality::kMeasured, a), a);
    for (const Quality b : all) {
      EXPECT_EQ(worse(a, b), worse(b, a));
      for (const Quality c : all) EXPECT_EQ(worse(worse(a, b), c), worse(a, worse(b, c)));
    }
  }
}

TEST(Vocabulary, EveryKindAndShareHasItsOwnName) {
  EXPECT_EQ(std::set<std::string_view>(kDeviceKindNames.begin(), kDeviceKindNames.end()).size(),
            kDeviceKindNames.size());
  EXPECT_EQ(name_of(DeviceKind::kSite), "site");
  EXPECT_EQ(name_of(DeviceKind::kGpu), "gpu");
  EXPECT_EQ(name_of(DeviceKind::kCrah), "crah");
  EXPECT_EQ(name_of(Share::kDirect), "direct");
  EXPECT_EQ(name_of(Share::kResidual), "residual");
}

TEST(Vocabulary, KpisSayTheirStandardUnitBoundaryAndPeriod) {
  std::set<std::string_view> ids;
  for (const KpiDefinition& k : kpi_definitions()) {
    EXPECT_TRUE(ids.insert(k.id).second) << k.id;
    EXPECT_EQ(find_kpi(k.id), &k);
    EXPECT_FALSE(k.standard.empty() || k.formula.empty() || k.unit.empty() || k.boundary.empty() ||
                 k.period.empty());
    // A ratio whose standard asks for a year is never offered under the annual name.
    if (k.period.find("12 months") != std::string_view::npos) {
      EXPECT_TRUE(k.id.ends_with("_interim")) << k.id;
    }
  }
  EXPECT_EQ(find_kpi("pue"), nullptr);
  EXPECT_EQ(find_kpi("pue_interim")->standard, "ISO/IEC 30134-2");
}

TEST(Vocabulary, WhatIsNotSetIsMissingAndNeverZero) {
  EXPECT_EQ(Measured<double>{}.provenance.quality, Quality::kMissing);
  EXPECT_EQ(MeterRow{}.quality, Quality::kMissing);
  EXPECT_EQ(JouleRow{}.quality, Quality::kMissing);
  EXPECT_TRUE(std::isnan(SampleRow{}.value));
  EXPECT_TRUE(std::isnan(RequestRow{}.latency_ms) && std::isnan(RequestRow{}.carbon_g));
  EXPECT_TRUE(std::isnan(DecisionRow{}.value_before) && std::isnan(CarbonRow{}.g_per_kwh));
  EXPECT_EQ(JobRow{}.t_start_ns, INT64_MIN);
}

}  // namespace
}  // namespace perjoule::energy
