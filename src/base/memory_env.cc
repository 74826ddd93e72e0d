#include "base/memory_env.hpp"

#include <algorithm>
#include <cstring>
#include <mutex>
#include <utility>

#include "base/memory_disk.hpp"

namespace perjoule::base {

namespace memory {

// The disk that an Env and its files share. All members under the mutex.
class Disk {
 public:
  Disk() = default;
  explicit Disk(Image image) : base(image), live(std::move(image)) {}

  void record(Step step) {
    live.apply(step);
    steps.push_back(std::move(step));
  }
  // Every kind but a write.
  void record(Step::Kind kind, std::size_t file, std::string path, std::string to = {}) {
    record({kind, file, std::move(path), std::move(to), 0, 0, {}});
  }
  std::size_t create(std::string path) {
    live.files.push_back(std::make_shared<Bytes>());
    record(Step::Kind::kCreate, live.files.size() - 1, std::move(path));
    return live.files.size() - 1;
  }
  // Bytes anywhere, over and beyond what the file holds; null pages where `bytes` is null: zeros.
  void write(std::size_t file, std::string path, std::uint64_t offset, std::string_view bytes);
  void write_zeros(std::size_t file, std::string path, std::uint64_t size) {
    record({Step::Kind::kWrite, file, std::move(path), {}, 0, size, std::vector<Page>(size / kPage)});
  }
  // What commit() does.
  void publish(std::size_t file, const std::string& temporary, const std::string& path) {
    record(Step::Kind::kSync, file, temporary);
    record(Step::Kind::kRename, file, temporary, path);
    record(Step::Kind::kSyncDirectory, 0, std::string(folder_of(path)));
  }
  bool is_folder(std::string_view path) const { return path.empty() || live.directories.contains(path); }
  // The error of an operation that cannot put a file at `path`.
  Status check_place(const std::string& what, const std::string& path) const {
    if (!is_folder(folder_of(path))) {
      const bool below_a_file = live.names.contains(folder_of(path));
      return below_a_file ? io_error(what, path, "Not a directory")
                          : missing(what, path, "No such file or directory");
    }
    if (is_folder(path)) return io_error(what, path, "Is a directory");
    return ok_status();
  }
  Result<std::size_t> find(const std::string& what, const std::string& path) const {
    if (is_folder(path)) return bad_input(what, path, "it is a folder");
    const auto it = live.names.find(path);
    if (it == live.names.end()) return missing(what, path, "No such file or directory");
    return it->second;
  }

  std::mutex mutex;
  Image base;
  Image live;
  std::vector<Step> steps;
};

void Disk::write(std::size_t file, std::string path, std::uint64_t offset, std::string_view bytes) {
  if (bytes.empty()) return;
  const Bytes& before = *live.files[file];
  const std::size_t within = static_cast<std::size_t>(offset % kPage);
  const std::size_t count = (within + bytes.size() + kPage - 1) / kPage;
  const std::uint64_t start = offset - within;
  const std::shared_ptr<char[]> block = std::make_shared<char[]>(count * kPage);
  // The rest of the first and the last page stays.
  for (const std::size_t page : {std::size_t{0}, count - 1}) {
    const std::uint64_t at = start + page * kPage;
    if (at >= before.size) continue;
    copy_out(before, at, {block.get() + page * kPage, std::min<std::size_t>(kPage, before.size - at)});
  }
  std::memcpy(block.get() + within, bytes.data(), bytes.size());
  std::vector<Page> pages;
  pages.reserve(count);
  for (std::size_t page = 0; page < count; ++page) pages.emplace_back(block, block.get() + page * kPage);
  record({Step::Kind::kWrite, file, std::move(path), {}, offset, bytes.size(), std::move(pages)});
}

namespace {

std::string normal(std::string_view path) {
  std::string out;
  while (!path.empty()) {
    const std::string_view part = path.substr(0, path.find('/'));
    path.remove_prefix(std::min(path.size(), part.size() + 1));
    if (part.empty() || part == ".") continue;
    if (!out.empty()) out += '/';
    out += part;
  }
  return out;
}

Status read_range(const Disk& disk, std::size_t file, const std::string& path, std::uint64_t offset,
                  std::span<char> into) {
  const Bytes& bytes = *disk.live.files[file];
  if (offset > bytes.size || into.size() > bytes.size - offset) {
    return corrupt("read a file", path, "it ends at byte " + std::to_string(bytes.size));
  }
  copy_out(bytes, offset, into);
  return ok_status();
}

class MemoryPendingFile final : public PendingFile {
 public:
  MemoryPendingFile(std::shared_ptr<Disk> disk, std::size_t file, std::string path)
      : disk_(std::move(disk)), file_(file), path_(std::move(path)), temporary_(path_ + ".part") {}
  ~MemoryPendingFile() override {
    const std::scoped_lock lock(disk_->mutex);
    const auto it = disk_->live.names.find(temporary_);
    const bool ours = it != disk_->live.names.end() && it->second == file_;
    if (ours) disk_->record(Step::Kind::kRemove, file_, temporary_);
  }

  Status append(std::string_view bytes) override {
    const std::scoped_lock lock(disk_->mutex);
    disk_->write(file_, temporary_, disk_->live.files[file_]->size, bytes);
    return ok_status();
  }
  Status commit() override {
    const std::scoped_lock lock(disk_->mutex);
    PJ_CHECK(!committed_);
    PJ_TRY(disk_->check_place("rename a file", path_));
    committed_ = true;
    disk_->publish(file_, temporary_, path_);
    return ok_status();
  }

 private:
  std::shared_ptr<Disk> disk_;
  std::size_t file_;
  std::string path_, temporary_;
  bool committed_ = false;
};

class MemoryLogFile final : public LogFile {
 public:
  MemoryLogFile(std::shared_ptr<Disk> disk, std::size_t file, std::string path, std::uint64_t bytes,
                bool writes)
      : disk_(std::move(disk)), file_(file), path_(std::move(path)), size_(bytes), writes_(writes) {}
  std::uint64_t size() const override { return size_; }
  std::string_view io() const override { return "memory"; }

 protected:
  Status do_write(std::uint64_t offset, std::string_view pages, Sync sync) override {
    if (!writes_) return io_error("write a log", path_, "it is open for reading only");
    const std::scoped_lock lock(disk_->mutex);
    disk_->write(file_, path_, offset, pages);
    if (sync == Sync::kData) disk_->record(Step::Kind::kSync, file_, path_);
    return ok_status();
  }
  Status do_sync() override {
    if (!writes_) return io_error("sync a log", path_, "it is open for reading only");
    const std::scoped_lock lock(disk_->mutex);
    disk_->record(Step::Kind::kSync, file_, path_);
    return ok_status();
  }
  Status do_read(std::uint64_t offset, std::span<char> into) const override {
    const std::scoped_lock lock(disk_->mutex);
    return read_range(*disk_, file_, path_, offset, into);
  }

 private:
  std::shared_ptr<Disk> disk_;
  std::size_t file_;
  std::string path_;
  std::uint64_t size_;
  bool writes_;
};

class MemoryReadableFile final : public ReadableFile {
 public:
  MemoryReadableFile(std::shared_ptr<Disk> disk, std::size_t file, std::string path, std::uint64_t bytes)
      : disk_(std::move(disk)), file_(file), path_(std::move(path)), size_(bytes) {}
  std::uint64_t size() const override { return size_; }
  Status read(std::uint64_t offset, std::span<char> into) const override {
    const std::scoped_lock lock(disk_->mutex);
    return read_range(*disk_, file_, path_, offset, into);
  }
  Result<std::string_view> map() override {
    const std::scoped_lock lock(disk_->mutex);
    if (mapped_.empty() && size_ != 0) {
      mapped_.resize(static_cast<std::size_t>(size_));
      copy_out(*disk_->live.files[file_], 0, mapped_);
    }
    return std::string_view(mapped_);
  }

 private:
  std::shared_ptr<Disk> disk_;
  std::size_t file_;
  std::string path_;
  std::uint64_t size_;
  std::string mapped_;
};

Result<std::unique_ptr<LogFile>> open_memory_log(const std::shared_ptr<Disk>& disk, const std::string& path,
                                                 bool writes) {
  PJ_ASSIGN(const std::size_t file, disk->find("open a log", path));
  const std::uint64_t size = disk->live.files[file]->size;
  if (size % kPage != 0) {
    return corrupt("open a log", path, "its " + std::to_string(size) + " bytes are not whole pages of 4096");
  }
  return std::unique_ptr<LogFile>(std::make_unique<MemoryLogFile>(disk, file, path, size, writes));
}

std::string text_of(const Step& step) {
  switch (step.kind) {
    case Step::Kind::kCreate:
      return "create " + step.path;
    case Step::Kind::kSync:
      return "sync " + step.path;
    case Step::Kind::kRename:
      return "rename " + step.path + " to " + step.to;
    case Step::Kind::kRemove:
      return "remove " + step.path;
    case Step::Kind::kSyncDirectory:
      return "sync directory " + step.path;
    case Step::Kind::kMakeDirectory:
      return "make directory " + step.path;
    case Step::Kind::kWrite:
      break;
  }
  return "write " + std::to_string(step.length) + " bytes at " + std::to_string(step.offset) + " of " +
         step.path;
}

}  // namespace
}  // namespace memory

using memory::Step;

MemoryEnv::MemoryEnv() : disk_(std::make_shared<memory::Disk>()) {}
MemoryEnv::MemoryEnv(std::shared_ptr<memory::Disk> disk) : disk_(std::move(disk)) {}
MemoryEnv::~MemoryEnv() = default;

std::uint64_t MemoryEnv::steps() const {
  const std::scoped_lock lock(disk_->mutex);
  return disk_->steps.size();
}

std::string MemoryEnv::step_text(std::uint64_t n) const {
  const std::scoped_lock lock(disk_->mutex);
  PJ_CHECK(n < disk_->steps.size());
  return memory::text_of(disk_->steps[static_cast<std::size_t>(n)]);
}

std::uint64_t MemoryEnv::torn_sectors(std::uint64_t steps) const {
  const std::scoped_lock lock(disk_->mutex);
  PJ_CHECK(steps <= disk_->steps.size());
  const std::size_t n =
      memory::last_unsynced_write(std::span(disk_->steps).first(static_cast<std::size_t>(steps)));
  return n == steps ? 0 : disk_->steps[n].sectors();
}

std::unique_ptr<MemoryEnv> MemoryEnv::after_crash(std::uint64_t steps, CrashChoice choice) const {
  const std::scoped_lock lock(disk_->mutex);
  PJ_CHECK(steps <= disk_->steps.size());
  const auto happened = std::span<const Step>(disk_->steps).first(static_cast<std::size_t>(steps));
  auto disk = std::make_shared<memory::Disk>(memory::after_crash(disk_->base, happened, choice));
  return std::unique_ptr<MemoryEnv>(new MemoryEnv(std::move(disk)));
}

Result<std::string> MemoryEnv::read_file(const std::string& path, std::uint64_t limit) {
  const std::scoped_lock lock(disk_->mutex);
  PJ_ASSIGN(const std::size_t file, disk_->find("read a file", memory::normal(path)));
  const memory::Bytes& bytes = *disk_->live.files[file];
  if (bytes.size > limit) {
    return bad_input("read a file", path, "larger than the limit of " + std::to_string(limit) + " bytes");
  }
  std::string out(static_cast<std::size_t>(bytes.size), '\0');
  memory::copy_out(bytes, 0, out);
  return out;
}

Result<std::unique_ptr<PendingFile>> MemoryEnv::create(const std::string& path) {
  const std::scoped_lock lock(disk_->mutex);
  const std::string name = memory::normal(path);
  PJ_TRY(disk_->check_place("create a file", name + ".part"));
  const std::size_t file = disk_->create(name + ".part");
  return std::unique_ptr<PendingFile>(std::make_unique<memory::MemoryPendingFile>(disk_, file, name));
}

Status MemoryEnv::create_directories(const std::string& path) {
  const std::scoped_lock lock(disk_->mutex);
  const std::string name = memory::normal(path);
  for (std::size_t end = 0; end < name.size();) {
    end = std::min(name.find('/', end + 1), name.size());
    const std::string folder = name.substr(0, end);
    if (disk_->live.names.contains(folder)) return io_error("create a folder", path, "Not a directory");
    if (!disk_->is_folder(folder)) disk_->record(Step::Kind::kMakeDirectory, 0, folder);
  }
  return ok_status();
}

Result<std::vector<std::string>> MemoryEnv::list(const std::string& directory) {
  const std::scoped_lock lock(disk_->mutex);
  const std::string name = memory::normal(directory);
  if (disk_->live.names.contains(name)) return io_error("list a folder", directory, "Not a directory");
  const std::string prefix = name.empty() ? "" : name + "/";
  std::vector<std::string> names;
  const auto add = [&](const std::string& path, const char* end) {
    if (path.find('/', prefix.size()) == std::string::npos) names.push_back(path.substr(prefix.size()) + end);
  };
  const auto& [files, folders, bytes] = disk_->live;
  for (auto it = files.lower_bound(prefix); it != files.end() && it->first.starts_with(prefix); ++it) {
    add(it->first, "");
  }
  for (auto it = folders.lower_bound(prefix); it != folders.end() && it->starts_with(prefix); ++it) {
    add(*it, "/");
  }
  std::sort(names.begin(), names.end());
  return names;
}

Status MemoryEnv::remove(const std::string& path) {
  const std::scoped_lock lock(disk_->mutex);
  const std::string name = memory::normal(path);
  if (disk_->is_folder(name)) return io_error("remove a file", path, "Is a directory");
  PJ_ASSIGN(const std::size_t file, disk_->find("remove a file", name));
  disk_->record(Step::Kind::kRemove, file, name);
  return ok_status();
}

bool MemoryEnv::exists(const std::string& path) {
  const std::scoped_lock lock(disk_->mutex);
  const std::string name = memory::normal(path);
  return disk_->is_folder(name) || disk_->live.names.contains(name);
}

Result<std::unique_ptr<LogFile>> MemoryEnv::create_log(const std::string& path, std::uint64_t size) {
  PJ_CHECK(size != 0 && size % LogFile::kPage == 0);
  const std::scoped_lock lock(disk_->mutex);
  const std::string name = memory::normal(path), temporary = name + ".part";
  if (disk_->is_folder(name) || disk_->live.names.contains(name)) {
    return bad_input("create a log", path, "it is there already");
  }
  PJ_TRY(disk_->check_place("create a log", temporary));
  const std::size_t file = disk_->create(temporary);
  disk_->write_zeros(file, temporary, size);
  disk_->publish(file, temporary, name);
  return memory::open_memory_log(disk_, name, true);
}

Result<std::unique_ptr<LogFile>> MemoryEnv::open_log(const std::string& path) {
  const std::scoped_lock lock(disk_->mutex);
  return memory::open_memory_log(disk_, memory::normal(path), true);
}

Result<std::unique_ptr<LogFile>> MemoryEnv::open_log_for_reading(const std::string& path) {
  const std::scoped_lock lock(disk_->mutex);
  return memory::open_memory_log(disk_, memory::normal(path), false);
}

Result<std::unique_ptr<ReadableFile>> MemoryEnv::open_file(const std::string& path) {
  const std::scoped_lock lock(disk_->mutex);
  const std::string name = memory::normal(path);
  PJ_ASSIGN(const std::size_t file, disk_->find("open a file", name));
  const std::uint64_t size = disk_->live.files[file]->size;
  return std::unique_ptr<ReadableFile>(std::make_unique<memory::MemoryReadableFile>(disk_, file, name, size));
}

Status MemoryEnv::rename(const std::string& from, const std::string& to) {
  const std::scoped_lock lock(disk_->mutex);
  const std::string source = memory::normal(from), target = memory::normal(to);
  PJ_ASSIGN(const std::size_t file, disk_->find("rename a file", source));
  PJ_TRY(disk_->check_place("rename a file", target));
  disk_->record(Step::Kind::kRename, file, source, target);
  const std::string here(memory::folder_of(source)), there(memory::folder_of(target));
  disk_->record(Step::Kind::kSyncDirectory, 0, there);
  if (here != there) disk_->record(Step::Kind::kSyncDirectory, 0, here);
  return ok_status();
}

Status MemoryEnv::sync_directory(const std::string& path) {
  const std::scoped_lock lock(disk_->mutex);
  const std::string name = memory::normal(path);
  if (!disk_->is_folder(name)) return missing("sync a directory", path, "No such file or directory");
  disk_->record(Step::Kind::kSyncDirectory, 0, name);
  return ok_status();
}

}  // namespace perjoule::base
