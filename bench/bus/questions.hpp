// The benchmark's questions with many parameters each, and the brute-force answers to all of them out of one
// pass over the stream: a row goes to the scans that may want it, each of which looks at it as it would
// alone. Thread rule: one thread. Ownership: values; rows need to live for one call only.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "bench/bus/generator.hpp"
#include "bench/bus/query.hpp"
#include "bench/bus/reference.hpp"

namespace perjoule::bench {

// `count` parameters of every question, drawn out of the stream: requests and devices that are in it, hours
// that begin at any second of it, 100 epochs from any on. The same for the same seed.
std::vector<QueryParams> draw_params(const GeneratorOptions& options, std::size_t count, std::uint64_t seed);

// Scans of one question for many parameters.
class ScanSet {
 public:
  // Two passes are needed for kHotRequests; the first ends with next_pass().
  void add(QueryId id, const QueryParams& params);
  // Every row of the batch; of each scan's own kind.
  void take(const EventBatch& batch);
  // True: every row must come once more.
  bool next_pass();
  // In the order of add().
  std::vector<Answer> answers();

 private:
  struct RequestHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view s) const { return std::hash<std::string_view>{}(s); }
  };
  std::vector<std::unique_ptr<QueryScan>> all_;
  std::unordered_map<std::string, std::vector<QueryScan*>, RequestHash, std::equal_to<>> of_request_;
  std::vector<std::vector<QueryScan*>> of_model_ = std::vector<std::vector<QueryScan*>>(kModels);
  std::vector<std::vector<QueryScan*>> of_device_ = std::vector<std::vector<QueryScan*>>(kDevices);
  std::vector<QueryScan*> of_joules_, of_samples_;  // that look at every row
};

// The batches that arrive while questions are asked: the beginning of another stream, later than the first.
inline constexpr std::int64_t kArrivingFromNs = 10'800'000'000'000;  // after kStartNs
GeneratorOptions arriving_stream();
// Moves a batch of it there.
void move_to_arrival(EventBatch& batch);

}  // namespace perjoule::bench
