// Whether the bus answers its fixed questions in time over a store, at rest and while events arrive.
//   bus_answers [--events N] [--while-rate R] [--seconds T] [--asks K] [--threads T] [--seed S] [--directory
//   DIR]
//   [--query Q1] [--no-check]
// The store is made if DIR has none (of N events, seed 1), and stays as it is: events arrive in a twin beside
// it, which has the same files. Asked are:
//   at rest   every question K times, each time with other parameters (seeded)
//   cold      files not in the page cache, nothing open: from opening the store to the first answer, 3 times
//   arriving  the same as at rest while another process sends R events a second over the wire, which the
//             store's own process takes, writes durably, seals and sums. The time begins before the look at
//             what is stored now; the reported questions follow when the others have been asked
// Answers are compared with brute force: all at rest; Q1, Q2 and Q4 (its past) while events arrive; and all
// but Q5 again when no more arrive. Exit status: 0 equal, 1 an answer is wrong, 2 for a bad command line, 3
// when the folder cannot be used or a process fails. A target that is not met is printed and no failure.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "bench/bus/arrivals.hpp"
#include "bench/bus/machine.hpp"
#include "bench/bus/peers/perjoule.hpp"
#include "bench/bus/questions.hpp"
#include "bus/engine.hpp"
#include "wire/server.hpp"

namespace {

namespace base = perjoule::base;
namespace bench = perjoule::bench;
namespace bus = perjoule::bus;
namespace fs = std::filesystem;
namespace wire = perjoule::wire;
using bench::QueryId;

constexpr double kTargetMs = 1000;
constexpr int kColdAsks = 3, kReportedAsks = 5;
constexpr auto kHeadStart = std::chrono::seconds(5);  // of what arrives before the first question

struct Options {
  bench::GeneratorOptions stream;
  std::string directory = (fs::temp_directory_path() / "perjoule-bench-query").string();
  double rate = 0, seconds = 90;
  int asks = 20, threads = 2;
  std::uint64_t seed = 7;
  std::string query;  // empty: all
  bool check = true;
};

struct Question {
  QueryId id = QueryId::kRequest;
  bool rollups = true;
  bool required = true;  // to be answered within kTargetMs
  std::string name() const { return std::string(bench::query_name(id)) + (rollups ? "" : "-raw"); }
  // Has parameters that change.
  bool varies() const { return id <= QueryId::kDeviceSignals; }
};

std::vector<Question> questions(const Options& o) {
  std::vector<Question> out;
  for (const QueryId id : bench::all_queries())
    out.push_back({id, true, id != QueryId::kHotRequests && id != QueryId::kAudit});
  out.push_back({QueryId::kHeatMap, false, false});
  std::erase_if(out, [&](const Question& q) { return !o.query.empty() && q.name() != o.query; });
  return out;
}

// What was measured of one question in one state of the store.
struct Times {
  std::vector<double> ms;
  std::uint64_t rows = 0, bytes = 0;  // of the last one
  std::size_t compared = 0;
  std::string wrong;

  double at(double share) {
    if (ms.empty()) return 0;
    std::sort(ms.begin(), ms.end());
    const auto rank = static_cast<std::size_t>(share * static_cast<double>(ms.size()) + 0.999999);
    return ms[std::clamp<std::size_t>(rank, 1, ms.size()) - 1];
  }
};

// ---- what is right ----

class Expected {
 public:
  Expected(const Options& o, const std::vector<Question>& asked,
           const std::vector<bench::QueryParams>& params)
      : o_(o) {
    for (const Question& q : asked) {
      if (q.id == QueryId::kHotRequests) {
        hot_.emplace().add(q.id, params[0]);
        continue;
      }
      for (std::size_t i = 0; i < (q.varies() ? params.size() : 1); ++i) scans_.add(q.id, params[i]);
    }
    take_stream();
    at_rest_ = scans_.answers();
  }
  // The batches that arrived are there too from now on.
  void add_arrived(std::uint64_t batches) {
    bench::Generator generator(bench::arriving_stream());
    bench::EventBatch batch;
    for (std::uint64_t i = 0; i < batches; ++i) {
      generator.fill(static_cast<std::int64_t>(i), batch);
      bench::move_to_arrival(batch);
      scans_.take(batch);
    }
    at_rest_ = scans_.answers();
  }
  // In the order of the questions; of Q5 at rest only.
  const bench::Answer& of_hot() const { return *hot_answer_; }
  const bench::Answer& operator[](std::size_t i) const { return at_rest_[i]; }

 private:
  void take_stream() {
    bench::EventBatch batch;
    for (bool first = true, more = true; more; first = false) {
      bench::Generator generator(o_.stream);
      for (std::int64_t i = 0; i < generator.batches(); ++i) {
        generator.fill(i, batch);
        if (first) scans_.take(batch);
        if (hot_) hot_->take(batch);
      }
      more = hot_ && hot_->next_pass();
    }
    if (hot_) hot_answer_ = hot_->answers()[0];
    hot_.reset();
  }

  const Options& o_;
  bench::ScanSet scans_;
  std::optional<bench::ScanSet> hot_;
  std::vector<bench::Answer> at_rest_;
  std::optional<bench::Answer> hot_answer_;
};

// What of a device's timeline lies before anything arrived.
bench::Answer past_of(bench::Answer answer) {
  constexpr std::int64_t kBucket = bench::kArrivingFromNs / bench::kBucketNs;
  const auto buckets = answer.columns[1].numbers;
  for (auto& column : answer.columns) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < buckets.size(); ++i) {
      if (buckets[i] < kBucket) column.numbers[kept++] = column.numbers[i];
    }
    column.numbers.resize(kept);
  }
  return answer;
}

// ---- asking ----

class Asker {
 public:
  Asker(const Options& o, std::vector<Question> asked, std::vector<bench::QueryParams> params)
      : o_(o), asked_(std::move(asked)), params_(std::move(params)) {
    for (std::size_t i = 0, place = 0; i < asked_.size(); ++i) {
      places_.push_back(place);
      if (asked_[i].id != QueryId::kHotRequests) place += asked_[i].varies() ? params_.size() : 1;
    }
  }
  const std::vector<Question>& asked() const { return asked_; }
  void expect(const Expected* expected) { expected_ = expected; }

  enum class Check : std::uint8_t { kAll, kPast, kNothing };
  // Number `round` of question `i`. `refresh` before it, within the time.
  base::Status ask(bus::QuerySession& session, std::size_t i, std::size_t round, Check check, Times& times,
                   const std::function<base::Status()>& refresh = {}) const {
    const Question& q = asked_[i];
    const std::size_t p = q.varies() ? round % params_.size() : 0;
    const base::Stopwatch watch;
    if (refresh) PJ_TRY(refresh());
    PJ_ASSIGN(bench::Answer answer, bench::ask_perjoule(session, q.id, params_[p], q.rollups));
    times.ms.push_back(watch.elapsed().value() * 1e3);
    times.rows = session.stats().rows;
    times.bytes = session.stats().bytes;
    if (expected_ == nullptr || check == Check::kNothing) return base::ok_status();
    if (check == Check::kPast && q.id > QueryId::kTenantModel && q.id != QueryId::kDeviceSignals)
      return base::ok_status();
    if (check == Check::kPast && q.id == QueryId::kDeviceSignals) answer = past_of(std::move(answer));
    const bench::Answer& right =
        q.id == QueryId::kHotRequests ? expected_->of_hot() : (*expected_)[places_[i] + p];
    const std::string wrong = bench::difference(answer, right);
    ++times.compared;
    if (!wrong.empty() && times.wrong.empty()) times.wrong = wrong;
    return base::ok_status();
  }

 private:
  const Options& o_;
  const std::vector<Question> asked_;
  const std::vector<bench::QueryParams> params_;
  std::vector<std::size_t> places_;  // in Expected
  const Expected* expected_ = nullptr;
};

int asks_of(const Options& o, const Question& q) { return q.required ? o.asks : kReportedAsks; }

bus::QueryOptions query_options(const Options& o) {
  bus::QueryOptions out;
  out.threads = static_cast<unsigned>(o.threads);
  return out;
}

base::Status ask_at_rest(const Options& o, const Asker& asker, std::vector<Times>& times) {
  PJ_ASSIGN(const auto session, bus::QuerySession::open(base::posix_env(), o.directory, query_options(o)));
  for (std::size_t i = 0; i < asker.asked().size(); ++i) {
    Times first;  // opens files, reads dictionaries
    PJ_TRY(asker.ask(*session, i, 0, Asker::Check::kNothing, first));
    for (int k = 0; k < asks_of(o, asker.asked()[i]); ++k)
      PJ_TRY(asker.ask(*session, i, static_cast<std::size_t>(k), Asker::Check::kAll, times[i]));
  }
  return base::ok_status();
}

// Only what nobody has mapped goes.
void drop_from_cache(const std::string& directory) {
  for (const auto& entry : fs::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const int file = ::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC);
    if (file < 0) continue;
    ::fdatasync(file);
    ::posix_fadvise(file, 0, 0, POSIX_FADV_DONTNEED);
    ::close(file);
  }
}

base::Status ask_cold(const Options& o, const Asker& asker, std::vector<Times>& times) {
  for (std::size_t i = 0; i < asker.asked().size(); ++i) {
    for (int k = 0; k < kColdAsks; ++k) {
      drop_from_cache(o.directory);
      const base::Stopwatch watch;
      PJ_ASSIGN(const auto session,
                bus::QuerySession::open(base::posix_env(), o.directory, query_options(o)));
      PJ_TRY(asker.ask(*session, i, static_cast<std::size_t>(k), Asker::Check::kNothing, times[i]));
      times[i].ms.back() = watch.elapsed().value() * 1e3;
    }
  }
  return base::ok_status();
}

// ---- while events arrive ----

// The store's files under another name: sealed ones are never changed.
void make_twin(const std::string& from, const std::string& to) {
  fs::remove_all(to);
  for (const auto& entry : fs::recursive_directory_iterator(from)) {
    const fs::path place = to / fs::relative(entry.path(), from);
    if (entry.is_directory()) {
      fs::create_directories(place);
    } else if (entry.path().extension() == ".parquet") {
      fs::create_hard_link(entry.path(), place);
    } else if (entry.path().filename() != "writer.lock" &&
               !entry.path().filename().string().starts_with("spare-")) {
      fs::copy_file(entry.path(), place);
    }
  }
}

class LiveStore {
 public:
  base::Status open(const Options& o, const std::string& directory) {
    PJ_ASSIGN(engine_, bus::Engine::open(base::posix_env(), directory));
    PJ_ASSIGN(server_, wire::Server::start(*engine_));
    PJ_ASSIGN(auto store, bus::StoreReader::open(base::posix_env(), directory, engine_->snapshot()));
    session_ = std::make_unique<bus::QuerySession>(std::move(store), query_options(o));
    return base::ok_status();
  }
  std::uint16_t port() const { return server_->port(); }
  bus::QuerySession& session() { return *session_; }
  base::Status refresh() { return session_->refresh(engine_->snapshot()); }
  bus::EngineStats stats() const { return engine_->stats(); }
  void stop() { server_->stop(); }

 private:
  std::unique_ptr<bus::Engine> engine_;
  std::unique_ptr<wire::Server> server_;
  std::unique_ptr<bus::QuerySession> session_;
};

struct Live {
  bench::ArrivalReport arrivals;
  bool outlasted = false;  // all had been sent before the last question
  std::uint64_t most_tail_rows = 0;
  bus::EngineStats stats;
};

// Rounds of all questions that must be answered in time, then of the others.
base::Status ask_in_rounds(const Options& o, const Asker& asker, LiveStore& store,
                           const bench::Arrivals& arrivals, std::vector<Times>& times, Live& live) {
  const auto refresh = [&] { return store.refresh(); };
  for (const bool required : {true, false}) {
    for (int k = 0; k < (required ? o.asks : kReportedAsks); ++k) {
      for (std::size_t i = 0; i < asker.asked().size(); ++i) {
        if (asker.asked()[i].required != required) continue;
        PJ_TRY(asker.ask(store.session(), i, static_cast<std::size_t>(k), Asker::Check::kPast, times[i],
                         refresh));
        live.most_tail_rows = std::max(live.most_tail_rows, store.stats().tail_rows);
      }
    }
    if (required) live.outlasted = arrivals.has_ended();
  }
  return base::ok_status();
}

base::Status ask_while_arriving(const Options& o, Asker& asker, bench::Arrivals& arrivals, Expected* expected,
                                std::vector<Times>& times, std::vector<Times>& after, Live& live) {
  const std::string twin = o.directory + ".live";
  make_twin(o.directory, twin);
  {
    LiveStore store;
    PJ_TRY(store.open(o, twin));
    if (!arrivals.begin(store.port())) return base::io_error("send events", twin, "the process ended");
    std::this_thread::sleep_for(kHeadStart);
    PJ_TRY(ask_in_rounds(o, asker, store, arrivals, times, live));
    live.arrivals = arrivals.end();
    live.stats = store.stats();
    if (live.arrivals.failed) return base::io_error("send events", twin, "the process failed");
    if (expected != nullptr) {
      expected->add_arrived(live.arrivals.batches);
      PJ_TRY(store.refresh());
      for (std::size_t i = 0; i < asker.asked().size(); ++i) {
        if (asker.asked()[i].id == QueryId::kHotRequests) continue;
        for (int k = 0; k < asks_of(o, asker.asked()[i]); ++k)
          PJ_TRY(asker.ask(store.session(), i, static_cast<std::size_t>(k), Asker::Check::kAll, after[i]));
      }
    }
    store.stop();
  }
  fs::remove_all(twin);
  return base::ok_status();
}

// ---- the table ----

bool print(const char* state, const std::vector<Question>& asked, std::vector<Times>& times) {
  bool equal = true;
  for (std::size_t i = 0; i < asked.size(); ++i) {
    Times& t = times[i];
    if (t.ms.empty()) continue;
    const double p95 = t.at(0.95);
    const char* verdict = !asked[i].required ? "reported" : p95 < kTargetMs ? "met" : "NOT MET";
    std::printf(
        "%-9s %-10s %3zu asked  p50 %9.2f  p95 %9.2f  max %9.2f ms  %11llu rows  %8.2f MB  %s  %s%s\n", state,
        asked[i].name().c_str(), t.ms.size(), t.at(0.5), p95, t.at(1),
        static_cast<unsigned long long>(t.rows), static_cast<double>(t.bytes) / 1e6, verdict,
        t.compared == 0   ? "not compared"
        : t.wrong.empty() ? (std::to_string(t.compared) + " equal").c_str()
                          : "WRONG: ",
        t.wrong.c_str());
    equal = equal && t.wrong.empty();
  }
  std::fflush(stdout);
  return equal;
}

void print(const Options& o, const Live& live) {
  const auto& a = live.arrivals;
  std::printf(
      "arrived: %llu events at %.0f/s (asked for %.0f/s)%s; answers p50 %.2f, p99 %.2f, largest %.2f ms; "
      "busy %llu "
      "times; sender %.3f processor seconds per million; %llu rows sealed in %llu files meanwhile, at most "
      "%llu "
      "not sealed\n",
      static_cast<unsigned long long>(a.events), static_cast<double>(a.events) / std::max(a.seconds, 1e-9),
      o.rate, live.outlasted ? "; THEY ENDED BEFORE THE LAST REQUIRED QUESTION, take more --seconds" : "",
      a.p50_ms, a.p99_ms, a.max_ms, static_cast<unsigned long long>(a.busy),
      a.cpu_s / std::max(static_cast<double>(a.events) * 1e-6, 1e-9),
      static_cast<unsigned long long>(live.stats.sealed_rows),
      static_cast<unsigned long long>(live.stats.sealed_files),
      static_cast<unsigned long long>(live.most_tail_rows));
}

base::Result<bool> run(const Options& o) {
  // Before there are threads.
  bench::Arrivals arrivals;
  if (o.rate > 0 && !arrivals.start(o.rate, o.seconds))
    return base::io_error("send events", o.directory, "no process can be started");
  PJ_TRY(bench::make_perjoule_store(o.stream, o.directory));
  Asker asker(o, questions(o), bench::draw_params(o.stream, static_cast<std::size_t>(o.asks), o.seed));
  std::optional<Expected> expected;
  if (o.check) {
    expected.emplace(o, asker.asked(),
                     bench::draw_params(o.stream, static_cast<std::size_t>(o.asks), o.seed));
    asker.expect(&*expected);
  }
  if (o.rate > 0 && !arrivals.wait_ready())
    return base::io_error("send events", o.directory, "the process ended");
  const auto machine = bench::machine_facts();
  std::printf("%s, %u cores, load %s; %lld events; target: p95 below %.0f ms\n", machine.cpu.c_str(),
              machine.cores, machine.load.c_str(), static_cast<long long>(o.stream.events), kTargetMs);
  bool equal = true;
  std::vector<Times> rest(asker.asked().size()), cold = rest, live = rest, after = rest;
  PJ_TRY(ask_at_rest(o, asker, rest));
  equal = print("at rest", asker.asked(), rest) && equal;
  PJ_TRY(ask_cold(o, asker, cold));
  equal = print("cold", asker.asked(), cold) && equal;
  if (o.rate > 0) {
    Live facts;
    PJ_TRY(ask_while_arriving(o, asker, arrivals, expected ? &*expected : nullptr, live, after, facts));
    equal = print("arriving", asker.asked(), live) && equal;
    print(o, facts);
    equal = print("after", asker.asked(), after) && equal;
  }
  return equal;
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--no-check") {
      o.check = false;
      continue;
    }
    if (i + 1 >= argc) return false;
    const std::string value = argv[++i];
    const auto n = base::parse_int(value);
    if (a == "--directory") {
      o.directory = fs::absolute(value).string();
    } else if (a == "--query") {
      o.query = value;
    } else if (!n || *n <= 0) {
      return false;
    } else if (a == "--events") {
      o.stream.events = *n;
    } else if (a == "--while-rate") {
      o.rate = static_cast<double>(*n);
    } else if (a == "--seconds") {
      o.seconds = static_cast<double>(*n);
    } else if (a == "--asks") {
      o.asks = static_cast<int>(*n);
    } else if (a == "--threads") {
      o.threads = static_cast<int>(*n);
    } else if (a == "--seed") {
      o.seed = static_cast<std::uint64_t>(*n);
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
    std::fprintf(
        stderr,
        "bus_answers [--events N] [--while-rate R] [--seconds T] [--asks K] [--threads T] [--seed S] "
        "[--directory DIR] [--query Q1] [--no-check]\n");
    return 2;
  }
  std::signal(SIGPIPE, SIG_IGN);
  const auto done = run(o);
  if (done.ok()) return *done ? 0 : 1;
  std::fprintf(stderr, "bus_answers: %s\n", done.error().message().c_str());
  return base::exit_status(done.error().kind);
}
