#include "bench/bus/peers/peer.hpp"

#include <filesystem>

#include "base/text.hpp"

namespace perjoule::bench {

std::vector<std::string> peer_names() { return {"perjoule", "duckdb", "clickhouse", "sqlite", "rocksdb"}; }

base::Result<std::unique_ptr<Peer>> make_peer(const std::string& name, const PeerOptions& options) {
  if (name == "perjoule") return make_perjoule(options);
  if (name == "duckdb") return make_duckdb(options);
  if (name == "clickhouse") return make_clickhouse(options);
  if (name == "sqlite") return make_sqlite(options);
  if (name == "rocksdb") return make_rocksdb(options);
  return base::bad_input("choose a peer", name, "there is no such peer",
                         base::nearest_name_hint(name, peer_names()));
}

std::uint64_t directory_bytes(const std::string& directory) {
  std::uint64_t sum = 0;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory, ignored))
    if (entry.is_regular_file(ignored)) sum += entry.file_size(ignored);
  return sum;
}

}  // namespace perjoule::bench
