#include <algorithm>

#include "bus/hash.hpp"
#include "bus/store.hpp"

namespace perjoule::bus {
namespace {

constexpr std::string_view kLockFile = "catalog/writer.lock";
constexpr std::string_view kManifestFile = "catalog/manifest.json";

bool fits(const FileMeta& meta, const TableSchema& schema) {
  return std::equal(meta.schema.begin(), meta.schema.end(), schema.columns.begin(), schema.columns.end(),
                    [](const SchemaColumn& a, const ColumnSpec& b) {
                      return a.name == b.name && a.type == parquet_type_of(b.type) &&
                             a.nullable == b.nullable;
                    });
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

bool may_hold(const TimeWindow& w, std::int64_t first, std::int64_t last) {
  return last >= w.from_ns && (first < w.to_ns || w.holds(first));
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

// Reads the row groups of one file that may have rows in the window; the time column is read along and
// dropped again.
base::Status scan_file(const ParquetFile& file, std::vector<std::size_t> columns, std::size_t time_column,
                       const TimeWindow& window, const StoreReader::BatchCallback& on_batch) {
  const auto found = std::find(columns.begin(), columns.end(), time_column);
  const auto time = static_cast<std::size_t>(found - columns.begin());
  const bool extra = found == columns.end();
  if (extra) columns.push_back(time_column);
  for (std::size_t g = 0; g < file.groups(); ++g) {
    const auto bounds = file.int_bounds(g, time_column);
    if (bounds.has_value() && !may_hold(window, bounds->first, bounds->second)) continue;
    PJ_ASSIGN(Batch batch, file.read(g, columns));
    clip(batch, time, window);
    if (extra) batch.columns.pop_back();
    if (batch.rows != 0) PJ_TRY(on_batch(batch));
  }
  return base::ok_status();
}

}  // namespace

base::Result<StoreReader> StoreReader::open(base::Env& env, const std::string& directory) {
  const std::string path = directory + "/" + std::string(kManifestFile);
  if (!env.exists(path)) {
    return base::missing("open a store", directory, "there is no store here",
                         "Make one with perjoule demo, or name it with --store DIR");
  }
  PJ_ASSIGN(const std::string text, env.read_file(path));
  PJ_ASSIGN(Manifest manifest, parse_manifest(text, path));
  return StoreReader(env, directory, std::move(manifest));
}

std::uint64_t StoreReader::rows(Table table) const {
  std::uint64_t n = 0;
  for (const auto& e : manifest_.segments) n += e.table == schema_of(table).name ? e.summary.rows : 0;
  return n;
}

base::Result<ParquetFile> StoreReader::open_segment(const SegmentEntry& entry) const {
  const std::string path = directory_ + "/" + entry.file;
  PJ_ASSIGN(std::string bytes, env_->read_file(path));
  // The footer has no CRC of its own; the hash covers it.
  const bool whole = bytes.size() == entry.summary.bytes && xxh3_128_of(bytes) == entry.summary.xxh3_128;
  PJ_ASSIGN(auto file, ParquetFile::open(std::move(bytes), path));
  if (!whole || file.table() != entry.table || !fits(file.meta(), schema_of(*find_table(entry.table)))) {
    return base::corrupt("read a segment", path + ": table " + entry.table,
                         "it is not the file that the manifest names (size, hash or columns differ)",
                         "Run perjoule audit to list every damaged file");
  }
  return file;
}

base::Status StoreReader::scan(const ScanRequest& request, const BatchCallback& on_batch) const {
  const TableSchema& schema = schema_of(request.table);
  PJ_ASSIGN(const auto columns, columns_of(request, schema));
  for (const auto& entry : manifest_.segments) {
    const auto& time = entry.summary.time;
    if (entry.table != schema.name || !time.known || !may_hold(request.window, time.first_ns, time.last_ns))
      continue;
    PJ_ASSIGN(const auto file, open_segment(entry));
    PJ_TRY(scan_file(file, columns, schema.time_column, request.window, on_batch));
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

void StoreReader::verify_segment(const SegmentEntry& entry, std::vector<Finding>& findings) const {
  const auto report = [&](std::uint64_t byte, std::string why) {
    findings.push_back({true, entry.file, entry.table, byte, std::move(why)});
  };
  auto bytes = env_->read_file(directory_ + "/" + entry.file);
  if (!bytes.ok()) return report(0, bytes.error().why);
  const std::uint64_t size = bytes->size();
  const bool same_hash = xxh3_128_of(*bytes) == entry.summary.xxh3_128;
  SegmentFault fault;
  const auto file = ParquetFile::open(std::move(bytes).value(), entry.file, {}, &fault);
  std::optional<SegmentFault> found;
  if (file.ok()) found = file->check();
  if (!file.ok()) found = SegmentFault{fault.byte, fault.column, file.error().why};
  if (found.has_value())
    return report(found->byte, (found->column.empty() ? "" : "column " + found->column + ": ") + found->why);
  if (size != entry.summary.bytes)
    return report(std::min(size, entry.summary.bytes), "its size differs from the manifest's");
  if (!same_hash)
    return report(0, "its hash differs from the manifest's: a byte outside the pages has changed");
  const bool ours = file->table() == entry.table && fits(file->meta(), schema_of(*find_table(entry.table)));
  if (!ours) return report(0, "its columns are not the table's");
  if (static_cast<std::uint64_t>(file->meta().rows) != entry.summary.rows)
    report(0, "its rows differ from the manifest's");
}

void StoreReader::find_strays(std::vector<Finding>& findings) const {
  const auto files = base::list_recursive(*env_, directory_);
  if (!files.ok()) return findings.push_back({true, directory_, {}, 0, files.error().why});
  for (const auto& file : *files) {
    const bool known = file == kManifestFile || file == kLockFile ||
                       std::any_of(manifest_.segments.begin(), manifest_.segments.end(),
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
  for (const auto& entry : manifest_.segments) verify_segment(entry, findings);
  find_strays(findings);
  return findings;
}

}  // namespace perjoule::bus
