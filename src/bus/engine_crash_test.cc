// Every crash: a run of the engine on a disk in memory, stopped after each of its steps, with what the disk
// had not synced lost, kept, torn or kept in part; then opened again. What was acknowledged must be there
// once.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "base/fault_env.hpp"
#include "base/memory_env.hpp"
#include "base/rng.hpp"
#include "bus/engine.hpp"
#include "bus/log_layout.hpp"
#include "bus/rollup_check.hpp"
#include "bus/store.hpp"

namespace perjoule::bus {
namespace {

using base::CrashChoice;
using base::MemoryEnv;

constexpr const char* kStore = "/store";
constexpr std::size_t kRowsPerBlock = 5;

EngineOptions small_options() {
  EngineOptions o;
  o.log.segment_bytes = 64 << 10;
  o.threads = false;
  o.compaction.files = 2;
  o.lock = false;
  return o;
}

// Block `number` of a source: kRowsPerBlock rows that carry its number and an energy made of it.
std::string make_block(Table table, const std::string& source, std::uint64_t number) {
  base::SymbolTable symbols;
  TableBuilder builder(table, symbols, kRowsPerBlock);
  for (std::size_t i = 0; i < kRowsPerBlock; ++i) {
    const auto n = static_cast<std::int64_t>(number);
    if (table == Table::kJoules) {
      energy::JouleRow row;
      row.window_ns = n * 1000;
      row.t0_ns = n * 1000 + static_cast<std::int64_t>(i);
      row.t1_ns = row.t0_ns + 10;
      row.device = symbols.intern("gpu" + std::to_string(i));
      row.energy_uj = n * 100 + static_cast<std::int64_t>(i);
      row.consumer.request = symbols.intern("req" + std::to_string(number % 3));
      row.source = symbols.intern(source);
      row.seq = n;
      builder.append(row);
    } else {
      energy::SampleRow row;
      row.t_ns = n * 1000 + static_cast<std::int64_t>(i);
      row.device = symbols.intern("gpu" + std::to_string(i));
      row.signal = symbols.intern("power");
      row.value = static_cast<double>(number) + 0.25;
      row.source = symbols.intern(source);
      row.seq = n;
      builder.append(row);
    }
  }
  return encode_block(table, builder.take(), {source, number - 1, number, number}).value();
}

// (source, number) -> rows found.
using Found = std::map<std::pair<std::string, std::uint64_t>, std::size_t>;

void count_rows(const Batch& batch, Table table, Found& found) {
  const auto& source = batch.columns[schema_of(table).find("source")];
  const auto& seq = batch.columns[schema_of(table).find("seq")];
  for (std::size_t i = 0; i < batch.rows; ++i)
    ++found[{std::string(source.text(i)), static_cast<std::uint64_t>(seq.ints[i])}];
}

Found rows_of(base::Env& env, const Engine& engine) {
  Found found;
  const Snapshot snapshot = engine.snapshot();
  for (const auto& segment : snapshot.manifest->segments) {
    auto bytes = env.read_file(std::string(kStore) + "/" + segment.file);
    EXPECT_TRUE(bytes.ok()) << bytes.error().message();
    if (!bytes.ok()) continue;
    const auto file = ParquetFile::open(std::move(*bytes), segment.file);
    EXPECT_TRUE(file.ok()) << file.error().message();
    const Table table = *find_table(segment.table);
    if (!takes_events(table)) continue;
    std::vector<std::size_t> columns(schema_of(table).columns.size());
    for (std::size_t i = 0; i < columns.size(); ++i) columns[i] = i;
    for (std::size_t g = 0; g < file->groups(); ++g) count_rows(file->read(g, columns).value(), table, found);
  }
  for (const auto& block : snapshot.tail) {
    const auto bytes = TailReader(env, std::string(kStore) + "/wal").bytes_of(block).value();
    count_rows(BlockView::open(*bytes, "tail").value().read_all().value(), block.table, found);
  }
  const auto store = StoreReader::open(env, kStore, snapshot);
  EXPECT_TRUE(store.ok());
  if (!store.ok()) return found;
  const auto rollups = check_rollups(*store);
  EXPECT_TRUE(rollups.ok()) << rollups.error().message();
  EXPECT_TRUE(rollups.ok() && rollups->holds());
  return found;
}

// Each source's numbers 1..stored_through are there, whole and once, and no others.
void expect_exact(const Found& found, const std::map<std::string, std::uint64_t>& through) {
  std::size_t expected = 0;
  for (const auto& [source, last] : through) {
    expected += last;
    for (std::uint64_t n = 1; n <= last; ++n) {
      const auto at = found.find({source, n});
      ASSERT_TRUE(at != found.end()) << "lost: " << source << " " << n;
      ASSERT_EQ(at->second, kRowsPerBlock) << source << " " << n;
    }
  }
  ASSERT_EQ(found.size(), expected) << "rows that nobody was told are stored";
}

struct Ack {
  std::uint64_t step;  // steps the disk had seen when it came
  std::string source;
  std::uint64_t number;
};

// A run: blocks of two sources and tables, some sent twice, sealing in between.
struct Story {
  MemoryEnv env;
  std::vector<Ack> acks;
  std::map<std::string, std::uint64_t> sent;
  // The last one does not ask for its blocks to be on the disk.
  const std::map<std::string, Table> tables{
      {"agent-1", Table::kJoules}, {"agent-2", Table::kSamples}, {"buffered", Table::kSamples}};

  explicit Story(std::uint64_t seed, std::size_t actions) {
    base::Rng rng(seed);
    auto engine = Engine::open(env, kStore, small_options());
    EXPECT_TRUE(engine.ok()) << engine.error().message();
    for (std::size_t i = 0; i < actions; ++i) {
      const std::uint64_t what = rng.next() % 10;
      const std::string source =
          std::next(tables.begin(), static_cast<std::ptrdiff_t>(rng.next() % 3))->first;
      if (what == 0) {
        EXPECT_TRUE((*engine)->seal_all().ok());
      } else if (what == 2) {
        EXPECT_TRUE((*engine)->compact().ok());
      } else if (what == 1 && sent[source] != 0) {
        EXPECT_EQ((*engine)->store(make_block(tables.at(source), source, sent[source])).outcome,
                  Outcome::kAlreadyStored);
      } else {
        send(**engine, source);
      }
    }
  }
  void send(Engine& engine, const std::string& source) {
    const std::uint64_t number = ++sent[source];
    const auto durability = source == "buffered" ? Durability::kBuffered : Durability::kDurable;
    const Receipt receipt = engine.store(make_block(tables.at(source), source, number), durability);
    EXPECT_EQ(receipt.outcome, Outcome::kStored) << receipt.why;
    EXPECT_EQ(receipt.stored_through, number);
    if (durability == Durability::kDurable) acks.push_back({env.steps(), source, number});
  }
  std::uint64_t acknowledged(const std::string& source, std::uint64_t step) const {
    std::uint64_t last = 0;
    for (const Ack& a : acks) last = a.source == source && a.step <= step ? a.number : last;
    return last;
  }
};

void check_state(const Story& run, std::uint64_t step, CrashChoice choice) {
  const auto disk = run.env.after_crash(step, choice);
  auto engine = Engine::open(*disk, kStore, small_options());
  ASSERT_TRUE(engine.ok()) << engine.error().message();
  std::map<std::string, std::uint64_t> through;
  for (const auto& [source, table] : run.tables) {
    through[source] = (*engine)->stored_through(source);
    ASSERT_GE(through[source], run.acknowledged(source, step)) << "an acknowledged block is lost";
    ASSERT_LE(through[source], run.sent.contains(source) ? run.sent.at(source) : 0);
  }
  expect_exact(rows_of(*disk, **engine), through);
}

void check_going_on(const Story& run, std::uint64_t step, CrashChoice choice) {
  const auto disk = run.env.after_crash(step, choice);
  std::map<std::string, std::uint64_t> all;
  {
    auto engine = Engine::open(*disk, kStore, small_options());
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    for (const auto& [source, last] : run.sent) {
      all[source] = last + 2;
      for (std::uint64_t n = 1; n <= last + 2; ++n) {
        const Receipt r = (*engine)->store(make_block(run.tables.at(source), source, n));
        ASSERT_TRUE(r.outcome == Outcome::kStored || r.outcome == Outcome::kAlreadyStored) << r.why;
      }
    }
    expect_exact(rows_of(*disk, **engine), all);
    ASSERT_TRUE((*engine)->seal_all().ok());
    ASSERT_TRUE((*engine)->snapshot().tail.empty());
    for (const auto& e : (*engine)->snapshot().manifest->segments)
      ASSERT_EQ(e.rolled_up.empty(), e.table == "samples_last") << e.file;
  }
  auto again = Engine::open(*disk, kStore, small_options());
  ASSERT_TRUE(again.ok()) << again.error().message();
  expect_exact(rows_of(*disk, **again), all);
  ASSERT_EQ((*again)->recovery().blocks, 0U);
}

TEST(EngineCrash, EveryStepAndEveryKindOfLossKeepsWhatWasAcknowledged) {
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    const Story run(seed, 40);
    for (std::uint64_t step = 0; step <= run.env.steps(); ++step) {
      SCOPED_TRACE("seed " + std::to_string(seed) + ", crash after step " + std::to_string(step) +
                   (step > 0 ? ": " + run.env.step_text(step - 1) : ""));
      std::vector<CrashChoice> choices{CrashChoice::nothing_unsynced(), CrashChoice::everything()};
      for (std::uint64_t s = 0; s < std::min<std::uint64_t>(3, run.env.torn_sectors(step)); ++s)
        choices.push_back(CrashChoice::torn_last(s));
      for (std::uint64_t s = 0; s < 4; ++s) choices.push_back(CrashChoice::random(seed * 100 + s));
      for (const auto& choice : choices) {
        check_state(run, step, choice);
        if (HasFatalFailure()) return;
      }
      if (step % 5 == 0) check_going_on(run, step, CrashChoice::random(step));
      if (HasFatalFailure()) return;
    }
  }
}

// A second crash, after a first one was recovered from.
TEST(EngineCrash, ALogThatIsMissingOrCutShortIsDamage) {
  for (const std::size_t kept : {std::size_t{0}, std::size_t{4096}, SIZE_MAX}) {
    MemoryEnv env;
    const std::string log = std::string(kStore) + "/wal/" + log_segment_name(1);
    {
      auto engine = Engine::open(env, kStore, small_options()).value();
      ASSERT_EQ(engine->store(make_block(Table::kJoules, "agent-1", 1)).outcome, Outcome::kStored);
    }
    ASSERT_TRUE(env.remove(log).ok());
    if (kept != SIZE_MAX) {
      ASSERT_TRUE(base::write_atomically(env, log, std::string(kept, '\0')).ok());
    }
    const auto again = Engine::open(env, kStore, small_options());
    ASSERT_FALSE(again.ok()) << kept;
    EXPECT_NE(again.error().message().find(log), std::string::npos) << again.error().message();
    const auto store = StoreReader::open(env, kStore);
    ASSERT_TRUE(store.ok());
    EXPECT_FALSE(store->log_status().ok());
    const auto findings = store->verify();
    EXPECT_TRUE(std::any_of(findings.begin(), findings.end(), [](const auto& f) { return f.damage; }));
  }
}

// Files are numbered above the highest, whatever gaps a repair has left.
TEST(EngineCrash, AFileNeverTakesTheNameOfAnother) {
  MemoryEnv env;
  const auto open = [&] { return Engine::open(env, kStore, small_options()).value(); };
  for (std::uint64_t n = 1; n <= 3; ++n) {
    const auto engine = open();
    ASSERT_EQ(engine->store(make_block(Table::kJoules, "agent-1", n)).outcome, Outcome::kStored);
    ASSERT_TRUE(engine->seal_all().ok());
  }
  const std::string path = std::string(kStore) + "/catalog/manifest.json";
  auto manifest = parse_manifest(env.read_file(path).value(), path).value();
  std::erase_if(manifest.segments, [](const auto& e) { return e.file == "joules/part-000001.parquet"; });
  manifest.tables.at("joules").parts = 1;
  ASSERT_TRUE(base::write_atomically(env, path, to_json(manifest)).ok());
  ASSERT_EQ(open()->store(make_block(Table::kJoules, "agent-1", 4)).outcome, Outcome::kStored);
  const auto engine = open();
  ASSERT_TRUE(engine->seal_all().ok());
  std::set<std::string> names;
  for (const auto& e : engine->snapshot().manifest->segments)
    EXPECT_TRUE(names.insert(e.file).second) << e.file;
  EXPECT_TRUE(names.contains("joules/part-000004.parquet"));
}

// A writer that dies between beginning a segment and writing its first group: the log then begins with
// nothing.
TEST(EngineCrash, ALogThatBeginsWithoutAGroupGoesOnBehindWhatIsSealed) {
  MemoryEnv env;
  const auto open = [&] {
    auto engine = Engine::open(env, kStore, small_options());
    EXPECT_TRUE(engine.ok()) << engine.error().message();
    return std::move(engine).value();
  };
  for (std::uint64_t n = 1; n <= 6; ++n)
    ASSERT_EQ(open()->store(make_block(Table::kJoules, "agent-1", n)).outcome, Outcome::kStored);
  ASSERT_TRUE(open()->seal_all().ok());
  const auto names = env.list(std::string(kStore) + "/wal").value();
  for (const auto& name : names) {
    const std::string path = std::string(kStore) + "/wal/" + name;
    const std::size_t size = env.read_file(path).value().size();
    ASSERT_TRUE(env.remove(path).ok());
    ASSERT_TRUE(env.create_log(path, size).ok());
  }
  for (std::uint64_t n = 7; n <= 8; ++n)
    ASSERT_EQ(open()->store(make_block(Table::kJoules, "agent-1", n)).outcome, Outcome::kStored);
  const auto engine = open();
  EXPECT_EQ(engine->stored_through("agent-1"), 8U);
  expect_exact(rows_of(env, *engine), {{"agent-1", 8}});
}

TEST(EngineCrash, TwoCrashesInARowKeepWhatWasAcknowledged) {
  const Story run(9, 20);
  for (std::uint64_t step = 0; step <= run.env.steps(); step += 3) {
    const auto disk = run.env.after_crash(step, CrashChoice::random(step));
    std::map<std::string, std::uint64_t> acked;
    {
      auto engine = Engine::open(*disk, kStore, small_options());
      ASSERT_TRUE(engine.ok());
      for (const auto& [source, table] : run.tables) {
        const std::uint64_t next = (*engine)->stored_through(source) + 1;
        ASSERT_EQ((*engine)->store(make_block(table, source, next)).outcome, Outcome::kStored);
        acked[source] = next;
      }
    }
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const auto second = disk->after_crash(disk->steps(), CrashChoice::random(seed));
      auto engine = Engine::open(*second, kStore, small_options());
      ASSERT_TRUE(engine.ok()) << engine.error().message();
      for (const auto& [source, last] : acked) ASSERT_EQ((*engine)->stored_through(source), last);
      expect_exact(rows_of(*second, **engine), acked);
    }
  }
}

// Every write, sync and rename fails once: nothing acknowledged is lost, and the engine says what happened.
TEST(EngineFaults, EveryFailingOperationLosesNothing) {
  for (const bool whole : {true, false}) {
    for (std::uint64_t n = 1; n < 80; ++n) {
      SCOPED_TRACE("operation " + std::to_string(n));
      MemoryEnv disk;
      base::FaultEnv env(disk);
      const base::Error fault = base::io_error("write", "disk", "Input/output error");
      if (whole) env.fail_once(n, fault);
      if (!whole) env.shorten_log_write(n, fault);
      std::map<std::string, std::uint64_t> acked{{"a", 0}};
      if (auto engine = Engine::open(env, kStore, small_options()); engine.ok()) {
        for (std::uint64_t i = 1; i <= 12; ++i) {
          const std::uint64_t next = acked["a"] + 1;
          const Receipt r = (*engine)->store(make_block(Table::kJoules, "a", next));
          if (r.outcome == Outcome::kStored) acked["a"] = next;
          if (i % 4 == 0) (void)(*engine)->seal_all().ok();
        }
        expect_exact(rows_of(disk, **engine), acked);
      }
      auto again = Engine::open(disk, kStore, small_options());
      ASSERT_TRUE(again.ok()) << again.error().message();
      // A group whose write was reported as failed may be on the disk all the same.
      const std::uint64_t through = (*again)->stored_through("a");
      ASSERT_GE(through, acked["a"]);
      ASSERT_LE(through, acked["a"] + 1);
      expect_exact(rows_of(disk, **again), {{"a", through}});
    }
  }
}

TEST(Engine, RefusesABlockThatItsLogCannotHold) {
  MemoryEnv disk;
  EngineOptions options = small_options();
  options.log.segment_bytes = 8192;
  auto engine = Engine::open(disk, kStore, options);
  ASSERT_TRUE(engine.ok()) << engine.error().message();
  base::SymbolTable symbols;
  TableBuilder builder(Table::kSamples, symbols, 2000);
  for (int i = 0; i < 2000; ++i)
    builder.append(energy::SampleRow{i, symbols.intern("d" + std::to_string(i)), {}, 0, {}, 0, {}, 1});
  const Receipt r = (*engine)->store(encode_block(Table::kSamples, builder.take(), {"a", 0, 1, 1}).value());
  EXPECT_EQ(r.outcome, Outcome::kRefused);
  EXPECT_NE(r.why.find("this store's log takes 4096"), std::string::npos) << r.why;
  EXPECT_EQ((*engine)->store(make_block(Table::kSamples, "b", 1)).outcome, Outcome::kStored);
}

}  // namespace
}  // namespace perjoule::bus
