// A store that is asked again and again: files stay open and their footers parsed, and the texts of every
// dictionary are known by number, so that a later question looks up no text. refresh() sees what came since.
// Thread rule: one question at a time; a question uses `threads` threads of its own. Ownership: the Env must
// outlive it; answers share the texts they name and may outlive it. Units: bytes.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <tuple>
#include <vector>

#include "bus/store.hpp"

namespace perjoule::bus {

struct QueryOptions {
  unsigned threads = 2;
  std::size_t map_bytes = std::size_t{256} << 20;  // of dictionaries' numbers that are kept
};

// What the last question read.
struct QueryStats {
  std::uint64_t units = 0,
                pruned_units = 0;         // row groups and blocks of the tail: read; left out by their bounds
  std::uint64_t rows = 0;                 // of the pieces that were looked at
  std::uint64_t bytes = 0;                // of files: the pages that were read, as they are stored
  std::array<std::uint64_t, 32> pages{};  // read, by column of the table asked last
  // What a thread of its own read.
  void add(const QueryStats& part) {
    rows += part.rows;
    bytes += part.bytes;
    for (std::size_t c = 0; c < pages.size(); ++c) pages[c] += part.pages[c];
  }
};

// The texts that a column's dictionaries hold, numbered from 1; 0 is NULL.
class ColumnTexts {
 public:
  std::uint32_t intern(std::string_view text);
  std::uint32_t find(std::string_view text) const;  // 0: none
  std::string_view text(std::uint32_t number) const;
  std::vector<std::string_view> all() const;  // by number
  std::uint32_t size() const;                 // numbers in use, 0 among them

 private:
  mutable std::mutex mutex_;
  base::SymbolTable table_;
};

class PieceReader;

class QuerySession {
 public:
  static base::Result<std::unique_ptr<QuerySession>> open(base::Env& env, const std::string& directory,
                                                          QueryOptions options = {});
  explicit QuerySession(StoreReader store, QueryOptions options = {});
  QuerySession(const QuerySession&) = delete;
  QuerySession& operator=(const QuerySession&) = delete;

  // The store as it is now. Errors: those of StoreReader::open; the session then stays as it was.
  base::Status refresh();
  // The same by what an engine of this process has: nothing is read.
  base::Status refresh(const Snapshot& snapshot);
  const StoreReader& store() const { return *store_; }
  const QueryOptions& options() const { return options_; }
  const QueryStats& stats() const { return stats_; }

  // ---- for the queries ----
  // numbers[code] of one dictionary; the last entry, for NULL, is 0.
  using CodeMap = std::vector<std::uint32_t>;
  // By column name, so that a device has one number in every table.
  std::shared_ptr<ColumnTexts> texts(std::string_view column);
  using MapKey = std::tuple<const void*, std::size_t, std::size_t>;  // whose, row group, column
  std::shared_ptr<const CodeMap> find_map(const MapKey& key) const;
  void keep_map(const MapKey& key, std::shared_ptr<const void> owner, std::shared_ptr<const CodeMap> map);
  QueryStats& stats() { return stats_; }
  // Readers keep their memory from one question to the next: one that is free, or nothing.
  std::shared_ptr<PieceReader> take_reader(Table table);
  void give_back(Table table, std::shared_ptr<PieceReader> reader);
  // The node of every device number: by the meters' rows, else what stands before the last '/' of its name.
  base::Result<std::vector<std::uint32_t>> nodes_of_devices();

 private:
  struct KeptMap {
    std::shared_ptr<const void> owner;
    std::shared_ptr<const CodeMap> map;
  };
  base::Status load_nodes();
  void take(StoreReader store);

  std::unique_ptr<StoreReader> store_;
  const QueryOptions options_;
  QueryStats stats_;
  std::map<std::string, std::shared_ptr<ColumnTexts>, std::less<>> texts_;
  mutable std::mutex mutex_;
  std::map<MapKey, KeptMap> maps_;
  std::size_t kept_bytes_ = 0;
  std::array<std::vector<std::shared_ptr<PieceReader>>, kTableCount> readers_;
  bool nodes_loaded_ = false;
  std::map<std::string, std::string, std::less<>> node_of_;  // of the meters table
};

}  // namespace perjoule::bus
