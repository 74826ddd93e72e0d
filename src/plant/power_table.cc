#include "plant/power_table.hpp"

#include <charconv>
#include <cmath>
#include <optional>
#include <system_error>

namespace perjoule::plant {
namespace {

struct Field {
  std::string text;
  std::size_t column = 1;  // in bytes, from 1
};
using Fields = std::vector<Field>;

struct Place {
  std::string_view name;
  std::size_t line = 1;
  std::string at(std::size_t column) const {
    return std::string(name) + ":" + std::to_string(line) + ":" + std::to_string(column);
  }
};

constexpr const char* kWhat = "cannot read the power table";

// Takes the next line off `text`, without its line end; nothing at the end.
std::optional<std::string_view> next_line(std::string_view& text) {
  if (text.empty()) return std::nullopt;
  const auto end = text.find('\n');
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
  return line;
}

// One field from `at`; a quoted one may hold commas and doubled quotes. Nothing when a quote stays open.
std::optional<Field> next_field(std::string_view line, std::size_t& at) {
  Field field{{}, at + 1};
  const bool quoted = at < line.size() && line[at] == '"';
  if (!quoted) {
    const auto end = std::min(line.find(',', at), line.size());
    field.text = std::string(line.substr(at, end - at));
    at = end;
    return field;
  }
  for (++at; at < line.size(); ++at) {
    if (line[at] != '"') {
      field.text += line[at];
    } else if (at + 1 < line.size() && line[at + 1] == '"') {
      field.text += line[++at];
    } else {
      ++at;
      return at == line.size() || line[at] == ',' ? std::optional(field) : std::nullopt;
    }
  }
  return std::nullopt;
}

base::Result<Fields> split(std::string_view line, const Place& place) {
  Fields out;
  for (std::size_t at = 0;; ++at) {
    const std::size_t start = at;
    auto field = next_field(line, at);
    if (!field) {
      return base::bad_input(kWhat, place.at(start + 1), "a quote is not closed, or text follows it",
                             "close the quote or remove it");
    }
    out.push_back(std::move(*field));
    if (at >= line.size()) return out;
  }
}

struct Columns {
  std::vector<std::size_t> workload;
  std::size_t group = 0, limit = 0, time = 0, power = 0;
  std::optional<std::size_t> steps, dataset, batch;
};

std::optional<std::size_t> find_optional(const Fields& header, const std::string& wanted) {
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (header[i].text == wanted) return i;
  }
  return std::nullopt;
}

base::Result<std::size_t> find_column(const Fields& header, const std::string& wanted, const Place& place) {
  if (const auto found = find_optional(header, wanted)) return *found;
  std::string have;
  for (std::size_t i = 0; i < header.size(); ++i) have += (i == 0 ? "" : ", ") + header[i].text;
  return base::bad_input(kWhat, place.at(1), "there is no column '" + wanted + "'; the columns are: " + have,
                         "name the right column in the mapping");
}

base::Result<Columns> find_columns(const Fields& header, const PowerTableMapping& mapping,
                                   const Place& place) {
  Columns out;
  for (const auto& name : mapping.workload) {
    PJ_ASSIGN(const std::size_t column, find_column(header, name, place));
    out.workload.push_back(column);
  }
  PJ_ASSIGN(out.group, find_column(header, mapping.group, place));
  PJ_ASSIGN(out.limit, find_column(header, mapping.limit, place));
  PJ_ASSIGN(out.time, find_column(header, mapping.time, place));
  PJ_ASSIGN(out.power, find_column(header, mapping.power, place));
  out.steps = find_optional(header, mapping.steps);
  out.dataset = find_optional(header, mapping.dataset);
  out.batch = find_optional(header, mapping.batch);
  return out;
}

base::Result<double> positive(const Field& field, const Place& place) {
  double value = 0.0;
  const char* const end = field.text.data() + field.text.size();
  const auto [stop, error] = std::from_chars(field.text.data(), end, value);
  const auto bad = [&](const std::string& why) {
    return base::bad_input(kWhat, place.at(field.column), why, "remove or repair the row");
  };
  if (field.text.empty()) return bad("the field is empty");
  if (error != std::errc() || stop != end) return bad("'" + field.text + "' is not a number");
  if (!std::isfinite(value)) return bad("'" + field.text + "' is not finite");
  if (value <= 0.0) return bad("'" + field.text + "' is not positive");
  return value;
}

base::Result<std::optional<double>> read_steps(const Fields& fields, const Columns& columns,
                                               const Place& place) {
  std::optional<double> steps;
  if (columns.steps) {
    PJ_ASSIGN(steps, positive(fields[*columns.steps], place));
  } else if (columns.dataset && columns.batch) {
    const auto samples = known_samples(fields[*columns.dataset].text);
    if (!samples) return steps;
    PJ_ASSIGN(const double batch, positive(fields[*columns.batch], place));
    steps = *samples / batch;
  }
  return steps;
}

base::Result<CapSample> read_row(const Fields& fields, const Columns& columns, const Place& place) {
  CapSample out;
  for (const std::size_t column : columns.workload) {
    const Field& field = fields[column];
    if (field.text.empty()) return base::bad_input(kWhat, place.at(field.column), "the field is empty");
    out.workload += (out.workload.empty() ? "" : "/") + field.text;
  }
  out.group = fields[columns.group].text;
  PJ_ASSIGN(out.limit, positive(fields[columns.limit], place));
  PJ_ASSIGN(const double time, positive(fields[columns.time], place));
  PJ_ASSIGN(const double power, positive(fields[columns.power], place));
  out.time = base::Seconds(time);
  out.mean_power = base::Watts(power);
  PJ_ASSIGN(out.steps, read_steps(fields, columns, place));
  return out;
}

}  // namespace

std::optional<double> known_samples(std::string_view dataset) {
  struct Size {
    std::string_view name;
    double samples;
  };
  // MovieLens-1M as NCF trains on it: each rating but a user's last, with four negatives drawn to each.
  static constexpr Size kSizes[] = {{"cifar100", 50'000},     {"imagenet", 1'281'167},
                                    {"squad", 87'599},        {"sentiment140", 1'600'000},
                                    {"librispeech", 281'241}, {"movielens-1m", 5 * 994'169}};
  for (const auto& size : kSizes) {
    if (size.name == dataset) return size.samples;
  }
  return std::nullopt;
}

base::Result<std::vector<CapSample>> parse_power_table(std::string_view text, std::string_view name,
                                                       const PowerTableMapping& mapping) {
  Place place{name};
  const auto first = next_line(text);
  if (!first || first->empty()) {
    return base::bad_input(kWhat, place.at(1), "the table is empty: a header line was expected");
  }
  PJ_ASSIGN(const Fields header, split(*first, place));
  PJ_ASSIGN(const Columns columns, find_columns(header, mapping, place));
  std::vector<CapSample> out;
  while (const auto line = next_line(text)) {
    ++place.line;
    if (line->empty()) continue;
    PJ_ASSIGN(const Fields fields, split(*line, place));
    if (fields.size() != header.size()) {
      return base::bad_input(
          kWhat, place.at(line->size() + 1),
          std::to_string(fields.size()) + " fields where the header has " + std::to_string(header.size()),
          "the file may be cut short: fetch it again");
    }
    PJ_ASSIGN(CapSample row, read_row(fields, columns, place));
    out.push_back(std::move(row));
  }
  if (out.empty()) return base::bad_input(kWhat, place.at(1), "the table has a header but no rows");
  return out;
}

}  // namespace perjoule::plant
