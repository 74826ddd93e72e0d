#include "bus/store_upgrade.hpp"

#include "bus/hash.hpp"
#include "bus/parquet_reader.hpp"

namespace perjoule::bus {

base::Status upgrade_manifest(base::Env& env, const std::string& directory, Manifest& manifest) {
  if (manifest.format_version >= kFormatVersion) return base::ok_status();
  for (auto& entry : manifest.segments) {
    if (entry.summary.tail.bytes != 0) continue;
    const std::string path = directory + "/" + entry.file;
    PJ_ASSIGN(auto opened, env.open_file(path));
    PJ_ASSIGN(const auto bytes, FileBytes::of(std::move(opened)));
    if (bytes.bytes.size() != entry.summary.bytes || xxh3_128_of(bytes.bytes) != entry.summary.xxh3_128)
      return base::corrupt("bring a store to a newer format", path,
                           "it is not the file that the manifest names (size or hash differ)",
                           "Type: perjoule store repair " + directory);
    PJ_ASSIGN(const auto file, ParquetFile::open(bytes, path, {}));
    entry.summary.tail = file.tail_hash();
  }
  manifest.format_version = kFormatVersion;
  return base::ok_status();
}

}  // namespace perjoule::bus
