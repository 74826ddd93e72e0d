// What devices measured, and what their readings say about joules.
#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "bus/queries.hpp"
#include "bus/query_kernels.hpp"
#include "bus/query_scan.hpp"
#include "bus/rollup.hpp"

namespace perjoule::bus {
namespace {

constexpr std::int64_t kSecondNs = 1'000'000'000;
enum SampleColumn : std::size_t { kTime, kDevice, kSignal, kValue };

std::size_t joule_column(std::string_view name) { return schema_of(Table::kJoules).find(name); }

// The unit's code of a number; the NULL code if it has none.
std::uint32_t code_of(const QuerySession::CodeMap& map, std::uint32_t number) {
  return static_cast<std::uint32_t>(std::find(map.begin(), map.end() - 1, number) - map.begin());
}

base::Error too_much() {
  return base::bad_input("sum joules", {}, "a sum is beyond 64 bits", "Ask for a shorter window");
}

// ---- one device ----

class Timeline {
 public:
  Timeline(QuerySession& session, const DeviceQuery& q)
      : session_(session), q_(q), signals_(session.texts("signal")) {}

  base::Result<DeviceTimeline> run() {
    PJ_TRY(read_samples());
    if (q_.joules) PJ_TRY(read_joules());
    DeviceTimeline out;
    for (const auto& [key, b] : buckets_) {
      out.signals.push_back({signals_->text(key.first), key.second, b.rows, b.least, b.greatest,
                             b.sum / static_cast<double>(b.rows)});
    }
    std::stable_sort(out.signals.begin(), out.signals.end(),
                     [](const auto& a, const auto& b) { return a.signal < b.signal; });
    for (const auto& [from, cell] : energy_) {
      if (!fits_int64(cell.first)) return too_much();
      out.joules.push_back({from, static_cast<std::int64_t>(cell.first), cell.second});
    }
    out.texts = signals_;
    return out;
  }

 private:
  struct Bucket {
    std::uint64_t rows = 0;
    double least = 0, greatest = 0, sum = 0;
  };
  using Buckets = std::map<std::pair<std::uint32_t, std::int64_t>, Bucket>;  // by signal and time
  using Energies = std::map<std::int64_t, std::pair<WideInt, std::uint64_t>>;

  // False: no row of the device is in the piece; else selected_ has them.
  static base::Result<bool> select(PieceReader& reader, const DeviceQuery& q, std::size_t device,
                                   std::size_t time, std::uint32_t number,
                                   std::vector<std::uint32_t>& selected) {
    PJ_ASSIGN(const auto map, reader.map(device));
    const std::uint32_t code = code_of(*map, number);
    if (code + 1 == map->size()) return false;
    PJ_ASSIGN(const bool perhaps, reader.may_hold_text(device, q.device));
    PJ_ASSIGN(const Cover cover, reader.cover(time, q.window));
    if (!perhaps || cover == Cover::kNone) return false;
    PJ_TRY(reader.select_one(device, code, selected));
    if (!selected.empty() && cover == Cover::kSome) {
      PJ_ASSIGN(const auto times, reader.ints(time));
      select_rows(0, true, selected, [&](std::size_t i) { return q.window.holds(times[i]); });
    }
    return !selected.empty();
  }

  // Sums of each unit by itself and then in their order, so means do not depend on the threads.
  base::Status read_samples() {
    PJ_ASSIGN(const auto units, units_of(session_, Table::kSamples, kTime, q_.window));
    PJ_TRY(learn_texts(session_, Table::kSamples, units, std::array<std::size_t, 2>{kDevice, kSignal}));
    const std::uint32_t number = session_.texts("device")->find(q_.device);
    if (number == 0) return base::ok_status();
    std::vector<Buckets> of_unit(units.size());
    std::vector<std::vector<std::uint32_t>> selected(workers_of(session_, units.size()));
    const auto piece = [&](std::size_t w, PieceReader& reader) -> base::Status {
      PJ_ASSIGN(const bool any, select(reader, q_, kDevice, kTime, number, selected[w]));
      return any ? add_readings(reader, selected[w], of_unit[reader.unit().number]) : base::ok_status();
    };
    PJ_TRY(read_units(session_, Table::kSamples, units, {{}, piece, {}}));
    for (const Buckets& part : of_unit) {
      for (const auto& [key, b] : part) {
        Bucket& all = buckets_[key];
        all.least = all.rows == 0 ? b.least : std::min(all.least, b.least);
        all.greatest = all.rows == 0 ? b.greatest : std::max(all.greatest, b.greatest);
        all.sum += b.sum;
        all.rows += b.rows;
      }
    }
    return base::ok_status();
  }

  base::Status add_readings(PieceReader& reader, const std::vector<std::uint32_t>& selected,
                            Buckets& buckets) const {
    PJ_ASSIGN(const auto map, reader.map(kSignal));
    PJ_ASSIGN(const auto signals, reader.codes_at(kSignal, selected));
    PJ_ASSIGN(const auto times, reader.ints(kTime));
    PJ_ASSIGN(const auto values, reader.doubles(kValue));
    for (std::size_t i = 0; i < selected.size(); ++i) {
      const double v = values[selected[i]];
      if (std::isnan(v)) continue;
      Bucket& b = buckets[{(*map)[signals[i]], floor_to_step(times[selected[i]], q_.bucket_ns)}];
      b.least = b.rows == 0 ? v : std::min(b.least, v);
      b.greatest = b.rows == 0 ? v : std::max(b.greatest, v);
      b.sum += v;
      ++b.rows;
    }
    return base::ok_status();
  }

  base::Status read_joules() {
    const std::size_t device = joule_column("device"), time = joule_column("t1_ns"),
                      energy = joule_column("energy_uj");
    PJ_ASSIGN(const auto units, units_of(session_, Table::kJoules, time, q_.window));
    PJ_TRY(learn_texts(session_, Table::kJoules, units, std::array{device}));
    const std::uint32_t number = session_.texts("device")->find(q_.device);
    const std::size_t workers = workers_of(session_, units.size());
    std::vector<Energies> sums(workers);
    std::vector<std::vector<std::uint32_t>> selected(workers);
    const auto piece = [&](std::size_t w, PieceReader& reader) -> base::Status {
      PJ_ASSIGN(const bool any, select(reader, q_, device, time, number, selected[w]));
      if (!any) return base::ok_status();
      PJ_ASSIGN(const auto times, reader.ints(time));
      PJ_ASSIGN(const auto energies, reader.ints(energy));
      for (const auto i : selected[w]) {
        auto& [sum, rows] = sums[w][floor_to_step(times[i], q_.bucket_ns)];
        sum += energies[i];
        ++rows;
      }
      return base::ok_status();
    };
    if (number != 0) PJ_TRY(read_units(session_, Table::kJoules, units, {{}, piece, {}}));
    for (const Energies& of_one : sums) {
      for (const auto& [from, cell] : of_one) {
        energy_[from].first += cell.first;
        energy_[from].second += cell.second;
      }
    }
    return base::ok_status();
  }

  QuerySession& session_;
  const DeviceQuery& q_;
  const std::shared_ptr<ColumnTexts> signals_;
  Buckets buckets_;
  Energies energy_;
};

// ---- last values ----

struct Last {
  std::int64_t t_ns = 0;
  double value = 0;
  bool known = false;

  void take(const Last& other) {
    if (!known || (other.known && is_newer(other.t_ns, other.value, *this))) *this = other;
  }
  static bool is_newer(std::int64_t t, double v, const Last& than) {
    return Reading{t, v, {}}.is_newer_than({than.t_ns, than.value, {}});
  }
};

// The newest reading by device and signal, of one thread.
class LastTable {
 public:
  static constexpr std::uint64_t kFlat = std::uint64_t{1} << 23;
  LastTable(std::uint64_t devices, std::uint64_t signals) : signals_(signals) {
    if (devices * signals <= kFlat) flat_.resize(devices * signals);
  }

  base::Status piece(PieceReader& reader) {
    PJ_ASSIGN(const auto device_map, reader.map(kDevice));
    PJ_ASSIGN(const auto signal_map, reader.map(kSignal));
    PJ_ASSIGN(const auto devices, reader.codes(kDevice));
    PJ_ASSIGN(const auto signals, reader.codes(kSignal));
    PJ_ASSIGN(const auto times, reader.ints(kTime));
    PJ_ASSIGN(const auto values, reader.doubles(kValue));
    for (std::size_t i = 0; i < times.size();) {
      // Readings of one device and signal mostly come together.
      const std::uint32_t device = devices[i], signal = signals[i];
      std::size_t newest = i++;
      for (; i < times.size() && devices[i] == device && signals[i] == signal; ++i) {
        if (Last::is_newer(times[i], values[i], {times[newest], values[newest], true})) newest = i;
      }
      at((*device_map)[device], (*signal_map)[signal]).take({times[newest], values[newest], true});
    }
    return base::ok_status();
  }

  void take(const LastTable& other) {
    for (std::size_t i = 0; i < flat_.size(); ++i) flat_[i].take(other.flat_[i]);
    for (const auto& [key, last] : other.sparse_) sparse_[key].take(last);
  }
  const Last* find(std::uint64_t device, std::uint64_t signal) const {
    const std::uint64_t key = device * signals_ + signal;
    if (!flat_.empty()) return flat_[key].known ? &flat_[key] : nullptr;
    const auto found = sparse_.find(key);
    return found == sparse_.end() ? nullptr : &found->second;
  }

 private:
  Last& at(std::uint64_t device, std::uint64_t signal) {
    const std::uint64_t key = device * signals_ + signal;
    return flat_.empty() ? sparse_[key] : flat_[key];
  }
  const std::uint64_t signals_;
  std::vector<Last> flat_;
  std::unordered_map<std::uint64_t, Last> sparse_;
};

// Numbers in the order of their texts.
std::vector<std::uint32_t> in_order(const std::vector<std::string_view>& texts) {
  std::vector<std::uint32_t> order(texts.size());
  std::iota(order.begin(), order.end(), 0U);
  std::sort(order.begin(), order.end(), [&](auto a, auto b) { return texts[a] < texts[b]; });
  return order;
}

// ---- hot requests ----

class HotSearch {
 public:
  HotSearch(QuerySession& session, const HotRequestQuery& q) : session_(session), q_(q) {}

  base::Result<std::vector<HotRequest>> run() {
    PJ_TRY(find_hot_seconds());
    PJ_ASSIGN(units_, units_of(session_, Table::kJoules, kRequestTime, {}));
    PJ_TRY(learn_texts(session_, Table::kJoules, units_, std::array{kRequestDevice}));
    workers_.resize(workers_of(session_, units_.size()));
    for (auto& w : workers_) w = std::make_unique<Worker>();
    numbers_.resize(units_.size());
    PJ_TRY(sum_requests());
    PJ_TRY(choose_greatest());
    PJ_TRY(find_met());
    return answer();
  }

 private:
  struct Worker {
    base::SymbolTable requests;
    std::vector<WideInt> totals;  // by request number of this worker
    std::vector<WideInt> of_unit;
    std::vector<std::uint32_t> global;  // this worker's number -> the first one's
    std::vector<std::uint8_t> passes, met;
    std::vector<std::uint32_t> selected;
    std::vector<std::uint64_t> hot;
  };
  // The requests of a unit by code, in the numbers of the worker that summed them.
  struct UnitNumbers {
    std::size_t worker = 0;
    std::vector<std::uint32_t> numbers;
  };

  static std::uint64_t key_of(std::int64_t t, std::uint32_t device) {
    return static_cast<std::uint64_t>(floor_to_step(t, kSecondNs) / kSecondNs) << 24 ^ device;
  }

  base::Status find_hot_seconds() {
    PJ_ASSIGN(const auto units, units_of(session_, Table::kSamples, kTime, {}));
    PJ_TRY(learn_texts(session_, Table::kSamples, units, std::array<std::size_t, 2>{kDevice, kSignal}));
    const std::uint32_t number = session_.texts("signal")->find(q_.temperature);
    if (number == 0) return base::ok_status();
    std::vector<Worker> workers(workers_of(session_, units.size()));
    PJ_TRY(read_units(
        session_, Table::kSamples, units,
        {{}, [&](std::size_t w, PieceReader& r) { return hot_piece(r, number, workers[w]); }, {}}));
    for (const Worker& w : workers) hot_.insert(w.hot.begin(), w.hot.end());
    return base::ok_status();
  }

  base::Status hot_piece(PieceReader& reader, std::uint32_t number, Worker& w) const {
    PJ_ASSIGN(const auto map, reader.map(kSignal));
    const std::uint32_t code = code_of(*map, number);
    if (code + 1 == map->size()) return base::ok_status();
    PJ_TRY(reader.select_one(kSignal, code, w.selected));
    if (w.selected.empty()) return base::ok_status();
    PJ_ASSIGN(const auto values, reader.doubles(kValue));
    select_rows(0, true, w.selected, [&](std::size_t i) { return values[i] > q_.above; });
    if (w.selected.empty()) return base::ok_status();
    PJ_ASSIGN(const auto times, reader.ints(kTime));
    PJ_ASSIGN(const auto devices, reader.codes_at(kDevice, w.selected));
    PJ_ASSIGN(const auto device_map, reader.map(kDevice));
    for (std::size_t i = 0; i < w.selected.size(); ++i)
      w.hot.push_back(key_of(times[w.selected[i]], (*device_map)[devices[i]]));
    return base::ok_status();
  }

  base::Status sum_requests() {
    const auto begin = [&](std::size_t w, PieceReader& r) -> base::Result<bool> {
      PJ_ASSIGN(const auto texts, r.dictionary(kRequest));
      workers_[w]->of_unit.assign(texts.size() + 1, 0);
      return true;
    };
    const auto piece = [&](std::size_t w, PieceReader& r) -> base::Status {
      PJ_ASSIGN(const auto codes, r.codes(kRequest));
      PJ_ASSIGN(const auto energy, r.ints(kRequestEnergy));
      WideInt* const sums = workers_[w]->of_unit.data();
      // A request's rows lie together.
      for (std::size_t i = 0; i < codes.size();) {
        const std::uint32_t code = codes[i];
        WideInt sum = 0;
        for (; i < codes.size() && codes[i] == code; ++i) sum += energy[i];
        sums[code] += sum;
      }
      return base::ok_status();
    };
    const auto end = [&](std::size_t w, PieceReader& r) -> base::Status {
      PJ_ASSIGN(const auto texts, r.dictionary(kRequest));
      Worker& worker = *workers_[w];
      UnitNumbers& unit = numbers_[r.unit().number];
      unit.worker = w;
      for (std::size_t i = 0; i < texts.size(); ++i) {
        const std::uint32_t number = worker.requests.intern(texts[i]).id;
        unit.numbers.push_back(number);
        if (number >= worker.totals.size()) worker.totals.resize(number + 1, 0);
        worker.totals[number] += worker.of_unit[i];
      }
      unit.numbers.push_back(0);
      return base::ok_status();
    };
    return read_units(session_, Table::kJoules, units_, {begin, piece, end});
  }

  // The totals of all workers in the first one's numbers, and which of them are the greatest.
  base::Status choose_greatest() {
    Worker& first = *workers_[0];
    for (const auto& w : workers_) {
      w->global.assign(w->requests.size(), 0);
      w->totals.resize(w->requests.size(), 0);
      for (std::uint32_t i = 1; i < w->requests.size(); ++i) {
        w->global[i] = w == workers_[0] ? i : first.requests.intern(w->requests.text({i})).id;
        if (w->global[i] >= first.totals.size()) first.totals.resize(w->global[i] + 1, 0);
        if (w != workers_[0]) first.totals[w->global[i]] += w->totals[i];
      }
    }
    if (!std::all_of(first.totals.begin(), first.totals.end(), fits_int64)) return too_much();
    std::vector<std::uint32_t> order(first.totals.empty() ? 0 : first.totals.size() - 1);
    std::iota(order.begin(), order.end(), 1U);
    const std::size_t n = order.size() / std::max<std::size_t>(q_.one_in, 1);
    const auto greater = [&](auto a, auto b) {
      if (first.totals[a] != first.totals[b]) return first.totals[a] > first.totals[b];
      return first.requests.text({a}) < first.requests.text({b});
    };
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(), greater);
    order.resize(n);
    is_great_.assign(first.totals.size() + 1, 0);
    for (const auto i : order) is_great_[i] = 1;
    for (const auto& w : workers_) w->met.assign(is_great_.size(), 0);
    return base::ok_status();
  }

  std::uint32_t global_of(const UnitNumbers& unit, std::size_t code) const {
    return workers_[unit.worker]->global[unit.numbers[code]];
  }

  base::Status find_met() {
    const auto begin = [&](std::size_t w, PieceReader& r) -> base::Result<bool> {
      const UnitNumbers& unit = numbers_[r.unit().number];
      auto& passes = workers_[w]->passes;
      passes.resize(unit.numbers.size());
      for (std::size_t c = 0; c < passes.size(); ++c)
        passes[c] = unit.numbers[c] != 0 ? is_great_[global_of(unit, c)] : std::uint8_t{0};
      PJ_TRY(r.dictionary(kRequest));
      return std::find(passes.begin(), passes.end(), 1) != passes.end();
    };
    const auto piece = [&](std::size_t w, PieceReader& r) { return met_piece(r, *workers_[w]); };
    if (hot_.empty()) return base::ok_status();
    return read_units(session_, Table::kJoules, units_, {begin, piece, {}});
  }

  base::Status met_piece(PieceReader& reader, Worker& w) const {
    PJ_ASSIGN(const auto codes, reader.codes(kRequest));
    select_rows(codes.size(), false, w.selected, [&](std::size_t i) { return w.passes[codes[i]] != 0; });
    if (w.selected.empty()) return base::ok_status();
    PJ_ASSIGN(const auto times, reader.ints(kRequestTime));
    PJ_ASSIGN(const auto devices, reader.codes(kRequestDevice));
    PJ_ASSIGN(const auto map, reader.map(kRequestDevice));
    const UnitNumbers& unit = numbers_[reader.unit().number];
    for (const auto i : w.selected) {
      if (hot_.count(key_of(times[i], (*map)[devices[i]])) > 0) w.met[global_of(unit, codes[i])] = 1;
    }
    return base::ok_status();
  }

  std::vector<HotRequest> answer() const {
    const Worker& first = *workers_[0];
    std::vector<HotRequest> out;
    for (std::uint32_t i = 1; i < first.totals.size(); ++i) {
      const bool met =
          std::any_of(workers_.begin(), workers_.end(), [&](const auto& w) { return w->met[i] != 0; });
      if (met)
        out.push_back({std::string(first.requests.text({i})), static_cast<std::int64_t>(first.totals[i])});
    }
    std::sort(out.begin(), out.end(), [](const HotRequest& a, const HotRequest& b) {
      return a.energy_uj != b.energy_uj ? a.energy_uj > b.energy_uj : a.request < b.request;
    });
    return out;
  }

  QuerySession& session_;
  const HotRequestQuery& q_;
  const std::size_t kRequest = joule_column("request"), kRequestDevice = joule_column("device"),
                    kRequestTime = joule_column("t1_ns"), kRequestEnergy = joule_column("energy_uj");
  std::unordered_set<std::uint64_t> hot_;
  std::vector<Unit> units_;
  std::vector<std::unique_ptr<Worker>> workers_;
  std::vector<UnitNumbers> numbers_;
  std::vector<std::uint8_t> is_great_;
};

// ---- audit ----

struct Counter {
  double least = 0, greatest = 0;
  bool known = false;
  void take(double v) {
    least = known ? std::min(least, v) : v;
    greatest = known ? std::max(greatest, v) : v;
    known = true;
  }
};
using Metered = std::map<std::string, WideInt, std::less<>>;

std::int64_t microjoules_of(double joules) { return std::llround(joules * 1e6); }

base::Result<Metered> counted(QuerySession& session, const std::string& signal, const TimeWindow& window) {
  PJ_ASSIGN(const auto units, units_of(session, Table::kSamples, kTime, window));
  PJ_TRY(learn_texts(session, Table::kSamples, units, std::array<std::size_t, 2>{kDevice, kSignal}));
  const std::uint32_t number = session.texts("signal")->find(signal);
  const auto devices = session.texts("device")->all();
  std::vector<std::vector<Counter>> counters(workers_of(session, units.size()),
                                             std::vector<Counter>(devices.size()));
  std::vector<std::vector<std::uint32_t>> selected(counters.size());
  const auto piece = [&](std::size_t w, PieceReader& r) -> base::Status {
    PJ_ASSIGN(const auto map, r.map(kSignal));
    const std::uint32_t code = code_of(*map, number);
    if (code + 1 == map->size()) return base::ok_status();
    PJ_TRY(r.select_one(kSignal, code, selected[w]));
    if (selected[w].empty()) return base::ok_status();
    PJ_ASSIGN(const Cover cover, r.cover(kTime));
    if (cover == Cover::kSome) {
      PJ_ASSIGN(const auto times, r.ints(kTime));
      select_rows(0, true, selected[w], [&](std::size_t i) { return window.holds(times[i]); });
    }
    if (cover == Cover::kNone || selected[w].empty()) return base::ok_status();
    PJ_ASSIGN(const auto values, r.doubles(kValue));
    PJ_ASSIGN(const auto codes, r.codes_at(kDevice, selected[w]));
    PJ_ASSIGN(const auto device_map, r.map(kDevice));
    for (std::size_t i = 0; i < codes.size(); ++i) {
      const double v = values[selected[w][i]];
      if (!std::isnan(v)) counters[w][(*device_map)[codes[i]]].take(v);
    }
    return base::ok_status();
  };
  if (number != 0) PJ_TRY(read_units(session, Table::kSamples, units, {{}, piece, {}}));
  Metered out;
  for (std::size_t d = 1; d < devices.size(); ++d) {
    Counter all;
    for (const auto& c : counters) {
      if (c[d].known) all.take(c[d].least), all.take(c[d].greatest);
    }
    if (all.known) out.emplace(devices[d], microjoules_of(all.greatest) - microjoules_of(all.least));
  }
  return out;
}

// Where nothing has been dropped for its age.
TimeWindow kept_window(const Manifest& manifest) {
  TimeWindow out;
  for (const Table table : {Table::kMeters, Table::kJoules, Table::kSamples}) {
    const auto mark = manifest.tables.find(std::string(schema_of(table).name));
    if (mark != manifest.tables.end()) out.from_ns = std::max(out.from_ns, mark->second.kept_from_ns);
  }
  return out;
}

base::Result<Metered> metered(QuerySession& session, const TimeWindow& window) {
  Metered out;
  PJ_TRY(session.store().scan({Table::kMeters, {"device", "energy_uj"}, window}, [&](const Batch& b) {
    for (std::size_t i = 0; i < b.rows; ++i) {
      if (!b.columns[0].is_null(i)) out[std::string(b.columns[0].text(i))] += b.columns[1].ints[i];
    }
    return base::ok_status();
  }));
  return out;
}

}  // namespace

base::Result<DeviceTimeline> device_timeline(QuerySession& session, const DeviceQuery& query) {
  if (query.bucket_ns <= 0)
    return base::bad_input("look at a device", std::to_string(query.bucket_ns) + " ns",
                           "a bucket must have a length");
  return Timeline(session, query).run();
}

// What `samples_last` has, and the samples that are not in it yet.
base::Result<LastValues> last_values(QuerySession& session) {
  constexpr std::array<std::size_t, 2> kNames{kDevice, kSignal};  // at the same places in both tables
  session.stats() = {};
  const bool damaged = !session.store().left_out().empty();
  const auto later = [&](const SegmentEntry* segment) {
    const bool known =
        !damaged && segment != nullptr && segment->step_in(schema_of(Table::kSamplesLast).name) != 0;
    return known ? std::vector<TimeWindow>{} : std::vector<TimeWindow>{{}};
  };
  const auto all = [](const SegmentEntry*) { return std::vector<TimeWindow>{{}}; };
  std::vector<Unit> known, samples;
  PJ_TRY(add_units(session, Table::kSamplesLast, kTime, all, known));
  PJ_TRY(add_units(session, Table::kSamples, kTime, later, samples));
  PJ_TRY(learn_texts(session, Table::kSamplesLast, known, kNames));
  PJ_TRY(learn_texts(session, Table::kSamples, samples, kNames));
  LastValues out;
  out.texts = {session.texts("device"), session.texts("signal")};
  out.devices = out.texts[0]->all();
  out.signals = out.texts[1]->all();
  std::vector<LastTable> tables(workers_of(session, std::max(known.size(), samples.size())),
                                LastTable(out.devices.size(), out.signals.size()));
  const auto piece = [&](std::size_t w, PieceReader& r) { return tables[w].piece(r); };
  PJ_TRY(read_units(session, Table::kSamplesLast, known, {{}, piece, {}}));
  PJ_TRY(read_units(session, Table::kSamples, samples, {{}, piece, {}}));
  for (std::size_t w = 1; w < tables.size(); ++w) tables[0].take(tables[w]);
  const auto signals = in_order(out.signals);
  for (const auto d : in_order(out.devices)) {
    for (const auto s : signals) {
      if (const Last* last = tables[0].find(d, s)) out.values.push_back({d, s, last->t_ns, last->value});
    }
  }
  return out;
}

base::Result<std::vector<HotRequest>> hot_requests(QuerySession& session, const HotRequestQuery& query) {
  return HotSearch(session, query).run();
}

base::Result<DeviceAudit> device_audit(QuerySession& session, const std::string& counter_signal) {
  const TimeWindow kept = kept_window(session.store().manifest());
  PJ_ASSIGN(const Metered meters,
            counter_signal.empty() ? metered(session, kept) : counted(session, counter_signal, kept));
  EnergyQuery q;
  q.window = kept;
  q.by = {"device"};
  PJ_ASSIGN(const EnergyAnswer joules, energy_by(session, q));
  std::unordered_map<std::string_view, std::int64_t> joules_of;
  for (const EnergyGroup& g : joules.groups) joules_of.emplace(g.keys[0], g.energy_uj);
  DeviceAudit out;
  const auto devices = session.texts("device");
  for (const auto& [device, energy] : meters) {
    const auto found = joules_of.find(device);
    const std::int64_t own = found == joules_of.end() ? 0 : found->second;
    if (!fits_int64(energy) || !fits_int64(energy - own)) return too_much();
    out.devices.push_back({devices->text(devices->intern(device)), static_cast<std::int64_t>(energy), own,
                           static_cast<std::int64_t>(energy - own)});
  }
  out.texts = devices;
  return out;
}

}  // namespace perjoule::bus
