// What travels between a source and a store: frames with a header of fixed size (docs/formats/wire.md).
//   encode(...)     a message -> the bytes of its frame; of a block only the header, its bytes follow as they
//   are FrameDecoder    bytes from anywhere, in any pieces -> frames or one error. Every length is bounded
//   before
//                   memory is taken, and a block's bytes are read straight into the string that is handed on.
//   decode(...)     a frame's body -> a message
// Thread rule: pure functions; a FrameDecoder from one thread at a time. Ownership: values. Units: bytes.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "base/result.hpp"
#include "bus/block.hpp"
#include "bus/engine.hpp"
#include "wire/door.hpp"

namespace perjoule::wire {

inline constexpr std::uint16_t kWireVersion = 1;
inline constexpr std::size_t kHeaderBytes = 20;
inline constexpr std::size_t kMaxControlBytes = 4096;

enum class FrameType : std::uint16_t {
  kHello = 1,
  kWelcome,
  kRefused,
  kBlock,
  kReceipt,
  kPing,
  kPong,
  kBye,
};

// Why a connection ends.
enum class EndCode : std::uint16_t {
  kDone,
  kMalformed,
  kVersion,
  kToken,
  kSource,
  kFull,
  kLimits,
  kIdle,
  kSlow,
  kStopping,
  kReplaced,
};
inline constexpr std::size_t kEndCodeCount = 11;
std::string_view name_of(EndCode code);

struct Hello {
  std::uint16_t lowest_version = kWireVersion, highest_version = kWireVersion;
  bus::Durability durability = bus::Durability::kDurable;
  bool take_over = false;
  std::string source, token;
};

struct Welcome {
  std::uint16_t version = kWireVersion;
  std::uint32_t max_block_bytes = bus::kMaxBlockBytes;
  std::uint32_t max_blocks = 1;  // without a receipt at one time
  std::uint32_t idle_ms = 0;     // 0: never
  std::uint64_t max_bytes = 0;   // without a receipt at one time
  std::uint64_t stored_through = 0;
};

// REFUSED and BYE.
struct End {
  EndCode code = EndCode::kDone;
  std::string why;
};

struct Frame {
  FrameType type = FrameType::kPing;
  std::uint64_t id = 0;
  std::string body;
};

using Header = std::array<char, kHeaderBytes>;

std::string encode(const Hello& hello);
std::string encode(const Welcome& welcome);
std::string encode_refused(const End& end);
std::string encode_bye(const End& end);
std::string encode(std::uint64_t id, const bus::Receipt& receipt);
std::string encode_ping(std::uint64_t id);
std::string encode_pong(std::uint64_t id);
// The header that goes before the block's own bytes.
Header encode_block_header(std::uint64_t id, std::size_t block_bytes);

// Errors: kCorrupt for a body that is not what its type says.
base::Result<Hello> decode_hello(std::string_view body);
base::Result<Welcome> decode_welcome(std::string_view body);
base::Result<End> decode_end(std::string_view body);
base::Result<bus::Receipt> decode_receipt(std::string_view body);

class FrameDecoder {
 public:
  // `max_block_bytes`: 0 while no block may come (before WELCOME).
  explicit FrameDecoder(std::size_t max_block_bytes) : max_block_bytes_(max_block_bytes) {}
  void allow_blocks(std::size_t max_block_bytes) { max_block_bytes_ = max_block_bytes; }

  // Where the next bytes belong, in this order: the rest of a block that has begun (else empty), then a small
  // buffer. Valid until the next call. Call next() until it has no frame before asking.
  using Room = std::array<std::span<char>, 2>;
  Room room();
  // So many bytes were put there.
  void filled(std::size_t bytes);

  enum class Step : std::uint8_t { kFrame, kNeedBytes, kBad };
  // The next whole frame. After kBad, for good, error() says why.
  Step next(Frame& frame);
  const base::Error& error() const { return error_; }
  // What to tell the other end: malformed, or limits for a length beyond them.
  EndCode end_code() const { return code_; }
  // Bytes of blocks that took the way over the small buffer, since the start.
  std::uint64_t copied_bytes() const { return copied_; }
  // A frame has begun and is not whole.
  bool inside_frame() const { return in_body_ || begin_ != end_; }

 private:
  static constexpr std::size_t kBufferBytes = 8192;  // more than a header and the largest control frame

  Step bad(std::string why, EndCode code = EndCode::kMalformed);
  Step begin_frame();
  Step finish_frame(Frame& frame);

  std::size_t max_block_bytes_;
  std::array<char, kBufferBytes> buffer_;
  std::size_t begin_ = 0, end_ = 0;  // what is in the buffer and not used yet
  Frame frame_;                      // the one that has begun
  std::array<char, 16> head_{};      // its header without the checksum, which is wanted_
  std::uint32_t wanted_ = 0;
  std::size_t have_ = 0;  // bytes of its body
  bool in_body_ = false, failed_ = false;
  std::uint64_t copied_ = 0;
  base::Error error_;
  EndCode code_ = EndCode::kDone;
};

// `text` has `bytes` bytes afterwards, of any value: those that are to be overwritten need no zeros first.
void resize_for_overwrite(std::string& text, std::size_t bytes);

}  // namespace perjoule::wire
