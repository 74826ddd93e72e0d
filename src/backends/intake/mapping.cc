#include "backends/intake/mapping.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

#include "backends/intake/toml_include.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"

namespace perjoule::backends::intake {
namespace {

using base::Error;
using base::Result;
using base::Status;
using Names = std::vector<std::string>;

constexpr std::array<std::string_view, 3> kTableNames{"carbon", "jobs", "requests"};

enum class FieldKind { kText, kCount, kDuration, kTime, kArrival, kIntensity };

struct FieldRule {
  std::string_view name;
  FieldKind kind;
  bool required;
};

constexpr std::array<FieldRule, 5> kCarbonRules{{{"time", FieldKind::kTime, true},
                                                 {"end", FieldKind::kTime, false},
                                                 {"intensity", FieldKind::kIntensity, false},
                                                 {"region", FieldKind::kText, true},
                                                 {"kind", FieldKind::kText, true}}};
constexpr std::array<FieldRule, 7> kJobRules{{{"arrival", FieldKind::kArrival, true},
                                              {"duration", FieldKind::kDuration, false},
                                              {"steps", FieldKind::kCount, false},
                                              {"gpus", FieldKind::kCount, true},
                                              {"job", FieldKind::kText, false},
                                              {"model", FieldKind::kText, false},
                                              {"tenant", FieldKind::kText, false}}};
constexpr std::array<FieldRule, 6> kRequestRules{{{"arrival", FieldKind::kArrival, true},
                                                  {"input_tokens", FieldKind::kCount, true},
                                                  {"output_tokens", FieldKind::kCount, true},
                                                  {"prefix", FieldKind::kText, false},
                                                  {"model", FieldKind::kText, false},
                                                  {"tenant", FieldKind::kText, false}}};

std::span<const FieldRule> rules_of(Table table) {
  if (table == Table::kCarbon) return kCarbonRules;
  if (table == Table::kJobs) return kJobRules;
  return kRequestRules;
}

// The first unit is the default.
Names units_of(FieldKind kind) {
  switch (kind) {
    case FieldKind::kDuration:
      return {"s", "us", "ms", "min", "h"};
    case FieldKind::kArrival:
      return {"s", "us", "ms", "min", "h", "iso8601", "epoch_s", "epoch_ms", "epoch_us", "dd.mm.yyyy"};
    case FieldKind::kTime:
      return {"iso8601", "epoch_s", "epoch_ms", "epoch_us", "dd.mm.yyyy"};
    case FieldKind::kIntensity:
      return {"g/kWh", "kg/kWh", "kg/MWh", "t/MWh", "lb/MWh"};
    case FieldKind::kText:
    case FieldKind::kCount:
      return {};
  }
  return {};
}

struct UnitFactor {
  std::string_view unit;
  double factor;
};
constexpr std::array<UnitFactor, 9> kFactors{{{"us", 1e-6},
                                              {"ms", 1e-3},
                                              {"min", 60.0},
                                              {"h", 3600.0},
                                              {"g/kWh", 1.0},
                                              {"kg/kWh", 1000.0},
                                              {"kg/MWh", 1.0},
                                              {"t/MWh", 1000.0},
                                              {"lb/MWh", 0.45359237}}};

// Reads one TOML document; every error carries the place of the key.
class Reader {
 public:
  explicit Reader(std::string name) : name_(std::move(name)) {}

  Result<Mapping> read(std::string_view text) {
    if (const std::size_t line = base::line_with_deep_key(text); line != 0)
      return base::bad_input("read a mapping file", name_ + ":" + std::to_string(line) + ":1",
                             base::kDeepKey);
    const toml::parse_result parsed = toml::parse(text, name_);
    if (!parsed) {
      return base::bad_input("read a mapping file", place(parsed.error().source()),
                             std::string(parsed.error().description()));
    }
    mapping_.name = name_;
    PJ_TRY(read_top(parsed.table()));
    PJ_TRY(read_fields(parsed.table()));
    PJ_TRY(read_generation(parsed.table()));
    PJ_TRY(check_whole());
    return std::move(mapping_);
  }

 private:
  std::string place(const toml::source_region& at) const {
    return name_ + ":" + std::to_string(std::max(1U, at.begin.line)) + ":" +
           std::to_string(std::max(1U, at.begin.column));
  }
  Error fault(const toml::node& node, std::string why, std::string hint = {}) const {
    return base::bad_input("read a mapping file", place(node.source()), std::move(why), std::move(hint));
  }
  Error fault_at_top(std::string why, std::string hint = {}) const {
    return base::bad_input("read a mapping file", name_ + ":1:1", std::move(why), std::move(hint));
  }

  Status known_keys(const toml::table& table, const Names& names) const {
    for (const auto& [key, node] : table) {
      const std::string text(key.str());
      if (std::find(names.begin(), names.end(), text) != names.end()) continue;
      return base::bad_input("read a mapping file", place(key.source()), "unknown key '" + text + "'",
                             base::nearest_name_hint(text, names));
    }
    return base::ok_status();
  }

  Result<std::optional<std::string>> text(const toml::table& table, std::string_view key) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::optional<std::string>{};
    if (!node->is_string()) return fault(*node, "'" + std::string(key) + "' must be text in quotes");
    return std::optional(node->as_string()->get());
  }

  // The text of `key`, which must be one of `names`; nothing if the key is not there.
  Result<std::optional<std::string>> choice(const toml::table& table, std::string_view key,
                                            const Names& names) const {
    PJ_ASSIGN(auto value, text(table, key));
    if (value && std::find(names.begin(), names.end(), *value) == names.end()) {
      return fault(*table.get(key), "'" + *value + "' is no " + std::string(key),
                   base::nearest_name_hint(*value, names));
    }
    return value;
  }

  Status read_top(const toml::table& top) {
    PJ_TRY(known_keys(top, {"table", "source", "separator", "header", "invalid_rows", "absent", "step",
                            "quality", "fields", "generation"}));
    PJ_ASSIGN(const auto table, choice(top, "table", Names(kTableNames.begin(), kTableNames.end())));
    if (!table)
      return fault_at_top("'table' is missing", "Write table = \"carbon\", \"jobs\" or \"requests\"");
    mapping_.table =
        static_cast<Table>(std::find(kTableNames.begin(), kTableNames.end(), *table) - kTableNames.begin());
    PJ_ASSIGN(const auto source, text(top, "source"));
    mapping_.source = source.value_or("");
    PJ_TRY(read_form(top));
    return read_carbon_keys(top);
  }

  Status read_form(const toml::table& top) {
    PJ_ASSIGN(const auto separator, choice(top, "separator", {"comma", "semicolon", "tab", "pipe"}));
    if (separator) {
      mapping_.separator = *separator == "semicolon" ? ';'
                           : *separator == "tab"     ? '\t'
                           : *separator == "pipe"    ? '|'
                                                     : ',';
    }
    if (const toml::node* header = top.get("header")) {
      if (!header->is_boolean()) return fault(*header, "'header' must be true or false");
      mapping_.header = header->as_boolean()->get();
    }
    PJ_ASSIGN(const auto invalid, choice(top, "invalid_rows", {"error", "reject"}));
    if (invalid && *invalid == "reject") mapping_.invalid_rows = InvalidRows::kReject;
    const toml::node* absent = top.get("absent");
    if (absent == nullptr) return base::ok_status();
    if (!absent->is_array()) return fault(*absent, "'absent' must be a list of texts, e.g. [\"-\", \"n/e\"]");
    for (const toml::node& item : *absent->as_array()) {
      if (!item.is_string()) return fault(item, "'absent' must be a list of texts, e.g. [\"-\", \"n/e\"]");
      mapping_.absent.push_back(item.as_string()->get());
    }
    return base::ok_status();
  }

  Status read_carbon_keys(const toml::table& top) {
    for (const char* key : {"step", "quality", "generation"}) {
      if (top.contains(key) && mapping_.table != Table::kCarbon) {
        return fault(*top.get(key), std::string("'") + key + "' belongs to table = \"carbon\"");
      }
    }
    PJ_ASSIGN(const auto step, text(top, "step"));
    if (step) {
      const auto parsed = base::parse_duration(*step);
      if (!parsed.ok()) return fault(*top.get("step"), parsed.error().why, parsed.error().hint);
      constexpr std::int64_t kLongest = 366 * base::kNsPerDay;
      if (parsed->ns <= 0 || parsed->ns > kLongest)
        return fault(*top.get("step"), "'step' must be above 0, at most 366d");
      mapping_.step = *parsed;
    }
    PJ_ASSIGN(const auto quality, choice(top, "quality", {"measured", "derived", "modelled", "simulated"}));
    if (quality) {
      PJ_ASSIGN(mapping_.quality, energy::parse_quality(*quality));
    }
    return base::ok_status();
  }

  Status read_fields(const toml::table& top) {
    const toml::node* node = top.get("fields");
    if (node == nullptr || !node->is_table()) {
      return fault_at_top("there is no [fields.NAME] section", "See docs/formats/import.md for an example");
    }
    Names known;
    for (const FieldRule& rule : rules_of(mapping_.table)) known.emplace_back(rule.name);
    PJ_TRY(known_keys(*node->as_table(), known));
    for (const FieldRule& rule : rules_of(mapping_.table)) {
      const toml::node* field = node->as_table()->get(rule.name);
      if (field == nullptr && rule.required) {
        return fault(
            *node, "field '" + std::string(rule.name) + "' is missing",
            "Add [fields." + std::string(rule.name) + "] with column = \"...\" or constant = \"...\"");
      }
      if (field == nullptr) continue;
      if (!field->is_table())
        return fault(*field, "must be a section: [fields." + std::string(rule.name) + "]");
      PJ_TRY(read_field(*field->as_table(), rule));
    }
    return base::ok_status();
  }

  Status read_field(const toml::table& table, const FieldRule& rule) {
    PJ_TRY(known_keys(table, {"column", "constant", "only", "unit", "utc_offset"}));
    FieldMapping field;
    field.field = std::string(rule.name);
    field.where = place(table.source());
    PJ_TRY(read_column(table, field));
    PJ_ASSIGN(field.constant, constant(table));
    PJ_ASSIGN(field.only, text(table, "only"));
    const bool by_column = !field.column.empty() || field.position.has_value();
    if (by_column == field.constant.has_value()) return fault(table, "give either 'column' or 'constant'");
    if (field.only && !by_column) return fault(table, "'only' needs a 'column'");
    PJ_TRY(read_unit(table, rule, field));
    mapping_.fields.push_back(std::move(field));
    return base::ok_status();
  }

  Status read_column(const toml::table& table, FieldMapping& field) const {
    const toml::node* node = table.get("column");
    if (node == nullptr) return base::ok_status();
    if (mapping_.header) {
      if (!node->is_string() || node->as_string()->get().empty()) {
        return fault(*node, "'column' must be a column name in quotes",
                     "For files without a header: header = false");
      }
      field.column = node->as_string()->get();
      return base::ok_status();
    }
    constexpr std::int64_t kMostColumns = 10'000;
    if (!node->is_integer() || node->as_integer()->get() < 1 || node->as_integer()->get() > kMostColumns) {
      return fault(*node, "without a header 'column' must be a number from 1");
    }
    field.position = static_cast<std::size_t>(node->as_integer()->get() - 1);
    return base::ok_status();
  }

  Result<std::optional<std::string>> constant(const toml::table& table) const {
    const toml::node* node = table.get("constant");
    if (node == nullptr) return std::optional<std::string>{};
    if (node->is_string()) return std::optional(node->as_string()->get());
    if (node->is_integer()) return std::optional(std::to_string(node->as_integer()->get()));
    if (node->is_floating_point())
      return std::optional(base::shortest_text(node->as_floating_point()->get()));
    return fault(*node, "'constant' must be text or a number");
  }

  Status read_unit(const toml::table& table, const FieldRule& rule, FieldMapping& field) const {
    const Names units = units_of(rule.kind);
    if (units.empty() && table.contains("unit")) return fault(*table.get("unit"), "this field has no unit");
    PJ_ASSIGN(const auto unit, choice(table, "unit", units));
    if (!units.empty()) field.unit = unit.value_or(units.front());
    PJ_ASSIGN(const auto offset, text(table, "utc_offset"));
    if (!offset) return base::ok_status();
    const toml::node& node = *table.get("utc_offset");
    if (!is_absolute_time(field.unit) || field.unit.starts_with("epoch")) {
      return fault(node, "'utc_offset' only applies to times written with a calendar date");
    }
    // The base reader knows zones as the tail of a time, so let it read one.
    const auto parsed = base::parse_iso8601("2000-01-01T00:00:00" + *offset);
    if (offset->size() != 6 || !parsed.ok())
      return fault(node, "'" + *offset + "' is no offset", "Write it as \"+01:00\"");
    constexpr std::int64_t kYear2000 = 946'684'800 * base::kNsPerSecond;
    field.utc_offset = {kYear2000 - parsed->ns};
    return base::ok_status();
  }

  Status read_generation(const toml::table& top) {
    const toml::node* node = top.get("generation");
    if (node == nullptr) return base::ok_status();
    if (!node->is_array()) return fault(*node, "write each generation column as a [[generation]] section");
    for (const toml::node& item : *node->as_array()) {
      if (!item.is_table()) return fault(item, "write each generation column as a [[generation]] section");
      PJ_TRY(read_generation_column(*item.as_table()));
    }
    return base::ok_status();
  }

  Status read_generation_column(const toml::table& table) {
    PJ_TRY(known_keys(table, {"column", "g_per_kwh"}));
    PJ_ASSIGN(const auto column, text(table, "column"));
    if (!column || column->empty()) return fault(table, "a generation column needs 'column'");
    if (!mapping_.header) return fault(table, "generation columns need a file with a header");
    GenerationColumn out{*column, std::nullopt, place(table.source())};
    if (const toml::node* factor = table.get("g_per_kwh")) {
      const auto value = factor->value<double>();
      if (!factor->is_number() || !std::isfinite(*value) || *value < 0) {
        return fault(*factor, "'g_per_kwh' must be a number not below 0");
      }
      out.g_per_kwh = *value;
    }
    mapping_.generation.push_back(std::move(out));
    return base::ok_status();
  }

  Status check_whole() const {
    if (mapping_.table == Table::kJobs && !mapping_.find("duration") && !mapping_.find("steps")) {
      return fault_at_top("a job needs [fields.duration] or [fields.steps]");
    }
    if (mapping_.table != Table::kCarbon || mapping_.find("intensity")) return base::ok_status();
    if (mapping_.generation.empty()) {
      return fault_at_top("there is neither [fields.intensity] nor a [[generation]] column");
    }
    for (const GenerationColumn& column : mapping_.generation) {
      if (column.g_per_kwh) continue;
      return base::bad_input("read a mapping file", column.where,
                             "without [fields.intensity] every generation column needs 'g_per_kwh'");
    }
    return base::ok_status();
  }

  std::string name_;
  Mapping mapping_;
};

}  // namespace

std::string_view name_of(Table table) { return kTableNames[static_cast<std::size_t>(table)]; }

const FieldMapping* Mapping::find(std::string_view field) const {
  const auto at =
      std::find_if(fields.begin(), fields.end(), [&](const FieldMapping& f) { return f.field == field; });
  return at == fields.end() ? nullptr : &*at;
}

Result<Mapping> parse_mapping(std::string_view text, const std::string& name) {
  return Reader(name).read(text);
}

Result<Mapping> read_mapping(base::Env& env, const std::string& path) {
  constexpr std::uint64_t kLargest = 1 << 20;
  PJ_ASSIGN(const auto text, base::read_text(env, path, kLargest));
  return parse_mapping(text, path);
}

double unit_factor(std::string_view unit) {
  for (const UnitFactor& f : kFactors) {
    if (f.unit == unit) return f.factor;
  }
  return 1.0;
}

bool is_absolute_time(std::string_view unit) {
  return unit == "iso8601" || unit == "dd.mm.yyyy" || unit.starts_with("epoch");
}

}  // namespace perjoule::backends::intake
