#include "bus/maintenance.hpp"

#include <algorithm>
#include <numeric>

#include "bus/pick_rows.hpp"
#include "bus/query_kernels.hpp"
#include "bus/rollup.hpp"
#include "bus/segment_files.hpp"

namespace perjoule::bus {
namespace {

// Notes of one table beyond this are added to the oldest of them.
constexpr std::size_t kMostNotes = 100;

bool has_energy(Table table) { return schema_of(table).find("energy_uj") < schema_of(table).columns.size(); }
bool has_rollups(Table table) { return table == Table::kJoules || table == Table::kSamples; }

// Nothing where it cannot be known.
base::Result<std::optional<std::int64_t>> energy_of(base::Env& env, const std::string& directory,
                                                    const SegmentEntry& segment) {
  if (segment.energy_uj) return segment.energy_uj;
  WideInt sum = 0;
  const auto read = read_segment(env, directory, segment, {"energy_uj"}, [&](const Batch& b) {
    for (const auto v : b.columns[0].ints) sum += v;
    return base::ok_status();
  });
  const bool damaged = !read.ok() && is_damage(read.error());
  if (!read.ok() && !damaged) return read.error();
  const bool known = read.ok() && fits_int64(sum);
  return known ? std::optional(static_cast<std::int64_t>(sum)) : std::nullopt;
}

void include(DroppedRows& all, const DroppedRows& more) {
  all.first_ns = all.files == 0 ? more.first_ns : std::min(all.first_ns, more.first_ns);
  all.last_ns = all.files == 0 ? more.last_ns : std::max(all.last_ns, more.last_ns);
  std::int64_t sum = 0;
  const bool known = more.energy_uj && (all.files == 0 || all.energy_uj) &&
                     !__builtin_add_overflow(all.energy_uj.value_or(0), *more.energy_uj, &sum);
  all.energy_uj = known ? std::optional(sum) : std::nullopt;
  all.files += more.files;
  all.rows += more.rows;
}

// Notes of rows that are in the same rollups may be added up.
void note(Manifest& manifest, const DroppedRows& dropped) {
  auto& notes = manifest.dropped;
  const auto is_like = [&](const DroppedRows& d) {
    return d.table == dropped.table && d.rolled_up == dropped.rolled_up;
  };
  if (std::count_if(notes.begin(), notes.end(), is_like) >= static_cast<std::ptrdiff_t>(kMostNotes)) {
    const auto first = std::find_if(notes.begin(), notes.end(), is_like);
    const auto second = std::find_if(first + 1, notes.end(), is_like);
    include(*first, *second);
    notes.erase(second);
  }
  notes.push_back(dropped);
}

std::set<std::string> rollups_of(const SegmentEntry& segment) {
  std::set<std::string> out;
  for (const auto& [rollup, step] : segment.rolled_up) {
    if (step != 0) out.insert(rollup);
  }
  return out;
}

// ---- compaction ----

Batch part_of(const Batch& batch, std::size_t from, std::size_t rows) {
  std::vector<std::uint32_t> places(rows);
  std::iota(places.begin(), places.end(), static_cast<std::uint32_t>(from));
  Batch out;
  out.rows = rows;
  for (const Column& c : batch.columns) out.columns.push_back(picked_rows(c, places));
  return out;
}

// Rows as blocks that were never sent: sealing knows how to sort them.
class BlocksOfRows {
 public:
  BlocksOfRows(Table table) : table_(table) {}
  base::Status add(const Batch& batch) {
    for (std::size_t from = 0; from < batch.rows; from += kMaxBlockRows) {
      const Batch rows = part_of(batch, from, std::min(kMaxBlockRows, batch.rows - from));
      ++number_;
      PJ_ASSIGN(auto bytes, encode_block(table_, rows, {"compaction", number_ - 1, number_, number_}));
      PJ_ASSIGN(const auto view, BlockView::open(bytes, "compaction"));
      TailBlock block{0, table_, view.rows(), view.first_ns(), view.last_ns(), {}, {}};
      block.bytes = std::make_shared<const std::string>(std::move(bytes));
      blocks_.push_back(std::move(block));
    }
    return base::ok_status();
  }
  const std::vector<TailBlock>& blocks() const { return blocks_; }

 private:
  const Table table_;
  std::uint64_t number_ = 0;
  std::vector<TailBlock> blocks_;
};

base::Result<SegmentEntry> compact_events(base::Env& env, const std::string& directory, Table table,
                                          std::uint64_t part, const std::vector<SegmentEntry>& files,
                                          const SealOptions& options) {
  BlocksOfRows rows(table);
  for (const auto& file : files)
    PJ_TRY(read_segment(env, directory, file, {}, [&](const Batch& b) { return rows.add(b); }));
  Sealer sealer(env, directory, options);
  std::vector<RollupLane> unused(sealer.threads());
  for (auto& lane : unused) lane.sums.clear({});
  return sealer.seal(table, rows.blocks(), part, unused);
}

base::Result<SegmentEntry> compact_sums(base::Env& env, const std::string& directory, const RollupSpec& spec,
                                        std::uint64_t part, const std::vector<SegmentEntry>& files) {
  RollupSums sums(spec, files.front().step_in(files.front().table));
  for (const auto& file : files)
    PJ_TRY(read_segment(env, directory, file, {},
                        [&](const Batch& b) { return sums.add_sums(b), base::ok_status(); }));
  return write_rollup(env, directory, spec.table, part,
                      [&](const OnBatch& sink) { return sums.for_each_batch(kRollupGroupRows, sink); });
}

}  // namespace

base::Result<DroppedRows> drop_segments(base::Env& env, const std::string& directory, Manifest& manifest,
                                        Table table, std::int64_t before_ns) {
  const std::string name(schema_of(table).name);
  const auto is_old = [&](const SegmentEntry& e) {
    return e.table == name && e.summary.time.known && e.summary.time.last_ns < before_ns &&
           !(has_rollups(table) && e.rolled_up.empty());
  };
  DroppedRows all;
  all.table = name;
  std::map<std::set<std::string>, DroppedRows> notes;
  for (const auto& e : manifest.segments) {
    if (!is_old(e)) continue;
    DroppedRows one{name, 1, e.summary.rows, e.summary.time.first_ns, e.summary.time.last_ns, {}, {}};
    if (has_energy(table)) {
      PJ_ASSIGN(one.energy_uj, energy_of(env, directory, e));
    }
    DroppedRows& like = notes[rollups_of(e)];
    like.table = name;
    include(like, one);
    include(all, one);
  }
  std::erase_if(manifest.segments, is_old);
  for (auto& [rollups, dropped] : notes) {
    dropped.rolled_up = rollups;
    note(manifest, dropped);
  }
  TableMark& mark = manifest.tables.at(name);
  if (all.files != 0) mark.kept_from_ns = std::max(mark.kept_from_ns, before_ns);
  return all;
}

std::vector<SegmentEntry> files_to_compact(const Manifest& manifest, const CompactionOptions& options,
                                           const std::set<std::string>& but) {
  std::vector<SegmentEntry> run;
  std::uint64_t rows = 0;
  for (const auto& e : manifest.segments) {
    const bool is_small = !but.contains(e.file) && e.summary.rows < options.small_rows &&
                          e.table != schema_of(Table::kSamplesLast).name &&
                          !(has_rollups(*find_table(e.table)) && e.rolled_up.empty());
    const bool goes_on = is_small && !run.empty() && run.back().table == e.table &&
                         run.back().rolled_up == e.rolled_up &&
                         rows + e.summary.rows <= 2 * options.small_rows;
    if (!goes_on) {
      if (run.size() >= options.files) return run;
      run.clear();
      rows = 0;
    }
    if (is_small) run.push_back(e), rows += e.summary.rows;
  }
  return run.size() >= options.files ? run : std::vector<SegmentEntry>{};
}

base::Status compact_files(base::Env& env, const std::string& directory, Manifest& manifest,
                           const std::vector<SegmentEntry>& files, const SealOptions& options) {
  const Table table = *find_table(files.front().table);
  const std::uint64_t part = ++manifest.tables.at(files.front().table).parts;
  const auto spec = std::find_if(rollup_specs().begin(), rollup_specs().end(),
                                 [&](const RollupSpec& s) { return s.table == table; });
  PJ_ASSIGN(auto merged, spec == rollup_specs().end()
                             ? compact_events(env, directory, table, part, files, options)
                             : compact_sums(env, directory, *spec, part, files));
  merged.rolled_up = files.front().rolled_up;
  std::erase_if(manifest.segments, [&](const SegmentEntry& e) {
    return std::any_of(files.begin(), files.end(), [&](const auto& f) { return f.file == e.file; });
  });
  manifest.segments.push_back(std::move(merged));
  sort_segments(manifest);
  return base::ok_status();
}

}  // namespace perjoule::bus
