#include "api/otlp.hpp"

#include <gtest/gtest.h>

#include <bit>

#include "api/proto_reader.hpp"
#include "api/test_otlp.hpp"
#include "energy/signal_catalogue.hpp"

namespace perjoule::api {
namespace {

// Just enough of a protobuf writer to say what an exporter says.
std::string varint(std::uint64_t v) {
  std::string out;
  for (; v >= 0x80; v >>= 7) out += static_cast<char>((v & 0x7F) | 0x80);
  return out + static_cast<char>(v);
}
std::string number(std::uint32_t field, std::uint64_t v) { return varint(field << 3) + varint(v); }
std::string fixed(std::uint32_t field, std::uint64_t v) {
  std::string out = varint(field << 3 | 1);
  for (int i = 0; i < 8; ++i) out += static_cast<char>(v >> (8 * i));
  return out;
}
std::string real(std::uint32_t field, double v) { return fixed(field, std::bit_cast<std::uint64_t>(v)); }
std::string bytes(std::uint32_t field, const std::string& v) {
  return varint(field << 3 | 2) + varint(v.size()) + v;
}
std::string attribute(std::uint32_t field, const std::string& key, const std::string& value) {
  return bytes(field, bytes(1, key) + bytes(2, bytes(1, value)));
}
const std::string kResource = bytes(1, attribute(1, "host.id", "n1") + attribute(1, "service.name", "agent"));
std::string request(const std::string& metric, const std::string& resource = kResource) {
  return bytes(1, resource + bytes(2, bytes(2, metric)));
}
constexpr std::uint64_t kTime = 1'777'593'600'000'000'000;

std::string gpu_energy(std::uint64_t temporality = 2) {
  const std::string point =
      attribute(7, "hw.id", "gpu0") + attribute(7, "hw.type", "gpu") + fixed(3, kTime) + real(4, 1234.5);
  return bytes(1, "hw.energy") + bytes(3, "J") +
         bytes(7, bytes(1, point) + number(2, temporality) + number(3, 1));
}

// What the slow reader says, once the server's has said the same twice: new, and with what it remembers.
base::Result<OtlpBatch> read_otlp(std::string_view bytes) {
  OtlpReader reader("otlp/1");
  const OtlpOutcome slow = slow_outcome(bytes);
  EXPECT_EQ(outcome_of(reader, bytes), slow);
  EXPECT_EQ(outcome_of(reader, bytes), slow);
  return read_otlp_slowly(bytes);
}

TEST(Otlp, ReadsASum) {
  const auto batch = read_otlp(request(gpu_energy()));
  ASSERT_TRUE(batch.ok()) << batch.error().message();
  ASSERT_EQ(batch->points.size(), 1U);
  EXPECT_EQ(batch->points[0].t_ns, static_cast<std::int64_t>(kTime));
  const auto mapped = map_point(batch->points[0]);
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(mapped->device, "n1/gpu0");
  EXPECT_EQ(mapped->signal, "gpu.energy");
  EXPECT_EQ(mapped->value, 1234.5);
}

TEST(Otlp, TheResourceMayComeLast) {
  const auto batch = read_otlp(bytes(1, bytes(2, bytes(2, gpu_energy())) + kResource));
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(map_point(batch->points.at(0))->device, "n1/gpu0");
}

TEST(Otlp, ReadsGaugesOfWholeNumbersUnderTheirOwnName) {
  const auto minus_five = static_cast<std::uint64_t>(std::int64_t{-5});
  const auto batch = read_otlp(
      request(bytes(1, "app.queue") + bytes(5, bytes(1, attribute(7, "zone", "b") + attribute(7, "a", "1") +
                                                            fixed(3, kTime) + fixed(6, minus_five)))));
  ASSERT_TRUE(batch.ok());
  const auto mapped = map_point(batch->points.at(0));
  ASSERT_TRUE(mapped.ok());
  EXPECT_EQ(mapped->device, "n1");
  EXPECT_EQ(mapped->signal, "app.queue{a=1,zone=b}");
  EXPECT_EQ(mapped->value, -5.0);
}

TEST(Otlp, ReadsSumAndCountOfAHistogram) {
  const auto batch = read_otlp(request(
      bytes(1, "latency") +
      bytes(9, bytes(1, fixed(3, kTime) + fixed(4, 7) + real(5, 2.25) + bytes(6, std::string(16, '\1'))) +
                   number(2, 2))));
  ASSERT_TRUE(batch.ok());
  ASSERT_EQ(batch->points.size(), 2U);
  EXPECT_EQ(batch->points[0].metric, "latency.count");
  EXPECT_EQ(batch->points[0].value, 7.0);
  EXPECT_EQ(batch->points[1].metric, "latency.sum");
  EXPECT_EQ(batch->points[1].value, 2.25);
}

TEST(Otlp, DropsWithAReason) {
  const auto delta = read_otlp(request(gpu_energy(1)));
  ASSERT_TRUE(delta.ok());
  EXPECT_TRUE(delta->points.empty());
  EXPECT_EQ(count_of(delta->drops), 1U);
  EXPECT_NE(text_of(delta->drops).find("delta"), std::string::npos);
  const auto none = read_otlp(
      request(bytes(1, "x") + bytes(5, bytes(1, fixed(3, kTime) + number(8, 1)) + bytes(1, real(4, 1.0)))));
  ASSERT_TRUE(none.ok());
  EXPECT_EQ(text_of(none->drops), "1 point: the point has no time; 1 point: the point has no value");
  const auto summary = read_otlp(request(bytes(1, "x") + bytes(11, bytes(1, fixed(3, kTime)))));
  EXPECT_EQ(count_of(summary->drops), 1U);
  const auto nobody = read_otlp(request(gpu_energy(), bytes(1, "")));
  EXPECT_EQ(map_point(nobody->points.at(0))->device, "gpu0");
}

TEST(Otlp, RefusesWhatIsNoMessage) {
  const std::string good = request(gpu_energy());
  for (std::size_t n = 1; n < good.size(); ++n) EXPECT_FALSE(read_otlp(good.substr(0, n)).ok()) << n;
  EXPECT_FALSE(read_otlp("hello").ok());
  EXPECT_FALSE(read_otlp(std::string(12, '\xff')).ok());
  EXPECT_TRUE(read_otlp("")->points.empty());
  std::string points;
  for (std::size_t i = 0; i <= kMostOtlpPoints; ++i) points += bytes(1, fixed(3, kTime) + real(4, 1.0));
  EXPECT_FALSE(read_otlp(request(bytes(1, "x") + bytes(5, points))).ok());
}

TEST(Otlp, ALongNameOrAttributeIsNotMultiplied) {
  const std::string longer(100'000, 'x');
  const auto batch =
      read_otlp(request(bytes(1, longer) + bytes(5, bytes(1, fixed(3, kTime) + real(4, 1.0)))));
  ASSERT_TRUE(batch.ok());
  EXPECT_LT(batch->points.at(0).metric.size(), 2000U);
  EXPECT_FALSE(map_point(batch->points.at(0)).ok());
  const auto host = read_otlp(request(gpu_energy(), bytes(1, attribute(1, "host.id", longer))));
  EXPECT_EQ(map_point(host->points.at(0))->device, "gpu0");
}

// Points that differ in little, asked of one reader that remembers those before.
TEST(Otlp, RemembersNothingWrong) {
  OtlpReader reader("otlp/1");
  for (const char* host : {"n1", "n2"}) {
    for (const char* metric : {"hw.energy", "hw.power", "own"}) {
      for (const char* gpu : {"0", "1"}) {
        for (const std::uint64_t after : {1U, 2U}) {
          const std::string apart = attribute(7, "hw.id", gpu) + fixed(3, kTime + after) +
                                    attribute(7, "hw.type", "gpu") +
                                    real(4, 7.5 * static_cast<double>(after));
          const std::string one = request(bytes(1, metric) + bytes(5, bytes(1, apart) + bytes(1, apart)),
                                          bytes(1, attribute(1, "host.id", host)));
          EXPECT_EQ(outcome_of(reader, one), slow_outcome(one));
        }
      }
    }
  }
}

TEST(Otlp, KeepsEachPointOfMoreThanABlock) {
  std::string points;
  for (std::size_t i = 0; i < kMostOtlpPoints; ++i)
    points += bytes(1, fixed(3, kTime + i) + fixed(4, i) + real(5, 1.0));
  const auto batch = read_otlp(request(bytes(1, "latency") + bytes(9, points + number(2, 2))));
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->points.size(), 2 * kMostOtlpPoints);
}

TEST(Otlp, EverySignalOfTheTableIsInTheCatalogue) {
  for (const auto& m : otlp_mappings()) EXPECT_TRUE(energy::find_signal(m.signal).ok()) << m.signal;
}

TEST(Otlp, ReadsTheJsonForm) {
  const auto batch =
      read_otlp_json(R"({"resourceMetrics":[{"resource":{"attributes":[{"key":"host.id","value":
    {"stringValue":"n1"}}]},"scopeMetrics":[{"metrics":[{"name":"hw.gpu.utilization","gauge":{"dataPoints":[
    {"timeUnixNano":"1777593600000000000","asDouble":0.5,"attributes":[{"key":"hw.id","value":{"intValue":"3"}}]}]}},
    {"name":"c","sum":{"aggregationTemporality":1,"dataPoints":[{"timeUnixNano":"1","asInt":"4"}]}}]}]}]})");
  ASSERT_TRUE(batch.ok());
  ASSERT_EQ(batch->points.size(), 1U);
  const auto mapped = map_point(batch->points[0]);
  EXPECT_EQ(mapped->device, "n1/3");
  EXPECT_EQ(mapped->signal, "gpu.util");
  EXPECT_EQ(mapped->value, 50.0);
  EXPECT_EQ(count_of(batch->drops), 1U);
  for (const char* bad : {"", "[]", "{", "{}", R"({"resourceMetrics":3})"})
    EXPECT_FALSE(read_otlp_json(bad).ok()) << bad;
  for (const char* odd :
       {R"({"resourceMetrics":[3]})", R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":["x"]}]}]})",
        R"({"resourceMetrics":[{"resource":{"attributes":[1,{"key":2}]}}]})"})
    EXPECT_TRUE(read_otlp_json(odd).ok()) << odd;
}

TEST(Otlp, TheResponseSaysWhatWasDropped) {
  EXPECT_EQ(otlp_response({}), "");
  const std::string response = otlp_response({{"why", 3}});
  ProtoReader outer(response);
  ASSERT_TRUE(outer.next());
  ProtoReader partial(outer.bytes());
  ASSERT_TRUE(partial.next());
  EXPECT_EQ(partial.field(), 1U);
  EXPECT_EQ(partial.number(), 3U);
  ASSERT_TRUE(partial.next());
  EXPECT_EQ(partial.bytes(), "3 points: why");
  EXPECT_EQ(otlp_response_json({}), "{}\n");
}

TEST(ProtoReader, IsNotLed) {
  for (const std::string& bad :
       {std::string("\x0a\xff\xff\xff\xff\x0f"), std::string("\x08"), std::string("\x09\1\2"),
        std::string("\x0b"), std::string("\x00\x01", 2), "\x08" + std::string(9, '\xff') + "\x7f"}) {
    ProtoReader in(bad);
    while (in.next()) {
    }
    EXPECT_TRUE(in.failed());
  }
}

}  // namespace
}  // namespace perjoule::api
