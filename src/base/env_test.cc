#include "base/env.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <filesystem>
#include <string>

#include "base/fault_env.hpp"
#include "base/gzip.hpp"
#include "base/rng.hpp"

namespace perjoule::base {
namespace {

namespace fs = std::filesystem;

class EnvTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "perjoule-env-XXXXXX").string();
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  std::vector<std::string> names() { return env_.list(folder_).value(); }

  Env& env_ = posix_env();
  std::string folder_;
};

TEST_F(EnvTest, WritesReadsListsRemoves) {
  const std::string bytes("a\0b\n", 4);
  ASSERT_TRUE(write_atomically(env_, path("f"), bytes).ok());
  EXPECT_EQ(env_.read_file(path("f")).value(), bytes);
  ASSERT_TRUE(write_atomically(env_, path("f"), "").ok());  // replaces
  EXPECT_EQ(env_.read_file(path("f")).value(), "");
  ASSERT_TRUE(env_.create_directories(path("d/e")).ok());
  ASSERT_TRUE(env_.create_directories(path("d/e")).ok());
  ASSERT_TRUE(write_atomically(env_, path("d/e/g"), "1").ok());
  EXPECT_EQ(names(), (std::vector<std::string>{"d/", "f"}));
  EXPECT_EQ(list_recursive(env_, folder_).value(), (std::vector<std::string>{"d/e/g", "f"}));
  EXPECT_TRUE(env_.exists(path("d/e/g")));
  ASSERT_TRUE(env_.remove(path("d/e/g")).ok());
  EXPECT_FALSE(env_.exists(path("d/e/g")));
}

TEST_F(EnvTest, ReadsPartsOfTheFileThatWasOpened) {
  std::string bytes(100'000, '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<char>(i * i >> 3);
  ASSERT_TRUE(write_atomically(env_, path("f"), bytes).ok());
  FaultEnv fault(env_);
  for (Env* env : {&env_, static_cast<Env*>(&fault)}) {
    const auto file = env->open_file(path("f"));
    ASSERT_TRUE(file.ok());
    ASSERT_TRUE(write_atomically(env_, path("f"), "another of that name").ok());
    EXPECT_EQ((*file)->size(), bytes.size());
    EXPECT_EQ((*file)->map().value(), bytes);
    std::string part(5000, ' ');
    ASSERT_TRUE((*file)->read(70'000, part).ok());
    EXPECT_EQ(part, bytes.substr(70'000, 5000));
    EXPECT_EQ((*file)->read(95'001, part).error().kind, ErrorKind::kCorrupt) << "a byte too many";
    ASSERT_TRUE(write_atomically(env_, path("f"), bytes).ok());
  }
  ASSERT_TRUE(write_atomically(env_, path("empty"), "").ok());
  EXPECT_EQ((*env_.open_file(path("empty")))->map().value(), "");
  EXPECT_EQ(env_.open_file(path("gone")).error().kind, ErrorKind::kMissing);
  EXPECT_EQ(env_.open_file(folder_).error().kind, ErrorKind::kBadInput);
}

TEST_F(EnvTest, ReadsFilesThatTellNoSize) {
  EXPECT_FALSE(env_.read_file("/proc/self/maps").value().empty());
  EXPECT_EQ(env_.read_file("/proc/self/maps", 10).error().kind, ErrorKind::kBadInput);
}

TEST_F(EnvTest, SaysWhatIsWrong) {
  const auto gone = env_.read_file(path("gone"));
  EXPECT_EQ(gone.error().kind, ErrorKind::kMissing);
  EXPECT_EQ(gone.error().where, path("gone"));
  EXPECT_EQ(env_.read_file(folder_).error().why, "it is a folder");
  ASSERT_TRUE(write_atomically(env_, path("f"), "12345").ok());
  EXPECT_EQ(env_.read_file(path("f"), 4).error().kind, ErrorKind::kBadInput);
  EXPECT_TRUE(env_.read_file(path("f"), 5).ok());
  EXPECT_TRUE(env_.list(path("gone")).value().empty());
  EXPECT_EQ(env_.remove(path("gone")).error().kind, ErrorKind::kMissing);
}

// A path below a regular file refuses everyone, root too.
TEST_F(EnvTest, RefusesToWriteBelowAFile) {
  ASSERT_TRUE(write_atomically(env_, path("f"), "1").ok());
  EXPECT_EQ(write_atomically(env_, path("f/x"), "2").error().kind, ErrorKind::kIo);
  EXPECT_EQ(env_.create_directories(path("f/x")).error().kind, ErrorKind::kIo);
  EXPECT_EQ(env_.list(path("f")).error().kind, ErrorKind::kIo);
  EXPECT_EQ(env_.read_file(path("f")).value(), "1");
  EXPECT_EQ(names(), (std::vector<std::string>{"f"}));
}

TEST_F(EnvTest, ADanglingOrCircularLinkIsListedAndFollowedNowhere) {
  fs::create_symlink(path("nowhere"), path("dangling"));
  fs::create_symlink(path("circle"), path("circle"));
  EXPECT_EQ(names(), (std::vector<std::string>{"circle", "dangling"}));
}

TEST_F(EnvTest, ADroppedFileLeavesNothing) {
  {
    auto file = env_.create(path("f"));
    ASSERT_TRUE(file.ok() && (*file)->append("half").ok());
    EXPECT_FALSE(env_.exists(path("f")));  // not under its final name before commit
  }
  EXPECT_TRUE(names().empty());
}

// Whichever operation fails, the old file is whole, and no temporary name stays.
TEST_F(EnvTest, AFaultAtAnyOperationLeavesTheOldFileWhole) {
  ASSERT_TRUE(write_atomically(env_, path("f"), "old").ok());
  for (std::uint64_t n = 1; n <= 4; ++n) {
    FaultEnv faulty(env_);
    faulty.fail_from(n, io_error("write a file", path("f"), "No space left on device"));
    const Status status = write_atomically(faulty, path("f"), "new");
    EXPECT_EQ(status.ok(), n == 4);  // create, append, commit
    if (!status.ok()) {
      EXPECT_EQ(status.error().why, "No space left on device");
    }
    EXPECT_EQ(env_.read_file(path("f")).value(), n == 4 ? "new" : "old");
    EXPECT_EQ(names(), (std::vector<std::string>{"f"}));
    EXPECT_EQ(faulty.operations(), std::min<std::uint64_t>(n, 3));
  }
  FaultEnv calm(env_);
  calm.fail_from(0, Error{});
  EXPECT_TRUE(write_atomically(calm, path("f"), "x").ok());
}

TEST_F(EnvTest, AFailedRenameLeavesNothing) {
  ASSERT_TRUE(env_.create_directories(path("taken/inside")).ok());
  EXPECT_FALSE(write_atomically(env_, path("taken"), "x").ok());  // a folder of that name
  EXPECT_EQ(names(), (std::vector<std::string>{"taken/"}));
}

std::string zipped(const std::string& text) {
  z_stream z{};
  EXPECT_EQ(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string out(deflateBound(&z, text.size()) + 64, '\0');
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  z.avail_in = static_cast<uInt>(text.size());
  z.next_out = reinterpret_cast<Bytef*>(out.data());
  z.avail_out = static_cast<uInt>(out.size());
  EXPECT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
  out.resize(z.total_out);
  deflateEnd(&z);
  return out;
}

std::string noise(std::size_t bytes) {
  Rng rng(5);
  std::string out(bytes, '\0');
  for (char& c : out) c = static_cast<char>('a' + rng.below(20));
  return out;
}

TEST(Gzip, UnpacksOneAndManyMembers) {
  const std::string text = noise(300'000);
  EXPECT_EQ(gunzip(zipped(text), "f.gz").value(), text);
  EXPECT_EQ(gunzip(zipped(""), "f.gz").value(), "");
  EXPECT_EQ(gunzip(zipped("one ") + zipped("") + zipped(text), "f.gz").value(), "one " + text);
  EXPECT_EQ(gunzip(zipped("padded") + std::string(512, '\0'), "f.gz").value(), "padded");
}

TEST(Gzip, RefusesEveryTruncation) {
  const std::string first = zipped(noise(700)), both = first + zipped("second");
  for (std::size_t n = 0; n < both.size(); ++n) {
    const auto cut = gunzip(std::string_view(both).substr(0, n), "f.gz");
    if (n == first.size()) {
      EXPECT_TRUE(cut.ok());  // a whole member: nothing tells that more was meant
    } else {
      ASSERT_FALSE(cut.ok()) << n;
      EXPECT_EQ(cut.error().kind, ErrorKind::kBadInput);
      EXPECT_EQ(cut.error().where,
                "f.gz: byte " + std::to_string(n <= first.size() || n > first.size() + 1 ? n : first.size()));
    }
  }
}

TEST(Gzip, RefusesEveryFlippedByteOfTheData) {
  const std::string good = zipped("the quick brown fox");
  for (std::size_t at = 0; at < good.size(); ++at) {
    if (at >= 4 && at < 10) continue;  // time, flags and system of the header carry no data
    std::string bad = good;
    bad[at] = static_cast<char>(bad[at] ^ 0x55);
    EXPECT_FALSE(gunzip(bad, "f.gz").ok()) << at;
  }
  EXPECT_EQ(gunzip(good + "junk", "f.gz").error().why, "there is something else after the stream");
}

TEST(Gzip, StopsABombAtTheLimit) {
  const std::string bomb = zipped(std::string(4 << 20, 'x'));
  ASSERT_LT(bomb.size(), 8192u);
  EXPECT_EQ(gunzip(bomb, "f.gz", 1 << 20).error().why, "unpacks to more than the size limit");
  EXPECT_TRUE(gunzip(bomb, "f.gz", 4 << 20).ok());
  EXPECT_FALSE(gunzip(bomb, "f.gz", (4 << 20) - 1).ok());
  EXPECT_FALSE(gunzip(bomb + bomb, "f.gz", 4 << 20).ok());  // the limit is on all members together
}

TEST_F(EnvTest, ReadTextTakesPlainAndGzip) {
  ASSERT_TRUE(write_atomically(env_, path("plain"), "text").ok());
  ASSERT_TRUE(write_atomically(env_, path("packed"), zipped("text")).ok());
  ASSERT_TRUE(write_atomically(env_, path("empty"), "").ok());
  EXPECT_EQ(read_text(env_, path("plain")).value(), "text");
  EXPECT_EQ(read_text(env_, path("packed")).value(), "text");
  EXPECT_EQ(read_text(env_, path("empty")).error().why, "it is empty");
  EXPECT_EQ(read_text(env_, path("gone")).error().kind, ErrorKind::kMissing);
}

TEST(WriteOutput, FollowsLinksKeepsModesAndReplacesNoPipe) {
  const std::string folder = testing::TempDir() + "write_output";
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  const std::string file = folder + "/f", link = folder + "/l", pipe = folder + "/p";
  ASSERT_TRUE(write_output(file, "one").ok());
  ASSERT_EQ(::chmod(file.c_str(), 0600), 0);
  ASSERT_EQ(::symlink(file.c_str(), link.c_str()), 0);
  ASSERT_TRUE(write_output(link, "two").ok());
  EXPECT_TRUE(std::filesystem::is_symlink(link));
  EXPECT_EQ(*posix_env().read_file(file, 100), "two");
  struct stat st {};
  ASSERT_EQ(::stat(file.c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777U, 0600U);
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  const int reader = ::open(pipe.c_str(), O_RDONLY | O_NONBLOCK);
  ASSERT_TRUE(write_output(pipe, "three").ok());
  char got[8] = {};
  EXPECT_EQ(::read(reader, got, sizeof got), 5);
  ::close(reader);
  EXPECT_TRUE(std::filesystem::is_fifo(pipe)) << "written to, not replaced";
  EXPECT_FALSE(write_output(folder, "x").ok());
}

}  // namespace
}  // namespace perjoule::base
