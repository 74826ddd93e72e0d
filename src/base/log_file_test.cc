#include "base/log_file.hpp"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "base/env.hpp"
#include "base/fault_env.hpp"
#include "base/memory_env.hpp"
#include "base/rng.hpp"

namespace perjoule::base {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPage = LogFile::kPage;
constexpr const char* kChoiceName = "PERJOULE_LOG_IO";

PageBuffer pages(std::size_t count, char fill) {
  PageBuffer out;
  out.append(std::string(count * kPage, fill));
  return out;
}

std::string all_of(const LogFile& log) {
  std::string out(static_cast<std::size_t>(log.size()), '?');
  EXPECT_TRUE(log.read(0, out).ok());
  return out;
}

TEST(PageBuffer, GrowsPadsAndKeepsItsMemory) {
  PageBuffer buffer;
  EXPECT_TRUE(buffer.empty() && buffer.view().empty());
  buffer.pad_to_page();
  EXPECT_TRUE(buffer.empty());
  std::string model;
  Rng rng(3);
  for (int n = 0; n < 200; ++n) {
    const std::string part(rng.below(3000), static_cast<char>('a' + n % 26));
    buffer.append(part);
    model += part;
    if (n % 50 == 0) {
      buffer.pad_to_page();
      model.resize((model.size() + kPage - 1) / kPage * kPage);
    }
    ASSERT_EQ(buffer.view(), model);
    ASSERT_EQ(reinterpret_cast<std::uintptr_t>(buffer.view().data()) % kPage, 0u);
  }
  const char* const memory = buffer.view().data();
  buffer.clear();
  EXPECT_EQ(buffer.size(), 0u);
  buffer.append("x");
  EXPECT_EQ(buffer.view().data(), memory);
  const PageBuffer moved = std::move(buffer);
  EXPECT_EQ(moved.view(), "x");
}

TEST(PageBuffer, MovedFromItIsEmptyAndGrowsAnew) {
  PageBuffer from = pages(2, 'a'), to = std::move(from);
  EXPECT_TRUE(from.empty());  // NOLINT: that is the promise
  from.append("b");
  EXPECT_EQ(from.view(), "b");
  to = std::move(from);
  EXPECT_EQ(to.view(), "b");
}

class LogIo : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "perjoule-log-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override {
    ::unsetenv(kChoiceName);
    fs::remove_all(folder_);
  }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  static void choose(const char* io) { ::setenv(kChoiceName, io, 1); }
  // False if this machine refuses it.
  static bool can_choose(const char* io) { return choose(io), log_io_name() == io; }

  Env& env_ = posix_env();
  std::string folder_;
};

TEST_F(LogIo, IsChosenByTheEnvironmentAndNamed) {
  EXPECT_TRUE(log_io_name() == "io_uring" || log_io_name() == "pwrite");
  for (const char* io : {"pwrite", "buffered"}) {
    choose(io);
    EXPECT_EQ(log_io_name(), io);
    EXPECT_EQ(env_.create_log(path(io), kPage).value()->io(), io);
  }
  choose("");
  EXPECT_NE(log_io_name(), "unknown");
  choose("iouring");
  EXPECT_EQ(log_io_name(), "unknown");
  const auto refused = env_.create_log(path("x"), kPage);
  EXPECT_EQ(refused.error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(refused.error().where, kChoiceName);
  EXPECT_FALSE(env_.open_log(path("pwrite")).ok());
}

// The same writes through every form leave the same bytes, whoever reads them.
TEST_F(LogIo, EveryFormWritesTheSameBytes) {
  std::map<std::string, std::string> left;
  for (const char* io : {"io_uring", "pwrite", "buffered"}) {
    if (!can_choose(io)) continue;
    const auto file = env_.create_log(path(io), 40 * kPage).value();
    Rng rng(11);
    for (int n = 0; n < 40; ++n) {
      const std::uint64_t page = rng.below(40), count = 1 + rng.below(40 - page);
      const PageBuffer buffer = pages(count, static_cast<char>('A' + n));
      ASSERT_TRUE(
          file->write(page * kPage, buffer.view(), rng.below(2) == 0 ? Sync::kData : Sync::kNone).ok());
    }
    left[io] = env_.read_file(path(io)).value();
    choose("pwrite");
    EXPECT_EQ(all_of(*env_.open_log(path(io)).value()), left[io]);
  }
  for (const auto& [io, bytes] : left) EXPECT_TRUE(bytes == left["pwrite"]) << io;
}

// A limit of the process on file sizes stands for a disk that takes a part of a write and then fails.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(std::uint64_t bytes) {
    before_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limit = before_;
    limit.rlim_cur = bytes;
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, before_handler_);
  }

 private:
  rlimit before_{};
  void (*before_handler_)(int) = nullptr;
};

TEST_F(LogIo, AShortWriteGoesOnAndAFailedOneIsTheLast) {
  for (const char* io : {"io_uring", "pwrite", "buffered"}) {
    if (!can_choose(io)) continue;
    const auto file = env_.create_log(path(io), 8 * kPage).value();
    const PageBuffer first = pages(8, 'a'), second = pages(8, 'b');
    ASSERT_TRUE(file->write(0, first.view(), Sync::kData).ok());
    {
      const FileSizeLimit limit(3 * kPage);
      const Status failed = file->write(0, second.view(), Sync::kData);
      ASSERT_FALSE(failed.ok()) << io;
      EXPECT_EQ(failed.error().why, "File too large") << io;
    }
    EXPECT_EQ(all_of(*file), std::string(3 * kPage, 'b') + std::string(5 * kPage, 'a')) << io;
    EXPECT_EQ(file->write(0, second.view(), Sync::kData).error().why, "File too large") << io;
    EXPECT_EQ(file->sync().error().why, "File too large") << io;
    EXPECT_EQ(all_of(*file).find('b', 3 * kPage), std::string::npos) << io;
    EXPECT_TRUE(env_.open_log(path(io)).value()->write(0, second.view(), Sync::kData).ok()) << io;
  }
}

TEST_F(LogIo, AWriteThatGetsNoWholePageFurtherFails) {
  for (const char* io : {"io_uring", "pwrite", "buffered"}) {
    if (!can_choose(io)) continue;
    const auto file = env_.create_log(path(io), 4 * kPage).value();
    const PageBuffer buffer = pages(4, 'a');
    const FileSizeLimit limit(kPage + 512);
    EXPECT_EQ(file->write(0, buffer.view(), Sync::kData).error().why, "the disk took less than a page") << io;
  }
}

TEST_F(LogIo, ALogThatFailsWhileItIsMadeLeavesNothing) {
  for (const char* io : {"io_uring", "pwrite", "buffered"}) {
    if (!can_choose(io)) continue;
    const FileSizeLimit limit(4 * kPage);
    EXPECT_EQ(env_.create_log(path("log"), 8 * kPage).error().kind, ErrorKind::kIo) << io;
    EXPECT_TRUE(env_.list(folder_).value().empty()) << io;
  }
}

Error full_disk() { return io_error("write a log", "somewhere", "No space left on device"); }

// create_log, two writes, sync, rename, sync of the folder; the number of calls that worked.
int log_life(Env& env) {
  const PageBuffer buffer = pages(2, 'a');
  auto file = env.create_log("log", 4 * kPage);
  if (!file.ok()) return 0;
  int worked = 1;
  worked += (*file)->write(0, buffer.view(), Sync::kNone).ok();
  worked += (*file)->write(2 * kPage, buffer.view(), Sync::kData).ok();
  worked += (*file)->sync().ok();
  worked += env.rename("log", "log2").ok();
  worked += env.sync_directory(".").ok();
  return worked;
}

TEST(LogFaults, EveryOperationIsCountedAndCanFailAloneOrFromThere) {
  const std::map<std::uint64_t, int> alone{{0, 6}, {1, 0}, {2, 3}, {3, 4}, {4, 5}, {5, 5}, {6, 5}, {7, 6}};
  for (const auto& [n, worked] : alone) {
    MemoryEnv memory;
    FaultEnv faulty(memory);
    faulty.fail_once(n, full_disk());
    EXPECT_EQ(log_life(faulty), worked) << "a log refuses all after its first failure; " << n;
  }
  for (std::uint64_t n = 1; n <= 7; ++n) {
    MemoryEnv memory;
    FaultEnv faulty(memory);
    faulty.fail_from(n, full_disk());
    EXPECT_EQ(log_life(faulty), static_cast<int>(n) - 1);
    EXPECT_EQ(memory.exists("log"), n > 1 && n <= 5) << n;
  }
}

TEST(LogFaults, AFailedSyncIsNeverTriedAgain) {
  MemoryEnv memory;
  FaultEnv faulty(memory);
  const auto file = faulty.create_log("log", 2 * kPage).value();
  const PageBuffer buffer = pages(1, 'a');
  ASSERT_TRUE(file->write(0, buffer.view(), Sync::kNone).ok());
  faulty.fail_once(1, full_disk());
  EXPECT_FALSE(file->sync().ok());
  const std::uint64_t steps = memory.steps(), operations = faulty.operations();
  EXPECT_EQ(file->sync().error().why, "No space left on device");
  EXPECT_EQ(file->write(kPage, buffer.view(), Sync::kNone).error().why, "No space left on device");
  EXPECT_EQ(memory.steps(), steps) << "nothing reached the disk";
  EXPECT_EQ(faulty.operations(), operations);
  EXPECT_EQ(all_of(*file), std::string(kPage, 'a') + std::string(kPage, '\0')) << "still readable";
}

TEST(LogFaults, AShortWriteLeavesHalfThePagesUnsynced) {
  MemoryEnv memory;
  FaultEnv faulty(memory);
  const auto file = faulty.create_log("log", 5 * kPage).value();
  faulty.shorten_log_write(1, full_disk());
  const PageBuffer buffer = pages(5, 'a');
  EXPECT_EQ(file->write(0, buffer.view(), Sync::kData).error().why, "No space left on device");
  const std::string half = std::string(2 * kPage, 'a') + std::string(3 * kPage, '\0');
  EXPECT_EQ(all_of(*file), half);
  EXPECT_FALSE(file->write(0, buffer.view(), Sync::kData).ok());
  const auto crashed = memory.after_crash(memory.steps(), CrashChoice::nothing_unsynced());
  EXPECT_EQ(crashed->read_file("log").value(), std::string(5 * kPage, '\0'));
  EXPECT_EQ(memory.after_crash(memory.steps(), CrashChoice::everything())->read_file("log").value(), half);
  EXPECT_TRUE(faulty.open_log("log").value()->write(0, buffer.view(), Sync::kData).ok());
}

TEST(LogFaults, AShortWriteOfSomethingElseJustFails) {
  MemoryEnv memory;
  FaultEnv faulty(memory);
  faulty.shorten_log_write(2, full_disk());  // the append
  EXPECT_FALSE(write_atomically(faulty, "f", "x").ok());
  EXPECT_TRUE(memory.list(".").value().empty());
  EXPECT_TRUE(write_atomically(faulty, "f", "x").ok());
}

// An Env that stands in for a few files need not have logs.
class FewFiles final : public Env {
 public:
  Result<std::string> read_file(const std::string& path, std::uint64_t) override { return none(path); }
  Result<std::unique_ptr<PendingFile>> create(const std::string& path) override { return none(path); }
  Status create_directories(const std::string& path) override { return none(path); }
  Result<std::vector<std::string>> list(const std::string& path) override { return none(path); }
  Status remove(const std::string& path) override { return none(path); }
  bool exists(const std::string&) override { return false; }

 private:
  static Error none(const std::string& path) { return missing("use a file", path, "there is none"); }
};

TEST(Env, RefusesWhatAStandInLeavesOut) {
  FewFiles env;
  EXPECT_EQ(env.create_log("f", kPage).error().kind, ErrorKind::kIo);
  EXPECT_EQ(env.open_log("f").error().kind, ErrorKind::kIo);
  EXPECT_EQ(env.open_log_for_reading("f").error().kind, ErrorKind::kIo);
  EXPECT_EQ(env.open_file("f").error().kind, ErrorKind::kIo);
  EXPECT_EQ(env.rename("f", "g").error().kind, ErrorKind::kIo);
  EXPECT_EQ(env.sync_directory("f").error().kind, ErrorKind::kIo);
}

}  // namespace
}  // namespace perjoule::base
