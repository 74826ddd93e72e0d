// What breaks a store, done to a real one: kill -9 under load, a full disk, flipped bytes, a long log.
//   faults kill [--rounds N]        a writer is killed at a random moment, again and again
//   faults full [--directory DIR]   a small file system fills up, and gets room again (root: it is mounted)
//   faults flips [--every N]        every Nth byte of a store of 20 MB is changed, one at a time
//   faults replay [--mib N]         so much log is read back and sealed within 512 MiB of memory, page cache
//                                   included: a memory cgroup (root), or else RLIMIT_AS, and it says which
//   common: [--seed S] [--directory DIR] [--json]
// Each counts what was lost, found twice, summed wrongly or not noticed; all must be 0. Exit status: 0 all
// are, 1 one is not, 2 for a bad command line, 3 when something needed is missing.
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/clock.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "bus/engine.hpp"
#include "bus/hash.hpp"
#include "bus/log_layout.hpp"
#include "bus/log_reader.hpp"
#include "bus/store.hpp"

namespace {

namespace base = perjoule::base;
namespace bus = perjoule::bus;
namespace energy = perjoule::energy;
namespace fs = std::filesystem;

struct Options {
  std::string what;
  std::string directory = (fs::temp_directory_path() / "perjoule-faults").string();
  std::int64_t rounds = 1'000, every = 1, mib = 4'096;
  std::uint64_t seed = 1;
  bool json = false;
};

struct Counts {
  std::uint64_t rounds = 0, stored = 0, sealed = 0, lost = 0, twice = 0, wrong_sums = 0, unnoticed = 0,
                failures = 0;
  double seconds = 0, slowest_start_s = 0, peak_mib = 0;
  const char* limit = "none";  // of the reader's memory
  bool good() const { return lost + twice + wrong_sums + unnoticed + failures == 0; }
};

// ---- a source whose every block is known ----

constexpr std::size_t kRows = 64;
constexpr std::array<const char*, 2> kSources{"meters", "agent"};

std::int64_t energy_of(std::uint64_t number, std::size_t row) {
  return static_cast<std::int64_t>((number * 2654435761U + row * 40503U) % 1'000'003);
}
std::int64_t energy_of_block(std::uint64_t number) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < kRows; ++i) sum += energy_of(number, i);
  return sum;
}

// Source 0 sends joules, source 1 samples.
std::string make_block(std::size_t source, std::uint64_t number) {
  base::SymbolTable symbols;
  const auto table = source == 0 ? bus::Table::kJoules : bus::Table::kSamples;
  bus::TableBuilder builder(table, symbols, kRows);
  for (std::size_t i = 0; i < kRows; ++i) {
    const auto t = static_cast<std::int64_t>(number * 1000 + i);
    const auto device = symbols.intern("n" + std::to_string(i % 8) + "/gpu" + std::to_string(number % 8));
    const auto quality = energy::Quality::kMeasured;
    const auto name = symbols.intern(kSources[source]);
    const auto seq = static_cast<std::int64_t>(number);
    if (source == 0) {
      energy::JouleRow row;
      row.window_ns = row.t0_ns = t;
      row.t1_ns = t + 10;
      row.meter = row.device = device;
      row.energy_uj = energy_of(number, i);
      row.quality = quality;
      row.consumer.request = symbols.intern("request-" + std::to_string(number / 4));
      row.source = name;
      row.seq = seq;
      builder.append(row);
    } else {
      builder.append(energy::SampleRow{t, device, symbols.intern("gpu.power"),
                                       static_cast<double>(energy_of(number, i)), quality, 1.0, name, seq});
    }
  }
  return bus::encode_block(table, builder.take(), {kSources[source], number - 1, number, number}).value();
}

// ---- looking at what is there ----

struct Found {
  std::uint64_t rows = 0;
  double sum = 0;  // of energies and readings: whole numbers below 2^53
  std::uint64_t segments = 0;
};

base::Result<Found> look(const std::string& directory, const bus::Engine& engine, std::size_t source) {
  Found found;
  const auto table = source == 0 ? bus::Table::kJoules : bus::Table::kSamples;
  PJ_ASSIGN(const auto store, bus::StoreReader::open(base::posix_env(), directory, engine.snapshot()));
  for (const auto& entry : store.manifest().segments)
    found.segments += entry.table == bus::schema_of(table).name ? 1U : 0U;
  PJ_TRY(store.scan({table, {source == 0 ? "energy_uj" : "value"}, {}}, [&](const bus::Batch& batch) {
    found.rows += batch.rows;
    const bus::Column& c = batch.columns[0];
    for (std::size_t i = 0; i < batch.rows; ++i)
      found.sum += source == 0 ? static_cast<double>(c.ints[i]) : c.doubles[i];
    return base::ok_status();
  }));
  return found;
}

// Compares what is there with numbers 1..through, and `acked` of them that must be.
base::Status judge(const std::string& directory, const bus::Engine& engine, std::size_t source,
                   std::uint64_t acked, Counts& counts) {
  const std::uint64_t through = engine.stored_through(kSources[source]);
  counts.lost += through < acked ? acked - through : 0;
  PJ_ASSIGN(const Found found, look(directory, engine, source));
  double sum = 0;
  for (std::uint64_t n = 1; n <= through; ++n) sum += static_cast<double>(energy_of_block(n));
  counts.lost += found.rows < through * kRows ? through * kRows - found.rows : 0;
  counts.twice += found.rows > through * kRows ? found.rows - through * kRows : 0;
  counts.wrong_sums += found.sum != sum ? 1U : 0U;
  counts.sealed = std::max(counts.sealed, found.segments);
  return base::ok_status();
}

bus::EngineOptions small_engine() {
  bus::EngineOptions o;
  o.log.segment_bytes = 1U << 20;
  o.seal_rows = 20'000;
  o.group_rows = 4'096;
  o.group_bytes = 256U << 10;
  return o;
}

// ---- kill -9 ----

// What the writer was told, in memory that outlives it.
struct Told {
  std::array<std::atomic<std::uint64_t>, kSources.size()> through;
};

[[noreturn]] void write_until_killed(const std::string& directory, Told& told) {
  const auto engine = bus::Engine::open(base::posix_env(), directory, small_engine());
  if (!engine.ok()) ::_exit(9);
  std::array<std::atomic<int>, kSources.size()> open{};
  const auto send = [&](std::size_t source) {
    for (std::uint64_t n = (*engine)->stored_through(kSources[source]) + 1;; ++n) {
      while (open[source].load() > 16) std::this_thread::yield();
      ++open[source];
      (*engine)->submit(make_block(source, n), bus::Durability::kDurable, [&, source](const bus::Receipt& r) {
        // Receipts of one source come in order, so the last one counts.
        if (r.outcome == bus::Outcome::kStored) told.through[source] = r.stored_through;
        if (r.outcome != bus::Outcome::kStored && r.outcome != bus::Outcome::kBusy) ::_exit(8);
        --open[source];
      });
    }
  };
  std::thread second(send, 1);
  send(0);
  ::_exit(7);
}

base::Status kill_rounds(const Options& o, Counts& counts) {
  void* shared = ::mmap(nullptr, sizeof(Told), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return base::io_error("share memory", "", std::strerror(errno));
  Told& told = *new (shared) Told;
  base::Rng rng(o.seed);
  for (std::int64_t round = 0; round < o.rounds; ++round) {
    // A store that starts small, so that looking at it stays quick.
    if (round % 20 == 0) {
      fs::remove_all(o.directory);
      for (auto& t : told.through) t = 0;
    }
    const pid_t child = ::fork();
    if (child < 0) return base::io_error("start a writer", "", std::strerror(errno));
    if (child == 0) write_until_killed(o.directory, told);
    ::usleep(static_cast<useconds_t>(3'000 + rng.next() % 60'000));
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    if (!WIFSIGNALED(status)) {
      ++counts.failures;
      std::fprintf(stderr, "faults: in round %lld the writer ended by itself, with status %d\n",
                   static_cast<long long>(round), WEXITSTATUS(status));
    }
    const base::Stopwatch start;
    bus::EngineOptions options = small_engine();
    options.threads = false;
    PJ_ASSIGN(const auto engine, bus::Engine::open(base::posix_env(), o.directory, options));
    counts.slowest_start_s = std::max(counts.slowest_start_s, start.elapsed().value());
    for (std::size_t s = 0; s < kSources.size(); ++s)
      PJ_TRY(judge(o.directory, *engine, s, told.through[s], counts));
    counts.stored = std::max(counts.stored, engine->stored_through(kSources[0]));
    ++counts.rounds;
  }
  return base::ok_status();
}

// ---- a full disk ----

base::Status fill_disk(const Options& o, Counts& counts) {
  fs::create_directories(o.directory);
  if (::mount("tmpfs", o.directory.c_str(), "tmpfs", 0, "size=24m") != 0) {
    return base::missing("mount a small file system", o.directory, std::strerror(errno),
                         "Run it as root, where mounting is allowed");
  }
  const std::string store = o.directory + "/store", ballast = o.directory + "/ballast";
  std::uint64_t acked = 0;
  const auto run = [&]() -> base::Status {
    std::ofstream(ballast) << std::string(8U << 20, 'x');
    bus::EngineOptions options = small_engine();
    options.threads = false;
    PJ_ASSIGN(const auto engine, bus::Engine::open(base::posix_env(), store, options));
    std::uint64_t refused = 0;
    for (int i = 0; i < 12'000; ++i) {
      const bus::Receipt r = engine->store(make_block(0, acked + 1));
      if (r.outcome == bus::Outcome::kStored) ++acked;
      if (r.outcome == bus::Outcome::kStopped || r.outcome == bus::Outcome::kRefused) ++counts.failures;
      if (r.outcome == bus::Outcome::kNoSpace) ++refused;
      if (refused > 50 && i % 25 == 0) (void)engine->seal_all().ok();
      // When it has been refused for a while, room comes back.
      if (refused == 51) fs::remove(ballast);
      if (refused > 50 && r.outcome == bus::Outcome::kStored) break;
    }
    counts.failures += refused == 0 ? 1U : 0U;  // it never got full: nothing was shown
    counts.failures += refused > 50 ? 0U : 1U;
    PJ_TRY(judge(store, *engine, 0, acked, counts));
    return base::ok_status();
  };
  base::Status done = run();
  if (done.ok()) {
    // Without threads: nothing is sealed while it is looked at.
    bus::EngineOptions options = small_engine();
    options.threads = false;
    const auto again = bus::Engine::open(base::posix_env(), store, options);
    done = again.ok() ? judge(store, **again, 0, acked, counts) : base::Status(again.error());
  }
  counts.stored = acked;
  ::umount(o.directory.c_str());
  return done;
}

// ---- flipped bytes ----

base::Status make_store(const std::string& directory, std::uint64_t bytes, std::uint64_t& blocks) {
  fs::remove_all(directory);
  bus::EngineOptions options = small_engine();
  options.threads = false;
  options.seal_rows = 200'000;
  PJ_ASSIGN(const auto engine, bus::Engine::open(base::posix_env(), directory, options));
  const auto size = [&] {
    std::uint64_t n = 0;
    for (const auto& e : engine->snapshot().manifest->segments) n += e.summary.bytes;
    return n;
  };
  for (blocks = 0; size() < bytes;) {
    for (int i = 0; i < 6'000; ++i) {
      ++blocks;
      for (std::size_t s = 0; s < kSources.size(); ++s)
        engine->store(make_block(s, blocks), bus::Durability::kBuffered);
    }
    PJ_TRY(engine->seal_all());
  }
  // A log with something in it.
  for (int i = 0; i < 20; ++i) {
    ++blocks;
    for (std::size_t s = 0; s < kSources.size(); ++s) engine->store(make_block(s, blocks));
  }
  return base::ok_status();
}

// Is a changed byte noticed by what reads this file? Segments are judged by their hash in the manifest, as
// the audit does; a manifest by its own; the log by reading it, where bytes behind its end mean nothing.
class Flipper {
 public:
  Flipper(const Options& o, Counts& counts) : o_(o), counts_(counts) {}

  base::Status run() {
    PJ_TRY(make_store(o_.directory, 20'000'000, blocks_));
    PJ_ASSIGN(const auto manifest_text, base::posix_env().read_file(o_.directory + "/catalog/manifest.json"));
    PJ_ASSIGN(manifest_, bus::parse_manifest(manifest_text, "manifest"));
    flip_all(manifest_text, [](const std::string& t) { return !bus::parse_manifest(t, "manifest").ok(); });
    for (const auto& entry : manifest_.segments) {
      PJ_ASSIGN(const auto bytes, base::posix_env().read_file(o_.directory + "/" + entry.file));
      flip_all(bytes, [&](const std::string& b) {
        return b.size() != entry.summary.bytes || bus::xxh3_128_of(b) != entry.summary.xxh3_128;
      });
    }
    return flip_log();
  }

 private:
  template <class Noticed>
  void flip_all(std::string bytes, const Noticed& noticed) {
    base::Rng rng(o_.seed);
    for (std::size_t i = 0; i < bytes.size(); i += static_cast<std::size_t>(o_.every)) {
      const char before = bytes[i];
      bytes[i] = static_cast<char>(before ^ static_cast<char>(1U + rng.next() % 255U));
      counts_.unnoticed += noticed(bytes) ? 0U : 1U;
      bytes[i] = before;
      ++counts_.rounds;
    }
  }

  // What a reader of the log finds: blocks and a hash of them, or an error.
  std::string digest() const {
    std::string all;
    const auto end = bus::read_log(base::posix_env(), log_directory(), manifest_.log,
                                   [&](const bus::LogEntry& e) -> base::Status {
                                     PJ_ASSIGN(const auto view, bus::BlockView::open(e.block, "log"));
                                     PJ_TRY(view.check());
                                     all += bus::xxh3_128_of(e.block);
                                     return base::ok_status();
                                   });
    return end.ok() ? bus::xxh3_128_of(all) + end->torn : "error";
  }

  // Every byte up to the end of the last group; a change must be an error, or be called a torn end.
  base::Status flip_log() {
    const std::string whole = digest();
    PJ_ASSIGN(const auto end, bus::read_log(base::posix_env(), log_directory(), manifest_.log,
                                            [](const bus::LogEntry&) { return base::ok_status(); }));
    const std::string path = o_.directory + "/wal/" + bus::log_segment_name(end.segment);
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    for (std::uint64_t i = 0; i < end.offset; i += static_cast<std::uint64_t>(o_.every) * 7) {
      file.seekg(static_cast<std::streamoff>(i));
      const char before = static_cast<char>(file.get());
      const auto put = [&](char c) {
        file.seekp(static_cast<std::streamoff>(i));
        file.put(c);
        file.flush();
      };
      put(static_cast<char>(before ^ 0x40));
      const std::string found = digest();
      put(before);
      ++counts_.rounds;
      // Padding between groups holds nothing, so its change may change nothing.
      if (found == whole && before != 0) ++counts_.unnoticed;
    }
    return base::ok_status();
  }

  std::string log_directory() const { return o_.directory + "/wal"; }

  const Options& o_;
  Counts& counts_;
  bus::Manifest manifest_;
  std::uint64_t blocks_ = 0;
};

// ---- a long log ----

constexpr std::uint64_t kReplayBytes = 512U << 20;

// A process of its own, so that the reader's memory is its own too.
base::Status write_long_log(const Options& o) {
  const pid_t child = ::fork();
  if (child == 0) {
    bus::EngineOptions options;
    options.threads = false;
    options.log_bytes = UINT64_MAX;
    options.tail_bytes = SIZE_MAX;
    const auto engine = bus::Engine::open(base::posix_env(), o.directory, options);
    if (!engine.ok()) ::_exit(1);
    const std::string sample = make_block(0, 1);
    const auto blocks = static_cast<std::uint64_t>(o.mib) * (1U << 20) / sample.size();
    std::atomic<bool> failed = false;
    for (std::uint64_t n = 1; n <= blocks && !failed; ++n)
      (*engine)->submit(make_block(0, n), bus::Durability::kBuffered, [&](const bus::Receipt& r) {
        if (r.outcome != bus::Outcome::kStored) failed = true;
      });
    ::_exit(failed ? 2 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (status == 0) return base::ok_status();
  return base::io_error("write a long log", o.directory, "the writer failed");
}

bool write_line(const std::string& path, const std::string& text) {
  std::ofstream out(path);
  out << text << std::flush;
  return out.good();
}

// A cgroup of this process with the limit, of whichever version is mounted; removed at the end.
class MemoryLimit {
 public:
  MemoryLimit() {
    const std::string name = "/perjoule-faults-" + std::to_string(::getpid());
    const std::array<std::array<const char*, 3>, 2> versions{{
        {"/sys/fs/cgroup", "memory.max", "cgroup v2"},
        {"/sys/fs/cgroup/memory", "memory.limit_in_bytes", "cgroup v1"},
    }};
    for (const auto& [root, file, kind] : versions) {
      if (::mkdir((root + name).c_str(), 0755) != 0) continue;
      folder_ = root + name;
      if (fs::exists(folder_ + "/" + file) &&
          write_line(folder_ + "/" + file, std::to_string(kReplayBytes)) &&
          write_line(folder_ + "/cgroup.procs", std::to_string(::getpid()))) {
        kind_ = kind;
        return;
      }
      ::rmdir(folder_.c_str());
    }
    // Addresses are more than memory in use, so this holds the reader tighter; its files' pages are free.
    rlimit limit{kReplayBytes, kReplayBytes};
    kind_ = ::setrlimit(RLIMIT_AS, &limit) == 0 ? "address space" : "none";
  }
  const char* kind() const { return kind_; }
  const std::string& folder() const { return folder_; }

 private:
  std::string folder_;
  const char* kind_ = "none";
};

struct Replayed {
  Counts counts;
  bool done = false;
  char folder[128] = {};
};

base::Status read_long_log(const Options& o, Counts& counts) {
  const base::Stopwatch start;
  PJ_ASSIGN(const auto engine, bus::Engine::open(base::posix_env(), o.directory));
  counts.slowest_start_s = start.elapsed().value();
  PJ_TRY(engine->seal_all());
  rusage used{};
  ::getrusage(RUSAGE_SELF, &used);
  counts.peak_mib = static_cast<double>(used.ru_maxrss) / 1024;
  counts.stored = engine->stored_through(kSources[0]);
  counts.rounds = 1;
  return judge(o.directory, *engine, 0, counts.stored, counts);
}

base::Status replay(const Options& o, Counts& counts) {
  fs::remove_all(o.directory);
  void* shared = ::mmap(nullptr, sizeof(Replayed), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return base::io_error("share memory", "", std::strerror(errno));
  Replayed& replayed = *new (shared) Replayed;
  PJ_TRY(write_long_log(o));
  const pid_t child = ::fork();
  if (child == 0) {
    const MemoryLimit limit;
    limit.folder().copy(replayed.folder, sizeof replayed.folder - 1);
    replayed.counts.limit = limit.kind();
    const base::Status read = read_long_log(o, replayed.counts);
    if (!read.ok()) std::fprintf(stderr, "faults: %s\n", read.error().message().c_str());
    replayed.done = read.ok();
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  if (replayed.folder[0] != 0) ::rmdir(replayed.folder);
  counts = replayed.counts;
  if (replayed.done) return base::ok_status();
  return base::io_error("read a long log", o.directory,
                        WIFSIGNALED(status) ? "the reader was killed: more than 512 MiB" : "it failed");
}

// ---- the command ----

base::Status run(const Options& o, Counts& counts) {
  if (o.what == "kill") return kill_rounds(o, counts);
  if (o.what == "full") return fill_disk(o, counts);
  if (o.what == "flips") return Flipper(o, counts).run();
  return replay(o, counts);
}

bool parse(int argc, char** argv, Options& o) {
  if (argc < 2) return false;
  o.what = argv[1];
  if (o.what != "kill" && o.what != "full" && o.what != "flips" && o.what != "replay") return false;
  for (int i = 2; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--json") {
      o.json = true;
      continue;
    }
    if (++i == argc) return false;
    if (a == "--directory") {
      o.directory = argv[i];
      continue;
    }
    const auto n = base::parse_int(argv[i]);
    if (!n || *n <= 0) return false;
    if (a == "--rounds") {
      o.rounds = *n;
    } else if (a == "--every") {
      o.every = *n;
    } else if (a == "--mib") {
      o.mib = *n;
    } else if (a == "--seed") {
      o.seed = static_cast<std::uint64_t>(*n);
    } else {
      return false;
    }
  }
  return true;
}

void print(const Options& o, const Counts& c) {
  const auto u = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  const char* form =
      o.json
          ? "{\"what\": \"%s\", \"rounds\": %llu, \"stored\": %llu, \"sealed_files\": %llu, \"lost\": %llu, "
            "\"twice\": "
            "%llu, \"wrong_sums\": %llu, \"unnoticed\": %llu, \"failures\": %llu, \"slowest_start_s\": %.3f, "
            "\"peak_mib\": %.0f, \"memory_limit\": \"%s\", \"seconds\": %.1f}\n"
          : "%s: %llu rounds, %llu blocks stored, %llu files sealed; lost %llu, twice %llu, wrong sums %llu, "
            "unnoticed %llu, failures %llu; slowest start %.3f s, memory %.0f MiB (limit: %s), %.1f s in "
            "all\n";
  std::printf(form, o.what.c_str(), u(c.rounds), u(c.stored), u(c.sealed), u(c.lost), u(c.twice),
              u(c.wrong_sums), u(c.unnoticed), u(c.failures), c.slowest_start_s, c.peak_mib, c.limit,
              c.seconds);
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fprintf(
        stderr,
        "faults kill|full|flips|replay [--rounds N] [--every N] [--mib N] [--seed S] [--directory DIR] "
        "[--json]\n");
    return 2;
  }
  Counts counts;
  const base::Stopwatch watch;
  const base::Status done = run(o, counts);
  counts.seconds = watch.elapsed().value();
  fs::remove_all(o.directory);
  if (!done.ok())
    return std::fprintf(stderr, "faults: %s\n", done.error().message().c_str()),
           base::exit_status(done.error().kind);
  print(o, counts);
  return counts.good() ? 0 : 1;
}
