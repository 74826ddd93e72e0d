#include "base/memory_env.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "base/fault_env.hpp"
#include "base/rng.hpp"

namespace perjoule::base {
namespace {

constexpr std::size_t kPage = LogFile::kPage;
constexpr std::size_t kSector = MemoryEnv::kSector;

PageBuffer pages(std::size_t count, char fill) {
  PageBuffer out;
  out.append(std::string(count * kPage, fill));
  return out;
}

Status write(LogFile& log, std::uint64_t page, std::size_t count, char fill, Sync sync) {
  return log.write(page * kPage, pages(count, fill).view(), sync);
}

std::string log_text(const LogFile& log) {
  std::string out(static_cast<std::size_t>(log.size()), '?');
  EXPECT_TRUE(log.read(0, out).ok());
  return out;
}

std::string text_or(MemoryEnv& env, const std::string& path, const std::string& absent = "(absent)") {
  auto text = env.read_file(path);
  return text.ok() ? *std::move(text) : absent;
}

// What `path` holds after a crash, over many seeds.
std::set<std::string> outcomes(const MemoryEnv& env, const std::string& path, std::uint64_t steps) {
  std::set<std::string> out;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    out.insert(text_or(*env.after_crash(steps, CrashChoice::random(seed)), path));
  }
  return out;
}

std::vector<CrashChoice> some_choices(const MemoryEnv& env, std::uint64_t steps) {
  std::vector<CrashChoice> out{CrashChoice::nothing_unsynced(), CrashChoice::everything()};
  for (std::uint64_t s = 0; s <= env.torn_sectors(steps); ++s) out.push_back(CrashChoice::torn_last(s));
  for (std::uint64_t seed = 0; seed < 50; ++seed) out.push_back(CrashChoice::random(seed));
  return out;
}

TEST(MemoryEnv, TellsItsSteps) {
  MemoryEnv env;
  ASSERT_TRUE(env.create_directories("/d/e").ok());
  ASSERT_TRUE(write_atomically(env, "d/e/f", "12345").ok());
  ASSERT_TRUE(env.remove("d//e/f").ok());
  ASSERT_TRUE(env.create_log("l", kPage).ok());
  std::vector<std::string> steps;
  for (std::uint64_t n = 0; n < env.steps(); ++n) steps.push_back(env.step_text(n));
  EXPECT_EQ(steps,
            (std::vector<std::string>{"make directory d", "make directory d/e", "create d/e/f.part",
                                      "write 5 bytes at 0 of d/e/f.part", "sync d/e/f.part",
                                      "rename d/e/f.part to d/e/f", "sync directory d/e", "remove d/e/f",
                                      "create l.part", "write 4096 bytes at 0 of l.part", "sync l.part",
                                      "rename l.part to l", "sync directory "}));
}

// The promise of commit(): old or new, whole; new once it has returned.
TEST(MemoryEnv, ACommittedFileIsOldOrNewAndNewOnceCommitted) {
  MemoryEnv env;
  const std::string older(3000, 'o'), newer(9000, 'n');
  ASSERT_TRUE(write_atomically(env, "f", older).ok());
  const std::uint64_t before = env.steps();
  ASSERT_TRUE(write_atomically(env, "f", newer).ok());
  for (std::uint64_t n = before; n <= env.steps(); ++n) {
    std::set<std::string> seen;
    for (const CrashChoice choice : some_choices(env, n)) {
      const auto crashed = env.after_crash(n, choice);
      seen.insert(text_or(*crashed, "f"));
      EXPECT_FALSE(n == env.steps() && crashed->exists("f.part"));
    }
    const bool renamed = n == before + 4, done = n == env.steps();
    EXPECT_EQ(seen.contains(older), !done) << n;
    EXPECT_EQ(seen.contains(newer), renamed || done) << n;
    EXPECT_EQ(seen.size(), renamed ? 2u : 1u) << n;
  }
}

TEST(MemoryEnv, AHalfWrittenFileMayBeLeftTornUnderItsTemporaryName) {
  MemoryEnv env;
  const auto file = env.create("f").value();
  ASSERT_TRUE(file->append(std::string(1000, 'a')).ok());
  ASSERT_TRUE(file->append(std::string(1000, 'b')).ok());
  const auto left = outcomes(env, "f.part", env.steps());
  const std::string whole = std::string(1000, 'a') + std::string(1000, 'b');
  EXPECT_TRUE(left.contains("(absent)"));
  EXPECT_TRUE(left.contains(""));
  EXPECT_TRUE(left.contains(whole));
  EXPECT_TRUE(left.contains(std::string(1000, 'a')));
  EXPECT_TRUE(left.contains(std::string(2000, '\0'))) << "the size landed, the bytes did not";
  EXPECT_TRUE(left.contains(std::string(1000, '\0'))) << "one size, no bytes";
  EXPECT_EQ(outcomes(env, "f", env.steps()), std::set<std::string>{"(absent)"});
  for (const std::string& text : left) {
    if (text == "(absent)") continue;
    for (std::size_t i = 0; i < text.size(); ++i) {
      ASSERT_TRUE(text[i] == '\0' || text[i] == whole[i]) << "no byte that nobody wrote";
    }
  }
}

TEST(MemoryEnv, ADroppedFileIsRemovedButMayComeBack) {
  MemoryEnv env;
  { EXPECT_TRUE(env.create("f").value()->append("half").ok()); }
  EXPECT_EQ(env.step_text(env.steps() - 1), "remove f.part");
  EXPECT_TRUE(env.list(".").value().empty());
  EXPECT_TRUE(outcomes(env, "f.part", env.steps()).contains("half"));
  ASSERT_TRUE(env.sync_directory(".").ok());
  EXPECT_EQ(outcomes(env, "f.part", env.steps()), std::set<std::string>{"(absent)"});
}

TEST(MemoryEnv, NamesWithoutASyncOfTheirFolderMayOrMayNotBe) {
  MemoryEnv env;
  ASSERT_TRUE(env.create_directories("d").ok());
  ASSERT_TRUE(write_atomically(env, "a", "1").ok());
  ASSERT_TRUE(env.rename("a", "d/b").ok());
  const std::uint64_t renamed = env.steps() - 2;  // the syncs of both folders follow
  EXPECT_EQ(outcomes(env, "d/b", renamed), (std::set<std::string>{"(absent)", "1"}));
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto crashed = env.after_crash(renamed, CrashChoice::random(seed));
    EXPECT_NE(crashed->exists("a"), crashed->exists("d/b")) << "under one of its names";
  }
  EXPECT_EQ(outcomes(env, "d/b", renamed + 1), std::set<std::string>{"1"});
  EXPECT_EQ(outcomes(env, "a", renamed + 1), std::set<std::string>{"(absent)"});
  ASSERT_TRUE(env.remove("d/b").ok());
  EXPECT_EQ(outcomes(env, "d/b", env.steps()), (std::set<std::string>{"(absent)", "1"}));
  ASSERT_TRUE(env.sync_directory("d").ok());
  EXPECT_EQ(outcomes(env, "d/b", env.steps()), std::set<std::string>{"(absent)"});
}

TEST(MemoryEnv, AReplacedFileIsOneOfTheTwo) {
  MemoryEnv env;
  ASSERT_TRUE(write_atomically(env, "a", "1").ok());
  ASSERT_TRUE(write_atomically(env, "b", "2").ok());
  ASSERT_TRUE(env.rename("a", "b").ok());
  EXPECT_EQ(outcomes(env, "b", env.steps() - 1), (std::set<std::string>{"1", "2"}));
  EXPECT_EQ(outcomes(env, "b", env.steps()), std::set<std::string>{"1"});
}

TEST(MemoryEnv, ATornWriteLandsUpToItsSector) {
  MemoryEnv env;
  const auto log = env.create_log("log", 4 * kPage).value();
  EXPECT_EQ(env.torn_sectors(env.steps()), 0u);
  ASSERT_TRUE(write(*log, 0, 1, 'a', Sync::kData).ok());
  ASSERT_TRUE(write(*log, 3, 1, 'b', Sync::kNone).ok());
  ASSERT_TRUE(write(*log, 0, 2, 'c', Sync::kNone).ok());
  EXPECT_EQ(env.torn_sectors(env.steps()), 16u);
  const std::string before = std::string(kPage, 'a') + std::string(2 * kPage, '\0') + std::string(kPage, 'b');
  for (std::uint64_t s = 0; s <= 16; ++s) {
    std::string expected = before;
    expected.replace(0, s * kSector, s * kSector, 'c');
    EXPECT_EQ(text_or(*env.after_crash(env.steps(), CrashChoice::torn_last(s)), "log"), expected) << s;
  }
  const auto dropped = env.after_crash(env.steps(), CrashChoice::nothing_unsynced());
  EXPECT_EQ(text_or(*dropped, "log"), std::string(kPage, 'a') + std::string(3 * kPage, '\0'));
  ASSERT_TRUE(log->sync().ok());
  EXPECT_EQ(env.torn_sectors(env.steps()), 0u);
  const auto landed = env.after_crash(env.steps(), CrashChoice::torn_last(0));
  EXPECT_EQ(text_or(*landed, "log"), log_text(*log));
}

TEST(MemoryEnv, ATornAppendEndsAtItsSector) {
  MemoryEnv env;
  const auto file = env.create("f").value();
  ASSERT_TRUE(file->append(std::string(700, 'a')).ok());
  ASSERT_TRUE(file->append(std::string(1000, 'b')).ok());
  ASSERT_EQ(env.torn_sectors(env.steps()), 3u);  // bytes 700 to 1700 touch sectors 1, 2 and 3
  const std::string whole = std::string(700, 'a') + std::string(1000, 'b');
  const std::array<std::size_t, 4> sizes{700, 1024, 1536, 1700};
  for (std::uint64_t s = 0; s <= 3; ++s) {
    const auto crashed = env.after_crash(env.steps(), CrashChoice::torn_last(s));
    EXPECT_EQ(text_or(*crashed, "f.part"), whole.substr(0, sizes.at(s))) << s;
  }
}

// Between two syncs: the first lost and the second there, a page there and its neighbour not, halves of a
// page.
TEST(MemoryEnv, UnsyncedWritesLandInAnyOrderAndInParts) {
  MemoryEnv env;
  const auto log = env.create_log("log", 3 * kPage).value();
  ASSERT_TRUE(write(*log, 0, 1, 'a', Sync::kNone).ok());
  ASSERT_TRUE(write(*log, 1, 2, 'b', Sync::kNone).ok());
  std::set<std::string> kinds;
  const auto kind = [](std::string_view part, char fill) {
    const auto landed = std::count(part.begin(), part.end(), fill);
    return landed == 0 ? '-' : landed == static_cast<std::ptrdiff_t>(part.size()) ? '+' : '/';
  };
  for (const std::string& text : outcomes(env, "log", env.steps())) {
    const std::string_view all = text;
    kinds.insert({kind(all.substr(0, kPage), 'a'), kind(all.substr(kPage, kPage), 'b'),
                  kind(all.substr(2 * kPage), 'b')});
  }
  for (const char* wanted : {"---", "+++", "-++", "+--", "-+-", "--+", "/--", "+/-", "///", "-/+"}) {
    EXPECT_TRUE(kinds.contains(wanted)) << wanted;
  }
}

TEST(MemoryEnv, AStateIsAnEnvOfItsOwnAndAllOfItIsDurable) {
  MemoryEnv env;
  const auto log = env.create_log("log", 2 * kPage).value();
  ASSERT_TRUE(write(*log, 0, 2, 'a', Sync::kNone).ok());
  const auto crashed = env.after_crash(env.steps(), CrashChoice::everything());
  EXPECT_EQ(crashed->steps(), 0u);
  ASSERT_TRUE(write(*crashed->open_log("log").value(), 0, 1, 'b', Sync::kNone).ok());
  ASSERT_TRUE(write_atomically(*crashed, "f", "new").ok());
  EXPECT_EQ(text_or(*crashed, "log"), std::string(kPage, 'b') + std::string(kPage, 'a'));
  EXPECT_EQ(text_or(env, "log"), std::string(2 * kPage, 'a')) << "the first world goes on untouched";
  EXPECT_FALSE(env.exists("f"));
  const auto again = crashed->after_crash(crashed->steps(), CrashChoice::nothing_unsynced());
  EXPECT_EQ(text_or(*again, "log"), std::string(2 * kPage, 'a')) << "only what came after the crash is lost";
  EXPECT_EQ(text_or(*again, "f"), "new");
  const auto same = env.after_crash(env.steps(), CrashChoice::everything());
  EXPECT_EQ(text_or(*same, "log"), std::string(2 * kPage, 'a'));
}

TEST(MemoryEnv, TheSameSeedLeavesTheSame) {
  MemoryEnv env;
  const auto log = env.create_log("log", 8 * kPage).value();
  for (std::uint64_t page = 0; page < 8; ++page) {
    ASSERT_TRUE(write(*log, page, 1, 'a', Sync::kNone).ok());
  }
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    EXPECT_EQ(text_or(*env.after_crash(env.steps(), CrashChoice::random(seed)), "log"),
              text_or(*env.after_crash(env.steps(), CrashChoice::random(seed)), "log"));
  }
}

TEST(MemoryEnv, FilesOutliveTheirNameAndTheirEnv) {
  std::unique_ptr<LogFile> log;
  {
    MemoryEnv env;
    log = env.create_log("log", kPage).value();
    ASSERT_TRUE(env.remove("log").ok());
  }
  ASSERT_TRUE(write(*log, 0, 1, 'a', Sync::kData).ok());
  EXPECT_EQ(log_text(*log), std::string(kPage, 'a'));
}

// The slow obvious model: for every sector of a log, what was written to it and when, and when it was synced.
class SectorHistory {
 public:
  explicit SectorHistory(std::size_t sectors) : written_(sectors, {{0, '\0'}}) {}
  void wrote(std::uint64_t step, std::size_t first, std::size_t count, char fill) {
    for (std::size_t s = first; s < first + count; ++s) written_[s].push_back({step, fill});
  }
  void synced(std::uint64_t step) { syncs_.push_back(step); }
  // Whether a crash after `steps` steps may leave `fill` in the sector.
  bool may_be(std::size_t sector, std::uint64_t steps, char fill) const {
    std::uint64_t last_sync = 0;
    for (const std::uint64_t s : syncs_) {
      if (s < steps) last_sync = s;
    }
    const auto& history = written_[sector];
    for (std::size_t n = history.size(); n-- > 0;) {
      if (history[n].step >= steps && n != 0) continue;
      if (history[n].fill == fill) return true;
      if (n == 0 || history[n].step < last_sync) return false;  // durable: nothing older may show
    }
    return false;
  }

 private:
  struct Write {
    std::uint64_t step;
    char fill;
  };
  std::vector<std::vector<Write>> written_;
  std::vector<std::uint64_t> syncs_;
};

TEST(MemoryEnv, EveryStateOfALogIsOneTheHistoryAllows) {
  constexpr std::size_t kPages = 24;
  MemoryEnv env;
  const auto log = env.create_log("log", kPages * kPage).value();
  const std::uint64_t born = env.steps();
  SectorHistory history(kPages * kPage / kSector);
  Rng rng(19);
  for (int n = 0; n < 90; ++n) {
    const std::size_t page = rng.below(kPages),
                      count = 1 + rng.below(std::min<std::size_t>(4, kPages - page));
    const char fill = static_cast<char>(1 + n);
    const Sync sync = rng.below(6) == 0 ? Sync::kData : Sync::kNone;
    history.wrote(env.steps(), page * 8, count * 8, fill);
    ASSERT_TRUE(write(*log, page, count, fill, sync).ok());
    if (sync == Sync::kData) history.synced(env.steps() - 1);
  }
  std::size_t unsynced = 0;
  for (std::uint64_t steps = born; steps <= env.steps(); ++steps) {
    for (const CrashChoice choice : some_choices(env, steps)) {
      const std::string text = text_or(*env.after_crash(steps, choice), "log");
      ASSERT_EQ(text.size(), kPages * kPage);
      for (std::size_t s = 0; s < text.size() / kSector; ++s) {
        const char fill = text[s * kSector];
        ASSERT_TRUE(history.may_be(s, steps, fill)) << "sector " << s << " after " << steps << " steps";
        ASSERT_EQ(std::string_view(text).substr(s * kSector, kSector), std::string(kSector, fill));
      }
      unsynced += env.torn_sectors(steps) != 0;
    }
  }
  EXPECT_GT(unsynced, 1000u) << "most states had something to lose";
}

// A run like the store's: logs, sealed files, a manifest, removals. What was acknowledged is there in every
// state.
class StoreRun {
 public:
  void go() {
    ASSERT_TRUE(env_.create_directories("store").ok());
    for (int round = 0; round < 6; ++round) {
      const std::string name = std::to_string(round);
      const auto log = env_.create_log("store/log" + name, 25 * kPage).value();
      for (std::uint64_t page = 0; page < 24; page += 4) {
        ASSERT_TRUE(write(*log, page, 4, static_cast<char>('a' + round), Sync::kData).ok());
      }
      ASSERT_TRUE(write_atomically(env_, "store/part" + name, std::string(100'000, 'p')).ok());
      ASSERT_TRUE(write_atomically(env_, "store/manifest", name).ok());
      manifest_at_[env_.steps()] = round;
      if (round == 0) continue;
      ASSERT_TRUE(env_.remove("store/log" + std::to_string(round - 1)).ok());
      ASSERT_TRUE(env_.sync_directory("store").ok());
    }
  }
  void check(std::uint64_t steps, CrashChoice choice) const {
    const auto crashed = env_.after_crash(steps, choice);
    const auto acknowledged = manifest_at_.upper_bound(steps);
    const int sealed = acknowledged == manifest_at_.begin() ? -1 : std::prev(acknowledged)->second;
    const std::string manifest = text_or(*crashed, "store/manifest", "-1");
    ASSERT_GE(std::stoi(manifest), sealed);
    for (int round = 0; round <= std::stoi(manifest); ++round) {
      ASSERT_EQ(text_or(*crashed, "store/part" + std::to_string(round)).size(), 100'000u);
    }
    if (sealed < 0) return;
    const std::string log = text_or(*crashed, "store/log" + std::to_string(std::stoi(manifest)));
    ASSERT_EQ(log.substr(0, 24 * kPage),
              std::string(24 * kPage, static_cast<char>('a' + std::stoi(manifest))));
  }
  const MemoryEnv& env() const { return env_; }

 private:
  MemoryEnv env_;
  std::map<std::uint64_t, int> manifest_at_;  // steps when it was acknowledged -> round
};

TEST(MemoryEnv, WhatWasAcknowledgedIsThereInEveryState) {
  StoreRun run;
  run.go();
  ASSERT_GT(run.env().steps(), 100u);
  for (std::uint64_t steps = 0; steps <= run.env().steps(); ++steps) {
    for (std::uint64_t seed = 0; seed < 10; ++seed) run.check(steps, CrashChoice::random(seed));
    run.check(steps, CrashChoice::nothing_unsynced());
    run.check(steps, CrashChoice::everything());
    const std::uint64_t sectors = run.env().torn_sectors(steps);
    for (std::uint64_t s = 0; s <= sectors; s += 1 + sectors / 8) run.check(steps, CrashChoice::torn_last(s));
    if (testing::Test::HasFatalFailure()) return;
  }
}

TEST(MemoryEnv, AWriterAndASealerAndAReaderAtOnce) {
  MemoryEnv memory;
  FaultEnv env(memory);
  const auto log = env.create_log("log", 16 * kPage).value();
  std::thread writer([&] {
    for (std::uint64_t n = 0; n < 200; ++n) {
      EXPECT_TRUE(write(*log, n % 16, 1, static_cast<char>(n), n % 3 == 0 ? Sync::kData : Sync::kNone).ok());
    }
  });
  std::thread sealer([&] {
    for (int n = 0; n < 50; ++n) {
      EXPECT_TRUE(write_atomically(env, "part" + std::to_string(n), std::string(20'000, 'p')).ok());
    }
  });
  for (std::uint64_t n = 0; n < 50; ++n) {
    EXPECT_EQ(log_text(*log).size(), 16 * kPage);
    EXPECT_TRUE(env.list(".").ok());
    EXPECT_TRUE(memory.after_crash(memory.steps(), CrashChoice::random(n))->exists("log"));
  }
  writer.join();
  sealer.join();
  EXPECT_EQ(env.list(".").value().size(), 51u);
  EXPECT_EQ(env.operations(), 1u + 200u + 3u * 50u);
}

}  // namespace
}  // namespace perjoule::base
