#include "api/receiver.hpp"

#include <algorithm>
#include <condition_variable>
#include <nlohmann/json.hpp>
#include <numeric>

#include "api/json_lines.hpp"
#include "base/text.hpp"

namespace perjoule::api {
namespace {

unsigned status_of(bus::Outcome outcome) {
  switch (outcome) {
    case bus::Outcome::kStored:
    case bus::Outcome::kAlreadyStored:
      return 200;
    case bus::Outcome::kBusy:
      return 429;
    case bus::Outcome::kNoSpace:
      return 507;
    case bus::Outcome::kRefused:
      return 409;
    case bus::Outcome::kStopped:
      return 503;
  }
  return 500;
}

bool is_good(const bus::Receipt& receipt) { return status_of(receipt.outcome) == 200; }

Response refusal(const bus::Receipt& receipt) {
  return error_response(
      status_of(receipt.outcome),
      base::io_error("store rows", std::string(bus::name_of(receipt.outcome)), receipt.why,
                     "The source's last stored number is " + std::to_string(receipt.stored_through)));
}

std::optional<std::string> given(const Request& request, const std::string& name) {
  if (auto value = request.query_value(name)) return value;
  const std::string_view header = request.header("x-perjoule-" + name);
  return header.empty() ? std::nullopt : std::optional<std::string>(header);
}

base::Result<std::uint64_t> number_of(const Request& request, const std::string& name) {
  const auto number = base::parse_int(given(request, name).value_or(""));
  if (!number || *number < 0)
    return base::bad_input("read the block's numbers", name, "it is missing or no whole number",
                           "Give source, after, first and last, or none of them");
  return static_cast<std::uint64_t>(*number);
}

}  // namespace

base::Result<std::optional<SenderKey>> read_sender_key(const Request& request) {
  bool any = false;
  for (const char* name : {"source", "after", "first", "last"}) any = any || given(request, name).has_value();
  if (!any) return std::optional<SenderKey>();
  SenderKey key;
  key.source = given(request, "source").value_or("");
  PJ_ASSIGN(key.after, number_of(request, "after"));
  PJ_ASSIGN(key.first, number_of(request, "first"));
  PJ_ASSIGN(key.last, number_of(request, "last"));
  const bool good = !key.source.empty() && key.source.size() <= bus::kMaxSourceName &&
                    key.after < key.first && key.first <= key.last;
  if (!good)
    return base::bad_input("read the block's numbers", "source, after, first, last",
                           "they need a source of 1 to 128 bytes and after < first <= last");
  return std::optional<SenderKey>(std::move(key));
}

Response receipt_response(const bus::Receipt& receipt, std::size_t rows) {
  if (!is_good(receipt)) {
    Response response = refusal(receipt);
    auto j = nlohmann::ordered_json::parse(response.body);
    j["outcome"] = bus::name_of(receipt.outcome);
    j["stored_through"] = receipt.stored_through;
    response.body = j.dump() + "\n";
    return response;
  }
  const nlohmann::ordered_json j{
      {"outcome", bus::name_of(receipt.outcome)}, {"stored_through", receipt.stored_through}, {"rows", rows}};
  return {.body = j.dump() + "\n"};
}

// The blocks of one request on their way, and what became of them. It must not go before wait() has returned.
class Receiver::Answers {
 public:
  // Gives a block to the engine; its place among the answers.
  std::size_t send(bus::Engine& engine, std::string block) {
    const std::size_t place = expect();
    engine.submit(std::move(block), bus::Durability::kDurable,
                  [this, place](const bus::Receipt& receipt) { set(place, receipt); });
    return place;
  }
  std::optional<bus::Receipt> at(std::size_t place) {
    const std::lock_guard lock(mutex_);
    return receipts_[place];
  }
  // The last block was answered, and is sent again.
  void forget_last() {
    const std::lock_guard lock(mutex_);
    receipts_.pop_back();
  }
  // Of all blocks: the first bad answer, else the last; nothing if there was no block.
  std::optional<bus::Receipt> wait() {
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [&] { return open_ == 0; });
    for (const auto& r : receipts_)
      if (!is_good(*r)) return r;
    return receipts_.empty() ? std::nullopt : receipts_.back();
  }

 private:
  std::size_t expect() {
    const std::lock_guard lock(mutex_);
    ++open_;
    receipts_.emplace_back();
    return receipts_.size() - 1;
  }
  void set(std::size_t place, const bus::Receipt& receipt) {
    const std::lock_guard lock(mutex_);
    receipts_[place] = receipt;
    if (--open_ == 0) answered_.notify_one();
  }

  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<std::optional<bus::Receipt>> receipts_;
  std::size_t open_ = 0;
};

// Only the order of the numbers needs mutex_; the caller waits without it, so that what many senders send
// goes into one group.
base::Status Receiver::submit(bus::Table table, const MakeBatch& make, Answers& answers) {
  const std::lock_guard lock(mutex_);
  for (;;) {
    PJ_ASSIGN(const bus::Batch* batch, make(last_));
    const bus::BlockKey key{source_, last_, last_ + 1, last_ + batch->rows};
    PJ_ASSIGN(std::string block, bus::encode_block(table, *batch, key));
    const auto answer = answers.at(answers.send(engine_, std::move(block)));
    if (!answer || is_good(*answer)) {
      last_ = key.last_seq;
      return base::ok_status();
    }
    // After a failed write the engine has forgotten what it had accepted, so counting goes on from what is
    // stored; nothing of this source is on its way then.
    const std::uint64_t stored = engine_.stored_through(source_);
    if (answer->outcome != bus::Outcome::kRefused || stored == last_) return base::ok_status();
    last_ = stored;
    answers.forget_last();
  }
}

std::unique_ptr<OtlpReader> Receiver::take_reader() {
  const std::lock_guard lock(readers_mutex_);
  if (readers_.empty()) return std::make_unique<OtlpReader>(source_);
  auto reader = std::move(readers_.back());
  readers_.pop_back();
  return reader;
}

void Receiver::give_back(std::unique_ptr<OtlpReader> reader) {
  const std::lock_guard lock(readers_mutex_);
  if (readers_.size() < kMostReaders) readers_.push_back(std::move(reader));
}

base::Status Receiver::submit_points(OtlpRows& rows, Answers& answers) {
  for (bus::Batch& batch : rows.batches) {
    // Points count from 1 in each batch, whatever was taken before.
    const auto numbered = [&](std::uint64_t after) -> base::Result<const bus::Batch*> {
      auto& numbers = batch.columns.back().ints;
      std::iota(numbers.begin(), numbers.end(), static_cast<std::int64_t>(after + 1));
      return &batch;
    };
    PJ_TRY(submit(bus::Table::kSamples, numbered, answers));
  }
  return base::ok_status();
}

Response Receiver::take_otlp(const Request& request) {
  const bool json = request.media_type() == "application/json";
  Answers answers;
  Drops drops;
  base::Status sent = base::ok_status();
  {
    auto reader = take_reader();
    const auto read = [&]() -> base::Result<OtlpRows> {
      if (!json) return reader->read(request.body);
      PJ_ASSIGN(auto points, read_otlp_json(request.body));
      return reader->take(std::move(points));
    };
    auto rows = read();
    if (rows.ok()) {
      drops = std::move(rows->drops);
      sent = submit_points(*rows, answers);
    } else {
      sent = rows.error();
    }
    give_back(std::move(reader));
  }
  const auto receipt = answers.wait();
  if (!sent.ok()) return error_response(sent.error());
  if (receipt && !is_good(*receipt)) return refusal(*receipt);
  return {.type = json ? "application/json" : "application/x-protobuf",
          .body = json ? otlp_response_json(drops) : otlp_response(drops)};
}

Response Receiver::take_json_lines(const Request& request) {
  const auto table = bus::find_event_table(request.parameter("table"));
  if (!table) {
    const std::string wrong(request.parameter("table"));
    return error_response(404, base::bad_input("store rows", wrong, "there is no such table",
                                               base::nearest_name_hint(wrong, bus::table_names())));
  }
  const auto key = read_sender_key(request);
  if (!key.ok()) return error_response(key.error());
  if (!*key) return number_json_lines(*table, request.body);
  const auto rows =
      read_json_lines(*table, request.body, (*key)->source, static_cast<std::int64_t>((*key)->first));
  if (!rows.ok()) return error_response(rows.error());
  const bus::BlockKey block_key{(*key)->source, (*key)->after, (*key)->first, (*key)->last};
  auto block = bus::encode_block(*table, rows->batch, block_key);
  if (!block.ok()) return error_response(block.error());
  return receipt_response(engine_.store(std::move(*block)), rows->batch.rows);
}

Response Receiver::number_json_lines(bus::Table table, const std::string& body) {
  JsonRows rows;
  Answers answers;
  const auto numbered = [&](std::uint64_t after) -> base::Result<const bus::Batch*> {
    PJ_ASSIGN(rows, read_json_lines(table, body, source_, static_cast<std::int64_t>(after + 1)));
    return &rows.batch;
  };
  const base::Status sent = submit(table, numbered, answers);
  const auto receipt = answers.wait();
  if (!sent.ok()) return error_response(sent.error());
  return receipt_response(*receipt, rows.batch.rows);
}

}  // namespace perjoule::api
