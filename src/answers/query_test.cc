#include "answers/query.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "answers/test_store.hpp"

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
  for (const std::string& sql :
       {std::string("copy jobs to '") + victim + "'", "copy jobs to '" + files_.file("new.csv") + "'",
        std::string("create table t as select 1"), std::string("select 1; drop view jobs"),
        std::string("set threads=2"), std::string("reset enable_external_access"),
        std::string("install httpfs"), std::string("select * from read_csv('/etc/passwd')"),
        std::string("attach 'x.db'"),
        std::string("explain analyze copy jobs to '" + files_.file("new.csv") + "'"), std::string(""),
        std::string("selec 1"), std::string("select [1, 2]"), std::string("select * from nothing")}) {
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
