// Rows that come over HTTP, on their way into the engine as blocks. A sender without numbers of its own is
// numbered here, as one source per server start, "otlp/<start>" or "http/<start>"; such rows may be stored
// twice when the sender repeats a request that was stored (OTLP allows for that). A sender that gives its own
// numbers is stored once (docs/formats/block.md).
// Thread rule: any thread; blocks of the server's own numbering are handed to the engine one after the other,
// and waited for side by side. Ownership: the engine must outlive it. Units: as in energy/records.hpp.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "api/http_message.hpp"
#include "api/otlp_rows.hpp"
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
  // Readers that are kept, each with what it remembers.
  static constexpr std::size_t kMostReaders = 4;
  class Answers;
  // The rows, to be numbered from the one after `after`; called again if they must have other numbers.
  using MakeBatch = std::function<base::Result<const bus::Batch*>(std::uint64_t after)>;

  base::Status submit(bus::Table table, const MakeBatch& make, Answers& answers);
  base::Status submit_points(OtlpRows& rows, Answers& answers);
  Response number_json_lines(bus::Table table, const std::string& body);
  std::unique_ptr<OtlpReader> take_reader();
  void give_back(std::unique_ptr<OtlpReader> reader);

  bus::Engine& engine_;
  const std::string source_;
  std::mutex mutex_;  // one block of our own numbering at a time
  std::uint64_t last_ = 0;
  std::mutex readers_mutex_;
  std::vector<std::unique_ptr<OtlpReader>> readers_;  // not at work
};

// 200, 409, 429, 503 or 507 and the receipt as JSON; `rows` that the request had.
Response receipt_response(const bus::Receipt& receipt, std::size_t rows);

}  // namespace perjoule::api
