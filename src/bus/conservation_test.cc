#include "bus/conservation.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "bus/test_rows.hpp"

namespace perjoule::bus {
namespace {

namespace fs = std::filesystem;

// A site over two nodes over three GPUs each, 40 windows; every meter has its own joules rows.
class ConservationTest : public ::testing::Test {
 protected:
  ConservationTest() : make_(symbols_, 3) {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    dir_ = (fs::temp_directory_path() /
            ("perjoule-cons-" + std::string(info->name()) + "-" + std::to_string(::getpid())))
               .string();
    fs::remove_all(dir_);
    for (std::int64_t w = 0; w < 40; ++w) add_window(w * 30);
  }
  ~ConservationTest() override { fs::remove_all(dir_); }

  std::int64_t add_meter(std::int64_t window, const std::string& name, const std::string& parent,
                         std::int64_t children) {
    std::int64_t own = 0;
    for (std::uint64_t i = 1 + make_.below(4); i-- > 0;) {
      energy::JouleRow row;
      row.window_ns = window;
      row.meter = symbols_.intern(name);
      row.energy_uj = static_cast<std::int64_t>(make_.below(1000)) - 100;  // residuals may be negative
      own += row.energy_uj;
      joules_.push_back(row);
    }
    energy::MeterRow meter;
    meter.window_ns = window;
    meter.meter = symbols_.intern(name);
    meter.parent = symbols_.intern(parent);
    meter.energy_uj = children + own;
    meters_.push_back(meter);
    return meter.energy_uj;
  }
  void add_window(std::int64_t window) {
    std::int64_t nodes = 0;
    for (const char* node : {"n1", "n2"}) {
      std::int64_t gpus = 0;
      for (const char* gpu : {"/g1", "/g2", "/g3"})
        gpus += add_meter(window, std::string(node) + gpu, node, 0);
      nodes += add_meter(window, node, "site", gpus);
    }
    add_meter(window, "site", "", nodes);
  }
  ConservationReport check(std::size_t entries = 1 << 21, bool complete = true) {
    StoreOptions options;
    options.overwrite = true;
    options.group_rows = 32;
    options.segment_rows = 128;
    auto writer = StoreWriter::create(base::posix_env(), dir_, symbols_, {}, options);
    EXPECT_TRUE(writer.ok());
    for (const auto& m : meters_) EXPECT_TRUE(writer->append(m).ok());
    for (const auto& j : joules_) EXPECT_TRUE(writer->append(j).ok());
    EXPECT_TRUE(writer->finish(complete).ok());
    const auto store = StoreReader::open(base::posix_env(), dir_);
    auto report = check_conservation(*store, entries);
    EXPECT_TRUE(report.ok());
    return *report;
  }

  base::SymbolTable symbols_;
  testing::RowMaker make_;
  std::vector<energy::MeterRow> meters_;
  std::vector<energy::JouleRow> joules_;
  std::string dir_;
};

TEST_F(ConservationTest, HoldsForEveryMeterAndWindow) {
  for (const std::size_t entries : {std::size_t{1}, std::size_t{20}, std::size_t{1} << 21}) {
    const auto report = check(entries);
    EXPECT_TRUE(report.holds());
    EXPECT_EQ(report.windows, 40U);
    EXPECT_EQ(report.leaf_checks, 40U * 6);
    EXPECT_EQ(report.parent_checks, 40U * 3);
    EXPECT_EQ(report.joule_rows, joules_.size());
    EXPECT_EQ(report.root_uj, report.joule_uj);
  }
}

TEST_F(ConservationTest, OneMicrojouleIsFoundInALeafAndInItsParent) {
  meters_[0].energy_uj += 1;  // n1/g1 in the first window
  const auto report = check(20);
  EXPECT_EQ(report.violation_count, 2U);
  ASSERT_EQ(report.violations.size(), 2U);
  EXPECT_EQ(report.violations[0].meter, "n1");
  EXPECT_EQ(report.violations[0].difference_uj, -1);
  EXPECT_EQ(report.violations[1].meter, "n1/g1");
  EXPECT_EQ(report.violations[1].window_ns, 0);
  EXPECT_EQ(report.violations[1].difference_uj, 1);
  EXPECT_EQ(report.violations[1].meter_uj, report.violations[1].joules_uj + 1);
}

TEST_F(ConservationTest, LateCorrectionsCountInTheirWindow) {
  energy::JouleRow plus = joules_[0], minus = joules_[0];
  plus.energy_uj = 500;
  minus.energy_uj = -500;
  joules_.push_back(plus);
  EXPECT_FALSE(check(10).holds());
  joules_.push_back(minus);
  EXPECT_TRUE(check(10).holds());
}

TEST_F(ConservationTest, JoulesWithoutAMeterRowAreNamed) {
  energy::JouleRow row;
  row.window_ns = 5'000;
  row.meter = symbols_.intern("ghost");
  joules_.push_back(row);
  const auto report = check(10);
  ASSERT_EQ(report.violation_count, 1U);
  EXPECT_EQ(report.violations[0].meter, "ghost");
}

TEST_F(ConservationTest, SumsBeyond64BitsAreNotEqual) {
  for (int i = 0; i < 3; ++i) {
    energy::JouleRow row = joules_[0];
    row.energy_uj = INT64_MAX;
    joules_.push_back(row);
  }
  EXPECT_FALSE(check().holds());
}

TEST_F(ConservationTest, OnlyTwentyViolationsAreListedButAllCounted) {
  for (auto& m : meters_) m.energy_uj += m.parent.empty() ? 7 : 0;
  const auto report = check(9);
  EXPECT_EQ(report.violation_count, 40U);
  ASSERT_EQ(report.violations.size(), 20U);
  EXPECT_EQ(report.violations[19].window_ns, 19 * 30);
}

TEST_F(ConservationTest, ABrokenOffRunIsComparedAsFarAsBothTablesGo) {
  while (joules_.back().window_ns >= 25 * 30) joules_.pop_back();
  const auto report = check(50, false);
  EXPECT_FALSE(report.complete);
  EXPECT_EQ(report.checked_to_ns, 24 * 30);
  EXPECT_EQ(report.windows, 24U);
  EXPECT_TRUE(report.holds());
}

}  // namespace
}  // namespace perjoule::bus
