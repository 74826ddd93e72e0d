#include "energy/signal_catalogue.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <string>

namespace perjoule::energy {
namespace {

using enum SignalNumber;

const SourceInfo* source_of(SignalNumber n, Via via, std::string_view path) {
  for (const auto& s : signal_info(n).sources)
    if (s.via == via && s.path == path) return &s;
  return nullptr;
}

// What a raw unit is worth in the published one, written down apart from the generator's table.
struct Conversion {
  std::string_view raw, published;
  double scale;
};
constexpr Conversion kConversions[] = {
    {"uJ", "J", 0.000001},
    {"mJ", "J", 0.001},
    {"{2^-32.J}", "J", 1.0 / 4294967296.0},
    {"{15.259.uJ}", "J", 0.000015259},
    {"uW", "W", 0.000001},
    {"mW", "W", 0.001},
    {"dW", "W", 0.1},
    {"W", "W", 1},
    {"mV", "V", 0.001},
    {"V", "V", 1},
    {"mA", "A", 0.001},
    {"mCel", "Cel", 0.001},
    {"Cel", "Cel", 1},
    {"kHz", "Hz", 1000},
    {"MHz", "Hz", 1000000},
    {"us", "s", 0.000001},
    {"ms", "s", 0.001},
    {"ns", "s", 0.000000001},
    {"ns", "ns", 1},
    {"{10.ms}", "s", 0.01},
    {"%", "%", 1},
    {"%", "1", 0.01},
    {"1", "1", 1},
    {"By", "By", 1},
    {"KiBy", "By", 1024},
    {"MiBy", "By", 1024.0 * 1024.0},
    {"{4.By}", "By", 4},
    {"{64.By}", "By", 64},
    {"{512.By}", "By", 512},
    {"{cycle}", "{cycle}", 1},
    {"{instruction}", "{instruction}", 1},
    {"{count}", "{count}", 1},
    {"{error}", "{error}", 1},
    {"{page}", "{page}", 1},
    {"{flit}", "{flit}", 1},
    {"{tick}", "{tick}", 1},
    {"{rev}/min", "{rev}/min", 1},
    {"{text}", "1", 1},
    {"{flag}", "1", 1},
    {"{enum}", "1", 1},
    {"{bitmask}", "1", 1},
    {"{lane}", "1", 1},
};
constexpr Conversion kIntegrals[] = {{"dW", "J", 0.1}, {"By/s", "By", 1}, {"MiBy/s", "By", 1024.0 * 1024.0}};

bool scale_holds(const SignalInfo& signal, const SourceInfo& source) {
  const bool rate = source.derive == Derive::kIntegrate;
  const std::span<const Conversion> table = rate ? std::span<const Conversion>(kIntegrals) : kConversions;
  return std::any_of(table.begin(), table.end(), [&](const Conversion& c) {
    return c.raw == source.raw_unit && c.published == signal.unit &&
           std::abs(source.scale - c.scale) <= 1e-12 * c.scale;
  });
}

TEST(SignalCatalogue, Holds127NumberedInOrderWithUniqueNames) {
  const auto all = signal_catalogue();
  ASSERT_EQ(all.size(), 127u);
  std::set<std::string_view> names;
  for (std::size_t i = 0; i < all.size(); ++i) {
    EXPECT_EQ(all[i].id().number, i + 1);
    EXPECT_TRUE(names.insert(all[i].name).second) << all[i].name;
    EXPECT_NE(all[i].name.find('.'), std::string_view::npos) << all[i].name;
    EXPECT_FALSE(all[i].title.empty() || all[i].scope.empty()) << all[i].name;
  }
}

TEST(SignalCatalogue, EveryScaleTurnsTheRawUnitIntoThePublishedOne) {
  for (const auto& signal : signal_catalogue()) {
    EXPECT_FALSE(signal.sources.empty()) << signal.name;
    for (const auto& s : signal.sources)
      EXPECT_TRUE(scale_holds(signal, s))
          << signal.name << ' ' << s.path << ' ' << s.raw_unit << ' ' << s.scale;
  }
}

TEST(SignalCatalogue, CountersStateTheirWrapAndNothingElseDoes) {
  for (const auto& signal : signal_catalogue()) {
    for (const auto& s : signal.sources) {
      EXPECT_EQ(s.wrap.kind != WrapKind::kNotACounter, signal.kind == SignalKind::kCounter)
          << signal.name << ' ' << s.path;
      EXPECT_EQ(s.wrap.bits != 0, s.wrap.kind == WrapKind::kBits) << signal.name;
      EXPECT_EQ(!s.wrap.range_file.empty(), s.wrap.kind == WrapKind::kRangeFile) << signal.name;
      EXPECT_EQ(s.wrap.kind == WrapKind::kRangeFile,
                s.via == Via::kPowercap && signal.kind == SignalKind::kCounter);
      if (s.via == Via::kPerf) {
        EXPECT_EQ(s.wrap.kind, WrapKind::kNone) << signal.name;
      }
    }
  }
}

// The numbers read as one fast batch: energy, true frequency, idle states, power, cycles, link counters.
TEST(SignalCatalogue, FastClassIsTheBatchOfCounters) {
  const std::set<int> fast{1,  2,  3,  4,  5,  6,  16, 17, 18,  22,  23,  24,  25,  26,
                           27, 28, 67, 68, 69, 96, 97, 98, 100, 101, 102, 103, 104, 105};
  for (const auto& signal : signal_catalogue())
    EXPECT_EQ(signal.sampling == Sampling::kFast, fast.count(signal.id().number) == 1) << signal.name;
}

TEST(SignalCatalogue, TemperatureErrorsSuppliesAndLinkStateAreSlow) {
  for (const auto& signal : signal_catalogue()) {
    const bool errors = signal.name.find("ecc") != std::string_view::npos;
    if (signal.unit == "Cel" || errors || signal.domain == SignalDomain::kPsu || signal.number == kPcieLink) {
      EXPECT_EQ(signal.sampling, Sampling::kSlow) << signal.name;
    }
    for (const auto& s : signal.sources)
      if (s.via == Via::kRedfish) {
        EXPECT_EQ(signal.sampling, Sampling::kSlow) << signal.name;
      }
  }
}

TEST(OverlapGroups, AreUsedOuterFirstAndContainsFollowsThem) {
  const auto groups = overlap_groups();
  for (std::size_t g = 0; g < groups.size(); ++g) {
    if (groups[g].inside != kNoOverlapGroup) {
      EXPECT_LT(groups[g].inside, g);
    }
    const auto members = std::count_if(signal_catalogue().begin(), signal_catalogue().end(),
                                       [&](const SignalInfo& s) { return s.overlap_group == g; });
    EXPECT_GT(members, 0) << groups[g].name;
  }
  for (const auto& a : signal_catalogue()) {
    for (const auto n : a.contains) {
      EXPECT_FALSE(may_add(a.number, n)) << a.name;
      const auto& back = signal_info(n).contains;
      EXPECT_EQ(std::count(back.begin(), back.end(), a.number), 0) << a.name;
    }
  }
}

TEST(OverlapGroups, AlternativesOfOneGroupMeasureTheSameDimension) {
  for (const auto& a : signal_catalogue())
    for (const auto& b : signal_catalogue())
      if (a.overlap_group == b.overlap_group && a.overlap_group != kNoOverlapGroup && a.unit != b.unit) {
        EXPECT_TRUE((a.unit == "J" && b.unit == "W") || (a.unit == "W" && b.unit == "J"))
            << a.name << ' ' << b.name;
      }
}

TEST(OverlapGroups, EveryEnergyOrPowerReadingIsInOneButLimitsAreNot) {
  const std::set<SignalNumber> limits{kCpuCapLong,      kCpuCapShort, kGpuCapEnforced,
                                      kGpuCapRequested, kGpuCapRange, kNodeCap};
  for (const auto& s : signal_catalogue())
    if (s.unit == "J" || s.unit == "W") {
      EXPECT_EQ(s.overlap_group == kNoOverlapGroup, limits.count(s.number) == 1) << s.name;
    }
}

TEST(MayAdd, NeverThePlatformWithItsParts) {
  for (const auto part :
       {kCpuPkgEnergy, kCpuCoreEnergy, kCpuUncoreEnergy, kDramEnergy, kSocEnergy, kGpuEnergy}) {
    EXPECT_FALSE(may_add(kPsysEnergy, part)) << signal_info(part).name;
    EXPECT_FALSE(may_add(part, kPsysEnergy)) << signal_info(part).name;
    EXPECT_FALSE(may_add(kNodePower, part)) << signal_info(part).name;
  }
}

TEST(MayAdd, PartsThatDoNotTouchAndNoOthers) {
  EXPECT_TRUE(may_add(kCpuPkgEnergy, kDramEnergy));
  EXPECT_TRUE(may_add(kCpuPkgEnergy, kGpuEnergy));
  EXPECT_TRUE(may_add(kCpuCoreEnergy, kCpuUncoreEnergy));
  EXPECT_TRUE(may_add(kNetRx, kNetTx));
  EXPECT_FALSE(may_add(kCpuPkgEnergy, kCpuCoreEnergy));
  EXPECT_FALSE(may_add(kCpuPkgEnergy, kSocEnergy));
  EXPECT_FALSE(may_add(kGpuModulePower, kGpuPowerAvg));
  EXPECT_FALSE(may_add(kGpuModulePower, kGpuMemPower));
  EXPECT_FALSE(may_add(kGpuPowerAvg, kGpuPowerInst));
  EXPECT_FALSE(may_add(kPsuIn, kPsuOut));
  EXPECT_FALSE(may_add(kMbmTotal, kMbmLocal));
  EXPECT_FALSE(may_add(kNetRx, kNetRx));
}

TEST(CheckSum, NamesTheTwoThatClash) {
  const SignalNumber good[] = {kCpuPkgEnergy, kDramEnergy, kGpuEnergy};
  EXPECT_TRUE(check_sum(good).ok());
  const SignalNumber bad[] = {kDramEnergy, kGpuEnergy, kPsysEnergy};
  const auto status = check_sum(bad);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().where, "dram.energy + psys.energy");
  EXPECT_EQ(status.error().why, "psys.energy already contains dram.energy");
}

// A back end that exports by OpenTelemetry name lets its user sum over the name.
TEST(OpenTelemetryNames, OfEnergyAndPowerCanBeSummed) {
  std::map<std::string_view, int> used;
  for (const auto& a : signal_catalogue()) {
    ++used[a.otel];
    for (const auto& b : signal_catalogue())
      if (a.number < b.number && a.otel == b.otel && (a.otel == "hw.energy" || a.otel == "hw.power")) {
        EXPECT_TRUE(may_add(a.number, b.number)) << a.name << ' ' << b.name;
      }
  }
  EXPECT_EQ(used["hw.energy"], 3);
  EXPECT_EQ(signal_info(kNodePower).otel, "hw.host.power");
  EXPECT_EQ(signal_info(kPsysEnergy).otel, "hw.host.energy");
}

TEST(FindSignal, ByNameAndNumber) {
  ASSERT_TRUE(find_signal("gpu.power.avg").ok());
  EXPECT_EQ((*find_signal("gpu.power.avg"))->number, kGpuPowerAvg);
  EXPECT_EQ((*find_signal(std::uint16_t{127}))->name, "inlet.temp");
  EXPECT_FALSE(find_signal(std::uint16_t{0}).ok());
  EXPECT_FALSE(find_signal(std::uint16_t{128}).ok());
  const auto wrong = find_signal("gpu.pwer.avg");
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().kind, base::ErrorKind::kBadInput);
  EXPECT_EQ(wrong.error().hint, "Did you mean 'gpu.power.avg'?");
}

TEST(Rows, MatchHandWrittenExpectations) {
  const auto& gpu = signal_info(kGpuEnergy);
  EXPECT_EQ(gpu.id().number, 69);
  EXPECT_EQ(gpu.unit, "J");
  EXPECT_EQ(gpu.kind, SignalKind::kCounter);
  const auto* dcgm = source_of(kGpuEnergy, Via::kDcgm, "156");
  ASSERT_NE(dcgm, nullptr);
  EXPECT_EQ(dcgm->raw_unit, "mJ");
  EXPECT_DOUBLE_EQ(dcgm->scale, 1e-3);
  EXPECT_NE(source_of(kGpuEnergy, Via::kNvml, "field:83"), nullptr);
  const auto* npu = source_of(kGpuEnergy, Via::kDcmi, "dcmi_get_device_power_info");
  ASSERT_NE(npu, nullptr);
  EXPECT_EQ(npu->derive, Derive::kIntegrate);
  EXPECT_DOUBLE_EQ(npu->scale, 0.1);

  EXPECT_EQ(signal_info(kDramEnergy).id().number, 4);
  const auto* dram = source_of(kDramEnergy, Via::kPowercap, "/sys/class/powercap/intel-rapl:N:M/energy_uj");
  ASSERT_NE(dram, nullptr);
  EXPECT_EQ(dram->wrap.range_file, "max_energy_range_uj");
  EXPECT_NE(dram->note.find("reads dram"), std::string_view::npos);
}

TEST(Rows, LinksActivityAndDisksMatchHandWrittenExpectations) {
  EXPECT_EQ(signal_info(kGpuPcieTx).id().number, 100);
  ASSERT_NE(source_of(kGpuPcieTx, Via::kDcgm, "1091"), nullptr);
  const auto* field = source_of(kGpuPcieTx, Via::kNvml, "field:197");
  ASSERT_NE(field, nullptr);
  EXPECT_EQ(field->wrap.bits, 32);
  EXPECT_EQ(source_of(kGpuPcieTx, Via::kDcgm, "1009")->derive, Derive::kIntegrate);

  EXPECT_EQ(signal_info(kIbTx).id().number, 112);
  const auto* ib = source_of(kIbTx, Via::kSysfs, "/sys/class/infiniband/DEV/ports/P/counters/port_xmit_data");
  ASSERT_NE(ib, nullptr);
  EXPECT_DOUBLE_EQ(ib->scale, 4.0);

  ASSERT_NE(source_of(kSmActive, Via::kDcgm, "1002"), nullptr);
  EXPECT_DOUBLE_EQ(source_of(kSmActive, Via::kDcgm, "1002")->scale, 1.0);
  EXPECT_DOUBLE_EQ(source_of(kSmActive, Via::kGpm, "2")->scale, 0.01);
  EXPECT_EQ(signal_info(kDramActive).id().number, 91);
  ASSERT_NE(source_of(kDramActive, Via::kGpm, "10"), nullptr);
  EXPECT_EQ(signal_info(kNvlinkTx).id().number, 103);
  ASSERT_NE(source_of(kNvlinkTx, Via::kGpm, "61"), nullptr);
  EXPECT_DOUBLE_EQ(source_of(kDiskRead, Via::kProcfs, "/proc/diskstats:6")->scale, 512.0);
  EXPECT_FALSE(source_of(kNodePower, Via::kIpmi, "DCMI Get Power Reading")->verified);
}

}  // namespace
}  // namespace perjoule::energy
