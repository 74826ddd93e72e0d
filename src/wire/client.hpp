// A source's way to a store over TCP (docs/formats/wire.md). It numbers the blocks, keeps each until the
// server has answered for it, and sends them again after a broken connection or a busy server; while the
// server is away they go to a bounded folder on disk, if one is given, and survive the end of this process
// there. A block is given up only where the server refuses it or there is no room for it: both are counted,
// told to `on_answer` or in the statistics, and declared to the store by the numbers left out. Thread rule:
// all from any thread, but numbers are given in the order of the calls. `on_answer` comes from the client's
// own thread and must not call send() or close(). Ownership: the Env must outlive the client. One client per
// source name: one that starts takes the source over from any other, which then stops. Units: bytes, sequence
// numbers, milliseconds.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/env.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "bus/block.hpp"
#include "bus/engine.hpp"
#include "wire/send_queue.hpp"

namespace perjoule::wire {

struct ClientOptions {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  std::string source;
  std::string token;
  bus::Durability durability = bus::Durability::kDurable;
  // With TLS: certificates to trust (PEM; empty: the system's), and the name that the server's certificate
  // must have (empty: the host).
  bool tls = false;
  std::string ca_file, server_name;

  std::uint64_t memory_bytes = 64U << 20;
  std::string spool_directory;  // empty: none
  std::uint64_t spool_bytes = std::uint64_t{1} << 30;
  WhenFull when_full = WhenFull::kWait;

  std::int64_t connect_ms = 10'000;  // from the first packet to WELCOME
  // How long to wait before try number `attempt` (0, 1, ...) after a broken connection or a busy answer.
  // Empty: 50 ms, doubled up to 10 s.
  std::function<base::Duration(unsigned attempt)> backoff;
  std::function<void(const Answer&)> on_answer;
};

struct ClientStats {
  QueueStats queue;
  bool connected = false;
  std::uint64_t connections = 0;  // greeted
  std::string fault;              // why there is no connection, else empty
};

class Client {
 public:
  // Does not wait for the server. Errors: kBadInput for a source name or token that cannot be; kIo and
  // kCorrupt from the spool; kMissing for a CA file that is not there.
  static base::Result<std::unique_ptr<Client>> open(base::Env& env, ClientOptions options);
  virtual ~Client() = default;  // as close()

  // Encodes rows on the caller's thread and takes them. `numbers`: how many sequence numbers they have (0:
  // one per row). Errors: those of encode_block; kIo when there is no room (not with kWait, which waits) and
  // when the client was closed or its source taken over.
  base::Status send(bus::Table table, const bus::Batch& rows, std::uint64_t numbers = 0);
  // The same for a block of encode_block(), whatever numbers it has.
  virtual base::Status send_block(std::string block, std::uint64_t numbers) = 0;

  // True when everything taken has its answer; false after `limit` or when the client has stopped.
  virtual bool wait_until_answered(base::Duration limit) = 0;
  virtual ClientStats stats() const = 0;
  // Ends the connection. What has no answer stays in the spool, if there is one.
  virtual void close() = 0;

 protected:
  virtual const std::string& source() const = 0;
};

}  // namespace perjoule::wire
