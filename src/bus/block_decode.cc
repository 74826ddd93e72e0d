// Block -> rows.
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/assert.hpp"
#include "bus/block.hpp"
#include "bus/block_layout.hpp"
#include "bus/byte_io.hpp"
#include "bus/lane_packing.hpp"
#include "bus/utf8.hpp"

namespace perjoule::bus {

// Reads one column's payload; `why_` is set as soon as something does not fit.
class BlockView::ColumnReader {
 public:
  ColumnReader(std::string_view payload, const ColumnEntry& head, std::size_t rows, Column& out,
               BlockScratch& scratch)
      : in_(payload),
        head_(head),
        rows_(rows),
        out_(out),
        scratch_(scratch),
        encoding_(static_cast<BlockEncoding>(head.encoding)) {}

  // `previous`: the column before, when it is needed. The fault, or nullptr.
  const char* run(const Column* previous, bool nullable) {
    switch (out_.type) {
      case ColumnType::kInt64:
        if (validity() && ints(previous)) zero_the_nulls();
        break;
      case ColumnType::kBool:
        if (validity() && bools()) zero_the_nulls();
        break;
      case ColumnType::kDouble:
        doubles();
        break;
      case ColumnType::kText:
        text();
        break;
    }
    if (!nullable && (has_null_ || !out_.valid.empty())) fail("a NULL where none may be");
    if (why_ == nullptr && !rest_is_padding()) fail("it has bytes that belong to nothing");
    return why_;
  }

 private:
  bool fail(const char* why) {
    if (why_ == nullptr) why_ = why;
    return false;
  }
  bool cut_short() { return fail("it is shorter than its numbers need"); }
  bool rest_is_padding() {
    std::string_view rest;
    if (in_.left() >= 8 || !in_.take(in_.left(), rest)) return false;
    return std::all_of(rest.begin(), rest.end(), [](char c) { return c == 0; });
  }
  bool skip_padding() {
    std::string_view zeros;
    return in_.take(padded(in_.position()) - in_.position(), zeros) || cut_short();
  }
  bool take_packed(std::size_t count, unsigned width, std::string_view& bytes) {
    return in_.take(packed_bytes(count, width), bytes) || cut_short();
  }

  bool validity() {
    if (head_.nulls > 1) return fail("its NULL mark is neither 0 nor 1");
    if (head_.nulls == 0) return true;
    std::string_view bytes;
    if (!take_packed(rows_, 1, bytes)) return false;
    scratch_.bits.resize(rows_);
    unpack(bytes, 1, std::span(scratch_.bits));
    out_.valid.assign(scratch_.bits.begin(), scratch_.bits.end());
    return true;
  }
  void zero_the_nulls() {
    for (std::size_t i = 0; i < out_.valid.size(); ++i) {
      if (out_.valid[i] != 0) continue;
      if (out_.type == ColumnType::kInt64) out_.ints[i] = 0;
      if (out_.type == ColumnType::kBool) out_.bools[i] = 0;
    }
  }

  // The packed numbers into `numbers`; their exceptions' values into scratch_.wide, at scratch_.places.
  bool take_numbers(std::span<std::uint64_t> numbers) {
    std::string_view bytes;
    if (head_.width > 64) return fail("a packed number of more than 64 bits");
    if (!take_packed(rows_, head_.width, bytes)) return false;
    unpack(bytes, head_.width, numbers);
    std::string_view places, values;
    if (head_.exceptions > rows_) return fail("more exceptions than rows");
    if (!in_.take(head_.exceptions * sizeof(std::uint16_t), places) || !skip_padding() ||
        !in_.take(head_.exceptions * sizeof(std::uint64_t), values))
      return cut_short();
    scratch_.places.resize(head_.exceptions);
    scratch_.wide.resize(head_.exceptions);
    std::memcpy(scratch_.places.data(), places.data(), places.size());
    std::memcpy(scratch_.wide.data(), values.data(), values.size());
    const bool inside =
        std::all_of(scratch_.places.begin(), scratch_.places.end(), [&](auto p) { return p < rows_; });
    return inside || fail("an exception beyond the last row");
  }

  bool ints(const Column* previous) {
    std::int64_t base = 0, step = 0;
    if (!in_.raw(base)) return cut_short();
    if (encoding_ == BlockEncoding::kConstant) return out_.ints.assign(rows_, base), true;
    if (encoding_ == BlockEncoding::kDelta && !in_.raw(step)) return cut_short();
    const bool known = encoding_ == BlockEncoding::kPacked || encoding_ == BlockEncoding::kDelta ||
                       (encoding_ == BlockEncoding::kFromPrevious && previous != nullptr);
    if (!known) return fail("an encoding that whole numbers do not have");
    out_.ints.resize(rows_);
    // The numbers come where the values will be: signed and unsigned may share memory.
    const std::span numbers(reinterpret_cast<std::uint64_t*>(out_.ints.data()), rows_);
    if (!take_numbers(numbers)) return false;
    for (std::size_t i = 0; i < scratch_.places.size(); ++i) numbers[scratch_.places[i]] = scratch_.wide[i];
    if (encoding_ == BlockEncoding::kDelta) return add_up(numbers, base, step), true;
    const auto b = static_cast<std::uint64_t>(base);
    if (encoding_ == BlockEncoding::kFromPrevious) {
      for (std::size_t i = 0; i < rows_; ++i) numbers[i] += b + static_cast<std::uint64_t>(previous->ints[i]);
    } else {
      for (std::size_t i = 0; i < rows_; ++i) numbers[i] += b;
    }
    return true;
  }
  void add_up(std::span<std::uint64_t> numbers, std::int64_t base, std::int64_t step) {
    auto value = static_cast<std::uint64_t>(base);
    numbers[0] = value;
    for (std::size_t i = 1; i < rows_; ++i) {
      value += static_cast<std::uint64_t>(step) + static_cast<std::uint64_t>(unzigzag(numbers[i]));
      numbers[i] = value;
    }
  }

  bool bools() {
    std::int64_t base = 0;
    if (encoding_ == BlockEncoding::kConstant) {
      if (!in_.raw(base)) return cut_short();
      return out_.bools.assign(rows_, base != 0 ? 1 : 0), true;
    }
    std::string_view bytes;
    if (encoding_ != BlockEncoding::kPacked || head_.width != 1)
      return fail("an encoding that flags do not have");
    if (!take_packed(rows_, 1, bytes)) return false;
    scratch_.bits.resize(rows_);
    unpack(bytes, 1, std::span(scratch_.bits));
    out_.bools.assign(scratch_.bits.begin(), scratch_.bits.end());
    return true;
  }

  bool doubles() {
    if (encoding_ == BlockEncoding::kConstant) {
      double value = 0;
      if (!in_.raw(value)) return cut_short();
      return out_.doubles.assign(rows_, value), true;
    }
    out_.doubles.resize(rows_);
    if (encoding_ == BlockEncoding::kPlain) {
      std::string_view bytes;
      if (!in_.take(rows_ * sizeof(double), bytes)) return cut_short();
      std::memcpy(out_.doubles.data(), bytes.data(), bytes.size());
      return true;
    }
    return encoding_ == BlockEncoding::kDecimal ? decimals()
                                                : fail("an encoding that real numbers do not have");
  }
  bool decimals() {
    std::int64_t base = 0, digits = 0;
    if (!in_.raw(base) || !in_.raw(digits)) return cut_short();
    if (digits < 0 || digits > kMaxDecimals) return fail("a power of ten out of range");
    scratch_.numbers.resize(rows_);
    if (!take_numbers(scratch_.numbers)) return false;
    const double unit = kPowersOfTen[digits];
    for (std::size_t i = 0; i < rows_; ++i) {
      const auto whole = static_cast<std::int64_t>(scratch_.numbers[i] + static_cast<std::uint64_t>(base));
      out_.doubles[i] = static_cast<double>(whole) / unit;
    }
    for (std::size_t i = 0; i < scratch_.places.size(); ++i)
      out_.doubles[scratch_.places[i]] = std::bit_cast<double>(scratch_.wide[i]);
    return true;
  }

  bool text() {
    if (!dictionary()) return false;
    const std::uint32_t null = head_.dictionary;
    if (encoding_ == BlockEncoding::kConstant) {
      if (null > 1) return fail("one text for all rows, but several in its dictionary");
      has_null_ = null == 0;
      return out_.codes.assign(rows_, has_null_ ? kNullCode : 0), true;
    }
    std::string_view bytes;
    if (encoding_ != BlockEncoding::kDictionary || head_.width > 32)
      return fail("an encoding that texts do not have");
    if (!take_packed(rows_, head_.width, bytes)) return false;
    out_.codes.resize(rows_);
    unpack(bytes, head_.width, std::span(out_.codes));
    std::uint32_t largest = 0;
    for (auto& code : out_.codes) {
      largest = std::max(largest, code);
      code = code == null ? kNullCode : code;
    }
    has_null_ = largest == null;
    return largest <= null || fail("a text beyond its dictionary");
  }

  bool dictionary() {
    std::string_view ends, characters;
    if (head_.dictionary > rows_) return fail("more texts than rows");
    if (!in_.take(head_.dictionary * sizeof(std::uint32_t), ends)) return cut_short();
    std::uint32_t size = 0;
    if (head_.dictionary != 0) std::memcpy(&size, ends.data() + ends.size() - sizeof size, sizeof size);
    if (!in_.take(size, characters) || !skip_padding()) return cut_short();
    out_.arena = std::make_shared<const std::string>(characters);
    out_.dictionary.reserve(head_.dictionary);
    std::uint32_t from = 0;
    for (std::size_t i = 0; i < head_.dictionary; ++i) {
      std::uint32_t end = 0;
      std::memcpy(&end, ends.data() + i * sizeof end, sizeof end);
      if (end <= from || end > size || end - from > kMaxTextBytes)
        return fail("a text of an impossible length");
      out_.dictionary.push_back(std::string_view(*out_.arena).substr(from, end - from));
      from = end;
    }
    return is_valid_utf8(characters) || fail("a text that is not UTF-8");
  }

  ByteReader in_;
  const ColumnEntry& head_;
  const std::size_t rows_;
  Column& out_;
  BlockScratch& scratch_;
  const BlockEncoding encoding_;
  const char* why_ = nullptr;
  bool has_null_ = false;  // of a text column
};

base::Error BlockView::damaged(std::size_t byte, std::string why) const {
  return base::corrupt("read a block", std::string(name_) + ": byte " + std::to_string(byte), std::move(why));
}

std::size_t BlockView::size_of(std::string_view head) {
  std::uint32_t magic = 0, bytes = 0;
  if (head.size() < kBlockSizeBytes) return 0;
  std::memcpy(&magic, head.data(), sizeof magic);
  std::memcpy(&bytes, head.data() + sizeof magic, sizeof bytes);
  const bool possible = magic == kBlockMagic && bytes >= sizeof(BlockHead) && bytes <= kMaxBlockBytes;
  return possible ? bytes : 0;
}

base::Result<BlockView> BlockView::open(std::string_view bytes, std::string_view name) {
  BlockView view(bytes, name);
  PJ_TRY(view.load());
  return view;
}

base::Status BlockView::load() {
  BlockHead head;
  if (bytes_.size() < sizeof head) return damaged(bytes_.size(), "it ends within its header");
  std::memcpy(&head, bytes_.data(), sizeof head);
  if (head.magic != kBlockMagic) return damaged(0, "it does not begin with PJB1");
  if (head.bytes != bytes_.size() || head.bytes > kMaxBlockBytes)
    return damaged(
        4, "it states " + std::to_string(head.bytes) + " bytes, but has " + std::to_string(bytes_.size()));
  const std::size_t directory = sizeof head + sizeof(ColumnHead) * head.columns;
  if (head.header_bytes > bytes_.size() || head.source_bytes > kMaxSourceName ||
      head.header_bytes != padded(directory + head.source_bytes))
    return damaged(offsetof(BlockHead, header_bytes), "its header has an impossible length");
  constexpr std::size_t kFrom = offsetof(BlockHead, version);
  if (XXH3_64bits(bytes_.data() + kFrom, head.header_bytes - kFrom) != head.checksum)
    return damaged(8, "its header's checksum does not fit");
  if (head.version != kBlockVersion)
    return damaged(kFrom, "it has format " + std::to_string(head.version) + ", this perjoule reads 1");
  if (head.table >= kEventTables || head.columns != schema_of(static_cast<Table>(head.table)).columns.size())
    return damaged(kFrom + 2, "it is of no table that this perjoule knows");
  if (head.rows == 0 || head.rows > kMaxBlockRows)
    return damaged(kFrom + 4, "its number of rows is out of range");
  if (head.first_seq <= head.after_seq || head.last_seq < head.first_seq || head.source_bytes == 0)
    return damaged(kFrom + 8, "its source or sequence numbers are out of range");
  table_ = static_cast<Table>(head.table);
  rows_ = head.rows;
  first_ns_ = head.first_ns;
  last_ns_ = head.last_ns;
  key_ = {bytes_.substr(directory, head.source_bytes), head.after_seq, head.first_seq, head.last_seq};
  if (!is_valid_utf8(key_.source)) return damaged(directory, "its source's name is not UTF-8");
  return load_directory(head.header_bytes);
}

base::Status BlockView::load_directory(std::size_t header_bytes) {
  std::size_t end = header_bytes;
  columns_.resize(schema_of(table_).columns.size());
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    ColumnHead c;
    std::memcpy(&c, bytes_.data() + sizeof(BlockHead) + i * sizeof c, sizeof c);
    if (c.offset != end || c.bytes > bytes_.size() - end || c.bytes % 8 != 0)
      return damaged(sizeof(BlockHead) + i * sizeof c, "a column lies outside the block");
    end += c.bytes;
    columns_[i] = {c.offset, c.bytes, c.dictionary, c.exceptions, static_cast<std::uint8_t>(c.encoding),
                   c.width,  c.nulls, c.checksum};
  }
  if (end != bytes_.size()) return damaged(end, "bytes that belong to no column");
  return base::ok_status();
}

namespace {

// A column of this type, whose memory is kept. Its own values are written over: emptied, they would be filled
// with zeros first.
void clear(Column& c, ColumnType type) {
  c.type = type;
  if (type != ColumnType::kInt64) c.ints.clear();
  if (type != ColumnType::kDouble) c.doubles.clear();
  if (type != ColumnType::kBool) c.bools.clear();
  if (type != ColumnType::kText) c.codes.clear();
  c.valid.clear();
  c.dictionary.clear();
  c.arena.reset();
}

}  // namespace

bool BlockView::is_constant(std::size_t index) const {
  const ColumnEntry& head = columns_[index];
  return static_cast<BlockEncoding>(head.encoding) == BlockEncoding::kConstant && head.nulls == 0;
}

bool BlockView::repeats_previous(std::size_t index) const {
  const auto& columns = schema_of(table_).columns;
  if (index == 0 || columns[index].type != ColumnType::kText || columns[index - 1].type != ColumnType::kText)
    return false;
  if (columns[index].nullable != columns[index - 1].nullable) return false;
  const ColumnEntry &a = columns_[index - 1], &b = columns_[index];
  const bool alike = a.encoding == b.encoding && a.width == b.width && a.nulls == b.nulls &&
                     a.bytes == b.bytes && a.dictionary == b.dictionary && a.exceptions == b.exceptions &&
                     a.checksum == b.checksum;
  return alike && bytes_.substr(a.offset, a.bytes) == bytes_.substr(b.offset, b.bytes);
}

base::Status BlockView::read_constant(std::size_t index, Column& out, BlockScratch& scratch) const {
  PJ_CHECK(is_constant(index));
  return read_rows(index, 1, out, scratch);
}

base::Status BlockView::read_column(std::size_t index, Column& out, BlockScratch& scratch) const {
  return read_rows(index, rows_, out, scratch);
}

base::Status BlockView::read_rows(std::size_t index, std::size_t rows, Column& out,
                                  BlockScratch& scratch) const {
  const ColumnSpec& spec = schema_of(table_).columns[index];
  const ColumnEntry& head = columns_[index];
  const std::string_view payload = bytes_.substr(head.offset, head.bytes);
  const auto fault = [&](const char* why) {
    return damaged(head.offset, "table " + std::string(schema_of(table_).name) + ", column " +
                                    std::string(spec.name) + ": " + why);
  };
  if (XXH3_64bits(payload.data(), payload.size()) != head.checksum) return fault("its checksum does not fit");
  clear(out, spec.type);
  const Column* previous = nullptr;
  if (static_cast<BlockEncoding>(head.encoding) == BlockEncoding::kFromPrevious && index > 0) {
    const bool chain =
        static_cast<BlockEncoding>(columns_[index - 1].encoding) == BlockEncoding::kFromPrevious;
    if (chain || schema_of(table_).columns[index - 1].type != ColumnType::kInt64)
      return fault("it builds on a column that is none to build on");
    PJ_TRY(read_rows(index - 1, rows, scratch.before, scratch));
    previous = &scratch.before;
  }
  if (const char* why = ColumnReader(payload, head, rows, out, scratch).run(previous, spec.nullable))
    return fault(why);
  if (index == schema_of(table_).time_column) {
    const auto [lo, hi] = std::minmax_element(out.ints.begin(), out.ints.end());
    if (*lo != first_ns_ || *hi != last_ns_)
      return fault("its times are not the ones that its header states");
  }
  return base::ok_status();
}

base::Result<Batch> BlockView::read(std::span<const std::size_t> columns) const {
  Batch batch;
  batch.rows = rows_;
  BlockScratch scratch;
  for (const auto index : columns) {
    PJ_CHECK(index < columns_.size());
    PJ_TRY(read_column(index, batch.columns.emplace_back(), scratch));
  }
  return batch;
}

base::Result<Batch> BlockView::read_all() const {
  std::vector<std::size_t> all(columns_.size());
  for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
  return read(all);
}

}  // namespace perjoule::bus
