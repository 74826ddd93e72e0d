// Rollups: sums of the rows of `joules` that are equal in some of their columns, and the newest reading of each
// device and signal. They answer questions over hours without a look at every row, and stay when the rows
// themselves have grown too old to be kept.
//   joules_by_consumer   tenant, job, model, share, quality       steps of 10 s
//   joules_by_device     device, phase, share, quality            steps of 1 min
//   joules_by_kernel     model, run, epoch, kernel, quality       steps of 1 min
//   samples_last         the newest reading of each device and signal
// Each row of a sum also keeps window_ns as it is, so a question by settlement windows needs no other rows; one
// by t1_ns is exact where its bounds are whole steps. Sums are of whole microjoules, so a rollup equals the sum
// of its rows bit for bit, in any order; rows of one key may stand in several files, or twice in one where a sum
// would not fit 64 bits, and are added again by whoever reads them. Thread rule: one thread per object.
// Ownership: values; batches given out point into the object.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "base/symbol.hpp"
#include "bus/columns.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {

struct RollupSpec {
  Table table = Table::kJoulesByConsumer;
  std::int64_t step_ns = 1;
  std::span<const std::string_view> dimensions;  // text columns of joules and of the rollup, at most 5
};
inline constexpr std::size_t kRollups = 3;
// The sums, those of the fewest rows first.
const std::array<RollupSpec, kRollups>& rollup_specs();

using BatchSink = std::function<base::Status(const Batch&)>;

// Places of keys, numbered as they come. Open addressing over 32-bit places, so that an index of a few
// thousand keys stays in the processor's caches.
template <std::size_t Words>
class KeyIndex {
 public:
  using Key = std::array<std::uint32_t, Words>;
  KeyIndex() { clear(); }
  void clear() {
    keys_.clear();
    places_.assign(1024, 0);
  }
  std::size_t size() const { return keys_.size(); }
  const Key& key(std::size_t place) const { return keys_[place]; }
  static std::uint64_t hash_of(const Key& key) {
    std::uint64_t h = 0;
    for (const auto word : key) h = (h ^ word) * 0x9e3779b97f4a7c15ULL, h ^= h >> 29;
    return h;
  }
  void prefetch(std::uint64_t hash) const { __builtin_prefetch(&places_[hash & (places_.size() - 1)]); }
  // The place of the key; size() before the call if it is new.
  std::size_t place_of(const Key& key, std::uint64_t hash) {
    if ((keys_.size() + 1) * 2 > places_.size()) grow();
    const std::size_t mask = places_.size() - 1;
    for (std::size_t at = hash & mask;; at = (at + 1) & mask) {
      if (places_[at] == 0) {
        keys_.push_back(key);
        places_[at] = static_cast<std::uint32_t>(keys_.size());
        return keys_.size() - 1;
      }
      if (keys_[places_[at] - 1] == key) return places_[at] - 1;
    }
  }

 private:
  void grow() {
    places_.assign(places_.size() * 2, 0);
    const std::size_t mask = places_.size() - 1;
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      std::size_t at = hash_of(keys_[i]) & mask;
      while (places_[at] != 0) at = (at + 1) & mask;
      places_[at] = static_cast<std::uint32_t>(i + 1);
    }
  }

  std::vector<Key> keys_;
  std::vector<std::uint32_t> places_;  // place + 1; 0: free. A power of two of them
};

// The sums of one rollup.
class RollupSums {
 public:
  explicit RollupSums(const RollupSpec& spec);
  RollupSums(RollupSums&&) noexcept;
  ~RollupSums();
  const RollupSpec& spec() const;

  // Rows of `joules`: all its columns, in its schema's order.
  void add(const Batch& joules);
  // Rows of the rollup itself.
  void add_sums(const Batch& rollup);
  void take(const RollupSums& other);
  void clear();
  std::size_t rows() const;
  // All rows in the order of the dimensions' texts (NULL last), then of the times; at most `batch_rows` at a time.
  base::Status for_each_batch(std::size_t batch_rows, const BatchSink& on_batch) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// All three.
class RollupSet {
 public:
  RollupSet();
  void add(const Batch& joules) {
    for (auto& s : sums_) s.add(joules);
  }
  void take(const RollupSet& other) {
    for (std::size_t i = 0; i < kRollups; ++i) sums_[i].take(other.sums_[i]);
  }
  void clear() {
    for (auto& s : sums_) s.clear();
  }
  std::size_t rows() const;
  RollupSums& sums(std::size_t i) { return sums_[i]; }
  const RollupSums& sums(std::size_t i) const { return sums_[i]; }

 private:
  std::vector<RollupSums> sums_;
};

// The newest reading of each device and signal; of equal times the one that was added first.
class LastReadings {
 public:
  // Rows with columns t_ns, device, signal, value, quality, in this order: `samples` or `samples_last`.
  void add(const Batch& rows);
  // What `other` has was added later.
  void take(const LastReadings& other);
  std::size_t size() const { return cells_.size(); }
  void clear();
  // In the order of device, signal.
  base::Status for_each_batch(std::size_t batch_rows, const BatchSink& on_batch) const;

 private:
  struct Cell {
    std::int64_t t_ns = 0;
    double value = 0;
    std::uint32_t quality = 0;
  };
  void keep_newest(const KeyIndex<2>::Key& key, const Cell& cell);

  std::unique_ptr<std::array<base::SymbolTable, 3>> texts_ =
      std::make_unique<std::array<base::SymbolTable, 3>>();  // device, signal, quality
  KeyIndex<2> index_;
  std::vector<Cell> cells_;
};

}  // namespace perjoule::bus
