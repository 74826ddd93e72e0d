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

void fill_streams(base::SharedLibrary& library, Library& out) {
  library.find("duckdb_execute_prepared_streaming", out.execute_streaming);
  library.find("duckdb_fetch_chunk", out.fetch_chunk);
  library.find("duckdb_destroy_data_chunk", out.destroy_chunk);
  library.find("duckdb_data_chunk_get_size", out.chunk_rows);
  library.find("duckdb_data_chunk_get_vector", out.chunk_vector);
  library.find("duckdb_vector_get_data", out.vector_data);
  library.find("duckdb_vector_get_validity", out.vector_validity);
  library.find("duckdb_column_logical_type", out.logical_type);
  library.find("duckdb_destroy_logical_type", out.destroy_logical_type);
  library.find("duckdb_decimal_scale", out.decimal_scale);
  library.find("duckdb_decimal_internal_type", out.decimal_storage);
  library.find("duckdb_interrupt", out.interrupt);
  library.find("duckdb_create_table_function", out.create_table_function);
  library.find("duckdb_destroy_table_function", out.destroy_table_function);
  library.find("duckdb_table_function_set_name", out.function_name);
  library.find("duckdb_table_function_set_extra_info", out.function_extra);
  library.find("duckdb_table_function_set_bind", out.function_bind);
  library.find("duckdb_table_function_set_init", out.function_init);
  library.find("duckdb_table_function_set_local_init", out.function_local_init);
  library.find("duckdb_table_function_set_function", out.function_run);
  library.find("duckdb_table_function_supports_projection_pushdown", out.function_projects);
  library.find("duckdb_register_table_function", out.register_table_function);
  library.find("duckdb_create_logical_type", out.create_logical_type);
  library.find("duckdb_bind_get_extra_info", out.bind_extra);
  library.find("duckdb_bind_add_result_column", out.bind_column);
  library.find("duckdb_bind_set_cardinality", out.bind_cardinality);
  library.find("duckdb_init_get_extra_info", out.init_extra);
  library.find("duckdb_init_get_column_count", out.init_columns);
  library.find("duckdb_init_get_column_index", out.init_column);
  library.find("duckdb_init_set_init_data", out.init_data);
  library.find("duckdb_init_set_max_threads", out.init_threads);
  library.find("duckdb_function_get_extra_info", out.run_extra);
  library.find("duckdb_function_get_init_data", out.run_data);
  library.find("duckdb_function_get_local_init_data", out.run_local_data);
  library.find("duckdb_function_set_error", out.run_error);
  library.find("duckdb_data_chunk_set_size", out.set_chunk_rows);
  library.find("duckdb_vector_ensure_validity_writable", out.make_validity);
  library.find("duckdb_vector_assign_string_element_len", out.set_text);
  library.find("duckdb_vector_size", out.vector_size);
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
    fill_streams(opened, library);
    if (opened.absent().empty()) return library;
    return base::missing("query the store", path, "this libduckdb has no " + opened.absent(), kHint);
  }
  return base::missing("query the store", "libduckdb.so", reasons, kHint);
}

}  // namespace perjoule::answers::duckdb
