#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.hpp"
#include "conformance/conformance.hpp"
#include "conformance/fakes.hpp"
#include "device/registry.hpp"
#include "device/slotted_source.hpp"

namespace perjoule::device {
namespace {

using base::milliseconds;
using conformance::FakeSource;

constexpr std::string_view kGpu = "site/r1/n1/gpu/0";

struct World {
  base::VirtualClock clock{base::TimePoint{1'000'000 * base::kNsPerSecond}};
  base::SymbolTable symbols;
};

conformance::SourceUnderTest fake_source() {
  auto world = std::make_shared<World>();
  auto source = std::make_unique<FakeSource>(world->clock, world->symbols);
  source->energy_start =
      FakeSource::kWrap - (world->clock.now().ns / base::kNsPerMs / 2) % FakeSource::kWrap - 100;
  return {std::move(source), [world](base::Duration d) { world->clock.advance_to(world->clock.now() + d); },
          world};
}

TEST(SignalSource, TheFakePassesTheSuite) { conformance::run_source_conformance(fake_source); }

class FakeSourceTest : public testing::Test {
 protected:
  SlotId push(std::string_view signal) { return source_.push(signal, kGpu).value(); }
  const SignalReading& read(SlotId slot) {
    EXPECT_TRUE(source_.read_batch(stamp_).ok());
    return source_.sample(slot);
  }
  void advance(base::Duration d) { world_.clock.advance_to(world_.clock.now() + d); }
  World world_;
  FakeSource source_{world_.clock, world_.symbols};
  BatchStamp stamp_;
};

TEST_F(FakeSourceTest, CarriesWindowTimesAndUncertainty) {
  const auto& r = read(push("gpu.power.inst"));
  EXPECT_EQ(r.value, 500.0);
  EXPECT_EQ(r.window, milliseconds(25));
  EXPECT_EQ(r.t_host, world_.clock.now());
  EXPECT_EQ(r.quality, energy::Quality::kMeasured);
  // 5 % half-width at 95 % = 25 W = 1.96 sigma.
  EXPECT_NEAR(r.sigma, 25.0 / 1.96, 1e-3);
  EXPECT_EQ(r.validity, Validity::kOk);
}

// "Three consecutive samples" must be three updates of the device, however often one looks.
TEST_F(FakeSourceTest, CountsDistinctUpdatesNotPolls) {
  const SlotId power = push("gpu.power.inst");
  for (int i = 0; i < 25; ++i) {
    EXPECT_EQ(read(power).updates, 1u + static_cast<std::uint64_t>(i) / 10);
    advance(milliseconds(10));
  }
  EXPECT_EQ(*source_.next_update(power), source_.sample(power).t_device + milliseconds(100));
  EXPECT_EQ(source_.next_update(push("gpu.pstate")), std::nullopt);
}

TEST_F(FakeSourceTest, AnEventOfZeroIsAValueAndAMissingSensorIsNot) {
  const SlotId state = push("gpu.pstate"), absent = push("gpu.mem.temp");
  EXPECT_EQ(read(state).value, 0.0);
  EXPECT_TRUE(source_.sample(state).has_value());
  EXPECT_FALSE(source_.sample(absent).has_value());
  EXPECT_TRUE(std::isnan(source_.sample(absent).value));
  EXPECT_EQ(source_.sample(absent).missing, MissingReason::kAbsent);
  EXPECT_EQ(name_of(source_.sample(absent).missing), "absent");
}

TEST_F(FakeSourceTest, ACounterSaysThatItWrappedAndLosesNothing) {
  source_.energy_start =
      FakeSource::kWrap - (world_.clock.now().ns / base::kNsPerMs / 2) % FakeSource::kWrap - 25;
  const SlotId slot = push("gpu.energy");
  std::int64_t before = read(slot).count, total = 0;
  int wraps = 0;
  for (int i = 0; i < 20; ++i) {
    advance(milliseconds(20));
    const auto& r = read(slot);
    total += counter_delta(before, r.count, FakeSource::kWrap);
    wraps += r.validity == Validity::kWrapped ? 1 : 0;
    EXPECT_EQ(source_.read_batch(stamp_).ok() && source_.sample(slot).validity == r.validity, true);
    before = r.count;
  }
  EXPECT_EQ(total, 20 * 10);  // 20 periods of 20 ms at half a millijoule per millisecond
  EXPECT_EQ(wraps, 1);
}

TEST_F(FakeSourceTest, AValueThatDoesNotComeAnewIsStale) {
  const SlotId power = push("gpu.power.inst");
  EXPECT_EQ(read(power).validity, Validity::kOk);
  source_.frozen = true;
  advance(milliseconds(300));
  EXPECT_EQ(read(power).validity, Validity::kOk);
  advance(milliseconds(1));
  EXPECT_EQ(read(power).validity, Validity::kStale);
  EXPECT_EQ(source_.sample(power).value, 500.0);  // still told, with its age
  source_.frozen = false;
  EXPECT_EQ(read(power).validity, Validity::kOk);
}

TEST_F(FakeSourceTest, AFailedBatchLeavesEverySlotMissing) {
  const SlotId power = push("gpu.power.inst"), energy = push("gpu.energy");
  const auto updates = read(power).updates;
  source_.batch_fails = true;
  const auto failed = source_.read_batch(stamp_);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().why, "it is unplugged");
  for (const SlotId slot : {power, energy}) {
    EXPECT_EQ(source_.sample(slot).missing, MissingReason::kFailed);
    EXPECT_TRUE(std::isnan(source_.sample(slot).value));
  }
  source_.batch_fails = false;
  EXPECT_EQ(read(power).updates, updates);  // the same update as before the fault
}

TEST_F(FakeSourceTest, ANumberThatIsNoneIsMissing) {
  const SlotId power = push("gpu.power.inst");
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    source_.power = bad;
    EXPECT_EQ(read(power).missing, MissingReason::kFailed);
  }
  source_.power = 0.0;
  EXPECT_EQ(read(power).value, 0.0);
}

TEST_F(FakeSourceTest, AnUnknownNameTellsTheNearest) {
  const auto signal = source_.push("gpu.power.int", kGpu);
  EXPECT_EQ(signal.error().message(),
            "read a signal: fake: there is no signal 'gpu.power.int'. Did you mean 'gpu.power.inst'?");
  const auto device = source_.push("gpu.energy", "site/r1/n1/gpu/9");
  EXPECT_EQ(device.error().hint, "Did you mean 'site/r1/n1/gpu/0'?");
}

TEST(CounterDelta, EqualsTheTrueDifferenceForAnyWrap) {
  base::Rng rng(32);
  for (int i = 0; i < 10'000; ++i) {
    const auto wrap = static_cast<std::int64_t>(2 + rng.below(1ULL << 40));
    const auto before = static_cast<std::int64_t>(rng.next() >> 20);
    const auto grown = static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(wrap)));
    ASSERT_EQ(counter_delta(before % wrap, (before + grown) % wrap, wrap), grown);
  }
  EXPECT_EQ(counter_delta(5, 3, 0), -2);
}

class ResettingSource : public SlottedSource {
 public:
  ResettingSource(const base::Clock& clock, base::SymbolTable& symbols) : SlottedSource(clock, symbols) {
    declare({0,
             "c",
             "{count}",
             SignalKind::kCounter,
             conformance::gpu(symbols, "d"),
             energy::Quality::kMeasured,
             {},
             {},
             0,
             0});
  }
  std::string_view name() const override { return "resetting"; }
  std::int64_t count = 7;
  std::int64_t t = 0;

 protected:
  RawReading do_read(std::size_t) override { return {0.0, count, {t}, MissingReason::kNone}; }
};

TEST(SignalSource, ACounterThatStartsAgainIsMarked) {
  World world;
  ResettingSource source(world.clock, world.symbols);
  const SlotId slot = source.push("c", "d").value();
  BatchStamp stamp;
  const std::pair<std::int64_t, Validity> steps[] = {{7, Validity::kOk},
                                                     {9, Validity::kOk},
                                                     {2, Validity::kReset},
                                                     {3, Validity::kOk},
                                                     {-1, Validity::kMissing}};
  for (const auto& [count, validity] : steps) {
    source.count = count;
    ++source.t;
    ASSERT_TRUE(source.read_batch(stamp).ok());
    EXPECT_EQ(source.sample(slot).validity, validity) << count;
  }
}

TEST(Registry, MakesByNameAndNamesTheNearest) {
  World world;
  Registry<SignalSource, World&> registry("source");
  registry.add("fake", "values in memory", [](World& w) -> base::Result<std::unique_ptr<SignalSource>> {
    return std::unique_ptr<SignalSource>(std::make_unique<FakeSource>(w.clock, w.symbols));
  });
  registry.add("broken", "never there", [](World&) -> base::Result<std::unique_ptr<SignalSource>> {
    return base::missing("open the source", "broken", "no device");
  });
  EXPECT_EQ(registry.create("fake", world).value()->name(), "fake");
  EXPECT_EQ(registry.create("broken", world).error().kind, base::ErrorKind::kMissing);
  const auto wrong = registry.create("fkae", world);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().message(),
            "make a source: 'fkae': there is no source of this name. Did you mean 'fake'?");
  EXPECT_EQ(registry.create("zzzzzzz", world).error().hint, "Known: fake, broken");
  EXPECT_EQ(registry.entries()[0].description, "values in memory");
}

}  // namespace
}  // namespace perjoule::device
