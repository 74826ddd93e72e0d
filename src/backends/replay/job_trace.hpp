// Traces of batch jobs: when each arrived, how long it ran, on how many GPUs. Every reader checks the whole
// file: times must be finite, not negative and not go backwards, durations, steps and GPUs positive; a breach
// is one error with file:line:column, or a listed rejection where the format (SWF) or the mapping says so.
// Thread rule: pure functions, plain values. Units: seconds from the trace's start.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "backends/intake/import.hpp"
#include "backends/intake/mapping.hpp"
#include "base/env.hpp"
#include "base/result.hpp"
#include "base/time.hpp"
#include "base/units.hpp"

namespace perjoule::backends::replay {

struct JobTraceRow {
  base::Seconds arrival;
  std::optional<base::Seconds> duration;  // absent where the trace only counts steps
  std::optional<std::int64_t> steps;      // training steps to do; at least one of duration and steps is there
  std::int64_t gpus = 0;
  std::string job;     // the trace's own name; may be empty
  std::string model;   // what it runs; may be empty
  std::string tenant;  // who it runs for; may be empty
};

struct JobTrace {
  std::vector<JobTraceRow> rows;  // by arrival; equal arrivals in the file's order
  std::vector<intake::RejectedRow> rejected;
  std::optional<base::TimePoint> start;  // calendar time of arrival 0, where the trace has one
  std::string source;
};

// Longest arrival or duration taken: 100 years. More is a unit mistake.
inline constexpr base::Seconds kLongestTime{3.15576e9};

// arrival_time and length in seconds, cpus (read as GPUs).
base::Result<JobTrace> parse_jobs_gaia_1k(std::string text, const std::string& name);
base::Result<JobTrace> read_jobs_gaia_1k(base::Env& env, const std::string& path);
// The same columns in hours.
base::Result<JobTrace> parse_jobs_gaia_100k(std::string text, const std::string& name);
base::Result<JobTrace> read_jobs_gaia_100k(base::Env& env, const std::string& path);
// Tab separated, no header, 7 columns: model, command, step flag, data flag, steps, arrival s, GPUs. No
// durations.
base::Result<JobTrace> parse_jobs_gavel(std::string text, const std::string& name);
base::Result<JobTrace> read_jobs_gavel(base::Env& env, const std::string& path);
// Standard Workload Format 2.2: 18 fields, ';' comments. Processors are read as GPUs (allocated, else
// requested). Jobs without a run time or processors (-1 or 0: cancelled or unknown) are listed as rejected.
base::Result<JobTrace> parse_jobs_swf(const std::string& text, const std::string& name);
base::Result<JobTrace> read_jobs_swf(base::Env& env, const std::string& path);
// Any delimited table by a mapping of table "jobs".
base::Result<JobTrace> parse_jobs_mapped(std::string text, const std::string& name,
                                         const intake::Mapping& mapping);
base::Result<JobTrace> read_jobs_mapped(base::Env& env, const std::string& path,
                                        const intake::Mapping& mapping);

// The canonical file: job,arrival_s,duration_s,steps,gpus,model,tenant (empty = absent). Reading back what
// was written gives the same rows.
std::string format_jobs_csv(const JobTrace& trace);
base::Result<JobTrace> parse_jobs_csv(std::string text, const std::string& name);
base::Result<JobTrace> read_jobs_csv(base::Env& env, const std::string& path);

}  // namespace perjoule::backends::replay
