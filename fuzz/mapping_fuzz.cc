// A mapping file, a zero byte, a table: any bytes of either give rows or one error, never a crash.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "backends/grid/carbon_readers.hpp"
#include "backends/intake/mapping.hpp"
#include "backends/replay/job_trace.hpp"
#include "backends/replay/request_trace.hpp"
#include "base/assert.hpp"

namespace {

void read_by(const perjoule::backends::intake::Mapping& mapping, const std::string& table) {
  namespace intake = perjoule::backends::intake;
  namespace replay = perjoule::backends::replay;
  if (mapping.table == intake::Table::kCarbon) {
    (void)perjoule::backends::grid::parse_carbon_mapped(table, "fuzz", mapping);
  } else if (mapping.table == intake::Table::kJobs) {
    const auto jobs = replay::parse_jobs_mapped(table, "fuzz", mapping);
    if (jobs.ok()) PJ_CHECK(replay::parse_jobs_csv(replay::format_jobs_csv(*jobs), "back").ok());
  } else {
    const auto requests = replay::parse_requests_mapped(table, "fuzz", mapping);
    if (requests.ok())
      PJ_CHECK(replay::parse_requests_csv(replay::format_requests_csv(*requests), "back").ok());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  namespace replay = perjoule::backends::replay;
  const std::string_view all(reinterpret_cast<const char*>(data), size);
  const auto cut = all.find('\0');
  const std::string_view table = cut == std::string_view::npos ? std::string_view() : all.substr(cut + 1);
  const auto mapping = perjoule::backends::intake::parse_mapping(all.substr(0, cut), "fuzz.toml");
  if (mapping.ok()) {
    read_by(*mapping, std::string(table));
  } else {
    PJ_CHECK(mapping.error().where.starts_with("fuzz.toml:"));
  }
  (void)replay::parse_jobs_swf(std::string(all), "fuzz");
  (void)replay::parse_requests_mooncake(all, "fuzz");
  return 0;
}
