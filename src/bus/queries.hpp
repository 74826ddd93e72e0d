// The fixed questions of the bus, answered from sealed files and tail without a SQL engine: pieces are left
// out by their bounds and Bloom filters, names are compared once per dictionary, columns are read only where
// rows are left, row groups are shared by threads. Sums are exact; one beyond 64 bits is an error
// (kBadInput).
//   energy_by          joules by some dimensions, over a window, of some consumers only
//   heat_map           node x phase, top_kernels: two of these
//   request_rows       all joules rows of one request
//   device_timeline    one device: its signals in buckets, and its joules
//   last_values        the newest reading of every device and signal
//   hot_requests       the requests of most energy that met a hot device
//   device_audit       per device: metered energy less its joules
// Errors: of reading the store; kBadInput for an unknown dimension. Thread rule: one question at a time per
// session. Ownership: answers share the texts they name. Units: Unix nanoseconds, microjoules.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/symbol.hpp"
#include "bus/query_session.hpp"

namespace perjoule::bus {

enum class JouleTime : std::uint8_t { kWindow, kEnd };  // window_ns or t1_ns

// A text column that has a text of from <= text < to (an empty `to`: no end).
struct TextBetween {
  std::string column, from, to;
};

// Dimensions of one question.
inline constexpr std::size_t kMostDimensions = 8;

struct EnergyQuery {
  std::vector<std::string> by;  // text columns of joules, or "node"
  TimeWindow window;
  JouleTime time = JouleTime::kWindow;
  std::vector<TextIs> is;  // text columns of joules, as below
  std::vector<TextBetween> between;
  std::size_t limit = 0;  // the groups of most energy; 0: all
  // Sums of a rollup (rollup.hpp) where one has what is asked, rows for the rest. The answer is the same.
  bool rollups = true;
};
struct EnergyGroup {
  std::array<std::string_view, kMostDimensions> keys;  // as many as were asked for. Empty: NULL
  std::int64_t energy_uj = 0;
  std::uint64_t rows = 0;
};
struct EnergyAnswer {
  std::vector<EnergyGroup> groups;                        // most energy first, then by keys
  std::vector<std::shared_ptr<const ColumnTexts>> texts;  // own the keys
  std::string rollup;                                     // the one that was asked; empty: rows alone
  // Rows before this time have been dropped for their age, and no sums stand for all of them that were asked
  // for.
  std::optional<std::int64_t> lacks_before_ns;
};
// kBadInput also for dimensions that could have more than 2^64 groups, with this `why`.
inline constexpr std::string_view kTooManyGroups = "they have too many groups";
base::Result<EnergyAnswer> energy_by(QuerySession& session, const EnergyQuery& query);
// From where on all rows of the table in the window are kept, if some have been dropped for their age.
std::optional<std::int64_t> lacks_before(const Manifest& manifest, Table table, const TimeWindow& window);
base::Result<EnergyAnswer> heat_map(QuerySession& session, TimeWindow window = {});
base::Result<EnergyAnswer> top_kernels(QuerySession& session, const std::string& model,
                                       const std::string& epoch_from, const std::string& epoch_to,
                                       std::size_t limit);

struct RequestAnswer {
  std::vector<energy::JouleRow> rows;  // in the order of writing
  std::shared_ptr<const base::SymbolTable> symbols;
};
base::Result<RequestAnswer> request_rows(QuerySession& session, std::string_view request);

struct DeviceQuery {
  std::string device;
  TimeWindow window;  // of t_ns and t1_ns
  std::int64_t bucket_ns = 10'000'000'000;
  bool joules = true;
};
struct SignalBucket {
  std::string_view signal;
  std::int64_t from_ns = 0;
  std::uint64_t rows = 0;  // with a value
  double least = 0, greatest = 0, mean = 0;
};
struct EnergyBucket {
  std::int64_t from_ns = 0, energy_uj = 0;
  std::uint64_t rows = 0;
};
struct DeviceTimeline {
  std::vector<SignalBucket> signals;  // by signal, then time
  std::vector<EnergyBucket> joules;   // by t1_ns
  std::shared_ptr<const ColumnTexts> texts;
};
base::Result<DeviceTimeline> device_timeline(QuerySession& session, const DeviceQuery& query);

struct LastValue {
  std::uint32_t device = 0, signal = 0;  // places in `devices` and `signals`
  std::int64_t t_ns = 0;
  double value = 0;  // NaN: absent
};
struct LastValues {
  std::vector<LastValue> values;  // by device, then signal; of equal times the greatest
  std::vector<std::string_view> devices, signals;
  std::vector<std::shared_ptr<const ColumnTexts>> texts;
};
base::Result<LastValues> last_values(QuerySession& session);

struct HotRequestQuery {
  std::string temperature = "temperature";  // the signal
  double above = 0;
  std::size_t one_in = 100;  // of the requests with most energy (equal ones by name), rounded down
};
struct HotRequest {
  std::string request;
  std::int64_t energy_uj = 0;
};
// Those with an event (t1_ns) in a second in which its device's signal was above the limit; most energy
// first.
base::Result<std::vector<HotRequest>> hot_requests(QuerySession& session, const HotRequestQuery& query);

struct DeviceBalance {
  std::string_view device;
  std::int64_t metered_uj = 0, joules_uj = 0, difference_uj = 0;
};
struct DeviceAudit {
  std::vector<DeviceBalance> devices;  // those with a meter, by name
  std::shared_ptr<const ColumnTexts> texts;
};
// Metered is the counter's greatest reading less its least (joules, as whole microjoules); without a counter
// the sum of the device's rows of `meters`. From where on rows of all these tables are kept.
base::Result<DeviceAudit> device_audit(QuerySession& session, const std::string& counter_signal = {});

}  // namespace perjoule::bus
