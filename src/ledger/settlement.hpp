// Settlement: turns one window's meter readings and activity into `meters` and `joules` rows, exactly.
// For every leaf meter and window the joules rows sum to the reading; for every other meter the reading
// equals its children plus its own rows (equalities 1 and 2 of the public contract), by integer arithmetic
// (base/apportion.hpp). Thread rule: one thread. Ownership: borrows the tree and the symbols, which must
// outlive it; the sink gets rows by reference, valid during the call only.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/symbol.hpp"
#include "base/time.hpp"
#include "base/units.hpp"
#include "energy/meter_tree.hpp"
#include "energy/records.hpp"

namespace perjoule::ledger {

// Where settled rows go (a store, a summary, a test).
class RowSink {
 public:
  virtual ~RowSink() = default;
  virtual void meter(const energy::MeterRow& row) = 0;
  virtual void joule(const energy::JouleRow& row) = 0;
};

// One consumer's claim on a leaf meter's direct energy. weight >= 0 in any common unit (joules, tokens,
// seconds).
struct Claim {
  energy::Consumer consumer;
  double weight = 0.0;
};

// What was read at one meter in the window, and how it is split.
struct Reading {
  energy::MeterId meter;
  base::Microjoules energy;
  energy::Provenance provenance;
  // Part of `energy` drawn while the device was held but not working: share `idle`, to `holder`. Clamped to
  // [0, energy]. Without any claim all of it is idle, to the holder.
  base::Microjoules idle;
  energy::Consumer holder;  // who reserved the device; all empty = nobody: the idle rows carry no consumer
  std::span<const Claim> claims;  // direct = energy - idle, split by weight
  energy::Symbol
      direct_method;  // rule name and version for the direct rows; others are named by the rules below
};

class Settlement {
 public:
  Settlement(const energy::MeterTree& tree, base::SymbolTable& symbols, RowSink& sink);
  ~Settlement();

  void begin_window(base::TimePoint t0, base::TimePoint t1);
  // A leaf whose energy somebody used or held.
  void settle_leaf(const Reading& reading);
  // A leaf that is overhead (fan, chiller, switch): passed on over the consumers below `scope` at
  // end_window().
  void settle_overhead_leaf(energy::MeterId meter, base::Microjoules energy,
                            const energy::Provenance& provenance, energy::MeterId scope);
  // A meter with children: its own energy is energy - sum(children). Of it `expected_loss` (clamped to what
  // is there, in sign too) is overhead to the consumers below it; the rest is residual, negative allowed.
  void settle_parent(energy::MeterId meter, base::Microjoules energy, const energy::Provenance& provenance,
                     base::Microjoules expected_loss);
  // Emits the window's rows in meter order: meters rows first, then joules rows. Every meter of the tree must
  // have been settled exactly once (PJ_CHECK).
  void end_window();

  // Totals since construction, for the report and for the audit of the run: sums over all windows.
  struct Totals {
    base::Microjoules direct, idle, overhead, residual;
    std::int64_t windows = 0, meter_rows = 0, joule_rows = 0;
  };
  const Totals& totals() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace perjoule::ledger
