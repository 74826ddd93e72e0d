// The real LogFile: O_DIRECT where the file system takes it, io_uring where the kernel lets us.
#include <fcntl.h>
#include <liburing.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <optional>

#include "base/posix_file.hpp"

namespace perjoule::base {
namespace {

constexpr const char* kChoiceName = "PERJOULE_LOG_IO";
constexpr std::uint64_t kZeroChunk = 4 << 20;
constexpr std::size_t kLargestWrite = 1U << 30;  // a call's length has 32 bits
// A write that need not last yet and is smaller goes through the page cache: around it, it would wait for the
// disk, which takes 20 to 60 MB/s of such pieces. So many of them are sent on their way without waiting.
constexpr std::size_t kCachedWrite = 256U << 10;
constexpr std::uint64_t kCachedBytes = 8U << 20;

enum class LogIo { kIoUring, kPwrite, kBuffered };

// A direct write must go on from a page, so a page written in part is written again.
std::size_t whole_pages(std::size_t bytes) { return bytes / LogFile::kPage * LogFile::kPage; }

// How far a write got that reported `result` (bytes, or an errno below 0).
Result<std::size_t> progress(int result, std::size_t wanted, const std::string& path) {
  if (result < 0) return os_error("write a log", path, -result);
  const auto written = static_cast<std::size_t>(result);
  const std::size_t done = written >= wanted ? wanted : whole_pages(written);
  if (done == 0) return io_error("write a log", path, "the disk took less than a page");
  return done;
}

Status pwrite_pages(int fd, const std::string& path, std::uint64_t offset, std::string_view pages) {
  while (!pages.empty()) {
    const std::string_view chunk = pages.substr(0, kLargestWrite);
    const ssize_t n = ::pwrite(fd, chunk.data(), chunk.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    PJ_ASSIGN(const std::size_t done, progress(n < 0 ? -errno : static_cast<int>(n), chunk.size(), path));
    offset += done;
    pages.remove_prefix(done);
  }
  return ok_status();
}

// One io_uring with room for a write and the fdatasync that follows it.
class Ring {
 public:
  // Null where the kernel, seccomp or a limit forbids it.
  static std::unique_ptr<Ring> make() {
    auto ring = std::make_unique<Ring>();
    return ring->open() ? std::move(ring) : nullptr;
  }
  Ring() = default;
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;
  ~Ring() {
    if (opened_) ::io_uring_queue_exit(&ring_);
  }

  // Writes pages, then fdatasync. A short write cancels the fdatasync behind it; the rest is sent the same
  // way.
  Status write_and_sync(int fd, const std::string& path, std::uint64_t offset, std::string_view pages) {
    for (;;) {
      const std::string_view chunk = pages.substr(0, kLargestWrite);
      const Completed completed = submit(fd, offset, chunk);
      if (completed[kWrite] == -EINTR || completed[kWrite] == -EAGAIN) continue;
      PJ_ASSIGN(const std::size_t done, progress(completed[kWrite], chunk.size(), path));
      const bool cancelled = completed[kSync] == -ECANCELED;
      if (completed[kSync] < 0 && !cancelled) return os_error("sync a file", path, -completed[kSync]);
      offset += done;
      pages.remove_prefix(done);
      if (pages.empty()) return cancelled ? sync_data(fd, path) : ok_status();
    }
  }

 private:
  enum { kWrite, kSync, kOperations };
  using Completed = std::array<int, kOperations>;  // bytes, or an errno below 0

  bool open() {
    if (::io_uring_queue_init(kOperations, &ring_, 0) != 0) return false;
    opened_ = true;
    io_uring_probe* probe = ::io_uring_get_probe_ring(&ring_);
    const bool able = probe != nullptr && ::io_uring_opcode_supported(probe, IORING_OP_WRITE) != 0 &&
                      ::io_uring_opcode_supported(probe, IORING_OP_FSYNC) != 0;
    ::io_uring_free_probe(probe);
    return able;
  }

  Completed submit(int fd, std::uint64_t offset, std::string_view chunk) {
    io_uring_sqe* write = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_write(write, fd, chunk.data(), static_cast<unsigned>(chunk.size()), offset);
    ::io_uring_sqe_set_data64(write, kWrite);
    write->flags |= IOSQE_IO_LINK;
    io_uring_sqe* sync = ::io_uring_get_sqe(&ring_);
    ::io_uring_prep_fsync(sync, fd, IORING_FSYNC_DATASYNC);
    ::io_uring_sqe_set_data64(sync, kSync);
    // The pages are the kernel's until both have ended, so there is no way out before.
    const bool linked = send(kOperations) == kOperations;
    while (::io_uring_sq_ready(&ring_) != 0) send(1);
    Completed completed{};
    for (int n = 0; n < kOperations; ++n) take(completed);
    // Sent apart (the kernel was short of memory), the fdatasync may have run before the write.
    if (!linked && completed[kSync] == 0) completed[kSync] = -ECANCELED;
    return completed;
  }

  // Sends what is prepared, and waits for that many to end; how many were taken.
  int send(unsigned wait_for) {
    int sent = ::io_uring_submit_and_wait(&ring_, wait_for);
    while (sent == -EINTR || sent == -EAGAIN) sent = ::io_uring_submit_and_wait(&ring_, wait_for);
    PJ_CHECK(sent > 0);
    return sent;
  }

  void take(Completed& completed) {
    io_uring_cqe* entry = nullptr;
    int waited = ::io_uring_wait_cqe(&ring_, &entry);
    while (waited == -EINTR || waited == -EAGAIN) waited = ::io_uring_wait_cqe(&ring_, &entry);
    PJ_CHECK(waited == 0);
    completed.at(::io_uring_cqe_get_data64(entry)) = entry->res;
    ::io_uring_cqe_seen(&ring_, entry);
  }

  io_uring ring_{};
  bool opened_ = false;
};

bool ring_works() {
  static const bool works = Ring::make() != nullptr;
  return works;
}

// What PERJOULE_LOG_IO asks for, or the best there is.
Result<LogIo> chosen_io() {
  const char* const text = std::getenv(kChoiceName);
  const std::string_view name = text == nullptr ? "" : text;
  if (name.empty()) return LogIo::kPwrite;
  if (name == "pwrite") return LogIo::kPwrite;
  if (name == "buffered") return LogIo::kBuffered;
  if (name != "io_uring") {
    return bad_input("choose how logs are written", kChoiceName, "there is no '" + std::string(name) + "'",
                     "Set it to io_uring, pwrite or buffered, or not at all");
  }
  if (ring_works()) return LogIo::kIoUring;
  return missing("choose how logs are written", kChoiceName, "the kernel refuses io_uring",
                 "Set it to pwrite, or not at all");
}

// Opens for writing around the page cache, or through it where the file system refuses that.
Result<FileDescriptor> open_for_writing(const std::string& path, int flags, LogIo io, bool* direct) {
  *direct = io != LogIo::kBuffered;
  int fd = ::open(path.c_str(), flags | O_RDWR | O_CLOEXEC | (*direct ? O_DIRECT : 0), 0644);
  if (fd < 0 && errno == EINVAL && *direct) {
    *direct = false;
    fd = ::open(path.c_str(), flags | O_RDWR | O_CLOEXEC, 0644);
  }
  if (fd < 0) return os_error("open a log", path, errno);
  return FileDescriptor(fd);
}

class PosixLogFile final : public LogFile {
 public:
  PosixLogFile(std::string path, std::uint64_t bytes, FileDescriptor reader)
      : path_(std::move(path)), size_(bytes), reader_(std::move(reader)) {}

  // A ring that cannot be had (out of memory or descriptors) is done without.
  void make_writable(FileDescriptor writer, LogIo io, bool direct) {
    writer_ = std::move(writer);
    if (io == LogIo::kIoUring && direct) ring_ = Ring::make();
    io_ = !direct ? "buffered" : ring_ ? "io_uring" : "pwrite";
  }

  std::uint64_t size() const override { return size_; }
  std::string_view io() const override { return io_; }

 protected:
  Status do_write(std::uint64_t offset, std::string_view pages, Sync sync) override {
    if (writer_.get() < 0) return io_error("write a log", path_, "it is open for reading only");
    if (sync == Sync::kData && ring_ && !pages.empty()) {
      return ring_->write_and_sync(writer_.get(), path_, offset, pages);
    }
    if (sync == Sync::kNone && pages.size() < kCachedWrite) return write_cached(offset, pages);
    PJ_TRY(pwrite_pages(writer_.get(), path_, offset, pages));
    return sync == Sync::kData ? do_sync() : ok_status();
  }
  Status write_cached(std::uint64_t offset, std::string_view pages) {
    PJ_TRY(pwrite_pages(reader_.get(), path_, offset, pages));
    cached_ += pages.size();
    if (cached_ < kCachedBytes) return ok_status();
    cached_ = 0;
    // What goes wrong with it, the next fdatasync reports.
    (void)::sync_file_range(reader_.get(), 0, 0, SYNC_FILE_RANGE_WRITE);
    return ok_status();
  }
  Status do_sync() override {
    if (writer_.get() < 0) return io_error("sync a log", path_, "it is open for reading only");
    return sync_data(writer_.get(), path_);
  }
  // Through the page cache, which the kernel keeps true to direct writes: any offset, any size, any address.
  Status do_read(std::uint64_t offset, std::span<char> into) const override {
    return read_at_all(reader_.get(), path_, offset, into);
  }

 private:
  std::string path_;
  std::uint64_t size_;
  FileDescriptor reader_;  // through the page cache; of a writer, for its small writes too
  FileDescriptor writer_;
  std::uint64_t cached_ = 0;
  std::unique_ptr<Ring> ring_;
  std::string_view io_ = "buffered";
};

Result<std::unique_ptr<PosixLogFile>> open_cached(const std::string& path, int access) {
  FileDescriptor fd(::open(path.c_str(), access | O_CLOEXEC));
  // A folder does not even open for writing.
  if (fd.get() < 0 && errno == EISDIR) return bad_input("open a log", path, "it is no regular file");
  if (fd.get() < 0) return os_error("open a log", path, errno);
  struct stat st {};
  if (::fstat(fd.get(), &st) != 0) return os_error("look at a log", path, errno);
  if (!S_ISREG(st.st_mode)) return bad_input("open a log", path, "it is no regular file");
  const auto size = static_cast<std::uint64_t>(st.st_size);
  if (size % LogFile::kPage != 0) {
    return corrupt("open a log", path, "its " + std::to_string(size) + " bytes are not whole pages of 4096");
  }
  return std::make_unique<PosixLogFile>(path, size, std::move(fd));
}

// Asked before, because a disk filled to the brim by an attempt would fail everyone else's writes.
Status check_room(const std::string& path, std::uint64_t size) {
  const std::string folder = parent_of(path);
  struct statvfs disk {};
  if (::statvfs(folder.c_str(), &disk) != 0) return os_error("look at a disk", folder, errno);
  const std::uint64_t room = static_cast<std::uint64_t>(disk.f_bavail) * disk.f_frsize;
  if (size <= room || disk.f_blocks == 0) return ok_status();  // some tell no size
  Error error = os_error("create a log", path, ENOSPC);
  error.why += ": it needs " + std::to_string(size) + " bytes, " + std::to_string(room) + " are free";
  return error;
}

Status allocate(int fd, const std::string& path, std::uint64_t size) {
  int result = ::fallocate(fd, 0, 0, static_cast<off_t>(size));
  while (result != 0 && errno == EINTR) result = ::fallocate(fd, 0, 0, static_cast<off_t>(size));
  if (result == 0 || errno == EOPNOTSUPP || errno == ENOSYS) return ok_status();
  return os_error("create a log", path, errno);
}

// Allocates, writes zeros over all of it (an extent never written is converted at its first write, which is
// slow), and makes that durable.
Status fill(int fd, const std::string& path, std::uint64_t size) {
  PJ_TRY(allocate(fd, path, size));
  PageBuffer zeros;
  zeros.append_zeros(static_cast<std::size_t>(std::min(size, kZeroChunk)));
  for (std::uint64_t at = 0; at < size; at += kZeroChunk) {
    PJ_TRY(pwrite_pages(fd, path, at, zeros.view().substr(0, static_cast<std::size_t>(size - at))));
  }
  if (::fsync(fd) != 0) return os_error("sync a file", path, errno);
  return ok_status();
}

}  // namespace

std::string_view log_io_name() {
  const auto io = chosen_io();
  if (!io.ok()) return "unknown";
  return *io == LogIo::kIoUring ? "io_uring" : *io == LogIo::kPwrite ? "pwrite" : "buffered";
}

Result<std::unique_ptr<LogFile>> create_posix_log(const std::string& path, std::uint64_t size) {
  PJ_CHECK(size != 0 && size % LogFile::kPage == 0);
  PJ_ASSIGN(const LogIo io, chosen_io());
  if (::access(path.c_str(), F_OK) == 0) return bad_input("create a log", path, "it is there already");
  PJ_TRY(check_room(path, size));
  const std::string temporary = path + ".part";
  bool direct = false;
  PJ_ASSIGN(FileDescriptor writer, open_for_writing(temporary, O_CREAT | O_TRUNC, io, &direct));
  Status made = fill(writer.get(), temporary, size);
  if (made.ok()) made = rename_durably(temporary, path);
  if (!made.ok()) {
    // Where the temporary name is gone, it was renamed and the folder's fsync failed.
    if (::unlink(temporary.c_str()) != 0) ::unlink(path.c_str());
    return std::move(made).error();
  }
  PJ_ASSIGN(auto file, open_cached(path, O_RDWR));
  file->make_writable(std::move(writer), io, direct);
  return std::unique_ptr<LogFile>(std::move(file));
}

Result<std::unique_ptr<LogFile>> open_posix_log(const std::string& path) {
  PJ_ASSIGN(const LogIo io, chosen_io());
  PJ_ASSIGN(auto file, open_cached(path, O_RDWR));
  bool direct = false;
  PJ_ASSIGN(FileDescriptor writer, open_for_writing(path, 0, io, &direct));
  file->make_writable(std::move(writer), io, direct);
  return std::unique_ptr<LogFile>(std::move(file));
}

Result<std::unique_ptr<LogFile>> open_posix_log_for_reading(const std::string& path) {
  PJ_ASSIGN(auto file, open_cached(path, O_RDONLY));
  return std::unique_ptr<LogFile>(std::move(file));
}

}  // namespace perjoule::base
