#include "bus/encodings.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "bus/bit_packing.hpp"

namespace perjoule::bus {
namespace {

constexpr std::size_t kBlock = 128;
constexpr std::size_t kMiniblocks = 4;
constexpr std::size_t kMini = kBlock / kMiniblocks;

// A literal run of these values, padded with zeros to a multiple of 8.
void put_literals(std::span<const std::uint32_t> values, unsigned width, std::string& out) {
  if (values.empty()) return;
  const std::size_t groups = (values.size() + 7) / 8;
  put_varint(out, groups << 1 | 1);
  const std::size_t start = out.size(), whole = values.size() / kPacked * kPacked;
  out.resize(start + groups * width);
  char* to = out.data() + start;
  for (std::size_t i = 0; i < whole; i += kPacked, to += 4 * width) pack_32(values.data() + i, width, to);
  if (whole == values.size()) return;
  std::array<std::uint32_t, kPacked> last{};
  std::copy(values.begin() + static_cast<std::ptrdiff_t>(whole), values.end(), last.begin());
  std::array<char, 4 * 32> packed;
  pack_32(last.data(), width, packed.data());
  std::copy_n(packed.data(), out.data() + out.size() - to, to);
}

// Are the 8 values from here on the same?
bool is_uniform(const std::uint32_t* v) {
  if (v[0] != v[7] || v[0] != v[3]) return false;
  std::uint32_t differs = 0;
  for (std::size_t k = 1; k < 7; ++k) differs |= v[k] ^ v[0];
  return differs == 0;
}

// Where the run that begins at `from` ends; at least 8 values are known to be of it.
std::size_t end_of_run(std::span<const std::uint32_t> values, std::size_t from) {
  const std::uint32_t v = values[from];
  std::size_t i = from + 8;
  while (i + 8 <= values.size() && values[i] == v && is_uniform(values.data() + i)) i += 8;
  while (i < values.size() && values[i] == v) ++i;
  return i;
}

// Unpacks one group of 8 from exactly `width` bytes: each value is within a word that begins at one of them.
void unpack_group(const char* from, unsigned width, std::uint32_t* out) {
  std::array<char, 32 + sizeof(std::uint64_t)> padded{};
  std::memcpy(padded.data(), from, width);
  const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
  for (unsigned i = 0, bit = 0; i < 8; ++i, bit += width) {
    std::uint64_t word = 0;
    std::memcpy(&word, padded.data() + bit / 8, sizeof word);
    out[i] = static_cast<std::uint32_t>(word >> bit % 8 & mask);
  }
}

bool next_packed(ByteReader& in, std::uint64_t groups, unsigned width, std::size_t left, HybridStretch& out) {
  // A last group may hold up to 7 values of padding, never a whole group.
  if (groups == 0 || groups > (left + 7) / 8) return false;
  std::string_view packed;
  if (!in.take(groups * width, packed)) return false;
  out = {packed.data(), 0, std::min<std::size_t>(left, groups * 8)};
  return true;
}

bool next_run(ByteReader& in, std::uint64_t count, unsigned width, std::size_t left, HybridStretch& out) {
  if (count == 0 || count > left) return false;
  std::string_view bytes;
  if (!in.take((width + 7) / 8, bytes)) return false;
  // Byte by byte in a register: what is written to memory in bytes is slow to be read as a word.
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i)
    value |= std::uint32_t{static_cast<std::uint8_t>(bytes[i])} << (8 * i);
  if (width < 32 && value >> width != 0) return false;
  out = {nullptr, value, static_cast<std::size_t>(count)};
  return true;
}

// A block of at most 128 differences: what packing it takes to know, in one look at the values.
struct BlockShape {
  std::int64_t smallest, largest;  // of the values
  std::int64_t lowest;             // of the differences
  std::uint64_t unequal;           // bits in which a difference is not the first one
};

// v[0] is the value before the block's n. Fills `deltas`.
[[gnu::always_inline]] inline BlockShape shape_of(const std::int64_t* __restrict v, std::size_t n,
                                                  std::int64_t* __restrict deltas) {
  const auto delta_at = [v](std::size_t i) {
    return static_cast<std::int64_t>(static_cast<std::uint64_t>(v[i + 1]) - static_cast<std::uint64_t>(v[i]));
  };
  const std::int64_t first = delta_at(0);
  std::int64_t smallest = v[1], largest = v[1], lowest = first, unequal = 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::int64_t delta = delta_at(i), value = v[i + 1];
    deltas[i] = delta;
    unequal |= delta ^ first;
    lowest = delta < lowest ? delta : lowest;
    smallest = value < smallest ? value : smallest;
    largest = value > largest ? value : largest;
  }
  return {smallest, largest, lowest, static_cast<std::uint64_t>(unequal)};
}

BlockShape shape_plain(const std::int64_t* v, std::size_t n, std::int64_t* deltas) {
  return shape_of(v, n, deltas);
}
#ifdef __x86_64__
// The same compiled for a processor that compares four int64 at once.
[[gnu::target("avx2")]] BlockShape shape_avx2(const std::int64_t* v, std::size_t n, std::int64_t* deltas) {
  return n == kBlock ? shape_of(v, kBlock, deltas) : shape_of(v, n, deltas);
}
#endif

#ifdef __x86_64__
bool has_avx2() {
  static const bool has = __builtin_cpu_supports("avx2") != 0;
  return has;
}
#endif

using ShapeOf = BlockShape (*)(const std::int64_t*, std::size_t, std::int64_t*);
ShapeOf best_shape_of() {
#ifdef __x86_64__
  if (has_avx2()) return shape_avx2;
#endif
  return shape_plain;
}

void put_delta_head(std::int64_t first, std::size_t count, std::string& out) {
  put_varint(out, kBlock);
  put_varint(out, kMiniblocks);
  put_varint(out, count);
  put_varint(out, zigzag(first));
}

// Appends the header of a block.
void put_header(std::int64_t lowest, const std::array<char, kMiniblocks>& widths, std::string& out) {
  put_varint(out, zigzag(lowest));
  out.append(widths.data(), widths.size());
}

void put_block(const std::int64_t* deltas, std::size_t n, std::int64_t lowest, std::string& out) {
  std::array<std::uint64_t, kBlock> above{};
  for (std::size_t i = 0; i < n; ++i)
    above[i] = static_cast<std::uint64_t>(deltas[i]) - static_cast<std::uint64_t>(lowest);
  std::array<char, kMiniblocks> widths{};
  std::size_t bytes = 0;
  for (std::size_t m = 0; m < kMiniblocks; ++m) {
    std::uint64_t any = 0;
    for (std::size_t i = m * kMini; i < (m + 1) * kMini; ++i) any |= above[i];
    widths[m] = static_cast<char>(std::bit_width(any));
    bytes += 4 * static_cast<std::size_t>(widths[m]);
  }
  put_header(lowest, widths, out);
  std::size_t at = out.size();
  out.resize(at + bytes);
  for (std::size_t m = 0; m < kMiniblocks; ++m) {
    const auto width = static_cast<unsigned>(widths[m]);
    if (width != 0) pack_32(above.data() + m * kMini, width, out.data() + at);
    at += 4 * width;
  }
}

// A value that stands for a whole page: the differences are 0, and so are the widths.
void put_constant(std::size_t n, std::string& out) {
  std::array<char, kMiniblocks + 1> block{};
  for (std::size_t from = 1; from < n; from += kBlock) out.append(block.data(), block.size());
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
    if (width != 0) {
      std::string_view packed;
      if (!in.take(4 * width, packed)) return false;
      unpack_32(packed.data(), width, above.data());
    } else {
      above.fill(0);
    }
    for (std::size_t i = from; i < to; ++i) {
      value += base + above[i - from];
      out[i] = static_cast<std::int64_t>(value);
    }
  }
  return true;
}

// Eight words of eight bytes, turned so that word i has the bytes i.
[[gnu::always_inline]] inline void turn(std::array<std::uint64_t, 8>& w) {
  const auto swap = [&w](std::size_t i, std::size_t j, unsigned shift, std::uint64_t mask) {
    const std::uint64_t differs = (w[i] >> shift ^ w[j]) & mask;
    w[j] ^= differs;
    w[i] ^= differs << shift;
  };
  for (std::size_t i = 0; i < 4; ++i) swap(i, i + 4, 32, 0x00000000FFFFFFFF);
  for (const std::size_t i : {0U, 1U, 4U, 5U}) swap(i, i + 2, 16, 0x0000FFFF0000FFFF);
  for (const std::size_t i : {0U, 2U, 4U, 6U}) swap(i, i + 1, 8, 0x00FF00FF00FF00FF);
}

}  // namespace

void encode_planes(std::span<const std::uint64_t> values, std::string& out) {
  const std::size_t n = values.size(), at = out.size();
  out.resize(at + 8 * n);
  char* const to = out.data() + at;
  std::array<std::uint64_t, 8> words;
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    std::copy_n(values.data() + i, 8, words.begin());
    turn(words);
    for (std::size_t b = 0; b < 8; ++b) std::memcpy(to + b * n + i, &words[b], 8);
  }
  for (; i < n; ++i) {
    for (std::size_t b = 0; b < 8; ++b) to[b * n + i] = static_cast<char>(values[i] >> (8 * b));
  }
}

void decode_planes(std::string_view bytes, std::span<std::uint64_t> out) {
  const std::size_t n = out.size();
  const char* const from = bytes.data();
  std::array<std::uint64_t, 8> words;
  std::size_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (std::size_t b = 0; b < 8; ++b) std::memcpy(&words[b], from + b * n + i, 8);
    turn(words);
    std::copy_n(words.begin(), 8, out.data() + i);
  }
  for (; i < n; ++i) {
    std::uint64_t value = 0;
    for (std::size_t b = 0; b < 8; ++b)
      value |= static_cast<std::uint64_t>(static_cast<std::uint8_t>(from[b * n + i])) << (8 * b);
    out[i] = value;
  }
}

unsigned bit_width_of(std::uint32_t largest) {
  return std::max(1U, static_cast<unsigned>(std::bit_width(largest)));
}

void encode_hybrid_run(std::uint32_t value, std::size_t count, unsigned width, std::string& out) {
  if (count == 0) return;
  put_varint(out, static_cast<std::uint64_t>(count) << 1);
  out.append(reinterpret_cast<const char*>(&value), (width + 7) / 8);
}

void encode_hybrid(std::span<const std::uint32_t> values, unsigned width, std::string& out) {
  // Literals come in groups of 8, so a run begins where a whole group is of one value, and groups begin anew
  // after it.
  std::size_t literals_from = 0, at = 0;
  while (at + 8 <= values.size()) {
    if (!is_uniform(values.data() + at)) {
      at += 8;
      continue;
    }
    const std::size_t end = end_of_run(values, at);
    put_literals(values.subspan(literals_from, at - literals_from), width, out);
    encode_hybrid_run(values[at], end - at, width, out);
    literals_from = at = end;
  }
  put_literals(values.subspan(literals_from), width, out);
}

void encode_hybrid_runs(std::span<const ValueRun> runs, unsigned width, std::string& out) {
  // Literals come in groups of 8, so a run begins where a group would begin that is all of it.
  std::vector<std::uint32_t> literals;
  for (ValueRun run : runs) {
    const auto fill = static_cast<std::uint32_t>((8 - literals.size() % 8) % 8);
    const std::uint32_t first = std::min(run.count, fill);
    literals.insert(literals.end(), first, run.value);
    run.count -= first;
    if (run.count < 8) {
      literals.insert(literals.end(), run.count, run.value);
      continue;
    }
    put_literals(literals, width, out);
    literals.clear();
    encode_hybrid_run(run.value, run.count, width, out);
  }
  put_literals(literals, width, out);
}

void encode_packed(std::span<const std::uint32_t> values, unsigned width, std::string& out) {
  put_literals(values, width, out);
}

bool next_stretch(ByteReader& in, unsigned width, std::size_t left, HybridStretch& out) {
  std::uint64_t header = 0;
  if (width == 0 || width > 32 || !in.varint(header)) return false;
  return (header & 1) != 0 ? next_packed(in, header >> 1, width, left, out)
                           : next_run(in, header >> 1, width, left, out);
}

void unpack_stretch(const HybridStretch& packed, unsigned width, std::size_t from, std::size_t n,
                    std::uint32_t* out) {
  const char* at = packed.packed + from / 8 * width;
  std::size_t i = 0;
  for (; i + kPacked <= n; i += kPacked, at += 4 * width) unpack_32(at, width, out + i);
  for (; i + 8 <= n; i += 8, at += width) unpack_group(at, width, out + i);
  if (i == n) return;
  std::array<std::uint32_t, 8> last{};
  unpack_group(at, width, last.data());
  std::copy_n(last.begin(), n - i, out + i);
}

bool decode_hybrid(ByteReader& in, unsigned width, std::span<std::uint32_t> out) {
  if (width == 0 || width > 32) return false;
  HybridStretch s;
  for (std::size_t done = 0; done < out.size(); done += s.count) {
    if (!next_stretch(in, width, out.size() - done, s)) return false;
    if (s.packed == nullptr) {
      std::fill_n(out.begin() + static_cast<std::ptrdiff_t>(done), s.count, s.value);
    } else {
      unpack_stretch(s, width, 0, s.count, out.data() + done);
    }
  }
  return in.left() == 0;
}

void encode_delta_constant(std::int64_t value, std::size_t count, std::string& out) {
  put_delta_head(value, count, out);
  put_constant(count, out);
}

std::pair<std::int64_t, std::int64_t> encode_delta(std::span<const std::int64_t> values, std::string& out) {
  put_delta_head(values.empty() ? 0 : values[0], values.size(), out);
  if (values.empty()) return {};
  std::pair bounds{values[0], values[0]};
  // Nearly every column of times and figures is one value for a page, which memory tells as fast as it is
  // read.
  if (std::equal(values.begin() + 1, values.end(), values.begin()))
    return put_constant(values.size(), out), bounds;
  static const ShapeOf shape = best_shape_of();
  std::array<std::int64_t, kBlock> deltas;
  for (std::size_t from = 1; from < values.size(); from += kBlock) {
    const std::size_t n = std::min(kBlock, values.size() - from);
    const BlockShape s = shape(values.data() + from - 1, n, deltas.data());
    bounds = {std::min(bounds.first, s.smallest), std::max(bounds.second, s.largest)};
    if (s.unequal == 0) {
      put_header(s.lowest, {}, out);
    } else {
      put_block(deltas.data(), n, s.lowest, out);
    }
  }
  return bounds;
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
