// Rows that come over HTTP, on their way into the engine as blocks. A sender without numbers of its own is
// numbered here, as one source per server start, "otlp/<start>" or "http/<start>"; such rows may be stored
// twice when the sender repeats a request that was stored (OTLP allows for that). A sender that gives its own
// numbers is stored once (docs/formats/block.md).
// Thread rule: any thread; blocks of the server's own numbering go one after the other. Ownership: the engine
// must outlive it. Units: as in energy/records.hpp.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

#include "api/http_message.hpp"
#include "api/otlp.hpp"
#include "bus/engine.hpp"

namespace perjoule::api {

// A chain's own numbers, as the sender gives them.
struct SenderKey {
  std::string source;
  std::uint64_t after = 0, first = 0, last = 0;
};
// From the query parameters or headers source, after, first, last (headers: X-Perjoule-Source ...). nullopt:
// none given. Errors: kBadInput if only some are, or they are no numbers.
base::Result<std::optional<SenderKey>> read_sender_key(const Request& request);

class Receiver {
 public:
  // `source`: of what it numbers itself.
  Receiver(bus::Engine& engine, std::string source) : engine_(engine), source_(std::move(source)) {}

  // The points of one request: 200 with what was dropped, or the engine's refusal.
  Response take_otlp(const Request& request);
  // One JSON object per line as rows of the named table.
  Response take_json_lines(const Request& request);

 private:
  base::Result<bus::Receipt> store_points(const OtlpBatch& batch, Drops& drops);
  base::Result<bus::Receipt> store_numbered(bus::Table table, const bus::Batch& batch);

  bus::Engine& engine_;
  const std::string source_;
  std::mutex mutex_;  // one block of our own numbering at a time
  std::uint64_t last_ = 0;
};

// 200, 409, 429, 503 or 507 and the receipt as JSON; `rows` that the request had.
Response receipt_response(const bus::Receipt& receipt, std::size_t rows);

}  // namespace perjoule::api
