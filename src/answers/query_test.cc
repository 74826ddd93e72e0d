#include "answers/query.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <thread>

#include "answers/damage.hpp"
#include "answers/query_stream.hpp"
#include "answers/test_store.hpp"
#include "bus/engine.hpp"
#include "bus/test_blocks.hpp"

namespace perjoule::answers {
namespace {

using testing::TestStore;

// ./dev test puts libduckdb under build/; without it there is nothing to ask.
class QueryTest : public ::testing::Test {
 protected:
  void SetUp() override {
    store_ = files_.open();
    ASSERT_TRUE(store_.ok()) << store_.error().message();
    options_.threads = 1;
    const auto answer = query(*store_, "select 1", options_);
    if (!answer.ok() && answer.error().kind == base::ErrorKind::kMissing)
      GTEST_SKIP() << answer.error().message();
    ASSERT_TRUE(answer.ok()) << answer.error().message();
  }
  TestStore files_{std::string("query-") + ::testing::UnitTest::GetInstance()->current_test_info()->name()};
  base::Result<bus::StoreReader> store_ = base::bad_input("open", "", "not yet");
  QueryOptions options_;
};

TEST_F(QueryTest, SumsAreTheStoresOwn) {
  const auto answer =
      query(*store_,
            "select tenant, sum(energy_uj) e, min(slo) m from (select tenant, energy_uj, null slo from "
            "joules) group by 1 order by 1 nulls first",
            options_);
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  const auto json = nlohmann::json::parse(query_json(*answer));
  EXPECT_EQ(json["row_count"], 3);
  EXPECT_TRUE(json["rows"][0]["tenant"].is_null());
  EXPECT_EQ(json["rows"][0]["e"], 200);
  EXPECT_EQ(json["rows"][1]["e"], 2200);
  EXPECT_EQ(json["rows"][2]["e"], 1600);
  EXPECT_TRUE(json["rows"][2]["m"].is_null());
  EXPECT_EQ(query_csv(*answer), "tenant,e,m\n,200,\nacme,2200,\nlab,1600,\n");
  EXPECT_NE(query_table(*answer).find("acme"), std::string::npos);
}

TEST_F(QueryTest, EveryTableIsAView) {
  for (const std::string& table : bus::table_names()) {
    const auto answer = query(*store_, "select count(*) n from " + table, options_);
    ASSERT_TRUE(answer.ok()) << answer.error().message();
    EXPECT_EQ(answer->rows[0][0], std::to_string(store_->rows(*bus::find_table(table))));
  }
}

TEST_F(QueryTest, OnlyReadsAndOnlyTheStore) {
  const std::string victim = files_.file("jobs/part-000001.parquet");
  const auto size = std::filesystem::file_size(victim);
  for (const std::string& sql : {std::string("copy jobs to '") + victim + "'",
                                 "copy jobs to '" + files_.file("new.csv") + "'",
                                 std::string("create table t as select 1"),
                                 std::string("select 1; drop view jobs"),
                                 std::string("set threads=2"),
                                 std::string("reset enable_external_access"),
                                 std::string("install httpfs"),
                                 std::string("select * from read_csv('/etc/passwd')"),
                                 std::string("attach 'x.db'"),
                                 std::string("insert into jobs select * from jobs"),
                                 std::string("with a as (select 1) insert into jobs from a"),
                                 std::string("pragma memory_limit='1GB'"),
                                 std::string("pragma enable_profiling"),
                                 std::string("set global threads=2"),
                                 std::string("load httpfs"),
                                 std::string("vacuum"),
                                 std::string("select * from glob('/etc/*')"),
                                 std::string("select * from read_text('/etc/passwd')"),
                                 std::string("select * from '/etc/passwd'"),
                                 std::string("select * from read_parquet('/tmp/*.parquet')"),
                                 std::string("select (select count(*) from read_csv('/etc/passwd'))"),
                                 std::string("from query('copy (select 1) to ''/tmp/tools-x.csv''')"),
                                 std::string("select getenv('HOME')"),
                                 std::string("explain analyze copy jobs to '" + files_.file("new.csv") + "'"),
                                 std::string(""),
                                 std::string("selec 1"),
                                 std::string("select [1, 2]"),
                                 std::string("select * from nothing")}) {
    const auto answer = query(*store_, sql, options_);
    ASSERT_FALSE(answer.ok()) << sql;
    EXPECT_EQ(base::exit_status(answer.error().kind), 2) << sql << ": " << answer.error().message();
  }
  EXPECT_EQ(std::filesystem::file_size(victim), size);
  EXPECT_FALSE(std::filesystem::exists(files_.file("new.csv")));
}

TEST_F(QueryTest, OtherReadingStatements) {
  for (const char* sql : {"describe jobs", "summarize jobs", "show tables", "explain select 1",
                          "with a as (select 1) from a", "from jobs"}) {
    const auto answer = query(*store_, sql, options_);
    EXPECT_TRUE(answer.ok()) << sql << ": " << answer.error().message();
  }
}

std::string streamed(const bus::StoreReader& store, const std::string& sql, bus::StreamFormat format,
                     const QueryOptions& options) {
  auto stream = QueryStream::open(store, sql, format, options);
  EXPECT_TRUE(stream.ok()) << stream.error().message();
  std::string out;
  while (stream.ok()) {
    const auto more = (*stream)->next(out);
    EXPECT_TRUE(more.ok()) << more.error().message();
    if (!more.ok() || !*more) break;
  }
  return out;
}

TEST_F(QueryTest, StreamsSayWhatTheWholeAnswerSays) {
  for (const char* sql :
       {"select * from joules order by seq, energy_uj", "select * from requests order by request",
        "select * from carbon order by t0_ns, region",
        "select tenant, sum(energy_uj) e, avg(energy_uj) a, count(*) n from joules group by 1 order by 1",
        "select 1 where false",
        "select 170141183460469231731687303715884105727::hugeint h, -5::hugeint m, "
        "18446744073709551615::ubigint u",
        "select -0.05::decimal(5,2) a, 12345678901234567890.123::decimal(30,3) b, null c, true d, 1.5::float "
        "e",
        "select date '1969-12-31' d, timestamp '2024-02-29 23:59:59.25' t, timestamp '1600-01-01 00:00:00' o",
        "describe jobs"}) {
    const auto whole = query(*store_, sql, options_);
    ASSERT_TRUE(whole.ok()) << whole.error().message();
    const std::string lines = streamed(*store_, sql, bus::StreamFormat::kJsonLines, options_);
    EXPECT_EQ(static_cast<std::size_t>(std::count(lines.begin(), lines.end(), '\n')), whole->rows.size())
        << sql;
    EXPECT_EQ(streamed(*store_, sql, bus::StreamFormat::kCsv, options_).substr(0, 20),
              query_csv(*whole).substr(0, 20));
  }
  const std::string wide =
      "select 170141183460469231731687303715884105727::hugeint h, -0.05::decimal(5,2) d, date '1969-12-31' t";
  EXPECT_EQ(streamed(*store_, wide, bus::StreamFormat::kCsv, options_),
            query_csv(*query(*store_, wide, options_)));
  const std::string sums = "select tenant, sum(energy_uj) e from joules group by 1 order by 1";
  EXPECT_EQ(streamed(*store_, sums, bus::StreamFormat::kCsv, options_),
            query_csv(*query(*store_, sums, options_)));
}

TEST_F(QueryTest, StreamsAreBounded) {
  QueryOptions bounded = options_;
  bounded.max_rows = 3;
  const auto many = QueryStream::open(*store_, "select * from joules", bus::StreamFormat::kCsv, bounded);
  ASSERT_FALSE(many.ok());
  EXPECT_NE(many.error().why.find("more than 3 rows"), std::string::npos);
  EXPECT_FALSE(QueryStream::open(*store_, "copy jobs to '/tmp/x'", bus::StreamFormat::kCsv, options_).ok());
  EXPECT_FALSE(QueryStream::open(*store_, "select [1]", bus::StreamFormat::kCsv, options_).ok());
  EXPECT_FALSE(QueryStream::open(*store_, "select 170141183460469231731687303715884105727::hugeint h",
                                 bus::StreamFormat::kArrow, options_)
                   .ok());
  bounded.max_rows = 0;
  bounded.max_seconds = 0.01;
  const auto late = QueryStream::open(*store_, "select count(*) from range(10000000000) a, range(1000) b",
                                      bus::StreamFormat::kCsv, bounded);
  ASSERT_FALSE(late.ok());
  EXPECT_NE(late.error().why.find("longer than"), std::string::npos) << late.error().why;
}

// The stop may come at any moment: before the query begins, as here, or while it runs.
TEST_F(QueryTest, IsBrokenOffWhenNobodyWaits) {
  const std::string endless = "select count(*) from range(10000000000) a, range(10000000) b";
  std::stop_source work;
  QueryOptions waited = options_;
  waited.stop = work.get_token();
  std::thread client([&] { work.request_stop(); });
  const auto whole = query(*store_, endless, waited);
  client.join();
  ASSERT_FALSE(whole.ok());
  EXPECT_EQ(whole.error().kind, base::ErrorKind::kIo) << whole.error().message();
  EXPECT_NE(whole.error().why.find("broken off"), std::string::npos) << whole.error().why;
  const auto pieces = QueryStream::open(*store_, endless, bus::StreamFormat::kCsv, waited);
  ASSERT_FALSE(pieces.ok());
  EXPECT_EQ(pieces.error().kind, base::ErrorKind::kIo) << pieces.error().message();

  std::stop_source later;
  waited.stop = later.get_token();
  const auto rows =
      QueryStream::open(*store_, "select * from range(1000000000)", bus::StreamFormat::kCsv, waited);
  ASSERT_TRUE(rows.ok()) << rows.error().message();
  later.request_stop();
  std::string bytes;
  auto more = (*rows)->next(bytes);
  while (more.ok() && *more) more = (*rows)->next(bytes);
  ASSERT_FALSE(more.ok());
  EXPECT_EQ(more.error().kind, base::ErrorKind::kIo) << more.error().message();
}

// What is acknowledged and not sealed is in the answer, once; a reader keeps its moment while sealing goes
// on.
TEST_F(QueryTest, TheLogsRowsAreInTheAnswerOnce) {
  const std::string folder = files_.file("events");
  bus::EngineOptions small;
  small.log.segment_bytes = 256 << 10;
  small.threads = false;
  const auto count = [&](const bus::StoreReader& store) {
    const auto answer = query(
        store, "select count(*), sum(energy_uj), count(distinct seq), count(phase) from joules", options_);
    EXPECT_TRUE(answer.ok()) << answer.error().message();
    return answer.ok() ? query_csv(*answer) : std::string{};
  };
  auto engine = bus::Engine::open(base::posix_env(), folder, small);
  ASSERT_TRUE(engine.ok()) << engine.error().message();
  std::uint64_t rows = 0, energy = 0;
  for (std::uint64_t n = 1; n <= 20; ++n) {
    ASSERT_EQ((*engine)->store(bus::testing::joule_block("a", n)).outcome, bus::Outcome::kStored);
    for (std::uint64_t i = 0; i < bus::testing::kRowsPerBlock; ++i) ++rows, energy += n * 100 + i;
    if (n == 8) {
      ASSERT_TRUE((*engine)->seal_all().ok());
    }
  }
  const auto before = bus::StoreReader::open(base::posix_env(), folder);
  EXPECT_EQ(before->tail().size(), 12U);
  const std::string want = count(*before);
  EXPECT_NE(want.find("\n" + std::to_string(rows) + "," + std::to_string(energy) + ",20,0\n"),
            std::string::npos)
      << want;
  const auto named = query(
      *before, "select device, request, t1_ns from joules where seq = 20 order by device desc", options_);
  ASSERT_TRUE(named.ok()) << named.error().message();
  ASSERT_EQ(named->rows.size(), bus::testing::kRowsPerBlock);
  EXPECT_EQ(named->rows[0][0], "gpu4");
  EXPECT_EQ(named->rows[0][1], "req2");
  ASSERT_TRUE((*engine)->seal_all().ok());
  EXPECT_EQ(count(*before), want) << "the reader's moment";
  EXPECT_EQ(count(*bus::StoreReader::open(base::posix_env(), folder)), want);
  const auto samples = query(*before, "select count(*) n from samples", options_);
  ASSERT_TRUE(samples.ok()) << "a table without a file";
  EXPECT_EQ(samples->rows[0][0], "0");
}

TEST_F(QueryTest, DamageIsRefusedOrLeftOut) {
  const std::string path = files_.file("joules/part-000001.parquet");
  std::string bytes = base::posix_env().read_file(path).value();
  const auto file = bus::ParquetFile::open(bytes, "joules");
  const auto at = static_cast<std::size_t>(file->meta().groups[1].columns[5].data_offset) + 30;
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  ASSERT_TRUE(base::write_output(path, bytes).ok());
  const auto strict = query(*store_, "select count(*) from joules", options_);
  ASSERT_FALSE(strict.ok());
  EXPECT_EQ(base::exit_status(strict.error().kind), 1);
  const auto lenient = bus::StoreReader::open_without_damage(base::posix_env(), files_.file(""));
  ASSERT_EQ(lenient->left_out().size(), 1U);
  const auto rest = query(*lenient, "select count(*) n from joules", options_);
  ASSERT_TRUE(rest.ok()) << rest.error().message();
  EXPECT_EQ(rest->rows[0][0], std::to_string(lenient->rows(bus::Table::kJoules) - 4));
  EXPECT_EQ(nlohmann::json::parse(mark_json("{}", lenient->left_out()))["damaged"][0]["rows"], 4);
  EXPECT_NE(damage_text(lenient->left_out()).find("1 damaged part is left out, 4 rows from"),
            std::string::npos);
}

TEST_F(QueryTest, AStoreOfFormat1HasTheColumnsThatCameLater) {
  const auto old = bus::StoreReader::open(base::posix_env(),
                                          std::string(PERJOULE_SOURCE_DIR) + "/tests/store/format-1/store");
  ASSERT_TRUE(old.ok());
  const auto answer = query(*old, "select count(*), count(phase), count(kernel) > 0 from joules", options_);
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  EXPECT_EQ(answer->rows[0][0], std::to_string(old->rows(bus::Table::kJoules)));
  EXPECT_EQ(answer->rows[0][1], "0");
  EXPECT_EQ(answer->rows[0][2], "true");
}

TEST(QueryLibrary, AbsentSaysWhatToType) {
  const TestStore files("query-absent");
  const auto store = files.open();
  ASSERT_TRUE(store.ok());
  const auto answer = query(*store, "select 1", {"/nonexistent/libduckdb.so", 0});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(base::exit_status(answer.error().kind), 3);
  EXPECT_NE(answer.error().hint.find("./dev duckdb"), std::string::npos);
}

}  // namespace
}  // namespace perjoule::answers
