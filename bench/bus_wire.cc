// The event bus over TCP: durable events per second from client to store, on the stream of
// bench/bus/generator.hpp.
//   bus_wire [--events N] [--seed S] [--directory DIR] [--durability durable|buffered] [--same-process]
//   [--json]
// Blocks are encoded before the clock runs, as in bus_ingest, and sent over loopback by two clients (joules
// and samples). The server and its engine are a child process, so that its processor time is its own; with
// --same-process they are in this one and the time is of both. The clock stops when everything is
// acknowledged. Afterwards everything is sealed, and every row read back, counted and summed. Exit status: 0
// equal, 1 a count or sum differs, 2 for a bad command line, 3 when the folder cannot be written or a process
// fails.
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>

#include "base/clock.hpp"
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
};

// ---- the server, in a child or here ----

// What a server tells: its port first, then its processor seconds when it is asked, and its statistics.
struct Report {
  std::uint64_t port = 0;
  double cpu_s = 0;
  std::uint64_t blocks = 0, block_bytes = 0, copied_bytes = 0, pauses = 0;
  std::uint64_t sealed = 0;
};

class Store {
 public:
  base::Status start(const std::string& directory) {
    PJ_ASSIGN(engine_, bus::Engine::open(base::posix_env(), directory));
    PJ_ASSIGN(server_, wire::Server::start(*engine_));
    cpu_ = bench::processor_seconds();
    return base::ok_status();
  }
  Report report() const {
    const wire::ServerStats s = server_->stats();
    return {server_->port(),
            bench::processor_seconds() - cpu_,
            s.blocks,
            s.block_bytes,
            s.copied_bytes,
            s.pauses,
            0};
  }
  bool seal() {
    server_->stop();
    return engine_->seal_all().ok();
  }

 private:
  std::unique_ptr<bus::Engine> engine_;
  std::unique_ptr<wire::Server> server_;
  double cpu_ = 0;
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
    if (asked == 's') report.sealed = store.seal() ? 1 : 0;
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
    sent_.resize(blocks + 1);
    wire::ClientOptions o;
    o.source = std::move(name);
    o.port = static_cast<std::uint16_t>(port);
    o.durability = durability;
    o.on_answer = [this](const wire::Answer& a) {
      window_->leave((watch_.elapsed() - sent_[a.first]).value(),
                     a.outcome == bus::Outcome::kRefused ? a.why : "");
    };
    PJ_ASSIGN(client_, wire::Client::open(base::posix_env(), std::move(o)));
    return base::ok_status();
  }
  base::Status send(std::string block) {
    if (block.empty()) return base::ok_status();
    window_->enter();
    sent_[++number_] = watch_.elapsed();
    return client_->send_block(std::move(block), 1);
  }
  bool wait() { return client_->wait_until_answered(base::seconds(600)); }
  wire::QueueStats stats() const { return client_->stats().queue; }

 private:
  bench::AnswerWindow* window_ = nullptr;
  base::Stopwatch watch_;
  std::vector<base::Seconds> sent_;
  std::uint64_t number_ = 0;
  std::unique_ptr<wire::Client> client_;
};

struct Figures {
  bench::StreamSums sent;
  bench::StoredStream found;
  bench::AnswerTimes answers;
  std::uint64_t busy = 0;
  double stored_s = 0, client_cpu_s = 0;
  Report server;
};

std::vector<std::pair<std::string, std::string>> make_blocks(const Options& o, Figures& f) {
  bench::Generator generator(o.stream);
  bench::BlockMaker encoder;
  std::vector<std::pair<std::string, std::string>> blocks;
  for (std::int64_t i = 0; i < generator.batches(); ++i) {
    bench::EventBatch batch;
    generator.fill(i, batch);
    f.sent.add(batch);
    blocks.push_back(encoder.encode(batch));
  }
  return blocks;
}

base::Status send_all(const Options& o, std::vector<std::pair<std::string, std::string>> blocks, Figures& f) {
  bench::AnswerWindow window;
  Source joules, samples;
  PJ_TRY(joules.open(window, "generator/joules", f.server.port, o.durability, blocks.size()));
  PJ_TRY(samples.open(window, "generator/samples", f.server.port, o.durability, blocks.size()));
  const base::Stopwatch watch;
  const double cpu = bench::processor_seconds();
  for (auto& [joule_block, sample_block] : blocks) {
    PJ_TRY(joules.send(std::move(joule_block)));
    PJ_TRY(samples.send(std::move(sample_block)));
  }
  if (!joules.wait() || !samples.wait())
    return base::io_error("send events", "loopback", "no answer in time");
  f.stored_s = watch.elapsed().value();
  f.client_cpu_s = bench::processor_seconds() - cpu;
  f.answers = window.times();
  f.busy = joules.stats().busy_answers + samples.stats().busy_answers;
  if (!window.fault().empty()) return base::io_error("store events", o.directory, window.fault());
  return base::ok_status();
}

base::Status load_through_child(const Options& o, Figures& f) {
  Child child;
  const auto lost = [&] { return base::io_error("run the server", o.directory, "the child process ended"); };
  if (!child.start(o.directory)) return lost();
  auto blocks = make_blocks(o, f);
  auto report = child.read();
  if (!report) return lost();
  // What it took to start is not what we measure.
  const auto before = child.ask('r');
  f.server = *report;
  PJ_TRY(send_all(o, std::move(blocks), f));
  const auto after = child.ask('r');
  if (!before || !after) return lost();
  f.server = *after;
  f.server.cpu_s -= before->cpu_s;
  report = child.ask('s');
  return report && report->sealed == 1 ? base::ok_status() : lost();
}

base::Status load_here(const Options& o, Figures& f) {
  Store store;
  auto blocks = make_blocks(o, f);
  PJ_TRY(store.start(o.directory));
  f.server = store.report();
  PJ_TRY(send_all(o, std::move(blocks), f));
  f.server = store.report();
  f.server.cpu_s = 0;
  return store.seal() ? base::ok_status() : base::io_error("seal", o.directory, "the engine cannot");
}

void print(const Options& o, const Figures& f) {
  const auto events = static_cast<double>(f.sent.events);
  const auto bytes = static_cast<double>(f.server.block_bytes);
  const char* form =
      o.json ? "{\"events\": %llu, \"stored_events_per_s\": %.0f, \"mb_per_s\": %.1f, \"ack_p50_ms\": %.2f, "
               "\"ack_p99_ms\": %.2f, \"ack_max_ms\": %.2f, \"client_cpu_s_per_m\": %.4f, "
               "\"server_cpu_s_per_m\": "
               "%.4f, \"busy\": %llu, \"bytes_per_event\": %.2f, \"copied_share\": %.5f, \"pauses\": %llu}\n"
             : "%llu events: %.0f/s stored (%.1f MB/s); answers p50 %.2f ms, p99 %.2f ms, largest %.2f ms; "
               "processor "
               "seconds per million: client %.4f, server %.4f; busy %llu times; %.2f bytes per event, share "
               "copied "
               "once more in the server %.5f; reading paused %llu times\n";
  std::printf(form, static_cast<unsigned long long>(f.sent.events), events / f.stored_s,
              bytes / f.stored_s * 1e-6, f.answers.p50_ms, f.answers.p99_ms, f.answers.max_ms,
              f.client_cpu_s / events * 1e6, f.server.cpu_s / events * 1e6,
              static_cast<unsigned long long>(f.busy), bytes / events,
              static_cast<double>(f.server.copied_bytes) / std::max(bytes, 1.0),
              static_cast<unsigned long long>(f.server.pauses));
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
                 "[--same-process] [--json]\n");
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
