// Is a block what it says? A store asks that of every block of every source, so columns are judged without
// being decoded: their form, the largest place in a dictionary, the smallest and largest time. What this look
// does not find sound is decoded as for reading, which decides and says what is wrong.
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <utility>

#include "bus/block.hpp"
#include "bus/block_layout.hpp"
#include "bus/byte_io.hpp"
#include "bus/lane_packing.hpp"
#include "bus/utf8.hpp"

namespace perjoule::bus {

// One column's payload, whose checksum fits. True only if decoding it would succeed, and not always then.
class BlockView::ColumnCheck {
 public:
  ColumnCheck(const BlockView& view, std::size_t index, std::string_view payload)
      : view_(view),
        spec_(schema_of(view.table_).columns[index]),
        head_(view.columns_[index]),
        rows_(view.rows_),
        encoding_(static_cast<BlockEncoding>(head_.encoding)),
        in_(payload),
        is_time_(index == schema_of(view.table_).time_column) {}

  bool is_sound() {
    if (head_.nulls > (spec_.nullable ? 1 : 0)) return false;
    switch (spec_.type) {
      case ColumnType::kInt64:
        return validity() && ints() && rest_is_padding();
      case ColumnType::kBool:
        return validity() && bools() && rest_is_padding();
      case ColumnType::kDouble:
        return doubles() && rest_is_padding();
      case ColumnType::kText:
        return texts() && rest_is_padding();
    }
    return false;
  }

 private:
  bool skip(std::size_t bytes) {
    std::string_view skipped;
    return in_.take(bytes, skipped);
  }
  bool skip_padding() { return skip(padded(in_.position()) - in_.position()); }
  bool rest_is_padding() {
    std::string_view rest;
    return in_.left() < 8 && in_.take(in_.left(), rest) &&
           std::all_of(rest.begin(), rest.end(), [](char c) { return c == 0; });
  }
  bool validity() { return head_.nulls == 0 || skip(packed_bytes(rows_, 1)); }

  // Packed numbers, and the places and values of those that do not fit.
  struct Numbers {
    std::string_view packed, places, values;
  };
  bool numbers(Numbers& out) {
    if (head_.width > 64 || head_.exceptions > rows_) return false;
    if (!in_.take(packed_bytes(rows_, head_.width), out.packed)) return false;
    if (!in_.take(head_.exceptions * sizeof(std::uint16_t), out.places) || !skip_padding()) return false;
    if (!in_.take(head_.exceptions * sizeof(std::uint64_t), out.values)) return false;
    std::size_t largest = 0;
    for (std::size_t i = 0; i < head_.exceptions; ++i)
      largest = std::max<std::size_t>(largest, at<std::uint16_t>(out.places, i));
    return largest < rows_;
  }
  template <class T>
  static T at(std::string_view bytes, std::size_t i) {
    T out;
    std::memcpy(&out, bytes.data() + i * sizeof out, sizeof out);
    return out;
  }

  bool ints() {
    std::int64_t base = 0, step = 0;
    Numbers found;
    if (!in_.raw(base)) return false;
    switch (encoding_) {
      case BlockEncoding::kConstant:
        // A time that is NULL reads as 0, which is no constant.
        return !is_time_ || (head_.nulls == 0 && is_range(base, base));
      case BlockEncoding::kDelta:
        return in_.raw(step) && numbers(found) && (!is_time_ || times(base, step, found));
      case BlockEncoding::kPacked:
        return numbers(found) && (!is_time_ || times(base, 0, found));
      case BlockEncoding::kFromPrevious:
        return numbers(found) && !is_time_ && previous_will_do();
      default:
        return false;
    }
  }
  bool is_range(std::int64_t first, std::int64_t last) const {
    return first == view_.first_ns_ && last == view_.last_ns_;
  }
  bool previous_will_do() const {
    const auto index = static_cast<std::size_t>(&head_ - view_.columns_.data());
    return index > 0 && schema_of(view_.table_).columns[index - 1].type == ColumnType::kInt64 &&
           static_cast<BlockEncoding>(view_.columns_[index - 1].encoding) != BlockEncoding::kFromPrevious;
  }

  // Their range, a vector at a time. Numbers of two planes and exceptions out of order are left to decoding.
  bool times(std::int64_t base, std::int64_t step, const Numbers& from) const {
    if (head_.nulls != 0 || head_.width > 32) return false;
    std::array<std::uint32_t, kPackVector> narrow;
    std::array<std::uint64_t, kPackVector> numbers;
    auto value = static_cast<std::uint64_t>(base);
    std::pair<std::int64_t, std::int64_t> range(std::numeric_limits<std::int64_t>::max(),
                                                std::numeric_limits<std::int64_t>::min());
    std::size_t exception = 0;
    for (std::size_t row = 0; row < rows_; row += kPackVector) {
      const std::size_t n = std::min(kPackVector, rows_ - row);
      const std::string_view vector = from.packed.substr(packed_bytes(row, head_.width));
      unpack(vector.substr(0, packed_bytes(n, head_.width)), head_.width, std::span(narrow).first(n));
      std::copy_n(narrow.begin(), n, numbers.begin());
      for (; exception < head_.exceptions; ++exception) {
        const std::size_t place = at<std::uint16_t>(from.places, exception);
        if (place >= row + n) break;
        if (place < row) return false;
        numbers[place - row] = at<std::uint64_t>(from.values, exception);
      }
      if (encoding_ == BlockEncoding::kDelta) {
        // The first row is the base; its number means nothing.
        if (row == 0) numbers[0] = zigzag(static_cast<std::int64_t>(0 - static_cast<std::uint64_t>(step)));
        add_up(std::span(numbers).first(n), static_cast<std::uint64_t>(step), value, range);
      } else {
        for (std::size_t i = 0; i < n; ++i) take_in(value + numbers[i], range);
      }
    }
    return exception == head_.exceptions && is_range(range.first, range.second);
  }
  static void take_in(std::uint64_t value, std::pair<std::int64_t, std::int64_t>& range) {
    range.first = std::min(range.first, static_cast<std::int64_t>(value));
    range.second = std::max(range.second, static_cast<std::int64_t>(value));
  }
  static void add_up(std::span<const std::uint64_t> numbers, std::uint64_t step, std::uint64_t& value,
                     std::pair<std::int64_t, std::int64_t>& range) {
    for (const std::uint64_t number : numbers) {
      value += step + static_cast<std::uint64_t>(unzigzag(number));
      take_in(value, range);
    }
  }

  bool bools() {
    if (encoding_ == BlockEncoding::kConstant) return skip(sizeof(std::int64_t));
    return encoding_ == BlockEncoding::kPacked && head_.width == 1 && skip(packed_bytes(rows_, 1));
  }

  bool doubles() {
    std::int64_t base = 0, digits = 0;
    Numbers found;
    switch (encoding_) {
      case BlockEncoding::kConstant:
        return skip(sizeof(double));
      case BlockEncoding::kPlain:
        return skip(rows_ * sizeof(double));
      case BlockEncoding::kDecimal:
        return in_.raw(base) && in_.raw(digits) && digits >= 0 && digits <= kMaxDecimals && numbers(found);
      default:
        return false;
    }
  }

  bool texts() {
    if (!dictionary()) return false;
    const std::uint32_t null = head_.dictionary;
    if (encoding_ == BlockEncoding::kConstant) return null == 1 || (null == 0 && spec_.nullable);
    std::string_view packed;
    if (encoding_ != BlockEncoding::kDictionary || head_.width > 32) return false;
    if (!in_.take(packed_bytes(rows_, head_.width), packed)) return false;
    const std::uint32_t largest = head_.width == 0 ? 0 : largest_packed(packed, head_.width);
    return spec_.nullable ? largest <= null : largest < null;
  }

  bool dictionary() {
    const bool constant = encoding_ == BlockEncoding::kConstant;
    std::string_view ends, characters;
    if (head_.dictionary > (constant ? 1 : rows_)) return false;
    if (!in_.take(head_.dictionary * sizeof(std::uint32_t), ends)) return false;
    std::uint32_t from = 0;
    bool possible = true;
    for (std::size_t i = 0; i < head_.dictionary; ++i) {
      const auto end = at<std::uint32_t>(ends, i);
      possible = possible && end > from && end - from <= kMaxTextBytes;
      from = end;
    }
    return possible && in_.take(from, characters) && skip_padding() && is_valid_utf8(characters);
  }

  const BlockView& view_;
  const ColumnSpec& spec_;
  const ColumnEntry& head_;
  const std::size_t rows_;
  const BlockEncoding encoding_;
  ByteReader in_;
  const bool is_time_;
};

base::Status BlockView::check() const {
  // A store's threads keep the memory of the columns that they had to decode.
  static thread_local Column column;
  static thread_local BlockScratch scratch;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::string_view payload = bytes_.substr(columns_[i].offset, columns_[i].bytes);
    const bool whole = XXH3_64bits(payload.data(), payload.size()) == columns_[i].checksum;
    if (whole && ColumnCheck(*this, i, payload).is_sound()) continue;
    PJ_TRY(is_constant(i) ? read_constant(i, column, scratch) : read_column(i, column, scratch));
  }
  return base::ok_status();
}

}  // namespace perjoule::bus
