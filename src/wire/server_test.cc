#include "wire/server.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <fstream>
#include <mutex>
#include <optional>
#include <thread>

#include "wire/numbering.hpp"
#include "wire/test_blocks.hpp"
#include "wire/test_server.hpp"

namespace perjoule::wire {
namespace {

using testing::block_of;
using testing::TestFolder;

// A client without any cleverness: bytes out, frames in.
class RawClient {
 public:
  explicit RawClient(std::uint16_t port, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM, 0)), decoder_(0) {
    if (receive_buffer != 0) ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof receive_buffer);
    const timeval patience{60, 0};  // a test that hangs fails
    ::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
  }
  ~RawClient() { ::close(fd_); }
  RawClient(const RawClient&) = delete;
  RawClient& operator=(const RawClient&) = delete;

  // False when the server does not take it any more.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t n = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) continue;
      if (n <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
  }
  bool send_block(std::uint64_t id, const std::string& block) {
    const Header header = encode_block_header(id, block.size());
    return send({header.data(), header.size()}) && send(block);
  }
  // The next frame; nothing when the server has closed.
  std::optional<Frame> receive() {
    Frame frame;
    while (true) {
      const auto step = decoder_.next(frame);
      if (step == FrameDecoder::Step::kFrame) return frame;
      if (step == FrameDecoder::Step::kBad) return std::nullopt;
      std::size_t filled = 0;
      for (const auto& part : decoder_.room()) {
        if (part.empty() || filled != 0) continue;
        ssize_t n = -1;
        do {  // the engine's io_uring interrupts calls with a time limit
          n = ::recv(fd_, part.data(), part.size(), 0);
        } while (n < 0 && errno == EINTR);
        if (n <= 0) return std::nullopt;
        filled = static_cast<std::size_t>(n);
      }
      decoder_.filled(filled);
    }
  }
  std::optional<Welcome> greet(const Hello& hello) {
    if (!send(encode(hello))) return std::nullopt;
    const auto frame = receive();
    if (!frame || frame->type != FrameType::kWelcome) return std::nullopt;
    return decode_welcome(frame->body).value();
  }
  bus::Receipt receipt(std::uint64_t id) {
    const auto frame = receive();
    EXPECT_TRUE(frame && frame->type == FrameType::kReceipt && frame->id == id);
    return frame ? decode_receipt(frame->body).value() : bus::Receipt{};
  }
  // How the server ends the connection; nothing if it just closes.
  std::optional<End> end() {
    while (const auto frame = receive()) {
      if (frame->type == FrameType::kRefused || frame->type == FrameType::kBye)
        return decode_end(frame->body).value();
    }
    return std::nullopt;
  }

 private:
  int fd_;
  FrameDecoder decoder_;
};

// An engine that answers when it is told to.
class HeldEngine final : public bus::Engine {
 public:
  void submit(std::string block, bus::Durability, Done done) override {
    const std::lock_guard lock(mutex_);
    held_.push_back({numbers_of(block).last, std::move(done)});
    most_ = std::max(most_, held_.size());
    changed_.notify_all();
  }
  // Waits for one and answers it.
  void answer() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !held_.empty(); });
    const auto [last, done] = std::move(held_.front());
    held_.erase(held_.begin());
    stored_ = last;
    lock.unlock();
    done({bus::Outcome::kStored, last, {}});
  }
  std::size_t wait_for(std::size_t blocks) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return held_.size() >= blocks; });
    return held_.size();
  }
  std::size_t most() {
    const std::lock_guard lock(mutex_);
    return most_;
  }
  base::Status seal_all() override { return base::ok_status(); }
  base::Result<bus::DroppedRows> drop_before(bus::Table, std::int64_t) override { return bus::DroppedRows{}; }
  base::Result<std::uint64_t> compact() override { return std::uint64_t{0}; }
  std::uint64_t stored_through(std::string_view) const override {
    const std::lock_guard lock(mutex_);
    return stored_;
  }
  bus::Snapshot snapshot() const override { return {}; }
  bus::EngineStats stats() const override { return {}; }
  const bus::RecoveryReport& recovery() const override { return report_; }
  std::string_view log_io() const override { return "none"; }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::pair<std::uint64_t, Done>> held_;
  std::size_t most_ = 0;
  std::uint64_t stored_ = 0;
  bus::RecoveryReport report_;
};

Hello hello_of(const std::string& source, bool take_over = false) {
  Hello hello;
  hello.source = source;
  hello.take_over = take_over;
  return hello;
}

class ServerTest : public ::testing::Test {
 protected:
  Server& start(ServerOptions options = {}) {
    if (!engine_) engine_ = testing::open_engine(folder_.at("store"));
    auto server = Server::start(*engine_, std::move(options));
    if (!server.ok()) throw std::runtime_error(server.error().message());
    server_ = std::move(server).value();
    return *server_;
  }
  std::string write(const std::string& name, const std::string& text) {
    std::ofstream(folder_.at(name)) << text;
    return folder_.at(name);
  }

  TestFolder folder_;
  std::unique_ptr<bus::Engine> engine_;
  std::unique_ptr<Server> server_;
};

TEST_F(ServerTest, BlocksAreStoredAndAnswered) {
  RawClient client(start().port());
  const auto welcome = client.greet(hello_of("s"));
  ASSERT_TRUE(welcome);
  EXPECT_EQ(welcome->stored_through, 0U);
  ASSERT_TRUE(client.send_block(7, block_of("s", {0, 1, 10}, 10)));
  ASSERT_TRUE(client.send_block(8, block_of("s", {10, 11, 20}, 10)));
  const auto first = client.receipt(7), second = client.receipt(8);
  EXPECT_EQ(first.outcome, bus::Outcome::kStored);
  EXPECT_EQ(second.stored_through, 20U);
  ASSERT_TRUE(client.send(encode_ping(3)));
  EXPECT_EQ(client.receive()->type, FrameType::kPong);
  ASSERT_TRUE(client.send(encode_bye({})));
  EXPECT_EQ(client.end()->code, EndCode::kDone);
  EXPECT_FALSE(client.receive());
  RawClient again(server_->port());
  EXPECT_EQ(again.greet(hello_of("s"))->stored_through, 20U);
  server_->stop();
  EXPECT_EQ(again.end()->code, EndCode::kStopping);
  EXPECT_EQ(server_->stats().stored_blocks, 2U);
  EXPECT_EQ(server_->stats().connections_open, 0U);
}

TEST_F(ServerTest, TwoConnectionsOfOneSource) {
  start();
  RawClient a(server_->port()), b(server_->port());
  ASSERT_TRUE(a.greet(hello_of("s")) && b.greet(hello_of("s")));
  a.send_block(1, block_of("s", {0, 1, 10}, 10));
  EXPECT_EQ(a.receipt(1).outcome, bus::Outcome::kStored);
  b.send_block(1, block_of("s", {10, 11, 20}, 10));
  EXPECT_EQ(b.receipt(1).outcome, bus::Outcome::kStored);
  a.send_block(2, block_of("s", {10, 11, 15}, 5));
  const auto repeated = a.receipt(2);
  EXPECT_EQ(repeated.outcome, bus::Outcome::kAlreadyStored);
  EXPECT_EQ(repeated.stored_through, 20U);
  a.send_block(3, block_of("s", {15, 16, 30}, 15));
  const auto refused = a.receipt(3);
  EXPECT_EQ(refused.outcome, bus::Outcome::kRefused);
  EXPECT_EQ(refused.stored_through, 20U);
}

TEST_F(ServerTest, TakingOverWaitsForWhatIsInFlight) {
  auto held = std::make_unique<HeldEngine>();
  HeldEngine& engine = *held;
  engine_ = std::move(held);
  start();
  RawClient a(server_->port()), b(server_->port());
  ASSERT_TRUE(a.greet(hello_of("s")));
  a.send_block(1, block_of("s", {0, 1, 10}, 10));
  engine.wait_for(1);
  ASSERT_TRUE(b.send(encode(hello_of("s", true))));
  RawClient other(server_->port());
  EXPECT_TRUE(other.greet(hello_of("t", true)));  // another source does not wait
  engine.answer();
  const auto frame = b.receive();
  ASSERT_TRUE(frame && frame->type == FrameType::kWelcome);
  EXPECT_EQ(decode_welcome(frame->body)->stored_through, 10U);
  EXPECT_EQ(a.receipt(1).outcome, bus::Outcome::kStored);
  EXPECT_EQ(a.end()->code, EndCode::kReplaced);
}

TEST_F(ServerTest, NoMoreIsReadThanTheEngineAnswers) {
  auto held = std::make_unique<HeldEngine>();
  HeldEngine& engine = *held;
  engine_ = std::move(held);
  ServerOptions options;
  options.limits.blocks = 2;
  start(options);
  RawClient client(server_->port());
  EXPECT_EQ(client.greet(hello_of("s"))->max_blocks, 2U);
  for (std::uint64_t i = 0; i < 10; ++i) client.send_block(i, block_of("s", {i, i + 1, i + 1}, 1));
  for (std::uint64_t i = 0; i < 10; ++i) {
    engine.answer();
    EXPECT_EQ(client.receipt(i).stored_through, i + 1);
  }
  EXPECT_LE(engine.most(), 2U);
  EXPECT_GT(server_->stats().pauses, 0U);
}

TEST_F(ServerTest, StoppingAnswersWhatIsInFlight) {
  auto held = std::make_unique<HeldEngine>();
  HeldEngine& engine = *held;
  engine_ = std::move(held);
  start();
  RawClient client(server_->port());
  ASSERT_TRUE(client.greet(hello_of("s")));
  client.send_block(1, block_of("s", {0, 1, 10}, 10));
  engine.wait_for(1);
  std::thread stopping([&] { server_->stop(); });
  engine.answer();
  EXPECT_EQ(client.receipt(1).outcome, bus::Outcome::kStored);
  EXPECT_EQ(client.end()->code, EndCode::kStopping);
  EXPECT_FALSE(client.receive());
  stopping.join();
}

TEST_F(ServerTest, Tokens) {
  ServerOptions options;
  options.token_file = write("token", "# doors\nopen sesame, please\nand another one, too\n");
  start(options);
  for (const std::string wrong :
       {"", "open sesame, pleasf", "open sesame, please\n", "# doors", "open sesame, please more"}) {
    RawClient client(server_->port());
    Hello hello = hello_of("s");
    hello.token = wrong;
    ASSERT_TRUE(client.send(encode(hello)));
    EXPECT_EQ(client.end()->code, EndCode::kToken) << wrong;
  }
  for (const std::string right : {"open sesame, please", "and another one, too"}) {
    RawClient client(server_->port());
    Hello hello = hello_of("s");
    hello.token = right;
    EXPECT_TRUE(client.greet(hello)) << right;
  }
  EXPECT_EQ(server_->stats().ended[static_cast<std::size_t>(EndCode::kToken)], 5U);
}

TEST_F(ServerTest, OtherMachinesOnlyWithTlsAndToken) {
  engine_ = testing::open_engine(folder_.at("store"));
  const auto refused = [&](ServerOptions options) {
    const auto server = Server::start(*engine_, std::move(options));
    return server.ok() ? std::string("started") : server.error().message();
  };
  ServerOptions options;
  options.address = "0.0.0.0";
  EXPECT_NE(refused(options).find("TLS and a token"), std::string::npos);
  options.address = "::";
  EXPECT_NE(refused(options).find("TLS and a token"), std::string::npos);
  options.token_file = write("token", "0123456789abcdef\n");
  EXPECT_NE(refused(options).find("TLS and a token"), std::string::npos);
  options.address = "localhost";
  EXPECT_NE(refused(options).find("no IP address"), std::string::npos);
  options.address = "127.0.0.1";
  options.token_file = write("empty", "\n");
  EXPECT_NE(refused(options).find("there is no token in it"), std::string::npos);
  options.token_file = folder_.at("nothing");
  EXPECT_NE(refused(options), "started");
  options.token_file.clear();
  options.certificate_file = write("cert", "not a certificate");
  EXPECT_NE(refused(options).find("go together"), std::string::npos);
  options.key_file = write("key", "not a key");
  EXPECT_NE(refused(options).find("PEM"), std::string::npos);
  start();
  ServerOptions taken;
  taken.port = server_->port();
  EXPECT_NE(refused(taken).find("another port"), std::string::npos);
}

TEST_F(ServerTest, NonsenseEndsTheConnectionWithAReason) {
  start();
  const auto ended = [&](const std::string& before, const std::string& bytes) {
    RawClient client(server_->port());
    EXPECT_TRUE(client.send(before + bytes));
    const auto end = client.end();
    EXPECT_FALSE(client.receive());
    return end ? std::string(name_of(end->code)) : std::string("closed");
  };
  const std::string hello = encode(hello_of("s"));
  const std::string block = block_of("s", {0, 1, 10}, 10);
  const Header header = encode_block_header(1, block.size());
  const std::string head(header.begin(), header.end());
  EXPECT_EQ(ended("", "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), "malformed");
  EXPECT_EQ(ended("", std::string(1000, '\0')), "malformed");
  EXPECT_EQ(ended("", head + block), "malformed");
  EXPECT_EQ(ended("", encode_ping(1)), "malformed");
  EXPECT_EQ(ended(hello, hello), "malformed");
  EXPECT_EQ(ended(hello, encode_pong(1)), "malformed");
  EXPECT_EQ(ended("", encode(hello_of(""))), "source");
  EXPECT_EQ(ended("", encode(hello_of("\xFF"))), "source");
  Hello future = hello_of("s");
  future.lowest_version = 2, future.highest_version = 9;
  EXPECT_EQ(ended("", encode(future)), "version");
  EXPECT_EQ(server_->stats().blocks, 0U);
}

TEST_F(ServerTest, ABlockBeyondTheLimit) {
  ServerOptions options;
  options.limits.block_bytes = 1000;
  start(options);
  RawClient client(server_->port());
  EXPECT_EQ(client.greet(hello_of("s"))->max_block_bytes, 1000U);
  const Header header = encode_block_header(1, 1001);
  ASSERT_TRUE(client.send({header.data(), header.size()}));
  EXPECT_EQ(client.end()->code, EndCode::kLimits);
}

TEST_F(ServerTest, WrongBlocksAreRefusedAndTheConnectionGoesOn) {
  start();
  RawClient client(server_->port());
  ASSERT_TRUE(client.greet(hello_of("s")));
  client.send_block(1, block_of("s", {0, 1, 10}, 10));
  EXPECT_EQ(client.receipt(1).outcome, bus::Outcome::kStored);
  client.send_block(2, block_of("t", {0, 1, 10}, 10));
  EXPECT_EQ(client.receipt(2).outcome, bus::Outcome::kRefused);
  std::string damaged = block_of("s", {10, 11, 20}, 10);
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  client.send_block(3, damaged);
  const auto refused = client.receipt(3);
  EXPECT_EQ(refused.outcome, bus::Outcome::kRefused);
  EXPECT_EQ(refused.stored_through, 10U);
  client.send_block(4, "");
  EXPECT_EQ(client.receipt(4).outcome, bus::Outcome::kRefused);
  client.send_block(5, block_of("s", {10, 11, 20}, 10));
  EXPECT_EQ(client.receipt(5).outcome, bus::Outcome::kStored);
}

TEST_F(ServerTest, AClientThatNeverReads) {
  ServerOptions options;
  options.limits.slow_ms = 100;
  options.limits.send_buffer_bytes = 4096;
  start(options);
  RawClient client(server_->port(), 4096);
  ASSERT_TRUE(client.greet(hello_of("s")));
  // The server takes no more than its limit once the answers are not read, and then gives the client up.
  std::string pings;
  for (std::uint64_t i = 0; i < 1000; ++i) pings += encode_ping(i);
  while (client.send(pings)) {
  }
  server_->stop();
  EXPECT_EQ(server_->stats().ended[static_cast<std::size_t>(EndCode::kSlow)], 1U);
  EXPECT_GT(server_->stats().pauses, 0U);
}

TEST_F(ServerTest, SilentClients) {
  ServerOptions options;
  options.limits.greeting_ms = 20;
  start(options);
  RawClient silent(server_->port());
  EXPECT_EQ(silent.end()->code, EndCode::kIdle);
  options.limits.greeting_ms = 60'000;
  options.limits.idle_ms = 20;
  start(options);
  RawClient idle(server_->port());
  ASSERT_TRUE(idle.greet(hello_of("s")));
  EXPECT_EQ(idle.end()->code, EndCode::kIdle);
}

TEST_F(ServerTest, ThreeHundredConnections) {
  start();
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 300; ++i) {
    clients.push_back(std::make_unique<RawClient>(server_->port()));
    ASSERT_TRUE(clients.back()->greet(hello_of("s" + std::to_string(i))));
  }
  for (int i = 0; i < 300; ++i) {
    const std::string source = "s" + std::to_string(i);
    for (std::uint64_t k = 0; k < 3; ++k)
      clients[static_cast<std::size_t>(i)]->send_block(k, block_of(source, {k, k + 1, k + 1}, 5));
  }
  for (const auto& client : clients) {
    for (std::uint64_t k = 0; k < 3; ++k) EXPECT_EQ(client->receipt(k).outcome, bus::Outcome::kStored);
  }
  EXPECT_EQ(server_->stats().connections_open, 300U);
  clients.clear();
  server_->stop();
  EXPECT_EQ(engine_->stats().blocks, 900U);
  EXPECT_EQ(engine_->stats().sources, 300U);
}

TEST_F(ServerTest, OneConnectionTooMany) {
  ServerOptions options;
  options.limits.connections = 2;
  options.threads = 2;
  start(options);
  RawClient a(server_->port()), b(server_->port());
  ASSERT_TRUE(a.greet(hello_of("a")) && b.greet(hello_of("b")));
  RawClient c(server_->port());
  EXPECT_EQ(c.end()->code, EndCode::kFull);
}

}  // namespace
}  // namespace perjoule::wire
