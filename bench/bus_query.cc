// What each fixed query of our own engine costs on the bus's stream, and which pages it reads.
//   bus_query [--events N] [--repeat R] [--threads T] [--directory DIR] [--query Q1] [--no-check]
// The store is made if DIR has none (of N events, seed 1), and stays there. Warm: the first answer is not
// counted. Every answer is compared with a brute-force one, unless --no-check. Exit status: 0 equal, 1 an
// answer is wrong, 2 for a bad command line, 3 when the folder cannot be used.
#include <sys/resource.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "bench/bus/machine.hpp"
#include "bench/bus/peers/perjoule.hpp"
#include "bench/bus/reference.hpp"

namespace {

namespace base = perjoule::base;
namespace bench = perjoule::bench;
namespace bus = perjoule::bus;

struct Options {
  bench::GeneratorOptions stream;
  std::string directory = (std::filesystem::temp_directory_path() / "perjoule-bench-query").string();
  int repeat = 15, threads = 2;
  std::string query;  // empty: all
  bool check = true;
};

double cpu_ms() {
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  const auto ms = [](const timeval& t) {
    return 1e3 * static_cast<double>(t.tv_sec) + 1e-3 * static_cast<double>(t.tv_usec);
  };
  return ms(used.ru_utime) + ms(used.ru_stime);
}

// Pages read by column of the table that was asked last.
std::string pages_text(const bus::QueryStats& stats) {
  std::string out;
  for (std::size_t c = 0; c < stats.pages.size(); ++c) {
    if (stats.pages[c] != 0) out += " " + std::to_string(c) + ":" + std::to_string(stats.pages[c]);
  }
  return out;
}

base::Result<bool> measure(const Options& o, bus::QuerySession& session, bench::QueryId id,
                           const bench::QueryParams& params, const bench::Answer* expected) {
  std::vector<double> times;
  const base::Stopwatch first_watch;
  PJ_ASSIGN(bench::Answer answer, bench::ask_perjoule(session, id, params));
  const double first = first_watch.elapsed().value() * 1e3;
  const double cpu = cpu_ms();
  for (int i = 0; i < o.repeat; ++i) {
    const base::Stopwatch watch;
    PJ_ASSIGN(answer, bench::ask_perjoule(session, id, params));
    times.push_back(watch.elapsed().value() * 1e3);
  }
  const double cpu_each = (cpu_ms() - cpu) / o.repeat;
  std::sort(times.begin(), times.end());
  const auto& stats = session.stats();
  const double rows = static_cast<double>(std::max<std::uint64_t>(stats.rows, 1));
  const std::string wrong = expected == nullptr ? "" : bench::difference(answer, *expected);
  std::printf(
      "%-10s median %9.3f ms  least %9.3f  CPU %9.3f  first %9.3f  %8zu rows out  %10.0f rows in  %6.2f CPU "
      "ns/row  units %llu (%llu left out)  pages%s  %s%s\n",
      std::string(bench::query_name(id)).c_str(), times[times.size() / 2], times[0], cpu_each, first,
      answer.rows(), rows, cpu_each * 1e6 / rows, static_cast<unsigned long long>(stats.units),
      static_cast<unsigned long long>(stats.pruned_units), pages_text(stats).c_str(),
      expected == nullptr ? "not compared"
      : wrong.empty()     ? "equal"
                          : "WRONG: ",
      wrong.c_str());
  return wrong.empty();
}

base::Result<bool> run(const Options& o) {
  PJ_TRY(bench::make_perjoule_store(o.stream, o.directory));
  const auto params = bench::choose_params(o.stream);
  const auto ids = bench::all_queries();
  std::vector<bench::Answer> expected;
  if (o.check) expected = bench::reference_answers(o.stream, ids, params);
  const auto machine = bench::machine_facts();
  std::printf("%s, %u cores, load %s\n", machine.cpu.c_str(), machine.cores, machine.load.c_str());
  bus::QueryOptions options;
  options.threads = static_cast<unsigned>(o.threads);
  PJ_ASSIGN(const auto session, bus::QuerySession::open(base::posix_env(), o.directory, options));
  bool equal = true;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    if (!o.query.empty() && bench::query_name(ids[i]) != o.query) continue;
    PJ_ASSIGN(const bool same, measure(o, *session, ids[i], params, o.check ? &expected[i] : nullptr));
    equal = equal && same;
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
      o.directory = std::filesystem::absolute(value).string();
    } else if (a == "--query") {
      o.query = value;
    } else if (!n || *n <= 0) {
      return false;
    } else if (a == "--events") {
      o.stream.events = *n;
    } else if (a == "--repeat") {
      o.repeat = static_cast<int>(*n);
    } else if (a == "--threads") {
      o.threads = static_cast<int>(*n);
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
        "bus_query [--events N] [--repeat R] [--threads T] [--directory DIR] [--query Q1] [--no-check]\n");
    return 2;
  }
  const auto done = run(o);
  if (done.ok()) return *done ? 0 : 1;
  std::fprintf(stderr, "bus_query: %s\n", done.error().message().c_str());
  return base::exit_status(done.error().kind);
}
