// A delimited table read through a mapping: each canonical field of each row, in canonical units, with its
// place. Thread rule: values. Ownership: owns the table and the mapping.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/intake/mapping.hpp"
#include "base/csv.hpp"

namespace perjoule::backends::intake {

class MappedTable {
 public:
  // `name` is the data file for error places. Errors: what CsvTable says, a mapped column that is not there,
  // a constant that is no number where one is needed.
  static base::Result<MappedTable> parse(std::string text, const std::string& name, Mapping mapping);

  const Mapping& mapping() const { return mapping_; }
  std::size_t rows() const { return rows_.size(); }
  // Columns of the file itself, mapped or not.
  std::size_t columns() const { return table_.columns().size(); }
  bool has(std::string_view field) const { return binding(field) != nullptr; }
  // The text; empty when the field is not mapped, empty, or one of the mapping's `absent` texts.
  std::string_view text(std::size_t row, std::string_view field) const;
  // Numbers in canonical units; empty is nullopt; anything that is no finite number is an error with its
  // place.
  base::Result<std::optional<double>> number(std::size_t row, std::string_view field) const;
  base::Result<std::optional<std::int64_t>> count(std::size_t row, std::string_view field) const;
  base::Result<base::TimePoint> time(std::size_t row, std::string_view field) const;
  // MW of one of the mapping's generation columns.
  base::Result<std::optional<double>> generation(std::size_t row, std::size_t index) const;
  // file:line:column of a field; of the mapping for a constant; of the row's first field for an unmapped one.
  std::string where(std::size_t row, std::string_view field) const;

 private:
  struct Binding {
    std::string field;
    std::optional<std::size_t> column;
    std::string constant;
    std::string unit;
    base::Duration utc_offset;
    std::string where;
  };

  base::Status bind();
  base::Result<std::size_t> column_of(const FieldMapping& field) const;
  void select_rows();
  const Binding* binding(std::string_view field) const;
  bool is_absent(std::string_view text) const;
  base::Error fault(std::size_t row, const Binding& binding, std::string why, std::string hint = {}) const;

  std::string name_;
  base::CsvTable table_;
  Mapping mapping_;
  std::vector<Binding> bindings_;
  std::vector<std::size_t> generation_;
  std::vector<std::size_t> rows_;  // those that the `only` filters leave
};

}  // namespace perjoule::backends::intake
