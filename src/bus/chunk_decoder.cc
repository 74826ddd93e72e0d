#include "bus/chunk_decoder.hpp"

#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <limits>

#include "base/assert.hpp"
#include "bus/code_pages.hpp"
#include "bus/encodings.hpp"
#include "bus/hash.hpp"
#include "bus/query_kernels.hpp"

namespace perjoule::bus {
namespace {

ColumnType column_type_of(ParquetType type) {
  if (type == ParquetType::kInt64) return ColumnType::kInt64;
  if (type == ParquetType::kDouble) return ColumnType::kDouble;
  return type == ParquetType::kBoolean ? ColumnType::kBool : ColumnType::kText;
}

// Keeps the rows [from, from + n) of the column.
template <class T>
void cut(std::vector<T>& v, std::size_t from, std::size_t n) {
  if (v.empty()) return;
  v.erase(v.begin(), v.begin() + static_cast<std::ptrdiff_t>(from));
  v.resize(n);
}

// A column that was used before may have more rows.
void trim(Column& c, std::size_t n) {
  c.ints.resize(c.type == ColumnType::kInt64 ? n : 0);
  c.doubles.resize(c.type == ColumnType::kDouble ? n : 0);
  c.codes.resize(c.type == ColumnType::kText ? n : 0);
}

}  // namespace

// One per thread: making a context takes longer than inflating a page.
class ChunkDecoder::Inflater {
 public:
  Inflater() : context_(ZSTD_createDCtx()) { PJ_CHECK(context_ != nullptr); }
  ~Inflater() { ZSTD_freeDCtx(context_); }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  bool run(std::string_view packed, char* out, std::size_t bytes) {
    const std::size_t n = ZSTD_decompressDCtx(context_, out, bytes, packed.data(), packed.size());
    return ZSTD_isError(n) == 0 && n == bytes;
  }
  // Memory for numbers on their way, which is kept.
  std::vector<std::uint64_t>& planes() { return planes_; }
  // Room for a page; what it held is gone at the next call.
  char* room(std::size_t bytes) {
    if (bytes > size_) room_ = std::make_unique_for_overwrite<char[]>(size_ = bytes);
    return room_.get();
  }

 private:
  ZSTD_DCtx* context_;
  std::unique_ptr<char[]> room_;
  std::vector<std::uint64_t> planes_;
  std::size_t size_ = 0;
};

ChunkDecoder::Inflater& ChunkDecoder::inflater() {
  thread_local Inflater one;
  return one;
}

bool pages_tile(const ChunkMeta& chunk, const std::vector<PageMeta>& pages) {
  const bool dictionary = chunk.dictionary_offset >= 0;
  std::int64_t at = chunk.data_offset, row = -1;
  const std::int64_t end = (dictionary ? chunk.dictionary_offset : at) + chunk.stored_bytes;
  for (const auto& p : pages) {
    const bool follows = p.offset == at && p.stored_bytes > 0 && p.stored_bytes <= end - at;
    const bool has_rows = row < 0 ? p.first_row == 0 : p.first_row > row;
    if (!follows || !has_rows || p.first_row >= chunk.values) return false;
    at += p.stored_bytes;
    row = p.first_row;
  }
  return !pages.empty() && at == end;
}

ChunkDecoder::ChunkDecoder(std::string_view file, const ReadLimits& limits, const SchemaColumn& spec,
                           const ChunkMeta& chunk, const std::vector<PageMeta>& pages)
    : file_(file), limits_(limits), spec_(spec), chunk_(chunk), pages_(pages), nulls_of_(pages.size(), -1) {}
ChunkDecoder::~ChunkDecoder() = default;

std::size_t ChunkDecoder::rows_of(std::size_t page) const {
  const std::int64_t end = page + 1 < pages_.size() ? pages_[page + 1].first_row : chunk_.values;
  return static_cast<std::size_t>(end - pages_[page].first_row);
}

std::optional<SegmentFault> ChunkDecoder::run(RowRange wanted, Column& out, std::size_t entries) {
  out_ = &out;
  out.type = column_type_of(chunk_.type);
  out.bools.clear();
  out.valid.clear();
  out.dictionary.clear();
  entries_ = entries;
  if (chunk_.dictionary_offset >= 0 && entries == kReadDictionary && !read_dictionary()) return fault();
  std::size_t skipped = 0;
  std::int64_t nulls = 0;
  bool all = true;
  for (std::size_t p = 0; p < pages_.size(); ++p) {
    const auto first = static_cast<std::size_t>(pages_[p].first_row);
    const bool needed = first < wanted.to && first + rows_of(p) > wanted.from;
    all = all && needed;
    if (!needed) continue;
    if (done_ == 0) skipped = wanted.from - std::min(wanted.from, first);
    if (!read_page(p)) return fault();
    nulls += nulls_of_[p];
  }
  if (all && nulls != chunk_.nulls) return bad("the number of NULLs differs from the footer's"), fault();
  const std::size_t n = wanted.to - wanted.from;
  if (n != done_) {
    cut(out.ints, skipped, n);
    cut(out.doubles, skipped, n);
    cut(out.bools, skipped, n);
    cut(out.codes, skipped, n);
    cut(out.valid, skipped, n);
  } else {
    trim(out, n);
  }
  return std::nullopt;
}

// Reads the header and the body of the page that takes exactly these bytes; body_ then looks at the stored
// bytes. The header has no checksum: its bytes must be the ones the writer makes of what they say, and what
// they say must fit the page index and the body, so that no change of them passes.
bool ChunkDecoder::open_page(std::int64_t at, std::int64_t bytes, PageHeader& header, std::size_t bit) {
  page_at_ = static_cast<std::size_t>(at);
  bytes_read_ += static_cast<std::uint64_t>(bytes);
  const std::string_view page = file_.substr(page_at_, static_cast<std::size_t>(bytes));
  std::size_t used = 0;
  if (!read_page_header(page, header, used)) return bad("a page header cannot be read");
  header_.clear();
  write_page_header(header, header_);
  if (page.substr(0, used) != header_) return bad("a page header of a form perjoule does not write");
  body_ = page.substr(used);
  if (header.stored_bytes < 0 || static_cast<std::size_t>(header.stored_bytes) != body_.size())
    return bad("a page's stated size is not the one in the page index");
  if (header.raw_bytes < 0 || static_cast<std::size_t>(header.raw_bytes) > limits_.page_bytes)
    return bad("a page's stated size is over the limit");
  const std::uint64_t mask = bit < 64 ? std::uint64_t{1} << bit : 0;
  if (whole_ != nullptr && (whole_->load(std::memory_order_relaxed) & mask) != 0) return true;
  if (crc32_of(body_) != header.crc) return bad("a page does not match its CRC");
  if (whole_ != nullptr) whole_->fetch_or(mask, std::memory_order_relaxed);
  return true;
}

// The frame must state the size expected, and hold it.
bool ChunkDecoder::inflate(std::string_view packed, std::size_t expected, char* out) {
  if (ZSTD_getFrameContentSize(packed.data(), packed.size()) != expected)
    return bad("a page's compressed frame states another size");
  return inflater().run(packed, out, expected) || bad("a page cannot be inflated");
}

bool ChunkDecoder::read_dictionary() {
  PageHeader header;
  if (!open_page(chunk_.dictionary_offset, chunk_.data_offset - chunk_.dictionary_offset, header,
                 pages_.size()))
    return false;
  if (header.type != PageType::kDictionary || header.encoding != Encoding::kPlain)
    return bad("not a dictionary page");
  auto arena = std::make_shared<std::string>();
  if (ZSTD_getFrameContentSize(body_.data(), body_.size()) != static_cast<std::uint64_t>(header.raw_bytes))
    return bad("a page's compressed frame states another size");
  arena->resize(static_cast<std::size_t>(header.raw_bytes));
  if (!inflate(body_, arena->size(), arena->data())) return false;
  if (header.values < 0 || static_cast<std::size_t>(header.values) > arena->size() / 4)
    return bad("more dictionary entries than bytes");
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
  entries_ = texts.size();
  return in.left() == 0 || bad("bytes after the dictionary");
}

bool ChunkDecoder::open_values(std::size_t page) {
  PageHeader header;
  if (!open_page(pages_[page].offset, pages_[page].stored_bytes, header, page)) return false;
  if (header.type != PageType::kDataV2 || header.encoding != chunk_.encoding)
    return bad("a page of a kind perjoule does not write");
  count_ = rows_of(page);
  const bool counts_fit = header.values > 0 && static_cast<std::size_t>(header.values) == count_ &&
                          header.rows == header.values && header.nulls >= 0 && header.nulls <= header.values;
  if (!counts_fit) return bad("a page's counts are not those of the page index");
  present_ = count_ - static_cast<std::size_t>(header.nulls);
  nulls_of_[page] = header.nulls;
  return read_levels(header) && split_values(header);
}

bool ChunkDecoder::read_page(std::size_t page) {
  if (!open_values(page) || !read_values()) return false;
  done_ += count_;
  return true;
}

// The codes of the page that is open, NULLs among them.
bool ChunkDecoder::read_page_codes() {
  page_codes_.codes.clear();
  return read_codes();
}

std::optional<SegmentFault> ChunkDecoder::select(RowRange wanted, std::span<const std::uint8_t> passes,
                                                 std::vector<std::uint32_t>& selected) {
  out_ = &page_codes_;
  page_codes_.type = ColumnType::kText;
  entries_ = passes.size() - 1;
  for (std::size_t p = 0; p < pages_.size(); ++p) {
    const auto first = static_cast<std::size_t>(pages_[p].first_row);
    if (first >= wanted.to || first + rows_of(p) <= wanted.from) continue;
    if (!open_values(p) || !select_in_page(p, wanted, passes, selected)) return fault();
  }
  return std::nullopt;
}

bool ChunkDecoder::select_in_page(std::size_t page, RowRange wanted, std::span<const std::uint8_t> passes,
                                  std::vector<std::uint32_t>& selected) {
  const auto first = static_cast<std::uint32_t>(pages_[page].first_row);
  const auto begin = static_cast<std::ptrdiff_t>(selected.size());
  if (present_ == count_) {
    ByteReader in(values_);
    std::uint8_t width = 0;
    if (!in.raw(width)) return bad("a page of codes is empty");
    if (!select_codes(in, width, count_, passes.first(entries_), first, selected))
      return bad("codes cannot be decoded");
  } else {
    if (!read_page_codes()) return false;
    for (std::uint32_t i = 0; i < count_; ++i) {
      const std::uint32_t code = page_codes_.codes[i];
      if (passes[code == kNullCode ? entries_ : code] != 0) selected.push_back(first + i);
    }
  }
  // From rows of the chunk to those of `wanted`.
  const auto is_outside = [&](std::uint32_t row) { return row < wanted.from || row >= wanted.to; };
  if (first < wanted.from || first + count_ > wanted.to)
    selected.erase(std::remove_if(selected.begin() + begin, selected.end(), is_outside), selected.end());
  for (auto row = selected.begin() + begin; row != selected.end(); ++row)
    *row -= static_cast<std::uint32_t>(wanted.from);
  return true;
}

std::optional<SegmentFault> ChunkDecoder::pick(RowRange wanted, std::span<const std::uint32_t> rows,
                                               std::size_t entries, std::vector<std::uint32_t>& codes) {
  out_ = &page_codes_;
  page_codes_.type = ColumnType::kText;
  entries_ = entries;
  codes.resize(rows.size());
  std::size_t done = 0;
  for (std::size_t p = 0; p < pages_.size() && done < rows.size(); ++p) {
    const std::size_t end = static_cast<std::size_t>(pages_[p].first_row) + rows_of(p);
    const auto last = std::partition_point(rows.begin() + static_cast<std::ptrdiff_t>(done), rows.end(),
                                           [&](std::uint32_t row) { return row + wanted.from < end; });
    const auto n = static_cast<std::size_t>(last - rows.begin()) - done;
    if (n == 0) continue;
    if (!open_values(p) || !pick_in_page(p, wanted, rows.subspan(done, n), entries, codes.data() + done))
      return fault();
    done += n;
  }
  return std::nullopt;
}

bool ChunkDecoder::pick_in_page(std::size_t page, RowRange wanted, std::span<const std::uint32_t> rows,
                                std::size_t entries, std::uint32_t* codes) {
  const std::size_t offset = wanted.from - static_cast<std::size_t>(pages_[page].first_row);  // may wrap
  if (present_ == count_) {
    ByteReader in(values_);
    std::uint8_t width = 0;
    if (!in.raw(width)) return bad("a page of codes is empty");
    return pick_codes(in, width, count_, rows, offset, entries, codes) || bad("codes cannot be decoded");
  }
  if (!read_page_codes()) return false;
  for (std::size_t i = 0; i < rows.size(); ++i)
    codes[i] = std::min(page_codes_.codes[rows[i] + offset], static_cast<std::uint32_t>(entries));
  return true;
}

// Moves the `present_` values at the end of the column so that NULL rows get `null`.
template <class T>
void ChunkDecoder::spread(std::vector<T>& column, T null) {
  if (present_ == count_) return;
  column.resize(done_ + count_, null);
  std::size_t from = present_;
  for (std::size_t i = count_; i-- > 0;) {
    column[done_ + i] = levels_[i] != 0 ? column[done_ + --from] : null;
  }
}

bool ChunkDecoder::read_levels(const PageHeader& header) {
  const auto bytes = static_cast<std::size_t>(header.level_bytes);
  if (header.level_bytes < 0 || bytes > body_.size() || header.level_bytes > header.raw_bytes) {
    return bad("a page's levels are longer than the page");
  }
  if (!spec_.nullable) return (bytes == 0 && header.nulls == 0) || bad("NULL in a column without NULL");
  // Nearly every page is without NULL: one run of ones.
  header_.clear();
  encode_hybrid_run(1, count_, 1, header_);
  if (header.nulls == 0 && body_.substr(0, bytes) == header_) {
    if (!out_->valid.empty()) levels_.assign(count_, 1U);
    return true;
  }
  levels_.resize(count_);
  ByteReader in(body_.substr(0, bytes));
  if (!decode_hybrid(in, 1, levels_)) return bad("a page's levels cannot be decoded");
  const auto zeros = std::count(levels_.begin(), levels_.end(), 0U);
  return zeros == header.nulls || bad("a page's levels and its number of NULLs differ");
}

bool ChunkDecoder::split_values(const PageHeader& header) {
  const auto levels = static_cast<std::size_t>(header.level_bytes);
  const auto raw = static_cast<std::size_t>(header.raw_bytes) - levels;
  values_ = body_.substr(levels);
  if (!header.compressed) return values_.size() == raw || bad("a stored page's two sizes differ");
  kept_page_ = kept_ == nullptr ? nullptr : kept_->find(page_at_);
  if (kept_page_ != nullptr && kept_page_->size() == raw) {
    values_ = *kept_page_;
    return true;
  }
  char* const room = inflater().room(raw);
  if (!inflate(values_, raw, room)) return false;
  values_ = {room, raw};
  if (kept_ != nullptr) kept_->keep(page_at_, values_);
  return true;
}

bool ChunkDecoder::read_values() {
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

void ChunkDecoder::mark_valid() {
  if (present_ == count_ && out_->valid.empty()) return;
  if (out_->valid.empty()) out_->valid.assign(done_, 1);
  for (std::size_t i = 0; i < count_; ++i) {
    out_->valid.push_back(spec_.nullable ? static_cast<std::uint8_t>(levels_[i]) : std::uint8_t{1});
  }
}

bool ChunkDecoder::read_ints() {
  out_->ints.resize(done_ + present_);
  const auto ints = std::span(out_->ints).subspan(done_);
  ByteReader in(values_);
  if (!decode_delta(in, ints)) return bad("int64 values cannot be decoded");
  spread(out_->ints, std::int64_t{0});
  mark_valid();
  return true;
}

bool ChunkDecoder::read_doubles() {
  if (values_.size() != present_ * sizeof(double)) return bad("doubles are cut short");
  out_->doubles.resize(done_ + present_);
  double* const to = out_->doubles.data() + done_;
  if (chunk_.encoding == Encoding::kByteStreamSplit) {
    auto& planes = inflater().planes();
    planes.resize(std::max(planes.size(), present_));
    decode_planes(values_, std::span(planes).first(present_));
    if (present_ != 0) std::memcpy(to, planes.data(), values_.size());
  } else if (present_ != 0) {
    std::memcpy(to, values_.data(), values_.size());
  }
  for (std::size_t i = done_; i < out_->doubles.size(); ++i) {
    if (std::isnan(out_->doubles[i])) return bad("a NaN, which perjoule stores as NULL");
  }
  spread(out_->doubles, std::numeric_limits<double>::quiet_NaN());
  return true;
}

bool ChunkDecoder::read_bools() {
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

bool ChunkDecoder::read_codes() {
  ByteReader in(values_);
  std::uint8_t width = 0;
  if (!in.raw(width)) return bad("a page of codes is empty");
  out_->codes.resize(done_ + present_);
  const auto codes = std::span(out_->codes).subspan(done_);
  if (!decode_hybrid(in, width, codes)) return bad("codes cannot be decoded");
  if (!codes.empty() && largest_of(codes) >= entries_) return bad("a code beyond the dictionary");
  spread(out_->codes, kNullCode);
  return true;
}

}  // namespace perjoule::bus
