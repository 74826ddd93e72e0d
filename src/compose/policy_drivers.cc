#include "compose/policy_drivers.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "base/rng.hpp"
#include "device/policy.hpp"

namespace perjoule::compose {

using base::TimePoint;
using base::Watts;
using energy::DecisionRow;

namespace {

constexpr std::array<const char*, 3> kTierNames{"finer-unit", "low-clocks", "context-release"};
constexpr double kCapGrid[] = {700, 650, 600, 550, 500, 450, 400, 350, 300, 250};
constexpr base::Duration kSensorPeriod = base::milliseconds(100);
constexpr base::Duration kControlPeriod = base::seconds(300);
constexpr std::array<std::string_view, 3> kCapSignals{"gpu.cap.enforced", "gpu.power.avg", "sm.active"};
constexpr std::size_t kMostSeen = 64;    // GPUs of a service whose power is looked at
constexpr double kMeanContext = 1300.0;  // tokens held per sequence when the options are compared

std::vector<agent::SleepTier> tiers_of(const std::vector<plant::RestLevel>& levels) {
  std::vector<agent::SleepTier> out;
  for (std::size_t l = 1; l < levels.size(); ++l) {
    out.push_back({kTierNames[l - 1], levels[0].gpu_power - levels[l].gpu_power, levels[l].wake,
                   levels[l].wake_gpu_energy});
  }
  return out;
}

}  // namespace

class SleepDriver::Governor final : public plant::IdleGovernor {
 public:
  Governor(std::unique_ptr<agent::SleepRule> rule, std::vector<plant::RestLevel> levels, base::Symbol target,
           std::size_t gpus, base::SymbolTable& symbols, const std::string& name,
           std::vector<DecisionRow>& out)
      : rule_(std::move(rule)),
        levels_(std::move(levels)),
        target_(target),
        gpus_(static_cast<double>(gpus)),
        policy_(symbols.intern("sleep:" + name + "/1")),
        outcome_(symbols.intern("applied, undone by work")),
        out_(out) {
    for (std::size_t k = 0; k + 1 < levels_.size(); ++k) {
      actions_.push_back(symbols.intern(std::string("rest:") + kTierNames[k]));
    }
  }

  std::span<const Step> plan(TimePoint since) override {
    planned_.clear();
    steps_.clear();
    rule_->plan(since, planned_);
    for (const agent::PlannedRest& p : planned_) steps_.push_back({p.at, p.tier + 1});
    return steps_;
  }

  void ended(TimePoint since, TimePoint until, std::size_t taken) override {
    rule_->ended(since, until);
    std::size_t from = 0;
    for (std::size_t k = 0; k < taken; ++k) {
      const std::size_t to = steps_[k].level;
      device::ReasonHash hash;
      hash.add(static_cast<std::uint64_t>(since.ns)).add(static_cast<std::uint64_t>(steps_[k].at.ns)).add(to);
      DecisionRow row;
      row.t_ns = steps_[k].at.ns;
      row.policy = policy_;
      row.target = target_;
      row.action = actions_[to - 1];
      row.value_before = levels_[from].gpu_power.value();
      row.value_after = levels_[to].gpu_power.value();
      row.reason_hash = hash.value();
      row.expected_saving_uj = base::to_microjoules(planned_[k].expected_saving * gpus_).value();
      row.outcome = outcome_;
      row.undone = true;
      out_.push_back(row);
      from = to;
    }
  }

 private:
  std::unique_ptr<agent::SleepRule> rule_;
  std::vector<plant::RestLevel> levels_;
  base::Symbol target_;
  double gpus_;
  base::Symbol policy_, outcome_;
  std::vector<base::Symbol> actions_;
  std::vector<agent::PlannedRest> planned_;
  std::vector<Step> steps_;
  std::vector<DecisionRow>& out_;
};

SleepDriver::~SleepDriver() = default;

base::Result<std::unique_ptr<SleepDriver>> SleepDriver::make(plant::Hall& hall, base::SymbolTable& symbols,
                                                             const std::string& rule, std::uint64_t seed) {
  std::unique_ptr<SleepDriver> driver(new SleepDriver());
  const auto levels = plant::Hall::rest_levels(plant::GpuPowerCurve::h200());
  const auto tiers = tiers_of(levels);
  for (std::size_t r = 0; r < hall.replicas().size(); ++r) {
    plant::Replica& replica = hall.replicas()[r];
    // Wakes must vanish in the time to first token: a twentieth of the target, never below the fast tier's
    // budget.
    agent::SleepParams params;
    const double target_ms = hall.spec().services[replica.service].slo_ttft_ms;
    params.wake_budget =
        std::max(params.wake_budget, base::to_duration(base::Seconds(target_ms * 1e-3 / 20.0)));
    base::Rng rng = base::Rng::stream(seed, "activity-sensor", r);
    const base::Duration phase{
        static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(kSensorPeriod.ns)))};
    PJ_ASSIGN(auto made, agent::make_sleep_rule(rule, tiers, params, kSensorPeriod, phase));
    if (!made) continue;
    const base::Symbol target = hall.meters()[hall.gpus()[replica.gpus[0]].meter].device.name;
    driver->governors_.push_back(std::make_unique<Governor>(
        std::move(made), levels, target, replica.gpus.size(), symbols, rule, driver->decisions_));
    replica.engine->set_governor(driver->governors_.back().get());
  }
  return driver;
}

void SleepDriver::collect(std::vector<DecisionRow>& out) {
  std::stable_sort(decisions_.begin(), decisions_.end(),
                   [](const DecisionRow& a, const DecisionRow& b) { return a.t_ns < b.t_ns; });
  out.insert(out.end(), decisions_.begin(), decisions_.end());
  decisions_.clear();
}

CapDriver::CapDriver(plant::Hall& hall, base::SymbolTable& symbols, const std::string& rule)
    : hall_(hall),
      symbols_(symbols),
      clock_(hall),
      source_(hall, clock_, symbols, kCapSignals),
      actuator_(hall, symbols),
      log_(symbols, clock_),
      policy_(symbols.intern("cap:" + rule + "/1")),
      action_(symbols.intern("gpu power cap")),
      saves_(symbols.intern("less energy predicted within the latency targets")),
      protects_(symbols.intern("more speed wanted for the latency targets")),
      decision_of_(hall.gpus().size()),
      ready_w_(plant::Hall::rest_levels(plant::GpuPowerCurve::h200())[0].gpu_power.value()) {}

base::Result<std::unique_ptr<CapDriver>> CapDriver::make(plant::Hall& hall, base::SymbolTable& symbols,
                                                         const std::string& rule) {
  std::unique_ptr<CapDriver> driver(new CapDriver(hall, symbols, rule));
  if (rule == "none") return driver;
  for (std::size_t s = 0; s < hall.spec().services.size(); ++s) PJ_TRY(driver->add_service(s, rule));
  if (driver->services_.empty()) return driver;
  // Asking for a rule is what opens the group.
  PJ_TRY(driver->actuator_.enable_group(backends::sim::kPowerGroup));
  return driver;
}

base::Status CapDriver::add_service(std::size_t index, const std::string& rule) {
  Service service;
  PJ_ASSIGN(service.rule, sched::make_cap_rule(rule));
  for (std::size_t r = 0; r < hall_.replicas().size(); ++r) {
    const plant::Replica& replica = hall_.replicas()[r];
    if (replica.service != index) continue;
    service.replicas.push_back(r);
    service.gpus.insert(service.gpus.end(), replica.gpus.begin(), replica.gpus.end());
  }
  const std::size_t every = (service.gpus.size() + kMostSeen - 1) / kMostSeen;
  for (std::size_t i = 0; i < service.gpus.size(); i += every) {
    const std::string_view at =
        symbols_.text(hall_.meters()[hall_.gpus()[service.gpus[i]].meter].device.name);
    GpuSlots slots;
    PJ_ASSIGN(slots.cap, source_.push(kCapSignals[0], at));
    PJ_ASSIGN(slots.power, source_.push(kCapSignals[1], at));
    PJ_ASSIGN(slots.active, source_.push(kCapSignals[2], at));
    service.seen.push_back(slots);
  }
  services_.push_back(std::move(service));
  return base::ok_status();
}

std::vector<sched::CapOption> CapDriver::options(std::size_t service, double batch) {
  std::vector<sched::CapOption> out;
  const auto base_cost = hall_.cost_model(service, Watts(kCapGrid[0])).decode(batch, batch * kMeanContext);
  for (const double cap : kCapGrid) {
    const auto cost = hall_.cost_model(service, Watts(cap)).decode(batch, batch * kMeanContext);
    out.push_back({Watts(cap), cost.seconds / base_cost.seconds, cost.gpu_joules / base_cost.gpu_joules});
  }
  return out;
}

void CapDriver::control(std::vector<LatencyLog>& latencies, std::vector<DecisionRow>& out) {
  const std::int64_t every = std::max<std::int64_t>(1, kControlPeriod.ns / hall_.spec().window.ns);
  if (++windows_ % every != 0 || services_.empty()) return;
  device::BatchStamp stamp;
  if (!source_.read_batch(stamp).ok()) return;
  for (std::size_t s = 0; s < services_.size(); ++s) control_service(s, latencies[s]);
  // What was not renewed goes back to the device's default; the hall refuses no cap.
  PJ_CHECK(log_.expire(actuator_).ok());
  const auto rows = log_.rows();
  out.insert(out.end(), rows.begin() + static_cast<std::ptrdiff_t>(written_), rows.end());
  written_ = rows.size();
}

double CapDriver::sequences_per_replica(const Service& service) const {
  double outstanding = 0.0;
  for (const std::size_t r : service.replicas) {
    outstanding += static_cast<double>(std::as_const(hall_).replicas()[r].engine->outstanding());
  }
  return std::max(1.0, outstanding / static_cast<double>(service.replicas.size()));
}

bool CapDriver::look(std::size_t index, LatencyLog& log, View& view) const {
  const Service& service = services_[index];
  const LatencySummary latency = log.since_mark();
  log.mark();
  const auto& cap = source_.sample(service.seen[0].cap);
  if (!cap.has_value()) return false;
  for (const GpuSlots& slots : service.seen) {
    const auto& power = source_.sample(slots.power);
    const auto& active = source_.sample(slots.active);
    if (!power.has_value() || !active.has_value()) return false;
    view.busy_w += std::max(0.0, power.value - (1.0 - active.value) * ready_w_);
  }
  view.busy_w /= static_cast<double>(service.seen.size());
  view.batch = sequences_per_replica(service);
  const plant::ServiceSpec& spec = hall_.spec().services[index];
  view.observation = {latency.ttft_p95_ms,   latency.gap_p95_ms, spec.slo_ttft_ms,
                      spec.slo_token_gap_ms, Watts(cap.value),   {}};
  return true;
}

void CapDriver::control_service(std::size_t index, LatencyLog& log) {
  View view;
  if (!look(index, log, view)) return;
  Service& service = services_[index];
  const auto table = options(index, view.batch);
  view.observation.options = table;
  const Watts cap = service.rule->choose(view.observation);
  if (cap == view.observation.cap) return renew(service);
  propose(service, view, cap);
}

void CapDriver::propose(const Service& service, const View& view, Watts cap) {
  const sched::CapObservation& seen = view.observation;
  const auto at = [&](Watts c) {
    return *std::find_if(seen.options.begin(), seen.options.end(), [&](const auto& o) { return o.cap == c; });
  };
  const sched::CapOption now = at(seen.cap), next = at(cap);
  // The period's work at the new cap instead of the present one; if the prediction fails, at worst the same
  // power for the longer time.
  const base::Joules period = Watts(view.busy_w) * base::to_seconds(kControlPeriod);
  device::ReasonHash hash;
  hash.add(seen.ttft_p95_ms)
      .add(seen.token_gap_p95_ms)
      .add(view.batch)
      .add(view.busy_w)
      .add(seen.cap.value());
  device::Proposal p;
  p.policy = policy_;
  p.action = action_;
  p.value_before = seen.cap.value();
  p.value_after = cap.value();
  p.why = cap < seen.cap ? saves_ : protects_;
  p.reason_hash = hash.value();
  p.expected_saving = base::to_microjoules(period * (1.0 - next.relative_energy / now.relative_energy));
  p.bound = base::to_microjoules(period * std::max(0.0, next.relative_time / now.relative_time - 1.0));
  // The default limit is where a dead-man would go; it needs none.
  p.expiry = cap == Watts(kCapGrid[0]) ? base::kNever : hall_.now() + kControlPeriod * 2;
  for (const std::size_t g : service.gpus) {
    p.target = hall_.meters()[hall_.gpus()[g].meter].device.name;
    p.control = actuator_.cap_control(g);
    decision_of_[g] = log_.apply(p, actuator_);
  }
}

// On behalf of the decision in force: no new decision, only more time for it.
void CapDriver::renew(const Service& service) {
  for (const std::size_t g : service.gpus) {
    const device::UndoToken token = decision_of_[g];
    const device::ControlId control = actuator_.cap_control(g);
    if (!token.valid() || !log_.in_force(token.row) || !actuator_.expiry(control)) continue;
    const DecisionRow& row = log_.rows()[token.row];
    const auto done =
        actuator_.write(control, row.value_after, {hall_.now() + kControlPeriod * 2, false, row.decision});
    PJ_CHECK(done.ok());
  }
}

}  // namespace perjoule::compose
