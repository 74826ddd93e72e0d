// A block: up to 65,536 rows of one table as encoded columns. The same bytes travel over the wire and stand
// in the log (docs/formats/block.md). A block carries everything needed to read it, its own dictionaries too,
// so a damaged one takes no other with it. Rows of one source are numbered in sequence; a block says which
// numbers it holds, and the store takes each number once.
//   encode_block     rows -> bytes
//   BlockView        bytes from anywhere -> rows or one error, never a crash; every count, width and length
//                    is bounded before it is used
// Thread rule: pure functions; a BlockView from any thread. Ownership: a view looks at bytes owned elsewhere.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "bus/columns.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {

inline constexpr std::size_t kMaxBlockRows = 65'536;
inline constexpr std::size_t kMaxBlockBytes = 32U << 20;
inline constexpr std::size_t kMaxSourceName = 128;
// Longer identifiers are refused, so that one name cannot fill a dictionary.
inline constexpr std::size_t kMaxTextBytes = 1024;

// Which rows a block holds: numbers first..last of `source`, whose block before ended with `after`. Several
// rows may share a number (a sample with many signals), so a block may have more rows than numbers; rows of
// one number are never split over blocks. Numbers between `after` and `first` are rows that the source itself
// had to drop: the store takes note of them. So a chain of blocks has no silent hole.
struct BlockKey {
  std::string_view source;
  std::uint64_t after_seq = 0, first_seq = 1, last_seq = 1;
};

// `batch` has the table's columns in its order, 1..kMaxBlockRows rows; after_seq <
// first_seq <= last_seq. Errors:
// kBadInput for a source name or text that is empty, too long or not UTF-8, and a block beyond
// kMaxBlockBytes.
base::Result<std::string> encode_block(Table table, const Batch& batch, const BlockKey& key);

// Memory that reading one block leaves to the next. Thread rule: one thread.
struct BlockScratch {
  std::vector<std::uint64_t> numbers, wide;
  std::vector<std::uint32_t> bits;
  std::vector<std::uint16_t> places;
  Column before;
};

class BlockView {
 public:
  // Header and column directory: form, bounds and their checksum. Errors: kCorrupt with the byte. `name` is
  // for errors (a file, a connection).
  static base::Result<BlockView> open(std::string_view bytes, std::string_view name);
  // The bytes of the block that begins here, from its first kBlockSizeBytes bytes; 0 if it is none.
  static std::size_t size_of(std::string_view head);
  static constexpr std::size_t kBlockSizeBytes = 16;

  Table table() const { return table_; }
  std::size_t rows() const { return rows_; }
  const BlockKey& key() const { return key_; }
  std::string_view bytes() const { return bytes_; }
  // Smallest and largest value of the table's time column, as the sender states it; check() compares.
  std::int64_t first_ns() const { return first_ns_; }
  std::int64_t last_ns() const { return last_ns_; }

  // Every column's checksum, form and values: what read() gives for all columns, but keeps nothing.
  base::Status check() const;
  // The named columns (indexes into the schema), in that order; their checksums are compared.
  base::Result<Batch> read(std::span<const std::size_t> columns) const;
  base::Result<Batch> read_all() const;
  // One column into `out`, whose memory is used again. The same errors as read().
  base::Status read_column(std::size_t index, Column& out, BlockScratch& scratch) const;
  // Every row has the same value; `out` then is a column of one row.
  bool is_constant(std::size_t index) const;
  base::Status read_constant(std::size_t index, Column& out, BlockScratch& scratch) const;
  // The bytes of this text column are those of the one before, so its rows are too.
  bool repeats_previous(std::size_t index) const;

 private:
  struct ColumnEntry {
    std::uint32_t offset = 0, bytes = 0, dictionary = 0, exceptions = 0;
    std::uint8_t encoding = 0, width = 0, nulls = 0;
    std::uint64_t checksum = 0;
  };
  class ColumnReader;
  class ColumnCheck;

  explicit BlockView(std::string_view bytes, std::string_view name) : bytes_(bytes), name_(name) {}
  base::Status load();
  base::Status load_directory(std::size_t header_bytes);
  base::Error damaged(std::size_t byte, std::string why) const;
  base::Status read_rows(std::size_t index, std::size_t rows, Column& out, BlockScratch& scratch) const;

  std::string_view bytes_, name_;
  Table table_ = Table::kJoules;
  std::size_t rows_ = 0;
  BlockKey key_;
  std::int64_t first_ns_ = 0, last_ns_ = 0;
  std::vector<ColumnEntry> columns_;
};

}  // namespace perjoule::bus
