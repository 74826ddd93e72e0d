#include "base/posix_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace perjoule::base {
Error os_error(std::string what, const std::string& path, int code) {
  std::string hint;
  if (code == ENOSPC || code == EDQUOT) hint = "Free space there or choose another --store";
  if (code == EACCES || code == EPERM || code == EROFS) hint = "Choose a folder you may write to";
  const ErrorKind kind = code == ENOENT ? ErrorKind::kMissing : ErrorKind::kIo;
  return {kind, std::move(what), path, std::strerror(code), std::move(hint)};
}

int FileDescriptor::close_now() {
  const int fd = std::exchange(fd_, -1);
  return fd < 0 ? 0 : ::close(fd);
}

std::string parent_of(const std::string& path) {
  const auto parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent.string();
}

Status sync_folder(const std::string& directory) {
  FileDescriptor fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0 || ::fsync(fd.get()) != 0) return os_error("sync a directory", directory, errno);
  return ok_status();
}

Status rename_durably(const std::string& from, const std::string& to) {
  if (std::rename(from.c_str(), to.c_str()) != 0) return os_error("rename a file", to, errno);
  const std::string source = parent_of(from), target = parent_of(to);
  PJ_TRY(sync_folder(target));
  return source == target ? ok_status() : sync_folder(source);
}

Status write_all(int fd, const std::string& path, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("write a file", path, errno);
    bytes.remove_prefix(static_cast<std::size_t>(n));
  }
  return ok_status();
}

Status read_at_all(int fd, const std::string& path, std::uint64_t offset, std::span<char> into) {
  while (!into.empty()) {
    const ssize_t n = ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return os_error("read a file", path, errno);
    if (n == 0) return corrupt("read a file", path, "it ends at byte " + std::to_string(offset));
    offset += static_cast<std::uint64_t>(n);
    into = into.subspan(static_cast<std::size_t>(n));
  }
  return ok_status();
}

Status sync_data(int fd, const std::string& path) {
  int result = ::fdatasync(fd);
  while (result != 0 && errno == EINTR) result = ::fdatasync(fd);
  return result == 0 ? ok_status() : os_error("sync a file", path, errno);
}

}  // namespace perjoule::base
