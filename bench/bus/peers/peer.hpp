// One engine under the bus benchmark: it takes batches, makes them durable, and answers the questions.
// Thread rule: called from one thread; an engine may use as many of its own as PeerOptions allows.
// Ownership: batches need to live for the call only. Errors: kMissing when the engine is not on this machine,
// kIo when it refuses work; the reason is the engine's own text.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "bench/bus/query.hpp"

namespace perjoule::bench {

struct PeerOptions {
  int threads = 2;
  std::int64_t memory_bytes = std::int64_t{4} << 30;  // cap on what the engine holds, by its own setting
  std::string duckdb_library = "build/libduckdb.so";
  std::string chdb_library = "build/libchdb.so";
};

class Peer {
 public:
  virtual ~Peer() = default;
  // One line for the report: engine, version, and every setting that differs from its default.
  virtual std::string name_version_settings() const = 0;
  // An empty store in `directory`, which exists and is absolute.
  virtual base::Status open(const std::string& directory) = 0;
  // Batches come in order of seq; one that was taken before (same seq) must change nothing.
  virtual base::Status append(const EventBatch& batch) = 0;
  // Everything appended is on the disk and can be asked for.
  virtual base::Status finish() = 0;
  // Waits for work the engine does after that by itself (merges), so that queries meet a store at rest.
  virtual base::Status settle() { return base::ok_status(); }
  virtual base::Result<Answer> query(QueryId id, const QueryParams& params) = 0;
  // Bytes of the store's live files.
  virtual std::uint64_t bytes_on_disk() = 0;
};

// The names that make_peer knows: perjoule, duckdb, clickhouse, sqlite, rocksdb.
std::vector<std::string> peer_names();
// Error: kBadInput for an unknown name, kMissing for an engine that this build or machine lacks.
base::Result<std::unique_ptr<Peer>> make_peer(const std::string& name, const PeerOptions& options);

base::Result<std::unique_ptr<Peer>> make_perjoule(const PeerOptions& options);
base::Result<std::unique_ptr<Peer>> make_duckdb(const PeerOptions& options);
base::Result<std::unique_ptr<Peer>> make_clickhouse(const PeerOptions& options);
base::Result<std::unique_ptr<Peer>> make_sqlite(const PeerOptions& options);
base::Result<std::unique_ptr<Peer>> make_rocksdb(const PeerOptions& options);

// What every engine needs to drop a batch that is sent again: batches are in order, and an engine that
// commits in order can find the last one after a restart as the greatest seq of its rows.
class SeenBatches {
 public:
  bool take(std::uint32_t seq) {
    if (seq <= last_) return false;
    last_ = seq;
    return true;
  }

 private:
  std::uint32_t last_ = 0;
};

// Sum of the sizes of all files under a folder.
std::uint64_t directory_bytes(const std::string& directory);

}  // namespace perjoule::bench
