#include "plant/hall.hpp"

#include <algorithm>
#include <climits>
#include <cmath>
#include <string_view>
#include <unordered_map>

#include "base/rng.hpp"
#include "base/text.hpp"

namespace perjoule::plant {

using base::Joules;
using base::Microjoules;
using base::Seconds;
using base::TimePoint;
using base::Watts;
using energy::DeviceKind;
using energy::MeterId;

namespace {

constexpr Watts kSwitchW{650.0};  // a rack's switch with its optics (unverified)
// The junction at which the power of training phases is taken from the curve.
constexpr double kReferenceJunctionC = 60.0;
constexpr base::Celsius kFirstInlet{22.0};
constexpr std::int64_t kStepsPerEpoch = 2000;

// The index of each name; a name given twice keeps its first.
std::unordered_map<std::string_view, std::size_t> index_of(std::span<const std::string> names) {
  std::unordered_map<std::string_view, std::size_t> index;
  for (std::size_t i = 0; i < names.size(); ++i) index.emplace(names[i], i);
  return index;
}

}  // namespace

struct Hall::StepCosts final : StepCostModel {
  explicit StepCosts(LlmCostModel m) : model(std::move(m)) {}
  PieceCost decode_run(double batch, double kv_tokens, std::int64_t steps) const override {
    const StepCost c = model.decode_run(batch, kv_tokens, steps);
    return {c.seconds, c.gpu_joules};
  }
  // Under a cap the model searches for the clock, some thirty times the cost of a look; prompts of one length
  // come again and again.
  PieceCost prefill(double prompt_tokens, double sequences) const override {
    const auto place =
        (static_cast<std::size_t>(prompt_tokens) + 1021 * static_cast<std::size_t>(sequences)) %
        known_prefills.size();
    KnownPrefill& known = known_prefills[place];
    if (known.prompt_tokens != prompt_tokens || known.sequences != sequences) {
      const StepCost c = model.prefill(prompt_tokens, 0.0, sequences);
      known = {prompt_tokens, sequences, {c.seconds, c.gpu_joules}};
    }
    return known.cost;
  }
  double kv_capacity_tokens() const override { return model.kv_capacity_tokens(); }

  struct KnownPrefill {
    double prompt_tokens = -1.0, sequences = 0.0;
    PieceCost cost;
  };
  LlmCostModel model;
  mutable std::vector<KnownPrefill> known_prefills =
      std::vector<KnownPrefill>(8192);  // by place, the last one
};

Hall::Hall(HallSpec spec, base::SymbolTable& symbols, RequestStream requests)
    : spec_(std::move(spec)),
      symbols_(symbols),
      requests_(std::move(requests)),
      window_start_(spec_.start),
      now_(spec_.start),
      curve_(GpuPowerCurve::h200()) {}

Hall::~Hall() = default;

base::Result<std::unique_ptr<Hall>> Hall::make(HallSpec spec, base::SymbolTable& symbols,
                                               RequestStream requests) {
  std::unique_ptr<Hall> hall(new Hall(std::move(spec), symbols, std::move(requests)));
  PJ_TRY(hall->build());
  return hall;
}

std::vector<RestLevel> Hall::rest_levels(const GpuPowerCurve& gpu) {
  const base::Celsius at = gpu.parameters().leakage_at;
  const double ready = gpu.idle_power(true, at).value();
  const double bare = gpu.idle_power(false, at).value();
  // Finer unit: simulated SM-cluster gating (no such command on today's parts). Coarse ones: low locked
  // clocks, release of the context. Exit latencies: facts of docs/models/gpu-power.md; break-even follows
  // from them.
  return {{Watts(ready), {}, {}},
          {Watts(ready - 0.45 * (ready - bare)), base::Duration{300 * base::kNsPerUs}, Joules(0.05)},
          {Watts(ready - 0.60 * (ready - bare)), base::milliseconds(60), Joules(6.0)},
          {Watts(bare), base::seconds(12), Joules(12 * 90.0)}};
}

base::Result<MeterId> Hall::add_meter(const std::string& path, MeterId parent, DeviceKind kind,
                                      std::string_view zone, const std::string& rack, const std::string& node,
                                      Conversion conversion) {
  energy::Device device;
  device.name = symbols_.intern(path);
  device.site = symbols_.intern(spec_.site);
  device.rack = symbols_.intern(rack);
  device.node = symbols_.intern(node);
  device.kind = kind;
  auto id = tree_.add({device.name, parent, device, symbols_.intern(zone)});
  if (!id.ok())
    return base::bad_input("build the hall", path, "this name is used twice",
                           "Give each device its own name");
  Sensor sensor;
  base::Rng rng = base::Rng::stream(spec_.seed, "meter", base::hash64(path));
  const bool board_sensor = kind == DeviceKind::kGpu || kind == DeviceKind::kCpu || kind == DeviceKind::kDram;
  const bool revenue = kind == DeviceKind::kSite || kind == DeviceKind::kFeed;
  const double sigma = board_sensor ? 0.006 : revenue ? 0.001 : 0.004;
  sensor.gain =
      spec_.perfect_meters ? 1.0 : 1.0 + std::clamp(rng.normal(0.0, sigma), -2.5 * sigma, 2.5 * sigma);
  sensor.uncertainty_ppm = std::llround(2.5 * sigma * 1e6);
  sensor.resolution_uj = spec_.perfect_meters ? 1 : 1000;
  sensor.delay_ns =
      spec_.perfect_meters
          ? 0
          : static_cast<std::int64_t>(rng.below(kind == DeviceKind::kGpu ? 100'000'000 : 1'000'000));
  sensor.conversion = std::move(conversion);
  sensors_.push_back(std::move(sensor));
  integrators_.emplace_back();
  windows_.emplace_back();
  return id;
}

base::Status Hall::build() {
  if (spec_.nodes.empty())
    return base::bad_input("build the hall", spec_.site, "it has no node", "Add a [[node]]");
  PJ_ASSIGN(site_meter_, add_meter(spec_.site, {}, DeviceKind::kSite, "site", "", ""));
  PJ_TRY(place_nodes());
  for (std::size_t f = 0; f < spec_.feeds.size(); ++f) PJ_TRY(build_feed(f, site_meter_));
  PJ_TRY(build_cooling(site_meter_));
  gpu_taken_.assign(gpus_.size(), 0);
  PJ_TRY(build_services());
  for (const TrainingJobSpec& job : spec_.jobs) jobs_.push_back({job, {}, {}, 0, 0.0});
  for (JobState& job : jobs_) job.start = job.end = base::kNever;
  ahead_ = requests_ ? requests_() : std::nullopt;
  return base::ok_status();
}

// Which rack each node is in, which feed each rack hangs on.
base::Status Hall::place_nodes() {
  std::vector<std::string> racks;
  for (const RackSpec& rack : spec_.racks) racks.push_back(rack.name);
  const auto feed_of = index_of(spec_.feeds);
  feed_racks_.resize(spec_.feeds.size());
  for (std::size_t r = 0; r < racks.size(); ++r) {
    const std::string& feed = spec_.racks[r].feed;
    const auto at = feed_of.find(feed);
    if (at == feed_of.end()) {
      return base::bad_input("build the hall", "rack '" + racks[r] + "'",
                             "its feed '" + feed + "' does not exist",
                             base::nearest_name_hint(feed, spec_.feeds));
    }
    feed_racks_[at->second].push_back(r);
  }
  for (std::size_t f = 0; f < feed_racks_.size(); ++f) {
    if (!feed_racks_[f].empty()) continue;
    return base::bad_input("build the hall", "feed '" + spec_.feeds[f] + "'", "no rack hangs on it",
                           "Add a rack, or take the feed out");
  }
  const auto rack_of = index_of(racks);
  rack_nodes_.resize(racks.size());
  for (std::size_t n = 0; n < spec_.nodes.size(); ++n) {
    const NodeSpec& node = spec_.nodes[n];
    const auto at = rack_of.find(node.rack);
    if (at == rack_of.end()) {
      return base::bad_input("build the hall", "node '" + node.name + "'",
                             "its rack '" + node.rack + "' does not exist",
                             base::nearest_name_hint(node.rack, racks));
    }
    node_rack_.push_back(at->second);
    rack_nodes_[at->second].push_back(n);
    servers_.emplace_back(GpuServerParams::h200(node.gpus), kFirstInlet);
  }
  rack_inlet_.assign(racks.size(), kFirstInlet);
  node_gpus_.resize(spec_.nodes.size());
  node_meters_.resize(spec_.nodes.size());
  return base::ok_status();
}

base::Status Hall::build_feed(std::size_t f, MeterId site) {
  Watts rated{0.0};
  for (const std::size_t r : feed_racks_[f]) {
    for (const std::size_t n : rack_nodes_[r]) rated += servers_[n].params().supply_rated;
  }
  // A feed whose racks hold no server yet still has its cables.
  rated = std::max(rated, Watts(1'000.0));
  PJ_ASSIGN(auto ups_curve, EfficiencyCurve::make(rated, kDoubleConversionUps));
  const std::string path = spec_.site + "/" + spec_.feeds[f];
  PJ_ASSIGN(const MeterId feed_id,
            add_meter(path, site, DeviceKind::kFeed, "power", "", "", plant::feed(rated)));
  PJ_ASSIGN(const MeterId ups,
            add_meter(path + "/ups", feed_id, DeviceKind::kUps, "power", "", "", std::move(ups_curve)));
  PJ_ASSIGN(const MeterId pdu,
            add_meter(path + "/pdu", ups, DeviceKind::kPdu, "power", "", "", floor_pdu(rated)));
  for (const std::size_t r : feed_racks_[f]) PJ_TRY(build_rack(r, pdu, path));
  return base::ok_status();
}

base::Status Hall::build_rack(std::size_t r, MeterId pdu, const std::string& feed_path) {
  const RackSpec& rack = spec_.racks[r];
  Watts rated = kSwitchW;
  for (const std::size_t n : rack_nodes_[r]) rated += servers_[n].params().supply_rated;
  const std::string path = feed_path + "/" + rack.name;
  PJ_ASSIGN(const MeterId id,
            add_meter(path, pdu, DeviceKind::kRack, "power", rack.name, "", rack_pdu(rated)));
  for (const std::size_t n : rack_nodes_[r]) PJ_TRY(build_node(n, id));
  PJ_ASSIGN(const MeterId sw, add_meter(path + "/switch", id, DeviceKind::kSwitch, "network", rack.name, ""));
  switches_.push_back(sw);
  return base::ok_status();
}

base::Status Hall::build_node(std::size_t n, MeterId rack) {
  const NodeSpec& node = spec_.nodes[n];
  const std::string path = spec_.site + "/" + node.rack + "/" + node.name;
  const auto leaf = [&](const std::string& name, DeviceKind kind, MeterId parent) {
    return add_meter(path + "/" + name, parent, kind, "it", node.rack, node.name);
  };
  NodeMeters& m = node_meters_[n];
  PJ_ASSIGN(m.node, add_meter(path, rack, DeviceKind::kNode, "it", node.rack, node.name,
                              supply_of(servers_[n].params())));
  for (int g = 0; g < node.gpus; ++g) {
    PJ_ASSIGN(const MeterId id, leaf("gpu/" + std::to_string(g), DeviceKind::kGpu, m.node));
    GpuWindow gpu;
    gpu.meter = id;
    gpu.node = n;
    node_gpus_[n].push_back(gpus_.size());
    gpus_.push_back(std::move(gpu));
  }
  PJ_ASSIGN(m.cpu[0], leaf("cpu/0", DeviceKind::kCpu, m.node));
  PJ_ASSIGN(m.cpu[1], leaf("cpu/1", DeviceKind::kCpu, m.node));
  PJ_ASSIGN(m.dram, leaf("dram", DeviceKind::kDram, m.node));
  PJ_ASSIGN(m.nic, leaf("nic", DeviceKind::kNic, m.node));
  PJ_ASSIGN(m.fans, leaf("fans", DeviceKind::kFan, m.node));
  PJ_ASSIGN(m.board, leaf("board", DeviceKind::kBoard, m.node));
  return base::ok_status();
}

base::Status Hall::build_cooling(MeterId site) {
  ChilledWaterPlantParams params;
  params.design_load = Watts(9'000.0 * static_cast<double>(spec_.nodes.size()));
  PJ_ASSIGN(auto plant, ChilledWaterPlant::make(params));
  cooling_ = std::make_unique<ChilledWaterPlant>(std::move(plant));
  const std::string path = spec_.site + "/cooling";
  PJ_ASSIGN(cooling_meter_, add_meter(path, site, DeviceKind::kFeed, "cooling", "", ""));
  PJ_ASSIGN(chiller_, add_meter(path + "/chiller", cooling_meter_, DeviceKind::kChiller, "cooling", "", ""));
  PJ_ASSIGN(tower_, add_meter(path + "/tower", cooling_meter_, DeviceKind::kTower, "cooling", "", ""));
  PJ_ASSIGN(pumps_, add_meter(path + "/pumps", cooling_meter_, DeviceKind::kPump, "cooling", "", ""));
  PJ_ASSIGN(crah_, add_meter(path + "/crah", cooling_meter_, DeviceKind::kCrah, "cooling", "", ""));
  rack_heat_.resize(spec_.racks.size());
  weather_ = {base::Celsius(20), base::Celsius(10), 52.0, base::Pascals(101'325.0), base::Celsius(14)};
  return base::ok_status();
}

base::Status Hall::build_services() {
  costs_.resize(spec_.services.size());
  service_replicas_.resize(spec_.services.size());
  next_replica_.assign(spec_.services.size(), 0);
  for (std::size_t s = 0; s < spec_.services.size(); ++s) {
    const ServiceSpec& service = spec_.services[s];
    const std::string where = "service '" + service.name + "'";
    PJ_ASSIGN(const ModelFacts facts, find_model_facts(service.model));
    ServingConfig config{facts, GpuSpec::h200_sxm(), service.tensor_parallel, false, service.weight_bits, 1.0,
                         0.0};
    auto model = LlmCostModel::create(config);
    if (!model.ok()) return model.error().within("build " + where);
    costs_[s].emplace_back(0.0, std::make_unique<StepCosts>(std::move(*model)));
    for (const std::string& name : service.nodes) {
      const auto it = std::find_if(spec_.nodes.begin(), spec_.nodes.end(),
                                   [&](const NodeSpec& n) { return n.name == name; });
      if (it == spec_.nodes.end())
        return base::bad_input("build the hall", where, "node '" + name + "' does not exist");
      const auto n = static_cast<std::size_t>(it - spec_.nodes.begin());
      if (it->trains)
        return base::bad_input("build the hall", where, "node '" + name + "' trains, it does not serve");
      if (service.tensor_parallel < 1 || it->gpus % service.tensor_parallel != 0) {
        return base::bad_input("build the hall", where, "tensor_parallel does not divide the node's GPUs");
      }
      const auto width = static_cast<std::size_t>(service.tensor_parallel);
      for (std::size_t first = 0; first < node_gpus_[n].size(); first += width) {
        Replica r;
        r.service = s;
        r.node = n;
        for (std::size_t g = 0; g < width; ++g) r.gpus.push_back(node_gpus_[n][first + g]);
        for (const std::size_t g : r.gpus) {
          if (gpus_[g].replica >= 0)
            return base::bad_input("build the hall", where,
                                   "node '" + name + "' already serves another service");
          gpus_[g].replica = static_cast<std::int32_t>(replicas_.size());
        }
        r.engine = std::make_unique<ServingReplica>(
            *costs_[s][0].second, ServingLimits{service.batch_limit, 8192}, rest_levels(curve_), spec_.start);
        service_replicas_[s].push_back(replicas_.size());
        replicas_.push_back(std::move(r));
      }
    }
    if (service_replicas_[s].empty()) return base::bad_input("build the hall", where, "it has no node");
    admitted_.push_back(service_replicas_[s]);
  }
  return base::ok_status();
}

const LlmCostModel& Hall::cost_model(std::size_t service, Watts cap) {
  auto& list = costs_[service];
  const double key = cap.value() >= curve_.parameters().cap_max.value() ? 0.0 : cap.value();
  for (const auto& [k, costs] : list) {
    if (k == key) return costs->model;
  }
  ServingConfig config = list.front().second->model.config();
  config.power_cap_w = key;
  auto model = LlmCostModel::create(config);
  PJ_CHECK(model.ok());
  list.emplace_back(key, std::make_unique<StepCosts>(std::move(*model)));
  return list.back().second->model;
}

void Hall::set_replica_cap(std::size_t replica, Watts cap) {
  Replica& r = replicas_[replica];
  if (r.cap == cap) return;
  r.cap = cap;
  const LlmCostModel& model = cost_model(r.service, cap);
  for (const auto& entry : costs_[r.service]) {
    if (&entry.second->model == &model) r.engine->set_costs(*entry.second);
  }
}

void Hall::set_training_cap(Watts cap) {
  if (training_cap_ == cap) return;
  training_cap_ = cap;
  for (RunningJob& running : running_) {
    account_job(running, now_);
    const TrainingProfile& profile = training_profiles()[jobs_[running.job].spec.profile];
    running.cycle = make_cycle(profile, curve_, cap, base::Celsius(kReferenceJunctionC));
    const double left = jobs_[running.job].spec.work_seconds - jobs_[running.job].done_seconds;
    running.end = now_ + base::to_duration(Seconds(left * running.cycle.seconds / profile.step_seconds));
  }
}

void Hall::run_window() {
  window_start_ = now_;
  for (GpuWindow& g : gpus_) {
    g.idle_joules = g.busy_joules = g.busy_seconds = 0.0;
    g.jobs.clear();
  }
  if (spec_.weather) weather_ = spec_.weather->at(window_start_);
  now_ = window_start_ + spec_.window;
  serve();
  train();
  close_nodes();
  close_cooling();
  close_parents();
}

void Hall::admit(std::size_t replica, bool admitted) {
  Replica& r = replicas_[replica];
  if (r.admitted == admitted) return;
  r.admitted = admitted;
  auto& group = admitted_[r.service];
  const auto at = std::lower_bound(group.begin(), group.end(), replica);
  if (admitted) {
    group.insert(at, replica);
  } else {
    group.erase(at);
  }
}

void Hall::serve() {
  arrivals_.assign(spec_.services.size(), {});
  while (ahead_ && ahead_->request.arrival < now_) {
    const auto& admitted = admitted_[ahead_->service];
    const auto& group = admitted.empty() ? service_replicas_[ahead_->service] : admitted;
    std::size_t& turn = next_replica_[ahead_->service];
    turn %= group.size();
    Arrivals& arrivals = arrivals_[ahead_->service];
    ++arrivals.requests;
    arrivals.input_tokens += ahead_->request.input_tokens;
    if (!replicas_[group[turn]].engine->offer(ahead_->request)) ++rejected_;
    turn = (turn + 1) % group.size();
    ahead_ = requests_();
  }
  for (Replica& r : replicas_) {
    const double busy = r.engine->busy_joules(), idle = r.engine->idle_joules(),
                 seconds = r.engine->busy_seconds();
    r.engine->advance(now_);
    r.busy_joules = r.engine->busy_joules() - busy;
    r.idle_joules = r.engine->idle_joules() - idle;
    r.busy_seconds = r.engine->busy_seconds() - seconds;
    r.uses = r.engine->take_uses();
    for (const std::size_t g : r.gpus) {
      gpus_[g].busy_joules = r.busy_joules;
      gpus_[g].idle_joules = r.idle_joules;
      gpus_[g].busy_seconds = r.busy_seconds;
    }
  }
}

bool Hall::try_start(std::size_t index, TimePoint t) {
  JobState& job = jobs_[index];
  const auto wanted = static_cast<std::size_t>(job.spec.gpus);
  std::vector<std::size_t> free;
  for (std::size_t n = 0; n < spec_.nodes.size(); ++n) {
    if (!spec_.nodes[n].trains) continue;
    free.clear();
    for (const std::size_t g : node_gpus_[n]) {
      if (gpu_taken_[g] == 0 && free.size() < wanted) free.push_back(g);
    }
    if (free.size() < wanted) continue;
    for (const std::size_t g : free) gpu_taken_[g] = 1;
    job.start = t;
    job.node = n;
    const TrainingProfile& profile = training_profiles()[job.spec.profile];
    RunningJob running{
        index, free, make_cycle(profile, curve_, training_cap_, base::Celsius(kReferenceJunctionC)),
        t,     0.0,  t};
    running.end =
        t + base::to_duration(Seconds(job.spec.work_seconds * running.cycle.seconds / profile.step_seconds));
    running_.push_back(std::move(running));
    return true;
  }
  return false;
}

// First fit in submission order: a job that does not fit lets smaller ones pass. GPUs are only taken
// meanwhile, so no job as wide as one that did not fit need be tried.
void Hall::start_jobs(TimePoint t) {
  int too_wide = INT_MAX;
  std::erase_if(waiting_, [&](std::size_t job) {
    const int wanted = jobs_[job].spec.gpus;
    if (wanted >= too_wide) return false;
    if (try_start(job, t)) return true;
    too_wide = wanted;
    return false;
  });
}

// Energy of a running job from its last account to `to`.
void Hall::account_job(RunningJob& running, TimePoint to) {
  JobState& job = jobs_[running.job];
  const TrainingProfile& profile = training_profiles()[job.spec.profile];
  const double steps = base::to_seconds(to - running.since).value() / running.cycle.seconds;
  if (steps <= 0.0) return;
  const double from = job.done_seconds / profile.step_seconds;
  const double joules = running.cycle.joules_between(from, steps);
  JobUse use{running.job, static_cast<std::int64_t>(from) / kStepsPerEpoch, {}};
  for (std::size_t p = 0; p < kTrainingPhases; ++p) {
    use.phase_joules[p] = joules * running.cycle.phase_joules[p] / running.cycle.joules;
  }
  for (const std::size_t g : running.gpus) {
    gpus_[g].jobs.push_back(use);
    gpus_[g].busy_joules += joules;
    gpus_[g].busy_seconds += base::to_seconds(to - running.since).value();
  }
  job.done_seconds += steps * profile.step_seconds;
  running.since = to;
}

void Hall::train() {
  for (;;) {
    TimePoint next =
        next_job_ < jobs_.size() ? std::max(jobs_[next_job_].spec.submit, window_start_) : base::kNever;
    for (const RunningJob& r : running_) next = std::min(next, r.end);
    if (next >= now_) break;
    for (std::size_t i = 0; i < running_.size();) {
      if (running_[i].end > next) {
        ++i;
        continue;
      }
      account_job(running_[i], next);
      jobs_[running_[i].job].end = next;
      for (const std::size_t g : running_[i].gpus) gpu_taken_[g] = 0;
      running_.erase(running_.begin() + static_cast<std::ptrdiff_t>(i));
    }
    while (next_job_ < jobs_.size() && jobs_[next_job_].spec.submit <= next) waiting_.push_back(next_job_++);
    start_jobs(next);
  }
  for (RunningJob& r : running_) account_job(r, now_);
  const double window_s = base::to_seconds(spec_.window).value();
  const double bare = curve_.idle_power(false, curve_.parameters().leakage_at).value();
  for (GpuWindow& g : gpus_) {
    if (g.replica < 0) g.idle_joules = std::max(0.0, window_s - g.busy_seconds) * bare;
    g.holder_job = -1;
  }
  for (const RunningJob& r : running_) {
    for (const std::size_t g : r.gpus) gpus_[g].holder_job = static_cast<std::int64_t>(r.job);
  }
}

void Hall::read_meter(MeterId meter, Joules energy) {
  const Microjoules before = integrators_[meter.index].total();
  integrators_[meter.index].add(energy);
  set_reading(meter, integrators_[meter.index].total() - before);
}

void Hall::set_reading(MeterId meter, Microjoules truth) {
  Sensor& s = sensors_[meter.index];
  const double window_ns = static_cast<double>(spec_.window.ns);
  s.truth_uj += truth.value();
  if (spec_.perfect_meters) {
    s.shown_uj = s.truth_uj;
    windows_[meter.index] = {truth, truth};
    return;
  }
  // At the edge the sensor still shows the energy of its last update, `delay` ago.
  const double late = static_cast<double>(truth.value()) * static_cast<double>(s.delay_ns) / window_ns;
  const auto seen = static_cast<std::int64_t>((static_cast<double>(s.truth_uj) - late) * s.gain);
  const std::int64_t shown = seen / s.resolution_uj * s.resolution_uj;
  windows_[meter.index] = {truth, Microjoules(shown - s.shown_uj)};
  s.shown_uj = shown;
}

double Hall::mean_w(MeterId meter) const {
  return static_cast<double>(windows_[meter.index].truth.value()) * 1e3 /
         static_cast<double>(spec_.window.ns);
}

// Power at reference conditions becomes power at the die's own temperature; whatever the GPU was doing
// carries its part of the difference.
void Hall::close_node(std::size_t n, Seconds window) {
  GpuServer& server = servers_[n];
  server.begin(inlet(n), window);
  Watts busy{0.0};
  for (std::size_t i = 0; i < node_gpus_[n].size(); ++i) {
    GpuWindow& g = gpus_[node_gpus_[n][i]];
    const Joules nominal(g.busy_joules + g.idle_joules);
    const Watts power = server.gpu(i, nominal / window);
    const double factor = nominal.value() > 0.0 ? power * window / nominal : 1.0;
    g.busy_joules *= factor;
    g.idle_joules *= factor;
    g.temperature = server.die(i);
    busy += Joules(g.busy_joules) / window;
    read_meter(g.meter, power * window);
  }
  const HostPower host = server.end(busy);
  const NodeMeters& m = node_meters_[n];
  read_meter(m.cpu[0], host.cpu * window);
  read_meter(m.cpu[1], host.cpu * window);
  read_meter(m.dram, host.dram * window);
  read_meter(m.nic, host.nic * window);
  read_meter(m.board, host.board * window);
  read_meter(m.fans, host.fans * window);
  server_air_ += server.fans().flow;
}

void Hall::close_nodes() {
  const Seconds window = base::to_seconds(spec_.window);
  server_air_ = base::KilogramsPerSecond(0.0);
  for (std::size_t n = 0; n < spec_.nodes.size(); ++n) close_node(n, window);
  for (const MeterId s : switches_) read_meter(s, kSwitchW * window);
}

Watts Hall::loss(MeterId meter, Watts out) const {
  const Conversion& conversion = sensors_[meter.index].conversion;
  if (const auto* curve = std::get_if<EfficiencyCurve>(&conversion)) return curve->loss(out);
  if (const auto* line = std::get_if<DistributionParams>(&conversion)) return input_power(*line, out) - out;
  return Watts(0.0);
}

Microjoules Hall::expected_loss(MeterId parent, Microjoules children) const {
  const Seconds window = base::to_seconds(spec_.window);
  const Watts out = base::to_joules(std::max(children, Microjoules(0))) / window;
  return base::to_microjoules(loss(parent, out) * window);
}

energy::Provenance Hall::provenance(MeterId meter) const {
  return {energy::Quality::kSimulated, tree_[meter].device.name, sensors_[meter.index].uncertainty_ppm};
}

void Hall::read_parent(MeterId meter) {
  Microjoules children;
  for (const MeterId c : tree_.children(meter)) children += windows_[c.index].truth;
  const Microjoules before = integrators_[meter.index].total();
  integrators_[meter.index].add(base::to_joules(expected_loss(meter, children)));
  set_reading(meter, children + (integrators_[meter.index].total() - before));
}

void Hall::close_cooling() {
  const double window_s = base::to_seconds(spec_.window).value();
  for (std::size_t r = 0; r < rack_nodes_.size(); ++r) {
    rack_heat_[r] = kSwitchW;
    for (const std::size_t n : rack_nodes_[r]) {
      Watts drawn{0.0};
      for (const MeterId leaf : tree_.children(node_meters_[n].node)) drawn += Watts(mean_w(leaf));
      rack_heat_[r] += servers_[n].heat_into_air(loss(node_meters_[n].node, drawn));
    }
  }
  cooling_state_ = cooling_->step({rack_heat_, server_air_, weather_, Seconds(window_s)});
  for (std::size_t r = 0; r < rack_inlet_.size(); ++r) {
    const double share = recirculation({spec_.racks[r].recirculation}, cooling_state_.crah_air, server_air_);
    rack_inlet_[r] = rack_inlet(share, cooling_state_.supply_air, cooling_state_.return_air);
  }
  read_meter(chiller_, cooling_state_.chillers * Seconds(window_s));
  read_meter(tower_, cooling_state_.towers * Seconds(window_s));
  read_meter(pumps_, (cooling_state_.chilled_pumps + cooling_state_.condenser_pumps) * Seconds(window_s));
  read_meter(crah_, cooling_state_.crahs * Seconds(window_s));
}

// Children come after their parents in the tree, so a backward pass has every child first.
void Hall::close_parents() {
  for (std::size_t m = tree_.size(); m-- > 0;) {
    const MeterId id{static_cast<std::uint32_t>(m)};
    if (!tree_.is_leaf(id)) read_parent(id);
  }
}

std::int64_t Hall::events() const {
  std::int64_t n = 0;
  for (const Replica& r : replicas_) n += r.engine->pieces();
  return n + static_cast<std::int64_t>(jobs_.size());
}

}  // namespace perjoule::plant
