#include "api/metrics_text.hpp"

#include <fmt/format.h>

namespace perjoule::api {
namespace {

std::string escaped(const std::string& text, bool quotes) {
  std::string out;
  for (const char c : text) {
    if (c == '\\')
      out += "\\\\";
    else if (c == '\n')
      out += "\\n";
    else if (c == '"' && quotes)
      out += "\\\"";
    else
      out += c;
  }
  return out;
}

void put_samples(const MetricFamily& family, std::string& out) {
  const std::string name = family.name + (family.type == MetricFamily::Type::kCounter ? "_total" : "");
  for (const MetricSample& sample : family.samples) {
    out += name;
    for (std::size_t i = 0; i < sample.labels.size(); ++i)
      out += fmt::format("{}{}=\"{}\"", i == 0 ? '{' : ',', sample.labels[i].first,
                         escaped(sample.labels[i].second, true));
    out += (sample.labels.empty() ? " " : "} ") + sample.value + "\n";
  }
}

const char* name_of(MetricFamily::Type type) {
  return type == MetricFamily::Type::kCounter ? "counter" : "gauge";
}

}  // namespace

std::string open_metrics_text(const std::vector<MetricFamily>& families) {
  std::string out;
  for (const MetricFamily& f : families) {
    out += fmt::format("# TYPE {} {}\n", f.name, name_of(f.type));
    if (!f.unit.empty()) out += fmt::format("# UNIT {} {}\n", f.name, f.unit);
    out += fmt::format("# HELP {} {}\n", f.name, escaped(f.help, true));
    put_samples(f, out);
  }
  return out + "# EOF\n";
}

std::string prometheus_text(const std::vector<MetricFamily>& families) {
  std::string out;
  for (const MetricFamily& f : families) {
    const char* end = f.type == MetricFamily::Type::kCounter ? "_total" : "";
    out += fmt::format("# HELP {}{} {}\n# TYPE {}{} {}\n", f.name, end, escaped(f.help, false), f.name, end,
                       name_of(f.type));
    put_samples(f, out);
  }
  return out;
}

std::string joules_text(std::int64_t uj) {
  const std::uint64_t size = uj < 0 ? 0 - static_cast<std::uint64_t>(uj) : static_cast<std::uint64_t>(uj);
  return fmt::format("{}{}.{:06}", uj < 0 ? "-" : "", size / 1'000'000, size % 1'000'000);
}

}  // namespace perjoule::api
