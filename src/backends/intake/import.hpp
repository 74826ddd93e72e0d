// Formats of outside traces by name, and the one way to import a file: read, check everything, make canonical
// text. Nothing is written unless the whole file is good. Back ends add their formats; this module knows
// none. Thread rule: the registry is filled once, then only read.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "backends/intake/mapping.hpp"
#include "base/env.hpp"
#include "base/result.hpp"

namespace perjoule::backends::intake {

// Rows left out, with the reason: never silently, never filled in.
struct RejectedRow {
  std::string where;  // file:line:column
  std::string time;   // ISO 8601 or seconds from the start; may be empty
  std::string reason;
};

struct ImportReport {
  std::string format;
  Table table = Table::kCarbon;
  std::int64_t rows = 0;  // rows taken
  std::vector<RejectedRow> rejected;
  std::vector<std::string> notes;  // what a reader must know: rules applied, quality, units
  std::string csv;                 // the canonical file (docs/formats/import.md)
};

struct ImportRequest {
  std::string path;
  std::optional<Mapping> mapping;
  std::string region;  // carbon formats whose files do not name it; factor tables: the row
  int year = 0;        // factor tables only
};

struct ImportFormat {
  std::string name;
  Table table = Table::kCarbon;
  std::string description;
  bool needs_mapping = false;
  std::function<base::Result<ImportReport>(base::Env&, const ImportRequest&)> read;
};

class ImportRegistry {
 public:
  // Aborts on a name given twice: the names are fixed when the program is written.
  void add(ImportFormat format);
  // The error lists the nearest names.
  base::Result<const ImportFormat*> find(std::string_view name) const;
  std::span<const ImportFormat> formats() const { return formats_; }

 private:
  std::vector<ImportFormat> formats_;
};

// Errors: unknown format; a mapping missing, not wanted, or for another table; whatever the reader finds.
base::Result<ImportReport> import_trace(const ImportRegistry& registry, base::Env& env,
                                        const std::string& format, const ImportRequest& request);
// Writes the canonical file atomically.
base::Status write_canonical(base::Env& env, const std::string& path, const ImportReport& report);

// A field of a canonical file: quoted when it holds a comma or a quote. Line ends become blanks.
std::string csv_field(std::string_view text);

}  // namespace perjoule::backends::intake
