// OpenTelemetry metrics over HTTP: durable points per second from exporters to store.
//   bus_otlp [--points N] [--request N] [--connections N] [--gzip] [--directory DIR] [--json]
// N points (20 M) in requests of about --request points (1,000), each with the hw.* metrics of some servers
// of eight GPUs, as a collector batches them. Requests are encoded (and packed) before the clock runs; each
// connection (16) keeps alive and has one request unanswered, and a 200 means that its points are on the
// disk. The server, its engine and what seals are a child process, so that its processor time is its own.
// Afterwards every row is read back, counted and summed. Exit status: 0 equal, 1 a count or sum differs, 2
// for a bad command line, 3 when the folder cannot be written or a process fails.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <thread>

#include "api/http_server.hpp"
#include "api/service.hpp"
#include "base/clock.hpp"
#include "base/text.hpp"
#include "bench/bus/machine.hpp"
#include "bus/store.hpp"

namespace {

namespace api = perjoule::api;
namespace base = perjoule::base;
namespace bench = perjoule::bench;
namespace bus = perjoule::bus;

struct Options {
  std::uint64_t points = 20'000'000, request = 1'000, connections = 16;
  bool gzip = false, json = false;
  std::string directory = (std::filesystem::temp_directory_path() / "perjoule-bench-otlp").string();
};

// ---- requests, as an exporter encodes them ----

void put_varint(std::string& out, std::uint64_t v) {
  for (; v >= 0x80; v >>= 7) out += static_cast<char>((v & 0x7F) | 0x80);
  out += static_cast<char>(v);
}
void put_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  put_varint(out, field << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}
void put_fixed(std::string& out, std::uint32_t field, std::uint64_t v) {
  put_varint(out, field << 3 | 1);
  out.append(reinterpret_cast<const char*>(&v), sizeof v);
}
void put_attribute(std::string& out, std::uint32_t field, std::string_view key, std::string_view value) {
  std::string any, pair;
  put_bytes(any, 1, value);
  put_bytes(pair, 1, key);
  put_bytes(pair, 2, any);
  put_bytes(out, field, pair);
}

// Points and the sum of what the store will show: whole numbers, so that sums are exact.
struct Sums {
  std::uint64_t points = 0;
  std::int64_t value = 0;
  bool operator==(const Sums&) const = default;
  void add(const Sums& other) { points += other.points, value += other.value; }
};

struct HttpRequest {
  std::string bytes;
  Sums sums;
};

struct Part {
  std::string id, type, name;
};

struct MetricKind {
  const char* name;
  const char* unit;
  const char* type;  // of the parts that have it; "": the host itself
  bool sum = false;
  std::int64_t least = 0, most = 0;
  int scale = 1;  // the store shows so many times the value
};
constexpr std::array kMetrics = std::to_array<MetricKind>({
    {"hw.energy", "J", "gpu", true, 1'000'000, 90'000'000},
    {"hw.power", "W", "gpu", false, 60, 700},
    {"hw.temperature", "Cel", "gpu", false, 25, 90},
    {"hw.gpu.utilization", "1", "gpu", false, 0, 1, 100},
    {"hw.gpu.memory.usage", "By", "gpu", false, 1'000'000'000, 80'000'000'000},
    {"hw.gpu.memory.utilization", "1", "gpu", false, 0, 1},
    {"hw.errors", "{error}", "gpu", true, 0, 9},
    {"hw.energy", "J", "cpu", true, 1'000'000, 90'000'000},
    {"hw.temperature", "Cel", "cpu", false, 25, 90},
    {"hw.cpu.speed", "Hz", "cpu", false, 800'000'000, 3'800'000'000},
    {"hw.energy", "J", "memory", true, 1'000'000, 90'000'000},
    {"hw.power", "W", "power_supply", false, 200, 3'000},
    {"hw.host.power", "W", "", false, 800, 10'000},
    {"hw.host.energy", "J", "", true, 1'000'000, 900'000'000},
    {"hw.host.ambient_temperature", "Cel", "", false, 15, 35},
});

class RequestMaker {
 public:
  explicit RequestMaker(const Options& o) : o_(o) {
    for (int i = 0; i < 8; ++i)
      parts_.push_back({base::hex64(0x6a5b'0000'9d1fULL + static_cast<unsigned>(i)) + "-gpu", "gpu",
                        "NVIDIA H100 80GB HBM3"});
    for (int i = 0; i < 2; ++i) {
      const std::string n = std::to_string(i);
      parts_.push_back({"cpu" + n, "cpu", "Intel(R) Xeon(R) Platinum 8480C"});
      parts_.push_back({"dimm" + n, "memory", "DDR5 4800"});
      parts_.push_back({"psu" + n, "power_supply", "PSU 3000 W"});
    }
  }

  HttpRequest make() {
    std::string body;
    HttpRequest out;
    while (out.sums.points < o_.request) put_bytes(body, 1, one_server(out.sums));
    if (o_.gzip) body = packed(body);
    out.bytes =
        "POST /v1/metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: OTel-OTLP-Exporter\r\n"
        "Content-Type: application/x-protobuf\r\n" +
        std::string(o_.gzip ? "Content-Encoding: gzip\r\n" : "") +
        "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
    return out;
  }

 private:
  static std::string packed(const std::string& body) {
    z_stream z{};
    deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    std::string out(deflateBound(&z, body.size()) + 64, '\0');
    z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data()));
    z.avail_in = static_cast<uInt>(body.size());
    z.next_out = reinterpret_cast<Bytef*>(out.data());
    z.avail_out = static_cast<uInt>(out.size());
    deflate(&z, Z_FINISH);
    out.resize(z.total_out);
    deflateEnd(&z);
    return out;
  }

  // ResourceMetrics: everything that one server says at one moment.
  std::string one_server(Sums& sums) {
    const std::string node = "gpu-node-" + std::to_string(1'000 + server_++ % 1'250);
    if (server_ % 1'250 == 0) t_ns_ += 10'000'000'000;
    std::string resource, scope, out, metrics;
    put_attribute(resource, 1, "host.id", node);
    put_attribute(resource, 1, "host.name", node + ".cluster.example");
    put_attribute(resource, 1, "service.name", "hw-agent");
    put_attribute(resource, 1, "os.type", "linux");
    put_attribute(resource, 1, "cloud.region", "eu-north-1");
    put_bytes(scope, 1, "hardware");
    put_bytes(scope, 2, "1.4.0");
    put_bytes(metrics, 1, scope);
    for (const MetricKind& kind : kMetrics) put_bytes(metrics, 2, metric(kind, sums));
    put_bytes(out, 1, resource);
    put_bytes(out, 2, metrics);
    return out;
  }

  std::string metric(const MetricKind& kind, Sums& sums) {
    std::string data, out;
    if (*kind.type == 0) put_bytes(data, 1, point(kind, nullptr, sums));
    for (const Part& part : parts_)
      if (part.type == kind.type) put_bytes(data, 1, point(kind, &part, sums));
    if (kind.sum) data += {'\x10', '\x02', '\x18', '\x01'};  // cumulative, monotonic
    put_bytes(out, 1, kind.name);
    put_bytes(out, 3, kind.unit);
    put_bytes(out, kind.sum ? 7 : 5, data);
    return out;
  }

  std::string point(const MetricKind& kind, const Part* part, Sums& sums) {
    std::string out;
    if (part != nullptr) {
      put_attribute(out, 7, "hw.id", part->id);
      put_attribute(out, 7, "hw.type", part->type);
      put_attribute(out, 7, "hw.name", part->name);
    }
    if (kind.sum) put_fixed(out, 2, static_cast<std::uint64_t>(t_ns_ - 3'600'000'000'000));
    put_fixed(out, 3, static_cast<std::uint64_t>(t_ns_ + 1'000 * static_cast<std::int64_t>(sums.points)));
    random_ = random_ * 6364136223846793005ULL + 1442695040888963407ULL;
    const std::int64_t value =
        kind.least +
        static_cast<std::int64_t>((random_ >> 33) % static_cast<std::uint64_t>(kind.most - kind.least + 1));
    put_fixed(out, 4, std::bit_cast<std::uint64_t>(static_cast<double>(value)));
    ++sums.points;
    sums.value += value * kind.scale;
    return out;
  }

  const Options& o_;
  std::vector<Part> parts_;
  std::uint64_t server_ = 0, random_ = 42;
  std::int64_t t_ns_ = 1'777'593'600'000'000'000;
};

// ---- the server, a child process ----

struct Report {
  std::uint64_t port = 0;
  double cpu_s = 0, log_cpu_s = 0, seal_cpu_s = 0;
  std::uint64_t blocks = 0, rows = 0, bytes = 0, groups = 0, unsealed_rows = 0;
  double flush_s = 0;
  std::uint64_t good = 1;
};

class Node {
 public:
  base::Status start(const std::string& directory) {
    PJ_ASSIGN(engine_, bus::Engine::open(base::posix_env(), directory));
    service_ = std::make_unique<api::Service>(base::posix_env(), clock_, engine_.get(),
                                              api::ServiceOptions{directory, "bench"});
    PJ_ASSIGN(http_, api::HttpServer::start(service_->router(), {}));
    return base::ok_status();
  }
  Report report() const {
    const bus::EngineStats e = engine_->stats();
    Report r;
    r.port = http_->port();
    r.cpu_s = bench::processor_seconds();
    r.log_cpu_s = bench::processor_seconds_of("bus-log");
    r.seal_cpu_s = bench::processor_seconds_of("bus-seal");
    r.blocks = e.blocks;
    r.rows = e.rows;
    r.bytes = e.bytes;
    r.groups = e.groups;
    r.unsealed_rows = e.tail_rows;
    return r;
  }
  void seal(Report& report) {
    http_->stop();
    const base::Stopwatch watch;
    report.good = engine_->seal_all().ok() ? 1 : 0;
    report.flush_s = watch.elapsed().value();
  }

 private:
  base::SystemClock clock_;
  std::unique_ptr<bus::Engine> engine_;
  std::unique_ptr<api::Service> service_;
  std::unique_ptr<api::HttpServer> http_;
};

bool put(int fd, const Report& report) { return ::write(fd, &report, sizeof report) == sizeof report; }

// Answers 'r' with a report and 's' when everything is sealed; ends with its parent.
int serve(const std::string& directory, int fd) {
  Node node;
  if (const auto started = node.start(directory); !started.ok())
    return std::fprintf(stderr, "bus_otlp: %s\n", started.error().message().c_str()), 3;
  put(fd, node.report());
  char asked = 0;
  while (::read(fd, &asked, 1) == 1) {
    Report report = node.report();
    if (asked == 's') node.seal(report);
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

// ---- the exporters ----

// One connection that is kept.
class Exporter {
 public:
  explicit Exporter(std::uint16_t port) {
    fd_ = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    good_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0;
  }
  Exporter(const Exporter&) = delete;
  Exporter& operator=(const Exporter&) = delete;
  ~Exporter() { ::close(fd_); }

  // The answer's status; 0 when the connection is gone. Any body it has is read too.
  int send(std::string_view request) {
    while (good_ && !request.empty()) {
      const ssize_t n = ::write(fd_, request.data(), request.size());
      good_ = n > 0;
      if (good_) request.remove_prefix(static_cast<std::size_t>(n));
    }
    answer_.clear();
    while (good_) {
      std::array<char, 4096> bytes;
      const ssize_t n = ::read(fd_, bytes.data(), bytes.size());
      good_ = n > 0;
      if (good_) answer_.append(bytes.data(), static_cast<std::size_t>(n));
      const std::size_t head = answer_.find("\r\n\r\n");
      if (head == std::string::npos) continue;
      const std::size_t field = answer_.find("Content-Length: ");
      if (field > head) return 0;
      if (answer_.size() < head + 4 + std::strtoul(answer_.c_str() + field + 16, nullptr, 10)) continue;
      return std::atoi(answer_.c_str() + 9);
    }
    return 0;
  }
  const std::string& answer() const { return answer_; }

 private:
  int fd_ = -1;
  bool good_ = false;
  std::string answer_;
};

struct Figures {
  Sums sent, found;
  std::vector<double> answers_ms;
  std::uint64_t requests = 0, request_bytes = 0, again = 0, file_bytes = 0;
  double seconds = 0, client_cpu_s = 0;
  bench::DiskRate disk;
  Report server;

  double answer_ms(double share) const {
    return answers_ms.empty()
               ? 0
               : answers_ms[static_cast<std::size_t>(share * static_cast<double>(answers_ms.size() - 1))];
  }
};

// What one connection did.
struct Sent {
  Sums sums;
  std::vector<double> answers_ms;
  std::uint64_t bytes = 0, again = 0;
  std::string fault;
};

// Sends its share of the requests, round and round, until the points that are wanted were taken by somebody.
void export_until(std::atomic<std::int64_t>& wanted, std::span<const HttpRequest> requests,
                  std::uint16_t port, Sent& sent) {
  Exporter exporter(port);
  for (std::size_t i = 0; wanted.load() > 0; ++i) {
    const HttpRequest& request = requests[i % requests.size()];
    if (wanted.fetch_sub(static_cast<std::int64_t>(request.sums.points)) <= 0) return;
    const base::Stopwatch watch;
    int status = exporter.send(request.bytes);
    for (; status == 429; status = exporter.send(request.bytes), ++sent.again)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    if (status != 200) {
      sent.fault = "the answer was " + std::to_string(status) + ": " + exporter.answer();
      wanted = 0;
      return;
    }
    sent.answers_ms.push_back(watch.elapsed().value() * 1e3);
    sent.sums.add(request.sums);
    sent.bytes += request.bytes.size();
  }
}

base::Status send_all(const Options& o, const std::vector<HttpRequest>& requests, Figures& f) {
  std::atomic<std::int64_t> wanted = static_cast<std::int64_t>(o.points);
  std::vector<Sent> sent(o.connections);
  const std::size_t share = requests.size() / o.connections;
  const double cpu = bench::processor_seconds();
  const base::Stopwatch watch;
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < o.connections; ++i)
    threads.emplace_back(export_until, std::ref(wanted), std::span(requests).subspan(i * share, share),
                         static_cast<std::uint16_t>(f.server.port), std::ref(sent[i]));
  for (auto& t : threads) t.join();
  f.seconds = watch.elapsed().value();
  f.client_cpu_s = bench::processor_seconds() - cpu;
  for (const Sent& s : sent) {
    if (!s.fault.empty()) return base::io_error("send metrics", "loopback", s.fault);
    f.sent.add(s.sums);
    f.request_bytes += s.bytes;
    f.again += s.again;
    f.answers_ms.insert(f.answers_ms.end(), s.answers_ms.begin(), s.answers_ms.end());
  }
  f.requests = f.answers_ms.size();
  std::sort(f.answers_ms.begin(), f.answers_ms.end());
  return base::ok_status();
}

base::Status read_back(const std::string& directory, Figures& f) {
  PJ_ASSIGN(const auto store, bus::StoreReader::open(base::posix_env(), directory));
  for (const auto& e : store.manifest().segments) f.file_bytes += e.summary.bytes;
  return store.scan({bus::Table::kSamples, {"value"}, {}}, [&](const bus::Batch& b) {
    f.found.points += b.rows;
    for (const double v : b.columns[0].doubles) f.found.value += static_cast<std::int64_t>(v);
    return base::ok_status();
  });
}

base::Status run(const Options& o, Figures& f) {
  Child child;
  const auto lost = [&] { return base::io_error("run the server", o.directory, "the child process ended"); };
  if (!child.start(o.directory)) return lost();
  RequestMaker maker(o);
  std::vector<HttpRequest> requests;
  // Enough that neither side finds them in its caches, and not more than some hundred megabytes.
  const std::size_t each = std::clamp<std::size_t>(1'000'000 / (o.request * o.connections), 1, 256);
  for (std::size_t i = 0; i < each * o.connections; ++i) requests.push_back(maker.make());
  const auto started = child.read();
  if (!started) return lost();
  PJ_ASSIGN(f.disk, bench::raw_disk_rate(std::filesystem::path(o.directory).parent_path()));
  const auto before = child.ask('r');
  f.server = *started;
  PJ_TRY(send_all(o, requests, f));
  const auto after = child.ask('r');
  if (!before || !after) return lost();
  f.server = *after;
  f.server.cpu_s -= before->cpu_s;
  const auto sealed = child.ask('s');
  if (!sealed || sealed->good != 1) return lost();
  f.server.flush_s = sealed->flush_s;
  return base::ok_status();
}

void print(const Options& o, const Figures& f) {
  const bench::MachineFacts m = bench::machine_facts();
  const Report& s = f.server;
  const auto points = static_cast<double>(f.sent.points);
  const double millions = points * 1e-6;
  const auto u = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  const char* form =
      o.json
          ? "{\"points\": %llu, \"requests\": %llu, \"connections\": %llu, \"gzip\": %s, "
            "\"bytes_per_point\": "
            "%.1f, \"points_per_s\": %.0f, \"sustained_points_per_s\": %.0f, \"unsealed_rows\": %llu, "
            "\"answer_p50_ms\": %.2f, \"answer_p99_ms\": %.2f, \"answer_max_ms\": %.2f, "
            "\"client_cpu_s_per_m\": %.3f, \"server_cpu_s_per_m\": %.3f, \"log_cpu_s_per_m\": %.3f, "
            "\"seal_cpu_s_per_m\": %.3f, \"groups\": %llu, \"blocks\": %llu, \"block_bytes_per_point\": "
            "%.2f, "
            "\"file_bytes_per_point\": %.2f, \"again\": %llu, \"disk_mb_per_s\": %.0f, \"disk_median_ms\": "
            "%.2f, \"cpu\": \"%s\", \"cores\": %u, \"memory_mib\": %lld, \"load\": \"%s\"}\n"
          : "%llu points in %llu requests over %llu connections, gzip %s, %.1f bytes a point on the wire\n"
            "%.0f points/s durable, %.0f/s with sealing the last %llu rows\n"
            "answers p50 %.2f ms, p99 %.2f ms, largest %.2f ms\n"
            "processor seconds per million: client %.3f, server %.3f, of it log %.3f and sealing %.3f\n"
            "%llu groups, %llu blocks, %.2f bytes a point in the log, %.2f sealed; sent again %llu times\n"
            "the disk alone: %.0f MB/s, 4 MiB in %.2f ms; %s, %u cores, %lld MiB, load %s\n";
  std::printf(form, u(f.sent.points), u(f.requests), u(o.connections), o.gzip ? "true" : "false",
              static_cast<double>(f.request_bytes) / points, points / f.seconds,
              points / (f.seconds + s.flush_s), u(s.unsealed_rows), f.answer_ms(0.5), f.answer_ms(0.99),
              f.answer_ms(1), f.client_cpu_s / millions, s.cpu_s / millions, s.log_cpu_s / millions,
              s.seal_cpu_s / millions, u(s.groups), u(s.blocks), static_cast<double>(s.bytes) / points,
              static_cast<double>(f.file_bytes) / points, u(f.again), f.disk.mb_per_s, f.disk.median_ms,
              m.cpu.c_str(), m.cores, static_cast<long long>(m.memory_mib), m.load.c_str());
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--json" || a == "--gzip") {
      (a == "--json" ? o.json : o.gzip) = true;
      continue;
    }
    if (++i == argc) return false;
    if (a == "--directory") {
      o.directory = argv[i];
      continue;
    }
    const auto n = base::parse_int(argv[i]);
    std::uint64_t* into = a == "--points"        ? &o.points
                          : a == "--request"     ? &o.request
                          : a == "--connections" ? &o.connections
                                                 : nullptr;
    if (into == nullptr || !n || *n <= 0) return false;
    *into = static_cast<std::uint64_t>(*n);
  }
  return o.request <= 60'000 && o.connections <= 250;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fprintf(
        stderr,
        "bus_otlp [--points N] [--request N (at most 60000)] [--connections N (at most 250)] [--gzip] "
        "[--directory DIR] [--json]\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  std::filesystem::remove_all(o.directory);
  Figures f;
  base::Status done = run(o, f);
  if (done.ok()) done = read_back(o.directory, f);
  std::filesystem::remove_all(o.directory);
  if (!done.ok()) return std::fprintf(stderr, "bus_otlp: %s\n", done.error().message().c_str()), 3;
  print(o, f);
  if (f.sent == f.found) return 0;
  std::fprintf(stderr, "bus_otlp: %llu points with the sum %lld sent, %llu with %lld found\n",
               static_cast<unsigned long long>(f.sent.points), static_cast<long long>(f.sent.value),
               static_cast<unsigned long long>(f.found.points), static_cast<long long>(f.found.value));
  return 1;
}
