// Reads the Parquet files perjoule writes, and nothing else: every count, width, length and offset is bounded
// before it is used, every page's CRC is compared, inflating is limited. Any bytes give rows or one error,
// never a crash. Only the footer is looked at when a file is opened; pages, page index and Bloom filters when
// they are asked for (docs/formats/store.md says what covers each byte). Thread rule: open from any thread;
// const members from several threads at once. Ownership: shares the file's bytes; batches own what they hold.
#pragma once

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/env.hpp"
#include "base/result.hpp"
#include "bus/columns.hpp"
#include "bus/inflated_pages.hpp"
#include "bus/parquet_meta.hpp"

namespace perjoule::bus {

struct ReadLimits {
  std::size_t group_rows = 1 << 20;
  std::size_t page_bytes = std::size_t{1} << 28;  // inflated
};

// Where a file is wrong. `column` is empty for the footer.
struct SegmentFault {
  std::uint64_t byte = 0;
  std::string column;
  std::string why;
};

// A file's bytes, and who keeps them where they are.
struct FileBytes {
  std::shared_ptr<const void> owner;
  std::string_view bytes;
  static FileBytes of(std::string bytes);
  static base::Result<FileBytes> of(std::unique_ptr<base::ReadableFile> file);  // mapped
};

// Rows from <= row < to of a row group.
struct RowRange {
  std::size_t from = 0, to = std::numeric_limits<std::size_t>::max();
};

using IntBounds = std::pair<std::int64_t, std::int64_t>;  // smallest and largest
using TextBounds = std::pair<std::string, std::string>;

class ParquetFile {
 public:
  // `name` is for errors. Errors: kCorrupt with file, table, column and byte; kBadInput for a newer format.
  // `fault`, if given, receives the place of a kCorrupt. `tail`, if known, is compared before anything is
  // read.
  static base::Result<ParquetFile> open(FileBytes bytes, std::string name, const TailHash& tail,
                                        ReadLimits limits = {}, SegmentFault* fault = nullptr);
  static base::Result<ParquetFile> open(std::string bytes, std::string name, ReadLimits limits = {},
                                        SegmentFault* fault = nullptr);

  const FileMeta& meta() const { return meta_; }
  const std::string& table() const { return table_; }
  int format_version() const { return version_; }
  std::size_t groups() const { return meta_.groups.size(); }
  // The named columns (indexes into meta().schema) of one row group, in that order. Of a range of its rows,
  // only the pages that hold some of them are read.
  base::Result<Batch> read(std::size_t group, std::span<const std::size_t> columns, RowRange rows = {}) const;
  // One column, into one whose memory is used again. `entries`: the number of texts in its dictionary as an
  // earlier read gave it; the dictionary is then not read. A page's CRC is compared once as long as the file
  // is open: for readers that ask the same file again and again. Adds what the pages take in the file to
  // `bytes`.
  base::Status read_again(std::size_t group, std::size_t column, RowRange rows, Column& out,
                          std::size_t entries = SIZE_MAX, std::uint64_t* bytes = nullptr) const;
  // Two ways to a text column whose dictionary has been read before, for the same readers: the rows of a
  // range whose code passes, appended as places in the range (the last of `passes` is for NULL); and the
  // codes of some places, which ascend (NULL: `entries`, the number of its texts).
  base::Status select(std::size_t group, std::size_t column, RowRange rows,
                      std::span<const std::uint8_t> passes, std::vector<std::uint32_t>& selected,
                      std::uint64_t* bytes = nullptr) const;
  base::Status pick(std::size_t group, std::size_t column, RowRange rows,
                    std::span<const std::uint32_t> places, std::size_t entries,
                    std::vector<std::uint32_t>& codes, std::uint64_t* bytes = nullptr) const;
  // The page index of a column chunk: each page's place, first row, NULLs, and bounds where the file states
  // them.
  base::Result<std::vector<PageMeta>> pages(std::size_t group, std::size_t column) const;
  // Bounds of an int64 or text column in a row group or one of its pages, if the file states them.
  std::optional<IntBounds> int_bounds(std::size_t group, std::size_t column) const;
  std::optional<IntBounds> int_bounds(std::size_t group, std::size_t page, std::size_t column) const;
  std::optional<TextBounds> text_bounds(std::size_t group, std::size_t column) const;
  std::optional<TextBounds> text_bounds(std::size_t group, std::size_t page, std::size_t column) const;
  // False: the text is certainly not in this row group's column, by bounds and Bloom filter. kCorrupt for a
  // Bloom filter that does not match its hash.
  base::Result<bool> may_contain(std::size_t group, std::size_t column, std::string_view text) const;
  // Whether its Bloom filter is still to be read.
  bool has_unread_bloom(std::size_t group, std::size_t column) const;
  // Decodes everything and compares statistics' counts, page index and Bloom filters; the first fault found.
  std::optional<SegmentFault> check() const;
  // The same of one row group.
  std::optional<SegmentFault> check(std::size_t group) const;
  // Of the whole file's last bytes, as a manifest names them.
  TailHash tail_hash() const;

 private:
  ParquetFile(FileBytes bytes, std::string name, ReadLimits limits);
  std::optional<SegmentFault> load(const TailHash& tail);
  std::optional<SegmentFault> check_tail(const TailHash& tail) const;
  std::optional<SegmentFault> load_footer();
  std::optional<SegmentFault> load_keys();
  std::optional<SegmentFault> check_group(const GroupMeta& group) const;
  std::string check_places(const ChunkMeta& chunk) const;
  std::optional<SegmentFault> check_chunk(std::size_t group, std::size_t column) const;
  std::optional<SegmentFault> check_bloom(std::size_t group, std::size_t column, const Column& decoded) const;
  std::optional<SegmentFault> read_index(const ChunkMeta& chunk, std::vector<PageMeta>& pages) const;
  std::optional<SegmentFault> read_bounds(const ChunkMeta& chunk, std::vector<PageMeta>& pages) const;
  std::optional<SegmentFault> load_bloom(std::size_t group, std::size_t column,
                                         std::string_view& bytes) const;
  // Runs a decoder over the chunk that remembers which pages are whole.
  template <class Run>
  base::Status decode(std::size_t group, std::size_t column, RowRange rows, std::uint64_t* bytes,
                      Run&& run) const;
  std::string_view slice(std::int64_t from, std::int32_t bytes) const;
  base::Error error_of(const SegmentFault& fault) const;

  FileBytes file_;
  std::string name_;
  ReadLimits limits_;
  FileMeta meta_;
  std::string table_;
  int version_ = 0;
  std::size_t footer_at_ = 0;
  // By group and column: the Bloom filter has been compared with its hash.
  std::unique_ptr<std::atomic<bool>[]> bloom_is_whole_;
  // By group and column: pages whose CRC fitted, one bit each.
  std::unique_ptr<std::atomic<std::uint64_t>[]> whole_pages_;
  std::unique_ptr<InflatedPages> inflated_;
};

}  // namespace perjoule::bus
