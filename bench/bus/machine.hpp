// What a result must be read with: the machine, how busy it is, and what its disk does at the time.
// Thread rule: any thread. Errors: kIo when the folder cannot be written.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.hpp"

namespace perjoule::bench {

struct MachineFacts {
  std::string cpu, kernel, load;  // load: the three averages of /proc/loadavg
  unsigned cores = 0;
  std::int64_t memory_mib = 0, available_mib = 0;
};
MachineFacts machine_facts();

// Durable writes of 4 MiB, one after the other, over a file that has its blocks already.
struct DiskRate {
  double mb_per_s = 0, median_ms = 0, worst_ms = 0;
};
base::Result<DiskRate> raw_disk_rate(const std::string& directory);

// Of this process so far.
double processor_seconds();
// Of the threads of this process that live and have this name (pthread_setname_np), so far.
double processor_seconds_of(const std::string& thread_name);
// Handed to the block layer by this process so far; 0 where the kernel does not say.
std::int64_t written_bytes();
// Of all processes of this machine since it started, idle time left out.
double machine_busy_seconds();
std::int64_t resident_mib();
std::int64_t greatest_resident_mib();

}  // namespace perjoule::bench
