// A file opened for reading at any place. It keeps showing the file that was opened, even when another takes
// its name or it is unlinked. It must not be cut short meanwhile: the system answers a look at a mapped page
// that is gone with SIGBUS. Thread rule: const members from several threads at once. Ownership: map() belongs
// to the file.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/result.hpp"

namespace perjoule::base {

class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  virtual std::uint64_t size() const = 0;
  // Fills `out` with the bytes from `offset` on; kCorrupt when there are not as many.
  virtual Status read(std::uint64_t offset, std::span<char> out) const = 0;
  // The whole file as memory, mapped at the first call; only what is looked at is read from disk.
  virtual Result<std::string_view> map() = 0;
};

}  // namespace perjoule::base
