// Any bytes as a connection, in pieces of any size: frames or one error, never a crash; and the same frames
// whatever the pieces. Checksums would stop nearly every input at the first header, so they are made to fit
// in a second go. The first byte says whether blocks are allowed and how long the pieces are.
#include <xxhash.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "wire/frame.hpp"

namespace {

namespace wire = perjoule::wire;

void read_body(const wire::Frame& frame) {
  (void)wire::decode_hello(frame.body).ok();
  (void)wire::decode_welcome(frame.body).ok();
  if (const auto end = wire::decode_end(frame.body); end.ok()) (void)wire::encode_bye(*end);
  if (const auto receipt = wire::decode_receipt(frame.body); receipt.ok()) {
    if (frame.type == wire::FrameType::kReceipt &&
        wire::encode(frame.id, *receipt).size() < wire::kHeaderBytes)
      __builtin_trap();
  }
}

// The frames, and what ended them, as one text.
std::string decode(std::string_view bytes, std::size_t piece, std::size_t most) {
  wire::FrameDecoder decoder(most);
  std::string out;
  while (true) {
    wire::Frame frame;
    const auto step = decoder.next(frame);
    if (step == wire::FrameDecoder::Step::kFrame) {
      read_body(frame);
      out += std::to_string(static_cast<int>(frame.type)) + ":" + std::to_string(frame.id) + ":" +
             frame.body + ";";
      continue;
    }
    if (step == wire::FrameDecoder::Step::kBad) return out + decoder.error().why;
    if (bytes.empty()) return out + (decoder.inside_frame() ? "more" : "end");
    std::size_t filled = 0;
    for (const auto& part : decoder.room()) {
      const std::size_t n = std::min({part.size(), bytes.size(), piece - filled});
      if (n != 0) std::memcpy(part.data(), bytes.data(), n);
      bytes.remove_prefix(n);
      filled += n;
    }
    if (filled == 0) __builtin_trap();
    decoder.filled(filled);
  }
}

// Lengths as they are, checksums as they should be.
std::string mended(std::string bytes) {
  std::size_t at = 0;
  while (bytes.size() - at >= wire::kHeaderBytes) {
    std::uint32_t length = 0;
    std::uint16_t type = 0;
    std::memcpy(&length, bytes.data() + at, sizeof length);
    std::memcpy(&type, bytes.data() + at + 4, sizeof type);
    const std::size_t left = bytes.size() - at - wire::kHeaderBytes;
    const std::size_t body = std::min<std::size_t>(length, left);
    std::string hashed = bytes.substr(at, 16);
    if (type != static_cast<std::uint16_t>(wire::FrameType::kBlock))
      hashed += bytes.substr(at + wire::kHeaderBytes, body);
    const auto sum = static_cast<std::uint32_t>(XXH3_64bits(hashed.data(), hashed.size()));
    std::memcpy(bytes.data() + at + 16, &sum, sizeof sum);
    at += wire::kHeaderBytes + body;
  }
  return bytes;
}

void check(std::string_view bytes, std::uint8_t how) {
  const std::size_t most = (how & 1) != 0 ? 100'000 : 0;
  if (decode(bytes, std::size_t{1} + how / 2, most) != decode(bytes, 1'000'000, most)) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  check(bytes, data[0]);
  check(mended(bytes), data[0]);
  return 0;
}
