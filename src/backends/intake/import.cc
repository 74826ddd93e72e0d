#include "backends/intake/import.hpp"

#include "base/text.hpp"

namespace perjoule::backends::intake {

void ImportRegistry::add(ImportFormat format) {
  PJ_CHECK(format.read != nullptr);
  for (const ImportFormat& known : formats_) PJ_CHECK(known.name != format.name);
  formats_.push_back(std::move(format));
}

base::Result<const ImportFormat*> ImportRegistry::find(std::string_view name) const {
  std::vector<std::string> names;
  for (const ImportFormat& format : formats_) {
    if (format.name == name) return &format;
    names.push_back(format.name);
  }
  return base::bad_input("import a trace", "format '" + std::string(name) + "'", "there is no such format",
                         base::nearest_name_hint(name, names));
}

base::Result<ImportReport> import_trace(const ImportRegistry& registry, base::Env& env,
                                        const std::string& format, const ImportRequest& request) {
  PJ_ASSIGN(const ImportFormat* reader, registry.find(format));
  if (reader->needs_mapping && !request.mapping) {
    return base::bad_input("import a trace", request.path, "format '" + format + "' needs a mapping file",
                           "Start from one in examples/mappings/ and pass it with --mapping FILE");
  }
  if (!reader->needs_mapping && request.mapping) {
    return base::bad_input(
        "import a trace", request.mapping->name, "format '" + format + "' takes no mapping file",
        "Use the format '" + std::string(name_of(request.mapping->table)) + "-csv' with it");
  }
  if (request.mapping && request.mapping->table != reader->table) {
    return base::bad_input("import a trace", request.mapping->name,
                           "the mapping is for " + std::string(name_of(request.mapping->table)) +
                               ", the format for " + std::string(name_of(reader->table)));
  }
  PJ_ASSIGN(auto report, reader->read(env, request));
  report.format = format;
  report.table = reader->table;
  return report;
}

base::Status write_canonical(base::Env& env, const std::string& path, const ImportReport& report) {
  return base::write_atomically(env, path, report.csv);
}

std::string csv_field(std::string_view text) {
  std::string clean;
  bool quote = false;
  for (const char c : text) {
    quote = quote || c == ',' || c == '"';
    if (c == '"') clean += '"';
    clean += c == '\n' || c == '\r' ? ' ' : c;
  }
  return quote ? "\"" + clean + "\"" : clean;
}

}  // namespace perjoule::backends::intake
