// An engine opens a store that the first release made: old and new rows are there, at whatever step it stops.
#include "bus/store_upgrade.hpp"

#include <gtest/gtest.h>

#include "base/memory_env.hpp"
#include "bus/engine.hpp"
#include "bus/store.hpp"
#include "bus/test_blocks.hpp"

namespace perjoule::bus {
namespace {

using base::CrashChoice;
using base::MemoryEnv;

constexpr const char* kStore = "/store";
const std::string kFormat1 = std::string(PERJOULE_SOURCE_DIR) + "/tests/store/format-1/store";

EngineOptions small_options() {
  EngineOptions o;
  o.log.segment_bytes = 64 << 10;
  o.threads = false;
  o.lock = false;
  return o;
}

// The golden store on a disk in memory.
std::unique_ptr<MemoryEnv> old_store() {
  MemoryEnv env;
  const auto files = base::list_recursive(base::posix_env(), kFormat1);
  EXPECT_TRUE(files.ok());
  for (const auto& file : *files) {
    const std::string to = std::string(kStore) + "/" + file;
    EXPECT_TRUE(env.create_directories(to.substr(0, to.rfind('/'))).ok());
    EXPECT_TRUE(
        base::write_atomically(env, to, base::posix_env().read_file(kFormat1 + "/" + file).value()).ok());
  }
  return env.after_crash(env.steps(), CrashChoice::everything());
}

struct Sums {
  std::uint64_t rows = 0, energy = 0, phases = 0;
  bool operator==(const Sums&) const = default;
};

Sums sums_of(base::Env& env) {
  Sums out;
  const auto store = StoreReader::open(env, kStore);
  EXPECT_TRUE(store.ok()) << store.error().message();
  if (!store.ok()) return out;
  const auto status = store->scan({Table::kJoules, {"energy_uj", "phase"}, {}}, [&](const Batch& b) {
    for (std::size_t i = 0; i < b.rows; ++i) {
      ++out.rows;
      out.energy += static_cast<std::uint64_t>(b.columns[0].ints[i]);  // may wrap: the rows are random
      out.phases += b.columns[1].is_null(i) ? 0U : 1U;
    }
    return base::ok_status();
  });
  EXPECT_TRUE(status.ok()) << status.error().message();
  return out;
}

Sums with_blocks(Sums sums, std::uint64_t blocks) {
  for (std::uint64_t n = 1; n <= blocks; ++n) {
    for (std::uint64_t i = 0; i < testing::kRowsPerBlock; ++i) ++sums.rows, sums.energy += n * 100 + i;
  }
  return sums;
}

TEST(StoreUpgrade, TheManifestGrowsAndTheFilesStay) {
  const auto disk = old_store();
  const Sums before = sums_of(*disk);
  EXPECT_GT(before.rows, 0U);
  EXPECT_EQ(StoreReader::open(*disk, kStore)->manifest().format_version, 1);
  const std::string joules = disk->read_file("/store/joules/part-000001.parquet").value();
  { ASSERT_TRUE(Engine::open(*disk, kStore, small_options()).ok()); }
  const auto store = StoreReader::open(*disk, kStore);
  EXPECT_EQ(store->manifest().format_version, kFormatVersion);
  for (const auto& e : store->manifest().segments) EXPECT_NE(e.summary.tail.bytes, 0U) << e.file;
  for (const auto& f : store->verify()) ADD_FAILURE() << f.file << ": " << f.why;
  EXPECT_EQ(disk->read_file("/store/joules/part-000001.parquet").value(), joules);
  EXPECT_EQ(sums_of(*disk), before);
}

TEST(StoreUpgrade, ADamagedFileIsNotTakenOverAsItIs) {
  const auto disk = old_store();
  const std::string path = "/store/samples/part-000001.parquet";
  std::string bytes = disk->read_file(path).value();
  bytes[bytes.size() / 2] = static_cast<char>(bytes[bytes.size() / 2] ^ 1);
  ASSERT_TRUE(base::write_atomically(*disk, path, bytes).ok());
  const auto engine = Engine::open(*disk, kStore, small_options());
  ASSERT_FALSE(engine.ok());
  EXPECT_NE(engine.error().hint.find("store repair"), std::string::npos) << engine.error().message();
  EXPECT_EQ(StoreReader::open(*disk, kStore)->manifest().format_version, 1);
}

// Six blocks, sealed in between and at the end; stopped after every step, with every kind of loss.
TEST(StoreUpgrade, ACrashAtEveryStepKeepsOldRowsAndAcknowledgedOnes) {
  const auto disk = old_store();
  const Sums before = sums_of(*disk);
  std::vector<std::uint64_t> acked_at;  // steps the disk had seen when block n was acknowledged
  {
    auto engine = Engine::open(*disk, kStore, small_options());
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    for (std::uint64_t n = 1; n <= 6; ++n) {
      ASSERT_EQ((*engine)->store(testing::joule_block("a", n)).outcome, Outcome::kStored);
      acked_at.push_back(disk->steps());
      if (n % 3 == 0) {
        ASSERT_TRUE((*engine)->seal_all().ok());
      }
    }
  }
  EXPECT_EQ(sums_of(*disk), with_blocks(before, 6));
  for (std::uint64_t step = 0; step <= disk->steps(); ++step) {
    for (const auto choice :
         {CrashChoice::nothing_unsynced(), CrashChoice::everything(), CrashChoice::torn_last(0),
          CrashChoice::random(step), CrashChoice::random(1000 + step)}) {
      SCOPED_TRACE("crash after step " + std::to_string(step) +
                   (step > 0 ? ": " + disk->step_text(step - 1) : ""));
      const auto after = disk->after_crash(step, choice);
      auto engine = Engine::open(*after, kStore, small_options());
      ASSERT_TRUE(engine.ok()) << engine.error().message();
      const std::uint64_t through = (*engine)->stored_through("a");
      std::uint64_t acked = 0;
      for (const std::uint64_t at : acked_at) acked += at <= step ? 1U : 0U;
      ASSERT_GE(through, acked);
      ASSERT_EQ(sums_of(*after), with_blocks(before, through));
      for (std::uint64_t n = 1; n <= 7; ++n) {
        const Receipt r = (*engine)->store(testing::joule_block("a", n));
        ASSERT_EQ(r.outcome, n <= through ? Outcome::kAlreadyStored : Outcome::kStored) << r.why;
      }
      ASSERT_TRUE((*engine)->seal_all().ok());
      ASSERT_EQ(sums_of(*after), with_blocks(before, 7));
    }
  }
}

}  // namespace
}  // namespace perjoule::bus
