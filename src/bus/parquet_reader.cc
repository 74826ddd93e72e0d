#include "bus/parquet_reader.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/assert.hpp"
#include "bus/bloom.hpp"
#include "bus/chunk_decoder.hpp"
#include "bus/hash.hpp"
#include "bus/parquet_writer.hpp"

namespace perjoule::bus {
namespace {

constexpr std::string_view kMagic = "PAR1";
constexpr std::size_t kMaxColumns = 256;

bool is_known_type(ParquetType type) {
  return type == ParquetType::kInt64 || type == ParquetType::kDouble || type == ParquetType::kBoolean ||
         type == ParquetType::kByteArray;
}

// Is [from, from + bytes) inside [0, end)?
bool is_inside(std::int64_t from, std::int64_t bytes, std::size_t end) {
  return from >= 0 && bytes >= 0 && static_cast<std::uint64_t>(from) <= end &&
         static_cast<std::uint64_t>(bytes) <= end - static_cast<std::uint64_t>(from);
}

const std::string* find_value(const FileMeta& meta, std::string_view key) {
  for (const auto& [k, v] : meta.key_values) {
    if (k == key) return &v;
  }
  return nullptr;
}

// 0 for what is no version.
int parse_version(const std::string& text) {
  int v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  return ec == std::errc{} && end == text.data() + text.size() && v > 0 ? v : 0;
}

SegmentFault fault_at(std::int64_t byte, std::string column, std::string why) {
  return {static_cast<std::uint64_t>(std::max<std::int64_t>(byte, 0)), std::move(column), std::move(why)};
}

std::optional<IntBounds> as_ints(const Bounds& b) {
  if (!b.known || b.smallest.size() != 8 || b.largest.size() != 8) return std::nullopt;
  IntBounds out;
  std::memcpy(&out.first, b.smallest.data(), 8);
  std::memcpy(&out.second, b.largest.data(), 8);
  return out;
}

std::optional<TextBounds> as_texts(const Bounds& b) {
  if (!b.known) return std::nullopt;
  return TextBounds{b.smallest, b.largest};
}

}  // namespace

FileBytes FileBytes::of(std::string bytes) {
  auto owner = std::make_shared<const std::string>(std::move(bytes));
  const std::string_view view = *owner;
  return {std::move(owner), view};
}

base::Result<FileBytes> FileBytes::of(std::unique_ptr<base::ReadableFile> file) {
  PJ_ASSIGN(const std::string_view view, file->map());
  return FileBytes{std::shared_ptr<const base::ReadableFile>(std::move(file)), view};
}

ParquetFile::ParquetFile(FileBytes bytes, std::string name, ReadLimits limits)
    : file_(std::move(bytes)), name_(std::move(name)), limits_(limits) {}

base::Error ParquetFile::error_of(const SegmentFault& f) const {
  std::string where = name_;
  if (!table_.empty()) where += ": table " + table_;
  if (!f.column.empty()) where += ", column " + f.column;
  where += ", byte " + std::to_string(f.byte);
  return base::corrupt("read a segment", std::move(where), f.why,
                       "Run perjoule audit to list every damaged file");
}

base::Result<ParquetFile> ParquetFile::open(std::string bytes, std::string name, ReadLimits limits,
                                            SegmentFault* fault) {
  return open(FileBytes::of(std::move(bytes)), std::move(name), {}, limits, fault);
}

base::Result<ParquetFile> ParquetFile::open(FileBytes bytes, std::string name, const TailHash& tail,
                                            ReadLimits limits, SegmentFault* fault) {
  ParquetFile file(std::move(bytes), std::move(name), limits);
  const auto found = file.load(tail);
  if (file.version_ > kFormatVersion) {
    return base::bad_input("read a segment", file.name_,
                           "format " + std::to_string(file.version_) + " is newer than this perjoule's " +
                               std::to_string(kFormatVersion),
                           "Upgrade perjoule");
  }
  if (!found.has_value()) return file;
  if (fault != nullptr) *fault = *found;
  return file.error_of(*found);
}

std::optional<SegmentFault> ParquetFile::check_tail(const TailHash& tail) const {
  const std::size_t n = file_.bytes.size();
  if (tail.bytes == 0) return std::nullopt;
  if (tail.bytes > n) return SegmentFault{n, {}, "shorter than its page index and footer"};
  const std::size_t at = n - static_cast<std::size_t>(tail.bytes);
  if (xxh3_128_of(file_.bytes.substr(at)) == tail.xxh3_128) return std::nullopt;
  return SegmentFault{at, {}, "page index and footer do not match the manifest's hash of them"};
}

std::optional<SegmentFault> ParquetFile::load_footer() {
  const std::string_view all = file_.bytes;
  const std::size_t n = all.size();
  if (n < 12) return SegmentFault{n, {}, "too short for a Parquet file"};
  if (!all.starts_with(kMagic)) return SegmentFault{0, {}, "does not begin with PAR1"};
  if (!all.ends_with(kMagic))
    return SegmentFault{n - 4, {}, "does not end with PAR1: cut short or overwritten"};
  std::uint32_t footer = 0;
  std::memcpy(&footer, all.data() + n - 8, 4);
  if (footer > n - 12) return SegmentFault{n - 8, {}, "the footer is longer than the file"};
  footer_at_ = n - 8 - footer;
  std::size_t used = 0;
  if (!read_file_meta(all.substr(footer_at_, footer), meta_, used))
    return SegmentFault{footer_at_ + used, {}, "the footer cannot be read"};
  return std::nullopt;
}

std::optional<SegmentFault> ParquetFile::load_keys() {
  const auto wrong = [&](std::string why) { return SegmentFault{footer_at_, {}, std::move(why)}; };
  const auto* version = find_value(meta_, kVersionKey);
  const auto* table = find_value(meta_, kTableKey);
  if (version == nullptr || table == nullptr) return wrong("not written by perjoule: its keys are missing");
  table_ = *table;
  version_ = parse_version(*version);
  if (version_ == 0) return wrong("the format version is not a number");
  if (version_ > kFormatVersion) return wrong("newer format");
  return std::nullopt;
}

std::optional<SegmentFault> ParquetFile::load(const TailHash& tail) {
  const auto of_tail = check_tail(tail);
  // What is wrong is told from the bytes where they tell it.
  if (auto f = load_footer()) return f;
  if (auto f = load_keys()) return f;
  if (of_tail.has_value()) return of_tail;
  const auto wrong = [&](std::string why) { return SegmentFault{footer_at_, {}, std::move(why)}; };
  if (meta_.schema.empty() || meta_.schema.size() > kMaxColumns) return wrong("a wrong number of columns");
  for (const auto& c : meta_.schema) {
    if (!is_known_type(c.type)) return SegmentFault{footer_at_, c.name, "a type perjoule does not write"};
  }
  std::int64_t rows = 0;
  for (const auto& g : meta_.groups) {
    if (auto f = check_group(g)) return f;
    rows += g.rows;  // below 2^20 each, so the sum cannot overflow
  }
  if (rows != meta_.rows) return wrong("the row groups' rows do not add up to the file's");
  bloom_is_whole_ = std::make_unique<std::atomic<bool>[]>(meta_.groups.size() * meta_.schema.size());
  whole_pages_ = std::make_unique<std::atomic<std::uint64_t>[]>(meta_.groups.size() * meta_.schema.size());
  inflated_ = std::make_unique<InflatedPages>();
  return std::nullopt;
}

std::optional<SegmentFault> ParquetFile::check_group(const GroupMeta& g) const {
  const auto wrong = [&](std::string column, std::string why) {
    return SegmentFault{footer_at_, std::move(column), std::move(why)};
  };
  if (g.rows <= 0 || static_cast<std::uint64_t>(g.rows) > limits_.group_rows)
    return wrong({}, "a wrong number of rows");
  if (g.columns.size() != meta_.schema.size()) return wrong({}, "a row group lacks columns");
  for (const auto& s : g.sorted_by) {
    if (s.column >= g.columns.size()) return wrong({}, "sorted by a column that is not there");
  }
  for (std::size_t i = 0; i < g.columns.size(); ++i) {
    const auto& c = g.columns[i];
    if (c.type != meta_.schema[i].type) return wrong(c.name, "type differs from the schema");
    if (!may_encode(c.type, c.encoding)) return wrong(c.name, "an encoding perjoule does not write");
    if (c.values != g.rows) return wrong(c.name, "a wrong number of values");
    if (std::string why = check_places(c); !why.empty()) return wrong(c.name, std::move(why));
  }
  return std::nullopt;
}

// Does everything the chunk names lie before the footer? What is wrong, or nothing.
std::string ParquetFile::check_places(const ChunkMeta& c) const {
  const bool dictionary = c.dictionary_offset >= 0;
  if (dictionary != (c.type == ParquetType::kByteArray)) return "a dictionary is missing or too many";
  const std::int64_t start = dictionary ? c.dictionary_offset : c.data_offset;
  if (c.data_offset < start || !is_inside(start, c.stored_bytes, footer_at_)) return "lies outside the file";
  if (c.data_offset - start > c.stored_bytes) return "its pages lie outside it";
  if (!is_inside(c.offset_index_at, c.offset_index_bytes, footer_at_))
    return "the page index lies outside the file";
  if (c.column_index_at >= 0 && !is_inside(c.column_index_at, c.column_index_bytes, footer_at_))
    return "the column index lies outside the file";
  if (c.bloom_at >= 0 && !is_inside(c.bloom_at, c.bloom_bytes, footer_at_))
    return "the Bloom filter lies outside the file";
  return {};
}

std::string_view ParquetFile::slice(std::int64_t from, std::int32_t bytes) const {
  return file_.bytes.substr(static_cast<std::size_t>(from), static_cast<std::size_t>(bytes));
}

std::optional<SegmentFault> ParquetFile::read_index(const ChunkMeta& chunk,
                                                    std::vector<PageMeta>& pages) const {
  ChunkMeta index;
  const auto wrong = [&](std::string why) {
    return fault_at(chunk.offset_index_at, chunk.name, std::move(why));
  };
  if (!read_offset_index(slice(chunk.offset_index_at, chunk.offset_index_bytes), index))
    return wrong("the page index cannot be read");
  if (!pages_tile(chunk, index.pages)) return wrong("the page index does not fit the column");
  pages = std::move(index.pages);
  return std::nullopt;
}

std::optional<SegmentFault> ParquetFile::read_bounds(const ChunkMeta& chunk,
                                                     std::vector<PageMeta>& pages) const {
  if (chunk.column_index_at < 0) return std::nullopt;
  ChunkMeta index;
  index.pages = std::move(pages);
  const bool ok = read_column_index(slice(chunk.column_index_at, chunk.column_index_bytes), index);
  pages = std::move(index.pages);
  if (ok) return std::nullopt;
  return fault_at(chunk.column_index_at, chunk.name, "the column index cannot be read");
}

base::Result<std::vector<PageMeta>> ParquetFile::pages(std::size_t group, std::size_t column) const {
  PJ_CHECK(group < meta_.groups.size() && column < meta_.schema.size());
  const ChunkMeta& chunk = meta_.groups[group].columns[column];
  std::vector<PageMeta> pages;
  auto fault = read_index(chunk, pages);
  if (!fault.has_value()) fault = read_bounds(chunk, pages);
  if (fault.has_value()) return error_of(*fault);
  return pages;
}

base::Result<Batch> ParquetFile::read(std::size_t group, std::span<const std::size_t> columns,
                                      RowRange rows) const {
  PJ_CHECK(group < meta_.groups.size());
  const auto& g = meta_.groups[group];
  rows.to = std::min(rows.to, static_cast<std::size_t>(g.rows));
  rows.from = std::min(rows.from, rows.to);
  Batch batch;
  batch.rows = rows.to - rows.from;
  std::vector<PageMeta> pages;
  for (const auto i : columns) {
    PJ_CHECK(i < meta_.schema.size());
    if (const auto f = read_index(g.columns[i], pages)) return error_of(*f);
    ChunkDecoder decoder(file_.bytes, limits_, meta_.schema[i], g.columns[i], pages);
    if (const auto f = decoder.run(rows, batch.columns.emplace_back())) return error_of(*f);
  }
  return batch;
}

template <class Run>
base::Status ParquetFile::decode(std::size_t group, std::size_t column, RowRange rows, std::uint64_t* bytes,
                                 Run&& run) const {
  PJ_CHECK(group < meta_.groups.size() && column < meta_.schema.size());
  const auto& g = meta_.groups[group];
  rows.to = std::min(rows.to, static_cast<std::size_t>(g.rows));
  rows.from = std::min(rows.from, rows.to);
  std::vector<PageMeta> pages;
  if (const auto f = read_index(g.columns[column], pages)) return error_of(*f);
  ChunkDecoder decoder(file_.bytes, limits_, meta_.schema[column], g.columns[column], pages);
  decoder.remember_pages(&whole_pages_[group * meta_.schema.size() + column]);
  if (meta_.schema[column].type == ParquetType::kByteArray) decoder.keep_pages(inflated_.get());
  if (const std::optional<SegmentFault> f = run(decoder, rows)) return error_of(*f);
  if (bytes != nullptr) *bytes += decoder.bytes_read();
  return base::ok_status();
}

base::Status ParquetFile::read_again(std::size_t group, std::size_t column, RowRange rows, Column& out,
                                     std::size_t entries, std::uint64_t* bytes) const {
  return decode(group, column, rows, bytes,
                [&](ChunkDecoder& decoder, RowRange range) { return decoder.run(range, out, entries); });
}

base::Status ParquetFile::select(std::size_t group, std::size_t column, RowRange rows,
                                 std::span<const std::uint8_t> passes, std::vector<std::uint32_t>& selected,
                                 std::uint64_t* bytes) const {
  return decode(group, column, rows, bytes, [&](ChunkDecoder& decoder, RowRange range) {
    return decoder.select(range, passes, selected);
  });
}

base::Status ParquetFile::pick(std::size_t group, std::size_t column, RowRange rows,
                               std::span<const std::uint32_t> places, std::size_t entries,
                               std::vector<std::uint32_t>& codes, std::uint64_t* bytes) const {
  return decode(group, column, rows, bytes, [&](ChunkDecoder& decoder, RowRange range) {
    return decoder.pick(range, places, entries, codes);
  });
}

std::optional<IntBounds> ParquetFile::int_bounds(std::size_t group, std::size_t column) const {
  const auto& chunk = meta_.groups[group].columns[column];
  return chunk.type == ParquetType::kInt64 ? as_ints(chunk.bounds) : std::nullopt;
}

std::optional<IntBounds> ParquetFile::int_bounds(std::size_t group, std::size_t page,
                                                 std::size_t column) const {
  const auto all = pages(group, column);
  if (!all.ok() || page >= all->size() || meta_.schema[column].type != ParquetType::kInt64)
    return std::nullopt;
  return as_ints((*all)[page].bounds);
}

std::optional<TextBounds> ParquetFile::text_bounds(std::size_t group, std::size_t column) const {
  const auto& chunk = meta_.groups[group].columns[column];
  return chunk.type == ParquetType::kByteArray ? as_texts(chunk.bounds) : std::nullopt;
}

std::optional<TextBounds> ParquetFile::text_bounds(std::size_t group, std::size_t page,
                                                   std::size_t column) const {
  const auto all = pages(group, column);
  if (!all.ok() || page >= all->size() || meta_.schema[column].type != ParquetType::kByteArray)
    return std::nullopt;
  return as_texts((*all)[page].bounds);
}

std::optional<SegmentFault> ParquetFile::load_bloom(std::size_t group, std::size_t column,
                                                    std::string_view& bytes) const {
  const auto& chunk = meta_.groups[group].columns[column];
  bytes = slice(chunk.bloom_at, chunk.bloom_bytes);
  auto& is_whole = bloom_is_whole_[group * meta_.schema.size() + column];
  if (is_whole.load(std::memory_order_relaxed)) return std::nullopt;
  if (xxh3_128_of(bytes) != chunk.bloom_xxh3_128)
    return fault_at(chunk.bloom_at, chunk.name, "the Bloom filter does not match its hash");
  if (!BloomView::of(bytes).has_value())
    return fault_at(chunk.bloom_at, chunk.name, "the Bloom filter cannot be read");
  is_whole.store(true, std::memory_order_relaxed);
  return std::nullopt;
}

base::Result<bool> ParquetFile::may_contain(std::size_t group, std::size_t column,
                                            std::string_view text) const {
  PJ_CHECK(group < meta_.groups.size() && column < meta_.schema.size());
  const auto& chunk = meta_.groups[group].columns[column];
  PJ_CHECK(chunk.type == ParquetType::kByteArray);
  if (chunk.nulls == chunk.values) return false;
  if (chunk.bounds.known && (text < chunk.bounds.smallest || text > chunk.bounds.largest)) return false;
  if (chunk.bloom_at < 0) return true;
  std::string_view bytes;
  if (const auto f = load_bloom(group, column, bytes)) return error_of(*f);
  return BloomView::of(bytes)->may_contain(text);
}

bool ParquetFile::has_unread_bloom(std::size_t group, std::size_t column) const {
  return meta_.groups[group].columns[column].bloom_at >= 0 &&
         !bloom_is_whole_[group * meta_.schema.size() + column].load(std::memory_order_relaxed);
}

std::optional<SegmentFault> ParquetFile::check() const {
  for (std::size_t g = 0; g < meta_.groups.size(); ++g) {
    if (auto f = check(g)) return f;
  }
  return std::nullopt;
}

std::optional<SegmentFault> ParquetFile::check(std::size_t group) const {
  for (std::size_t i = 0; i < meta_.schema.size(); ++i) {
    if (auto f = check_chunk(group, i)) return f;
  }
  return std::nullopt;
}

TailHash ParquetFile::tail_hash() const {
  std::size_t at = footer_at_;
  for (const auto& g : meta_.groups) {
    for (const auto& c : g.columns) {
      for (const std::int64_t index : {c.offset_index_at, c.column_index_at}) {
        if (index >= 0) at = std::min(at, static_cast<std::size_t>(index));
      }
    }
  }
  const std::string_view tail = file_.bytes.substr(at);
  return {tail.size(), xxh3_128_of(tail)};
}

std::optional<SegmentFault> ParquetFile::check_chunk(std::size_t group, std::size_t column) const {
  const ChunkMeta& chunk = meta_.groups[group].columns[column];
  std::vector<PageMeta> pages;
  if (auto f = read_index(chunk, pages)) return f;
  ChunkDecoder decoder(file_.bytes, limits_, meta_.schema[column], chunk, pages);
  Column decoded;
  if (auto f = decoder.run({0, static_cast<std::size_t>(chunk.values)}, decoded)) return f;
  if (auto f = read_bounds(chunk, pages)) return f;
  for (std::size_t p = 0; p < pages.size() && chunk.column_index_at >= 0; ++p) {
    if (pages[p].nulls != decoder.nulls_of_pages()[p])
      return fault_at(chunk.column_index_at, chunk.name, "the column index differs from the pages");
  }
  return check_bloom(group, column, decoded);
}

std::optional<SegmentFault> ParquetFile::check_bloom(std::size_t group, std::size_t column,
                                                     const Column& decoded) const {
  const ChunkMeta& chunk = meta_.groups[group].columns[column];
  std::string_view bytes;
  if (chunk.bloom_at < 0) return std::nullopt;
  if (auto f = load_bloom(group, column, bytes)) return f;
  const auto bloom = BloomView::of(bytes);
  const auto& texts = decoded.dictionary;
  if (std::all_of(texts.begin(), texts.end(), [&](auto t) { return bloom->may_contain(t); }))
    return std::nullopt;
  return fault_at(chunk.bloom_at, chunk.name, "the Bloom filter lacks a text of the column");
}

}  // namespace perjoule::bus
