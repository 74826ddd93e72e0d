// Batches of rows as bytes that others read: CSV, JSON lines, an Arrow IPC stream, a Parquet file. Bytes go
// out as they are made, so memory holds one row group at most. Thread rule: one thread. Ownership: the sink
// owns its columns' names; a batch only lives during the call.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "bus/columns.hpp"

namespace perjoule::bus {

struct SinkColumn {
  std::string name;
  ColumnType type = ColumnType::kText;
  bool nullable = true;
  bool number = false;  // a text that is a number, which JSON shows without quotes
};
std::vector<SinkColumn> sink_columns(const TableSchema& schema);

enum class StreamFormat : std::uint8_t { kCsv, kJsonLines, kArrow, kParquet };
// csv, jsonl, arrow, parquet
std::optional<StreamFormat> find_stream_format(std::string_view name);
std::string_view media_type_of(StreamFormat format);

using PutBytes = std::function<base::Status(std::string_view)>;

class BatchSink {
 public:
  virtual ~BatchSink() = default;
  // Errors: of `put`; kBadInput for what the format cannot hold.
  virtual base::Status write(const Batch& batch) = 0;
  // Call once, last: without it the bytes are not whole.
  virtual base::Status end() = 0;
};
// `table` is the name that a Parquet file gets.
std::unique_ptr<BatchSink> make_sink(StreamFormat format, std::vector<SinkColumn> columns, std::string table,
                                     PutBytes put);

// Puts small batches of the same columns together.
class BatchJoin {
 public:
  BatchJoin();
  ~BatchJoin();
  void add(const Batch& batch);
  std::size_t rows() const;
  // The rows so far; the batch lives until the next call.
  const Batch& batch() const;
  void clear();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace perjoule::bus
