#include "bench/bus/ingest.hpp"

#include <algorithm>
#include <cstdio>

#include "base/text.hpp"
#include "bus/store.hpp"

namespace perjoule::bench {

Generator generator_of(const IngestOptions& options) {
  GeneratorOptions stream = options.stream;
  stream.events = std::max(stream.events, options.of);
  return Generator(stream);
}

std::int64_t batches_of(const IngestOptions& options) {
  return (options.stream.events + kBatchEvents - 1) / kBatchEvents;
}

bool set_ingest_option(const std::string& name, const std::string& value, IngestOptions& options) {
  if (name == "--directory") {
    options.directory = value;
    return !value.empty();
  }
  if (name == "--durability") {
    options.durability = value == "durable" ? bus::Durability::kDurable : bus::Durability::kBuffered;
    return value == "durable" || value == "buffered";
  }
  const auto n = base::parse_int(value);
  if (!n || *n <= 0 || (name != "--events" && name != "--of" && name != "--seed")) return false;
  if (name == "--of") return options.of = *n, true;
  if (name == "--events") options.stream.events = *n;
  if (name == "--seed") options.stream.seed = static_cast<std::uint64_t>(*n);
  return true;
}

void StreamSums::add(const EventBatch& batch) {
  events += batch.events();
  for (const auto e : batch.joules.energy_uj) energy_uj += e;
}

void AnswerWindow::enter() {
  std::unique_lock lock(mutex_);
  answered_.wait(lock, [&] { return open_ < limit_; });
  ++open_;
}

void AnswerWindow::leave(double seconds, const std::string& fault) {
  const std::lock_guard lock(mutex_);
  times_ms_.push_back(seconds * 1e3);
  if (!fault.empty()) fault_ = fault;
  --open_;
  answered_.notify_one();
}

void AnswerWindow::wait() {
  std::unique_lock lock(mutex_);
  answered_.wait(lock, [&] { return open_ == 0; });
}

AnswerTimes AnswerWindow::times() {
  if (times_ms_.empty()) return {};
  std::sort(times_ms_.begin(), times_ms_.end());
  const auto at = [&](double share) {
    return times_ms_[static_cast<std::size_t>(share * static_cast<double>(times_ms_.size() - 1))];
  };
  return {at(0.5), at(0.99), at(1)};
}

base::Status read_back(const std::string& directory, StoredStream& found) {
  PJ_ASSIGN(const auto store, bus::StoreReader::open(base::posix_env(), directory));
  for (const auto& e : store.manifest().segments) found.file_bytes += e.summary.bytes;
  found.sums.events = store.rows(bus::Table::kSamples);
  return store.scan({bus::Table::kJoules, {"energy_uj"}, {}}, [&](const bus::Batch& b) {
    found.sums.events += b.rows;
    for (const auto e : b.columns[0].ints) found.sums.energy_uj += e;
    return base::ok_status();
  });
}

bool is_equal(const char* program, const StreamSums& sent, const StreamSums& found) {
  if (sent == found) return true;
  std::fprintf(stderr, "%s: %llu rows and %lld uJ sent, %llu rows and %lld uJ found\n", program,
               static_cast<unsigned long long>(sent.events), static_cast<long long>(sent.energy_uj),
               static_cast<unsigned long long>(found.events), static_cast<long long>(found.energy_uj));
  return false;
}

}  // namespace perjoule::bench
