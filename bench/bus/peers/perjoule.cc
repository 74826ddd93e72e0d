// Our own engine under the same questions, embedded: blocks to the engine, everything sealed at the end,
// fixed queries of bus/queries.hpp.
#include "bench/bus/peers/perjoule.hpp"

#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <unordered_map>

#include "bench/bus/blocks.hpp"
#include "bus/engine.hpp"
#include "bus/queries.hpp"

namespace perjoule::bench {
namespace {

constexpr int kUnanswered = 32;

// Blocks on their way to the engine, a bounded number of them.
class Sender {
 public:
  explicit Sender(bus::Engine& engine) : engine_(engine) {}

  void send(const std::string& block) {
    if (block.empty()) return;
    {
      std::unique_lock lock(mutex_);
      answered_.wait(lock, [&] { return open_ < kUnanswered; });
      ++open_;
    }
    while (!submit(block)) ::usleep(1000);
  }
  base::Status drain() {
    std::unique_lock lock(mutex_);
    answered_.wait(lock, [&] { return open_ == 0; });
    return fault_.empty() ? base::ok_status() : base::io_error("perjoule: store events", {}, fault_);
  }

 private:
  // False: the engine is busy, which it says within the call.
  bool submit(const std::string& block) {
    bool busy = false;
    engine_.submit(block, bus::Durability::kDurable, [this, &busy](const bus::Receipt& r) {
      if (r.outcome == bus::Outcome::kBusy) {
        busy = true;
        return;
      }
      const std::lock_guard lock(mutex_);
      if (r.outcome != bus::Outcome::kStored && r.outcome != bus::Outcome::kAlreadyStored) fault_ = r.why;
      --open_;
      answered_.notify_one();
    });
    return !busy;
  }

  bus::Engine& engine_;
  std::mutex mutex_;
  std::condition_variable answered_;
  int open_ = 0;
  std::string fault_;
};

// Places of names in the stream's tables.
class Places {
 public:
  explicit Places(const std::vector<std::string>& names) {
    for (std::size_t i = 0; i < names.size(); ++i) places_.emplace(names[i], static_cast<std::int64_t>(i));
  }
  std::int64_t of(std::string_view name) const {
    const auto found = places_.find(name);
    return found == places_.end() ? -1 : found->second;
  }
  std::vector<std::int64_t> of_all(const std::vector<std::string_view>& names) const {
    std::vector<std::int64_t> out;
    for (const auto name : names) out.push_back(of(name));
    return out;
  }

 private:
  std::unordered_map<std::string_view, std::int64_t> places_;
};

void put(Answer& answer, std::initializer_list<std::int64_t> numbers) {
  std::size_t column = 0;
  for (const auto n : numbers) answer.columns[column++].numbers.push_back(n);
}

class Questions {
 public:
  base::Result<Answer> ask(bus::QuerySession& session, QueryId id, const QueryParams& params,
                           bool rollups) const {
    switch (id) {
      case QueryId::kRequest:
        return request(session, params.request);
      case QueryId::kAbsentRequest:
        return request(session, params.absent_request);
      case QueryId::kTenantModel:
        return tenant_model(session, params);
      case QueryId::kTopKernels:
        return kernels(session, params);
      case QueryId::kDeviceSignals:
        return device(session, params);
      case QueryId::kHotRequests:
        return hot(session, params);
      case QueryId::kHeatMap:
        return heat(session, rollups);
      case QueryId::kAudit:
        return audit(session);
      case QueryId::kLastValues:
        return last(session);
    }
    return base::bad_input("answer", {}, "an unknown question");
  }

 private:
  base::Result<Answer> request(bus::QuerySession& session, const std::string& name) const {
    PJ_ASSIGN(const auto found, bus::request_rows(session, name));
    Answer out = empty_answer(QueryId::kRequest);
    for (const auto& r : found.rows)
      put(out, {r.t1_ns, devices_.of(found.symbols->text(r.device)),
                kernels_.of(found.symbols->text(r.consumer.kernel)),
                phases_.of(found.symbols->text(r.consumer.phase)), r.energy_uj});
    return out;
  }
  base::Result<Answer> tenant_model(bus::QuerySession& session, const QueryParams& p) const {
    bus::EnergyQuery q;
    q.by = {"tenant", "model"};
    q.window = {p.hour_from_ns, p.hour_to_ns};
    q.time = bus::JouleTime::kEnd;
    PJ_ASSIGN(const auto found, bus::energy_by(session, q));
    Answer out = empty_answer(QueryId::kTenantModel);
    for (const auto& g : found.groups)
      put(out,
          {tenants_.of(g.keys[0]), models_.of(g.keys[1]), g.energy_uj, static_cast<std::int64_t>(g.rows)});
    return out;
  }
  base::Result<Answer> kernels(bus::QuerySession& session, const QueryParams& p) const {
    const Names& n = names();
    PJ_ASSIGN(const auto found,
              bus::top_kernels(session, n.models[static_cast<std::size_t>(p.model)],
                               n.epochs[static_cast<std::size_t>(p.epoch_from)],
                               n.epochs[static_cast<std::size_t>(p.epoch_to)], kTopKernelCount));
    Answer out = empty_answer(QueryId::kTopKernels);
    for (const auto& g : found.groups) put(out, {kernels_.of(g.keys[0]), g.energy_uj});
    return out;
  }
  base::Result<Answer> device(bus::QuerySession& session, const QueryParams& p) const {
    bus::DeviceQuery q;
    q.device = names().devices[static_cast<std::size_t>(p.device)];
    q.bucket_ns = kBucketNs;
    q.joules = false;
    PJ_ASSIGN(const auto found, bus::device_timeline(session, q));
    Answer out = empty_answer(QueryId::kDeviceSignals);
    for (const auto& b : found.signals)
      put(out, {signals_.of(b.signal), (b.from_ns - kStartNs) / kBucketNs, static_cast<std::int64_t>(b.rows),
                bits_of(b.least), bits_of(b.greatest)});
    return out;
  }
  base::Result<Answer> hot(bus::QuerySession& session, const QueryParams& p) const {
    PJ_ASSIGN(const auto found,
              bus::hot_requests(session, {names().signals[kTemperature], p.hot_celsius, 100}));
    Answer out = empty_answer(QueryId::kHotRequests);
    for (const auto& r : found) {
      out.columns[0].texts.push_back(r.request);
      out.columns[1].numbers.push_back(r.energy_uj);
    }
    return out;
  }
  base::Result<Answer> heat(bus::QuerySession& session, bool rollups) const {
    bus::EnergyQuery q;
    q.by = {"node", "phase"};
    q.rollups = rollups;
    PJ_ASSIGN(const auto found, bus::energy_by(session, q));
    Answer out = empty_answer(QueryId::kHeatMap);
    for (const auto& g : found.groups)
      put(out, {nodes_.of(g.keys[0]), phases_.of(g.keys[1]), g.energy_uj, static_cast<std::int64_t>(g.rows)});
    return out;
  }
  base::Result<Answer> audit(bus::QuerySession& session) const {
    PJ_ASSIGN(const auto found, bus::device_audit(session, names().signals[kEnergyCounter]));
    Answer out = empty_answer(QueryId::kAudit);
    for (const auto& d : found.devices)
      put(out, {devices_.of(d.device), d.metered_uj, d.joules_uj, d.difference_uj});
    return out;
  }
  base::Result<Answer> last(bus::QuerySession& session) const {
    PJ_ASSIGN(const auto found, bus::last_values(session));
    const auto devices = devices_.of_all(found.devices), signals = signals_.of_all(found.signals);
    Answer out = empty_answer(QueryId::kLastValues);
    for (auto& column : out.columns) column.numbers.reserve(found.values.size());
    for (const auto& v : found.values)
      put(out, {devices[v.device], signals[v.signal], v.t_ns, bits_of(v.value)});
    return out;
  }

  const Places devices_{names().devices}, nodes_{names().nodes}, tenants_{names().tenants},
      models_{names().models}, kernels_{names().kernels}, phases_{names().phases}, signals_{names().signals};
};

}  // namespace

base::Result<Answer> ask_perjoule(bus::QuerySession& session, QueryId id, const QueryParams& params,
                                  bool rollups) {
  static const Questions questions;
  return questions.ask(session, id, params, rollups);
}

namespace {

class Perjoule final : public Peer {
 public:
  explicit Perjoule(const PeerOptions& options) : options_(options) {}

  std::string name_version_settings() const override {
    return "perjoule: blocks of up to 65,536 rows, every one durable before it counts, all sealed at the "
           "end, "
           "queries with " +
           std::to_string(options_.threads) + " threads over open files, dictionaries' numbers kept";
  }

  base::Status open(const std::string& directory) override {
    directory_ = directory;
    PJ_ASSIGN(engine_, bus::Engine::open(base::posix_env(), directory));
    sender_ = std::make_unique<Sender>(*engine_);
    return base::ok_status();
  }
  base::Status append(const EventBatch& batch) override {
    const auto [joules, samples] = maker_.encode(batch);
    sender_->send(joules);
    sender_->send(samples);
    return base::ok_status();
  }
  base::Status finish() override {
    PJ_TRY(sender_->drain());
    return engine_->seal_all();
  }
  std::uint64_t bytes_on_disk() override {
    std::uint64_t bytes = 0;
    for (const auto& e : engine_->snapshot().manifest->segments) bytes += e.summary.bytes;
    return bytes;
  }

  base::Result<Answer> query(QueryId id, const QueryParams& params) override {
    PJ_TRY(refresh());
    return ask_perjoule(*session_, id, params);
  }

 private:
  base::Status refresh() {
    if (session_ != nullptr) return session_->refresh(engine_->snapshot());
    PJ_ASSIGN(auto store, bus::StoreReader::open(base::posix_env(), directory_, engine_->snapshot()));
    bus::QueryOptions o;
    o.threads = static_cast<unsigned>(options_.threads);
    session_ = std::make_unique<bus::QuerySession>(std::move(store), o);
    return base::ok_status();
  }

  const PeerOptions options_;
  std::string directory_;
  BlockMaker maker_;
  std::unique_ptr<bus::Engine> engine_;
  std::unique_ptr<Sender> sender_;
  std::unique_ptr<bus::QuerySession> session_;
};

}  // namespace

base::Result<std::unique_ptr<Peer>> make_perjoule(const PeerOptions& options) {
  return std::unique_ptr<Peer>(new Perjoule(options));
}

base::Status make_perjoule_store(const GeneratorOptions& stream, const std::string& directory) {
  if (std::filesystem::exists(directory + "/catalog/manifest.json")) return base::ok_status();
  std::filesystem::create_directories(directory);
  PJ_ASSIGN(const auto peer, make_perjoule({}));
  PJ_TRY(peer->open(directory));
  Generator generator(stream);
  EventBatch batch;
  for (std::int64_t i = 0; i < generator.batches(); ++i) {
    generator.fill(i, batch);
    PJ_TRY(peer->append(batch));
  }
  return peer->finish();
}

}  // namespace perjoule::bench
