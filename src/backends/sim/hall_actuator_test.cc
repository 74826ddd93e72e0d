#include "backends/sim/hall_actuator.hpp"

#include "backends/sim/test_hall.hpp"
#include "conformance/conformance.hpp"

namespace perjoule::backends::sim {
namespace {

TEST(HallActuator, Conforms) {
  conformance::run_actuator_conformance([](bool enabled) {
    auto world = std::make_shared<TestHall>();
    auto actuator = std::make_unique<HallActuator>(*world->hall, world->symbols);
    if (enabled) {
      EXPECT_TRUE(actuator->enable_group(kPowerGroup).ok());
      EXPECT_TRUE(actuator->enable_group(kSleepGroup).ok());
      EXPECT_TRUE(actuator->enable_group(kAdmitGroup).ok());
    }
    return conformance::ActuatorUnderTest{std::move(actuator), world};
  });
}

class HallActuatorTest : public ::testing::Test {
 protected:
  HallActuatorTest() {
    EXPECT_TRUE(actuator_.enable_group(kPowerGroup).ok());
    EXPECT_TRUE(actuator_.enable_group(kSleepGroup).ok());
    EXPECT_TRUE(actuator_.enable_group(kAdmitGroup).ok());
  }
  base::Status admit(std::size_t gpu, double flag) {
    return actuator_.write(actuator_.admit_control(gpu), flag, {});
  }
  base::Status cap(std::size_t gpu, double watts) {
    return actuator_.write(actuator_.cap_control(gpu), watts, {});
  }
  base::Status rest(std::size_t gpu, double level) {
    return actuator_.write(actuator_.rest_control(gpu), level, {});
  }
  double rest_of(std::size_t gpu) { return *actuator_.read(actuator_.rest_control(gpu)); }
  plant::ServingReplica& engine(std::size_t replica) { return *world_.hall->replicas()[replica].engine; }
  // One request to each replica: at 2.25 s, long enough to run over an edge.
  TestHall world_{{{1, {2'250 * base::kNsPerMs}, 500, 300}, {2, {2'250 * base::kNsPerMs}, 500, 300}}};
  HallActuator actuator_{*world_.hall, world_.symbols};
};

TEST_F(HallActuatorTest, FindAndTheDirectWayAgree) {
  EXPECT_EQ(*actuator_.find("gpu.cap", "site/r1/n1/gpu/2"), actuator_.cap_control(2));
  EXPECT_EQ(*actuator_.find("gpu.rest", "site/r1/n1/gpu/3"), actuator_.rest_control(3));
  EXPECT_FALSE(actuator_.cap_control(4).valid()) << "a training GPU";
  EXPECT_FALSE(actuator_.find("gpu.cap", "site/r1/n2/gpu/0").ok());
  EXPECT_EQ(actuator_.controls().size(), 12U);
}

TEST_F(HallActuatorTest, AReplicaRunsAtTheLowestCapOfItsGpus) {
  const auto cap_of = [&](std::size_t replica) { return world_.hall->replicas()[replica].cap.value(); };
  ASSERT_TRUE(cap(0, 400).ok());
  EXPECT_EQ(cap_of(0), 400);
  ASSERT_TRUE(cap(1, 300).ok());
  EXPECT_EQ(cap_of(0), 300);
  ASSERT_TRUE(cap(1, 500).ok());
  EXPECT_EQ(cap_of(0), 400);
  EXPECT_EQ(cap_of(1), 700);
  EXPECT_EQ(*actuator_.read(actuator_.cap_control(1)), 500);
}

TEST_F(HallActuatorTest, ACapLowersThePowerOfWork) {
  TestHall other{{{1, {2'250 * base::kNsPerMs}, 500, 300}, {2, {2'250 * base::kNsPerMs}, 500, 300}}};
  ASSERT_TRUE(cap(0, 200).ok());
  for (int w = 0; w < 10; ++w) world_.hall->run_window(), other.hall->run_window();
  const auto watts = [](const plant::ServingReplica& r) { return r.busy_joules() / r.busy_seconds(); };
  const plant::ServingReplica& uncapped = *other.hall->replicas()[0].engine;
  EXPECT_LT(watts(engine(0)), 0.95 * watts(uncapped));
  EXPECT_GT(engine(0).busy_seconds(), uncapped.busy_seconds());
  EXPECT_EQ(engine(0).tokens_out(), uncapped.tokens_out());
}

TEST_F(HallActuatorTest, AReplicaRestsWhenAllItsGpusMay) {
  ASSERT_TRUE(rest(0, 2).ok());
  EXPECT_EQ(rest_of(0), 2);
  EXPECT_EQ(engine(0).rest_level(), 0U) << "its other GPU is held ready";
  ASSERT_TRUE(rest(1, 3).ok());
  EXPECT_EQ(engine(0).rest_level(), 2U);
  EXPECT_EQ(engine(1).rest_level(), 0U);
  world_.hall->run_window();
  const auto& gpus = world_.hall->gpus();
  EXPECT_LT(gpus[0].idle_joules, gpus[2].idle_joules);
}

TEST_F(HallActuatorTest, WorkEndsARestAndRefusesANewOne) {
  ASSERT_TRUE(rest(0, 1).ok() && rest(1, 1).ok());
  world_.hall->run_window();
  world_.hall->run_window();
  EXPECT_EQ(rest_of(0), 1);
  world_.hall->run_window();
  ASSERT_GT(engine(0).outstanding(), 0U) << "the request must be at work for this test";
  EXPECT_EQ(rest_of(0), 0);
  const auto refused = rest(0, 1);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, base::ErrorKind::kIo);
  EXPECT_TRUE(rest(0, 0).ok());
  for (int w = 0; w < 20; ++w) world_.hall->run_window();
  ASSERT_EQ(engine(0).outstanding(), 0U);
  EXPECT_EQ(rest_of(0), 0) << "it does not come back by itself";
  EXPECT_EQ(rest_of(1), 0);
  EXPECT_TRUE(rest(0, 1).ok());
}

TEST_F(HallActuatorTest, AReplicaTakesNoRequestsWhileOneOfItsGpusSaysSo) {
  ASSERT_TRUE(admit(0, 0).ok() && admit(1, 0).ok() && admit(1, 1).ok());
  EXPECT_FALSE(world_.hall->replicas()[0].admitted) << "its other GPU still says no";
  for (int w = 0; w < 3; ++w) world_.hall->run_window();
  EXPECT_EQ(engine(0).outstanding(), 0U);
  EXPECT_EQ(engine(1).outstanding(), 2U) << "both requests went to the one that takes them";
  ASSERT_TRUE(admit(0, 1).ok());
  EXPECT_TRUE(world_.hall->replicas()[0].admitted);
}

TEST_F(HallActuatorTest, WhereNoReplicaTakesRequestsAllDo) {
  ASSERT_TRUE(admit(0, 0).ok() && admit(2, 0).ok());
  for (int w = 0; w < 3; ++w) world_.hall->run_window();
  EXPECT_EQ(engine(0).outstanding(), 1U);
  EXPECT_EQ(engine(1).outstanding(), 1U);
}

}  // namespace
}  // namespace perjoule::backends::sim
