#include "backends/sim/hall_source.hpp"

#include <array>

#include "backends/sim/test_hall.hpp"
#include "conformance/conformance.hpp"
#include "energy/signal_catalogue.hpp"

namespace perjoule::backends::sim {
namespace {

using device::SlotId;

struct World : TestHall {
  using TestHall::TestHall;
  base::VirtualClock clock{hall->now()};
  // Runs every window that ends by then.
  void advance(base::Duration d) {
    clock.advance_to(clock.now() + d);
    while (hall->now() + hall->spec().window <= clock.now()) hall->run_window();
  }
};

std::vector<plant::ServingRequest> some_requests() {
  return {{1, {base::kNsPerSecond / 2}, 500, 400}, {2, {base::kNsPerSecond}, 2000, 300}};
}

TEST(HallSource, Conforms) {
  conformance::run_source_conformance([] {
    auto world = std::make_shared<World>(some_requests(), base::milliseconds(50));
    auto source = std::make_unique<HallSource>(*world->hall, world->clock, world->symbols);
    return conformance::SourceUnderTest{std::move(source), [world](base::Duration d) { world->advance(d); },
                                        world};
  });
}

class HallSourceTest : public ::testing::Test {
 protected:
  SlotId push(std::string_view signal, std::string_view device) {
    auto slot = source_.push(signal, device);
    EXPECT_TRUE(slot.ok()) << slot.error().message();
    return *slot;
  }
  const device::SignalReading& read(SlotId slot) {
    device::BatchStamp stamp;
    EXPECT_TRUE(source_.read_batch(stamp).ok());
    return source_.sample(slot);
  }
  World world_{some_requests()};
  HallSource source_{*world_.hall, world_.clock, world_.symbols};
};

TEST_F(HallSourceTest, SpeaksTheCatalogue) {
  int named = 0;
  for (const auto& d : source_.signals()) {
    EXPECT_EQ(d.quality, energy::Quality::kSimulated);
    if (d.number == 0) {
      EXPECT_EQ(d.name, "meter.energy");
      continue;
    }
    const auto info = energy::find_signal(d.number);
    ASSERT_TRUE(info.ok());
    EXPECT_EQ((*info)->name, d.name);
    EXPECT_TRUE(d.unit == (*info)->unit || (d.unit == "uJ" && (*info)->unit == "J")) << d.name;
    ++named;
  }
  // 8 GPUs x 6, 2 nodes x (2 CPUs, DRAM, power, inlet).
  EXPECT_EQ(named, 8 * 6 + 2 * 5);
}

TEST_F(HallSourceTest, MeansAreMissingBeforeTheFirstWindowAndCountersAreNot) {
  const SlotId power = push("gpu.power.avg", "site/r1/n1/gpu/0"),
               energy = push("gpu.energy", "site/r1/n1/gpu/0");
  EXPECT_EQ(read(power).missing, device::MissingReason::kNotRead);
  EXPECT_EQ(source_.sample(energy).count, 0);
  EXPECT_TRUE(source_.sample(energy).has_value());
}

TEST_F(HallSourceTest, CountersAndMeansAgreeWithTheMeters) {
  const SlotId power = push("gpu.power.avg", "site/r1/n1/gpu/0"),
               energy = push("gpu.energy", "site/r1/n1/gpu/0");
  const SlotId site = push("meter.energy", "site");
  world_.advance(base::seconds(2));
  read(power);
  const auto before = source_.sample(energy).count;
  world_.advance(base::seconds(1));
  const double watts = read(power).value;
  EXPECT_NEAR(watts, static_cast<double>(source_.sample(energy).count - before) * 1e-6, 1e-9)
      << "one window of 1 s";
  EXPECT_GT(watts, 60.0);
  EXPECT_EQ(source_.sample(power).window, base::seconds(1));
  EXPECT_EQ(source_.sample(site).count, world_.hall->counter({0}).value());
  EXPECT_GT(source_.sample(site).count, 0);
}

TEST_F(HallSourceTest, ActivityFollowsTheWork) {
  const SlotId serves = push("sm.active", "site/r1/n1/gpu/0"), trains = push("sm.active", "site/r1/n2/gpu/0");
  const SlotId unused = push("sm.active", "site/r1/n2/gpu/3");
  const SlotId moves = push("dram.active", "site/r1/n1/gpu/0"),
               still = push("dram.active", "site/r1/n2/gpu/3");
  world_.advance(base::seconds(1));
  read(serves);
  const double share = source_.sample(serves).value;
  EXPECT_GT(share, 0.3) << "a request came after half a second";
  EXPECT_LT(share, 0.51);
  EXPECT_GT(source_.sample(trains).value, 0.99);
  EXPECT_EQ(source_.sample(unused).value, 0.0);
  EXPECT_GT(source_.sample(moves).value, 0.25 * share);
  EXPECT_LT(source_.sample(moves).value, 0.75 * share);
  EXPECT_EQ(source_.sample(still).value, 0.0);
}

TEST_F(HallSourceTest, ShowsTheCapInForce) {
  const SlotId serves = push("gpu.cap.enforced", "site/r1/n1/gpu/3"),
               trains = push("gpu.cap.enforced", "site/r1/n2/gpu/0");
  EXPECT_EQ(read(serves).value, 700.0);
  world_.hall->set_replica_cap(1, base::Watts(450));
  world_.hall->set_training_cap(base::Watts(600));
  EXPECT_EQ(read(serves).value, 450.0);
  EXPECT_EQ(source_.sample(trains).value, 600.0);
}

TEST_F(HallSourceTest, OffersOnlyWhatIsAsked) {
  const std::array<std::string_view, 2> only{"gpu.temp", "inlet.temp"};
  HallSource few(*world_.hall, world_.clock, world_.symbols, only);
  EXPECT_EQ(few.signals().size(), 8U + 2U);
}

TEST(HallClock, IsTheEndOfTheLastWindow) {
  TestHall world;
  const HallClock clock(*world.hall);
  const auto start = clock.now();
  world.hall->run_window();
  EXPECT_EQ(clock.now() - start, base::seconds(1));
}

}  // namespace
}  // namespace perjoule::backends::sim
