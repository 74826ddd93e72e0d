#include "bench/bus/machine.hpp"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <vector>

#include "base/clock.hpp"
#include "base/text.hpp"

namespace perjoule::bench {
namespace {

constexpr std::size_t kWriteBytes = std::size_t{4} << 20;
constexpr int kWrites = 48;

// The value behind "name:" in a file of such lines; empty if there is none.
std::string value_in(const char* file, std::string_view name) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(name) && line.find(':') != std::string::npos)
      return std::string(base::trim(std::string_view(line).substr(line.find(':') + 1)));
  return {};
}

std::int64_t number_in(const char* file, std::string_view name) {
  const std::string text = value_in(file, name);
  return base::parse_int(std::string_view(text).substr(0, text.find(' '))).value_or(0);
}

bool write_block(int file, const std::vector<char>& block, int number) {
  const auto offset = static_cast<off_t>(number) * static_cast<off_t>(block.size());
  return ::pwrite(file, block.data(), block.size(), offset) == static_cast<ssize_t>(block.size());
}

// Milliseconds of each durable write; empty when one failed.
std::vector<double> durable_writes(int file) {
  std::vector<char> block(kWriteBytes, 'x');
  for (int i = 0; i < kWrites; ++i)
    if (!write_block(file, block, i)) return {};
  ::fsync(file);
  std::vector<double> out;
  for (int i = 0; i < kWrites; ++i) {
    std::memset(block.data(), i, block.size());
    const base::Stopwatch watch;
    if (!write_block(file, block, i) || ::fdatasync(file) != 0) return {};
    out.push_back(watch.elapsed().value() * 1e3);
  }
  return out;
}

}  // namespace

MachineFacts machine_facts() {
  MachineFacts out;
  out.cpu = value_in("/proc/cpuinfo", "model name");
  out.cores = static_cast<unsigned>(::sysconf(_SC_NPROCESSORS_ONLN));
  out.memory_mib = number_in("/proc/meminfo", "MemTotal") >> 10;
  out.available_mib = number_in("/proc/meminfo", "MemAvailable") >> 10;
  utsname system{};
  if (::uname(&system) == 0) out.kernel = system.release;
  std::ifstream in("/proc/loadavg");
  std::string one, five, fifteen;
  in >> one >> five >> fifteen;
  out.load = one + " " + five + " " + fifteen;
  return out;
}

base::Result<DiskRate> raw_disk_rate(const std::string& directory) {
  const std::string name = directory + "/disk-rate";
  const int file = ::open(name.c_str(), O_CREAT | O_RDWR | O_TRUNC | O_CLOEXEC, 0600);
  if (file < 0) return base::io_error("measure the disk", name, std::strerror(errno));
  std::vector<double> ms = durable_writes(file);
  ::close(file);
  ::unlink(name.c_str());
  if (ms.empty()) return base::io_error("measure the disk", name, "a write failed");
  double sum = 0;
  for (const double m : ms) sum += m;
  std::sort(ms.begin(), ms.end());
  return DiskRate{kWriteBytes * kWrites / sum / 1e3, ms[ms.size() / 2], ms.back()};
}

double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

double processor_seconds_of(const std::string& thread_name) {
  double seconds = 0;
  std::error_code gone;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task", gone)) {
    std::string name;
    double nanoseconds = 0;
    if (!std::getline(std::ifstream(task.path() / "comm"), name) || name != thread_name) continue;
    if (std::ifstream(task.path() / "schedstat") >> nanoseconds) seconds += nanoseconds * 1e-9;
  }
  return seconds;
}

std::int64_t written_bytes() { return number_in("/proc/self/io", "write_bytes"); }

double machine_busy_seconds() {
  std::ifstream in("/proc/stat");
  std::string name;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, interrupts = 0, soft = 0;
  in >> name >> user >> nice >> system >> idle >> wait >> interrupts >> soft;
  return (user + nice + system + interrupts + soft) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::int64_t resident_mib() { return number_in("/proc/self/status", "VmRSS") >> 10; }

std::int64_t greatest_resident_mib() { return number_in("/proc/self/status", "VmHWM") >> 10; }

}  // namespace perjoule::bench
