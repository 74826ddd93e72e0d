// Many blocks of one table as one sorted sequence of rows: what sealing writes as a Parquet segment. Rows
// that are asked for together lie together: those of a request in joules (of a device where there is no
// request), of a device in samples, of a meter in meters; in order of arrival within that. Devices and meters
// come in the order of their names, requests so that one begins soon after the one before has ended
// (span_chain.hpp), which keeps the steps from row to row small. The order depends on the rows alone. Memory:
// the columns that vary, 4 bytes per text and row, 8 per number; it is kept from one merge to the next.
// Thread rule: one thread. Ownership: copies what it keeps; a batch's texts belong to the merge.
//
// Each block is sorted by itself while it is added, when its columns are in the processor's caches; the rows
// of a request then are a run in each of its blocks, and the merged order is an order of runs, which are
// copied as wholes.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "bus/block.hpp"

namespace perjoule::bus {

class BlockMerge {
 public:
  explicit BlockMerge(Table table);
  ~BlockMerge();

  // Errors: kCorrupt, when the block is damaged: the merge is then of no more use but for clear().
  base::Status add(const BlockView& block);
  std::size_t rows() const { return rows_; }
  // Forgets all rows, keeps the memory.
  void clear();
  // Calls `on_batch` with at most `batch_rows` sorted rows at a time, all columns. Call once, after the last
  // add(); the batch is one that is used again.
  base::Status for_each_batch(std::size_t batch_rows,
                              const std::function<base::Status(const Batch&)>& on_batch);

 private:
  class Lane;
  // Rows of one block that belong together: count of them, from `from` on in every lane.
  struct Run {
    std::uint32_t from, count, key;
  };

  // What rows are sorted by: the column; where it is NULL, the other one.
  base::Status read_keys(const BlockView& block);
  void sort_block(std::size_t rows);
  std::vector<std::uint32_t> place_of_keys();
  std::vector<std::uint32_t> requests_in_order();
  std::int64_t usual_step(const std::int64_t* times) const;
  void sort_runs();
  void fill_batch(const std::vector<Run>& runs, std::size_t rows);

  const Table table_;
  std::size_t key_ = 0, other_ = 0, time_ = 0;  // columns; the number of columns: none
  std::size_t rows_ = 0;
  std::vector<Lane> lanes_;
  std::unique_ptr<Lane> other_names_;  // texts of the other column that are keys
  std::vector<Run> runs_;
  // Of the block being added:
  BlockScratch scratch_;
  Column column_, key_column_, other_column_;
  std::vector<std::uint32_t> keys_, starts_;
  std::vector<std::uint16_t> order_;
  bool is_sorted_ = true;
  Batch batch_;  // being given out
};

}  // namespace perjoule::bus
