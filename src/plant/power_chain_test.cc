#include "plant/power_chain.hpp"

#include <gtest/gtest.h>

namespace perjoule::plant {
namespace {

using base::Watts;

TEST(PowerChain, TitaniumSupplyMeetsItsTestPoints) {
  const auto psu = EfficiencyCurve::make(Watts(3000), kTitaniumSupply).value();
  // 80 PLUS programme, 230 V internal redundant, Titanium: 90, 94, 96, 91 % at 10, 20, 50, 100 %.
  EXPECT_NEAR(psu.input_power(Watts(300)).value(), 300 / 0.90, 1e-9);
  EXPECT_NEAR(psu.input_power(Watts(600)).value(), 600 / 0.94, 1e-9);
  EXPECT_NEAR(psu.input_power(Watts(1500)).value(), 1500 / 0.96, 1e-9);
  EXPECT_NEAR(psu.input_power(Watts(3000)).value(), 3000 / 0.91, 1e-9);
  // Between 20 and 50 % the loss is linear: (.2 (1/.94 - 1) + .5 (1/.96 - 1)) / 2 x 3000 W at 35 %.
  EXPECT_NEAR(psu.loss(Watts(1050)).value(), 50.3989, 1e-3);
  EXPECT_EQ(psu.efficiency(Watts(0)), 0.0);
  EXPECT_GT(psu.loss(Watts(0)).value(), 0.0);
  EXPECT_TRUE(psu.in_range(Watts(3000)));
  EXPECT_FALSE(psu.in_range(Watts(3001)));
}

TEST(PowerChain, InputGrowsWithOutputAndLossIsNeverNegative) {
  const EfficiencyCurve curves[] = {EfficiencyCurve::make(Watts(1000), kTitaniumSupply).value(),
                                    EfficiencyCurve::make(Watts(1000), kDoubleConversionUps).value()};
  for (const auto& curve : curves) {
    double last = -1.0;
    for (double out = 0.0; out <= 1300.0; out += 0.5) {
      const double in = curve.input_power(Watts(out)).value();
      EXPECT_GT(in, last);
      EXPECT_GE(in, out);
      last = in;
    }
  }
}

TEST(PowerChain, LossAtNoLoadIsTheLineOrZero) {
  // Losses .0204 and .25 of the rating at half and full load: their line would be below zero at no load.
  constexpr EfficiencyPoint kSteep[] = {{0.5, 1.0 / 1.0408}, {1.0, 0.8}};
  const auto steep = EfficiencyCurve::make(Watts(1000), kSteep).value();
  EXPECT_EQ(steep.loss(Watts(0)).value(), 0.0);
  EXPECT_NEAR(steep.loss(Watts(250)).value(), 10.2, 1e-6);
  // Titanium: .01111 and .01277 at .1 and .2 of the load give .00946 at none.
  const auto psu = EfficiencyCurve::make(Watts(1000), kTitaniumSupply).value();
  EXPECT_NEAR(psu.loss(Watts(0)).value(), 9.456, 1e-3);
}

TEST(PowerChain, SharedSuppliesPayForIdleUnits) {
  const auto psu = EfficiencyCurve::make(Watts(3000), kTitaniumSupply).value();
  EXPECT_DOUBLE_EQ(shared_input_power(psu, Watts(3000), 2).value(), 2 * psu.input_power(Watts(1500)).value());
  EXPECT_GT(shared_input_power(psu, Watts(600), 6), shared_input_power(psu, Watts(600), 2));
}

TEST(PowerChain, AffineAndDistributionForms) {
  EXPECT_NEAR(input_power(kFrontierNodeConverter, Watts(2000)).value(), 2054.0816, 1e-3);
  EXPECT_NEAR(input_power(kFrontierRectifier, Watts(8000)).value(), 8351.0417, 1e-3);
  const auto pdu = floor_pdu(Watts(1e5));
  EXPECT_NEAR(input_power(pdu, Watts(0)).value(), 400.0, 1e-9);
  EXPECT_NEAR(input_power(pdu, Watts(5e4)).value(), 5e4 + 400 + 300, 1e-9);
  EXPECT_NEAR(input_power(feed(Watts(1e6)), Watts(1e6)).value(), 1.01e6, 1e-6);
}

TEST(PowerChain, RefusesTablesWithoutMeaning) {
  using Points = std::vector<EfficiencyPoint>;
  const auto bad = [](const Points& points) { return !EfficiencyCurve::make(Watts(1000), points).ok(); };
  EXPECT_TRUE(bad({}));
  EXPECT_TRUE(bad({{0.5, 0.9}, {0.5, 0.95}}));
  EXPECT_TRUE(bad({{0.5, 96.0}}));
  EXPECT_TRUE(bad({{0.5, 1.01}}));
  EXPECT_TRUE(bad({{0.0, 0.9}}));
  EXPECT_TRUE(bad({{0.5, 0.4}, {0.51, 0.9}}));  // 1,250 W in for 500 W, then 567 W in for 510 W
  EXPECT_FALSE(bad({{0.5, 1.0}}));
  EXPECT_FALSE(EfficiencyCurve::make(Watts(0), kTitaniumSupply).ok());
  EXPECT_FALSE(check(AffineConversion{Watts(1), 1.2}).ok());
  EXPECT_FALSE(check(DistributionParams{Watts(1), -0.1, 0}).ok());
  EXPECT_TRUE(check(rack_pdu(Watts(1e4))).ok());
}

}  // namespace
}  // namespace perjoule::plant
