// Writes a store with random rows of every table, for read_everywhere.py: write_sample_store DIRECTORY [ROWS]
// Prints one JSON line: per table its rows and the sums (modulo 2^63 avoided: energies are small) other
// readers must find.
#include <cstdio>
#include <cstdlib>
#include <string>

#include "bus/store.hpp"
#include "bus/test_rows.hpp"

namespace {

namespace bus = perjoule::bus;
namespace base = perjoule::base;
namespace energy = perjoule::energy;

// Small enough that no reader's sum overflows, with negative ones among them.
std::int64_t small(bus::testing::RowMaker& make) {
  return static_cast<std::int64_t>(make.below(1u << 24)) - 1000;
}

struct Sums {
  std::int64_t meters = 0, joules = 0, requests = 0, jobs = 0, decisions = 0;
  std::int64_t null_tenants = 0, null_values = 0, null_starts = 0, undone = 0, decodes = 0;
};

base::Status append_all(bus::StoreWriter& store, bus::testing::RowMaker& make,
                        const base::SymbolTable& symbols, Sums& sums) {
  auto meter = make.meter();
  sums.meters += meter.energy_uj = small(make);
  PJ_TRY(store.append(meter));
  auto joule = make.joule();
  sums.joules += joule.energy_uj = small(make);
  sums.null_tenants += joule.consumer.tenant.empty();
  sums.decodes += symbols.text(joule.consumer.phase) == "decode";
  PJ_TRY(store.append(joule));
  const auto sample = make.sample();
  sums.null_values += sample.value != sample.value;
  PJ_TRY(store.append(sample));
  auto request = make.request();
  sums.requests += request.energy_uj = small(make);
  PJ_TRY(store.append(request));
  auto job = make.job();
  sums.jobs += job.energy_uj = small(make);
  sums.null_starts += job.t_start_ns == energy::kNoTime;
  PJ_TRY(store.append(job));
  auto decision = make.decision();
  sums.decisions += decision.expected_saving_uj = small(make);
  sums.undone += decision.undone;
  PJ_TRY(store.append(decision));
  return store.append(make.carbon());
}

base::Status write(const std::string& directory, long rows) {
  base::SymbolTable symbols;
  bus::StoreOptions options;
  options.segment_rows = 1 << 14;
  options.group_rows = 1 << 12;
  options.encoding.page_rows = 1 << 10;
  options.threads = 2;
  PJ_ASSIGN(auto store,
            bus::StoreWriter::create(base::posix_env(), directory, symbols, {{"seed", "1"}}, options));
  bus::testing::RowMaker make(symbols, 1);
  Sums s;
  for (long i = 0; i < rows; ++i) PJ_TRY(append_all(store, make, symbols, s));
  PJ_TRY(store.finish());
  std::printf(
      "{\"rows\": %ld, \"meters\": %lld, \"joules\": %lld, \"requests\": %lld, \"jobs\": %lld, "
      "\"decisions\": %lld, "
      "\"null_tenants\": %lld, \"null_values\": %lld, \"null_starts\": %lld, \"undone\": %lld, \"decodes\": "
      "%lld}\n",
      rows, static_cast<long long>(s.meters), static_cast<long long>(s.joules),
      static_cast<long long>(s.requests), static_cast<long long>(s.jobs), static_cast<long long>(s.decisions),
      static_cast<long long>(s.null_tenants), static_cast<long long>(s.null_values),
      static_cast<long long>(s.null_starts), static_cast<long long>(s.undone),
      static_cast<long long>(s.decodes));
  return base::ok_status();
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: write_sample_store DIRECTORY [ROWS]\n");
    return 2;
  }
  const auto status = write(argv[1], argc > 2 ? std::atol(argv[2]) : 40'000);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", status.error().message().c_str());
  return base::exit_status(status.error().kind);
}
