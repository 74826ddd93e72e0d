// An Env in memory that remembers every step, so that a test can ask what a crash after any of them would
// have left on a disk, and start again from there. A step is one call that a disk sees: create, append and
// fsync of a file, rename, remove, sync of a directory, write and sync of a log; create + append + commit are
// five steps (create, append, fsync, rename, sync of the directory).
//
// What a crash may leave, as POSIX lets a disk do, harsher than any one file system. What was synced is
// there. Of unsynced writes any subset of 512-byte sectors, in any order: sectors that did not land hold what
// they held before, zeros in a new file; an appended page lands with the bytes that were in it; a file that
// grew has the old or the new size, whatever landed. Of creates, renames and removes without a sync of their
// directory any subset: an fsync of the file does not make its name durable. A rename is atomic, and durable
// once either directory is synced. Directories are durable when made.
//
// Parents must exist, as on a disk. Of paths '.', empty parts and a leading '/' are dropped: "/a//./b" is
// "a/b". Thread rule: Env and its files from any thread, one writer per file. Ownership: files may outlive
// their Env. Memory: everything ever written stays until the Env and its files go; states share pages, none
// is copied whole.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/env.hpp"

namespace perjoule::base {

namespace memory {
class Disk;
}

// Which unsynced operations a crash keeps.
struct CrashChoice {
  enum class Kind : std::uint8_t { kNothingUnsynced, kEverything, kTornLast, kRandom };
  Kind kind = Kind::kNothingUnsynced;
  std::uint64_t value = 0;  // kTornLast: sectors of the last write that landed; kRandom: the seed

  static CrashChoice nothing_unsynced() { return {Kind::kNothingUnsynced, 0}; }
  static CrashChoice everything() { return {Kind::kEverything, 0}; }
  // Everything but the last unsynced write, of which the first `sectors` landed (a file that grew ends
  // there).
  static CrashChoice torn_last(std::uint64_t sectors) { return {Kind::kTornLast, sectors}; }
  // Each operation lost, whole, cut at a sector, or landed in parts (pages or sectors), as the seed says.
  static CrashChoice random(std::uint64_t seed) { return {Kind::kRandom, seed}; }
};

class MemoryEnv final : public Env {
 public:
  static constexpr std::uint64_t kSector = 512;

  MemoryEnv();
  ~MemoryEnv() override;

  // Steps so far.
  std::uint64_t steps() const;
  // What step `n` (0 = the first) was, for the message of a failing test.
  std::string step_text(std::uint64_t n) const;
  // Sectors of the last write that is not yet synced after `steps` steps; 0 if there is none. torn_last()
  // takes 0 .. this.
  std::uint64_t torn_sectors(std::uint64_t steps) const;
  // The disk after a crash right after the first `steps` steps (<= steps(): PJ_CHECK), all of it durable, no
  // step remembered.
  std::unique_ptr<MemoryEnv> after_crash(std::uint64_t steps, CrashChoice choice) const;

  Result<std::string> read_file(const std::string& path, std::uint64_t limit = 4ULL << 30) override;
  Result<std::unique_ptr<PendingFile>> create(const std::string& path) override;
  Status create_directories(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status remove(const std::string& path) override;
  bool exists(const std::string& path) override;
  Result<std::unique_ptr<LogFile>> create_log(const std::string& path, std::uint64_t size) override;
  Result<std::unique_ptr<LogFile>> open_log(const std::string& path) override;
  Result<std::unique_ptr<LogFile>> open_log_for_reading(const std::string& path) override;
  Result<std::unique_ptr<ReadableFile>> open_file(const std::string& path) override;
  Status rename(const std::string& from, const std::string& to) override;
  Status sync_directory(const std::string& path) override;

 private:
  explicit MemoryEnv(std::shared_ptr<memory::Disk> disk);

  std::shared_ptr<memory::Disk> disk_;
};

}  // namespace perjoule::base
