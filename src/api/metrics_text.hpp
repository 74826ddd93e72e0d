// Metrics as families, and as text for a scraper: OpenMetrics 1.0 or Prometheus text 0.0.4. Thread rule:
// values. Ownership: owns its texts. Units: base units, in the family's name (joules, bytes, seconds).
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace perjoule::api {

struct MetricSample {
  std::vector<std::pair<std::string, std::string>> labels;
  std::string value;  // as it is printed
};

struct MetricFamily {
  enum class Type : std::uint8_t { kCounter, kGauge };
  std::string name;  // without "_total"
  Type type = Type::kGauge;
  std::string unit;  // the name's end; empty: none
  std::string help;
  std::vector<MetricSample> samples = {};

  MetricFamily& add(std::string value) { return samples.push_back({{}, std::move(value)}), *this; }
  MetricFamily& add(std::uint64_t value) { return add(std::to_string(value)); }
  MetricFamily& add(std::vector<std::pair<std::string, std::string>> labels, std::string value) {
    return samples.push_back({std::move(labels), std::move(value)}), *this;
  }
};

inline constexpr const char* kOpenMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8";
inline constexpr const char* kPrometheusType = "text/plain; version=0.0.4; charset=utf-8";

std::string open_metrics_text(const std::vector<MetricFamily>& families);
std::string prometheus_text(const std::vector<MetricFamily>& families);
// Microjoules as joules, exact to the last digit.
std::string joules_text(std::int64_t uj);

}  // namespace perjoule::api
