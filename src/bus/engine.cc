#include "bus/engine.hpp"

#include <pthread.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <deque>
#include <iterator>
#include <mutex>
#include <optional>
#include <set>
#include <thread>

#include "base/assert.hpp"
#include "base/clock.hpp"
#include "bus/seal.hpp"
#include "bus/segment_files.hpp"
#include "bus/source_chains.hpp"
#include "bus/store_folder.hpp"
#include "bus/store_lock.hpp"
#include "bus/store_upgrade.hpp"

namespace perjoule::bus {
namespace {

using Lock = std::unique_lock<std::mutex>;

// A block on its way to the log; without bytes it only waits for the ones before it.
struct Waiting {
  std::shared_ptr<const std::string> bytes;
  Durability durability = Durability::kDurable;
  std::string source;
  std::uint64_t last_seq = 0;
  TailBlock tail;
  Engine::Done done;
};

class EngineImpl final : public Engine {
 public:
  EngineImpl(base::Env& env, std::string directory, EngineOptions options, std::optional<StoreLock> lock)
      : env_(env),
        directory_(std::move(directory)),
        options_(std::move(options)),
        lock_(std::move(lock)),
        sealer_(env, directory_,
                {options_.sort_rows, options_.group_rows, options_.encoding,
                 options_.threads ? options_.seal_threads : 1}),
        rollups_(env, directory_, options_.rollups, sealer_.threads()) {}

  ~EngineImpl() override {
    {
      const Lock lock(mutex_);
      closing_ = true;
    }
    wake_writer_.notify_all();
    wake_keeper_.notify_all();
    if (writer_.joinable()) writer_.join();
    if (keeper_.joinable()) keeper_.join();
    (void)remove_replaced(0).ok();  // what is left is removed when the store is opened again
  }

  base::Status start();

  void submit(std::string block, Durability durability, Done done) override;
  base::Status seal_all() override;
  base::Result<DroppedRows> drop_before(Table table, std::int64_t t_ns) override;
  base::Result<std::uint64_t> compact() override;
  std::uint64_t stored_through(std::string_view source) const override {
    const Lock lock(mutex_);
    return chains_.stored_through(source);
  }
  Snapshot snapshot() const override;
  EngineStats stats() const override;
  const RecoveryReport& recovery() const override { return recovery_; }
  std::string_view log_io() const override { return log_io_name_; }

 private:
  // ---- start ----
  base::Status load_manifest();
  base::Status recover();
  void mark_on_disk(std::string_view source, std::uint64_t last_seq) {
    chains_.mark_stored(source, last_seq);
    chains_.mark_written(source);
  }
  base::Status remove_strays() const;
  base::Status note_log();

  // ---- submit ----
  Receipt refuse(Outcome outcome, std::string_view source, std::string why);
  std::string too_much(std::size_t bytes) const;
  std::optional<Receipt> admit(const BlockView& view, Waiting& waiting);
  // A group is never larger than a segment, nor a block than a group.
  std::uint64_t largest_block() const { return options_.log.segment_bytes - base::LogFile::kPage; }

  // ---- writing: the writer thread, or submit() without threads ----
  void write_loop();
  bool write_one_group(Lock& lock);
  std::vector<Waiting> take_group();
  base::Status write_group(std::vector<Waiting>& group, Outcome& fault);
  void publish(std::vector<Waiting>& group);
  void note_sync();
  base::Status sync_log();
  void fail_all(Lock& lock, std::vector<Waiting> group, Outcome outcome, const std::string& why);

  // ---- sealing: the keeper thread, or seal_all() without threads ----
  void keep_loop();
  std::optional<Table> due_table() const;
  std::vector<TailBlock> oldest_blocks(Table table) const;
  std::uint64_t mark_sealed(Table table, const std::vector<TailBlock>& blocks, Manifest& manifest) const;
  void forget_sealed(Table table, std::size_t blocks, std::shared_ptr<const Manifest> manifest);
  base::Status seal_table(Table table);
  base::Result<bool> read_unknown();
  base::Status roll_up(bool all);
  bool roll_up_due();
  base::Status catch_up();
  base::Result<std::uint64_t> compact_once();
  base::Status write_manifest(const Manifest& manifest);
  std::shared_ptr<Manifest> next_manifest();
  // The new manifest is on the disk: what it no longer names is removed after a while.
  void replace_manifest(std::shared_ptr<const Manifest> manifest);
  base::Status remove_replaced(double seconds);
  std::optional<std::string> keep_one(std::optional<Table> due);

  base::Env& env_;
  const std::string directory_;
  const EngineOptions options_;
  std::optional<StoreLock> lock_;
  std::unique_ptr<LogWriter> log_;
  std::string log_io_name_;
  RecoveryReport recovery_;

  mutable std::mutex mutex_;  // everything below
  std::condition_variable wake_writer_, wake_keeper_;
  std::shared_ptr<const Manifest> manifest_;
  SourceChains chains_;
  std::deque<Waiting> waiting_;
  std::vector<TailBlock> tail_;
  base::Stopwatch since_unsynced_;  // time since the oldest byte that is only buffered was written
  base::Stopwatch since_oldest_;    // time since the oldest tail block came, or the last seal
  std::array<std::uint64_t, kTableCount> tail_rows_{};
  EngineStats stats_;
  bool closing_ = false, stopped_ = false;

  std::mutex sealing_;  // held by the one who seals: of the members below
  Sealer sealer_;
  RollupKeeper rollups_;
  static constexpr std::uint64_t kMostFiles = 8;  // that one manifest adds to a table
  std::uint64_t skip_parts_ = 0;
  std::set<std::string> uncompactable_;  // files that could not be read
  // Since sums could not be written; rows go on being sealed.
  std::optional<base::Stopwatch> rollups_failed_;
  struct Replaced {
    std::string file;
    base::Stopwatch since;
  };
  std::vector<Replaced> replaced_;  // of mutex_
  std::mutex log_io_;               // by the one who writes to the log or syncs it

  std::thread writer_, keeper_;
};

// ---- start ----

base::Status EngineImpl::load_manifest() {
  const std::string path = manifest_path(directory_);
  Manifest manifest;
  if (env_.exists(path)) {
    PJ_ASSIGN(const std::string text, env_.read_file(path));
    PJ_ASSIGN(manifest, parse_manifest(text, path));
    PJ_TRY(upgrade_manifest(env_, directory_, manifest));
  } else {
    manifest.meta = options_.meta;
  }
  // A store that was written at once has no log: one beside it is of an earlier store.
  if (manifest.tables.empty()) PJ_TRY(remove_log(env_, log_directory_of(directory_)));
  for (std::size_t t = 0; t < kTableCount; ++t) {
    const std::string name(schema_of(static_cast<Table>(t)).name);
    // A store that was written at once has files but no marks yet, and a repair leaves gaps.
    const auto mark = manifest.tables.try_emplace(name).first;
    for (const auto& e : manifest.segments) {
      if (e.table == name) mark->second.parts = std::max(mark->second.parts, segment_part(e.file));
    }
  }
  manifest.complete = false;
  manifest_ = std::make_shared<const Manifest>(std::move(manifest));
  for (const auto& [source, last] : manifest_->sources) mark_on_disk(source, last);
  // The manifest first: from here on the folder is a store, whatever else is in it.
  PJ_TRY(write_manifest(*manifest_));
  for (const auto& table : all_table_names()) PJ_TRY(env_.create_directories(directory_ + "/" + table));
  return base::ok_status();
}

base::Status EngineImpl::recover() {
  const auto on_block = [&](const LogEntry& entry) -> base::Status {
    PJ_ASSIGN(const auto view, BlockView::open(entry.block, "log entry " + std::to_string(entry.number)));
    mark_on_disk(view.key().source, view.key().last_seq);
    if (entry.number <= manifest_->tables.at(std::string(schema_of(view.table()).name)).sealed_entry)
      return base::ok_status();
    tail_.push_back(
        {entry.number, view.table(), view.rows(), view.first_ns(), view.last_ns(), entry.place, {}});
    tail_rows_[static_cast<std::size_t>(view.table())] += view.rows();
    ++recovery_.blocks;
    recovery_.rows += view.rows();
    recovery_.bytes += view.bytes().size();
    return base::ok_status();
  };
  PJ_ASSIGN(LogEnd end, read_log(env_, log_directory_of(directory_), manifest_->log, on_block));
  // Where the log begins there may be no group yet, and so no number to go on from: one that the manifest
  // counts as sealed must not come again.
  for (const auto& [table, mark] : manifest_->tables)
    end.next_entry = std::max(end.next_entry, mark.sealed_entry + 1);
  recovery_.torn = end.torn;
  chains_.mark_synced();
  PJ_ASSIGN(log_, LogWriter::open(env_, log_directory_of(directory_), end, options_.log));
  log_io_name_ = log_->io();
  return base::ok_status();
}

// The log is on the disk: from here on one that is missing or cut short is damage.
base::Status EngineImpl::note_log() {
  auto noted = std::make_shared<Manifest>(*manifest_);
  noted->log = log_->start_of(noted->log.segment);
  if (noted->log.bytes == manifest_->log.bytes) return base::ok_status();
  PJ_TRY(write_manifest(*noted));
  manifest_ = std::move(noted);
  return base::ok_status();
}

// What a writer left that died between a file and the manifest that would have named it.
base::Status EngineImpl::remove_strays() const {
  for (const auto& table : all_table_names()) {
    PJ_ASSIGN(const auto names, env_.list(directory_ + "/" + table));
    for (const auto& name : names) {
      const std::string file = table + "/" + name;
      const bool ours =
          name.starts_with("part-") && (name.ends_with(".parquet") || name.ends_with(".parquet.part"));
      const bool named = std::any_of(manifest_->segments.begin(), manifest_->segments.end(),
                                     [&](const auto& e) { return e.file == file; });
      if (ours && !named) PJ_TRY(env_.remove(directory_ + "/" + file));
    }
  }
  return base::ok_status();
}

base::Status EngineImpl::start() {
  PJ_TRY(load_manifest());
  PJ_TRY(recover());
  PJ_TRY(remove_strays());
  PJ_TRY(note_log());
  if (!options_.threads) return base::ok_status();
  writer_ = std::thread([this] { write_loop(); });
  keeper_ = std::thread([this] { keep_loop(); });
  // For whoever looks at where the processor's time goes.
  ::pthread_setname_np(writer_.native_handle(), "bus-log");
  ::pthread_setname_np(keeper_.native_handle(), "bus-seal");
  return base::ok_status();
}

// ---- submit ----

Receipt EngineImpl::refuse(Outcome outcome, std::string_view source, std::string why) {
  if (outcome == Outcome::kRefused) ++stats_.refused_blocks;
  if (outcome == Outcome::kBusy || outcome == Outcome::kNoSpace) ++stats_.busy_blocks;
  return {outcome, chains_.stored_through(source), std::move(why)};
}

std::string EngineImpl::too_much(std::size_t bytes) const {
  if (stats_.waiting_bytes + bytes > options_.waiting_bytes) return "the log does not keep up";
  if (stats_.tail_bytes + bytes > options_.tail_bytes) return "sealing does not keep up";
  if (log_->bytes_in_use() > options_.log_bytes) return "the log is full until more of it is sealed";
  return {};
}

// The answer, if there is one already; else the block waits for its group.
std::optional<Receipt> EngineImpl::admit(const BlockView& view, Waiting& waiting) {
  const BlockKey& key = view.key();
  if (stopped_ || closing_)
    return Receipt{Outcome::kStopped, chains_.stored_through(key.source), stats_.stopped};
  if (std::string why = too_much(view.bytes().size()); !why.empty())
    return refuse(Outcome::kBusy, key.source, std::move(why));
  if (view.bytes().size() > largest_block())
    return refuse(Outcome::kRefused, key.source,
                  "the block has " + std::to_string(view.bytes().size()) + " bytes; this store's log takes " +
                      std::to_string(largest_block()));
  switch (chains_.admit(key)) {
    case Admission::kStored:
      ++stats_.repeated_blocks;
      return Receipt{Outcome::kAlreadyStored, chains_.stored_through(key.source), {}};
    case Admission::kBroken:
      return refuse(Outcome::kRefused, key.source,
                    "the block follows number " + std::to_string(key.after_seq) + " of its source, but " +
                        std::to_string(chains_.accepted_through(key.source)) +
                        " is the last one taken; send on from there");
    case Admission::kTooMany:
      return refuse(Outcome::kRefused, key.source, "there are too many sources");
    case Admission::kInFlight:
      ++stats_.repeated_blocks;
      waiting.bytes.reset();
      break;
    case Admission::kNew:
      stats_.waiting_bytes += view.bytes().size();
      break;
  }
  waiting_.push_back(std::move(waiting));
  return std::nullopt;
}

void EngineImpl::submit(std::string block, Durability durability, Done done) {
  const auto bytes = std::make_shared<const std::string>(std::move(block));
  const auto view = BlockView::open(*bytes, "block");
  const base::Status sound = view.ok() ? view->check() : base::Status(view.error());
  Lock lock(mutex_);
  std::optional<Receipt> receipt;
  if (sound.ok()) {
    TailBlock tail{0, view->table(), view->rows(), view->first_ns(), view->last_ns(), {}, bytes};
    Waiting waiting{bytes,           durability, std::string(view->key().source), view->key().last_seq,
                    std::move(tail), done};
    receipt = admit(*view, waiting);
  } else {
    receipt = refuse(Outcome::kRefused, {}, sound.error().message());
  }
  while (!options_.threads && write_one_group(lock)) {
  }
  lock.unlock();
  if (receipt.has_value()) return done(*receipt);
  if (options_.threads) wake_writer_.notify_one();
}

// ---- writing ----

std::vector<Waiting> EngineImpl::take_group() {
  std::vector<Waiting> group;
  std::size_t bytes = 0;
  while (!waiting_.empty()) {
    const std::size_t next = waiting_.front().bytes ? waiting_.front().bytes->size() : 0;
    if (bytes != 0 && bytes + next > std::min<std::uint64_t>(options_.group_bytes, largest_block())) break;
    bytes += next;
    group.push_back(std::move(waiting_.front()));
    waiting_.pop_front();
  }
  stats_.waiting_bytes -= bytes;
  return group;
}

base::Status EngineImpl::write_group(std::vector<Waiting>& group, Outcome& fault) {
  std::vector<std::string_view> blocks;
  std::uint64_t bytes = 0;
  auto sync = base::Sync::kNone;
  for (const Waiting& w : group) {
    if (w.bytes == nullptr || w.durability == Durability::kMemory) continue;
    blocks.push_back(*w.bytes);
    bytes += w.bytes->size();
    if (w.durability == Durability::kDurable) sync = base::Sync::kData;
  }
  // A repeated block waits for one that may only be buffered.
  if (blocks.empty()) return log_->unsynced_bytes() != 0 ? log_->sync() : base::ok_status();
  fault = Outcome::kNoSpace;
  PJ_TRY(log_->make_room(bytes));
  fault = Outcome::kStopped;
  std::uint64_t entry = log_->next_entry();
  std::vector<LogPlace> places;
  PJ_TRY(log_->append(blocks, sync, places));
  std::size_t i = 0;
  for (Waiting& w : group) {
    if (w.bytes == nullptr || w.durability == Durability::kMemory) continue;
    w.tail.entry = entry++;
    w.tail.place = places[i++];
  }
  return base::ok_status();
}

void EngineImpl::publish(std::vector<Waiting>& group) {
  if (tail_.empty()) since_oldest_ = {};
  for (Waiting& w : group) {
    if (w.bytes == nullptr) continue;
    chains_.mark_stored(w.source, w.last_seq);
    if (w.durability != Durability::kMemory) chains_.mark_written(w.source);
    ++stats_.blocks;
    stats_.rows += w.tail.rows;
    stats_.bytes += w.bytes->size();
    stats_.tail_bytes += w.bytes->size();
    tail_rows_[static_cast<std::size_t>(w.tail.table)] += w.tail.rows;
    tail_.push_back(std::move(w.tail));
  }
  ++stats_.groups;
  note_sync();
}

void EngineImpl::note_sync() {
  if (stats_.unsynced_bytes == 0) since_unsynced_ = {};
  stats_.unsynced_bytes = log_->unsynced_bytes();
  if (stats_.unsynced_bytes == 0) chains_.mark_synced();
}

void EngineImpl::fail_all(Lock& lock, std::vector<Waiting> group, Outcome outcome, const std::string& why) {
  std::move(waiting_.begin(), waiting_.end(), std::back_inserter(group));
  waiting_.clear();
  stats_.waiting_bytes = 0;
  chains_.forget_accepted();
  if (outcome == Outcome::kStopped) stopped_ = true, stats_.stopped = why;
  std::vector<Receipt> receipts;
  for (const Waiting& w : group) receipts.push_back(refuse(outcome, w.source, why));
  lock.unlock();
  for (std::size_t i = 0; i < group.size(); ++i) group[i].done(receipts[i]);
  lock.lock();
}

// False: nothing was waiting.
bool EngineImpl::write_one_group(Lock& lock) {
  std::vector<Waiting> group = take_group();
  if (group.empty()) return false;
  lock.unlock();
  Outcome fault = Outcome::kStopped;
  base::Status written = base::ok_status();
  {
    const std::lock_guard writing(log_io_);
    written = write_group(group, fault);
  }
  lock.lock();
  if (!written.ok()) return fail_all(lock, std::move(group), fault, written.error().message()), true;
  publish(group);
  std::vector<std::uint64_t> marks;
  for (const Waiting& w : group) marks.push_back(chains_.stored_through(w.source));
  const bool seal = due_table().has_value();
  lock.unlock();
  if (seal) wake_keeper_.notify_one();
  for (std::size_t i = 0; i < group.size(); ++i)
    group[i].done({group[i].bytes ? Outcome::kStored : Outcome::kAlreadyStored, marks[i], {}});
  lock.lock();
  return true;
}

void EngineImpl::write_loop() {
  Lock lock(mutex_);
  constexpr std::chrono::milliseconds kSyncEvery(500);
  for (;;) {
    if (!write_one_group(lock)) {
      if (closing_) break;
      wake_writer_.wait_for(lock, kSyncEvery, [&] { return closing_ || !waiting_.empty(); });
    }
    const bool due = stats_.unsynced_bytes != 0 && since_unsynced_.elapsed() >= base::Seconds(0.5);
    if (stopped_ || !due) continue;
    lock.unlock();
    const base::Status synced = sync_log();
    lock.lock();
    if (!synced.ok()) fail_all(lock, {}, Outcome::kStopped, synced.error().message());
  }
  // Nothing more may be written; what is buffered is brought to the disk.
  lock.unlock();
  if (!stopped_) (void)sync_log().ok();
}

// Brings to the disk what was only handed to the operating system.
base::Status EngineImpl::sync_log() {
  {
    const std::lock_guard writing(log_io_);
    if (log_->unsynced_bytes() != 0) PJ_TRY(log_->sync());
  }
  const Lock lock(mutex_);
  note_sync();
  return base::ok_status();
}

// ---- sealing ----

std::optional<Table> EngineImpl::due_table() const {
  const auto most = std::max_element(tail_rows_.begin(), tail_rows_.end());
  const auto table = static_cast<Table>(most - tail_rows_.begin());
  if (*most >= options_.seal_rows) return table;
  if (tail_.empty()) return std::nullopt;
  const bool much = stats_.tail_bytes > options_.tail_bytes / 2;
  if (much) return table;
  const bool old = since_oldest_.elapsed() >= base::Seconds(options_.seal_seconds) ||
                   log_->bytes_in_use() > options_.log_bytes / 2;
  // The oldest holds the log back.
  return old ? std::optional(tail_.front().table) : std::nullopt;
}

base::Status EngineImpl::write_manifest(const Manifest& manifest) {
  auto written = base::write_atomically(env_, manifest_path(directory_), to_json(manifest));
  skip_parts_ = written.ok() ? 0 : skip_parts_;
  return written;
}

// A manifest to be changed. After one whose writing failed its numbers of files are not used again: the disk
// may have it all the same.
std::shared_ptr<Manifest> EngineImpl::next_manifest() {
  auto next = std::make_shared<Manifest>(*snapshot().manifest);
  for (auto& [table, mark] : next->tables) mark.parts += skip_parts_;
  skip_parts_ += kMostFiles;
  return next;
}

// The oldest blocks of a table, as many as are sealed at once.
std::vector<TailBlock> EngineImpl::oldest_blocks(Table table) const {
  const Lock lock(mutex_);
  std::vector<TailBlock> blocks;
  std::uint64_t rows = 0;
  for (const TailBlock& b : tail_) {
    if (b.table != table || rows >= options_.seal_rows) continue;
    blocks.push_back(b);
    rows += b.rows;
  }
  return blocks;
}

// What the next manifest says of the log when these blocks, the oldest of their table, are sealed. The first
// segment that is still needed.
std::uint64_t EngineImpl::mark_sealed(Table table, const std::vector<TailBlock>& blocks,
                                      Manifest& manifest) const {
  const Lock lock(mutex_);
  std::uint64_t needed = log_->current_segment();
  std::size_t left = blocks.size();
  for (const TailBlock& b : tail_) {
    const bool is_sealed = b.table == table && left != 0;
    if (is_sealed) --left;
    if (!is_sealed && b.entry != 0) needed = std::min(needed, b.place.segment);
  }
  TableMark& mark = manifest.tables.at(std::string(schema_of(table).name));
  for (const TailBlock& b : blocks) mark.sealed_entry = std::max(mark.sealed_entry, b.entry);
  manifest.sources = chains_.synced();
  manifest.log = log_->start_of(needed);
  return needed;
}

// The blocks are in the manifest's files now.
void EngineImpl::forget_sealed(Table table, std::size_t blocks, std::shared_ptr<const Manifest> manifest) {
  const Lock lock(mutex_);
  manifest_ = std::move(manifest);
  std::erase_if(tail_, [&](const TailBlock& b) {
    if (b.table != table || blocks == 0) return false;
    --blocks;
    stats_.tail_bytes -= b.bytes != nullptr ? b.bytes->size() : 0;
    tail_rows_[static_cast<std::size_t>(table)] -= b.rows;
    stats_.sealed_rows += b.rows;
    return true;
  });
  since_oldest_ = {};
  ++stats_.sealed_files;
}

base::Status EngineImpl::seal_table(Table table) {
  const std::lock_guard sealing(sealing_);
  const std::vector<TailBlock> blocks = oldest_blocks(table);
  if (blocks.empty()) return base::ok_status();
  // A sealed file lasts, so the numbers that it holds must: a source whose blocks are in the file but not in
  // the manifest would send them again.
  PJ_TRY(sync_log());
  const auto after = next_manifest();
  TableMark& mark = after->tables.at(std::string(schema_of(table).name));
  ++mark.parts;
  auto sealed = sealer_.seal(table, blocks, mark.parts, rollups_.lanes());
  if (!sealed.ok()) return rollups_.forget(table), std::move(sealed).error();
  const SegmentEntry segment = std::move(sealed).value();
  after->segments.push_back(segment);
  sort_segments(*after);
  const std::uint64_t needed = mark_sealed(table, blocks, *after);
  if (auto written = write_manifest(*after); !written.ok()) return rollups_.forget(table), written;
  forget_sealed(table, blocks.size(), after);
  rollups_.take(segment);
  {
    const Lock lock(mutex_);
    stats_.sealed_bytes += segment.summary.bytes;
  }
  return log_->release(needed);
}

base::Status EngineImpl::seal_all() {
  for (std::size_t t = 0; t < kEventTables; ++t) {
    std::uint64_t rows = 0;
    {
      const Lock lock(mutex_);
      rows = tail_rows_[t];
    }
    // Parts of seal_rows each; what comes meanwhile is left for later.
    for (std::uint64_t done = 0; done < rows; done += options_.seal_rows)
      PJ_TRY(seal_table(static_cast<Table>(t)));
  }
  return catch_up();
}

// Every sealed row that can be is in the rollups.
base::Status EngineImpl::catch_up() {
  for (bool more = true; more;) {
    const auto read = read_unknown();
    // A file that cannot be read is not tried again; questions read its rows, and say so.
    if (!read.ok() && !is_damage(read.error())) return read.error();
    more = !read.ok() || *read;
    if (roll_up_due()) PJ_TRY(roll_up(false));
  }
  return roll_up(true);
}

base::Result<DroppedRows> EngineImpl::drop_before(Table table, std::int64_t t_ns) {
  if (!takes_events(table))
    return base::bad_input("drop old rows", std::string(schema_of(table).name),
                           "sums are kept as long as the store");
  PJ_TRY(catch_up());
  const std::lock_guard sealing(sealing_);
  const auto after = next_manifest();
  PJ_ASSIGN(DroppedRows dropped, drop_segments(env_, directory_, *after, table, t_ns));
  if (dropped.files == 0) {
    skip_parts_ -= kMostFiles;
    return dropped;
  }
  PJ_TRY(write_manifest(*after));
  replace_manifest(after);
  return dropped;
}

base::Result<std::uint64_t> EngineImpl::compact() {
  std::uint64_t gone = 0;
  for (std::uint64_t more = 1; more != 0; gone += more) {
    PJ_ASSIGN(more, compact_once());
  }
  return gone;
}

base::Result<std::uint64_t> EngineImpl::compact_once() {
  const std::lock_guard sealing(sealing_);
  const auto files = files_to_compact(*snapshot().manifest, options_.compaction, uncompactable_);
  if (files.empty()) return std::uint64_t{0};
  const auto after = next_manifest();
  auto compacted = compact_files(env_, directory_, *after, files,
                                 {options_.sort_rows, options_.group_rows, options_.encoding, 1});
  if (!compacted.ok()) {
    for (const auto& f : files) uncompactable_.insert(f.file);
    return std::move(compacted).error();
  }
  PJ_TRY(write_manifest(*after));
  replace_manifest(after);
  return std::uint64_t{files.size()};
}

// One segment that a writer sealed which died before its rollups. False: there is none.
base::Result<bool> EngineImpl::read_unknown() {
  const std::lock_guard sealing(sealing_);
  const auto manifest = snapshot().manifest;
  const SegmentEntry* const unknown = rollups_.next_unknown(*manifest);
  if (unknown == nullptr) return false;
  PJ_TRY(rollups_.take_from_file(*unknown));
  return true;
}

base::Status EngineImpl::roll_up(bool all) {
  const std::lock_guard sealing(sealing_);
  if (rollups_.empty()) return base::ok_status();
  const auto after = next_manifest();
  rollups_failed_.emplace();
  PJ_TRY(rollups_.write(*after, all));
  PJ_TRY(write_manifest(*after));
  rollups_failed_.reset();
  rollups_.written();
  replace_manifest(after);
  return base::ok_status();
}

bool EngineImpl::roll_up_due() {
  constexpr double kPause = 10;
  const std::lock_guard sealing(sealing_);
  if (rollups_failed_ && rollups_failed_->elapsed() < base::Seconds(kPause)) return false;
  return rollups_.due();
}

void EngineImpl::replace_manifest(std::shared_ptr<const Manifest> manifest) {
  std::set<std::string> names;
  for (const auto& e : manifest->segments) names.insert(e.file);
  const Lock lock(mutex_);
  for (const auto& e : manifest_->segments) {
    if (!names.contains(e.file)) replaced_.push_back({e.file, {}});
  }
  manifest_ = std::move(manifest);
}

base::Status EngineImpl::remove_replaced(double seconds) {
  std::vector<std::string> files;
  {
    const Lock lock(mutex_);
    std::erase_if(replaced_, [&](const Replaced& r) {
      const bool old = r.since.elapsed() >= base::Seconds(seconds);
      if (old) files.push_back(r.file);
      return old;
    });
  }
  for (const auto& file : files) PJ_TRY(env_.remove(directory_ + "/" + file));
  return base::ok_status();
}

// One piece of the keeper's work. Nothing: there is none to do; else the fault, or an empty text.
std::optional<std::string> EngineImpl::keep_one(std::optional<Table> due) {
  const auto outcome = [](const base::Status& done) {
    return done.ok() ? std::string{} : done.error().message();
  };
  (void)remove_replaced(options_.replaced_seconds).ok();  // a file that stays is removed at the next opening
  // Sums that are due come before rows that are, so that they do not pile up.
  const bool roll = roll_up_due();
  if (due && !roll) {
    std::string fault = outcome(seal_table(*due));
    const Lock lock(mutex_);
    return stats_.sealing_fault = fault;
  }
  auto done = base::Result<bool>(true);
  if (roll) {
    const base::Status rolled = roll_up(false);
    if (!rolled.ok()) done = rolled.error();
  } else {
    done = read_unknown();
    if (done.ok() && !*done) {
      const auto compacted = compact_once();
      done = compacted.ok() ? base::Result<bool>(*compacted != 0) : compacted.error();
    }
  }
  if (done.ok() && !*done) return std::nullopt;
  const Lock lock(mutex_);
  return stats_.rollup_fault = done.ok() ? std::string{} : done.error().message();
}

void EngineImpl::keep_loop() {
  Lock lock(mutex_);
  while (!closing_) {
    // The next segment is made before it is needed: making one takes as long as writing it full. On a full
    // disk the writer meets the same error itself, and says so.
    lock.unlock();
    (void)log_->prepare().ok();
    lock.lock();
    const auto due = due_table();
    lock.unlock();
    const auto fault = keep_one(due);
    lock.lock();
    if (!fault) {
      wake_keeper_.wait_for(lock, std::chrono::milliseconds(200));
      continue;
    }
    // A full disk may get room again; nothing is lost meanwhile, the log has it.
    if (!fault->empty()) wake_keeper_.wait_for(lock, std::chrono::seconds(1), [&] { return closing_; });
  }
}

// ---- looking ----

Snapshot EngineImpl::snapshot() const {
  const Lock lock(mutex_);
  return {manifest_, tail_};
}

EngineStats EngineImpl::stats() const {
  const Lock lock(mutex_);
  EngineStats s = stats_;
  for (const auto rows : tail_rows_) s.tail_rows += rows;
  s.sources = chains_.size();
  s.log_bytes = log_->bytes_in_use();
  return s;
}

}  // namespace

base::Result<std::unique_ptr<Engine>> Engine::open(base::Env& env, const std::string& directory,
                                                   EngineOptions options) {
  if (directory.empty())
    return base::bad_input("open a store", "--store", "the name of the folder is empty", "Name a folder");
  if (!env.exists(manifest_path(directory))) PJ_TRY(check_free(env, directory, "open a store"));
  PJ_TRY(env.create_directories(directory + "/catalog"));
  std::optional<StoreLock> lock;
  if (options.lock) {
    PJ_ASSIGN(auto taken, StoreLock::acquire(lock_path(directory)));
    lock.emplace(std::move(taken));
  }
  auto engine = std::make_unique<EngineImpl>(env, directory, std::move(options), std::move(lock));
  PJ_TRY(engine->start());
  return std::unique_ptr<Engine>(std::move(engine));
}

}  // namespace perjoule::bus
