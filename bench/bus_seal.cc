// Processor time per event that sealing takes, from encoded blocks to row groups in memory and sums for the
// rollups, and the bytes of each column.
//   bus_seal [--events N] [--of M] [--seed S] [--rounds N] [--threads 1|2] [--columns]
// The stream of bench/bus/generator.hpp, `joules` and `samples`; --of: the first N events of a stream of M.
// Every round begins with what a writer has that has sealed the stream before. With two threads each seals
// the whole stream: the time per event of each should stay. The least of the rounds counts. Every group of
// the last round is opened, checked, and its rows and energies compared. Exit status: 0 equal, 1 a
// difference, 2 for a bad command line.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <map>
#include <string>
#include <thread>
#include <vector>

#include "base/text.hpp"
#include "bench/bus/blocks.hpp"
#include "bench/bus/generator.hpp"
#include "bus/block_merge.hpp"
#include "bus/engine.hpp"
#include "bus/parquet_reader.hpp"
#include "bus/parquet_writer.hpp"
#include "bus/rollup.hpp"

namespace {

namespace base = perjoule::base;
namespace bench = perjoule::bench;
namespace bus = perjoule::bus;

struct Options {
  bench::GeneratorOptions stream;
  std::int64_t of = 0;
  int rounds = 3;
  std::size_t threads = 1;
  bool columns = false;
};

struct Blocks {
  std::vector<std::string> joules, samples;
  std::uint64_t joules_rows = 0, samples_rows = 0;
  std::int64_t energy_uj = 0;
};

struct Seconds {
  double add = 0, batch = 0, sum = 0, encode = 0;
  double all() const { return add + batch + sum + encode; }
};

struct Sealed {
  Seconds seconds;
  std::uint64_t rows = 0, bytes = 0;
  std::vector<std::uint64_t> column_bytes;
  std::uint64_t other_bytes = 0;  // Bloom filters
};

double thread_seconds() {
  timespec t{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_nsec) * 1e-9;
}

Blocks make_blocks(const Options& options) {
  bench::GeneratorOptions stream = options.stream;
  stream.events = std::max(stream.events, options.of);
  bench::Generator generator(stream);
  bench::BlockMaker encoder;
  Blocks out;
  const std::int64_t batches = (options.stream.events + bench::kBatchEvents - 1) / bench::kBatchEvents;
  for (std::int64_t i = 0; i < batches; ++i) {
    bench::EventBatch batch;
    generator.fill(i, batch);
    out.joules_rows += batch.joules.size();
    out.samples_rows += batch.samples.size();
    for (const auto e : batch.joules.energy_uj) out.energy_uj += e;
    auto [joules, samples] = encoder.encode(batch);
    out.joules.push_back(std::move(joules));
    if (!samples.empty()) out.samples.push_back(std::move(samples));
  }
  return out;
}

// Adds what encoding each column takes: with the time column, less the time column alone.
void time_columns(const bus::TableSchema& schema, const bus::Batch& batch, std::vector<double>& seconds) {
  seconds.resize(schema.columns.size());
  const auto time_of = [&](std::size_t i, bool alone) {
    const std::vector<bus::ColumnSpec> specs{schema.columns[schema.time_column], schema.columns[i]};
    bus::Batch part;
    part.rows = batch.rows;
    part.columns = {batch.columns[schema.time_column], batch.columns[i]};
    part.columns[0].constant = true;
    std::fill(part.columns[0].ints.begin(), part.columns[0].ints.end(), part.columns[0].ints[0]);
    part.columns[1].repeats = false;
    if (alone) part.columns.pop_back();
    const double before = thread_seconds();
    (void)bus::encode_row_group({schema.name, std::span(specs).first(part.columns.size()), 0}, part).ok();
    return thread_seconds() - before;
  };
  for (std::size_t i = 0; i < seconds.size(); ++i) seconds[i] += time_of(i, false) - time_of(i, true);
}

// What a sealer does, without the file.
Sealed seal(bus::Table table, const std::vector<std::string>& blocks,
            std::vector<bus::EncodedGroup>* keep = nullptr, std::vector<double>* column_seconds = nullptr) {
  const bus::EngineOptions options;
  const auto& schema = bus::schema_of(table);
  Sealed out;
  out.column_bytes.resize(schema.columns.size());
  // As the engine has one of each for all segments.
  static thread_local std::array<std::unique_ptr<bus::BlockMerge>, bus::kTableCount> merges;
  auto& kept = merges[static_cast<std::size_t>(table)];
  if (kept == nullptr) kept = std::make_unique<bus::BlockMerge>(table);
  bus::BlockMerge& merge = *kept;
  static thread_local bus::RollupLane kept_lane;
  double before = thread_seconds();
  const auto lap = [&](double& sum) {
    const double now = thread_seconds();
    sum += now - before;
    before = now;
  };
  for (std::size_t next = 0; next < blocks.size();) {
    merge.clear();
    while (next < blocks.size()) {
      const auto view = bus::BlockView::open(blocks[next], "block");
      if (merge.rows() != 0 && merge.rows() + view->rows() > options.sort_rows) break;
      if (!merge.add(*view).ok()) std::abort();
      ++next;
    }
    lap(out.seconds.add);
    const auto done = merge.for_each_batch(options.group_rows, [&](const bus::Batch& batch) -> base::Status {
      lap(out.seconds.batch);
      if (column_seconds != nullptr) time_columns(schema, batch, *column_seconds);
      before = thread_seconds();
      if (table == bus::Table::kJoules) kept_lane.sums.add(batch);
      if (table == bus::Table::kSamples) kept_lane.readings.add(batch);
      lap(out.seconds.sum);
      PJ_ASSIGN(auto group, bus::encode_row_group(schema, batch, options.encoding));
      lap(out.seconds.encode);
      out.rows += batch.rows;
      out.bytes += group.bytes.size();
      std::uint64_t chunks = 0;
      for (std::size_t i = 0; i < schema.columns.size(); ++i) {
        out.column_bytes[i] += static_cast<std::uint64_t>(group.meta.columns[i].stored_bytes);
        chunks += static_cast<std::uint64_t>(group.meta.columns[i].stored_bytes);
      }
      out.other_bytes += group.bytes.size() - chunks;
      if (keep != nullptr) keep->push_back(std::move(group));
      before = thread_seconds();
      return base::ok_status();
    });
    if (!done.ok()) std::abort();
    lap(out.seconds.batch);
  }
  return out;
}

struct Round {
  Sealed joules, samples;
  double seconds() const { return joules.seconds.all() + samples.seconds.all(); }
};

// Each thread's best round.
std::vector<Round> run_rounds(const Blocks& blocks, std::size_t threads, int rounds) {
  std::vector<Round> best(threads);
  std::vector<std::thread> workers;
  for (auto& mine : best) {
    workers.emplace_back([&mine, &blocks, rounds] {
      for (int i = 0; i < rounds; ++i) {
        Round round{seal(bus::Table::kJoules, blocks.joules), seal(bus::Table::kSamples, blocks.samples)};
        if (i == 0 || round.seconds() < mine.seconds()) mine = std::move(round);
      }
    });
  }
  for (auto& w : workers) w.join();
  return best;
}

void print(const char* name, const Sealed& s, const bus::TableSchema& schema,
           const std::vector<double>& seconds) {
  const auto rows = static_cast<double>(s.rows);
  std::printf("%-8s %6.1f ns/row (add %.1f, sort and gather %.1f, sum %.1f, encode %.1f), %.3f bytes/row\n",
              name, s.seconds.all() / rows * 1e9, s.seconds.add / rows * 1e9, s.seconds.batch / rows * 1e9,
              s.seconds.sum / rows * 1e9, s.seconds.encode / rows * 1e9, static_cast<double>(s.bytes) / rows);
  if (seconds.empty()) return;
  for (std::size_t i = 0; i < schema.columns.size(); ++i)
    std::printf("  %-16s %7.2f bits/row %6.2f ns/row\n", std::string(schema.columns[i].name).c_str(),
                static_cast<double>(8 * s.column_bytes[i]) / rows, seconds[i] / rows * 1e9);
  std::printf("  %-16s %7.2f bits/row\n", "Bloom filters", static_cast<double>(8 * s.other_bytes) / rows);
}

// Writes the groups as one file in memory and reads them back.
bool reads_back(const Blocks& blocks) {
  const auto& schema = bus::schema_of(bus::Table::kJoules);
  std::vector<bus::EncodedGroup> groups;
  seal(bus::Table::kJoules, blocks.joules, &groups);
  const std::string path = "/tmp/perjoule-bus-seal-" + std::to_string(std::clock());
  auto writer = bus::ParquetWriter::create(base::posix_env(), path, schema);
  for (auto& g : groups) {
    if (!writer->append(std::move(g)).ok()) return false;
  }
  if (!writer->seal().ok()) return false;
  const auto file = bus::ParquetFile::open(*base::posix_env().read_file(path), path);
  std::remove(path.c_str());
  if (!file.ok() || file->check().has_value()) return false;
  std::int64_t sum = 0;
  std::uint64_t rows = 0;
  const std::array<std::size_t, 1> energy{schema.find("energy_uj")};
  for (std::size_t g = 0; g < file->groups(); ++g) {
    const auto batch = file->read(g, energy);
    rows += batch->rows;
    for (const auto e : batch->columns[0].ints) sum += e;
  }
  return rows == blocks.joules_rows && sum == blocks.energy_uj;
}

bool parse(int argc, char** argv, Options& o) {
  o.stream.events = 4'000'000;
  for (int i = 1; i < argc; ++i) {
    const std::string a = argv[i];
    if (a == "--columns") {
      o.columns = true;
      continue;
    }
    const auto n = base::parse_int(i + 1 < argc ? argv[++i] : "");
    if (!n || *n <= 0) return false;
    if (a == "--events") {
      o.stream.events = *n;
    } else if (a == "--of") {
      o.of = *n;
    } else if (a == "--seed") {
      o.stream.seed = static_cast<std::uint64_t>(*n);
    } else if (a == "--rounds") {
      o.rounds = static_cast<int>(*n);
    } else if (a == "--threads") {
      o.threads = static_cast<std::size_t>(*n);
    } else {
      return false;
    }
  }
  return o.threads <= 64;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fprintf(stderr,
                 "bus_seal [--events N] [--of M] [--seed S] [--rounds N] [--threads N] [--columns]\n");
    return 2;
  }
  const Blocks blocks = make_blocks(o);
  const auto rounds = run_rounds(blocks, o.threads, o.rounds);
  const Round& best = *std::max_element(
      rounds.begin(), rounds.end(), [](const Round& a, const Round& b) { return a.seconds() < b.seconds(); });
  std::vector<double> joules, samples;
  if (o.columns) {
    seal(bus::Table::kJoules, blocks.joules, nullptr, &joules);
    seal(bus::Table::kSamples, blocks.samples, nullptr, &samples);
  }
  print("joules", best.joules, bus::schema_of(bus::Table::kJoules), joules);
  print("samples", best.samples, bus::schema_of(bus::Table::kSamples), samples);
  const auto events = static_cast<double>(best.joules.rows + best.samples.rows);
  std::printf("events   %6.1f ns each on each of %zu threads, %.3f bytes each\n",
              best.seconds() / events * 1e9, o.threads,
              static_cast<double>(best.joules.bytes + best.samples.bytes) / events);
  if (!reads_back(blocks)) return std::printf("read back differently\n"), 1;
  return 0;
}
