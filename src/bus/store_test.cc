#include "bus/store.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/fault_env.hpp"
#include "bus/hash.hpp"
#include "bus/test_rows.hpp"

namespace perjoule::bus {
namespace {

namespace fs = std::filesystem;
using testing::RowMaker;

// Segments of 64 rows, groups of 16, pages of 5: everything has several.
StoreOptions small(unsigned threads = 1) {
  StoreOptions o;
  o.threads = threads;
  o.segment_rows = 64;
  o.group_rows = 16;
  o.encoding.page_rows = 5;
  return o;
}

class StoreTest : public ::testing::Test {
 protected:
  StoreTest() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    // Memory, where there is some: these tests sync thousands of files.
    root_ = (fs::exists("/dev/shm") ? fs::path("/dev/shm") : fs::temp_directory_path()) /
            ("perjoule-store-" + std::string(info->name()) + "-" + std::to_string(::getpid()));
    fs::remove_all(root_);
    fs::create_directories(root_);
  }
  ~StoreTest() override { fs::remove_all(root_); }
  std::string at(const std::string& name) const { return (root_ / name).string(); }

  // `n` rows of every table.
  static base::Status write(base::Env& env, const std::string& dir, std::size_t n,
                            StoreOptions options = small()) {
    base::SymbolTable symbols;
    PJ_ASSIGN(auto store,
              StoreWriter::create(env, dir, symbols, {{"seed", "7"}, {"scenario", "[site]\n"}}, options));
    PJ_TRY(append(store, symbols, n));
    return store.finish();
  }
  static base::Status append(StoreWriter& store, base::SymbolTable& symbols, std::size_t n) {
    RowMaker make(symbols, 7);
    for (std::size_t i = 0; i < n; ++i) {
      PJ_TRY(store.append(make.meter()));
      PJ_TRY(store.append(make.joule()));
      PJ_TRY(store.append(make.sample()));
      PJ_TRY(store.append(make.request()));
      PJ_TRY(store.append(make.job()));
      PJ_TRY(store.append(make.decision()));
      PJ_TRY(store.append(make.carbon()));
    }
    return base::ok_status();
  }
  static std::map<std::string, std::string> files_of(const std::string& dir) {
    std::map<std::string, std::string> out;
    for (const auto& e : fs::recursive_directory_iterator(dir)) {
      if (e.is_regular_file())
        out[fs::relative(e.path(), dir).string()] = *base::posix_env().read_file(e.path().string());
    }
    return out;
  }
  static void overwrite_file(const std::string& path, const std::string& bytes) {
    std::ofstream(path, std::ios::binary | std::ios::trunc)
        .write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }

  fs::path root_;
};

// Rows as text with every field, so that a difference can be read.
std::string show(double v) {
  std::uint64_t bits = 0;
  std::memcpy(&bits, &v, sizeof bits);
  return std::isnan(v) ? "NULL" : std::to_string(bits);
}
std::string show(const base::SymbolTable& s, std::initializer_list<base::Symbol> list) {
  std::string out;
  for (const auto v : list) out += std::string(v.empty() ? "NULL" : s.text(v)) + "|";
  return out;
}
std::string show(std::initializer_list<std::int64_t> list) {
  std::string out;
  for (const auto v : list) out += std::to_string(v) + "|";
  return out;
}
std::string show(const base::SymbolTable& s, const energy::MeterRow& r) {
  return show({r.window_ns, r.t0_ns, r.t1_ns, r.energy_uj, static_cast<int>(r.quality), r.uncertainty_ppm}) +
         show(s, {r.meter, r.parent, r.site, r.rack, r.node, r.device, r.kind, r.zone, r.source});
}
std::string show(const base::SymbolTable& s, const energy::JouleRow& r) {
  const auto& c = r.consumer;
  return show({r.window_ns, r.t0_ns, r.t1_ns, r.energy_uj, static_cast<int>(r.share),
               static_cast<int>(r.quality), r.uncertainty_ppm, r.seq}) +
         show(s, {r.meter, r.device, r.method, c.tenant, c.job, c.model, c.run, c.epoch, c.step, c.request,
                  c.kernel, c.phase, r.source});
}
std::string show(const base::SymbolTable& s, const energy::SampleRow& r) {
  return show({r.t_ns, static_cast<int>(r.quality), r.seq}) + show(r.value) + "|" + show(r.window_ms) + "|" +
         show(s, {r.device, r.signal, r.source});
}
std::string show(const base::SymbolTable& s, const energy::RequestRow& r) {
  return show({r.t_arrival_ns, r.t_done_ns, r.input_tokens, r.output_tokens, r.slo_met, r.energy_uj}) +
         show(r.latency_ms) + "|" + show(r.ttft_ms) + "|" + show(r.carbon_g) + "|" +
         show(s, {r.request, r.tenant, r.model});
}
std::string show(const base::SymbolTable& s, const energy::JobRow& r) {
  return show({r.nodes, r.gpus, r.t_submit_ns, r.t_start_ns, r.t_end_ns, r.energy_uj}) + show(r.carbon_g) +
         "|" + show(s, {r.job, r.tenant, r.model});
}
std::string show(const base::SymbolTable& s, const energy::DecisionRow& r) {
  return show({r.t_ns, static_cast<std::int64_t>(r.reason_hash), r.expected_saving_uj, r.expires_ns,
               r.undone}) +
         show(r.value_before) + "|" + show(r.value_after) + "|" +
         show(s, {r.decision, r.policy, r.target, r.action, r.outcome});
}
std::string show(const base::SymbolTable& s, const energy::CarbonRow& r) {
  return show({r.t0_ns, r.t1_ns, static_cast<int>(r.kind), static_cast<int>(r.quality)}) + show(r.g_per_kwh) +
         "|" + show(s, {r.region, r.source});
}

struct Collected {
  base::SymbolTable symbols;
  std::vector<std::string> lines;
  template <class Row>
  RowCallback<Row> taker() {
    return [this](const Row& r) { lines.push_back(show(symbols, r)); };
  }
};

std::vector<std::string> read_all(const StoreReader& store, TimeWindow w = {}) {
  Collected c;
  EXPECT_TRUE(store.for_each_meter(c.symbols, c.taker<energy::MeterRow>(), w).ok());
  EXPECT_TRUE(store.for_each_joule(c.symbols, c.taker<energy::JouleRow>(), w).ok());
  EXPECT_TRUE(store.for_each_sample(c.symbols, c.taker<energy::SampleRow>(), w).ok());
  EXPECT_TRUE(store.for_each_request(c.symbols, c.taker<energy::RequestRow>(), w).ok());
  EXPECT_TRUE(store.for_each_job(c.symbols, c.taker<energy::JobRow>(), w).ok());
  EXPECT_TRUE(store.for_each_decision(c.symbols, c.taker<energy::DecisionRow>(), w).ok());
  EXPECT_TRUE(store.for_each_carbon(c.symbols, c.taker<energy::CarbonRow>(), w).ok());
  return c.lines;
}

// What read_all should give for write(n): the same rows made again, table by table.
std::vector<std::string> expected(std::size_t n) {
  base::SymbolTable s;
  RowMaker make(s, 7);
  std::array<std::vector<std::string>, kEventTables> tables;
  for (std::size_t i = 0; i < n; ++i) {
    tables[0].push_back(show(s, make.meter()));
    tables[1].push_back(show(s, make.joule()));
    tables[2].push_back(show(s, make.sample()));
    tables[3].push_back(show(s, make.request()));
    tables[4].push_back(show(s, make.job()));
    tables[5].push_back(show(s, make.decision()));
    tables[6].push_back(show(s, make.carbon()));
  }
  std::vector<std::string> out;
  for (auto& t : tables) out.insert(out.end(), t.begin(), t.end());
  return out;
}

TEST_F(StoreTest, EveryTableReadsBackAsWritten) {
  for (const std::size_t n : {0U, 1U, 15U, 16U, 17U, 64U, 65U, 500U}) {
    const std::string dir = at("s" + std::to_string(n));
    ASSERT_TRUE(write(base::posix_env(), dir, n).ok());
    auto store = StoreReader::open(base::posix_env(), dir);
    ASSERT_TRUE(store.ok()) << store.error().message();
    EXPECT_EQ(read_all(*store), expected(n)) << n;
    EXPECT_TRUE(store->verify().empty()) << store->verify()[0].file << ": " << store->verify()[0].why;
    EXPECT_TRUE(store->manifest().complete);
    EXPECT_EQ(store->manifest().meta.at("scenario"), "[site]\n");
    EXPECT_EQ(store->rows(Table::kJoules), n);
    EXPECT_EQ(store->manifest().segments.size(), kEventTables * std::max<std::size_t>(1, (n + 63) / 64));
  }
}

TEST_F(StoreTest, BytesDoNotDependOnTheNumberOfThreads) {
  ASSERT_TRUE(write(base::posix_env(), at("one"), 700, small(1)).ok());
  ASSERT_TRUE(write(base::posix_env(), at("four"), 700, small(4)).ok());
  const auto one = files_of(at("one"));
  EXPECT_EQ(one, files_of(at("four")));
  EXPECT_GT(one.size(), 70U);
  EXPECT_EQ(one.count("catalog/writer.lock"), 0U);
}

TEST_F(StoreTest, AWindowGivesExactlyItsRows) {
  base::SymbolTable symbols;
  auto w = StoreWriter::create(base::posix_env(), at("s"), symbols, {}, small());
  ASSERT_TRUE(w.ok());
  for (std::int64_t i = 0; i < 300; ++i) {
    energy::SampleRow row;
    row.t_ns = (i * 7) % 300;  // not in order
    row.seq = i;
    ASSERT_TRUE(w->append(row).ok());
  }
  ASSERT_TRUE(w->finish().ok());
  const auto store = StoreReader::open(base::posix_env(), at("s"));
  ASSERT_TRUE(store.ok());
  std::vector<std::int64_t> seen, slow;
  ASSERT_TRUE(store
                  ->scan({Table::kSamples, {"seq"}, {50, 120}},
                         [&](const Batch& b) {
                           EXPECT_EQ(b.columns.size(), 1U);
                           seen.insert(seen.end(), b.columns[0].ints.begin(), b.columns[0].ints.end());
                           return base::ok_status();
                         })
                  .ok());
  for (std::int64_t i = 0; i < 300; ++i) {
    if ((i * 7) % 300 >= 50 && (i * 7) % 300 < 120) slow.push_back(i);
  }
  EXPECT_EQ(seen, slow);
  const auto wrong =
      store->scan({Table::kSamples, {"sequence"}, {}}, [](const Batch&) { return base::ok_status(); });
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().kind, base::ErrorKind::kBadInput);
}

TEST_F(StoreTest, EveryFlippedByteIsFound) {
  {
    base::SymbolTable symbols;
    auto writer = StoreWriter::create(base::posix_env(), at("s"), symbols, {}, small());
    ASSERT_TRUE(writer.ok());
    RowMaker make(symbols, 9);
    for (int i = 0; i < 6; ++i) {
      ASSERT_TRUE(writer->append(make.carbon()).ok());
      ASSERT_TRUE(writer->append(make.job()).ok());
    }
    ASSERT_TRUE(writer->finish().ok());
  }
  const auto files = files_of(at("s"));
  const auto store = StoreReader::open(base::posix_env(), at("s"));
  ASSERT_TRUE(store.ok());
  for (const auto& [name, bytes] : files) {
    // Five tables have no rows; one of their files stands for all.
    if (!name.starts_with("carbon") && !name.starts_with("jobs") && !name.starts_with("samples") &&
        !name.ends_with(".json")) {
      continue;
    }
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      std::string bad = bytes;
      bad[i] = static_cast<char>(bad[i] ^ (1 << (i % 8)));
      overwrite_file(at("s/" + name), bad);
      if (name.ends_with(".json")) {
        const auto opened = StoreReader::open(base::posix_env(), at("s"));
        ASSERT_FALSE(opened.ok()) << "byte " << i;
        EXPECT_EQ(opened.error().kind, base::ErrorKind::kCorrupt);
        continue;
      }
      const auto findings = store->verify();
      ASSERT_EQ(findings.size(), 1U) << name << " byte " << i;
      EXPECT_TRUE(findings[0].damage);
      EXPECT_EQ(findings[0].file, name);
      EXPECT_EQ(findings[0].table, name.substr(0, name.find('/')));
    }
    overwrite_file(at("s/" + name), bytes);
  }
  EXPECT_TRUE(store->verify().empty());
}

TEST_F(StoreTest, AFlippedByteStopsReadingWithFileAndTable) {
  ASSERT_TRUE(write(base::posix_env(), at("s"), 40).ok());
  const std::string path = at("s/joules/part-000001.parquet");
  std::string bytes = *base::posix_env().read_file(path);
  bytes[200] = static_cast<char>(bytes[200] ^ 1);
  overwrite_file(path, bytes);
  const auto store = StoreReader::open(base::posix_env(), at("s"));
  base::SymbolTable symbols;
  const auto status = store->for_each_joule(symbols, [](const energy::JouleRow&) {});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().kind, base::ErrorKind::kCorrupt);
  EXPECT_NE(status.error().where.find("part-000001.parquet"), std::string::npos);
  EXPECT_NE(status.error().where.find("table joules"), std::string::npos);
}

TEST_F(StoreTest, AWindowLooksAtItsPagesOnly) {
  base::SymbolTable symbols;
  auto w = StoreWriter::create(base::posix_env(), at("s"), symbols, {}, small());
  for (std::int64_t i = 0; i < 16; ++i) {
    energy::SampleRow row;
    row.t_ns = i;
    row.value = static_cast<double>(i);
    ASSERT_TRUE(w->append(row).ok());
  }
  ASSERT_TRUE(w->finish().ok());
  const std::string path = at("s/samples/part-000001.parquet");
  std::string bytes = *base::posix_env().read_file(path);
  const auto pages = ParquetFile::open(bytes, path)->pages(0, 3);
  bytes[static_cast<std::size_t>((*pages)[1].offset) + 3] ^= 1;  // values of rows 5 to 9
  overwrite_file(path, bytes);
  const auto store = StoreReader::open(base::posix_env(), at("s"));
  const auto sum_of = [&](TimeWindow window) {
    double sum = 0;
    const auto status = store->scan({Table::kSamples, {"value"}, window}, [&](const Batch& b) {
      for (const double v : b.columns[0].doubles) sum += v;
      return base::ok_status();
    });
    return status.ok() ? sum : -1;
  };
  EXPECT_EQ(sum_of({11, 14}), 11 + 12 + 13);
  EXPECT_EQ(sum_of({1, 4}), 1 + 2 + 3);
  EXPECT_EQ(sum_of({4, 6}), -1);
  EXPECT_EQ(sum_of({}), -1);
  EXPECT_EQ(store->verify().size(), 1U);
}

TEST_F(StoreTest, MissingCutAndStrayFilesAreNamed) {
  ASSERT_TRUE(write(base::posix_env(), at("s"), 20).ok());
  fs::remove(at("s/carbon/part-000001.parquet"));
  fs::resize_file(at("s/jobs/part-000001.parquet"), 100);
  overwrite_file(at("s/meters/part-000009.parquet"), "not in the manifest");
  const auto findings = StoreReader::open(base::posix_env(), at("s"))->verify();
  ASSERT_EQ(findings.size(), 3U);
  EXPECT_EQ(findings[0].file, "jobs/part-000001.parquet");
  EXPECT_EQ(findings[1].file, "carbon/part-000001.parquet");
  EXPECT_EQ(findings[2].file, "meters/part-000009.parquet");
  EXPECT_FALSE(findings[2].damage);
  EXPECT_EQ(findings[2].table, "meters");
}

TEST_F(StoreTest, ANewerFormatIsRefusedWithAHint) {
  ASSERT_TRUE(write(base::posix_env(), at("s"), 3).ok());
  Manifest manifest = StoreReader::open(base::posix_env(), at("s"))->manifest();
  manifest.format_version = kFormatVersion + 1;
  overwrite_file(at("s/catalog/manifest.json"), to_json(manifest));
  const auto store = StoreReader::open(base::posix_env(), at("s"));
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().kind, base::ErrorKind::kBadInput);
  EXPECT_EQ(store.error().hint, "Upgrade perjoule");
}

TEST_F(StoreTest, RefusesForeignFoldersStoresAndSecondWriters) {
  base::SymbolTable symbols;
  auto& env = base::posix_env();
  overwrite_file(at("letter.txt"), "mine");
  const auto foreign = StoreWriter::create(env, root_.string(), symbols, {});
  ASSERT_FALSE(foreign.ok());
  EXPECT_EQ(foreign.error().kind, base::ErrorKind::kBadInput);
  EXPECT_FALSE(fs::exists(at("catalog")));

  ASSERT_TRUE(write(env, at("s"), 100).ok());
  const auto before = files_of(at("s"));
  EXPECT_FALSE(StoreWriter::create(env, at("s"), symbols, {}).ok());
  EXPECT_EQ(files_of(at("s")), before);

  StoreOptions options = small();
  options.overwrite = true;
  {
    const auto first = StoreWriter::create(env, at("s"), symbols, {}, options);
    ASSERT_TRUE(first.ok());
    const auto second = StoreWriter::create(env, at("s"), symbols, {}, options);
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().kind, base::ErrorKind::kIo);
    EXPECT_NE(second.error().why.find(std::to_string(::getpid())), std::string::npos);
  }
  ASSERT_TRUE(write(env, at("s"), 20, options).ok());
  const auto store = StoreReader::open(env, at("s"));
  EXPECT_EQ(read_all(*store), expected(20));
  EXPECT_TRUE(store->verify().empty());
}

TEST_F(StoreTest, AMissingStoreIsNamed) {
  const auto store = StoreReader::open(base::posix_env(), at("nowhere"));
  ASSERT_FALSE(store.ok());
  EXPECT_EQ(store.error().kind, base::ErrorKind::kMissing);
}

TEST_F(StoreTest, AfterAnyFailingOperationEarlierSegmentsAreReadable) {
  base::FaultEnv counting(base::posix_env());
  ASSERT_TRUE(write(counting, at("whole"), 150, small(2)).ok());
  const auto whole = expected(150);
  const std::uint64_t operations = counting.operations();
  ASSERT_GT(operations, 100U);
  for (std::uint64_t n = 1; n <= operations; ++n) {
    const std::string dir = at("fault");
    fs::remove_all(dir);
    base::FaultEnv env(base::posix_env());
    env.fail_from(n, base::io_error("write a file", dir, "No space left on device", "Free space"));
    const auto status = write(env, dir, 150, small(2));
    ASSERT_FALSE(status.ok()) << n;
    EXPECT_EQ(status.error().why, "No space left on device");
    if (!fs::exists(dir + "/catalog/manifest.json")) {
      EXPECT_LE(n, 3U) << "the first manifest is the first file";
      continue;
    }
    const auto store = StoreReader::open(base::posix_env(), dir);
    ASSERT_TRUE(store.ok()) << n << store.error().message();
    EXPECT_FALSE(store->manifest().complete);
    for (const auto& f : store->verify()) EXPECT_FALSE(f.damage) << n << f.file << f.why;
    // A prefix of each table: whole segments of 64 rows, or all 150.
    for (std::size_t t = 0; t < kEventTables; ++t) {
      const auto rows = store->rows(static_cast<Table>(t));
      EXPECT_TRUE(rows % 64 == 0 || rows == 150) << rows;
    }
    const auto lines = read_all(*store);
    std::size_t at_line = 0;
    for (std::size_t t = 0; t < kEventTables; ++t) {
      for (std::size_t i = 0; i < store->rows(static_cast<Table>(t)); ++i)
        ASSERT_EQ(lines[at_line++], whole[t * 150 + i]);
    }
    for (const auto& [name, bytes] : files_of(dir)) EXPECT_FALSE(name.ends_with(".part")) << n << name;
  }
}

TEST_F(StoreTest, AWriterThatFailedKeepsSayingSo) {
  base::FaultEnv env(base::posix_env());
  base::SymbolTable symbols;
  auto store = StoreWriter::create(env, at("s"), symbols, {}, small());
  ASSERT_TRUE(store.ok());
  env.fail_from(1, base::io_error("write a file", "x", "No space left on device"));
  base::Status status = base::ok_status();
  int rows = 0;
  while (status.ok() && ++rows < 1000) status = store->append(energy::CarbonRow{});
  EXPECT_EQ(rows, 16);
  EXPECT_FALSE(store->append(energy::CarbonRow{}).ok());
  EXPECT_EQ(store->finish().error().why, "No space left on device");
}

TEST_F(StoreTest, AnInterruptedRunSaysSo) {
  base::SymbolTable symbols;
  auto writer = StoreWriter::create(base::posix_env(), at("s"), symbols, {}, small());
  ASSERT_TRUE(append(*writer, symbols, 30).ok());
  ASSERT_TRUE(writer->finish(false).ok());
  const auto store = StoreReader::open(base::posix_env(), at("s"));
  EXPECT_FALSE(store->manifest().complete);
  EXPECT_EQ(read_all(*store), expected(30));
}

TEST_F(StoreTest, TextThatIsNotUtf8IsRefused) {
  base::SymbolTable symbols;
  auto store = StoreWriter::create(base::posix_env(), at("s"), symbols, {}, small());
  energy::CarbonRow row;
  row.region = symbols.intern("\xFF\xFE");
  ASSERT_TRUE(store->append(row).ok());
  const auto status = store->finish();
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().where, "table carbon, column region");
}

}  // namespace
}  // namespace perjoule::bus
