// The store: STORE/<table>/part-NNNNNN.parquet beside STORE/catalog/manifest.json (docs/formats/store.md).
// The manifest is rewritten after every sealed segment; what it does not name does not exist for readers. So
// a crash, a full disk or an interrupt leaves a readable store that ends with its last sealed segment. Thread
// rule: a StoreWriter from the one thread that interns into its SymbolTable (it encodes in threads of its
// own); StoreReader's const members from any thread, each with a SymbolTable of its own. Ownership: Env and
// SymbolTable must outlive them. Units: Unix nanoseconds, microjoules.
// A StoreReader sees everything that was acknowledged when it was opened: the sealed files, and the blocks of
// the log that are in none of them yet (the tail). It maps all files when it is opened, so that none is gone
// when it is asked for, and keeps the footers of those that were read parsed.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/symbol.hpp"
#include "bus/manifest.hpp"
#include "bus/parquet_reader.hpp"
#include "bus/parquet_writer.hpp"
#include "bus/store_state.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {

struct StoreOptions {
  bool overwrite = false;  // replace the store that is there
  unsigned threads = 1;    // row groups encoded at once; the files' bytes do not depend on it
  std::size_t segment_rows = std::size_t{4} << 20;
  std::size_t group_rows = std::size_t{1} << 18;  // at most kMaxGroupRows
  EncodingOptions encoding;                       // sorted_by empty: rows are stored as they come
};

class StoreWriter {
 public:
  // Errors: kBadInput for a folder that holds other files, or a store without `overwrite`; kIo for a second
  // writer, a full disk or a folder that cannot be written.
  static base::Result<StoreWriter> create(base::Env& env, const std::string& directory,
                                          base::SymbolTable& symbols, StoreMeta meta,
                                          StoreOptions options = {});
  StoreWriter(StoreWriter&&) noexcept;
  ~StoreWriter();

  // Rows are stored in the order they come. After an error every later call returns it again.
  base::Status append(const energy::MeterRow& row);
  base::Status append(const energy::JouleRow& row);
  base::Status append(const energy::SampleRow& row);
  base::Status append(const energy::RequestRow& row);
  base::Status append(const energy::JobRow& row);
  base::Status append(const energy::DecisionRow& row);
  base::Status append(const energy::CarbonRow& row);
  // Seals what is left, so that every table has at least one file, and ends the writer's life. `complete`
  // false: the run was interrupted, and the store says so.
  base::Status finish(bool complete = true);
  const Manifest& manifest() const;

 private:
  class Impl;
  explicit StoreWriter(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// from_ns <= t < to_ns; to_ns at its largest value includes that value.
struct TimeWindow {
  std::int64_t from_ns = std::numeric_limits<std::int64_t>::min();
  std::int64_t to_ns = std::numeric_limits<std::int64_t>::max();
  bool holds(std::int64_t t) const {
    return t >= from_ns && (t < to_ns || to_ns == std::numeric_limits<std::int64_t>::max());
  }
  // Some of first..last?
  bool overlaps(std::int64_t first, std::int64_t last) const {
    return last >= from_ns && (first < to_ns || holds(first));
  }
};

// A text column that has this text.
struct TextIs {
  std::string column, text;
};

struct ScanRequest {
  Table table = Table::kJoules;
  std::vector<std::string> columns;  // empty: all, in the schema's order
  TimeWindow window;                 // compared with the table's time column
  // Only the files for which it says so, and no tail.
  std::function<bool(const SegmentEntry&)> only = {};
  // Row groups without this text in this column are passed over: a look at bounds, Bloom filter and
  // dictionary instead of all their rows. Other rows of the groups that have it come too.
  std::optional<TextIs> with = {};
};

// Something an auditor must know about a store's file.
struct Finding {
  bool damage = true;  // false: a file that is beside the store but not in it
  std::string file, table;
  std::uint64_t byte = 0;
  std::string why;
  // What is lost with it: a row group, a file, a block of the log. Not all of it can always be known.
  bool rows_known = false;
  std::uint64_t rows = 0;
  TimeRange time = {};
  std::string numbers = {};  // of the log: "source 5..9, ...", those missing between the blocks around it
};

class StoreReader {
 public:
  // Errors: kMissing when there is no store, kCorrupt for a damaged manifest, kBadInput for a newer format.
  // A damaged log does not keep a store from being opened: scans then fail, and verify() says where. kIo when
  // a writer replaces files faster than they can be opened.
  static base::Result<StoreReader> open(base::Env& env, const std::string& directory);
  // A reader that passes over what is damaged, as left_out() tells: row groups, files, stretches of the log.
  // Everything is read once to find it, so that all questions to this reader leave out the same rows. A sum
  // of what it reads is not the store's sum; whoever shows one says so. Errors: as open().
  static base::Result<StoreReader> open_without_damage(base::Env& env, const std::string& directory);
  // What an engine of this process has. Error: kIo when the snapshot is too old to be read (take another).
  static base::Result<StoreReader> open(base::Env& env, const std::string& directory,
                                        const Snapshot& snapshot);
  // The store as it is now, or as a snapshot of its engine has it; files that belong to both stay open.
  base::Result<StoreReader> reopen() const;
  base::Result<StoreReader> reopen(const Snapshot& snapshot) const;
  // Is the manifest that was read still the store's? The log may have grown all the same.
  base::Result<bool> is_current() const;

  const Manifest& manifest() const { return state_.manifest; }
  const std::string& directory() const { return directory_; }
  // The blocks that are in no sealed file, oldest first.
  const std::vector<TailBlock>& tail() const { return state_.tail; }
  std::uint64_t rows(Table table) const;
  // Bounds of the table's time column over files and tail.
  TimeRange time_range(Table table) const;
  // What this reader passes over; empty for one that refuses damage.
  const std::vector<Finding>& left_out() const { return left_out_->findings; }
  bool leaves_out(const SegmentEntry& entry, std::size_t group) const;
  bool leaves_out_all_of(const SegmentEntry& entry) const { return left_out_->files.contains(entry.file); }
  bool leaves_out_some_of(const SegmentEntry& entry) const { return left_out_->groups.contains(entry.file); }
  // An error if the log is damaged: what it holds is then not known.
  base::Status log_status() const;
  // The file, its footer read at the first call and kept.
  base::Result<std::shared_ptr<const ParquetFile>> segment(const SegmentEntry& entry) const;
  bool has_read(const SegmentEntry& entry) const;

  // Calls `on_batch` for every row group and every block of the tail that has rows in the window, in the
  // order of writing; other rows are left out. Stops at the first error, of the callback or its own
  // (kCorrupt, kMissing, kIo; kBadInput for an unknown column).
  using BatchCallback = std::function<base::Status(const Batch&)>;
  base::Status scan(const ScanRequest& request, const BatchCallback& on_batch) const;
  base::Status for_each_meter(base::SymbolTable& symbols, const RowCallback<energy::MeterRow>& row,
                              TimeWindow w = {}) const;
  base::Status for_each_joule(base::SymbolTable& symbols, const RowCallback<energy::JouleRow>& row,
                              TimeWindow w = {}) const;
  base::Status for_each_sample(base::SymbolTable& symbols, const RowCallback<energy::SampleRow>& row,
                               TimeWindow w = {}) const;
  base::Status for_each_request(base::SymbolTable& symbols, const RowCallback<energy::RequestRow>& row,
                                TimeWindow w = {}) const;
  base::Status for_each_job(base::SymbolTable& symbols, const RowCallback<energy::JobRow>& row,
                            TimeWindow w = {}) const;
  base::Status for_each_decision(base::SymbolTable& symbols, const RowCallback<energy::DecisionRow>& row,
                                 TimeWindow w = {}) const;
  base::Status for_each_carbon(base::SymbolTable& symbols, const RowCallback<energy::CarbonRow>& row,
                               TimeWindow w = {}) const;

  // Compares every file that is not left out with the manifest's hash, for readers that check no page
  // themselves. Error: kAnswerIsNo, with the first damaged byte.
  base::Status check_hashes() const;
  // Every file: there, size, hash, form, page CRCs, rows; the log and its blocks; then files that are no part
  // of the store. Empty: all well.
  std::vector<Finding> verify() const;

 private:
  struct OpenFiles;
  struct LeftOut {
    std::vector<Finding> findings;
    std::map<std::string, std::set<std::size_t>> groups;  // by file
    std::set<std::string> files;
  };

  // With those of `known` (which may be nullptr) that are its files too.
  StoreReader(base::Env& env, std::string directory, StoreState state, OpenFiles* known);
  static base::Result<StoreReader> take_hold(base::Env& env, const std::string& directory, OpenFiles* known);
  bool hold_files() const;
  base::Result<ParquetFile> parse_segment(const SegmentEntry& entry, const FileBytes& bytes) const;
  base::Status scan_tail(const ScanRequest& request, const std::vector<std::size_t>& columns,
                         const BatchCallback& on_batch) const;
  base::Status find_damage();
  void verify_log(std::vector<Finding>& findings) const;
  void find_strays(std::vector<Finding>& findings) const;
  template <class Row>
  base::Status each(Table table, base::SymbolTable& symbols, const RowCallback<Row>& row,
                    TimeWindow window) const;

  base::Env* env_;
  std::string directory_;
  StoreState state_;
  std::shared_ptr<OpenFiles> files_;
  std::shared_ptr<const LeftOut> left_out_ = std::make_shared<const LeftOut>();
};

}  // namespace perjoule::bus
