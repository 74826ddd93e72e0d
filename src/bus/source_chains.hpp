// Which numbers of every source the store has. A source's blocks form a chain: each says with which number
// the one before ended, so a lost block cannot be passed over and one that was sent twice is known. Three
// marks per source: `accepted` (in the engine's hands), `stored` (acknowledged) and `synced` (on the disk:
// what a manifest may promise). Thread rule: the caller locks. Ownership: values.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "bus/block.hpp"

namespace perjoule::bus {

enum class Admission : std::uint8_t {
  kNew,       // take it
  kStored,    // all of it is stored: say so
  kInFlight,  // all of it was accepted before: answer when that is stored
  kBroken,    // it does not follow what was accepted
  kTooMany,   // a source more than the limit
};

class SourceChains {
 public:
  static constexpr std::size_t kMaxSources = 65'536;

  // kNew marks it as accepted.
  Admission admit(const BlockKey& key);
  void mark_stored(std::string_view source, std::uint64_t last_seq);
  // What is stored of this source is on the disk at the next sync.
  void mark_written(std::string_view source);
  // All that was written is on the disk.
  void mark_synced();
  // What was accepted but not stored is forgotten.
  void forget_accepted();
  // 0 for an unknown source.
  std::uint64_t stored_through(std::string_view source) const;
  std::uint64_t accepted_through(std::string_view source) const;
  // Source -> last number on the disk, for the manifest.
  std::map<std::string, std::uint64_t> synced() const;
  std::size_t size() const { return marks_.size(); }

 private:
  struct Marks {
    std::uint64_t accepted = 0, stored = 0, written = 0, synced = 0;
  };
  std::map<std::string, Marks, std::less<>> marks_;
  std::vector<Marks*> written_;  // since the last sync
};

}  // namespace perjoule::bus
