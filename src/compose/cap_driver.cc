#include "compose/cap_driver.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "device/proposal.hpp"

namespace perjoule::compose {

using base::TimePoint;
using base::Watts;
using energy::DecisionRow;

namespace {

constexpr double kCapGrid[] = {700, 675, 650, 625, 600, 575, 550, 525, 500, 475, 450,
                               425, 400, 375, 350, 325, 300, 275, 250, 225, 200};
constexpr base::Duration kControlPeriod = base::seconds(300);
constexpr std::array<std::string_view, 3> kCapSignals{"gpu.cap.enforced", "gpu.power.avg", "sm.active"};
constexpr std::size_t kMostSeen = 64;  // GPUs of a service whose power is looked at

}  // namespace

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
  Service service{.rule = {},
                  .replicas = {},
                  .gpus = {},
                  .seen = {},
                  .forecast = sched::LoadForecast(base::to_seconds(hall_.spec().window).value())};
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

std::size_t CapDriver::serving(const Service& service) const {
  return static_cast<std::size_t>(
      std::count_if(service.replicas.begin(), service.replicas.end(),
                    [&](std::size_t r) { return std::as_const(hall_).replicas()[r].admitted; }));
}

// At the number of replicas the rule was last asked for.
plant::ReplicaOutlook CapDriver::outlook(std::size_t index, const sched::LoadEstimate& load,
                                         Watts cap) const {
  const plant::ServiceSpec& spec = hall_.spec().services[index];
  const plant::ServiceOutlook outlook(hall_.cost_model(index, cap), {load.input_tokens, load.output_tokens},
                                      spec.batch_limit, Watts(ready_w_));
  return outlook.at(load.requests_per_s / static_cast<double>(services_[index].serving));
}

std::vector<sched::CapOption> CapDriver::options(std::size_t index, const sched::LoadEstimate& load) const {
  const Service& service = services_[index];
  std::vector<sched::CapOption> out;
  for (const double cap : kCapGrid) {
    const plant::ReplicaOutlook at = outlook(index, load, Watts(cap));
    if (!at.possible && !out.empty()) break;
    out.push_back({Watts(cap),
                   {at.ttft_p95_ms * service.level.ttft(), at.token_gap_p95_ms * service.level.gap()},
                   at.gpu_power});
  }
  return out;
}

void CapDriver::control(std::span<const sched::ServiceLoad> loads, std::span<LatencyLog> latencies) {
  const std::int64_t every = std::max<std::int64_t>(1, kControlPeriod.ns / hall_.spec().window.ns);
  const bool period_ends = ++windows_ % every == 0;
  std::vector<std::size_t> due;
  for (std::size_t s = 0; s < services_.size(); ++s) {
    Service& service = services_[s];
    service.forecast.add(loads[s]);
    const auto seen = service.forecast.observed();
    if (period_ends && seen && service.serving > 0) learn(s, *seen, latencies[s]);
    const std::size_t present = serving(service);
    if (period_ends || present != service.serving) due.push_back(s);
    service.serving = present;
  }
  device::BatchStamp stamp;
  if (!due.empty() && source_.read_batch(stamp).ok()) {
    for (const std::size_t s : due) control_service(s);
  }
  // Whatever the source says: a cap that was not renewed goes back to the device's default.
  PJ_CHECK(log_.expire(actuator_).ok());
}

base::Duration CapDriver::dead_man() const { return std::max(kControlPeriod, hall_.spec().window) * 2; }

void CapDriver::learn(std::size_t index, const sched::LoadEstimate& load, LatencyLog& log) {
  const LatencySummary seen = log.since_mark();
  log.mark();
  if (seen.finished == 0) return;
  Service& service = services_[index];
  const plant::ReplicaOutlook said = outlook(index, load, hall_.replicas()[service.replicas[0]].cap);
  service.level.learn({seen.ttft_p95_ms, seen.gap_p95_ms}, {said.ttft_p95_ms, said.token_gap_p95_ms});
}

std::optional<double> CapDriver::busy_power(const Service& service) const {
  double sum = 0.0;
  for (const GpuSlots& slots : service.seen) {
    const auto& power = source_.sample(slots.power);
    const auto& active = source_.sample(slots.active);
    if (!power.has_value() || !active.has_value()) return std::nullopt;
    sum += std::max(0.0, power.value - (1.0 - active.value) * ready_w_);
  }
  return sum / static_cast<double>(service.seen.size());
}

void CapDriver::control_service(std::size_t index) {
  Service& service = services_[index];
  const auto load = service.forecast.planned();
  const auto& cap = source_.sample(service.seen[0].cap);
  const auto busy = busy_power(service);
  // Nothing is known before anything has finished.
  if (!load || !busy || !cap.has_value() || !service.level.known()) return;
  const auto table = options(index, *load);
  const plant::ServiceSpec& spec = hall_.spec().services[index];
  const View view{{{spec.slo_ttft_ms, spec.slo_token_gap_ms}, Watts(cap.value), table}, *busy, *load};
  const Watts chosen = service.rule->choose(view.observation);
  if (chosen == view.observation.cap) return renew(service);
  propose(service, view, chosen);
}

void CapDriver::propose(const Service& service, const View& view, Watts cap) {
  const sched::CapObservation& seen = view.observation;
  const sched::CapOption now = sched::option_at(seen.options, seen.cap),
                         next = sched::option_at(seen.options, cap);
  // The period's work at the new cap instead of the present one; if the prediction fails, at worst the same
  // power for the longer time.
  const base::Joules period = Watts(view.busy_w) * base::to_seconds(kControlPeriod);
  device::ReasonHash hash;
  hash.add(service.level.ttft())
      .add(service.level.gap())
      .add(static_cast<std::uint64_t>(service.serving))
      .add(view.load.requests_per_s)
      .add(view.load.input_tokens)
      .add(view.load.output_tokens)
      .add(view.busy_w)
      .add(seen.cap.value());
  device::Proposal p;
  p.policy = policy_;
  p.action = action_;
  p.value_before = seen.cap.value();
  p.value_after = cap.value();
  p.why = cap < seen.cap ? saves_ : protects_;
  p.reason_hash = hash.value();
  p.expected_saving = base::to_microjoules((now.power - next.power) * base::to_seconds(kControlPeriod));
  p.bound = base::to_microjoules(period * std::max(0.0, next.p95.token_gap_ms / now.p95.token_gap_ms - 1.0));
  // The default limit is where a dead-man would go; it needs none.
  p.expiry = cap == Watts(kCapGrid[0]) ? base::kNever : hall_.now() + dead_man();
  for (const std::size_t g : service.gpus) {
    p.target = hall_.meters()[hall_.gpus()[g].meter].device.name;
    p.control = actuator_.cap_control(g);
    const device::UndoToken token = log_.apply(p, actuator_);
    // A refusal leaves the decision before it in force.
    if (token.valid()) decision_of_[g] = token;
  }
}

// No new decision, only more time for the one in force. A device that refuses is left to its dead-man.
void CapDriver::renew(const Service& service) {
  for (const std::size_t g : service.gpus) {
    const device::UndoToken token = decision_of_[g];
    if (!token.valid() || !log_.in_force(token.row) || !actuator_.expiry(actuator_.cap_control(g))) continue;
    static_cast<void>(log_.renew(token, hall_.now() + dead_man()).ok());
  }
}

}  // namespace perjoule::compose
