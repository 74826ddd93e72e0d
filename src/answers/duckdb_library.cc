#include "answers/duckdb_library.hpp"

#include "base/shared_library.hpp"

namespace perjoule::answers::duckdb {
namespace {

constexpr const char* kHint = "Type: ./dev duckdb   (or name a libduckdb.so in PERJOULE_LIBDUCKDB)";

void fill(base::SharedLibrary& library, Library& out) {
  library.find("duckdb_open_ext", out.open);
  library.find("duckdb_close", out.close);
  library.find("duckdb_connect", out.connect);
  library.find("duckdb_disconnect", out.disconnect);
  library.find("duckdb_query", out.query);
  library.find("duckdb_destroy_result", out.destroy_result);
  library.find("duckdb_result_error", out.result_error);
  library.find("duckdb_column_name", out.column_name);
  library.find("duckdb_column_type", out.column_type);
  library.find("duckdb_column_count", out.column_count);
  library.find("duckdb_row_count", out.row_count);
  library.find("duckdb_value_varchar", out.value_text);
  library.find("duckdb_value_is_null", out.value_is_null);
  library.find("duckdb_free", out.free_memory);
  library.find("duckdb_extract_statements", out.extract);
  library.find("duckdb_extract_statements_error", out.extract_error);
  library.find("duckdb_destroy_extracted", out.destroy_extracted);
  library.find("duckdb_prepare_extracted_statement", out.prepare_extracted);
  library.find("duckdb_prepare_error", out.prepare_error);
  library.find("duckdb_prepared_statement_type", out.statement_type);
  library.find("duckdb_destroy_prepare", out.destroy_prepared);
  library.find("duckdb_library_version", out.version);
}

}  // namespace

base::Result<Library> load_library(const std::vector<std::string>& candidates) {
  std::string reasons;
  for (const std::string& path : candidates) {
    base::SharedLibrary opened(path);
    if (!opened.is_open()) {
      reasons += (reasons.empty() ? "" : "; ") + opened.why();
      continue;
    }
    Library library;
    library.path = path;
    fill(opened, library);
    if (opened.absent().empty()) return library;
    return base::missing("query the store", path, "this libduckdb has no " + opened.absent(), kHint);
  }
  return base::missing("query the store", "libduckdb.so", reasons, kHint);
}

}  // namespace perjoule::answers::duckdb
