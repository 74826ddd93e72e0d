#include "wire/client.hpp"

#include <algorithm>
#include <boost/asio/connect.hpp>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>
#include <vector>

#include "bus/utf8.hpp"
#include "wire/socket_include.hpp"

namespace perjoule::wire {
namespace {

using Lock = std::unique_lock<std::mutex>;

// Blocks are handed to the system together up to so many bytes, so that small ones do not cost a call each.
constexpr std::size_t kWriteBytes = 256U << 10;

base::Duration doubling(unsigned attempt) {
  return base::milliseconds(std::min<std::int64_t>(std::int64_t{50} << std::min(attempt, 12U), 10'000));
}

// One connection. Handlers hold it; those of an earlier one find that it is not the client's any more.
struct Link {
  Link(asio::io_context& io, asio::ssl::context* tls)
      : socket(tls != nullptr ? Socket(Tcp::socket(io), *tls) : Socket(Tcp::socket(io))), decoder(0) {}

  Socket socket;
  FrameDecoder decoder;
  bool greeted = false, writing = false, heard = false, ping_open = false;
  std::uint32_t idle_ms = 0;
  std::uint64_t pings = 0;
  // What is being written: headers, frames and blocks stay where they are until it is done.
  std::vector<Header> headers;
  std::vector<SendQueue::Outgoing> blocks;
  std::string control, control_sending;
  std::vector<asio::const_buffer> buffers;
};
using LinkPtr = std::shared_ptr<Link>;

class ClientImpl final : public Client {
 public:
  ClientImpl(ClientOptions options, SendQueue queue)
      : options_(std::move(options)),
        queue_(std::move(queue)),
        resolver_(io_),
        retry_(io_),
        deadline_(io_),
        busy_(io_) {}
  ~ClientImpl() override { close(); }

  base::Status start();
  base::Status send_block(std::string block, std::uint64_t numbers) override;
  bool wait_until_answered(base::Duration limit) override;
  ClientStats stats() const override;
  void close() override;

 protected:
  const std::string& source() const override { return options_.source; }

 private:
  // ---- on the client's thread ----
  void connect();
  void greet(const LinkPtr& link);
  void expect_name(const LinkPtr& link);
  void hello(const LinkPtr& link);
  void lost(const LinkPtr& link, const std::string& why);
  void retire(const std::string& why);
  void read(const LinkPtr& link);
  void take_frames(const LinkPtr& link);
  void on_frame(const LinkPtr& link, const Frame& frame);
  void on_welcome(const LinkPtr& link, const Frame& frame);
  void on_receipt(const LinkPtr& link, const Frame& frame);
  void on_end(const LinkPtr& link, const Frame& frame);
  void pump(const LinkPtr& link);
  void keep_alive(const LinkPtr& link);
  void deliver();
  void wait_while_busy();
  std::chrono::nanoseconds pause(unsigned& attempt) const;

  const ClientOptions options_;
  std::optional<asio::ssl::context> tls_;

  mutable std::mutex mutex_;  // the next seven
  std::condition_variable changed_;
  SendQueue queue_;
  bool stopped_ = false, connected_ = false, pump_posted_ = false, delivering_ = false;
  std::uint64_t connections_ = 0;
  std::string fault_;

  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_{io_.get_executor()};
  Tcp::resolver resolver_;
  asio::steady_timer retry_, deadline_, busy_;
  LinkPtr link_;
  unsigned attempt_ = 0, busy_attempt_ = 0;
  std::thread thread_;
};

// ---- any thread ----

base::Status ClientImpl::start() {
  if (options_.tls) {
    tls_.emplace(asio::ssl::context::tls_client);
    SSL_CTX_set_min_proto_version(tls_->native_handle(), TLS1_2_VERSION);
    tls_->set_verify_mode(asio::ssl::verify_peer);
    ErrorCode error;
    if (options_.ca_file.empty()) {
      tls_->set_default_verify_paths(error);
    } else {
      tls_->load_verify_file(options_.ca_file, error);
    }
    if (error) return base::bad_input("use TLS", options_.ca_file, error.message(), "give a PEM file");
  }
  asio::post(io_, [this] { connect(); });
  thread_ = std::thread([this] { io_.run(); });
  return base::ok_status();
}

base::Status ClientImpl::send_block(std::string block, std::uint64_t numbers) {
  Lock lock(mutex_);
  for (;;) {
    if (stopped_)
      return base::io_error("send rows", options_.source, fault_.empty() ? "the client is closed" : fault_);
    const auto put = queue_.put(block, numbers);
    if (put == SendQueue::Put::kDropped)
      return base::io_error("send rows", options_.source,
                            "there is no room for them, in memory or in the spool");
    if (put == SendQueue::Put::kTaken) break;
    changed_.wait(lock);
  }
  // One call to the other thread serves all blocks that come before it runs.
  if (!std::exchange(pump_posted_, true)) {
    asio::post(io_, [this] {
      {
        const Lock posted(mutex_);
        pump_posted_ = false;
      }
      if (link_) pump(link_);
    });
  }
  return base::ok_status();
}

bool ClientImpl::wait_until_answered(base::Duration limit) {
  Lock lock(mutex_);
  const auto answered = [&] { return queue_.empty() && !delivering_; };
  changed_.wait_for(lock, std::chrono::nanoseconds(limit.ns), [&] { return stopped_ || answered(); });
  return answered();
}

ClientStats ClientImpl::stats() const {
  const Lock lock(mutex_);
  return {queue_.stats(), connected_, connections_, fault_};
}

void ClientImpl::close() {
  if (!thread_.joinable()) return;
  {
    const Lock lock(mutex_);
    stopped_ = true;
  }
  changed_.notify_all();
  asio::post(io_, [this] {
    retire({});
    io_.stop();
  });
  thread_.join();
  const Lock lock(mutex_);
  queue_.disconnected();
}

// ---- connecting ----

std::chrono::nanoseconds ClientImpl::pause(unsigned& attempt) const {
  const unsigned n = attempt++;
  return std::chrono::nanoseconds((options_.backoff ? options_.backoff(n) : doubling(n)).ns);
}

void ClientImpl::connect() {
  link_ = std::make_shared<Link>(io_, tls_ ? &*tls_ : nullptr);
  deadline_.expires_after(std::chrono::milliseconds(options_.connect_ms));
  deadline_.async_wait([this, link = link_](const ErrorCode& error) {
    if (!error && !link->greeted) lost(link, "the server did not greet in time");
  });
  const auto on_names = [this, link = link_](const ErrorCode& error,
                                             const Tcp::resolver::results_type& found) {
    if (link != link_) return;
    if (error) return lost(link, error.message());
    asio::async_connect(link->socket.tcp(), found,
                        [this, link](const ErrorCode& failed, const Tcp::endpoint&) {
                          if (link != link_) return;
                          if (failed) return lost(link, failed.message());
                          greet(link);
                        });
  };
  resolver_.async_resolve(options_.host, std::to_string(options_.port), on_names);
}

// The server's certificate must be for this name or address.
void ClientImpl::expect_name(const LinkPtr& link) {
  const std::string& name = options_.server_name.empty() ? options_.host : options_.server_name;
  SSL* const ssl = link->socket.ssl();
  ErrorCode not_an_address;
  (void)asio::ip::make_address(name, not_an_address);
  if (!not_an_address) {
    X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name.c_str());
  } else {
    SSL_set1_host(ssl, name.c_str());
    // SSL_set_tlsext_host_name, without the cast that the macro has.
    std::string sent = name;
    SSL_ctrl(ssl, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, sent.data());
  }
}

void ClientImpl::greet(const LinkPtr& link) {
  ErrorCode ignored;
  link->socket.tcp().set_option(Tcp::no_delay(true), ignored);
  if (link->socket.ssl() != nullptr) expect_name(link);
  link->socket.async_greet(asio::ssl::stream_base::client, [this, link](const ErrorCode& error) {
    if (link != link_) return;
    if (error) return lost(link, error.message());
    hello(link);
    read(link);
  });
}

void ClientImpl::hello(const LinkPtr& link) {
  Hello hello;
  hello.durability = options_.durability;
  hello.take_over = true;
  hello.source = options_.source;
  hello.token = options_.token;
  link->control += encode(hello);
  pump(link);
}

void ClientImpl::lost(const LinkPtr& link, const std::string& why) {
  if (link != link_) return;
  link_->socket.close();
  link_.reset();
  busy_.cancel();
  {
    const Lock lock(mutex_);
    connected_ = false;
    fault_ = why;
    queue_.disconnected();
  }
  changed_.notify_all();
  retry_.expires_after(pause(attempt_));
  retry_.async_wait([this](const ErrorCode& error) {
    if (!error) connect();
  });
}

// Ends the connection for good.
void ClientImpl::retire(const std::string& why) {
  if (link_) link_->socket.close();
  link_.reset();
  for (auto* timer : {&retry_, &deadline_, &busy_}) timer->cancel();
  resolver_.cancel();
  {
    const Lock lock(mutex_);
    connected_ = false;
    stopped_ = true;
    fault_ = why;
    queue_.disconnected();
  }
  changed_.notify_all();
}

// ---- reading ----

void ClientImpl::read(const LinkPtr& link) {
  const FrameDecoder::Room room = link->decoder.room();
  const std::array<asio::mutable_buffer, 2> buffers = {asio::mutable_buffer(room[0].data(), room[0].size()),
                                                       asio::mutable_buffer(room[1].data(), room[1].size())};
  link->socket.async_read_some(buffers, [this, link](const ErrorCode& error, std::size_t bytes) {
    if (link != link_) return;
    if (error) return lost(link, error.message());
    link->heard = true;
    link->decoder.filled(bytes);
    take_frames(link);
    if (link != link_) return;
    pump(link);
    read(link);
  });
}

void ClientImpl::take_frames(const LinkPtr& link) {
  Frame frame;
  while (link == link_) {
    const auto step = link->decoder.next(frame);
    if (step == FrameDecoder::Step::kNeedBytes) break;
    if (step == FrameDecoder::Step::kBad) return lost(link, link->decoder.error().why);
    on_frame(link, frame);
  }
  deliver();
}

void ClientImpl::on_frame(const LinkPtr& link, const Frame& frame) {
  switch (frame.type) {
    case FrameType::kWelcome:
      return on_welcome(link, frame);
    case FrameType::kReceipt:
      return on_receipt(link, frame);
    case FrameType::kRefused:
    case FrameType::kBye:
      return on_end(link, frame);
    case FrameType::kPong:
      link->ping_open = false;
      return;
    default:
      return lost(link, "the server sent a frame that servers do not send");
  }
}

void ClientImpl::on_welcome(const LinkPtr& link, const Frame& frame) {
  const auto welcome = decode_welcome(frame.body);
  if (!welcome.ok() || link->greeted || welcome->version != kWireVersion)
    return lost(link, "the server's greeting is not one");
  link->greeted = true;
  link->idle_ms = welcome->idle_ms;
  deadline_.cancel();
  base::Status ready = base::ok_status();
  {
    const Lock lock(mutex_);
    ready = queue_.connected(*welcome);
    if (ready.ok()) {
      connected_ = true;
      ++connections_;
      fault_.clear();
    }
  }
  if (!ready.ok()) return lost(link, ready.error().message());
  attempt_ = 0;
  changed_.notify_all();
  keep_alive(link);
}

void ClientImpl::on_receipt(const LinkPtr& link, const Frame& frame) {
  const auto receipt = decode_receipt(frame.body);
  if (!receipt.ok()) return lost(link, receipt.error().why);
  auto then = SendQueue::Then::kGoOn;
  {
    const Lock lock(mutex_);
    then = queue_.receipt(frame.id, *receipt);
  }
  if (receipt->outcome == bus::Outcome::kStored) busy_attempt_ = 0;
  if (then == SendQueue::Then::kReconnect) return lost(link, "the store has stopped: " + receipt->why);
  if (then == SendQueue::Then::kWait) wait_while_busy();
}

void ClientImpl::wait_while_busy() {
  busy_.expires_after(pause(busy_attempt_));
  busy_.async_wait([this](const ErrorCode& error) {
    if (error) return;
    {
      const Lock lock(mutex_);
      queue_.resume();
    }
    if (link_) pump(link_);
  });
}

void ClientImpl::on_end(const LinkPtr& link, const Frame& frame) {
  const auto end = decode_end(frame.body);
  if (!end.ok()) return lost(link, end.error().why);
  const std::string why = std::string(name_of(end->code)) + ": " + end->why;
  // Two clients of one name would take it from each other for ever.
  if (end->code == EndCode::kReplaced) return retire(why);
  lost(link, why);
}

void ClientImpl::deliver() {
  std::vector<Answer> answers;
  {
    const Lock lock(mutex_);
    answers = queue_.take_answers();
    delivering_ = !answers.empty();
  }
  if (answers.empty()) return;
  if (options_.on_answer) {
    for (const Answer& answer : answers) options_.on_answer(answer);
  }
  {
    const Lock lock(mutex_);
    delivering_ = false;
  }
  changed_.notify_all();
}

// ---- writing ----

void ClientImpl::pump(const LinkPtr& link) {
  if (link->writing || link != link_) return;
  link->headers.clear();
  link->blocks.clear();
  link->buffers.clear();
  std::size_t bytes = 0;
  if (link->greeted) {
    const Lock lock(mutex_);
    while (bytes < kWriteBytes) {
      auto next = queue_.next();
      if (!next) break;
      bytes += next->block->size();
      link->headers.push_back(encode_block_header(next->id, next->block->size()));
      link->blocks.push_back(std::move(*next));
    }
  }
  deliver();  // of blocks that turned out to be stored already
  link->control_sending.clear();
  link->control_sending.swap(link->control);
  if (!link->control_sending.empty()) link->buffers.push_back(asio::buffer(link->control_sending));
  for (std::size_t i = 0; i < link->blocks.size(); ++i) {
    link->buffers.push_back(asio::buffer(link->headers[i]));
    link->buffers.push_back(asio::buffer(*link->blocks[i].block));
  }
  if (link->buffers.empty()) return;
  link->writing = true;
  link->socket.async_write(link->buffers, [this, link](const ErrorCode& error, std::size_t) {
    link->writing = false;
    link->blocks.clear();
    if (link != link_) return;
    if (error) return lost(link, error.message());
    pump(link);
  });
}

// Three times within the server's patience: says something, and gives up a server that said nothing since.
void ClientImpl::keep_alive(const LinkPtr& link) {
  if (link->idle_ms == 0) return;
  deadline_.expires_after(std::chrono::milliseconds(std::max(link->idle_ms / 3, 1U)));
  deadline_.async_wait([this, link](const ErrorCode& error) {
    if (error || link != link_) return;
    if (link->ping_open && !std::exchange(link->heard, false))
      return lost(link, "the server does not answer");
    if (!link->ping_open) {
      link->control += encode_ping(++link->pings);
      link->ping_open = true;
      link->heard = false;
      pump(link);
    }
    keep_alive(link);
  });
}

}  // namespace

base::Status Client::send(bus::Table table, const bus::Batch& rows, std::uint64_t numbers) {
  PJ_ASSIGN(std::string block, bus::encode_block(table, rows, {source(), 0, 1, 1}));
  return send_block(std::move(block), numbers == 0 ? rows.rows : numbers);
}

base::Result<std::unique_ptr<Client>> Client::open(base::Env& env, ClientOptions options) {
  if (options.source.empty() || options.source.size() > bus::kMaxSourceName ||
      !bus::is_valid_utf8(options.source))
    return base::bad_input("open a client", options.source, "a source's name has 1 to 128 bytes of UTF-8");
  if (options.token.size() > kMaxTokenBytes)
    return base::bad_input("open a client", options.source, "a token has at most 1024 bytes");
  if (!options.ca_file.empty() && !std::filesystem::exists(options.ca_file))
    return base::missing("use TLS", options.ca_file, "there is no such file");
  std::optional<Spool> spool;
  if (!options.spool_directory.empty()) {
    PJ_ASSIGN(spool, Spool::open(env, options.spool_directory, options.spool_bytes));
  }
  SendQueue queue(options.memory_bytes, options.when_full, std::move(spool));
  auto client = std::make_unique<ClientImpl>(std::move(options), std::move(queue));
  PJ_TRY(client->start());
  return std::unique_ptr<Client>(std::move(client));
}

}  // namespace perjoule::wire
