// The event bus's peers on the same events: rows per second to disk, bytes per event, and questions answered.
//   bus_peers [--events N] [--seed S] [--peers perjoule,duckdb,clickhouse,sqlite,rocksdb] [--queries Q1,Q2,..]
//             [--repeat R] [--requests random|ordered] [--directory DIR] [--json]
// Every answer of every engine is compared with a brute-force one. Batches are made before the clock runs and
// held in memory; if they do not fit, the making is measured and taken off, and that is said. Each engine
// runs alone in a process, with two threads and a cap of 4 GiB by its own settings. Exit status: 0 all asked
// answered right (an engine that is not installed is reported as missing), 1 an answer is wrong or an engine
// failed, 2 for a bad command line, 3 when the folder cannot be written.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>

#include "base/clock.hpp"
#include "base/text.hpp"
#include "bench/bus/machine.hpp"
#include "bench/bus/measure.hpp"
#include "bench/bus/reference.hpp"

namespace {

namespace base = perjoule::base;
namespace bench = perjoule::bench;
using nlohmann::json;

struct Options {
  bench::GeneratorOptions stream;
  std::vector<std::string> peers = bench::peer_names();
  std::vector<bench::QueryId> queries = bench::all_queries();
  int repeat = 5;
  std::string directory = (std::filesystem::temp_directory_path() / "perjoule-bench-bus").string();
  bool json = false;
};

struct Run {
  bench::MachineFacts machine;
  bench::DiskRate disk_before, disk_after;
  double generate_ns = 0, reference_s = 0;
  bool in_memory = false;
  std::vector<bench::PeerResult> peers;
};

// "Q1" takes Q1-absent with it.
bool choose_queries(const std::string& list, std::vector<bench::QueryId>& out) {
  out.clear();
  for (const auto name : base::split(list, ',')) {
    const std::size_t before = out.size();
    for (const auto id : bench::all_queries()) {
      const auto full = bench::query_name(id);
      if (full == name || full.starts_with(std::string(name) + "-")) out.push_back(id);
    }
    if (out.size() == before) return false;
  }
  return true;
}

bool choose_peers(const std::string& list, std::vector<std::string>& out) {
  const auto known = bench::peer_names();
  out.clear();
  for (const auto name : base::split(list, ',')) out.emplace_back(name);
  return std::all_of(out.begin(), out.end(), [&](const std::string& p) {
    return std::find(known.begin(), known.end(), p) != known.end();
  });
}

bool set_number(const std::string& text, std::int64_t& out) {
  const auto parsed = base::parse_int(text);
  if (parsed && *parsed > 0) out = *parsed;
  return parsed && *parsed > 0;
}

bool set_option(const std::string& name, const std::string& value, Options& o) {
  std::int64_t number = 0;
  if (name == "--peers") return choose_peers(value, o.peers);
  if (name == "--queries") return choose_queries(value, o.queries);
  if (name == "--requests") {
    o.stream.request_names =
        value == "ordered" ? bench::RequestNames::kTimeOrdered : bench::RequestNames::kRandom;
    return value == "ordered" || value == "random";
  }
  if (name == "--directory") {
    o.directory = std::filesystem::absolute(value).string();
    return !value.empty();
  }
  if (!set_number(value, number)) return false;
  if (name == "--events") return o.stream.events = number, true;
  if (name == "--seed") return o.stream.seed = static_cast<std::uint64_t>(number), true;
  if (name == "--repeat") return o.repeat = static_cast<int>(number), true;
  return false;
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--json") {
      o.json = true;
    } else if (i + 1 >= argc || !set_option(a, argv[++i], o)) {
      return false;
    }
  }
  return true;
}

base::Status run(const Options& o, Run& out) {
  std::error_code error;
  std::filesystem::create_directories(o.directory, error);
  out.machine = bench::machine_facts();
  PJ_ASSIGN(out.disk_before, bench::raw_disk_rate(o.directory));
  const auto params = bench::choose_params(o.stream);
  const base::Stopwatch watch;
  const auto expected = bench::reference_answers(o.stream, o.queries, params);
  out.reference_s = watch.elapsed().value();
  const bench::Stream stream(o.stream);
  out.generate_ns = stream.generate_ns_per_event();
  out.in_memory = stream.in_memory();
  for (const auto& name : o.peers) {
    std::fprintf(stderr, "%s ...\n", name.c_str());
    out.peers.push_back(bench::measure_peer(
        name, [&] { return bench::make_peer(name, {}); }, stream, o.directory + "/" + name, o.queries, params,
        expected, o.repeat));
  }
  PJ_ASSIGN(out.disk_after, bench::raw_disk_rate(o.directory));
  return base::ok_status();
}

// Derived figures of one peer, the same for both forms of output.
struct Figures {
  double rows_per_s, cpu_s_per_million, settled_cpu_s_per_million, bytes_per_event, written_per_event;
};
Figures figures(const Options& o, const bench::PeerResult& r) {
  const auto events = static_cast<double>(o.stream.events);
  return {events / r.load_s, r.load_cpu_s / events * 1e6, (r.load_cpu_s + r.settle_cpu_s) / events * 1e6,
          static_cast<double>(r.bytes) / events, static_cast<double>(r.written_bytes) / events};
}

json disk_json(const bench::DiskRate& d) {
  return {{"mb_per_s", d.mb_per_s}, {"median_ms", d.median_ms}, {"worst_ms", d.worst_ms}};
}

json peer_json(const Options& o, const bench::PeerResult& r) {
  json out = {{"peer", r.peer}, {"settings", r.settings}};
  if (!r.missing.empty()) out["missing"] = r.missing;
  if (!r.failed.empty()) out["failed"] = r.failed;
  if (r.load_s > 0) {
    const Figures f = figures(o, r);
    out.update({{"rows_per_s", f.rows_per_s},
                {"cpu_s_per_million_events", f.cpu_s_per_million},
                {"cpu_s_per_million_events_settled", f.settled_cpu_s_per_million},
                {"bytes_per_event", f.bytes_per_event},
                {"written_bytes_per_event", f.written_per_event},
                {"load_s", r.load_s},
                {"finish_s", r.finish_s},
                {"settle_s", r.settle_s},
                {"memory_mib", r.memory_mib},
                {"others_cores_loading", r.others_loading},
                {"others_cores_asking", r.others_asking}});
  }
  out["queries"] = json::array();
  for (const auto& q : r.queries)
    out["queries"].push_back({{"id", bench::query_name(q.id)},
                              {"median_ms", q.median_ms},
                              {"least_ms", q.least_ms},
                              {"cpu_ms", q.cpu_ms},
                              {"runs", q.runs},
                              {"rows", q.rows},
                              {"equal", q.wrong.empty()},
                              {"difference", q.wrong}});
  return out;
}

void print_json(const Options& o, const Run& r) {
  json out = {{"events", o.stream.events},
              {"seed", o.stream.seed},
              {"cpu", r.machine.cpu},
              {"cores", r.machine.cores},
              {"memory_mib", r.machine.memory_mib},
              {"available_mib", r.machine.available_mib},
              {"kernel", r.machine.kernel},
              {"load_average", r.machine.load},
              {"disk_before", disk_json(r.disk_before)},
              {"disk_after", disk_json(r.disk_after)},
              {"generate_ns_per_event", r.generate_ns},
              {"generated_before", r.in_memory}};
  out["peers"] = json::array();
  for (const auto& p : r.peers) out["peers"].push_back(peer_json(o, p));
  std::printf("%s\n", out.dump(1).c_str());
}

void print_peer(const Options& o, const bench::PeerResult& r) {
  std::printf("\n%s\n", r.settings.empty() ? r.peer.c_str() : r.settings.c_str());
  if (!r.missing.empty()) std::printf("  MISSING: %s\n", r.missing.c_str());
  if (!r.failed.empty()) std::printf("  FAILED: %s\n", r.failed.c_str());
  if (r.load_s <= 0) return;
  const Figures f = figures(o, r);
  std::printf(
      "  load %.0f rows/s (%.1f s, of these %.1f s to finish), %.2f CPU s per million events, %.2f with the "
      "merges after it (%.1f s), %.2f bytes/event at rest, %.2f written, %lld MiB more memory at most; other "
      "processes kept %.1f cores busy meanwhile, "
      "%.1f while it answered\n",
      f.rows_per_s, r.load_s, r.finish_s, f.cpu_s_per_million, f.settled_cpu_s_per_million, r.settle_s,
      f.bytes_per_event, f.written_per_event, static_cast<long long>(r.memory_mib), r.others_loading,
      r.others_asking);
  for (const auto& q : r.queries)
    std::printf("  %-10s %12.2f ms (least %.2f, CPU %.2f, %d runs)  %8lld rows  %s%s\n",
                std::string(bench::query_name(q.id)).c_str(), q.median_ms, q.least_ms, q.cpu_ms, q.runs,
                static_cast<long long>(q.rows), q.wrong.empty() ? "equal" : "WRONG: ", q.wrong.c_str());
}

void print_text(const Options& o, const Run& r) {
  std::printf("%lld events, seed %llu; %s, %u cores, %lld MiB (%lld free), Linux %s, load %s\n",
              static_cast<long long>(o.stream.events), static_cast<unsigned long long>(o.stream.seed),
              r.machine.cpu.c_str(), r.machine.cores, static_cast<long long>(r.machine.memory_mib),
              static_cast<long long>(r.machine.available_mib), r.machine.kernel.c_str(),
              r.machine.load.c_str());
  std::printf(
      "disk, durable writes of 4 MiB: %.0f MB/s (median %.1f ms, worst %.1f) before, %.0f MB/s after\n",
      r.disk_before.mb_per_s, r.disk_before.median_ms, r.disk_before.worst_ms, r.disk_after.mb_per_s);
  std::printf("events made in %.0f ns of CPU each, %s; reference answers in %.1f s\n", r.generate_ns,
              r.in_memory ? "before the clock ran, held in memory" : "while loading, their time taken off",
              r.reference_s);
  for (const auto& p : r.peers) print_peer(o, p);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fprintf(stderr,
                 "usage: bus_peers [--events N] [--seed S] [--peers LIST] [--queries LIST] [--repeat R] "
                 "[--requests random|ordered] [--directory DIR] [--json]\n");
    return 2;
  }
  Run result;
  const auto status = run(o, result);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.error().message().c_str());
    return base::exit_status(status.error().kind);
  }
  if (o.json) {
    print_json(o, result);
  } else {
    print_text(o, result);
  }
  return std::all_of(result.peers.begin(), result.peers.end(), [](const auto& p) { return p.ok(); }) ? 0 : 1;
}
