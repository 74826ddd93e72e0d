#include "backends/intake/import.hpp"

#include <gtest/gtest.h>

#include "base/fault_env.hpp"

namespace perjoule::backends::intake {
namespace {

ImportRegistry registry() {
  ImportRegistry out;
  out.add(
      {"fixed", Table::kJobs, "", false, [](base::Env&, const ImportRequest&) -> base::Result<ImportReport> {
         ImportReport report;
         report.rows = 3;
         return report;
       }});
  out.add({"by-mapping", Table::kCarbon, "", true,
           [](base::Env&, const ImportRequest&) -> base::Result<ImportReport> { return ImportReport{}; }});
  return out;
}

TEST(Import, FindsFormatsByNameAndHints) {
  const auto formats = registry();
  const auto report = import_trace(formats, base::posix_env(), "fixed", {});
  ASSERT_TRUE(report.ok());
  EXPECT_EQ(report->rows, 3);
  EXPECT_EQ(report->format, "fixed");
  EXPECT_EQ(report->table, Table::kJobs);
  const auto wrong = import_trace(formats, base::posix_env(), "fixd", {});
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().hint.find("'fixed'"), std::string::npos) << wrong.error().hint;
}

TEST(Import, WantsAMappingExactlyWhereOneIsUsed) {
  const auto formats = registry();
  EXPECT_FALSE(import_trace(formats, base::posix_env(), "by-mapping", {}).ok());
  ImportRequest request;
  request.mapping = Mapping{};
  EXPECT_TRUE(import_trace(formats, base::posix_env(), "by-mapping", request).ok());
  EXPECT_FALSE(import_trace(formats, base::posix_env(), "fixed", request).ok());
  request.mapping->table = Table::kJobs;
  EXPECT_FALSE(import_trace(formats, base::posix_env(), "by-mapping", request).ok());
}

TEST(Import, QuotesFieldsThatNeedIt) {
  EXPECT_EQ(csv_field("plain text"), "plain text");
  EXPECT_EQ(csv_field("a,b"), "\"a,b\"");
  EXPECT_EQ(csv_field("say \"x\""), "\"say \"\"x\"\"\"");
  EXPECT_EQ(csv_field("two\nlines"), "two lines");
}

TEST(Import, WritesAtomically) {
  const std::string path = testing::TempDir() + "import_test.csv";
  ImportReport report;
  report.csv = "a,b\n1,2\n";
  base::FaultEnv env(base::posix_env());
  env.fail_from(2, base::io_error("write", path, "disk full"));
  EXPECT_FALSE(write_canonical(env, path, report).ok());
  EXPECT_FALSE(base::posix_env().exists(path));
  ASSERT_TRUE(write_canonical(base::posix_env(), path, report).ok());
  EXPECT_EQ(base::posix_env().read_file(path).value(), report.csv);
  EXPECT_TRUE(base::posix_env().remove(path).ok());
}

}  // namespace
}  // namespace perjoule::backends::intake
