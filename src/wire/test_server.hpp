// What the tests of server and client share: a folder of their own, an engine in it, and reading the store
// back. Thread rule: one thread. Ownership: removes its folder.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>

#include "base/env.hpp"
#include "bus/engine.hpp"
#include "bus/store.hpp"
#include "wire/server.hpp"

namespace perjoule::wire::testing {

class TestFolder {
 public:
  TestFolder() {
    const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
    // Memory, where there is some: every block is synced.
    root_ = (std::filesystem::exists("/dev/shm") ? std::filesystem::path("/dev/shm")
                                                 : std::filesystem::temp_directory_path()) /
            ("perjoule-wire-" + std::string(info->name()) + "-" + std::to_string(::getpid()));
    std::filesystem::remove_all(root_);
    std::filesystem::create_directories(root_);
  }
  ~TestFolder() { std::filesystem::remove_all(root_); }
  std::string at(const std::string& name) const { return (root_ / name).string(); }

 private:
  std::filesystem::path root_;
};

inline std::unique_ptr<bus::Engine> open_engine(const std::string& directory) {
  bus::EngineOptions options;
  options.log.segment_bytes = 4U << 20;
  options.group_bytes = 1U << 20;
  auto engine = bus::Engine::open(base::posix_env(), directory, options);
  if (!engine.ok()) throw std::runtime_error(engine.error().message());
  return std::move(engine).value();
}

// How often each `seq` of the samples is in the store.
inline std::map<std::int64_t, int> stored_samples(bus::Engine& engine, const std::string& directory) {
  std::map<std::int64_t, int> out;
  EXPECT_TRUE(engine.seal_all().ok());
  const auto store = bus::StoreReader::open(base::posix_env(), directory);
  EXPECT_TRUE(store.ok());
  EXPECT_TRUE(store
                  ->scan({bus::Table::kSamples, {"seq"}, {}},
                         [&](const bus::Batch& b) {
                           for (const std::int64_t seq : b.columns[0].ints) ++out[seq];
                           return base::ok_status();
                         })
                  .ok());
  return out;
}

// 1..last, each once.
inline void expect_each_once(const std::map<std::int64_t, int>& found, std::int64_t last) {
  EXPECT_EQ(found.size(), static_cast<std::size_t>(last));
  for (const auto& [seq, times] : found) EXPECT_TRUE(times == 1 && seq >= 1 && seq <= last) << seq;
}

}  // namespace perjoule::wire::testing
