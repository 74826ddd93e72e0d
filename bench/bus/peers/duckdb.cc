// DuckDB by its C interface, opened at run time: two connections append data chunks of 2,048 rows, each in a
// transaction of about two million rows; CHECKPOINT at the end. The interface's part that is used is declared
// here from its documented layout.
#include <array>
#include <cstring>

#include "base/shared_library.hpp"
#include "bench/bus/peers/loader_pool.hpp"
#include "bench/bus/peers/peer.hpp"
#include "bench/bus/peers/sql.hpp"

namespace perjoule::bench {
namespace {

using Handle = void*;
constexpr std::size_t kChunkRows = 2'048;
constexpr std::size_t kTransactionRows = 2'000'000;
enum Type : int { kBigint = 5, kUtinyint = 6, kUsmallint = 7, kUinteger = 8, kDouble = 11, kVarchar = 17 };

struct QueryResult {
  std::uint64_t column_count, row_count, rows_changed;
  void* columns;
  char* error;
  void* internal;
};
// Up to twelve bytes stand in the value itself, longer text behind the pointer.
struct Text {
  std::uint32_t length;
  char begin[4];
  const char* text;
};
static_assert(sizeof(Text) == 16);

struct Library {
  int (*open)(const char*, Handle*, Handle, char**) = nullptr;
  void (*close)(Handle*) = nullptr;
  int (*connect)(Handle, Handle*) = nullptr;
  void (*disconnect)(Handle*) = nullptr;
  int (*query)(Handle, const char*, QueryResult*) = nullptr;
  void (*destroy_result)(QueryResult*) = nullptr;
  const char* (*result_error)(QueryResult*) = nullptr;
  int (*column_type)(QueryResult*, std::uint64_t) = nullptr;
  Handle (*fetch_chunk)(QueryResult) = nullptr;
  std::uint64_t (*chunk_size)(Handle) = nullptr;
  Handle (*chunk_vector)(Handle, std::uint64_t) = nullptr;
  void* (*vector_data)(Handle) = nullptr;
  void (*destroy_chunk)(Handle*) = nullptr;
  Handle (*logical_type)(int) = nullptr;
  void (*destroy_type)(Handle*) = nullptr;
  Handle (*create_chunk)(Handle*, std::uint64_t) = nullptr;
  void (*reset_chunk)(Handle) = nullptr;
  void (*set_size)(Handle, std::uint64_t) = nullptr;
  int (*create_appender)(Handle, const char*, const char*, Handle*) = nullptr;
  int (*append_chunk)(Handle, Handle) = nullptr;
  int (*flush)(Handle) = nullptr;
  int (*destroy_appender)(Handle*) = nullptr;
  const char* (*appender_error)(Handle) = nullptr;
  const char* (*version)() = nullptr;
};

void fill(base::SharedLibrary& library, Library& out) {
  library.find("duckdb_open_ext", out.open);
  library.find("duckdb_close", out.close);
  library.find("duckdb_connect", out.connect);
  library.find("duckdb_disconnect", out.disconnect);
  library.find("duckdb_query", out.query);
  library.find("duckdb_destroy_result", out.destroy_result);
  library.find("duckdb_result_error", out.result_error);
  library.find("duckdb_column_type", out.column_type);
  library.find("duckdb_fetch_chunk", out.fetch_chunk);
  library.find("duckdb_data_chunk_get_size", out.chunk_size);
  library.find("duckdb_data_chunk_get_vector", out.chunk_vector);
  library.find("duckdb_vector_get_data", out.vector_data);
  library.find("duckdb_destroy_data_chunk", out.destroy_chunk);
  library.find("duckdb_create_logical_type", out.logical_type);
  library.find("duckdb_destroy_logical_type", out.destroy_type);
  library.find("duckdb_create_data_chunk", out.create_chunk);
  library.find("duckdb_data_chunk_reset", out.reset_chunk);
  library.find("duckdb_data_chunk_set_size", out.set_size);
  library.find("duckdb_appender_create", out.create_appender);
  library.find("duckdb_append_data_chunk", out.append_chunk);
  library.find("duckdb_appender_flush", out.flush);
  library.find("duckdb_appender_destroy", out.destroy_appender);
  library.find("duckdb_appender_error", out.appender_error);
  library.find("duckdb_library_version", out.version);
}

constexpr const char* kSchema =
    "CREATE TABLE joules(t0_ns BIGINT,t1_ns BIGINT,window_ns BIGINT,meter USMALLINT,device USMALLINT,"
    "energy_uj BIGINT,share UTINYINT,tenant USMALLINT,model USMALLINT,epoch USMALLINT,phase UTINYINT,"
    "request VARCHAR,kernel USMALLINT,seq UINTEGER);"
    "CREATE TABLE samples(t_ns BIGINT,device USMALLINT,signal UTINYINT,value DOUBLE,seq UINTEGER);"
    "CREATE TABLE names(kind VARCHAR,place INTEGER,name VARCHAR);";
constexpr std::array kJouleTypes = {kBigint,   kBigint,   kBigint,    kUsmallint, kUsmallint,
                                    kBigint,   kUtinyint, kUsmallint, kUsmallint, kUsmallint,
                                    kUtinyint, kVarchar,  kUsmallint, kUinteger};
constexpr std::array kSampleTypes = {kBigint, kUsmallint, kUtinyint, kDouble, kUinteger};

// One connection that appends to both tables. Used by one thread.
class Loader {
 public:
  Loader(const Library& library, Handle database) : library_(library) {
    library_.connect(database, &connection_);
    joules_ = make_chunk(kJouleTypes.data(), kJouleTypes.size());
    samples_ = make_chunk(kSampleTypes.data(), kSampleTypes.size());
  }
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;
  ~Loader() {
    for (Handle* chunk : {&joules_, &samples_}) library_.destroy_chunk(chunk);
    library_.disconnect(&connection_);
  }

  base::Status load(const EventBatch& batch) {
    if (rows_ == 0) PJ_TRY(begin());
    for (std::size_t i = 0; i < batch.joules.size(); i += kChunkRows) PJ_TRY(append_joules(batch, i));
    for (std::size_t i = 0; i < batch.samples.size(); i += kChunkRows) PJ_TRY(append_samples(batch, i));
    rows_ += batch.events();
    return rows_ >= kTransactionRows ? commit() : base::ok_status();
  }

  base::Status commit() {
    if (rows_ == 0) return base::ok_status();
    rows_ = 0;
    for (Handle* appender : {&joule_appender_, &sample_appender_}) {
      if (library_.flush(*appender) != 0) return appender_failed(*appender);
      library_.destroy_appender(appender);
    }
    return run("COMMIT");
  }

 private:
  Handle make_chunk(const Type* types, std::size_t count) {
    std::vector<Handle> logical;
    for (std::size_t i = 0; i < count; ++i) logical.push_back(library_.logical_type(types[i]));
    const Handle chunk = library_.create_chunk(logical.data(), count);
    for (Handle& type : logical) library_.destroy_type(&type);
    return chunk;
  }
  base::Status appender_failed(Handle appender) {
    return base::io_error("DuckDB: append", {}, library_.appender_error(appender));
  }
  base::Status run(const char* sql) {
    QueryResult result{};
    const int state = library_.query(connection_, sql, &result);
    const std::string why = state == 0 ? "" : library_.result_error(&result);
    library_.destroy_result(&result);
    return state == 0 ? base::ok_status() : base::io_error("DuckDB: load", sql, why);
  }
  base::Status begin() {
    PJ_TRY(run("BEGIN TRANSACTION"));
    const bool made = library_.create_appender(connection_, nullptr, "joules", &joule_appender_) == 0 &&
                      library_.create_appender(connection_, nullptr, "samples", &sample_appender_) == 0;
    return made ? base::ok_status() : base::io_error("DuckDB: make an appender", {}, "refused");
  }

  template <class T>
  T* column(Handle chunk, std::size_t number) {
    return static_cast<T*>(library_.vector_data(library_.chunk_vector(chunk, number)));
  }
  template <class T>
  void copy(Handle chunk, std::size_t number, const std::vector<T>& from, std::size_t first,
            std::size_t rows) {
    std::memcpy(column<T>(chunk, number), from.data() + first, rows * sizeof(T));
  }
  void copy_seq(Handle chunk, std::size_t number, std::uint32_t seq, std::size_t rows) {
    std::fill_n(column<std::uint32_t>(chunk, number), rows, seq);
  }
  // The texts stay where the batch has them; the appender copies them.
  void copy_requests(Handle chunk, std::size_t number, const EventBatch& batch, std::size_t first,
                     std::size_t rows) {
    Text* out = column<Text>(chunk, number);
    const auto length = static_cast<std::uint32_t>(batch.request_width);
    for (std::size_t i = 0; i < rows; ++i) {
      const char* text = batch.request_text.data() + batch.joules.request[first + i] * batch.request_width;
      out[i].length = length;
      std::memcpy(out[i].begin, text, sizeof(out[i].begin));
      out[i].text = text;
    }
  }
  base::Status append(Handle appender, Handle chunk, std::size_t rows) {
    library_.set_size(chunk, rows);
    return library_.append_chunk(appender, chunk) == 0 ? base::ok_status() : appender_failed(appender);
  }

  base::Status append_joules(const EventBatch& batch, std::size_t first) {
    const Attributions& j = batch.joules;
    const std::size_t rows = std::min(kChunkRows, j.size() - first);
    library_.reset_chunk(joules_);
    copy(joules_, 0, j.t0_ns, first, rows);
    copy(joules_, 1, j.t1_ns, first, rows);
    copy(joules_, 2, j.window_ns, first, rows);
    copy(joules_, 3, j.device, first, rows);
    copy(joules_, 4, j.device, first, rows);
    copy(joules_, 5, j.energy_uj, first, rows);
    copy(joules_, 6, j.share, first, rows);
    copy(joules_, 7, j.tenant, first, rows);
    copy(joules_, 8, j.model, first, rows);
    copy(joules_, 9, j.epoch, first, rows);
    copy(joules_, 10, j.phase, first, rows);
    copy_requests(joules_, 11, batch, first, rows);
    copy(joules_, 12, j.kernel, first, rows);
    copy_seq(joules_, 13, batch.seq, rows);
    return append(joule_appender_, joules_, rows);
  }

  base::Status append_samples(const EventBatch& batch, std::size_t first) {
    const Samples& s = batch.samples;
    const std::size_t rows = std::min(kChunkRows, s.size() - first);
    library_.reset_chunk(samples_);
    copy(samples_, 0, s.t_ns, first, rows);
    copy(samples_, 1, s.device, first, rows);
    copy(samples_, 2, s.signal, first, rows);
    copy(samples_, 3, s.value, first, rows);
    copy_seq(samples_, 4, batch.seq, rows);
    return append(sample_appender_, samples_, rows);
  }

  const Library& library_;
  Handle connection_ = nullptr, joules_ = nullptr, samples_ = nullptr;
  Handle joule_appender_ = nullptr, sample_appender_ = nullptr;
  std::size_t rows_ = 0;
};

class Duckdb final : public Peer {
 public:
  Duckdb(const Library& library, const PeerOptions& options) : library_(library), options_(options) {}
  Duckdb(const Duckdb&) = delete;
  Duckdb& operator=(const Duckdb&) = delete;
  ~Duckdb() override {
    pool_.reset();
    loaders_.clear();
    if (connection_ != nullptr) library_.disconnect(&connection_);
    if (database_ != nullptr) library_.close(&database_);
  }

  std::string name_version_settings() const override {
    return std::string("DuckDB ") + library_.version() + ": data chunks of 2,048 rows from " +
           std::to_string(options_.threads) +
           " connections, a transaction per 2,000,000 rows each, CHECKPOINT at the end, no index, threads=" +
           std::to_string(options_.threads) +
           ", memory_limit=" + std::to_string(options_.memory_bytes >> 20) + "MiB";
  }

  base::Status open(const std::string& directory) override {
    directory_ = directory;
    if (library_.open((directory + "/bus.duckdb").c_str(), &database_, nullptr, nullptr) != 0 ||
        library_.connect(database_, &connection_) != 0)
      return base::io_error("DuckDB: open", directory, "refused");
    PJ_TRY(run("SET threads=" + std::to_string(options_.threads)));
    PJ_TRY(run("SET memory_limit='" + std::to_string(options_.memory_bytes >> 20) + "MiB'"));
    PJ_TRY(run(kSchema));
    PJ_TRY(run(insert_names()));
    const auto threads = static_cast<std::size_t>(options_.threads);
    for (std::size_t i = 0; i < threads; ++i)
      loaders_.push_back(std::make_unique<Loader>(library_, database_));
    pool_ = std::make_unique<LoaderPool>(
        threads, [this](std::size_t i, const EventBatch& batch) { return loaders_[i]->load(batch); });
    return base::ok_status();
  }

  base::Status append(const EventBatch& batch) override {
    return seen_.take(batch.seq) ? pool_->append(batch) : base::ok_status();
  }

  base::Status finish() override {
    PJ_TRY(pool_->drain());
    for (auto& loader : loaders_) PJ_TRY(loader->commit());
    return run("CHECKPOINT");
  }

  base::Result<Answer> query(QueryId id, const QueryParams& params) override {
    const std::string sql = sql_text(id, params, Dialect::kDuckdb);
    QueryResult result{};
    if (library_.query(connection_, sql.c_str(), &result) != 0) return failed(sql, result);
    Answer out = empty_answer(id);
    while (Handle chunk = library_.fetch_chunk(result)) {
      for (std::size_t c = 0; c < out.columns.size(); ++c) add_cells(chunk, c, out.columns[c]);
      library_.destroy_chunk(&chunk);
    }
    library_.destroy_result(&result);
    return out;
  }

  std::uint64_t bytes_on_disk() override { return directory_bytes(directory_); }

 private:
  base::Error failed(const std::string& sql, QueryResult& result) {
    const std::string why = library_.result_error(&result);
    library_.destroy_result(&result);
    return base::io_error("DuckDB: run", sql.substr(0, 80), why);
  }
  base::Status run(const std::string& sql) {
    QueryResult result{};
    if (library_.query(connection_, sql.c_str(), &result) != 0) return failed(sql, result);
    library_.destroy_result(&result);
    return base::ok_status();
  }

  // Numbers and readings both have eight bytes, and a reading is answered by its bits.
  void add_cells(Handle chunk, std::size_t number, AnswerColumn& column) {
    const std::uint64_t rows = library_.chunk_size(chunk);
    const void* data = library_.vector_data(library_.chunk_vector(chunk, number));
    if (column.cell != Cell::kText) {
      const auto* cells = static_cast<const std::int64_t*>(data);
      column.numbers.insert(column.numbers.end(), cells, cells + rows);
      return;
    }
    const auto* cells = static_cast<const Text*>(data);
    for (std::uint64_t i = 0; i < rows; ++i)
      column.texts.emplace_back(cells[i].length <= 12 ? cells[i].begin : cells[i].text, cells[i].length);
  }

  Library library_;
  PeerOptions options_;
  std::string directory_;
  Handle database_ = nullptr, connection_ = nullptr;
  std::vector<std::unique_ptr<Loader>> loaders_;
  std::unique_ptr<LoaderPool> pool_;
  SeenBatches seen_;
};

}  // namespace

base::Result<std::unique_ptr<Peer>> make_duckdb(const PeerOptions& options) {
  constexpr const char* kHint = "Type: ./dev duckdb";
  base::SharedLibrary opened(options.duckdb_library);
  if (!opened.is_open()) return base::missing("open DuckDB", options.duckdb_library, opened.why(), kHint);
  Library library;
  fill(opened, library);
  if (!opened.absent().empty())
    return base::missing("open DuckDB", options.duckdb_library, "it has no " + opened.absent(), kHint);
  return std::unique_ptr<Peer>(new Duckdb(library, options));
}

}  // namespace perjoule::bench
