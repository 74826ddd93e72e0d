#include "bus/thrift_compact.hpp"

#include <limits>

namespace perjoule::bus {
namespace {

constexpr int kMaxDepth = 16;

}  // namespace

void ThriftWriter::header(int field, ThriftType type) {
  const int step = field - last_.back();
  const auto t = static_cast<int>(type);
  if (step > 0 && step <= 15) {
    out_.push_back(static_cast<char>(step << 4 | t));
  } else {
    out_.push_back(static_cast<char>(t));
    put_varint(out_, zigzag(field));
  }
  last_.back() = field;
}

void ThriftWriter::begin_list(int field, ThriftType of, std::size_t n) {
  header(field, ThriftType::kList);
  const auto t = static_cast<int>(of);
  if (n < 15) {
    out_.push_back(static_cast<char>(static_cast<int>(n) << 4 | t));
  } else {
    out_.push_back(static_cast<char>(0xF0 | t));
    put_varint(out_, n);
  }
}

bool ThriftReader::next(int& field, ThriftType& type) {
  std::uint8_t b = 0;
  if (failed_ || last_.empty() || !byte(b)) return false;
  if (b == 0) {
    last_.pop_back();
    return false;
  }
  const int step = b >> 4;
  type = static_cast<ThriftType>(b & 0x0F);
  std::int64_t id = last_.back() + step;
  if (step == 0) {
    std::uint64_t v = 0;
    if (!in_.varint(v)) return fail();
    id = unzigzag(v);
  }
  if (id <= 0 || id > std::numeric_limits<std::int16_t>::max() || (b & 0x0F) == 0 || (b & 0x0F) > 12)
    return fail();
  field = last_.back() = static_cast<int>(id);
  return true;
}

bool ThriftReader::integer(ThriftType type, std::int64_t& v) {
  std::uint64_t u = 0;
  if (type != ThriftType::kI16 && type != ThriftType::kI32 && type != ThriftType::kI64) return fail();
  if (!in_.varint(u)) return fail();
  v = unzigzag(u);
  return true;
}

bool ThriftReader::integer32(ThriftType type, std::int32_t& v) {
  std::int64_t wide = 0;
  if (!integer(type, wide)) return false;
  v = static_cast<std::int32_t>(wide);
  return v == wide || fail();
}

bool ThriftReader::flag(ThriftType type, bool& v) {
  if (type != ThriftType::kTrue && type != ThriftType::kFalse) return fail();
  v = type == ThriftType::kTrue;
  return true;
}

bool ThriftReader::binary(ThriftType type, std::string_view& v) {
  std::uint64_t n = 0;
  if (type != ThriftType::kBinary) return fail();
  return (in_.varint(n) && in_.take(n, v)) || fail();
}

bool ThriftReader::begin_struct(ThriftType type) {
  if (failed_ || type != ThriftType::kStruct || last_.size() >= kMaxDepth) return fail();
  last_.push_back(0);
  return true;
}

bool ThriftReader::list_header(ThriftType& of, std::size_t& n) {
  std::uint8_t b = 0;
  if (!byte(b)) return false;
  of = static_cast<ThriftType>(b & 0x0F);
  std::uint64_t count = b >> 4;
  if (count == 15 && !in_.varint(count)) return fail();
  if (count > in_.left() || (b & 0x0F) == 0 || (b & 0x0F) > 12) return fail();
  n = static_cast<std::size_t>(count);
  return true;
}

bool ThriftReader::begin_list(ThriftType type, ThriftType of, std::size_t& n) {
  ThriftType found{};
  if (type != ThriftType::kList || !list_header(found, n)) return fail();
  const bool both_flags = of == ThriftType::kTrue && found == ThriftType::kFalse;
  return found == of || both_flags || fail();
}

bool ThriftReader::element_flag(bool& v) {
  std::uint8_t b = 0;
  if (!byte(b) || (b != 1 && b != 2)) return fail();
  v = b == 1;
  return true;
}

bool ThriftReader::skip_list(int depth) {
  ThriftType of{};
  std::size_t n = 0;
  if (!list_header(of, n)) return false;
  for (std::size_t i = 0; i < n; ++i) {
    std::uint8_t b = 0;
    const bool is_flag = of == ThriftType::kTrue || of == ThriftType::kFalse;
    if (!(is_flag ? byte(b) : skip(of, depth + 1))) return false;
  }
  return true;
}

// No field of Parquet's structs is a map.
bool ThriftReader::skip_map(int) { return fail(); }

bool ThriftReader::skip_struct(int depth) {
  if (!begin_struct(ThriftType::kStruct)) return false;
  int field = 0;
  ThriftType type{};
  while (next(field, type)) {
    if (!skip(type, depth + 1)) return false;
  }
  return !failed_;
}

bool ThriftReader::skip(ThriftType type, int depth) {
  std::uint64_t u = 0;
  std::string_view s;
  if (failed_ || depth > kMaxDepth) return fail();
  switch (type) {
    case ThriftType::kTrue:
    case ThriftType::kFalse:
      return true;
    case ThriftType::kByte:
      return in_.take(1, s) || fail();
    case ThriftType::kI16:
    case ThriftType::kI32:
    case ThriftType::kI64:
      return in_.varint(u) || fail();
    case ThriftType::kDouble:
      return in_.take(8, s) || fail();
    case ThriftType::kBinary:
      return (in_.varint(u) && in_.take(u, s)) || fail();
    case ThriftType::kList:
    case ThriftType::kSet:
      return skip_list(depth);
    case ThriftType::kMap:
      return skip_map(depth);
    case ThriftType::kStruct:
      return skip_struct(depth);
    case ThriftType::kStop:
      break;
  }
  return fail();
}

}  // namespace perjoule::bus
