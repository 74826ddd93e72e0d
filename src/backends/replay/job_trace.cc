#include "backends/replay/job_trace.hpp"

#include <array>
#include <cmath>

#include "backends/intake/mapped_table.hpp"
#include "backends/replay/arrival.hpp"
#include "base/gzip.hpp"
#include "base/text.hpp"

namespace perjoule::backends::replay {
namespace {

using base::Error;
using base::Result;
using base::Seconds;
using base::Status;
using intake::MappedTable;

constexpr const char* kGaia1k = R"(
table = "jobs"
source = "umassos/GAIA pai_1k, from Alibaba PAI 2020"
[fields.arrival]
column = "arrival_time"
[fields.duration]
column = "length"
[fields.gpus]
column = "cpus"
)";

constexpr const char* kGaia100k = R"(
table = "jobs"
source = "umassos/GAIA pai-100k, from Alibaba PAI 2020"
[fields.arrival]
column = "arrival_time"
unit = "h"
[fields.duration]
column = "length"
unit = "h"
[fields.gpus]
column = "cpus"
)";

constexpr const char* kGavel = R"(
table = "jobs"
source = "stanford-futuredata/gavel, arrivals follow Philly"
separator = "tab"
header = false
[fields.model]
column = 1
[fields.steps]
column = 5
[fields.arrival]
column = 6
[fields.gpus]
column = 7
)";

constexpr const char* kCanonical = R"(
table = "jobs"
[fields.job]
column = "job"
[fields.arrival]
column = "arrival_s"
[fields.duration]
column = "duration_s"
[fields.steps]
column = "steps"
[fields.gpus]
column = "gpus"
[fields.model]
column = "model"
[fields.tenant]
column = "tenant"
)";

intake::Mapping built_in(const char* toml) {
  auto mapping = intake::parse_mapping(toml, "built-in mapping");
  PJ_CHECK(mapping.ok());
  return std::move(mapping).value();
}

class MappedJobs {
 public:
  explicit MappedJobs(const MappedTable& table) : table_(table), arrivals_(table, kLongestTime) {}

  Result<JobTrace> read(const std::string& name) {
    for (std::size_t i = 0; i < table_.rows(); ++i) {
      PJ_TRY(read_row(i));
    }
    if (trace_.rows.empty()) {
      return base::bad_input("read a job trace", name + ":1:1", "it has no usable job",
                             "Check the file and the mapping");
    }
    trace_.start = arrivals_.start();
    trace_.source = table_.mapping().source;
    return std::move(trace_);
  }

 private:
  Status read_row(std::size_t i) {
    JobTraceRow row;
    PJ_ASSIGN(row.arrival, arrivals_.read(i));
    PJ_ASSIGN(const auto duration, table_.number(i, "duration"));
    PJ_ASSIGN(row.steps, table_.count(i, "steps"));
    PJ_ASSIGN(const auto gpus, table_.count(i, "gpus"));
    if (duration) row.duration = Seconds(*duration);
    row.gpus = gpus.value_or(0);
    row.job = table_.text(i, "job");
    row.model = table_.text(i, "model");
    row.tenant = table_.text(i, "tenant");
    if (const auto breach = breach_of(i, row)) return settle(row, *breach);
    trace_.rows.push_back(std::move(row));
    return base::ok_status();
  }

  // What is wrong with the row's amounts, if anything.
  std::optional<Error> breach_of(std::size_t i, const JobTraceRow& row) const {
    const auto fault = [&](std::string_view field, std::string why) {
      return base::bad_input("read a job trace", table_.where(i, field), std::move(why),
                             "invalid_rows = \"reject\" in a mapping file lists such jobs instead");
    };
    if (!row.duration && !row.steps) return fault("duration", "the job has neither a duration nor steps");
    if (row.duration && row.duration->value() <= 0) {
      return fault("duration",
                   "the duration is " + base::shortest_text(row.duration->value()) + " s, must be above 0");
    }
    if (row.duration && *row.duration > kLongestTime)
      return fault("duration", "the duration is above 100 years");
    if (row.steps && *row.steps <= 0) return fault("steps", "the number of steps must be above 0");
    if (row.gpus <= 0) return fault("gpus", "the number of GPUs must be above 0");
    return std::nullopt;
  }

  Status settle(const JobTraceRow& row, const Error& breach) {
    if (table_.mapping().invalid_rows == intake::InvalidRows::kError) return breach;
    trace_.rejected.push_back({breach.where, base::shortest_text(row.arrival.value()) + " s", breach.why});
    return base::ok_status();
  }

  const MappedTable& table_;
  ArrivalReader arrivals_;
  JobTrace trace_;
};

// One line of a Standard Workload Format file.
class SwfLine {
 public:
  static constexpr std::size_t kFields = 18;

  SwfLine(std::string_view line, std::string name, std::size_t number)
      : line_(line), name_(std::move(name)), number_(number) {}

  Status parse() {
    std::size_t found = 0, at = 0;
    while ((at = line_.find_first_not_of(" \t\r", at)) != std::string_view::npos) {
      const std::size_t stop = std::min(line_.find_first_of(" \t\r", at), line_.size());
      if (found == kFields) return fault_at(at + 1, "more than 18 fields");
      const auto value = base::parse_double(line_.substr(at, stop - at));
      if (!value)
        return fault_at(at + 1, "'" + std::string(line_.substr(at, stop - at)) + "' is not a finite number");
      columns_[found] = at + 1;
      values_[found++] = *value;
      at = stop;
    }
    if (found != kFields) return fault_at(1, "has " + std::to_string(found) + " fields, expected 18");
    return base::ok_status();
  }
  // Fields by their number in the format's definition, from 1.
  double value(std::size_t field) const { return values_[field - 1]; }
  std::string where(std::size_t field) const { return place(columns_[field - 1]); }
  Error fault(std::size_t field, std::string why) const {
    return fault_at(columns_[field - 1], std::move(why));
  }

 private:
  std::string place(std::size_t column) const {
    return name_ + ":" + std::to_string(number_) + ":" + std::to_string(column);
  }
  Error fault_at(std::size_t column, std::string why) const {
    return base::bad_input("read a job trace", place(column), std::move(why));
  }

  std::string_view line_;
  std::string name_;
  std::size_t number_;
  std::array<double, kFields> values_{};
  std::array<std::size_t, kFields> columns_{};
};

enum SwfField : std::size_t {
  kJobNumber = 1,
  kSubmit = 2,
  kRunTime = 4,
  kAllocated = 5,
  kRequested = 8,
  kUser = 12
};

std::string whole_text(double value) { return value < 0 ? "" : base::shortest_text(value); }

class SwfReader {
 public:
  Result<JobTrace> read(std::string_view text, const std::string& name) {
    std::size_t number = 0;
    for (const std::string_view line : base::split(text, '\n')) {
      ++number;
      const std::string_view content = base::trim(line);
      if (content.starts_with(';')) {
        PJ_TRY(read_comment(content, name, number));
      } else if (!content.empty()) {
        PJ_TRY(read_job(SwfLine(line, name, number)));
      }
    }
    if (trace_.rows.empty())
      return base::bad_input("read a job trace", name + ":1:1", "it has no usable job");
    trace_.source = "Standard Workload Format";
    return std::move(trace_);
  }

 private:
  // Of the header comments only the start time changes what is read.
  Status read_comment(std::string_view content, const std::string& name, std::size_t number) {
    constexpr std::string_view kKey = "UnixStartTime:";
    const auto at = content.find(kKey);
    if (at == std::string_view::npos) return base::ok_status();
    const auto value = base::parse_int(base::trim(content.substr(at + kKey.size())));
    constexpr std::int64_t kLatestSecond = 7'000'000'000;  // year 2191
    if (!value || *value < 0 || *value > kLatestSecond) {
      return base::bad_input("read a job trace",
                             name + ":" + std::to_string(number) + ":" + std::to_string(at + 1),
                             "UnixStartTime is no number of seconds since 1970");
    }
    trace_.start = base::TimePoint{*value * base::kNsPerSecond};
    return base::ok_status();
  }

  Status read_job(SwfLine line) {
    PJ_TRY(line.parse());
    const double arrival = line.value(kSubmit), run = line.value(kRunTime);
    if (last_ && arrival < *last_) return line.fault(kSubmit, "times go backwards");
    if (arrival < 0 || arrival > kLongestTime.value())
      return line.fault(kSubmit, "the submit time is out of range");
    if (run > kLongestTime.value()) return line.fault(kRunTime, "the run time is above 100 years");
    last_ = arrival;
    const double processors = line.value(kAllocated) > 0 ? line.value(kAllocated) : line.value(kRequested);
    constexpr double kMostProcessors = 1e9;
    if (processors > kMostProcessors || std::trunc(processors) != processors) {
      return line.fault(kAllocated, "is no number of processors");
    }
    if (run <= 0 || processors <= 0) {
      trace_.rejected.push_back({line.where(run <= 0 ? kRunTime : kAllocated),
                                 base::shortest_text(arrival) + " s",
                                 run <= 0 ? "no run time (cancelled or unknown)" : "no processors"});
      return base::ok_status();
    }
    trace_.rows.push_back({Seconds(arrival), Seconds(run), std::nullopt,
                           static_cast<std::int64_t>(processors), whole_text(line.value(kJobNumber)), "",
                           whole_text(line.value(kUser))});
    return base::ok_status();
  }

  JobTrace trace_;
  std::optional<double> last_;
};

}  // namespace

Result<JobTrace> parse_jobs_mapped(std::string text, const std::string& name,
                                   const intake::Mapping& mapping) {
  PJ_CHECK(mapping.table == intake::Table::kJobs);
  PJ_ASSIGN(const auto table, MappedTable::parse(std::move(text), name, mapping));
  return MappedJobs(table).read(name);
}

Result<JobTrace> read_jobs_mapped(base::Env& env, const std::string& path, const intake::Mapping& mapping) {
  PJ_ASSIGN(auto text, base::read_text(env, path));
  return parse_jobs_mapped(std::move(text), path, mapping);
}

Result<JobTrace> parse_jobs_gaia_1k(std::string text, const std::string& name) {
  return parse_jobs_mapped(std::move(text), name, built_in(kGaia1k));
}
Result<JobTrace> read_jobs_gaia_1k(base::Env& env, const std::string& path) {
  return read_jobs_mapped(env, path, built_in(kGaia1k));
}
Result<JobTrace> parse_jobs_gaia_100k(std::string text, const std::string& name) {
  return parse_jobs_mapped(std::move(text), name, built_in(kGaia100k));
}
Result<JobTrace> read_jobs_gaia_100k(base::Env& env, const std::string& path) {
  return read_jobs_mapped(env, path, built_in(kGaia100k));
}

Result<JobTrace> parse_jobs_gavel(std::string text, const std::string& name) {
  auto mapping = built_in(kGavel);
  PJ_ASSIGN(const auto table, MappedTable::parse(std::move(text), name, std::move(mapping)));
  constexpr std::size_t kColumns = 7;
  if (table.columns() != kColumns) {
    return base::bad_input("read a job trace", name + ":1:1",
                           "has " + std::to_string(table.columns()) + " columns, expected 7",
                           "Other layouts are read with a mapping file");
  }
  return MappedJobs(table).read(name);
}

Result<JobTrace> read_jobs_gavel(base::Env& env, const std::string& path) {
  PJ_ASSIGN(auto text, base::read_text(env, path));
  return parse_jobs_gavel(std::move(text), path);
}

Result<JobTrace> parse_jobs_swf(const std::string& text, const std::string& name) {
  return SwfReader().read(text, name);
}

Result<JobTrace> read_jobs_swf(base::Env& env, const std::string& path) {
  PJ_ASSIGN(const auto text, base::read_text(env, path));
  return parse_jobs_swf(text, path);
}

std::string format_jobs_csv(const JobTrace& trace) {
  std::string out = "job,arrival_s,duration_s,steps,gpus,model,tenant\n";
  for (const JobTraceRow& row : trace.rows) {
    out += intake::csv_field(row.job) + "," + base::shortest_text(row.arrival.value()) + ",";
    out += (row.duration ? base::shortest_text(row.duration->value()) : "") + ",";
    out += (row.steps ? std::to_string(*row.steps) : "") + "," + std::to_string(row.gpus) + ",";
    out += intake::csv_field(row.model) + "," + intake::csv_field(row.tenant) + "\n";
  }
  return out;
}

Result<JobTrace> parse_jobs_csv(std::string text, const std::string& name) {
  return parse_jobs_mapped(std::move(text), name, built_in(kCanonical));
}

Result<JobTrace> read_jobs_csv(base::Env& env, const std::string& path) {
  return read_jobs_mapped(env, path, built_in(kCanonical));
}

}  // namespace perjoule::backends::replay
