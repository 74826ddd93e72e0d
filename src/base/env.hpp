// All file operations behind one port, so that faults (disk full, EIO, torn writes, read-only folders) can be
// tested. Every write of a final file is atomic: temporary name, fsync, rename, fsync of the directory.
// Nothing half-written is ever visible under its final name. Thread rule: PosixEnv from any thread; FaultEnv
// from one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/readable_file.hpp"
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

class Env {
 public:
  virtual ~Env() = default;
  // The whole file; kMissing if it is not there, kBadInput if it is larger than `limit` bytes.
  virtual Result<std::string> read_file(const std::string& path, std::uint64_t limit = 4ULL << 30) = 0;
  // For files that are read in parts; kMissing if it is not there, kBadInput for what is no regular file. An
  // Env that stands in for a few files may leave it out: it then refuses with kIo.
  virtual Result<std::unique_ptr<ReadableFile>> open_file(const std::string& path);
  virtual Result<std::unique_ptr<PendingFile>> create(const std::string& path) = 0;
  virtual Status create_directories(const std::string& path) = 0;
  // Names (not paths) of the entries, sorted; directories end in '/'. Empty if the directory is not there.
  virtual Result<std::vector<std::string>> list(const std::string& directory) = 0;
  virtual Status remove(const std::string& path) = 0;
  virtual bool exists(const std::string& path) = 0;
};

// For a file that a person names (reports, models, imports): a regular file is replaced whole and keeps its
// mode, a symbolic link is followed, anything else (a device, a pipe) is written to as it is.
Status write_output(const std::string& path, std::string_view bytes);
// create + append + commit.
Status write_atomically(Env& env, const std::string& path, std::string_view bytes);
// Every regular file below `directory`, as paths relative to it, sorted.
Result<std::vector<std::string>> list_recursive(Env& env, const std::string& directory);

Env& posix_env();

// Passes calls on to another Env, and fails the Nth operation that matches, for fault tests.
class FaultEnv final : public Env {
 public:
  explicit FaultEnv(Env& target) : target_(target) {}
  // Fail operation number `n` (1 = next) and all after it with `error`; 0 = never. Counts append, commit,
  // create.
  void fail_from(std::uint64_t n, Error error) {
    fail_at_ = count_ + n, error_ = std::move(error), armed_ = n != 0;
  }
  std::uint64_t operations() const { return count_; }

  Result<std::string> read_file(const std::string& path, std::uint64_t limit) override;
  Result<std::unique_ptr<ReadableFile>> open_file(const std::string& path) override;
  Result<std::unique_ptr<PendingFile>> create(const std::string& path) override;
  Status create_directories(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& directory) override;
  Status remove(const std::string& path) override;
  bool exists(const std::string& path) override;
  // Counts one operation and says whether it is to fail.
  Status step();

 private:
  Env& target_;
  std::uint64_t count_ = 0;
  std::uint64_t fail_at_ = 0;
  bool armed_ = false;
  Error error_;
};

}  // namespace perjoule::base
