#include "answers/top.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "answers/explain.hpp"
#include "answers/test_store.hpp"
#include "base/memory_env.hpp"
#include "base/rng.hpp"
#include "bus/block.hpp"
#include "bus/engine.hpp"

namespace perjoule::answers {
namespace {

using testing::TestStore;

TEST(Top, ByJobAddsUpToTheSite) {
  const TestStore files("top");
  const auto store = files.open();
  ASSERT_TRUE(store.ok()) << store.error().message();
  const auto answer = top(*store, {{"job"}, {}, 20});
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  ASSERT_EQ(answer->rows.size(), 3U);
  EXPECT_EQ(answer->rows[0].keys[0], "chat");
  EXPECT_EQ(answer->rows[0].energy_uj, 2200);  // 1200 of requests, 800 idle, 200 losses
  EXPECT_EQ(answer->rows[0].by_share_uj, (std::array<std::int64_t, 4>{1200, 800, 200, 0}));
  EXPECT_EQ(answer->rows[1].keys[0], "job-1");
  EXPECT_EQ(answer->rows[1].energy_uj, 1600);
  EXPECT_EQ(answer->rows[2].keys[0], "");
  EXPECT_EQ(answer->rows[2].energy_uj, 200);
  EXPECT_EQ(answer->total_uj, 4000);
  EXPECT_TRUE(answer->equal());
  EXPECT_EQ(answer->rows[0].quality, energy::Quality::kSimulated);
  // A bar is as long as its part of the largest: 20 characters, 1600/2200 and 200/2200 of them.
  const std::string bars = top_text(*answer, true);
  const auto count = [](const std::string& text) {
    std::size_t n = 0;
    for (auto at = text.find("█"); at != std::string::npos; at = text.find("█", at + 1)) ++n;
    return n;
  };
  EXPECT_EQ(count(bars), 20U + 14U + 1U) << bars;
  EXPECT_EQ(count(top_text(*answer)), 0U);
}

// The fixed questions of the bus give what reading row by row gives.
TEST(Top, TheFastWayIsTheSlowWay) {
  const TestStore files("top-fast");
  const auto store = files.open();
  ASSERT_TRUE(store.ok()) << store.error().message();
  for (const std::string& dimension : top_dimensions()) {
    for (const std::size_t limit : {0U, 1U}) {
      for (const bus::TimeWindow window :
           {bus::TimeWindow{}, bus::TimeWindow{TestStore::kT0, TestStore::kT0 + 1}, bus::TimeWindow{5, 6}}) {
        const auto fast = top(*store, {{dimension}, window, limit});
        const auto slow = top(*store, {{dimension}, window, limit, true});
        ASSERT_TRUE(fast.ok() && slow.ok()) << dimension;
        EXPECT_EQ(top_json(*fast), top_json(*slow)) << dimension;
      }
    }
  }
}

// A store with sums of its sealed rows, and a tail.
class TopOfSums : public ::testing::Test {
 protected:
  static constexpr const char* kStore = "/store";
  static constexpr std::int64_t kSecond = 1'000'000'000;

  void SetUp() override {
    bus::EngineOptions o;
    o.threads = false;
    o.lock = false;
    o.log.segment_bytes = 1 << 20;
    o.group_rows = 300;
    o.encoding.page_rows = 64;
    auto engine = bus::Engine::open(env_, kStore, o);
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(*engine);
    for (std::uint64_t n = 1; n <= 6; ++n) {
      store(n);
      if (n % 2 == 0) continue;
      ASSERT_TRUE(engine_->seal_all().ok());
    }
  }

  energy::Symbol name(const char* prefix, std::uint64_t below) {
    const std::uint64_t n = rng_.next() % below;
    return n == 0 ? energy::Symbol{} : symbols_.intern(prefix + std::to_string(n));
  }

  // Minute n: the meters g0 to g4 and the rows on them.
  void store(std::uint64_t n) {
    const auto minute = static_cast<std::int64_t>(n) * 60 * kSecond;
    bus::TableBuilder joules(bus::Table::kJoules, symbols_, 400), meters(bus::Table::kMeters, symbols_, 5);
    std::array<std::int64_t, 5> used{};
    for (std::int64_t i = 0; i < 400; ++i) {
      energy::JouleRow r;
      const std::size_t meter = rng_.next() % used.size();
      r.window_ns = minute + static_cast<std::int64_t>(rng_.next() % 60) * kSecond;
      r.t0_ns = r.window_ns;
      r.t1_ns = r.window_ns + kSecond;
      r.meter = symbols_.intern("g" + std::to_string(meter));
      r.device = r.meter;
      r.energy_uj = static_cast<std::int64_t>(rng_.next() % 1'000'000);
      r.share = static_cast<energy::Share>(rng_.next() % 4);
      r.quality = rng_.next() % 50 == 0 ? energy::Quality::kModelled : energy::Quality::kMeasured;
      r.consumer = {name("tenant", 4),
                    name("job", 3),
                    name("model", 5),
                    {},
                    name("epoch", 4),
                    {},
                    name("r", 90),
                    name("k", 30),
                    {}};
      r.consumer.phase = name("phase", 3);
      r.method = symbols_.intern("rule/1");
      used[meter] += r.energy_uj;
      joules.append(r);
    }
    for (std::size_t m = 0; m < used.size(); ++m) {
      energy::MeterRow r;
      r.window_ns = r.t0_ns = minute;
      r.t1_ns = minute + 60 * kSecond;
      r.meter = r.device = symbols_.intern("g" + std::to_string(m));
      r.node = symbols_.intern(m < 3 ? "n0" : "n1");
      r.energy_uj = used[m];
      meters.append(r);
    }
    put(joules, bus::Table::kJoules, n);
    put(meters, bus::Table::kMeters, n);
  }
  void put(bus::TableBuilder& rows, bus::Table table, std::uint64_t n) {
    auto block =
        bus::encode_block(table, rows.take(), {std::string(bus::schema_of(table).name), n - 1, n, n});
    ASSERT_TRUE(block.ok()) << block.error().message();
    ASSERT_EQ(engine_->store(std::move(*block)).outcome, bus::Outcome::kStored);
  }
  bus::StoreReader open() { return bus::StoreReader::open(env_, kStore).value(); }

  base::MemoryEnv env_;
  base::Rng rng_{5};
  base::SymbolTable symbols_;
  std::unique_ptr<bus::Engine> engine_;
};

TEST_F(TopOfSums, SeveralColumnsAreWhatReadingEveryRowGives) {
  const auto store = open();
  std::set<std::string> rollups;
  const std::vector<std::vector<std::string>> questions{
      {"tenant", "job", "model"},
      {"tenant"},
      {"share", "quality"},
      {"device", "phase"},
      {"phase", "device", "share"},
      {"model", "kernel"},
      {"node", "tenant"},
      {"node", "rack"},
      {"kind", "request", "kernel", "epoch", "device", "job"},
      {"device", "device"}};
  for (const auto& by : questions) {
    for (const std::size_t limit : {0U, 3U}) {
      for (const bus::TimeWindow window :
           {bus::TimeWindow{}, bus::TimeWindow{95 * kSecond, 200 * kSecond}, bus::TimeWindow{100, 200}}) {
        const auto fast = top(store, {by, window, limit});
        const auto slow = top(store, {by, window, limit, true});
        ASSERT_TRUE(fast.ok()) << fast.error().message();
        ASSERT_TRUE(slow.ok()) << slow.error().message();
        EXPECT_EQ(top_json(*fast), top_json(*slow)) << by[0] << " and " << by.size() - 1 << " more";
        EXPECT_TRUE(slow->rollup.empty());
        rollups.insert(by[0] + ":" + fast->rollup);
      }
    }
  }
  EXPECT_EQ(rollups, (std::set<std::string>{"tenant:joules_by_consumer", "share:joules_by_consumer",
                                            "device:joules_by_device", "phase:joules_by_device",
                                            "model:", "node:", "kind:"}));
}

TEST_F(TopOfSums, WhatIsMissingForItsAgeIsSaid) {
  const auto whole = top(open(), {{"tenant"}, {}, 0});
  ASSERT_TRUE(whole.ok());
  EXPECT_FALSE(whole->lacks_before_ns || whole->site_lacks_before_ns);
  EXPECT_EQ(top_json(*whole).find("lacks_before_ns"), std::string::npos);
  const std::int64_t until = 4 * 60 * kSecond;
  ASSERT_GT(engine_->drop_before(bus::Table::kJoules, until)->rows, 0U);
  const auto store = open();

  // Sums stand for the rows that are gone.
  const auto by_tenant = top(store, {{"tenant"}, {}, 0});
  ASSERT_TRUE(by_tenant.ok());
  EXPECT_EQ(top_json(*by_tenant), top_json(*whole));
  EXPECT_FALSE(by_tenant->lacks_before_ns);

  for (const bool by_scan : {false, true}) {
    const auto by_kernel = top(store, {{"kernel"}, {}, 0, by_scan});
    ASSERT_TRUE(by_kernel.ok());
    ASSERT_TRUE(by_kernel->lacks_before_ns);
    EXPECT_EQ(*by_kernel->lacks_before_ns, until);
    EXPECT_LT(by_kernel->total_uj, whole->total_uj);
    const std::string text = top_text(*by_kernel);
    EXPECT_NE(text.find("Rows of joules before 1970-01-01T00:04:00Z have been dropped"), std::string::npos)
        << text;
    EXPECT_EQ(text.find("run perjoule audit"), std::string::npos) << text;
    EXPECT_EQ(nlohmann::json::parse(top_json(*by_kernel))["lacks_before_ns"], until);
    // A window that begins later lacks nothing.
    EXPECT_FALSE(top(store, {{"kernel"}, {until, INT64_MAX}, 0, by_scan})->lacks_before_ns);
  }
  const auto job = explain(store, "job", "job1");
  EXPECT_FALSE(job.ok()) << "there is no row of jobs in this store";
  const auto kernel = explain(store, "kernel", "k7");
  ASSERT_TRUE(kernel.ok()) << kernel.error().message();
  EXPECT_NE(explanation_text(*kernel).find("have been dropped for their age"), std::string::npos);

  ASSERT_GT(engine_->drop_before(bus::Table::kMeters, until)->rows, 0U);
  const auto later = top(open(), {{"tenant"}, {}, 0});
  ASSERT_TRUE(later.ok() && later->site_lacks_before_ns);
  EXPECT_NE(top_text(*later).find("not compared"), std::string::npos) << top_text(*later);
  EXPECT_EQ(nlohmann::json::parse(top_json(*later))["site_lacks_before_ns"], until);
}

TEST(Top, WindowDimensionsAndLimit) {
  const TestStore files("top-window");
  const auto store = files.open();
  ASSERT_TRUE(store.ok()) << store.error().message();
  const auto answer = top(*store, {{"node", "kernel"}, {TestStore::kT0, TestStore::kT0 + 1}, 1});
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  EXPECT_EQ(answer->total_uj, 2000);
  EXPECT_EQ(answer->site_uj, 2000);
  ASSERT_EQ(answer->rows.size(), 1U);
  EXPECT_EQ(answer->rows[0].keys, (std::vector<std::string>{"n", ""}));
  EXPECT_EQ(answer->rows[0].energy_uj, 1100);
  EXPECT_EQ(answer->other_groups, 3U);
  EXPECT_EQ(answer->others.energy_uj, 900);
  const auto json = nlohmann::json::parse(top_json(*answer));
  EXPECT_EQ(json["rows"][0]["energy_uj"], 1100);
  EXPECT_TRUE(json["rows"][0]["kernel"].is_null());
  EXPECT_EQ(json["total_equals_site"], true);
  EXPECT_NE(top_text(*answer).find("Total 2,000 uJ == site meter 2,000 uJ"), std::string::npos);
}

TEST(Top, UnknownDimensionNamesTheNearest) {
  const TestStore files("top-bad");
  const auto store = files.open();
  ASSERT_TRUE(store.ok()) << store.error().message();
  const auto answer = top(*store, {{"tennant"}, {}, 1});
  ASSERT_FALSE(answer.ok());
  EXPECT_EQ(base::exit_status(answer.error().kind), 2);
  EXPECT_NE(answer.error().hint.find("tenant"), std::string::npos);
}

}  // namespace
}  // namespace perjoule::answers
