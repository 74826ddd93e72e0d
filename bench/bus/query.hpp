// The questions of the bus benchmarks and the form of their answers. Every answer is exact: sums of whole
// microjoules, and readings by their bits, so two answers are equal or one is wrong.
// Thread rule: plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bench/bus/generator.hpp"

namespace perjoule::bench {

enum class QueryId : std::uint8_t {
  kRequest,        // Q1: all events of one request: t1_ns, device, kernel, phase, energy_uj
  kAbsentRequest,  // Q1-absent: the same of a request that is not there
  kTenantModel,    // Q2: tenant, model, energy_uj, rows within one hour of t1_ns
  kTopKernels,     // Q3: the 20 kernels of most energy for one model and a range of epochs: kernel, energy_uj
  kDeviceSignals,  // Q4: one device: signal, bucket of 10 s, rows, least and greatest value
  kHotRequests,    // Q5: request, energy_uj of those among the hundredth of the requests with most energy
                   // (equal energies: by name) that had an event in a second (of t1_ns) in which a reading of
                   // the event's device's temperature was above a limit
  kHeatMap,        // Q6: node, phase, energy_uj, rows over everything
  kAudit,       // Q7: device, energy by its counter (greatest less least), energy attributed, the difference,
                // for every device with a reading of its counter
  kLastValues,  // Q8: device, signal, t_ns, value of the newest reading of each
};
inline constexpr int kQueries = 9;
inline constexpr std::int64_t kBucketNs = 10'000'000'000;
inline constexpr std::size_t kTopKernelCount = 20;

// "Q1", "Q1-absent", "Q2" .. "Q8".
std::string_view query_name(QueryId id);
std::vector<QueryId> all_queries();

struct QueryParams {
  std::string request, absent_request;
  std::int64_t hour_from_ns = 0, hour_to_ns = 0;  // t1_ns in [from, to)
  int model = 0, epoch_from = 0, epoch_to = 0;    // epoch in [from, to)
  int device = 0;
  double hot_celsius = 0;
};
// Parameters out of the middle of the stream.
QueryParams choose_params(const GeneratorOptions& options);

enum class Cell : std::uint8_t { kNumber, kText, kDevice, kNode, kTenant, kModel, kKernel, kPhase, kSignal };

// One column. A dimension may be given as places in Names (numbers) or as text (texts): the comparison takes
// both for the same.
struct AnswerColumn {
  Cell cell = Cell::kNumber;
  std::vector<std::int64_t> numbers;
  std::vector<std::string> texts;
};

struct Answer {
  std::vector<AnswerColumn> columns;

  std::size_t rows() const;
  // The rows as text, cells separated by tabs, sorted.
  std::vector<std::string> sorted_rows() const;
};

// No rows; columns as the question has them, all of numbers but the request of Q5.
Answer empty_answer(QueryId id);
// A reading as a number of an answer.
std::int64_t bits_of(double value);
// A meter's joules (on a grid of 1 mJ) as whole microjoules.
std::int64_t microjoules_of(double joules);
// Empty if both have the same rows in any order; otherwise the first difference.
std::string difference(const Answer& answer, const Answer& expected);

}  // namespace perjoule::bench
