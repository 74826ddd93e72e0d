#include "bus/store_repair.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/text.hpp"
#include "bus/file_columns.hpp"
#include "bus/hash.hpp"
#include "bus/log_layout.hpp"
#include "bus/seal.hpp"
#include "bus/store_damage.hpp"
#include "bus/store_folder.hpp"
#include "bus/store_upgrade.hpp"

namespace perjoule::bus {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kSealRows = 2U << 20;
// The new log begins with a small segment: the first group goes on to a full one, and until then a reader
// finds the segment that the manifest names.
constexpr std::uint64_t kFirstSegmentBytes = 16 * base::LogFile::kPage;

std::string place_of(const Finding& f) { return fmt::format("{}:{}", f.file, f.byte); }

class Planner {
 public:
  Planner(base::Env& env, std::string directory, const RepairOptions& options)
      : env_(env), directory_(std::move(directory)), options_(options) {}

  base::Result<RepairPlan> run() {
    PJ_ASSIGN(files_, base::list_recursive(env_, directory_));
    if (files_.empty())
      return base::missing("repair a store", directory_, "there is no store here",
                           "Name it: perjoule store repair DIR");
    auto manifest = env_.exists(manifest_path(directory_)) ? read_manifest() : no_manifest();
    if (manifest.ok()) {
      plan_.manifest = std::move(manifest).value();
      PJ_TRY(with_manifest());
    } else if (manifest.error().kind == base::ErrorKind::kCorrupt) {
      PJ_TRY(without_manifest(manifest.error().why));
    } else {
      return manifest.error();
    }
    find_strays();
    return std::move(plan_);
  }

 private:
  base::Result<Manifest> read_manifest() {
    const std::string path = manifest_path(directory_);
    PJ_ASSIGN(const std::string text, env_.read_file(path));
    return parse_manifest(text, path);
  }
  base::Result<Manifest> no_manifest() const {
    // A folder that was never a store is none of our business.
    for (const auto& file : files_) {
      const auto table = find_table(std::string_view(file).substr(0, file.find('/')));
      if (table && file.ends_with(".parquet"))
        return base::corrupt("repair a store", directory_, "it is not there");
    }
    return base::missing("repair a store", directory_, "there is no store here",
                         "Name it: perjoule store repair DIR");
  }

  // ---- the manifest is whole ----

  base::Status with_manifest() {
    for (const auto& entry : plan_.manifest.segments) add_damage(entry, damage_of(env_, directory_, entry));
    if (plan_.manifest.tables.empty()) return base::ok_status();
    plan_.sources = plan_.manifest.sources;
    PJ_ASSIGN(StoreState state, load_state(env_, directory_));
    bool sound = !state.log_fault.has_value();
    for (const TailBlock& block : state.tail) {
      const auto view = BlockView::open(*block.bytes, "log");
      sound = sound && view.ok() && view->check().ok();
    }
    return sound ? base::ok_status() : give_up_log(state);
  }

  void add_damage(const SegmentEntry& entry, SegmentDamage damage) {
    if (damage.findings.empty()) return;
    std::uint64_t lost = 0;
    for (const Finding& f : damage.findings) lost += f.rows;
    if (env_.exists(directory_ + "/" + entry.file)) plan_.move.push_back(entry.file);
    if (!damage.whole_file && lost < entry.summary.rows) plan_.rewrite.push_back(entry.file);
    std::move(damage.findings.begin(), damage.findings.end(), std::back_inserter(plan_.lost));
  }

  base::Status give_up_log(StoreState& state) {
    const std::string fault = state.log_fault ? state.log_fault->message() : std::string{};
    PJ_ASSIGN(auto salvaged, salvage_tail(env_, directory_, state));
    new_log(salvaged);
    const std::string place =
        salvaged.findings.empty() ? std::string("start") : place_of(salvaged.findings[0]);
    plan_.lost.insert(plan_.lost.end(), salvaged.findings.begin(), salvaged.findings.end());
    if (options_.give_up_log_from == "start") {
      give_up(state.tail);
    } else {
      plan_.tail = std::move(state.tail);
      if (options_.give_up_log_from != place) refuse_log(place, fault);
    }
    return base::ok_status();
  }

  void refuse_log(const std::string& place, const std::string& fault) {
    plan_.refused = "the log is damaged: " + (fault.empty() ? place : fault);
    plan_.hint =
        "What cannot be read of it is lost, everything whole before and behind is kept. If you agree: "
        "--give-up-log-from " +
        place;
    if (!options_.give_up_log_from.empty())
      plan_.refused += "; '" + options_.give_up_log_from + "' is not its first damaged place";
  }

  void give_up(const std::vector<TailBlock>& blocks) {
    for (const TailBlock& b : blocks) {
      Finding f{true, "wal/" + log_segment_name(b.place.segment), std::string(schema_of(b.table).name),
                b.place.offset, "given up with the log"};
      f.rows_known = true;
      f.rows = b.rows;
      f.time = {true, b.first_ns, b.last_ns};
      plan_.lost.push_back(std::move(f));
    }
  }

  void new_log(const SalvagedTail& salvaged) {
    plan_.new_log = true;
    plan_.next_group = salvaged.log.next_group;
    for (const auto& [source, last] : salvaged.sources)
      plan_.sources[source] = std::max(plan_.sources[source], last);
    for (const auto& file : files_) {
      if (!file.starts_with("wal/")) continue;
      plan_.next_segment = std::max(plan_.next_segment, log_segment_number(file.substr(4)) + 1);
      if (log_segment_number(file.substr(4)) != 0) plan_.move.push_back(file);
    }
  }

  // ---- the manifest is lost ----

  base::Status without_manifest(const std::string& why) {
    plan_.new_manifest = true;
    plan_.manifest = {};
    if (env_.exists(manifest_path(directory_))) plan_.move.emplace_back(kManifestFile);
    plan_.uncertain.push_back(
        "the manifest (" + why +
        ") is made anew from the files' footers: facts about the run (seed, scenario, build) "
        "are lost, the hash of each file is the one it has now, and a file that was lost as a "
        "whole is not missed");
    for (const auto& file : files_) {
      // Which rows are in a rollup, only the manifest knew: it is made anew from the rows.
      const auto table = find_event_table(std::string_view(file).substr(0, file.find('/')));
      if (table && segment_part(file) != 0) PJ_TRY(take_file(*table, file));
    }
    sort_segments(plan_.manifest);
    const bool has_log =
        std::any_of(files_.begin(), files_.end(), [](const auto& f) { return f.starts_with("wal/"); });
    return has_log ? judge_log() : base::ok_status();
  }

  base::Status take_file(Table table, const std::string& name) {
    SegmentEntry entry{std::string(schema_of(table).name), name, {}};
    PJ_ASSIGN(auto opened, env_.open_file(directory_ + "/" + name));
    PJ_ASSIGN(const auto bytes, FileBytes::of(std::move(opened)));
    const auto file = ParquetFile::open(bytes, name, {});
    if (file.ok() && file->table() == entry.table && has_columns_of(*file, schema_of(table)))
      entry.summary = summary_of(*file, bytes.bytes);
    SegmentDamage damage = damage_of(env_, directory_, entry);
    if (entry.summary.bytes == 0) {
      for (Finding& f : damage.findings) f.rows_known = false;
    }
    add_damage(entry, std::move(damage));
    plan_.manifest.segments.push_back(std::move(entry));
    return base::ok_status();
  }

  // What of the log is in files already, only the manifest knew.
  base::Status judge_log() {
    for (const auto& table : table_names()) plan_.manifest.tables[table] = {};
    StoreState state;
    state.manifest = plan_.manifest;
    state.manifest.segments.clear();
    std::uint64_t first = UINT64_MAX;
    for (const auto& file : files_) {
      if (const auto n = file.starts_with("wal/") ? log_segment_number(file.substr(4)) : 0; n != 0)
        first = std::min(first, n);
    }
    state.manifest.log = {first == UINT64_MAX ? 1 : first, 1};
    PJ_ASSIGN(auto salvaged, salvage_tail(env_, directory_, state));
    if (plan_.manifest.segments.empty() && salvaged.log.losses.empty()) {
      plan_.manifest.log = state.manifest.log;  // nothing was sealed yet: the log has everything
      return base::ok_status();
    }
    new_log(salvaged);
    plan_.uncertain.push_back(
        "the numbers up to which each source is stored are only known of those in the log: a source that "
        "sends "
        "again what it was told is stored may be stored twice");
    if (options_.give_up_log_from == "start") {
      give_up(state.tail);
      return base::ok_status();
    }
    plan_.refused = fmt::format(
        "without its manifest nobody can say which of the log's {} blocks are in the sealed files already: "
        "they might count twice",
        state.tail.size());
    plan_.hint =
        "Restore catalog/manifest.json from a copy, or keep the sealed files alone: --give-up-log-from start";
    return base::ok_status();
  }

  // ---- what belongs to nobody ----

  void find_strays() {
    for (const auto& file : files_) {
      const bool known = file == kManifestFile || file == kLockFile || file == kRepairsFile ||
                         file.starts_with(kLostAndFound) ||
                         (file.starts_with("wal/") && !plan_.manifest.tables.empty()) ||
                         std::any_of(plan_.manifest.segments.begin(), plan_.manifest.segments.end(),
                                     [&](const SegmentEntry& e) { return e.file == file; });
      if (known) continue;
      (file.ends_with(".part") ? plan_.remove : plan_.move).push_back(file);
    }
  }

  base::Env& env_;
  const std::string directory_;
  const RepairOptions& options_;
  std::vector<std::string> files_;
  RepairPlan plan_;
};

class Repairer {
 public:
  Repairer(base::Env& env, std::string directory, const RepairPlan& plan)
      : env_(env), directory_(std::move(directory)), plan_(plan), manifest_(plan.manifest) {}

  base::Status run(const RepairOptions& options, base::TimePoint now) {
    for (const auto& entry : plan_.manifest.segments) count_part(entry.table, entry.file);
    for (const auto& name : all_table_names()) {
      if (!env_.exists(directory_ + "/" + name)) continue;
      PJ_ASSIGN(const auto files, env_.list(directory_ + "/" + name));
      for (const auto& file : files) count_part(name, name + "/" + file);
    }
    drop_damaged();
    PJ_TRY(upgrade_manifest(env_, directory_, manifest_));
    for (const auto& file : plan_.rewrite) PJ_TRY(rewrite(file));
    if (plan_.new_log) PJ_TRY(begin_log());
    // Sums of rows that are lost; without rows that were dropped for their age they can be made again.
    // Else at least no rollup stays of which a part is lost.
    std::vector<std::string> rollups;
    if (!plan_.lost.empty() && manifest_.dropped.empty()) rollups = forget_rollups(manifest_);
    for (const Finding& f : plan_.lost) {
      const auto gone = forget_rollup(manifest_, f.table);
      rollups.insert(rollups.end(), gone.begin(), gone.end());
    }
    sort_segments(manifest_);
    for (auto& [name, mark] : manifest_.tables) mark.parts = std::max(mark.parts, last_part_[name]);
    PJ_TRY(env_.create_directories(directory_ + "/catalog"));
    // The report first: a loss that is told twice is better than one that nobody is told.
    PJ_TRY(write_record(options, now));
    if (plan_.new_manifest) PJ_TRY(move_away(std::string(kManifestFile)));
    PJ_TRY(base::write_atomically(env_, manifest_path(directory_), to_json(manifest_)));
    for (const auto& file : plan_.move) {
      if (file != kManifestFile) PJ_TRY(move_away(file));
    }
    for (const auto& file : rollups) {
      if (env_.exists(directory_ + "/" + file)) PJ_TRY(env_.remove(directory_ + "/" + file));
    }
    for (const auto& file : plan_.remove) {
      // A new file may have taken over the temporary name.
      if (env_.exists(directory_ + "/" + file)) PJ_TRY(env_.remove(directory_ + "/" + file));
    }
    return base::ok_status();
  }

 private:
  void count_part(const std::string& table, const std::string& file) {
    last_part_[table] = std::max(last_part_[table], segment_part(file));
  }

  void drop_damaged() {
    std::erase_if(manifest_.segments, [&](const SegmentEntry& e) {
      // A file that is not there any more is in `lost` alone.
      return std::any_of(plan_.lost.begin(), plan_.lost.end(),
                         [&](const Finding& f) { return f.file == e.file; });
    });
  }

  // The sound row groups of a damaged file, in its order.
  base::Status rewrite(const std::string& name) {
    const auto old = std::find_if(plan_.manifest.segments.begin(), plan_.manifest.segments.end(),
                                  [&](const SegmentEntry& e) { return e.file == name; });
    const SegmentDamage damage = damage_of(env_, directory_, *old);
    PJ_ASSIGN(auto opened, env_.open_file(directory_ + "/" + name));
    PJ_ASSIGN(const auto bytes, FileBytes::of(std::move(opened)));
    PJ_ASSIGN(const auto file, ParquetFile::open(bytes, name, old->summary.tail));
    const Table table = *find_table(old->table);
    const TableSchema& schema = schema_of(table);
    const std::string fresh = segment_file_name(table, ++last_part_[old->table]);
    PJ_ASSIGN(auto writer, ParquetWriter::create(env_, directory_ + "/" + fresh, schema));
    for (std::size_t g = 0; g < file.groups(); ++g) {
      if (std::find(damage.groups.begin(), damage.groups.end(), g) != damage.groups.end()) continue;
      PJ_ASSIGN(const Batch batch, whole_group(file, g, schema));
      EncodingOptions encoding;
      if (file.format_version() == kFormatVersion) encoding.sorted_by = file.meta().groups[g].sorted_by;
      PJ_ASSIGN(auto group, encode_row_group(schema, batch, encoding));
      PJ_TRY(writer.append(std::move(group)));
    }
    PJ_ASSIGN(auto summary, writer.seal());
    manifest_.segments.push_back({old->table, fresh, std::move(summary), old->rolled_up, {}});
    written_.push_back(fresh);
    return base::ok_status();
  }

  static base::Result<Batch> whole_group(const ParquetFile& file, std::size_t group,
                                         const TableSchema& schema) {
    const auto places = places_of(schema, file.format_version());
    std::vector<std::size_t> stored;
    for (const std::size_t p : places) {
      if (p != kAbsentColumn) stored.push_back(p);
    }
    PJ_ASSIGN(Batch batch, file.read(group, stored));
    for (std::size_t i = 0; i < places.size(); ++i) {
      if (places[i] != kAbsentColumn) continue;
      Column nulls;
      nulls.type = schema.columns[i].type;
      nulls.codes.assign(batch.rows, kNullCode);
      batch.columns.insert(batch.columns.begin() + static_cast<std::ptrdiff_t>(i), std::move(nulls));
    }
    return batch;
  }

  // Everything that was saved of the log into files; a new one behind all numbers that the old one used.
  base::Status begin_log() {
    for (std::size_t t = 0; t < kTableCount; ++t) {
      std::vector<TailBlock> blocks;
      for (const TailBlock& b : plan_.tail) {
        if (b.table == static_cast<Table>(t)) blocks.push_back(b);
      }
      for (std::size_t from = 0; from < blocks.size();)
        PJ_TRY(seal_some(static_cast<Table>(t), blocks, from));
    }
    const std::string log = log_directory_of(directory_);
    PJ_TRY(env_.create_directories(log));
    const auto made = env_.create_log(log + "/" + log_segment_name(plan_.next_segment), kFirstSegmentBytes);
    if (!made.ok()) return made.error();
    manifest_.log = {plan_.next_segment, plan_.next_group};
    manifest_.sources = plan_.sources;
    // The new log counts its blocks from 1 again.
    for (auto& [name, mark] : manifest_.tables) mark.sealed_entry = 0;
    return base::ok_status();
  }

  base::Status seal_some(Table table, const std::vector<TailBlock>& blocks, std::size_t& from) {
    std::vector<TailBlock> part;
    std::uint64_t rows = 0;
    while (from < blocks.size() && rows < kSealRows)
      rows += blocks[from].rows, part.push_back(blocks[from++]);
    const std::string name(schema_of(table).name);
    Sealer sealer(env_, directory_, {});
    std::vector<RollupLane> unused(sealer.threads());
    for (auto& lane : unused) lane.sums.clear({});
    PJ_ASSIGN(auto entry, sealer.seal(table, part, ++last_part_[name], unused));
    written_.push_back(entry.file);
    manifest_.segments.push_back(std::move(entry));
    return base::ok_status();
  }

  base::Status move_away(const std::string& file) {
    if (!env_.exists(directory_ + "/" + file)) return base::ok_status();
    PJ_TRY(env_.create_directories(fmt::format("{}/{}", directory_, kLostAndFound)));
    std::string flat = file;
    std::replace(flat.begin(), flat.end(), '/', '-');
    std::string to = fmt::format("{}/{}{}", directory_, kLostAndFound, flat);
    for (int n = 2; env_.exists(to); ++n) to = fmt::format("{}/{}{}.{}", directory_, kLostAndFound, flat, n);
    return env_.rename(directory_ + "/" + file, to);
  }

  base::Status write_record(const RepairOptions& options, base::TimePoint now) {
    Json j{{"schema_version", 1}, {"at", base::format_iso8601(now)}, {"build", options.build}};
    j["lost"] = Json::array();
    for (const Finding& f : plan_.lost) {
      Json lost{{"file", f.file}, {"table", f.table}, {"byte", f.byte}, {"why", f.why}};
      lost["rows"] = f.rows_known ? Json(f.rows) : Json(nullptr);
      if (f.time.known) lost["first_ns"] = f.time.first_ns, lost["last_ns"] = f.time.last_ns;
      if (!f.numbers.empty()) lost["numbers"] = f.numbers;
      j["lost"].push_back(std::move(lost));
    }
    j["written"] = written_;
    j["moved"] = plan_.move;
    j["removed"] = plan_.remove;
    j["new_manifest"] = plan_.new_manifest;
    j["new_log"] = plan_.new_log;
    j["uncertain"] = plan_.uncertain;
    const std::string body = j.dump(-1, ' ', false, Json::error_handler_t::replace);
    const std::string path = directory_ + "/" + std::string(kRepairsFile);
    std::string text;
    if (env_.exists(path)) {
      PJ_ASSIGN(text, env_.read_file(path));
    }
    text += "{\"xxh3_128\":\"" + xxh3_128_of(body) + "\",\"repair\":" + body + "}\n";
    return base::write_atomically(env_, path, text);
  }

  base::Env& env_;
  const std::string directory_;
  const RepairPlan& plan_;
  Manifest manifest_;
  std::map<std::string, std::uint64_t> last_part_;
  std::vector<std::string> written_;
};

}  // namespace

base::Result<StoreLock> lock_for_repair(base::Env& env, const std::string& directory) {
  PJ_ASSIGN(const auto names, env.list(directory));
  if (names.empty())
    return base::missing("repair a store", directory, "there is no store here",
                         "Name it: perjoule store repair DIR");
  PJ_TRY(env.create_directories(directory + "/catalog"));
  return StoreLock::acquire(lock_path(directory));
}

base::Result<RepairPlan> plan_repair(base::Env& env, const std::string& directory,
                                     const RepairOptions& options) {
  return Planner(env, directory, options).run();
}

base::Status apply_repair(base::Env& env, const std::string& directory, const RepairPlan& plan,
                          const RepairOptions& options, base::TimePoint now) {
  if (!plan.refused.empty())
    return base::Error{base::ErrorKind::kAnswerIsNo, "repair the store", directory, plan.refused, plan.hint};
  if (plan.nothing_to_do()) return base::ok_status();
  return Repairer(env, directory, plan).run(options, now);
}

base::Result<std::vector<RepairRecord>> repairs_of(base::Env& env, const std::string& directory) {
  constexpr std::string_view kHead = "{\"xxh3_128\":\"", kMiddle = "\",\"repair\":";
  constexpr std::size_t kDigits = 32;
  std::vector<RepairRecord> out;
  const std::string path = directory + "/" + std::string(kRepairsFile);
  if (!env.exists(path)) return out;
  PJ_ASSIGN(const std::string text, env.read_file(path));
  for (const std::string_view line : base::split(text, '\n')) {
    if (line.empty()) continue;
    const std::size_t body = kHead.size() + kDigits + kMiddle.size();
    const bool framed = line.size() > body && line.starts_with(kHead) && line.ends_with('}') &&
                        line.substr(kHead.size() + kDigits, kMiddle.size()) == kMiddle;
    const std::string_view inner = framed ? line.substr(body, line.size() - body - 1) : line;
    out.push_back({std::string(inner), framed && xxh3_128_of(inner) == line.substr(kHead.size(), kDigits)});
  }
  return out;
}

}  // namespace perjoule::bus
