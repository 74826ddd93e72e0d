#include "bench/bus/measure.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>

#include "bench/bus/reference.hpp"

namespace perjoule::bench {
namespace {

enum class Fault { kNone, kCountsResentBatches, kOffByOne, kRefuses, kDies };

// Keeps the stream in memory and answers by brute force, or wrongly in one way.
class FakePeer final : public Peer {
 public:
  explicit FakePeer(Fault fault) : fault_(fault) {}
  std::string name_version_settings() const override { return "fake 1"; }
  base::Status open(const std::string&) override { return base::ok_status(); }
  base::Status append(const EventBatch& batch) override {
    if (fault_ == Fault::kRefuses) return base::io_error("append", "fake", "no");
    if (seen_.take(batch.seq) || fault_ == Fault::kCountsResentBatches) batches_.push_back(batch);
    return base::ok_status();
  }
  base::Status finish() override {
    if (fault_ == Fault::kDies) std::raise(SIGKILL);
    return base::ok_status();
  }
  base::Result<Answer> query(QueryId id, const QueryParams& params) override {
    const auto scan = make_scan(id, params);
    for (const auto& batch : batches_)
      for (std::size_t i = 0; i < batch.joules.size(); ++i) scan->add(attribution_row(batch, i));
    Answer out = scan->answer();
    if (fault_ == Fault::kOffByOne) ++out.columns.back().numbers.back();
    return out;
  }
  std::uint64_t bytes_on_disk() override { return 42; }

 private:
  Fault fault_;
  SeenBatches seen_;
  std::vector<EventBatch> batches_;
};

PeerResult measured(Fault fault) {
  const GeneratorOptions options{4, 70'000, RequestNames::kRandom};
  const QueryParams params = choose_params(options);
  const std::vector<QueryId> ids = {QueryId::kRequest, QueryId::kHeatMap};
  const auto expected = reference_answers(options, ids, params);
  const auto folder = std::filesystem::temp_directory_path() / "perjoule-bench-bus-test";
  return measure_peer(
      "fake",
      [&]() -> base::Result<std::unique_ptr<Peer>> { return std::unique_ptr<Peer>(new FakePeer(fault)); },
      Stream(options), folder.string(), ids, params, expected, 2);
}

TEST(BusMeasure, RightAnswersPassWithTheirFigures) {
  const PeerResult result = measured(Fault::kNone);
  EXPECT_TRUE(result.ok()) << result.failed;
  EXPECT_EQ(result.settings, "fake 1");
  EXPECT_EQ(result.bytes, 42);
  EXPECT_GT(result.load_s, 0);
  ASSERT_EQ(result.queries.size(), 2u);
  EXPECT_EQ(result.queries[1].id, QueryId::kHeatMap);
  EXPECT_EQ(result.queries[1].runs, 2);
  EXPECT_GT(result.queries[1].rows, 1'000);
}

TEST(BusMeasure, AWrongAnswerIsNotOk) {
  const PeerResult result = measured(Fault::kOffByOne);
  EXPECT_FALSE(result.ok());
  EXPECT_NE(result.queries[0].wrong, "");
}

// The stream sends batch 0 twice.
TEST(BusMeasure, AResentBatchThatCountsTwiceIsNotOk) {
  EXPECT_FALSE(measured(Fault::kCountsResentBatches).ok());
}

TEST(BusMeasure, ARefusalAndADeathAreReported) {
  EXPECT_NE(measured(Fault::kRefuses).failed.find("no"), std::string::npos);
  EXPECT_EQ(measured(Fault::kDies).failed, "killed by signal 9");
}

TEST(BusMeasure, APeerThatIsNotThereIsMissing) {
  const PeerResult result = measure_peer(
      "fake",
      []() -> base::Result<std::unique_ptr<Peer>> { return base::missing("open", "fake", "not here"); },
      Stream({4, 1'000, RequestNames::kRandom}),
      (std::filesystem::temp_directory_path() / "perjoule-bench-bus-test").string(), {}, {}, {}, 1);
  EXPECT_NE(result.missing.find("not here"), std::string::npos);
  EXPECT_TRUE(result.ok());
}

}  // namespace
}  // namespace perjoule::bench
