// Traces of inference requests: when each arrived and how many tokens went in and came out. Every reader
// checks the whole file: times finite and not backwards, tokens positive; a breach is one error with
// file:line:column. Thread rule: pure functions, plain values. Units: seconds from the trace's start, tokens.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "backends/intake/import.hpp"
#include "backends/intake/mapping.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "base/units.hpp"

namespace perjoule::backends::replay {

struct RequestTraceRow {
  base::Seconds arrival;
  std::int64_t input_tokens = 0;
  std::int64_t output_tokens = 0;
  std::vector<std::int64_t>
      prefix;          // ids of the prompt's blocks; equal leading ids = reusable prefix; may be empty
  std::string model;   // may be empty
  std::string tenant;  // may be empty
};

struct RequestTrace {
  std::vector<RequestTraceRow> rows;  // by arrival; equal arrivals in the file's order
  std::vector<intake::RejectedRow> rejected;
  std::optional<base::TimePoint> start;  // calendar time of arrival 0, where the trace has one
  std::int64_t prefix_block_tokens = 0;  // tokens per prefix id; 0 = the trace has none, or does not say
  std::string source;
};

// More tokens than this in one request is taken for a damaged file.
inline constexpr std::int64_t kMostTokens = 100'000'000;

// TIMESTAMP (no zone, read as UTC), ContextTokens, GeneratedTokens.
base::Result<RequestTrace> parse_requests_azure(std::string text, const std::string& name);
base::Result<RequestTrace> read_requests_azure(base::Env& env, const std::string& path);
// JSON lines: timestamp ms, input_length, output_length, hash_ids (one per block of 512 input tokens).
// Strict: other keys, other types and a number of hash_ids that does not fit the length are errors.
base::Result<RequestTrace> parse_requests_mooncake(std::string_view text, const std::string& name);
base::Result<RequestTrace> read_requests_mooncake(base::Env& env, const std::string& path);
// Any delimited table by a mapping of table "requests".
base::Result<RequestTrace> parse_requests_mapped(std::string text, const std::string& name,
                                                 const intake::Mapping& mapping);
base::Result<RequestTrace> read_requests_mapped(base::Env& env, const std::string& path,
                                                const intake::Mapping& mapping);

// The canonical file: arrival_s,input_tokens,output_tokens,prefix,model,tenant; prefix ids with blanks
// between.
std::string format_requests_csv(const RequestTrace& trace);
base::Result<RequestTrace> parse_requests_csv(std::string text, const std::string& name);
base::Result<RequestTrace> read_requests_csv(base::Env& env, const std::string& path);

}  // namespace perjoule::backends::replay
