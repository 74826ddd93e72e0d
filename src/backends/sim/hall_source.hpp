// The simulated hall as a source: what its meters show, under the catalogue's names. The hall moves one
// window at a time, so every value is of the end of the last window and changes once a window; means are over
// that window. Values are what the sensors show (gain, delay and resolution included), never the plant's
// truth, and their quality is "simulated".
//
//   GPU    gpu.energy, gpu.power.avg, gpu.temp, gpu.cap.enforced, sm.active, dram.active
//   CPU    cpu.pkg.energy     DRAM  dram.energy     node  node.power, inlet.temp
//   every other meter (site, feeds, UPS, racks, switches, cooling, ...)  meter.energy, not in the catalogue
//
// Energy counters are whole microjoules and do not wrap. Before the first window means are missing.
// Thread rule: one thread, the hall's. Ownership: keeps references to the hall, the clock and the symbols.
#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "base/clock.hpp"
#include "device/slotted_source.hpp"
#include "plant/hall.hpp"

namespace perjoule::backends::sim {

// The hall's own time: the end of the last window. Keeps a reference to the hall.
class HallClock final : public base::Clock {
 public:
  explicit HallClock(const plant::Hall& hall) : hall_(hall) {}
  base::TimePoint now() const override { return hall_.now(); }

 private:
  const plant::Hall& hall_;
};

class HallSource final : public device::SlottedSource {
 public:
  // `clock` never lies before hall.now(). `only`: names to offer; empty = all.
  HallSource(const plant::Hall& hall, const base::Clock& clock, base::SymbolTable& symbols,
             std::span<const std::string_view> only = {});
  std::string_view name() const override { return "sim"; }

 protected:
  device::RawReading do_read(std::size_t signal) override;
  std::optional<base::TimePoint> do_next_update(std::size_t signal) const override;

 private:
  enum class What : std::uint8_t {
    kEnergy,
    kMeanPower,
    kTemperature,
    kCap,
    kSmActive,
    kDramActive,
    kInlet,
  };
  struct Origin {
    What what;
    std::size_t
        index;  // of the meter; of the GPU for temperature, cap and activity; of the node for the inlet
  };
  struct Form;
  void offer(const Form& form, energy::MeterId meter, What what, std::size_t index,
             std::span<const std::string_view> only);
  double value_of(const Origin& origin) const;
  double mean_power(std::size_t meter) const;
  double cap_of(const plant::GpuWindow& gpu) const;
  double sm_active(const plant::GpuWindow& gpu) const;
  double dram_active(const plant::GpuWindow& gpu) const;

  const plant::Hall& hall_;
  std::vector<Origin> origins_;  // by signal
};

}  // namespace perjoule::backends::sim
