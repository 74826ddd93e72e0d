// SimGrid's host energy plugin on the machine-hours of a job trace, to set simulation speeds side by side.
//   simgrid_host_energy [--hosts N] [--job-hosts N] [--hours H] [--copies N] [--read SECONDS] [--json]
//   [TRACE]
// Every GPU is a SimGrid host of one core; a job of n GPUs is one computation of the job's length on each of
// n free hosts of the first --job-hosts (default: all), first come first served. Power is SimGrid's: a
// straight line from idle to full load of one host, between the ends of our own curve of the GPU. With
// --read, every host's energy is read each SECONDS as a settlement would. What it does not have, and
// perjoule's run of the same hours does: requests, kernels, cooling, losses, sensors, attribution to
// consumers. Docs: docs/performance.md. Exit status: 0 done, 1 the energy is not that of the work done, 2 or
// 3 for bad or missing input.
#include <simgrid/plugins/energy.h>

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <simgrid/s4u.hpp>
#include <string>
#include <vector>

#include "backends/replay/job_trace.hpp"
#include "base/env.hpp"
#include "plant/gpu_power_curve.hpp"

namespace {

namespace base = perjoule::base;
namespace replay = perjoule::backends::replay;
namespace s4u = simgrid::s4u;

constexpr double kSpeed = 1e9;  // flop/s of a host: lengths become flop

struct Options {
  std::size_t hosts = 1024, job_hosts = 0, copies = 16;  // job_hosts 0: all
  double hours = 72.0, read_s = 0.0;
  bool json = false;
  std::string trace = "data/jobs/gaia_pai_1k.csv.gz";
};

struct Cluster {
  std::vector<s4u::Host*> hosts, free;
  s4u::SemaphorePtr idle;
  double idle_w = 0.0, full_w = 0.0;  // of one host
  double horizon_s = 0.0;
  double busy_s = 0.0;  // GPU-seconds of work within the horizon
  std::uint64_t jobs = 0, events = 0, reads = 0;
};

void build(Cluster& cluster, const Options& o) {
  const auto gpu = perjoule::plant::GpuPowerCurve::h200();
  cluster.idle_w = gpu.parameters().idle_without_context.value();
  cluster.full_w = gpu.parameters().cap_max.value();
  const std::string idle = std::to_string(cluster.idle_w), full = std::to_string(cluster.full_w);
  auto* zone = s4u::create_full_zone("hall");
  for (std::size_t h = 0; h < o.hosts; ++h) {
    auto* host = zone->create_host("gpu" + std::to_string(h), kSpeed);
    host->set_property("wattage_per_state", idle + ":" + idle + ":" + full);
    host->seal();
    cluster.hosts.push_back(host);
  }
  zone->seal();
  cluster.free.assign(cluster.hosts.begin(),
                      cluster.hosts.begin() + static_cast<std::ptrdiff_t>(o.job_hosts));
  cluster.idle = s4u::Semaphore::create(static_cast<unsigned>(o.job_hosts));
  cluster.horizon_s = o.hours * 3600.0;
}

void work(Cluster& cluster, const std::vector<s4u::Host*>& mine, double seconds) {
  const double begin = s4u::Engine::get_clock();
  std::vector<s4u::ExecPtr> running;
  for (auto* host : mine) {
    running.push_back(s4u::this_actor::exec_init(seconds * kSpeed)->set_host(host)->start());
  }
  ++cluster.jobs;
  cluster.events += mine.size();
  cluster.busy_s += static_cast<double>(mine.size()) * std::min(seconds, cluster.horizon_s - begin);
  for (const auto& exec : running) exec->wait();
  cluster.events += mine.size();
  for (auto* host : mine) {
    cluster.free.push_back(host);
    cluster.idle->release();
  }
}

// Starts jobs in order of arrival; the first in the queue waits until its GPUs are free.
void schedule(Cluster& cluster, const replay::JobTrace& trace, std::size_t copies) {
  for (const auto& row : trace.rows) {
    if (row.arrival.value() >= cluster.horizon_s) break;
    s4u::this_actor::sleep_until(row.arrival.value());
    for (std::size_t c = 0; c < copies; ++c) {
      std::vector<s4u::Host*> mine;
      for (std::int64_t g = 0; g < row.gpus; ++g) {
        cluster.idle->acquire();
        mine.push_back(cluster.free.back());
        cluster.free.pop_back();
      }
      const double seconds = row.duration->value();
      s4u::Actor::create("job", cluster.hosts[0],
                         [&cluster, mine, seconds] { work(cluster, mine, seconds); });
    }
  }
}

void read_meters(Cluster& cluster, double period) {
  double sum = 0.0;
  while (s4u::Engine::get_clock() + period < cluster.horizon_s) {
    s4u::this_actor::sleep_for(period);
    for (auto* host : cluster.hosts) sum += sg_host_get_consumed_energy(host);
    cluster.reads += cluster.hosts.size();
  }
  const volatile double used = sum;
  (void)used;
}

bool parse(int argc, char** argv, Options& o) {
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    if (arg == "--json") {
      o.json = true;
    } else if (!arg.starts_with("--")) {
      o.trace = arg;
    } else if (i + 1 == argc) {
      return false;
    } else {
      const double value = std::atof(argv[++i]);
      if (arg == "--hosts")
        o.hosts = static_cast<std::size_t>(value);
      else if (arg == "--job-hosts")
        o.job_hosts = static_cast<std::size_t>(value);
      else if (arg == "--hours")
        o.hours = value;
      else if (arg == "--copies")
        o.copies = static_cast<std::size_t>(value);
      else if (arg == "--read")
        o.read_s = value;
      else
        return false;
    }
  }
  if (o.job_hosts == 0) o.job_hosts = o.hosts;
  return o.hosts > 0 && o.hosts <= 1'000'000 && o.job_hosts <= o.hosts && o.copies > 0 && o.hours > 0.0 &&
         o.read_s >= 0.0;
}

// A job wider than the hall, or one that only counts steps, could never end here.
base::Status check(const replay::JobTrace& trace, const Options& o) {
  for (const auto& row : trace.rows) {
    if (!row.duration) return base::bad_input("run the job trace", o.trace, "a job without a duration");
    if (row.gpus > static_cast<std::int64_t>(o.job_hosts)) {
      return base::bad_input("run the job trace", o.trace, "a job needs more GPUs than --job-hosts");
    }
  }
  return base::ok_status();
}

int report(const Options& o, const Cluster& cluster, double seconds) {
  double joules = 0.0;
  for (auto* host : cluster.hosts) joules += sg_host_get_consumed_energy(host);
  const double expected = cluster.idle_w * cluster.horizon_s * static_cast<double>(cluster.hosts.size()) +
                          (cluster.full_w - cluster.idle_w) * cluster.busy_s;
  const bool right = std::abs(joules / expected - 1.0) < 1e-6;
  const auto events = static_cast<double>(cluster.events + cluster.reads);
  std::printf(
      o.json ? "{\"hosts\": %zu, \"hours\": %g, \"jobs_started\": %llu, \"cpu_s\": %.3f, \"events\": %.0f, "
               "\"reads\": %llu, "
               "\"events_per_s\": %.0f, \"machine_hours_per_s\": %.0f, \"energy_j\": %.6e, \"right\": %s}\n"
             : "%zu hosts, %g h, %llu jobs started: %.2f s, %.0f events (%llu of them readings), %.0f "
               "events/s, %.0f "
               "machine-hours/s; %.6e J, right: %s\n",
      o.hosts, o.hours, static_cast<unsigned long long>(cluster.jobs), seconds, events,
      static_cast<unsigned long long>(cluster.reads), events / seconds,
      static_cast<double>(o.hosts) * o.hours / seconds, joules, right ? "true" : "false");
  return right ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  sg_host_energy_plugin_init();
  s4u::Engine engine(&argc, argv);
  Options o;
  if (!parse(argc, argv, o)) {
    std::fputs(
        "usage: simgrid_host_energy [--hosts N] [--job-hosts N] [--hours H] [--copies N] [--read SECONDS] "
        "[--json] [TRACE]\n",
        stderr);
    return 2;
  }
  const auto trace = replay::read_jobs_gaia_1k(base::posix_env(), o.trace);
  const auto good = trace.ok() ? check(*trace, o) : base::Status(trace.error());
  if (!good.ok()) {
    std::fprintf(stderr, "%s\n", good.error().message().c_str());
    return base::exit_status(good.error().kind);
  }
  const std::clock_t before = std::clock();
  Cluster cluster;
  build(cluster, o);
  s4u::Actor::create("scheduler", cluster.hosts[0], [&] { schedule(cluster, *trace, o.copies); });
  if (o.read_s > 0.0) s4u::Actor::create("meters", cluster.hosts[0], [&] { read_meters(cluster, o.read_s); });
  engine.run_until(cluster.horizon_s);
  const int status = report(o, cluster, static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC);
  std::fflush(stdout);
  std::_Exit(
      status);  // jobs still run at the horizon; tearing their actors down is no part of the measurement
}
