// The event bus's own rates: durable events per second, embedded, on the stream of bench/bus/generator.hpp.
//   bus_ingest [--events N] [--seed S] [--rows] [--directory DIR] [--durability durable|buffered] [--json]
// Blocks are encoded before the clock runs (a client's work) and held in memory; --rows has the encoding
// within. The clock stops when everything is acknowledged ("stored"), and again when everything is sealed
// ("sealed"). Afterwards every row is read back and counted and summed. Exit status: 0 equal, 1 a count or
// sum differs, 2 for a bad command line, 3 when the folder cannot be written.
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <cstdio>
#include <filesystem>
#include <mutex>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "bench/bus/blocks.hpp"
#include "bench/bus/generator.hpp"
#include "bench/bus/machine.hpp"
#include "bus/engine.hpp"
#include "bus/store.hpp"

namespace {

namespace base = perjoule::base;
namespace bench = perjoule::bench;
namespace bus = perjoule::bus;

struct Options {
  bench::GeneratorOptions stream;
  std::string directory = (std::filesystem::temp_directory_path() / "perjoule-bench-bus").string();
  bus::Durability durability = bus::Durability::kDurable;
  bool rows = false, json = false;
};

double cpu_s() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return seconds(used.ru_utime) + seconds(used.ru_stime);
}

// Submits blocks, with at most `limit` of them unanswered, and remembers how long each answer took.
class Client {
 public:
  Client(bus::Engine& engine, bus::Durability durability) : engine_(engine), durability_(durability) {}

  void send(std::string block) {
    if (block.empty()) return;
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [&] { return open_ < kLimit; });
    ++open_;
    lock.unlock();
    submit(std::move(block));
  }
  void wait() {
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [&] { return open_ == 0; });
  }
  const std::vector<double>& latencies_ms() {
    return std::sort(latencies_.begin(), latencies_.end()), latencies_;
  }
  std::uint64_t busy() const { return busy_; }
  const std::string& fault() const { return fault_; }

 private:
  static constexpr int kLimit = 32;

  void submit(std::string block) {
    for (;;) {
      const base::Stopwatch watch;
      bool again = false;
      // A busy answer comes within the call, before the bytes are needed by anybody else.
      std::string copy = block;
      engine_.submit(std::move(copy), durability_, [this, watch, &again](const bus::Receipt& r) {
        if (r.outcome == bus::Outcome::kBusy) {
          again = true;
          return;
        }
        const std::lock_guard lock(mutex_);
        latencies_.push_back(watch.elapsed().value() * 1e3);
        if (r.outcome != bus::Outcome::kStored && r.outcome != bus::Outcome::kAlreadyStored) fault_ = r.why;
        --open_;
        answered_.notify_one();
      });
      if (!again) return;
      ++busy_;
      ::usleep(1000);
    }
  }

  bus::Engine& engine_;
  const bus::Durability durability_;
  std::mutex mutex_;
  std::condition_variable answered_;
  std::vector<double> latencies_;
  int open_ = 0;
  std::uint64_t busy_ = 0;
  std::string fault_;
};

struct Figures {
  std::uint64_t events = 0, block_bytes = 0, store_bytes = 0;
  double make_s = 0, stored_s = 0, sealed_s = 0, cpu_stored_s = 0, cpu_sealed_s = 0;
  double ack_p50_ms = 0, ack_p99_ms = 0, ack_max_ms = 0;
  std::uint64_t busy = 0;
  std::int64_t sent_uj = 0, stored_uj = 0;
  std::uint64_t stored_rows = 0;
  std::string log_io;
};

double at(const std::vector<double>& sorted, double share) {
  return sorted.empty() ? 0
                        : sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))];
}

base::Status load(const Options& o, Figures& f) {
  bench::Generator generator(o.stream);
  std::vector<std::string> blocks;
  std::vector<bench::EventBatch> batches;
  bench::BlockMaker encoder;
  const base::Stopwatch make;
  for (std::int64_t i = 0; i < generator.batches(); ++i) {
    bench::EventBatch batch;
    generator.fill(i, batch);
    f.events += batch.events();
    for (const auto e : batch.joules.energy_uj) f.sent_uj += e;
    if (o.rows) {
      batches.push_back(std::move(batch));
      continue;
    }
    auto [joules, samples] = encoder.encode(batch);
    f.block_bytes += joules.size() + samples.size();
    blocks.push_back(std::move(joules));
    blocks.push_back(std::move(samples));
  }
  f.make_s = make.elapsed().value();
  PJ_ASSIGN(const auto engine, bus::Engine::open(base::posix_env(), o.directory));
  f.log_io = engine->log_io();
  Client client(*engine, o.durability);
  const base::Stopwatch watch;
  const double cpu = cpu_s();
  for (auto& block : blocks) client.send(std::move(block));
  for (const auto& batch : batches) {
    auto [joules, samples] = encoder.encode(batch);
    f.block_bytes += joules.size() + samples.size();
    client.send(std::move(joules));
    client.send(std::move(samples));
  }
  client.wait();
  f.stored_s = watch.elapsed().value();
  f.cpu_stored_s = cpu_s() - cpu;
  PJ_TRY(engine->seal_all());
  f.sealed_s = watch.elapsed().value();
  f.cpu_sealed_s = cpu_s() - cpu;
  const auto& latencies = client.latencies_ms();
  f.ack_p50_ms = at(latencies, 0.5);
  f.ack_p99_ms = at(latencies, 0.99);
  f.ack_max_ms = at(latencies, 1);
  f.busy = client.busy();
  if (!client.fault().empty()) return base::io_error("store events", o.directory, client.fault());
  return base::ok_status();
}

base::Status read_back(const Options& o, Figures& f) {
  PJ_ASSIGN(const auto store, bus::StoreReader::open(base::posix_env(), o.directory));
  for (const auto& e : store.manifest().segments) f.store_bytes += e.summary.bytes;
  f.stored_rows = store.rows(bus::Table::kSamples);
  return store.scan({bus::Table::kJoules, {"energy_uj"}, {}}, [&](const bus::Batch& b) {
    f.stored_rows += b.rows;
    for (const auto e : b.columns[0].ints) f.stored_uj += e;
    return base::ok_status();
  });
}

void print(const Options& o, const Figures& f) {
  const auto events = static_cast<double>(f.events);
  const char* form =
      o.json ? "{\"events\": %llu, \"log_io\": \"%s\", \"stored_events_per_s\": %.0f, "
               "\"sealed_events_per_s\": %.0f, "
               "\"cpu_s_per_m_stored\": %.4f, \"cpu_s_per_m_sealed\": %.4f, \"ack_p50_ms\": %.2f, "
               "\"ack_p99_ms\": "
               "%.2f, \"ack_max_ms\": %.2f, \"busy\": %llu, \"block_bytes_per_event\": %.2f, "
               "\"bytes_per_event\": %.2f}\n"
             : "%llu events, log by %s: %.0f/s stored, %.0f/s with all sealed; processor seconds per million "
               "%.4f "
               "stored, %.4f sealed; answers p50 %.2f ms, p99 %.2f ms, largest %.2f ms; busy %llu times; "
               "%.2f bytes per event on the wire, %.2f at rest\n";
  std::printf(form, static_cast<unsigned long long>(f.events), f.log_io.c_str(), events / f.stored_s,
              events / f.sealed_s, f.cpu_stored_s / events * 1e6, f.cpu_sealed_s / events * 1e6, f.ack_p50_ms,
              f.ack_p99_ms, f.ack_max_ms, static_cast<unsigned long long>(f.busy),
              static_cast<double>(f.block_bytes) / events, static_cast<double>(f.store_bytes) / events);
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (a == "--json" || a == "--rows") {
      (a == "--json" ? o.json : o.rows) = true;
      continue;
    }
    ++i;
    if (a == "--directory" && !value.empty()) {
      o.directory = value;
    } else if (a == "--durability" && (value == "durable" || value == "buffered")) {
      o.durability = value == "durable" ? bus::Durability::kDurable : bus::Durability::kBuffered;
    } else if (const auto n = base::parse_int(value); n && *n > 0 && (a == "--events" || a == "--seed")) {
      if (a == "--events") o.stream.events = *n;
      if (a == "--seed") o.stream.seed = static_cast<std::uint64_t>(*n);
    } else {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fprintf(stderr,
                 "bus_ingest [--events N] [--seed S] [--rows] [--directory DIR] [--durability "
                 "durable|buffered] [--json]\n");
    return 2;
  }
  std::filesystem::remove_all(o.directory);
  Figures f;
  base::Status done = load(o, f);
  if (done.ok()) done = read_back(o, f);
  std::filesystem::remove_all(o.directory);
  if (!done.ok()) return std::fprintf(stderr, "bus_ingest: %s\n", done.error().message().c_str()), 3;
  print(o, f);
  if (f.stored_uj == f.sent_uj && f.stored_rows == f.events) return 0;
  std::fprintf(stderr, "bus_ingest: %llu rows and %lld uJ sent, %llu rows and %lld uJ found\n",
               static_cast<unsigned long long>(f.events), static_cast<long long>(f.sent_uj),
               static_cast<unsigned long long>(f.stored_rows), static_cast<long long>(f.stored_uj));
  return 1;
}
