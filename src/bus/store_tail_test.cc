// A StoreReader and the blocks that are in no sealed file yet: what was acknowledged is read once, by whoever
// opens the store and at whatever moment.
#include <gtest/gtest.h>

#include <atomic>
#include <map>
#include <thread>

#include "base/memory_env.hpp"
#include "bus/conservation.hpp"
#include "bus/engine.hpp"
#include "bus/store.hpp"
#include "bus/test_blocks.hpp"

namespace perjoule::bus {
namespace {

using testing::joule_block;
using testing::meter_block;
using testing::sample_block;

constexpr const char* kStore = "/store";

EngineOptions small_options(bool threads = false) {
  EngineOptions o;
  o.log.segment_bytes = 64 << 10;
  o.seal_rows = 200;
  o.threads = threads;
  o.lock = false;
  return o;
}

using Rows = std::multimap<std::int64_t, std::int64_t>;  // seq -> energy

Rows joules_of(const StoreReader& store, TimeWindow window = {}) {
  Rows out;
  const auto status = store.scan({Table::kJoules, {"seq", "energy_uj"}, window}, [&](const Batch& b) {
    for (std::size_t i = 0; i < b.rows; ++i) out.emplace(b.columns[0].ints[i], b.columns[1].ints[i]);
    return base::ok_status();
  });
  EXPECT_TRUE(status.ok()) << status.error().message();
  return out;
}

std::unique_ptr<Engine> open_engine(base::Env& env, EngineOptions options) {
  auto engine = Engine::open(env, kStore, std::move(options));
  EXPECT_TRUE(engine.ok()) << engine.error().message();
  return std::move(engine).value();
}

StoreReader open_reader(base::Env& env) {
  auto store = StoreReader::open(env, kStore);
  EXPECT_TRUE(store.ok()) << store.error().message();
  return std::move(store).value();
}

void expect_sound(const StoreReader& store) {
  for (const auto& f : store.verify()) ADD_FAILURE() << f.file << " byte " << f.byte << ": " << f.why;
}

TEST(StoreTail, UnsealedBlocksAreReadLikeSealedOnes) {
  base::MemoryEnv env;
  auto engine = open_engine(env, small_options());
  for (std::uint64_t n = 1; n <= 20; ++n) {
    ASSERT_EQ(engine->store(joule_block("a", n)).outcome, Outcome::kStored);
    ASSERT_EQ(engine->store(sample_block("b", n)).outcome, Outcome::kStored);
  }
  const StoreReader store = open_reader(env);
  const auto here = StoreReader::open(env, kStore, engine->snapshot());
  ASSERT_TRUE(here.ok());
  EXPECT_EQ(store.rows(Table::kJoules), 100U);
  EXPECT_EQ(store.tail().size(), 40U);
  const Rows before = joules_of(store);
  EXPECT_EQ(before.size(), 100U);
  EXPECT_EQ(joules_of(*here), before);
  const Rows some = joules_of(store, {5'000, 9'000});
  EXPECT_EQ(some.size(), 20U);
  EXPECT_EQ(some.begin()->first, 5);
  expect_sound(store);

  ASSERT_TRUE(engine->seal_all().ok());
  const StoreReader after = open_reader(env);
  EXPECT_TRUE(after.tail().empty());
  EXPECT_EQ(joules_of(after), before);
  EXPECT_EQ(joules_of(after, {5'000, 9'000}), some);
  EXPECT_EQ(after.time_range(Table::kJoules).first_ns, store.time_range(Table::kJoules).first_ns);
  EXPECT_EQ(after.time_range(Table::kJoules).last_ns, store.time_range(Table::kJoules).last_ns);
  EXPECT_EQ(joules_of(store), before) << "the reader that was opened before";
  expect_sound(after);
}

TEST(StoreTail, AfterARestartTheBlocksAreReadFromTheLog) {
  base::MemoryEnv env;
  open_engine(env, small_options())->store(joule_block("a", 1));
  auto engine = open_engine(env, small_options());
  engine->store(joule_block("a", 2));
  const auto here = StoreReader::open(env, kStore, engine->snapshot());
  ASSERT_TRUE(here.ok()) << here.error().message();
  EXPECT_EQ(joules_of(*here).size(), 10U);
  EXPECT_EQ(joules_of(open_reader(env)), joules_of(*here));
}

TEST(StoreTail, TypedRowsAndTheAuditHaveTheTail) {
  base::MemoryEnv env;
  auto engine = open_engine(env, small_options());
  for (std::uint64_t n = 1; n <= 3; ++n) {
    engine->store(meter_block("m", n));
    engine->store(joule_block("a", n));
    if (n == 2) {
      ASSERT_TRUE(engine->seal_all().ok());
    }
  }
  const StoreReader store = open_reader(env);
  base::SymbolTable symbols;
  std::int64_t energy = 0;
  ASSERT_TRUE(store.for_each_joule(symbols, [&](const energy::JouleRow& r) { energy += r.energy_uj; }).ok());
  const auto audit = check_conservation(store);
  ASSERT_TRUE(audit.ok());
  EXPECT_TRUE(audit->holds());
  EXPECT_EQ(audit->joule_uj, audit->root_uj);
  EXPECT_EQ(audit->checked_to_ns, 3'000);
  EXPECT_GT(energy, audit->joule_uj) << "the last window is not compared while a writer is at work";
}

TEST(StoreTail, DamageInTheLogIsNamed) {
  base::MemoryEnv env;
  auto engine = open_engine(env, small_options());
  for (std::uint64_t n = 1; n <= 10; ++n) engine->store(joule_block("a", n));
  const auto place = engine->snapshot().tail[4].place;
  {
    auto log = env.open_log(std::string(kStore) + "/wal/0000000001.log");
    ASSERT_TRUE(log.ok());
    // A byte of the fifth group; groups are whole pages.
    std::string page(base::LogFile::kPage, '\0');
    base::PageBuffer buffer;
    const std::uint64_t at = place.offset / page.size() * page.size();
    ASSERT_TRUE((*log)->read(at, page).ok());
    page[place.offset % page.size() + 100] = static_cast<char>(page[place.offset % page.size() + 100] ^ 1);
    buffer.append(page);
    ASSERT_TRUE((*log)->write(at, buffer.view(), base::Sync::kData).ok());
  }
  const StoreReader store = open_reader(env);
  const auto status =
      store.scan({Table::kJoules, {"seq"}, {}}, [](const Batch&) { return base::ok_status(); });
  EXPECT_FALSE(status.ok());
  const auto findings = store.verify();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_TRUE(findings[0].damage);
  EXPECT_EQ(findings[0].file, "wal/0000000001.log");
  EXPECT_EQ(findings[0].byte, place.offset) << "the block; the rest of its group is kept";
}

TEST(StoreTail, OtherFilesBesideTheLogAreStrays) {
  base::MemoryEnv env;
  auto engine = open_engine(env, small_options());
  engine->store(joule_block("a", 1));
  ASSERT_TRUE(base::write_atomically(env, std::string(kStore) + "/wal/notes.txt", "x").ok());
  const auto findings = open_reader(env).verify();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_FALSE(findings[0].damage);
  EXPECT_EQ(findings[0].file, "wal/notes.txt");
}

// Each source's numbers 1..n, kRowsPerBlock rows of each: nothing twice, no hole. Gives the sum of all n.
std::int64_t expect_prefixes(const StoreReader& store) {
  std::map<std::string, std::map<std::int64_t, std::size_t>> found;
  const auto status = store.scan({Table::kJoules, {"source", "seq"}, {}}, [&](const Batch& b) {
    for (std::size_t i = 0; i < b.rows; ++i) ++found[std::string(b.columns[0].text(i))][b.columns[1].ints[i]];
    return base::ok_status();
  });
  EXPECT_TRUE(status.ok()) << status.error().message();
  std::int64_t all = 0;
  for (const auto& [source, numbers] : found) {
    const auto n = static_cast<std::int64_t>(numbers.size());
    EXPECT_EQ(numbers.begin()->first, 1) << source;
    EXPECT_EQ(numbers.rbegin()->first, n) << source;
    for (const auto& [seq, rows] : numbers) EXPECT_EQ(rows, testing::kRowsPerBlock) << source << " " << seq;
    all += n;
  }
  return all;
}

TEST(StoreTail, AReaderBesideAWriterSeesAPrefixOfEverySource) {
  base::MemoryEnv env;
  auto engine = open_engine(env, small_options(true));
  constexpr std::uint64_t kBlocks = 600;
  std::atomic<std::uint64_t> stored{0};
  std::thread writer([&] {
    for (std::uint64_t n = 1; n <= kBlocks; ++n) {
      for (const char* source : {"a", "b"}) {
        while (engine->store(joule_block(source, n), Durability::kBuffered).outcome == Outcome::kBusy)
          std::this_thread::yield();
      }
      stored = n;
      if (n % 50 == 0) {
        EXPECT_TRUE(engine->seal_all().ok());
      }
    }
  });
  for (std::uint64_t before = 0; before < kBlocks;) {
    before = stored;
    const auto from_files = StoreReader::open(env, kStore);
    ASSERT_TRUE(from_files.ok()) << from_files.error().message();
    EXPECT_GE(expect_prefixes(*from_files), static_cast<std::int64_t>(2 * before));
    const auto here = StoreReader::open(env, kStore, engine->snapshot());
    if (here.ok()) {
      EXPECT_GE(expect_prefixes(*here), static_cast<std::int64_t>(2 * before));
    }
  }
  writer.join();
}

}  // namespace
}  // namespace perjoule::bus
