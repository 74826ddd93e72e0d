// OpenTelemetry metrics in: an ExportMetricsServiceRequest (protobuf or JSON) becomes rows of `samples`.
//   read_otlp_json   text -> points; one error for what is no such message, and a count of points with a
//                    reason for each kind that cannot be kept. Protobuf: otlp_rows.hpp
//   map_point        point -> signal, device, value: hw.* names become signals of the catalogue by
//                    otlp_mappings(); a name without one is kept under its own name
// Kept: gauges and cumulative sums (int or double), and of a cumulative histogram its sum and count. Dropped
// with a reason: delta temporality, exponential histograms, summaries, points without a value, a time or a
// device. Sources: opentelemetry-proto 1.x, semantic conventions 1.44 (hw.*). Thread rule: pure functions.
// Ownership: values. Units: Unix nanoseconds.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "energy/records.hpp"

namespace perjoule::api {

inline constexpr std::size_t kMostOtlpPoints = 65'536;

// Values longer than a store's text are left out, so that a point costs no more than its share of the body.
using Attributes = std::map<std::string, std::string, std::less<>>;
// Adds a KeyValue in protobuf; one whose value is a list or structure, or too long, is left out. False: the
// bytes are no KeyValue.
bool read_attribute(std::string_view bytes, Attributes& out);

struct OtlpPoint {
  std::string metric;                          // ".sum" or ".count" behind a histogram's name
  std::shared_ptr<const Attributes> resource;  // host.id, service.name, ...; never null
  Attributes point;                            // hw.id, hw.type, ...
  std::int64_t t_ns = 0;
  double value = energy::kAbsent;
};

// What was not kept: reason -> points.
using Drops = std::map<std::string, std::uint64_t>;
inline constexpr const char* kDropDelta =
    "delta temporality is not kept; set the exporter's temporality to cumulative "
    "(OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=cumulative)";
inline constexpr const char* kDropKind = "exponential histograms and summaries are not kept";
inline constexpr const char* kDropNoValue = "the point has no value";
inline constexpr const char* kDropNoTime = "the point has no time";
std::uint64_t count_of(const Drops& drops);
// "3 points: delta temporality ...; 1 point: ...".
std::string text_of(const Drops& drops);

struct OtlpBatch {
  std::vector<OtlpPoint> points;
  Drops drops;
};
// Errors: kBadInput for damaged text and for more than kMostOtlpPoints points.
base::Result<OtlpBatch> read_otlp_json(std::string_view text);

// One line of the table of names. `attribute` = `value` must hold where given; the first line that fits
// counts.
struct OtlpMapping {
  std::string_view metric, attribute, value;
  std::string_view signal;
  double scale = 1.0;  // our unit = theirs x scale
};
std::span<const OtlpMapping> otlp_mappings();

struct MappedPoint {
  std::string device, signal;
  double value = energy::kAbsent;
};
// Errors: kBadInput with the reason for a point without a device, or with a name that is too long.
base::Result<MappedPoint> map_point(const OtlpPoint& point);

// The response's bytes; empty if nothing was dropped.
std::string otlp_response(const Drops& drops);
std::string otlp_response_json(const Drops& drops);

}  // namespace perjoule::api
