#include "backends/grid/carbon_readers.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "backends/grid/formats.hpp"
#include "backends/intake/import.hpp"

namespace perjoule::backends::grid {
namespace {

using base::TimePoint;
using energy::CarbonKind;
using energy::Quality;

const std::string kData = std::string(PERJOULE_SOURCE_DIR) + "/data/carbon/";

struct Summary {
  double least = 1e9, most = 0, mean = 0;
};
Summary summary(const CarbonSeries& series) {
  Summary out;
  for (const CarbonPoint& p : series.points()) {
    out.least = std::min(out.least, p.intensity.value());
    out.most = std::max(out.most, p.intensity.value());
    out.mean += p.intensity.value() / static_cast<double>(series.points().size());
  }
  return out;
}

std::vector<std::string> rejected_times(const CarbonSeries& series, RejectReason reason) {
  std::vector<std::string> out;
  for (const RejectedInterval& r : series.rejected()) {
    if (r.reason == reason) out.push_back(base::format_iso8601(r.t0));
  }
  return out;
}

intake::Mapping mapping_of(const std::string& rest, const std::string& kind = "constant = \"average\"") {
  auto m = intake::parse_mapping("table = \"carbon\"\n" + rest +
                                     "\n[fields.time]\ncolumn = \"t\"\n[fields.kind]\n" + kind +
                                     "\n[fields.region]\nconstant = \"X\"\n",
                                 "m.toml");
  EXPECT_TRUE(m.ok()) << m.error().message();
  return *m;
}
const std::string kIntensity = "[fields.intensity]\ncolumn = \"ci\"";

std::string where(const std::string& text, const intake::Mapping& mapping) {
  const auto s = parse_carbon_mapped(text, "d.csv", mapping);
  return s.ok() ? "accepted" : s.error().where;
}

// Figures of the source files as computed once with pandas.
TEST(CarbonReaders, CisoRejectsItsThreeEmptyHours) {
  const auto s = read_carbon_dcrl(base::posix_env(), kData + "dcrl_CISO_2022.csv.gz", "CISO");
  ASSERT_TRUE(s.ok()) << s.error().message();
  EXPECT_EQ(s->points().size(), 8'757u);
  EXPECT_EQ(
      rejected_times(*s, RejectReason::kEmpty),
      (std::vector<std::string>{"2022-01-05T10:00:00Z", "2022-05-17T18:00:00Z", "2022-06-13T18:00:00Z"}));
  EXPECT_EQ(s->rejected().size(), 3u);
  EXPECT_EQ(s->rejected()[0].where, kData + "dcrl_CISO_2022.csv.gz:108:1");
  const Summary figures = summary(*s);
  EXPECT_NEAR(figures.mean, 256.18807088985204, 1e-8);
  EXPECT_DOUBLE_EQ(figures.least, 74.09690130754075);
  EXPECT_DOUBLE_EQ(figures.most, 449.03303796725544);
}

TEST(CarbonReaders, PjmRejectsEmptyAndPartialHours) {
  const auto s = read_carbon_dcrl(base::posix_env(), kData + "dcrl_PJM_2022.csv.gz", "PJM");
  ASSERT_TRUE(s.ok()) << s.error().message();
  EXPECT_EQ(s->points().size(), 8'732u);
  const auto empty = rejected_times(*s, RejectReason::kEmpty);
  ASSERT_EQ(empty.size(), 23u);
  EXPECT_EQ(empty.front(), "2022-03-13T07:00:00Z");
  EXPECT_EQ(empty[21], "2022-03-14T04:00:00Z");
  EXPECT_EQ(empty.back(), "2022-11-07T05:00:00Z");
  EXPECT_EQ(rejected_times(*s, RejectReason::kPartialGeneration),
            (std::vector<std::string>{"2022-10-01T05:00:00Z", "2022-10-01T06:00:00Z", "2022-10-01T07:00:00Z",
                                      "2022-10-01T08:00:00Z", "2022-10-02T04:00:00Z"}));
  EXPECT_EQ(s->rejected().size(), 28u);
  const Summary figures = summary(*s);
  EXPECT_NEAR(figures.mean, 362.8009420068744, 1e-8);
  EXPECT_DOUBLE_EQ(figures.least, 272.52927813870036);
}

TEST(CarbonReaders, SocoHasNoGap) {
  const auto s = read_carbon_dcrl(base::posix_env(), kData + "dcrl_SOCO_2022.csv.gz", "SOCO");
  ASSERT_TRUE(s.ok());
  EXPECT_EQ(s->points().size(), 8'760u);
  EXPECT_TRUE(s->rejected().empty());
  EXPECT_NEAR(summary(*s).mean, 423.1984153877673, 1e-8);
}

TEST(CarbonReaders, FranceLacksOneHourInside) {
  const auto s = read_carbon_opendc(base::posix_env(), kData + "opendc_FR_2022.csv.gz", "FR");
  ASSERT_TRUE(s.ok()) << s.error().message();
  EXPECT_EQ(s->points().size(), 8'735u);
  ASSERT_EQ(s->rejected().size(), 1u);
  EXPECT_EQ(s->rejected()[0].reason, RejectReason::kNoRow);
  // The file steps from 12:00 to 14:00.
  EXPECT_EQ(base::format_iso8601(s->rejected()[0].t0), "2022-04-16T13:00:00Z");
  EXPECT_EQ(s->end(), base::parse_iso8601("2022-12-31").value());
  EXPECT_NEAR(summary(*s).mean, 24.075756, 1e-6);
}

// dcrl states its intensity as the mean weighted by generation: computing it from the columns must give the
// same.
TEST(CarbonReaders, IntensityFromGenerationMatchesTheFiles) {
  const auto mapping = intake::parse_mapping(R"(
table = "carbon"
fields.time.column = "timestamp"
fields.kind.constant = "average"
fields.region.constant = "SOCO"
generation = [ {column = "WND", g_per_kwh = 11}, {column = "SUN", g_per_kwh = 41}, {column = "WAT", g_per_kwh = 24},
  {column = "NUC", g_per_kwh = 12}, {column = "NG", g_per_kwh = 490}, {column = "OIL", g_per_kwh = 650},
  {column = "COL", g_per_kwh = 820}, {column = "OTH", g_per_kwh = 230} ]
)",
                                             "m.toml");
  ASSERT_TRUE(mapping.ok()) << mapping.error().message();
  const std::string path = kData + "dcrl_SOCO_2022.csv.gz";
  const auto computed = read_carbon_mapped(base::posix_env(), path, *mapping);
  const auto stated = read_carbon_dcrl(base::posix_env(), path, "SOCO");
  ASSERT_TRUE(computed.ok()) << computed.error().message();
  ASSERT_EQ(computed->points().size(), stated->points().size());
  for (std::size_t i = 0; i < stated->points().size(); ++i) {
    ASSERT_NEAR(computed->points()[i].intensity.value(), stated->points()[i].intensity.value(), 1e-9);
  }
}

TEST(CarbonReaders, AnnualFactorsAreModelledProfiles) {
  const std::string path = kData + "cn_mee_average_factors.csv";
  const auto s = read_carbon_factors(base::posix_env(), path, "Guangdong", 2022);
  ASSERT_TRUE(s.ok()) << s.error().message();
  const auto answer =
      s->grams_per_kwh_at(base::parse_iso8601("2022-08-01T03:00Z").value(), GapPolicy::kRefuse);
  EXPECT_DOUBLE_EQ(answer.intensity->value(), 440.3);
  EXPECT_EQ(answer.quality, Quality::kModelled);
  EXPECT_FALSE(s->grams_per_kwh_at(s->end(), GapPolicy::kRefuse).intensity.has_value());
  EXPECT_EQ(s->shifted_to_year(2024)->rejected().size(), 0u);
  const auto no_year = read_carbon_factors(base::posix_env(), path, "China", 2021);
  ASSERT_FALSE(no_year.ok());
  EXPECT_EQ(no_year.error().where, path + ":2:14");
  EXPECT_NE(no_year.error().hint.find("2022, 2023"), std::string::npos) << no_year.error().hint;
  const auto wrong = read_carbon_factors(base::posix_env(), path, "Guangdon", 2022);
  EXPECT_NE(wrong.error().hint.find("'Guangdong'"), std::string::npos);
}

TEST(CarbonReaders, NamesThePlaceOfEveryFault) {
  const auto m = mapping_of(kIntensity);
  const std::string head = "t,ci\n2022-01-01T00:00Z,100\n2022-01-01T01:00Z,110\n";
  EXPECT_EQ(where(head, m), "accepted");
  EXPECT_EQ(where("", m), "d.csv:1:1");
  EXPECT_EQ(where("t,ci\n", m), "d.csv:1:1");
  EXPECT_EQ(where("time,ci\n2022-01-01,1\n", m), "d.csv:1:1");
  EXPECT_EQ(where(head + "2022-01-01T01:00Z,120\n", m), "d.csv:4:1");
  EXPECT_EQ(where(head + "2022-01-01T00:30Z,120\n", m), "d.csv:4:1");
  EXPECT_EQ(where(head + "2022-01-01T02:00Z,nan\n", m), "d.csv:4:19");
  EXPECT_EQ(where(head + "2022-01-01T02:00Z,inf\n", m), "d.csv:4:19");
  EXPECT_EQ(where(head + "2022-01-01T02:00Z,-3\n", m), "d.csv:4:19");
  EXPECT_EQ(where(head + "2022-01-01T02:00Z,5000\n", m), "d.csv:4:19");
  EXPECT_EQ(where(head + "2022-13-01T02:00Z,3\n", m), "d.csv:4:1");
  EXPECT_EQ(where(head + "1690-01-01T02:00Z,3\n", m), "d.csv:4:1");
  EXPECT_EQ(where(head + "2022-01-01T02:00Z,3,4\n", m), "d.csv:4:1");
  EXPECT_EQ(where("t,ci\n2022-01-01T00:00Z,100\n", m), "d.csv:2:1");
  EXPECT_EQ(where("t,ci\n2022-01-01T00:00Z,\n2022-01-01T01:00Z,\n", m), "d.csv:2:1");
}

TEST(CarbonReaders, TruncatedGzipIsOneErrorWithItsByte) {
  const auto bytes = base::posix_env().read_file(kData + "opendc_FR_2022.csv.gz").value();
  const std::string path = testing::TempDir() + "cut.csv.gz";
  ASSERT_TRUE(base::write_atomically(base::posix_env(), path, bytes.substr(0, bytes.size() / 2)).ok());
  const auto s = read_carbon_opendc(base::posix_env(), path, "FR");
  ASSERT_FALSE(s.ok());
  EXPECT_NE(s.error().where.find(path + ": byte "), std::string::npos) << s.error().where;
  EXPECT_TRUE(base::posix_env().remove(path).ok());
}

TEST(CarbonReaders, OneSeriesHasOneKindAndOneRegion) {
  const auto m = mapping_of(kIntensity, "column = \"k\"");
  EXPECT_EQ(where("t,ci,k\n2022-01-01,1,average\n2022-01-02,1,marginal\n", m), "d.csv:3:14");
  EXPECT_EQ(where("t,ci,k\n2022-01-01,1,mean\n2022-01-02,1,mean\n", m), "d.csv:2:14");
  const auto only = mapping_of(kIntensity, "column = \"k\"\nonly = \"marginal\"");
  const auto s = parse_carbon_mapped(
      "t,ci,k\n2022-01-01,1,average\n2022-01-02,2,marginal\n2022-01-03,-3,marginal\n", "d.csv", only);
  ASSERT_TRUE(s.ok()) << s.error().message();
  EXPECT_EQ(s->kind(), CarbonKind::kMarginal);
  EXPECT_EQ(s->points().size(), 2u);
  EXPECT_EQ(s->points()[1].intensity.value(), -3);
}

TEST(CarbonReaders, PartialGenerationNeedsEnoughNeighbours) {
  const auto m = mapping_of("generation = [{column = \"gas\", g_per_kwh = 490}]");
  std::string text = "t,gas\n";
  for (int h = 0; h < 6; ++h) text += "2022-01-01T0" + std::to_string(h) + ":00Z,1000\n";
  const auto few = parse_carbon_mapped(text + "2022-01-01T06:00Z,499\n", "d.csv", m);
  ASSERT_EQ(few->rejected().size(), 1u);
  EXPECT_EQ(few->rejected()[0].where, "d.csv:8:1");
  EXPECT_EQ(parse_carbon_mapped(text + "2022-01-01T06:00Z,500\n", "d.csv", m)->rejected().size(), 0u);
  const auto too_few = parse_carbon_mapped("t,gas\n2022-01-01T00:00Z,9\n2022-01-01T01:00Z,900\n", "d.csv", m);
  EXPECT_EQ(too_few->rejected().size(), 0u);
}

TEST(CarbonReaders, IntervalEndsMayBeGiven) {
  const auto m = mapping_of("[fields.end]\ncolumn = \"e\"\n" + kIntensity);
  const auto s = parse_carbon_mapped(
      "t,e,ci\n2022-01-01T00:00Z,2022-01-01T01:00Z,5\n2022-01-01T02:00Z,2022-01-01T02:15Z,6\n", "d.csv", m);
  ASSERT_TRUE(s.ok()) << s.error().message();
  EXPECT_EQ(rejected_times(*s, RejectReason::kNoRow), std::vector<std::string>{"2022-01-01T01:00:00Z"});
  EXPECT_EQ(
      where("t,e,ci\n2022-01-01T00:00Z,2022-01-01T03:00Z,5\n2022-01-01T02:00Z,2022-01-01T03:00Z,6\n", m),
      "d.csv:2:19");
  EXPECT_EQ(where("t,e,ci\n2022-01-01T00:00Z,2022-01-01T00:00Z,5\n", m), "d.csv:2:19");
}

TEST(CarbonReaders, CanonicalFileReadsBackTheSame) {
  const auto s = read_carbon_dcrl(base::posix_env(), kData + "dcrl_PJM_2022.csv.gz", "PJM");
  const std::string text = format_carbon_csv(*s);
  const auto back = parse_carbon_csv(text, "c.csv");
  ASSERT_TRUE(back.ok()) << back.error().message();
  EXPECT_EQ(format_carbon_csv(*back), text);
  EXPECT_EQ(back->source(), s->source());
  ASSERT_EQ(back->points().size(), s->points().size());
  for (std::size_t i = 0; i < s->points().size(); ++i) {
    ASSERT_EQ(back->points()[i].intensity, s->points()[i].intensity);
    ASSERT_EQ(back->points()[i].t0, s->points()[i].t0);
  }
  EXPECT_EQ(rejected_times(*back, RejectReason::kPartialGeneration).size(), 5u);
  EXPECT_EQ(rejected_times(*back, RejectReason::kEmpty).size(), 23u);
}

TEST(CarbonReaders, CanonicalFileFaultsHavePlaces) {
  const std::string head = "t0_ns,t1_ns,region,kind,g_per_kwh,quality,source,note\n";
  const auto place = [&](const std::string& rows) {
    const auto s = parse_carbon_csv(head + rows, "c.csv");
    return s.ok() ? "accepted" : s.error().where;
  };
  EXPECT_EQ(place("0,10,X,average,5,derived,s,\n"), "accepted");
  EXPECT_EQ(place("0,10,X,average,5,derived,s,\n5,20,X,average,5,derived,s,\n"), "c.csv:3:1");
  EXPECT_EQ(place("0,10,X,average,5,derived,s,\n10,20,X,marginal,5,derived,s,\n"), "c.csv:3:9");
  EXPECT_EQ(place("0,10,X,average,5,good,s,\n"), "c.csv:2:18");
  EXPECT_EQ(place("0,10,X,average,5,missing,s,empty: x\n"), "c.csv:2:16");
  EXPECT_EQ(place("0,10,X,average,,missing,s,why\n"), "c.csv:2:27");
  EXPECT_EQ(place("10,10,X,average,5,derived,s,\n"), "c.csv:2:4");
}

TEST(CarbonReaders, ImportListsWhatItRejects) {
  intake::ImportRegistry registry;
  register_formats(registry);
  intake::ImportRequest request;
  request.path = kData + "dcrl_CISO_2022.csv.gz";
  EXPECT_FALSE(import_trace(registry, base::posix_env(), "dcrl-carbon", request).ok());
  request.region = "CISO";
  const auto report = import_trace(registry, base::posix_env(), "dcrl-carbon", request);
  ASSERT_TRUE(report.ok()) << report.error().message();
  EXPECT_EQ(report->rows, 8'757);
  ASSERT_EQ(report->rejected.size(), 3u);
  EXPECT_EQ(report->rejected[0].time, "2022-01-05T10:00:00Z");
  EXPECT_TRUE(parse_carbon_csv(report->csv, "c.csv").ok());
}

// Every mapping shipped as an example must be readable.
TEST(CarbonReaders, ExampleMappingsAreValid) {
  const std::string folder = std::string(PERJOULE_SOURCE_DIR) + "/examples/mappings";
  const auto names = base::posix_env().list(folder);
  ASSERT_TRUE(names.ok());
  EXPECT_GE(names->size(), 6u);
  for (const std::string& name : *names) {
    if (!name.ends_with(".toml")) continue;
    const auto mapping = intake::read_mapping(base::posix_env(), folder + "/" + name);
    EXPECT_TRUE(mapping.ok()) << mapping.error().message();
  }
}

}  // namespace
}  // namespace perjoule::backends::grid
