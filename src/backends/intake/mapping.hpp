// A mapping file: TOML text that says which column of an outside table holds which field, in which unit.
// Fields, units and keys are those of docs/formats/import.md; anything unknown is an error with
// file:line:column. Thread rule: values.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "energy/vocabulary.hpp"

namespace perjoule::backends::intake {

// What a file holds.
enum class Table : std::uint8_t { kCarbon, kJobs, kRequests };
std::string_view name_of(Table table);

// What to do with a row whose duration, GPUs or tokens are not positive: stop, or list it as rejected and go
// on. Times that go backwards and text that is no number always stop.
enum class InvalidRows : std::uint8_t { kError, kReject };

// One field of the canonical row: a column of the file, or one constant for all rows.
struct FieldMapping {
  std::string field;
  std::string column;                   // by name (files with a header)
  std::optional<std::size_t> position;  // by number from 0 (files without)
  std::optional<std::string> constant;
  std::optional<std::string> only;  // rows with another text in this column are passed over
  std::string unit;                 // number unit or time format; empty for text
  base::Duration utc_offset{};      // of times that carry no zone: local = UTC + offset
  std::string where;                // place in the mapping file
};

// Generation of one kind in MW, for carbon series. Without an intensity column the intensity is the mean of
// `g_per_kwh` weighted by generation; with one, the columns only serve to find hours of partial generation.
struct GenerationColumn {
  std::string column;
  std::optional<double> g_per_kwh;
  std::string where;
};

struct Mapping {
  Table table = Table::kCarbon;
  std::string name;    // the mapping file
  std::string source;  // who made the data
  char separator = ',';
  bool header = true;
  InvalidRows invalid_rows = InvalidRows::kError;
  std::vector<std::string> absent;     // texts that stand for "no value"
  std::optional<base::Duration> step;  // carbon: length of a row's interval, else the commonest spacing
  energy::Quality quality = energy::Quality::kDerived;  // carbon: of the values in the file
  std::vector<FieldMapping> fields;
  std::vector<GenerationColumn> generation;

  const FieldMapping* find(std::string_view field) const;
};

// `name` is the file for error places.
base::Result<Mapping> parse_mapping(std::string_view text, const std::string& name);
base::Result<Mapping> read_mapping(base::Env& env, const std::string& path);

// What a number in `unit` is multiplied by to become canonical: g/kWh for carbon intensity, seconds for
// durations. 1 for anything else (time formats, plain counts). lb = 453.59237 g (international avoirdupois
// pound).
double unit_factor(std::string_view unit);
// True for iso8601, epoch_s, epoch_ms, epoch_us and dd.mm.yyyy: an absolute time, not a number of seconds.
bool is_absolute_time(std::string_view unit);

}  // namespace perjoule::backends::intake
