#include "backends/replay/formats.hpp"

#include <gtest/gtest.h>

#include "backends/grid/formats.hpp"
#include "backends/replay/job_trace.hpp"
#include "backends/replay/request_trace.hpp"

namespace perjoule::backends::replay {
namespace {

const std::string kData = std::string(PERJOULE_SOURCE_DIR) + "/data/";

intake::ImportRegistry every_format() {
  intake::ImportRegistry registry;
  grid::register_formats(registry);
  register_formats(registry);
  return registry;
}

TEST(Formats, AllBackEndsShareOneRegistry) {
  const auto registry = every_format();
  EXPECT_EQ(registry.formats().size(), 15u);
  const auto wrong = registry.find("mooncacke");
  ASSERT_FALSE(wrong.ok());
  EXPECT_NE(wrong.error().hint.find("'mooncake'"), std::string::npos) << wrong.error().hint;
}

TEST(Formats, ImportGivesFilesOurReadersTake) {
  const auto registry = every_format();
  intake::ImportRequest request;
  request.path = kData + "jobs/gaia_pai_1k.csv.gz";
  const auto jobs = import_trace(registry, base::posix_env(), "gaia-1k", request);
  ASSERT_TRUE(jobs.ok()) << jobs.error().message();
  EXPECT_EQ(jobs->rows, 1'000);
  EXPECT_EQ(parse_jobs_csv(jobs->csv, "c.csv")->rows.size(), 1'000u);
  request.path = kData + "llm/AzureLLMInferenceTrace_conv.csv.gz";
  const auto requests = import_trace(registry, base::posix_env(), "azure-llm", request);
  ASSERT_TRUE(requests.ok()) << requests.error().message();
  EXPECT_EQ(requests->table, intake::Table::kRequests);
  EXPECT_EQ(parse_requests_csv(requests->csv, "c.csv")->rows.size(), 19'366u);
  request.path = kData + "jobs/gavel_msr_seed0_0e4a51.trace.tsv.gz";
  const auto gavel = import_trace(registry, base::posix_env(), "gavel", request);
  ASSERT_TRUE(gavel.ok());
  EXPECT_EQ(gavel->notes.back(), "1181 jobs have steps but no duration");
}

TEST(Formats, AMissingFileIsNamed) {
  intake::ImportRequest request;
  request.path = kData + "jobs/none.csv";
  const auto report = import_trace(every_format(), base::posix_env(), "swf", request);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().kind, base::ErrorKind::kMissing);
  EXPECT_NE(report.error().message().find("none.csv"), std::string::npos);
}

}  // namespace
}  // namespace perjoule::backends::replay
