// Request traces as JSON lines (the Mooncake form).
#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "backends/replay/job_trace.hpp"
#include "backends/replay/request_trace.hpp"
#include "base/text.hpp"

namespace perjoule::backends::replay {
namespace {

using base::Error;
using base::Result;
using base::Status;
using nlohmann::json;

constexpr std::int64_t kBlockTokens = 512;
constexpr std::array<std::string_view, 4> kKeys{"timestamp", "input_length", "output_length", "hash_ids"};

class JsonLine {
 public:
  JsonLine(std::string_view line, const std::string& name, std::size_t number)
      : line_(line), place_(name + ":" + std::to_string(number) + ":") {}

  Status parse() {
    try {
      value_ = json::parse(line_);
    } catch (const json::parse_error& e) {
      return fault_at(std::max<std::size_t>(e.byte, 1), "is no JSON");
    } catch (const json::exception&) {
      return fault_at(1, "a number is out of range");
    }
    if (!value_.is_object()) return fault_at(1, "must be a JSON object");
    for (const auto& item : value_.items()) {
      if (std::find(kKeys.begin(), kKeys.end(), item.key()) == kKeys.end()) {
        return fault(item.key(), "unknown key '" + item.key() + "'");
      }
    }
    return base::ok_status();
  }

  Result<std::int64_t> integer(const std::string& key, std::int64_t least, std::int64_t most) const {
    const auto at = value_.find(key);
    if (at == value_.end()) return fault_at(1, "key '" + key + "' is missing");
    if (!at->is_number_integer() || (at->is_number_unsigned() && at->get<std::uint64_t>() > INT64_MAX)) {
      return fault(key, "'" + key + "' must be a whole number");
    }
    const auto value = at->get<std::int64_t>();
    if (value < least || value > most) return fault(key, "'" + key + "' is out of range");
    return value;
  }

  Result<std::vector<std::int64_t>> ids(const std::string& key) const {
    std::vector<std::int64_t> out;
    const auto at = value_.find(key);
    if (at == value_.end()) return out;
    if (!at->is_array()) return fault(key, "'" + key + "' must be a list");
    for (const json& item : *at) {
      const bool fits = item.is_number_unsigned() && item.get<std::uint64_t>() <= INT64_MAX;
      if (!fits) return fault(key, "'" + key + "' must hold whole numbers not below 0");
      out.push_back(item.get<std::int64_t>());
    }
    return out;
  }

  Error fault(const std::string& key, std::string why) const {
    const auto at = line_.find("\"" + key + "\"");
    return fault_at(at == std::string_view::npos ? 1 : at + 1, std::move(why));
  }

 private:
  Error fault_at(std::size_t column, std::string why) const {
    return base::bad_input("read a request trace", place_ + std::to_string(column), std::move(why));
  }

  std::string_view line_;
  std::string place_;
  json value_;
};

Result<RequestTraceRow> read_line(JsonLine line, std::int64_t& last_ms) {
  PJ_TRY(line.parse());
  const auto most_ms = static_cast<std::int64_t>(kLongestTime.value() * 1e3);
  RequestTraceRow row;
  PJ_ASSIGN(const auto ms, line.integer("timestamp", 0, most_ms));
  if (ms < last_ms) return line.fault("timestamp", "times go backwards");
  last_ms = ms;
  row.arrival = base::Seconds(static_cast<double>(ms) / 1e3);
  PJ_ASSIGN(row.input_tokens, line.integer("input_length", 1, kMostTokens));
  PJ_ASSIGN(row.output_tokens, line.integer("output_length", 1, kMostTokens));
  PJ_ASSIGN(row.prefix, line.ids("hash_ids"));
  const auto blocks = (row.input_tokens + kBlockTokens - 1) / kBlockTokens;
  if (!row.prefix.empty() && static_cast<std::int64_t>(row.prefix.size()) != blocks) {
    return line.fault("hash_ids", std::to_string(row.prefix.size()) + " ids for " +
                                      std::to_string(row.input_tokens) + " input tokens, expected " +
                                      std::to_string(blocks));
  }
  return row;
}

}  // namespace

Result<RequestTrace> parse_requests_mooncake(std::string_view text, const std::string& name) {
  RequestTrace trace;
  trace.source = "kvcache-ai/Mooncake (FAST'25), JSON lines";
  trace.prefix_block_tokens = kBlockTokens;
  std::int64_t last_ms = 0;
  std::size_t number = 0;
  for (const std::string_view line : base::split(text, '\n')) {
    ++number;
    if (base::trim(line).empty()) continue;
    PJ_ASSIGN(auto row, read_line(JsonLine(line, name, number), last_ms));
    trace.rows.push_back(std::move(row));
  }
  if (trace.rows.empty()) return base::bad_input("read a request trace", name + ":1:1", "it has no request");
  return trace;
}

}  // namespace perjoule::backends::replay
