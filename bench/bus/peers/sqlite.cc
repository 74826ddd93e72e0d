// SQLite: WAL, synchronous FULL, prepared inserts, 100,000 rows per transaction; the index on the request is
// built after the load and is part of its time.
#include <sqlite3.h>

#include <cstring>

#include "bench/bus/peers/peer.hpp"
#include "bench/bus/peers/sql.hpp"

namespace perjoule::bench {
namespace {

constexpr std::int64_t kTransactionRows = 100'000;

constexpr const char* kSchema =
    "CREATE TABLE joules(t0_ns INTEGER,t1_ns INTEGER,window_ns INTEGER,meter INTEGER,device INTEGER,"
    "energy_uj INTEGER,share INTEGER,tenant INTEGER,model INTEGER,epoch INTEGER,phase INTEGER,request TEXT,"
    "kernel INTEGER,seq INTEGER);"
    "CREATE TABLE samples(t_ns INTEGER,device INTEGER,signal INTEGER,value REAL,seq INTEGER);"
    "CREATE TABLE names(kind TEXT,place INTEGER,name TEXT);";

class Sqlite final : public Peer {
 public:
  explicit Sqlite(const PeerOptions& options) : options_(options) {}
  Sqlite(const Sqlite&) = delete;
  Sqlite& operator=(const Sqlite&) = delete;
  ~Sqlite() override {
    for (auto* s : {joules_, samples_}) sqlite3_finalize(s);
    sqlite3_close(db_);
  }

  std::string name_version_settings() const override {
    return std::string("SQLite ") + sqlite3_libversion() +
           ": WAL, synchronous=FULL, 100,000 rows per transaction, prepared inserts, index on "
           "joules(request) "
           "after the load, page 8192, cache " +
           std::to_string(options_.memory_bytes >> 20) + " MiB, threads=" + std::to_string(options_.threads);
  }

  base::Status open(const std::string& directory) override {
    file_ = directory + "/bus.sqlite";
    if (sqlite3_open(file_.c_str(), &db_) != SQLITE_OK) return failed("open");
    const std::string settings =
        "PRAGMA page_size=8192;PRAGMA journal_mode=WAL;PRAGMA synchronous=FULL;PRAGMA temp_store=MEMORY;"
        "PRAGMA locking_mode=EXCLUSIVE;PRAGMA wal_autocheckpoint=16000;PRAGMA cache_size=-" +
        std::to_string(options_.memory_bytes >> 10) + ";PRAGMA threads=" + std::to_string(options_.threads) +
        ";";
    PJ_TRY(run(settings));
    PJ_TRY(run(kSchema));
    PJ_TRY(run(insert_names()));
    PJ_TRY(prepare("INSERT INTO joules VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?)", joules_));
    return prepare("INSERT INTO samples VALUES(?,?,?,?,?)", samples_);
  }

  base::Status append(const EventBatch& batch) override {
    if (!seen_.take(batch.seq)) return base::ok_status();
    for (std::size_t i = 0; i < batch.joules.size(); ++i) PJ_TRY(insert_joules(batch, i));
    for (std::size_t i = 0; i < batch.samples.size(); ++i) PJ_TRY(insert_sample(batch, i));
    return base::ok_status();
  }

  base::Status finish() override {
    if (open_rows_ > 0) PJ_TRY(run("COMMIT"));
    open_rows_ = 0;
    PJ_TRY(run("CREATE INDEX joules_request ON joules(request)"));
    return run("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  base::Result<Answer> query(QueryId id, const QueryParams& params) override {
    Answer out = empty_answer(id);
    sqlite3_stmt* statement = nullptr;
    PJ_TRY(prepare(sql_text(id, params, Dialect::kSqlite), statement));
    int step = SQLITE_ROW;
    while ((step = sqlite3_step(statement)) == SQLITE_ROW) add_row(statement, out);
    sqlite3_finalize(statement);
    if (step != SQLITE_DONE) return failed("query").error();
    return out;
  }

  std::uint64_t bytes_on_disk() override {
    const auto slash = file_.rfind('/');
    return directory_bytes(file_.substr(0, slash));
  }

 private:
  base::Status failed(const char* what) const {
    return base::io_error(std::string("SQLite: ") + what, file_, sqlite3_errmsg(db_));
  }
  base::Status run(const std::string& sql) {
    return sqlite3_exec(db_, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK ? base::ok_status()
                                                                                  : failed("execute");
  }
  base::Status prepare(const std::string& sql, sqlite3_stmt*& out) {
    const int status = sqlite3_prepare_v2(db_, sql.c_str(), -1, &out, nullptr);
    return status == SQLITE_OK ? base::ok_status() : failed("prepare");
  }

  base::Status step(sqlite3_stmt* statement) {
    if (open_rows_ == 0) PJ_TRY(run("BEGIN"));
    if (sqlite3_step(statement) != SQLITE_DONE) return failed("insert");
    sqlite3_reset(statement);
    if (++open_rows_ < kTransactionRows) return base::ok_status();
    open_rows_ = 0;
    return run("COMMIT");
  }

  base::Status insert_joules(const EventBatch& batch, std::size_t i) {
    const Attributions& j = batch.joules;
    const std::int64_t whole[] = {j.t0_ns[i],  j.t1_ns[i],     j.window_ns[i], j.device[i],
                                  j.device[i], j.energy_uj[i], j.share[i],     j.tenant[i],
                                  j.model[i],  j.epoch[i],     j.phase[i]};
    int column = 0;
    for (const auto v : whole) sqlite3_bind_int64(joules_, ++column, v);
    const std::string_view request = batch.request(i);
    sqlite3_bind_text(joules_, 12, request.data(), static_cast<int>(request.size()), SQLITE_STATIC);
    sqlite3_bind_int(joules_, 13, j.kernel[i]);
    sqlite3_bind_int64(joules_, 14, batch.seq);
    return step(joules_);
  }

  base::Status insert_sample(const EventBatch& batch, std::size_t i) {
    const Samples& s = batch.samples;
    sqlite3_bind_int64(samples_, 1, s.t_ns[i]);
    sqlite3_bind_int(samples_, 2, s.device[i]);
    sqlite3_bind_int(samples_, 3, s.signal[i]);
    sqlite3_bind_double(samples_, 4, s.value[i]);
    sqlite3_bind_int64(samples_, 5, batch.seq);
    return step(samples_);
  }

  static void add_row(sqlite3_stmt* statement, Answer& out) {
    for (std::size_t c = 0; c < out.columns.size(); ++c) {
      const int i = static_cast<int>(c);
      AnswerColumn& column = out.columns[c];
      if (column.cell == Cell::kText) {
        column.texts.emplace_back(reinterpret_cast<const char*>(sqlite3_column_text(statement, i)));
      } else if (sqlite3_column_type(statement, i) == SQLITE_FLOAT) {
        column.numbers.push_back(bits_of(sqlite3_column_double(statement, i)));
      } else {
        column.numbers.push_back(sqlite3_column_int64(statement, i));
      }
    }
  }

  PeerOptions options_;
  std::string file_;
  sqlite3* db_ = nullptr;
  sqlite3_stmt *joules_ = nullptr, *samples_ = nullptr;
  std::int64_t open_rows_ = 0;
  SeenBatches seen_;
};

}  // namespace

base::Result<std::unique_ptr<Peer>> make_sqlite(const PeerOptions& options) {
  return std::unique_ptr<Peer>(new Sqlite(options));
}

}  // namespace perjoule::bench
