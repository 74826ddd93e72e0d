// What the ingest benchmarks share: the stream as blocks, the window of unanswered ones, and the look at what
// was stored. Thread rule: AnswerWindow from any thread, the rest from one. Ownership: values. Units: bytes,
// milliseconds, microjoules.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "bench/bus/generator.hpp"
#include "bus/engine.hpp"

namespace perjoule::bench {

struct IngestOptions {
  GeneratorOptions stream;
  // The beginning of a stream of so many events in its two hours: as dense in time, though it is shorter. 0:
  // a whole stream.
  std::int64_t of = 0;
  std::string directory;
  bus::Durability durability = bus::Durability::kDurable;
};
Generator generator_of(const IngestOptions& options);
std::int64_t batches_of(const IngestOptions& options);
// --events, --of, --seed, --directory and --durability; false for another name or an unfit value.
bool set_ingest_option(const std::string& name, const std::string& value, IngestOptions& options);

// Events and energy of a stream, and of what a store has of it.
struct StreamSums {
  std::uint64_t events = 0;
  std::int64_t energy_uj = 0;
  bool operator==(const StreamSums&) const = default;
  void add(const EventBatch& batch);
};

struct AnswerTimes {
  double p50_ms = 0, p99_ms = 0, max_ms = 0;
};

// At most `limit` blocks without an answer, and how long each answer took.
class AnswerWindow {
 public:
  static constexpr int kClosedLoop = 32;
  explicit AnswerWindow(int limit = kClosedLoop) : limit_(limit) {}
  void enter();
  // `fault`: why the block was not stored; empty if it was.
  void leave(double seconds, const std::string& fault);
  // Until nothing is unanswered. Below: only then.
  void wait();
  AnswerTimes times();
  const std::string& fault() const { return fault_; }

 private:
  const int limit_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<double> times_ms_;
  int open_ = 0;
  std::string fault_;
};

struct StoredStream {
  StreamSums sums;
  std::uint64_t file_bytes = 0;  // of sealed files
};
base::Status read_back(const std::string& directory, StoredStream& found);
// Whether both are equal; says on stderr what differs.
bool is_equal(const char* program, const StreamSums& sent, const StreamSums& found);

}  // namespace perjoule::bench
