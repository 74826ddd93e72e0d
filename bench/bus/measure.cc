#include "bench/bus/measure.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "base/clock.hpp"
#include "bench/bus/machine.hpp"

namespace perjoule::bench {
namespace {

using nlohmann::json;
// A question is not repeated for longer than this.
constexpr double kRepeatSeconds = 10;

json to_json(const QueryResult& q) {
  return {{"id", static_cast<int>(q.id)},
          {"median_ms", q.median_ms},
          {"least_ms", q.least_ms},
          {"cpu_ms", q.cpu_ms},
          {"runs", q.runs},
          {"rows", q.rows},
          {"wrong", q.wrong}};
}
QueryResult query_result(const json& in) {
  return {static_cast<QueryId>(in.at("id").get<int>()),
          in.at("median_ms"),
          in.at("least_ms"),
          in.at("cpu_ms"),
          in.at("runs"),
          in.at("rows"),
          in.at("wrong")};
}
json to_json(const PeerResult& r) {
  json out = {{"peer", r.peer},
              {"settings", r.settings},
              {"missing", r.missing},
              {"failed", r.failed},
              {"load_s", r.load_s},
              {"load_cpu_s", r.load_cpu_s},
              {"finish_s", r.finish_s},
              {"settle_s", r.settle_s},
              {"settle_cpu_s", r.settle_cpu_s},
              {"bytes", r.bytes},
              {"written", r.written_bytes},
              {"memory_mib", r.memory_mib},
              {"others_loading", r.others_loading},
              {"others_asking", r.others_asking}};
  out["queries"] = json::array();
  for (const auto& q : r.queries) out["queries"].push_back(to_json(q));
  return out;
}
PeerResult peer_result(const json& in) {
  PeerResult out;
  out.peer = in.at("peer");
  out.settings = in.at("settings");
  out.missing = in.at("missing");
  out.failed = in.at("failed");
  out.load_s = in.at("load_s");
  out.load_cpu_s = in.at("load_cpu_s");
  out.finish_s = in.at("finish_s");
  out.settle_s = in.at("settle_s");
  out.settle_cpu_s = in.at("settle_cpu_s");
  out.bytes = in.at("bytes");
  out.written_bytes = in.at("written");
  out.memory_mib = in.at("memory_mib");
  out.others_loading = in.at("others_loading");
  out.others_asking = in.at("others_asking");
  for (const auto& q : in.at("queries")) out.queries.push_back(query_result(q));
  return out;
}

// Wall and processor time, the making of batches taken off.
class LoadClock {
 public:
  void making(bool begins) {
    const double wall = watch_.elapsed().value(), cpu = processor_seconds();
    if (begins) {
      wall_begin_ = wall;
      cpu_begin_ = cpu;
    } else {
      wall_off_ += wall - wall_begin_;
      // While a batch is made the engine's own threads may work too: what is over one thread's time is
      // theirs.
      cpu_off_ += std::min(cpu - cpu_begin_, wall - wall_begin_);
    }
  }
  double wall_s() const { return watch_.elapsed().value() - wall_off_; }
  double cpu_s() const { return processor_seconds() - cpu_at_start_ - cpu_off_; }

 private:
  base::Stopwatch watch_;
  double cpu_at_start_ = processor_seconds();
  double wall_begin_ = 0, cpu_begin_ = 0, wall_off_ = 0, cpu_off_ = 0;
};

// Cores that other processes keep busy from its making on.
class Others {
 public:
  double cores() const {
    const double others = (machine_busy_seconds() - busy_) - (processor_seconds() - own_);
    return std::max(0.0, others / watch_.elapsed().value());
  }

 private:
  base::Stopwatch watch_;
  double busy_ = machine_busy_seconds(), own_ = processor_seconds();
};

base::Status load(Peer& peer, const Stream& stream, PeerResult& out) {
  const std::int64_t written = written_bytes();
  const Others others;
  LoadClock clock;
  PJ_TRY(stream.deliver([&](const EventBatch& batch) { return peer.append(batch); },
                        [&](bool begins) { clock.making(begins); }));
  const double appended = clock.wall_s();
  PJ_TRY(peer.finish());
  out.load_s = clock.wall_s();
  out.load_cpu_s = clock.cpu_s();
  out.finish_s = out.load_s - appended;
  out.others_loading = others.cores();
  const LoadClock after;
  PJ_TRY(peer.settle());
  out.settle_s = after.wall_s();
  out.settle_cpu_s = after.cpu_s();
  out.written_bytes = written_bytes() - written;
  out.bytes = static_cast<std::int64_t>(peer.bytes_on_disk());
  return base::ok_status();
}

// The first run warms up; all are checked.
base::Status ask(Peer& peer, QueryId id, const QueryParams& params, const Answer& expected, int repeat,
                 QueryResult& out) {
  out.id = id;
  std::vector<double> ms;
  double cpu_s = 0;
  const base::Stopwatch all;
  for (int run = 0; run <= repeat; ++run) {
    const double cpu_before = processor_seconds();
    const base::Stopwatch watch;
    auto answer = peer.query(id, params);
    const double took = watch.elapsed().value() * 1e3;
    if (run > 0) cpu_s += processor_seconds() - cpu_before;
    if (!answer.ok()) return std::move(answer).error();
    out.rows = static_cast<std::int64_t>(answer.value().rows());
    if (out.wrong.empty()) out.wrong = difference(answer.value(), expected);
    if (run > 0) ms.push_back(took);
    if (run > 0 && all.elapsed().value() > kRepeatSeconds) break;
  }
  std::sort(ms.begin(), ms.end());
  out.runs = static_cast<int>(ms.size());
  out.median_ms = ms[ms.size() / 2];
  out.least_ms = ms.front();
  out.cpu_ms = cpu_s * 1e3 / out.runs;
  return base::ok_status();
}

base::Status measure(Peer& peer, const Stream& stream, const std::string& directory,
                     std::span<const QueryId> ids, const QueryParams& params,
                     std::span<const Answer> expected, int repeat, PeerResult& out) {
  const std::int64_t resident = resident_mib();
  PJ_TRY(peer.open(directory));
  out.settings = peer.name_version_settings();
  PJ_TRY(load(peer, stream, out));
  const Others others;
  for (std::size_t i = 0; i < ids.size(); ++i)
    PJ_TRY(ask(peer, ids[i], params, expected[i], repeat, out.queries.emplace_back()));
  out.others_asking = others.cores();
  // The stream that is held in memory is mapped in the child too.
  out.memory_mib = greatest_resident_mib() - resident;
  return base::ok_status();
}

// Writes all of `text` to the pipe; the parent sees a cut end as a failure.
void send(int pipe, const std::string& text) {
  for (std::size_t sent = 0; sent < text.size();) {
    const ssize_t n = ::write(pipe, text.data() + sent, text.size() - sent);
    if (n <= 0) return;
    sent += static_cast<std::size_t>(n);
  }
}

std::string receive(int pipe) {
  std::string out;
  char part[4096];
  for (ssize_t n = 0; (n = ::read(pipe, part, sizeof(part))) > 0;)
    out.append(part, static_cast<std::size_t>(n));
  return out;
}

PeerResult ended_early(const std::string& name, int status) {
  PeerResult out;
  out.peer = name;
  out.failed = WIFSIGNALED(status) ? "killed by signal " + std::to_string(WTERMSIG(status))
                                   : "ended with status " + std::to_string(WEXITSTATUS(status));
  return out;
}

// Runs `work` in a child and brings its result back.
PeerResult in_child(const std::string& name, const std::function<PeerResult()>& work) {
  int ends[2];
  if (::pipe(ends) != 0) return ended_early(name, 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(ends[0]);
    send(ends[1], to_json(work()).dump());
    // Engines with threads of their own do not always end well; nothing is left to be done.
    ::_exit(0);
  }
  ::close(ends[1]);
  const std::string text = child < 0 ? "" : receive(ends[0]);
  ::close(ends[0]);
  int status = 0;
  if (child > 0) ::waitpid(child, &status, 0);
  const json parsed = json::parse(text, nullptr, false);
  return parsed.is_discarded() ? ended_early(name, status) : peer_result(parsed);
}

}  // namespace

bool PeerResult::ok() const {
  return failed.empty() &&
         std::all_of(queries.begin(), queries.end(), [](const auto& q) { return q.wrong.empty(); });
}

Stream::Stream(const GeneratorOptions& options) : options_(options) {
  Generator generator(options);
  EventBatch batch;
  generator.fill(0, batch);
  const auto batches = static_cast<std::size_t>(generator.batches());
  const auto needed = static_cast<std::int64_t>(batch.bytes() * batches);
  const double begin = processor_seconds();
  const auto spent_ns = [&] { return (processor_seconds() - begin) * 1e9; };
  if (needed >> 20 <= machine_facts().available_mib / 2) {
    held_.resize(batches);
    for (std::size_t i = 0; i < batches; ++i) generator.fill(static_cast<std::int64_t>(i), held_[i]);
    generate_ns_per_event_ = spent_ns() / static_cast<double>(options.events);
    return;
  }
  const std::int64_t some = std::min<std::int64_t>(generator.batches(), 100);
  for (std::int64_t i = 0; i < some; ++i) generator.fill(i, batch);
  generate_ns_per_event_ = spent_ns() / static_cast<double>(some * kBatchEvents);
}

base::Status Stream::deliver(const std::function<base::Status(const EventBatch&)>& take,
                             const std::function<void(bool)>& making) const {
  Generator generator(options_);
  EventBatch made;
  const auto hand_over = [&](std::int64_t i) {
    if (in_memory()) return take(held_[static_cast<std::size_t>(i)]);
    making(true);
    generator.fill(i, made);
    making(false);
    return take(made);
  };
  for (std::int64_t i = 0; i < generator.batches(); ++i) {
    PJ_TRY(hand_over(i));
    if (i > 0 && generator.is_resent(i - 1)) PJ_TRY(hand_over(i - 1));
  }
  return base::ok_status();
}

PeerResult measure_peer(const std::string& name,
                        const std::function<base::Result<std::unique_ptr<Peer>>()>& make,
                        const Stream& stream, const std::string& directory, std::span<const QueryId> ids,
                        const QueryParams& params, std::span<const Answer> expected, int repeat) {
  std::filesystem::remove_all(directory);
  std::filesystem::create_directories(directory);
  PeerResult result = in_child(name, [&] {
    PeerResult out;
    out.peer = name;
    auto peer = make();
    if (!peer.ok()) {
      out.missing = peer.error().message();
      return out;
    }
    const auto status = measure(*peer.value(), stream, directory, ids, params, expected, repeat, out);
    if (!status.ok()) out.failed = status.error().message();
    // A peer is not closed: the process ends at once, and some cannot be.
    static_cast<void>(peer.value().release());
    return out;
  });
  std::error_code ignored;
  std::filesystem::remove_all(directory, ignored);
  return result;
}

}  // namespace perjoule::bench
