#include "wire/client.hpp"

#include <gtest/gtest.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <atomic>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <thread>

#include "wire/event_stream.hpp"
#include "wire/numbering.hpp"
#include "wire/test_blocks.hpp"
#include "wire/test_server.hpp"

namespace perjoule::wire {
namespace {

using testing::block_of;
using testing::TestFolder;

constexpr base::Duration kPatience = base::seconds(120);  // a test that hangs fails

// Stands before an engine and answers some blocks itself.
class MoodyEngine final : public bus::Engine {
 public:
  using Mood = std::function<std::optional<bus::Receipt>(std::uint64_t submission)>;
  MoodyEngine(bus::Engine& engine, Mood mood) : engine_(engine), mood_(std::move(mood)) {}

  void submit(std::string block, bus::Durability durability, Done done) override {
    if (auto receipt = mood_(++submissions_)) return done(*receipt);
    engine_.submit(std::move(block), durability, std::move(done));
  }
  base::Status seal_all() override { return engine_.seal_all(); }
  base::Result<bus::DroppedRows> drop_before(bus::Table table, std::int64_t t_ns) override {
    return engine_.drop_before(table, t_ns);
  }
  base::Result<std::uint64_t> compact() override { return engine_.compact(); }
  std::uint64_t stored_through(std::string_view source) const override {
    return engine_.stored_through(source);
  }
  bus::Snapshot snapshot() const override { return engine_.snapshot(); }
  bus::EngineStats stats() const override { return engine_.stats(); }
  const bus::RecoveryReport& recovery() const override { return engine_.recovery(); }
  std::string_view log_io() const override { return engine_.log_io(); }

 private:
  bus::Engine& engine_;
  Mood mood_;
  std::uint64_t submissions_ = 0;
};

class ClientTest : public ::testing::Test {
 protected:
  void start(ServerOptions options = {}, bus::Engine* engine = nullptr) {
    if (!engine_) engine_ = testing::open_engine(store_);
    if (options.port == 0) options.port = port_;
    auto server = Server::start(engine != nullptr ? *engine : *engine_, std::move(options));
    if (!server.ok()) throw std::runtime_error(server.error().message());
    server_ = std::move(server).value();
    port_ = server_->port();
  }
  // A port on which nobody listens until start().
  void find_port() {
    start();
    stop();
  }
  void stop() {
    server_.reset();
    engine_.reset();
  }
  ClientOptions options(const std::string& source = "s") {
    ClientOptions out;
    out.port = port_;
    out.source = source;
    out.backoff = [](unsigned) { return base::milliseconds(1); };
    return out;
  }
  std::unique_ptr<Client> open(ClientOptions options) {
    auto client = Client::open(base::posix_env(), std::move(options));
    if (!client.ok()) throw std::runtime_error(client.error().message());
    return std::move(client).value();
  }
  // Samples with seq first .. first + rows - 1.
  static base::Status send(Client& client, std::uint64_t first, std::size_t rows) {
    base::SymbolTable symbols;
    bus::TableBuilder builder(bus::Table::kSamples, symbols, rows);
    for (std::size_t i = 0; i < rows; ++i) builder.append(testing::sample(symbols, first + i));
    return client.send(bus::Table::kSamples, builder.take());
  }
  std::map<std::int64_t, int> stored() { return testing::stored_samples(*engine_, store_); }

  TestFolder folder_;
  const std::string store_ = folder_.at("store"), spool_ = folder_.at("spool");
  std::uint16_t port_ = 0;
  std::unique_ptr<bus::Engine> engine_;
  std::unique_ptr<Server> server_;
};

TEST_F(ClientTest, RowsArriveEachOnce) {
  start();
  auto client = open(options());
  for (std::uint64_t i = 0; i < 50; ++i) ASSERT_TRUE(send(*client, 1 + 20 * i, 20).ok());
  ASSERT_TRUE(client->wait_until_answered(kPatience));
  EXPECT_EQ(client->stats().queue.stored_through, 1000U);
  testing::expect_each_once(stored(), 1000);
}

TEST_F(ClientTest, AStreamCutsByRowsAndByTime) {
  start();
  std::atomic<int> blocks = 0;
  ClientOptions o = options();
  o.on_answer = [&](const Answer& answer) { blocks += answer.outcome == bus::Outcome::kStored; };
  auto client = open(o);
  base::VirtualClock clock({1'000});
  base::SymbolTable symbols;
  EventStream stream(*client, bus::Table::kSamples, symbols, clock, {100, base::milliseconds(200)});
  for (std::uint64_t i = 1; i <= 250; ++i) ASSERT_TRUE(stream.append(testing::sample(symbols, i)).ok());
  EXPECT_EQ(stream.waiting_rows(), 50U);
  clock.advance_to(clock.now() + base::milliseconds(199));
  ASSERT_TRUE(stream.poll().ok());
  EXPECT_EQ(stream.waiting_rows(), 50U);
  clock.advance_to(clock.now() + base::milliseconds(1));
  ASSERT_TRUE(stream.poll().ok());
  EXPECT_EQ(stream.waiting_rows(), 0U);
  ASSERT_TRUE(stream.append(testing::sample(symbols, 251)).ok());
  ASSERT_TRUE(stream.cut().ok());
  ASSERT_TRUE(client->wait_until_answered(kPatience));
  EXPECT_EQ(blocks, 4);
  testing::expect_each_once(stored(), 251);
}

TEST_F(ClientTest, AServerThatDiesInMidStreamLosesNothing) {
  find_port();
  for (const bool spools : {false, true}) {
    ClientOptions o = options(spools ? "spools" : "s");
    if (spools) o.spool_directory = spool_;
    o.memory_bytes = 40'000;  // a few blocks: the sender waits, or goes to disk
    start();
    auto client = open(o);
    std::thread sender([&] {
      for (std::uint64_t i = 0; i < 300; ++i) {
        EXPECT_TRUE(send(*client, (spools ? 6001 : 1) + 20 * i, 20).ok());
      }
    });
    for (int round = 0; round < 5; ++round) {
      while (engine_->stats().blocks < 10 && client->stats().queue.stored_through < 5000)
        std::this_thread::yield();
      stop();
      start();
    }
    sender.join();
    ASSERT_TRUE(client->wait_until_answered(kPatience));
    EXPECT_EQ(client->stats().queue.stored_through, 6000U);
    EXPECT_GT(client->stats().connections, 1U);
    EXPECT_EQ(client->stats().queue.dropped_blocks, 0U);
    client.reset();
    testing::expect_each_once(stored(), spools ? 12000 : 6000);
    stop();
  }
}

TEST_F(ClientTest, BusyAndFullServersAreTriedAgain) {
  engine_ = testing::open_engine(store_);
  MoodyEngine moody(*engine_, [](std::uint64_t n) -> std::optional<bus::Receipt> {
    if (n % 7 == 3) return bus::Receipt{bus::Outcome::kBusy, 0, "the log does not keep up"};
    if (n % 11 == 5) return bus::Receipt{bus::Outcome::kNoSpace, 0, "no space left on device"};
    if (n == 40) return bus::Receipt{bus::Outcome::kStopped, 0, "closing"};
    return std::nullopt;
  });
  start({}, &moody);
  auto client = open(options());
  for (std::uint64_t i = 0; i < 100; ++i) ASSERT_TRUE(send(*client, 1 + 10 * i, 10).ok());
  ASSERT_TRUE(client->wait_until_answered(kPatience));
  EXPECT_GT(client->stats().queue.busy_answers, 0U);
  EXPECT_EQ(client->stats().queue.refused_blocks, 0U);
  EXPECT_EQ(client->stats().connections, 2U);
  server_.reset();
  testing::expect_each_once(stored(), 1000);
}

TEST_F(ClientTest, ARefusedBlockIsToldAndTheRestGoesOn) {
  start();
  std::vector<Answer> refused;
  ClientOptions o = options();
  o.on_answer = [&](const Answer& answer) {
    if (answer.outcome == bus::Outcome::kRefused) refused.push_back(answer);
  };
  auto client = open(o);
  ASSERT_TRUE(send(*client, 1, 10).ok());
  std::string damaged = block_of("s", {0, 1, 10}, 10);
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  ASSERT_TRUE(client->send_block(damaged, 10).ok());
  ASSERT_TRUE(send(*client, 11, 10).ok());
  ASSERT_TRUE(client->wait_until_answered(kPatience));
  ASSERT_EQ(refused.size(), 1U);
  EXPECT_EQ(refused[0].first, 11U);
  EXPECT_EQ(refused[0].last, 20U);
  EXPECT_NE(refused[0].why, "");
  EXPECT_EQ(client->stats().queue.stored_through, 30U);
  testing::expect_each_once(stored(), 20);
}

TEST_F(ClientTest, SpooledBlocksOutliveTheClientAndArriveInOrder) {
  find_port();
  ClientOptions o = options();
  o.spool_directory = spool_;
  for (std::uint64_t process = 0; process < 3; ++process) {
    auto client = open(o);
    for (std::uint64_t i = 0; i < 5; ++i) ASSERT_TRUE(send(*client, 1 + 50 * process + 10 * i, 10).ok());
    EXPECT_EQ(client->stats().queue.spooled_blocks, 5U);
    EXPECT_FALSE(client->stats().connected);
  }
  std::vector<std::uint64_t> order;
  o.on_answer = [&](const Answer& answer) { order.push_back(answer.first); };
  auto client = open(o);
  EXPECT_EQ(client->stats().queue.waiting_blocks, 15U);
  ASSERT_TRUE(send(*client, 151, 10).ok());
  start();
  ASSERT_TRUE(client->wait_until_answered(kPatience));
  ASSERT_EQ(order.size(), 16U);
  for (std::size_t i = 0; i < order.size(); ++i) EXPECT_EQ(order[i], 1 + 10 * i);
  EXPECT_EQ(client->stats().queue.spool_bytes, 0U);
  client.reset();
  testing::expect_each_once(stored(), 160);
}

TEST_F(ClientTest, WhatIsInFlightAtTheEndGoesToTheSpool) {
  engine_ = testing::open_engine(store_);
  MoodyEngine moody(*engine_, [](std::uint64_t) { return bus::Receipt{bus::Outcome::kBusy, 0, "never"}; });
  start({}, &moody);
  ClientOptions o = options();
  o.spool_directory = spool_;
  {
    auto client = open(o);
    ASSERT_TRUE(send(*client, 1, 10).ok());
    client->close();
    EXPECT_EQ(client->stats().queue.spooled_blocks, 1U);
    EXPECT_FALSE(send(*client, 11, 10).ok());
  }
  server_.reset();
  start();
  auto client = open(o);
  ASSERT_TRUE(client->wait_until_answered(kPatience));
  testing::expect_each_once(stored(), 10);
}

TEST_F(ClientTest, TheNewerClientOfASourceWins) {
  start();
  auto first = open(options());
  ASSERT_TRUE(send(*first, 1, 10).ok());
  ASSERT_TRUE(first->wait_until_answered(kPatience));
  auto second = open(options());
  ASSERT_TRUE(send(*second, 11, 10).ok());
  ASSERT_TRUE(second->wait_until_answered(kPatience));
  base::Status sent = base::ok_status();
  while ((sent = send(*first, 1, 10)).ok()) std::this_thread::yield();
  EXPECT_NE(sent.error().message().find("took this source over"), std::string::npos);
}

// The reasons why connections failed, in order.
class Faults {
 public:
  void watch(ClientOptions& options) {
    options.backoff = [this](unsigned) {
      const std::lock_guard lock(mutex_);
      ++tries_;
      changed_.notify_all();
      return base::milliseconds(1);
    };
  }
  std::string first(const Client& client) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return tries_ > 0; });
    return client.stats().fault;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int tries_ = 0;
};

TEST_F(ClientTest, AWrongTokenIsSaid) {
  ServerOptions server;
  server.token_file = folder_.at("token");
  std::ofstream(server.token_file) << "the right token, so long\n";
  start(server);
  ClientOptions o = options();
  o.token = "wrong";
  Faults faults;
  faults.watch(o);
  auto client = open(o);
  EXPECT_EQ(faults.first(*client), "token: the token is missing or wrong");
  o.token = "the right token, so long";
  auto good = open(o);
  ASSERT_TRUE(send(*good, 1, 10).ok());
  EXPECT_TRUE(good->wait_until_answered(kPatience));
}

TEST_F(ClientTest, BadOptions) {
  EXPECT_FALSE(Client::open(base::posix_env(), {}).ok());
  ClientOptions o = options(std::string(129, 'x'));
  EXPECT_FALSE(Client::open(base::posix_env(), o).ok());
  o = options();
  o.ca_file = folder_.at("nothing");
  EXPECT_FALSE(Client::open(base::posix_env(), o).ok());
}

// ---- TLS ----

// A certificate for 127.0.0.1 and store.test that signs itself, and its key, as PEM files.
void write_certificate(const std::string& certificate_file, const std::string& key_file) {
  EVP_PKEY* key = EVP_EC_gen("P-256");
  X509* certificate = X509_new();
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 3600);
  X509_set_pubkey(certificate, key);
  X509_NAME* name = X509_get_subject_name(certificate);
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>("store.test"),
                             -1, -1, 0);
  X509_set_issuer_name(certificate, name);
  X509_EXTENSION* names =
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, "DNS:store.test,IP:127.0.0.1");
  X509_add_ext(certificate, names, -1);
  X509_EXTENSION_free(names);
  X509_sign(certificate, key, EVP_sha256());
  std::FILE* file = std::fopen(certificate_file.c_str(), "w");
  PEM_write_X509(file, certificate);
  std::fclose(file);
  file = std::fopen(key_file.c_str(), "w");
  PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr);
  std::fclose(file);
  X509_free(certificate);
  EVP_PKEY_free(key);
}

TEST_F(ClientTest, OverTls) {
  ServerOptions server;
  server.certificate_file = folder_.at("cert.pem");
  server.key_file = folder_.at("key.pem");
  server.token_file = folder_.at("token");
  server.address = "0.0.0.0";
  write_certificate(server.certificate_file, server.key_file);
  std::ofstream(server.token_file) << "the right token, so long\n";
  start(server);
  ClientOptions o = options();
  o.tls = true;
  o.token = "the right token, so long";
  o.ca_file = server.certificate_file;
  for (const std::string name : {"", "store.test"}) {
    o.server_name = name;
    o.source = "s" + name;
    auto client = open(o);
    const std::uint64_t first = name.empty() ? 1 : 2001;
    for (std::uint64_t i = 0; i < 20; ++i) ASSERT_TRUE(send(*client, first + 100 * i, 100).ok());
    ASSERT_TRUE(client->wait_until_answered(kPatience)) << client->stats().fault;
  }
  const auto fault_of = [&](ClientOptions wrong) {
    Faults faults;
    faults.watch(wrong);
    auto client = open(wrong);
    return faults.first(*client);
  };
  ClientOptions other_name = o;
  other_name.server_name = "other.test";
  EXPECT_NE(fault_of(other_name).find("certificate verify failed"), std::string::npos);
  ClientOptions other_ca = o;
  other_ca.ca_file = folder_.at("other.pem");
  write_certificate(other_ca.ca_file, folder_.at("other-key.pem"));
  EXPECT_NE(fault_of(other_ca).find("certificate verify failed"), std::string::npos);
  ClientOptions plain = o;
  plain.tls = false;
  EXPECT_NE(fault_of(plain), "");
  testing::expect_each_once(stored(), 4000);
}

}  // namespace
}  // namespace perjoule::wire
