// A TCP socket with or without TLS, for .cc files of wire alone. Thread rule: as Asio's sockets, one thread
// at a time. Ownership: closes on destruction; it must outlive its operations.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/write.hpp>
#include <optional>
#include <utility>

namespace perjoule::wire {

namespace asio = boost::asio;
using ErrorCode = boost::system::error_code;
using Tcp = asio::ip::tcp;

class Socket {
 public:
  // Without TLS.
  explicit Socket(Tcp::socket socket) : plain_(std::move(socket)) {}
  Socket(Tcp::socket socket, asio::ssl::context& tls) { secure_.emplace(std::move(socket), tls); }

  Tcp::socket& tcp() { return secure_ ? secure_->next_layer() : *plain_; }
  SSL* ssl() { return secure_ ? secure_->native_handle() : nullptr; }

  // The TLS greeting; nothing without TLS.
  template <class Handler>
  void async_greet(asio::ssl::stream_base::handshake_type side, Handler handler) {
    if (secure_) return secure_->async_handshake(side, std::move(handler));
    asio::post(plain_->get_executor(), [handler = std::move(handler)]() mutable { handler(ErrorCode()); });
  }
  template <class Buffers, class Handler>
  void async_read_some(const Buffers& buffers, Handler handler) {
    if (secure_) return secure_->async_read_some(buffers, std::move(handler));
    plain_->async_read_some(buffers, std::move(handler));
  }
  template <class Buffers, class Handler>
  void async_write(const Buffers& buffers, Handler handler) {
    if (secure_) return asio::async_write(*secure_, buffers, std::move(handler));
    asio::async_write(*plain_, buffers, std::move(handler));
  }
  void close() {
    ErrorCode ignored;
    tcp().close(ignored);
  }

 private:
  std::optional<Tcp::socket> plain_;
  std::optional<asio::ssl::stream<Tcp::socket>> secure_;
};

}  // namespace perjoule::wire
