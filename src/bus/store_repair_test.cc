// Damage is isolated, told and mended: what a reader leaves out is what it says it leaves out, and a repair
// keeps every other row, once.
#include "bus/store_repair.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

#include "base/memory_env.hpp"
#include "bus/engine.hpp"
#include "bus/log_layout.hpp"
#include "bus/test_blocks.hpp"

namespace perjoule::bus {
namespace {

using base::CrashChoice;
using base::MemoryEnv;
using testing::joule_block;
using testing::kRowsPerBlock;

constexpr const char* kStore = "/store";
constexpr base::TimePoint kNow{1'777'600'000'000'000'000};

EngineOptions small_options() {
  EngineOptions o;
  o.log.segment_bytes = 256 << 10;
  o.group_rows = 20;  // several row groups in a file
  o.threads = false;
  o.lock = false;
  return o;
}

using Numbers = std::multiset<std::int64_t>;  // seq of every joules row

Numbers numbers_of(const StoreReader& store) {
  Numbers out;
  const auto status = store.scan({Table::kJoules, {"seq"}, {}}, [&](const Batch& b) {
    out.insert(b.columns[0].ints.begin(), b.columns[0].ints.end());
    return base::ok_status();
  });
  EXPECT_TRUE(status.ok()) << status.error().message();
  return out;
}

std::unique_ptr<Engine> open_engine(base::Env& env) {
  auto engine = Engine::open(env, kStore, small_options());
  EXPECT_TRUE(engine.ok()) << engine.error().message();
  return engine.ok() ? std::move(engine).value() : nullptr;
}

void send(Engine& engine, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t n = from; n <= to; ++n)
    ASSERT_EQ(engine.store(joule_block("a", n)).outcome, Outcome::kStored) << n;
}

void flip(base::Env& env, const std::string& file, std::uint64_t byte) {
  std::string bytes = env.read_file(std::string(kStore) + "/" + file).value();
  bytes.at(byte) = static_cast<char>(bytes.at(byte) ^ 1);
  ASSERT_TRUE(base::write_atomically(env, std::string(kStore) + "/" + file, bytes).ok());
}

// Blocks 1..20 in a file of five row groups, blocks 21..30 in the log.
void make_store(base::Env& env) {
  auto engine = open_engine(env);
  send(*engine, 1, 20);
  ASSERT_TRUE(engine->seal_all().ok());
  send(*engine, 21, 30);
}

RepairPlan plan(base::Env& env, const RepairOptions& options = {}) {
  auto p = plan_repair(env, kStore, options);
  EXPECT_TRUE(p.ok()) << p.error().message();
  return p.ok() ? std::move(p).value() : RepairPlan{};
}

void expect_sound(base::Env& env) {
  const auto store = StoreReader::open(env, kStore);
  ASSERT_TRUE(store.ok()) << store.error().message();
  for (const auto& f : store->verify()) ADD_FAILURE() << f.file << " byte " << f.byte << ": " << f.why;
}

std::uint64_t middle_of_group(base::Env& env, const std::string& file, std::size_t group) {
  const auto parquet = ParquetFile::open(env.read_file(std::string(kStore) + "/" + file).value(), file);
  const auto& g = parquet.value().meta().groups.at(group);
  return static_cast<std::uint64_t>(g.columns.at(5).data_offset) + 30;
}

constexpr const char* kPart = "joules/part-000001.parquet";

TEST(Damage, OnePageCostsItsRowGroupAndSaysSo) {
  MemoryEnv env;
  make_store(env);
  const Numbers all = numbers_of(*StoreReader::open(env, kStore));
  ASSERT_EQ(all.size(), 30 * kRowsPerBlock);
  for (const std::size_t group : {1U, 3U}) flip(env, kPart, middle_of_group(env, kPart, group));

  const auto strict = StoreReader::open(env, kStore);
  EXPECT_FALSE(strict->scan({}, [](const Batch&) { return base::ok_status(); }).ok());
  const auto findings = strict->verify();
  ASSERT_EQ(findings.size(), 2U);
  EXPECT_EQ(findings[0].rows, 20U);
  EXPECT_TRUE(findings[0].time.known);

  const auto lenient = StoreReader::open_without_damage(env, kStore);
  ASSERT_TRUE(lenient.ok()) << lenient.error().message();
  ASSERT_EQ(lenient->left_out().size(), 2U);
  const Numbers rest = numbers_of(*lenient);
  EXPECT_EQ(rest.size() + lenient->left_out()[0].rows + lenient->left_out()[1].rows, all.size());
  Numbers missing;
  std::set_difference(all.begin(), all.end(), rest.begin(), rest.end(),
                      std::inserter(missing, missing.end()));
  for (const auto n : missing) {
    const auto covers = [&](const Finding& f) {
      return n * 1000 >= f.time.first_ns && n * 1000 <= f.time.last_ns;
    };
    EXPECT_TRUE(covers(lenient->left_out()[0]) || covers(lenient->left_out()[1])) << n;
  }
}

TEST(Damage, AWholeStoreLeavesNothingOut) {
  MemoryEnv env;
  make_store(env);
  const auto store = StoreReader::open_without_damage(env, kStore);
  EXPECT_TRUE(store->left_out().empty());
  EXPECT_EQ(numbers_of(*store), numbers_of(*StoreReader::open(env, kStore)));
}

// Every byte of the store, one at a time: the reader that passes over damage gives no wrong row, and what it
// lacks is what it says.
TEST(Damage, EveryFlippedByteIsLeftOutOrHarmless) {
  MemoryEnv env;
  make_store(env);
  const auto whole = StoreReader::open(env, kStore);
  const Numbers all = numbers_of(*whole);
  const std::string log = "wal/0000000001.log";
  // But the last group: damaged, it looks like one that a crash tore before it was acknowledged.
  const std::uint64_t used = 29 * base::LogFile::kPage;
  for (const std::string& file : {std::string(kPart), log}) {
    const std::string before = env.read_file(std::string(kStore) + "/" + file).value();
    const std::uint64_t end = file == log ? used : before.size();
    for (std::uint64_t byte = 0; byte < end; byte += file == log ? 397U : 13U) {
      SCOPED_TRACE(file + " byte " + std::to_string(byte));
      flip(env, file, byte);
      const auto store = StoreReader::open_without_damage(env, kStore);
      ASSERT_TRUE(store.ok()) << store.error().message();
      const Numbers rest = numbers_of(*store);
      ASSERT_TRUE(std::includes(all.begin(), all.end(), rest.begin(), rest.end()));
      if (rest.size() != all.size()) {
        ASSERT_FALSE(store->left_out().empty());
      }
      ASSERT_TRUE(base::write_atomically(env, std::string(kStore) + "/" + file, before).ok());
    }
  }
}

TEST(Damage, ABlockOfTheLogCostsItsRowsAndNamesTheNumbers) {
  MemoryEnv env;
  std::uint64_t byte = 0;
  {
    auto engine = open_engine(env);
    send(*engine, 1, 10);
    const LogPlace place = engine->snapshot().tail[4].place;
    byte = place.offset + place.bytes - 10;
  }
  flip(env, "wal/0000000001.log", byte);
  const auto store = StoreReader::open_without_damage(env, kStore);
  ASSERT_TRUE(store.ok());
  ASSERT_EQ(store->left_out().size(), 1U);
  EXPECT_EQ(store->left_out()[0].rows, kRowsPerBlock);
  EXPECT_EQ(store->left_out()[0].table, "joules");
  EXPECT_EQ(store->left_out()[0].numbers, "a 5");
  const Numbers rest = numbers_of(*store);
  EXPECT_EQ(rest.size(), 9 * kRowsPerBlock);
  EXPECT_EQ(rest.count(5), 0U);
}

TEST(Repair, NothingToDoForASoundStore) {
  MemoryEnv env;
  make_store(env);
  EXPECT_TRUE(plan(env).nothing_to_do());
}

TEST(Repair, KeepsTheSoundRowGroupsAndTheDamagedFile) {
  MemoryEnv env;
  make_store(env);
  const std::string damaged_group_file = kPart;
  flip(env, kPart, middle_of_group(env, kPart, 2));
  const std::string damaged = env.read_file(std::string(kStore) + "/" + kPart).value();
  const Numbers rest = numbers_of(*StoreReader::open_without_damage(env, kStore));
  const RepairPlan p = plan(env);
  EXPECT_EQ(p.rewrite, std::vector<std::string>{kPart});
  ASSERT_TRUE(apply_repair(env, kStore, p, {}, kNow).ok());
  expect_sound(env);
  EXPECT_EQ(numbers_of(*StoreReader::open(env, kStore)), rest);
  EXPECT_EQ(rest.size(), 30 * kRowsPerBlock - 20);
  EXPECT_EQ(env.read_file(std::string(kStore) + "/lost+found/joules-part-000001.parquet").value(), damaged);
  const auto records = repairs_of(env, kStore);
  ASSERT_EQ(records->size(), 1U);
  EXPECT_TRUE((*records)[0].whole);
  EXPECT_NE((*records)[0].line.find("\"rows\":20"), std::string::npos) << (*records)[0].line;
  EXPECT_TRUE(plan(env).nothing_to_do());
  // And it goes on.
  auto engine = open_engine(env);
  EXPECT_EQ(engine->stored_through("a"), 30U);
  send(*engine, 31, 40);
  ASSERT_TRUE(engine->seal_all().ok());
  EXPECT_EQ(numbers_of(*StoreReader::open(env, kStore)).size(), rest.size() + 10 * kRowsPerBlock);
}

TEST(Repair, TheLogIsGivenUpOnlyAtTheNamedPlace) {
  MemoryEnv env;
  std::uint64_t byte = 0;
  {
    auto engine = open_engine(env);
    send(*engine, 1, 20);
    byte = engine->snapshot().tail[11].place.offset + 200;
  }
  flip(env, "wal/0000000001.log", byte);
  EXPECT_FALSE(Engine::open(env, kStore, small_options()).ok());
  const RepairPlan dry = plan(env);
  ASSERT_FALSE(dry.refused.empty());
  EXPECT_FALSE(apply_repair(env, kStore, dry, {}, kNow).ok());
  EXPECT_FALSE(plan(env, {"wal/0000000001.log:1", ""}).refused.empty());
  const std::string place = dry.hint.substr(dry.hint.rfind(' ') + 1);
  const RepairOptions agreed{place, "test"};
  ASSERT_TRUE(apply_repair(env, kStore, plan(env, agreed), agreed, kNow).ok()) << place;
  expect_sound(env);
  const Numbers rest = numbers_of(*StoreReader::open(env, kStore));
  EXPECT_EQ(rest.size(), 19 * kRowsPerBlock);
  EXPECT_EQ(rest.count(12), 0U);
  EXPECT_NE((*repairs_of(env, kStore))[0].line.find("a 12"), std::string::npos);
  // The source goes on behind what it was told is stored; nothing counts twice.
  auto engine = open_engine(env);
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->stored_through("a"), 20U);
  EXPECT_EQ(engine->store(joule_block("a", 20)).outcome, Outcome::kAlreadyStored);
  send(*engine, 21, 25);
  engine = open_engine(env);
  EXPECT_EQ(numbers_of(*StoreReader::open(env, kStore)).size(), 24 * kRowsPerBlock);
  ASSERT_TRUE(engine->seal_all().ok());
  EXPECT_EQ(numbers_of(*StoreReader::open(env, kStore)).size(), 24 * kRowsPerBlock);
}

TEST(Repair, AManifestIsMadeAnewOnlyWhereNothingCountsTwice) {
  MemoryEnv env;
  make_store(env);
  flip(env, "catalog/manifest.json", 100);
  EXPECT_FALSE(StoreReader::open(env, kStore).ok());
  EXPECT_FALSE(plan(env).refused.empty()) << "the log has blocks that may be in files too";
  const RepairOptions agreed{"start", "test"};
  const RepairPlan p = plan(env, agreed);
  EXPECT_TRUE(p.new_manifest);
  EXPECT_FALSE(p.uncertain.empty());
  ASSERT_TRUE(apply_repair(env, kStore, p, agreed, kNow).ok());
  expect_sound(env);
  EXPECT_EQ(numbers_of(*StoreReader::open(env, kStore)).size(), 20 * kRowsPerBlock);
  auto engine = open_engine(env);
  ASSERT_NE(engine, nullptr);
  EXPECT_EQ(engine->stored_through("a"), 30U);
}

TEST(Repair, ALogThatWasNeverSealedIsWhole) {
  MemoryEnv env;
  {
    auto engine = open_engine(env);
    send(*engine, 1, 8);
  }
  ASSERT_TRUE(env.remove(std::string(kStore) + "/catalog/manifest.json").ok());
  // Without a sealed file the folder tells nothing; a damaged manifest does.
  ASSERT_TRUE(base::write_atomically(env, std::string(kStore) + "/catalog/manifest.json", "{}").ok());
  const RepairPlan p = plan(env);
  EXPECT_TRUE(p.refused.empty()) << p.refused;
  ASSERT_TRUE(apply_repair(env, kStore, p, {}, kNow).ok());
  expect_sound(env);
  EXPECT_EQ(numbers_of(*StoreReader::open(env, kStore)).size(), 8 * kRowsPerBlock);
}

TEST(Repair, StraysArePutAsideAndUnfinishedFilesGo) {
  MemoryEnv env;
  make_store(env);
  ASSERT_TRUE(base::write_atomically(env, std::string(kStore) + "/joules/part-000009.parquet", "x").ok());
  ASSERT_TRUE(
      base::write_atomically(env, std::string(kStore) + "/joules/part-000010.parquet.part", "x").ok());
  const RepairPlan p = plan(env);
  EXPECT_EQ(p.move, std::vector<std::string>{"joules/part-000009.parquet"});
  EXPECT_EQ(p.remove, std::vector<std::string>{"joules/part-000010.parquet.part"});
  ASSERT_TRUE(apply_repair(env, kStore, p, {}, kNow).ok());
  expect_sound(env);
  EXPECT_EQ(numbers_of(*StoreReader::open(env, kStore)).size(), 30 * kRowsPerBlock);
}

// A crash at every step of a repair of segment and log: what is there then can be repaired, and the rows are
// those that were sound, each once.
TEST(Repair, ACrashAtEveryStepLosesNothingMore) {
  auto env = std::make_unique<MemoryEnv>();
  make_store(*env);
  std::uint64_t byte = 0;
  {
    auto engine = open_engine(*env);
    byte = engine->snapshot().tail[3].place.offset + 200;
  }
  flip(*env, kPart, middle_of_group(*env, kPart, 2));
  flip(*env, "wal/0000000001.log", byte);
  const Numbers rest = numbers_of(*StoreReader::open_without_damage(*env, kStore));
  EXPECT_EQ(rest.size(), 29 * kRowsPerBlock - 20);
  env = env->after_crash(env->steps(), CrashChoice::everything());
  const auto mend = [](base::Env& disk) {
    RepairOptions options;
    RepairPlan p = plan(disk, options);
    if (!p.refused.empty()) {
      options.give_up_log_from = p.hint.substr(p.hint.rfind(' ') + 1);
      p = plan(disk, options);
    }
    const auto done = apply_repair(disk, kStore, p, options, kNow);
    ASSERT_TRUE(done.ok()) << done.error().message();
  };
  mend(*env);
  for (std::uint64_t step = 0; step <= env->steps(); ++step) {
    for (const auto choice :
         {CrashChoice::nothing_unsynced(), CrashChoice::everything(), CrashChoice::random(step)}) {
      SCOPED_TRACE("crash after step " + std::to_string(step));
      const auto disk = env->after_crash(step, choice);
      mend(*disk);
      if (HasFatalFailure()) return;
      expect_sound(*disk);
      ASSERT_EQ(numbers_of(*StoreReader::open(*disk, kStore)), rest);
      auto engine = open_engine(*disk);
      ASSERT_NE(engine, nullptr);
      ASSERT_EQ(engine->stored_through("a"), 30U);
      ASSERT_FALSE(repairs_of(*disk, kStore)->empty());
    }
  }
}

}  // namespace
}  // namespace perjoule::bus
