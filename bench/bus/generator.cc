#include "bench/bus/generator.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/assert.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"

namespace perjoule::bench {
namespace {

constexpr std::int64_t kBatchSamples = kBatchEvents / 4;
constexpr std::int64_t kBatchAttributions = kBatchEvents - kBatchSamples;
// A lane's requests are drawn anew every kChunkTicks, so that any tick can be found without walking from
// zero.
constexpr std::int64_t kChunkTicks = 4'096;
constexpr std::int64_t kChunksPerLane = 16;
constexpr double kLengthSigma = 0.8;
constexpr std::int64_t kReportSamples = 8;  // readings that a device sends at one time
constexpr int kModelsPerTenant = 8;
constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15ULL;

// One stream of random numbers per question, so that one more draw in one place shifts no other.
enum Stream : int {
  kLengthA,
  kLengthB,
  kRequestDims,
  kRequestPlace,
  kRequestName,
  kLaneOffset,
  kEventKernel,
  kEventEnergy,
  kReport,
  kReading,
  kDeviceBase,
  kTenantModel,
  kResend,
  kAbsentName
};

std::uint64_t mixed(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

// A number in [0, n) from 32 random bits.
std::int64_t below(std::uint64_t random, std::int64_t n) {
  return static_cast<std::int64_t>(((random & 0xffffffffULL) * static_cast<std::uint64_t>(n)) >> 32);
}
double unit(std::uint64_t random) { return static_cast<double>(random >> 11) * 0x1.0p-53; }

std::string numbered(const char* before, int width, int number, const char* after = "") {
  std::string digits = std::to_string(number);
  digits.insert(0, static_cast<std::size_t>(std::max(0, width - static_cast<int>(digits.size()))), '0');
  return before + digits + after;
}

std::vector<std::string> numbered_names(const char* before, int width, int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) out.push_back(numbered(before, width, i));
  return out;
}

Names make_names() {
  Names n;
  n.nodes = numbered_names("n", 4, kNodes);
  for (int d = 0; d < kDevices; ++d)
    n.devices.push_back(n.nodes[static_cast<std::size_t>(d / kDevicesPerNode)] + "/gpu" +
                        std::to_string(d % kDevicesPerNode));
  n.tenants = numbered_names("tenant-", 3, kTenants);
  n.models = numbered_names("model-", 3, kModels);
  n.epochs = numbered_names("epoch-", 3, kEpochs);
  n.kernels = numbered_names("kernel_", 4, kKernels);
  n.phases = {"prefill", "decode", "attention", "feed_forward", "all_reduce", "wait"};
  n.shares = {"direct", "idle", "overhead", "residual"};
  n.signals = numbered_names("signal_", 3, kSignals);
  n.signals[kEnergyCounter] = "energy_counter_j";
  n.signals[kTemperature] = "temperature_c";
  n.signals[kPower] = "power_w";
  return n;
}

std::uint8_t share_of(std::uint64_t random) {
  const std::int64_t percent = below(random, 100);
  return percent < 90 ? 0 : percent < 96 ? 2 : percent < 99 ? 1 : 3;
}

// The first event of a request is its prefill.
std::uint8_t phase_of(bool first, std::uint64_t random) {
  if (first) return 0;
  const std::int64_t percent = below(random, 100);
  return percent < 45 ? 1 : percent < 65 ? 2 : percent < 85 ? 3 : percent < 95 ? 4 : 5;
}

// Four in five on the meter's grid of 1 mJ, one in five a share of something rounded to whole microjoules.
std::int64_t energy_of(std::uint64_t random) {
  const bool on_grid = below(random >> 32, 5) != 0;
  return on_grid ? 1'000 * (1 + below(random, 150'000)) : 1 + below(random, 150'000'000);
}

}  // namespace

const Names& names() {
  static const Names all = make_names();
  return all;
}

void Attributions::resize(std::size_t rows) {
  for (auto* c : {&t0_ns, &t1_ns, &window_ns, &energy_uj}) c->resize(rows);
  for (auto* c : {&device, &tenant, &model, &epoch, &kernel}) c->resize(rows);
  for (auto* c : {&share, &phase}) c->resize(rows);
  request.resize(rows);
}

void Samples::resize(std::size_t rows) {
  t_ns.resize(rows);
  device.resize(rows);
  signal.resize(rows);
  value.resize(rows);
}

std::size_t EventBatch::bytes() const {
  return joules.size() * (4 * 8 + 5 * 2 + 2 + 4) + samples.size() * (8 + 2 + 1 + 8) + request_text.size() +
         request_id.size() * 4;
}

std::vector<double> zipf_weights(int n, double exponent) {
  std::vector<double> out;
  for (int k = 1; k <= n; ++k) out.push_back(std::pow(k, -exponent));
  return out;
}

AliasTable::AliasTable(const std::vector<double>& weights)
    : keep_(weights.size(), std::uint64_t{1} << 32), other_(weights.size()) {
  double sum = 0;
  for (const double w : weights) sum += w;
  std::vector<double> scaled;
  for (const double w : weights) scaled.push_back(w * static_cast<double>(weights.size()) / sum);
  std::vector<std::uint32_t> small, large;
  for (std::uint32_t i = 0; i < scaled.size(); ++i) (scaled[i] < 1 ? small : large).push_back(i);
  while (!small.empty() && !large.empty()) {
    const std::uint32_t poor = small.back(), rich = large.back();
    small.pop_back();
    keep_[poor] = static_cast<std::uint64_t>(scaled[poor] * 0x1.0p32);
    other_[poor] = rich;
    scaled[rich] -= 1 - scaled[poor];
    if (scaled[rich] < 1) {
      large.pop_back();
      small.push_back(rich);
    }
  }
}

Generator::Generator(const GeneratorOptions& options)
    : options_(options),
      tenants_(zipf_weights(kTenants, kTenantZipf)),
      kernels_(zipf_weights(kKernels, kKernelZipf)) {
  PJ_CHECK(options.events > 0);
  const std::int64_t whole = options.events / kBatchEvents, rest = options.events % kBatchEvents;
  samples_ = whole * kBatchSamples + rest / 4;
  attributions_ = options.events - samples_;
  const double wanted = static_cast<double>(attributions_) * kTickNs / kSpanNs;
  lanes_.resize(static_cast<std::size_t>(std::max(1.0, std::round(wanted))));
  PJ_CHECK(lanes_.size() <= 0x10000);  // so that a request's number has 32 bits
  for (std::size_t i = 0; i < keys_.size(); ++i) keys_[i] = mixed(options.seed + (i + 1) * kGolden);
}

std::int64_t Generator::batches() const { return (options_.events + kBatchEvents - 1) / kBatchEvents; }

std::uint64_t Generator::draw(int stream, std::uint64_t index) const {
  return mixed(keys_[static_cast<std::size_t>(stream)] + index * kGolden);
}

// Both kinds of event arrive evenly over the span. The delay is added so that no event happens before
// kStartNs.
std::int64_t Generator::arrival_ns(std::int64_t index, std::int64_t of) const {
  return kStartNs + kDelayNs +
         static_cast<std::int64_t>(static_cast<double>(index) *
                                   (static_cast<double>(kSpanNs - kDelayNs) / static_cast<double>(of)));
}

bool Generator::is_resent(std::int64_t index) const {
  return index == 0 || below(draw(kResend, static_cast<std::uint64_t>(index)), 1'000) == 0;
}

std::string Generator::absent_request() const {
  std::string out = base::hex64(draw(kAbsentName, 0));
  if (options_.request_names == RequestNames::kTimeOrdered) out = "0" + std::string(9, '0') + out;
  return out;
}

// Lognormal with mean kEventsPerRequest, by Box and Muller.
std::int64_t Generator::request_length(std::uint32_t id) const {
  const double radius = std::sqrt(-2.0 * std::log1p(-unit(draw(kLengthA, id))));
  const double normal = radius * std::cos(2.0 * std::numbers::pi * unit(draw(kLengthB, id)));
  const double mu = std::log(kEventsPerRequest) - kLengthSigma * kLengthSigma / 2;
  return std::max<std::int64_t>(1, std::llround(std::exp(mu + kLengthSigma * normal)));
}

// Makes `lane` the request that lane number `lane_number` serves at `tick`.
void Generator::seek(std::int64_t lane_number, std::int64_t tick, Lane& lane) const {
  if (tick >= lane.start && tick < lane.end && lane.chunk >= 0) return;
  // Lanes begin their chunks at different ticks: the last request of a chunk is cut short.
  const std::int64_t offset = below(draw(kLaneOffset, static_cast<std::uint64_t>(lane_number)), kChunkTicks);
  const std::int64_t chunk = (tick + offset) / kChunkTicks;
  const std::int64_t chunk_end = (chunk + 1) * kChunkTicks - offset;
  if (lane.chunk != chunk || tick < lane.start) {
    lane.chunk = chunk;
    lane.ordinal = 0;
    lane.end = chunk_end - kChunkTicks;
  } else {
    ++lane.ordinal;
  }
  for (;; ++lane.ordinal) {
    lane.id = static_cast<std::uint32_t>((lane_number * kChunksPerLane + chunk) * kChunkTicks + lane.ordinal);
    lane.start = lane.end;
    lane.end = std::min(lane.start + request_length(lane.id), chunk_end);
    if (tick < lane.end) break;
  }
  begin_request(lane);
}

void Generator::begin_request(Lane& lane) const {
  const std::uint64_t dims = draw(kRequestDims, lane.id), where = draw(kRequestPlace, lane.id);
  lane.filled_in = 0;
  lane.tenant = static_cast<std::uint16_t>(tenants_.pick(static_cast<std::uint32_t>(dims)));
  const auto choice = static_cast<std::uint64_t>(below(dims >> 32, kModelsPerTenant));
  lane.model = static_cast<std::uint16_t>(
      below(draw(kTenantModel, lane.tenant * std::uint64_t{kModelsPerTenant} + choice), kModels));
  lane.node = static_cast<std::uint16_t>(below(where, kNodes));
  lane.first_gpu = static_cast<std::uint8_t>((where >> 32) % kDevicesPerNode);
  // Nine requests in ten run on one device, the others on two or four of one node.
  const std::uint64_t spread = (where >> 40) % 20;
  lane.gpus = spread == 0 ? 4 : spread == 1 ? 2 : 1;
  const std::uint64_t late = mixed(where);
  lane.late_ns = below(late, 100) == 0 ? static_cast<std::int64_t>(unit(mixed(late)) * kLateNs) : 0;
}

void Generator::append_name(const Lane& lane, std::string& text) const {
  const std::uint64_t random = draw(kRequestName, lane.id);
  if (options_.request_names == RequestNames::kRandom) {
    text += base::hex64(random);
    return;
  }
  // 10 digits of milliseconds and 16 of chance, five bits each (Crockford's alphabet).
  static constexpr char kDigits[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
  const std::int64_t tick_ns = static_cast<std::int64_t>(lanes_.size()) * (kSpanNs / attributions_) *
                               std::max<std::int64_t>(0, lane.start);
  const auto ms = static_cast<std::uint64_t>((kStartNs + tick_ns) / 1'000'000);
  for (int shift = 45; shift >= 0; shift -= 5) text += kDigits[(ms >> shift) & 31];
  const std::uint64_t more = mixed(random);
  for (int shift = 35; shift >= 0; shift -= 5) text += kDigits[(random >> shift) & 31];
  for (int shift = 35; shift >= 0; shift -= 5) text += kDigits[(more >> shift) & 31];
}

std::uint32_t Generator::place_of(Lane& lane, EventBatch& batch) const {
  if (lane.filled_in != fills_) {
    lane.filled_in = fills_;
    lane.place = static_cast<std::uint32_t>(batch.request_id.size());
    batch.request_id.push_back(lane.id);
    append_name(lane, batch.request_text);
  }
  return lane.place;
}

void Generator::fill_attribution(std::int64_t event, std::size_t row, EventBatch& batch) {
  const auto lanes = static_cast<std::int64_t>(lanes_.size());
  const std::int64_t tick = event / lanes, number = event % lanes;
  Lane& lane = lanes_[static_cast<std::size_t>(number)];
  seek(number, tick, lane);
  const std::uint64_t a = draw(kEventKernel, static_cast<std::uint64_t>(event));
  const std::uint64_t b = draw(kEventEnergy, static_cast<std::uint64_t>(event));
  const std::int64_t on_time = arrival_ns(event, attributions_) - below(a, kDelayNs);
  const std::int64_t t1 = on_time - lane.late_ns >= kStartNs ? on_time - lane.late_ns : on_time;
  Attributions& j = batch.joules;
  j.t1_ns[row] = t1;
  j.t0_ns[row] = t1 - kTickNs;
  j.window_ns[row] = t1 / kWindowNs * kWindowNs;
  j.energy_uj[row] = energy_of(b);
  const std::int64_t gpu = (lane.first_gpu + (tick - lane.start) % lane.gpus) % kDevicesPerNode;
  j.device[row] = static_cast<std::uint16_t>(lane.node * kDevicesPerNode + gpu);
  j.tenant[row] = lane.tenant;
  j.model[row] = lane.model;
  // Every model goes through the epochs in the course of the span, each from another one on.
  j.epoch[row] =
      static_cast<std::uint16_t>(((t1 - kStartNs) / (kSpanNs / kEpochs) + lane.model * 7) % kEpochs);
  j.kernel[row] = static_cast<std::uint16_t>(kernels_.pick(static_cast<std::uint32_t>(a >> 32)));
  j.share[row] = share_of(mixed(b));
  j.phase[row] = phase_of(tick == lane.start, b + a);
  j.request[row] = place_of(lane, batch);
}

void Generator::fill_attributions(std::int64_t first, EventBatch& batch) {
  ++fills_;
  batch.request_id.clear();
  batch.request_text.clear();
  batch.request_width = options_.request_names == RequestNames::kRandom ? 16 : 26;
  const auto rows = static_cast<std::size_t>(std::min(kBatchAttributions, attributions_ - first));
  batch.joules.resize(rows);
  for (std::size_t row = 0; row < rows; ++row)
    fill_attribution(first + static_cast<std::int64_t>(row), row, batch);
}

// The counter rises by the device's power; the others are a level of their own and chance.
double Generator::reading(int device, int signal, std::int64_t t_ns, std::uint64_t random) const {
  const std::uint64_t level = draw(kDeviceBase, static_cast<std::uint64_t>(device * kSignals + signal));
  if (signal == kEnergyCounter) {
    const std::int64_t watts = 150 + below(level, 500);
    const std::int64_t mj = below(level >> 32, 1'000'000'000) + (t_ns - kStartNs) / 1'000'000 * watts;
    return static_cast<double>(mj) / 1'000;
  }
  if (signal == kTemperature) return static_cast<double>(450 + below(level, 200) + below(random, 250)) / 10;
  if (signal == kPower) return static_cast<double>(1'500 + below(level, 4'000) + below(random, 1'000)) / 10;
  if ((signal - 3) * 8 % 25 < 8) return unit(random) * 1'000;  // eight in twenty-five: 20 % of all readings
  return static_cast<double>(1 + below(level, 100'000) + below(random, 1'000)) / 100;
}

void Generator::fill_samples(std::int64_t first, Samples& samples) const {
  const auto rows = static_cast<std::size_t>(std::min(kBatchSamples, samples_ - first));
  samples.resize(rows);
  for (std::size_t row = 0; row < rows; ++row) {
    const std::int64_t index = first + static_cast<std::int64_t>(row);
    const std::int64_t report = index / kReportSamples, item = index % kReportSamples;
    const auto device = static_cast<int>(report * 7'919 % kDevices);
    const auto sweep = report / kDevices;
    const std::uint64_t chance = draw(kReport, static_cast<std::uint64_t>(report));
    const std::int64_t on_time = arrival_ns(report * kReportSamples, samples_) - below(chance, kDelayNs);
    const std::uint64_t late = mixed(chance);
    const std::int64_t late_ns =
        below(late, 100) == 0 ? static_cast<std::int64_t>(unit(mixed(late)) * kLateNs) : 0;
    const std::int64_t t = on_time - late_ns >= kStartNs ? on_time - late_ns : on_time;
    // Three signals in every report, the others in turn.
    const auto signal =
        static_cast<int>(item < 3 ? item : 3 + (sweep * (kReportSamples - 3) + item - 3) % (kSignals - 3));
    samples.t_ns[row] = t;
    samples.device[row] = static_cast<std::uint16_t>(device);
    samples.signal[row] = static_cast<std::uint8_t>(signal);
    samples.value[row] = reading(device, signal, t, draw(kReading, static_cast<std::uint64_t>(index)));
  }
}

void Generator::fill(std::int64_t index, EventBatch& batch) {
  PJ_CHECK(index >= 0 && index < batches());
  batch.seq = static_cast<std::uint32_t>(index + 1);
  fill_attributions(index * kBatchAttributions, batch);
  fill_samples(index * kBatchSamples, batch.samples);
}

}  // namespace perjoule::bench
