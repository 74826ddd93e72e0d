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
};

// The first candidate that opens. Error: kMissing with every candidate's reason.
base::Result<Library> load_library(const std::vector<std::string>& candidates);

}  // namespace perjoule::answers::duckdb
