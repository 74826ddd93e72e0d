#include "api/proto_reader.hpp"

namespace perjoule::api {

bool ProtoReader::read_long_varint(std::uint64_t& out) {
  out = 0;
  for (unsigned shift = 0; shift < 64; shift += 7) {
    if (at_ == end_) return fail();
    const auto byte = static_cast<unsigned char>(*at_++);
    out |= static_cast<std::uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return shift < 63 || byte <= 1 || fail();
  }
  return fail();
}

}  // namespace perjoule::api
