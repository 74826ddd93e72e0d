#include "bench/bus/questions.hpp"

#include <algorithm>

#include "base/rng.hpp"

namespace perjoule::bench {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
constexpr int kEpochRange = 100;

}  // namespace

std::vector<QueryParams> draw_params(const GeneratorOptions& options, std::size_t count, std::uint64_t seed) {
  Generator generator(options);
  EventBatch batch;
  std::uint64_t state = seed;
  const auto below = [&state](std::int64_t n) {
    return static_cast<std::int64_t>(base::splitmix64(state) % static_cast<std::uint64_t>(n));
  };
  std::vector<QueryParams> out;
  for (std::size_t i = 0; i < count; ++i) {
    generator.fill(below(generator.batches()), batch);
    QueryParams p;
    const auto row = static_cast<std::size_t>(below(static_cast<std::int64_t>(batch.joules.size())));
    p.request = batch.request(row);
    p.absent_request = generator.absent_request();
    // Another one, as long and as likely to be in no filter.
    std::rotate(p.absent_request.begin(), p.absent_request.begin() + static_cast<std::ptrdiff_t>(i % 8),
                p.absent_request.end());
    p.hour_from_ns = kStartNs + below((kSpanNs - 3'600 * kSecondNs) / kSecondNs) * kSecondNs;
    p.hour_to_ns = p.hour_from_ns + 3'600 * kSecondNs;
    p.model = batch.joules.model[row];
    p.epoch_from = static_cast<int>(below(kEpochs - kEpochRange));
    p.epoch_to = p.epoch_from + kEpochRange;
    p.device = batch.joules.device[row];
    p.hot_celsius = 80;
    out.push_back(std::move(p));
  }
  return out;
}

void ScanSet::add(QueryId id, const QueryParams& params) {
  all_.push_back(make_scan(id, params));
  QueryScan* const scan = all_.back().get();
  switch (id) {
    case QueryId::kRequest:
      of_request_[params.request].push_back(scan);
      return;
    case QueryId::kAbsentRequest:
      of_request_[params.absent_request].push_back(scan);
      return;
    case QueryId::kTopKernels:
      of_model_[static_cast<std::size_t>(params.model)].push_back(scan);
      return;
    case QueryId::kDeviceSignals:
      of_device_[static_cast<std::size_t>(params.device)].push_back(scan);
      return;
    default:
      break;
  }
  if (scan->wants_attributions()) of_joules_.push_back(scan);
  if (scan->wants_samples()) of_samples_.push_back(scan);
}

void ScanSet::take(const EventBatch& batch) {
  for (std::size_t i = 0; i < batch.joules.size(); ++i) {
    const AttributionRow row = attribution_row(batch, i);
    for (QueryScan* scan : of_joules_) scan->add(row);
    for (QueryScan* scan : of_model_[row.model]) scan->add(row);
    if (of_request_.empty()) continue;
    const auto found = of_request_.find(row.request);
    if (found == of_request_.end()) continue;
    for (QueryScan* scan : found->second) scan->add(row);
  }
  for (std::size_t i = 0; i < batch.samples.size(); ++i) {
    const SampleRow row = sample_row(batch, i);
    for (QueryScan* scan : of_samples_) scan->add(row);
    for (QueryScan* scan : of_device_[row.device]) scan->add(row);
  }
}

// What needs one pass alone has all its rows then.
bool ScanSet::next_pass() {
  std::vector<QueryScan*> again;
  for (const auto& scan : all_) {
    if (scan->again()) again.push_back(scan.get());
  }
  of_request_.clear();
  for (auto& scans : of_model_) scans.clear();
  for (auto& scans : of_device_) scans.clear();
  of_joules_ = of_samples_ = again;
  return !again.empty();
}

std::vector<Answer> ScanSet::answers() {
  std::vector<Answer> out;
  for (const auto& scan : all_) out.push_back(scan->answer());
  return out;
}

GeneratorOptions arriving_stream() {
  // As dense in time as the generator can be; only its beginning is sent.
  GeneratorOptions o;
  o.seed = 2;
  o.events = 2'400'000'000;
  return o;
}

void move_to_arrival(EventBatch& batch) {
  for (auto* times : {&batch.joules.t0_ns, &batch.joules.t1_ns, &batch.joules.window_ns, &batch.samples.t_ns})
    for (auto& t : *times) t += kArrivingFromNs;
}

}  // namespace perjoule::bench
