#include "backends/intake/mapping.hpp"

#include <gtest/gtest.h>

#include "backends/intake/mapped_table.hpp"

namespace perjoule::backends::intake {
namespace {

const std::string kGood = R"(table = "carbon"
[fields.time]
column = "t"
[fields.intensity]
column = "ci"
[fields.region]
constant = "X"
[fields.kind]
constant = "average"
)";

std::string where(const std::string& toml) {
  const auto mapping = parse_mapping(toml, "m.toml");
  return mapping.ok() ? "accepted" : mapping.error().where;
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const auto at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

// One row of `t,ci` read by kGood with the time field's lines replaced.
std::string time_read(const std::string& time_field, const std::string& value) {
  const auto mapping =
      parse_mapping(replaced(kGood, "column = \"t\"", "column = \"t\"\n" + time_field), "m.toml");
  if (!mapping.ok()) return mapping.error().message();
  const auto table = MappedTable::parse("t,ci\n" + value + ",5\n", "d.csv", *mapping);
  const auto t = table->time(0, "time");
  return t.ok() ? base::format_iso8601(*t) : t.error().where;
}

TEST(Mapping, ReadsFieldsUnitsAndForm) {
  const auto m = parse_mapping(replaced(kGood, "column = \"ci\"", "column = \"ci\"\nunit = \"lb/MWh\"") +
                                   "[[generation]]\ncolumn = \"gas\"\ng_per_kwh = 490\n",
                               "m.toml");
  ASSERT_TRUE(m.ok()) << m.error().message();
  EXPECT_EQ(m->find("intensity")->unit, "lb/MWh");
  EXPECT_EQ(m->find("time")->unit, "iso8601");
  EXPECT_EQ(m->find("region")->constant, "X");
  EXPECT_EQ(m->find("end"), nullptr);
  ASSERT_EQ(m->generation.size(), 1u);
  EXPECT_EQ(m->generation[0].g_per_kwh, 490.0);
}

TEST(Mapping, NamesThePlaceOfEveryFault) {
  EXPECT_EQ(where(""), "m.toml:1:1");
  EXPECT_EQ(where("table = "), "m.toml:1:9");
  EXPECT_EQ(where("table = \"carbn\"\n"), "m.toml:1:9");
  EXPECT_EQ(where("\ntabel = \"carbon\"\n"), "m.toml:2:1");
  EXPECT_EQ(where(replaced(kGood, "column = \"t\"", "colum = \"t\"")), "m.toml:3:1");
  EXPECT_EQ(where(replaced(kGood, "column = \"t\"", "column = 3")), "m.toml:3:10");
  EXPECT_EQ(where(replaced(kGood, "column = \"ci\"", "column = \"ci\"\nunit = \"g/MWh\"")), "m.toml:6:8");
  EXPECT_EQ(where(replaced(kGood, "column = \"t\"", "column = \"t\"\nutc_offset = \"+1\"")), "m.toml:4:14");
  EXPECT_EQ(where(kGood + "[fields.duration]\ncolumn = \"d\"\n"), "m.toml:10:9");
  EXPECT_EQ(where(kGood + "[[generation]]\ncolumn = \"gas\"\ng_per_kwh = -1\n"), "m.toml:12:13");
  EXPECT_EQ(where(replaced(kGood, "column = \"t\"", "column = \"t\"\nconstant = \"0\"")), "m.toml:2:1");
  EXPECT_EQ(where("step = \"0h\"\n" + kGood), "m.toml:1:8");
  EXPECT_EQ(where("header = 1\n" + kGood), "m.toml:1:10");
  EXPECT_EQ(where("absent = [1]\n" + kGood), "m.toml:1:11");
  EXPECT_EQ(where("table = \"carbon\"\n[\n"), "m.toml:2:2");
  EXPECT_EQ(where("table = \"carbon\"\n[=]\n"), "m.toml:2:2");
  EXPECT_EQ(where("größe = 1\n"), "m.toml:1:3");
  EXPECT_EQ(where("a = 1\n\xc5\x9d = 1\n"), "m.toml:2:1");
  EXPECT_EQ(where("table =4{\"\xc3\x84\"\n"), "m.toml:1:9");
  EXPECT_EQ(where("# größe \"\"\"\nsource = \"gCO₂ \\\" '\"\n" + kGood), "accepted");
  EXPECT_EQ(where(kGood), "accepted");
}

TEST(Mapping, HintsAtTheNearestName) {
  const auto m = parse_mapping(replaced(kGood, "column = \"t\"", "colum = \"t\""), "m.toml");
  ASSERT_FALSE(m.ok());
  EXPECT_NE(m.error().hint.find("'column'"), std::string::npos) << m.error().hint;
}

TEST(Mapping, JobsNeedADurationOrSteps) {
  const std::string jobs =
      "table = \"jobs\"\n[fields.arrival]\ncolumn = \"a\"\n[fields.gpus]\nconstant = 1\n";
  EXPECT_EQ(where(jobs), "m.toml:1:1");
  EXPECT_EQ(where(jobs + "[fields.steps]\ncolumn = \"s\"\n"), "accepted");
  EXPECT_EQ(where("step = \"1h\"\n" + jobs), "m.toml:1:8");
}

TEST(Mapping, UnitsAreExact) {
  EXPECT_EQ(unit_factor("kg/kWh"), 1000.0);
  EXPECT_EQ(unit_factor("h"), 3600.0);
  EXPECT_EQ(unit_factor("iso8601"), 1.0);
  // 1 lb = 0.45359237 kg by definition, so 1 lb/MWh = 453.59237 g per 1,000 kWh.
  EXPECT_DOUBLE_EQ(unit_factor("lb/MWh"), 453.59237 / 1000);
}

TEST(MappedTable, ReadsEveryTimeFormat) {
  EXPECT_EQ(time_read("", "2022-03-01 05:00"), "2022-03-01T05:00:00Z");
  EXPECT_EQ(time_read("utc_offset = \"+01:00\"", "2022-03-01 05:00"), "2022-03-01T04:00:00Z");
  EXPECT_EQ(time_read("utc_offset = \"-08:00\"", "2022-03-01 05:00"), "2022-03-01T13:00:00Z");
  // A zone in the text wins.
  EXPECT_EQ(time_read("utc_offset = \"+01:00\"", "2022-03-01T05:00Z"), "2022-03-01T05:00:00Z");
  EXPECT_EQ(time_read("utc_offset = \"+01:00\"", "2022-03-01T05:00-02:00"), "2022-03-01T07:00:00Z");
  EXPECT_EQ(time_read("unit = \"epoch_s\"", "1646110800"), "2022-03-01T05:00:00Z");
  EXPECT_EQ(time_read("unit = \"epoch_s\"", "1646110800.5"), "2022-03-01T05:00:00.5Z");
  EXPECT_EQ(time_read("unit = \"epoch_ms\"", "1646110800250"), "2022-03-01T05:00:00.25Z");
  EXPECT_EQ(time_read("unit = \"dd.mm.yyyy\"", "01.03.2022 05:00 - 01.03.2022 06:00"),
            "2022-03-01T05:00:00Z");
  EXPECT_EQ(time_read("unit = \"dd.mm.yyyy\"", "01/03/2022 05:00"), "d.csv:2:1");
  EXPECT_EQ(time_read("unit = \"epoch_s\"", "99999999999999999"), "d.csv:2:1");
}

TEST(MappedTable, GivesNumbersInCanonicalUnitsAndAbsentAsNothing) {
  const auto mapping = parse_mapping(
      "absent = [\"n/e\"]\n" + replaced(kGood, "column = \"ci\"", "column = \"ci\"\nunit = \"kg/kWh\""),
      "m.toml");
  const auto table =
      MappedTable::parse("t,ci\n2022,0.25\n2023,n/e\n2024,\n2025,x\n2026,nan\n", "d.csv", *mapping);
  ASSERT_TRUE(table.ok());
  EXPECT_EQ(table->number(0, "intensity").value(), 250.0);
  EXPECT_EQ(table->number(1, "intensity").value(), std::nullopt);
  EXPECT_EQ(table->number(2, "intensity").value(), std::nullopt);
  EXPECT_EQ(table->number(3, "intensity").error().where, "d.csv:5:6");
  EXPECT_EQ(table->number(4, "intensity").error().where, "d.csv:6:6");
}

TEST(MappedTable, KeepsOnlyTheRowsAskedFor) {
  const auto mapping =
      parse_mapping(replaced(kGood, "constant = \"X\"", "column = \"zone\"\nonly = \"B\""), "m.toml");
  ASSERT_TRUE(mapping.ok()) << mapping.error().message();
  const auto table = MappedTable::parse("t,zone,ci\n1,A,1\n2,B,2\n3,A,3\n4,B,4\n", "d.csv", *mapping);
  ASSERT_EQ(table->rows(), 2u);
  EXPECT_EQ(table->number(1, "intensity").value(), 4.0);
  EXPECT_EQ(table->where(1, "intensity"), "d.csv:5:5");
}

TEST(MappedTable, MissingColumnNamesTheNearest) {
  const auto mapping = parse_mapping(kGood, "m.toml");
  const auto table = MappedTable::parse("time,cI\n", "d.csv", *mapping);
  ASSERT_FALSE(table.ok());
  EXPECT_EQ(table.error().where, "d.csv:1:1");
}

}  // namespace
}  // namespace perjoule::backends::intake
