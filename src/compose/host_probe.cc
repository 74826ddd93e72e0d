#include "compose/host_probe.hpp"

#include <unistd.h>

#include <array>

namespace perjoule::compose {
namespace {

struct Probe {
  const char* source;
  const char* path;  // relative to the root
  const char* lost;
  const char* fix_absent;
  const char* fix_forbidden;
};

constexpr const char* kReadRights = "sudo chmod o+r FILE, or run the agent with CAP_DAC_READ_SEARCH";
constexpr std::array<Probe, 9> kProbes{{
    {"RAPL (powercap)", "sys/class/powercap/intel-rapl:0/energy_uj", "CPU package and DRAM energy",
     "sudo modprobe intel_rapl_common", kReadRights},
    {"RAPL (perf)", "sys/bus/event_source/devices/power/type", "CPU energy without wrap handling", "",
     "sudo sysctl kernel.perf_event_paranoid=0"},
    {"hwmon", "sys/class/hwmon/hwmon0/name", "board power, temperatures, fans", "sudo sensors-detect",
     kReadRights},
    {"NVIDIA GPUs", "dev/nvidiactl", "GPU energy, activity and caps", "",
     "add the user to the group that owns /dev/nvidia*"},
    {"AMD GPUs", "dev/kfd", "GPU energy, activity and caps", "", "sudo usermod -aG render $USER"},
    {"cpufreq", "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "CPU clocks and their control", "",
     kReadRights},
    {"cpuidle", "sys/devices/system/cpu/cpu0/cpuidle/state0/time", "C-state residency", "", kReadRights},
    {"BMC (IPMI)", "dev/ipmi0", "node power, PSU input, inlet", "sudo modprobe ipmi_devintf ipmi_si",
     "run as root or give the agent /dev/ipmi0"},
    {"pressure (PSI)", "proc/pressure/cpu", "stall time of work", "boot with psi=1", kReadRights},
}};

}  // namespace

std::vector<SourceFinding> probe_host(const std::string& root) {
  std::vector<SourceFinding> out;
  for (const Probe& p : kProbes) {
    const std::string path = root + (root.ends_with('/') ? "" : "/") + p.path;
    const bool there = ::access(path.c_str(), F_OK) == 0;
    const bool readable = there && ::access(path.c_str(), R_OK) == 0;
    out.push_back({p.source,
                   readable ? "found"
                   : there  ? "forbidden"
                            : "absent",
                   path, readable ? "-" : p.lost,
                   readable ? ""
                   : there  ? p.fix_forbidden
                            : p.fix_absent});
  }
  return out;
}

}  // namespace perjoule::compose
