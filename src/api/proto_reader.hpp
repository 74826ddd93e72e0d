// Reads the protobuf wire format field by field, without generated code. It never allocates, never recurses
// and never looks beyond the bytes it was given: a length that does not fit ends the reading with failed().
// In line, because it is called for every field of every point. Source: protobuf.dev, "Encoding". Thread
// rule: values. Ownership: looks at bytes owned elsewhere.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace perjoule::api {

class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : at_(bytes.data()), end_(bytes.data() + bytes.size()) {}

  // The next field; false at the end, or when what is there is no field.
  bool next();
  bool failed() const { return failed_; }

  std::uint32_t field() const { return field_; }
  bool is_bytes() const { return type_ == 2; }
  bool is_varint() const { return type_ == 0; }
  bool is_fixed64() const { return type_ == 1; }
  // Of the kind that was found; 0 and empty for another one.
  std::string_view bytes() const { return is_bytes() ? bytes_ : std::string_view{}; }
  std::uint64_t number() const { return is_bytes() ? 0 : number_; }  // a varint or fixed number
  double real() const { return is_fixed64() ? std::bit_cast<double>(number_) : 0.0; }
  // The field with its number and length, as it stands there.
  std::string_view raw() const { return {from_, static_cast<std::size_t>(at_ - from_)}; }

 private:
  bool fail() { return failed_ = true, false; }
  bool read_varint(std::uint64_t& out) {
    if (at_ == end_) return fail();
    const auto byte = static_cast<unsigned char>(*at_);
    if (byte >= 0x80) return read_long_varint(out);
    ++at_;
    out = byte;
    return true;
  }
  bool read_long_varint(std::uint64_t& out);
  template <class Fixed>
  bool read_fixed() {
    static_assert(std::endian::native == std::endian::little, "the wire's order of bytes");
    Fixed number;
    if (static_cast<std::size_t>(end_ - at_) < sizeof number) return fail();
    std::memcpy(&number, at_, sizeof number);
    at_ += sizeof number;
    number_ = number;
    return true;
  }
  bool read_bytes() {
    std::uint64_t size = 0;
    if (!read_varint(size)) return false;
    if (size > static_cast<std::size_t>(end_ - at_)) return fail();
    bytes_ = {at_, static_cast<std::size_t>(size)};
    at_ += size;
    return true;
  }

  const char *at_, *end_, *from_ = nullptr;
  std::string_view bytes_;
  std::uint64_t number_ = 0;
  std::uint32_t field_ = 0;
  unsigned type_ = 0;
  bool failed_ = false;
};

inline bool ProtoReader::next() {
  if (failed_ || at_ == end_) return false;
  from_ = at_;
  std::uint64_t key = 0;
  if (!read_varint(key)) return false;
  if ((key >> 3) == 0 || (key >> 3) > 0x1FFF'FFFF) return fail();
  field_ = static_cast<std::uint32_t>(key >> 3);
  type_ = static_cast<unsigned>(key & 7);
  switch (type_) {
    case 0:
      return read_varint(number_);
    case 1:
      return read_fixed<std::uint64_t>();
    case 2:
      return read_bytes();
    case 5:
      return read_fixed<std::uint32_t>();
    default:  // groups (3, 4) are long out of use
      return fail();
  }
}

}  // namespace perjoule::api
