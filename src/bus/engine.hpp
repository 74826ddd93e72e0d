// The event engine: takes blocks, says "stored" when they are on the disk, and turns them into sorted Parquet
// files in the background (docs/formats/log.md, docs/design/bus.md). What was acknowledged is visible at once
// and survives a crash at any moment; a block that is sent again is stored once.
//   submit      any thread; the answer comes by callback, from the engine's writer thread (or from this call)
//   snapshot    any thread; what is stored now, as sealed files and blocks
//   seal_all, drop_before, compact    any thread, one at a time: they wait for each other and the keeper
// Two threads of its own, or none (`threads` false: submit() writes at once and seal_all() seals; for tests).
// After a write error that may have lost data the engine refuses to write for the rest of its life.
// Ownership: the Env must outlive it; it holds the store's lock. Units: bytes, seconds, rows.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "bus/log_writer.hpp"
#include "bus/maintenance.hpp"
#include "bus/manifest.hpp"
#include "bus/parquet_writer.hpp"
#include "bus/rollup_keeper.hpp"
#include "bus/tail.hpp"

namespace perjoule::bus {

// What must be true before a block is acknowledged.
enum class Durability : std::uint8_t {
  kDurable,   // it is on the disk
  kBuffered,  // the operating system has it; on the disk within a second
  kMemory,    // the engine has it. A crash may lose it, and take again what is sent again: for tests
};

struct EngineOptions {
  StoreMeta meta;  // of a new store
  LogOptions log;
  std::size_t group_bytes = 4U << 20;      // of blocks written to the log at once
  std::size_t waiting_bytes = 128U << 20;  // accepted, not written yet
  std::size_t tail_bytes = 512U << 20;     // stored, not sealed yet
  std::uint64_t log_bytes = std::uint64_t{4} << 30;
  std::size_t seal_rows = 2U << 20;  // a table with that many unsealed rows is sealed
  double seal_seconds = 60;          // ... and one with an unsealed row that old
  // Rows sorted together. More would find a request's rows in fewer places, but times further apart cost more
  // bits, and columns that outgrow the processor's caches cost time.
  std::size_t sort_rows = std::size_t{1} << 19;
  std::size_t group_rows = std::size_t{1} << 18;  // rows of a Parquet row group
  EncodingOptions encoding;
  unsigned seal_threads = 2;  // that merge and encode; 1 without `threads`
  RollupOptions rollups;
  CompactionOptions compaction;
  // Files that a newer one replaced stay so long for readers that know an older manifest.
  double replaced_seconds = 60;
  bool threads = true;
  bool lock = true;  // against a second writer; false for an Env that is not the machine's files
};

enum class Outcome : std::uint8_t {
  kStored,
  kAlreadyStored,  // this block, or a later one of its source, was stored before
  kBusy,           // try again in a moment: writing or sealing is behind (HTTP 429)
  kNoSpace,        // try again when there is room on the disk (HTTP 507)
  kRefused,        // the block itself is wrong: sending it again is of no use (HTTP 400 or 409)
  kStopped,        // the engine writes no more (HTTP 503)
};
std::string_view name_of(Outcome outcome);

struct Receipt {
  Outcome outcome = Outcome::kStopped;
  std::uint64_t stored_through = 0;  // the source's last stored number
  std::string why;                   // for all but kStored and kAlreadyStored
};

struct EngineStats {
  std::uint64_t blocks = 0, rows = 0, bytes = 0;  // stored since the start
  std::uint64_t repeated_blocks = 0, refused_blocks = 0, busy_blocks = 0;
  std::uint64_t groups = 0, log_bytes = 0;  // written to the log since the start
  std::uint64_t unsynced_bytes = 0;
  std::uint64_t tail_rows = 0, tail_bytes = 0, waiting_bytes = 0;
  std::uint64_t sealed_rows = 0, sealed_bytes = 0, sealed_files = 0;  // since the start
  std::uint64_t sources = 0;
  std::string stopped;        // why it writes no more, else empty
  std::string sealing_fault;  // why sealing does not get on, else empty
  std::string rollup_fault;   // why rollups or compaction do not, else empty; questions then read the rows
};

// A tail block without bytes is read from the log, and kMissing once it has been sealed: take a new snapshot
// then. Sealed files stay readable while they are open.
struct Snapshot {
  std::shared_ptr<const Manifest> manifest;
  std::vector<TailBlock> tail;
};

// What open() found in the log.
struct RecoveryReport {
  std::uint64_t blocks = 0, rows = 0, bytes = 0;  // not sealed yet
  std::string torn;                               // place of a torn last group, which was never acknowledged
};

class Engine {
 public:
  using Done = std::function<void(const Receipt&)>;

  // Opens the store in `directory`, or makes one. Errors: kIo for a second writer or a folder that cannot be
  // written; kBadInput for a folder with other files or a newer format; kCorrupt for a damaged log or
  // manifest.
  static base::Result<std::unique_ptr<Engine>> open(base::Env& env, const std::string& directory,
                                                    EngineOptions options = {});
  virtual ~Engine() = default;  // stops; what is not sealed stays in the log

  virtual void submit(std::string block, Durability durability, Done done) = 0;
  // Waits for the answer.
  Receipt store(std::string block, Durability durability = Durability::kDurable);
  // Seals everything that was stored before the call, and brings the rollups up to it.
  virtual base::Status seal_all() = 0;
  // Drops the files of a table whose rows are all before this time; the manifest keeps a note of them, and
  // the rollups keep their sums. What is not sealed stays.
  virtual base::Result<DroppedRows> drop_before(Table table, std::int64_t t_ns) = 0;
  // Makes one file of small neighbours as long as there are some; the number of files that went. The keeper
  // does the same when it has nothing else to do.
  virtual base::Result<std::uint64_t> compact() = 0;
  virtual std::uint64_t stored_through(std::string_view source) const = 0;
  virtual Snapshot snapshot() const = 0;
  virtual EngineStats stats() const = 0;
  virtual const RecoveryReport& recovery() const = 0;
  // How the log is written: "io_uring", "pwrite", ...
  virtual std::string_view log_io() const = 0;
};

}  // namespace perjoule::bus
