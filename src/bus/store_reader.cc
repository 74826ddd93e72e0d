#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <map>
#include <mutex>

#include "base/text.hpp"
#include "bus/file_columns.hpp"
#include "bus/hash.hpp"
#include "bus/log_layout.hpp"
#include "bus/store.hpp"
#include "bus/store_damage.hpp"
#include "bus/store_folder.hpp"

namespace perjoule::bus {
namespace {

// A column of NULLs, for one that came after the file's format; these are texts.
Column nulls(std::size_t rows) {
  Column c;
  c.type = ColumnType::kText;
  c.codes.assign(rows, kNullCode);
  return c;
}

template <class T>
void keep_rows(std::vector<T>& v, const std::vector<std::uint32_t>& rows) {
  if (v.empty()) return;
  for (std::size_t i = 0; i < rows.size(); ++i) v[i] = v[rows[i]];
  v.resize(rows.size());
}

// Drops the rows outside the window; column `time` of the batch is the time.
void clip(Batch& batch, std::size_t time, const TimeWindow& window) {
  std::vector<std::uint32_t> rows;
  const auto& times = batch.columns[time].ints;
  for (std::uint32_t i = 0; i < times.size(); ++i) {
    if (window.holds(times[i])) rows.push_back(i);
  }
  if (rows.size() == batch.rows) return;
  batch.rows = rows.size();
  for (auto& c : batch.columns) {
    keep_rows(c.ints, rows);
    keep_rows(c.doubles, rows);
    keep_rows(c.bools, rows);
    keep_rows(c.codes, rows);
    keep_rows(c.valid, rows);
  }
}

base::Result<std::vector<std::size_t>> columns_of(const ScanRequest& request, const TableSchema& schema) {
  std::vector<std::size_t> out;
  for (const auto& name : request.columns) {
    const std::size_t i = schema.find(name);
    if (i == schema.columns.size()) {
      return base::bad_input("scan a table", std::string(schema.name), "it has no column '" + name + "'");
    }
    out.push_back(i);
  }
  for (std::size_t i = 0; request.columns.empty() && i < schema.columns.size(); ++i) out.push_back(i);
  return out;
}

// Segments of the log, and those that wait to be used.
bool is_log_file(std::string_view file) {
  constexpr std::string_view kFolder = "wal/", kSpare = "spare-";
  if (!file.starts_with(kFolder)) return false;
  file.remove_prefix(kFolder.size());
  if (file.starts_with(kSpare)) file.remove_prefix(kSpare.size());
  return log_segment_number(std::string(file)) != 0;
}

bool holds_all(const TimeWindow& w, const IntBounds& b) { return w.holds(b.first) && w.holds(b.second); }

// Reads what one file has in the window: row groups and their pages by the bounds of the time column, then
// row by row.
class SegmentScan {
 public:
  SegmentScan(const ParquetFile& file, const TableSchema& schema, const std::vector<std::size_t>& columns,
              const TimeWindow& window)
      : file_(file), places_(places_of(schema, file.format_version())), columns_(columns), window_(window) {
    time_ = places_[schema.time_column];
  }

  using LeavesOut = std::function<base::Result<bool>(std::size_t group)>;
  base::Status run(const StoreReader::BatchCallback& on_batch, const LeavesOut& leaves_out) const {
    for (std::size_t g = 0; g < file_.groups(); ++g) {
      PJ_ASSIGN(const bool left_out, leaves_out(g));
      if (left_out) continue;
      const auto bounds = file_.int_bounds(g, time_);
      if (bounds.has_value() && !window_.overlaps(bounds->first, bounds->second)) continue;
      const bool whole = bounds.has_value() && holds_all(window_, *bounds);
      PJ_ASSIGN(const RowRange rows, whole ? RowRange{} : rows_in_window(g));
      if (rows.from >= rows.to) continue;
      PJ_ASSIGN(const Batch batch, read(g, rows, whole));
      if (batch.rows != 0) PJ_TRY(on_batch(batch));
    }
    return base::ok_status();
  }

 private:
  // From the first to the last page that may have rows in the window.
  base::Result<RowRange> rows_in_window(std::size_t group) const {
    PJ_ASSIGN(const auto pages, file_.pages(group, time_));
    RowRange out{0, 0};
    for (std::size_t p = 0; p < pages.size(); ++p) {
      const auto& b = pages[p].bounds;
      std::int64_t lo = 0, hi = 0;
      const bool known = b.known && b.smallest.size() == sizeof lo && b.largest.size() == sizeof hi;
      if (known) {
        std::memcpy(&lo, b.smallest.data(), sizeof lo);
        std::memcpy(&hi, b.largest.data(), sizeof hi);
      }
      if (known && !window_.overlaps(lo, hi)) continue;
      if (out.to == 0) out.from = static_cast<std::size_t>(pages[p].first_row);
      const auto end = p + 1 < pages.size() ? pages[p + 1].first_row : file_.meta().groups[group].rows;
      out.to = static_cast<std::size_t>(end);
    }
    return out;
  }

  // The columns asked for; `whole`: every row is in the window. Else the time is read along and dropped
  // again.
  base::Result<Batch> read(std::size_t group, RowRange rows, bool whole) const {
    std::vector<std::size_t> stored;
    for (const auto c : columns_) {
      if (places_[c] != kAbsentColumn) stored.push_back(places_[c]);
    }
    if (!whole) stored.push_back(time_);
    PJ_ASSIGN(Batch batch, file_.read(group, stored, rows));
    if (!whole) {
      clip(batch, batch.columns.size() - 1, window_);
      batch.columns.pop_back();
    }
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (places_[columns_[i]] != kAbsentColumn) continue;
      batch.columns.insert(batch.columns.begin() + static_cast<std::ptrdiff_t>(i), nulls(batch.rows));
    }
    return batch;
  }

  const ParquetFile& file_;
  const std::vector<std::size_t> places_;
  const std::vector<std::size_t>& columns_;
  const TimeWindow& window_;
  std::size_t time_ = 0;
};

// Whether a row group may have rows with the text.
base::Result<bool> may_have(const ParquetFile& file, std::size_t group, std::size_t place,
                            std::string_view text) {
  if (place == kAbsentColumn) return false;
  PJ_ASSIGN(const bool perhaps, file.may_contain(group, place, text));
  if (!perhaps) return false;
  PJ_ASSIGN(const Batch names, file.read(group, std::array{place}, {0, 0}));
  const auto& texts = names.columns[0].dictionary;
  return std::binary_search(texts.begin(), texts.end(), text);
}

// A finding of an error whose place is "STORE/file: byte N".
Finding finding_of(const base::Error& error, const std::string& directory) {
  constexpr std::string_view kByte = ": byte ";
  Finding f{true, error.where, {}, 0, error.why};
  if (f.file.starts_with(directory + "/")) f.file.erase(0, directory.size() + 1);
  const std::size_t at = f.file.rfind(kByte);
  if (at == std::string::npos) return f;
  const auto byte = base::parse_int(std::string_view(f.file).substr(at + kByte.size()));
  if (byte) f.byte = static_cast<std::uint64_t>(*byte);
  f.file.erase(at);
  return f;
}

}  // namespace

// Files by name and hash, so that a file that took another's name is another file.
struct StoreReader::OpenFiles {
  static std::string key_of(const SegmentEntry& entry) { return entry.file + entry.summary.xxh3_128; }
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<const ParquetFile>> files;
  std::map<std::string, FileBytes> held;  // of those that nobody has asked for yet
};

StoreReader::StoreReader(base::Env& env, std::string directory, StoreState state, OpenFiles* known)
    : env_(&env),
      directory_(std::move(directory)),
      state_(std::move(state)),
      files_(std::make_shared<OpenFiles>()) {
  if (known == nullptr) return;
  const std::lock_guard lock(known->mutex);
  for (const auto& entry : manifest().segments) {
    const std::string key = OpenFiles::key_of(entry);
    if (const auto found = known->files.find(key); found != known->files.end()) {
      files_->files.insert(*found);
    } else if (const auto held = known->held.find(key); held != known->held.end()) {
      files_->held.insert(*held);
    }
  }
}

// A writer may remove what this manifest names before it is opened: then the next manifest is read.
base::Result<StoreReader> StoreReader::take_hold(base::Env& env, const std::string& directory,
                                                 OpenFiles* known) {
  constexpr int kTries = 20;
  for (int i = 0; i < kTries; ++i) {
    PJ_ASSIGN(auto state, load_state(env, directory));
    StoreReader store(env, directory, std::move(state), known);
    if (store.hold_files()) return store;
    // A file that is missing though the manifest is the store's is damage, for whoever reads it.
    PJ_ASSIGN(const bool current, store.is_current());
    if (current) return store;
  }
  return base::io_error("open a store", directory, "its files are replaced faster than they can be opened",
                        "Try again in a moment");
}

base::Result<StoreReader> StoreReader::open(base::Env& env, const std::string& directory) {
  return take_hold(env, directory, nullptr);
}

base::Result<StoreReader> StoreReader::open(base::Env& env, const std::string& directory,
                                            const Snapshot& snapshot) {
  PJ_ASSIGN(auto state, state_of(env, directory, snapshot));
  StoreReader store(env, directory, std::move(state), nullptr);
  store.hold_files();
  return store;
}

base::Result<StoreReader> StoreReader::reopen() const { return take_hold(*env_, directory_, files_.get()); }

base::Result<StoreReader> StoreReader::reopen(const Snapshot& snapshot) const {
  PJ_ASSIGN(auto state, state_of(*env_, directory_, snapshot));
  StoreReader store(*env_, directory_, std::move(state), files_.get());
  store.hold_files();
  return store;
}

// Maps every file that is not open yet: whatever the writer does, it then stays. False: one is not there.
bool StoreReader::hold_files() const {
  bool all = true;
  const std::lock_guard lock(files_->mutex);
  for (const auto& entry : manifest().segments) {
    const std::string key = OpenFiles::key_of(entry);
    if (files_->files.contains(key) || files_->held.contains(key)) continue;
    auto opened = env_->open_file(directory_ + "/" + entry.file);
    if (!opened.ok()) {
      all = all && opened.error().kind != base::ErrorKind::kMissing;
      continue;
    }
    // What cannot be mapped is told to whoever asks for it.
    auto bytes = FileBytes::of(std::move(*opened));
    if (bytes.ok()) files_->held.emplace(key, std::move(*bytes));
  }
  return all;
}

base::Result<bool> StoreReader::is_current() const {
  PJ_ASSIGN(const std::string text, env_->read_file(manifest_path(directory_)));
  return text == state_.manifest_text;
}

std::uint64_t StoreReader::rows(Table table) const {
  std::uint64_t n = 0;
  for (const auto& e : manifest().segments) n += e.table == schema_of(table).name ? e.summary.rows : 0;
  for (const auto& b : tail()) n += b.table == table ? b.rows : 0;
  return n;
}

TimeRange StoreReader::time_range(Table table) const {
  TimeRange out;
  for (const auto& e : manifest().segments) {
    if (e.table == schema_of(table).name) out.include(e.summary.time);
  }
  for (const auto& b : tail()) {
    if (b.table == table) out.include({true, b.first_ns, b.last_ns});
  }
  return out;
}

base::Status StoreReader::log_status() const {
  return state_.log_fault ? base::Status(*state_.log_fault) : base::ok_status();
}

base::Result<std::shared_ptr<const ParquetFile>> StoreReader::segment(const SegmentEntry& entry) const {
  const std::string key = OpenFiles::key_of(entry);
  std::optional<FileBytes> held;
  {
    const std::lock_guard lock(files_->mutex);
    if (const auto found = files_->files.find(key); found != files_->files.end()) return found->second;
    if (const auto found = files_->held.find(key); found != files_->held.end()) held = found->second;
  }
  if (!held) {
    PJ_ASSIGN(auto opened, env_->open_file(directory_ + "/" + entry.file));
    PJ_ASSIGN(held, FileBytes::of(std::move(opened)));
  }
  PJ_ASSIGN(auto file, parse_segment(entry, *held));
  auto kept = std::make_shared<const ParquetFile>(std::move(file));
  const std::lock_guard lock(files_->mutex);
  files_->held.erase(key);
  return files_->files.try_emplace(key, std::move(kept)).first->second;
}

bool StoreReader::has_read(const SegmentEntry& entry) const {
  const std::lock_guard lock(files_->mutex);
  return files_->files.contains(OpenFiles::key_of(entry));
}

base::Result<ParquetFile> StoreReader::parse_segment(const SegmentEntry& entry,
                                                     const FileBytes& bytes) const {
  const std::string path = directory_ + "/" + entry.file;
  const auto& summary = entry.summary;
  // Format 1 has no hash of the footer alone.
  const bool whole = bytes.bytes.size() == summary.bytes &&
                     (summary.tail.bytes != 0 || xxh3_128_of(bytes.bytes) == summary.xxh3_128);
  PJ_ASSIGN(auto file, ParquetFile::open(bytes, path, summary.tail));
  if (!whole || file.table() != entry.table || !has_columns_of(file, schema_of(*find_table(entry.table)))) {
    return base::corrupt("read a segment", path + ": table " + entry.table,
                         "it is not the file that the manifest names (size, hash or columns differ)",
                         "Run perjoule audit to list every damaged file");
  }
  return file;
}

base::Status StoreReader::scan(const ScanRequest& request, const BatchCallback& on_batch) const {
  const TableSchema& schema = schema_of(request.table);
  PJ_ASSIGN(const auto columns, columns_of(request, schema));
  const std::size_t with = request.with ? schema.find(request.with->column) : 0;
  if (with == schema.columns.size() || (request.with && schema.columns[with].type != ColumnType::kText))
    return base::bad_input("scan a table", std::string(schema.name),
                           "it has no text column '" + request.with->column + "'");
  for (const auto& entry : manifest().segments) {
    const auto& time = entry.summary.time;
    if (entry.table != schema.name || (request.only && !request.only(entry)) || !time.known ||
        !request.window.overlaps(time.first_ns, time.last_ns))
      continue;
    if (left_out_->files.contains(entry.file)) continue;
    PJ_ASSIGN(const auto file, segment(entry));
    const auto left_out = [&](std::size_t group) -> base::Result<bool> {
      if (leaves_out(entry, group)) return true;
      if (!request.with) return false;
      const std::size_t place = places_of(schema, file->format_version())[with];
      PJ_ASSIGN(const bool perhaps, may_have(*file, group, place, request.with->text));
      return !perhaps;
    };
    PJ_TRY(SegmentScan(*file, schema, columns, request.window).run(on_batch, left_out));
  }
  PJ_TRY(log_status());
  return request.only ? base::ok_status() : scan_tail(request, columns, on_batch);
}

base::Status StoreReader::scan_tail(const ScanRequest& request, const std::vector<std::size_t>& columns,
                                    const BatchCallback& on_batch) const {
  const std::size_t time = schema_of(request.table).time_column;
  for (const TailBlock& block : tail()) {
    if (block.table != request.table || !request.window.overlaps(block.first_ns, block.last_ns)) continue;
    const bool whole = holds_all(request.window, {block.first_ns, block.last_ns});
    PJ_ASSIGN(const auto view, BlockView::open(*block.bytes, log_segment_name(block.place.segment)));
    std::vector<std::size_t> read = columns;
    if (!whole) read.push_back(time);
    PJ_ASSIGN(Batch batch, view.read(read));
    if (!whole) {
      clip(batch, columns.size(), request.window);
      batch.columns.pop_back();
    }
    if (batch.rows != 0) PJ_TRY(on_batch(batch));
  }
  return base::ok_status();
}

template <class Row>
base::Status StoreReader::each(Table table, base::SymbolTable& symbols, const RowCallback<Row>& row,
                               TimeWindow window) const {
  return scan({table, {}, window}, [&](const Batch& batch) { return for_each_row(batch, symbols, row); });
}

base::Status StoreReader::for_each_meter(base::SymbolTable& s, const RowCallback<energy::MeterRow>& row,
                                         TimeWindow w) const {
  return each(Table::kMeters, s, row, w);
}
base::Status StoreReader::for_each_joule(base::SymbolTable& s, const RowCallback<energy::JouleRow>& row,
                                         TimeWindow w) const {
  return each(Table::kJoules, s, row, w);
}
base::Status StoreReader::for_each_sample(base::SymbolTable& s, const RowCallback<energy::SampleRow>& row,
                                          TimeWindow w) const {
  return each(Table::kSamples, s, row, w);
}
base::Status StoreReader::for_each_request(base::SymbolTable& s, const RowCallback<energy::RequestRow>& row,
                                           TimeWindow w) const {
  return each(Table::kRequests, s, row, w);
}
base::Status StoreReader::for_each_job(base::SymbolTable& s, const RowCallback<energy::JobRow>& row,
                                       TimeWindow w) const {
  return each(Table::kJobs, s, row, w);
}
base::Status StoreReader::for_each_decision(base::SymbolTable& s, const RowCallback<energy::DecisionRow>& row,
                                            TimeWindow w) const {
  return each(Table::kDecisions, s, row, w);
}
base::Status StoreReader::for_each_carbon(base::SymbolTable& s, const RowCallback<energy::CarbonRow>& row,
                                          TimeWindow w) const {
  return each(Table::kCarbon, s, row, w);
}

bool StoreReader::leaves_out(const SegmentEntry& entry, std::size_t group) const {
  if (left_out_->files.contains(entry.file)) return true;
  const auto found = left_out_->groups.find(entry.file);
  return found != left_out_->groups.end() && found->second.contains(group);
}

base::Result<StoreReader> StoreReader::open_without_damage(base::Env& env, const std::string& directory) {
  constexpr int kTries = 5;
  for (int i = 0; i < kTries; ++i) {
    PJ_ASSIGN(auto store, open(env, directory));
    PJ_TRY(store.find_damage());
    // What a writer replaced while it was read is no damage.
    PJ_ASSIGN(const bool current, store.is_current());
    if (current || store.left_out().empty()) return store;
  }
  return base::io_error("open a store", directory, "it changes faster than it can be checked",
                        "Try again in a moment");
}

base::Status StoreReader::check_hashes() const {
  for (const auto& entry : manifest().segments) {
    if (leaves_out_all_of(entry) || leaves_out_some_of(entry)) continue;
    auto file = env_->open_file(directory_ + "/" + entry.file);
    if (file.ok()) {
      PJ_ASSIGN(const auto bytes, FileBytes::of(std::move(file).value()));
      if (bytes.bytes.size() == entry.summary.bytes && xxh3_128_of(bytes.bytes) == entry.summary.xxh3_128)
        continue;
    }
    const SegmentDamage damage = damage_of(*env_, directory_, entry);
    if (damage.findings.empty()) continue;
    const Finding& f = damage.findings[0];
    return base::Error{
        base::ErrorKind::kAnswerIsNo, "query a store", directory_ + "/" + f.file,
        "it is damaged at byte " + std::to_string(f.byte) + " (table " + f.table + "): " + f.why,
        "Restore the file, or see perjoule audit"};
  }
  return base::ok_status();
}

base::Status StoreReader::find_damage() {
  auto out = std::make_shared<LeftOut>();
  for (const auto& entry : manifest().segments) {
    SegmentDamage damage = damage_of(*env_, directory_, entry);
    if (damage.whole_file) out->files.insert(entry.file);
    if (!damage.groups.empty()) out->groups[entry.file].insert(damage.groups.begin(), damage.groups.end());
    std::move(damage.findings.begin(), damage.findings.end(), std::back_inserter(out->findings));
  }
  bool sound = !state_.log_fault.has_value();
  for (const TailBlock& block : tail()) {
    const auto view = BlockView::open(*block.bytes, log_segment_name(block.place.segment));
    sound = sound && view.ok() && view->check().ok();
  }
  if (!sound) {
    PJ_ASSIGN(const auto salvaged, salvage_tail(*env_, directory_, state_));
    state_.log_fault.reset();
    out->findings.insert(out->findings.end(), salvaged.findings.begin(), salvaged.findings.end());
  }
  left_out_ = std::move(out);
  return base::ok_status();
}

// Every place of the log that cannot be read; the reader's own error where nothing more is known.
void StoreReader::verify_log(std::vector<Finding>& findings) const {
  const std::size_t before = findings.size();
  bool sound = !state_.log_fault.has_value();
  for (const TailBlock& block : tail()) {
    const auto view = BlockView::open(*block.bytes, log_segment_name(block.place.segment));
    sound = sound && view.ok() && view->check().ok();
  }
  if (sound) return;
  StoreState copy = state_;
  const auto salvaged = salvage_tail(*env_, directory_, copy);
  if (salvaged.ok()) findings.insert(findings.end(), salvaged->findings.begin(), salvaged->findings.end());
  if (findings.size() == before && state_.log_fault)
    findings.push_back(finding_of(*state_.log_fault, directory_));
}

void StoreReader::find_strays(std::vector<Finding>& findings) const {
  const auto files = base::list_recursive(*env_, directory_);
  if (!files.ok()) return findings.push_back({true, directory_, {}, 0, files.error().why});
  for (const auto& file : *files) {
    const bool known = file == kManifestFile || file == kLockFile || file == kRepairsFile ||
                       file.starts_with(kLostAndFound) || (!manifest().tables.empty() && is_log_file(file)) ||
                       std::any_of(manifest().segments.begin(), manifest().segments.end(),
                                   [&](const SegmentEntry& e) { return e.file == file; });
    if (known) continue;
    const std::size_t slash = file.find('/');
    const std::string folder = slash == std::string::npos ? std::string{} : file.substr(0, slash);
    findings.push_back({false, file, find_table(folder).has_value() ? folder : std::string{}, 0,
                        "not in the manifest, so no part of the store (left by an interrupted writer?)"});
  }
}

std::vector<Finding> StoreReader::verify() const {
  std::vector<Finding> findings;
  for (const auto& entry : manifest().segments) {
    SegmentDamage damage = damage_of(*env_, directory_, entry);
    std::move(damage.findings.begin(), damage.findings.end(), std::back_inserter(findings));
  }
  verify_log(findings);
  find_strays(findings);
  return findings;
}

}  // namespace perjoule::bus
