#include "backends/replay/formats.hpp"

#include "backends/replay/job_trace.hpp"
#include "backends/replay/request_trace.hpp"
#include "base/text.hpp"

namespace perjoule::backends::replay {
namespace {

using base::Env;
using base::Result;
using intake::ImportReport;
using intake::ImportRequest;

template <class Trace>
ImportReport common_report(const Trace& trace) {
  ImportReport report;
  report.rows = static_cast<std::int64_t>(trace.rows.size());
  report.rejected = trace.rejected;
  if (!trace.source.empty()) report.notes.push_back("source: " + trace.source);
  if (trace.start) report.notes.push_back("second 0 is " + base::format_iso8601(*trace.start));
  report.notes.push_back("arrivals from " + base::shortest_text(trace.rows.front().arrival.value()) + " to " +
                         base::shortest_text(trace.rows.back().arrival.value()) + " s");
  return report;
}

Result<ImportReport> jobs_report(Result<JobTrace> trace) {
  if (!trace.ok()) return std::move(trace).error();
  ImportReport report = common_report(*trace);
  std::int64_t without = 0;
  for (const JobTraceRow& row : trace->rows) without += row.duration ? 0 : 1;
  if (without > 0) report.notes.push_back(std::to_string(without) + " jobs have steps but no duration");
  report.csv = format_jobs_csv(*trace);
  return report;
}

Result<ImportReport> requests_report(Result<RequestTrace> trace) {
  if (!trace.ok()) return std::move(trace).error();
  ImportReport report = common_report(*trace);
  report.csv = format_requests_csv(*trace);
  return report;
}

using JobReader = Result<JobTrace> (*)(Env&, const std::string&);
using RequestReader = Result<RequestTrace> (*)(Env&, const std::string&);

void add_jobs(intake::ImportRegistry& registry, std::string name, std::string description, JobReader read) {
  registry.add(
      {std::move(name), intake::Table::kJobs, std::move(description), false,
       [read](Env& env, const ImportRequest& request) { return jobs_report(read(env, request.path)); }});
}

void add_requests(intake::ImportRegistry& registry, std::string name, std::string description,
                  RequestReader read) {
  registry.add(
      {std::move(name), intake::Table::kRequests, std::move(description), false,
       [read](Env& env, const ImportRequest& request) { return requests_report(read(env, request.path)); }});
}

}  // namespace

void register_formats(intake::ImportRegistry& registry) {
  add_jobs(registry, "gaia-1k", "arrival_time, length in seconds, cpus (GAIA pai_1k)", read_jobs_gaia_1k);
  add_jobs(registry, "gaia-100k", "the same columns in hours (GAIA pai-100k)", read_jobs_gaia_100k);
  add_jobs(registry, "gavel", "tab separated, 7 columns, no header (Gavel); steps, no durations",
           read_jobs_gavel);
  add_jobs(registry, "swf", "Standard Workload Format", read_jobs_swf);
  registry.add({"jobs-csv", intake::Table::kJobs, "any delimited table of jobs, by a mapping file", true,
                [](Env& env, const ImportRequest& request) {
                  return jobs_report(read_jobs_mapped(env, request.path, *request.mapping));
                }});
  add_jobs(registry, "perjoule-jobs", "perjoule's own job file", read_jobs_csv);
  add_requests(registry, "azure-llm", "TIMESTAMP, ContextTokens, GeneratedTokens (Azure)",
               read_requests_azure);
  add_requests(registry, "mooncake", "JSON lines with hash_ids (Mooncake)", read_requests_mooncake);
  registry.add({"requests-csv", intake::Table::kRequests,
                "any delimited table of requests, by a mapping file", true,
                [](Env& env, const ImportRequest& request) {
                  return requests_report(read_requests_mapped(env, request.path, *request.mapping));
                }});
  add_requests(registry, "perjoule-requests", "perjoule's own request file", read_requests_csv);
}

}  // namespace perjoule::backends::replay
