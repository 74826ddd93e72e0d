// Reads the records of data/power/gpupb_*: polled nvidia-smi readings, load marks, and the 4.78 kHz reference
// meter beside them. Thread rule: pure functions of files. Ownership: returns values. Times: UTC, units as
// named.
#pragma once

#include <string>
#include <vector>

#include "base/result.hpp"
#include "base/time.hpp"
#include "base/units.hpp"

namespace perjoule::bench {

// One nvidia-smi poll. `power` is power.draw, `instant` power.draw.instant.
struct GpuPoll {
  base::TimePoint polled;
  base::Watts power;
  base::Watts instant;
};

// The reference meter's power, summed over its four inputs, as exact cumulative energy: between two samples
// the power is the earlier sample's. energy[i] is the energy before sample i; the meter's currents are two's
// complement (a reading of 4095 on an unconnected input is -1, not full scale).
struct MeterTrace {
  std::vector<base::TimePoint> at;
  std::vector<base::Microjoules> energy;

  // Linear between samples; outside the record it goes on with the mean power of the first or last 50 ms.
  base::Microjoules energy_at(base::TimePoint t) const;
  base::Watts mean(base::TimePoint a, base::TimePoint b) const;
};

// CSV of nvidia-smi, gzip or plain. `zone` is subtracted to reach UTC (these records: one hour for those with
// a meter). Errors: kMissing, kBadInput with file and line.
base::Result<std::vector<GpuPoll>> read_gpu_polls(const std::string& path, base::Duration zone);
// One microsecond count since 1970 per line after a header; equal neighbours are merged.
base::Result<std::vector<base::TimePoint>> read_marks(const std::string& path);
// 18-byte records: u16 time stamp (2933.5 per ms, wraps), 4 x (u16 volts, u16 amperes), 12 bits left-aligned.
// `start_path` holds the start in microseconds; the first record is 50 ms before it.
base::Result<MeterTrace> read_meter(const std::string& path, const std::string& start_path);

// The two records that have a meter.
struct GpuRecord {
  std::vector<GpuPoll> polls;
  std::vector<base::TimePoint> marks;
  MeterTrace meter;
};
// `name`: "transient_A100" or "5050_A100".
base::Result<GpuRecord> read_gpu_record(const std::string& directory, const std::string& name);

}  // namespace perjoule::bench
