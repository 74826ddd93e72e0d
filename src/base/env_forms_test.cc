// One suite for every form of Env and LogFile: each must keep the promises of env.hpp and log_file.hpp.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "base/fault_env.hpp"
#include "base/memory_env.hpp"
#include "base/rng.hpp"

namespace perjoule::base {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kPage = LogFile::kPage;
constexpr const char* kChoiceName = "PERJOULE_LOG_IO";

std::string noise(std::uint64_t seed, std::size_t bytes) {
  Rng rng(seed);
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>(rng.below(256));
  return out;
}

// An Env with an empty folder in it, and what it asks of the environment.
class Form {
 public:
  explicit Form(const std::string& name) {
    if (name == "memory" || name == "fault") {
      memory_.create_directories("folder").ok();
      if (name == "fault") fault_ = std::make_unique<FaultEnv>(memory_);
      return;
    }
    const bool shared_memory = name == "shm";
    const std::string base = shared_memory ? "/dev/shm" : fs::temp_directory_path().string();
    std::string pattern = base + "/perjoule-form-XXXXXX";
    if (::mkdtemp(pattern.data()) == nullptr) return;
    folder_ = pattern;
    posix_ = true;
    if (!shared_memory) ::setenv(kChoiceName, name.c_str(), 1);
  }
  Form(const Form&) = delete;
  Form& operator=(const Form&) = delete;
  ~Form() {
    ::unsetenv(kChoiceName);
    if (posix_) fs::remove_all(folder_);
  }
  // False where this machine has no such form.
  bool works() const { return !folder_.empty() && log_io_name() != "unknown"; }
  bool is_posix() const { return posix_; }
  Env& env() { return fault_ ? static_cast<Env&>(*fault_) : posix_ ? posix_env() : memory_; }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::vector<std::string> names() { return env().list(folder_).value(); }

 private:
  std::string folder_ = "folder";
  bool posix_ = false;
  MemoryEnv memory_;
  std::unique_ptr<FaultEnv> fault_;
};

class EnvForms : public testing::TestWithParam<const char*> {
 protected:
  EnvForms() : form_(GetParam()) {}
  void SetUp() override {
    if (!form_.works()) GTEST_SKIP() << "this machine has no " << GetParam();
  }
  Env& env() { return form_.env(); }
  std::string path(const std::string& name) const { return form_.path(name); }
  std::unique_ptr<LogFile> log(std::uint64_t pages) {
    return env().create_log(path("log"), pages * kPage).value();
  }

  Form form_;
};

INSTANTIATE_TEST_SUITE_P(All, EnvForms,
                         testing::Values("io_uring", "pwrite", "buffered", "shm", "memory", "fault"),
                         [](const auto& form) { return std::string(form.param); });

std::string read(const LogFile& log, std::uint64_t offset, std::size_t bytes) {
  std::string out(bytes, '?');
  EXPECT_TRUE(log.read(offset, out).ok());
  return out;
}

Status write(LogFile& log, std::uint64_t page, std::string_view bytes, Sync sync) {
  PageBuffer buffer;
  buffer.append(bytes);
  buffer.pad_to_page();
  return log.write(page * kPage, buffer.view(), sync);
}

TEST_P(EnvForms, FilesAreWrittenListedReplacedRemoved) {
  ASSERT_TRUE(write_atomically(env(), path("f"), "one").ok());
  ASSERT_TRUE(write_atomically(env(), path("f"), noise(1, 9000)).ok());
  EXPECT_EQ(env().read_file(path("f")).value(), noise(1, 9000));
  ASSERT_TRUE(env().create_directories(path("d/e")).ok());
  ASSERT_TRUE(env().create_directories(path("d/e")).ok());
  ASSERT_TRUE(write_atomically(env(), path("d/e/g"), "").ok());
  EXPECT_EQ(env().read_file(path("d//e/./g")).value(), "");
  EXPECT_EQ(form_.names(), (std::vector<std::string>{"d/", "f"}));
  EXPECT_EQ(list_recursive(env(), path(".")).value(), (std::vector<std::string>{"d/e/g", "f"}));
  { EXPECT_TRUE(env().create(path("h")).value()->append("dropped").ok()); }
  ASSERT_TRUE(env().remove(path("f")).ok());
  ASSERT_TRUE(env().sync_directory(path(".")).ok());
  EXPECT_TRUE(!env().exists(path("f")) && env().exists(path("d")) && env().exists(path("d/e/g")));
  EXPECT_EQ(form_.names(), (std::vector<std::string>{"d/"}));
}

TEST_P(EnvForms, FilesThatCannotBeAreRefused) {
  ASSERT_TRUE(write_atomically(env(), path("f"), "12345").ok());
  ASSERT_TRUE(env().create_directories(path("d")).ok());
  EXPECT_EQ(env().read_file(path("gone")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env().read_file(path("d")).error().why, "it is a folder");
  EXPECT_EQ(env().read_file(path("f"), 4).error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(env().remove(path("gone")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env().remove(path("d")).error().kind, ErrorKind::kIo);
  EXPECT_EQ(env().create(path("gone/f")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env().create(path("f/x")).error().kind, ErrorKind::kIo);
  EXPECT_EQ(env().create_directories(path("f/x")).error().kind, ErrorKind::kIo);
  EXPECT_EQ(env().list(path("f")).error().kind, ErrorKind::kIo);
  EXPECT_TRUE(env().list(path("gone")).value().empty());
  EXPECT_EQ(write_atomically(env(), path("d"), "x").error().kind, ErrorKind::kIo);
  EXPECT_EQ(env().sync_directory(path("gone")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(form_.names(), (std::vector<std::string>{"d/", "f"}));
}

TEST_P(EnvForms, RenameMovesAndReplaces) {
  ASSERT_TRUE(env().create_directories(path("d")).ok());
  ASSERT_TRUE(write_atomically(env(), path("a"), "a").ok());
  ASSERT_TRUE(write_atomically(env(), path("d/b"), "b").ok());
  ASSERT_TRUE(env().rename(path("a"), path("d/b")).ok());
  EXPECT_EQ(env().read_file(path("d/b")).value(), "a");
  EXPECT_EQ(form_.names(), (std::vector<std::string>{"d/"}));
  ASSERT_TRUE(env().rename(path("d/b"), path("d/c")).ok());
  EXPECT_EQ(env().list(path("d")).value(), (std::vector<std::string>{"c"}));
  EXPECT_EQ(env().rename(path("a"), path("d/b")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env().rename(path("d/c"), path("gone/c")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env().rename(path("d/c"), path("d")).error().kind, ErrorKind::kIo);
  EXPECT_EQ(env().read_file(path("d/c")).value(), "a");
}

TEST_P(EnvForms, AnOpenFileIsReadAtAnyOffsetAndStaysThere) {
  const std::string text = noise(2, 10000);
  ASSERT_TRUE(write_atomically(env(), path("f"), text).ok());
  ASSERT_TRUE(write_atomically(env(), path("empty"), "").ok());
  const auto file = env().open_file(path("f")).value();
  EXPECT_EQ(file->size(), text.size());
  EXPECT_EQ(env().open_file(path("empty")).value()->map().value(), "");
  for (const std::size_t offset : {0UL, 1UL, 4095UL, 4096UL, 9999UL, 10000UL}) {
    std::string out(std::min<std::size_t>(5000, text.size() - offset), '?');
    ASSERT_TRUE(file->read(offset, out).ok());
    EXPECT_EQ(out, text.substr(offset, 5000));
  }
  std::string beyond(2, '?');
  EXPECT_EQ(file->read(9999, beyond).error().kind, ErrorKind::kCorrupt);
  EXPECT_EQ(file->read(1ULL << 40, beyond).error().kind, ErrorKind::kCorrupt);
  ASSERT_TRUE(env().remove(path("f")).ok());
  EXPECT_EQ(file->map().value(), text);
  EXPECT_EQ(file->map().value().data(), file->map().value().data());
  EXPECT_EQ(env().open_file(path("f")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env().open_file(path(".")).error().kind, ErrorKind::kBadInput);
}

TEST_P(EnvForms, ALogIsBornZeroOfItsSizeUnderItsFinalName) {
  const auto created = log(1030);  // more than is zeroed at a time, and not a multiple of it
  EXPECT_EQ(created->size(), 1030 * kPage);
  EXPECT_EQ(env().read_file(path("log")).value(), std::string(1030 * kPage, '\0'));
  EXPECT_EQ(form_.names(), (std::vector<std::string>{"log"}));
  const std::string io(created->io());
  if (form_.is_posix()) {
    EXPECT_TRUE(io == log_io_name() || io == "buffered") << "where the file system takes no O_DIRECT";
  } else {
    EXPECT_EQ(io, "memory");
  }
}

// Against a string: writes of all lengths and kinds, reads of any, and the same through every other way of
// reading.
TEST_P(EnvForms, ALogHoldsWhatWasWritten) {
  constexpr std::uint64_t kPages = 64;
  auto file = log(kPages);
  std::string model(kPages * kPage, '\0');
  Rng rng(7);
  for (int n = 0; n < 60; ++n) {
    const std::uint64_t page = rng.below(kPages), count = 1 + rng.below(kPages - page);
    const std::string bytes = noise(rng.next(), count * kPage);
    ASSERT_TRUE(write(*file, page, bytes, rng.below(2) == 0 ? Sync::kData : Sync::kNone).ok());
    model.replace(page * kPage, bytes.size(), bytes);
    if (rng.below(4) == 0) {
      ASSERT_TRUE(file->sync().ok());
    }
    const std::uint64_t at = rng.below(model.size());
    const std::size_t length = rng.below(model.size() - at + 1);
    ASSERT_EQ(read(*file, at, length), model.substr(at, length));
    if (n % 20 == 0) file = env().open_log(path("log")).value();
  }
  EXPECT_EQ(env().read_file(path("log")).value(), model);
  EXPECT_EQ(env().open_file(path("log")).value()->map().value(), model);
  EXPECT_EQ(read(*env().open_log_for_reading(path("log")).value(), 0, model.size()), model);
}

TEST_P(EnvForms, AnEmptyWriteIsNone) {
  const auto file = log(1);
  EXPECT_TRUE(file->write(kPage, "", Sync::kNone).ok());
  EXPECT_TRUE(file->write(kPage, "", Sync::kData).ok());
}

TEST_P(EnvForms, ALogReadsNothingBeyondItsEnd) {
  const auto file = log(2);
  std::string out(2, '?');
  EXPECT_EQ(file->read(2 * kPage - 1, out).error().kind, ErrorKind::kCorrupt);
  EXPECT_EQ(file->read(~0ULL, out).error().kind, ErrorKind::kCorrupt);
  EXPECT_TRUE(file->read(2 * kPage, std::span<char>{}).ok());
}

TEST_P(EnvForms, ALogForReadingTakesNoWrites) {
  ASSERT_TRUE(write(*log(2), 1, "kept", Sync::kData).ok());
  const auto file = env().open_log_for_reading(path("log")).value();
  EXPECT_EQ(write(*file, 1, "lost", Sync::kData).error().kind, ErrorKind::kIo);
  EXPECT_EQ(file->sync().error().kind, ErrorKind::kIo);
  EXPECT_EQ(read(*file, kPage, 4), "kept");
}

TEST_P(EnvForms, LogsThatCannotBeAreRefused) {
  ASSERT_TRUE(write_atomically(env(), path("f"), "no whole page").ok());
  ASSERT_TRUE(write_atomically(env(), path("empty"), "").ok());
  EXPECT_EQ(env().create_log(path("f"), kPage).error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(env().create_log(path("."), kPage).error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(env().create_log(path("gone/log"), kPage).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env().open_log(path("gone")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env().open_log(path("f")).error().kind, ErrorKind::kCorrupt);
  EXPECT_EQ(env().open_log_for_reading(path("f")).error().kind, ErrorKind::kCorrupt);
  EXPECT_EQ(env().open_log(path(".")).error().kind, ErrorKind::kBadInput);
  EXPECT_EQ(env().open_log(path("empty")).value()->size(), 0u);
  EXPECT_EQ(env().read_file(path("f")).value(), "no whole page");
  EXPECT_EQ(form_.names(), (std::vector<std::string>{"empty", "f"}));
}

TEST_P(EnvForms, ALogWithoutRoomLeavesNothing) {
  if (!form_.is_posix()) return;  // memory has no size
  const auto refused = env().create_log(path("log"), 1ULL << 50);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().kind, ErrorKind::kIo);
  EXPECT_NE(refused.error().why.find("No space left on device: it needs 1125899906842624 bytes"),
            std::string::npos)
      << refused.error().why;
  EXPECT_TRUE(form_.names().empty());
}

// What a crash left of an earlier attempt is no hindrance.
TEST_P(EnvForms, ALogTakesThePlaceOfAHalfMadeOne) {
  ASSERT_TRUE(write_atomically(env(), path("log.part"), "half").ok());
  log(3);
  EXPECT_EQ(form_.names(), (std::vector<std::string>{"log"}));
}

TEST_P(EnvForms, ALogIsRenamedAndWrittenAgain) {
  const auto file = log(2);
  ASSERT_TRUE(write(*file, 0, "old", Sync::kData).ok());
  ASSERT_TRUE(env().rename(path("log"), path("next")).ok());
  ASSERT_TRUE(write(*file, 1, "still open", Sync::kData).ok());
  const auto again = env().open_log(path("next")).value();
  ASSERT_TRUE(write(*again, 0, "new", Sync::kData).ok());
  EXPECT_EQ(read(*file, 0, 3) + read(*again, kPage, 10), "newstill open");
}

using EnvFormsDeathTest = EnvForms;
INSTANTIATE_TEST_SUITE_P(All, EnvFormsDeathTest, testing::Values("pwrite", "memory"),
                         [](const auto& form) { return std::string(form.param); });

TEST_P(EnvFormsDeathTest, AWriteThatIsNotWholePagesIsADefect) {
  const auto file = log(2);
  PageBuffer buffer;
  buffer.append_zeros(3 * kPage);
  EXPECT_DEATH(file->write(1, buffer.view().substr(0, kPage), Sync::kNone).ok(), "kPage");
  EXPECT_DEATH(file->write(0, buffer.view().substr(0, 7), Sync::kNone).ok(), "kPage");
  EXPECT_DEATH(file->write(0, buffer.view().substr(512, kPage), Sync::kNone).ok(), "kPage");
  EXPECT_DEATH(file->write(0, buffer.view(), Sync::kNone).ok(), "size");
  EXPECT_DEATH(env().create_log(path("odd"), 100).ok(), "kPage");
}

}  // namespace
}  // namespace perjoule::base
