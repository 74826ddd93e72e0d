#include "device/decision_log.hpp"

#include <algorithm>
#include <cmath>
#include <string>

namespace perjoule::device {
namespace {

energy::DecisionRow row_of(const Proposal& p, base::TimePoint now) {
  energy::DecisionRow row;
  row.t_ns = now.ns;
  row.policy = p.policy;
  row.target = p.target;
  row.action = p.action;
  row.value_before = p.value_before;
  row.value_after = p.value_after;
  row.reason_hash = p.reason_hash;
  row.why = p.why;
  row.expected_saving_uj = p.expected_saving.value();
  row.bound_uj = p.bound.value();
  row.expires_ns = p.expiry == base::kNever ? energy::kNoTime : p.expiry.ns;
  return row;
}

}  // namespace

DecisionLog::DecisionLog(base::SymbolTable& symbols, const base::Clock& clock, bool dry_run)
    : symbols_(symbols),
      clock_(clock),
      dry_run_(dry_run),
      applied_(symbols.intern("applied")),
      dry_(symbols.intern("dry run")),
      expired_(symbols.intern("expired")),
      superseded_(symbols.intern("superseded")) {}

UndoToken DecisionLog::apply(const Proposal& proposal, Actuator& actuator) {
  energy::DecisionRow row = row_of(proposal, clock_.now());
  row.decision = symbols_.intern("d" + std::to_string(rows_.size() + 1));
  Entry entry;
  const base::Status done = act(proposal, actuator, row, entry);
  const auto index = static_cast<std::uint32_t>(rows_.size());
  if (!done.ok()) {
    row.outcome = symbols_.intern("refused: " + done.error().why);
  } else if (dry_run_) {
    row.outcome = dry_;
  } else {
    row.outcome = applied_;
    end_at(actuator, proposal.control, superseded_, false);
    entry.actuator = &actuator;
    in_force_at(actuator, proposal.control) = index;
  }
  rows_.push_back(row);
  entries_.push_back(entry);
  return entry.actuator != nullptr ? UndoToken{index} : UndoToken{};
}

base::Status DecisionLog::act(const Proposal& proposal, Actuator& actuator, energy::DecisionRow& row,
                              Entry& entry) {
  const auto refuse = [&](std::string why) {
    return base::bad_input("decide", std::string(symbols_.text(proposal.target)), std::move(why));
  };
  if (proposal.control.index >= actuator.controls().size()) return refuse("there is no such control");
  if (proposal.expiry <= clock_.now()) return refuse("it has expired already");
  PJ_ASSIGN(const double present, actuator.read(proposal.control));
  row.value_before = present;
  if (std::isfinite(proposal.value_before) && proposal.value_before != present) {
    return refuse("the value has changed since the snapshot");
  }
  entry.control = proposal.control;
  entry.before = present;
  entry.expiry_before = actuator.expiry(proposal.control).value_or(base::kNever);
  return actuator.write(proposal.control, proposal.value_after, {proposal.expiry, dry_run_, row.decision});
}

void DecisionLog::close(std::size_t row, base::Symbol outcome, bool undone) {
  Entry& entry = entries_[row];
  in_force_at(*entry.actuator, entry.control) = kNoRow;
  entry.actuator = nullptr;
  rows_[row].outcome = outcome;
  rows_[row].undone = undone;
}

std::uint32_t& DecisionLog::in_force_at(const Actuator& actuator, ControlId control) {
  auto& rows = in_force_[&actuator];
  if (rows.size() <= control.index) rows.resize(actuator.controls().size(), kNoRow);
  return rows[control.index];
}

void DecisionLog::end_at(const Actuator& actuator, ControlId control, base::Symbol outcome, bool undone) {
  const std::uint32_t row = in_force_at(actuator, control);
  if (row != kNoRow) close(row, outcome, undone);
}

base::Status DecisionLog::undo(UndoToken token) {
  if (token.row >= rows_.size() || !in_force(token.row)) {
    const bool known = token.row < rows_.size();
    return base::Error{
        base::ErrorKind::kAnswerIsNo,
        "undo a decision",
        known ? std::string(symbols_.text(rows_[token.row].decision)) : std::string(),
        known ? "it is no longer in force: " + std::string(symbols_.text(rows_[token.row].outcome))
              : "it was never applied",
        {}};
  }
  const Entry& e = entries_[token.row];
  PJ_TRY(e.actuator->write(e.control, e.before, {e.expiry_before, false, rows_[token.row].decision}));
  // Writing the value before may have made the device leave the state by itself.
  if (in_force(token.row)) close(token.row, symbols_.intern("undone"), true);
  return base::ok_status();
}

base::Status DecisionLog::renew(UndoToken token, base::TimePoint expiry) {
  PJ_CHECK(token.valid() && in_force(token.row));
  const Entry& e = entries_[token.row];
  energy::DecisionRow& row = rows_[token.row];
  PJ_TRY(e.actuator->write(e.control, row.value_after, {expiry, false, row.decision}));
  row.expires_ns = expiry.ns;
  return base::ok_status();
}

void DecisionLog::lapse(UndoToken token, base::Symbol outcome) {
  if (token.valid() && in_force(token.row)) close(token.row, outcome, true);
}

base::Status DecisionLog::expire(Actuator& actuator) {
  std::vector<Expired> gone;
  const base::Status done = actuator.expire(clock_.now(), gone);
  for (const Expired& g : gone) end_at(actuator, g.control, expired_, true);
  return done;
}

base::Status DecisionLog::restore_all(Actuator& actuator) {
  PJ_TRY(actuator.restore_all());
  const base::Symbol undone = symbols_.intern("undone");
  for (const std::uint32_t row : in_force_[&actuator]) {
    if (row != kNoRow) close(row, undone, true);
  }
  return base::ok_status();
}

}  // namespace perjoule::device
