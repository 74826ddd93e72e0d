#include "bench/bus/arrivals.hpp"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <limits>
#include <memory>
#include <string>
#include <thread>
#include <tuple>
#include <vector>

#include "base/clock.hpp"
#include "bench/bus/blocks.hpp"
#include "bench/bus/ingest.hpp"
#include "bench/bus/machine.hpp"
#include "bench/bus/questions.hpp"
#include "wire/client.hpp"

namespace perjoule::bench {
namespace {

constexpr const char* kName = "arriving";

struct Blocks {
  std::string joules, samples;
  std::uint64_t events = 0;
};

std::vector<Blocks> encode(double events) {
  Generator generator(arriving_stream());
  BlockMaker maker(kName);
  EventBatch batch;
  std::vector<Blocks> out;
  for (double done = 0; done < events; done += static_cast<double>(batch.events())) {
    generator.fill(static_cast<std::int64_t>(out.size()), batch);
    move_to_arrival(batch);
    Blocks& blocks = out.emplace_back();
    blocks.events = batch.events();
    std::tie(blocks.joules, blocks.samples) = maker.encode(batch);
  }
  return out;
}

// One of the two sources.
class Sender {
 public:
  base::Status open(AnswerWindow& window, const std::string& name, std::uint16_t port, std::size_t blocks) {
    due_.resize(blocks + 1);
    wire::ClientOptions o;
    o.source = name;
    o.port = port;
    o.on_answer = [this, &window](const wire::Answer& a) {
      window.leave((watch_.elapsed() - due_[a.first]).value(),
                   a.outcome == bus::Outcome::kRefused ? a.why : "");
    };
    PJ_ASSIGN(client_, wire::Client::open(base::posix_env(), std::move(o)));
    return base::ok_status();
  }
  base::Status send(AnswerWindow& window, std::string block, base::Seconds late) {
    if (block.empty()) return base::ok_status();
    window.enter();
    due_.at(++number_) = watch_.elapsed() - late;
    return client_->send_block(std::move(block), 1);
  }
  bool wait() { return client_->wait_until_answered(base::seconds(60)); }
  std::uint64_t busy() const { return client_->stats().queue.busy_answers; }

 private:
  base::Stopwatch watch_;
  std::vector<base::Seconds> due_;
  std::uint64_t number_ = 0;
  std::unique_ptr<wire::Client> client_;
};

bool is_asked_to_end(int fd) {
  pollfd p{fd, POLLIN, 0};
  return ::poll(&p, 1, 0) != 0;
}

base::Status send_all(std::vector<Blocks>& all, double rate, std::uint16_t port, int fd, ArrivalReport& out) {
  AnswerWindow window(std::numeric_limits<int>::max());
  Sender joules, samples;
  PJ_TRY(joules.open(window, std::string(kName) + "/joules", port, all.size()));
  PJ_TRY(samples.open(window, std::string(kName) + "/samples", port, all.size()));
  const double cpu = processor_seconds();
  const base::Stopwatch watch;
  for (Blocks& blocks : all) {
    if (is_asked_to_end(fd)) break;
    const base::Seconds due(static_cast<double>(out.events + blocks.events) / rate);
    if (const double ahead = (due - watch.elapsed()).value(); ahead > 0)
      std::this_thread::sleep_for(std::chrono::duration<double>(ahead));
    PJ_TRY(joules.send(window, std::move(blocks.joules), watch.elapsed() - due));
    PJ_TRY(samples.send(window, std::move(blocks.samples), watch.elapsed() - due));
    ++out.batches;
    out.events += blocks.events;
  }
  out.seconds = watch.elapsed().value();
  if (!joules.wait() || !samples.wait())
    return base::io_error("send events", "loopback", "no answer in time");
  out.cpu_s = processor_seconds() - cpu;
  const AnswerTimes times = window.times();
  out.p50_ms = times.p50_ms, out.p99_ms = times.p99_ms, out.max_ms = times.max_ms;
  out.busy = joules.busy() + samples.busy();
  return window.fault().empty() ? base::ok_status() : base::io_error("store events", "", window.fault());
}

int run(double rate, double seconds, int fd) {
  std::vector<Blocks> all = encode(rate * seconds);
  std::uint16_t port = 0;
  const char ready = 'r';
  if (::write(fd, &ready, 1) != 1 || ::read(fd, &port, sizeof port) != sizeof port) return 0;
  ArrivalReport report;
  const base::Status sent = send_all(all, rate, port, fd, report);
  report.failed = !sent.ok();
  if (!sent.ok()) std::fprintf(stderr, "arrivals: %s\n", sent.error().message().c_str());
  return ::write(fd, &report, sizeof report) == sizeof report ? 0 : 3;
}

}  // namespace

bool Arrivals::start(double rate, double seconds) {
  int ends[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return false;
  pid_ = ::fork();
  if (pid_ == 0) {
    ::close(ends[0]);
    ::_exit(run(rate, seconds, ends[1]));
  }
  ::close(ends[1]);
  fd_ = ends[0];
  return pid_ > 0;
}

Arrivals::~Arrivals() {
  if (pid_ <= 0) return;
  ::close(fd_);
  ::waitpid(pid_, nullptr, 0);
}

bool Arrivals::wait_ready() {
  char ready = 0;
  return ::read(fd_, &ready, 1) == 1;
}
bool Arrivals::begin(std::uint16_t port) { return ::write(fd_, &port, sizeof port) == sizeof port; }
bool Arrivals::has_ended() const { return is_asked_to_end(fd_); }

ArrivalReport Arrivals::end() {
  ArrivalReport report;
  const char stop = 's';
  // It may have ended by itself.
  (void)::send(fd_, &stop, 1, MSG_NOSIGNAL);
  if (::recv(fd_, &report, sizeof report, MSG_WAITALL) != sizeof report) report.failed = true;
  return report;
}

}  // namespace perjoule::bench
