#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "bus/store.hpp"
#include "bus/test_rows.hpp"

// Stores of earlier formats stay readable: tests/store/format-N/ was written by the perjoule that made format
// N, with tests/store/write_sample_store.cc as it stood, and is never written again.
namespace perjoule::bus {
namespace {

namespace fs = std::filesystem;

const std::string kFormat1 = std::string(PERJOULE_SOURCE_DIR) + "/tests/store/format-1/";

base::Result<StoreReader> format_1() { return StoreReader::open(base::posix_env(), kFormat1 + "store"); }

TEST(StoreFormat, AStoreOfFormat1IsWhole) {
  const auto store = format_1();
  ASSERT_TRUE(store.ok()) << store.error().message();
  EXPECT_EQ(store->manifest().format_version, 1);
  for (const auto& f : store->verify()) ADD_FAILURE() << f.file << ": " << f.why;
}

TEST(StoreFormat, ItsSumsAreTheOnesWrittenThen) {
  const auto store = format_1();
  const auto expected = nlohmann::json::parse(*base::posix_env().read_file(kFormat1 + "expected.json"));
  base::SymbolTable symbols;
  std::int64_t rows = 0, uj = 0, tenants = 0;
  ASSERT_TRUE(store
                  ->for_each_joule(symbols,
                                   [&](const energy::JouleRow& r) {
                                     ++rows;
                                     uj += r.energy_uj;
                                     tenants += r.consumer.tenant.empty();
                                   })
                  .ok());
  EXPECT_EQ(rows, expected["rows"]);
  EXPECT_EQ(uj, expected["joules"]);
  EXPECT_EQ(tenants, expected["null_tenants"]);
  std::int64_t unstarted = 0;
  ASSERT_TRUE(store
                  ->for_each_job(
                      symbols, [&](const energy::JobRow& r) { unstarted += r.t_start_ns == energy::kNoTime; })
                  .ok());
  EXPECT_EQ(unstarted, expected["null_starts"]);
}

TEST(StoreFormat, ColumnsThatCameLaterAreNull) {
  const auto store = format_1();
  base::SymbolTable symbols;
  std::int64_t kernels = 0;
  ASSERT_TRUE(store
                  ->for_each_joule(symbols,
                                   [&](const energy::JouleRow& r) {
                                     EXPECT_TRUE(r.consumer.phase.empty());
                                     kernels += !r.consumer.kernel.empty();
                                   })
                  .ok());
  EXPECT_GT(kernels, 0) << "the neighbours keep their places";
  const ScanRequest request{Table::kJoules, {"seq", "phase", "kernel"}, {}};
  ASSERT_TRUE(store
                  ->scan(request,
                         [](const Batch& b) {
                           EXPECT_EQ(b.columns.size(), 3U);
                           EXPECT_EQ(b.columns[1].codes, std::vector<std::uint32_t>(b.rows, kNullCode));
                           EXPECT_EQ(b.columns[0].ints.size(), b.rows);
                           EXPECT_FALSE(b.columns[2].dictionary.empty());
                           return base::ok_status();
                         })
                  .ok());
  const ScanRequest only{Table::kJoules, {"phase"}, {-400, 400}};
  ASSERT_TRUE(store
                  ->scan(only,
                         [](const Batch& b) {
                           EXPECT_EQ(b.columns[0].codes.size(), b.rows);
                           return base::ok_status();
                         })
                  .ok());
}

TEST(StoreFormat, AFormat1FooterIsUnderTheFilesHash) {
  const fs::path copy = fs::path(::testing::TempDir()) / ("perjoule-format-1-" + std::to_string(::getpid()));
  fs::copy(kFormat1 + "store", copy, fs::copy_options::recursive);
  const std::string file = (copy / "joules/part-000001.parquet").string();
  std::string bytes = *base::posix_env().read_file(file);
  bytes[bytes.size() - 40] ^= 1;  // in created_by, which nobody looks at
  std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
  const auto store = StoreReader::open(base::posix_env(), copy.string());
  EXPECT_FALSE(store->scan({}, [](const Batch&) { return base::ok_status(); }).ok());
  EXPECT_EQ(store->verify().size(), 1U);
  fs::remove_all(copy);
}

}  // namespace
}  // namespace perjoule::bus
