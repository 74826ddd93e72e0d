#include "base/assert.hpp"
#include "bus/parquet_meta.hpp"
#include "bus/thrift_compact.hpp"

namespace perjoule::bus {
namespace {

constexpr std::int32_t kZstd = 6;
constexpr std::int32_t kConvertedUtf8 = 0;

void write_schema(const FileMeta& meta, ThriftWriter& out) {
  out.begin_list(2, ThriftType::kStruct, meta.schema.size() + 1);
  out.begin_element();
  out.binary(4, "schema");
  out.i32(5, static_cast<std::int32_t>(meta.schema.size()));
  out.end_struct();
  for (const auto& c : meta.schema) {
    out.begin_element();
    out.i32(1, static_cast<std::int32_t>(c.type));
    out.i32(3, c.nullable ? 1 : 0);
    out.binary(4, c.name);
    if (c.type == ParquetType::kByteArray) {
      out.i32(6, kConvertedUtf8);
      out.begin_struct(10);  // LogicalType: STRING
      out.begin_struct(1);
      out.end_struct();
      out.end_struct();
    }
    out.end_struct();
  }
}

void write_key_values(int field, const std::vector<std::pair<std::string, std::string>>& pairs,
                      ThriftWriter& out) {
  out.begin_list(field, ThriftType::kStruct, pairs.size());
  for (const auto& [key, value] : pairs) {
    out.begin_element();
    out.binary(1, key);
    out.binary(2, value);
    out.end_struct();
  }
}

void write_statistics(const ChunkMeta& c, ThriftWriter& out) {
  out.begin_struct(12);
  out.i64(3, c.nulls);
  if (c.bounds.known) {
    out.binary(5, c.bounds.largest);
    out.binary(6, c.bounds.smallest);
    out.flag(7, true);
    out.flag(8, true);
  }
  out.end_struct();
}

void write_chunk_meta(const ChunkMeta& c, ThriftWriter& out) {
  out.begin_struct(3);
  out.i32(1, static_cast<std::int32_t>(c.type));
  const bool dictionary = c.dictionary_offset >= 0;
  out.begin_list(2, ThriftType::kI32, dictionary ? 3 : 2);
  out.element(static_cast<std::int64_t>(c.encoding));
  out.element(static_cast<std::int64_t>(Encoding::kRle));
  if (dictionary) out.element(static_cast<std::int64_t>(Encoding::kPlain));
  out.begin_list(3, ThriftType::kBinary, 1);
  out.element(c.name);
  out.i32(4, kZstd);
  out.i64(5, c.values);
  out.i64(6, c.raw_bytes);
  out.i64(7, c.stored_bytes);
  if (c.bloom_at >= 0) write_key_values(8, {{std::string(kBloomHashKey), c.bloom_xxh3_128}}, out);
  out.i64(9, c.data_offset);
  if (dictionary) out.i64(11, c.dictionary_offset);
  write_statistics(c, out);
  if (c.bloom_at >= 0) {
    out.i64(14, c.bloom_at);
    out.i32(15, c.bloom_bytes);
  }
  out.end_struct();
}

void write_chunk(const ChunkMeta& c, ThriftWriter& out) {
  out.begin_element();
  out.i64(2, 0);
  write_chunk_meta(c, out);
  if (c.offset_index_at >= 0) {
    out.i64(4, c.offset_index_at);
    out.i32(5, c.offset_index_bytes);
  }
  if (c.column_index_at >= 0) {
    out.i64(6, c.column_index_at);
    out.i32(7, c.column_index_bytes);
  }
  out.end_struct();
}

void write_sorting(const std::vector<SortedBy>& columns, ThriftWriter& out) {
  if (columns.empty()) return;
  out.begin_list(4, ThriftType::kStruct, columns.size());
  for (const auto& c : columns) {
    out.begin_element();
    out.i32(1, static_cast<std::int32_t>(c.column));
    out.flag(2, c.descending);
    out.flag(3, c.nulls_first);
    out.end_struct();
  }
}

void write_group(const GroupMeta& g, std::size_t ordinal, ThriftWriter& out) {
  out.begin_element();
  out.begin_list(1, ThriftType::kStruct, g.columns.size());
  for (const auto& c : g.columns) write_chunk(c, out);
  out.i64(2, g.raw_bytes);
  out.i64(3, g.rows);
  write_sorting(g.sorted_by, out);
  out.i64(5, g.offset);
  out.i64(6, g.stored_bytes);
  out.i16(7, static_cast<std::int16_t>(ordinal));
  out.end_struct();
}

void write_column_orders(std::size_t n, ThriftWriter& out) {
  out.begin_list(7, ThriftType::kStruct, n);
  for (std::size_t i = 0; i < n; ++i) {
    out.begin_element();
    out.begin_struct(1);  // TypeDefinedOrder
    out.end_struct();
    out.end_struct();
  }
}

}  // namespace

ParquetType parquet_type_of(ColumnType type) {
  switch (type) {
    case ColumnType::kInt64:
      return ParquetType::kInt64;
    case ColumnType::kDouble:
      return ParquetType::kDouble;
    case ColumnType::kBool:
      return ParquetType::kBoolean;
    case ColumnType::kText:
      return ParquetType::kByteArray;
  }
  base::check_failed("column type", __FILE__, __LINE__);
}

Encoding encoding_of(ParquetType type) {
  switch (type) {
    case ParquetType::kInt64:
      return Encoding::kDelta;
    case ParquetType::kDouble:
      return Encoding::kPlain;
    case ParquetType::kBoolean:
      return Encoding::kRle;
    case ParquetType::kByteArray:
      return Encoding::kRleDictionary;
  }
  base::check_failed("column type", __FILE__, __LINE__);
}

bool may_encode(ParquetType type, Encoding encoding) {
  return encoding == encoding_of(type) ||
         (type == ParquetType::kDouble && encoding == Encoding::kByteStreamSplit);
}

void write_page_header(const PageHeader& h, std::string& bytes) {
  ThriftWriter out(bytes);
  out.i32(1, static_cast<std::int32_t>(h.type));
  out.i32(2, h.raw_bytes);
  out.i32(3, h.stored_bytes);
  out.i32(4, static_cast<std::int32_t>(h.crc));
  if (h.type == PageType::kDictionary) {
    out.begin_struct(7);
    out.i32(1, h.values);
    out.i32(2, static_cast<std::int32_t>(h.encoding));
    out.flag(3, true);  // sorted
  } else {
    out.begin_struct(8);
    out.i32(1, h.values);
    out.i32(2, h.nulls);
    out.i32(3, h.rows);
    out.i32(4, static_cast<std::int32_t>(h.encoding));
    out.i32(5, h.level_bytes);
    out.i32(6, 0);
    out.flag(7, h.compressed);
  }
  out.end_struct();
  out.stop();
}

void write_offset_index(const ChunkMeta& chunk, std::string& bytes) {
  ThriftWriter out(bytes);
  out.begin_list(1, ThriftType::kStruct, chunk.pages.size());
  for (const auto& p : chunk.pages) {
    out.begin_element();
    out.i64(1, p.offset);
    out.i32(2, p.stored_bytes);
    out.i64(3, p.first_row);
    out.end_struct();
  }
  out.stop();
}

void write_column_index(const ChunkMeta& chunk, std::string& bytes) {
  ThriftWriter out(bytes);
  const std::size_t n = chunk.pages.size();
  out.begin_list(1, ThriftType::kTrue, n);
  for (const auto& p : chunk.pages) out.element_flag(p.all_null);
  out.begin_list(2, ThriftType::kBinary, n);
  for (const auto& p : chunk.pages) out.element(p.bounds.smallest);
  out.begin_list(3, ThriftType::kBinary, n);
  for (const auto& p : chunk.pages) out.element(p.bounds.largest);
  out.i32(4, 0);  // boundary order: not stated
  out.begin_list(5, ThriftType::kI64, n);
  for (const auto& p : chunk.pages) out.element(p.nulls);
  out.stop();
}

void write_file_meta(const FileMeta& meta, std::string& bytes) {
  ThriftWriter out(bytes);
  out.i32(1, 2);
  write_schema(meta, out);
  out.i64(3, meta.rows);
  out.begin_list(4, ThriftType::kStruct, meta.groups.size());
  for (std::size_t i = 0; i < meta.groups.size(); ++i) write_group(meta.groups[i], i, out);
  write_key_values(5, meta.key_values, out);
  out.binary(6, "perjoule version 1.0.0 (build store)");
  write_column_orders(meta.schema.size(), out);
  out.stop();
}

}  // namespace perjoule::bus
