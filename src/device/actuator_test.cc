#include <gtest/gtest.h>

#include <map>

#include "base/rng.hpp"
#include "conformance/conformance.hpp"
#include "conformance/fakes.hpp"
#include "device/restore_journal.hpp"

namespace perjoule::device {
namespace {

using conformance::FakeActuator;
using conformance::FakeHardware;

constexpr std::string_view kGpu = "site/r1/n1/gpu/0";
constexpr ControlId kCap{0}, kClock{1}, kFan{2};

struct World {
  FakeHardware hardware;
  base::SymbolTable symbols;
};

conformance::ActuatorUnderTest fake_actuator(bool enabled) {
  auto world = std::make_shared<World>();
  auto actuator = std::make_unique<FakeActuator>(world->hardware, world->symbols);
  if (enabled) {
    EXPECT_TRUE(actuator->enable_group("gpu-power").ok());
    EXPECT_TRUE(actuator->enable_group("fan").ok());
  }
  return {std::move(actuator), world};
}

TEST(Actuator, TheFakePassesTheSuite) { conformance::run_actuator_conformance(fake_actuator); }

class FakeActuatorTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(actuator_.enable_group("gpu-power").ok()); }
  const std::vector<double>& values() const { return world_.hardware.values; }
  World world_;
  FakeActuator actuator_{world_.hardware, world_.symbols};
};

TEST_F(FakeActuatorTest, ErrorsSayWhatWhereWhyAndWhatToType) {
  EXPECT_EQ(actuator_.write(kCap, 710.0, {}).error().message(),
            "set a control: site/r1/n1/gpu/0:gpu.cap: 710 is not allowed. Use 200 to 700 in steps of 25 W");
  EXPECT_EQ(actuator_.write(kClock, 10.0, {}).error().hint, "Use 345 to 1980 MHz");
  EXPECT_EQ(actuator_.write(kFan, 50.0, {}).error().message(),
            "set a control: site/r1/n1/gpu/0:fan.duty: its group 'fan' is not enabled. "
            "Add \"fan\" to [controls] enable in the configuration");
  EXPECT_EQ(actuator_.find("gpu.cpa", kGpu).error().hint, "Did you mean 'gpu.cap'?");
  EXPECT_EQ(actuator_.enable_group("gpu-powr").error().hint, "Did you mean 'gpu-power'?");
  EXPECT_EQ(world_.hardware.writes, 0);
}

TEST_F(FakeActuatorTest, DecimalStepsAreSteps) {
  ASSERT_TRUE(actuator_.enable_group("fan").ok());
  for (int k = 0; k <= 900; ++k) ASSERT_TRUE(actuator_.write(kFan, 10.0 + k * 0.1, {}).ok()) << k;
  EXPECT_FALSE(actuator_.write(kFan, 10.05, {}).ok());
}

// The value before may lie outside the range (0 = no cap): it can be gone back to, other such values cannot
// be set.
TEST_F(FakeActuatorTest, GoesBackToAFormerValueOutsideTheRange) {
  EXPECT_FALSE(actuator_.write(kCap, 0.0, {}).ok());
  ASSERT_TRUE(actuator_.write(kCap, 400.0, {}).ok());
  EXPECT_TRUE(actuator_.write(kCap, 0.0, {}).ok());
  EXPECT_EQ(values()[0], 0.0);
  EXPECT_FALSE(actuator_.write(kCap, 1.0, {}).ok());
}

TEST_F(FakeActuatorTest, OneThatRefusesDoesNotStopTheOthersAndIsTriedAgain) {
  ASSERT_TRUE(actuator_.write(kCap, 400.0, {}).ok());
  ASSERT_TRUE(actuator_.write(kClock, 1000.0, {}).ok());
  world_.hardware.broken = {1};
  const auto failed = actuator_.restore_all();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().why, "it does not answer");
  EXPECT_EQ(values(), (std::vector<double>{0.0, 1000.0, 30.0}));
  world_.hardware.broken.clear();
  EXPECT_TRUE(actuator_.restore_all().ok());
  EXPECT_EQ(values(), (std::vector<double>{0.0, 1980.0, 30.0}));
}

TEST_F(FakeActuatorTest, ADeadManThatIsRefusedStaysArmed) {
  ASSERT_TRUE(actuator_.write(kCap, 400.0, {{10}, false, {}}).ok());
  ASSERT_TRUE(actuator_.write(kClock, 900.0, {{10}, false, {}}).ok());
  world_.hardware.broken = {0};
  std::vector<Expired> gone;
  EXPECT_FALSE(actuator_.expire({10}, gone).ok());
  ASSERT_EQ(gone.size(), 1u);
  EXPECT_EQ(gone[0].control, kClock);
  EXPECT_EQ(actuator_.next_expiry(), base::TimePoint{10});
  world_.hardware.broken.clear();
  EXPECT_TRUE(actuator_.expire({11}, gone).ok());
  EXPECT_EQ(values()[0], 0.0);
}

TEST_F(FakeActuatorTest, AFailedWriteArmsNothing) {
  world_.hardware.broken = {0};
  EXPECT_FALSE(actuator_.write(kCap, 400.0, {{10}, false, {}}).ok());
  EXPECT_EQ(actuator_.next_expiry(), base::kNever);
}

// Random writes, save points, restores and expiries against a model that copies the whole state at each save.
TEST_F(FakeActuatorTest, EqualsAModelThatCopiesEverything) {
  ASSERT_TRUE(actuator_.enable_group("fan").ok());
  struct State {
    std::vector<double> values, fallback;
    std::vector<base::TimePoint> expiry;
  };
  base::Rng rng(99);
  State state{values(), values(), std::vector<base::TimePoint>(3, base::kNever)};
  std::vector<std::pair<SavePoint, State>> saved{{SavePoint{0}, state}};
  std::int64_t now = 0;
  for (int step = 0; step < 5000; ++step) {
    const auto kind = rng.below(10);
    if (kind < 6) {
      const auto c = static_cast<std::uint32_t>(rng.below(3));
      const auto& d = actuator_.controls()[c];
      const double v = d.min + static_cast<double>(rng.below(9)) * (d.step > 0 ? d.step : 25.0);
      const base::TimePoint expiry =
          rng.below(2) == 0 ? base::kNever
                            : base::TimePoint{now + 1 + static_cast<std::int64_t>(rng.below(20))};
      ASSERT_TRUE(actuator_.write({c}, v, {expiry, false, {}}).ok());
      if (state.expiry[c] == base::kNever) state.fallback[c] = state.values[c];
      state.values[c] = v;
      state.expiry[c] = expiry;
    } else if (kind == 6 && saved.size() < 6) {
      saved.emplace_back(actuator_.save(), state);
    } else if (kind == 7) {
      saved.resize(1 + rng.below(saved.size()));
      ASSERT_TRUE(actuator_.restore(saved.back().first).ok());
      // A control that was not written since the point keeps what its dead-man has made of it meanwhile; the
      // model lets dead-men act on its copies as well.
      state = saved.back().second;
    } else {
      now += static_cast<std::int64_t>(rng.below(10));
      std::vector<Expired> gone;
      ASSERT_TRUE(actuator_.expire({now}, gone).ok());
      for (std::size_t c = 0; c < 3; ++c) {
        if (state.expiry[c] > base::TimePoint{now}) continue;
        state.values[c] = state.fallback[c];
        state.expiry[c] = base::kNever;
      }
    }
    // What expired before a restore is expired again by it at once in the actuator's terms: compare after
    // expiry.
    std::vector<Expired> gone;
    ASSERT_TRUE(actuator_.expire({now}, gone).ok());
    for (auto* s : {&state}) {
      for (std::size_t c = 0; c < 3; ++c) {
        if (s->expiry[c] > base::TimePoint{now}) continue;
        s->values[c] = s->fallback[c];
        s->expiry[c] = base::kNever;
      }
    }
    for (auto& [point, s] : saved) {
      for (std::size_t c = 0; c < 3; ++c) {
        if (s.expiry[c] > base::TimePoint{now}) continue;
        s.values[c] = s.fallback[c];
        s.expiry[c] = base::kNever;
      }
    }
    ASSERT_EQ(values(), state.values) << "step " << step;
    for (std::uint32_t c = 0; c < 3; ++c) {
      ASSERT_EQ(actuator_.expiry({c}).value_or(base::kNever), state.expiry[c]) << "step " << step;
    }
  }
}

class MemoryEnv : public base::Env {
 public:
  std::map<std::string, std::string> files;
  bool full = false;
  base::Result<std::string> read_file(const std::string& path, std::uint64_t) override {
    return files.at(path);
  }
  base::Result<std::unique_ptr<base::PendingFile>> create(const std::string& path) override {
    return std::unique_ptr<base::PendingFile>(std::make_unique<File>(*this, path));
  }
  base::Status create_directories(const std::string&) override { return base::ok_status(); }
  base::Result<std::vector<std::string>> list(const std::string&) override {
    return std::vector<std::string>{};
  }
  base::Status remove(const std::string& path) override { return files.erase(path), base::ok_status(); }
  bool exists(const std::string& path) override { return files.contains(path); }

 private:
  struct File : base::PendingFile {
    File(MemoryEnv& e, std::string p) : env(e), path(std::move(p)) {}
    base::Status append(std::string_view bytes) override { return text += bytes, base::ok_status(); }
    base::Status commit() override {
      if (env.full) return base::io_error("write a file", path, "No space left on device");
      env.files[path] = text;
      return base::ok_status();
    }
    MemoryEnv& env;
    std::string path, text;
  };
};

// A process dies with controls set; the next one finds what they were and puts them back.
TEST(RestoreJournal, OutlivesTheProcess) {
  World world;
  MemoryEnv env;
  {
    auto journal = FileJournal::open(env, "restore").value();
    FakeActuator actuator(world.hardware, world.symbols, &journal);
    ASSERT_TRUE(actuator.enable_group("gpu-power").ok());
    actuator.save();
    ASSERT_TRUE(actuator.write(kClock, 1000.5, {}).ok());
    ASSERT_TRUE(actuator.write(kCap, 300.0, {}).ok());
    ASSERT_TRUE(actuator.write(kCap, 400.0, {}).ok());
  }
  const auto left = FileJournal::open(env, "restore").value();
  ASSERT_EQ(left.entries().size(), 2u);
  EXPECT_EQ(left.entries()[0].control, "gpu.clock");
  EXPECT_EQ(left.entries()[0].value, 1980.0);
  EXPECT_EQ(left.entries()[1].control, "gpu.cap");
  EXPECT_EQ(left.entries()[1].device, kGpu);
  EXPECT_EQ(left.entries()[1].value, 0.0);
}

TEST(RestoreJournal, IsEmptyAfterRestore) {
  World world;
  MemoryEnv env;
  auto journal = FileJournal::open(env, "restore").value();
  FakeActuator actuator(world.hardware, world.symbols, &journal);
  ASSERT_TRUE(actuator.enable_group("gpu-power").ok());
  const SavePoint point = actuator.save();
  ASSERT_TRUE(actuator.write(kCap, 300.0, {}).ok());
  EXPECT_EQ(journal.entries().size(), 1u);
  world.hardware.broken = {0};
  EXPECT_FALSE(actuator.restore(point).ok());
  EXPECT_EQ(journal.entries().size(), 1u);  // not forgotten while it is not back
  world.hardware.broken.clear();
  ASSERT_TRUE(actuator.restore(point).ok());
  EXPECT_TRUE(FileJournal::open(env, "restore")->entries().empty());
}

TEST(RestoreJournal, WhatCannotBeNotedIsNotDone) {
  World world;
  MemoryEnv env;
  env.full = true;
  auto journal = FileJournal::open(env, "restore").value();
  FakeActuator actuator(world.hardware, world.symbols, &journal);
  ASSERT_TRUE(actuator.enable_group("gpu-power").ok());
  EXPECT_EQ(actuator.write(kCap, 300.0, {}).error().why, "No space left on device");
  EXPECT_EQ(world.hardware.writes, 0);
}

TEST(RestoreJournal, RefusesADamagedFileWithItsPlace) {
  MemoryEnv env;
  const std::pair<const char*, const char*> damaged[] = {
      {"", "restore:1"},
      {"other\n", "restore:1"},
      {"perjoule-restore\t1\na\tb\tc\t1", "restore:1"},
      {"perjoule-restore\t1\na\tb\tc\t1\na\tb\t1\n", "restore:3"},
      {"perjoule-restore\t1\na\tb\tc\tnan\n", "restore:2"},
  };
  for (const auto& [text, where] : damaged) {
    env.files["restore"] = text;
    const auto opened = FileJournal::open(env, "restore");
    ASSERT_FALSE(opened.ok()) << text;
    EXPECT_EQ(opened.error().where, where);
    EXPECT_EQ(opened.error().kind, base::ErrorKind::kCorrupt);
  }
}

}  // namespace
}  // namespace perjoule::device
