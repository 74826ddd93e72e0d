// Every fixed query beside a slow twin that looks at each row, over sealed files and tail, with one thread
// and with two.
#include "bus/queries.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/memory_env.hpp"
#include "bus/engine.hpp"
#include "bus/query_kernels.hpp"
#include "bus/test_rows.hpp"

namespace perjoule::bus {
namespace {

constexpr const char* kStore = "/store";
constexpr std::int64_t kSecond = 1'000'000'000;

// Rows as the twin keeps them: all texts plain.
struct Joule {
  std::map<std::string, std::string> text;
  std::int64_t window_ns = 0, t1_ns = 0, energy_uj = 0, seq = 0;
};
struct Sample {
  std::string device, signal;
  std::int64_t t_ns = 0;
  double value = 0;
};

class QueriesTest : public ::testing::TestWithParam<unsigned> {
 protected:
  void SetUp() override {
    EngineOptions o;
    o.threads = false;
    o.lock = false;
    o.log.segment_bytes = 1 << 20;
    o.group_rows = 700;
    o.encoding.page_rows = 128;
    // Rollups of several steps of time, and some left out; or all of the finest.
    if (GetParam() == 2) o.rollups.few_sums = 1000, o.rollups.rows_per_sum = 2;
    auto engine = Engine::open(env_, kStore, o);
    ASSERT_TRUE(engine.ok()) << engine.error().message();
    engine_ = std::move(*engine);
    for (std::uint64_t n = 1; n <= 8; ++n) {
      store_joules(n);
      store_samples(n);
      store_meters(n);
      // The last blocks stay in the tail.
      if (n == 3 || n == 6) {
        ASSERT_TRUE(engine_->seal_all().ok());
      }
    }
    QueryOptions q;
    q.threads = GetParam();
    auto session = QuerySession::open(env_, kStore, q);
    ASSERT_TRUE(session.ok()) << session.error().message();
    session_ = std::move(*session);
    ASSERT_FALSE(session_->store().tail().empty());
  }

  std::string plain(energy::Symbol s) const { return std::string(symbols_.text(s)); }

  void store_joules(std::uint64_t n) {
    TableBuilder builder(Table::kJoules, symbols_, 400);
    for (int i = 0; i < 400; ++i) {
      energy::JouleRow r = maker_.joule();
      r.window_ns = static_cast<std::int64_t>(maker_.below(100)) * kSecond - 50 * kSecond;
      r.t1_ns = r.window_ns + static_cast<std::int64_t>(maker_.below(2'000'000'000));
      r.energy_uj = static_cast<std::int64_t>(maker_.below(2'000'000)) - 1000;
      r.consumer.request = maker_.name("req", 200);
      r.device = maker_.below(9) == 0 ? energy::Symbol{}
                                      : symbols_.intern("n" + std::to_string(maker_.below(4)) + "/g" +
                                                        std::to_string(maker_.below(3)));
      builder.append(r);
      const auto& c = r.consumer;
      joules_.push_back({{{"device", plain(r.device)},
                          {"meter", plain(r.meter)},
                          {"tenant", plain(c.tenant)},
                          {"model", plain(c.model)},
                          {"epoch", plain(c.epoch)},
                          {"request", plain(c.request)},
                          {"kernel", plain(c.kernel)},
                          {"phase", plain(c.phase)},
                          {"job", plain(c.job)},
                          {"source", plain(r.source)},
                          {"node", node_of(plain(r.device))}},
                         r.window_ns,
                         r.t1_ns,
                         r.energy_uj,
                         r.seq});
    }
    store(builder, Table::kJoules, n);
  }

  // The meters table says where g0 of node n1 stands; the others by name.
  static std::string node_of(const std::string& device) {
    return device == "n1/g0" ? "elsewhere" : device.substr(0, device.find('/'));
  }

  void store_samples(std::uint64_t n) {
    TableBuilder builder(Table::kSamples, symbols_, 500);
    for (int i = 0; i < 500; ++i) {
      energy::SampleRow r = maker_.sample();
      r.t_ns = static_cast<std::int64_t>(maker_.below(100)) * kSecond - 50 * kSecond;
      r.device =
          symbols_.intern("n" + std::to_string(maker_.below(4)) + "/g" + std::to_string(maker_.below(3)));
      r.signal = maker_.name("sig", 5);
      r.value = maker_.below(9) == 0 ? energy::kAbsent : static_cast<double>(maker_.below(100'000)) / 1000;
      builder.append(r);
      samples_.push_back({plain(r.device), plain(r.signal), r.t_ns, r.value});
    }
    store(builder, Table::kSamples, n);
  }

  void store_meters(std::uint64_t n) {
    TableBuilder builder(Table::kMeters, symbols_, 2);
    for (const char* device : {"n1/g0", "n2/g1"}) {
      energy::MeterRow r;
      r.meter = r.device = symbols_.intern(device);
      r.node = symbols_.intern(node_of(device));
      r.window_ns = static_cast<std::int64_t>(n) * kSecond;
      r.energy_uj = static_cast<std::int64_t>(n) * 1'000'000;
      metered_[device] += r.energy_uj;
      builder.append(r);
    }
    store(builder, Table::kMeters, n);
  }

  void store(TableBuilder& builder, Table table, std::uint64_t n) {
    const std::string source = "source of " + std::string(schema_of(table).name);
    auto block = encode_block(table, builder.take(), {source, n - 1, n, n});
    ASSERT_TRUE(block.ok());
    ASSERT_EQ(engine_->store(std::move(*block)).outcome, Outcome::kStored);
  }

  using Groups = std::map<std::vector<std::string>, std::pair<std::int64_t, std::uint64_t>>;

  Groups twin(const EnergyQuery& q) const {
    Groups out;
    for (const Joule& j : joules_) {
      const auto passes = [&](const auto& f) { return !j.text.at(f.column).empty(); };
      bool in = q.window.holds(q.time == JouleTime::kWindow ? j.window_ns : j.t1_ns);
      for (const auto& f : q.is) in = in && passes(f) && j.text.at(f.column) == f.text;
      for (const auto& f : q.between) {
        const std::string& t = j.text.at(f.column);
        in = in && passes(f) && t >= f.from && (f.to.empty() || t < f.to);
      }
      if (!in) continue;
      std::vector<std::string> key;
      for (const auto& d : q.by) key.push_back(j.text.at(d));
      auto& [energy, rows] = out[key];
      energy += j.energy_uj;
      ++rows;
    }
    return out;
  }

  void expect_equal(EnergyQuery q) {
    expect_right(q);
    q.rollups = false;
    expect_right(q);
  }

  void expect_right(const EnergyQuery& q) {
    const auto answer = energy_by(*session_, q);
    ASSERT_TRUE(answer.ok()) << answer.error().message();
    Groups got;
    for (std::size_t i = 0; i < answer->groups.size(); ++i) {
      const auto& g = answer->groups[i];
      std::vector<std::string> key;
      for (std::size_t d = 0; d < q.by.size(); ++d) key.emplace_back(g.keys[d]);
      EXPECT_TRUE(got.emplace(key, std::pair(g.energy_uj, g.rows)).second);
      if (i > 0) {
        EXPECT_GE(answer->groups[i - 1].energy_uj, g.energy_uj);
      }
    }
    Groups expected = twin(q);
    if (q.limit != 0 && expected.size() > q.limit) {
      EXPECT_EQ(got.size(), q.limit);
      for (const auto& [key, cell] : got) EXPECT_EQ(expected.at(key), cell);
    } else {
      EXPECT_EQ(got, expected);
    }
  }

  base::MemoryEnv env_;
  base::SymbolTable symbols_;
  testing::RowMaker maker_{symbols_, 7};
  std::unique_ptr<Engine> engine_;
  std::unique_ptr<QuerySession> session_;
  std::vector<Joule> joules_;
  std::vector<Sample> samples_;
  std::map<std::string, std::int64_t> metered_;
};

TEST_P(QueriesTest, EnergyByAnyDimensions) {
  const TimeWindow window{-20 * kSecond, 10 * kSecond}, odd{-17 * kSecond - 5, 33 * kSecond + 7},
      begun{std::numeric_limits<std::int64_t>::min(), 5 * kSecond};
  for (const std::vector<std::string>& by : {std::vector<std::string>{"tenant"},
                                             {"node"},
                                             {"node", "phase"},
                                             {"tenant", "model"},
                                             {"request", "kernel"},
                                             {"tenant", "job", "model"},
                                             {"phase", "node", "device"},
                                             {"request", "kernel", "device", "job", "epoch", "source"}}) {
    EnergyQuery q;
    q.by = by;
    expect_equal(q);
    q.window = window;
    expect_equal(q);
    for (const TimeWindow& w : {odd, begun, TimeWindow{kSecond, 4 * kSecond}}) {
      q.window = w;
      q.time = JouleTime::kWindow;
      expect_equal(q);
      q.time = JouleTime::kEnd;
      expect_equal(q);
    }
    q.is = {{"model", "mo1"}};
    expect_equal(q);
    q.between = {{"epoch", "e0", "e1"}, {"kernel", "k1", ""}};
    expect_equal(q);
    q.limit = 3;
    expect_equal(q);
  }
}

TEST_P(QueriesTest, RollupsAnswerWhatTheyHave) {
  EnergyQuery q;
  const auto rollup_of = [&] { return energy_by(*session_, q).value().rollup; };
  q.by = {"node", "phase"};
  EXPECT_EQ(rollup_of(), "joules_by_device");
  const std::uint64_t rows = session_->stats().rows;
  q.rollups = false;
  EXPECT_EQ(rollup_of(), "");
  EXPECT_LT(rows, session_->stats().rows);
  q.rollups = true;
  q.by = {"tenant", "model"};
  EXPECT_EQ(rollup_of(), GetParam() == 2 ? "" : "joules_by_consumer");
  q.is = {{"phase", "decode"}};
  EXPECT_EQ(rollup_of(), "");
}

TEST_P(QueriesTest, NothingToFind) {
  EnergyQuery q;
  q.by = {"tenant"};
  q.is = {{"model", "no such model"}};
  expect_equal(q);
  q.is.clear();
  q.window = {1000 * kSecond, 2000 * kSecond};
  expect_equal(q);
  q.by = {"colour"};
  EXPECT_FALSE(energy_by(*session_, q).ok());
  q.by.assign(kMostDimensions + 1, "tenant");
  EXPECT_FALSE(energy_by(*session_, q).ok());
  q.by = {"energy_uj"};
  EXPECT_FALSE(energy_by(*session_, q).ok());
}

TEST_P(QueriesTest, AnswersGrowWithTheStore) {
  EnergyQuery q;
  q.by = {"tenant", "device"};
  expect_equal(q);
  store_joules(9);
  ASSERT_TRUE(session_->refresh().ok());
  expect_equal(q);
  ASSERT_TRUE(engine_->seal_all().ok());
  ASSERT_TRUE(session_->refresh(engine_->snapshot()).ok());
  EXPECT_TRUE(session_->store().tail().empty());
  expect_equal(q);
}

TEST_P(QueriesTest, TextsThatAreNotKeptAreLearntAgain) {
  QueryOptions o;
  o.threads = GetParam();
  o.map_bytes = 0;
  auto session = QuerySession::open(env_, kStore, o);
  ASSERT_TRUE(session.ok());
  session_ = std::move(*session);
  EnergyQuery q;
  q.by = {"node", "kernel"};
  expect_equal(q);
  expect_equal(q);
}

TEST_P(QueriesTest, OneRequest) {
  for (const std::string name : {"req0", "req7", "req199", "no such request"}) {
    const auto answer = request_rows(*session_, name);
    ASSERT_TRUE(answer.ok()) << answer.error().message();
    std::multiset<std::vector<std::string>> got, expected;
    const auto row = [](std::int64_t t1, std::int64_t e, std::int64_t seq, std::string d, std::string k,
                        std::string p) {
      return std::vector<std::string>{std::to_string(t1), std::to_string(e), std::to_string(seq),
                                      std::move(d),       std::move(k),      std::move(p)};
    };
    for (const auto& r : answer->rows) {
      const auto text = [&](energy::Symbol s) { return std::string(answer->symbols->text(s)); };
      EXPECT_EQ(text(r.consumer.request), name);
      got.insert(
          row(r.t1_ns, r.energy_uj, r.seq, text(r.device), text(r.consumer.kernel), text(r.consumer.phase)));
    }
    for (const auto& j : joules_) {
      if (j.text.at("request") == name)
        expected.insert(
            row(j.t1_ns, j.energy_uj, j.seq, j.text.at("device"), j.text.at("kernel"), j.text.at("phase")));
    }
    EXPECT_EQ(got, expected) << name;
  }
}

TEST_P(QueriesTest, OneDevice) {
  for (const TimeWindow window : {TimeWindow{}, TimeWindow{-7 * kSecond, 31 * kSecond}}) {
    DeviceQuery q{"n2/g1", window, 7 * kSecond, true};
    const auto answer = device_timeline(*session_, q);
    ASSERT_TRUE(answer.ok()) << answer.error().message();
    std::map<std::pair<std::string, std::int64_t>, std::vector<double>> buckets;
    std::map<std::int64_t, std::pair<std::int64_t, std::uint64_t>> energies;
    const auto bucket = [&](std::int64_t t) {
      return static_cast<std::int64_t>(std::floor(static_cast<double>(t) / (7.0 * kSecond))) * 7 * kSecond;
    };
    for (const auto& s : samples_) {
      if (s.device == q.device && window.holds(s.t_ns) && !std::isnan(s.value))
        buckets[{s.signal, bucket(s.t_ns)}].push_back(s.value);
    }
    for (const auto& j : joules_) {
      if (j.text.at("device") != q.device || !window.holds(j.t1_ns)) continue;
      energies[bucket(j.t1_ns)].first += j.energy_uj;
      ++energies[bucket(j.t1_ns)].second;
    }
    ASSERT_EQ(answer->signals.size(), buckets.size());
    auto it = buckets.begin();
    for (const auto& b : answer->signals) {
      EXPECT_EQ(b.signal, it->first.first);
      EXPECT_EQ(b.from_ns, it->first.second);
      EXPECT_EQ(b.rows, it->second.size());
      EXPECT_EQ(b.least, *std::min_element(it->second.begin(), it->second.end()));
      EXPECT_EQ(b.greatest, *std::max_element(it->second.begin(), it->second.end()));
      double sum = 0;
      for (const double v : it->second) sum += v;
      EXPECT_NEAR(b.mean, sum / static_cast<double>(it->second.size()), 1e-9);
      ++it;
    }
    ASSERT_EQ(answer->joules.size(), energies.size());
    auto e = energies.begin();
    for (const auto& b : answer->joules) {
      EXPECT_EQ(b.from_ns, e->first);
      EXPECT_EQ(b.energy_uj, e->second.first);
      EXPECT_EQ(b.rows, e++->second.second);
    }
  }
  const auto none = device_timeline(*session_, {"no such device", {}, kSecond, true});
  ASSERT_TRUE(none.ok());
  EXPECT_TRUE(none->signals.empty() && none->joules.empty());
  EXPECT_FALSE(device_timeline(*session_, {"n2/g1", {}, 0, true}).ok());
}

TEST_P(QueriesTest, LastValues) {
  std::map<std::pair<std::string, std::string>, std::pair<std::int64_t, double>> expected;
  for (const auto& s : samples_) {
    const auto [it, fresh] = expected.try_emplace({s.device, s.signal}, s.t_ns, s.value);
    const Reading old{it->second.first, it->second.second, {}};
    if (!fresh && Reading{s.t_ns, s.value, {}}.is_newer_than(old)) it->second = {s.t_ns, s.value};
  }
  const auto answer = last_values(*session_);
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  ASSERT_EQ(answer->values.size(), expected.size());
  auto it = expected.begin();
  for (const auto& v : answer->values) {
    EXPECT_EQ(answer->devices[v.device], it->first.first);
    EXPECT_EQ(answer->signals[v.signal], it->first.second);
    EXPECT_EQ(v.t_ns, it->second.first);
    EXPECT_TRUE(v.value == it->second.second || (std::isnan(v.value) && std::isnan(it->second.second)));
    ++it;
  }
}

TEST_P(QueriesTest, HotRequests) {
  const HotRequestQuery q{"sig1", 95, 10};
  std::set<std::pair<std::string, std::int64_t>> hot;
  const auto second = [](std::int64_t t) {
    return static_cast<std::int64_t>(std::floor(static_cast<double>(t) / kSecond));
  };
  for (const auto& s : samples_) {
    if (s.signal == q.temperature && s.value > q.above) hot.emplace(s.device, second(s.t_ns));
  }
  std::map<std::string, std::int64_t> totals;
  for (const auto& j : joules_) {
    if (!j.text.at("request").empty()) totals[j.text.at("request")] += j.energy_uj;
  }
  std::vector<std::pair<std::int64_t, std::string>> order;
  for (const auto& [request, energy] : totals) order.emplace_back(-energy, request);
  std::sort(order.begin(), order.end());
  order.resize(order.size() / 10);
  std::vector<std::pair<std::int64_t, std::string>> expected;
  for (const auto& great : order) {
    if (std::any_of(joules_.begin(), joules_.end(), [&](const Joule& j) {
          return j.text.at("request") == great.second &&
                 hot.count({j.text.at("device"), second(j.t1_ns)}) > 0;
        }))
      expected.push_back(great);
  }
  const auto answer = hot_requests(*session_, q);
  ASSERT_TRUE(answer.ok()) << answer.error().message();
  std::vector<std::pair<std::int64_t, std::string>> got;
  for (const auto& r : *answer) got.emplace_back(-r.energy_uj, r.request);
  EXPECT_EQ(got, expected);
  EXPECT_FALSE(got.empty());
}

TEST_P(QueriesTest, Audit) {
  std::map<std::string, std::int64_t> joules;
  for (const auto& j : joules_) joules[j.text.at("device")] += j.energy_uj;
  const auto by_meter = device_audit(*session_);
  ASSERT_TRUE(by_meter.ok()) << by_meter.error().message();
  ASSERT_EQ(by_meter->devices.size(), metered_.size());
  for (const auto& d : by_meter->devices) {
    EXPECT_EQ(d.metered_uj, metered_.at(std::string(d.device)));
    EXPECT_EQ(d.joules_uj, joules[std::string(d.device)]);
    EXPECT_EQ(d.difference_uj, d.metered_uj - d.joules_uj);
  }
  std::map<std::string, std::pair<double, double>> counters;
  for (const auto& s : samples_) {
    if (s.signal != "sig2" || std::isnan(s.value)) continue;
    auto& [least, greatest] = counters.try_emplace(s.device, s.value, s.value).first->second;
    least = std::min(least, s.value);
    greatest = std::max(greatest, s.value);
  }
  const auto by_counter = device_audit(*session_, "sig2");
  ASSERT_TRUE(by_counter.ok()) << by_counter.error().message();
  ASSERT_EQ(by_counter->devices.size(), counters.size());
  for (const auto& d : by_counter->devices) {
    const auto [least, greatest] = counters.at(std::string(d.device));
    EXPECT_EQ(d.metered_uj, std::llround(greatest * 1e6) - std::llround(least * 1e6));
    EXPECT_EQ(d.joules_uj, joules[std::string(d.device)]);
  }
}

INSTANTIATE_TEST_SUITE_P(Threads, QueriesTest, ::testing::Values(1U, 2U));

TEST(Queries, SumsAtTheEdgeOf64BitsAreExactOrRefused) {
  for (const bool fits : {true, false}) {
    base::MemoryEnv env;
    EngineOptions o;
    o.threads = false;
    o.lock = false;
    o.log.segment_bytes = 1 << 20;
    auto engine = Engine::open(env, kStore, o);
    ASSERT_TRUE(engine.ok());
    base::SymbolTable symbols;
    TableBuilder builder(Table::kJoules, symbols, 3);
    for (const std::int64_t e : {INT64_MAX, std::int64_t{5}, fits ? std::int64_t{-7} : std::int64_t{7}}) {
      energy::JouleRow r;
      r.energy_uj = e;
      r.consumer.tenant = symbols.intern("t");
      builder.append(r);
    }
    ASSERT_EQ((*engine)->store(encode_block(Table::kJoules, builder.take(), {"s", 0, 1, 1}).value()).outcome,
              Outcome::kStored);
    auto session = QuerySession::open(env, kStore);
    ASSERT_TRUE(session.ok());
    EnergyQuery q;
    q.by = {"tenant"};
    const auto answer = energy_by(**session, q);
    EXPECT_EQ(answer.ok(), fits);
    if (answer.ok()) {
      EXPECT_EQ(answer->groups[0].energy_uj, INT64_MAX - 2);
    }
  }
}

TEST(QueryKernels, AreTheLoopsTheyStandFor) {
  std::uint64_t state = 1;
  const auto next = [&] { return state = state * 6364136223846793005ULL + 1442695040888963407ULL; };
  for (std::size_t n = 0; n < 200; ++n) {
    std::vector<std::uint32_t> codes(n), selected, expected;
    std::vector<std::int64_t> values(n);
    for (auto& c : codes) c = static_cast<std::uint32_t>(next() >> 62);
    for (auto& v : values) v = static_cast<std::int64_t>(next());
    for (std::uint32_t i = 0; i < n; ++i) {
      if (codes[i] == 2) expected.push_back(i);
    }
    select_equal(codes, 2, selected);
    EXPECT_EQ(selected, expected);
    EXPECT_EQ(largest_of(codes), n == 0 ? 0U : *std::max_element(codes.begin(), codes.end()));
    std::size_t changes = 0;
    for (std::size_t i = 1; i < n; ++i) changes += codes[i] != codes[i - 1] ? 1U : 0U;
    EXPECT_EQ(changes_in(codes), changes);
    if (n == 0) continue;
    const auto [least, greatest] = bounds_of(values);
    EXPECT_EQ(least, *std::min_element(values.begin(), values.end()));
    EXPECT_EQ(greatest, *std::max_element(values.begin(), values.end()));
    select_rows(n, true, expected, [&](std::size_t i) { return values[i] > 0; });
    std::erase_if(selected, [&](std::uint32_t i) { return values[i] <= 0; });
    EXPECT_EQ(selected, expected);
  }
}

}  // namespace
}  // namespace perjoule::bus
