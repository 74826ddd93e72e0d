#include "wire/server.hpp"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <set>
#include <thread>
#include <vector>

#include "base/clock.hpp"
#include "base/env.hpp"
#include "bus/utf8.hpp"
#include "wire/door.hpp"
#include "wire/flow_window.hpp"
#include "wire/socket_include.hpp"
#include "wire/source_gates.hpp"
#include "wire/tls_include.hpp"

namespace perjoule::wire {
namespace {

// After BYE the client gets so long to close its side: closing ours with bytes unread would take receipts
// back from it that it has not read.
constexpr double kLingerSeconds = 1;
// Beyond the limit a few connections are told that the server is full; more are just closed.
constexpr std::size_t kToldFull = 64;

struct Counters {
  std::atomic<std::uint64_t> connections = 0, blocks = 0, block_bytes = 0, copied_bytes = 0, stored = 0,
                             repeated = 0, delayed = 0, refused = 0, pauses = 0;
  std::array<std::atomic<std::uint64_t>, kEndCodeCount> ended{};
};

class Connection;

// What the connections of a server share.
struct Shared {
  Shared(bus::Engine& e, ServerOptions o) : engine(e), options(std::move(o)), flow(options.limits.bytes) {}

  // Of the window, what one connection may owe.
  std::uint64_t share() const { return flow.bytes() / std::max<std::uint64_t>(owing, 1); }

  bus::Engine& engine;
  const ServerOptions options;
  TokenSet tokens;
  std::optional<asio::ssl::context> tls;
  Counters counters;
  SourceGates gates;
  FlowWindow flow;
  std::atomic<std::uint64_t> owing = 0;  // connections with blocks that have no answer
  const base::Stopwatch watch;
  std::mutex mutex;
  std::set<Connection*> open;  // under the mutex
  bool stopping = false;       // under the mutex
  std::condition_variable all_closed;
};

class Connection : public std::enable_shared_from_this<Connection> {
 public:
  Connection(Shared& shared, Tcp::socket socket)
      : shared_(shared),
        strand_(socket.get_executor()),
        socket_(shared.tls ? Socket(std::move(socket), *shared.tls) : Socket(std::move(socket))),
        timer_(strand_),
        decoder_(0) {}
  ~Connection() {
    const std::lock_guard lock(shared_.mutex);
    shared_.open.erase(this);
    if (shared_.open.empty()) shared_.all_closed.notify_all();
  }

  const asio::any_io_executor& executor() const { return strand_; }
  void start(bool full);
  // From any thread.
  void ask_to_end(EndCode code, std::string why) {
    asio::post(strand_, [self = shared_from_this(), code, why = std::move(why)] { self->finish(code, why); });
  }
  void ask_to_close() {
    asio::post(strand_, [self = shared_from_this()] { self->close(); });
  }

 private:
  enum class State : std::uint8_t { kGreeting, kWaiting, kOpen, kEnding, kClosed };

  const ServerLimits& limits() const { return shared_.options.limits; }
  double now() const { return watch_.elapsed().value(); }

  // ---- reading ----
  void read();
  void on_read(const ErrorCode& error, std::size_t bytes);
  void take_frames();
  void on_frame(Frame frame);
  void on_hello(const Frame& frame);
  void welcome(std::uint16_t version);
  void on_block(Frame frame);
  void on_receipt(std::uint64_t id, std::size_t bytes, bus::Receipt receipt);
  // One block is always let in, so each connection goes on by answers of its own.
  bool owes_too_much() const {
    return owed_frames_ >= limits().blocks || (owed_bytes_ != 0 && owed_bytes_ >= shared_.share());
  }
  void owe(std::size_t bytes);
  void settle(std::size_t bytes);
  void go_on();

  // ---- writing ----
  void send(std::string_view frame, bool is_answer);
  void flush();
  void on_written(const ErrorCode& error, std::size_t answers);

  // ---- ending ----
  void finish(EndCode code, std::string why);
  void say_bye();
  void close();

  // ---- time ----
  double deadline() const;
  void watch_deadline();
  void on_timer();

  Shared& shared_;
  asio::any_io_executor strand_;
  Socket socket_;
  asio::steady_timer timer_;
  FrameDecoder decoder_;
  std::shared_ptr<SourceGates::Gate> gate_;
  std::string source_;
  bus::Durability durability_ = bus::Durability::kDurable;
  State state_ = State::kGreeting;
  bool may_write_ = false, greeted_ = false, reading_ = false, writing_ = false, bye_sent_ = false,
       sent_all_ = false;
  EndCode end_code_ = EndCode::kDone;
  std::string end_why_, discarded_;
  std::size_t unanswered_ = 0;   // blocks that the engine has
  std::size_t owed_frames_ = 0;  // blocks and pings whose answer the client's system has not taken
  std::size_t owed_bytes_ = 0;   // of the engine's blocks
  std::uint64_t copied_ = 0;
  std::string outbox_, sending_;
  std::size_t outbox_answers_ = 0;
  base::Stopwatch watch_;
  double last_read_ = 0, write_began_ = 0, bye_at_ = 0;
  double next_check_ = 0;
};

// ---- reading ----

void Connection::start(bool full) {
  ErrorCode ignored;
  socket_.tcp().set_option(Tcp::no_delay(true), ignored);
  if (const int bytes = limits().send_buffer_bytes; bytes > 0)
    socket_.tcp().set_option(asio::socket_base::send_buffer_size(bytes), ignored);
  next_check_ = 1e18;
  watch_deadline();
  socket_.async_greet(asio::ssl::stream_base::server, [self = shared_from_this(),
                                                       full](const ErrorCode& error) {
    if (error) return self->close();
    self->may_write_ = true;
    if (full)
      return self->finish(EndCode::kFull, "the server has as many connections as it takes; try again later");
    self->read();
  });
}

void Connection::read() {
  if (reading_ || state_ == State::kClosed || (state_ == State::kEnding && !sent_all_)) return;
  if (state_ == State::kOpen && owes_too_much()) {
    ++shared_.counters.pauses;
    return;
  }
  reading_ = true;
  const auto on_done = [self = shared_from_this()](const ErrorCode& e, std::size_t n) {
    self->on_read(e, n);
  };
  if (state_ == State::kEnding) {
    discarded_.resize(4096);
    return socket_.async_read_some(asio::buffer(discarded_), on_done);
  }
  const FrameDecoder::Room room = decoder_.room();
  const std::array<asio::mutable_buffer, 2> buffers = {asio::mutable_buffer(room[0].data(), room[0].size()),
                                                       asio::mutable_buffer(room[1].data(), room[1].size())};
  socket_.async_read_some(buffers, on_done);
}

void Connection::on_read(const ErrorCode& error, std::size_t bytes) {
  reading_ = false;
  if (error || state_ == State::kClosed) return close();
  last_read_ = now();
  if (state_ != State::kEnding) {
    decoder_.filled(bytes);
    take_frames();
  }
  read();
}

void Connection::take_frames() {
  Frame frame;
  while (state_ != State::kEnding && state_ != State::kClosed &&
         !(state_ == State::kOpen && owes_too_much())) {
    const auto step = decoder_.next(frame);
    if (step == FrameDecoder::Step::kNeedBytes) break;
    if (step == FrameDecoder::Step::kBad) return finish(decoder_.end_code(), decoder_.error().why);
    on_frame(std::move(frame));
  }
  shared_.counters.copied_bytes += decoder_.copied_bytes() - copied_;
  copied_ = decoder_.copied_bytes();
}

void Connection::on_frame(Frame frame) {
  if (state_ == State::kGreeting && frame.type == FrameType::kHello) return on_hello(frame);
  if (state_ != State::kOpen) return finish(EndCode::kMalformed, "a frame came before the greeting was over");
  switch (frame.type) {
    case FrameType::kBlock:
      return on_block(std::move(frame));
    case FrameType::kPing:
      if (!frame.body.empty()) break;
      ++owed_frames_;
      return send(encode_pong(frame.id), true);
    case FrameType::kBye:
      return finish(EndCode::kDone, {});
    default:
      break;
  }
  finish(EndCode::kMalformed, "a frame that a client does not send");
}

void Connection::on_hello(const Frame& frame) {
  auto hello = decode_hello(frame.body);
  if (!hello.ok()) return finish(EndCode::kMalformed, hello.error().why);
  if (hello->lowest_version > kWireVersion)
    return finish(EndCode::kVersion, "this server speaks version " + std::to_string(kWireVersion));
  if (!shared_.tokens.empty() && !shared_.tokens.holds(hello->token))
    return finish(EndCode::kToken, "the token is missing or wrong");
  if (hello->source.empty() || hello->source.size() > bus::kMaxSourceName ||
      !bus::is_valid_utf8(hello->source))
    return finish(EndCode::kSource, "a source's name has 1 to 128 bytes of UTF-8");
  source_ = std::move(hello->source);
  durability_ = std::min(hello->durability, shared_.options.weakest);
  state_ = State::kWaiting;
  const std::weak_ptr<Connection> weak = weak_from_this();
  gate_ = std::make_shared<SourceGates::Gate>([weak] {
    if (const auto self = weak.lock())
      self->ask_to_end(EndCode::kReplaced, "another connection took this source over");
  });
  const bool take_over = hello->take_over;
  shared_.gates.enter(gate_, source_, take_over, [weak, strand = strand_] {
    if (auto self = weak.lock())
      asio::post(strand, [self = std::move(self)] { self->welcome(kWireVersion); });
  });
}

void Connection::welcome(std::uint16_t version) {
  if (state_ != State::kWaiting) return;
  state_ = State::kOpen;
  greeted_ = true;
  decoder_.allow_blocks(limits().block_bytes);
  send(encode(Welcome{version, limits().block_bytes, limits().blocks, limits().idle_ms, limits().bytes,
                      shared_.engine.stored_through(source_)}),
       false);
  go_on();
}

void Connection::on_block(Frame frame) {
  const std::size_t bytes = frame.body.size();
  ++shared_.counters.blocks;
  shared_.counters.block_bytes += bytes;
  const auto view = bus::BlockView::open(frame.body, "block");
  if (view.ok() && view->key().source != source_) {
    ++owed_frames_;
    ++shared_.counters.refused;
    return send(encode(frame.id, bus::Receipt{bus::Outcome::kRefused, shared_.engine.stored_through(source_),
                                              "the block is of another source than its connection"}),
                true);
  }
  if (!shared_.gates.pass(*gate_)) return;  // shut: BYE is on its way
  ++owed_frames_;
  ++unanswered_;
  owe(bytes);
  // The engine may answer within the call, or later from its own thread; the connection is let go there, so
  // that its last owner is never the engine.
  shared_.engine.submit(std::move(frame.body), durability_,
                        [self = shared_from_this(), id = frame.id, bytes,
                         began = shared_.watch.elapsed().value()](const bus::Receipt& receipt) mutable {
                          Shared& shared = self->shared_;
                          const double ended = shared.watch.elapsed().value();
                          if (receipt.outcome == bus::Outcome::kStored)
                            shared.flow.answered(bytes, ended - began, ended);
                          SourceGates& gates = shared.gates;
                          const std::string source = self->source_;
                          const asio::any_io_executor strand = self->strand_;
                          asio::post(strand, [self = std::move(self), id, bytes, receipt]() mutable {
                            self->on_receipt(id, bytes, std::move(receipt));
                          });
                          gates.answered(source);
                        });
}

void Connection::owe(std::size_t bytes) {
  if (owed_bytes_ == 0 && bytes != 0) ++shared_.owing;
  owed_bytes_ += bytes;
}

void Connection::settle(std::size_t bytes) {
  owed_bytes_ -= bytes;
  if (owed_bytes_ == 0 && bytes != 0) --shared_.owing;
}

void Connection::on_receipt(std::uint64_t id, std::size_t bytes, bus::Receipt receipt) {
  --unanswered_;
  settle(bytes);
  Counters& counters = shared_.counters;
  switch (receipt.outcome) {
    case bus::Outcome::kStored:
      ++counters.stored;
      break;
    case bus::Outcome::kAlreadyStored:
      ++counters.repeated;
      break;
    case bus::Outcome::kRefused:
      ++counters.refused;
      // The engine does not know whose block it was if the block is damaged.
      receipt.stored_through = shared_.engine.stored_through(source_);
      break;
    default:
      ++counters.delayed;
  }
  if (state_ == State::kClosed) return;
  send(encode(id, receipt), true);
  say_bye();
}

// After something that reading waited for.
void Connection::go_on() {
  if (state_ != State::kOpen || owes_too_much()) return;
  take_frames();
  read();
}

// ---- writing ----

void Connection::send(std::string_view frame, bool is_answer) {
  if (state_ == State::kClosed) return;
  outbox_ += frame;
  outbox_answers_ += is_answer ? 1 : 0;
  if (!writing_) flush();
}

void Connection::flush() {
  writing_ = true;
  write_began_ = now();
  sending_.clear();
  sending_.swap(outbox_);
  const std::size_t answers = std::exchange(outbox_answers_, 0);
  socket_.async_write(asio::buffer(sending_),
                      [self = shared_from_this(), answers](const ErrorCode& error, std::size_t) {
                        self->on_written(error, answers);
                      });
  watch_deadline();
}

void Connection::on_written(const ErrorCode& error, std::size_t answers) {
  writing_ = false;
  if (error || state_ == State::kClosed) return close();
  owed_frames_ -= answers;
  if (!outbox_.empty()) {
    flush();
  } else if (bye_sent_ && !sent_all_) {
    sent_all_ = true;
    bye_at_ = now();
    ErrorCode ignored;
    socket_.tcp().shutdown(Tcp::socket::shutdown_send, ignored);
    watch_deadline();
    read();
  }
  go_on();
}

// ---- ending ----

void Connection::finish(EndCode code, std::string why) {
  if (state_ == State::kEnding || state_ == State::kClosed) return;
  ++shared_.counters.ended[static_cast<std::size_t>(code)];
  if (!may_write_) return close();  // the TLS greeting is not over
  state_ = State::kEnding;
  end_code_ = code;
  end_why_ = std::move(why);
  say_bye();
}

void Connection::say_bye() {
  if (state_ != State::kEnding || bye_sent_ || unanswered_ != 0) return;
  bye_sent_ = true;
  const End end{end_code_, end_why_};
  send(greeted_ ? encode_bye(end) : encode_refused(end), false);
}

void Connection::close() {
  if (state_ == State::kClosed) return;
  state_ = State::kClosed;
  timer_.cancel();
  socket_.close();
  if (gate_) shared_.gates.leave(gate_);
}

// ---- time ----

double Connection::deadline() const {
  constexpr double kNone = 1e18;
  const auto seconds = [](auto ms) { return static_cast<double>(ms) * 1e-3; };
  double at = kNone;
  if (state_ == State::kGreeting || state_ == State::kWaiting) at = seconds(limits().greeting_ms);
  if (state_ == State::kOpen && limits().idle_ms != 0)
    at = std::min(at, last_read_ + seconds(limits().idle_ms));
  if (writing_) at = std::min(at, write_began_ + seconds(limits().slow_ms));
  if (sent_all_) at = std::min(at, bye_at_ + kLingerSeconds);
  return at;
}

void Connection::watch_deadline() {
  const double at = deadline();
  if (at >= next_check_ || state_ == State::kClosed) return;
  next_check_ = at;
  const double wait = std::max(at - now(), 0.0);
  timer_.expires_after(std::chrono::microseconds(static_cast<std::int64_t>(wait * 1e6) + 1));
  timer_.async_wait([self = shared_from_this()](const ErrorCode& error) {
    if (!error) self->on_timer();
  });
}

void Connection::on_timer() {
  if (state_ == State::kClosed) return;
  next_check_ = 1e18;
  const double at = now();
  if (at < deadline()) return watch_deadline();
  if (writing_ && at >= write_began_ + static_cast<double>(limits().slow_ms) * 1e-3) {
    if (state_ != State::kEnding) ++shared_.counters.ended[static_cast<std::size_t>(EndCode::kSlow)];
    return close();
  }
  if (sent_all_) return close();
  if (state_ == State::kGreeting || state_ == State::kWaiting) {
    finish(EndCode::kIdle, "the greeting was not over in time");
  } else if (state_ == State::kOpen && owed_frames_ != 0) {
    last_read_ = at;  // it is the client that waits
  } else if (state_ == State::kOpen) {
    finish(EndCode::kIdle, "nothing came for too long");
  }
  watch_deadline();
}

// ---- the server ----

class ServerImpl final : public Server {
 public:
  ServerImpl(bus::Engine& engine, ServerOptions options)
      : shared_(engine, std::move(options)),
        io_(static_cast<int>(shared_.options.threads)),
        acceptor_(io_),
        retry_(io_) {}
  ~ServerImpl() override { stop(); }

  base::Status start();
  std::uint16_t port() const override { return port_; }
  ServerStats stats() const override;
  void stop() override;

 private:
  base::Status load_tokens();
  base::Status listen();
  void accept();
  void on_accept(const ErrorCode& error, Tcp::socket socket);
  void end_all(bool at_once);

  mutable Shared shared_;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
  // Last, so that the connections which its handlers own go before what they use.
  asio::io_context io_;
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  Tcp::acceptor acceptor_;
  asio::steady_timer retry_;
  std::vector<std::thread> threads_;
};

base::Status ServerImpl::load_tokens() {
  const std::string& path = shared_.options.token_file;
  if (path.empty()) return base::ok_status();
  PJ_ASSIGN(const std::string text, base::posix_env().read_file(path, 1U << 20));
  PJ_ASSIGN(const auto tokens, read_tokens(text, path));
  shared_.tokens = TokenSet(tokens);
  return base::ok_status();
}

base::Status ServerImpl::listen() {
  const ServerOptions& o = shared_.options;
  const std::string where = o.address + ":" + std::to_string(o.port);
  const Tcp::endpoint endpoint(asio::ip::make_address(o.address), o.port);
  ErrorCode error;
  acceptor_.open(endpoint.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(endpoint, error);
  if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
  if (error)
    return base::io_error("listen", where, error.message(), "choose another port, or 0 for any free one");
  port_ = acceptor_.local_endpoint().port();
  return base::ok_status();
}

base::Status ServerImpl::start() {
  const ServerOptions& o = shared_.options;
  PJ_TRY(load_tokens());
  PJ_TRY(check_door({o.address, o.certificate_file, o.key_file, !shared_.tokens.empty()}));
  if (!o.certificate_file.empty()) {
    shared_.tls.emplace(asio::ssl::context::tls_server);
    PJ_TRY(load_certificate(*shared_.tls, o.certificate_file, o.key_file));
  }
  PJ_TRY(listen());
  accept();
  for (unsigned i = 0; i < std::max(o.threads, 1U); ++i) {
    threads_.emplace_back([this] { io_.run(); });
    ::pthread_setname_np(threads_.back().native_handle(), "wire-io");
  }
  return base::ok_status();
}

void ServerImpl::accept() {
  acceptor_.async_accept(asio::make_strand(io_), [this](const ErrorCode& error, Tcp::socket socket) {
    on_accept(error, std::move(socket));
  });
}

void ServerImpl::on_accept(const ErrorCode& error, Tcp::socket socket) {
  if (!acceptor_.is_open()) return;
  if (error) {  // no descriptor free, most likely: others may close
    retry_.expires_after(std::chrono::milliseconds(100));
    return retry_.async_wait([this](const ErrorCode& stopped) {
      if (!stopped) accept();
    });
  }
  const std::size_t most = shared_.options.limits.connections;
  std::size_t open = 0;
  std::shared_ptr<Connection> connection;
  {
    const std::lock_guard lock(shared_.mutex);
    open = shared_.open.size();
    if (!shared_.stopping && open < most + kToldFull) {
      connection = std::make_shared<Connection>(shared_, std::move(socket));
      shared_.open.insert(connection.get());
    }
  }
  if (connection) {
    ++shared_.counters.connections;
    const auto strand = connection->executor();
    asio::post(strand,
               [connection = std::move(connection), full = open >= most] { connection->start(full); });
  }
  accept();
}

ServerStats ServerImpl::stats() const {
  const Counters& c = shared_.counters;
  ServerStats out;
  {
    const std::lock_guard lock(shared_.mutex);
    out.connections_open = shared_.open.size();
  }
  out.connections = c.connections;
  out.blocks = c.blocks;
  out.block_bytes = c.block_bytes;
  out.copied_bytes = c.copied_bytes;
  out.stored_blocks = c.stored;
  out.repeated_blocks = c.repeated;
  out.delayed_blocks = c.delayed;
  out.refused_blocks = c.refused;
  out.pauses = c.pauses;
  for (std::size_t i = 0; i < kEndCodeCount; ++i) out.ended[i] = c.ended[i];
  return out;
}

void ServerImpl::end_all(bool at_once) {
  // Let go after the lock: the last owner takes it.
  std::vector<std::shared_ptr<Connection>> alive_ones;
  {
    const std::lock_guard lock(shared_.mutex);
    for (Connection* connection : shared_.open) {
      if (auto alive = connection->weak_from_this().lock()) alive_ones.push_back(std::move(alive));
    }
  }
  for (const auto& alive : alive_ones) {
    if (at_once) {
      alive->ask_to_close();
    } else {
      alive->ask_to_end(EndCode::kStopping, "the server stops; what has no receipt may be sent again later");
    }
  }
}

void ServerImpl::stop() {
  if (std::exchange(stopped_, true)) return;
  asio::post(io_, [this] {
    ErrorCode ignored;
    acceptor_.close(ignored);
    retry_.cancel();
  });
  {
    const std::lock_guard lock(shared_.mutex);
    shared_.stopping = true;
  }
  end_all(false);
  const auto all_closed = [&] { return shared_.open.empty(); };
  {
    std::unique_lock lock(shared_.mutex);
    shared_.all_closed.wait_for(lock, std::chrono::milliseconds(shared_.options.limits.stop_ms), all_closed);
  }
  end_all(true);
  shared_.gates.wait_until_answered();
  {
    std::unique_lock lock(shared_.mutex);
    shared_.all_closed.wait(lock, all_closed);
  }
  io_.stop();
  for (auto& thread : threads_) thread.join();
}

}  // namespace

base::Result<std::unique_ptr<Server>> Server::start(bus::Engine& engine, ServerOptions options) {
  auto server = std::make_unique<ServerImpl>(engine, std::move(options));
  PJ_TRY(server->start());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace perjoule::wire
