// The simulated hall as an actuator. Only GPUs that serve have controls; every control is off until its group
// is enabled. The GPUs of a replica work in lock step, so what is written to one of them counts together with
// what is written to the others:
//
//   gpu.cap    W, 200..700 in steps of 5, group "gpu-power". The replica runs at the lowest cap written to
//   any
//              of its GPUs, from its next piece of work on.
//   gpu.rest   level 0 (ready) .. 3, group "gpu-sleep". Entered at once, left when work comes; the control
//   then
//              reads 0. Above 0 it is refused (kIo) while work runs or waits. A replica rests as deep as the
//              shallowest level written to any of its GPUs; to go to a shallower level costs the wake of the
//              deeper one.
//   gpu.admit  1 or 0, group "serving-admit": whether new requests are dealt to the GPU. A replica takes none
//              while any of its GPUs says 0; where no replica of a service takes any, all do.
//
// Write between windows, or from a replica's governor. Thread rule: one thread, the hall's. Ownership: keeps
// references to the hall, the symbols and the journal.
#pragma once

#include <string_view>
#include <vector>

#include "device/guarded_actuator.hpp"
#include "plant/hall.hpp"

namespace perjoule::backends::sim {

inline constexpr std::string_view kPowerGroup = "gpu-power";
inline constexpr std::string_view kSleepGroup = "gpu-sleep";
inline constexpr std::string_view kAdmitGroup = "serving-admit";

class HallActuator final : public device::GuardedActuator {
 public:
  HallActuator(plant::Hall& hall, const base::SymbolTable& symbols,
               device::RestoreJournal* journal = nullptr);
  std::string_view name() const override { return "sim"; }

  // As find(), without the search. Invalid for a GPU that does not serve. `gpu` is an index in hall.gpus().
  device::ControlId cap_control(std::size_t gpu) const { return controls_of_[gpu].cap; }
  device::ControlId rest_control(std::size_t gpu) const { return controls_of_[gpu].rest; }
  device::ControlId admit_control(std::size_t gpu) const { return controls_of_[gpu].admit; }

 protected:
  base::Result<double> do_read(std::size_t control) override;
  base::Status do_write(std::size_t control, double value) override;

 private:
  enum class What : std::uint8_t { kCap, kRest, kAdmit };
  struct GpuControls {
    device::ControlId cap, rest, admit;
  };
  struct Written {
    std::size_t gpu = 0;
    What what = What::kCap;
    double value = 0.0;
    double busy_seconds = 0.0;  // of the replica when a rest was written: work since then has ended it
  };
  plant::Replica& replica_of(std::size_t gpu);
  double rest_of(const Written& written);
  void apply_cap(plant::Replica& replica);
  base::Status write_rest(Written& written, double level);
  void write_admit(Written& written, double value);

  plant::Hall& hall_;
  std::vector<GpuControls> controls_of_;  // by GPU
  std::vector<Written> written_;          // by control
};

}  // namespace perjoule::backends::sim
