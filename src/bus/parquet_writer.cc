#include "bus/parquet_writer.hpp"

#include <algorithm>
#include <bit>
#include <numeric>

#include "base/assert.hpp"
#include "bus/bloom.hpp"
#include "bus/encodings.hpp"
#include "bus/query_kernels.hpp"
#include "bus/text_order.hpp"
#include "bus/utf8.hpp"
#include "bus/zstd_frames.hpp"

namespace perjoule::bus {
namespace {

constexpr std::string_view kMagic = "PAR1";
constexpr std::size_t kMaxBoundBytes = 256;

// What the values of a chunk's pages are made into, as the first page tells.
enum class Frame { kUnknown, kStored, kMatches, kLiterals };

// Memory that a thread keeps from one row group to the next.
struct EncoderMemory {
  FrameMaker frames;
  std::vector<std::uint32_t> rank, codes, used;
  std::vector<std::uint8_t> is_used;
  std::vector<ValueRun> runs, page_runs, level_runs;
  std::vector<std::string_view> sorted;
  std::vector<std::int64_t> ints;
  std::vector<std::uint64_t> words;
  std::string levels, values, planes, blooms;

  static EncoderMemory& of_this_thread() {
    thread_local EncoderMemory memory;
    return memory;
  }
};

template <class T>
std::string raw_bytes(T v) {
  std::string s;
  put_raw(s, v);
  return s;
}

void shift(ChunkMeta& c, std::int64_t by) {
  c.data_offset += by;
  if (c.dictionary_offset >= 0) c.dictionary_offset += by;
  if (c.bloom_at >= 0) c.bloom_at += by;
  for (auto& p : c.pages) p.offset += by;
}

enum class Codes { kUnknown, kRuns, kPacked };

// Encodes the column chunks of one row group one after the other into one string.
class GroupEncoder {
 public:
  GroupEncoder(const TableSchema& schema, const Batch& batch, const EncodingOptions& options)
      : schema_(schema), batch_(batch), options_(options) {
    PJ_CHECK(batch.columns.size() == schema.columns.size());
    PJ_CHECK(batch.rows > 0 && batch.rows <= kMaxGroupRows && options.page_rows > 0);
  }

  base::Result<EncodedGroup> run() {
    out_.meta.rows = static_cast<std::int64_t>(batch_.rows);
    out_.bytes.reserve(2 * batch_.rows * schema_.columns.size());  // more than most groups take
    blooms_.clear();
    for (std::size_t i = 0; i < schema_.columns.size(); ++i) {
      if (repeats(i)) {
        repeat_chunk(schema_.columns[i]);
      } else {
        PJ_TRY(chunk(schema_.columns[i], batch_.columns[i]));
      }
    }
    out_.meta.sorted_by = options_.sorted_by;
    for (const auto& s : out_.meta.sorted_by) PJ_CHECK(s.column < schema_.columns.size());
    if (schema_.time_column != kNoTimeColumn) keep_time(out_.meta.columns[schema_.time_column]);
    out_.meta.stored_bytes = static_cast<std::int64_t>(out_.bytes.size());
    append_blooms();
    return std::move(out_);
  }

 private:
  struct Range {
    std::size_t from, to;
    std::size_t size() const { return to - from; }
  };

  bool repeats(std::size_t i) const {
    const auto& columns = schema_.columns;
    return i != 0 && batch_.columns[i].repeats && !columns[i].bloom && !columns[i - 1].bloom &&
           columns[i].nullable == columns[i - 1].nullable;
  }
  // The chunk before once more, under another name.
  void repeat_chunk(const ColumnSpec& spec) {
    ChunkMeta meta = out_.meta.columns.back();
    meta.name = spec.name;
    const std::size_t by = out_.bytes.size() - static_cast<std::size_t>(meta.dictionary_offset);
    out_.bytes.resize(out_.bytes.size() + static_cast<std::size_t>(meta.stored_bytes));
    std::memcpy(out_.bytes.data() + static_cast<std::size_t>(meta.dictionary_offset) + by,
                out_.bytes.data() + meta.dictionary_offset, static_cast<std::size_t>(meta.stored_bytes));
    shift(meta, static_cast<std::int64_t>(by));
    out_.meta.raw_bytes += meta.raw_bytes;
    out_.meta.columns.push_back(std::move(meta));
  }

  void keep_time(const ChunkMeta& time) {
    PJ_CHECK(time.type == ParquetType::kInt64 && time.bounds.known);
    out_.time.known = true;
    std::memcpy(&out_.time.first_ns, time.bounds.smallest.data(), sizeof out_.time.first_ns);
    std::memcpy(&out_.time.last_ns, time.bounds.largest.data(), sizeof out_.time.last_ns);
  }

  base::Status chunk(const ColumnSpec& spec, const Column& column) {
    PJ_CHECK(spec.type == column.type);
    ChunkMeta meta;
    meta.type = parquet_type_of(spec.type);
    meta.name = spec.name;
    meta.encoding = encoding_of(meta.type);
    frame_ = Frame::kUnknown;
    numbers_ = Numbers::kUnknown;
    codes_form_ = Codes::kUnknown;
    meta.values = out_.meta.rows;
    const std::size_t start = out_.bytes.size();
    if (spec.type == ColumnType::kText) PJ_TRY(dictionary(spec, column, meta));
    meta.data_offset = static_cast<std::int64_t>(out_.bytes.size());
    for (std::size_t from = 0; from < batch_.rows; from += options_.page_rows) {
      page(spec, column, {from, std::min(batch_.rows, from + options_.page_rows)}, meta);
    }
    finish_bounds(spec, meta);
    meta.stored_bytes = static_cast<std::int64_t>(out_.bytes.size() - start);
    out_.meta.raw_bytes += meta.raw_bytes;
    if (spec.bloom && !sorted_.empty()) keep_bloom(meta);
    out_.meta.columns.push_back(std::move(meta));
    return base::ok_status();
  }

  // Bloom filters stand after the group's columns; until then bloom_at counts from the first of them.
  void keep_bloom(ChunkMeta& meta) {
    meta.bloom_at = static_cast<std::int64_t>(blooms_.size());
    write_bloom(sorted_, blooms_);
    const auto bytes = std::string_view(blooms_).substr(static_cast<std::size_t>(meta.bloom_at));
    meta.bloom_bytes = static_cast<std::int32_t>(bytes.size());
    meta.bloom_xxh3_128 = xxh3_128_of(bytes);
  }
  void append_blooms() {
    for (auto& c : out_.meta.columns) {
      if (c.bloom_at >= 0) c.bloom_at += static_cast<std::int64_t>(out_.bytes.size());
    }
    out_.bytes.append(blooms_);
  }

  // Sorts the texts in use; rank_[code] is the text's place, equal texts share one.
  base::Status dictionary(const ColumnSpec& spec, const Column& column, ChunkMeta& meta) {
    const auto& texts = column.dictionary;
    find_runs(column);
    used_codes(column);
    const bool distinct = !column.order.empty() || sort_by_text(texts, used_);
    // The entry after the last stands for NULL, so that the loops over rows need not ask.
    rank_.assign(texts.size() + 1, 0);
    sorted_.clear();
    std::size_t bytes = 0;
    for (const auto code : used_) {
      if (distinct || sorted_.empty() || sorted_.back() != texts[code]) {
        sorted_.push_back(texts[code]);
        bytes += sizeof(std::uint32_t) + texts[code].size();
      }
      rank_[code] = static_cast<std::uint32_t>(sorted_.size() - 1);
    }
    if (!std::all_of(sorted_.begin(), sorted_.end(), is_valid_utf8)) {
      return base::bad_input("store a text",
                             "table " + std::string(schema_.name) + ", column " + std::string(spec.name),
                             "it is not UTF-8", "Convert the input's identifiers to UTF-8");
    }
    width_ = bit_width_of(sorted_.empty() ? 0 : static_cast<std::uint32_t>(sorted_.size() - 1));
    if (bytes >= INT32_MAX)
      return base::bad_input("store a text",
                             "table " + std::string(schema_.name) + ", column " + std::string(spec.name),
                             "the texts of a row group are more than 2 GiB", "Write shorter texts");
    write_dictionary(bytes, meta);
    return base::ok_status();
  }

  void write_dictionary(std::size_t bytes, ChunkMeta& meta) {
    values_.clear();
    values_.reserve(bytes);
    for (const auto text : sorted_) {
      put_raw(values_, static_cast<std::uint32_t>(text.size()));
      values_.append(text);
    }
    meta.dictionary_offset = static_cast<std::int64_t>(out_.bytes.size());
    PageHeader header;
    header.type = PageType::kDictionary;
    header.values = static_cast<std::int32_t>(sorted_.size());
    header.encoding = Encoding::kPlain;
    header.raw_bytes = static_cast<std::int32_t>(values_.size());
    const std::string_view matched = memory_.frames.with_matches(values_, options_.zstd_level);
    put_page(header, {}, matched, meta);
  }

  // The codes that rows have, ascending, into used_.
  void used_codes(const Column& column) {
    const auto n = static_cast<std::uint32_t>(column.dictionary.size());
    used_.clear();
    if (!column.all_used) mark_used(column);
    PJ_CHECK(column.order.empty() || column.order.size() == n);
    for (std::uint32_t i = 0; i < n; ++i) {
      const std::uint32_t code = column.order.empty() ? i : column.order[i];
      if (column.all_used || is_used_[code] != 0) used_.push_back(code);
    }
  }

  // The column's runs, if its rows mostly come in runs: they then stand for the rows.
  void find_runs(const Column& column) {
    constexpr std::size_t kRows = 4096, kShortest = 6;
    const auto& codes = column.codes;
    has_runs_ = true;
    runs_.clear();
    next_run_ = run_done_ = 0;
    if (column.constant) return runs_.push_back({codes[0], static_cast<std::uint32_t>(codes.size())});
    for (std::size_t i = 0; i < codes.size();) {
      const std::size_t from = i;
      const std::uint32_t code = codes[i++];
      while (i + 8 <= codes.size() && is_all(codes.data() + i, code)) i += 8;
      while (i < codes.size() && codes[i] == code) ++i;
      runs_.push_back({code, static_cast<std::uint32_t>(i - from)});
      has_runs_ = i < kRows || runs_.size() * kShortest <= i;
      if (!has_runs_) return;
    }
  }
  static bool is_all(const std::uint32_t* codes, std::uint32_t code) {
    std::uint32_t differs = 0;
    for (std::size_t k = 0; k < 8; ++k) differs |= codes[k] ^ code;
    return differs == 0;
  }
  void mark_used(const Column& column) {
    const auto n = static_cast<std::uint32_t>(column.dictionary.size());
    // The place after the last is for NULL. Whole stretches of one code are common, and quickly told apart.
    constexpr std::size_t kStretch = 64;
    is_used_.assign(n + 1, 0);
    if (has_runs_) {
      for (const auto& run : runs_) is_used_[std::min(run.value, n)] = 1;
      return;
    }
    for (std::size_t from = 0; from < column.codes.size(); from += kStretch) {
      const auto part = std::span(column.codes).subspan(from, std::min(kStretch, column.codes.size() - from));
      std::uint32_t differs = 0;
      for (const auto code : part) differs |= code ^ part[0];
      for (const auto code : differs == 0 ? part.first(1) : part) is_used_[std::min(code, n)] = 1;
    }
  }

  void page(const ColumnSpec& spec, const Column& column, Range rows, ChunkMeta& meta) {
    levels_.clear();
    values_.clear();
    PageMeta info;
    info.first_row = static_cast<std::int64_t>(rows.from);
    encode_values(column, rows, info, meta);
    if (spec.nullable) encode_levels(column, rows, info.nulls);
    PJ_CHECK(spec.nullable || info.nulls == 0);
    info.all_null = info.nulls == static_cast<std::int64_t>(rows.size());

    PageHeader header;
    header.type = PageType::kDataV2;
    header.values = header.rows = static_cast<std::int32_t>(rows.size());
    header.nulls = static_cast<std::int32_t>(info.nulls);
    header.encoding = meta.encoding;
    header.level_bytes = static_cast<std::int32_t>(levels_.size());
    header.raw_bytes = static_cast<std::int32_t>(levels_.size() + values_.size());
    const std::string_view packed = meta.encoding == Encoding::kByteStreamSplit
                                        ? split_frame(rows.size() - static_cast<std::size_t>(info.nulls))
                                        : compress_if_worth(values_);
    header.compressed = !packed.empty();

    info.offset = static_cast<std::int64_t>(out_.bytes.size());
    put_page(header, levels_, header.compressed ? packed : values_, meta);
    info.stored_bytes = static_cast<std::int32_t>(out_.bytes.size()) - static_cast<std::int32_t>(info.offset);
    meta.nulls += info.nulls;
    meta.pages.push_back(std::move(info));
  }

  static bool is_worth(std::size_t packed, std::size_t raw) { return packed < raw - raw / 16; }

  // The values' zstd frame, or nothing where it does not save a sixteenth: such values are stored as they
  // are, and readers need not inflate them. The first 64 KiB of a chunk tell for all its pages whether they
  // shrink at all, and whether matches are worth looking for.
  std::string_view compress_if_worth(std::string_view values) {
    constexpr std::size_t kTrial = 1 << 16, kTelling = 1 << 12, kFrame = 16;
    if (values.size() < kFrame || frame_ == Frame::kStored) return {};
    if (frame_ == Frame::kUnknown && values.size() >= kTelling) frame_ = frame_for(values.substr(0, kTrial));
    if (frame_ == Frame::kStored) return {};
    const std::string_view packed = frame_ == Frame::kLiterals
                                        ? memory_.frames.of_literals(values)
                                        : memory_.frames.with_matches(values, options_.zstd_level);
    return is_worth(packed.size(), values.size()) ? packed : std::string_view{};
  }
  // Literals alone take a third of the time, here and in readers: a little more of bytes is well spent.
  Frame frame_for(std::string_view sample) {
    const std::size_t matches = memory_.frames.with_matches(sample, options_.zstd_level).size();
    const std::size_t literals = memory_.frames.of_literals(sample).size();
    if (!is_worth(std::min(matches, literals), sample.size())) return Frame::kStored;
    return literals <= matches + matches / 32 ? Frame::kLiterals : Frame::kMatches;
  }
  // values_ are `count` numbers byte by byte: equal places are counted together.
  std::string_view split_frame(std::size_t count) {
    if (count == 0) return {};
    const std::string_view packed =
        memory_.frames.of_literals(values_, std::min(count, FrameMaker::kMaxPart));
    return is_worth(packed.size(), values_.size()) ? packed : std::string_view{};
  }

  // A page of `levels`, then `values`.
  void put_page(PageHeader& header, std::string_view levels, std::string_view values, ChunkMeta& meta) {
    header.stored_bytes = static_cast<std::int32_t>(levels.size() + values.size());
    header.crc = crc32_of(values, crc32_of(levels));
    const std::size_t before = out_.bytes.size();
    write_page_header(header, out_.bytes);
    meta.raw_bytes += static_cast<std::int64_t>(out_.bytes.size() - before) + header.raw_bytes;
    out_.bytes.append(levels).append(values);
  }

  void encode_values(const Column& column, Range rows, PageMeta& info, ChunkMeta& meta) {
    switch (column.type) {
      case ColumnType::kInt64:
        return encode_ints(column, rows, info);
      case ColumnType::kDouble:
        return encode_doubles(column, rows, info, meta);
      case ColumnType::kBool:
        return encode_bools(column, rows, info);
      case ColumnType::kText:
        return encode_codes(column, rows, info);
    }
  }

  void encode_ints(const Column& column, Range rows, PageMeta& info) {
    std::span<const std::int64_t> all(column.ints.data() + rows.from, rows.size());
    if (!column.valid.empty()) {
      ints_.clear();
      for (std::size_t i = rows.from; i < rows.to; ++i) {
        if (column.valid[i] != 0) ints_.push_back(column.ints[i]);
      }
      all = ints_;
    }
    info.nulls = static_cast<std::int64_t>(rows.size() - all.size());
    if (column.constant && column.valid.empty()) {
      encode_delta_constant(all[0], all.size(), values_);
      info.bounds = {true, raw_bytes(all[0]), raw_bytes(all[0])};
      return;
    }
    const auto [lo, hi] = encode_delta(all, values_);
    if (!all.empty()) info.bounds = {true, raw_bytes(lo), raw_bytes(hi)};
  }

  void encode_doubles(const Column& column, Range rows, PageMeta& info, ChunkMeta& meta) {
    double lo = 0, hi = 0;
    std::size_t n = 0;
    values_.resize(rows.size() * sizeof(double));
    for (std::size_t i = rows.from; i < rows.to; ++i) {
      const double v = column.doubles[i];
      if (std::isnan(v)) continue;
      lo = n == 0 ? v : std::min(lo, v);
      hi = n == 0 ? v : std::max(hi, v);
      std::memcpy(values_.data() + n * sizeof v, &v, sizeof v);
      ++n;
    }
    values_.resize(n * sizeof(double));
    info.nulls = static_cast<std::int64_t>(rows.size() - n);
    // parquet.thrift: a zero bound must cover both zeros.
    if (n != 0) info.bounds = {true, raw_bytes(lo == 0 ? -0.0 : lo), raw_bytes(hi == 0 ? 0.0 : hi)};
    words_.resize(n);
    if (n != 0) std::memcpy(words_.data(), values_.data(), values_.size());
    if (!is_split(words_, meta)) return;
    values_.clear();
    encode_planes(words_, values_);
  }

  // Whether real numbers are stored byte by byte: decided on the first page with enough of them, for the
  // whole chunk. Whole numbers never are: DuckDB 1.5 does not read that. A frame of matches takes longer than
  // one of split values, so that may be a quarter larger.
  bool is_split(std::span<const std::uint64_t> words, ChunkMeta& meta) {
    constexpr std::size_t kEnough = 1024, kSample = 1 << 13;
    if (numbers_ != Numbers::kUnknown) return numbers_ == Numbers::kSplit;
    if (words.size() < kEnough && meta.pages.empty() && words.size() != 0) numbers_ = Numbers::kUsual;
    if (!meta.pages.empty()) numbers_ = Numbers::kUsual;
    if (words.size() < kEnough || numbers_ == Numbers::kUsual) return false;
    numbers_ = Numbers::kUsual;
    const auto sample = words.first(std::min(kSample, words.size()));
    const std::string_view raw(reinterpret_cast<const char*>(sample.data()), sample.size_bytes());
    const std::size_t usual =
        std::min(raw.size(), memory_.frames.with_matches(raw, options_.zstd_level).size());
    planes_.clear();
    encode_planes(sample, planes_);
    if (memory_.frames.of_literals(planes_, sample.size()).size() >= usual + usual / 4) return false;
    numbers_ = Numbers::kSplit;
    meta.encoding = Encoding::kByteStreamSplit;
    return true;
  }

  void encode_bools(const Column& column, Range rows, PageMeta& info) {
    codes_.clear();
    std::uint32_t any = 0, all = 1;
    for (std::size_t i = rows.from; i < rows.to; ++i) {
      if (column.is_null(i)) continue;
      const std::uint32_t v = column.bools[i] != 0 ? 1 : 0;
      any |= v;
      all &= v;
      codes_.push_back(v);
    }
    info.nulls = static_cast<std::int64_t>(rows.size() - codes_.size());
    put_raw(values_, std::uint32_t{0});
    encode_hybrid(codes_, 1, values_);
    const auto bytes = static_cast<std::uint32_t>(values_.size() - sizeof(std::uint32_t));
    std::memcpy(values_.data(), &bytes, sizeof bytes);
    if (!codes_.empty())
      info.bounds = {true, std::string(1, static_cast<char>(all)), std::string(1, static_cast<char>(any))};
  }

  void encode_codes(const Column& column, Range rows, PageMeta& info) {
    values_.push_back(static_cast<char>(width_));
    std::uint32_t lo = UINT32_MAX, hi = 0;
    if (has_runs_) {
      info.nulls = rank_runs(rows.size(), lo, hi);
      encode_hybrid_runs(page_runs_, width_, values_);
      if (page_runs_.empty()) values_.resize(1);
    } else {
      rank_page(column.codes.data() + rows.from, rows.size(), lo, hi);
      info.nulls = static_cast<std::int64_t>(rows.size() - codes_.size());
      encode_codes_of_page();
    }
    if (info.nulls == static_cast<std::int64_t>(rows.size())) return;
    const bool known = sorted_[lo].size() <= kMaxBoundBytes && sorted_[hi].size() <= kMaxBoundBytes;
    if (known) info.bounds = {true, std::string(sorted_[lo]), std::string(sorted_[hi])};
  }

  void encode_codes_of_page() {
    if (codes_form_ == Codes::kUnknown) codes_form_ = form_of_codes();
    if (codes_form_ == Codes::kRuns) return encode_hybrid(codes_, width_, values_);
    const unsigned width = whole_width();
    values_.back() = static_cast<char>(width);
    encode_packed(codes_, width, values_);
  }

  // The next `n` rows of runs_: their texts' places into page_runs_, whether they are NULL into level_runs_.
  // Gives the number of NULLs.
  std::int64_t rank_runs(std::size_t n, std::uint32_t& lo, std::uint32_t& hi) {
    page_runs_.clear();
    level_runs_.clear();
    std::size_t nulls = 0;
    while (n != 0) {
      const auto& run = runs_[next_run_];
      const auto count = static_cast<std::uint32_t>(std::min<std::size_t>(n, run.count - run_done_));
      run_done_ += count;
      n -= count;
      if (run_done_ == run.count) ++next_run_, run_done_ = 0;
      const bool null = run.value == kNullCode;
      level_runs_.push_back({null ? 0U : 1U, count});
      nulls += null ? count : 0;
      if (null) continue;
      const std::uint32_t rank = rank_[run.value];
      lo = std::min(lo, rank);
      hi = std::max(hi, rank);
      page_runs_.push_back({rank, count});
    }
    return static_cast<std::int64_t>(nulls);
  }

  // Runs, or every code by itself: then bytes have the same meaning throughout, which a frame makes more of
  // than runs spare.
  Codes form_of_codes() const {
    constexpr std::size_t kSample = 1 << 13, kGroup = 8;
    const std::size_t groups = std::min(kSample, codes_.size()) / kGroup;
    std::size_t uniform = 0;
    for (std::size_t g = 0; g < groups; ++g) {
      const auto* const from = codes_.data() + g * kGroup;
      uniform += std::equal(from + 1, from + kGroup, from) ? 1U : 0U;
    }
    return 2 * uniform < groups ? Codes::kPacked : Codes::kRuns;
  }
  // So that a byte holds whole codes.
  unsigned whole_width() const { return width_ == 3 ? 4 : width_ > 4 && width_ < 8 ? 8 : width_; }

  // The page's codes as places in the sorted dictionary, NULLs left out, into codes_.
  void rank_page(const std::uint32_t* codes, std::size_t n, std::uint32_t& lo, std::uint32_t& hi) {
    codes_.resize(n);
    const std::uint32_t* rank = rank_.data();
    const auto null = static_cast<std::uint32_t>(rank_.size() - 1);
    std::uint32_t* to = codes_.data();
    if (has_null(codes, n)) {
      std::size_t kept = 0;
      for (std::size_t i = 0; i < n; ++i) {
        to[kept] = rank[std::min(codes[i], null)];
        kept += codes[i] != kNullCode ? 1 : 0;
      }
      codes_.resize(kept);
    } else {
      for (std::size_t i = 0; i < n; ++i) to[i] = rank[codes[i]];
    }
    // As signed numbers, which every processor compares four at once; there are below 2^31 texts.
    std::int32_t least = INT32_MAX, most = 0;
    for (const auto r : codes_) {
      const auto v = static_cast<std::int32_t>(r);
      least = v < least ? v : least;
      most = v > most ? v : most;
    }
    lo = static_cast<std::uint32_t>(least);
    hi = static_cast<std::uint32_t>(most);
  }

  static bool has_null(const std::uint32_t* codes, std::size_t n) {
    std::uint32_t any = 0;
    for (std::size_t i = 0; i < n; ++i) any |= codes[i] == kNullCode ? 1U : 0U;
    return any != 0;
  }

  void encode_levels(const Column& column, Range rows, std::int64_t nulls) {
    const auto n = static_cast<std::int64_t>(rows.size());
    if (nulls == 0 || nulls == n) return encode_hybrid_run(nulls == 0 ? 1 : 0, rows.size(), 1, levels_);
    if (column.type == ColumnType::kText && has_runs_) return encode_hybrid_runs(level_runs_, 1, levels_);
    codes_.resize(rows.size());
    if (column.type == ColumnType::kText) {
      for (std::size_t i = 0; i < rows.size(); ++i) {
        codes_[i] = column.codes[rows.from + i] != kNullCode ? 1 : 0;
      }
    } else {
      for (std::size_t i = 0; i < rows.size(); ++i) codes_[i] = column.is_null(rows.from + i) ? 0 : 1;
    }
    encode_hybrid(codes_, 1, levels_);
  }

  // The chunk's bounds from its pages'; unknown if a page with values has none.
  static void finish_bounds(const ColumnSpec& spec, ChunkMeta& meta) {
    bool first = true;
    for (const auto& p : meta.pages) {
      if (p.all_null) continue;
      meta.indexable = meta.indexable && p.bounds.known;
      if (!p.bounds.known) continue;
      if (first || less(spec.type, p.bounds.smallest, meta.bounds.smallest))
        meta.bounds.smallest = p.bounds.smallest;
      if (first || less(spec.type, meta.bounds.largest, p.bounds.largest))
        meta.bounds.largest = p.bounds.largest;
      first = false;
    }
    meta.bounds.known = !first && meta.indexable;
  }

  template <class T>
  static bool less_as(const std::string& a, const std::string& b) {
    T x{}, y{};
    std::memcpy(&x, a.data(), sizeof x);
    std::memcpy(&y, b.data(), sizeof y);
    return x < y;
  }
  static bool less(ColumnType type, const std::string& a, const std::string& b) {
    if (type == ColumnType::kInt64) return less_as<std::int64_t>(a, b);
    if (type == ColumnType::kDouble) return less_as<double>(a, b);
    return a < b;  // bytes as unsigned, as Parquet orders text; a flag is one byte
  }

  const TableSchema& schema_;
  const Batch& batch_;
  const EncodingOptions& options_;
  EncodedGroup out_;
  // Of the chunk at work:
  enum class Numbers { kUnknown, kUsual, kSplit } numbers_ = Numbers::kUnknown;
  Codes codes_form_ = Codes::kUnknown;
  Frame frame_ = Frame::kUnknown;
  unsigned width_ = 1;
  EncoderMemory& memory_ = EncoderMemory::of_this_thread();
  std::vector<std::uint32_t>&rank_ = memory_.rank, &codes_ = memory_.codes, &used_ = memory_.used;
  std::vector<std::uint8_t>& is_used_ = memory_.is_used;
  // Of a text column: all rows as runs, where has_runs_; those before next_run_, and run_done_ rows of it,
  // are encoded.
  std::vector<ValueRun>&runs_ = memory_.runs, &page_runs_ = memory_.page_runs,
  &level_runs_ = memory_.level_runs;
  bool has_runs_ = false;
  std::size_t next_run_ = 0;
  std::uint32_t run_done_ = 0;
  std::vector<std::string_view>& sorted_ = memory_.sorted;
  std::vector<std::int64_t>& ints_ = memory_.ints;
  std::vector<std::uint64_t>& words_ = memory_.words;
  std::string &levels_ = memory_.levels, &values_ = memory_.values, &planes_ = memory_.planes,
              &blooms_ = memory_.blooms;
};

void shift(GroupMeta& group, std::int64_t by) {
  group.offset += by;
  for (auto& c : group.columns) shift(c, by);
}

}  // namespace

void TimeRange::include(const TimeRange& other) {
  if (!other.known) return;
  first_ns = known ? std::min(first_ns, other.first_ns) : other.first_ns;
  last_ns = known ? std::max(last_ns, other.last_ns) : other.last_ns;
  known = true;
}

base::Result<EncodedGroup> encode_row_group(const TableSchema& schema, const Batch& batch,
                                            const EncodingOptions& options) {
  return GroupEncoder(schema, batch, options).run();
}

ParquetWriter::ParquetWriter(std::unique_ptr<base::PendingFile> file, const TableSchema& schema)
    : file_(std::move(file)) {
  for (const auto& c : schema.columns) {
    meta_.schema.push_back({std::string(c.name), parquet_type_of(c.type), c.nullable});
  }
  meta_.key_values.emplace_back(kVersionKey, std::to_string(kFormatVersion));
  meta_.key_values.emplace_back(kTableKey, schema.name);
}

base::Result<ParquetWriter> ParquetWriter::create(base::Env& env, const std::string& path,
                                                  const TableSchema& schema) {
  PJ_ASSIGN(auto file, env.create(path));
  ParquetWriter writer(std::move(file), schema);
  PJ_TRY(writer.put(kMagic));
  return writer;
}

base::Status ParquetWriter::put(std::string_view bytes) {
  hash_.update(bytes);
  summary_.bytes += bytes.size();
  return file_->append(bytes);
}

base::Status ParquetWriter::append(EncodedGroup group) {
  shift(group.meta, static_cast<std::int64_t>(summary_.bytes));
  PJ_TRY(put(group.bytes));
  summary_.rows += static_cast<std::uint64_t>(group.meta.rows);
  summary_.time.include(group.time);
  meta_.rows += group.meta.rows;
  meta_.groups.push_back(std::move(group.meta));
  return base::ok_status();
}

std::string ParquetWriter::page_indexes() {
  std::string out;
  const auto at = [&] { return static_cast<std::int64_t>(summary_.bytes + out.size()); };
  for (auto& g : meta_.groups) {
    for (auto& c : g.columns) {
      if (!c.indexable) continue;
      c.column_index_at = at();
      write_column_index(c, out);
      c.column_index_bytes = static_cast<std::int32_t>(at() - c.column_index_at);
    }
  }
  for (auto& g : meta_.groups) {
    for (auto& c : g.columns) {
      c.offset_index_at = at();
      write_offset_index(c, out);
      c.offset_index_bytes = static_cast<std::int32_t>(at() - c.offset_index_at);
    }
  }
  return out;
}

base::Result<FileSummary> ParquetWriter::seal() {
  std::string tail = page_indexes();
  const std::size_t footer_at = tail.size();
  write_file_meta(meta_, tail);
  put_raw(tail, static_cast<std::uint32_t>(tail.size() - footer_at));
  tail.append(kMagic);
  PJ_TRY(put(tail));
  PJ_TRY(file_->commit());
  summary_.xxh3_128 = hash_.hex();
  summary_.tail = {tail.size(), xxh3_128_of(tail)};
  return summary_;
}

}  // namespace perjoule::bus
