#include "bus/parquet_reader.hpp"

#include <zstd.h>

#include <algorithm>
#include <charconv>

#include "bus/encodings.hpp"
#include "bus/hash.hpp"
#include "bus/parquet_writer.hpp"

namespace perjoule::bus {
namespace {

constexpr std::string_view kMagic = "PAR1";
constexpr std::size_t kMaxColumns = 256;

ColumnType column_type_of(ParquetType type) {
  if (type == ParquetType::kInt64) return ColumnType::kInt64;
  if (type == ParquetType::kDouble) return ColumnType::kDouble;
  return type == ParquetType::kBoolean ? ColumnType::kBool : ColumnType::kText;
}

bool is_known_type(ParquetType type) {
  return type == ParquetType::kInt64 || type == ParquetType::kDouble || type == ParquetType::kBoolean ||
         type == ParquetType::kByteArray;
}

struct ZstdDeleter {
  void operator()(ZSTD_DCtx* c) const { ZSTD_freeDCtx(c); }
};

// Decodes one column chunk into a Column. Positions are bytes of the file.
class ChunkDecoder {
 public:
  ChunkDecoder(const std::string& file, const ReadLimits& limits, const SchemaColumn& spec,
               const ChunkMeta& chunk, std::size_t rows)
      : file_(file), limits_(limits), spec_(spec), chunk_(chunk), rows_(rows) {}

  std::optional<SegmentFault> run(Column& out) {
    out_ = &out;
    out.type = column_type_of(chunk_.type);
    const bool dictionary = chunk_.dictionary_offset >= 0;
    at_ = static_cast<std::size_t>(dictionary ? chunk_.dictionary_offset : chunk_.data_offset);
    end_ = at_ + static_cast<std::size_t>(chunk_.stored_bytes);
    if (dictionary && !read_dictionary()) return fault();
    if (at_ != static_cast<std::size_t>(chunk_.data_offset))
      return fault("pages do not begin where the footer says");
    while (done_ < rows_) {
      if (!read_page()) return fault();
    }
    if (at_ != end_) return fault("bytes after the last page");
    if (nulls_ != chunk_.nulls) return fault("the number of NULLs differs from the footer's");
    return std::nullopt;
  }
  const std::vector<PageMeta>& pages() const { return pages_; }

 private:
  std::optional<SegmentFault> fault(std::string why = {}) {
    return SegmentFault{page_at_, spec_.name, why.empty() ? why_ : std::move(why)};
  }
  bool bad(std::string why) { return why_ = std::move(why), false; }

  // Reads a header and its body, checks sizes and CRC; body_ then looks at the stored bytes.
  bool open_page(PageHeader& header) {
    page_at_ = at_;
    const std::string_view rest(file_.data() + at_, end_ - at_);
    std::size_t used = 0;
    if (!read_page_header(rest, header, used)) return bad("a page header cannot be read");
    if (header.stored_bytes < 0 || static_cast<std::size_t>(header.stored_bytes) > rest.size() - used) {
      return bad("a page is longer than its column");
    }
    if (header.raw_bytes < 0 || static_cast<std::size_t>(header.raw_bytes) > limits_.page_bytes) {
      return bad("a page's stated size is over the limit");
    }
    body_ = rest.substr(used, static_cast<std::size_t>(header.stored_bytes));
    if (crc32_of(body_) != header.crc) return bad("a page does not match its CRC");
    at_ += used + body_.size();
    return true;
  }

  // The frame must state the size expected, and hold it.
  bool inflate(std::string_view packed, std::size_t expected, std::string& out) {
    const auto stated = ZSTD_getFrameContentSize(packed.data(), packed.size());
    if (stated != expected) return bad("a page's compressed frame states another size");
    if (zstd_ == nullptr) zstd_.reset(ZSTD_createDCtx());
    PJ_CHECK(zstd_ != nullptr);
    out.resize(expected);
    const std::size_t n =
        ZSTD_decompressDCtx(zstd_.get(), out.data(), out.size(), packed.data(), packed.size());
    if (ZSTD_isError(n) != 0 || n != expected) return bad("a page cannot be inflated");
    return true;
  }

  bool read_dictionary() {
    PageHeader header;
    if (!open_page(header)) return false;
    if (header.type != PageType::kDictionary || header.encoding != Encoding::kPlain)
      return bad("not a dictionary page");
    auto arena = std::make_shared<std::string>();
    if (!inflate(body_, static_cast<std::size_t>(header.raw_bytes), *arena)) return false;
    if (header.values < 0 || static_cast<std::size_t>(header.values) > arena->size() / 4) {
      return bad("more dictionary entries than bytes");
    }
    ByteReader in(*arena);
    auto& texts = out_->dictionary;
    texts.reserve(static_cast<std::size_t>(header.values));
    for (std::int32_t i = 0; i < header.values; ++i) {
      std::uint32_t length = 0;
      std::string_view text;
      if (!in.raw(length) || !in.take(length, text)) return bad("a dictionary entry is cut short");
      if (!texts.empty() && !(texts.back() < text)) return bad("the dictionary is not sorted");
      texts.push_back(text);
    }
    out_->arena = std::move(arena);
    return in.left() == 0 || bad("bytes after the dictionary");
  }

  bool read_page() {
    PageHeader header;
    const std::size_t start = at_;
    if (!open_page(header)) return false;
    if (header.type != PageType::kDataV2 || header.encoding != encoding_of(out_->type)) {
      return bad("a page of a kind perjoule does not write");
    }
    const bool counts_fit = header.values > 0 && static_cast<std::size_t>(header.values) <= rows_ - done_ &&
                            header.rows == header.values && header.nulls >= 0 &&
                            header.nulls <= header.values;
    if (!counts_fit) return bad("a page's counts do not fit its column");
    PageMeta info;
    info.offset = static_cast<std::int64_t>(start);
    info.stored_bytes = static_cast<std::int32_t>(at_ - start);
    info.first_row = static_cast<std::int64_t>(done_);
    info.nulls = header.nulls;
    pages_.push_back(std::move(info));
    count_ = static_cast<std::size_t>(header.values);
    present_ = count_ - static_cast<std::size_t>(header.nulls);
    nulls_ += header.nulls;
    if (!read_levels(header) || !split_values(header) || !read_values()) return false;
    done_ += count_;
    return true;
  }

  bool read_levels(const PageHeader& header) {
    const auto bytes = static_cast<std::size_t>(header.level_bytes);
    if (header.level_bytes < 0 || bytes > body_.size() || header.level_bytes > header.raw_bytes) {
      return bad("a page's levels are longer than the page");
    }
    if (!spec_.nullable) return (bytes == 0 && header.nulls == 0) || bad("NULL in a column without NULL");
    levels_.resize(count_);
    ByteReader in(body_.substr(0, bytes));
    if (!decode_hybrid(in, 1, levels_)) return bad("a page's levels cannot be decoded");
    const auto zeros = std::count(levels_.begin(), levels_.end(), 0U);
    return zeros == header.nulls || bad("a page's levels and its number of NULLs differ");
  }

  bool split_values(const PageHeader& header) {
    const auto levels = static_cast<std::size_t>(header.level_bytes);
    const auto raw = static_cast<std::size_t>(header.raw_bytes) - levels;
    values_ = body_.substr(levels);
    if (!header.compressed) return values_.size() == raw || bad("a stored page's two sizes differ");
    if (!inflate(values_, raw, inflated_)) return false;
    values_ = inflated_;
    return true;
  }

  bool read_values() {
    switch (out_->type) {
      case ColumnType::kInt64:
        return read_ints();
      case ColumnType::kDouble:
        return read_doubles();
      case ColumnType::kBool:
        return read_bools();
      case ColumnType::kText:
        return read_codes();
    }
    return false;
  }

  // Moves the `present_` values at the end of the column so that NULL rows get `null`.
  template <class T>
  void spread(std::vector<T>& column, T null) {
    if (present_ == count_) return;
    column.resize(done_ + count_, null);
    std::size_t from = present_;
    for (std::size_t i = count_; i-- > 0;) {
      column[done_ + i] = levels_[i] != 0 ? column[done_ + --from] : null;
    }
  }

  void mark_valid() {
    if (present_ == count_ && out_->valid.empty()) return;
    if (out_->valid.empty()) out_->valid.assign(done_, 1);
    for (std::size_t i = 0; i < count_; ++i) {
      out_->valid.push_back(spec_.nullable ? static_cast<std::uint8_t>(levels_[i]) : std::uint8_t{1});
    }
  }

  bool read_ints() {
    out_->ints.resize(done_ + present_);
    ByteReader in(values_);
    if (!decode_delta(in, std::span(out_->ints).subspan(done_))) return bad("int64 values cannot be decoded");
    spread(out_->ints, std::int64_t{0});
    mark_valid();
    return true;
  }

  bool read_doubles() {
    if (values_.size() != present_ * sizeof(double)) return bad("doubles are cut short");
    out_->doubles.resize(done_ + present_);
    if (present_ != 0) std::memcpy(out_->doubles.data() + done_, values_.data(), values_.size());
    for (std::size_t i = done_; i < out_->doubles.size(); ++i) {
      if (std::isnan(out_->doubles[i])) return bad("a NaN, which perjoule stores as NULL");
    }
    spread(out_->doubles, std::numeric_limits<double>::quiet_NaN());
    return true;
  }

  bool read_bools() {
    ByteReader in(values_);
    std::uint32_t bytes = 0;
    if (!in.raw(bytes) || bytes != in.left()) return bad("flags have a wrong length");
    std::vector<std::uint32_t> flags(present_);
    if (!decode_hybrid(in, 1, flags)) return bad("flags cannot be decoded");
    for (const auto f : flags) out_->bools.push_back(static_cast<std::uint8_t>(f));
    spread(out_->bools, std::uint8_t{0});
    mark_valid();
    return true;
  }

  bool read_codes() {
    ByteReader in(values_);
    std::uint8_t width = 0;
    if (!in.raw(width)) return bad("a page of codes is empty");
    out_->codes.resize(done_ + present_);
    const auto codes = std::span(out_->codes).subspan(done_);
    if (!decode_hybrid(in, width, codes)) return bad("codes cannot be decoded");
    const auto entries = out_->dictionary.size();
    if (std::any_of(codes.begin(), codes.end(), [&](auto c) { return c >= entries; })) {
      return bad("a code beyond the dictionary");
    }
    spread(out_->codes, kNullCode);
    return true;
  }

  const std::string& file_;
  const ReadLimits& limits_;
  const SchemaColumn& spec_;
  const ChunkMeta& chunk_;
  const std::size_t rows_;
  std::unique_ptr<ZSTD_DCtx, ZstdDeleter> zstd_;
  Column* out_ = nullptr;
  std::size_t at_ = 0, end_ = 0, page_at_ = 0, done_ = 0, count_ = 0, present_ = 0;
  std::int64_t nulls_ = 0;
  std::string_view body_, values_;
  std::string inflated_, why_;
  std::vector<std::uint32_t> levels_;
  std::vector<PageMeta> pages_;
};

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

std::optional<int> parse_version(const std::string& text) {
  int v = 0;
  const auto [end, ec] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (ec != std::errc{} || end != text.data() + text.size() || v < 1) return std::nullopt;
  return v;
}

}  // namespace

ParquetFile::ParquetFile(std::string bytes, std::string name, ReadLimits limits)
    : bytes_(std::move(bytes)), name_(std::move(name)), limits_(limits) {}

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
  ParquetFile file(std::move(bytes), std::move(name), limits);
  const auto found = file.load();
  const auto version = parse_version(file.version_);
  if (version.has_value() && *version > kFormatVersion) {
    return base::bad_input(
        "read a segment", file.name_,
        "format " + file.version_ + " is newer than this perjoule's " + std::to_string(kFormatVersion),
        "Upgrade perjoule");
  }
  if (!found.has_value()) return file;
  if (fault != nullptr) *fault = *found;
  return file.error_of(*found);
}

std::optional<SegmentFault> ParquetFile::load_footer() {
  const std::size_t n = bytes_.size();
  if (n < 12) return SegmentFault{n, {}, "too short for a Parquet file"};
  if (!bytes_.starts_with(kMagic)) return SegmentFault{0, {}, "does not begin with PAR1"};
  if (!bytes_.ends_with(kMagic))
    return SegmentFault{n - 4, {}, "does not end with PAR1: cut short or overwritten"};
  std::uint32_t footer = 0;
  std::memcpy(&footer, bytes_.data() + n - 8, 4);
  if (footer > n - 12) return SegmentFault{n - 8, {}, "the footer is longer than the file"};
  footer_at_ = n - 8 - footer;
  std::size_t used = 0;
  if (!read_file_meta(std::string_view(bytes_).substr(footer_at_, footer), meta_, used)) {
    return SegmentFault{footer_at_ + used, {}, "the footer cannot be read"};
  }
  return std::nullopt;
}

std::optional<SegmentFault> ParquetFile::load() {
  if (auto f = load_footer()) return f;
  const auto wrong = [&](std::string why) { return SegmentFault{footer_at_, {}, std::move(why)}; };
  const auto* version = find_value(meta_, kVersionKey);
  const auto* table = find_value(meta_, kTableKey);
  if (version == nullptr || table == nullptr) return wrong("not written by perjoule: its keys are missing");
  version_ = *version;
  table_ = *table;
  const auto number = parse_version(version_);
  if (!number.has_value()) return wrong("the format version is not a number");
  if (*number > kFormatVersion) return wrong("newer format");
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
  return std::nullopt;
}

std::optional<SegmentFault> ParquetFile::check_group(const GroupMeta& g) const {
  const auto wrong = [&](const ChunkMeta* c, std::string why) {
    return SegmentFault{footer_at_, c == nullptr ? std::string{} : c->name, std::move(why)};
  };
  if (g.rows <= 0 || static_cast<std::uint64_t>(g.rows) > limits_.group_rows)
    return wrong(nullptr, "a wrong number of rows");
  if (g.columns.size() != meta_.schema.size()) return wrong(nullptr, "a row group lacks columns");
  for (std::size_t i = 0; i < g.columns.size(); ++i) {
    const auto& c = g.columns[i];
    if (c.type != meta_.schema[i].type) return wrong(&c, "type differs from the schema");
    if (c.values != g.rows) return wrong(&c, "a wrong number of values");
    const bool dictionary = c.dictionary_offset >= 0;
    if (dictionary != (c.type == ParquetType::kByteArray))
      return wrong(&c, "a dictionary is missing or too many");
    const std::int64_t start = dictionary ? c.dictionary_offset : c.data_offset;
    if (c.data_offset < start || !is_inside(start, c.stored_bytes, footer_at_))
      return wrong(&c, "lies outside the file");
    if (c.data_offset - start > c.stored_bytes) return wrong(&c, "its pages lie outside it");
  }
  return std::nullopt;
}

base::Result<Batch> ParquetFile::read(std::size_t group, std::span<const std::size_t> columns) const {
  PJ_CHECK(group < meta_.groups.size());
  const auto& g = meta_.groups[group];
  Batch batch;
  batch.rows = static_cast<std::size_t>(g.rows);
  for (const auto i : columns) {
    PJ_CHECK(i < meta_.schema.size());
    ChunkDecoder decoder(bytes_, limits_, meta_.schema[i], g.columns[i], batch.rows);
    if (const auto f = decoder.run(batch.columns.emplace_back())) return error_of(*f);
  }
  return batch;
}

std::optional<SegmentFault> ParquetFile::check() const {
  for (const auto& g : meta_.groups) {
    for (std::size_t i = 0; i < g.columns.size(); ++i) {
      if (auto f = check_chunk(meta_.schema[i], g.columns[i], g.rows)) return f;
    }
  }
  return std::nullopt;
}

std::optional<SegmentFault> ParquetFile::check_chunk(const SchemaColumn& column, const ChunkMeta& chunk,
                                                     std::int64_t rows) const {
  ChunkDecoder decoder(bytes_, limits_, column, chunk, static_cast<std::size_t>(rows));
  Column decoded;
  if (auto f = decoder.run(decoded)) return f;
  return check_index(chunk, decoder.pages());
}

std::optional<SegmentFault> ParquetFile::check_index(const ChunkMeta& chunk,
                                                     const std::vector<PageMeta>& pages) const {
  const auto wrong = [&](std::int64_t at, std::string why) {
    return SegmentFault{static_cast<std::uint64_t>(std::max<std::int64_t>(at, 0)), chunk.name,
                        std::move(why)};
  };
  ChunkMeta index;
  const std::string_view file(bytes_);
  const auto at = chunk.offset_index_at;
  if (!is_inside(at, chunk.offset_index_bytes, footer_at_))
    return wrong(at, "the page index lies outside the file");
  const auto slice = [&](std::int64_t from, std::int32_t n) {
    return file.substr(static_cast<std::size_t>(from), static_cast<std::size_t>(n));
  };
  if (!read_offset_index(slice(at, chunk.offset_index_bytes), index))
    return wrong(at, "the page index cannot be read");
  const bool same = std::equal(pages.begin(), pages.end(), index.pages.begin(), index.pages.end(),
                               [](const PageMeta& a, const PageMeta& b) {
                                 return a.offset == b.offset && a.stored_bytes == b.stored_bytes &&
                                        a.first_row == b.first_row;
                               });
  if (!same) return wrong(at, "the page index differs from the pages");
  const auto bounds_at = chunk.column_index_at;
  if (bounds_at < 0) return std::nullopt;
  if (!is_inside(bounds_at, chunk.column_index_bytes, footer_at_) ||
      !read_column_index(slice(bounds_at, chunk.column_index_bytes), index)) {
    return wrong(bounds_at, "the column index cannot be read");
  }
  const bool same_nulls = std::equal(pages.begin(), pages.end(), index.pages.begin(),
                                     [](const PageMeta& a, const PageMeta& b) { return a.nulls == b.nulls; });
  if (!same_nulls) return wrong(bounds_at, "the column index differs from the pages");
  return std::nullopt;
}

std::optional<std::pair<std::int64_t, std::int64_t>> ParquetFile::int_bounds(std::size_t group,
                                                                             std::size_t column) const {
  const auto& b = meta_.groups[group].columns[column].bounds;
  if (!b.known || b.smallest.size() != 8 || b.largest.size() != 8) return std::nullopt;
  std::int64_t lo = 0, hi = 0;
  std::memcpy(&lo, b.smallest.data(), 8);
  std::memcpy(&hi, b.largest.data(), 8);
  return std::pair{lo, hi};
}

}  // namespace perjoule::bus
