// Little-endian bytes and LEB128 varints, written to a string and read back with every bound checked.
// Thread rule: values. Ownership: a ByteReader looks at bytes owned elsewhere.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace perjoule::bus {

static_assert(std::endian::native == std::endian::little,
              "the store is little-endian and copies numbers as they are");

inline void put_varint(std::string& out, std::uint64_t v) {
  while (v >= 0x80) {
    out.push_back(static_cast<char>(v | 0x80));
    v >>= 7;
  }
  out.push_back(static_cast<char>(v));
}
constexpr std::uint64_t zigzag(std::int64_t v) {
  return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
constexpr std::int64_t unzigzag(std::uint64_t v) {
  return static_cast<std::int64_t>((v >> 1) ^ (~(v & 1) + 1));
}

template <class T>
void put_raw(std::string& out, T v) {
  char bytes[sizeof(T)];
  std::memcpy(bytes, &v, sizeof(T));
  out.append(bytes, sizeof(T));
}

class ByteReader {
 public:
  explicit ByteReader(std::string_view bytes) : bytes_(bytes) {}
  std::size_t position() const { return position_; }
  std::size_t left() const { return bytes_.size() - position_; }

  // Each returns false and stays where it is when the bytes do not suffice (or a varint is longer than 64
  // bits).
  bool varint(std::uint64_t& v) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < 10 && i < left(); ++i) {
      const auto b = static_cast<std::uint8_t>(bytes_[position_ + i]);
      if (i == 9 && b > 1) return false;
      value |= static_cast<std::uint64_t>(b & 0x7F) << (7 * i);
      if (b < 0x80) {
        position_ += i + 1;
        v = value;
        return true;
      }
    }
    return false;
  }
  bool take(std::uint64_t n, std::string_view& out) {
    if (n > left()) return false;
    out = bytes_.substr(position_, static_cast<std::size_t>(n));
    position_ += static_cast<std::size_t>(n);
    return true;
  }
  template <class T>
  bool raw(T& v) {
    std::string_view s;
    if (!take(sizeof(T), s)) return false;
    std::memcpy(&v, s.data(), sizeof(T));
    return true;
  }

 private:
  std::string_view bytes_;
  std::size_t position_ = 0;
};

}  // namespace perjoule::bus
