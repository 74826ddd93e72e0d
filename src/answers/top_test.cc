#include "answers/top.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "answers/test_store.hpp"

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
