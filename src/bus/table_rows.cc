// The way back: from a batch's columns to typed rows.
#include <array>
#include <charconv>

#include "base/assert.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {
namespace {

using energy::Symbol;
constexpr std::array<std::string_view, 2> kCarbonKindNames{"average", "marginal"};

// Reads a batch's columns in the schema's order, row by row. Text is translated once per dictionary entry.
class RowSource {
 public:
  RowSource(const Batch& batch, base::SymbolTable& symbols, Table table)
      : batch_(batch), schema_(schema_of(table)) {
    PJ_CHECK(batch.columns.size() == schema_.columns.size());
    symbols_of_.resize(batch.columns.size());
    for (std::size_t i = 0; i < batch.columns.size(); ++i) {
      PJ_CHECK(batch.columns[i].type == schema_.columns[i].type);
      for (const auto text : batch.columns[i].dictionary) symbols_of_[i].push_back(symbols.intern(text));
    }
  }
  void begin(std::size_t row) { row_ = row, column_ = 0; }
  std::int64_t integer() { return next().ints[row_]; }
  std::int64_t time_or_null() {
    const Column& c = next();
    return c.is_null(row_) ? energy::kNoTime : c.ints[row_];
  }
  double real() { return next().doubles[row_]; }
  bool flag() { return next().bools[row_] != 0; }
  Symbol symbol() {
    const std::size_t i = column_;
    const std::uint32_t code = next().codes[row_];
    return code == kNullCode ? Symbol{} : symbols_of_[i][code];
  }
  template <class Enum, std::size_t N>
  Enum word(const std::array<std::string_view, N>& names) {
    const std::string_view text = next().text(row_);
    for (std::size_t i = 0; i < N; ++i) {
      if (names[i] == text) return static_cast<Enum>(i);
    }
    return unknown(text), Enum{};
  }
  std::uint64_t hash() {
    const std::string_view text = next().text(row_);
    std::uint64_t v = 0;
    const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v, 16);
    if (ec != std::errc{} || end != text.data() + text.size() || text.size() != 16) unknown(text);
    return v;
  }
  bool failed() const { return !error_.empty(); }
  base::Error error() const {
    return base::corrupt("read a row", "table " + std::string(schema_.name) + ", row " + std::to_string(row_),
                         error_);
  }

 private:
  const Column& next() { return batch_.columns[column_++]; }
  void unknown(std::string_view text) {
    error_ =
        "column " + std::string(schema_.columns[column_ - 1].name) + " holds '" + std::string(text) + "'";
  }

  const Batch& batch_;
  const TableSchema& schema_;
  std::vector<std::vector<Symbol>> symbols_of_;
  std::size_t row_ = 0, column_ = 0;
  std::string error_;
};

energy::Quality quality(RowSource& in) { return in.word<energy::Quality>(energy::kQualityNames); }

// Members of a braced list are read in the order written.
void read(RowSource& in, energy::MeterRow& r) {
  r = {in.integer(), in.integer(), in.integer(), in.symbol(), in.symbol(),
       in.symbol(),  in.symbol(),  in.symbol(),  in.symbol(), in.symbol(),
       in.symbol(),  in.integer(), quality(in),  in.symbol(), in.integer()};
}
void read(RowSource& in, energy::JouleRow& r) {
  r = {in.integer(),
       in.integer(),
       in.integer(),
       in.symbol(),
       in.symbol(),
       in.integer(),
       in.word<energy::Share>(energy::kShareNames),
       quality(in),
       in.symbol(),
       in.integer(),
       energy::Consumer{in.symbol(), in.symbol(), in.symbol(), in.symbol(), in.symbol(), in.symbol(),
                        in.symbol(), in.symbol(), in.symbol()},
       in.symbol(),
       in.integer()};
}
void read(RowSource& in, energy::SampleRow& r) {
  r = {in.integer(), in.symbol(), in.symbol(), in.real(), quality(in), in.real(), in.symbol(), in.integer()};
}
void read(RowSource& in, energy::RequestRow& r) {
  r = {in.symbol(),  in.symbol(), in.symbol(), in.integer(), in.integer(), in.integer(),
       in.integer(), in.real(),   in.real(),   in.flag(),    in.integer(), in.real()};
}
void read(RowSource& in, energy::JobRow& r) {
  r = {in.symbol(),  in.symbol(),       in.symbol(),       in.integer(), in.integer(),
       in.integer(), in.time_or_null(), in.time_or_null(), in.integer(), in.real()};
}
void read(RowSource& in, energy::DecisionRow& r) {
  r = {in.symbol(), in.integer(), in.symbol(),  in.symbol(),  in.symbol(),       in.real(),   in.real(),
       in.hash(),   in.symbol(),  in.integer(), in.integer(), in.time_or_null(), in.symbol(), in.flag()};
}
void read(RowSource& in, energy::CarbonRow& r) {
  r = {in.integer(), in.integer(), in.symbol(), in.word<energy::CarbonKind>(kCarbonKindNames),
       in.real(),    quality(in),  in.symbol()};
}

template <class Row>
base::Status each(const Batch& b, base::SymbolTable& symbols, Table table, const RowCallback<Row>& call) {
  RowSource in(b, symbols, table);
  Row row;
  for (std::size_t i = 0; i < b.rows; ++i) {
    in.begin(i);
    read(in, row);
    if (in.failed()) return in.error();
    call(row);
  }
  return base::ok_status();
}

}  // namespace

base::Status for_each_row(const Batch& b, base::SymbolTable& s, const RowCallback<energy::MeterRow>& row) {
  return each(b, s, Table::kMeters, row);
}
base::Status for_each_row(const Batch& b, base::SymbolTable& s, const RowCallback<energy::JouleRow>& row) {
  return each(b, s, Table::kJoules, row);
}
base::Status for_each_row(const Batch& b, base::SymbolTable& s, const RowCallback<energy::SampleRow>& row) {
  return each(b, s, Table::kSamples, row);
}
base::Status for_each_row(const Batch& b, base::SymbolTable& s, const RowCallback<energy::RequestRow>& row) {
  return each(b, s, Table::kRequests, row);
}
base::Status for_each_row(const Batch& b, base::SymbolTable& s, const RowCallback<energy::JobRow>& row) {
  return each(b, s, Table::kJobs, row);
}
base::Status for_each_row(const Batch& b, base::SymbolTable& s, const RowCallback<energy::DecisionRow>& row) {
  return each(b, s, Table::kDecisions, row);
}
base::Status for_each_row(const Batch& b, base::SymbolTable& s, const RowCallback<energy::CarbonRow>& row) {
  return each(b, s, Table::kCarbon, row);
}

}  // namespace perjoule::bus
