#include "backends/replay/job_trace.hpp"

#include <gtest/gtest.h>

namespace perjoule::backends::replay {
namespace {

const std::string kData = std::string(PERJOULE_SOURCE_DIR) + "/data/jobs/";

std::string gaia_where(const std::string& rows) {
  const auto t = parse_jobs_gaia_1k("arrival_time,length,cpus\n" + rows, "j.csv");
  return t.ok() ? "accepted" : t.error().where;
}

// Figures of the source files as computed once with pandas.
TEST(JobTrace, ReadsGaia1k) {
  const auto t = read_jobs_gaia_1k(base::posix_env(), kData + "gaia_pai_1k.csv.gz");
  ASSERT_TRUE(t.ok()) << t.error().message();
  ASSERT_EQ(t->rows.size(), 1'000u);
  double duration = 0, arrival = 0;
  std::int64_t gpus = 0;
  for (const JobTraceRow& row : t->rows) {
    duration += row.duration->value();
    arrival += row.arrival.value();
    gpus += row.gpus;
  }
  EXPECT_EQ(arrival, 306'875'215.0);
  EXPECT_EQ(duration, 9'066'101.0);
  EXPECT_EQ(gpus, 1'236);
  EXPECT_EQ(t->rows.back().arrival.value(), 604'756.0);
  EXPECT_FALSE(t->start.has_value());
}

TEST(JobTrace, Gaia100kIsInHours) {
  const auto t = parse_jobs_gaia_100k("arrival_time,length,cpus\n0.0,25.5,1\n0.5,0.25,400\n", "j.csv");
  ASSERT_TRUE(t.ok());
  EXPECT_EQ(t->rows[0].duration->value(), 91'800.0);
  EXPECT_EQ(t->rows[1].arrival.value(), 1'800.0);
  EXPECT_EQ(t->rows[1].gpus, 400);
}

TEST(JobTrace, ReadsGavelSteps) {
  const auto t = read_jobs_gavel(base::posix_env(), kData + "gavel_msr_seed0_0e4a51.trace.tsv.gz");
  ASSERT_TRUE(t.ok()) << t.error().message();
  ASSERT_EQ(t->rows.size(), 1'181u);
  std::int64_t steps = 0, gpus = 0;
  for (const JobTraceRow& row : t->rows) {
    EXPECT_FALSE(row.duration.has_value());
    steps += *row.steps;
    gpus += row.gpus;
  }
  EXPECT_EQ(steps, 6'815'877'024);
  EXPECT_EQ(gpus, 3'236);
  EXPECT_EQ(t->rows[0].model, "Transformer (batch size 128)");
  EXPECT_EQ(t->rows.back().arrival.value(), 7'363'956.0);
  EXPECT_EQ(parse_jobs_gavel("a\tb\tc\t1\t5\t0\n", "g.tsv").error().where, "g.tsv:1:1");
}

TEST(JobTrace, NamesThePlaceOfEveryFault) {
  EXPECT_EQ(gaia_where("0,10,1\n5,10,2\n5,1,1\n"), "accepted");
  EXPECT_EQ(gaia_where(""), "j.csv:1:1");
  EXPECT_EQ(gaia_where("5,10,1\n4,10,1\n"), "j.csv:3:1");
  EXPECT_EQ(gaia_where("-5,10,1\n"), "j.csv:2:1");
  EXPECT_EQ(gaia_where("5,0,1\n"), "j.csv:2:3");
  EXPECT_EQ(gaia_where("5,-2,1\n"), "j.csv:2:3");
  EXPECT_EQ(gaia_where("5,nan,1\n"), "j.csv:2:3");
  EXPECT_EQ(gaia_where("inf,4,1\n"), "j.csv:2:1");
  EXPECT_EQ(gaia_where("5,,1\n"), "j.csv:2:3");
  EXPECT_EQ(gaia_where("5,4,0\n"), "j.csv:2:5");
  EXPECT_EQ(gaia_where("5,4,1.5\n"), "j.csv:2:5");
  EXPECT_EQ(gaia_where("5,1e30,1\n"), "j.csv:2:3");
  EXPECT_EQ(gaia_where("1e30,1,1\n"), "j.csv:2:1");
  EXPECT_EQ(gaia_where("5,4\n"), "j.csv:2:1");
  EXPECT_EQ(parse_jobs_gaia_1k("arrival,length,cpus\n1,2,3\n", "j.csv").error().where, "j.csv:1:1");
}

const std::string kSwf =
    "; Version: 2.2\n; UnixStartTime: 1000000000\n"
    "1 0 5 600 8 -1 -1 8 900 -1 1 12 3 -1 1 1 -1 -1\n"
    "  2 30 5 -1 4 -1 -1 4 900 -1 0 12 3 -1 1 1 -1 -1\n"
    "3 30.5 5 20 -1 -1 -1 16 900 -1 1 -1 3 -1 1 1 -1 -1\n";

TEST(JobTrace, ReadsStandardWorkloadFormat) {
  const auto t = parse_jobs_swf(kSwf, "a.swf");
  ASSERT_TRUE(t.ok()) << t.error().message();
  ASSERT_EQ(t->rows.size(), 2u);
  EXPECT_EQ(t->rows[0].gpus, 8);
  EXPECT_EQ(t->rows[0].tenant, "12");
  EXPECT_EQ(t->rows[1].gpus, 16);  // requested, none allocated
  EXPECT_EQ(t->rows[1].tenant, "");
  EXPECT_EQ(t->rows[1].arrival.value(), 30.5);
  ASSERT_EQ(t->rejected.size(), 1u);
  EXPECT_EQ(t->rejected[0].where, "a.swf:4:10");
  EXPECT_EQ(base::format_iso8601(*t->start), "2001-09-09T01:46:40Z");
}

TEST(JobTrace, SwfFaultsHavePlaces) {
  const auto place = [](const std::string& text) {
    const auto t = parse_jobs_swf(text, "a.swf");
    return t.ok() ? "accepted" : t.error().where;
  };
  EXPECT_EQ(place(kSwf + "4 29 5 20 1 -1 -1 16 900 -1 1 -1 3 -1 1 1 -1 -1\n"), "a.swf:6:3");
  EXPECT_EQ(place(kSwf + "4 nan 5 20 1 -1 -1 16 900 -1 1 -1 3 -1 1 1 -1 -1\n"), "a.swf:6:3");
  EXPECT_EQ(place(kSwf + "4 40 5 20 1\n"), "a.swf:6:1");
  EXPECT_EQ(place("1 0 5 600 8 -1 -1 8 900 -1 1 12 3 -1 1 1 -1 -1 7\n"), "a.swf:1:48");
  EXPECT_EQ(place("; UnixStartTime: soon\n"), "a.swf:1:3");
  EXPECT_EQ(place("; only comments\n"), "a.swf:1:1");
}

TEST(JobTrace, MappedRowsMayBeRejected) {
  const std::string toml =
      "table = \"jobs\"\nfields.arrival = {column = \"when\", unit = \"epoch_s\"}\n"
      "fields.duration = {column = \"len\", unit = \"min\"}\nfields.gpus = {constant = 2}\n";
  const std::string csv = "when,len\n1000,1\n1060,0\n1120,2\n";
  const auto strict = intake::parse_mapping(toml, "m.toml");
  ASSERT_TRUE(strict.ok()) << strict.error().message();
  EXPECT_EQ(parse_jobs_mapped(csv, "j.csv", *strict).error().where, "j.csv:3:6");
  const auto lenient = intake::parse_mapping("invalid_rows = \"reject\"\n" + toml, "m.toml");
  const auto t = parse_jobs_mapped(csv, "j.csv", *lenient);
  ASSERT_TRUE(t.ok()) << t.error().message();
  ASSERT_EQ(t->rows.size(), 2u);
  EXPECT_EQ(t->rows[1].arrival.value(), 120.0);
  EXPECT_EQ(t->rows[1].duration->value(), 120.0);
  EXPECT_EQ(t->rows[1].gpus, 2);
  ASSERT_EQ(t->rejected.size(), 1u);
  EXPECT_EQ(t->rejected[0].where, "j.csv:3:6");
  EXPECT_EQ(t->start->ns, 1000 * base::kNsPerSecond);
  EXPECT_EQ(parse_jobs_mapped("when,len\n1000,1\n999,1\n", "j.csv", *lenient).error().where, "j.csv:3:1");
}

TEST(JobTrace, CanonicalFileReadsBackTheSame) {
  for (const auto& trace : {read_jobs_gavel(base::posix_env(), kData + "gavel_msr_seed0_0e4a51.trace.tsv.gz"),
                            read_jobs_gaia_1k(base::posix_env(), kData + "gaia_pai_1k.csv.gz")}) {
    const std::string text = format_jobs_csv(*trace);
    const auto back = parse_jobs_csv(text, "c.csv");
    ASSERT_TRUE(back.ok()) << back.error().message();
    EXPECT_EQ(back->rows.size(), trace->rows.size());
    EXPECT_EQ(back->rows.back().arrival, trace->rows.back().arrival);
    EXPECT_EQ(format_jobs_csv(*back), text);
  }
}

}  // namespace
}  // namespace perjoule::backends::replay
