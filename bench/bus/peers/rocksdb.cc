// RocksDB: write batches of 10,000 events with sync=true from two threads. Column families: joules and
// samples by (device, time, seq, row), requests by (request, key of the event). Questions are scans, except
// where a key leads to the rows: one request, one device.
#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/table.h>
#include <rocksdb/version.h>

#include <array>
#include <chrono>
#include <cstring>
#include <thread>

#include "bench/bus/peers/loader_pool.hpp"
#include "bench/bus/peers/peer.hpp"
#include "bench/bus/peers/sql.hpp"
#include "bench/bus/reference.hpp"

namespace perjoule::bench {
namespace {

constexpr std::size_t kBatchRows = 10'000;
enum Family : std::size_t { kDefault, kJoules, kSamples, kRequests };

template <class T>
void put(char*& to, T value) {
  std::memcpy(to, &value, sizeof(value));
  to += sizeof(value);
}
template <class T>
T take(const char*& from) {
  T value;
  std::memcpy(&value, from, sizeof(value));
  from += sizeof(value);
  return value;
}
// Keys have their bytes in the order in which they sort.
template <class T>
void put_sorted(char*& to, T value) {
  for (int shift = static_cast<int>(sizeof(T)) * 8 - 8; shift >= 0; shift -= 8)
    *to++ = static_cast<char>(static_cast<std::uint64_t>(value) >> shift);
}
template <class T>
T take_sorted(const char*& from) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < sizeof(T); ++i) value = value << 8 | static_cast<unsigned char>(*from++);
  return static_cast<T>(value);
}

using Key = std::array<char, 16>;
Key key_of(std::uint16_t device, std::int64_t t_ns, std::uint32_t seq, std::size_t row) {
  Key key;
  char* to = key.data();
  put_sorted(to, device);
  put_sorted(to, t_ns);
  put_sorted(to, seq);
  put_sorted(to, static_cast<std::uint16_t>(row));
  return key;
}
rocksdb::Slice slice(const Key& key) { return {key.data(), key.size()}; }

// Everything of a row that its key does not say; the request is the rest of the value.
constexpr std::size_t kJouleBytes = 3 * 8 + 5 * 2 + 2;
void joule_value(const EventBatch& batch, std::size_t i, std::string& out) {
  const Attributions& j = batch.joules;
  out.resize(kJouleBytes);
  char* to = out.data();
  put(to, j.t0_ns[i]);
  put(to, j.window_ns[i]);
  put(to, j.energy_uj[i]);
  for (const auto* column : {&j.device, &j.tenant, &j.model, &j.epoch, &j.kernel}) put(to, (*column)[i]);
  put(to, j.share[i]);
  put(to, j.phase[i]);
  out += batch.request(i);
}

AttributionRow joule_row(const rocksdb::Slice& key, const rocksdb::Slice& value) {
  AttributionRow r;
  const char* k = key.data();
  r.device = take_sorted<std::uint16_t>(k);
  r.t1_ns = take_sorted<std::int64_t>(k);
  const char* v = value.data() + 16;
  r.energy_uj = take<std::int64_t>(v);
  v += 2;  // the meter
  for (auto* field : {&r.tenant, &r.model, &r.epoch, &r.kernel}) *field = take<std::uint16_t>(v);
  r.phase = static_cast<std::uint8_t>(v[1]);
  r.request = {value.data() + kJouleBytes, value.size() - kJouleBytes};
  return r;
}

SampleRow sample_of(const rocksdb::Slice& key, const rocksdb::Slice& value) {
  SampleRow r;
  const char *k = key.data(), *v = value.data();
  r.device = take_sorted<std::uint16_t>(k);
  r.t_ns = take_sorted<std::int64_t>(k);
  r.signal = take<std::uint8_t>(v);
  r.value = take<double>(v);
  return r;
}

class Rocksdb final : public Peer {
 public:
  explicit Rocksdb(const PeerOptions& options) : options_(options) {}
  Rocksdb(const Rocksdb&) = delete;
  Rocksdb& operator=(const Rocksdb&) = delete;
  ~Rocksdb() override {
    pool_.reset();
    for (auto* family : families_) db_->DestroyColumnFamilyHandle(family);
  }

  std::string name_version_settings() const override {
    const std::string threads = std::to_string(options_.threads);
    return "RocksDB " + rocksdb::GetRocksVersionAsString() + ": write batches of 10,000 events, sync=true, " +
           threads + " writers, " + threads + " flushes and " + threads +
           " compactions at a time, vector memtables of 64 MiB, LZ4 with ZSTD at the bottom, block cache " +
           std::to_string(options_.memory_bytes >> 21) +
           " MiB, key (device,time,seq,row), second column family request -> event";
  }

  base::Status open(const std::string& directory) override {
    directory_ = directory;
    rocksdb::DBOptions settings;
    settings.create_if_missing = settings.create_missing_column_families = true;
    settings.max_background_flushes = options_.threads;
    settings.max_background_compactions = options_.threads;
    settings.enable_pipelined_write = true;
    settings.allow_concurrent_memtable_write = false;
    const auto family = family_options();
    std::vector<rocksdb::ColumnFamilyDescriptor> all;
    for (const char* name : {"default", "joules", "samples", "requests"}) all.emplace_back(name, family);
    rocksdb::DB* db = nullptr;
    PJ_TRY(status(rocksdb::DB::Open(settings, directory, all, &families_, &db)));
    db_.reset(db);
    PJ_TRY(write_names());
    pool_ =
        std::make_unique<LoaderPool>(static_cast<std::size_t>(options_.threads),
                                     [this](std::size_t, const EventBatch& batch) { return load(batch); });
    return base::ok_status();
  }

  base::Status append(const EventBatch& batch) override {
    return seen_.take(batch.seq) ? pool_->append(batch) : base::ok_status();
  }

  base::Status finish() override {
    PJ_TRY(pool_->drain());
    return status(db_->Flush({}, families_));
  }

  base::Status settle() override {
    for (int quiet = 0; quiet < 10;) {
      quiet = property("rocksdb.num-running-compactions") + property("rocksdb.compaction-pending") == 0
                  ? quiet + 1
                  : 0;
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return base::ok_status();
  }

  base::Result<Answer> query(QueryId id, const QueryParams& params) override {
    const auto scan = make_scan(id, params);
    do {
      if (id == QueryId::kRequest || id == QueryId::kAbsentRequest) {
        PJ_TRY(scan_request(id == QueryId::kRequest ? params.request : params.absent_request, *scan));
      } else if (id == QueryId::kDeviceSignals) {
        PJ_TRY(scan_device(static_cast<std::uint16_t>(params.device), *scan));
      } else {
        PJ_TRY(scan_all(*scan));
      }
    } while (scan->again());
    return scan->answer();
  }

  std::uint64_t bytes_on_disk() override { return directory_bytes(directory_); }

 private:
  base::Status status(const rocksdb::Status& s) const {
    return s.ok() ? base::ok_status() : base::io_error("RocksDB", directory_, s.ToString());
  }

  rocksdb::ColumnFamilyOptions family_options() const {
    rocksdb::ColumnFamilyOptions family;
    family.compression = rocksdb::kLZ4Compression;
    family.bottommost_compression = rocksdb::kZSTD;
    family.write_buffer_size = std::size_t{64} << 20;
    family.max_write_buffer_number = 4;
    // Sorted when it is flushed: cheaper than a skip list while nobody reads.
    family.memtable_factory = std::make_shared<rocksdb::VectorRepFactory>();
    family.level_compaction_dynamic_level_bytes = true;
    rocksdb::BlockBasedTableOptions table;
    table.block_size = 16 << 10;
    table.block_cache = rocksdb::NewLRUCache(static_cast<std::size_t>(options_.memory_bytes / 2));
    family.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return family;
  }

  base::Status write_names() {
    rocksdb::WriteBatch names_batch;
    for (const NameRow& row : name_rows())
      names_batch.Put(families_[kDefault], std::string(row.kind) + "/" + std::to_string(row.place),
                      *row.name);
    return status(db_->Write({}, &names_batch));
  }

  base::Status load(const EventBatch& batch) {
    rocksdb::WriteBatch rows;
    std::string value;
    for (std::size_t i = 0; i < batch.joules.size(); ++i) {
      add_joules(batch, i, value, rows);
      if ((i + 1) % kBatchRows == 0) PJ_TRY(commit(rows));
    }
    for (std::size_t i = 0; i < batch.samples.size(); ++i) {
      add_sample(batch, i, rows);
      if ((i + 1) % kBatchRows == 0) PJ_TRY(commit(rows));
    }
    return commit(rows);
  }

  void add_joules(const EventBatch& batch, std::size_t i, std::string& value, rocksdb::WriteBatch& rows) {
    const Key key = key_of(batch.joules.device[i], batch.joules.t1_ns[i], batch.seq, i);
    joule_value(batch, i, value);
    rows.Put(families_[kJoules], slice(key), value);
    value = batch.request(i);
    value.append(key.data(), key.size());
    rows.Put(families_[kRequests], value, {});
  }

  void add_sample(const EventBatch& batch, std::size_t i, rocksdb::WriteBatch& rows) {
    const Samples& s = batch.samples;
    std::array<char, 9> value;
    char* to = value.data();
    put(to, s.signal[i]);
    put(to, s.value[i]);
    const Key key = key_of(s.device[i], s.t_ns[i], batch.seq, i);
    rows.Put(families_[kSamples], slice(key), {value.data(), value.size()});
  }

  base::Status commit(rocksdb::WriteBatch& rows) {
    rocksdb::WriteOptions durable;
    durable.sync = true;
    const auto written = db_->Write(durable, &rows);
    rows.Clear();
    return status(written);
  }

  std::uint64_t property(const char* name) const {
    std::uint64_t sum = 0;
    for (auto* family : families_) {
      std::uint64_t value = 0;
      db_->GetIntProperty(family, name, &value);
      sum += value;
    }
    return sum;
  }

  base::Status scan_request(const std::string& request, QueryScan& scan) {
    std::vector<std::string> keys;
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}, families_[kRequests]));
    for (it->Seek(request); it->Valid() && it->key().starts_with(request); it->Next())
      keys.emplace_back(it->key().data() + request.size(), sizeof(Key));
    for (const auto& key : keys) {
      rocksdb::PinnableSlice value;
      PJ_TRY(status(db_->Get({}, families_[kJoules], key, &value)));
      scan.add(joule_row(key, value));
    }
    return status(it->status());
  }

  base::Status scan_device(std::uint16_t device, QueryScan& scan) {
    const Key from = key_of(device, 0, 0, 0);
    const rocksdb::Slice prefix(from.data(), 2);
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator({}, families_[kSamples]));
    for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next())
      scan.add(sample_of(it->key(), it->value()));
    return status(it->status());
  }

  base::Status scan_all(QueryScan& scan) {
    rocksdb::ReadOptions whole;
    whole.readahead_size = std::size_t{2} << 20;
    if (scan.wants_attributions()) {
      const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(whole, families_[kJoules]));
      for (it->SeekToFirst(); it->Valid(); it->Next()) scan.add(joule_row(it->key(), it->value()));
      PJ_TRY(status(it->status()));
    }
    if (!scan.wants_samples()) return base::ok_status();
    const std::unique_ptr<rocksdb::Iterator> it(db_->NewIterator(whole, families_[kSamples]));
    for (it->SeekToFirst(); it->Valid(); it->Next()) scan.add(sample_of(it->key(), it->value()));
    return status(it->status());
  }

  PeerOptions options_;
  std::string directory_;
  std::unique_ptr<rocksdb::DB> db_;
  std::vector<rocksdb::ColumnFamilyHandle*> families_;
  std::unique_ptr<LoaderPool> pool_;
  SeenBatches seen_;
};

}  // namespace

base::Result<std::unique_ptr<Peer>> make_rocksdb(const PeerOptions& options) {
  return std::unique_ptr<Peer>(new Rocksdb(options));
}

}  // namespace perjoule::bench
