// The newest reading of each device and signal, what `samples_last` holds (rollup.hpp). Thread rule: one
// thread. Ownership: values; batches given out point into the object. Memory: one cell for each device and
// signal up to the last signal that the device has, at most kMostCells; beyond it is full and no longer knows
// all.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/symbol.hpp"
#include "bus/columns.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {

struct Reading {
  std::int64_t t_ns = 0;
  double value = 0;
  std::string_view quality;
  // Of equal times the one with the greatest value, then the first quality by name: so which one is the
  // newest does not depend on the order in which they are looked at.
  bool is_newer_than(const Reading& other) const;
};

class LastReadings {
 public:
  static constexpr std::size_t kMostCells = std::size_t{1} << 23;
  // Rows with columns t_ns, device, signal, value, quality, in this order: `samples` or `samples_last`.
  void add(const Batch& rows);
  void take(const LastReadings& other);
  std::size_t size() const { return size_; }
  bool is_full() const { return cell_count_ > kMostCells; }
  void clear();
  // In the order of device, signal.
  base::Status for_each_batch(std::size_t batch_rows, const OnBatch& on_batch) const;

 private:
  struct Cell {
    std::int64_t t_ns = 0;
    double value = 0;
    std::uint32_t quality = 0;
    bool known = false;
  };
  using Texts = std::array<base::SymbolTable, 3>;  // device, signal, quality

  Reading reading_of(const Cell& cell) const {
    return {cell.t_ns, cell.value, (*texts_)[2].text({cell.quality})};
  }
  void keep_newest(std::uint32_t device, std::uint32_t signal, const Cell& cell);

  std::unique_ptr<Texts> texts_ = std::make_unique<Texts>();
  std::vector<std::vector<Cell>> cells_;  // by the numbers of device and signal
  std::size_t size_ = 0, cell_count_ = 0;
};

}  // namespace perjoule::bus
