// Nanoseconds per request of a serving replica with the real cost model, checked against a step-by-step
// replay.
//   serving [--requests N] [--rate REQUESTS_PER_S] [--json] [TRACE, default
//   data/llm/AzureLLMInferenceTrace_conv.csv.gz]
// Llama 3.1 70B on four H200; token counts of the trace in its order, Poisson arrivals. What is checked:
// every request is finished, the requests' energy is the busy energy, and the first 300 finish when a replica
// that takes one step at a time says. Processor time, one thread. Exit status: 0 done, 1 a check failed, 2 or
// 3 for bad or missing input.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "backends/replay/request_trace.hpp"
#include "base/env.hpp"
#include "base/rng.hpp"
#include "plant/llm_cost_model.hpp"
#include "plant/serving_replica.hpp"

namespace {

namespace base = perjoule::base;
namespace plant = perjoule::plant;
namespace replay = perjoule::backends::replay;

constexpr std::int64_t kWindowNs = 30'000'000'000;
constexpr std::size_t kReplayed = 300;
constexpr double kReplayTolerance = 1e-6;  // s: arrivals and ends are whole nanoseconds in one of the two

struct Options {
  std::size_t requests = 200'000;
  double rate = 6.0;
  bool json = false;
  std::string trace = "data/llm/AzureLLMInferenceTrace_conv.csv.gz";
};

class Costs final : public plant::StepCostModel {
 public:
  explicit Costs(plant::LlmCostModel model) : model_(std::move(model)) {}
  plant::PieceCost decode_run(double batch, double kv_tokens, std::int64_t steps) const override {
    const auto c = model_.decode_run(batch, kv_tokens, steps);
    return {c.seconds, c.gpu_joules};
  }
  plant::PieceCost prefill(double tokens, double sequences) const override {
    const auto c = model_.prefill(tokens, 0.0, sequences);
    return {c.seconds, c.gpu_joules};
  }
  double kv_capacity_tokens() const override { return model_.kv_capacity_tokens(); }

 private:
  plant::LlmCostModel model_;
};

base::Result<Costs> make_costs() {
  plant::ServingConfig config;
  PJ_ASSIGN(config.model, plant::find_model_facts("meta-llama/Llama-3.1-70B-Instruct"));
  config.gpu = plant::GpuSpec::h200_sxm();
  config.tensor_parallel = 4;
  PJ_ASSIGN(plant::LlmCostModel model, plant::LlmCostModel::create(config));
  return Costs(std::move(model));
}

std::vector<plant::ServingRequest> make_requests(const replay::RequestTrace& trace, const Options& o) {
  base::Rng rng = base::Rng::stream(1, "serving-bench");
  std::vector<plant::ServingRequest> out(o.requests);
  double at = 0.0;
  for (std::size_t i = 0; i < out.size(); ++i) {
    const auto& row = trace.rows[i % trace.rows.size()];
    at += rng.exponential(1.0 / o.rate);
    out[i] = {i, {static_cast<std::int64_t>(at * 1e9)}, row.input_tokens, row.output_tokens};
  }
  return out;
}

struct Run {
  double cpu_s = 0.0, used_j = 0.0, busy_j = 0.0;
  std::int64_t pieces = 0;
  std::vector<double> done_s;  // by request
  std::size_t finished = 0;
};

Run serve(const Costs& costs, const std::vector<plant::ServingRequest>& requests) {
  Run out;
  out.done_s.resize(requests.size());
  plant::ServingReplica replica(costs, {}, {{base::Watts(120.0), {0}, base::Joules(0.0)}}, {0});
  const std::clock_t before = std::clock();
  std::size_t next = 0;
  for (std::int64_t t = kWindowNs; next < requests.size() || replica.outstanding() > 0; t += kWindowNs) {
    while (next < requests.size() && requests[next].arrival.ns < t && replica.offer(requests[next])) ++next;
    replica.advance({t});
    for (const auto& use : replica.take_uses()) out.used_j += use.prefill_joules + use.decode_joules;
    for (const auto& f : replica.finished()) {
      out.done_s[f.request.id] = base::to_seconds({f.done.ns}).value();
      ++out.finished;
    }
    replica.finished().clear();
  }
  out.cpu_s = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
  out.busy_j = replica.busy_joules();
  out.pieces = replica.pieces();
  return out;
}

// The scheduling rule of plant/serving_replica.hpp, one step at a time. Returns when each request is done.
class StepByStep {
 public:
  StepByStep(const Costs& costs, const std::vector<plant::ServingRequest>& requests)
      : costs_(costs), requests_(requests), done_(requests.size()) {}
  std::vector<double> run() {
    while (next_ < requests_.size() || !live_.empty()) {
      if (live_.empty()) now_ = std::max(now_, arrival(next_));
      if (!prefill()) decode();
      retire();
    }
    return done_;
  }

 private:
  struct Live {
    std::size_t request;
    std::int64_t left;
  };
  double arrival(std::size_t i) const { return base::to_seconds({requests_[i].arrival.ns}).value(); }
  bool prefill() {
    const plant::ServingLimits limits;
    std::int64_t tokens = 0;
    const std::size_t first = next_;
    while (next_ < requests_.size() && arrival(next_) <= now_ + 1e-9 &&
           static_cast<std::int64_t>(live_.size()) < limits.batch_limit &&
           (next_ == first || tokens + requests_[next_].input_tokens <= limits.prefill_budget_tokens)) {
      tokens += requests_[next_].input_tokens;
      kv_ += static_cast<double>(requests_[next_].input_tokens + 1);
      live_.push_back({next_, requests_[next_].output_tokens - 1});
      ++next_;
    }
    if (next_ == first) return false;
    now_ += costs_.prefill(static_cast<double>(tokens), static_cast<double>(next_ - first)).seconds;
    return true;
  }
  void decode() {
    const auto batch = static_cast<double>(live_.size());
    now_ += costs_.decode_run(batch, kv_, 1).seconds;
    kv_ += batch;
    for (Live& l : live_) --l.left;
  }
  void retire() {
    std::erase_if(live_, [&](const Live& l) {
      if (l.left > 0) return false;
      const auto& r = requests_[l.request];
      done_[l.request] = now_;
      kv_ -= static_cast<double>(r.input_tokens + r.output_tokens);
      return true;
    });
  }

  const Costs& costs_;
  const std::vector<plant::ServingRequest>& requests_;
  std::vector<double> done_;
  std::vector<Live> live_;
  std::size_t next_ = 0;
  double now_ = 0.0, kv_ = 0.0;
};

double largest_difference(const Costs& costs, std::vector<plant::ServingRequest> requests) {
  requests.resize(std::min(requests.size(), kReplayed));
  const std::vector<double> fast = serve(costs, requests).done_s, slow = StepByStep(costs, requests).run();
  double worst = 0.0;
  for (std::size_t i = 0; i < slow.size(); ++i) worst = std::max(worst, std::abs(fast[i] - slow[i]));
  return worst;
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--json") {
      o.json = true;
    } else if (arg == "--requests" && i + 1 < argc) {
      o.requests = static_cast<std::size_t>(std::atoll(argv[++i]));
    } else if (arg == "--rate" && i + 1 < argc) {
      o.rate = std::atof(argv[++i]);
    } else if (!arg.starts_with("--")) {
      o.trace = arg;
    } else {
      return false;
    }
  }
  return o.requests > 0 && o.rate > 0.0;
}

base::Result<bool> measure(const Options& o) {
  PJ_ASSIGN(const auto trace, replay::read_requests_azure(base::posix_env(), o.trace));
  PJ_ASSIGN(const Costs costs, make_costs());
  const auto requests = make_requests(trace, o);
  const Run run = serve(costs, requests);
  const double off_j = std::abs(run.used_j / run.busy_j - 1.0), off_s = largest_difference(costs, requests);
  const bool right = run.finished == requests.size() && off_j < 1e-9 && off_s < kReplayTolerance;
  const auto n = static_cast<double>(requests.size());
  std::printf(
      o.json
          ? "{\"requests\": %zu, \"ns_per_request\": %.1f, \"events_per_request\": %.3f, "
            "\"energy_difference\": %.3g, \"replay_difference_s\": %.3g, \"right\": %s}\n"
          : "%zu requests: %.0f ns and %.2f events each; energy off by %.2g, step-by-step replay by %.2g s; "
            "right: %s\n",
      requests.size(), 1e9 * run.cpu_s / n, static_cast<double>(run.pieces) / n, off_j, off_s,
      right ? "true" : "false");
  return right;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  if (!parse(argc, argv, o)) {
    std::fputs("usage: serving [--requests N] [--rate REQUESTS_PER_S] [--json] [TRACE]\n", stderr);
    return 2;
  }
  const auto right = measure(o);
  if (!right.ok()) {
    std::fprintf(stderr, "%s\n", right.error().message().c_str());
    return base::exit_status(right.error().kind);
  }
  return *right ? 0 : 1;
}
