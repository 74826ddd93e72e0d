// Takes blocks from sources over TCP and hands them to the engine (docs/formats/wire.md). One I/O thread by
// default. A block's bytes are copied by the kernel into the string that the engine gets, and nowhere else,
// but for the at most 8 KiB that come in one read with the header before; reading stops while a connection
// owes more than its limits, so its memory is bounded by them and one block more.
// Thread rule: start, stop and the destructor from one thread, the rest from any. Ownership: the engine must
// outlive the server. Units: bytes, milliseconds.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "base/result.hpp"
#include "bus/engine.hpp"
#include "wire/frame.hpp"

namespace perjoule::wire {

struct ServerLimits {
  std::size_t connections = 1024;
  std::uint32_t block_bytes = bus::kMaxBlockBytes;
  // Of one connection, without a receipt that the client's system has taken.
  std::uint32_t blocks = 64;
  std::uint64_t bytes = 64U << 20;
  std::int64_t greeting_ms = 10'000;  // from the connection to WELCOME, TLS included
  std::uint32_t idle_ms = 60'000;     // without a frame; 0: never
  std::int64_t slow_ms = 30'000;      // without progress on what is sent to the client
  std::int64_t stop_ms = 5'000;       // stop() gives clients so long to take their receipts
  int send_buffer_bytes = 0;          // of the socket; 0: the system's choice
};

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free one
  // PEM files; both or none. With them the server speaks TLS.
  std::string certificate_file, key_file;
  std::string token_file;  // one token a line (wire/door.hpp); empty: no token is asked for
  // A client that wants less than this gets this.
  bus::Durability weakest = bus::Durability::kBuffered;
  ServerLimits limits;
  unsigned threads = 1;
};

struct ServerStats {
  std::uint64_t connections = 0, connections_open = 0;
  std::uint64_t blocks = 0, block_bytes = 0;  // received
  std::uint64_t copied_bytes = 0;             // of these, the way over the small buffer
  std::uint64_t stored_blocks = 0, repeated_blocks = 0, delayed_blocks = 0, refused_blocks = 0;
  std::uint64_t pauses = 0;                          // reading stopped because a connection owed too much
  std::array<std::uint64_t, kEndCodeCount> ended{};  // by REFUSED or BYE of the server, by code
};

class Server {
 public:
  // Listens. Errors: kBadInput for an address that is none, or that is not a loopback one without TLS and a
  // token, or for an unusable certificate, key or token; kMissing for a file that is not there; kIo for a
  // port that is taken.
  static base::Result<std::unique_ptr<Server>> start(bus::Engine& engine, ServerOptions options = {});
  virtual ~Server() = default;  // stops

  virtual std::uint16_t port() const = 0;
  virtual ServerStats stats() const = 0;
  // Takes no more, answers what is in flight, says BYE and closes. Returns when the engine owes no answer.
  virtual void stop() = 0;
};

}  // namespace perjoule::wire
