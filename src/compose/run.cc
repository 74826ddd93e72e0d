#include "compose/run.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <set>

#include "base/clock.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "bus/store.hpp"
#include "compose/cap_driver.hpp"
#include "compose/latency.hpp"
#include "compose/run_sink.hpp"
#include "compose/settler.hpp"
#include "compose/sleep_driver.hpp"

namespace perjoule::compose {
namespace {

using base::Microjoules;
using base::TimePoint;

// Everything one run owns, stepped window by window.
class Run {
 public:
  Run(const Scenario& scenario, const RunOptions& options, base::Env& env)
      : scenario_(scenario), options_(options), env_(env) {}

  base::Result<RunSummary> go() {
    PJ_TRY(open());
    const base::Stopwatch watch;
    const std::int64_t windows = scenario_.length.ns / scenario_.hall.window.ns;
    const std::int64_t quarter_hour = base::kNsPerHour / 4 / scenario_.hall.window.ns;
    const std::int64_t report_every = std::max<std::int64_t>(1, std::min(windows / 100, quarter_hour));
    bool complete = true;
    for (std::int64_t w = 0; w < windows && complete; ++w) {
      PJ_TRY(step());
      if (options_.progress && (w + 1) % report_every == 0) {
        complete = options_.progress(static_cast<double>(w + 1) / static_cast<double>(windows));
      }
    }
    PJ_TRY(close(complete));
    RunSummary out = summary(complete);
    out.host_seconds = watch.elapsed().value();
    return out;
  }

 private:
  base::Status open() {
    PJ_ASSIGN(hall_, plant::Hall::make(scenario_.hall, symbols_, make_request_stream(scenario_)));
    // Before the store, so that a rule that is not there leaves nothing behind.
    PJ_ASSIGN(sleep_, SleepDriver::make(*hall_, symbols_, options_.policies.sleep, scenario_.hall.seed,
                                        sched::cap_follows_load(options_.policies.cap)));
    PJ_ASSIGN(cap_, CapDriver::make(*hall_, symbols_, options_.policies.cap));
    if (!options_.store.empty()) {
      bus::StoreOptions store_options;
      store_options.overwrite = options_.overwrite;
      store_options.threads = options_.threads;
      bus::StoreMeta meta;
      meta["scenario"] = scenario_.name;
      meta["scenario_text"] = scenario_.text;
      meta["policies"] = options_.policies.label();
      meta["seed"] = std::to_string(scenario_.hall.seed);
      meta["build"] = PERJOULE_VERSION;
      if (!options_.savings_json.empty()) meta["savings_json"] = options_.savings_json;
      PJ_ASSIGN(auto store, bus::StoreWriter::create(env_, options_.store, symbols_, meta, store_options));
      store_.emplace(std::move(store));
    }
    sink_.emplace(symbols_, store_ ? &*store_ : nullptr);
    settlement_.emplace(hall_->meters(), symbols_, *sink_);
    settler_.emplace(*hall_, symbols_, scenario_);
    latencies_.resize(scenario_.hall.services.size());
    window_latencies_.resize(latencies_.size());
    loads_.resize(latencies_.size());
    return base::ok_status();
  }

  base::Status step() {
    hall_->run_window();
    const TimePoint t0 = hall_->window_start(), t1 = hall_->now();
    const double factor = carbon_factor(t0, t1);
    sink_->begin_window(factor);
    settlement_->begin_window(t0, t1);
    settler_->settle(*settlement_);
    settlement_->end_window();
    account_carbon(t0, t1);
    water_kg_ += hall_->cooling().water_used_kg;
    if (options_.samples) PJ_TRY(write_samples(t1));
    finish_requests();
    sleep_->control(loads_, window_latencies_);
    cap_->control(loads_, latencies_);
    return sink_->status();
  }

  // Grams per kWh charged in the window; NaN if the series does not say.
  double carbon_factor(TimePoint t0, TimePoint t1) const {
    if (scenario_.carbon.empty()) return energy::kAbsent;
    const auto answer =
        scenario_.carbon[0].at_window(t0, t1, backends::grid::GapPolicy::kSameHourPreviousDay);
    return answer.intensity ? answer.intensity->value() : energy::kAbsent;
  }

  void account_carbon(TimePoint t0, TimePoint t1) {
    const Microjoules site = hall_->readings()[0].reading;
    carbon_.resize(scenario_.carbon.size());
    carbon_quality_.resize(scenario_.carbon.size(), energy::Quality::kSimulated);
    for (std::size_t c = 0; c < carbon_.size(); ++c) {
      const auto mass =
          scenario_.carbon[c].grams(site, t0, t1, backends::grid::GapPolicy::kSameHourPreviousDay);
      carbon_[c].region = scenario_.carbon[c].region();
      carbon_quality_[c] = energy::worse(carbon_quality_[c], mass.quality);
      carbon_[c].quality = energy::name_of(carbon_quality_[c]);
      carbon_[c].grams += mass.grams ? mass.grams->value() : energy::kAbsent;
    }
  }

  base::Status write_samples(TimePoint t) {
    if (!store_) return base::ok_status();
    const double window_ms = static_cast<double>(scenario_.hall.window.ns) * 1e-6;
    const auto put = [&](base::Symbol device, base::Symbol signal, double value, double window) {
      return store_->append(energy::SampleRow{t.ns, device, signal, value, energy::Quality::kSimulated,
                                              window, sample_names_.source, ++sample_seq_});
    };
    for (std::uint32_t m = 0; m < hall_->meters().size(); ++m) {
      const energy::Device& d = hall_->meters()[{m}].device;
      const base::Symbol counter = sample_names_.energy_of(d.kind);
      if (!counter.empty()) {
        const double joules = base::to_joules(hall_->counter({m})).value();
        PJ_TRY(put(d.name, counter, joules, energy::kAbsent));
      } else if (d.kind == energy::DeviceKind::kNode) {
        const double watts = base::to_joules(hall_->readings()[m].reading).value() / (window_ms * 1e-3);
        PJ_TRY(put(d.name, sample_names_.node_power, watts, window_ms));
      }
    }
    for (const plant::GpuWindow& g : hall_->gpus()) {
      PJ_TRY(put(hall_->meters()[g.meter].device.name, sample_names_.gpu_temp, g.temperature.value(),
                 energy::kAbsent));
    }
    return base::ok_status();
  }

  void finish_requests() {
    std::vector<std::size_t> before;
    for (std::size_t s = 0; s < latencies_.size(); ++s) {
      const plant::Arrivals& arrivals = hall_->arrivals()[s];
      loads_[s] = {arrivals.requests, arrivals.input_tokens, 0, 0};
      before.push_back(latencies_[s].size());
    }
    for (plant::Replica& r : hall_->replicas()) {
      if (r.engine->finished().empty()) continue;
      const plant::ServiceSpec& service = scenario_.hall.services[r.service];
      const energy::Consumer& consumer = settler_->service_consumer(r.service);
      for (const plant::FinishedRequest& f : r.engine->finished()) {
        const RequestTimes times = latencies_[r.service].add(f, service);
        input_tokens_ += f.request.input_tokens;
        output_tokens_ += f.request.output_tokens;
        ++loads_[r.service].finished;
        loads_[r.service].output_tokens += f.request.output_tokens;
        sink_->finish_request({settler_->request_symbol(f.request.id), consumer.tenant, consumer.model,
                               f.request.arrival.ns, f.done.ns, f.request.input_tokens,
                               f.request.output_tokens, times.latency_ms, times.ttft_ms, times.met, 0,
                               energy::kAbsent});
      }
      r.engine->finished().clear();
    }
    for (std::size_t s = 0; s < latencies_.size(); ++s) {
      window_latencies_[s] = latencies_[s].summary_from(before[s]);
    }
  }

  // In time order; the numbers are the run's, not those of the log that made them.
  base::Status write_decisions() {
    std::vector<energy::DecisionRow> rows(sleep_->decisions().begin(), sleep_->decisions().end());
    rows.insert(rows.end(), cap_->decisions().begin(), cap_->decisions().end());
    std::stable_sort(rows.begin(), rows.end(), [](const auto& a, const auto& b) { return a.t_ns < b.t_ns; });
    std::int64_t number = 0;
    for (energy::DecisionRow& row : rows) {
      row.decision = symbols_.intern("d" + std::to_string(++number));
      PJ_TRY(store_->append(row));
    }
    return base::ok_status();
  }

  base::Status close(bool complete) {
    if (!store_) return base::ok_status();
    PJ_TRY(sink_->write_requests());
    PJ_TRY(write_decisions());
    for (const plant::JobState& job : hall_->jobs()) {
      if (job.spec.submit >= hall_->now()) continue;
      const base::Symbol name = symbols_.intern(job.spec.name);
      const auto [energy, grams] = sink_->job_energy(name);
      PJ_TRY(store_->append(energy::JobRow{
          name, symbols_.intern(job.spec.tenant),
          symbols_.intern(plant::training_profiles()[job.spec.profile].model), job.started() ? 1 : 0,
          job.spec.gpus, job.spec.submit.ns, job.started() ? job.start.ns : energy::kNoTime,
          job.ended() ? job.end.ns : energy::kNoTime, energy, grams}));
    }
    for (const auto& series : scenario_.carbon) {
      for (const auto& row : series.rows(scenario_.hall.start, hall_->now(), symbols_))
        PJ_TRY(store_->append(row));
    }
    return store_->finish(complete);
  }

  RunSummary summary(bool complete) {
    RunSummary out;
    out.scenario = scenario_.name;
    out.policies = options_.policies.label();
    out.seed = scenario_.hall.seed;
    out.t0 = scenario_.hall.start;
    out.t1 = hall_->now();
    out.complete = complete;
    out.totals = settlement_->totals();
    sink_->fill(out, *hall_);
    const Microjoules all = out.totals.direct + out.totals.idle + out.totals.overhead + out.totals.residual;
    out.conserved = all == out.site;
    LatencyLog every;
    for (std::size_t s = 0; s < latencies_.size(); ++s) {
      out.services.emplace_back(scenario_.hall.services[s].name, latencies_[s].summary());
      every.merge(latencies_[s]);
    }
    out.latency = every.summary();
    out.input_tokens = input_tokens_;
    out.output_tokens = output_tokens_;
    out.rejected = hall_->rejected_requests();
    for (const plant::Replica& r : hall_->replicas()) {
      out.outstanding += static_cast<std::int64_t>(r.engine->outstanding());
      out.wakes += r.engine->wakes();
    }
    for (const plant::JobState& job : hall_->jobs()) {
      out.jobs_started += job.started() ? 1 : 0;
      out.jobs_ended += job.ended() ? 1 : 0;
      out.training_seconds += job.done_seconds * job.spec.gpus;
    }
    out.decisions = static_cast<std::int64_t>(sleep_->decisions().size() + cap_->decisions().size());
    out.events = hall_->events() + out.totals.joule_rows;
    out.meters = static_cast<std::int64_t>(hall_->meters().size());
    out.gpus = static_cast<std::int64_t>(hall_->gpus().size());
    for (Carbon& c : carbon_) c.mean_g_per_kwh = c.grams / base::to_kwh(out.site);
    out.carbon = carbon_;
    out.traced_request = settler_->a_traced_request();
    out.water_kg = water_kg_;
    return out;
  }

  // The signals of the samples table, named once.
  struct SampleNames {
    explicit SampleNames(base::SymbolTable& symbols)
        : source(symbols.intern("plant")),
          gpu_energy(symbols.intern("gpu.energy")),
          cpu_energy(symbols.intern("cpu.pkg.energy")),
          dram_energy(symbols.intern("dram.energy")),
          node_power(symbols.intern("node.power")),
          gpu_temp(symbols.intern("gpu.temp")) {}
    // Empty for a device without an energy counter among the samples.
    base::Symbol energy_of(energy::DeviceKind kind) const {
      if (kind == energy::DeviceKind::kGpu) return gpu_energy;
      if (kind == energy::DeviceKind::kCpu) return cpu_energy;
      return kind == energy::DeviceKind::kDram ? dram_energy : base::Symbol{};
    }
    base::Symbol source, gpu_energy, cpu_energy, dram_energy, node_power, gpu_temp;
  };

  using Carbon = RunSummary::Carbon;
  const Scenario& scenario_;
  const RunOptions& options_;
  base::Env& env_;
  base::SymbolTable symbols_;
  const SampleNames sample_names_{symbols_};
  std::unique_ptr<plant::Hall> hall_;
  std::optional<bus::StoreWriter> store_;
  std::optional<RunSink> sink_;
  std::optional<ledger::Settlement> settlement_;
  std::optional<Settler> settler_;
  std::unique_ptr<SleepDriver> sleep_;
  std::unique_ptr<CapDriver> cap_;
  std::vector<LatencyLog> latencies_;             // by service
  std::vector<LatencySummary> window_latencies_;  // of what finished in the last window
  std::vector<sched::ServiceLoad> loads_;         // of the last window
  std::vector<Carbon> carbon_;
  std::vector<energy::Quality> carbon_quality_;  // the worst of all windows, by series
  std::int64_t input_tokens_ = 0, output_tokens_ = 0, sample_seq_ = 0;
  double water_kg_ = 0.0;
};

}  // namespace

base::Result<PolicyChoice> parse_policies(const std::string& text) {
  PolicyChoice choice;
  if (text == "all") return choice;
  choice.sleep = choice.cap = "none";
  if (text == "none") return choice;
  std::set<std::string> seen;
  for (const std::string_view part : base::split(text, ',')) {
    const auto equal = part.find('=');
    const std::string_view key = part.substr(0, equal);
    const std::string rule = equal == std::string_view::npos ? "" : std::string(part.substr(equal + 1));
    if (!seen.insert(std::string(key)).second) {
      return base::bad_input("read --policies", "'" + std::string(key) + "'", "it is named twice",
                             "Name one rule for each policy");
    }
    if (key == "sleep") {
      choice.sleep = rule.empty() ? "heaa" : rule;
    } else if (key == "cap") {
      choice.cap = rule.empty() ? "latency-aware" : rule;
    } else {
      return base::bad_input("read --policies", "'" + std::string(part) + "'", "there is no such policy",
                             "Use none, all, or a comma list of sleep[=RULE] and cap[=RULE]");
    }
  }
  return choice;
}

base::Result<RunSummary> run_scenario(const Scenario& scenario, const RunOptions& options, base::Env& env) {
  return Run(scenario, options, env).go();
}

}  // namespace perjoule::compose
