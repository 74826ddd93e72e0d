#include "base/env.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <mutex>

#include "base/posix_file.hpp"

namespace perjoule::base {
namespace {

namespace fs = std::filesystem;

class PosixPendingFile final : public PendingFile {
 public:
  PosixPendingFile(int fd, std::string temporary, std::string final_path)
      : fd_(fd), temporary_(std::move(temporary)), final_(std::move(final_path)) {}
  ~PosixPendingFile() override {
    if (!committed_) ::unlink(temporary_.c_str());
  }

  Status append(std::string_view bytes) override { return write_all(fd_.get(), temporary_, bytes); }

  Status commit() override {
    PJ_CHECK(!committed_);
    if (::fsync(fd_.get()) != 0) return os_error("sync a file", temporary_, errno);
    if (fd_.close_now() != 0) return os_error("close a file", temporary_, errno);
    if (::rename(temporary_.c_str(), final_.c_str()) != 0) return os_error("rename a file", final_, errno);
    committed_ = true;
    return sync_folder(parent_of(final_));
  }

 private:
  FileDescriptor fd_;
  std::string temporary_;
  std::string final_;
  bool committed_ = false;
};

class PosixReadableFile final : public ReadableFile {
 public:
  PosixReadableFile(FileDescriptor fd, std::string path, std::uint64_t bytes)
      : fd_(std::move(fd)), path_(std::move(path)), size_(bytes) {}
  PosixReadableFile(const PosixReadableFile&) = delete;
  PosixReadableFile& operator=(const PosixReadableFile&) = delete;
  ~PosixReadableFile() override {
    if (mapped_ != nullptr) ::munmap(mapped_, static_cast<std::size_t>(size_));
  }

  std::uint64_t size() const override { return size_; }

  Status read(std::uint64_t offset, std::span<char> into) const override {
    const std::scoped_lock lock(mutex_);
    if (mapped_ == nullptr) return read_at_all(fd_.get(), path_, offset, into);
    if (offset > size_ || into.size() > size_ - offset)
      return corrupt("read a file", path_,
                     "it ends before byte " + std::to_string(offset) + " + " + std::to_string(into.size()));
    std::memcpy(into.data(), static_cast<const char*>(mapped_) + offset, into.size());
    return ok_status();
  }

  Result<std::string_view> map() override {
    const std::scoped_lock lock(mutex_);
    const auto bytes = static_cast<std::size_t>(size_);
    if (mapped_ == nullptr && bytes != 0) {
      void* const at = ::mmap(nullptr, bytes, PROT_READ, MAP_SHARED, fd_.get(), 0);
      if (at == MAP_FAILED) return os_error("map a file", path_, errno);
      mapped_ = at;
      // A store has more files than a process may have descriptors.
      fd_.close_now();
    }
    return std::string_view(static_cast<const char*>(mapped_), bytes);
  }

 private:
  FileDescriptor fd_;
  std::string path_;
  std::uint64_t size_;
  mutable std::mutex mutex_;
  void* mapped_ = nullptr;
};

class PosixEnv final : public Env {
 public:
  Result<std::string> read_file(const std::string& path, std::uint64_t limit) override {
    FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return os_error("open a file", path, errno);
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return os_error("look at a file", path, errno);
    if (S_ISDIR(st.st_mode)) return bad_input("read a file", path, "it is a folder");
    if (static_cast<std::uint64_t>(st.st_size) > limit) {
      return bad_input("read a file", path, "larger than the limit of " + std::to_string(limit) + " bytes");
    }
    return read_all(fd.get(), path, static_cast<std::size_t>(st.st_size), limit);
  }

  Result<std::unique_ptr<PendingFile>> create(const std::string& path) override {
    const std::string temporary = path + ".part";
    const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return os_error("create a file", path, errno);
    return std::unique_ptr<PendingFile>(std::make_unique<PosixPendingFile>(fd, temporary, path));
  }

  Status create_directories(const std::string& path) override {
    std::vector<std::string> made;
    for (std::string at = path; !exists(at); at = parent_of(at)) made.push_back(at);
    std::error_code ec;
    fs::create_directories(path, ec);
    if (ec) return os_error("create a folder", path, ec.value());
    for (const std::string& folder : made) PJ_TRY(sync_folder(parent_of(folder)));
    return ok_status();
  }

  Result<std::vector<std::string>> list(const std::string& directory) override {
    std::vector<std::string> names;
    std::error_code ec;
    for (fs::directory_iterator it(directory, ec), end; !ec && it != end; it.increment(ec)) {
      std::error_code unreadable;  // a dangling or circular link is listed as a file
      names.push_back(it->path().filename().string() + (it->is_directory(unreadable) ? "/" : ""));
    }
    if (ec && ec.value() != ENOENT) return os_error("list a folder", directory, ec.value());
    std::sort(names.begin(), names.end());
    return names;
  }

  Status remove(const std::string& path) override {
    if (::unlink(path.c_str()) != 0) return os_error("remove a file", path, errno);
    return ok_status();
  }

  bool exists(const std::string& path) override {
    struct stat st {};
    return ::stat(path.c_str(), &st) == 0;
  }

  Result<std::unique_ptr<LogFile>> create_log(const std::string& path, std::uint64_t size) override {
    return create_posix_log(path, size);
  }
  Result<std::unique_ptr<LogFile>> open_log(const std::string& path) override { return open_posix_log(path); }
  Result<std::unique_ptr<LogFile>> open_log_for_reading(const std::string& path) override {
    return open_posix_log_for_reading(path);
  }

  Result<std::unique_ptr<ReadableFile>> open_file(const std::string& path) override {
    FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (fd.get() < 0) return os_error("open a file", path, errno);
    struct stat st {};
    if (::fstat(fd.get(), &st) != 0) return os_error("look at a file", path, errno);
    if (!S_ISREG(st.st_mode)) return bad_input("open a file", path, "it is no regular file");
    const auto size = static_cast<std::uint64_t>(st.st_size);
    return std::unique_ptr<ReadableFile>(std::make_unique<PosixReadableFile>(std::move(fd), path, size));
  }

  Status rename(const std::string& from, const std::string& to) override { return rename_durably(from, to); }
  Status sync_directory(const std::string& path) override { return sync_folder(path); }

 private:
  static Result<std::string> read_all(int fd, const std::string& path, std::size_t expected,
                                      std::uint64_t limit) {
    std::string out(expected == 0 ? 4096 : expected, '\0');
    std::size_t have = 0;
    for (;;) {
      if (have == out.size()) {
        if (have >= expected && expected != 0) break;
        out.resize(out.size() * 2);
      }
      const ssize_t n = ::read(fd, out.data() + have, out.size() - have);
      if (n < 0 && errno == EINTR) continue;
      if (n < 0) return os_error("read a file", path, errno);
      if (n == 0) break;
      have += static_cast<std::size_t>(n);
      if (have > limit)
        return bad_input("read a file", path, "larger than the limit of " + std::to_string(limit));
    }
    out.resize(have);
    return out;
  }
};

}  // namespace

namespace {

Error refused(const std::string& what, const std::string& path) {
  return io_error(what, path, "this Env has none of it");
}

}  // namespace

Result<std::unique_ptr<LogFile>> Env::create_log(const std::string& path, std::uint64_t) {
  return refused("create a log", path);
}
Result<std::unique_ptr<LogFile>> Env::open_log(const std::string& path) {
  return refused("open a log", path);
}
Result<std::unique_ptr<LogFile>> Env::open_log_for_reading(const std::string& path) {
  return refused("open a log", path);
}
Result<std::unique_ptr<ReadableFile>> Env::open_file(const std::string& path) {
  return refused("open a file", path);
}
Status Env::rename(const std::string& from, const std::string&) { return refused("rename a file", from); }
Status Env::sync_directory(const std::string& path) { return refused("sync a directory", path); }

Env& posix_env() {
  static PosixEnv env;
  return env;
}

namespace {

// A device, a pipe or a socket is written to, never replaced.
Status write_into(const std::string& path, std::string_view bytes) {
  FileDescriptor fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (fd.get() < 0) return os_error("open a file", path, errno);
  return write_all(fd.get(), path, bytes);
}

}  // namespace

Status write_output(const std::string& path, std::string_view bytes) {
  struct stat st {};
  const bool there = ::stat(path.c_str(), &st) == 0;
  if (there && !S_ISREG(st.st_mode)) return write_into(path, bytes);
  struct stat link {};
  std::string target = path;
  if (::lstat(path.c_str(), &link) == 0 && S_ISLNK(link.st_mode)) {
    std::error_code ec;
    target = fs::weakly_canonical(path, ec).string();
    if (ec) return os_error("follow a link", path, ec.value());
  }
  PJ_TRY(write_atomically(posix_env(), target, bytes));
  // The file that was there keeps its mode.
  if (there && ::chmod(target.c_str(), st.st_mode & 07777) != 0) return os_error("set a mode", path, errno);
  return ok_status();
}

Status write_atomically(Env& env, const std::string& path, std::string_view bytes) {
  PJ_ASSIGN(auto file, env.create(path));
  PJ_TRY(file->append(bytes));
  return file->commit();
}

Result<std::vector<std::string>> list_recursive(Env& env, const std::string& directory) {
  std::vector<std::string> out;
  std::vector<std::string> pending{""};
  while (!pending.empty()) {
    const std::string relative = pending.back();
    pending.pop_back();
    PJ_ASSIGN(const auto names, env.list(directory + "/" + relative));
    for (const auto& name : names) (name.back() == '/' ? pending : out).push_back(relative + name);
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace perjoule::base
