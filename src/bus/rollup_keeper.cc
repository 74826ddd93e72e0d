#include "bus/rollup_keeper.hpp"

#include <algorithm>

#include "bus/segment_files.hpp"

namespace perjoule::bus {
namespace {

std::string name_of(Table table) { return std::string(schema_of(table).name); }

// The next file of a rollup.
base::Result<SegmentEntry> write_next(base::Env& env, const std::string& directory, Table table,
                                      Manifest& manifest,
                                      const std::function<base::Status(const OnBatch&)>& for_each_batch) {
  return write_rollup(env, directory, table, ++manifest.tables.at(name_of(table)).parts, for_each_batch);
}

}  // namespace

RollupKeeper::RollupKeeper(base::Env& env, std::string directory, RollupOptions options, unsigned lanes)
    : env_(env), directory_(std::move(directory)), options_(options), lanes_(lanes) {}

void RollupKeeper::take(const SegmentEntry& segment) {
  if (empty()) since_first_ = {};
  if (segment.table == name_of(Table::kJoules)) {
    joules_.insert(segment.file);
    joule_rows_ += segment.summary.rows;
  } else if (segment.table == name_of(Table::kSamples)) {
    samples_.insert(segment.file);
    sample_rows_ += segment.summary.rows;
  }
}

void RollupKeeper::forget(Table table) {
  if (table == Table::kJoules) {
    for (auto& lane : lanes_) lane.sums.clear(steps_);
    joules_.clear();
    joule_rows_ = 0;
  } else if (table == Table::kSamples) {
    for (auto& lane : lanes_) lane.readings.clear();
    samples_.clear();
    sample_rows_ = 0;
  }
}

bool RollupKeeper::too_many() const {
  return all_.is_full() ||
         std::any_of(lanes_.begin(), lanes_.end(), [](const auto& lane) { return lane.readings.is_full(); });
}

bool RollupKeeper::is_unknown(const SegmentEntry& e) const {
  if (!e.rolled_up.empty() || unreadable_.contains(e.file)) return false;
  if (e.table == name_of(Table::kJoules)) return !joules_.contains(e.file);
  return e.table == name_of(Table::kSamples) && !samples_.contains(e.file);
}

const SegmentEntry* RollupKeeper::next_unknown(const Manifest& manifest) const {
  const auto found = std::find_if(manifest.segments.begin(), manifest.segments.end(),
                                  [&](const auto& e) { return is_unknown(e); });
  return found == manifest.segments.end() ? nullptr : &*found;
}

base::Status RollupKeeper::take_from_file(const SegmentEntry& segment) {
  const Table table = *find_table(segment.table);
  RollupLane& lane = lanes_[0];
  auto read = read_segment(env_, directory_, segment, {}, [&](const Batch& b) {
    if (table == Table::kJoules) lane.sums.add(b);
    if (table == Table::kSamples) lane.readings.add(b);
    return base::ok_status();
  });
  if (read.ok()) {
    take(segment);
  } else {
    const bool damaged = is_damage(read.error());
    if (damaged) unreadable_.insert(segment.file);
    forget(table);
  }
  return read;
}

bool RollupKeeper::many_readings() const {
  constexpr std::uint64_t kReadingsPerRow = 4;  // a file is worth it after so many for each of its rows
  return sample_rows_ >= std::max<std::uint64_t>(options_.rows / 4, kReadingsPerRow * all_.size());
}

bool RollupKeeper::due() const {
  if (empty()) return false;
  std::size_t bytes = 0;
  for (const auto& lane : lanes_) bytes += lane.sums.bytes();
  return joule_rows_ >= options_.rows || bytes >= options_.bytes || many_readings() ||
         since_first_.elapsed() >= base::Seconds(options_.seconds);
}

base::Status RollupKeeper::write_sums(Manifest& manifest) {
  RollupSet& all = lanes_[0].sums;
  for (std::size_t i = 1; i < lanes_.size(); ++i) {
    all.take(lanes_[i].sums);
    lanes_[i].sums.clear(all.steps());
  }
  all.condense(options_.rows_per_sum, options_.few_sums);
  for (std::size_t i = 0; i < kRollups; ++i) {
    const Table table = rollup_specs()[i].table;
    for (auto& e : manifest.segments) {
      if (joules_.contains(e.file)) e.rolled_up[name_of(table)] = all.steps()[i];
    }
    if (!all.has(i) || all.sums(i).rows() == 0) continue;
    PJ_ASSIGN(auto entry, write_next(env_, directory_, table, manifest, [&](const OnBatch& sink) {
                return all.sums(i).for_each_batch(kRollupGroupRows, sink);
              }));
    entry.rolled_up[entry.table] = all.steps()[i];  // of its own sums
    manifest.segments.push_back(std::move(entry));
  }
  return base::ok_status();
}

// After a file was written: a finer step where there were few sums, the same one else; one that was left out
// is tried again after some files.
void RollupKeeper::choose_steps(const RollupSet& written) {
  constexpr std::uint64_t kFewer = 16;
  constexpr int kWaits = 8;
  for (std::size_t i = 0; i < kRollups; ++i) {
    if (!written.has(i)) {
      if (steps_[i] != 0) waits_[i] = kWaits;
      steps_[i] = --waits_[i] > 0 ? 0 : kRollupSteps.back();
      continue;
    }
    steps_[i] = written.steps()[i];
    const auto at = std::find(kRollupSteps.begin(), kRollupSteps.end(), steps_[i]);
    const bool few = written.sums(i).rows() * options_.rows_per_sum * kFewer < written.joule_rows();
    if (few && at != kRollupSteps.begin()) steps_[i] = *(at - 1);
  }
}

base::Result<bool> RollupKeeper::load_readings(Manifest& manifest) {
  if (loaded_) return true;
  bool sound = true;
  for (const auto& e : manifest.segments) {
    if (e.table != name_of(Table::kSamplesLast)) continue;
    const auto read =
        read_segment(env_, directory_, e, {}, [&](const Batch& b) { return all_.add(b), base::ok_status(); });
    const bool damaged = !read.ok() && is_damage(read.error());
    if (!read.ok() && !damaged) return read.error();
    sound = sound && read.ok();
  }
  loaded_ = sound;
  if (sound) return true;
  starts_anew_ = true;
  std::erase_if(manifest.segments, [](const auto& e) { return e.table == name_of(Table::kSamplesLast); });
  for (auto& e : manifest.segments) {
    if (e.table == name_of(Table::kSamples)) e.rolled_up.clear();
  }
  all_.clear();
  forget(Table::kSamples);
  return false;
}

base::Status RollupKeeper::write_readings(Manifest& manifest) {
  PJ_ASSIGN(const bool sound, load_readings(manifest));
  if (!sound) return base::ok_status();
  bool full = too_many();
  for (auto& lane : lanes_) {
    if (!full) all_.take(lane.readings);
    lane.readings.clear();
    full = full || all_.is_full();
  }
  for (auto& e : manifest.segments) {
    if (samples_.contains(e.file)) e.rolled_up[name_of(Table::kSamplesLast)] = full ? 0 : 1;
  }
  if (full) {
    // What was known stays in its file; these samples are read by whoever asks.
    all_.clear();
    loaded_ = false;
    return base::ok_status();
  }
  PJ_ASSIGN(auto entry, write_next(env_, directory_, Table::kSamplesLast, manifest, [&](const OnBatch& sink) {
              return all_.for_each_batch(kRollupGroupRows, sink);
            }));
  std::erase_if(manifest.segments, [](const auto& e) { return e.table == name_of(Table::kSamplesLast); });
  manifest.segments.push_back(std::move(entry));
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
    choose_steps(lanes_[0].sums);
    forget(Table::kJoules);
  }
  if (wrote_readings_) forget(Table::kSamples);
  loaded_ = loaded_ || starts_anew_;
  starts_anew_ = false;
  since_first_ = {};
}

}  // namespace perjoule::bus
