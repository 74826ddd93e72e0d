// Rows of a store that stand in no file DuckDB can read: blocks of the log that are not sealed yet, and sound
// row groups of a damaged file whose rest is left out. DuckDB asks for them chunk by chunk through a table
// function per table, only the columns that a question names, in its own threads. Internal to the answers.
// Thread rule: register once; DuckDB then calls from its threads. Ownership: a TailTable must outlive the
// connection; it shares blocks and files.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "answers/duckdb_library.hpp"
#include "bus/store.hpp"

namespace perjoule::answers {

struct TailTable {
  const duckdb::Library* library = nullptr;
  bus::Table table = bus::Table::kJoules;
  struct Piece {
    bus::TailBlock block;  // if there is no file
    std::shared_ptr<const bus::ParquetFile> file = {};
    std::size_t group = 0;
  };
  std::vector<Piece> pieces;
  std::uint64_t rows = 0;

  // "perjoule_tail_joules"
  std::string function_name() const;
  base::Status register_in(duckdb::Handle connection);
};

// What of the table is in the store's log, and the sound row groups of files that the reader passes over in
// part. Error: of opening such a file.
base::Result<std::unique_ptr<TailTable>> tail_of(const duckdb::Library& library,
                                                 const bus::StoreReader& store, bus::Table table);

}  // namespace perjoule::answers
