// The event stream of the bus benchmarks: attributions (table `joules`) and readings (table `samples`), three
// to one, in arrival order, in batches of up to 65,536 events. A seed and a size give the same events
// whatever the order in which batches are asked for.
//
// Requests run in lanes: a lane serves one request after the other, and every tick (250 ms) each lane emits
// one attribution of its request. The number of lanes follows from the number of events in two hours, so a
// request of 40 events lasts 10 s at every size. One in a hundred requests (and of the readers' reports) is
// late as a whole: it happened up to five minutes before it arrives. Numbers below are of the whole stream.
//
// Thread rule: one thread per Generator. Ownership: batches own their columns. Times are Unix nanoseconds,
// energies whole microjoules; readings are doubles in their signal's unit. Identifiers are places in Names.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace perjoule::bench {

inline constexpr std::int64_t kBatchEvents = 65'536;
inline constexpr std::int64_t kStartNs = 1'767'225'600'000'000'000;  // 2026-01-01T00:00:00Z
inline constexpr std::int64_t kSpanNs = 7'200'000'000'000;
inline constexpr std::int64_t kWindowNs = 30'000'000'000;
inline constexpr std::int64_t kTickNs = 250'000'000;
inline constexpr std::int64_t kDelayNs = 20'000'000;      // an event arrives within this, if it is not late
inline constexpr std::int64_t kLateNs = 300'000'000'000;  // the latest of the late ones
inline constexpr int kDevicesPerNode = 8;
inline constexpr int kNodes = 1'250;
inline constexpr int kDevices = kNodes * kDevicesPerNode;
inline constexpr int kModels = 200;
inline constexpr int kEpochs = 500;
inline constexpr int kTenants = 500;
inline constexpr int kKernels = 2'000;
inline constexpr int kPhases = 6;
inline constexpr int kShares = 4;
inline constexpr int kSignals = 127;
inline constexpr double kTenantZipf = 1.1;
inline constexpr double kKernelZipf = 1.2;
inline constexpr double kEventsPerRequest = 40;
// Signals with a meaning; the others are numbers. The counter is in joules on a grid of 1 mJ and never falls.
inline constexpr int kEnergyCounter = 0;
inline constexpr int kTemperature = 1;
inline constexpr int kPower = 2;

enum class RequestNames : std::uint8_t {
  kRandom,       // 16 hexadecimal digits in no order
  kTimeOrdered,  // 26 characters that sort by the request's first event, like a ULID
};

struct GeneratorOptions {
  std::uint64_t seed = 1;
  std::int64_t events = 10'000'000;  // of both kinds, resent batches not counted
  RequestNames request_names = RequestNames::kRandom;
};

// What the small integers of a batch stand for.
struct Names {
  std::vector<std::string> devices, nodes, tenants, models, epochs, kernels, phases, shares, signals;
};
const Names& names();

// Columns of `joules`. The meter of a row is its device; its seq is the batch's. `request` is a place in the
// batch's own table of request names.
struct Attributions {
  std::vector<std::int64_t> t0_ns, t1_ns, window_ns, energy_uj;
  std::vector<std::uint16_t> device, tenant, model, epoch, kernel;
  std::vector<std::uint8_t> share, phase;
  std::vector<std::uint32_t> request;

  std::size_t size() const { return t1_ns.size(); }
  void resize(std::size_t rows);
};

// Columns of `samples`; seq is the batch's.
struct Samples {
  std::vector<std::int64_t> t_ns;
  std::vector<std::uint16_t> device;
  std::vector<std::uint8_t> signal;
  std::vector<double> value;

  std::size_t size() const { return t_ns.size(); }
  void resize(std::size_t rows);
};

struct EventBatch {
  std::uint32_t seq = 0;  // 1, 2, 3, ... in arrival order; a batch sent again has the same
  Attributions joules;
  Samples samples;
  std::size_t request_width = 16;         // bytes of every name in request_text
  std::string request_text;               // names of the requests in this batch, one behind the other
  std::vector<std::uint32_t> request_id;  // their numbers, unique in the stream; for request_name()

  std::size_t events() const { return joules.size() + samples.size(); }
  std::string_view request(std::size_t row) const { return name(joules.request[row]); }
  std::string_view name(std::size_t place) const {
    return std::string_view(request_text).substr(place * request_width, request_width);
  }
  std::size_t bytes() const;  // held in memory
};

// Draws 0 .. n-1 with given weights in constant time (alias method, Walker 1977, Vose 1991).
class AliasTable {
 public:
  explicit AliasTable(const std::vector<double>& weights);
  // `random` is uniform over 32 bits.
  std::size_t pick(std::uint32_t random) const {
    const std::uint64_t product = std::uint64_t{random} * keep_.size();
    const std::size_t place = product >> 32;
    return static_cast<std::uint32_t>(product) < keep_[place] ? place : other_[place];
  }

 private:
  std::vector<std::uint64_t> keep_;
  std::vector<std::uint32_t> other_;
};
// Weights 1/k^exponent for k = 1 .. n.
std::vector<double> zipf_weights(int n, double exponent);

class Generator {
 public:
  explicit Generator(const GeneratorOptions& options);

  const GeneratorOptions& options() const { return options_; }
  std::int64_t batches() const;
  // Batch `index`, 0 <= index < batches(). In order it costs least; any order gives the same.
  void fill(std::int64_t index, EventBatch& batch);
  // Whether the batch arrives a second time right after the next one: one in a thousand, and always batch 0.
  bool is_resent(std::int64_t index) const;
  // A well-formed name that no request has.
  std::string absent_request() const;

 private:
  // The request that a lane serves: ticks [start, end), and what all its events share.
  struct Lane {
    std::int64_t chunk = -1, start = 0, end = 0;
    std::uint32_t ordinal = 0, id = 0;
    std::uint16_t tenant = 0, model = 0, node = 0;
    std::uint8_t first_gpu = 0, gpus = 1;
    std::int64_t late_ns = 0;
    std::uint64_t filled_in = 0;  // number of the fill() in which it got its place in the batch's table
    std::uint32_t place = 0;
  };

  std::uint64_t draw(int stream, std::uint64_t index) const;
  std::int64_t arrival_ns(std::int64_t index, std::int64_t of) const;
  std::int64_t request_length(std::uint32_t id) const;
  void seek(std::int64_t lane_number, std::int64_t tick, Lane& lane) const;
  void begin_request(Lane& lane) const;
  std::uint32_t place_of(Lane& lane, EventBatch& batch) const;
  void append_name(const Lane& lane, std::string& text) const;
  void fill_attribution(std::int64_t event, std::size_t row, EventBatch& batch);
  void fill_attributions(std::int64_t first, EventBatch& batch);
  void fill_samples(std::int64_t first, Samples& samples) const;
  double reading(int device, int signal, std::int64_t t_ns, std::uint64_t random) const;

  GeneratorOptions options_;
  std::int64_t attributions_ = 0, samples_ = 0;
  std::array<std::uint64_t, 16> keys_{};
  AliasTable tenants_, kernels_;
  std::vector<Lane> lanes_;
  std::uint64_t fills_ = 0;
};

}  // namespace perjoule::bench
