// A whole hall in virtual time: replicas that serve requests, nodes that train, everything they draw, the
// losses above them and the plant that cools them. The truth is integrated exactly (energy/integrator.hpp);
// what a meter reads is a different number: gain error, update instant and resolution of the sensor
// (docs/models/sensors.md).
//
// The hall moves one settlement window at a time. Inside a window every replica and job is event-driven;
// temperatures, fans, losses and the cooling plant take one exact step per window.
//
// Thread rule: one thread. Ownership: owns everything but the symbols. Units in the types; energies per
// window.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "base/result.hpp"
#include "base/symbol.hpp"
#include "base/time.hpp"
#include "energy/integrator.hpp"
#include "energy/meter_tree.hpp"
#include "plant/cooling_plant.hpp"
#include "plant/epw.hpp"
#include "plant/gpu_power_curve.hpp"
#include "plant/gpu_server.hpp"
#include "plant/llm_cost_model.hpp"
#include "plant/power_chain.hpp"
#include "plant/serving_replica.hpp"
#include "plant/training.hpp"

namespace perjoule::plant {

struct RackSpec {
  std::string name;
  std::string feed;
  double recirculation = 0.05;  // share of the server air that comes back to the inlets, at least
};

struct NodeSpec {
  std::string name;
  std::string rack;
  int gpus = 8;
  bool trains = false;  // otherwise it serves
};

// An LLM service: replicas of one model over the GPUs of its nodes.
struct ServiceSpec {
  std::string name;
  std::string tenant;
  std::string model;  // hub name of plant/llm_model_facts.hpp
  int tensor_parallel = 1;
  int weight_bits = 0;
  std::vector<std::string> nodes;
  std::int64_t batch_limit = 256;
  double slo_ttft_ms = 2000.0;
  double slo_token_gap_ms = 100.0;  // mean time per output token after the first
};

struct TrainingJobSpec {
  std::string name;
  std::string tenant;
  std::size_t profile = 0;  // of training_profiles()
  int gpus = 1;             // on one node
  base::TimePoint submit;
  double work_seconds = 0.0;  // at the highest clock
};

struct HallRequest {
  std::size_t service = 0;
  ServingRequest request;
};
// The next request in arrival order, or nothing.
using RequestStream = std::function<std::optional<HallRequest>()>;

struct HallSpec {
  std::string site = "site";
  base::TimePoint start;
  base::Duration window = base::seconds(30);
  std::uint64_t seed = 1;
  std::vector<std::string> feeds;
  std::vector<RackSpec> racks;
  std::vector<NodeSpec> nodes;
  std::vector<ServiceSpec> services;
  std::vector<TrainingJobSpec> jobs;  // by submit time
  std::optional<WeatherSeries> weather;
  bool perfect_meters = false;  // readings = truth
};

// Energy of one training job on one GPU within the window.
struct JobUse {
  std::size_t job = 0;
  std::int64_t epoch = 0;
  std::array<double, kTrainingPhases> phase_joules{};
};

// What one meter did in the window.
struct MeterWindow {
  base::Microjoules truth;
  base::Microjoules reading;
};

struct GpuWindow {
  energy::MeterId meter;
  std::size_t node = 0;
  std::int32_t replica = -1;  // index in replicas(), or -1
  double idle_joules = 0.0;   // drawn while held and not working
  double busy_joules = 0.0;
  double busy_seconds = 0.0;
  std::int64_t holder_job = -1;  // the job that holds it at the window's end
  std::vector<JobUse> jobs;
  base::Celsius temperature{30.0};
};

struct JobState {
  TrainingJobSpec spec;
  base::TimePoint start{base::kNever.ns}, end{base::kNever.ns};
  std::size_t node = 0;
  double done_seconds = 0.0;  // of work
  bool started() const { return start != base::kNever; }
  bool ended() const { return end != base::kNever; }
};

struct Replica {
  std::size_t service = 0;
  std::size_t node = 0;
  std::vector<std::size_t> gpus;  // indices in gpus()
  std::unique_ptr<ServingReplica> engine;
  std::span<const RequestUse> uses;                                 // of the last window, per GPU
  double busy_joules = 0.0, idle_joules = 0.0, busy_seconds = 0.0;  // of the last window, per GPU
  base::Watts cap{700.0};
  bool admitted = true;  // takes new requests
};

// What one service was asked in the last window.
struct Arrivals {
  std::int64_t requests = 0;
  std::int64_t input_tokens = 0;
};

// The meters of one node.
struct NodeMeters {
  energy::MeterId node, cpu[2], dram, nic, fans, board;
};

class Hall {
 public:
  // Errors (kBadInput): a name used twice, a rack without its feed, a node without its rack, an unknown
  // model, a tensor parallel size that does not divide a node, a model that does not fit.
  static base::Result<std::unique_ptr<Hall>> make(HallSpec spec, base::SymbolTable& symbols,
                                                  RequestStream requests);

  ~Hall();

  // Simulates the next window.
  void run_window();

  base::TimePoint window_start() const { return window_start_; }  // of the last window run
  base::TimePoint now() const { return now_; }
  const HallSpec& spec() const { return spec_; }
  const energy::MeterTree& meters() const { return tree_; }
  std::span<const MeterWindow> readings() const { return windows_; }
  std::span<const GpuWindow> gpus() const { return gpus_; }
  std::span<Replica> replicas() { return replicas_; }
  std::span<const Replica> replicas() const { return replicas_; }
  std::span<const JobState> jobs() const { return jobs_; }
  std::span<const NodeMeters> node_meters() const { return node_meters_; }
  std::span<const std::size_t> gpus_of(std::size_t node) const { return node_gpus_[node]; }
  const std::vector<energy::MeterId>& switch_meters() const { return switches_; }
  const CoolingState& cooling() const { return cooling_state_; }
  WeatherSample weather() const { return weather_; }
  // Air at a server's inlet, recirculation included.
  base::Celsius inlet(std::size_t node) const { return rack_inlet_[node_rack_[node]]; }
  // Loss that the conversion curve expects of a parent, given what its children read.
  base::Microjoules expected_loss(energy::MeterId parent, base::Microjoules children) const;
  energy::Provenance provenance(energy::MeterId meter) const;
  // Cumulative counter of a meter as its sensor shows it.
  base::Microjoules counter(energy::MeterId meter) const {
    return base::Microjoules(sensors_[meter.index].shown_uj);
  }
  std::int64_t events() const;
  std::int64_t rejected_requests() const { return rejected_; }
  std::span<const Arrivals> arrivals() const { return arrivals_; }  // by service
  std::span<const std::size_t> replicas_of(std::size_t service) const { return service_replicas_[service]; }

  // Controls. A cap applies to every GPU of a replica / of all training nodes, from the next piece of work
  // on.
  void set_replica_cap(std::size_t replica, base::Watts cap);
  // Whether new requests are dealt to a replica; what it has already it finishes. Where no replica of a
  // service is admitted, its requests are dealt to all: nobody's request is turned away for saving energy.
  void admit(std::size_t replica, bool admitted);
  void set_training_cap(base::Watts cap);
  base::Watts training_cap() const { return training_cap_; }
  static std::vector<RestLevel> rest_levels(const GpuPowerCurve& gpu);
  const LlmCostModel& cost_model(std::size_t service, base::Watts cap);

 private:
  // What a meter with children loses between itself and them.
  using Conversion = std::variant<std::monostate, EfficiencyCurve, DistributionParams>;
  struct Sensor {
    double gain = 1.0;
    std::int64_t resolution_uj = 1000;
    std::int64_t delay_ns = 0;  // age of the shown value at a window's edge
    std::int64_t truth_uj = 0;  // cumulative
    std::int64_t shown_uj = 0;
    std::int64_t uncertainty_ppm = 0;
    Conversion conversion;
  };
  struct StepCosts;
  struct RunningJob {
    std::size_t job = 0;
    std::vector<std::size_t> gpus;
    TrainingCycle cycle;
    base::TimePoint since;
    double done_at_since = 0.0;
    base::TimePoint end;
  };

  Hall(HallSpec spec, base::SymbolTable& symbols, RequestStream requests);
  base::Status build();
  base::Status place_nodes();
  base::Status build_feed(std::size_t feed, energy::MeterId site);
  base::Status build_rack(std::size_t rack, energy::MeterId pdu, const std::string& feed_path);
  base::Status build_node(std::size_t node, energy::MeterId rack);
  base::Status build_services();
  base::Status build_cooling(energy::MeterId site);
  base::Result<energy::MeterId> add_meter(const std::string& path, energy::MeterId parent,
                                          energy::DeviceKind kind, std::string_view zone,
                                          const std::string& rack, const std::string& node,
                                          Conversion conversion = {});
  void serve();
  void train();
  void start_jobs(base::TimePoint t);
  bool try_start(std::size_t job, base::TimePoint t);
  void account_job(RunningJob& running, base::TimePoint to);
  void close_nodes();
  void close_parents();
  void close_cooling();
  void read_meter(energy::MeterId meter, base::Joules energy);
  void read_parent(energy::MeterId meter);
  void set_reading(energy::MeterId meter, base::Microjoules truth);
  double mean_w(energy::MeterId meter) const;
  void close_node(std::size_t node, base::Seconds window);
  base::Watts loss(energy::MeterId meter, base::Watts out) const;

  HallSpec spec_;
  base::SymbolTable& symbols_;
  RequestStream requests_;
  std::optional<HallRequest> ahead_;
  base::TimePoint window_start_, now_;
  energy::MeterTree tree_;
  std::vector<MeterWindow> windows_;
  std::vector<Sensor> sensors_;
  std::vector<energy::EnergyIntegrator> integrators_;
  GpuPowerCurve curve_;
  std::vector<GpuWindow> gpus_;
  std::vector<std::vector<std::size_t>> node_gpus_;
  std::vector<GpuServer> servers_;  // by node
  std::vector<std::size_t> node_rack_;
  std::vector<std::vector<std::size_t>> rack_nodes_, feed_racks_;
  base::KilogramsPerSecond server_air_;  // of the hall, in the last window
  std::vector<NodeMeters> node_meters_;
  std::vector<energy::MeterId> switches_;
  std::vector<Replica> replicas_;
  std::vector<std::vector<std::size_t>> service_replicas_;
  std::vector<std::vector<std::size_t>> admitted_;  // by service, in replica order
  std::vector<std::size_t> next_replica_;           // turn among the admitted
  std::vector<Arrivals> arrivals_;
  std::vector<std::vector<std::pair<double, std::unique_ptr<StepCosts>>>> costs_;  // per service, by cap
  std::vector<JobState> jobs_;
  std::size_t next_job_ = 0;
  std::vector<std::size_t> waiting_;
  std::vector<RunningJob> running_;
  base::Watts training_cap_{700.0};
  std::vector<std::uint8_t> gpu_taken_;
  std::unique_ptr<CoolingPlant> cooling_;
  CoolingState cooling_state_;
  WeatherSample weather_;
  std::vector<base::Watts> rack_heat_;
  energy::MeterId site_meter_, cooling_meter_, chiller_, tower_, pumps_, crah_;
  std::vector<base::Celsius> rack_inlet_;
  std::int64_t rejected_ = 0;
};

}  // namespace perjoule::plant
