// The event bus over TCP: durable events per second from client to store, on the stream of
// bench/bus/generator.hpp.
//   bus_wire [--events N] [--seed S] [--directory DIR] [--durability durable|buffered] [--same-process]
//   [--rate R] [--seconds T] [--json]
// Blocks are encoded before the clock runs, as in bus_ingest, and sent over loopback by two clients (joules
// and samples). The server and its engine are a child process, so that its processor time is its own; with
// --same-process they are in this one and the time is of both.
//   without --rate  closed loop: the N events as fast as they are taken, with at most 32 blocks unanswered
//   with --rate     open loop: the N events again and again for T seconds, each block at the time that the
//                   schedule gives it. An answer's time counts from there, also where sending was late
// Burst is the rate until everything is acknowledged; sustained has the time in it that it then takes to seal
// the rest. Processor seconds are those until the last answer. Afterwards every row is read back, counted and
// summed. Exit status: 0 equal, 1 a count or sum differs, 2 for a bad command line, 3 when the folder cannot
// be written or a process fails.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <optional>
#include <thread>
#include <tuple>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "bench/bus/blocks.hpp"
#include "bench/bus/ingest.hpp"
#include "bench/bus/machine.hpp"
#include "wire/client.hpp"
#include "wire/server.hpp"

namespace {

namespace base = perjoule::base;
namespace bench = perjoule::bench;
namespace bus = perjoule::bus;
namespace wire = perjoule::wire;

struct Options : bench::IngestOptions {
  bool same_process = false, json = false;
  double rate = 0, seconds = 60;  // rate 0: closed loop
};

// ---- the server, in a child or here ----

// What a server tells: its port first, then its processor seconds when it is asked, and its statistics.
struct Report {
  std::uint64_t port = 0;
  double receive_cpu_s = 0, log_cpu_s = 0, seal_cpu_s = 0;
  std::uint64_t blocks = 0, block_bytes = 0, copied_bytes = 0, pauses = 0;
  std::uint64_t groups = 0, unsealed_rows = 0, written_bytes = 0;
  std::uint64_t sealed = 0;
  double flush_s = 0;
};

class Store {
 public:
  base::Status start(const std::string& directory) {
    PJ_ASSIGN(engine_, bus::Engine::open(base::posix_env(), directory));
    PJ_ASSIGN(server_, wire::Server::start(*engine_));
    return base::ok_status();
  }
  Report report() const {
    const wire::ServerStats s = server_->stats();
    const bus::EngineStats e = engine_->stats();
    Report out;
    out.port = server_->port();
    out.receive_cpu_s = bench::processor_seconds_of("wire-io");
    out.log_cpu_s = bench::processor_seconds_of("bus-log");
    out.seal_cpu_s = bench::processor_seconds_of("bus-seal");
    out.blocks = s.blocks;
    out.block_bytes = s.block_bytes;
    out.copied_bytes = s.copied_bytes;
    out.pauses = s.pauses;
    out.groups = e.groups;
    out.unsealed_rows = e.tail_rows;
    out.written_bytes = static_cast<std::uint64_t>(bench::written_bytes());
    return out;
  }
  // What is not sealed yet, and what that takes.
  bool seal(Report& report) {
    server_->stop();
    const base::Stopwatch watch;
    const bool sealed = engine_->seal_all().ok();
    report.flush_s = watch.elapsed().value();
    report.written_bytes = static_cast<std::uint64_t>(bench::written_bytes());
    report.sealed = sealed ? 1 : 0;
    return sealed;
  }

 private:
  std::unique_ptr<bus::Engine> engine_;
  std::unique_ptr<wire::Server> server_;
};

bool put(int fd, const Report& report) { return ::write(fd, &report, sizeof report) == sizeof report; }

// The child: answers 'r' with a report and 's' when everything is sealed; ends with its parent.
int serve(const std::string& directory, int fd) {
  Store store;
  if (const auto started = store.start(directory); !started.ok())
    return std::fprintf(stderr, "bus_wire: %s\n", started.error().message().c_str()), 3;
  put(fd, store.report());
  char asked = 0;
  while (::read(fd, &asked, 1) == 1) {
    Report report = store.report();
    if (asked == 's') store.seal(report);
    if (!put(fd, report)) return 3;
  }
  return 0;
}

class Child {
 public:
  // Before there are threads.
  bool start(const std::string& directory) {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return false;
    pid_ = ::fork();
    if (pid_ == 0) {
      ::close(ends[0]);
      ::_exit(serve(directory, ends[1]));
    }
    ::close(ends[1]);
    fd_ = ends[0];
    return pid_ > 0;
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::close(fd_);
    ::waitpid(pid_, nullptr, 0);
  }
  std::optional<Report> read() {
    Report report;
    if (::recv(fd_, &report, sizeof report, MSG_WAITALL) != sizeof report) return std::nullopt;
    return report;
  }
  std::optional<Report> ask(char what) { return ::write(fd_, &what, 1) == 1 ? read() : std::nullopt; }

 private:
  pid_t pid_ = -1;
  int fd_ = -1;
};

// ---- the clients ----

// One source with its connection; its blocks have one number each.
class Source {
 public:
  base::Status open(bench::AnswerWindow& window, std::string name, std::uint64_t port,
                    bus::Durability durability, std::size_t blocks) {
    window_ = &window;
    due_.resize(blocks + 1);
    wire::ClientOptions o;
    o.source = std::move(name);
    o.port = static_cast<std::uint16_t>(port);
    o.durability = durability;
    o.on_answer = [this](const wire::Answer& a) {
      window_->leave((watch_.elapsed() - due_[a.first]).value(),
                     a.outcome == bus::Outcome::kRefused ? a.why : "");
    };
    PJ_ASSIGN(client_, wire::Client::open(base::posix_env(), std::move(o)));
    return base::ok_status();
  }
  // `late`: how long ago it should have been sent.
  base::Status send(std::string block, base::Seconds late = base::Seconds(0)) {
    if (block.empty()) return base::ok_status();
    window_->enter();
    due_.at(++number_) = watch_.elapsed() - late;
    return client_->send_block(std::move(block), 1);
  }
  bool wait() { return client_->wait_until_answered(base::seconds(600)); }
  wire::QueueStats stats() const { return client_->stats().queue; }

 private:
  bench::AnswerWindow* window_ = nullptr;
  base::Stopwatch watch_;
  std::vector<base::Seconds> due_;
  std::uint64_t number_ = 0;
  std::unique_ptr<wire::Client> client_;
};

// A batch of the stream, as blocks of its two sources.
struct Batch {
  std::string joules, samples;
  bench::StreamSums sums;
};

struct Figures {
  bench::StreamSums sent;
  bench::StoredStream found;
  bench::AnswerTimes answers;
  bench::DiskRate disk;
  std::uint64_t busy = 0;
  double stored_s = 0, client_cpu_s = 0;
  Report server;
};

std::vector<Batch> make_batches(const Options& o) {
  bench::Generator generator(o.stream);
  bench::BlockMaker encoder;
  std::vector<Batch> batches;
  for (std::int64_t i = 0; i < generator.batches(); ++i) {
    bench::EventBatch events;
    generator.fill(i, events);
    Batch& batch = batches.emplace_back();
    batch.sums.add(events);
    std::tie(batch.joules, batch.samples) = encoder.encode(events);
  }
  return batches;
}

class Load {
 public:
  Load(const Options& o, Figures& f)
      : o_(o),
        f_(f),
        window_(o.rate > 0 ? std::numeric_limits<int>::max() : bench::AnswerWindow::kClosedLoop) {}

  base::Status run(std::vector<Batch> batches) {
    // A batch has at least half of kBatchEvents but for the last one of the stream.
    const auto scheduled = static_cast<std::size_t>(o_.rate * o_.seconds / (bench::kBatchEvents / 2));
    const std::size_t most = 2 * batches.size() + 2 * scheduled;
    PJ_TRY(joules_.open(window_, "generator/joules", f_.server.port, o_.durability, most));
    PJ_TRY(samples_.open(window_, "generator/samples", f_.server.port, o_.durability, most));
    const double cpu = bench::processor_seconds();
    watch_ = {};
    PJ_TRY(o_.rate > 0 ? send_on_time(batches) : send_all(batches));
    if (!joules_.wait() || !samples_.wait())
      return base::io_error("send events", "loopback", "no answer in time");
    f_.stored_s = watch_.elapsed().value();
    f_.client_cpu_s = bench::processor_seconds() - cpu;
    f_.answers = window_.times();
    f_.busy = joules_.stats().busy_answers + samples_.stats().busy_answers;
    if (!window_.fault().empty()) return base::io_error("store events", o_.directory, window_.fault());
    return base::ok_status();
  }

 private:
  void count(const Batch& batch) {
    f_.sent.events += batch.sums.events;
    f_.sent.energy_uj += batch.sums.energy_uj;
  }

  base::Status send_all(std::vector<Batch>& batches) {
    for (Batch& batch : batches) {
      count(batch);
      PJ_TRY(joules_.send(std::move(batch.joules)));
      PJ_TRY(samples_.send(std::move(batch.samples)));
    }
    return base::ok_status();
  }

  // A batch is due when its events have come, at the rate asked for.
  base::Status send_on_time(const std::vector<Batch>& batches) {
    for (std::size_t i = 0;; ++i) {
      const Batch& batch = batches[i % batches.size()];
      count(batch);
      const base::Seconds due(static_cast<double>(f_.sent.events) / o_.rate);
      if (const double ahead = (due - watch_.elapsed()).value(); ahead > 0)
        std::this_thread::sleep_for(std::chrono::duration<double>(ahead));
      PJ_TRY(joules_.send(batch.joules, watch_.elapsed() - due));
      PJ_TRY(samples_.send(batch.samples, watch_.elapsed() - due));
      if (due.value() >= o_.seconds) return base::ok_status();
    }
  }

  const Options& o_;
  Figures& f_;
  bench::AnswerWindow window_;
  base::Stopwatch watch_;
  Source joules_, samples_;
};

base::Status load_through_child(const Options& o, Figures& f) {
  Child child;
  const auto lost = [&] { return base::io_error("run the server", o.directory, "the child process ended"); };
  if (!child.start(o.directory)) return lost();
  auto batches = make_batches(o);
  auto report = child.read();
  if (!report) return lost();
  PJ_ASSIGN(f.disk, bench::raw_disk_rate(std::filesystem::path(o.directory).parent_path()));
  // What it took to start is not what we measure.
  const auto before = child.ask('r');
  f.server = *report;
  PJ_TRY(Load(o, f).run(std::move(batches)));
  const auto after = child.ask('r');
  if (!before || !after) return lost();
  f.server = *after;
  f.server.receive_cpu_s -= before->receive_cpu_s;
  f.server.log_cpu_s -= before->log_cpu_s;
  f.server.seal_cpu_s -= before->seal_cpu_s;
  report = child.ask('s');
  if (!report || report->sealed != 1) return lost();
  f.server.flush_s = report->flush_s;
  f.server.written_bytes = report->written_bytes - before->written_bytes;
  return base::ok_status();
}

base::Status load_here(const Options& o, Figures& f) {
  Store store;
  auto batches = make_batches(o);
  PJ_TRY(store.start(o.directory));
  PJ_ASSIGN(f.disk, bench::raw_disk_rate(std::filesystem::path(o.directory).parent_path()));
  const Report before = store.report();
  f.server.port = before.port;
  PJ_TRY(Load(o, f).run(std::move(batches)));
  f.server = store.report();
  f.server.receive_cpu_s = f.server.log_cpu_s = f.server.seal_cpu_s = 0;  // within the client's
  if (!store.seal(f.server)) return base::io_error("seal", o.directory, "the engine cannot");
  f.server.written_bytes -= before.written_bytes;
  return base::ok_status();
}

void print(const Options& o, const Figures& f) {
  const Report& s = f.server;
  const auto events = static_cast<double>(f.sent.events);
  const auto bytes = static_cast<double>(s.block_bytes);
  const double millions = events * 1e-6;
  const char* form =
      o.json
          ? "{\"events\": %llu, \"offered_per_s\": %.0f, \"burst_events_per_s\": %.0f, \"mb_per_s\": %.1f, "
            "\"sustained_events_per_s\": %.0f, \"unsealed_rows\": %llu, \"flush_s\": %.3f, \"ack_p50_ms\": "
            "%.2f, \"ack_p99_ms\": %.2f, \"ack_max_ms\": %.2f, \"client_cpu_s_per_m\": %.4f, "
            "\"receive_cpu_s_per_m\": %.4f, \"log_cpu_s_per_m\": %.4f, \"seal_cpu_s_per_m\": %.4f, "
            "\"bytes_per_event\": %.2f, \"written_per_byte\": %.2f, \"disk_mb_per_s\": %.0f, "
            "\"disk_median_ms\": %.2f, \"disk_worst_ms\": %.2f, \"copied_share\": %.5f, \"groups\": %llu, "
            "\"busy\": %llu, \"pauses\": %llu}\n"
          : "%llu events, offered %.0f/s (0: as fast as they are taken)\n"
            "burst %.0f/s (%.1f MB/s), sustained %.0f/s: %llu rows were not sealed at the end, which took "
            "%.3f "
            "s\n"
            "answers p50 %.2f ms, p99 %.2f ms, largest %.2f ms\n"
            "processor seconds per million: client %.4f, receive %.4f, log %.4f, seal until then %.4f\n"
            "%.2f bytes per event, %.2f bytes written per byte; the disk alone: %.0f MB/s, 4 MiB in %.2f ms "
            "(worst %.2f)\n"
            "share copied once more %.5f; %llu groups; busy %llu times; reading paused %llu times\n";
  const auto u = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf(form, u(f.sent.events), o.rate, events / f.stored_s, bytes / f.stored_s * 1e-6,
              events / (f.stored_s + s.flush_s), u(s.unsealed_rows), s.flush_s, f.answers.p50_ms,
              f.answers.p99_ms, f.answers.max_ms, f.client_cpu_s / millions, s.receive_cpu_s / millions,
              s.log_cpu_s / millions, s.seal_cpu_s / millions, bytes / events,
              static_cast<double>(s.written_bytes) / std::max(bytes, 1.0), f.disk.mb_per_s, f.disk.median_ms,
              f.disk.worst_ms, static_cast<double>(s.copied_bytes) / std::max(bytes, 1.0), u(s.groups),
              u(f.busy), u(s.pauses));
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    const std::string value = i + 1 < argc ? argv[i + 1] : "";
    if (a == "--json" || a == "--same-process") {
      (a == "--json" ? o.json : o.same_process) = true;
      continue;
    }
    ++i;
    if (a == "--rate" || a == "--seconds") {
      const auto number = base::parse_double(value);
      if (!number || !(*number > 0) || *number > 1e9) return false;
      (a == "--rate" ? o.rate : o.seconds) = *number;
      continue;
    }
    if (!bench::set_ingest_option(a, value, o)) return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  o.directory = (std::filesystem::temp_directory_path() / "perjoule-bench-wire").string();
  if (!parse(argc, argv, o)) {
    std::fprintf(stderr,
                 "bus_wire [--events N] [--seed S] [--directory DIR] [--durability durable|buffered] "
                 "[--same-process] [--rate R] [--seconds T] [--json]\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::filesystem::remove_all(o.directory);
  Figures f;
  base::Status done = o.same_process ? load_here(o, f) : load_through_child(o, f);
  if (done.ok()) done = bench::read_back(o.directory, f.found);
  std::filesystem::remove_all(o.directory);
  if (!done.ok()) return std::fprintf(stderr, "bus_wire: %s\n", done.error().message().c_str()), 3;
  print(o, f);
  return bench::is_equal("bus_wire", f.sent, f.found.sums) ? 0 : 1;
}
