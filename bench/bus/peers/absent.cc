// Stands in for the engines whose headers were not there when the build was configured.
#include "bench/bus/peers/peer.hpp"

namespace perjoule::bench {
namespace {

[[maybe_unused]] base::Error not_built(const char* engine, const char* package) {
  return base::missing("open a peer", engine, std::string("built without ") + package,
                       std::string("Type: apt-get install ") + package + ", then configure again");
}

}  // namespace

#ifndef PERJOULE_HAVE_SQLITE
base::Result<std::unique_ptr<Peer>> make_sqlite(const PeerOptions&) {
  return not_built("SQLite", "libsqlite3-dev");
}
#endif
#ifndef PERJOULE_HAVE_ROCKSDB
base::Result<std::unique_ptr<Peer>> make_rocksdb(const PeerOptions&) {
  return not_built("RocksDB", "librocksdb-dev");
}
#endif

}  // namespace perjoule::bench
