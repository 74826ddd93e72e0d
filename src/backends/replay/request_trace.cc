#include "backends/replay/request_trace.hpp"

#include "backends/intake/mapped_table.hpp"
#include "backends/replay/arrival.hpp"
#include "backends/replay/job_trace.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"

namespace perjoule::backends::replay {
namespace {

using base::Error;
using base::Result;
using base::Status;
using intake::MappedTable;

constexpr const char* kAzure = R"(
table = "requests"
source = "Azure/AzurePublicDataset, AzureLLMInferenceTrace, Splitwise, ISCA 2024"
[fields.arrival]
column = "TIMESTAMP"
unit = "iso8601"
[fields.input_tokens]
column = "ContextTokens"
[fields.output_tokens]
column = "GeneratedTokens"
)";

constexpr const char* kCanonical = R"(
table = "requests"
[fields.arrival]
column = "arrival_s"
[fields.input_tokens]
column = "input_tokens"
[fields.output_tokens]
column = "output_tokens"
[fields.prefix]
column = "prefix"
[fields.model]
column = "model"
[fields.tenant]
column = "tenant"
)";

intake::Mapping built_in(const char* toml) {
  auto mapping = intake::parse_mapping(toml, "built-in mapping");
  PJ_CHECK(mapping.ok());
  return std::move(mapping).value();
}

class MappedRequests {
 public:
  explicit MappedRequests(const MappedTable& table) : table_(table), arrivals_(table, kLongestTime) {}

  Result<RequestTrace> read(const std::string& name) {
    for (std::size_t i = 0; i < table_.rows(); ++i) {
      PJ_TRY(read_row(i));
    }
    if (trace_.rows.empty()) {
      return base::bad_input("read a request trace", name + ":1:1", "it has no usable request",
                             "Check the file and the mapping");
    }
    trace_.start = arrivals_.start();
    trace_.source = table_.mapping().source;
    return std::move(trace_);
  }

 private:
  Error fault(std::size_t i, std::string_view field, std::string why) const {
    return base::bad_input("read a request trace", table_.where(i, field), std::move(why));
  }

  Status read_row(std::size_t i) {
    RequestTraceRow row;
    PJ_ASSIGN(row.arrival, arrivals_.read(i));
    PJ_ASSIGN(const auto input, table_.count(i, "input_tokens"));
    PJ_ASSIGN(const auto output, table_.count(i, "output_tokens"));
    row.input_tokens = input.value_or(0);
    row.output_tokens = output.value_or(0);
    row.model = table_.text(i, "model");
    row.tenant = table_.text(i, "tenant");
    PJ_TRY(read_prefix(i, row));
    if (const auto breach = breach_of(i, row)) return settle(row, *breach);
    trace_.rows.push_back(std::move(row));
    return base::ok_status();
  }

  Status read_prefix(std::size_t i, RequestTraceRow& row) const {
    const std::string_view ids = table_.text(i, "prefix");
    if (ids.empty()) return base::ok_status();
    for (const std::string_view part : base::split(ids, ' ')) {
      if (part.empty()) continue;
      const auto id = base::parse_int(part);
      if (!id) return fault(i, "prefix", "'" + std::string(part) + "' is no block id");
      row.prefix.push_back(*id);
    }
    return base::ok_status();
  }

  std::optional<Error> breach_of(std::size_t i, const RequestTraceRow& row) const {
    const auto out_of_range = [](std::int64_t tokens) { return tokens <= 0 || tokens > kMostTokens; };
    if (out_of_range(row.input_tokens))
      return fault(i, "input_tokens", "the number of input tokens is out of range");
    if (out_of_range(row.output_tokens))
      return fault(i, "output_tokens", "the number of output tokens is out of range");
    return std::nullopt;
  }

  Status settle(const RequestTraceRow& row, const Error& breach) {
    if (table_.mapping().invalid_rows == intake::InvalidRows::kError) return breach;
    trace_.rejected.push_back({breach.where, base::shortest_text(row.arrival.value()) + " s", breach.why});
    return base::ok_status();
  }

  const MappedTable& table_;
  ArrivalReader arrivals_;
  RequestTrace trace_;
};

}  // namespace

Result<RequestTrace> parse_requests_mapped(std::string text, const std::string& name,
                                           const intake::Mapping& mapping) {
  PJ_CHECK(mapping.table == intake::Table::kRequests);
  PJ_ASSIGN(const auto table, MappedTable::parse(std::move(text), name, mapping));
  return MappedRequests(table).read(name);
}

Result<RequestTrace> read_requests_mapped(base::Env& env, const std::string& path,
                                          const intake::Mapping& mapping) {
  PJ_ASSIGN(auto text, base::read_text(env, path));
  return parse_requests_mapped(std::move(text), path, mapping);
}

Result<RequestTrace> parse_requests_azure(std::string text, const std::string& name) {
  return parse_requests_mapped(std::move(text), name, built_in(kAzure));
}

Result<RequestTrace> read_requests_azure(base::Env& env, const std::string& path) {
  return read_requests_mapped(env, path, built_in(kAzure));
}

Result<RequestTrace> read_requests_mooncake(base::Env& env, const std::string& path) {
  PJ_ASSIGN(const auto text, base::read_text(env, path));
  return parse_requests_mooncake(text, path);
}

std::string format_requests_csv(const RequestTrace& trace) {
  std::string out = "arrival_s,input_tokens,output_tokens,prefix,model,tenant\n";
  for (const RequestTraceRow& row : trace.rows) {
    out += base::shortest_text(row.arrival.value()) + "," + std::to_string(row.input_tokens) + "," +
           std::to_string(row.output_tokens) + ",";
    for (std::size_t i = 0; i < row.prefix.size(); ++i)
      out += (i == 0 ? "" : " ") + std::to_string(row.prefix[i]);
    out += "," + intake::csv_field(row.model) + "," + intake::csv_field(row.tenant) + "\n";
  }
  return out;
}

Result<RequestTrace> parse_requests_csv(std::string text, const std::string& name) {
  return parse_requests_mapped(std::move(text), name, built_in(kCanonical));
}

Result<RequestTrace> read_requests_csv(base::Env& env, const std::string& path) {
  return read_requests_mapped(env, path, built_in(kCanonical));
}

}  // namespace perjoule::backends::replay
