#include "bus/encodings.hpp"

#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <limits>
#include <set>

#include "base/rng.hpp"
#include "bus/hash.hpp"
#include "bus/text_order.hpp"
#include "bus/thrift_compact.hpp"
#include "bus/utf8.hpp"

namespace perjoule::bus {
namespace {

std::vector<std::uint32_t> decode(const std::string& bytes, unsigned width, std::size_t n, bool& ok) {
  std::vector<std::uint32_t> out(n, 0xDEADBEEF);
  ByteReader in(bytes);
  ok = decode_hybrid(in, width, out);
  return out;
}

// The obvious one: bit i of the stream is bit i % width of value i / width.
std::vector<std::uint32_t> unpack_bit_by_bit(std::string_view packed, unsigned width, std::size_t n) {
  std::vector<std::uint32_t> out(n, 0);
  for (std::size_t bit = 0; bit < n * width; ++bit) {
    const auto byte = static_cast<unsigned char>(packed[bit / 8]);
    if ((byte >> (bit % 8) & 1) != 0) out[bit / width] |= 1U << (bit % width);
  }
  return out;
}

TEST(Hybrid, MatchesTheExampleOfTheFormat) {
  // Encodings.md: the numbers 0..7 in 3 bits are 10001000 11000110 11111010, after the header of one literal
  // group.
  const std::vector<std::uint32_t> values{0, 1, 2, 3, 4, 5, 6, 7};
  std::string out;
  encode_hybrid(values, 3, out);
  EXPECT_EQ(out, std::string("\x03\x88\xC6\xFA"));
}

TEST(Hybrid, LiteralsAreBitPackedAtEveryWidth) {
  base::Rng rng(1);
  for (unsigned width = 1; width <= 32; ++width) {
    std::vector<std::uint32_t> values(64);
    for (auto& v : values) v = static_cast<std::uint32_t>(rng.next() & ((std::uint64_t{1} << width) - 1));
    for (std::size_t i = 0; i < values.size(); i += 2) values[i] = 0, values[i + 1] |= 1;  // no runs
    std::string out;
    encode_hybrid(values, width, out);
    ASSERT_EQ(static_cast<unsigned char>(out[0]), 8U << 1 | 1) << width;
    EXPECT_EQ(unpack_bit_by_bit(std::string_view(out).substr(1), width, 64), values) << width;
  }
}

TEST(Hybrid, RoundTripsRunsAndLiteralsOfEveryLength) {
  base::Rng rng(2);
  for (int round = 0; round < 2000; ++round) {
    const auto width = static_cast<unsigned>(1 + rng.next() % 20);
    std::vector<std::uint32_t> values;
    const std::size_t n = rng.next() % 200;
    while (values.size() < n) {
      values.insert(values.end(), 1 + rng.next() % 30,
                    static_cast<std::uint32_t>(rng.next() & ((1U << width) - 1)));
    }
    std::string out;
    encode_hybrid(values, width, out);
    bool ok = false;
    ASSERT_EQ(decode(out, width, values.size(), ok), values);
    ASSERT_TRUE(ok);
    if (out.empty()) continue;
    out.pop_back();
    decode(out, width, values.size(), ok);
    ASSERT_FALSE(ok) << "cut short";
  }
}

TEST(Hybrid, RefusesWhatDoesNotFit) {
  bool ok = true;
  decode(std::string("\x10\x05", 2), 2, 8, ok);  // a run of the value 5 in 2 bits
  EXPECT_FALSE(ok);
  decode(std::string("\x12\x01", 2), 2, 8, ok);  // a run of 9 where 8 are left
  EXPECT_FALSE(ok);
  decode(std::string("\x10\x01\x00", 3), 2, 8, ok);  // a byte too many
  EXPECT_FALSE(ok);
  decode(std::string("\x00\x01", 2), 2, 8, ok);  // a run of none
  EXPECT_FALSE(ok);
}

TEST(Delta, RoundTripsEverySequence) {
  base::Rng rng(3);
  const std::int64_t lowest = std::numeric_limits<std::int64_t>::min(), highest = -(lowest + 1);
  for (int round = 0; round < 1000; ++round) {
    std::vector<std::int64_t> values(rng.next() % 400);
    const unsigned bits = rng.next() % 64;
    for (auto& v : values) {
      v = static_cast<std::int64_t>(rng.next() >> bits);
      if (rng.next() % 50 == 0) v = rng.next() % 2 == 0 ? lowest : highest;
    }
    std::string bytes;
    const auto bounds = encode_delta(values, bytes);
    std::vector<std::int64_t> back(values.size());
    ByteReader in(bytes);
    ASSERT_TRUE(decode_delta(in, back));
    if (!values.empty()) {
      ASSERT_EQ(bounds, std::pair(*std::min_element(values.begin(), values.end()),
                                  *std::max_element(values.begin(), values.end())));
    }
    ASSERT_EQ(back, values);
    ByteReader cut(std::string_view(bytes).substr(0, bytes.size() - 1));
    ASSERT_FALSE(decode_delta(cut, back));
  }
}

TEST(Delta, MatchesTheExampleOfTheFormat) {
  // Encodings.md, example 1: 1..5 has the differences 1,1,1,1: minimum 1, widths 0.
  const std::vector<std::int64_t> values{1, 2, 3, 4, 5};
  std::string bytes;
  encode_delta(values, bytes);
  // 128 | 4 | 5 values | first 1 (zigzag 2) | minimum 1 (zigzag 2) | four widths of 0
  EXPECT_EQ(bytes, std::string("\x80\x01\x04\x05\x02\x02\0\0\0\0", 10));
}

TEST(Varint, EdgesRoundTrip) {
  for (const std::uint64_t v :
       {std::uint64_t{0}, std::uint64_t{127}, std::uint64_t{128}, ~std::uint64_t{0}}) {
    std::string bytes;
    put_varint(bytes, v);
    ByteReader in(bytes);
    std::uint64_t back = 1;
    EXPECT_TRUE(in.varint(back));
    EXPECT_EQ(back, v);
  }
  ByteReader too_long("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F");
  std::uint64_t v = 0;
  EXPECT_FALSE(too_long.varint(v));
}

TEST(TextOrder, IsTheOrderOfBytes) {
  base::Rng rng(22);
  for (int round = 0; round < 300; ++round) {
    // Beginnings in common, ends alike, NUL and high bytes, texts of no length.
    std::vector<std::string> texts;
    const std::string prefix(rng.next() % 12, 'p');
    for (std::size_t n = rng.next() % (round % 10 == 0 ? 3000 : 60); n-- > 0;) {
      std::string text = rng.next() % 20 == 0 ? "" : prefix;
      for (std::size_t k = rng.next() % 12; k-- > 0;) text += "\0ab\xFF\x80"[rng.next() % 5];
      texts.push_back(text);
    }
    const std::vector<std::string_view> views(texts.begin(), texts.end());
    std::vector<std::uint32_t> codes, slow;
    for (std::uint32_t i = 0; i < texts.size(); ++i) codes.push_back(i);
    slow = codes;
    const bool distinct = sort_by_text(views, codes);
    std::stable_sort(slow.begin(), slow.end(), [&](auto a, auto b) { return views[a] < views[b]; });
    ASSERT_EQ(codes, slow);
    ASSERT_EQ(distinct, std::set<std::string_view>(views.begin(), views.end()).size() == views.size());
  }
}

TEST(Hash, KnownValues) {
  EXPECT_EQ(crc32_of("123456789"), 0xCBF43926U);                   // the check value of CRC-32/ISO-HDLC
  EXPECT_EQ(xxh3_128_of(""), "99aa06d3014798d86001c324468d497f");  // of xxhsum -H128 on an empty file
  FileHash hash;
  hash.update("12345");
  hash.update("6789");
  EXPECT_EQ(hash.hex(), xxh3_128_of("123456789"));
}

TEST(Hash, Crc32IsZlibsForEveryLengthAndPlace) {
  base::Rng rng(21);
  std::string bytes(5000, '\0');
  for (auto& b : bytes) b = static_cast<char>(rng.next());
  for (std::size_t n = 0; n <= 1100; ++n) {
    const std::string_view part = std::string_view(bytes).substr(rng.next() % 64, n);
    const auto expected = ::crc32(0, reinterpret_cast<const Bytef*>(part.data()), static_cast<uInt>(n));
    ASSERT_EQ(crc32_of(part), expected) << n;
  }
  EXPECT_EQ(crc32_of(std::string_view(bytes).substr(700), crc32_of(std::string_view(bytes).substr(0, 700))),
            crc32_of(bytes));
  EXPECT_EQ(crc32_of(bytes), ::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), 5000));
}

TEST(Utf8, AcceptsAndRefusesByRfc3629) {
  for (const char* good : {"", "plain", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x94\x8C", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_TRUE(is_valid_utf8(good)) << good;
  }
  for (const char* bad : {"\x80", "\xC3", "\xC0\xAF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF4\x90\x80\x80",
                          "\xF0\x80\x80\x80", "\xFF"}) {
    EXPECT_FALSE(is_valid_utf8(bad));
  }
}

TEST(Thrift, SkipsUnknownFieldsAndRefusesDeepNesting) {
  std::string bytes;
  ThriftWriter out(bytes);
  out.begin_struct(3);
  out.begin_list(1, ThriftType::kBinary, 20);
  for (int i = 0; i < 20; ++i) out.element("x");
  out.end_struct();
  out.i64(200, -5);
  out.stop();
  ThriftReader in(bytes);
  int field = 0;
  ThriftType type{};
  ASSERT_TRUE(in.next(field, type));
  ASSERT_EQ(field, 3);
  ASSERT_TRUE(in.skip(type));
  ASSERT_TRUE(in.next(field, type));
  std::int64_t v = 0;
  ASSERT_TRUE(in.integer(type, v));
  EXPECT_EQ(field, 200);
  EXPECT_EQ(v, -5);
  EXPECT_FALSE(in.next(field, type));
  EXPECT_FALSE(in.failed());

  const std::string deep(1000, '\x1C');
  ThriftReader nested(deep);
  ASSERT_TRUE(nested.next(field, type));
  EXPECT_FALSE(nested.skip(type));
}

TEST(Hybrid, RunsGiveTheSameBytesAsTheirValues) {
  base::Rng rng(21);
  for (int round = 0; round < 500; ++round) {
    std::vector<ValueRun> runs;
    std::vector<std::uint32_t> values;
    for (std::uint64_t n = rng.next() % 30; n-- > 0;) {
      // Neighbours differ, as runs do.
      const std::uint32_t value =
          static_cast<std::uint32_t>(rng.next() % 3) * 2 + static_cast<std::uint32_t>(n % 2);
      const auto count = static_cast<std::uint32_t>(1 + rng.next() % (rng.next() % 2 == 0 ? 4 : 40));
      runs.push_back({value, count});
      values.insert(values.end(), count, value);
    }
    std::string a, b;
    encode_hybrid_runs(runs, 3, a);
    encode_hybrid(values, 3, b);
    ASSERT_EQ(a, b) << round;
  }
}

TEST(Hybrid, PackedAloneReadsBack) {
  base::Rng rng(22);
  for (std::size_t n = 1; n < 200; ++n) {
    std::vector<std::uint32_t> values(n), back(n);
    for (auto& v : values) v = static_cast<std::uint32_t>(rng.next() % 2);
    std::string bytes;
    encode_packed(values, 4, bytes);
    ByteReader in(bytes);
    ASSERT_TRUE(decode_hybrid(in, 4, back));
    ASSERT_EQ(back, values);
  }
}

TEST(Planes, AreTheBytesOfEachPlaceAndReadBack) {
  base::Rng rng(23);
  for (std::size_t n = 0; n < 70; ++n) {
    std::vector<std::uint64_t> values(n), back(n);
    for (auto& v : values) v = rng.next();
    std::string bytes;
    encode_planes(values, bytes);
    ASSERT_EQ(bytes.size(), 8 * n);
    for (std::size_t i = 0; i < n; ++i) {
      for (std::size_t b = 0; b < 8; ++b)
        ASSERT_EQ(static_cast<std::uint8_t>(bytes[b * n + i]),
                  static_cast<std::uint8_t>(values[i] >> (8 * b)));
    }
    decode_planes(bytes, back);
    ASSERT_EQ(back, values);
  }
}

TEST(Delta, ConstantGivesTheSameBytesAsItsValues) {
  for (const std::size_t n : {1U, 2U, 129U, 130U, 1000U}) {
    std::string a, b;
    encode_delta_constant(-7, n, a);
    encode_delta(std::vector<std::int64_t>(n, -7), b);
    EXPECT_EQ(a, b) << n;
  }
}

}  // namespace
}  // namespace perjoule::bus
