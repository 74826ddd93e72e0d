#include "bus/parquet_meta.hpp"
#include "bus/thrift_compact.hpp"

namespace perjoule::bus {
namespace {

// Calls `on_field(field, type)` for each field of the struct just begun; on_field returns false to fail.
template <class OnField>
bool fields(ThriftReader& in, OnField on_field) {
  int field = 0;
  ThriftType type{};
  while (in.next(field, type)) {
    if (!on_field(field, type)) return in.fail();
  }
  return !in.failed();
}

// Far above what the writer makes, and low enough that a list cannot be blown up to gigabytes by a few bytes.
constexpr std::size_t kMaxElements = 1 << 16;
constexpr std::size_t kMaxColumns = 256;

template <class OnElement>
bool structs(ThriftReader& in, ThriftType type, OnElement on_element, std::size_t limit = kMaxElements) {
  std::size_t n = 0;
  if (!in.begin_list(type, ThriftType::kStruct, n) || n > limit) return in.fail();
  for (std::size_t i = 0; i < n; ++i) {
    if (!in.begin_struct(ThriftType::kStruct) || !on_element()) return in.fail();
  }
  return true;
}

bool text(ThriftReader& in, ThriftType type, std::string& out) {
  std::string_view s;
  if (!in.binary(type, s)) return false;
  out = s;
  return true;
}

template <class Enum>
bool enumerator(ThriftReader& in, ThriftType type, Enum& out) {
  std::int32_t v = 0;
  if (!in.integer32(type, v)) return false;
  out = static_cast<Enum>(v);
  return true;
}

bool read_schema_element(ThriftReader& in, SchemaColumn& c, std::int32_t& children) {
  bool typed = false;
  const bool ok = fields(in, [&](int f, ThriftType t) {
    std::int32_t repetition = 0;
    switch (f) {
      case 1:
        return typed = true, enumerator(in, t, c.type);
      case 3:
        if (!in.integer32(t, repetition) || repetition < 0 || repetition > 1) return false;
        c.nullable = repetition == 1;
        return true;
      case 4:
        return text(in, t, c.name);
      case 5:
        return in.integer32(t, children);
      default:
        return in.skip(t);
    }
  });
  return ok && typed == (children < 0);
}

bool read_schema(ThriftReader& in, ThriftType type, FileMeta& meta) {
  std::int32_t expected = -1;
  bool first = true;
  const bool ok = structs(in, type, [&] {
    SchemaColumn c;
    std::int32_t children = -1;
    if (!read_schema_element(in, c, children) || first != (children >= 0)) return false;
    if (!first) meta.schema.push_back(std::move(c));
    if (first) expected = children;
    first = false;
    return true;
  });
  return ok && expected >= 0 && meta.schema.size() == static_cast<std::size_t>(expected);
}

bool read_statistics(ThriftReader& in, ChunkMeta& c) {
  int bounds = 0;
  const bool ok = fields(in, [&](int f, ThriftType t) {
    switch (f) {
      case 3:
        return in.integer(t, c.nulls);
      case 5:
        return ++bounds, text(in, t, c.bounds.largest);
      case 6:
        return ++bounds, text(in, t, c.bounds.smallest);
      default:
        return in.skip(t);
    }
  });
  c.bounds.known = bounds == 2;
  return ok;
}

bool read_key_value(ThriftReader& in, std::pair<std::string, std::string>& kv) {
  return fields(in, [&](int f, ThriftType t) {
    if (f == 1) return text(in, t, kv.first);
    if (f == 2) return text(in, t, kv.second);
    return in.skip(t);
  });
}

bool read_chunk_keys(ThriftReader& in, ThriftType type, ChunkMeta& c) {
  return structs(in, type, [&] {
    std::pair<std::string, std::string> kv;
    if (!read_key_value(in, kv)) return false;
    if (kv.first == kBloomHashKey) c.bloom_xxh3_128 = std::move(kv.second);
    return true;
  });
}

// The first is that of the values.
bool read_encodings(ThriftReader& in, ThriftType type, ChunkMeta& c) {
  std::size_t n = 0;
  if (!in.begin_list(type, ThriftType::kI32, n) || n == 0 || n > 3) return in.fail();
  for (std::size_t i = 0; i < n; ++i) {
    std::int32_t v = 0;
    if (!in.integer32(ThriftType::kI32, v)) return false;
    if (i == 0) c.encoding = static_cast<Encoding>(v);
  }
  return true;
}

bool read_chunk_meta(ThriftReader& in, ChunkMeta& c) {
  return fields(in, [&](int f, ThriftType t) {
    switch (f) {
      case 1:
        return enumerator(in, t, c.type);
      case 2:
        return read_encodings(in, t, c);
      case 5:
        return in.integer(t, c.values);
      case 6:
        return in.integer(t, c.raw_bytes);
      case 7:
        return in.integer(t, c.stored_bytes);
      case 8:
        return read_chunk_keys(in, t, c);
      case 9:
        return in.integer(t, c.data_offset);
      case 11:
        return in.integer(t, c.dictionary_offset);
      case 12:
        return in.begin_struct(t) && read_statistics(in, c);
      case 14:
        return in.integer(t, c.bloom_at);
      case 15:
        return in.integer32(t, c.bloom_bytes);
      default:
        return in.skip(t);
    }
  });
}

bool read_chunk(ThriftReader& in, ChunkMeta& c) {
  bool has_meta = false;
  const bool ok = fields(in, [&](int f, ThriftType t) {
    switch (f) {
      case 3:
        return has_meta = true, in.begin_struct(t) && read_chunk_meta(in, c);
      case 4:
        return in.integer(t, c.offset_index_at);
      case 5:
        return in.integer32(t, c.offset_index_bytes);
      case 6:
        return in.integer(t, c.column_index_at);
      case 7:
        return in.integer32(t, c.column_index_bytes);
      default:
        return in.skip(t);
    }
  });
  return ok && has_meta;
}

bool read_sorting(ThriftReader& in, SortedBy& s) {
  return fields(in, [&](int f, ThriftType t) {
    std::int32_t column = 0;
    if (f == 2) return in.flag(t, s.descending);
    if (f == 3) return in.flag(t, s.nulls_first);
    if (f != 1) return in.skip(t);
    if (!in.integer32(t, column) || column < 0) return false;
    s.column = static_cast<std::size_t>(column);
    return true;
  });
}

bool read_group(ThriftReader& in, GroupMeta& g) {
  return fields(in, [&](int f, ThriftType t) {
    switch (f) {
      case 1:
        return structs(
            in, t, [&] { return read_chunk(in, g.columns.emplace_back()); }, kMaxColumns);
      case 2:
        return in.integer(t, g.raw_bytes);
      case 3:
        return in.integer(t, g.rows);
      case 4:
        return structs(
            in, t, [&] { return read_sorting(in, g.sorted_by.emplace_back()); }, kMaxColumns);
      case 5:
        return in.integer(t, g.offset);
      case 6:
        return in.integer(t, g.stored_bytes);
      default:
        return in.skip(t);
    }
  });
}

bool read_data_header(ThriftReader& in, PageHeader& h) {
  return fields(in, [&](int f, ThriftType t) {
    switch (f) {
      case 1:
        return in.integer32(t, h.values);
      case 2:
        return in.integer32(t, h.nulls);
      case 3:
        return in.integer32(t, h.rows);
      case 4:
        return enumerator(in, t, h.encoding);
      case 5:
        return in.integer32(t, h.level_bytes);
      case 7:
        return in.flag(t, h.compressed);
      default:
        return in.skip(t);
    }
  });
}

bool read_dictionary_header(ThriftReader& in, PageHeader& h) {
  return fields(in, [&](int f, ThriftType t) {
    if (f == 1) return in.integer32(t, h.values);
    if (f == 2) return enumerator(in, t, h.encoding);
    return in.skip(t);
  });
}

bool read_texts(ThriftReader& in, ThriftType type, std::vector<PageMeta>& pages, std::string Bounds::*bound) {
  std::size_t n = 0;
  if (!in.begin_list(type, ThriftType::kBinary, n) || n != pages.size()) return in.fail();
  for (auto& p : pages) {
    if (!text(in, ThriftType::kBinary, p.bounds.*bound)) return false;
  }
  return true;
}

bool read_null_pages(ThriftReader& in, ThriftType type, std::vector<PageMeta>& pages) {
  std::size_t n = 0;
  if (!in.begin_list(type, ThriftType::kTrue, n) || n != pages.size()) return in.fail();
  for (auto& p : pages) {
    if (!in.element_flag(p.all_null)) return false;
    p.bounds.known = !p.all_null;
  }
  return true;
}

bool read_null_counts(ThriftReader& in, ThriftType type, std::vector<PageMeta>& pages) {
  std::size_t n = 0;
  if (!in.begin_list(type, ThriftType::kI64, n) || n != pages.size()) return in.fail();
  for (auto& p : pages) {
    if (!in.integer(ThriftType::kI64, p.nulls)) return false;
  }
  return true;
}

}  // namespace

bool read_page_header(std::string_view bytes, PageHeader& h, std::size_t& used) {
  ThriftReader in(bytes);
  int body = 0;
  std::int32_t crc = 0;
  bool has_crc = false;
  const bool ok = fields(in, [&](int f, ThriftType t) {
    switch (f) {
      case 1:
        return enumerator(in, t, h.type);
      case 2:
        return in.integer32(t, h.raw_bytes);
      case 3:
        return in.integer32(t, h.stored_bytes);
      case 4:
        return has_crc = true, in.integer32(t, crc);
      case 7:
        return body = 7, in.begin_struct(t) && read_dictionary_header(in, h);
      case 8:
        return body = 8, in.begin_struct(t) && read_data_header(in, h);
      default:
        return in.skip(t);
    }
  });
  h.crc = static_cast<std::uint32_t>(crc);
  used = in.position();
  return ok && has_crc && body == (h.type == PageType::kDictionary ? 7 : 8);
}

bool read_file_meta(std::string_view bytes, FileMeta& meta, std::size_t& used) {
  ThriftReader in(bytes);
  const bool ok = fields(in, [&](int f, ThriftType t) {
    switch (f) {
      case 2:
        return meta.schema.empty() && read_schema(in, t, meta);
      case 3:
        return in.integer(t, meta.rows);
      case 4:
        return structs(in, t, [&] { return read_group(in, meta.groups.emplace_back()); });
      case 5:
        return structs(in, t, [&] { return read_key_value(in, meta.key_values.emplace_back()); });
      default:
        return in.skip(t);
    }
  });
  used = in.position();
  return ok && in.left() == 0;
}

bool read_offset_index(std::string_view bytes, ChunkMeta& chunk) {
  ThriftReader in(bytes);
  chunk.pages.clear();
  const bool ok = fields(in, [&](int field, ThriftType type) {
    if (field != 1) return in.skip(type);
    return structs(in, type, [&] {
      auto& p = chunk.pages.emplace_back();
      return fields(in, [&](int f, ThriftType t) {
        if (f == 1) return in.integer(t, p.offset);
        if (f == 2) return in.integer32(t, p.stored_bytes);
        if (f == 3) return in.integer(t, p.first_row);
        return in.skip(t);
      });
    });
  });
  return ok && in.left() == 0;
}

bool read_column_index(std::string_view bytes, ChunkMeta& chunk) {
  ThriftReader in(bytes);
  const bool ok = fields(in, [&](int f, ThriftType t) {
    switch (f) {
      case 1:
        return read_null_pages(in, t, chunk.pages);
      case 2:
        return read_texts(in, t, chunk.pages, &Bounds::smallest);
      case 3:
        return read_texts(in, t, chunk.pages, &Bounds::largest);
      case 5:
        return read_null_counts(in, t, chunk.pages);
      default:
        return in.skip(t);
    }
  });
  return ok && in.left() == 0;
}

}  // namespace perjoule::bus
