// All file operations behind one port, so that faults (disk full, EIO, torn writes, read-only folders:
// fault_env.hpp) and crashes (memory_env.hpp) can be tested. Every write of a final file is atomic: temporary
// name (NAME.part), fsync, rename, fsync of the directory. Nothing half-written is ever visible under its
// final name; a crash may leave a NAME.part behind. Thread rule: an Env from any thread; a PendingFile from
// one; a ReadableFile from any. Ownership: an Env outlives the files it gave out. Units: bytes.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log_file.hpp"
#include "base/result.hpp"

namespace perjoule::base {

// A file being written under a temporary name. Dropped without commit(), it leaves nothing behind.
class PendingFile {
 public:
  virtual ~PendingFile() = default;
  virtual Status append(std::string_view bytes) = 0;
  // fsync, rename to the final path, fsync of the directory. Call once, last.
  virtual Status commit() = 0;
};

// A file open for reading at any offset. It stays readable after its name is removed or taken by another.
class ReadableFile {
 public:
  virtual ~ReadableFile() = default;
  // At the time it was opened.
  virtual std::uint64_t size() const = 0;
  // Fills `into`; kCorrupt where that reaches beyond the end.
  virtual Status read(std::uint64_t offset, std::span<char> into) const = 0;
  // The whole file, mapped at the first call and valid as long as this object. Nobody may shorten it
  // meanwhile: touching a page that is gone kills the process.
  virtual Result<std::string_view> map() = 0;
};

// The first six are pure. An Env that only stands in for a few files may leave out the others, which then
// refuse with kIo.
class Env {
 public:
  virtual ~Env() = default;
  // The whole file; kMissing if it is not there, kBadInput if it is larger than `limit` bytes.
  virtual Result<std::string> read_file(const std::string& path, std::uint64_t limit = 4ULL << 30) = 0;
  virtual Result<std::unique_ptr<PendingFile>> create(const std::string& path) = 0;
  // Durable, parents too.
  virtual Status create_directories(const std::string& path) = 0;
  // Names (not paths) of the entries, sorted; directories end in '/'. Empty if the directory is not there.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  // A file; durable only after sync_directory() of its folder.
  virtual Status remove(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;

  // A log of `size` bytes (whole pages, at least one: PJ_CHECK), all zero, durable under its final name.
  // kBadInput if the name is taken, kIo if there is no room; on any error nothing is left.
  virtual Result<std::unique_ptr<LogFile>> create_log(const std::string& path, std::uint64_t size);
  // kMissing if it is not there, kCorrupt if it is not whole pages.
  virtual Result<std::unique_ptr<LogFile>> open_log(const std::string& path);
  // The same; its write() and sync() fail.
  virtual Result<std::unique_ptr<LogFile>> open_log_for_reading(const std::string& path);
  virtual Result<std::unique_ptr<ReadableFile>> open_file(const std::string& path);
  // A file; takes the place of one named `to`. Durable: both folders are synced, that of `to` first.
  virtual Status rename(const std::string& from, const std::string& to);
  // Makes every create, rename and remove in this folder durable.
  virtual Status sync_directory(const std::string& path);
};

// For a file that a person names (reports, models, imports): a regular file is replaced whole and keeps its
// mode, a symbolic link is followed, anything else (a device, a pipe) is written to as it is.
Status write_output(const std::string& path, std::string_view bytes);
// create + append + commit.
Status write_atomically(Env& env, const std::string& path, std::string_view bytes);
// Every regular file below `directory`, as paths relative to it, sorted.
Result<std::vector<std::string>> list_recursive(Env& env, const std::string& directory);

Env& posix_env();

}  // namespace perjoule::base
