// Any bytes as a scenario: a hall whose parts refer to each other, or one error that says something. No file
// exists, so the readers of traces are not reached (they have targets of their own).
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/assert.hpp"
#include "compose/scenario.hpp"

namespace {

using perjoule::base::Env;
using perjoule::base::Error;

class NoFiles final : public Env {
 public:
  perjoule::base::Result<std::string> read_file(const std::string& path, std::uint64_t) override {
    return none(path);
  }
  perjoule::base::Result<std::unique_ptr<perjoule::base::PendingFile>> create(
      const std::string& path) override {
    return none(path);
  }
  perjoule::base::Status create_directories(const std::string& path) override { return none(path); }
  perjoule::base::Result<std::vector<std::string>> list(const std::string&) override {
    return std::vector<std::string>{"a.csv", "b.epw.gz"};
  }
  perjoule::base::Status remove(const std::string& path) override { return none(path); }
  bool exists(const std::string&) override { return false; }

 private:
  static Error none(const std::string& path) {
    return perjoule::base::missing("use a file", path, "there is none");
  }
};

void check(const perjoule::compose::Scenario& s) {
  PJ_CHECK(s.length.ns > 0 && s.length.ns % s.hall.window.ns == 0);
  PJ_CHECK(!s.hall.feeds.empty() && !s.hall.nodes.empty());
  PJ_CHECK(s.requests.service_weights.size() == s.hall.services.size());
  for (const auto& job : s.hall.jobs)
    PJ_CHECK(job.submit < s.hall.start + s.length && job.work_seconds > 0.0);
  PJ_CHECK(std::is_sorted(s.hall.jobs.begin(), s.hall.jobs.end(),
                          [](const auto& a, const auto& b) { return a.submit < b.submit; }));
  const auto stream = perjoule::compose::make_request_stream(s);
  perjoule::base::TimePoint last = s.hall.start;
  for (auto r = stream ? stream() : std::nullopt; r; r = stream()) {
    PJ_CHECK(r->request.arrival >= last && r->service < s.hall.services.size());
    last = r->request.arrival;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  NoFiles env;
  const std::string text(reinterpret_cast<const char*>(data), size);
  const auto scenario = perjoule::compose::parse_scenario(env, text, "fuzz.toml", "d");
  if (scenario.ok()) {
    check(*scenario);
  } else {
    PJ_CHECK(!scenario.error().where.empty() && !scenario.error().why.empty());
  }
  return 0;
}
