#include "backends/replay/record_source.hpp"

#include <gtest/gtest.h>

#include "conformance/conformance.hpp"

namespace perjoule::backends::replay {
namespace {

using base::TimePoint;
using device::Validity;
using energy::Quality;
using energy::SampleRow;

constexpr std::string_view kGpu = "site/r1/n1/gpu/0";
TimePoint ms(std::int64_t n) { return {n * base::kNsPerMs}; }

struct World {
  explicit World(TimePoint start = {0}) : clock(start) {}
  base::SymbolTable symbols;
  base::VirtualClock clock;

  SampleRow row(TimePoint t, std::string_view signal, double value, Quality quality = Quality::kMeasured,
                double window_ms = energy::kAbsent) {
    return {t.ns, symbols.intern(kGpu), symbols.intern(signal), value, quality, window_ms, {}, 0};
  }
  std::unique_ptr<RecordSource> play(std::vector<SampleRow> rows) {
    auto made = RecordSource::from_rows(rows, clock, symbols, {20'000, Quality::kMeasured});
    EXPECT_TRUE(made.ok()) << made.error().message();
    return std::move(*made);
  }
  base::Result<std::unique_ptr<RecordSource>> play_csv(const std::string& text) {
    auto table = base::CsvTable::parse(text, "record.csv");
    EXPECT_TRUE(table.ok());
    return RecordSource::from_csv(*table, clock, symbols);
  }
};

std::vector<SampleRow> a_record(World& w) {
  std::vector<SampleRow> rows;
  for (int k = 0; k < 40; ++k) {
    rows.push_back(w.row(ms(25 * k), "gpu.power.avg", k == 7 ? energy::kAbsent : 300.0 + k,
                         k == 7 ? Quality::kMissing : Quality::kMeasured, 25.0));
    rows.push_back(w.row(ms(20 * k), "gpu.energy", 7.5 * k));
    rows.push_back(w.row(ms(30 * k + 100), "rig.shunt", 0.5 * k, Quality::kDerived));
  }
  return rows;
}

TEST(RecordSource, Conforms) {
  conformance::run_source_conformance([] {
    auto world = std::make_shared<World>();
    auto source = world->play(a_record(*world));
    return conformance::SourceUnderTest{
        std::move(source), [world](base::Duration d) { world->clock.advance_to(world->clock.now() + d); },
        world};
  });
}

device::SlotId push(RecordSource& source, std::string_view signal) {
  auto slot = source.push(signal, kGpu);
  EXPECT_TRUE(slot.ok()) << slot.error().message();
  return *slot;
}

TEST(RecordSource, ShowsTheNewestRowOfEachSignal) {
  World w;
  auto source = w.play(a_record(w));
  const auto power = push(*source, "gpu.power.avg"), energy = push(*source, "gpu.energy");
  const auto shunt = push(*source, "rig.shunt");
  device::BatchStamp stamp;
  w.clock.advance_to(ms(74));
  ASSERT_TRUE(source->read_batch(stamp).ok());
  EXPECT_EQ(source->sample(power).value, 302.0);
  EXPECT_EQ(source->sample(power).t_device, ms(50));
  EXPECT_EQ(source->sample(power).window, base::milliseconds(25));
  EXPECT_EQ(*source->next_update(power), ms(75));
  EXPECT_EQ(source->sample(energy).count, 22'500'000) << "22.5 J in microjoules";
  EXPECT_EQ(source->sample(shunt).missing, device::MissingReason::kGap) << "its record begins later";
  EXPECT_EQ(*source->next_update(shunt), ms(100));
  w.clock.advance_to(ms(180));
  ASSERT_TRUE(source->read_batch(stamp).ok());
  EXPECT_EQ(source->sample(power).missing, device::MissingReason::kGap) << "the row says so";
  EXPECT_EQ(source->sample(shunt).quality, Quality::kDerived);
}

TEST(RecordSource, GoesStaleAfterItsLastRow) {
  World w;
  auto source =
      w.play({w.row(ms(0), "gpu.temp", 40), w.row(ms(100), "gpu.temp", 41), w.row(ms(200), "gpu.temp", 42)});
  const auto temp = push(*source, "gpu.temp");
  device::BatchStamp stamp;
  w.clock.advance_to(ms(500));
  ASSERT_TRUE(source->read_batch(stamp).ok());
  EXPECT_EQ(source->sample(temp).validity, Validity::kOk);
  EXPECT_EQ(source->next_update(temp), std::nullopt);
  w.clock.advance_to(ms(501));
  ASSERT_TRUE(source->read_batch(stamp).ok());
  EXPECT_EQ(source->sample(temp).validity, Validity::kStale);
  EXPECT_EQ(source->sample(temp).value, 42.0);
}

TEST(RecordSource, AFallingCounterIsAReset) {
  World w;
  auto source = w.play({w.row(ms(0), "gpu.energy", 10), w.row(ms(100), "gpu.energy", 1)});
  const auto energy = push(*source, "gpu.energy");
  device::BatchStamp stamp;
  ASSERT_TRUE(source->read_batch(stamp).ok());
  w.clock.advance_to(ms(100));
  ASSERT_TRUE(source->read_batch(stamp).ok());
  EXPECT_EQ(source->sample(energy).validity, Validity::kReset);
}

TEST(RecordSource, ASignalIsAsGoodAsItsWorstRow) {
  World w;
  auto source = w.play(
      {w.row(ms(0), "gpu.temp", 40, Quality::kMeasured), w.row(ms(1), "gpu.temp", 40, Quality::kSimulated)});
  EXPECT_EQ(source->signals()[0].quality, Quality::kSimulated);
  EXPECT_EQ(source->signals()[0].number, 75);
}

TEST(RecordSource, ReadsACsv) {
  World w(ms(1));
  auto made = w.play_csv(
      "t_ns,device,signal,value\n0,site/r1/n1/gpu/0,gpu.temp,40.5\n1000000,site/r1/n1/gpu/0,gpu.temp,\n");
  ASSERT_TRUE(made.ok()) << made.error().message();
  const auto temp = push(**made, "gpu.temp");
  device::BatchStamp stamp;
  ASSERT_TRUE((*made)->read_batch(stamp).ok());
  EXPECT_EQ((*made)->sample(temp).missing, device::MissingReason::kGap);
  World early(ms(0));
  auto again = early.play_csv("t_ns,device,signal,value\n0,site/r1/n1/gpu/0,gpu.temp,40.5\n");
  const auto slot = push(**again, "gpu.temp");
  ASSERT_TRUE((*again)->read_batch(stamp).ok());
  EXPECT_EQ((*again)->sample(slot).value, 40.5);
}

TEST(RecordSource, RefusesWhatCannotBePlayed) {
  World w;
  const std::string head = "t_ns,device,signal,value\n";
  const auto error_of = [&](const std::string& text) {
    auto made = w.play_csv(text);
    EXPECT_FALSE(made.ok()) << text;
    return made.ok() ? std::string() : made.error().message();
  };
  EXPECT_NE(error_of(head).find("no row"), std::string::npos);
  EXPECT_NE(error_of(head + "5,d,gpu.temp,1\n5,d,gpu.temp,2\n").find("record.csv:3:"), std::string::npos);
  EXPECT_NE(error_of(head + "5,d,gpu.temp,1\n4,d,gpu.temp,2\n").find("does not grow"), std::string::npos);
  EXPECT_NE(error_of(head + "5,d,gpu.energy,-1\n").find("counter"), std::string::npos);
  EXPECT_NE(error_of(head + "5,,gpu.temp,1\n").find("empty"), std::string::npos);
  EXPECT_NE(error_of(head + "5,d,gpu.temp,warm\n").find("record.csv:2:"), std::string::npos);
  EXPECT_NE(error_of("t_ns,device,value\n5,d,1\n").find("signal"), std::string::npos);
}

}  // namespace
}  // namespace perjoule::backends::replay
