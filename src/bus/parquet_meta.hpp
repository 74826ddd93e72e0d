// Parquet's metadata as far as perjoule writes it (flat schemas), and its form in Thrift (parquet.thrift of
// apache/parquet-format). Reading is strict: what does not fit is refused, never guessed.
// Thread rule: values, pure functions. Ownership: values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "bus/columns.hpp"

namespace perjoule::bus {

enum class ParquetType : std::int32_t { kBoolean = 0, kInt64 = 2, kDouble = 5, kByteArray = 6 };
enum class Encoding : std::int32_t {
  kPlain = 0,
  kRle = 3,
  kDelta = 5,
  kRleDictionary = 8,
  kByteStreamSplit = 9
};
enum class PageType : std::int32_t { kDictionary = 2, kDataV2 = 3 };

ParquetType parquet_type_of(ColumnType type);
// The usual encoding of a type's values, and whether the writer may have chosen this one.
Encoding encoding_of(ParquetType type);
bool may_encode(ParquetType type, Encoding encoding);

// Smallest and largest value in Parquet's bytes; `known` is false when there is no value or a text is too
// long.
struct Bounds {
  bool known = false;
  std::string smallest, largest;
};

struct PageMeta {
  std::int64_t offset = 0;        // of the page's header
  std::int32_t stored_bytes = 0;  // header and body
  std::int64_t first_row = 0;     // in the row group
  std::int64_t nulls = 0;
  bool all_null = false;
  Bounds bounds;
};

struct ChunkMeta {
  ParquetType type = ParquetType::kInt64;
  std::string name;
  Encoding encoding = Encoding::kDelta;  // of the values of all pages
  std::int64_t values = 0;
  std::int64_t raw_bytes = 0, stored_bytes = 0;  // headers included
  std::int64_t data_offset = 0;
  std::int64_t dictionary_offset = -1;  // -1: none
  std::int64_t nulls = 0;
  Bounds bounds;
  bool indexable = true;        // false: a bound is unknown, so no ColumnIndex
  std::vector<PageMeta> pages;  // written as page index; empty after reading a footer
  std::int64_t offset_index_at = -1, column_index_at = -1;
  std::int32_t offset_index_bytes = 0, column_index_bytes = 0;
  std::int64_t bloom_at = -1;  // Bloom filter: header and bits; -1: none
  std::int32_t bloom_bytes = 0;
  std::string bloom_xxh3_128;  // of these bytes, which have no checksum in Parquet
};

// What the rows of a group are sorted by, first column first.
struct SortedBy {
  std::size_t column = 0;
  bool descending = false, nulls_first = false;
  bool operator==(const SortedBy&) const = default;
};

struct GroupMeta {
  std::vector<ChunkMeta> columns;
  std::vector<SortedBy> sorted_by;
  std::int64_t rows = 0;
  std::int64_t raw_bytes = 0, stored_bytes = 0;
  std::int64_t offset = 0;
};

struct SchemaColumn {
  std::string name;
  ParquetType type = ParquetType::kInt64;
  bool nullable = false;
};

struct FileMeta {
  std::vector<SchemaColumn> schema;
  std::int64_t rows = 0;
  std::vector<GroupMeta> groups;
  std::vector<std::pair<std::string, std::string>> key_values;
};

// The hash of a file's last bytes, its page index and footer. No bytes: not known.
struct TailHash {
  std::uint64_t bytes = 0;
  std::string xxh3_128;
};

struct PageHeader {
  PageType type = PageType::kDataV2;
  std::int32_t raw_bytes = 0, stored_bytes = 0;  // of the body
  std::uint32_t crc = 0;
  std::int32_t values = 0, nulls = 0, rows = 0;
  std::int32_t level_bytes = 0;
  Encoding encoding = Encoding::kPlain;
  bool compressed = true;
};

// In a column chunk's key-value metadata: the hash of its Bloom filter.
inline constexpr std::string_view kBloomHashKey = "perjoule.bloom_xxh3_128";

void write_page_header(const PageHeader& header, std::string& out);
void write_offset_index(const ChunkMeta& chunk, std::string& out);
void write_column_index(const ChunkMeta& chunk, std::string& out);
void write_file_meta(const FileMeta& meta, std::string& out);

// Each sets `used` to the bytes it looked at (where it stopped, when it returns false).
bool read_page_header(std::string_view bytes, PageHeader& header, std::size_t& used);
bool read_file_meta(std::string_view bytes, FileMeta& meta, std::size_t& used);
// Fills chunk.pages with offsets, sizes and first rows.
bool read_offset_index(std::string_view bytes, ChunkMeta& chunk);
// Null counts and bounds into chunk.pages, which read_offset_index has sized.
bool read_column_index(std::string_view bytes, ChunkMeta& chunk);

}  // namespace perjoule::bus
