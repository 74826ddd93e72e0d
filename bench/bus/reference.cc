#include "bench/bus/reference.hpp"

#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <unordered_map>
#include <unordered_set>

namespace perjoule::bench {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

void put(Answer& answer, std::initializer_list<std::int64_t> numbers) {
  std::size_t column = 0;
  for (const auto n : numbers) answer.columns[column++].numbers.push_back(n);
}

class OneRequest final : public QueryScan {
 public:
  explicit OneRequest(std::string request) : request_(std::move(request)) {}
  bool wants_samples() const override { return false; }
  void add(const AttributionRow& r) override {
    if (r.request == request_) put(out_, {r.t1_ns, r.device, r.kernel, r.phase, r.energy_uj});
  }
  Answer answer() override { return out_; }

 private:
  std::string request_;
  Answer out_ = empty_answer(QueryId::kRequest);
};

// Energy and rows by two dimensions.
class Table final : public QueryScan {
 public:
  Table(QueryId id, const QueryParams& params)
      : id_(id),
        from_(id == QueryId::kTenantModel ? params.hour_from_ns : std::numeric_limits<std::int64_t>::min()),
        to_(id == QueryId::kTenantModel ? params.hour_to_ns : std::numeric_limits<std::int64_t>::max()),
        width_(id == QueryId::kTenantModel ? kModels : kPhases),
        energy_(at((id == QueryId::kTenantModel ? kTenants : kNodes) * width_)),
        rows_(energy_.size()) {}
  bool wants_samples() const override { return false; }
  void add(const AttributionRow& r) override {
    if (r.t1_ns < from_ || r.t1_ns >= to_) return;
    const std::size_t place = id_ == QueryId::kTenantModel
                                  ? at(r.tenant * width_ + r.model)
                                  : at(r.device / kDevicesPerNode * width_ + r.phase);
    energy_[place] += r.energy_uj;
    ++rows_[place];
  }
  Answer answer() override {
    Answer out = empty_answer(id_);
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      const auto place = static_cast<std::int64_t>(i);
      if (rows_[i] > 0) put(out, {place / width_, place % width_, energy_[i], rows_[i]});
    }
    return out;
  }

 private:
  QueryId id_;
  std::int64_t from_, to_;
  int width_;
  std::vector<std::int64_t> energy_, rows_;
};

class TopKernels final : public QueryScan {
 public:
  explicit TopKernels(const QueryParams& p)
      : model_(p.model), from_(p.epoch_from), to_(p.epoch_to), energy_(kKernels) {}
  bool wants_samples() const override { return false; }
  void add(const AttributionRow& r) override {
    if (r.model == model_ && r.epoch >= from_ && r.epoch < to_) energy_[r.kernel] += r.energy_uj;
  }
  Answer answer() override {
    std::vector<std::pair<std::int64_t, std::int64_t>> order;  // less energy, kernel
    for (std::size_t k = 0; k < energy_.size(); ++k)
      if (energy_[k] > 0) order.emplace_back(-energy_[k], static_cast<std::int64_t>(k));
    std::sort(order.begin(), order.end());
    if (order.size() > kTopKernelCount) order.resize(kTopKernelCount);
    Answer out = empty_answer(QueryId::kTopKernels);
    for (const auto& [less, kernel] : order) put(out, {kernel, -less});
    return out;
  }

 private:
  int model_, from_, to_;
  std::vector<std::int64_t> energy_;
};

class DeviceSignals final : public QueryScan {
 public:
  explicit DeviceSignals(const QueryParams& p) : device_(p.device) {}
  bool wants_attributions() const override { return false; }
  void add(const SampleRow& r) override {
    if (r.device != device_) return;
    Range& range = ranges_[{r.signal, (r.t_ns - kStartNs) / kBucketNs}];
    range.least = range.rows == 0 ? r.value : std::min(range.least, r.value);
    range.greatest = range.rows == 0 ? r.value : std::max(range.greatest, r.value);
    ++range.rows;
  }
  Answer answer() override {
    Answer out = empty_answer(QueryId::kDeviceSignals);
    for (const auto& [key, r] : ranges_)
      put(out, {key.first, key.second, r.rows, bits_of(r.least), bits_of(r.greatest)});
    return out;
  }

 private:
  struct Range {
    std::int64_t rows = 0;
    double least = 0, greatest = 0;
  };
  int device_;
  std::map<std::pair<std::int64_t, std::int64_t>, Range> ranges_;
};

// First pass: every request's energy and the hot seconds of every device. Second: which of the greatest met
// one.
class HotRequests final : public QueryScan {
 public:
  explicit HotRequests(const QueryParams& p) : limit_(p.hot_celsius) {}
  void add(const SampleRow& r) override {
    if (!second_ && r.signal == kTemperature && r.value > limit_) hot_.insert(second_of(r.device, r.t_ns));
  }
  void add(const AttributionRow& r) override {
    if (!second_) {
      totals_[std::string(r.request)] += r.energy_uj;
    } else if (hot_.count(second_of(r.device, r.t1_ns)) > 0 && great_.count(std::string(r.request)) > 0) {
      met_.insert(std::string(r.request));
    }
  }
  bool again() override {
    if (second_) return false;
    second_ = true;
    std::vector<std::pair<std::int64_t, std::string>> order;
    for (const auto& [request, energy] : totals_) order.emplace_back(-energy, request);
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < order.size() / 100; ++i) great_.insert(order[i].second);
    return true;
  }
  Answer answer() override {
    Answer out = empty_answer(QueryId::kHotRequests);
    for (const auto& request : met_) {
      out.columns[0].texts.push_back(request);
      out.columns[1].numbers.push_back(totals_[request]);
    }
    return out;
  }

 private:
  static std::int64_t second_of(int device, std::int64_t t_ns) {
    return (t_ns - kStartNs) / kSecondNs * kDevices + device;
  }
  double limit_;
  bool second_ = false;
  std::unordered_map<std::string, std::int64_t> totals_;
  std::unordered_set<std::int64_t> hot_;
  std::unordered_set<std::string> great_;
  std::set<std::string> met_;
};

class Audit final : public QueryScan {
 public:
  void add(const SampleRow& r) override {
    if (r.signal != kEnergyCounter) return;
    Meter& m = meters_[r.device];
    m.least = m.readings == 0 ? r.value : std::min(m.least, r.value);
    m.greatest = m.readings == 0 ? r.value : std::max(m.greatest, r.value);
    ++m.readings;
  }
  void add(const AttributionRow& r) override { meters_[r.device].attributed += r.energy_uj; }
  Answer answer() override {
    Answer out = empty_answer(QueryId::kAudit);
    for (std::size_t d = 0; d < meters_.size(); ++d) {
      const Meter& m = meters_[d];
      const std::int64_t metered = microjoules_of(m.greatest) - microjoules_of(m.least);
      if (m.readings > 0)
        put(out, {static_cast<std::int64_t>(d), metered, m.attributed, metered - m.attributed});
    }
    return out;
  }

 private:
  struct Meter {
    std::int64_t readings = 0, attributed = 0;
    double least = 0, greatest = 0;
  };
  std::vector<Meter> meters_ = std::vector<Meter>(kDevices);
};

class LastValues final : public QueryScan {
 public:
  bool wants_attributions() const override { return false; }
  void add(const SampleRow& r) override {
    Last& last = last_[at(r.device * kSignals + r.signal)];
    if (r.t_ns > last.t_ns) last = {r.t_ns, r.value};
  }
  Answer answer() override {
    Answer out = empty_answer(QueryId::kLastValues);
    for (std::size_t i = 0; i < last_.size(); ++i) {
      const auto place = static_cast<std::int64_t>(i);
      if (last_[i].t_ns > 0)
        put(out, {place / kSignals, place % kSignals, last_[i].t_ns, bits_of(last_[i].value)});
    }
    return out;
  }

 private:
  struct Last {
    std::int64_t t_ns = 0;
    double value = 0;
  };
  std::vector<Last> last_ = std::vector<Last>(at(kDevices * kSignals));
};

void add_rows(const EventBatch& batch, QueryScan& scan) {
  if (scan.wants_attributions())
    for (std::size_t i = 0; i < batch.joules.size(); ++i) scan.add(attribution_row(batch, i));
  if (scan.wants_samples())
    for (std::size_t i = 0; i < batch.samples.size(); ++i) scan.add(sample_row(batch, i));
}

}  // namespace

std::unique_ptr<QueryScan> make_scan(QueryId id, const QueryParams& params) {
  switch (id) {
    case QueryId::kRequest:
      return std::make_unique<OneRequest>(params.request);
    case QueryId::kAbsentRequest:
      return std::make_unique<OneRequest>(params.absent_request);
    case QueryId::kTenantModel:
    case QueryId::kHeatMap:
      return std::make_unique<Table>(id, params);
    case QueryId::kTopKernels:
      return std::make_unique<TopKernels>(params);
    case QueryId::kDeviceSignals:
      return std::make_unique<DeviceSignals>(params);
    case QueryId::kHotRequests:
      return std::make_unique<HotRequests>(params);
    case QueryId::kAudit:
      return std::make_unique<Audit>();
    case QueryId::kLastValues:
      return std::make_unique<LastValues>();
  }
  return nullptr;
}

AttributionRow attribution_row(const EventBatch& batch, std::size_t row) {
  const Attributions& j = batch.joules;
  return {j.t1_ns[row], j.energy_uj[row], j.device[row], j.tenant[row],     j.model[row],
          j.epoch[row], j.kernel[row],    j.phase[row],  batch.request(row)};
}

SampleRow sample_row(const EventBatch& batch, std::size_t row) {
  const Samples& s = batch.samples;
  return {s.t_ns[row], s.device[row], s.signal[row], s.value[row]};
}

std::vector<Answer> reference_answers(const GeneratorOptions& options, std::span<const QueryId> ids,
                                      const QueryParams& params) {
  std::vector<std::unique_ptr<QueryScan>> all;
  for (const QueryId id : ids) all.push_back(make_scan(id, params));
  std::vector<QueryScan*> pass;
  for (const auto& scan : all) pass.push_back(scan.get());
  while (!pass.empty()) {
    Generator generator(options);
    EventBatch batch;
    for (std::int64_t i = 0; i < generator.batches(); ++i) {
      generator.fill(i, batch);
      for (QueryScan* scan : pass) add_rows(batch, *scan);
    }
    std::erase_if(pass, [](QueryScan* scan) { return !scan->again(); });
  }
  std::vector<Answer> out;
  for (const auto& scan : all) out.push_back(scan->answer());
  return out;
}

}  // namespace perjoule::bench
