// Many blocks of one table as one sorted sequence of rows: what sealing writes as a Parquet segment. Rows are
// sorted so that what is asked together lies together and repeats: joules by tenant, model and request, or by
// device where there is no request; samples by device and signal; meters by meter; in order of arrival within
// that. The order depends on the rows alone. Memory: the columns that vary, 4 bytes per text and row, 8 per
// number; it is kept from one merge to the next. Thread rule: one thread. Ownership: copies what it keeps; a
// batch's texts belong to the merge.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "base/result.hpp"
#include "base/symbol.hpp"
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
  // add(); the
  // batch is one that is used again.
  base::Status for_each_batch(std::size_t batch_rows,
                              const std::function<base::Status(const Batch&)>& on_batch);

 private:
  struct Lane;
  using Order = std::vector<std::uint32_t>;

  Order sorted_order() const;
  Order by_consumer() const;
  // Every row's place in the order of the column's texts; NULL last. Places: 0..texts.
  std::vector<std::uint32_t> ranks_of(std::size_t column, std::size_t& places) const;

  const Table table_;
  std::size_t rows_ = 0;
  std::vector<Lane> lanes_;
  BlockScratch scratch_;
  Column column_;  // of a block being added
  Batch batch_;    // being given out
};

}  // namespace perjoule::bus
