// The simulated hall as an actuator. Only GPUs that serve have controls; every control is off until its group
// is enabled.
//
//   gpu.cap   W, 200..700 in steps of 5, group "gpu-power". The GPUs of a replica work in lock step, so the
//   replica runs
//             at the lowest cap written to any of them, from its next piece of work on.
//   gpu.rest  level 0 (ready) .. 3, group "gpu-sleep". Entered at once, left when work comes; the control
//   then reads 0.
//             Above 0 it is refused (kIo) while work runs or waits and while the replica has a governor. A
//             replica of several GPUs rests as deep as the shallowest level written to any of them; to go to
//             a shallower level costs the wake of the deeper one.
//
// Write between windows, never while the hall runs one. Thread rule: one thread, the hall's. Ownership: keeps
// references to the hall, the symbols and the journal.
#pragma once

#include <string_view>
#include <vector>

#include "device/guarded_actuator.hpp"
#include "plant/hall.hpp"

namespace perjoule::backends::sim {

inline constexpr std::string_view kPowerGroup = "gpu-power";
inline constexpr std::string_view kSleepGroup = "gpu-sleep";

class HallActuator final : public device::GuardedActuator {
 public:
  HallActuator(plant::Hall& hall, const base::SymbolTable& symbols,
               device::RestoreJournal* journal = nullptr);
  std::string_view name() const override { return "sim"; }

  // As find(), without the search. Invalid for a GPU that does not serve. `gpu` is an index in hall.gpus().
  device::ControlId cap_control(std::size_t gpu) const { return controls_of_[gpu].cap; }
  device::ControlId rest_control(std::size_t gpu) const { return controls_of_[gpu].rest; }

 protected:
  base::Result<double> do_read(std::size_t control) override;
  base::Status do_write(std::size_t control, double value) override;

 private:
  struct GpuControls {
    device::ControlId cap, rest;
  };
  struct Written {
    std::size_t gpu = 0;
    bool rest = false;
    double value = 0.0;
    double busy_seconds = 0.0;  // of the replica when a rest was written: work since then has ended it
  };
  plant::Replica& replica_of(std::size_t gpu);
  double rest_of(const Written& written);
  void apply_cap(plant::Replica& replica);
  base::Status write_rest(Written& written, double level);

  plant::Hall& hall_;
  std::vector<GpuControls> controls_of_;  // by GPU
  std::vector<Written> written_;          // by control
};

}  // namespace perjoule::backends::sim
