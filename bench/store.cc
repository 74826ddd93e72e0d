// Rows per second and bytes per row of the store's writer and reader, on rows like the ledger's `joules`.
//   store [--rows N] [--threads N] [--keep DIR] [--json]
// The rows: settlement windows of 30 s, 64 GPUs with about 50 consumers each, names and times repeating as
// they do in a real account, energies random. What was written is read back and its energy compared before
// anything is printed. Exit status: 0 equal, 1 a sum differs, 2 for a bad command line, 3 when the folder
// cannot be written.
#include "bus/store.hpp"

#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "base/clock.hpp"
#include "bus/conservation.hpp"

namespace {

namespace base = perjoule::base;
namespace bus = perjoule::bus;
namespace energy = perjoule::energy;

struct Options {
  std::int64_t rows = 10'000'000;
  unsigned threads = 1;
  std::string directory;
  bool json = false;
};

// Makes the rows one after the other; cheap next to storing them.
class Account {
 public:
  // Interns every name first: naming requests is the cost of whoever makes them, not of the store.
  Account(base::SymbolTable& symbols, std::int64_t rows) {
    for (std::int64_t i = 0; i < rows / 8 + kConsumers; ++i)
      names_.push_back(symbols.intern("req-" + std::to_string(i)));
    for (int g = 0; g < kGpus; ++g) {
      const std::string name =
          "hall/r" + std::to_string(g / 32) + "/n" + std::to_string(g / 8) + "/gpu" + std::to_string(g % 8);
      gpus_[g] = symbols.intern(name);
    }
    row_.method = symbols.intern("serving-tokens/1");
    row_.source = symbols.intern("sim");
    row_.consumer.model = symbols.intern("llama-3.1-70b");
    for (int t = 0; t < 8; ++t) tenants_[t] = symbols.intern("tenant-" + std::to_string(t));
    row_.quality = energy::Quality::kSimulated;
    row_.uncertainty_ppm = 20'000;
  }
  const energy::JouleRow& next() {
    if (in_gpu_ == 0) begin_gpu();
    --in_gpu_;
    state_ = state_ * 6364136223846793005ULL + 1442695040888963407ULL;
    row_.energy_uj = static_cast<std::int64_t>(state_ >> 40);
    row_.share = in_gpu_ == 0 ? energy::Share::kIdle : energy::Share::kDirect;
    row_.consumer.tenant = tenants_[(state_ >> 33) % 8];
    row_.consumer.request = in_gpu_ == 0 ? base::Symbol{} : requests_[in_gpu_];
    ++row_.seq;
    return row_;
  }

 private:
  static constexpr int kGpus = 64;
  static constexpr int kConsumers = 50;
  void begin_gpu() {
    gpu_ = (gpu_ + 1) % kGpus;
    if (gpu_ == 0) {
      row_.window_ns += 30'000'000'000;
      row_.t0_ns = row_.window_ns;
      row_.t1_ns = row_.window_ns + 30'000'000'000;
    }
    row_.meter = row_.device = gpus_[gpu_];
    in_gpu_ = kConsumers;
    // Requests stay on a GPU for many windows: one in eight is new each time.
    for (int i = 1; i < kConsumers; ++i) {
      if (window_requests_ % 8 == 0 || requests_[i].empty()) requests_[i] = names_[made_++];
      ++window_requests_;
    }
  }

  std::vector<base::Symbol> names_;
  energy::JouleRow row_;
  base::Symbol gpus_[kGpus], tenants_[8], requests_[kConsumers];
  int gpu_ = -1, in_gpu_ = 0;
  std::uint64_t state_ = 1, window_requests_ = 0, made_ = 0;
};

struct Figures {
  double make_s = 0, write_s = 0, read_s = 0;
  double write_cpu_s = 0;  // of all threads
  std::uint64_t bytes = 0;
  std::int64_t written_uj = 0, read_uj = 0;
};

// Processor time of the process: what a busy machine does not change.
double cpu_s() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

double make_only(const Options& o) {
  base::SymbolTable symbols;
  Account account(symbols, o.rows);
  const double before = cpu_s();
  std::int64_t sum = 0;
  for (std::int64_t i = 0; i < o.rows; ++i) sum += account.next().energy_uj;
  const volatile std::int64_t used = sum;
  (void)used;
  return cpu_s() - before;
}

base::Status write(const Options& o, Figures& f) {
  base::SymbolTable symbols;
  bus::StoreOptions options;
  options.overwrite = true;
  options.threads = o.threads;
  PJ_ASSIGN(auto store, bus::StoreWriter::create(base::posix_env(), o.directory, symbols, {}, options));
  Account account(symbols, o.rows);
  const base::Stopwatch watch;
  const double cpu_before = cpu_s();
  for (std::int64_t i = 0; i < o.rows; ++i) {
    const auto& row = account.next();
    f.written_uj += row.energy_uj;
    PJ_TRY(store.append(row));
  }
  PJ_TRY(store.finish());
  f.write_s = watch.elapsed().value();
  f.write_cpu_s = cpu_s() - cpu_before;
  for (const auto& e : store.manifest().segments) f.bytes += e.table == "joules" ? e.summary.bytes : 0;
  return base::ok_status();
}

base::Status read(const Options& o, Figures& f) {
  PJ_ASSIGN(const auto store, bus::StoreReader::open(base::posix_env(), o.directory));
  const base::Stopwatch watch;
  PJ_TRY(store.scan({bus::Table::kJoules, {}, {}}, [&](const bus::Batch& b) {
    for (const auto e : b.columns[5].ints) f.read_uj += e;
    return base::ok_status();
  }));
  f.read_s = watch.elapsed().value();
  return base::ok_status();
}

void print(const Options& o, const Figures& f) {
  const auto rows = static_cast<double>(o.rows);
  const char* form =
      o.json
          ? "{\"rows\": %lld, \"threads\": %u, \"write_rows_per_s\": %.0f, \"write_rows_per_cpu_s\": %.0f, "
            "\"read_rows_per_s\": %.0f, \"bytes_per_row\": %.3f, \"energy_uj\": %lld}\n"
          : "rows %lld, threads %u: write %.0f rows/s (%.0f per processor second, making the rows taken "
            "off), "
            "read %.0f rows/s, %.3f bytes/row, %lld uJ equal\n";
  std::printf(form, static_cast<long long>(o.rows), o.threads, rows / f.write_s,
              rows / (f.write_cpu_s - f.make_s), rows / f.read_s, static_cast<double>(f.bytes) / rows,
              static_cast<long long>(f.read_uj));
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--json") {
      o.json = true;
    } else if (i + 1 < argc && a == "--rows") {
      o.rows = std::atoll(argv[++i]);
    } else if (i + 1 < argc && a == "--threads") {
      o.threads = static_cast<unsigned>(std::atoi(argv[++i]));
    } else if (i + 1 < argc && a == "--keep") {
      o.directory = argv[++i];
    } else {
      return false;
    }
  }
  return o.rows > 0 && o.threads > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fprintf(stderr, "usage: store [--rows N] [--threads N] [--keep DIR] [--json]\n");
    return 2;
  }
  const bool keep = !o.directory.empty();
  if (!keep) o.directory = (std::filesystem::temp_directory_path() / "perjoule-bench-store").string();
  Figures f;
  f.make_s = make_only(o);
  auto status = write(o, f);
  if (status.ok()) status = read(o, f);
  if (!keep) std::filesystem::remove_all(o.directory);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", status.error().message().c_str());
    return 3;
  }
  print(o, f);
  return f.read_uj == f.written_uj ? 0 : 1;
}
