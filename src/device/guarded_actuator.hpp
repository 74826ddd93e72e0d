// All the safety of an actuator in one place: groups, ranges, steps, save-before-write, dead-man, dry run,
// journal. A back end declares its controls and answers do_read and do_write; nothing reaches do_write
// unchecked. Thread rule: one thread per actuator. Ownership: keeps references to the symbol table and the
// journal (they outlive it). Destroying it restores nothing: the owner decides, with restore_all().
#pragma once

#include <string>
#include <vector>

#include "device/actuator.hpp"
#include "device/by_device.hpp"
#include "device/restore_journal.hpp"

namespace perjoule::device {

class GuardedActuator : public Actuator {
 public:
  const base::SymbolTable& symbols() const final { return symbols_; }
  std::span<const ControlDescriptor> controls() const final { return controls_; }
  base::Result<ControlId> find(std::string_view control, std::string_view device) const final;
  base::Result<double> read(ControlId control) final;
  base::Status write(ControlId control, double value, const WriteOptions& options) final;
  std::optional<base::TimePoint> expiry(ControlId control) const final;
  SavePoint save() final;
  base::Status restore(SavePoint point) final;
  base::Status expire(base::TimePoint now, std::vector<Expired>& out) final;
  base::TimePoint next_expiry() const final;

  // Opens a privilege group. Error: kBadInput if no control has it, with the nearest name.
  base::Status enable_group(std::string_view group);

 protected:
  // `journal` may be null (nothing outlives the process, as in a simulation).
  GuardedActuator(const base::SymbolTable& symbols, RestoreJournal* journal)
      : symbols_(symbols), journal_(journal) {}
  // PJ_CHECK: min <= max, step >= 0, known unit, a control of a device declared once.
  void declare(ControlDescriptor control);

  virtual base::Result<double> do_read(std::size_t control) = 0;
  virtual base::Status do_write(std::size_t control, double value) = 0;

 private:
  struct DeadMan {
    base::TimePoint expiry = base::kNever;
    double fallback = 0.0;
    base::Symbol decision;
    bool armed() const { return expiry != base::kNever; }
  };
  struct Undo {
    std::uint32_t control;
    double value;
    DeadMan dead_man;
    std::uint32_t older;  // depth of the next older level that has the control, kNoLevel if none
  };
  static constexpr std::uint32_t kNoLevel = UINT32_MAX;
  base::Status check(std::uint32_t control, double value) const;
  bool is_former_value(std::uint32_t control, double value) const;
  base::Status remember(std::uint32_t control, double before);
  bool to_be_restored(std::uint32_t control) const { return newest_level_[control] != kNoLevel; }
  base::Status put_back(const Undo& undo);
  JournalEntry journal_entry(std::uint32_t control, double value) const;
  std::string where(const ControlDescriptor& c) const;

  const base::SymbolTable& symbols_;
  RestoreJournal* journal_;
  std::vector<ControlDescriptor> controls_;
  ByDevice by_device_;
  std::vector<DeadMan> dead_men_;            // by control
  std::vector<std::uint32_t> newest_level_;  // by control: depth of the last level that has it
  std::vector<std::vector<Undo>> levels_ =
      std::vector<std::vector<Undo>>(1);  // by save point; one entry per control and level: the oldest value
  std::vector<std::string> enabled_;
};

}  // namespace perjoule::device
