#include "wire/frame.hpp"

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "bus/byte_io.hpp"

namespace perjoule::wire {
namespace {

constexpr std::uint32_t kMagic = 0x31574A50;  // "PJW1"
constexpr std::size_t kHashedBytes = 16;

constexpr std::array<std::string_view, kEndCodeCount> kEndNames = {"done",   "malformed", "version", "token",
                                                                   "source", "full",      "limits",  "idle",
                                                                   "slow",   "stopping",  "replaced"};

std::uint32_t checksum_of(std::string_view head, std::string_view body) {
  if (body.empty()) return static_cast<std::uint32_t>(XXH3_64bits(head.data(), head.size()));
  std::array<char, kHashedBytes + kMaxControlBytes> both;
  std::memcpy(both.data(), head.data(), head.size());
  std::memcpy(both.data() + head.size(), body.data(), body.size());
  return static_cast<std::uint32_t>(XXH3_64bits(both.data(), head.size() + body.size()));
}

std::string header_of(FrameType type, std::uint64_t id, std::size_t bytes, std::string_view hashed_body) {
  std::string out;
  bus::put_raw(out, static_cast<std::uint32_t>(bytes));
  bus::put_raw(out, static_cast<std::uint16_t>(type));
  bus::put_raw(out, std::uint16_t{0});
  bus::put_raw(out, id);
  bus::put_raw(out, checksum_of(out, hashed_body));
  return out;
}

std::string control(FrameType type, std::uint64_t id, std::string_view body) {
  PJ_CHECK(body.size() <= kMaxControlBytes);
  return header_of(type, id, body.size(), body).append(body);
}

// Text for people, shortened to what a control frame holds, between two characters.
std::string_view shortened(std::string_view text) {
  constexpr std::size_t kMost = 2048;
  if (text.size() <= kMost) return text;
  std::size_t end = kMost;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::string encode_end(FrameType type, const End& end) {
  const std::string_view why = shortened(end.why);
  std::string body;
  bus::put_raw(body, static_cast<std::uint16_t>(end.code));
  bus::put_raw(body, static_cast<std::uint16_t>(why.size()));
  body.append(why);
  return control(type, 0, body);
}

base::Error not_a(std::string_view what) {
  return base::corrupt("read a frame", {}, "its body is not a " + std::string(what));
}

}  // namespace

std::string_view name_of(EndCode code) { return kEndNames.at(static_cast<std::size_t>(code)); }

// ---- messages to bytes ----

std::string encode(const Hello& hello) {
  PJ_CHECK(hello.source.size() <= bus::kMaxSourceName && hello.token.size() <= kMaxTokenBytes);
  std::string body;
  bus::put_raw(body, kMagic);
  bus::put_raw(body, hello.lowest_version);
  bus::put_raw(body, hello.highest_version);
  bus::put_raw(body, static_cast<std::uint8_t>(hello.durability));
  bus::put_raw(body, static_cast<std::uint8_t>(hello.take_over ? 1 : 0));
  bus::put_raw(body, static_cast<std::uint16_t>(hello.source.size()));
  bus::put_raw(body, static_cast<std::uint16_t>(hello.token.size()));
  bus::put_raw(body, std::uint16_t{0});
  return control(FrameType::kHello, 0, body.append(hello.source).append(hello.token));
}

std::string encode(const Welcome& welcome) {
  std::string body;
  bus::put_raw(body, welcome.version);
  bus::put_raw(body, std::uint16_t{0});
  bus::put_raw(body, welcome.max_block_bytes);
  bus::put_raw(body, welcome.max_blocks);
  bus::put_raw(body, welcome.idle_ms);
  bus::put_raw(body, welcome.max_bytes);
  bus::put_raw(body, welcome.stored_through);
  return control(FrameType::kWelcome, 0, body);
}

std::string encode_refused(const End& end) { return encode_end(FrameType::kRefused, end); }
std::string encode_bye(const End& end) { return encode_end(FrameType::kBye, end); }

std::string encode(std::uint64_t id, const bus::Receipt& receipt) {
  const std::string_view why = shortened(receipt.why);
  std::string body;
  bus::put_raw(body, static_cast<std::uint8_t>(receipt.outcome));
  bus::put_raw(body, std::uint8_t{0});
  bus::put_raw(body, static_cast<std::uint16_t>(why.size()));
  bus::put_raw(body, std::uint32_t{0});
  bus::put_raw(body, receipt.stored_through);
  return control(FrameType::kReceipt, id, body.append(why));
}

std::string encode_ping(std::uint64_t id) { return control(FrameType::kPing, id, {}); }
std::string encode_pong(std::uint64_t id) { return control(FrameType::kPong, id, {}); }

Header encode_block_header(std::uint64_t id, std::size_t block_bytes) {
  PJ_CHECK(block_bytes <= bus::kMaxBlockBytes);
  const std::string bytes = header_of(FrameType::kBlock, id, block_bytes, {});
  Header out;
  std::copy(bytes.begin(), bytes.end(), out.begin());
  return out;
}

// ---- bytes to messages ----

base::Result<Hello> decode_hello(std::string_view body) {
  bus::ByteReader in(body);
  Hello out;
  std::uint32_t magic = 0;
  std::uint8_t durability = 0, flags = 0;
  std::uint16_t source_bytes = 0, token_bytes = 0, zero = 0;
  std::string_view source, token;
  if (!in.raw(magic) || magic != kMagic) return not_a("perjoule HELLO");
  if (!in.raw(out.lowest_version) || !in.raw(out.highest_version)) return not_a("HELLO");
  if (!in.raw(durability) || !in.raw(flags) || !in.raw(source_bytes) || !in.raw(token_bytes) || !in.raw(zero))
    return not_a("HELLO");
  if (!in.take(source_bytes, source) || !in.take(token_bytes, token) || in.left() != 0) return not_a("HELLO");
  const bool sound = out.lowest_version >= 1 && out.lowest_version <= out.highest_version && flags <= 1 &&
                     zero == 0 && token_bytes <= kMaxTokenBytes &&
                     durability <= static_cast<std::uint8_t>(bus::Durability::kMemory);
  if (!sound) return not_a("HELLO");
  out.durability = static_cast<bus::Durability>(durability);
  out.take_over = flags == 1;
  out.source = source;
  out.token = token;
  return out;
}

base::Result<Welcome> decode_welcome(std::string_view body) {
  bus::ByteReader in(body);
  Welcome out;
  std::uint16_t zero = 0;
  const bool whole = in.raw(out.version) && in.raw(zero) && in.raw(out.max_block_bytes) &&
                     in.raw(out.max_blocks) && in.raw(out.idle_ms) && in.raw(out.max_bytes) &&
                     in.raw(out.stored_through) && in.left() == 0;
  if (!whole || zero != 0 || out.max_blocks == 0 || out.max_block_bytes > bus::kMaxBlockBytes)
    return not_a("WELCOME");
  return out;
}

base::Result<End> decode_end(std::string_view body) {
  bus::ByteReader in(body);
  std::uint16_t code = 0, bytes = 0;
  std::string_view why;
  if (!in.raw(code) || !in.raw(bytes) || !in.take(bytes, why) || in.left() != 0)
    return not_a("REFUSED or BYE");
  if (code >= kEndCodeCount) return not_a("REFUSED or BYE");
  return End{static_cast<EndCode>(code), std::string(why)};
}

base::Result<bus::Receipt> decode_receipt(std::string_view body) {
  bus::ByteReader in(body);
  std::uint8_t outcome = 0, zero = 0;
  std::uint16_t bytes = 0;
  std::uint32_t zero2 = 0;
  bus::Receipt out;
  std::string_view why;
  const bool whole = in.raw(outcome) && in.raw(zero) && in.raw(bytes) && in.raw(zero2) &&
                     in.raw(out.stored_through) && in.take(bytes, why) && in.left() == 0;
  if (!whole || zero != 0 || zero2 != 0 || outcome > static_cast<std::uint8_t>(bus::Outcome::kStopped))
    return not_a("RECEIPT");
  out.outcome = static_cast<bus::Outcome>(outcome);
  out.why = why;
  return out;
}

// ---- pieces of bytes to frames ----

FrameDecoder::Room FrameDecoder::room() {
  if (begin_ == end_) begin_ = end_ = 0;
  if (begin_ != 0 && end_ - begin_ < kHeaderBytes) {
    std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  const std::span<char> rest = in_body_ ? std::span(frame_.body).subspan(have_) : std::span<char>();
  return {rest, std::span(buffer_).subspan(end_)};
}

void FrameDecoder::filled(std::size_t bytes) {
  if (in_body_) {
    const std::size_t direct = std::min(bytes, frame_.body.size() - have_);
    have_ += direct;
    bytes -= direct;
  }
  PJ_CHECK(bytes <= buffer_.size() - end_);
  end_ += bytes;
}

FrameDecoder::Step FrameDecoder::bad(std::string why, EndCode code) {
  failed_ = true;
  code_ = code;
  error_ = base::corrupt("read a frame", {}, std::move(why));
  return Step::kBad;
}

// The header: every field is bounded before the body's memory is taken.
FrameDecoder::Step FrameDecoder::begin_frame() {
  if (end_ - begin_ < kHeaderBytes) return Step::kNeedBytes;
  bus::ByteReader in({buffer_.data() + begin_, kHeaderBytes});
  std::uint32_t bytes = 0;
  std::uint16_t type = 0, zero = 0;
  if (!in.raw(bytes) || !in.raw(type) || !in.raw(zero) || !in.raw(frame_.id) || !in.raw(wanted_))
    PJ_CHECK(false);
  if (type < 1 || type > static_cast<std::uint16_t>(FrameType::kBye) || zero != 0)
    return bad("there is no frame of type " + std::to_string(type));
  frame_.type = static_cast<FrameType>(type);
  const bool is_block = frame_.type == FrameType::kBlock;
  if (is_block && max_block_bytes_ == 0) return bad("a block came before the greeting");
  if (const std::size_t most = is_block ? max_block_bytes_ : kMaxControlBytes; bytes > most)
    return bad(
        "a frame of " + std::to_string(bytes) + " bytes, where " + std::to_string(most) + " are allowed",
        EndCode::kLimits);
  std::memcpy(head_.data(), buffer_.data() + begin_, head_.size());
  if (is_block && checksum_of({head_.data(), head_.size()}, {}) != wanted_)
    return bad("a header's checksum does not fit");
  begin_ += kHeaderBytes;
  frame_.body.clear();
  resize_for_overwrite(frame_.body, bytes);
  have_ = 0;
  in_body_ = true;
  return Step::kFrame;
}

FrameDecoder::Step FrameDecoder::finish_frame(Frame& frame) {
  const std::size_t copied = std::min(end_ - begin_, frame_.body.size() - have_);
  if (copied != 0) std::memcpy(frame_.body.data() + have_, buffer_.data() + begin_, copied);
  begin_ += copied;
  have_ += copied;
  if (frame_.type == FrameType::kBlock) copied_ += copied;
  if (have_ < frame_.body.size()) return Step::kNeedBytes;
  if (frame_.type != FrameType::kBlock && checksum_of({head_.data(), head_.size()}, frame_.body) != wanted_)
    return bad("a frame's checksum does not fit");
  in_body_ = false;
  frame = std::move(frame_);
  frame_ = {};
  return Step::kFrame;
}

FrameDecoder::Step FrameDecoder::next(Frame& frame) {
  if (failed_) return Step::kBad;
  if (!in_body_) {
    if (const Step step = begin_frame(); step != Step::kFrame) return step;
  }
  return finish_frame(frame);
}

}  // namespace perjoule::wire
