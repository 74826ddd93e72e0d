#include "bus/encodings.hpp"

#include <algorithm>
#include <array>
#include <bit>

namespace perjoule::bus {
namespace {

constexpr std::size_t kBlock = 128;
constexpr std::size_t kMiniblocks = 4;
constexpr std::size_t kMini = kBlock / kMiniblocks;

// Packs `n` values of `width` <= 32 bits, least significant bit first; n is padded with zeros to a multiple
// of 8.
void pack_groups(const std::uint32_t* values, std::size_t n, unsigned width, std::string& out) {
  const std::size_t bytes = (n + 7) / 8 * width;
  const std::size_t start = out.size();
  out.resize(start + bytes + 8);  // room for whole-word stores, cut below
  char* to = out.data() + start;
  std::uint64_t word = 0;
  unsigned bits = 0;
  for (std::size_t i = 0; i < n; ++i) {
    word |= static_cast<std::uint64_t>(values[i]) << bits;
    bits += width;
    if (bits >= 32) {
      std::memcpy(to, &word, 4);
      to += 4;
      word >>= 32;
      bits -= 32;
    }
  }
  std::memcpy(to, &word, 8);
  // The padding after the last whole word was zero-filled by resize; what memcpy wrote beyond is cut.
  out.resize(start + bytes);
}

void put_literals(std::span<const std::uint32_t> values, unsigned width, std::string& out) {
  if (values.empty()) return;
  put_varint(out, ((values.size() + 7) / 8) << 1 | 1);
  pack_groups(values.data(), values.size(), width, out);
}

std::size_t run_length(std::span<const std::uint32_t> values, std::size_t from) {
  const std::uint32_t v = values[from];
  std::size_t i = from + 1;
  while (i + 8 <= values.size()) {
    std::uint32_t differs = 0;
    for (std::size_t k = 0; k < 8; ++k) differs |= values[i + k] ^ v;
    if (differs != 0) break;
    i += 8;
  }
  while (i < values.size() && values[i] == v) ++i;
  return i - from;
}

// Unpacks one group of 8 from exactly `width` bytes.
void unpack_group(const char* from, unsigned width, std::array<std::uint32_t, 8>& out) {
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  std::uint64_t word = 0;
  unsigned bits = 0;
  for (auto& v : out) {
    while (bits < width) {
      word |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(*from++)) << bits;
      bits += 8;
    }
    v = static_cast<std::uint32_t>(word & mask);
    word >>= width;
    bits -= width;
  }
}

bool decode_literals(ByteReader& in, std::uint64_t groups, unsigned width, std::span<std::uint32_t> out,
                     std::size_t& done) {
  // A last group may hold up to 7 values of padding, never a whole group.
  if (groups == 0 || groups > (out.size() - done + 7) / 8) return false;
  std::string_view packed;
  if (!in.take(groups * width, packed)) return false;
  std::array<std::uint32_t, 8> group{};
  for (std::uint64_t g = 0; g < groups; ++g) {
    unpack_group(packed.data() + g * width, width, group);
    const std::size_t n = std::min<std::size_t>(8, out.size() - done);
    std::copy_n(group.begin(), n, out.begin() + static_cast<std::ptrdiff_t>(done));
    done += n;
  }
  return true;
}

bool decode_run(ByteReader& in, std::uint64_t count, unsigned width, std::span<std::uint32_t> out,
                std::size_t& done) {
  if (count == 0 || count > out.size() - done) return false;
  std::string_view bytes;
  if (!in.take((width + 7) / 8, bytes)) return false;
  std::uint32_t value = 0;
  std::memcpy(&value, bytes.data(), bytes.size());
  if (width < 32 && value >> width != 0) return false;
  std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(done), count, value);
  done += static_cast<std::size_t>(count);
  return true;
}

// `values` of `width` bits (1..64), n = 32.
void pack_mini(const std::uint64_t* values, unsigned width, char* to) {
  std::uint64_t word = 0;
  unsigned bits = 0;
  for (std::size_t i = 0; i < kMini; ++i) {
    const std::uint64_t v = values[i];
    word |= v << bits;
    bits += width;
    if (bits < 64) continue;
    std::memcpy(to, &word, 8);
    to += 8;
    bits -= 64;
    word = bits == 0 ? 0 : v >> (width - bits);
  }
  if (bits != 0) std::memcpy(to, &word, 4);  // 32 * width is a multiple of 32
}

void unpack_mini(const char* from, unsigned width, std::uint64_t* out) {
  const std::size_t bytes = 4 * width;
  std::array<char, 4 * 64 + 16> padded{};
  std::memcpy(padded.data(), from, bytes);
  const std::uint64_t mask = width == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << width) - 1;
  for (std::size_t i = 0; i < kMini; ++i) {
    const std::size_t bit = i * width;
    std::uint64_t low = 0;
    std::memcpy(&low, padded.data() + bit / 8, 8);
    const unsigned shift = bit % 8;
    std::uint64_t v = low >> shift;
    if (shift + width > 64)
      v |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(padded[bit / 8 + 8])) << (64 - shift);
    out[i] = v & mask;
  }
}

void put_block(std::array<std::int64_t, kBlock>& deltas, std::size_t n, std::string& out) {
  const std::int64_t lowest =
      *std::min_element(deltas.begin(), deltas.begin() + static_cast<std::ptrdiff_t>(n));
  put_varint(out, zigzag(lowest));
  std::array<std::uint64_t, kBlock> above{};
  for (std::size_t i = 0; i < n; ++i)
    above[i] = static_cast<std::uint64_t>(deltas[i]) - static_cast<std::uint64_t>(lowest);
  std::array<unsigned, kMiniblocks> widths{};
  for (std::size_t m = 0; m < kMiniblocks; ++m) {
    std::uint64_t any = 0;
    for (std::size_t i = m * kMini; i < (m + 1) * kMini; ++i) any |= above[i];
    widths[m] = static_cast<unsigned>(std::bit_width(any));
    out.push_back(static_cast<char>(widths[m]));
  }
  for (std::size_t m = 0; m < kMiniblocks; ++m) {
    if (widths[m] == 0) continue;
    const std::size_t at = out.size();
    out.resize(at + 4 * widths[m]);
    pack_mini(above.data() + m * kMini, widths[m], out.data() + at);
  }
}

// One block of at most 128 differences added up into `out`, starting after `value`.
bool decode_block(ByteReader& in, std::uint64_t& value, std::span<std::int64_t> out) {
  std::uint64_t lowest = 0;
  std::string_view widths;
  if (!in.varint(lowest) || !in.take(kMiniblocks, widths)) return false;
  const auto base = static_cast<std::uint64_t>(unzigzag(lowest));
  std::array<std::uint64_t, kMini> above{};
  for (std::size_t m = 0; m < kMiniblocks; ++m) {
    const unsigned width = static_cast<std::uint8_t>(widths[m]);
    const std::size_t from = std::min(m * kMini, out.size()), to = std::min((m + 1) * kMini, out.size());
    if (width > 64 || (from == to && width != 0)) return false;
    above.fill(0);
    if (width != 0) {
      std::string_view packed;
      if (!in.take(4 * width, packed)) return false;
      unpack_mini(packed.data(), width, above.data());
    }
    for (std::size_t i = from; i < to; ++i) {
      value += base + above[i - from];
      out[i] = static_cast<std::int64_t>(value);
    }
  }
  return true;
}

}  // namespace

unsigned bit_width_of(std::uint32_t largest) {
  return std::max(1U, static_cast<unsigned>(std::bit_width(largest)));
}

void encode_hybrid_run(std::uint32_t value, std::size_t count, unsigned width, std::string& out) {
  if (count == 0) return;
  put_varint(out, static_cast<std::uint64_t>(count) << 1);
  out.append(reinterpret_cast<const char*>(&value), (width + 7) / 8);
}

void encode_hybrid(std::span<const std::uint32_t> values, unsigned width, std::string& out) {
  std::size_t literals_from = 0;
  for (std::size_t i = 0; i < values.size();) {
    const std::size_t run = run_length(values, i);
    // Literals come in groups of 8: a run first fills up the group before it.
    const std::size_t borrowed = (8 - (i - literals_from) % 8) % 8;
    if (run >= borrowed + 8) {
      put_literals(values.subspan(literals_from, i + borrowed - literals_from), width, out);
      encode_hybrid_run(values[i], run - borrowed, width, out);
      literals_from = i + run;
    }
    i += run;
  }
  put_literals(values.subspan(literals_from), width, out);
}

bool decode_hybrid(ByteReader& in, unsigned width, std::span<std::uint32_t> out) {
  if (width == 0 || width > 32) return false;
  std::size_t done = 0;
  while (done < out.size()) {
    std::uint64_t header = 0;
    if (!in.varint(header)) return false;
    const bool ok = (header & 1) != 0 ? decode_literals(in, header >> 1, width, out, done)
                                      : decode_run(in, header >> 1, width, out, done);
    if (!ok) return false;
  }
  return in.left() == 0;
}

void encode_delta(std::span<const std::int64_t> values, std::string& out) {
  put_varint(out, kBlock);
  put_varint(out, kMiniblocks);
  put_varint(out, values.size());
  put_varint(out, zigzag(values.empty() ? 0 : values[0]));
  std::array<std::int64_t, kBlock> deltas{};
  for (std::size_t from = 1; from < values.size(); from += kBlock) {
    const std::size_t n = std::min(kBlock, values.size() - from);
    const std::int64_t* v = values.data() + from - 1;
    std::uint64_t differs = 0;
    const std::uint64_t first = static_cast<std::uint64_t>(v[1]) - static_cast<std::uint64_t>(v[0]);
    for (std::size_t i = 0; i < n; ++i) {
      const std::uint64_t delta = static_cast<std::uint64_t>(v[i + 1]) - static_cast<std::uint64_t>(v[i]);
      differs |= delta ^ first;
      deltas[i] = static_cast<std::int64_t>(delta);
    }
    // Times, numbers in sequence and constants: nearly every block.
    if (differs == 0) {
      put_varint(out, zigzag(static_cast<std::int64_t>(first)));
      out.append(kMiniblocks, '\0');
    } else {
      put_block(deltas, n, out);
    }
  }
}

bool decode_delta(ByteReader& in, std::span<std::int64_t> out) {
  std::uint64_t block = 0, minis = 0, count = 0, first = 0;
  if (!in.varint(block) || !in.varint(minis) || !in.varint(count) || !in.varint(first)) return false;
  if (block != kBlock || minis != kMiniblocks || count != out.size()) return false;
  if (count == 0) return in.left() == 0;
  auto value = static_cast<std::uint64_t>(unzigzag(first));
  out[0] = static_cast<std::int64_t>(value);
  for (std::size_t from = 1; from < out.size(); from += kBlock) {
    const std::size_t n = std::min(kBlock, out.size() - from);
    if (!decode_block(in, value, out.subspan(from, n))) return false;
  }
  return in.left() == 0;
}

}  // namespace perjoule::bus
