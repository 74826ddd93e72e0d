// Reads the protobuf wire format field by field, without generated code. It never allocates, never recurses
// and never looks beyond the bytes it was given: a length that does not fit ends the reading with failed().
// Source: protobuf.dev, "Encoding". Thread rule: values. Ownership: looks at bytes owned elsewhere.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace perjoule::api {

class ProtoReader {
 public:
  explicit ProtoReader(std::string_view bytes) : rest_(bytes) {}

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

 private:
  bool fail() { return failed_ = true, false; }
  bool read_varint(std::uint64_t& out);
  bool read_fixed(std::size_t size);

  std::string_view rest_, bytes_;
  std::uint64_t number_ = 0;
  std::uint32_t field_ = 0;
  unsigned type_ = 0;
  bool failed_ = false;
};

}  // namespace perjoule::api
