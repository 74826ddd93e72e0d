// Reads the Parquet files perjoule writes, and nothing else: every count, width, length and offset is bounded
// before it is used, every page's CRC is compared, inflating is limited. Any bytes give rows or one error,
// never a crash. Thread rule: open from any thread; const members from several threads at once. Ownership:
// owns the file's bytes; batches own what they hold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "bus/columns.hpp"
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

class ParquetFile {
 public:
  // `name` is for errors. Errors: kCorrupt with file, table, column and byte; kBadInput for a newer format.
  // `fault`, if given, receives the place of a kCorrupt.
  static base::Result<ParquetFile> open(std::string bytes, std::string name, ReadLimits limits = {},
                                        SegmentFault* fault = nullptr);

  const FileMeta& meta() const { return meta_; }
  const std::string& table() const { return table_; }
  std::size_t groups() const { return meta_.groups.size(); }
  // The named columns (indexes into meta().schema) of one row group, in that order.
  base::Result<Batch> read(std::size_t group, std::span<const std::size_t> columns) const;
  // Decodes everything and compares statistics' counts and the page index; the first fault found.
  std::optional<SegmentFault> check() const;
  // Bounds of an int64 column in a row group, if the file states them.
  std::optional<std::pair<std::int64_t, std::int64_t>> int_bounds(std::size_t group,
                                                                  std::size_t column) const;

 private:
  ParquetFile(std::string bytes, std::string name, ReadLimits limits);
  std::optional<SegmentFault> load();
  std::optional<SegmentFault> load_footer();
  std::optional<SegmentFault> check_group(const GroupMeta& group) const;
  std::optional<SegmentFault> check_chunk(const SchemaColumn& column, const ChunkMeta& chunk,
                                          std::int64_t rows) const;
  std::optional<SegmentFault> check_index(const ChunkMeta& chunk, const std::vector<PageMeta>& pages) const;
  base::Error error_of(const SegmentFault& fault) const;

  std::string bytes_;
  std::string name_;
  ReadLimits limits_;
  FileMeta meta_;
  std::string table_;
  std::string version_;
  std::size_t footer_at_ = 0;
};

}  // namespace perjoule::bus
