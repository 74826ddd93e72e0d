// Thrift's compact protocol, as far as Parquet's headers and footers need it (thrift-compact-protocol.md).
// The reader bounds every length by the bytes that are left and every nesting by 16 levels.
// Thread rule: values. Ownership: the writer appends to a string of the caller; the reader looks at bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bus/byte_io.hpp"

namespace perjoule::bus {

enum class ThriftType : std::uint8_t {
  kStop = 0,
  kTrue = 1,
  kFalse = 2,
  kByte = 3,
  kI16 = 4,
  kI32 = 5,
  kI64 = 6,
  kDouble = 7,
  kBinary = 8,
  kList = 9,
  kSet = 10,
  kMap = 11,
  kStruct = 12,
};

class ThriftWriter {
 public:
  explicit ThriftWriter(std::string& out) : out_(out) {}
  void i16(int field, std::int16_t v) { number(field, ThriftType::kI16, v); }
  void i32(int field, std::int32_t v) { number(field, ThriftType::kI32, v); }
  void i64(int field, std::int64_t v) { number(field, ThriftType::kI64, v); }
  void flag(int field, bool v) { header(field, v ? ThriftType::kTrue : ThriftType::kFalse); }
  void binary(int field, std::string_view v) { header(field, ThriftType::kBinary), element(v); }
  void begin_struct(int field) { header(field, ThriftType::kStruct), begin_element(); }
  void end_struct() { out_.push_back('\0'), last_.pop_back(); }
  void begin_list(int field, ThriftType of, std::size_t n);
  // Inside a list.
  void element(std::string_view v) { put_varint(out_, v.size()), out_.append(v); }
  void element(std::int64_t v) { put_varint(out_, zigzag(v)); }
  void element_flag(bool v) { out_.push_back(v ? '\1' : '\2'); }
  void begin_element() { last_.push_back(0); }
  // Ends the outermost struct.
  void stop() { out_.push_back('\0'); }

 private:
  void header(int field, ThriftType type);
  void number(int field, ThriftType type, std::int64_t v) {
    header(field, type), put_varint(out_, zigzag(v));
  }

  std::string& out_;
  std::vector<int> last_{0};
};

// Reads one struct field by field. After the first failure everything returns false.
class ThriftReader {
 public:
  explicit ThriftReader(std::string_view bytes) : in_(bytes) {}
  // The next field of the struct begun last; false at its end (which closes it) or on failure.
  bool next(int& field, ThriftType& type);
  bool failed() const { return failed_; }
  std::size_t position() const { return in_.position(); }
  std::size_t left() const { return in_.left(); }

  // Values of the field just announced; a value of another type fails.
  bool integer(ThriftType type, std::int64_t& v);
  bool integer32(ThriftType type, std::int32_t& v);
  bool flag(ThriftType type, bool& v);
  bool binary(ThriftType type, std::string_view& v);
  bool begin_struct(ThriftType type);
  // Number of elements, each at least one byte long and of type `of`.
  bool begin_list(ThriftType type, ThriftType of, std::size_t& n);
  bool element_flag(bool& v);
  bool skip(ThriftType type, int depth = 0);
  bool fail() { return failed_ = true, false; }

 private:
  bool skip_list(int depth);
  bool skip_map(int depth);
  bool skip_struct(int depth);
  bool list_header(ThriftType& of, std::size_t& n);
  bool byte(std::uint8_t& v) { return in_.raw(v) || fail(); }

  ByteReader in_;
  std::vector<int> last_{0};
  bool failed_ = false;
};

}  // namespace perjoule::bus
