// What the real files (env.cc, posix_log.cc) share: descriptors, errors of the operating system, and the
// calls that may stop half way. For .cc files of base alone. Thread rule: functions from any thread; a
// FileDescriptor is a value that closes on destruction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/log_file.hpp"
#include "base/result.hpp"

namespace perjoule::base {

// An errno as an Error, with what to do about it where that is known.
Error os_error(std::string what, const std::string& path, int code);

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~FileDescriptor() { close_now(); }
  int get() const { return fd_; }
  int close_now();

 private:
  int fd_;
};

// The folder a path lies in, "." for a bare name.
std::string parent_of(const std::string& path);
Status sync_folder(const std::string& directory);
// Renames and makes both folders' change durable.
Status rename_durably(const std::string& from, const std::string& to);

// All of it, over short and interrupted calls. read_at_all: kCorrupt if the file ends before.
Status write_all(int fd, const std::string& path, std::string_view bytes);
Status read_at_all(int fd, const std::string& path, std::uint64_t offset, std::span<char> into);
// fdatasync, again only after a signal: a failed one is final.
Status sync_data(int fd, const std::string& path);

// Env's log files on a real disk; errors and promises as in env.hpp.
Result<std::unique_ptr<LogFile>> create_posix_log(const std::string& path, std::uint64_t size);
Result<std::unique_ptr<LogFile>> open_posix_log(const std::string& path);
Result<std::unique_ptr<LogFile>> open_posix_log_for_reading(const std::string& path);

}  // namespace perjoule::base
