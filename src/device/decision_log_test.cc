#include "device/decision_log.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "conformance/fakes.hpp"

namespace perjoule::device {
namespace {

using conformance::FakeActuator;
using conformance::FakeHardware;

class DecisionLogTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(actuator_.enable_group("gpu-power").ok()); }
  Proposal cap(double watts, base::TimePoint expiry = base::kNever) {
    Proposal p;
    p.policy = symbols_.intern("cap/1");
    p.target = symbols_.intern("site/r1/n1/gpu/0");
    p.action = symbols_.intern("gpu.cap");
    p.control = ControlId{0};
    p.value_after = watts;
    p.reason_hash = ReasonHash().add("cap/1").add(watts).value();
    p.expected_saving = base::Microjoules(5'000'000);
    p.expiry = expiry;
    return p;
  }
  std::string outcome(std::size_t row) const { return std::string(symbols_.text(log_.rows()[row].outcome)); }
  double present() const { return hardware_.values[0]; }

  FakeHardware hardware_;
  base::SymbolTable symbols_;
  base::VirtualClock clock_{base::TimePoint{1000}};
  FakeActuator actuator_{hardware_, symbols_};
  DecisionLog log_{symbols_, clock_};
};

TEST_F(DecisionLogTest, RecordsWhatItDid) {
  ASSERT_TRUE(log_.apply(cap(400.0, {5000}), actuator_).valid());
  EXPECT_EQ(present(), 400.0);
  const auto& row = log_.rows()[0];
  EXPECT_EQ(symbols_.text(row.decision), "d1");
  EXPECT_EQ(row.t_ns, 1000);
  EXPECT_EQ(symbols_.text(row.policy), "cap/1");
  EXPECT_EQ(symbols_.text(row.action), "gpu.cap");
  EXPECT_EQ(row.value_before, 0.0);
  EXPECT_EQ(row.value_after, 400.0);
  EXPECT_EQ(row.reason_hash, cap(400.0).reason_hash);
  EXPECT_EQ(row.expected_saving_uj, 5'000'000);
  EXPECT_EQ(row.expires_ns, 5000);
  EXPECT_EQ(outcome(0), "applied");
  EXPECT_FALSE(row.undone);
  log_.apply(cap(425.0), actuator_);
  EXPECT_EQ(log_.rows()[1].expires_ns, energy::kNoTime);
}

TEST_F(DecisionLogTest, RecordsWhatWasRefusedAndDoesNothing) {
  EXPECT_FALSE(log_.apply(cap(401.0), actuator_).valid());
  EXPECT_EQ(outcome(0), "refused: 401 is not allowed");
  EXPECT_FALSE(log_.apply(cap(400.0, {1000}), actuator_).valid());
  EXPECT_EQ(outcome(1), "refused: it has expired already");
  Proposal late = cap(400.0);
  late.value_before = 500.0;
  EXPECT_FALSE(log_.apply(late, actuator_).valid());
  EXPECT_EQ(outcome(2), "refused: the value has changed since the snapshot");
  EXPECT_EQ(log_.rows()[2].value_before, 0.0);  // what it was, not what was thought
  Proposal fan = cap(50.0);
  fan.control = ControlId{2};
  EXPECT_FALSE(log_.apply(fan, actuator_).valid());
  EXPECT_EQ(outcome(3), "refused: its group 'fan' is not enabled");
  fan.control = ControlId{9};
  EXPECT_FALSE(log_.apply(fan, actuator_).valid());
  EXPECT_TRUE(std::isnan(log_.rows()[4].value_before));
  hardware_.broken = {0};
  EXPECT_FALSE(log_.apply(cap(400.0), actuator_).valid());
  EXPECT_EQ(outcome(5), "refused: it does not answer");
  EXPECT_EQ(hardware_.writes, 0);
  EXPECT_FALSE(log_.in_force(0));
}

TEST_F(DecisionLogTest, DryRunsLeaveARowAndNoTrace) {
  DecisionLog dry(symbols_, clock_, true);
  EXPECT_FALSE(dry.apply(cap(400.0), actuator_).valid());
  EXPECT_EQ(symbols_.text(dry.rows()[0].outcome), "dry run");
  dry.apply(cap(401.0), actuator_);
  EXPECT_EQ(symbols_.text(dry.rows()[1].outcome), "refused: 401 is not allowed");
  EXPECT_EQ(hardware_.writes, 0);
}

TEST_F(DecisionLogTest, UndoesOnceAndOnlyWhatIsInForce) {
  const UndoToken first = log_.apply(cap(400.0), actuator_), second = log_.apply(cap(500.0), actuator_);
  EXPECT_EQ(outcome(0), "superseded");
  const auto gone = log_.undo(first);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().kind, base::ErrorKind::kAnswerIsNo);
  EXPECT_EQ(gone.error().message(), "undo a decision: d1: it is no longer in force: superseded");
  ASSERT_TRUE(log_.undo(second).ok());
  EXPECT_EQ(present(), 400.0);
  EXPECT_EQ(outcome(1), "undone");
  EXPECT_TRUE(log_.rows()[1].undone);
  EXPECT_FALSE(log_.undo(second).ok());
  EXPECT_FALSE(log_.undo(UndoToken{}).ok());
}

// The first value is outside the range that may be written (0 = no cap): it can be gone back to all the same.
TEST_F(DecisionLogTest, UndoesToAValueOutsideTheRange) {
  ASSERT_TRUE(log_.undo(log_.apply(cap(400.0), actuator_)).ok());
  EXPECT_EQ(present(), 0.0);
}

TEST_F(DecisionLogTest, UndoGivesTheDeadManBack) {
  log_.apply(cap(400.0, {2000}), actuator_);
  const UndoToken second = log_.apply(cap(500.0), actuator_);
  EXPECT_EQ(actuator_.next_expiry(), base::kNever);
  ASSERT_TRUE(log_.undo(second).ok());
  EXPECT_EQ(actuator_.next_expiry(), base::TimePoint{2000});
}

TEST_F(DecisionLogTest, ExpiresWhatIsNotRenewed) {
  log_.apply(cap(400.0, {2000}), actuator_);
  log_.apply(cap(450.0, {3000}), actuator_);
  clock_.advance_to({2500});
  ASSERT_TRUE(log_.expire(actuator_).ok());
  EXPECT_EQ(present(), 450.0);
  EXPECT_EQ(outcome(1), "applied");
  clock_.advance_to({3000});
  ASSERT_TRUE(log_.expire(actuator_).ok());
  EXPECT_EQ(present(), 0.0);
  EXPECT_EQ(outcome(1), "expired");
  EXPECT_TRUE(log_.rows()[1].undone);
  EXPECT_FALSE(log_.in_force(1));
}

TEST_F(DecisionLogTest, RestoresAllOfAnActuatorAndOfNoOther) {
  FakeHardware other_hardware;
  FakeActuator other(other_hardware, symbols_);
  ASSERT_TRUE(other.enable_group("gpu-power").ok());
  log_.apply(cap(400.0), actuator_);
  log_.apply(cap(300.0), other);
  EXPECT_EQ(outcome(0), "applied");  // another actuator's control of the same number does not supersede it
  ASSERT_TRUE(log_.restore_all(actuator_).ok());
  EXPECT_EQ(present(), 0.0);
  EXPECT_EQ(other_hardware.values[0], 300.0);
  EXPECT_EQ(outcome(0), "undone");
  EXPECT_EQ(outcome(1), "applied");
}

TEST(ReasonHash, IsStableAndTellsInputsApart) {
  // FNV-1a of the eight bytes of 1, little end first, computed in another language.
  EXPECT_EQ(ReasonHash().add(std::uint64_t{1}).value(), 0x89cd31291d2aefa4ULL);
  EXPECT_EQ(ReasonHash().add(0.0).value(), ReasonHash().add(-0.0).value());
  EXPECT_EQ(ReasonHash().add(std::nan("1")).value(), ReasonHash().add(-std::nan("2")).value());
  EXPECT_NE(ReasonHash().add("ab").add("c").value(), ReasonHash().add("a").add("bc").value());
  EXPECT_NE(ReasonHash().add(1.0).add(2.0).value(), ReasonHash().add(2.0).add(1.0).value());
}

// What a device leaves by itself is neither undone nor put back by anyone later.
TEST_F(DecisionLogTest, ADecisionLapsesWhenTheDeviceLeavesItsState) {
  const UndoToken token = log_.apply(cap(400.0, {5000}), actuator_);
  log_.lapse(token, symbols_.intern("applied, undone by work"));
  EXPECT_EQ(outcome(0), "applied, undone by work");
  EXPECT_TRUE(log_.rows()[0].undone);
  EXPECT_FALSE(log_.in_force(0));
  EXPECT_FALSE(log_.undo(token).ok());
  log_.lapse(token, symbols_.intern("twice"));
  log_.lapse({}, symbols_.intern("nobody"));
  EXPECT_EQ(outcome(0), "applied, undone by work");
}

}  // namespace
}  // namespace perjoule::device
