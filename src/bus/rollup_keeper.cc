#include "bus/rollup_keeper.hpp"

#include <algorithm>

#include "bus/engine.hpp"
#include "bus/store.hpp"
#include "bus/store_folder.hpp"

namespace perjoule::bus {
namespace {

// A question reads few rows of a rollup, so its pages are small.
constexpr std::size_t kPageRows = std::size_t{1} << 13;
constexpr std::size_t kGroupRows = std::size_t{1} << 18;

std::string name_of(Table table) { return std::string(schema_of(table).name); }

// Rows of one rollup as the table's next file.
base::Result<SegmentEntry> write_file(base::Env& env, const std::string& directory, Table table,
                                      Manifest& manifest,
                                      const std::function<base::Status(const BatchSink&)>& for_each_batch) {
  const std::string file = segment_file_name(table, ++manifest.tables.at(name_of(table)).parts);
  PJ_ASSIGN(auto writer, ParquetWriter::create(env, directory + "/" + file, schema_of(table)));
  EncodingOptions encoding;
  encoding.page_rows = kPageRows;
  const auto write = [&](const Batch& batch) -> base::Status {
    PJ_ASSIGN(auto group, encode_row_group(schema_of(table), batch, encoding));
    return writer.append(std::move(group));
  };
  PJ_TRY(for_each_batch(write));
  PJ_ASSIGN(auto summary, writer.seal());
  return SegmentEntry{name_of(table), file, std::move(summary), false, std::nullopt};
}

base::Status read_file(base::Env& env, const std::string& directory, const SegmentEntry& segment,
                       const BatchSink& on_batch) {
  auto only = std::make_shared<Manifest>();
  only->segments.push_back(segment);
  PJ_ASSIGN(const auto store, StoreReader::open(env, directory, Snapshot{std::move(only), {}}));
  return store.scan({*find_table(segment.table), {}, {}}, on_batch);
}

}  // namespace

bool RollupKeeper::is_unknown(const SegmentEntry& e) const {
  if (e.rolled_up || unreadable_.contains(e.file)) return false;
  if (e.table == name_of(Table::kJoules)) return !joules_.contains(e.file);
  return e.table == name_of(Table::kSamples) && !samples_.contains(e.file) && !too_many();
}

void RollupKeeper::take(const SegmentEntry& segment, const Sealer& sealer, const Manifest& manifest) {
  const bool earlier = std::any_of(manifest.segments.begin(), manifest.segments.end(), [&](const auto& e) {
    return e.table == segment.table && e.file < segment.file && is_unknown(e);
  });
  if (segment.table == name_of(Table::kSamples) && (earlier || too_many())) return;
  if (empty()) since_first_ = {};
  if (segment.table == name_of(Table::kJoules)) {
    for (const RollupSet* set : sealer.sums()) sums_.take(*set);
    joules_.insert(segment.file);
    joule_rows_ += segment.summary.rows;
  } else if (segment.table == name_of(Table::kSamples)) {
    added_.take(sealer.readings());
    samples_.insert(segment.file);
    sample_rows_ += segment.summary.rows;
  }
}

const SegmentEntry* RollupKeeper::next_unknown(const Manifest& manifest) const {
  const auto found = std::find_if(manifest.segments.begin(), manifest.segments.end(),
                                  [&](const auto& e) { return is_unknown(e); });
  return found == manifest.segments.end() ? nullptr : &*found;
}

base::Status RollupKeeper::take_from_file(const SegmentEntry& segment) {
  const auto read = [&](const std::function<void(const Batch&)>& add) {
    auto done = read_file(env_, directory_, segment, [&](const Batch& b) { return add(b), base::ok_status(); });
    if (!done.ok()) unreadable_.insert(segment.file);
    return done;
  };
  if (empty()) since_first_ = {};
  if (segment.table == name_of(Table::kJoules)) {
    // Apart first: a file that ends in damage adds nothing.
    RollupSet set;
    PJ_TRY(read([&](const Batch& b) { set.add(b); }));
    sums_.take(set);
    joules_.insert(segment.file);
    joule_rows_ += segment.summary.rows;
  } else {
    LastReadings readings;
    PJ_TRY(read([&](const Batch& b) { readings.add(b); }));
    added_.take(readings);
    samples_.insert(segment.file);
    sample_rows_ += segment.summary.rows;
  }
  return base::ok_status();
}

bool RollupKeeper::many_readings() const {
  constexpr std::uint64_t kReadingsPerRow = 4;  // a file is worth it after so many new readings for each of its rows
  return sample_rows_ >= std::max<std::uint64_t>(options_.rows / 4, kReadingsPerRow * all_.size());
}

bool RollupKeeper::due() const {
  if (empty()) return false;
  return joule_rows_ >= options_.rows || sums_.rows() >= options_.sums || many_readings() ||
         since_first_.elapsed() >= base::Seconds(options_.seconds);
}

void RollupKeeper::mark(Manifest& manifest, const std::set<std::string>& files) const {
  for (auto& e : manifest.segments) e.rolled_up = e.rolled_up || files.contains(e.file);
}

base::Status RollupKeeper::write_sums(Manifest& manifest) {
  for (std::size_t i = 0; i < kRollups; ++i) {
    const RollupSums& sums = sums_.sums(i);
    if (sums.rows() == 0) continue;
    PJ_ASSIGN(auto entry, write_file(env_, directory_, sums.spec().table, manifest, [&](const BatchSink& sink) {
                return sums.for_each_batch(kGroupRows, sink);
              }));
    manifest.segments.push_back(std::move(entry));
  }
  mark(manifest, joules_);
  return base::ok_status();
}

base::Result<bool> RollupKeeper::load_readings(Manifest& manifest) {
  if (loaded_) return true;
  loaded_ = true;
  bool sound = true;
  for (const auto& e : manifest.segments) {
    if (e.table != name_of(Table::kSamplesLast)) continue;
    const auto read =
        read_file(env_, directory_, e, [&](const Batch& b) { return all_.add(b), base::ok_status(); });
    if (!read.ok() && read.error().kind != base::ErrorKind::kCorrupt) return loaded_ = false, read.error();
    sound = sound && read.ok();
  }
  if (sound) return true;
  std::erase_if(manifest.segments, [](const auto& e) { return e.table == name_of(Table::kSamplesLast); });
  for (auto& e : manifest.segments) e.rolled_up = e.rolled_up && e.table != name_of(Table::kSamples);
  all_.clear();
  added_.clear();
  samples_.clear();
  sample_rows_ = 0;
  return false;
}

base::Status RollupKeeper::write_readings(Manifest& manifest) {
  PJ_ASSIGN(const bool sound, load_readings(manifest));
  if (!sound) return base::ok_status();
  all_.take(added_);
  added_.clear();
  if (too_many()) return base::ok_status();
  PJ_ASSIGN(auto entry, write_file(env_, directory_, Table::kSamplesLast, manifest, [&](const BatchSink& sink) {
              return all_.for_each_batch(kGroupRows, sink);
            }));
  std::erase_if(manifest.segments, [](const auto& e) { return e.table == name_of(Table::kSamplesLast); });
  manifest.segments.push_back(std::move(entry));
  mark(manifest, samples_);
  return base::ok_status();
}

base::Status RollupKeeper::write(Manifest& manifest, bool all) {
  wrote_sums_ = wrote_readings_ = false;
  const bool old = since_first_.elapsed() >= base::Seconds(options_.seconds);
  if (!joules_.empty()) {
    PJ_TRY(write_sums(manifest));
    wrote_sums_ = true;
  }
  if (!samples_.empty() && (all || old || many_readings())) {
    PJ_TRY(write_readings(manifest));
    wrote_readings_ = true;
  }
  sort_segments(manifest);
  return base::ok_status();
}

void RollupKeeper::written() {
  if (wrote_sums_) {
    sums_.clear();
    joules_.clear();
    joule_rows_ = 0;
  }
  if (wrote_readings_) {
    samples_.clear();
    sample_rows_ = 0;
  }
  since_first_ = {};
}

}  // namespace perjoule::bus
