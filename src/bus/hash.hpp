// Checksums of the store: CRC-32 (IEEE 802.3, as Parquet's page headers want it) and XXH3-128 of whole files.
// Thread rule: crc32_of from any thread; a FileHash from one thread. Ownership: values.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace perjoule::bus {

// `before`: the CRC of the bytes that come before these.
std::uint32_t crc32_of(std::string_view bytes, std::uint32_t before = 0);
// 32 lower-case hexadecimal digits, high half first.
std::string xxh3_128_of(std::string_view bytes);

// XXH3-128 of a file while it is written.
class FileHash {
 public:
  FileHash();
  ~FileHash();
  FileHash(FileHash&&) noexcept;
  FileHash& operator=(FileHash&&) noexcept;
  void update(std::string_view bytes);
  std::string hex() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace perjoule::bus
