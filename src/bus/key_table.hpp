// Numbers for keys of some 32-bit numbers each: 0, 1, 2 in the order in which the keys came. Internal to the
// bus. Open addressing; a key is compared only where the upper half of its hash fits. Tables are larger than
// the processor's caches, so who looks up many keys fetches first: fetch_slot() for all, fetch_key() for all,
// then place_of(). Thread rule: one thread. Ownership: values.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace perjoule::bus {

template <std::size_t Numbers>
class KeyTable {
 public:
  class Key {
   public:
    std::uint32_t operator[](std::size_t i) const {
      return static_cast<std::uint32_t>(words_[i / 2] >> (i % 2 == 0 ? 0 : 32));
    }
    Key() = default;
    explicit Key(const std::array<std::uint32_t, Numbers>& numbers) {
      for (std::size_t i = 0; i < Numbers; ++i)
        words_[i / 2] |= std::uint64_t{numbers[i]} << (i % 2 == 0 ? 0 : 32);
    }
    bool operator==(const Key& other) const {
      std::uint64_t differs = 0;
      for (std::size_t w = 0; w < kWords; ++w) differs |= words_[w] ^ other.words_[w];
      return differs == 0;
    }
    std::uint64_t hash() const {
      std::uint64_t h = 0;
      for (std::size_t w = 0; w < kWords; ++w) {
        h = (h ^ words_[w]) * 0x9e3779b97f4a7c15ULL;
        h ^= h >> 32;
      }
      return h * 0xff51afd7ed558ccdULL;
    }

   private:
    static constexpr std::size_t kWords = (Numbers + 1) / 2;
    std::array<std::uint64_t, kWords> words_{};
  };

  KeyTable() : slots_(1024) {}
  std::size_t size() const { return keys_.size(); }
  const std::vector<Key>& keys() const { return keys_; }
  void fetch_slot(std::uint64_t hash) const { __builtin_prefetch(&slots_[slot_of(hash)]); }
  // Where the key most likely is; size() if it is not there.
  std::size_t fetch_key(std::uint64_t hash) const {
    const std::uint64_t slot = slots_[slot_of(hash)];
    if (slot == 0) return size();
    __builtin_prefetch(&keys_[place_in(slot)]);
    return place_in(slot);
  }
  // The place of the key with this hash; it is added if it is not there.
  std::size_t place_of(const Key& key, std::uint64_t hash) {
    if ((keys_.size() + 1) * 2 > slots_.size()) grow();
    const std::uint64_t tag = hash & kTagBits;
    for (std::size_t at = slot_of(hash);; at = (at + 1) & (slots_.size() - 1)) {
      const std::uint64_t slot = slots_[at];
      if (slot == 0) {
        keys_.push_back(key);
        slots_[at] = tag | keys_.size();
        return keys_.size() - 1;
      }
      if ((slot & kTagBits) == tag && keys_[place_in(slot)] == key) return place_in(slot);
    }
  }
  std::size_t place_of(const Key& key) { return place_of(key, key.hash()); }

 private:
  static constexpr std::uint64_t kTagBits = std::uint64_t{UINT32_MAX} << 32;
  static std::size_t place_in(std::uint64_t slot) { return (slot & ~kTagBits) - 1; }
  std::size_t slot_of(std::uint64_t hash) const { return hash & (slots_.size() - 1); }
  void grow() {
    slots_.assign(slots_.size() * 2, 0);
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const std::uint64_t hash = keys_[i].hash();
      std::size_t at = slot_of(hash);
      while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = (hash & kTagBits) | (i + 1);
    }
  }

  std::vector<Key> keys_;
  std::vector<std::uint64_t> slots_;  // tag and place + 1; 0: free. A power of two of them
};

}  // namespace perjoule::bus
