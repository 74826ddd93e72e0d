#include "api/http_server.hpp"

#include <poll.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/thread_pool.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/ssl.hpp>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <set>
#include <thread>

#include "base/text.hpp"
#include "wire/door.hpp"
#include "wire/tls_include.hpp"

namespace perjoule::api {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
namespace ssl = asio::ssl;
using asio::ip::tcp;
using boost::system::error_code;
using Parser = http::request_parser<http::string_body>;
using Plain = beast::tcp_stream;
using Secure = beast::ssl_stream<beast::tcp_stream>;

constexpr const char* kWhat = "read the request";

constexpr std::chrono::milliseconds kLookAgain{100};  // whether a client that waits is still there

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<std::int64_t>(seconds * 1000));
}

auto into(error_code& error) { return asio::redirect_error(asio::use_awaitable, error); }

Response bad_request(unsigned status, std::string where, std::string why) {
  return error_response(status, base::bad_input(kWhat, std::move(where), std::move(why)));
}

// What a broken head or body is answered with; status 0: nothing, the client is gone.
Response response_to(const error_code& error, std::size_t head_bytes) {
  if (error == http::error::header_limit || error == http::error::buffer_overflow)
    return bad_request(431, "head", "it has more than " + std::to_string(head_bytes) + " bytes");
  if (error == http::error::body_limit)
    return bad_request(413, "body", "it has more bytes than this path takes");
  Response none;
  none.status = 0;
  if (error.category() != make_error_code(http::error::end_of_stream).category()) return none;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return none;
  return bad_request(400, "HTTP", error.message());
}

// Beast's head as our request; false for a target that cannot be read.
bool take_head(const Parser& parser, Request& request) {
  const auto& head = parser.get();
  request.method = std::string(head.method_string());
  for (const auto& field : head)
    request.headers.emplace_back(lower_case(field.name_string()), std::string(field.value()));
  return read_target(head.target(), request);
}

using HeadOnly = http::response<http::empty_body>;

HeadOnly head_of(const Response& response, unsigned version, bool keep_alive) {
  HeadOnly head;
  head.version(version);
  head.result(response.status);
  head.reason(std::string(reason_phrase(response.status)));
  if (!response.type.empty() && response.status != 204) head.set(http::field::content_type, response.type);
  for (const auto& [name, value] : response.headers) head.set(name, value);
  head.set("X-Content-Type-Options", "nosniff");
  head.set(http::field::cache_control, "no-store");
  head.keep_alive(keep_alive);
  const bool chunked = response.more && version >= 11;
  if (chunked) head.chunked(true);
  if (!response.more && response.status != 204) head.content_length(response.body.size());
  return head;
}

std::string text_of(const HeadOnly& head) {
  std::string out = "HTTP/1." + std::to_string(head.version() % 10) + " " +
                    std::to_string(head.result_int()) + " " + std::string(head.reason()) + "\r\n";
  for (const auto& field : head)
    out += std::string(field.name_string()) + ": " + std::string(field.value()) + "\r\n";
  return out + "\r\n";
}

std::string chunk_of(std::string_view bytes) {
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  std::string out = size;
  out += bytes;
  return out + "\r\n";
}

// ---- the server ----

class Server final : public HttpServer {
 public:
  Server(Router router, ServerOptions options)
      : options_(std::move(options)),
        gate_(std::move(router), {options_.tokens, options_.tokens.empty()}),
        acceptor_(io_),
        retry_(io_),
        pool_(options_.workers) {}
  ~Server() override { stop(); }

  base::Status listen();
  std::uint16_t port() const override { return port_; }
  std::string url() const override {
    const std::string host =
        options_.address.find(':') != std::string::npos ? "[" + options_.address + "]" : options_.address;
    return (tls_ ? "https://" : "http://") + host + ":" + std::to_string(port_);
  }
  ServerStats stats() const override {
    return {open_, refused_, timeouts_, answers_[2], answers_[4], answers_[5]};
  }
  void stop() override;

 private:
  // A connection as the stop sees it; lives in its coroutine.
  struct Connection {
    Plain* stream = nullptr;
    bool idle = true;        // between two requests
    bool in_pieces = false;  // its answer has no end known beforehand
    // While an answer is worked out or comes in pieces: stopping it tells the handler that nobody waits.
    std::stop_source work{std::nostopstate};
  };
  class Opened;
  class Attended;

  base::Status load_tls();
  asio::awaitable<void> accept_loop();
  asio::awaitable<void> run(Plain stream);
  asio::awaitable<void> run_tls(Plain stream);
  asio::awaitable<void> turn_away(Plain stream);
  template <class Stream>
  asio::awaitable<void> serve(Stream& stream, Connection& connection);
  template <class Stream>
  asio::awaitable<bool> one_request(Stream& stream, Connection& connection, beast::flat_buffer& buffer,
                                    bool first);
  template <class Stream>
  asio::awaitable<error_code> read_body(Stream& stream, beast::flat_buffer& buffer, Parser& parser,
                                        std::size_t limit);
  template <class Stream>
  asio::awaitable<bool> write(Stream& stream, Response response, unsigned version, bool keep_alive,
                              bool head_only);
  template <class Stream>
  asio::awaitable<bool> write_pieces(Stream& stream, Response& response, std::string text, bool chunked);
  // The bytes, within the time for it.
  template <class Stream>
  asio::awaitable<bool> send(Stream& stream, const std::string& text);
  // In a worker thread; back on the server's own.
  template <class Work>
  asio::awaitable<void> in_worker(Work work);
  bool timed_out(const error_code& error) {
    if (error != beast::error::timeout) return false;
    ++timeouts_;
    return true;
  }

  const ServerOptions options_;
  const Gate gate_;
  asio::io_context io_{1};
  tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  std::optional<ssl::context> tls_;
  asio::thread_pool pool_;
  std::uint16_t port_ = 0;
  std::thread thread_;
  std::set<Connection*> connections_;  // of the server's thread
  bool stopping_ = false;              // of the server's thread
  std::mutex mutex_;
  std::condition_variable closed_;
  bool stopped_ = false;
  std::atomic<std::uint64_t> open_ = 0, refused_ = 0, timeouts_ = 0;
  std::array<std::atomic<std::uint64_t>, 6> answers_{};
};

// Counts a connection while it is open.
class Server::Opened {
 public:
  Opened(Server& server, Plain& stream) : server_(server) {
    connection.stream = &stream;
    server_.connections_.insert(&connection);
  }
  Opened(const Opened&) = delete;
  Opened& operator=(const Opened&) = delete;
  ~Opened() {
    server_.connections_.erase(&connection);
    const std::lock_guard lock(server_.mutex_);
    --server_.open_;
    server_.closed_.notify_all();
  }
  Connection connection;

 private:
  Server& server_;
};

// A request at work: looks now and then whether its client is still there, and stops the work when it is not.
// A client that only closed its own direction counts as gone: the two cannot be told apart.
class Server::Attended {
 public:
  Attended(asio::io_context& io, Connection& connection) : connection_(connection) {
    connection_.work = std::stop_source();
    look_ = std::make_shared<Look>(
        Look{asio::steady_timer(io), connection_.work, connection_.stream->socket().native_handle()});
    look_later(look_);
  }
  Attended(const Attended&) = delete;
  Attended& operator=(const Attended&) = delete;
  ~Attended() {
    connection_.work = std::stop_source(std::nostopstate);
    look_->over = true;
    look_->timer.cancel();
  }

 private:
  // Outlives the request by the timer's last call.
  struct Look {
    asio::steady_timer timer;
    std::stop_source work;
    int socket;
    bool over = false;
  };

  static void look_later(const std::shared_ptr<Look>& look) {
    look->timer.expires_after(kLookAgain);
    look->timer.async_wait([look](const error_code&) {
      if (look->over) return;
      if (is_gone(look->socket)) return void(look->work.request_stop());
      look_later(look);
    });
  }
  static bool is_gone(int socket) {
    pollfd state{socket, POLLRDHUP, 0};
    return ::poll(&state, 1, 0) > 0;
  }

  Connection& connection_;
  std::shared_ptr<Look> look_;
};

base::Status Server::load_tls() {
  if (options_.certificate.empty()) return base::ok_status();
  tls_.emplace(ssl::context::tls_server);
  return wire::load_certificate(*tls_, options_.certificate, options_.key);
}

base::Status Server::listen() {
  PJ_TRY(check_options(options_));
  PJ_TRY(load_tls());
  const tcp::endpoint at(asio::ip::make_address(options_.address), options_.port);
  error_code error;
  acceptor_.open(at.protocol(), error);
  if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
  if (!error) acceptor_.bind(at, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return base::io_error("listen for HTTP", options_.address + ":" + std::to_string(options_.port),
                          error.message(), "Choose another port with --http");
  port_ = acceptor_.local_endpoint().port();
  asio::co_spawn(io_, accept_loop(), asio::detached);
  thread_ = std::thread([this] { io_.run(); });
  return base::ok_status();
}

void Server::stop() {
  std::unique_lock lock(mutex_);
  if (stopped_ || !thread_.joinable()) return;
  stopped_ = true;
  asio::post(io_, [this] {
    stopping_ = true;
    error_code ignored;
    acceptor_.close(ignored);
    retry_.cancel();
    for (Connection* c : connections_) {
      if (c->idle || c->in_pieces) c->stream->cancel();
      c->work.request_stop();
    }
  });
  closed_.wait_for(lock, milliseconds(options_.grace_seconds), [this] { return open_ == 0; });
  lock.unlock();
  asio::post(io_, [this] {
    for (const Connection* c : connections_) c->stream->close();
  });
  lock.lock();
  closed_.wait(lock, [this] { return open_ == 0; });
  lock.unlock();
  io_.stop();
  thread_.join();
  pool_.join();
}

asio::awaitable<void> Server::accept_loop() {
  while (!stopping_) {
    error_code error;
    tcp::socket socket = co_await acceptor_.async_accept(into(error));
    if (stopping_ || error == asio::error::operation_aborted) co_return;
    if (error) {  // out of descriptors: try again when some were closed
      retry_.expires_after(std::chrono::milliseconds(100));
      co_await retry_.async_wait(into(error));
      continue;
    }
    Plain stream(std::move(socket));
    stream.socket().set_option(tcp::no_delay(true), error);
    const bool full = open_ >= options_.connections;
    ++open_;
    refused_ += full ? 1 : 0;
    if (full)
      asio::co_spawn(io_, turn_away(std::move(stream)), asio::detached);
    else if (tls_)
      asio::co_spawn(io_, run_tls(std::move(stream)), asio::detached);
    else
      asio::co_spawn(io_, run(std::move(stream)), asio::detached);
  }
}

asio::awaitable<void> Server::run(Plain stream) {
  Opened opened(*this, stream);
  co_await serve(stream, opened.connection);
  error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> Server::run_tls(Plain plain) {
  Secure stream(std::move(plain), *tls_);
  Opened opened(*this, beast::get_lowest_layer(stream));
  error_code error;
  beast::get_lowest_layer(stream).expires_after(milliseconds(options_.head_seconds));
  co_await stream.async_handshake(ssl::stream_base::server, into(error));
  if (error) {
    timed_out(error);
    co_return;
  }
  co_await serve(stream, opened.connection);
  beast::get_lowest_layer(stream).expires_after(milliseconds(1));
  co_await stream.async_shutdown(into(error));
}

// One connection too many: told so at once, without reading. Under TLS it is only closed.
asio::awaitable<void> Server::turn_away(Plain stream) {
  Opened opened(*this, stream);
  if (tls_) co_return;
  Response busy =
      error_response(503, base::io_error(kWhat, "", "too many connections are open", "Try again"));
  co_await write(stream, std::move(busy), 11, false, false);
  error_code ignored;
  stream.socket().shutdown(tcp::socket::shutdown_send, ignored);
}

template <class Stream>
asio::awaitable<void> Server::serve(Stream& stream, Connection& connection) {
  beast::flat_buffer buffer(options_.head_bytes + (64U << 10));
  bool first = true;
  while (!stopping_) {
    connection.idle = true;
    connection.in_pieces = false;
    const bool go_on = co_await one_request(stream, connection, buffer, first);
    if (!go_on) co_return;
    first = false;
  }
}

// False: close the connection.
template <class Stream>
asio::awaitable<bool> Server::one_request(Stream& stream, Connection& connection, beast::flat_buffer& buffer,
                                          bool first) {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(options_.head_bytes));
  parser.body_limit(boost::none);  // the route's, checked below
  error_code error;
  beast::get_lowest_layer(stream).expires_after(
      milliseconds(first ? options_.head_seconds : options_.idle_seconds));
  co_await http::async_read_header(stream, buffer, parser, into(error));
  connection.idle = false;
  if (error) {
    timed_out(error);
    Response broken = response_to(error, options_.head_bytes);
    if (broken.status != 0) co_await write(stream, std::move(broken), 11, false, false);
    co_return false;
  }
  Request request;
  error_code unknown;
  request.client = beast::get_lowest_layer(stream).socket().remote_endpoint(unknown).address().to_string();
  Response response;
  const unsigned version = parser.get().version();
  const Route* route = nullptr;
  std::optional<Attended> attended;  // until the last piece of the answer is written
  if (!take_head(parser, request))
    response = bad_request(400, "target", "the path or its parameters cannot be read");
  else
    route = gate_.admit(
        request,
        parser.content_length() ? std::optional<std::uint64_t>(*parser.content_length()) : std::nullopt,
        response);
  // A refused body is not read, so the connection cannot go on behind it.
  const bool has_body = parser.chunked() || parser.content_length().value_or(0) != 0;
  bool keep_alive = parser.get().keep_alive() && (route != nullptr || !has_body);
  if (route != nullptr) {
    error = co_await read_body(stream, buffer, parser,
                               route->options.types.empty() ? 0 : route->options.body_bytes);
    if (error) {
      timed_out(error);
      response = response_to(error, options_.head_bytes);
      if (response.status == 0) co_return false;
      keep_alive = false;
    } else {
      request.body = std::move(parser.get().body());
      attended.emplace(io_, connection);
      request.abandoned = connection.work.get_token();
      co_await in_worker([&] { response = gate_.answer(*route, request); });
    }
  }
  keep_alive = keep_alive && !stopping_;
  connection.in_pieces = static_cast<bool>(response.more);
  co_return co_await write(stream, std::move(response), version, keep_alive, request.method == "HEAD") &&
      keep_alive;
}

template <class Stream>
asio::awaitable<error_code> Server::read_body(Stream& stream, beast::flat_buffer& buffer, Parser& parser,
                                              std::size_t limit) {
  error_code error;
  parser.body_limit(limit);
  beast::get_lowest_layer(stream).expires_after(milliseconds(options_.body_seconds));
  if (beast::iequals(parser.get()[http::field::expect], "100-continue") && !parser.is_done()) {
    const bool sent = co_await send(stream, "HTTP/1.1 100 Continue\r\n\r\n");
    if (!sent) co_return make_error_code(http::error::end_of_stream);
  }
  if (!parser.is_done()) co_await http::async_read(stream, buffer, parser, into(error));
  co_return error;
}

template <class Stream>
asio::awaitable<bool> Server::send(Stream& stream, const std::string& text) {
  error_code error;
  beast::get_lowest_layer(stream).expires_after(milliseconds(options_.write_seconds));
  co_await asio::async_write(stream, asio::buffer(text), into(error));
  timed_out(error);
  co_return !error;
}

template <class Stream>
asio::awaitable<bool> Server::write(Stream& stream, Response response, unsigned version, bool keep_alive,
                                    bool head_only) {
  ++answers_[std::min<std::size_t>(response.status / 100, 5)];
  const bool pieces = static_cast<bool>(response.more);
  keep_alive = keep_alive && (!pieces || version >= 11);
  std::string text = text_of(head_of(response, version, keep_alive));
  if (head_only) co_return co_await send(stream, text) && keep_alive;
  if (pieces) {
    const bool whole = co_await write_pieces(stream, response, std::move(text), version >= 11);
    co_return whole&& keep_alive;
  }
  text += response.body;
  co_return co_await send(stream, text) && keep_alive;
}

// No co_await behind || or &&: g++ 12 awaits it whatever the left side is. A producer that throws breaks the
// connection off, so that nobody takes the part for the whole.
template <class Stream>
asio::awaitable<bool> Server::write_pieces(Stream& stream, Response& response, std::string text,
                                           bool chunked) {
  std::string piece = std::move(response.body);
  bool more = true;
  while (more) {
    if (!piece.empty()) text += chunked ? chunk_of(piece) : piece;
    if (!text.empty()) {
      const bool sent = co_await send(stream, text);
      if (!sent) co_return false;
    }
    text.clear();
    piece.clear();
    bool failed = false;
    co_await in_worker([&] {
      try {
        more = response.more(piece);
      } catch (const std::exception&) {
        failed = true;
      }
    });
    if (failed || stopping_) co_return false;
  }
  if (!chunked) co_return true;
  co_return co_await send(stream, "0\r\n\r\n");
}

template <class Work>
asio::awaitable<void> Server::in_worker(Work work) {
  co_await asio::co_spawn(
      pool_, [&work]() -> asio::awaitable<void> { co_return work(); }, asio::use_awaitable);
}

}  // namespace

base::Result<std::unique_ptr<HttpServer>> HttpServer::start(Router router, ServerOptions options) {
  auto server = std::make_unique<Server>(std::move(router), std::move(options));
  PJ_TRY(server->listen());
  return std::unique_ptr<HttpServer>(std::move(server));
}

base::Status check_options(const ServerOptions& options) {
  return wire::check_door({options.address, options.certificate, options.key, !options.tokens.empty()});
}

base::Status read_address(std::string_view text, ServerOptions& options) {
  const std::size_t colon = text.rfind(':');
  const std::string_view port = colon == std::string_view::npos ? text : text.substr(colon + 1);
  std::string_view host = colon == std::string_view::npos ? "127.0.0.1" : text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  if (host == "localhost") host = "127.0.0.1";
  const auto number = base::parse_int(port);
  if (!number || *number < 0 || *number > 65'535 || host.empty())
    return base::bad_input("read the address", std::string(text), "it is no ADDRESS:PORT",
                           "For example 127.0.0.1:9464");
  options.address = host;
  options.port = static_cast<std::uint16_t>(*number);
  return base::ok_status();
}

std::string answer_bytes(const Gate& gate, std::string_view bytes, std::size_t head_bytes) {
  Parser parser;
  parser.header_limit(static_cast<std::uint32_t>(head_bytes));
  parser.body_limit(boost::none);
  error_code error;
  std::size_t used = parser.put(asio::buffer(bytes.data(), bytes.size()), error);
  Response response;
  Request request;
  if (!error && !parser.is_header_done()) error = http::error::partial_message;
  if (error) {
    response = response_to(error, head_bytes);
    return response.status == 0 ? "" : text_of(head_of(response, 11, false)) + response.body;
  }
  const auto length = parser.content_length();
  const Route* route = nullptr;
  if (!take_head(parser, request))
    response = bad_request(400, "target", "the path or its parameters cannot be read");
  else
    route = gate.admit(request, length ? std::optional<std::uint64_t>(*length) : std::nullopt, response);
  if (route != nullptr) {
    parser.eager(true);
    parser.body_limit(route->options.types.empty() ? 0 : route->options.body_bytes);
    while (!error && !parser.is_done() && used < bytes.size()) {
      const std::size_t n = parser.put(asio::buffer(bytes.data() + used, bytes.size() - used), error);
      used += n;
      if (n == 0) break;
    }
    if (error && error != http::error::need_more) {
      response = response_to(error, head_bytes);
      return response.status == 0 ? "" : text_of(head_of(response, 11, false)) + response.body;
    }
    if (!parser.is_done()) return "";
    request.body = std::move(parser.get().body());
    response = gate.answer(*route, request);
  }
  std::string text = text_of(head_of(response, parser.get().version(), parser.get().keep_alive()));
  if (request.method == "HEAD") return text;
  text += response.body;
  for (std::string piece; response.more && response.more(piece); piece.clear()) text += chunk_of(piece);
  return text;
}

}  // namespace perjoule::api
