#include "bus/hash.hpp"

#include <xxhash.h>

#include "base/assert.hpp"
#include "base/text.hpp"

namespace perjoule::bus {
namespace {

std::string hex_of(XXH128_hash_t h) { return base::hex64(h.high64) + base::hex64(h.low64); }

}  // namespace

std::string xxh3_128_of(std::string_view bytes) { return hex_of(XXH3_128bits(bytes.data(), bytes.size())); }

struct FileHash::State {
  XXH3_state_t* xxh = XXH3_createState();
  State() {
    PJ_CHECK(xxh != nullptr);
    XXH3_128bits_reset(xxh);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() { XXH3_freeState(xxh); }
};

FileHash::FileHash() : state_(std::make_unique<State>()) {}
FileHash::~FileHash() = default;
FileHash::FileHash(FileHash&&) noexcept = default;
FileHash& FileHash::operator=(FileHash&&) noexcept = default;
void FileHash::update(std::string_view bytes) {
  XXH3_128bits_update(state_->xxh, bytes.data(), bytes.size());
}
std::string FileHash::hex() const { return hex_of(XXH3_128bits_digest(state_->xxh)); }

}  // namespace perjoule::bus
