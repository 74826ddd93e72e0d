// Rows -> block.
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/assert.hpp"
#include "bus/block.hpp"
#include "bus/block_layout.hpp"
#include "bus/byte_io.hpp"
#include "bus/lane_packing.hpp"
#include "bus/utf8.hpp"

namespace perjoule::bus {
namespace {

using Numbers = std::span<const std::int64_t>;

void pad(std::string& out) { out.resize(padded(out.size()), '\0'); }

// How many of the numbers have 0, 1, ... 64 significant bits.
class BitLengths {
 public:
  void add(std::uint64_t v) { ++counts_[static_cast<std::size_t>(std::bit_width(v))]; }
  // The width with the fewest bytes in all: packed numbers, and ten bytes for each that does not fit.
  unsigned best_width(std::size_t rows) const {
    std::size_t wider = 0, best_bytes = SIZE_MAX;
    unsigned best = 64;
    for (unsigned width = 64;; --width) {
      const std::size_t bytes = packed_bytes(rows, width) + 10 * wider;
      if (bytes < best_bytes) best_bytes = bytes, best = width;
      if (width == 0) return best;
      wider += counts_[width];
    }
  }
  std::size_t bytes(std::size_t rows) const {
    const unsigned width = best_width(rows);
    return packed_bytes(rows, width) + 10 * wider_than(width);
  }

 private:
  std::size_t wider_than(unsigned width) const {
    std::size_t n = 0;
    for (std::size_t w = width + 1; w < counts_.size(); ++w) n += counts_[w];
    return n;
  }
  std::array<std::uint32_t, 65> counts_{};
};

class BlockEncoder {
 public:
  BlockEncoder(Table table, const Batch& batch, const BlockKey& key)
      : schema_(schema_of(table)), batch_(batch), rows_(batch.rows) {
    PJ_CHECK(rows_ > 0 && rows_ <= kMaxBlockRows && batch.columns.size() == schema_.columns.size());
    PJ_CHECK(key.after_seq < key.first_seq && key.first_seq <= key.last_seq);
    head_.after_seq = key.after_seq;
    head_.table = static_cast<std::uint8_t>(table);
    head_.columns = static_cast<std::uint8_t>(schema_.columns.size());
    head_.rows = static_cast<std::uint32_t>(rows_);
    head_.first_seq = key.first_seq;
    head_.last_seq = key.last_seq;
    head_.source_bytes = static_cast<std::uint32_t>(key.source.size());
    head_.header_bytes = static_cast<std::uint32_t>(
        padded(sizeof(BlockHead) + sizeof(ColumnHead) * schema_.columns.size() + key.source.size()));
    const auto& times = batch.columns[schema_.time_column].ints;
    const auto [first, last] = std::minmax_element(times.begin(), times.end());
    head_.first_ns = *first;
    head_.last_ns = *last;
    out_.resize(head_.header_bytes, '\0');
    const std::size_t name_at = sizeof(BlockHead) + sizeof(ColumnHead) * schema_.columns.size();
    std::memcpy(out_.data() + name_at, key.source.data(), key.source.size());
  }

  base::Result<std::string> run() {
    for (std::size_t i = 0; i < schema_.columns.size(); ++i) PJ_TRY(column(i));
    if (out_.size() > kMaxBlockBytes) {
      return base::bad_input("encode a block", std::string(schema_.name),
                             "it is larger than " + std::to_string(kMaxBlockBytes) + " bytes",
                             "Put fewer rows into one block");
    }
    head_.bytes = static_cast<std::uint32_t>(out_.size());
    std::memcpy(out_.data(), &head_, sizeof head_);
    std::memcpy(out_.data() + sizeof head_, columns_.data(), sizeof(ColumnHead) * columns_.size());
    constexpr std::size_t kFrom = offsetof(BlockHead, version);
    const std::uint64_t checksum = XXH3_64bits(out_.data() + kFrom, head_.header_bytes - kFrom);
    std::memcpy(out_.data() + offsetof(BlockHead, checksum), &checksum, sizeof checksum);
    return std::move(out_);
  }

 private:
  base::Status column(std::size_t index) {
    const Column& c = batch_.columns[index];
    PJ_CHECK(c.type == schema_.columns[index].type);
    ColumnHead head;
    head.offset = static_cast<std::uint32_t>(out_.size());
    switch (c.type) {
      case ColumnType::kInt64:
        validity(c, head);
        ints(index, head);
        break;
      case ColumnType::kBool:
        validity(c, head);
        bools(c, head);
        break;
      case ColumnType::kDouble:
        doubles(c, head);
        break;
      case ColumnType::kText:
        PJ_TRY(text(index, head));
        break;
    }
    pad(out_);
    head.bytes = static_cast<std::uint32_t>(out_.size()) - head.offset;
    head.checksum = XXH3_64bits(out_.data() + head.offset, head.bytes);
    columns_.push_back(head);
    return base::ok_status();
  }

  void validity(const Column& c, ColumnHead& head) {
    const bool all = c.valid.empty() || std::find(c.valid.begin(), c.valid.end(), 0) == c.valid.end();
    if (all) return;
    head.nulls = 1;
    std::vector<std::uint32_t> bits(c.valid.begin(), c.valid.end());
    pack(bits, 1, out_);
  }

  // ---- whole numbers ----
  static bool is_constant(Numbers v) { return std::equal(v.begin() + 1, v.end(), v.begin()); }
  static std::uint64_t minus(std::int64_t a, std::int64_t b) {
    return static_cast<std::uint64_t>(a) - static_cast<std::uint64_t>(b);
  }

  static std::uint64_t beyond_step(Numbers v, std::size_t i, std::int64_t step) {
    return zigzag(static_cast<std::int64_t>(minus(v[i], v[i - 1]) - static_cast<std::uint64_t>(step)));
  }

  void ints(std::size_t index, ColumnHead& head) {
    const Numbers values = batch_.columns[index].ints;
    if (is_constant(values)) return put_raw(out_, values[0]);
    const Numbers previous = previous_ints(index);
    const std::int64_t step = usual_step(values);
    head.encoding = cheapest(values, previous, step);
    work_.resize(rows_);
    if (head.encoding == BlockEncoding::kDelta) {
      put_raw(out_, values[0]);
      put_raw(out_, step);
      work_[0] = 0;
      for (std::size_t i = 1; i < rows_; ++i) work_[i] = beyond_step(values, i, step);
    } else {
      const bool from_previous = head.encoding == BlockEncoding::kFromPrevious;
      for (std::size_t i = 0; i < rows_; ++i)
        work_[i] = from_previous ? minus(values[i], previous[i]) : static_cast<std::uint64_t>(values[i]);
      subtract_smallest();
    }
    packed(head);
  }

  // The smallest as signed number is the base; zero-filled places of NULLs count like others.
  void subtract_smallest() {
    std::int64_t base = INT64_MAX;
    for (const auto v : work_) base = std::min(base, static_cast<std::int64_t>(v));
    for (auto& v : work_) v -= static_cast<std::uint64_t>(base);
    put_raw(out_, base);
  }

  Numbers previous_ints(std::size_t index) const {
    if (index == 0 || batch_.columns[index - 1].type != ColumnType::kInt64) return {};
    // One step back only, so that a reader needs no recursion.
    if (columns_[index - 1].encoding == BlockEncoding::kFromPrevious) return {};
    return batch_.columns[index - 1].ints;
  }

  // The median difference of a sample: times in sequence mostly advance by it.
  static std::int64_t usual_step(Numbers values) {
    std::array<std::int64_t, 63> sample{};
    const std::size_t stride = std::max<std::size_t>(1, values.size() / sample.size());
    std::size_t n = 0;
    for (std::size_t i = 1; i < values.size() && n < sample.size(); i += stride)
      sample[n++] = static_cast<std::int64_t>(minus(values[i], values[i - 1]));
    const auto middle = sample.begin() + static_cast<std::ptrdiff_t>(n / 2);
    std::nth_element(sample.begin(), middle, sample.begin() + static_cast<std::ptrdiff_t>(n));
    return *middle;
  }

  // Judged on four stretches of the rows.
  BlockEncoding cheapest(Numbers values, Numbers previous, std::int64_t step) const {
    constexpr std::size_t kStretch = 256;
    std::vector<std::size_t> sample;
    for (std::size_t part = 0; part < 4; ++part) {
      const std::size_t from = 1 + (rows_ - 1) * part / 4;
      for (std::size_t i = from; i < std::min(rows_, from + kStretch); ++i) sample.push_back(i);
    }
    std::int64_t smallest = INT64_MAX, closest = INT64_MAX;
    for (const auto i : sample) {
      smallest = std::min(smallest, values[i]);
      if (!previous.empty())
        closest = std::min(closest, static_cast<std::int64_t>(minus(values[i], previous[i])));
    }
    BitLengths plain, delta, distance;
    for (const auto i : sample) {
      plain.add(minus(values[i], smallest));
      delta.add(beyond_step(values, i, step));
      if (!previous.empty())
        distance.add(minus(values[i], previous[i]) - static_cast<std::uint64_t>(closest));
    }
    const std::size_t n = sample.size();
    BlockEncoding best = BlockEncoding::kPacked;
    std::size_t bytes = plain.bytes(n);
    if (delta.bytes(n) < bytes) best = BlockEncoding::kDelta, bytes = delta.bytes(n);
    if (!previous.empty() && distance.bytes(n) < bytes) best = BlockEncoding::kFromPrevious;
    return best;
  }

  // work_ packed at its best width, then the places (16 bits) and values of those that do not fit.
  void packed(ColumnHead& head) {
    BitLengths lengths;
    for (const auto v : work_) lengths.add(v);
    const unsigned width = lengths.best_width(rows_);
    std::vector<std::uint16_t> places;
    std::vector<std::uint64_t> wide;
    if (width < 64) {
      for (std::size_t i = 0; i < rows_; ++i) {
        if (work_[i] >> width == 0) continue;
        places.push_back(static_cast<std::uint16_t>(i));
        wide.push_back(work_[i]);
      }
    }
    head.width = static_cast<std::uint8_t>(width);
    pack(std::span<const std::uint64_t>(work_), width, out_);
    exceptions(head, places, wide);
  }

  void exceptions(ColumnHead& head, const std::vector<std::uint16_t>& places,
                  const std::vector<std::uint64_t>& values) {
    head.exceptions = static_cast<std::uint32_t>(places.size());
    out_.append(reinterpret_cast<const char*>(places.data()), places.size() * sizeof(std::uint16_t));
    pad(out_);
    out_.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(std::uint64_t));
  }

  void bools(const Column& c, ColumnHead& head) {
    const bool constant = std::equal(c.bools.begin() + 1, c.bools.end(), c.bools.begin());
    if (constant) return put_raw(out_, std::int64_t{c.bools[0] != 0});
    head.encoding = BlockEncoding::kPacked;
    head.width = 1;
    std::vector<std::uint32_t> bits(rows_);
    for (std::size_t i = 0; i < rows_; ++i) bits[i] = c.bools[i] != 0 ? 1 : 0;
    pack(bits, 1, out_);
  }

  // ---- doubles ----
  void doubles(const Column& c, ColumnHead& head) {
    const auto same = [](double a, double b) {
      return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
    };
    if (std::equal(c.doubles.begin() + 1, c.doubles.end(), c.doubles.begin(), same))
      return put_raw(out_, c.doubles[0]);
    const unsigned decimals = usual_decimals(c.doubles);
    if (decimals > kMaxDecimals) {
      head.encoding = BlockEncoding::kPlain;
      out_.append(reinterpret_cast<const char*>(c.doubles.data()), rows_ * sizeof(double));
      return;
    }
    decimal(c.doubles, decimals, head);
  }

  static bool is_decimal(double v, unsigned decimals, std::int64_t& whole) {
    const double scaled = v * kPowersOfTen[decimals];
    if (!(std::abs(scaled) < 4.5e15)) return false;  // beyond 2^52, and not for NaN
    whole = std::llrint(scaled);
    const double back = static_cast<double>(whole) / kPowersOfTen[decimals];
    return std::bit_cast<std::uint64_t>(back) == std::bit_cast<std::uint64_t>(v);
  }

  // The fewest decimals that write at least half of a sample exactly; more than kMaxDecimals if none do.
  static unsigned usual_decimals(std::span<const double> values) {
    const std::size_t stride = std::max<std::size_t>(1, values.size() / 256);
    for (unsigned decimals = 0; decimals <= kMaxDecimals; ++decimals) {
      std::size_t exact = 0, seen = 0;
      std::int64_t whole = 0;
      for (std::size_t i = 0; i < values.size(); i += stride, ++seen)
        exact += is_decimal(values[i], decimals, whole) ? 1U : 0U;
      if (exact * 2 >= seen) return decimals;
    }
    return kMaxDecimals + 1;
  }

  void decimal(std::span<const double> values, unsigned decimals, ColumnHead& head) {
    head.encoding = BlockEncoding::kDecimal;
    std::vector<std::uint16_t> places;
    std::vector<std::uint64_t> others;
    std::vector<std::int64_t> whole(rows_);
    std::int64_t last = 0;
    for (std::size_t i = 0; i < rows_; ++i) {
      if (!is_decimal(values[i], decimals, whole[i])) {
        places.push_back(static_cast<std::uint16_t>(i));
        others.push_back(std::bit_cast<std::uint64_t>(values[i]));
        whole[i] = last;
      }
      last = whole[i];
    }
    const auto [lo, hi] = std::minmax_element(whole.begin(), whole.end());
    const unsigned width = static_cast<unsigned>(std::bit_width(minus(*hi, *lo)));
    work_.resize(rows_);
    for (std::size_t i = 0; i < rows_; ++i) work_[i] = minus(whole[i], *lo);
    put_raw(out_, *lo);
    put_raw(out_, std::int64_t{decimals});
    head.width = static_cast<std::uint8_t>(width);
    pack(std::span<const std::uint64_t>(work_), width, out_);
    exceptions(head, places, others);
  }

  // ---- text ----
  base::Status text(std::size_t index, ColumnHead& head) {
    const Column& c = batch_.columns[index];
    PJ_TRY(dictionary(index, head));
    const std::uint32_t null = head.dictionary;
    if (null == 0 || is_one_code(c)) return base::ok_status();
    head.encoding = BlockEncoding::kDictionary;
    codes_.resize(rows_);
    std::uint32_t largest = 0;
    for (std::size_t i = 0; i < rows_; ++i) {
      codes_[i] = std::min(c.codes[i], null);
      largest = std::max(largest, codes_[i]);
    }
    PJ_CHECK(largest <= null);
    head.width = static_cast<std::uint8_t>(std::bit_width(largest));
    pack(std::span<const std::uint32_t>(codes_), head.width, out_);
    return base::ok_status();
  }

  static bool is_one_code(const Column& c) {
    return c.dictionary.size() == 1 &&
           std::all_of(c.codes.begin(), c.codes.end(), [](auto v) { return v == 0; });
  }

  // The ends of the texts, then their characters.
  base::Status dictionary(std::size_t index, ColumnHead& head) {
    const auto& texts = batch_.columns[index].dictionary;
    std::uint32_t end = 0;
    for (const auto text : texts) {
      if (text.size() > kMaxTextBytes || text.empty() || !is_valid_utf8(text)) return bad_text(index, text);
      end += static_cast<std::uint32_t>(text.size());
      put_raw(out_, end);
    }
    for (const auto text : texts) out_.append(text);
    pad(out_);
    head.dictionary = static_cast<std::uint32_t>(texts.size());
    return base::ok_status();
  }

  base::Error bad_text(std::size_t index, std::string_view text) const {
    return base::bad_input(
        "encode a block",
        "table " + std::string(schema_.name) + ", column " + std::string(schema_.columns[index].name),
        text.empty()                  ? "an identifier is an empty text"
        : text.size() > kMaxTextBytes ? "an identifier has " + std::to_string(text.size()) +
                                            " bytes; the limit is " + std::to_string(kMaxTextBytes)
                                      : "an identifier is not UTF-8",
        "Absent is NULL; shorten or convert the others");
  }

  const TableSchema& schema_;
  const Batch& batch_;
  const std::size_t rows_;
  BlockHead head_;
  std::vector<ColumnHead> columns_;
  std::vector<std::uint64_t> work_;
  std::vector<std::uint32_t> codes_;
  std::string out_;
};

}  // namespace

base::Result<std::string> encode_block(Table table, const Batch& batch, const BlockKey& key) {
  if (key.source.empty() || key.source.size() > kMaxSourceName || !is_valid_utf8(key.source)) {
    return base::bad_input("encode a block", "source",
                           "its name must be 1 to " + std::to_string(kMaxSourceName) + " bytes of UTF-8",
                           "Name the source shortly, such as a host and a service");
  }
  return BlockEncoder(table, batch, key).run();
}

}  // namespace perjoule::bus
