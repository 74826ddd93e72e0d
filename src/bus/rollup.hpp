// Rollups: sums of the rows of `joules` that are equal in some of their columns, and the newest reading of
// each device and signal. They answer questions over hours without a look at every row, and stay when the
// rows themselves have grown too old to be kept.
//   joules_by_consumer   tenant, job, model, share, quality
//   joules_by_device     device, phase, share, quality
//   joules_by_kernel     model, run, epoch, kernel, quality
//   samples_last         the newest reading of each device and signal
// A sum is of one step of time (10 s, 1 min, 10 min or 1 h: the finest that makes few sums of many rows), by
// window_ns and by t1_ns, both rounded down to it; a question whose bounds are whole steps needs no other
// rows. Sums are of whole microjoules, so a rollup equals the sum of its rows bit for bit, in any order; rows
// of one key may stand in several files, or twice in one where a sum would not fit 64 bits, and are added
// again by whoever reads them. Thread rule: one thread per object. Ownership: values; batches given out point
// into the object.
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
#include "bus/last_readings.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {

struct RollupSpec {
  Table table = Table::kJoulesByConsumer;
  // Text columns of joules and of the rollup. The first ones are mostly the same in neighbouring rows, the
  // others change from row to row; at most 4 and 3.
  std::span<const std::string_view> dimensions;
  std::size_t steady = 0;
};
inline constexpr std::size_t kRollups = 3;
// The sums, those of the fewest rows first.
const std::array<RollupSpec, kRollups>& rollup_specs();

// Each divides the next.
inline constexpr std::array<std::int64_t, 4> kRollupSteps{10'000'000'000, 60'000'000'000, 600'000'000'000,
                                                          3'600'000'000'000};
// The next coarser one; 0 after the last.
std::int64_t coarser_step(std::int64_t step_ns);
// The last whole step at or before t; of the first, cut short step of time itself its beginning.
std::int64_t floor_to_step(std::int64_t t, std::int64_t step_ns);
// The first whole step at or after t; the end of time after the last.
std::int64_t ceil_to_step(std::int64_t t, std::int64_t step_ns);

// A value for each key of some 32-bit numbers, in the order in which the keys came. Open addressing; a key is
// compared only where the upper half of its hash fits. Tables are larger than the processor's caches, so who
// looks up many keys prefetches them in two steps: fetch_slot() for all, fetch_value() for all, then at().
template <std::size_t Numbers, class Value>
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
  struct Entry {
    Key key;
    Value value;
  };

  KeyTable() { clear(); }
  void clear() {
    entries_.clear();
    slots_.assign(1024, 0);
  }
  std::size_t size() const { return entries_.size(); }
  const std::vector<Entry>& entries() const { return entries_; }
  void fetch_slot(std::uint64_t hash) const { __builtin_prefetch(&slots_[slot_of(hash)]); }
  void fetch_value(std::uint64_t hash) const {
    const std::uint64_t slot = slots_[slot_of(hash)];
    if (slot != 0) __builtin_prefetch(&entries_[place_in(slot)], 1);
  }
  // The place of the key with this hash; it is added if it is not there.
  std::size_t place_of(const Key& key, std::uint64_t hash) {
    if ((entries_.size() + 1) * 2 > slots_.size()) grow();
    const std::uint64_t tag = hash & kTagBits;
    for (std::size_t at = slot_of(hash);; at = (at + 1) & (slots_.size() - 1)) {
      const std::uint64_t slot = slots_[at];
      if (slot == 0) {
        entries_.push_back({key, {}});
        slots_[at] = tag | entries_.size();
        return entries_.size() - 1;
      }
      if ((slot & kTagBits) == tag && entries_[place_in(slot)].key == key) return place_in(slot);
    }
  }
  std::size_t place_of(const Key& key) { return place_of(key, key.hash()); }
  Value& value(std::size_t place) { return entries_[place].value; }

 private:
  static constexpr std::uint64_t kTagBits = std::uint64_t{UINT32_MAX} << 32;
  static std::size_t place_in(std::uint64_t slot) { return (slot & ~kTagBits) - 1; }
  std::size_t slot_of(std::uint64_t hash) const { return hash & (slots_.size() - 1); }
  void grow() {
    slots_.assign(slots_.size() * 2, 0);
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      const std::uint64_t hash = entries_[i].key.hash();
      std::size_t at = slot_of(hash);
      while (slots_[at] != 0) at = (at + 1) & (slots_.size() - 1);
      slots_[at] = (hash & kTagBits) | (i + 1);
    }
  }

  std::vector<Entry> entries_;
  std::vector<std::uint64_t> slots_;  // tag and place + 1; 0: free. A power of two of them
};

// The sums of one rollup.
class RollupSums {
 public:
  explicit RollupSums(const RollupSpec& spec, std::int64_t step_ns = kRollupSteps[0]);
  RollupSums(RollupSums&&) noexcept;
  ~RollupSums();
  const RollupSpec& spec() const;
  std::int64_t step_ns() const;

  // Rows of `joules`: all its columns, in its schema's order.
  void add(const Batch& joules);
  // Rows of the rollup itself, of this step or a finer one.
  void add_sums(const Batch& rollup);
  // Those of other steps: both get the coarser one.
  void take(RollupSums& other);
  // Adds up what is of one step now. No finer than before.
  void coarsen(std::int64_t step_ns);
  void clear(std::int64_t step_ns);
  std::size_t rows() const;
  // All rows in the order of the dimensions' texts (NULL last), then of the times; at most `batch_rows` at a
  // time.
  base::Status for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

// The steps of all three; 0: that rollup is left out.
using RollupSteps = std::array<std::int64_t, kRollups>;

// All three, each as fine as its rows allow: one whose sums are too many for the rows that they stand for
// gets a coarser step, and is left out if that does not help.
class RollupSet {
 public:
  explicit RollupSet(const RollupSteps& steps = {kRollupSteps[0], kRollupSteps[0], kRollupSteps[0]});
  void clear(const RollupSteps& steps);
  void add(const Batch& joules);
  // Of the rollups that both have; one that `other` lacks is left out.
  void take(RollupSet& other);
  // Leaves no more than `few` sums that stand for fewer than `ratio` rows each.
  void condense(std::uint64_t ratio, std::size_t few);
  std::uint64_t joule_rows() const { return joule_rows_; }
  std::size_t rows() const;
  bool has(std::size_t rollup) const { return steps_[rollup] != 0; }
  const RollupSteps& steps() const { return steps_; }
  const RollupSums& sums(std::size_t rollup) const { return sums_[rollup]; }

 private:
  std::vector<RollupSums> sums_;
  RollupSteps steps_{};
  std::uint64_t joule_rows_ = 0;
};

// What one thread gathers of the segments that it helps to seal.
struct RollupLane {
  RollupSet sums;
  LastReadings readings;
};

}  // namespace perjoule::bus
