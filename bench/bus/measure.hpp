// Loads one engine with the stream and asks it the questions, in a process of its own: its memory, threads,
// processor time and crashes are then its own.
// Thread rule: the calling process must have one thread (it forks). Ownership: results are values.
#pragma once

#include <functional>
#include <span>

#include "bench/bus/peers/peer.hpp"

namespace perjoule::bench {

// The stream in arrival order with its resent batches. It is held in memory if that takes at most half of
// what is free; otherwise each batch is made just before it is handed over, and the time of making it is
// taken off.
class Stream {
 public:
  explicit Stream(const GeneratorOptions& options);
  const GeneratorOptions& options() const { return options_; }
  bool in_memory() const { return !held_.empty(); }
  // Processor time of making one event.
  double generate_ns_per_event() const { return generate_ns_per_event_; }
  // Hands every batch to `take` and stops at an error. `making(true)` before and `making(false)` after a
  // batch is made.
  base::Status deliver(const std::function<base::Status(const EventBatch&)>& take,
                       const std::function<void(bool)>& making) const;

 private:
  GeneratorOptions options_;
  double generate_ns_per_event_ = 0;
  std::vector<EventBatch> held_;
};

struct QueryResult {
  QueryId id = QueryId::kRequest;
  double median_ms = 0, least_ms = 0;  // of the runs after the first
  double cpu_ms = 0;                   // processor time of all threads, mean of those runs
  int runs = 0;
  std::int64_t rows = 0;
  std::string wrong;  // empty: every answer was equal to the reference
};

struct PeerResult {
  std::string peer, settings;
  std::string missing;                    // why there is no engine of this name here
  std::string failed;                     // why it did not get to the end
  double load_s = 0, load_cpu_s = 0;      // from the first batch to durable and queryable
  double finish_s = 0;                    // the part of load_s after the last batch
  double settle_s = 0, settle_cpu_s = 0;  // merges after that
  // Cores that other processes kept busy while this one loaded and answered: how far wall time can be
  // trusted.
  double others_loading = 0, others_asking = 0;
  std::int64_t bytes = 0, written_bytes = 0, memory_mib = 0;
  std::vector<QueryResult> queries;

  bool ok() const;
};

// `make` is called in the child. `expected` are the reference's answers to `ids`.
PeerResult measure_peer(const std::string& name,
                        const std::function<base::Result<std::unique_ptr<Peer>>()>& make,
                        const Stream& stream, const std::string& directory, std::span<const QueryId> ids,
                        const QueryParams& params, std::span<const Answer> expected, int repeat);

}  // namespace perjoule::bench
