#include <algorithm>
#include <deque>
#include <future>

#include "base/assert.hpp"
#include "bus/store.hpp"
#include "bus/store_folder.hpp"
#include "bus/store_lock.hpp"

namespace perjoule::bus {
namespace {

// A row group in the file's form, and the rows it was made from.
struct Encoded {
  base::Result<EncodedGroup> group;
  Batch rows;
};

// An empty or absent folder is fine, a store with `overwrite` too.
base::Status may_write(base::Env& env, const std::string& directory, bool overwrite) {
  if (env.exists(manifest_path(directory))) {
    if (overwrite) return base::ok_status();
    return base::bad_input("create a store", directory, "there is a store already",
                           "Choose another --store or say --overwrite");
  }
  return check_free(env, directory, "create a store");
}

base::Status remove_segments(base::Env& env, const std::string& folder) {
  PJ_ASSIGN(const auto names, env.list(folder));
  for (const auto& name : names) {
    if (name.ends_with(".parquet") || name.ends_with(".parquet.part"))
      PJ_TRY(env.remove(folder + "/" + name));
  }
  return base::ok_status();
}

}  // namespace

class StoreWriter::Impl {
 public:
  Impl(base::Env& env, std::string directory, base::SymbolTable& symbols, StoreMeta meta,
       StoreOptions options, StoreLock lock)
      : env_(env), directory_(std::move(directory)), options_(options), lock_(std::move(lock)) {
    manifest_.meta = std::move(meta);
    PJ_CHECK(options_.encoding.sorted_by.empty());  // rows are stored as they come
    options_.group_rows =
        std::clamp<std::size_t>(std::min(options_.group_rows, options_.segment_rows), 1, kMaxGroupRows);
    for (std::size_t i = 0; i < kEventTables; ++i) {
      lanes_.push_back(std::make_unique<Lane>(static_cast<Table>(i), symbols, options_.group_rows));
    }
  }

  // The empty manifest first: from here on the folder is a store, whatever happens to the old segments.
  base::Status prepare() {
    PJ_TRY(write_manifest());
    for (const auto& table : table_names()) {
      PJ_TRY(env_.create_directories(directory_ + "/" + table));
    }
    for (const auto& table : all_table_names()) {
      if (env_.exists(directory_ + "/" + table)) PJ_TRY(remove_segments(env_, directory_ + "/" + table));
    }
    PJ_TRY(remove_log(env_, log_directory_of(directory_)));
    return base::ok_status();
  }

  template <class Row>
  base::Status append(Table table, const Row& row) {
    if (failed()) [[unlikely]]
      return *error_;
    PJ_CHECK(!finished_);
    Lane& lane = *lanes_[static_cast<std::size_t>(table)];
    lane.builder.append(row);
    if (!lane.builder.full()) [[likely]]
      return base::ok_status();
    return keep(submit(lane));
  }

  base::Status finish(bool complete) {
    if (failed()) return *error_;
    PJ_CHECK(!finished_);
    finished_ = true;
    return keep(finish_all(complete));
  }

  const Manifest& manifest() const { return manifest_; }

 private:
  // One table's way to disk: rows, row groups being encoded (oldest first), the open segment.
  struct Lane {
    Lane(Table t, base::SymbolTable& symbols, std::size_t capacity)
        : table(t), builder(t, symbols, capacity) {}
    Table table;
    TableBuilder builder;
    std::deque<std::future<Encoded>> encoding;
    std::optional<ParquetWriter> segment;
    std::string file;
    unsigned parts = 0;
  };

  bool failed() const { return error_.has_value(); }
  base::Status keep(base::Status s) {
    if (!s.ok()) error_ = s.error();
    return s;
  }

  base::Status submit(Lane& lane) {
    if (lane.builder.rows() == 0) return base::ok_status();
    auto encode = [&schema = schema_of(lane.table), batch = lane.builder.take(),
                   options = options_.encoding]() mutable {
      auto group = encode_row_group(schema, batch, options);
      return Encoded{std::move(group), std::move(batch)};
    };
    if (options_.threads <= 1) return store(lane, encode());
    while (in_flight_.size() >= options_.threads) PJ_TRY(collect_oldest());
    lane.encoding.push_back(std::async(std::launch::async, std::move(encode)));
    in_flight_.push_back(&lane);
    return base::ok_status();
  }

  base::Status collect_oldest() {
    Lane& lane = *in_flight_.front();
    in_flight_.pop_front();
    Encoded encoded = lane.encoding.front().get();
    lane.encoding.pop_front();
    return store(lane, std::move(encoded));
  }

  // Row groups of a table arrive here in the order of their rows, whatever the number of threads.
  base::Status store(Lane& lane, Encoded encoded) {
    if (!encoded.group.ok()) return std::move(encoded.group).error();
    lane.builder.give_back(std::move(encoded.rows));
    PJ_TRY(open_segment(lane));
    PJ_TRY(lane.segment->append(std::move(encoded.group).value()));
    if (lane.segment->rows() >= options_.segment_rows) return seal(lane);
    return base::ok_status();
  }

  base::Status open_segment(Lane& lane) {
    if (lane.segment.has_value()) return base::ok_status();
    const TableSchema& schema = schema_of(lane.table);
    lane.file = segment_file_name(lane.table, ++lane.parts);
    PJ_ASSIGN(lane.segment, ParquetWriter::create(env_, directory_ + "/" + lane.file, schema));
    return base::ok_status();
  }

  base::Status seal(Lane& lane) {
    PJ_ASSIGN(FileSummary summary, lane.segment->seal());
    lane.segment.reset();
    manifest_.segments.push_back({std::string(schema_of(lane.table).name), lane.file, std::move(summary)});
    return write_manifest();
  }

  base::Status finish_all(bool complete) {
    for (auto& lane : lanes_) PJ_TRY(submit(*lane));
    while (!in_flight_.empty()) PJ_TRY(collect_oldest());
    for (auto& lane : lanes_) {
      // A table without rows still gets a file, so that other readers find its columns.
      if (lane->parts == 0) PJ_TRY(open_segment(*lane));
      if (lane->segment.has_value()) PJ_TRY(seal(*lane));
    }
    manifest_.complete = complete;
    return write_manifest();
  }

  base::Status write_manifest() {
    sort_segments(manifest_);
    return base::write_atomically(env_, manifest_path(directory_), to_json(manifest_));
  }

  base::Env& env_;
  std::string directory_;
  StoreOptions options_;
  StoreLock lock_;
  Manifest manifest_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::deque<Lane*> in_flight_;
  std::optional<base::Error> error_;
  bool finished_ = false;
};

StoreWriter::StoreWriter(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
StoreWriter::StoreWriter(StoreWriter&&) noexcept = default;
StoreWriter::~StoreWriter() = default;

base::Result<StoreWriter> StoreWriter::create(base::Env& env, const std::string& directory,
                                              base::SymbolTable& symbols, StoreMeta meta,
                                              StoreOptions options) {
  PJ_TRY(may_write(env, directory, options.overwrite));
  PJ_TRY(env.create_directories(directory + "/catalog"));
  PJ_ASSIGN(auto lock, StoreLock::acquire(lock_path(directory)));
  // Again under the lock: another writer may have finished in between.
  PJ_TRY(may_write(env, directory, options.overwrite));
  auto impl = std::make_unique<Impl>(env, directory, symbols, std::move(meta), options, std::move(lock));
  PJ_TRY(impl->prepare());
  return StoreWriter(std::move(impl));
}

base::Status StoreWriter::append(const energy::MeterRow& row) { return impl_->append(Table::kMeters, row); }
base::Status StoreWriter::append(const energy::JouleRow& row) { return impl_->append(Table::kJoules, row); }
base::Status StoreWriter::append(const energy::SampleRow& row) { return impl_->append(Table::kSamples, row); }
base::Status StoreWriter::append(const energy::RequestRow& row) {
  return impl_->append(Table::kRequests, row);
}
base::Status StoreWriter::append(const energy::JobRow& row) { return impl_->append(Table::kJobs, row); }
base::Status StoreWriter::append(const energy::DecisionRow& row) {
  return impl_->append(Table::kDecisions, row);
}
base::Status StoreWriter::append(const energy::CarbonRow& row) { return impl_->append(Table::kCarbon, row); }
base::Status StoreWriter::finish(bool complete) { return impl_->finish(complete); }
const Manifest& StoreWriter::manifest() const { return impl_->manifest(); }

}  // namespace perjoule::bus
