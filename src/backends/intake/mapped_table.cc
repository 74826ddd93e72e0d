#include "backends/intake/mapped_table.hpp"

#include <algorithm>
#include <cmath>

#include "base/text.hpp"

namespace perjoule::backends::intake {
namespace {

using base::Result;
using base::Status;
using base::TimePoint;

// A zone can only follow the clock; a '-' before that belongs to the date.
bool carries_zone(std::string_view text) {
  constexpr std::size_t kDateLength = 10;
  return text.ends_with('Z') ||
         (text.size() > kDateLength && text.find_first_of("+-", kDateLength) != text.npos);
}

// "DD.MM.YYYY HH:MM[:SS]", of which only the first is read when a range follows (" - DD.MM.YYYY ...").
std::optional<std::string> to_iso8601(std::string_view text) {
  const std::string_view first = base::trim(text.substr(0, text.find(" - ")));
  if (first.size() < 16 || first[2] != '.' || first[5] != '.' || first[10] != ' ') return std::nullopt;
  std::string out;
  out.append(first.substr(6, 4))
      .append("-")
      .append(first.substr(3, 2))
      .append("-")
      .append(first.substr(0, 2));
  out.append("T").append(first.substr(11));
  return out;
}

std::optional<TimePoint> parse_calendar(std::string_view text, base::Duration utc_offset) {
  const auto parsed = base::parse_iso8601(text);
  if (!parsed.ok()) return std::nullopt;
  return carries_zone(text) ? *parsed : *parsed - utc_offset;
}

// Whole numbers are kept exact; fractions of a second go through double.
std::optional<TimePoint> parse_epoch(std::string_view text, std::string_view unit) {
  const std::int64_t scale = unit == "epoch_s"    ? base::kNsPerSecond
                             : unit == "epoch_ms" ? base::kNsPerMs
                                                  : base::kNsPerUs;
  if (const auto whole = base::parse_int(text)) {
    if (*whole > INT64_MAX / scale || *whole < INT64_MIN / scale) return std::nullopt;
    return TimePoint{*whole * scale};
  }
  const auto value = base::parse_double(text);
  if (!value || std::abs(*value * static_cast<double>(scale)) > 9e18) return std::nullopt;
  return TimePoint{static_cast<std::int64_t>(std::llround(*value * static_cast<double>(scale)))};
}

}  // namespace

Result<MappedTable> MappedTable::parse(std::string text, const std::string& name, Mapping mapping) {
  MappedTable out;
  base::CsvOptions options;
  options.separator = mapping.separator;
  options.header = mapping.header;
  PJ_ASSIGN(out.table_, base::CsvTable::parse(std::move(text), name, options));
  out.name_ = name;
  out.mapping_ = std::move(mapping);
  PJ_TRY(out.bind());
  out.select_rows();
  return out;
}

Result<std::size_t> MappedTable::column_of(const FieldMapping& field) const {
  if (!field.position) return table_.column(field.column);
  if (*field.position < table_.columns().size()) return *field.position;
  return base::bad_input("read a table", name_ + ":1:1",
                         "column " + std::to_string(*field.position + 1) + " is asked for, the file has " +
                             std::to_string(table_.columns().size()));
}

Status MappedTable::bind() {
  for (const FieldMapping& field : mapping_.fields) {
    Binding bound{field.field, std::nullopt,     field.constant.value_or(""),
                  field.unit,  field.utc_offset, field.where};
    if (!field.constant) {
      PJ_ASSIGN(bound.column, column_of(field));
    }
    bindings_.push_back(std::move(bound));
  }
  for (const GenerationColumn& column : mapping_.generation) {
    PJ_ASSIGN(const auto index, table_.column(column.column));
    generation_.push_back(index);
  }
  return base::ok_status();
}

void MappedTable::select_rows() {
  for (std::size_t row = 0; row < table_.rows(); ++row) {
    const bool wanted =
        std::all_of(mapping_.fields.begin(), mapping_.fields.end(), [&](const FieldMapping& field) {
          return !field.only || table_.field(row, *binding(field.field)->column) == *field.only;
        });
    if (wanted) rows_.push_back(row);
  }
}

const MappedTable::Binding* MappedTable::binding(std::string_view field) const {
  const auto at =
      std::find_if(bindings_.begin(), bindings_.end(), [&](const Binding& b) { return b.field == field; });
  return at == bindings_.end() ? nullptr : &*at;
}

bool MappedTable::is_absent(std::string_view text) const {
  return text.empty() ||
         std::find(mapping_.absent.begin(), mapping_.absent.end(), text) != mapping_.absent.end();
}

std::string MappedTable::where(std::size_t row, std::string_view field) const {
  const Binding* b = binding(field);
  if (b != nullptr && !b->column) return b->where;
  return table_.where(rows_[row], b == nullptr ? 0 : *b->column);
}

base::Error MappedTable::fault(std::size_t row, const Binding& b, std::string why, std::string hint) const {
  return base::bad_input("read the " + b.field, where(row, b.field),
                         "'" + std::string(text(row, b.field)) + "' " + std::move(why), std::move(hint));
}

std::string_view MappedTable::text(std::size_t row, std::string_view field) const {
  const Binding* b = binding(field);
  if (b == nullptr) return {};
  const std::string_view raw =
      b->column ? table_.field(rows_[row], *b->column) : std::string_view(b->constant);
  return is_absent(raw) ? std::string_view() : raw;
}

Result<std::optional<double>> MappedTable::number(std::size_t row, std::string_view field) const {
  const std::string_view raw = text(row, field);
  if (raw.empty()) return std::optional<double>{};
  const Binding& b = *binding(field);
  const auto value = base::parse_double(raw);
  const double scaled = value.value_or(0.0) * unit_factor(b.unit);
  if (!value || !std::isfinite(scaled)) return fault(row, b, "is not a finite number");
  return std::optional(scaled);
}

Result<std::optional<std::int64_t>> MappedTable::count(std::size_t row, std::string_view field) const {
  const std::string_view raw = text(row, field);
  if (raw.empty()) return std::optional<std::int64_t>{};
  if (const auto whole = base::parse_int(raw)) return std::optional(*whole);
  // Tables that went through a data frame write 4 as 4.0.
  const auto value = base::parse_double(raw);
  constexpr double kExact = 9007199254740992.0;  // 2^53
  if (value && std::abs(*value) < kExact && std::trunc(*value) == *value) {
    return std::optional(static_cast<std::int64_t>(*value));
  }
  return fault(row, *binding(field), "is not a whole number");
}

Result<TimePoint> MappedTable::time(std::size_t row, std::string_view field) const {
  const Binding* b = binding(field);
  PJ_CHECK(b != nullptr);
  const std::string_view raw = text(row, field);
  std::optional<TimePoint> parsed;
  if (b->unit.starts_with("epoch")) {
    parsed = parse_epoch(raw, b->unit);
  } else if (b->unit == "dd.mm.yyyy") {
    const auto iso = to_iso8601(raw);
    if (iso) parsed = parse_calendar(*iso, b->utc_offset);
  } else {
    parsed = parse_calendar(raw, b->utc_offset);
  }
  if (!parsed) return fault(row, *b, "is no time of the form " + b->unit);
  return *parsed;
}

Result<std::optional<double>> MappedTable::generation(std::size_t row, std::size_t index) const {
  const std::size_t column = generation_[index];
  if (is_absent(table_.field(rows_[row], column))) return std::optional<double>{};
  return table_.optional_number(rows_[row], column);
}

}  // namespace perjoule::backends::intake
