#include "answers/duckdb_library.hpp"

#include <dlfcn.h>

namespace perjoule::answers::duckdb {
namespace {

constexpr const char* kHint = "Type: ./dev duckdb   (or name a libduckdb.so in PERJOULE_LIBDUCKDB)";

template <class F>
void find(void* library, const char* name, F& function, std::string& absent) {
  function = reinterpret_cast<F>(::dlsym(library, name));
  if (function == nullptr) absent += (absent.empty() ? "" : ", ") + std::string(name);
}

// Names of the functions that are not there; empty: all found.
std::string fill(void* library, Library& out) {
  std::string absent;
  find(library, "duckdb_open_ext", out.open, absent);
  find(library, "duckdb_close", out.close, absent);
  find(library, "duckdb_connect", out.connect, absent);
  find(library, "duckdb_disconnect", out.disconnect, absent);
  find(library, "duckdb_query", out.query, absent);
  find(library, "duckdb_destroy_result", out.destroy_result, absent);
  find(library, "duckdb_result_error", out.result_error, absent);
  find(library, "duckdb_column_name", out.column_name, absent);
  find(library, "duckdb_column_type", out.column_type, absent);
  find(library, "duckdb_column_count", out.column_count, absent);
  find(library, "duckdb_row_count", out.row_count, absent);
  find(library, "duckdb_value_varchar", out.value_text, absent);
  find(library, "duckdb_value_is_null", out.value_is_null, absent);
  find(library, "duckdb_free", out.free_memory, absent);
  find(library, "duckdb_extract_statements", out.extract, absent);
  find(library, "duckdb_extract_statements_error", out.extract_error, absent);
  find(library, "duckdb_destroy_extracted", out.destroy_extracted, absent);
  find(library, "duckdb_prepare_extracted_statement", out.prepare_extracted, absent);
  find(library, "duckdb_prepare_error", out.prepare_error, absent);
  find(library, "duckdb_prepared_statement_type", out.statement_type, absent);
  find(library, "duckdb_destroy_prepare", out.destroy_prepared, absent);
  find(library, "duckdb_library_version", out.version, absent);
  return absent;
}

}  // namespace

base::Result<Library> load_library(const std::vector<std::string>& candidates) {
  std::string reasons;
  for (const std::string& path : candidates) {
    void* handle = ::dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (handle == nullptr) {
      const char* why = ::dlerror();
      reasons += (reasons.empty() ? "" : "; ") + std::string(why != nullptr ? why : path);
      continue;
    }
    Library library;
    library.path = path;
    const std::string absent = fill(handle, library);
    if (absent.empty()) return library;
    return base::missing("query the store", path, "this libduckdb has no " + absent, kHint);
  }
  return base::missing("query the store", "libduckdb.so", reasons, kHint);
}

}  // namespace perjoule::answers::duckdb
