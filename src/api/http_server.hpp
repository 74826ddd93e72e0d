// The HTTP server of `perjoule serve`: HTTP/1.1 over Boost.Beast, keep-alive, chunked answers, TLS. It bounds
// what a client can take: bytes of head and body (packed and unpacked), connections, and the time for a head,
// a body and reading an answer, so that a slow or hostile client costs one connection and no more. It listens
// on the loopback, or elsewhere with TLS and a token; anything else is refused at the start.
//   HttpServer::start(router, options) -> running server; kBadInput for options that do not fit together,
//                                         kIo for an address that cannot be taken
//   stop()             takes no more connections, lets answers finish (at most `grace_seconds`); tells the
//                      handlers at work (Request::abandoned), and breaks off what comes in pieces
// A client that closes its connection while its request is at work is noticed, and the handler told.
//   answer_bytes(...)  the answer to raw bytes, without a socket: for tests and the fuzzer
// Thread rule: any thread. Handlers run in `workers` threads of the server's own and may block. Ownership:
// owns its threads and sockets; what handlers refer to must outlive it. Units: bytes, seconds.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "api/router.hpp"

namespace perjoule::api {

struct ServerOptions {
  std::string address = "127.0.0.1";
  std::uint16_t port = 0;  // 0: any free one
  std::vector<std::string> tokens = {};
  std::string certificate = {}, key = {};  // PEM files; both or none
  std::size_t head_bytes = 16U << 10;
  std::size_t connections = 256;
  unsigned workers = 4;
  double head_seconds = 10, body_seconds = 60, write_seconds = 60, idle_seconds = 75, grace_seconds = 10;
};

struct ServerStats {
  std::uint64_t connections = 0;          // open
  std::uint64_t refused_connections = 0;  // beyond the limit
  std::uint64_t timeouts = 0;             // connections closed because the client was too slow
  std::uint64_t answers_2xx = 0, answers_4xx = 0, answers_5xx = 0;
};

class HttpServer {
 public:
  static base::Result<std::unique_ptr<HttpServer>> start(Router router, ServerOptions options);
  virtual ~HttpServer() = default;  // stops

  virtual std::uint16_t port() const = 0;
  virtual std::string url() const = 0;  // "http://127.0.0.1:9464"
  virtual ServerStats stats() const = 0;
  virtual void stop() = 0;
};

// What start() refuses by the options alone, for a caller that has other things to open before.
base::Status check_options(const ServerOptions& options);
// "HOST:PORT", "[::1]:PORT" or "PORT" into address and port.
base::Status read_address(std::string_view text, ServerOptions& options);
// The whole answer to the first request in `bytes`, as it would be written.
std::string answer_bytes(const Gate& gate, std::string_view bytes, std::size_t head_bytes = 16U << 10);

}  // namespace perjoule::api
