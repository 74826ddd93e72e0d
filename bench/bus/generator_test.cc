#include "bench/bus/generator.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "bench/bus/reference.hpp"

namespace perjoule::bench {
namespace {

EventBatch batch_of(Generator& generator, std::int64_t index) {
  EventBatch out;
  generator.fill(index, out);
  return out;
}

void expect_equal(const EventBatch& a, const EventBatch& b) {
  EXPECT_EQ(a.seq, b.seq);
  EXPECT_EQ(a.request_text, b.request_text);
  EXPECT_EQ(a.request_id, b.request_id);
  EXPECT_EQ(a.joules.t0_ns, b.joules.t0_ns);
  EXPECT_EQ(a.joules.t1_ns, b.joules.t1_ns);
  EXPECT_EQ(a.joules.window_ns, b.joules.window_ns);
  EXPECT_EQ(a.joules.energy_uj, b.joules.energy_uj);
  EXPECT_EQ(a.joules.device, b.joules.device);
  EXPECT_EQ(a.joules.tenant, b.joules.tenant);
  EXPECT_EQ(a.joules.model, b.joules.model);
  EXPECT_EQ(a.joules.epoch, b.joules.epoch);
  EXPECT_EQ(a.joules.kernel, b.joules.kernel);
  EXPECT_EQ(a.joules.share, b.joules.share);
  EXPECT_EQ(a.joules.phase, b.joules.phase);
  EXPECT_EQ(a.joules.request, b.joules.request);
  EXPECT_EQ(a.samples.t_ns, b.samples.t_ns);
  EXPECT_EQ(a.samples.device, b.samples.device);
  EXPECT_EQ(a.samples.signal, b.samples.signal);
  EXPECT_EQ(a.samples.value, b.samples.value);
}

TEST(BusGenerator, AnyOrderGivesTheSameBatchesAsStreaming) {
  const GeneratorOptions options{7, 1'000'000, RequestNames::kTimeOrdered};
  Generator streaming(options), jumping(options);
  std::vector<EventBatch> streamed;
  for (std::int64_t i = 0; i < streaming.batches(); ++i) streamed.push_back(batch_of(streaming, i));
  ASSERT_EQ(streamed.size(), 16u);
  for (const std::int64_t i : {15, 3, 4, 4, 0, 9, 1})
    expect_equal(batch_of(jumping, i), streamed[static_cast<std::size_t>(i)]);
}

TEST(BusGenerator, AnotherSeedGivesOtherEvents) {
  Generator a({1, 100'000, RequestNames::kRandom}), b({2, 100'000, RequestNames::kRandom});
  const EventBatch x = batch_of(a, 0), y = batch_of(b, 0);
  EXPECT_NE(x.joules.energy_uj, y.joules.energy_uj);
  EXPECT_NE(x.request_text, y.request_text);
  EXPECT_NE(x.samples.value, y.samples.value);
}

// Counts over a whole stream of one million events; each test compares with numbers worked out by hand.
class BusStream : public ::testing::Test {
 protected:
  static constexpr std::int64_t kEvents = 1'000'000;
  static void SetUpTestSuite() {
    Generator generator({3, kEvents, RequestNames::kRandom});
    batches_ = new std::vector<EventBatch>;
    for (std::int64_t i = 0; i < generator.batches(); ++i) batches_->push_back(batch_of(generator, i));
  }
  static void TearDownTestSuite() { delete batches_; }
  template <class F>
  static void each_attribution(F f) {
    for (const auto& b : *batches_)
      for (std::size_t i = 0; i < b.joules.size(); ++i) f(b, i);
  }
  template <class F>
  static void each_sample(F f) {
    for (const auto& b : *batches_)
      for (std::size_t i = 0; i < b.samples.size(); ++i) f(b.samples, i);
  }
  static inline std::vector<EventBatch>* batches_ = nullptr;
};

TEST_F(BusStream, ThreeInFourAreAttributionsAndNoneIsMissing) {
  std::int64_t joules = 0, samples = 0;
  for (const auto& b : *batches_) {
    EXPECT_LE(b.events(), 65'536u);
    joules += static_cast<std::int64_t>(b.joules.size());
    samples += static_cast<std::int64_t>(b.samples.size());
  }
  EXPECT_EQ(joules + samples, kEvents);
  EXPECT_NEAR(static_cast<double>(joules), 750'000, 1);
}

TEST_F(BusStream, RequestsHaveFortyEventsOneTenantOneModelOneNode) {
  struct Seen {
    std::set<std::array<int, 3>> fixed;
    std::set<int> devices;
    std::int64_t first = INT64_MAX, last = 0;
    int rows = 0;
  };
  std::map<std::string, Seen> requests;
  each_attribution([&](const EventBatch& b, std::size_t i) {
    Seen& s = requests[std::string(b.request(i))];
    s.fixed.insert({b.joules.tenant[i], b.joules.model[i], b.joules.device[i] / kDevicesPerNode});
    s.devices.insert(b.joules.device[i]);
    s.first = std::min(s.first, b.joules.t1_ns[i]);
    s.last = std::max(s.last, b.joules.t1_ns[i]);
    ++s.rows;
  });
  // The spread of a lognormal with sigma 0.8 and mean 40 is 37.9; cut ends take about 1 % away.
  EXPECT_NEAR(750'000.0 / static_cast<double>(requests.size()), 39.6, 3 * 37.9 / std::sqrt(18'900.0));
  double seconds = 0;
  std::int64_t spread = 0;
  for (const auto& [name, s] : requests) {
    EXPECT_EQ(name.size(), 16u);
    EXPECT_EQ(s.fixed.size(), 1u) << name;
    EXPECT_LE(s.devices.size(), 4u);
    spread += s.devices.size() > 1;
    seconds += static_cast<double>(s.last - s.first) / 1e9;
  }
  EXPECT_NEAR(seconds / static_cast<double>(requests.size()), 9.7, 0.6);  // 38.6 ticks of 0.25 s
  EXPECT_NEAR(static_cast<double>(spread) / static_cast<double>(requests.size()), 0.1, 0.01);
}

TEST_F(BusStream, KernelsAndTenantsFollowZipf) {
  std::vector<double> kernels(kKernels), tenants(kTenants);
  each_attribution([&](const EventBatch& b, std::size_t i) {
    ++kernels[b.joules.kernel[i]];
    ++tenants[b.joules.tenant[i]];
  });
  double kernel_sum = 0, tenant_sum = 0;
  for (int k = 1; k <= kKernels; ++k) kernel_sum += std::pow(k, -1.2);
  for (int k = 1; k <= kTenants; ++k) tenant_sum += std::pow(k, -1.1);
  for (const int k : {1, 2, 10, 100}) {
    const double expected = 750'000 * std::pow(k, -1.2) / kernel_sum;
    EXPECT_NEAR(kernels[static_cast<std::size_t>(k - 1)], expected, 5 * std::sqrt(expected)) << k;
  }
  // A tenant's events come in requests: about 19,000 draws, each worth 40 +- 38 events.
  for (const int k : {1, 2, 5}) {
    const double p = std::pow(k, -1.1) / tenant_sum;
    EXPECT_NEAR(tenants[static_cast<std::size_t>(k - 1)] / 750'000, p, 7 * std::sqrt(p / 18'900)) << k;
  }
}

TEST_F(BusStream, FourInFiveEnergiesLieOnTheGridAndOneInAHundredIsLate) {
  std::int64_t on_grid = 0, late = 0, index = 0;
  double sum = 0;
  each_attribution([&](const EventBatch& b, std::size_t i) {
    const std::int64_t e = b.joules.energy_uj[i];
    EXPECT_GT(e, 0);
    on_grid += e % 1'000 == 0;
    sum += static_cast<double>(e);
    // Arrivals are even over the span.
    const auto arrival =
        kStartNs + static_cast<std::int64_t>(static_cast<double>(index++) / 750'000 * kSpanNs);
    const std::int64_t delay = arrival - b.joules.t1_ns[i];
    EXPECT_LE(delay, kLateNs + 100'000'000);
    EXPECT_GE(b.joules.t1_ns[i], kStartNs);
    EXPECT_EQ(b.joules.window_ns[i], b.joules.t1_ns[i] - b.joules.t1_ns[i] % kWindowNs);
    late += delay > 100'000'000;
  });
  EXPECT_NEAR(static_cast<double>(on_grid) / 750'000, 0.8 + 0.2 / 1'000, 0.003);
  EXPECT_NEAR(sum / 750'000, 75e6, 0.2e6);
  EXPECT_NEAR(static_cast<double>(late) / 750'000, 0.0098, 0.004);  // requests, not events, are drawn
}

TEST_F(BusStream, ReadingsAreMostlyDecimalAndCountersNeverFall) {
  std::int64_t full = 0;
  std::vector<std::map<std::int64_t, double>> counters(kDevices);
  std::set<int> signals;
  each_sample([&](const Samples& s, std::size_t i) {
    full += std::abs(s.value[i] * 1'000 - std::round(s.value[i] * 1'000)) > 1e-4;
    signals.insert(s.signal[i]);
    if (s.signal[i] == kEnergyCounter) counters[s.device[i]][s.t_ns[i]] = s.value[i];
  });
  EXPECT_NEAR(static_cast<double>(full) / 250'000, 0.2, 0.02);
  for (const auto& counter : counters) {
    double before = 0;
    for (const auto& [t, value] : counter) {
      EXPECT_GE(value, before);
      before = value;
    }
  }
}

TEST(BusGenerator, OneBatchInAThousandIsResent) {
  Generator generator({5, 1'000'000'000, RequestNames::kRandom});
  EXPECT_TRUE(generator.is_resent(0));
  std::int64_t resent = 0;
  for (std::int64_t i = 1; i < 100'000; ++i) resent += generator.is_resent(i);
  EXPECT_NEAR(static_cast<double>(resent), 100, 40);
}

TEST(BusGenerator, TimeOrderedNamesSortByTheFirstEvent) {
  Generator generator({5, 1'000'000, RequestNames::kTimeOrdered});
  const EventBatch early = batch_of(generator, 2), late = batch_of(generator, 12);
  EXPECT_EQ(early.request(0).size(), 26u);
  for (std::size_t i = 0; i < early.request_id.size(); ++i)
    for (std::size_t k = 0; k < late.request_id.size(); ++k) EXPECT_LT(early.name(i), late.name(k));
}

TEST(BusReference, SumsOfTheHeatMapAndTheAuditAreTheStreams) {
  const GeneratorOptions options{11, 200'000, RequestNames::kRandom};
  Generator generator(options);
  std::int64_t energy = 0;
  for (std::int64_t i = 0; i < generator.batches(); ++i)
    for (const auto e : batch_of(generator, i).joules.energy_uj) energy += e;
  const QueryParams params = choose_params(options);
  const auto ids = all_queries();
  const auto answers = reference_answers(options, ids, params);
  const auto sum = [&](QueryId id, std::size_t column) {
    std::int64_t out = 0;
    for (const auto n : answers[static_cast<std::size_t>(id)].columns[column].numbers) out += n;
    return out;
  };
  EXPECT_EQ(sum(QueryId::kHeatMap, 2), energy);
  EXPECT_EQ(sum(QueryId::kHeatMap, 3), 150'000);
  EXPECT_GT(answers[0].rows(), 0u);
  EXPECT_EQ(answers[1].rows(), 0u);
  EXPECT_EQ(answers[static_cast<std::size_t>(QueryId::kTopKernels)].rows(), kTopKernelCount);
}

TEST(BusAnswer, NamesAndPlacesAreTheSameAndOrderDoesNotCount) {
  Answer places = empty_answer(QueryId::kTopKernels), texts = places;
  places.columns[0].numbers = {3, 12};
  places.columns[1].numbers = {70, 80};
  texts.columns[0].texts = {"kernel_0012", "kernel_0003"};
  texts.columns[1].numbers = {80, 70};
  EXPECT_EQ(difference(texts, places), "");
  texts.columns[1].numbers[0] = 81;
  EXPECT_NE(difference(texts, places), "");
}

}  // namespace
}  // namespace perjoule::bench
