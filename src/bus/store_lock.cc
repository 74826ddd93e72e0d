#include "bus/store_lock.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace perjoule::bus {
namespace {

base::Error lock_error(const std::string& path, int code) {
  return base::io_error("lock a store", path, std::strerror(code), "Choose a folder you may write to");
}

std::string holder_of(int fd) {
  std::array<char, 32> text{};
  const ssize_t n = ::pread(fd, text.data(), text.size(), 0);
  return n > 0 ? std::string(text.data(), static_cast<std::size_t>(n)) : std::string("unknown");
}

// A holder removes the file before it lets go: a lock on a removed file is worth nothing.
bool is_still_there(int fd, const std::string& path) {
  struct stat ours {
  }, there{};
  return ::fstat(fd, &ours) == 0 && ::stat(path.c_str(), &there) == 0 && ours.st_ino == there.st_ino &&
         ours.st_dev == there.st_dev;
}

}  // namespace

base::Result<StoreLock> StoreLock::acquire(const std::string& path) {
  for (;;) {
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) return lock_error(path, errno);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
      const int code = errno;
      const std::string holder = holder_of(fd);
      ::close(fd);
      if (code != EWOULDBLOCK) return lock_error(path, code);
      return base::io_error("lock a store", path, "process " + holder + " is writing to it",
                            "Wait for it to end, or choose another --store");
    }
    if (!is_still_there(fd, path)) {
      ::close(fd);
      continue;
    }
    const std::string pid = std::to_string(::getpid());
    if (::ftruncate(fd, 0) != 0 ||
        ::pwrite(fd, pid.data(), pid.size(), 0) != static_cast<ssize_t>(pid.size())) {
      const int code = errno;
      ::close(fd);
      return lock_error(path, code);
    }
    return StoreLock(fd, path);
  }
}

StoreLock::StoreLock(StoreLock&& other) noexcept
    : fd_(std::exchange(other.fd_, -1)), path_(std::move(other.path_)) {}

StoreLock::~StoreLock() {
  if (fd_ < 0) return;
  ::unlink(path_.c_str());
  ::close(fd_);
}

}  // namespace perjoule::bus
