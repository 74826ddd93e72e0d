// ClickHouse as the library chdb, opened at run time: blocks of at least one million rows in the Native
// format by streaming inserts, each a part fsynced with its directory before the insert returns. The
// interface's part that is used is declared here.
#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "base/shared_library.hpp"
#include "bench/bus/peers/loader_pool.hpp"
#include "bench/bus/peers/peer.hpp"
#include "bench/bus/peers/sql.hpp"

namespace perjoule::bench {
namespace {

using Handle = void*;
constexpr std::size_t kBlockRows = 1'000'000;

struct Library {
  Handle* (*connect)(int, char**) = nullptr;
  Handle (*query)(Handle, const char*, std::size_t, const char*, std::size_t) = nullptr;
  void (*destroy_result)(Handle) = nullptr;
  const char* (*buffer)(Handle) = nullptr;
  std::size_t (*length)(Handle) = nullptr;
  const char* (*error)(Handle) = nullptr;
  Handle (*insert)(Handle, const char*, const char*) = nullptr;
  const char* (*insert_error)(Handle) = nullptr;
  int (*append)(Handle, const char*, std::size_t) = nullptr;
  Handle (*done)(Handle) = nullptr;
  void (*destroy_insert)(Handle) = nullptr;
};

void fill(base::SharedLibrary& library, Library& out) {
  library.find("chdb_connect", out.connect);
  library.find("chdb_query_n", out.query);
  library.find("chdb_destroy_query_result", out.destroy_result);
  library.find("chdb_result_buffer", out.buffer);
  library.find("chdb_result_length", out.length);
  library.find("chdb_result_error", out.error);
  library.find("chdb_stream_insert", out.insert);
  library.find("chdb_stream_insert_error", out.insert_error);
  library.find("chdb_stream_append", out.append);
  library.find("chdb_stream_done", out.done);
  library.find("chdb_destroy_insert_stream", out.destroy_insert);
}

constexpr const char* kJoules =
    "CREATE TABLE joules(t0_ns Int64 CODEC(DoubleDelta,LZ4),t1_ns Int64 CODEC(DoubleDelta,LZ4),"
    "window_ns Int64 CODEC(T64,LZ4),meter UInt16,device UInt16,energy_uj Int64 CODEC(T64,LZ4),share UInt8,"
    "tenant UInt16,model UInt16,epoch UInt16 CODEC(T64,LZ4),phase UInt8,request String,"
    "kernel UInt16 CODEC(T64,LZ4),seq UInt32 CODEC(T64,LZ4),"
    "INDEX by_request request TYPE bloom_filter(0.01) GRANULARITY 1) ENGINE=MergeTree "
    "ORDER BY (tenant,model,device,t1_ns) SETTINGS fsync_after_insert=1,fsync_part_directory=1";
constexpr const char* kSamples =
    "CREATE TABLE samples(t_ns Int64 CODEC(DoubleDelta,LZ4),device UInt16,signal UInt8,"
    "value Float64 CODEC(Gorilla,LZ4),seq UInt32 CODEC(T64,LZ4)) ENGINE=MergeTree "
    "ORDER BY (device,signal,t_ns) SETTINGS fsync_after_insert=1,fsync_part_directory=1";
constexpr const char* kNamesTable =
    "CREATE TABLE names(kind String,place UInt32,name String) ENGINE=MergeTree ORDER BY (kind,place)";

struct Column {
  const char* name;
  const char* type;
  std::string bytes = {};  // as the Native format has them
};

void put_length(std::string& out, std::size_t n) {
  for (; n >= 128; n >>= 7) out += static_cast<char>((n & 127) | 128);
  out += static_cast<char>(n);
}
void put_text(std::string& out, const char* text) {
  put_length(out, std::strlen(text));
  out += text;
}

// Rows of one table until there are enough for a block.
class Block {
 public:
  Block(const char* table, std::vector<Column> columns) : table_(table), columns_(std::move(columns)) {}

  template <class T>
  void add(std::size_t column, const std::vector<T>& values) {
    columns_[column].bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  }
  void add_seq(std::size_t column, std::uint32_t seq, std::size_t rows) {
    add(column, std::vector<std::uint32_t>(rows, seq));
  }
  // Every text is its length and its bytes; names are shorter than 128 bytes.
  void add_requests(std::size_t column, const EventBatch& batch) {
    std::string& out = columns_[column].bytes;
    const std::size_t width = batch.request_width, begin = out.size();
    out.resize(begin + batch.joules.size() * (width + 1));
    char* to = out.data() + begin;
    for (const auto place : batch.joules.request) {
      *to++ = static_cast<char>(width);
      std::memcpy(to, batch.request_text.data() + place * width, width);
      to += width;
    }
  }
  void add_rows(std::size_t rows) { rows_ += rows; }
  std::size_t rows() const { return rows_; }

  // Inserts what there is and waits until it is durable.
  base::Status insert(const Library& library, Handle connection) {
    if (rows_ == 0) return base::ok_status();
    const Handle stream = library.insert(connection, ("INSERT INTO " + table_).c_str(), "Native");
    std::string head;
    put_length(head, columns_.size());
    put_length(head, rows_);
    bool taken = library.append(stream, head.data(), head.size()) == 0;
    for (Column& column : columns_) {
      head.clear();
      put_text(head, column.name);
      put_text(head, column.type);
      taken = taken && library.append(stream, head.data(), head.size()) == 0 &&
              library.append(stream, column.bytes.data(), column.bytes.size()) == 0;
      column.bytes.clear();
    }
    rows_ = 0;
    return finish(library, stream, taken);
  }

 private:
  base::Status finish(const Library& library, Handle stream, bool taken) {
    const Handle result = library.done(stream);
    const char* why = result == nullptr ? library.insert_error(stream) : library.error(result);
    const std::string reason = why == nullptr ? "" : why;
    if (result != nullptr) library.destroy_result(result);
    library.destroy_insert(stream);
    return taken && reason.empty() ? base::ok_status() : base::io_error("ClickHouse: insert", table_, reason);
  }

  std::string table_;
  std::vector<Column> columns_;
  std::size_t rows_ = 0;
};

// Used by one thread.
class Loader {
 public:
  Loader(const Library& library, Handle connection) : library_(library), connection_(connection) {}

  base::Status load(const EventBatch& batch) {
    add_joules(batch);
    add_samples(batch);
    if (joules_.rows() >= kBlockRows) PJ_TRY(joules_.insert(library_, connection_));
    if (samples_.rows() >= kBlockRows) PJ_TRY(samples_.insert(library_, connection_));
    return base::ok_status();
  }
  base::Status flush() {
    PJ_TRY(joules_.insert(library_, connection_));
    return samples_.insert(library_, connection_);
  }

 private:
  void add_joules(const EventBatch& batch) {
    const Attributions& j = batch.joules;
    joules_.add(0, j.t0_ns);
    joules_.add(1, j.t1_ns);
    joules_.add(2, j.window_ns);
    joules_.add(3, j.device);
    joules_.add(4, j.device);
    joules_.add(5, j.energy_uj);
    joules_.add(6, j.share);
    joules_.add(7, j.tenant);
    joules_.add(8, j.model);
    joules_.add(9, j.epoch);
    joules_.add(10, j.phase);
    joules_.add_requests(11, batch);
    joules_.add(12, j.kernel);
    joules_.add_seq(13, batch.seq, j.size());
    joules_.add_rows(j.size());
  }
  void add_samples(const EventBatch& batch) {
    const Samples& s = batch.samples;
    samples_.add(0, s.t_ns);
    samples_.add(1, s.device);
    samples_.add(2, s.signal);
    samples_.add(3, s.value);
    samples_.add_seq(4, batch.seq, s.size());
    samples_.add_rows(s.size());
  }

  const Library& library_;
  Handle connection_;
  Block joules_{"joules",
                {{"t0_ns", "Int64"},
                 {"t1_ns", "Int64"},
                 {"window_ns", "Int64"},
                 {"meter", "UInt16"},
                 {"device", "UInt16"},
                 {"energy_uj", "Int64"},
                 {"share", "UInt8"},
                 {"tenant", "UInt16"},
                 {"model", "UInt16"},
                 {"epoch", "UInt16"},
                 {"phase", "UInt8"},
                 {"request", "String"},
                 {"kernel", "UInt16"},
                 {"seq", "UInt32"}}};
  Block samples_{"samples",
                 {{"t_ns", "Int64"},
                  {"device", "UInt16"},
                  {"signal", "UInt8"},
                  {"value", "Float64"},
                  {"seq", "UInt32"}}};
};

// Reads the cells of a RowBinary result: numbers and readings have eight bytes, texts their length and bytes.
class RowBinary {
 public:
  RowBinary(const char* begin, std::size_t length) : at_(begin), end_(begin + length) {}
  bool more() const { return at_ < end_; }
  std::int64_t number() {
    std::int64_t out = 0;
    std::memcpy(&out, at_, sizeof(out));
    at_ += sizeof(out);
    return out;
  }
  std::string text() {
    std::size_t length = 0;
    for (int shift = 0;; shift += 7) {
      const auto byte = static_cast<unsigned char>(*at_++);
      length |= std::size_t{byte & 127u} << shift;
      if (byte < 128) break;
    }
    const std::string out(at_, length);
    at_ += length;
    return out;
  }

 private:
  const char *at_, *end_;
};

// The engine cannot be closed cleanly once it has tables; it ends with the process.
class Clickhouse final : public Peer {
 public:
  Clickhouse(const Library& library, const PeerOptions& options) : library_(library), options_(options) {}

  std::string name_version_settings() const override {
    return "ClickHouse " + version_ + " (libchdb): Native blocks of 1,000,000 rows or more by " +
           std::to_string(loaders_.size()) +
           " streaming inserts at a time, fsync_after_insert=1, fsync_part_directory=1, joules ORDER BY "
           "(tenant,model,device,t1_ns), samples ORDER BY (device,signal,t_ns), codecs "
           "DoubleDelta/T64/Gorilla + "
           "LZ4, bloom_filter(0.01) on request, max_threads=" +
           std::to_string(options_.threads) +
           ", max_memory_usage=" + std::to_string(options_.memory_bytes >> 20) + "MiB";
  }

  base::Status open(const std::string& directory) override {
    std::string program = "clickhouse", path = "--path=" + directory;
    std::array<char*, 2> arguments = {program.data(), path.data()};
    for (int i = 0; i < options_.threads; ++i) {
      Handle* connection = library_.connect(2, arguments.data());
      if (connection == nullptr) return base::io_error("ClickHouse: open", directory, "refused");
      connections_.push_back(*connection);
      PJ_TRY(limit(*connection));
      loaders_.push_back(std::make_unique<Loader>(library_, *connection));
    }
    for (const char* sql : {kJoules, kSamples, kNamesTable}) PJ_TRY(run(sql));
    PJ_TRY(run("SET max_query_size=100000000"));
    PJ_TRY(run(insert_names()));
    PJ_ASSIGN(version_, text("SELECT version()"));
    pool_ = std::make_unique<LoaderPool>(
        loaders_.size(), [this](std::size_t i, const EventBatch& batch) { return loaders_[i]->load(batch); });
    return base::ok_status();
  }

  base::Status append(const EventBatch& batch) override {
    return seen_.take(batch.seq) ? pool_->append(batch) : base::ok_status();
  }

  base::Status finish() override {
    PJ_TRY(pool_->drain());
    for (auto& loader : loaders_) PJ_TRY(loader->flush());
    return base::ok_status();
  }

  // Merging goes on after the last insert; a quiet second is taken for its end.
  base::Status settle() override {
    for (int quiet = 0; quiet < 10;) {
      PJ_ASSIGN(const std::string merges, text("SELECT toString(count()) FROM system.merges"));
      quiet = merges == "0" ? quiet + 1 : 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return base::ok_status();
  }

  base::Result<Answer> query(QueryId id, const QueryParams& params) override {
    PJ_ASSIGN(const Handle result, ask(sql_text(id, params, Dialect::kClickhouse), "RowBinary"));
    Answer out = empty_answer(id);
    RowBinary cells(library_.buffer(result), library_.length(result));
    while (cells.more()) {
      for (auto& column : out.columns) {
        if (column.cell == Cell::kText) {
          column.texts.push_back(cells.text());
        } else {
          column.numbers.push_back(cells.number());
        }
      }
    }
    library_.destroy_result(result);
    return out;
  }

  // Parts that a merge has replaced stay on the disk for eight minutes; they are not counted.
  std::uint64_t bytes_on_disk() override {
    const auto sum =
        text("SELECT toString(sum(bytes_on_disk)) FROM system.parts WHERE active AND database='default'");
    return sum.ok() ? std::stoull(sum.value()) : 0;
  }

 private:
  base::Result<Handle> ask_on(Handle connection, const std::string& sql, const std::string& format) {
    const Handle result = library_.query(connection, sql.data(), sql.size(), format.data(), format.size());
    const char* why = result == nullptr ? "no result" : library_.error(result);
    if (why == nullptr) return result;
    const std::string reason = why;
    if (result != nullptr) library_.destroy_result(result);
    return base::io_error("ClickHouse: run", sql.substr(0, 80), reason);
  }
  base::Result<Handle> ask(const std::string& sql, const std::string& format) {
    return ask_on(connections_.front(), sql, format);
  }
  base::Status run(const std::string& sql) {
    PJ_ASSIGN(const Handle result, ask(sql, "RowBinary"));
    library_.destroy_result(result);
    return base::ok_status();
  }
  base::Result<std::string> text(const std::string& sql) {
    PJ_ASSIGN(const Handle result, ask(sql, "RowBinary"));
    std::string out = RowBinary(library_.buffer(result), library_.length(result)).text();
    library_.destroy_result(result);
    return out;
  }
  base::Status limit(Handle connection) {
    for (const std::string& setting : {"max_threads=" + std::to_string(options_.threads),
                                       "max_memory_usage=" + std::to_string(options_.memory_bytes),
                                       std::string("max_insert_block_size=4000000")}) {
      PJ_ASSIGN(const Handle result, ask_on(connection, "SET " + setting, "RowBinary"));
      library_.destroy_result(result);
    }
    return base::ok_status();
  }

  Library library_;
  PeerOptions options_;
  std::string version_;
  std::vector<Handle> connections_;
  std::vector<std::unique_ptr<Loader>> loaders_;
  std::unique_ptr<LoaderPool> pool_;
  SeenBatches seen_;
};

}  // namespace

base::Result<std::unique_ptr<Peer>> make_clickhouse(const PeerOptions& options) {
  constexpr const char* kHint = "Type: ./dev bench bus_peers, which fetches it";
  base::SharedLibrary opened(options.chdb_library);
  if (!opened.is_open()) return base::missing("open ClickHouse", options.chdb_library, opened.why(), kHint);
  Library library;
  fill(opened, library);
  if (!opened.absent().empty())
    return base::missing("open ClickHouse", options.chdb_library, "it has no " + opened.absent(), kHint);
  return std::unique_ptr<Peer>(new Clickhouse(library, options));
}

}  // namespace perjoule::bench
