#include "api/receiver.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>

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

base::Result<bus::Receipt> Receiver::store_numbered(bus::Table table, const bus::Batch& batch) {
  const bus::BlockKey key{source_, last_, last_ + 1, last_ + batch.rows};
  PJ_ASSIGN(std::string block, bus::encode_block(table, batch, key));
  bus::Receipt receipt = engine_.store(std::move(block));
  // After a failure the engine has forgotten what it accepted, so counting goes on from what is stored.
  last_ = is_good(receipt) ? key.last_seq : engine_.stored_through(source_);
  return receipt;
}

base::Result<bus::Receipt> Receiver::store_points(const OtlpBatch& batch, Drops& drops) {
  base::SymbolTable symbols;
  bus::TableBuilder builder(bus::Table::kSamples, symbols,
                            std::clamp<std::size_t>(batch.points.size(), 1, bus::kMaxBlockRows));
  const base::Symbol source = symbols.intern(source_);
  const std::lock_guard lock(mutex_);
  std::uint64_t seq = last_;
  bus::Receipt receipt{bus::Outcome::kStored, last_, {}};
  const auto flush = [&]() -> base::Status {
    if (builder.rows() == 0) return base::ok_status();
    PJ_ASSIGN(receipt, store_numbered(bus::Table::kSamples, builder.take()));
    return base::ok_status();
  };
  for (const OtlpPoint& point : batch.points) {
    const auto mapped = map_point(point);
    if (!mapped.ok()) {
      ++drops[mapped.error().why];
      continue;
    }
    energy::SampleRow row;
    row.t_ns = point.t_ns;
    row.device = symbols.intern(mapped->device);
    row.signal = symbols.intern(mapped->signal);
    row.value = mapped->value;
    row.quality = energy::Quality::kMeasured;
    row.source = source;
    row.seq = static_cast<std::int64_t>(++seq);
    builder.append(row);
    if (builder.full()) PJ_TRY(flush());
    if (!is_good(receipt)) return receipt;
  }
  PJ_TRY(flush());
  return receipt;
}

Response Receiver::take_otlp(const Request& request) {
  const bool json = request.media_type() == "application/json";
  auto batch = json ? read_otlp_json(request.body) : read_otlp(request.body);
  if (!batch.ok()) return error_response(batch.error());
  Drops drops = batch->drops;
  const auto receipt = store_points(*batch, drops);
  if (!receipt.ok()) return error_response(receipt.error());
  if (!is_good(*receipt)) return refusal(*receipt);
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
  std::unique_lock lock(mutex_, std::defer_lock);
  if (!*key) lock.lock();
  const std::string& source = *key ? (*key)->source : source_;
  const std::uint64_t first = *key ? (*key)->first : last_ + 1;
  const auto rows = read_json_lines(*table, request.body, source, static_cast<std::int64_t>(first));
  if (!rows.ok()) return error_response(rows.error());
  const std::size_t n = rows->batch.rows;
  if (!*key) {
    const auto receipt = store_numbered(*table, rows->batch);
    return receipt.ok() ? receipt_response(*receipt, n) : error_response(receipt.error());
  }
  const bus::BlockKey block_key{source, (*key)->after, (*key)->first, (*key)->last};
  auto block = bus::encode_block(*table, rows->batch, block_key);
  if (!block.ok()) return error_response(block.error());
  return receipt_response(engine_.store(std::move(*block)), n);
}

}  // namespace perjoule::api
