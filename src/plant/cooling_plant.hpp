// The hall's cooling, behind one interface, and its first implementation: a chilled-water plant with
// part-load curves.
//
// Heat goes: servers -> zone air -> CRAH coils -> chilled water -> chillers -> condenser water -> towers ->
// outside air. One step is one pass along that road with a fixed number of operations; there is no search for
// a joint solution. What couples the parts across steps is state with heat capacity: zone air, chilled water,
// condenser water. Each is advanced by its exact exponential or its balance, so heat is conserved to rounding
// at any step length.
//
// Thread rule: one plant belongs to one thread. Ownership: a plant owns its state; a span in the inputs is
// read only during the call. Units: W, C, kg/s, kg, s. Sources, parameters, validity and what is unverified:
// docs/models/cooling.md.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>

#include "base/result.hpp"
#include "base/units.hpp"
#include "plant/chiller.hpp"
#include "plant/cooling_tower.hpp"
#include "plant/epw.hpp"

namespace perjoule::plant {

struct CoolingSetPoints {
  base::Celsius chilled_water{10.0};
  base::Celsius supply_air{20.0};
  base::Celsius condenser_water{22.0};
  // CRAH air over server air; 1.05 leaves a little for bypass, below 1 the racks take back their own exhaust.
  double air_per_server_air = 1.05;
};

struct CoolingInputs {
  std::span<const base::Watts>
      heat;  // of each rack group into the hall's air, server fans included; none below 0
  // Air through the servers; absent: the flow that warms by CrahParams::server_rise.
  std::optional<base::KilogramsPerSecond> server_air;
  WeatherSample weather;
  base::Seconds dt{30.0};  // above 0
};

enum class CoolingClamp : std::uint8_t {
  kChilledWater,    // chiller curves: leaving water outside the fitted range
  kCondenserWater,  // chiller curves: entering condenser water outside the fitted range
  kPartLoad,        // chiller asked for more than its greatest part load
  kCurveNegative,   // a chiller curve went below 0
  kTowerWetBulb,
  kTowerRange,
  kTowerWaterToAir,
  kTowerApproach,
  kCount
};
const char* name(CoolingClamp clamp);
// How often a model was used at the edge of its range instead of at the asked point; by CoolingClamp.
using ClampCounts = std::array<std::uint64_t, static_cast<std::size_t>(CoolingClamp::kCount)>;

// Powers and flows are means over the step, temperatures are those at its end unless they say mean.
struct CoolingState {
  base::Watts chillers, towers, chilled_pumps, condenser_pumps, crahs;
  base::Watts total() const { return chillers + towers + chilled_pumps + condenser_pumps + crahs; }

  base::Watts coil_heat;      // air to chilled water
  base::Watts chiller_heat;   // chilled water to chillers
  base::Watts rejected_heat;  // condenser water to outside air
  base::Celsius supply_air;   // mean
  base::Celsius return_air;   // mean of the air that enters the coils
  base::Celsius zone_air;
  base::Celsius chilled_water, condenser_water;
  base::KilogramsPerSecond crah_air, server_air, chilled_flow;
  double water_evaporated_kg = 0.0;  // in this step
  double water_used_kg = 0.0;        // evaporation, drift and blowdown in this step
  int machines_running = 0;
  ClampCounts clamps{};  // in this step
};

class CoolingPlant {
 public:
  virtual ~CoolingPlant() = default;
  // Takes effect from the next step. Errors (bad_input): a value that is not finite or outside 0..45 C (air
  // ratio outside 0.2..3); the old set points then stay.
  virtual base::Status set(const CoolingSetPoints& set_points) = 0;
  virtual const CoolingSetPoints& set_points() const = 0;
  virtual CoolingState step(const CoolingInputs& inputs) = 0;
  // Since the beginning.
  virtual const ClampCounts& clamps() const = 0;
};

struct PumpParams {
  double pressure_pa = 2.0e5;  // at design flow (unverified; LBNL's reference plant has 1.3e5)
  double efficiency = 0.65;    // pump x motor (unverified)
  double static_share =
      0.2;                  // s in P0 ((1 - s) r^3 + s r), the part of the head that does not fall with flow
  double least_flow = 0.3;  // of design flow
};

struct CrahParams {
  double air_margin = 1.15;    // design air flow over the design load's server air
  double server_rise = 12.0;   // K, server air at design (unverified)
  double pressure_pa = 750.0;  // LBNL reference plant
  double efficiency = 0.60;    // fan x motor x drive (unverified)
  double fan_exponent = 2.8;   // P = P0 r^2.8
  double transfer_units =
      3.0;  // UA over the air's heat capacity rate at design flows (unverified; LBNL has 5)
  double air_exponent = 0.6, water_exponent = 0.3;  // UA = UA0 ra^0.6 rw^0.3 (unverified)
  double least_speed = 0.3;                         // of design air flow
  double ramp_per_second = 0.05 / 30.0;             // of design air flow
};

struct StagingParams {
  int machines = 2;
  double size = 0.6;        // each machine's capacity over the design load
  double up = 0.85;         // part load of the running machines above which one more starts
  double down = 0.35;       // and below which one stops
  double dwell_s = 1200.0;  // between changes, unless the load cannot be met
};

struct ChilledWaterPlantParams {
  base::Watts design_load{1.0e6};  // heat of the hall's air the plant is built for
  ChillerParams chiller;           // capacity and flows are scaled to the design load
  TowerParams tower;               // heat and flow are scaled to the machine
  PumpParams chilled_pump, condenser_pump;
  CrahParams crah;
  StagingParams staging;
  // J/K per W of design load. Air: LBNL's hall, 5.4 MJ/K at 500 kW. Water: 60 s of design flow each
  // (unverified).
  double zone_capacity = 10.8;
  double chilled_capacity = 10.8;
  double condenser_capacity = 13.5;
  CoolingSetPoints set_points;
};

class ChilledWaterPlant final : public CoolingPlant {
 public:
  // Starts at its set points with one machine and half the air flow. Errors (bad_input): parameters without
  // meaning.
  static base::Result<ChilledWaterPlant> make(const ChilledWaterPlantParams& params);

  base::Status set(const CoolingSetPoints& set_points) override;
  const CoolingSetPoints& set_points() const override { return set_points_; }
  CoolingState step(const CoolingInputs& inputs) override;
  const ClampCounts& clamps() const override { return clamps_; }
  // Scaled to the design load: one machine, one tower cell.
  const ChillerParams& machine() const { return params_.chiller; }
  const TowerParams& tower_cell() const { return params_.tower; }

 private:
  explicit ChilledWaterPlant(const ChilledWaterPlantParams& params);
  void run_air(const CoolingInputs& inputs, base::Watts heat, CoolingState& out);
  void run_chillers(base::Seconds dt, CoolingState& out);
  void run_towers(const CoolingInputs& inputs, CoolingState& out);
  void move_air(base::KilogramsPerSecond server_air, base::Seconds dt);
  void stage(base::Watts wanted, base::Seconds dt);
  void count(std::uint8_t chiller, std::uint8_t tower, CoolingState& out);

  ChilledWaterPlantParams params_;
  CoolingSetPoints set_points_;
  base::KilogramsPerSecond design_air_, design_chilled_, design_condenser_;
  base::Watts crah_design_power_, chilled_pump_design_, condenser_pump_design_;
  // State.
  base::Celsius zone_, chilled_, condenser_;
  double air_ratio_ = 0.5;
  int running_ = 1;
  double since_change_s_ = 0.0;
  base::Watts condenser_heat_;  // of the running machines in this step
  std::uint8_t chiller_clamps_ = 0;
  ClampCounts clamps_{};
};

// Counterflow heat exchanger: effectiveness from transfer units and the ratio of heat capacity rates (0..1).
double counterflow_effectiveness(double transfer_units, double ratio);
// Pump power over design power at a flow ratio: (1 - s) r^3 + s r.
double pump_fraction(double flow_ratio, double static_share);

}  // namespace perjoule::plant
