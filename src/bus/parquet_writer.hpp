// Writes Parquet files that any reader understands: text by a sorted dictionary per row group, numbers by
// DELTA_BINARY_PACKED, BYTE_STREAM_SPLIT or plain, flags and levels by RLE; data pages v2, zstd, CRC-32 of
// every page, statistics and page index. The bytes depend on the rows alone: no time, no host, no thread
// count. Thread rule: encode_row_group from any thread (a batch's dictionary characters must not change
// meanwhile); a ParquetWriter from one thread. Ownership: values; the Env must outlive the writer.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "base/env.hpp"
#include "bus/columns.hpp"
#include "bus/hash.hpp"
#include "bus/parquet_meta.hpp"

namespace perjoule::bus {

inline constexpr int kFormatVersion = 3;
inline constexpr std::string_view kVersionKey = "perjoule.format_version";
inline constexpr std::string_view kTableKey = "perjoule.table";
// Readers refuse larger row groups, so that a damaged count cannot ask for any memory.
inline constexpr std::size_t kMaxGroupRows = 1 << 20;

struct EncodingOptions {
  int zstd_level = 1;
  std::size_t page_rows = 1 << 16;
  std::vector<SortedBy> sorted_by;  // what the caller has sorted the batch by, told to readers
};

// The rows' smallest and largest time; `known` is false for no rows.
struct TimeRange {
  bool known = false;
  std::int64_t first_ns = 0, last_ns = 0;
  void include(const TimeRange& other);
};

// A row group's bytes with offsets that begin at 0.
struct EncodedGroup {
  std::string bytes;
  GroupMeta meta;
  TimeRange time;
};

// `batch` has the schema's columns in its order and 1..kMaxGroupRows rows. Error: kBadInput for text that is
// not UTF-8.
base::Result<EncodedGroup> encode_row_group(const TableSchema& schema, const Batch& batch,
                                            const EncodingOptions& options = {});

struct FileSummary {
  std::uint64_t rows = 0, bytes = 0;
  std::string xxh3_128;  // of the whole file
  TailHash tail;
  TimeRange time;
};

// One file. Dropped without seal(), it leaves nothing behind.
class ParquetWriter {
 public:
  static base::Result<ParquetWriter> create(base::Env& env, const std::string& path,
                                            const TableSchema& schema);
  base::Status append(EncodedGroup group);
  // Writes page index and footer, and gives the file its final name.
  base::Result<FileSummary> seal();
  std::uint64_t rows() const { return summary_.rows; }

 private:
  ParquetWriter(std::unique_ptr<base::PendingFile> file, const TableSchema& schema);
  base::Status put(std::string_view bytes);
  std::string page_indexes();

  std::unique_ptr<base::PendingFile> file_;
  FileMeta meta_;
  FileSummary summary_;
  FileHash hash_;
};

}  // namespace perjoule::bus
