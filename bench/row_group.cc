// Processor time per row that it takes to encode a row group of `joules`, one thread, whole and column by
// column.
//   row_group [--rows N] [--rounds N] [--kind account|events]
// account: rows like bench/store.cc's, in the order of a real account. events: 10,000 devices, 200 models,
// 500 tenants and 2,000 kernels with Zipf shares, requests with random ids of about 40 rows each, all mixed.
// The least of the rounds counts. Each group is read back and its energies and requests compared. Exit
// status: 0 equal, 1 a difference, 2 for a bad command line.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/symbol.hpp"
#include "base/text.hpp"
#include "bus/parquet_reader.hpp"
#include "bus/parquet_writer.hpp"
#include "bus/tables.hpp"

namespace {

namespace base = perjoule::base;
namespace bus = perjoule::bus;
namespace energy = perjoule::energy;

struct Random {
  std::uint64_t state = 42;
  std::uint64_t next() {
    std::uint64_t z = (state += 0x9E3779B97F4A7C15ULL);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return z ^ (z >> 31);
  }
  std::size_t below(std::size_t n) { return next() % n; }
};

std::vector<base::Symbol> names(base::SymbolTable& symbols, const std::string& prefix, std::size_t n) {
  std::vector<base::Symbol> out;
  for (std::size_t i = 0; i < n; ++i) out.push_back(symbols.intern(prefix + std::to_string(i)));
  return out;
}

// Picks the i-th of n with a chance of about 1 / i^s.
class Zipf {
 public:
  Zipf(std::size_t n, double s) {
    double sum = 0;
    for (std::size_t i = 1; i <= n; ++i) ends_.push_back(sum += std::pow(static_cast<double>(i), -s));
  }
  std::size_t pick(Random& random) const {
    const double at = static_cast<double>(random.next() >> 11) * 0x1.0p-53 * ends_.back();
    return static_cast<std::size_t>(std::lower_bound(ends_.begin(), ends_.end(), at) - ends_.begin());
  }

 private:
  std::vector<double> ends_;
};

void fill_events(bus::TableBuilder& builder, base::SymbolTable& symbols, std::size_t rows) {
  Random random;
  const auto devices = names(symbols, "site-a/node-", 10'000), models = names(symbols, "model-", 200),
             tenants = names(symbols, "tenant-", 500), kernels = names(symbols, "layer/kernel-", 2'000),
             epochs = names(symbols, "epoch-", 500), phases = names(symbols, "phase-", 6);
  const Zipf tenant(500, 1.1), kernel(2'000, 1.2);
  struct Request {
    base::Symbol id, tenant, model;
  };
  std::vector<Request> requests;
  for (std::size_t i = 0; i < rows / 40 + 1; ++i)
    requests.push_back({symbols.intern(base::hex64(random.next())), tenants[tenant.pick(random)],
                        models[random.below(200)]});
  energy::JouleRow row;
  row.method = symbols.intern("serving-tokens/1");
  row.source = symbols.intern("sim");
  row.quality = energy::Quality::kMeasured;
  row.share = energy::Share::kDirect;
  row.uncertainty_ppm = 20'000;
  row.t0_ns = 1'700'000'000'000'000'000;
  for (std::size_t i = 0; i < rows; ++i) {
    const Request& r = requests[random.below(requests.size())];
    row.t0_ns += static_cast<std::int64_t>(random.below(200'000));
    row.t1_ns = row.t0_ns + static_cast<std::int64_t>(random.below(10'000'000));
    row.window_ns = row.t0_ns / 1'000'000'000 * 1'000'000'000;
    row.meter = row.device = devices[random.below(10'000)];
    // Four in five on a grid of 1 mJ.
    row.energy_uj = static_cast<std::int64_t>(random.below(5) == 0 ? random.below(1 << 20)
                                                                   : random.below(1 << 10) * 1000);
    row.consumer = {r.tenant,
                    {},
                    r.model,
                    {},
                    epochs[random.below(500)],
                    {},
                    r.id,
                    kernels[kernel.pick(random)],
                    phases[random.below(6)]};
    row.seq = static_cast<std::int64_t>(i);
    builder.append(row);
  }
}

void fill_account(bus::TableBuilder& builder, base::SymbolTable& symbols, std::size_t rows) {
  Random random;
  const auto gpus = names(symbols, "hall/r0/n0/gpu", 64), tenants = names(symbols, "tenant-", 8),
             requests = names(symbols, "req-", rows / 8 + 50);
  std::vector<base::Symbol> running(50);
  energy::JouleRow row;
  row.method = symbols.intern("serving-tokens/1");
  row.source = symbols.intern("sim");
  row.consumer.model = symbols.intern("llama-3.1-70b");
  row.quality = energy::Quality::kSimulated;
  row.uncertainty_ppm = 20'000;
  std::size_t made = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const std::size_t consumer = i % 50;
    if (consumer == 0 && i / 50 % 64 == 0) row.window_ns = row.t0_ns = row.t1_ns, row.t1_ns += 30'000'000'000;
    if (i % 8 == 0 || running[consumer].empty()) running[consumer] = requests[made++];
    row.meter = row.device = gpus[i / 50 % 64];
    row.energy_uj = static_cast<std::int64_t>(random.next() >> 40);
    row.share = consumer == 0 ? energy::Share::kIdle : energy::Share::kDirect;
    row.consumer.tenant = tenants[random.below(8)];
    row.consumer.request = consumer == 0 ? base::Symbol{} : running[consumer];
    ++row.seq;
    builder.append(row);
  }
}

double cpu_ns() { return static_cast<double>(std::clock()) * (1e9 / CLOCKS_PER_SEC); }

struct Timing {
  double ns = 1e18;
  std::size_t bytes = 0;
};

Timing time_encoding(const bus::TableSchema& schema, const bus::Batch& batch, int rounds) {
  Timing best;
  for (int i = 0; i < rounds; ++i) {
    const double before = cpu_ns();
    const auto group = bus::encode_row_group(schema, batch);
    best.ns = std::min(best.ns, (cpu_ns() - before) / static_cast<double>(batch.rows));
    best.bytes = group->bytes.size();
  }
  return best;
}

// One column beside the first, which is constant here, so that the group has a time.
void time_columns(const bus::TableSchema& schema, const bus::Batch& batch, int rounds) {
  for (std::size_t i = 0; i < schema.columns.size(); ++i) {
    const std::vector<bus::ColumnSpec> specs{schema.columns[0], schema.columns[i]};
    bus::Batch part;
    part.rows = batch.rows;
    part.columns = {batch.columns[0], batch.columns[i]};
    part.columns[0].ints.assign(batch.rows, 7);
    const bus::TableSchema two{schema.name, specs, 0}, one{schema.name, std::span(specs).first(1), 0};
    const Timing both = time_encoding(two, part, rounds);
    part.columns.pop_back();
    const Timing time = time_encoding(one, part, rounds);
    std::printf("  %-16s %6.2f ns/row %7.3f bytes/row\n", std::string(specs[1].name).c_str(),
                both.ns - time.ns,
                static_cast<double>(both.bytes - time.bytes) / static_cast<double>(batch.rows));
  }
}

bool reads_back(const bus::TableSchema& schema, const bus::Batch& batch) {
  const std::string path =
      (std::filesystem::temp_directory_path() / ("perjoule-row-group-" + std::to_string(std::clock())))
          .string();
  auto writer = bus::ParquetWriter::create(base::posix_env(), path, schema);
  if (!writer.ok() || !writer->append(*bus::encode_row_group(schema, batch)).ok() || !writer->seal().ok())
    return false;
  const auto file = bus::ParquetFile::open(*base::posix_env().read_file(path), path);
  std::filesystem::remove(path);
  const std::vector<std::size_t> energies{schema.find("energy_uj"), schema.find("request")};
  const auto read = file->read(0, energies);
  if (file->check().has_value() || read->columns[0].ints != batch.columns[energies[0]].ints) return false;
  for (std::size_t i = 0; i < batch.rows; ++i) {
    if (read->columns[1].text(i) != batch.columns[energies[1]].text(i)) return false;
  }
  return true;
}

int run(const std::string& kind, std::size_t rows, int rounds) {
  base::SymbolTable symbols;
  bus::TableBuilder builder(bus::Table::kJoules, symbols, rows);
  kind == "events" ? fill_events(builder, symbols, rows) : fill_account(builder, symbols, rows);
  const bus::Batch batch = builder.take();
  const auto& schema = bus::schema_of(bus::Table::kJoules);
  if (!reads_back(schema, batch)) return std::printf("%s: read back differently\n", kind.c_str()), 1;
  const Timing all = time_encoding(schema, batch, rounds);
  std::printf("%s: %zu rows, %zu columns: %.1f ns/row, %.3f bytes/row\n", kind.c_str(), rows,
              schema.columns.size(), all.ns, static_cast<double>(all.bytes) / static_cast<double>(rows));
  time_columns(schema, batch, rounds);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::size_t rows = 1 << 18;
  int rounds = 15;
  std::vector<std::string> kinds{"account", "events"};
  for (int i = 1; i < argc; i += 2) {
    const std::string a = argv[i], value = i + 1 < argc ? argv[i + 1] : "";
    if (a == "--rows" && !value.empty()) {
      rows = std::strtoull(value.c_str(), nullptr, 10);
    } else if (a == "--rounds" && !value.empty()) {
      rounds = std::atoi(value.c_str());
    } else if (a == "--kind" && (value == "account" || value == "events")) {
      kinds = {value};
    } else {
      std::fprintf(stderr, "usage: row_group [--rows N] [--rounds N] [--kind account|events]\n");
      return 2;
    }
  }
  if (rows == 0 || rows > bus::kMaxGroupRows || rounds < 1) return 2;
  for (const auto& kind : kinds) {
    if (const int status = run(kind, rows, rounds); status != 0) return status;
  }
  return 0;
}
