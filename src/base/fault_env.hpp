// An Env that passes calls on to another one and fails those it is told to, for fault tests. Counted, each as
// one operation: create, append and commit of a pending file; create_log, and write and sync of a log;
// rename; sync_directory. What only reads, lists, removes or makes folders passes uncounted. A failed
// operation does not reach the target. Thread rule: any thread; which thread meets operation N is then up to
// their scheduling. Ownership: the target outlives it, and it outlives the files it gave out.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/env.hpp"

namespace perjoule::base {

class FaultEnv final : public Env {
 public:
  explicit FaultEnv(Env& target) : target_(target) {}
  // Each call replaces what was set before. `n` counts from here: 1 = the next operation; 0 = never.
  // Fail operation `n` and all after it.
  void fail_from(std::uint64_t n, Error error);
  // Fail operation `n` alone: the next one works again.
  void fail_once(std::uint64_t n, Error error);
  // Operation `n`, if it writes to a log: the first half of its pages (rounded down) reach the target,
  // unsynced, and the write fails. Any other operation `n` just fails. All after it work.
  void shorten_log_write(std::uint64_t n, Error error);
  std::uint64_t operations() const;

  Result<std::string> read_file(const std::string& path, std::uint64_t limit) override;
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
  friend class FaultPendingFile;
  friend class FaultLogFile;
  enum class Mode : std::uint8_t { kFrom, kOnce, kShort };

  void arm(Mode mode, std::uint64_t n, Error error);
  // Counts one operation and says whether it is to fail; `shorten`, if given, whether half of it is to be
  // done.
  Status step(bool* shorten = nullptr);

  Env& target_;
  mutable std::mutex mutex_;
  std::uint64_t count_ = 0;
  std::uint64_t fail_at_ = 0;  // 0 = never
  Mode mode_ = Mode::kFrom;
  Error error_;
};

}  // namespace perjoule::base
