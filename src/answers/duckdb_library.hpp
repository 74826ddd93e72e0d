// The part of DuckDB's C interface that perjoule calls, found by name in a library opened at run time. The
// types are declared here from the interface's documented layout, so no header of DuckDB is needed.
// Thread rule: one thread. Ownership: the library stays open until the process ends (DuckDB keeps threads).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.hpp"

namespace perjoule::answers::duckdb {

using Handle = void*;
struct QueryResult {
  std::uint64_t column_count = 0, row_count = 0, rows_changed = 0;
  void* columns = nullptr;
  char* error = nullptr;
  void* internal = nullptr;
};

struct Library {
  std::string path;
  int (*open)(const char*, Handle*, Handle, char**) = nullptr;
  void (*close)(Handle*) = nullptr;
  int (*connect)(Handle, Handle*) = nullptr;
  void (*disconnect)(Handle*) = nullptr;
  int (*query)(Handle, const char*, QueryResult*) = nullptr;
  void (*destroy_result)(QueryResult*) = nullptr;
  const char* (*result_error)(QueryResult*) = nullptr;
  const char* (*column_name)(QueryResult*, std::uint64_t) = nullptr;
  int (*column_type)(QueryResult*, std::uint64_t) = nullptr;
  std::uint64_t (*column_count)(QueryResult*) = nullptr;
  std::uint64_t (*row_count)(QueryResult*) = nullptr;
  char* (*value_text)(QueryResult*, std::uint64_t, std::uint64_t) = nullptr;
  bool (*value_is_null)(QueryResult*, std::uint64_t, std::uint64_t) = nullptr;
  void (*free_memory)(void*) = nullptr;
  std::uint64_t (*extract)(Handle, const char*, Handle*) = nullptr;
  const char* (*extract_error)(Handle) = nullptr;
  void (*destroy_extracted)(Handle*) = nullptr;
  int (*prepare_extracted)(Handle, Handle, std::uint64_t, Handle*) = nullptr;
  const char* (*prepare_error)(Handle) = nullptr;
  int (*statement_type)(Handle) = nullptr;
  void (*destroy_prepared)(Handle*) = nullptr;
  const char* (*version)() = nullptr;

  // An answer chunk by chunk.
  int (*execute_streaming)(Handle prepared, QueryResult*) = nullptr;
  Handle (*fetch_chunk)(QueryResult) = nullptr;
  void (*destroy_chunk)(Handle*) = nullptr;
  std::uint64_t (*chunk_rows)(Handle) = nullptr;
  Handle (*chunk_vector)(Handle, std::uint64_t) = nullptr;
  void* (*vector_data)(Handle) = nullptr;
  std::uint64_t* (*vector_validity)(Handle) = nullptr;
  Handle (*logical_type)(QueryResult*, std::uint64_t) = nullptr;
  void (*destroy_logical_type)(Handle*) = nullptr;
  std::uint8_t (*decimal_scale)(Handle) = nullptr;
  int (*decimal_storage)(Handle) = nullptr;
  void (*interrupt)(Handle connection) = nullptr;

  // A table that is a function of ours.
  using Free = void (*)(void*);
  using Callback = void (*)(Handle);
  Handle (*create_table_function)() = nullptr;
  void (*destroy_table_function)(Handle*) = nullptr;
  void (*function_name)(Handle, const char*) = nullptr;
  void (*function_extra)(Handle, void*, Free) = nullptr;
  void (*function_bind)(Handle, Callback) = nullptr;
  void (*function_init)(Handle, Callback) = nullptr;
  void (*function_local_init)(Handle, Callback) = nullptr;
  void (*function_run)(Handle, void (*)(Handle, Handle)) = nullptr;
  void (*function_projects)(Handle, bool) = nullptr;
  int (*register_table_function)(Handle connection, Handle function) = nullptr;
  Handle (*create_logical_type)(int) = nullptr;
  void* (*bind_extra)(Handle) = nullptr;
  void (*bind_column)(Handle, const char*, Handle type) = nullptr;
  void (*bind_cardinality)(Handle, std::uint64_t, bool exact) = nullptr;
  void* (*init_extra)(Handle) = nullptr;
  std::uint64_t (*init_columns)(Handle) = nullptr;
  std::uint64_t (*init_column)(Handle, std::uint64_t) = nullptr;
  void (*init_data)(Handle, void*, Free) = nullptr;
  void (*init_threads)(Handle, std::uint64_t) = nullptr;
  void* (*run_extra)(Handle) = nullptr;
  void* (*run_data)(Handle) = nullptr;
  void* (*run_local_data)(Handle) = nullptr;
  void (*run_error)(Handle, const char*) = nullptr;
  void (*set_chunk_rows)(Handle, std::uint64_t) = nullptr;
  void (*make_validity)(Handle vector) = nullptr;
  void (*set_text)(Handle vector, std::uint64_t row, const char*, std::uint64_t) = nullptr;
  std::uint64_t (*vector_size)() = nullptr;
};

// Numbers of DuckDB's C interface (duckdb_type).
enum Type : int {
  kBoolean = 1,
  kTinyInt = 2,
  kSmallInt = 3,
  kInteger = 4,
  kBigInt = 5,
  kUTinyInt = 6,
  kUSmallInt = 7,
  kUInteger = 8,
  kUBigInt = 9,
  kFloat = 10,
  kDouble = 11,
  kTimestamp = 12,
  kDate = 13,
  kHugeInt = 16,
  kVarchar = 17,
  kDecimal = 19,
  kUHugeInt = 32,
};

// The first candidate that opens. Error: kMissing with every candidate's reason.
base::Result<Library> load_library(const std::vector<std::string>& candidates);

}  // namespace perjoule::answers::duckdb
