#include "api/proto_reader.hpp"

namespace perjoule::api {

bool ProtoReader::read_varint(std::uint64_t& out) {
  out = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (rest_.empty()) return fail();
    const auto byte = static_cast<unsigned char>(rest_.front());
    rest_.remove_prefix(1);
    out |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return shift < 63 || byte <= 1 || fail();
  }
  return fail();
}

bool ProtoReader::read_fixed(std::size_t size) {
  if (rest_.size() < size) return fail();
  number_ = 0;
  for (std::size_t i = 0; i < size; ++i)
    number_ |= static_cast<std::uint64_t>(static_cast<unsigned char>(rest_[i])) << (8 * i);
  rest_.remove_prefix(size);
  return true;
}

bool ProtoReader::next() {
  if (failed_ || rest_.empty()) return false;
  std::uint64_t key = 0;
  if (!read_varint(key)) return false;
  if ((key >> 3) == 0 || (key >> 3) > 0x1FFF'FFFF) return fail();
  field_ = static_cast<std::uint32_t>(key >> 3);
  type_ = static_cast<unsigned>(key & 7);
  switch (type_) {
    case 0:
      return read_varint(number_);
    case 1:
      return read_fixed(8);
    case 5:
      return read_fixed(4);
    case 2: {
      std::uint64_t size = 0;
      if (!read_varint(size)) return false;
      if (size > rest_.size()) return fail();
      bytes_ = rest_.substr(0, size);
      rest_.remove_prefix(size);
      return true;
    }
    default:  // groups (3, 4) are long out of use
      return fail();
  }
}

}  // namespace perjoule::api
