// The store's tables as data (names and types of the public contract), and the way from typed rows to columns
// and back. Seven tables hold what sources send; the others are made of them (rollup.hpp) when they are
// sealed, and take no events. Thread rule: schemas from any thread; a TableBuilder from the thread that
// interns into its SymbolTable; for_each_row from the thread that interns into the table it is given.
// Ownership: a batch taken from a builder points at the SymbolTable's characters. Units: as in
// energy/records.hpp.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "bus/columns.hpp"
#include "energy/records.hpp"

namespace perjoule::bus {

enum class Table : std::uint8_t {
  kMeters,
  kJoules,
  kSamples,
  kRequests,
  kJobs,
  kDecisions,
  kCarbon,
  // Made of other tables:
  kJoulesByConsumer,
  kJoulesByDevice,
  kJoulesByKernel,
  kSamplesLast
};
inline constexpr std::size_t kEventTables = 7;  // the first ones: what sources send
inline constexpr std::size_t kTableCount = 11;
inline constexpr bool takes_events(Table table) { return static_cast<std::size_t>(table) < kEventTables; }

const TableSchema& schema_of(Table table);
std::optional<Table> find_table(std::string_view name);
// Only one that takes events.
std::optional<Table> find_event_table(std::string_view name);
// The names, in the order of the enum: of the tables that take events, and of all.
std::vector<std::string> table_names();
std::vector<std::string> all_table_names();

// Collects up to `capacity` rows of one table as columns, in the order they come.
class TableBuilder {
 public:
  TableBuilder(Table table, base::SymbolTable& symbols, std::size_t capacity);
  // The row's type must be the table's; the builder must not be full.
  void append(const energy::MeterRow& row);
  void append(const energy::JouleRow& row);
  void append(const energy::SampleRow& row);
  void append(const energy::RequestRow& row);
  void append(const energy::JobRow& row);
  void append(const energy::DecisionRow& row);
  void append(const energy::CarbonRow& row);
  std::size_t rows() const { return rows_; }
  bool full() const { return rows_ == capacity_; }
  // The rows so far; the builder is empty afterwards.
  Batch take();
  // A batch of take() whose rows are no longer needed: its memory serves the next ones.
  void give_back(Batch batch) { spare_.push_back(std::move(batch)); }

 private:
  // One column under construction. Text: local_of[symbol] is the symbol's code in this batch.
  struct Slot {
    Column column;
    std::uint32_t last_symbol = 0, last_code = kNullCode;
    std::vector<std::uint32_t> local_of;
    std::vector<std::uint32_t> symbols;
  };
  class Row;

  void prepare();
  std::uint32_t code_of(Slot& slot, energy::Symbol symbol);

  Table table_;
  base::SymbolTable& symbols_;
  std::size_t capacity_;
  std::size_t rows_ = 0;
  std::vector<Slot> slots_;
  std::vector<Batch> spare_;
  std::array<energy::Symbol, energy::kQualityNames.size()> qualities_;
  std::array<energy::Symbol, energy::kShareNames.size()> shares_;
  std::array<energy::Symbol, 2> carbon_kinds_;
};

// Calls `row` for each row of a batch that has all columns of the table. Text is interned into `symbols`.
// Error: kCorrupt for a word that is not a quality, share or carbon kind, or a hash that is not 16 digits.
template <class Row>
using RowCallback = std::function<void(const Row&)>;
base::Status for_each_row(const Batch& b, base::SymbolTable& symbols,
                          const RowCallback<energy::MeterRow>& row);
base::Status for_each_row(const Batch& b, base::SymbolTable& symbols,
                          const RowCallback<energy::JouleRow>& row);
base::Status for_each_row(const Batch& b, base::SymbolTable& symbols,
                          const RowCallback<energy::SampleRow>& row);
base::Status for_each_row(const Batch& b, base::SymbolTable& symbols,
                          const RowCallback<energy::RequestRow>& row);
base::Status for_each_row(const Batch& b, base::SymbolTable& symbols, const RowCallback<energy::JobRow>& row);
base::Status for_each_row(const Batch& b, base::SymbolTable& symbols,
                          const RowCallback<energy::DecisionRow>& row);
base::Status for_each_row(const Batch& b, base::SymbolTable& symbols,
                          const RowCallback<energy::CarbonRow>& row);

}  // namespace perjoule::bus
