#include "wire/frame.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <vector>

#include "wire/numbering.hpp"
#include "wire/test_blocks.hpp"

namespace perjoule::wire {
namespace {

// Feeds `bytes` in pieces of the given size and collects the frames; the error, if there was one, in `error`.
std::vector<Frame> decode_all(std::string_view bytes, std::size_t piece, FrameDecoder& decoder) {
  std::vector<Frame> out;
  while (true) {
    Frame frame;
    const auto step = decoder.next(frame);
    if (step == FrameDecoder::Step::kFrame) {
      out.push_back(std::move(frame));
      continue;
    }
    if (step == FrameDecoder::Step::kBad || bytes.empty()) return out;
    std::size_t filled = 0;
    for (const auto& part : decoder.room()) {
      const std::size_t n = std::min({part.size(), bytes.size(), piece - filled});
      if (n != 0) std::memcpy(part.data(), bytes.data(), n);
      bytes.remove_prefix(n);
      filled += n;
    }
    EXPECT_GT(filled, 0U);
    decoder.filled(filled);
  }
}

std::string error_of(std::string_view bytes, std::size_t max_block_bytes = bus::kMaxBlockBytes) {
  FrameDecoder decoder(max_block_bytes);
  decode_all(bytes, 7, decoder);
  Frame frame;
  return decoder.next(frame) == FrameDecoder::Step::kBad ? decoder.error().why : std::string();
}

std::string block_frame(std::uint64_t id, const std::string& block) {
  const Header header = encode_block_header(id, block.size());
  return std::string(header.begin(), header.end()) + block;
}

TEST(Frame, RoundTripInAnySplit) {
  const std::string block = testing::block_of("s", {0, 1, 500}, 500);
  const std::string bytes = encode(Hello{1, 3, bus::Durability::kBuffered, true, "node-7/joules", "secret"}) +
                            encode(Welcome{1, 1000, 2, 3, 4, 5}) + block_frame(9, block) +
                            encode(9, {bus::Outcome::kBusy, 77, "the log does not keep up"}) +
                            encode_ping(4) + block_frame(10, block) + encode_pong(4) +
                            encode_bye({EndCode::kStopping, "stop"}) + encode_refused({EndCode::kToken, ""});
  for (const std::size_t piece : {1UL, 2UL, 3UL, 7UL, 19UL, 20UL, 21UL, 1000UL, bytes.size()}) {
    FrameDecoder decoder(bus::kMaxBlockBytes);
    const auto frames = decode_all(bytes, piece, decoder);
    ASSERT_EQ(frames.size(), 9U) << piece << ": " << decoder.error().why;
    EXPECT_FALSE(decoder.inside_frame());
    const auto hello = decode_hello(frames[0].body);
    ASSERT_TRUE(hello.ok());
    EXPECT_EQ(hello->highest_version, 3);
    EXPECT_EQ(hello->durability, bus::Durability::kBuffered);
    EXPECT_TRUE(hello->take_over);
    EXPECT_EQ(hello->source, "node-7/joules");
    EXPECT_EQ(hello->token, "secret");
    const auto welcome = decode_welcome(frames[1].body);
    ASSERT_TRUE(welcome.ok());
    EXPECT_EQ(welcome->max_block_bytes, 1000U);
    EXPECT_EQ(welcome->max_blocks, 2U);
    EXPECT_EQ(welcome->idle_ms, 3U);
    EXPECT_EQ(welcome->max_bytes, 4U);
    EXPECT_EQ(welcome->stored_through, 5U);
    EXPECT_EQ(frames[2].id, 9U);
    EXPECT_EQ(frames[2].body, block);
    const auto receipt = decode_receipt(frames[3].body);
    ASSERT_TRUE(receipt.ok());
    EXPECT_EQ(receipt->outcome, bus::Outcome::kBusy);
    EXPECT_EQ(receipt->stored_through, 77U);
    EXPECT_EQ(receipt->why, "the log does not keep up");
    EXPECT_EQ(frames[5].body, block);
    EXPECT_EQ(decode_end(frames[7].body)->code, EndCode::kStopping);
    EXPECT_EQ(decode_end(frames[8].body)->code, EndCode::kToken);
  }
}

TEST(Frame, ABlocksBytesAreReadWhereTheyStay) {
  const std::string block = testing::block_of("s", {0, 1, 20'000}, 20'000);
  ASSERT_GT(block.size(), 100'000U);
  FrameDecoder decoder(bus::kMaxBlockBytes);
  ASSERT_EQ(decode_all(block_frame(1, block), block.size(), decoder).size(), 1U);
  EXPECT_LE(decoder.copied_bytes(), 8192U);
}

TEST(Frame, LiesAreRefusedBeforeMemoryIsTaken) {
  const Header sound = encode_block_header(1, 100);
  const auto changed = [&](std::size_t at, std::uint32_t value, std::size_t bytes) {
    std::string header(sound.begin(), sound.end());
    std::memcpy(header.data() + at, &value, bytes);
    return header;
  };
  EXPECT_EQ(error_of(changed(0, 0xFFFFFFFF, 4)), "a frame of 4294967295 bytes, where 33554432 are allowed");
  EXPECT_EQ(error_of(changed(0, 101, 4)), "a header's checksum does not fit");
  EXPECT_EQ(error_of(changed(8, 2, 4)), "a header's checksum does not fit");
  EXPECT_EQ(error_of(changed(4, 0, 2)), "there is no frame of type 0");
  EXPECT_EQ(error_of(changed(4, 9, 2)), "there is no frame of type 9");
  EXPECT_NE(error_of(changed(6, 1, 2)), "");
  EXPECT_EQ(error_of(std::string(sound.begin(), sound.end()), 0), "a block came before the greeting");
  EXPECT_EQ(error_of(std::string(sound.begin(), sound.end()), 99),
            "a frame of 100 bytes, where 99 are allowed");
  std::string hello = encode(Hello{});
  const std::uint32_t much = kMaxControlBytes + 1;
  std::memcpy(hello.data(), &much, 4);
  EXPECT_EQ(error_of(hello), "a frame of 4097 bytes, where 4096 are allowed");
  EXPECT_EQ(error_of("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").substr(0, 25), "there is no frame of type");
}

TEST(Frame, EveryFlippedByteOfAControlFrameIsFound) {
  const std::string sound = encode(3, {bus::Outcome::kRefused, 5, "because"});
  for (std::size_t i = 0; i < sound.size(); ++i) {
    std::string bytes = sound;
    bytes[i] = static_cast<char>(bytes[i] ^ 1);
    bytes += std::string(300, '\0');
    FrameDecoder decoder(bus::kMaxBlockBytes);
    EXPECT_TRUE(decode_all(bytes, 64, decoder).empty()) << i;
  }
}

TEST(Frame, BodiesThatAreNotWhatTheyShouldBe) {
  const auto body = [](const std::string& frame) { return frame.substr(kHeaderBytes); };
  const std::string hello = body(encode(Hello{1, 1, bus::Durability::kDurable, false, "s", "t"}));
  EXPECT_TRUE(decode_hello(hello).ok());
  for (std::size_t n = 0; n < hello.size(); ++n) EXPECT_FALSE(decode_hello(hello.substr(0, n)).ok()) << n;
  EXPECT_FALSE(decode_hello(hello + "x").ok());
  for (const auto& [at, value] : std::vector<std::pair<std::size_t, char>>{
           {0, 'Q'}, {4, 0}, {4, 2}, {8, 3}, {9, 2}, {10, 9}, {12, 9}, {14, 1}}) {
    std::string changed = hello;
    changed[at] = value;
    EXPECT_FALSE(decode_hello(changed).ok()) << at;
  }
  const std::string receipt = body(encode(1, {bus::Outcome::kStored, 5, {}}));
  EXPECT_TRUE(decode_receipt(receipt).ok());
  EXPECT_FALSE(decode_receipt(receipt.substr(1)).ok());
  std::string outcome = receipt;
  outcome[0] = 6;
  EXPECT_FALSE(decode_receipt(outcome).ok());
  EXPECT_FALSE(decode_welcome(body(encode(Welcome{1, 1, 0, 0, 0, 0}))).ok());
  EXPECT_FALSE(decode_end(std::string("\xFF\0\0\0", 4)).ok());
}

TEST(Frame, ResizeGivesThatSize) {
  std::string text;
  for (const std::size_t n : {0UL, 1UL, 15UL, 16UL, 17UL, 30UL, 31UL, 100UL, 5UL}) {
    resize_for_overwrite(text, n);
    EXPECT_EQ(text.size(), n);
    EXPECT_EQ(text.data()[n], '\0');
  }
}

TEST(Frame, LongReasonsAreCutBetweenCharacters) {
  std::string why;
  while (why.size() < 3000) why += "\xC3\xA9x";
  const auto receipt = decode_receipt(encode(1, {bus::Outcome::kRefused, 1, why}).substr(kHeaderBytes));
  ASSERT_TRUE(receipt.ok());
  EXPECT_LE(receipt->why.size(), 2048U);
  EXPECT_EQ(why.substr(0, receipt->why.size()), receipt->why);
  EXPECT_NE(static_cast<unsigned char>(receipt->why.back()), 0xC3);
}

TEST(Numbering, ABlockWithOtherNumbersIsStillABlock) {
  std::string block = testing::block_of("some-source", {0, 1, 3}, 3);
  EXPECT_EQ(numbers_of(block), (Numbers{0, 1, 3}));
  set_numbers(block, {90, 101, 103});
  EXPECT_EQ(numbers_of(block), (Numbers{90, 101, 103}));
  const auto view = bus::BlockView::open(block, "block");
  ASSERT_TRUE(view.ok()) << view.error().message();
  EXPECT_TRUE(view->check().ok());
  EXPECT_EQ(view->key().after_seq, 90U);
  EXPECT_EQ(view->key().source, "some-source");
  EXPECT_EQ(block, testing::block_of("some-source", {90, 101, 103}, 3));
}

}  // namespace
}  // namespace perjoule::wire
