#include "base/csv.hpp"

#include <cmath>

#include "base/gzip.hpp"
#include "base/text.hpp"

namespace perjoule::base {

Result<CsvTable> CsvTable::read(Env& env, const std::string& path, CsvOptions options) {
  PJ_ASSIGN(auto text, read_text(env, path));
  return parse(std::move(text), path, options);
}

Result<CsvTable> CsvTable::parse(std::string text, std::string name, CsvOptions options) {
  CsvTable table;
  table.name_ = std::move(name);
  if (text.size() >= UINT32_MAX) return bad_input("read a table", table.name_, "larger than 4 GiB");
  table.text_ = std::make_unique<std::string>(std::move(text));
  PJ_TRY(table.parse_lines(options));
  return table;
}

Status CsvTable::parse_lines(const CsvOptions& options) {
  const std::string& text = *text_;
  std::uint32_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;
  std::uint32_t number = 0;
  while (at < text.size()) {
    const auto newline = text.find('\n', at);
    const auto end = static_cast<std::uint32_t>(newline == std::string::npos ? text.size() : newline);
    ++number;
    if (!trim(std::string_view(text).substr(at, end - at)).empty()) {
      PJ_TRY(parse_line(at, end, number, options.separator));
      if (options.header && columns_.empty()) {
        for (std::size_t c = 0; c < fields_.size(); ++c) columns_.emplace_back(field(0, c));
        lines_.clear();
        fields_.clear();
      } else if (columns_.empty()) {
        columns_.resize(options.columns != 0 ? options.columns : fields_.size());
      }
      if (!lines_.empty() && fields_.size() - lines_.back().first_field != columns_.size()) {
        return bad_input("read a table", name_ + ":" + std::to_string(number) + ":1",
                         "has " + std::to_string(fields_.size() - lines_.back().first_field) +
                             " fields, expected " + std::to_string(columns_.size()));
      }
    }
    at = end + 1;
  }
  if (columns_.empty()) return bad_input("read a table", name_ + ":1:1", "it is empty");
  return ok_status();
}

Status CsvTable::parse_line(std::uint32_t begin, std::uint32_t end, std::uint32_t number, char separator) {
  std::string& text = *text_;
  lines_.push_back({number, begin, fields_.size()});
  std::uint32_t at = begin;
  for (;;) {
    std::uint32_t start = at, stop = at;
    if (at < end && text[at] == '"') {
      // Unquote in place: the unquoted text is never longer than the quoted one.
      std::uint32_t out = start = ++at;
      for (;; ++at) {
        if (at >= end) {
          return bad_input("read a table",
                           name_ + ":" + std::to_string(number) + ":" + std::to_string(start - begin),
                           "a quoted field is not closed on its line");
        }
        if (text[at] == '"' && (at + 1 >= end || text[at + 1] != '"')) break;
        if (text[at] == '"') ++at;
        text[out++] = text[at];
      }
      stop = out;
      const std::uint32_t after = ++at;
      while (at < end && text[at] != separator) ++at;
      if (!trim(std::string_view(text).substr(after, at - after)).empty()) {
        return bad_input("read a table",
                         name_ + ":" + std::to_string(number) + ":" + std::to_string(after - begin + 1),
                         "there is text after the closing quote of a field");
      }
    } else {
      while (at < end && text[at] != separator) ++at;
      stop = at;
    }
    const auto field_text = trim(std::string_view(text).substr(start, stop - start));
    const auto offset =
        field_text.empty() ? start : static_cast<std::uint32_t>(field_text.data() - text.data());
    fields_.push_back({offset, static_cast<std::uint32_t>(field_text.size())});
    if (at >= end) return ok_status();
    ++at;
  }
}

Result<std::size_t> CsvTable::column(std::string_view name) const {
  for (std::size_t c = 0; c < columns_.size(); ++c) {
    if (columns_[c] == name) return c;
  }
  return bad_input("read a table", name_ + ":1:1", "there is no column '" + std::string(name) + "'",
                   nearest_name_hint(name, columns_));
}

std::string_view CsvTable::field(std::size_t row, std::size_t column) const {
  const FieldSpan& f = fields_[lines_[row].first_field + column];
  return std::string_view(*text_).substr(f.begin, f.length);
}

std::string CsvTable::where(std::size_t row, std::size_t column) const {
  const Line& line = lines_[row];
  const FieldSpan& f = fields_[line.first_field + column];
  return name_ + ":" + std::to_string(line.number) + ":" + std::to_string(f.begin - line.begin + 1);
}

Error CsvTable::field_error(std::size_t row, std::size_t column, std::string why) const {
  const std::string& name = columns_[column];
  return bad_input(name.empty() ? "read field " + std::to_string(column + 1) : "read column '" + name + "'",
                   where(row, column), "'" + std::string(field(row, column)) + "' " + std::move(why));
}

Result<double> CsvTable::number(std::size_t row, std::size_t column) const {
  const auto v = parse_double(field(row, column));
  if (!v) return field_error(row, column, "is not a finite number");
  return *v;
}

Result<std::int64_t> CsvTable::integer(std::size_t row, std::size_t column) const {
  const auto v = parse_int(field(row, column));
  if (!v) return field_error(row, column, "is not a whole number");
  return *v;
}

Result<std::optional<double>> CsvTable::optional_number(std::size_t row, std::size_t column) const {
  if (field(row, column).empty()) return std::optional<double>{};
  PJ_ASSIGN(const double v, number(row, column));
  return std::optional<double>(v);
}

}  // namespace perjoule::base
