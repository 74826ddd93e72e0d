// The event bus's own rates: durable events per second, embedded, on the stream of bench/bus/generator.hpp.
//   bus_ingest [--events N] [--of M] [--seed S] [--rows] [--seal-rows N] [--directory DIR] [--durability
//   durable|buffered] [--keep] [--json]
// Blocks are encoded before the clock runs (a client's work) and held in memory; --rows has the encoding
// within; --keep leaves the store. The clock stops when everything is acknowledged ("stored"), and again when
// everything is sealed
// ("sealed"). Afterwards every row is read back and counted and summed. Exit status: 0 equal, 1 a count or
// sum differs, 2 for a bad command line, 3 when the folder cannot be written.
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "bench/bus/blocks.hpp"
#include "bench/bus/ingest.hpp"
#include "bench/bus/machine.hpp"

namespace {

namespace base = perjoule::base;
namespace bench = perjoule::bench;
namespace bus = perjoule::bus;

struct Options : bench::IngestOptions {
  std::int64_t seal_rows = 0;  // 0: the engine's own
  bool rows = false, json = false, keep = false;
};

// Submits blocks, with at most a window of them unanswered.
class Client {
 public:
  Client(bus::Engine& engine, bus::Durability durability) : engine_(engine), durability_(durability) {}

  void send(const std::string& block) {
    if (block.empty()) return;
    window_.enter();
    while (is_busy(block)) {
      ++busy_;
      ::usleep(1000);
    }
  }
  bench::AnswerWindow& window() { return window_; }
  std::uint64_t busy() const { return busy_; }

 private:
  // Submits once. A busy answer comes within the call, before the bytes are needed by anybody else.
  bool is_busy(std::string block) {
    const base::Stopwatch watch;
    bool again = false;
    engine_.submit(std::move(block), durability_, [this, watch, &again](const bus::Receipt& r) {
      if (r.outcome == bus::Outcome::kBusy) {
        again = true;
        return;
      }
      const bool stored = r.outcome == bus::Outcome::kStored || r.outcome == bus::Outcome::kAlreadyStored;
      window_.leave(watch.elapsed().value(), stored ? "" : r.why);
    });
    return again;
  }

  bus::Engine& engine_;
  const bus::Durability durability_;
  bench::AnswerWindow window_;
  std::uint64_t busy_ = 0;
};

struct Figures {
  bench::StreamSums sent;
  bench::StoredStream found;
  bench::AnswerTimes answers;
  std::uint64_t block_bytes = 0, busy = 0;
  double stored_s = 0, sealed_s = 0, cpu_stored_s = 0, cpu_sealed_s = 0;
  std::string log_io;
};

base::Status load(const Options& o, Figures& f) {
  bench::Generator generator = bench::generator_of(o);
  std::vector<std::string> blocks;
  std::vector<bench::EventBatch> batches;
  bench::BlockMaker encoder;
  for (std::int64_t i = 0; i < bench::batches_of(o); ++i) {
    bench::EventBatch batch;
    generator.fill(i, batch);
    f.sent.add(batch);
    if (o.rows) {
      batches.push_back(std::move(batch));
      continue;
    }
    auto [joules, samples] = encoder.encode(batch);
    f.block_bytes += joules.size() + samples.size();
    blocks.push_back(std::move(joules));
    blocks.push_back(std::move(samples));
  }
  bus::EngineOptions options;
  if (o.seal_rows != 0) options.seal_rows = static_cast<std::size_t>(o.seal_rows);
  PJ_ASSIGN(const auto engine, bus::Engine::open(base::posix_env(), o.directory, options));
  f.log_io = engine->log_io();
  Client client(*engine, o.durability);
  const base::Stopwatch watch;
  const double cpu = bench::processor_seconds();
  for (const auto& block : blocks) client.send(block);
  for (const auto& batch : batches) {
    const auto [joules, samples] = encoder.encode(batch);
    f.block_bytes += joules.size() + samples.size();
    client.send(joules);
    client.send(samples);
  }
  client.window().wait();
  f.stored_s = watch.elapsed().value();
  f.cpu_stored_s = bench::processor_seconds() - cpu;
  PJ_TRY(engine->seal_all());
  f.sealed_s = watch.elapsed().value();
  f.cpu_sealed_s = bench::processor_seconds() - cpu;
  f.answers = client.window().times();
  f.busy = client.busy();
  if (const std::string& fault = client.window().fault(); !fault.empty())
    return base::io_error("store events", o.directory, fault);
  return base::ok_status();
}

void print(const Options& o, const Figures& f) {
  const auto events = static_cast<double>(f.sent.events);
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
  std::printf(form, static_cast<unsigned long long>(f.sent.events), f.log_io.c_str(), events / f.stored_s,
              events / f.sealed_s, f.cpu_stored_s / events * 1e6, f.cpu_sealed_s / events * 1e6,
              f.answers.p50_ms, f.answers.p99_ms, f.answers.max_ms, static_cast<unsigned long long>(f.busy),
              static_cast<double>(f.block_bytes) / events, static_cast<double>(f.found.file_bytes) / events);
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (a == "--json" || a == "--rows" || a == "--keep") {
      (a == "--json" ? o.json : a == "--rows" ? o.rows : o.keep) = true;
      continue;
    }
    ++i;
    if (const auto n = base::parse_int(value); a == "--seal-rows" && n && *n > 0) {
      o.seal_rows = *n;
    } else if (!bench::set_ingest_option(a, value, o)) {
      return false;
    }
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  o.directory = (std::filesystem::temp_directory_path() / "perjoule-bench-bus").string();
  if (!parse(argc, argv, o)) {
    std::fprintf(stderr,
                 "bus_ingest [--events N] [--of M] [--seed S] [--rows] [--seal-rows N] [--directory DIR] "
                 "[--durability durable|buffered] [--keep] [--json]\n");
    return 2;
  }
  std::filesystem::remove_all(o.directory);
  Figures f;
  base::Status done = load(o, f);
  if (done.ok()) done = bench::read_back(o.directory, f.found);
  if (!o.keep) std::filesystem::remove_all(o.directory);
  if (!done.ok()) return std::fprintf(stderr, "bus_ingest: %s\n", done.error().message().c_str()), 3;
  print(o, f);
  return bench::is_equal("bus_ingest", f.sent, f.found.sums) ? 0 : 1;
}
