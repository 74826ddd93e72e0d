// The one door from a proposal to an actuator: applies it, records it, and can take it back. Nothing acts
// except through a decision, and every decision has a row, also one that was refused. Thread rule: one thread
// (that which interns symbols). Ownership: keeps references to the clock, the symbols and every actuator it
// was given; owns its rows.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "base/clock.hpp"
#include "base/symbol.hpp"
#include "device/actuator.hpp"
#include "device/proposal.hpp"
#include "energy/records.hpp"

namespace perjoule::device {

// Takes back one decision.
struct UndoToken {
  std::uint32_t row = UINT32_MAX;
  constexpr bool valid() const { return row != UINT32_MAX; }
};

class DecisionLog {
 public:
  // `dry_run`: every check is made and every row written, nothing acts.
  DecisionLog(base::SymbolTable& symbols, const base::Clock& clock, bool dry_run = false);

  // Records the proposal, with outcome "applied", "dry run" or "refused: why". The token is valid if it was
  // applied.
  UndoToken apply(const Proposal& proposal, Actuator& actuator);
  // Writes the value before the decision again, with the dead-man there was. Errors: kAnswerIsNo if the
  // decision is no longer in force (superseded, expired, undone); else the actuator's.
  base::Status undo(UndoToken token);
  // More time for a decision in force (PJ_CHECK): its value is written again with a later dead-man. Errors:
  // the actuator's.
  base::Status renew(UndoToken token, base::TimePoint expiry);
  // The device left the decided state by itself (a resting GPU got work): the decision ends with this
  // outcome, undone. No effect if it is no longer in force.
  void lapse(UndoToken token, base::Symbol outcome);
  // Lets the actuator's dead-men act and marks their decisions "expired".
  base::Status expire(Actuator& actuator);
  // Restores all of the actuator and marks its decisions undone.
  base::Status restore_all(Actuator& actuator);

  // In the order of apply(). Outcomes of rows in force may still change.
  std::span<const energy::DecisionRow> rows() const { return rows_; }
  // True while the row's value is what its control is set to.
  bool in_force(std::size_t row) const { return entries_[row].actuator != nullptr; }

 private:
  static constexpr std::uint32_t kNoRow = UINT32_MAX;
  struct Entry {
    Actuator* actuator = nullptr;  // null: not in force
    ControlId control;
    double before = 0.0;
    base::TimePoint expiry_before = base::kNever;
  };
  base::Status act(const Proposal& proposal, Actuator& actuator, energy::DecisionRow& row, Entry& entry);
  std::uint32_t& in_force_at(const Actuator& actuator, ControlId control);
  void end_at(const Actuator& actuator, ControlId control, base::Symbol outcome, bool undone);
  void close(std::size_t row, base::Symbol outcome, bool undone);

  base::SymbolTable& symbols_;
  const base::Clock& clock_;
  bool dry_run_;
  base::Symbol applied_, dry_, expired_, superseded_;
  std::vector<energy::DecisionRow> rows_;
  std::vector<Entry> entries_;  // by row
  // The row in force at each control, kNoRow if none.
  std::unordered_map<const Actuator*, std::vector<std::uint32_t>> in_force_;
};

}  // namespace perjoule::device
