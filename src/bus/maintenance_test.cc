// Dropping old files and compacting small ones: rows, sums and accounts before and after.
#include "bus/maintenance.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <map>

#include "base/memory_env.hpp"
#include "bus/conservation.hpp"
#include "bus/engine.hpp"
#include "bus/queries.hpp"
#include "bus/retention.hpp"
#include "bus/rollup_check.hpp"
#include "bus/test_blocks.hpp"

namespace perjoule::bus {
namespace {

constexpr const char* kStore = "/store";

class MaintenanceTest : public ::testing::Test {
 protected:
  void SetUp() override { open(); }

  void open() {
    EngineOptions o;
    o.threads = false;
    o.lock = false;
    o.log.segment_bytes = 1 << 20;
    o.compaction.files = 3;
    engine_.reset();
    auto engine = Engine::open(env_, kStore, o);
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(*engine);
  }

  // Windows `from`..`to` of all three tables, a file of each table for every one.
  void fill(std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t n = from; n <= to; ++n) {
      for (const auto& block :
           {testing::joule_block("j", n), testing::meter_block("m", n), testing::sample_block("s", n)})
        ASSERT_EQ(engine_->store(block).outcome, Outcome::kStored);
      ASSERT_TRUE(engine_->seal_all().ok());
    }
  }

  StoreReader reader() { return StoreReader::open(env_, kStore).value(); }
  std::size_t files(std::string_view table) {
    const auto store = reader();
    const auto& all = store.manifest().segments;
    return static_cast<std::size_t>(
        std::count_if(all.begin(), all.end(), [&](const auto& e) { return e.table == table; }));
  }

  std::map<std::string, std::pair<std::int64_t, std::uint64_t>> by_device(bool rollups) {
    QuerySession session(reader(), {});
    EnergyQuery q;
    q.by = {"device"};
    q.rollups = rollups;
    const auto answer = energy_by(session, q).value();
    std::map<std::string, std::pair<std::int64_t, std::uint64_t>> out;
    for (const auto& g : answer.groups) out[std::string(g.keys[0])] = {g.energy_uj, g.rows};
    return out;
  }

  void expect_sound() {
    const auto store = reader();
    const auto conservation = check_conservation(store);
    ASSERT_TRUE(conservation.ok());
    EXPECT_TRUE(conservation->holds());
    const auto rollups = check_rollups(store);
    ASSERT_TRUE(rollups.ok());
    EXPECT_TRUE(rollups->holds());
    for (const Finding& f : store.verify())
      EXPECT_FALSE(f.damage) << f.file << " byte " << f.byte << ": " << f.why;
  }

  base::MemoryEnv env_;
  std::unique_ptr<Engine> engine_;
};

TEST_F(MaintenanceTest, CompactionKeepsEveryRowAndSum) {
  fill(1, 10);
  const auto before = by_device(false);
  const std::uint64_t rows = reader().rows(Table::kJoules);
  EXPECT_EQ(files("joules"), 10U);
  const auto gone = engine_->compact();
  ASSERT_TRUE(gone.ok()) << gone.error().message();
  EXPECT_GE(*gone, 50U);  // ten each of joules, meters, samples and two rollups, at least
  for (const char* table : {"joules", "meters", "samples", "joules_by_consumer", "joules_by_device"})
    EXPECT_EQ(files(table), 1U) << table;
  EXPECT_EQ(reader().rows(Table::kJoules), rows);
  EXPECT_EQ(by_device(false), before);
  EXPECT_EQ(by_device(true), before);
  expect_sound();
  EXPECT_EQ(*engine_->compact(), 0U);
  open();
  expect_sound();
  fill(11, 12);
  expect_sound();
}

// Passes everything on; before a segment is opened, `before_open` may change the store.
class RacingEnv final : public base::Env {
 public:
  explicit RacingEnv(base::Env& target) : target_(target) {}
  std::function<void(const std::string& path)> before_open;

  base::Result<std::string> read_file(const std::string& path, std::uint64_t limit) override {
    return target_.read_file(path, limit);
  }
  base::Result<std::unique_ptr<base::PendingFile>> create(const std::string& path) override {
    return target_.create(path);
  }
  base::Status create_directories(const std::string& path) override {
    return target_.create_directories(path);
  }
  base::Result<std::vector<std::string>> list(const std::string& directory) override {
    return target_.list(directory);
  }
  base::Status remove(const std::string& path) override { return target_.remove(path); }
  bool exists(const std::string& path) override { return target_.exists(path); }
  base::Result<std::unique_ptr<base::LogFile>> open_log_for_reading(const std::string& path) override {
    return target_.open_log_for_reading(path);
  }
  base::Result<std::unique_ptr<base::ReadableFile>> open_file(const std::string& path) override {
    if (before_open) before_open(path);
    return target_.open_file(path);
  }

 private:
  base::Env& target_;
};

class RacingReaderTest : public MaintenanceTest {
 protected:
  // As the keeper does a minute after compaction.
  void compact_and_remove() {
    const Manifest before = reader().manifest();
    ASSERT_TRUE(engine_->compact().ok());
    const Manifest after = reader().manifest();
    for (const auto& old : before.segments) {
      const bool stays = std::any_of(after.segments.begin(), after.segments.end(),
                                     [&](const auto& e) { return e.file == old.file; });
      if (stays) continue;
      ASSERT_TRUE(env_.remove(std::string(kStore) + "/" + old.file).ok());
    }
  }
  static std::int64_t sum(const StoreReader& store) {
    std::int64_t total = 0;
    const auto status = store.scan({Table::kJoules, {"energy_uj"}, {}}, [&](const Batch& b) {
      for (const auto e : b.columns[0].ints) total += e;
      return base::ok_status();
    });
    EXPECT_TRUE(status.ok()) << status.error().message();
    return total;
  }
  RacingEnv racing_{env_};
};

TEST_F(RacingReaderTest, FilesThatAreGoneWhenTheyAreOpenedAreReadByTheNextManifest) {
  fill(1, 5);
  const std::int64_t whole = sum(reader());
  // Twice: the second manifest read is old as well when its files are opened.
  int changes = 0;
  racing_.before_open = [&](const std::string&) {
    if (changes == 2) return;
    if (++changes == 2) fill(6, 10);
    compact_and_remove();
  };
  const auto store = StoreReader::open(racing_, kStore);
  ASSERT_TRUE(store.ok()) << store.error().message();
  EXPECT_EQ(changes, 2);
  EXPECT_GT(sum(*store), whole);
  EXPECT_EQ(sum(*store), sum(reader()));
}

TEST_F(RacingReaderTest, AReaderKeepsTheFilesOfItsManifest) {
  fill(1, 5);
  const auto before = by_device(false);
  const auto store = StoreReader::open(racing_, kStore);
  ASSERT_TRUE(store.ok());
  QuerySession session(StoreReader(*store), {});
  const std::int64_t whole = sum(*store);
  compact_and_remove();
  fill(6, 7);
  EXPECT_EQ(sum(*store), whole) << "nothing of it was opened before";
  EnergyQuery q;
  q.by = {"device"};
  q.rollups = false;
  EXPECT_EQ(energy_by(session, q).value().groups.size(), before.size());
  ASSERT_TRUE(session.refresh().ok());
  EXPECT_EQ(sum(session.store()), sum(reader()));
}

TEST_F(RacingReaderTest, AStoreThatAlwaysChangesIsAnErrorAndNoLoop) {
  fill(1, 3);
  std::uint64_t n = 3;
  int opened = 0;
  racing_.before_open = [&](const std::string& path) {
    if (path.find("/joules/") == std::string::npos) return;
    ++opened;
    fill(n + 1, n + 3);
    n += 3;
    compact_and_remove();
  };
  const auto store = StoreReader::open(racing_, kStore);
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().kind, base::ErrorKind::kIo);
  EXPECT_LT(opened, 1000);
}

TEST_F(RacingReaderTest, AFileThatIsMissingForGoodIsDamageOfItsRowsAlone) {
  fill(1, 2);
  ASSERT_TRUE(env_.remove(std::string(kStore) + "/joules/part-000001.parquet").ok());
  const auto store = StoreReader::open(racing_, kStore);
  ASSERT_TRUE(store.ok()) << store.error().message();
  const auto nothing = [](const Batch&) { return base::ok_status(); };
  EXPECT_EQ(store->scan({Table::kJoules, {}, {}}, nothing).error().kind, base::ErrorKind::kMissing);
  EXPECT_TRUE(store->scan({Table::kMeters, {}, {}}, nothing).ok());
}

// More names in a row group than there are rows in a block of it.
TEST_F(MaintenanceTest, CompactionKeepsManyNames) {
  constexpr std::size_t kRows = kMaxBlockRows;
  for (std::uint64_t n = 1; n <= 4; ++n) {
    base::SymbolTable symbols;
    TableBuilder builder(Table::kRequests, symbols, kRows);
    for (std::size_t i = 0; i < kRows; ++i) {
      energy::RequestRow row;
      row.request = symbols.intern("r" + std::to_string(n * kRows + i));
      row.t_done_ns = static_cast<std::int64_t>(n);
      builder.append(row);
    }
    ASSERT_EQ(engine_->store(testing::block_of(builder, Table::kRequests, "r", n)).outcome, Outcome::kStored);
    if (n >= 2) {
      ASSERT_TRUE(engine_->seal_all().ok());
    }
  }
  ASSERT_EQ(files("requests"), 3U);
  ASSERT_TRUE(engine_->compact().ok());
  EXPECT_EQ(files("requests"), 1U);
  EXPECT_EQ(reader().rows(Table::kRequests), 4 * kRows);
  expect_sound();
}

TEST_F(MaintenanceTest, FilesThatWereReplacedGoAway) {
  fill(1, 4);
  ASSERT_TRUE(engine_->compact().ok());
  EXPECT_TRUE(env_.exists(std::string(kStore) + "/joules/part-000001.parquet"));
  open();
  EXPECT_FALSE(env_.exists(std::string(kStore) + "/joules/part-000001.parquet"));
  EXPECT_TRUE(env_.exists(std::string(kStore) + "/joules/part-000005.parquet"));
}

TEST_F(MaintenanceTest, WhatIsDroppedIsNotedAndStaysInTheRollups) {
  fill(1, 10);
  const auto before = by_device(true);
  const auto dropped = engine_->drop_before(Table::kJoules, 5'000);
  ASSERT_TRUE(dropped.ok()) << dropped.error().message();
  EXPECT_EQ(dropped->files, 4U);
  EXPECT_EQ(dropped->rows, 4 * testing::kRowsPerBlock);
  EXPECT_EQ(dropped->first_ns, 1'000);
  EXPECT_EQ(dropped->last_ns, 4'000);
  EXPECT_EQ(dropped->energy_uj, (100 + 200 + 300 + 400) * 5 + 4 * 10);
  EXPECT_EQ(files("joules"), 6U);
  EXPECT_EQ(by_device(true), before);
  EXPECT_NE(by_device(false), before);
  expect_sound();
  open();
  const auto store = reader();
  ASSERT_EQ(store.manifest().dropped.size(), 1U);
  EXPECT_EQ(store.manifest().dropped[0].rows, dropped->rows);
  EXPECT_EQ(store.manifest().tables.at("joules").kept_from_ns, 5'000);
  EXPECT_EQ(check_conservation(store)->checked_from_ns, 5'000);
  EXPECT_EQ(by_device(true), before);
  EXPECT_EQ(engine_->drop_before(Table::kJoules, 5'000)->files, 0U);
  EXPECT_EQ(engine_->drop_before(Table::kMeters, 3'000)->files, 2U);
  expect_sound();
}

TEST_F(MaintenanceTest, AnAnswerSaysWhatItLacks) {
  fill(1, 6);
  ASSERT_TRUE(engine_->drop_before(Table::kJoules, 4'000).ok());
  QuerySession session(reader(), {});
  EnergyQuery q;
  q.by = {"device"};
  EXPECT_FALSE(energy_by(session, q)->lacks_before_ns.has_value());
  q.by = {"request"};
  EXPECT_EQ(energy_by(session, q)->lacks_before_ns, 4'000);
  q.window.from_ns = 4'000;
  EXPECT_FALSE(energy_by(session, q)->lacks_before_ns.has_value());
  q.by = {"device"};
  q.window.from_ns = 2'000;  // within a step
  EXPECT_EQ(energy_by(session, q)->lacks_before_ns, 4'000);
}

TEST_F(MaintenanceTest, RulesSayHowLongRowsAreKept) {
  EXPECT_EQ(parse_keep_rule("joules=90d")->age.ns, std::int64_t{90} * 86'400 * 1'000'000'000);
  EXPECT_EQ(parse_keep_rule("samples=1h")->table, Table::kSamples);
  EXPECT_EQ(engine_->drop_before(Table::kJoulesByKernel, 5).error().kind, base::ErrorKind::kBadInput);
  for (const char* wrong : {"joules", "jouls=3d", "joules=", "joules=3", "joules=0s", "joules=-3d",
                            "samples_last=3d", "joules_by_kernel=3d"})
    EXPECT_EQ(parse_keep_rule(wrong).error().kind, base::ErrorKind::kBadInput) << wrong;
  fill(1, 4);
  const std::vector<KeepRule> rules{{Table::kMeters, {2'000}}, {Table::kSamples, {1'000}}};
  const auto dropped = drop_old(*engine_, base::TimePoint{4'500}, rules);
  ASSERT_TRUE(dropped.ok());
  ASSERT_EQ(dropped->size(), 2U);
  EXPECT_EQ((*dropped)[0].files, 2U);  // windows 1,000 and 2,000 are before 2,500
  EXPECT_EQ((*dropped)[1].files, 3U);
  EXPECT_TRUE(drop_old(*engine_, base::TimePoint{4'500}, rules)->empty());
}

TEST_F(MaintenanceTest, NotesOfManyDropsAreAddedUp) {
  Manifest m;
  m.tables["meters"];
  for (std::int64_t n = 0; n < 130; ++n) {
    SegmentEntry e;
    e.table = "meters";
    e.file = "meters/part-" + std::to_string(n);
    e.summary.rows = 3;
    e.summary.time = {true, n, n};
    e.energy_uj = n * n;
    m.segments.push_back(e);
  }
  for (std::int64_t n = 1; n <= 125; ++n)
    ASSERT_EQ(drop_segments(env_, kStore, m, Table::kMeters, n)->energy_uj, (n - 1) * (n - 1));
  std::int64_t energy = 0;
  std::uint64_t files = 0, rows = 0;
  for (const auto& d : m.dropped) energy += d.energy_uj.value(), files += d.files, rows += d.rows;
  EXPECT_EQ(energy, 124 * 125 * 249 / 6);
  EXPECT_EQ(files, 125U);
  EXPECT_EQ(rows, 375U);
  EXPECT_EQ(m.dropped.size(), 100U);
  EXPECT_EQ(m.dropped[0].first_ns, 0);
  EXPECT_EQ(m.dropped[0].last_ns, 25);
  EXPECT_EQ(m.segments.size(), 5U);
}

TEST_F(MaintenanceTest, OnlyWholeRunsOfSmallFilesAreCompacted) {
  Manifest m;
  const auto add = [&](std::string table, std::uint64_t rows, std::int64_t step) {
    SegmentEntry e;
    e.table = std::move(table);
    e.file = e.table + "/part-" + std::to_string(m.segments.size());
    e.summary.rows = rows;
    if (step >= 0) e.rolled_up["joules_by_device"] = step;
    m.segments.push_back(e);
  };
  const CompactionOptions o{3, 100};
  const auto chosen = [&] { return files_to_compact(m, o, {}).size(); };
  add("joules", 10, 1);
  add("joules", 10, 1);
  add("joules", 100, 1);  // not small
  add("joules", 10, 1);
  add("joules", 10, 2);   // other sums
  add("joules", 10, -1);  // not decided
  add("joules", 10, 2);
  EXPECT_EQ(chosen(), 0U);
  for (int i = 0; i < 3; ++i) add("meters", 90, -1);  // three are too many together
  EXPECT_EQ(chosen(), 0U);
  for (int i = 0; i < 5; ++i) add("requests", 5, -1);
  EXPECT_EQ(chosen(), 5U);
}

}  // namespace
}  // namespace perjoule::bus
