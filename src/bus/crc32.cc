// CRC-32 by carry-less multiplication, 64 bytes at a time, where the processor has it, else by zlib. The
// method and its constants (powers of x modulo the polynomial, bits reflected) are those of Gopal et al.,
// "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction", Intel 2009.
#include <zlib.h>

#include "base/assert.hpp"
#include "bus/hash.hpp"

#ifdef __x86_64__
#include <immintrin.h>
#endif

namespace perjoule::bus {
namespace {

std::uint32_t crc32_by_zlib(std::uint32_t crc, const char* bytes, std::size_t n) {
  return static_cast<std::uint32_t>(
      ::crc32(crc, reinterpret_cast<const Bytef*>(bytes), static_cast<uInt>(n)));
}

#ifdef __x86_64__
#define PJ_CLMUL [[gnu::target("pclmul,sse4.1")]]

constexpr std::size_t kLane = 16, kStep = 4 * kLane;

PJ_CLMUL inline __m128i load(const char* from) {
  return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
}

// `value` moved on by the distance that `powers` stand for, plus `next`.
PJ_CLMUL inline __m128i fold(__m128i value, __m128i powers, __m128i next) {
  const __m128i low = _mm_clmulepi64_si128(value, powers, 0x00);
  const __m128i high = _mm_clmulepi64_si128(value, powers, 0x11);
  return _mm_xor_si128(_mm_xor_si128(low, high), next);
}

// 128 bits to 32: two more folds, then Barrett's reduction.
PJ_CLMUL inline std::uint32_t reduce(__m128i value, __m128i by_16) {
  const __m128i words = _mm_setr_epi32(-1, 0, -1, 0);
  const __m128i by_8 = _mm_set_epi64x(0, 0x0163cd6124);
  const __m128i polynomial = _mm_set_epi64x(0x01f7011641, 0x01db710641);
  value = _mm_xor_si128(_mm_srli_si128(value, 8), _mm_clmulepi64_si128(value, by_16, 0x10));
  value =
      _mm_xor_si128(_mm_srli_si128(value, 4), _mm_clmulepi64_si128(_mm_and_si128(value, words), by_8, 0x00));
  __m128i quotient = _mm_clmulepi64_si128(_mm_and_si128(value, words), polynomial, 0x10);
  quotient = _mm_clmulepi64_si128(_mm_and_si128(quotient, words), polynomial, 0x00);
  return static_cast<std::uint32_t>(_mm_extract_epi32(_mm_xor_si128(value, quotient), 1));
}

// Of the first n / 16 * 16 bytes, n at least 64. `crc` before and after is inverted, as the division has it.
PJ_CLMUL std::uint32_t crc32_folded(std::uint32_t crc, const char* at, std::size_t n) {
  const __m128i by_64 = _mm_set_epi64x(0x01c6e41596, 0x0154442bd4);
  const __m128i by_16 = _mm_set_epi64x(0x00ccaa009e, 0x01751997d0);
  __m128i a = _mm_xor_si128(load(at), _mm_cvtsi32_si128(static_cast<int>(crc)));
  __m128i b = load(at + kLane), c = load(at + 2 * kLane), d = load(at + 3 * kLane);
  for (at += kStep, n -= kStep; n >= kStep; at += kStep, n -= kStep) {
    a = fold(a, by_64, load(at));
    b = fold(b, by_64, load(at + kLane));
    c = fold(c, by_64, load(at + 2 * kLane));
    d = fold(d, by_64, load(at + 3 * kLane));
  }
  a = fold(fold(fold(a, by_16, b), by_16, c), by_16, d);
  for (; n >= kLane; at += kLane, n -= kLane) a = fold(a, by_16, load(at));
  return reduce(a, by_16);
}

bool has_clmul() {
  static const bool has = __builtin_cpu_supports("pclmul") != 0 && __builtin_cpu_supports("sse4.1") != 0;
  return has;
}
#endif

}  // namespace

std::uint32_t crc32_of(std::string_view bytes, std::uint32_t before) {
  // Pages are far below 4 GiB, the limit of zlib's length.
  PJ_CHECK(bytes.size() <= UINT32_MAX);
  std::uint32_t crc = before;
#ifdef __x86_64__
  if (bytes.size() >= kStep && has_clmul()) {
    crc = ~crc32_folded(~crc, bytes.data(), bytes.size());
    bytes.remove_prefix(bytes.size() / kLane * kLane);
  }
#endif
  return crc32_by_zlib(crc, bytes.data(), bytes.size());
}

}  // namespace perjoule::bus
