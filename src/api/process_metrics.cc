#include "api/process_metrics.hpp"

#include <dirent.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <fstream>

namespace perjoule::api {
namespace {

std::uint64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  std::uint64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

std::uint64_t open_files() {
  DIR* const folder = opendir("/proc/self/fd");
  if (folder == nullptr) return 0;
  std::uint64_t n = 0;
  while (readdir(folder) != nullptr) ++n;
  closedir(folder);
  return n > 3 ? n - 3 : 0;  // ".", ".." and the folder itself
}

}  // namespace

std::vector<MetricFamily> process_metrics(base::TimePoint started) {
  constexpr auto kGauge = MetricFamily::Type::kGauge;
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6;
  };
  MetricFamily cpu{"process_cpu_seconds", MetricFamily::Type::kCounter, "seconds", "Processor time used."};
  cpu.add(fmt::format("{:.6f}", seconds(usage.ru_utime) + seconds(usage.ru_stime)));
  MetricFamily memory{"process_resident_memory_bytes", kGauge, "bytes", "Memory in use."};
  memory.add(resident_bytes());
  MetricFamily start{"process_start_time_seconds", kGauge, "seconds", "Unix time of the start."};
  start.add(fmt::format("{:.3f}", static_cast<double>(started.ns) * 1e-9));
  MetricFamily files{"process_open_fds", kGauge, "", "Open file descriptors."};
  files.add(open_files());
  return {std::move(cpu), std::move(memory), std::move(start), std::move(files)};
}

}  // namespace perjoule::api
