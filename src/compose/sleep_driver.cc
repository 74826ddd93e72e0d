#include "compose/sleep_driver.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "base/rng.hpp"
#include "device/proposal.hpp"

namespace perjoule::compose {

using backends::sim::HallActuator;
using base::TimePoint;
using base::Watts;

namespace {

constexpr std::array<const char*, 3> kTierNames{"finer-unit", "low-clocks", "context-release"};
constexpr base::Duration kSensorPeriod = base::milliseconds(100);
// A wake must vanish in the time to first token: this share of the target. A longer one asks for an early
// wake.
constexpr double kWakeShare = 0.05;
// Where a cap policy follows, a number of replicas is judged by the best of these caps; the first is no cap.
constexpr double kAnswerCaps[] = {700, 500, 400, 300, 200};
constexpr double kNewestLevel = 0.1;  // weight of the newest window in the learnt level of a prediction
constexpr std::int64_t kDeadManWindows = 4;

std::vector<agent::SleepTier> tiers_of(const std::vector<plant::RestLevel>& levels) {
  std::vector<agent::SleepTier> out;
  for (std::size_t l = 1; l < levels.size(); ++l) {
    out.push_back({kTierNames[l - 1], levels[0].gpu_power - levels[l].gpu_power, levels[l].wake,
                   levels[l].wake_gpu_energy});
  }
  return out;
}

base::Duration wake_budget(const plant::ServiceSpec& service) {
  const base::Duration share = base::to_duration(base::Seconds(service.slo_ttft_ms * 1e-3 * kWakeShare));
  return std::max(agent::SleepParams{}.wake_budget, share);
}

}  // namespace

// Stands between one replica and its rule.
class SleepDriver::Governor final : public plant::IdleGovernor {
 public:
  Governor(SleepDriver& driver, std::size_t replica, std::unique_ptr<agent::SleepRule> rule)
      : driver_(driver), replica_(replica), rule_(std::move(rule)), tokens_(gpus().size()) {
    for (const agent::SleepTier& tier : driver.tiers_) {
      actions_.push_back(driver.symbols_.intern("rest:" + tier.name));
    }
  }

  TimePoint idle_began(TimePoint since) override {
    since_ = since;
    return rule_->idle_began(since);
  }

  TimePoint look(TimePoint now) override {
    const agent::ActivitySample sample = sample_at(now);
    if (const auto action = rule_->look(sample)) rest(*action, sample, now);
    return rule_->next_look(now);
  }

  void idle_ended(TimePoint now) override {
    rule_->idle_ended(now);
    released_ = 0;
    driver_.clock_.set(now);
    for (device::UndoToken& token : tokens_) {
      if (token.valid()) driver_.log_.lapse(token, early_ ? driver_.by_early_wake_ : driver_.by_work_);
      token = {};
    }
  }

  void set_parked(bool parked) {
    const TimePoint next = rule_->set_parked(parked, driver_.hall_.now());
    driver_.hall_.replicas()[replica_].engine->look_at(next);
  }
  void set_early(bool early) { early_ = early; }
  void renew() {
    for (const device::UndoToken token : tokens_) driver_.renew(token);
  }
  // The rest level announced as released capacity; 0 = none.
  std::size_t released() const { return released_; }
  bool coming = false;  // woken early, not yet in rotation

 private:
  const std::vector<std::size_t>& gpus() const { return driver_.hall_.replicas()[replica_].gpus; }

  // The sensor shows means over its update period, so the first update after work still holds some of it.
  agent::ActivitySample sample_at(TimePoint now) const {
    const double quiet = static_cast<double>((now - since_).ns) / static_cast<double>(kSensorPeriod.ns);
    const double busy = std::clamp(1.0 - quiet, 0.0, 1.0);
    return {now, busy, busy, false};
  }

  void rest(const agent::SleepAction& action, const agent::ActivitySample& sample, TimePoint now) {
    driver_.clock_.set(now);
    device::Proposal p;
    p.policy = driver_.sleep_policy_;
    p.action = actions_[action.tier];
    p.why = driver_.quiet_;
    p.expiry = driver_.dead_man();
    p.value_after = static_cast<double>(action.tier + 1);
    p.reason_hash = device::ReasonHash()
                        .add(static_cast<std::uint64_t>(since_.ns))
                        .add(static_cast<std::uint64_t>(now.ns))
                        .add(sample.sm_active)
                        .add(static_cast<std::uint64_t>(action.tier))
                        .value();
    p.expected_saving = base::to_microjoules(action.expected_saving);
    p.bound = base::to_microjoules(driver_.tiers_[action.tier].wake_energy);
    for (std::size_t i = 0; i < gpus().size(); ++i) {
      p.target = driver_.hall_.meters()[driver_.hall_.gpus()[gpus()[i]].meter].device.name;
      p.control = driver_.actuator_.rest_control(gpus()[i]);
      const device::UndoToken token = driver_.log_.apply(p, driver_.actuator_);
      if (!token.valid()) return;
      tokens_[i] = token;
    }
    released_ = action.tier + 1;
  }

  SleepDriver& driver_;
  std::size_t replica_;
  std::unique_ptr<agent::SleepRule> rule_;
  std::vector<device::UndoToken> tokens_;  // by GPU of the replica: the rest in force
  std::vector<base::Symbol> actions_;      // by tier
  TimePoint since_;
  std::size_t released_ = 0;
  bool early_ = false;
};

SleepDriver::SleepDriver(plant::Hall& hall, base::SymbolTable& symbols, const std::string& rule, bool packs)
    : hall_(hall),
      symbols_(symbols),
      packs_(packs),
      tiers_(tiers_of(plant::Hall::rest_levels(plant::GpuPowerCurve::h200()))),
      actuator_(hall, symbols),
      log_(symbols, clock_),
      sleep_policy_(symbols.intern("sleep:" + rule + "/2")),
      rotation_policy_(symbols.intern("rotation/1")),
      parks_(symbols.intern("park")),
      admits_(symbols.intern("admit")),
      wakes_(symbols.intern("early wake")),
      by_work_(symbols.intern("applied, undone by work")),
      by_early_wake_(symbols.intern("applied, undone by early wake")),
      quiet_(symbols.intern("quiet, and the tier pays")),
      load_falls_(symbols.intern("the load needs fewer replicas")),
      load_grows_(symbols.intern("the load needs more replicas")),
      ready_(symbols.intern("awake and ready")),
      parked_(hall.gpus().size()) {}

SleepDriver::~SleepDriver() {
  for (plant::Replica& r : hall_.replicas()) r.engine->set_governor(nullptr);
}

base::Result<std::unique_ptr<SleepDriver>> SleepDriver::make(plant::Hall& hall, base::SymbolTable& symbols,
                                                             const std::string& rule, std::uint64_t seed,
                                                             bool caps_follow) {
  const auto rules = agent::sleep_rules();
  const auto info = std::find_if(rules.begin(), rules.end(), [&](const auto& r) { return r.name == rule; });
  std::unique_ptr<SleepDriver> driver(
      new SleepDriver(hall, symbols, rule, info != rules.end() && info->packs));
  driver->caps_follow_ = caps_follow;
  driver->parked_idle_.resize(hall.spec().services.size());
  for (std::size_t r = 0; r < hall.replicas().size(); ++r) PJ_TRY(driver->add_governor(r, rule, seed));
  if (driver->governors_.empty()) return driver;
  const double window_s = base::to_seconds(hall.spec().window).value();
  for (std::size_t s = 0; s < hall.spec().services.size(); ++s) {
    driver->services_.push_back({sched::LoadForecast(window_s), sched::Rotation(hall.replicas_of(s).size()),
                                 sched::PredictionLevel(kNewestLevel)});
  }
  // Asking for a rule is what opens the groups.
  PJ_TRY(driver->actuator_.enable_group(backends::sim::kSleepGroup));
  if (driver->packs_) PJ_TRY(driver->actuator_.enable_group(backends::sim::kAdmitGroup));
  return driver;
}

base::Status SleepDriver::add_governor(std::size_t r, const std::string& rule, std::uint64_t seed) {
  plant::Replica& replica = hall_.replicas()[r];
  agent::SleepParams params;
  params.wake_budget = wake_budget(hall_.spec().services[replica.service]);
  base::Rng rng = base::Rng::stream(seed, "activity-sensor", r);
  const base::Duration phase{
      static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(kSensorPeriod.ns)))};
  auto& parked = parked_idle_[replica.service];
  if (!parked) parked = std::make_shared<agent::IdlePredictor>();
  PJ_ASSIGN(auto made, agent::make_sleep_rule(rule, tiers_, params, kSensorPeriod, phase, parked));
  if (!made) return base::ok_status();
  governors_.push_back(std::make_unique<Governor>(*this, r, std::move(made)));
  replica.engine->set_governor(governors_.back().get());
  return base::ok_status();
}

void SleepDriver::control(std::span<const sched::ServiceLoad> loads,
                          std::span<const LatencySummary> latencies) {
  if (governors_.empty()) return;
  clock_.set(hall_.now());
  if (packs_) {
    for (std::size_t s = 0; s < services_.size(); ++s) rotate(s, loads[s], latencies[s]);
  }
  for (const auto& governor : governors_) governor->renew();
  for (const device::UndoToken token : parked_) renew(token);
  PJ_CHECK(log_.expire(actuator_).ok());
}

TimePoint SleepDriver::dead_man() const { return hall_.now() + hall_.spec().window * kDeadManWindows; }

// A device that refuses is left to its dead-man.
void SleepDriver::renew(device::UndoToken token) {
  if (token.valid() && log_.in_force(token.row)) static_cast<void>(log_.renew(token, dead_man()).ok());
}

void SleepDriver::rotate(std::size_t index, const sched::ServiceLoad& load, const LatencySummary& seen) {
  Service& service = services_[index];
  service.forecast.add(load);
  const auto planned = service.forecast.planned();
  if (!planned) return;
  std::vector<std::size_t> serving, parked;
  std::size_t coming = 0;
  const base::Duration budget = wake_budget(hall_.spec().services[index]);
  for (const std::size_t r : hall_.replicas_of(index)) {
    const plant::Replica& replica = hall_.replicas()[r];
    Governor& governor = *governors_[r];
    const auto& engine = *replica.engine;
    const base::Duration wake = engine.rest_levels()[engine.rest_level()].wake;
    if (governor.coming && !engine.waking() && wake <= budget) {
      governor.coming = false;
      write(r, &HallActuator::admit_control, 1.0, admits_, ready_);
    }
    if (replica.admitted) {
      serving.push_back(r);
    } else if (governor.coming) {
      ++coming;
    } else {
      parked.push_back(r);
    }
  }
  const std::size_t target = wanted(index, *planned, seen);
  const std::size_t present = serving.size() + coming;
  rotation_inputs_ = device::ReasonHash()
                         .add(planned->requests_per_s)
                         .add(planned->input_tokens)
                         .add(planned->output_tokens)
                         .add(service.level.ttft())
                         .add(service.level.gap())
                         .add(static_cast<std::uint64_t>(present))
                         .add(static_cast<std::uint64_t>(target));
  if (target > present) bring_back(std::move(parked), target - present);
  // One of those that serve now stays, whatever is on its way.
  if (target < present) park(std::move(serving), std::min(present - target, serving.size() - 1));
}

plant::ServiceOutlook SleepDriver::outlook_at(std::size_t index, const sched::LoadEstimate& load, Watts cap) {
  const Watts ready = hall_.replicas()[hall_.replicas_of(index)[0]].engine->rest_levels()[0].gpu_power;
  return {hall_.cost_model(index, cap),
          {load.input_tokens, load.output_tokens},
          hall_.spec().services[index].batch_limit,
          ready};
}

// The ways in which a number of replicas may work, the fastest first.
std::vector<plant::ServiceOutlook> SleepDriver::outlooks(std::size_t index, const sched::LoadEstimate& load) {
  if (!caps_follow_) return {outlook_at(index, load, hall_.replicas()[hall_.replicas_of(index)[0]].cap)};
  std::vector<plant::ServiceOutlook> out;
  for (const double cap : kAnswerCaps) out.push_back(outlook_at(index, load, Watts(cap)));
  return out;
}

// The predicted first token is scaled by what was seen: real prompts are of unequal length and come in
// bursts.
std::size_t SleepDriver::wanted(std::size_t index, const sched::LoadEstimate& load,
                                const LatencySummary& seen) {
  const plant::ServiceSpec& spec = hall_.spec().services[index];
  Service& service = services_[index];
  const auto replicas = hall_.replicas_of(index);
  const auto ways = outlooks(index, load);
  const auto in_service = std::count_if(replicas.begin(), replicas.end(),
                                        [&](std::size_t r) { return hall_.replicas()[r].admitted; });
  const auto observed = service.forecast.observed();
  if (seen.finished > 0 && observed && in_service > 0) {
    const plant::ServiceOutlook present = outlook_at(index, *observed, hall_.replicas()[replicas[0]].cap);
    const plant::ReplicaOutlook said = present.at(observed->requests_per_s / static_cast<double>(in_service));
    service.level.learn({seen.ttft_p95_ms, seen.gap_p95_ms}, {said.ttft_p95_ms, said.token_gap_p95_ms});
  }
  const double all = static_cast<double>(replicas.size());
  const Watts deepest = hall_.replicas()[replicas[0]].engine->rest_levels().back().gpu_power;
  const sched::Latencies targets{spec.slo_ttft_ms, spec.slo_token_gap_ms};
  return service.rotation.choose(targets, [&](std::size_t n) {
    const auto count = static_cast<double>(n);
    sched::RotationOutlook best;
    for (const plant::ServiceOutlook& way : ways) {
      const plant::ReplicaOutlook o = way.at(load.requests_per_s / count);
      const sched::RotationOutlook now{
          {o.ttft_p95_ms * service.level.ttft(), o.token_gap_p95_ms * service.level.gap()},
          o.gpu_power * count + deepest * (all - count),
          o.possible};
      const bool fastest = &way == &ways.front();
      if (fastest || (sched::keeps(now, targets) && now.power < best.power)) best = now;
    }
    return best;
  });
}

// The shallowest rest first: it is back soonest and has saved least.
void SleepDriver::bring_back(std::vector<std::size_t> parked, std::size_t count) {
  std::stable_sort(parked.begin(), parked.end(), [&](std::size_t a, std::size_t b) {
    return governors_[a]->released() < governors_[b]->released();
  });
  parked.resize(std::min(parked.size(), count));
  for (const std::size_t r : parked) {
    const plant::Replica& replica = hall_.replicas()[r];
    Governor& governor = *governors_[r];
    governor.set_parked(false);
    const std::size_t level = replica.engine->rest_level();
    const base::Duration wake = replica.engine->rest_levels()[level].wake;
    if (wake <= wake_budget(hall_.spec().services[replica.service])) {
      write(r, &HallActuator::admit_control, 1.0, admits_, load_grows_);
      continue;
    }
    governor.set_early(true);
    governor.coming = write(r, &HallActuator::rest_control, 0.0, wakes_, load_grows_);
    governor.set_early(false);
  }
}

// Those that rest already first (capacity released), then the last in order.
void SleepDriver::park(std::vector<std::size_t> serving, std::size_t count) {
  std::reverse(serving.begin(), serving.end());
  std::stable_sort(serving.begin(), serving.end(), [&](std::size_t a, std::size_t b) {
    return governors_[a]->released() > governors_[b]->released();
  });
  serving.resize(std::min(serving.size(), count));
  for (const std::size_t r : serving) {
    governors_[r]->set_parked(true);
    write(r, &HallActuator::admit_control, 0.0, parks_, load_falls_);
  }
}

bool SleepDriver::write(std::size_t replica, Control control_of, double value, base::Symbol action,
                        base::Symbol why) {
  device::Proposal p;
  p.policy = action == wakes_ ? sleep_policy_ : rotation_policy_;
  p.action = action;
  p.why = why;
  p.value_after = value;
  p.reason_hash = device::ReasonHash(rotation_inputs_).add(static_cast<std::uint64_t>(replica)).value();
  if (action == parks_) p.expiry = dead_man();
  bool all = true;
  for (const std::size_t g : hall_.replicas()[replica].gpus) {
    p.target = hall_.meters()[hall_.gpus()[g].meter].device.name;
    p.control = (actuator_.*control_of)(g);
    const device::UndoToken token = log_.apply(p, actuator_);
    all = all && token.valid();
    if (action == parks_ && token.valid()) parked_[g] = token;
  }
  return all;
}

}  // namespace perjoule::compose
