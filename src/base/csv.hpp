// Delimited text with a header, read whole, with errors that name file:line:column.
// Quoted fields ("a ""b"" c") are understood; names and fields are trimmed; an optional UTF-8 BOM is skipped.
// Thread rule: values. Ownership: the table owns its text.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"

namespace perjoule::base {

struct CsvOptions {
  char separator = ',';
  bool header = true;
  // Without a header: how many fields every line must have (0 = as many as the first line).
  std::size_t columns = 0;
};

class CsvTable {
 public:
  static Result<CsvTable> parse(std::string text, std::string name, CsvOptions options = {});
  // Reads plain or gzip text.
  static Result<CsvTable> read(Env& env, const std::string& path, CsvOptions options = {});

  std::size_t rows() const { return lines_.size(); }
  const std::vector<std::string>& columns() const { return columns_; }
  // Index of a column by name; the error lists the nearest names and the file.
  Result<std::size_t> column(std::string_view name) const;
  std::string_view field(std::size_t row, std::size_t column) const;
  // "FILE:LINE:COLUMN" of a field (column counted in characters from 1).
  std::string where(std::size_t row, std::size_t column) const;

  // The field as a finite number; NaN, inf, empty and text are errors with their place.
  Result<double> number(std::size_t row, std::size_t column) const;
  Result<std::int64_t> integer(std::size_t row, std::size_t column) const;
  // As number(), but an empty field is nullopt.
  Result<std::optional<double>> optional_number(std::size_t row, std::size_t column) const;

 private:
  struct FieldSpan {
    std::uint32_t begin;  // offset in text_
    std::uint32_t length;
  };
  struct Line {
    std::uint32_t number;
    std::uint32_t begin;
    std::size_t first_field;
  };

  Status parse_lines(const CsvOptions& options);
  Status parse_line(std::uint32_t begin, std::uint32_t end, std::uint32_t number, char separator);
  Error field_error(std::size_t row, std::size_t column, std::string why) const;

  std::string name_;
  std::unique_ptr<std::string> text_;
  std::vector<std::string> columns_;
  std::vector<Line> lines_;
  std::vector<FieldSpan> fields_;
};

}  // namespace perjoule::base
