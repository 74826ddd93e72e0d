#include "backends/sim/hall_actuator.hpp"

#include <algorithm>
#include <string>

namespace perjoule::backends::sim {

using device::ControlDescriptor;
using device::ControlId;
using plant::Replica;

namespace {
constexpr double kCapMinW = 200.0, kCapMaxW = 700.0, kCapStepW = 5.0;
}

HallActuator::HallActuator(plant::Hall& hall, const base::SymbolTable& symbols,
                           device::RestoreJournal* journal)
    : GuardedActuator(symbols, journal), hall_(hall), controls_of_(hall.gpus().size()) {
  for (std::size_t g = 0; g < hall.gpus().size(); ++g) {
    const plant::GpuWindow& gpu = hall.gpus()[g];
    if (gpu.replica < 0) continue;
    const Replica& replica = replica_of(g);
    const energy::Device& at = hall.meters()[gpu.meter].device;
    const auto levels = replica.engine->rest_levels();
    const auto first = static_cast<std::uint32_t>(written_.size());
    controls_of_[g] = {{first}, {first + 1}, {first + 2}};
    declare({"gpu.cap", "W", at, kCapMinW, kCapMaxW, kCapStepW, kPowerGroup, {}, {}, true});
    declare({"gpu.rest",
             "{level}",
             at,
             0.0,
             static_cast<double>(levels.size() - 1),
             1.0,
             kSleepGroup,
             {},
             levels.back().wake,
             true});
    declare({"gpu.admit", "{flag}", at, 0.0, 1.0, 1.0, kAdmitGroup, {}, {}, true});
    written_.push_back({g, What::kCap, replica.cap.value(), 0.0});
    written_.push_back({g, What::kRest, 0.0, 0.0});
    written_.push_back({g, What::kAdmit, 1.0, 0.0});
  }
}

Replica& HallActuator::replica_of(std::size_t gpu) {
  return hall_.replicas()[static_cast<std::size_t>(hall_.gpus()[gpu].replica)];
}

base::Result<double> HallActuator::do_read(std::size_t control) {
  const Written& written = written_[control];
  return written.what == What::kRest ? rest_of(written) : written.value;
}

double HallActuator::rest_of(const Written& written) {
  const plant::ServingReplica& engine = *replica_of(written.gpu).engine;
  const bool worked = !engine.may_rest() || engine.busy_seconds() > written.busy_seconds;
  return std::max(worked ? 0.0 : written.value, static_cast<double>(engine.rest_level()));
}

base::Status HallActuator::do_write(std::size_t control, double value) {
  Written& written = written_[control];
  if (written.what == What::kRest) return write_rest(written, value);
  written.value = value;
  if (written.what == What::kAdmit) {
    write_admit(written, value);
    return base::ok_status();
  }
  apply_cap(replica_of(written.gpu));
  return base::ok_status();
}

void HallActuator::apply_cap(Replica& replica) {
  double lowest = kCapMaxW;
  for (const std::size_t g : replica.gpus) {
    lowest = std::min(lowest, written_[controls_of_[g].cap.index].value);
  }
  hall_.set_replica_cap(static_cast<std::size_t>(hall_.gpus()[replica.gpus[0]].replica), base::Watts(lowest));
}

base::Status HallActuator::write_rest(Written& written, double level) {
  Replica& replica = replica_of(written.gpu);
  double shallowest = level;
  for (const std::size_t g : replica.gpus) {
    const Written& other = written_[controls_of_[g].rest.index];
    if (g != written.gpu) shallowest = std::min(shallowest, rest_of(other));
  }
  // Asked even where the other GPUs of the replica still hold it awake. At work level 0 is what there is.
  const bool there_already = level == 0.0 && replica.engine->rest_level() == 0;
  if (!replica.engine->may_rest() && !there_already) {
    const energy::Device& at = hall_.meters()[hall_.gpus()[written.gpu].meter].device;
    return base::io_error("set a control", std::string(symbols().text(at.name)) + ":gpu.rest",
                          "the GPU works", "Write the level when the GPU is idle");
  }
  replica.engine->request_rest(static_cast<std::size_t>(shallowest));
  written.value = level;
  written.busy_seconds = replica.engine->busy_seconds();
  return base::ok_status();
}

void HallActuator::write_admit(Written& written, double value) {
  bool all = value > 0.0;
  for (const std::size_t g : replica_of(written.gpu).gpus) {
    all = all && written_[controls_of_[g].admit.index].value > 0.0;
  }
  hall_.admit(static_cast<std::size_t>(hall_.gpus()[written.gpu].replica), all);
}

}  // namespace perjoule::backends::sim
