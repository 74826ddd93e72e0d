// OTLP in its JSON form: the same points as from protobuf. 64-bit numbers come as text or as numbers, names
// in camel case (opentelemetry-proto, "JSON Protobuf Encoding").
#include <nlohmann/json.hpp>

#include "api/otlp.hpp"
#include "base/text.hpp"
#include "bus/block.hpp"

namespace perjoule::api {
namespace {

using Json = nlohmann::json;
using Shared = std::shared_ptr<const Attributes>;

constexpr const char* kWhat = "read OTLP metrics";
constexpr const char* kDelta = "delta temporality is not kept; set the exporter's temporality to cumulative";

const Json& at(const Json& j, const char* key) {
  static const Json kNone;
  if (!j.is_object()) return kNone;
  const auto found = j.find(key);
  return found == j.end() ? kNone : *found;
}
std::string text_at(const Json& j, const char* key) {
  const Json& v = at(j, key);
  return v.is_string() ? v.get<std::string>() : std::string();
}
std::optional<double> number_of(const Json& j) {
  if (j.is_number()) return j.get<double>();
  return j.is_string() ? base::parse_double(j.get<std::string>()) : std::nullopt;
}
std::int64_t whole_of(const Json& j) {
  if (j.is_number_unsigned()) return j.get<std::uint64_t>() > INT64_MAX ? 0 : j.get<std::int64_t>();
  if (j.is_number_integer()) return j.get<std::int64_t>();
  return j.is_string() ? base::parse_int(j.get<std::string>()).value_or(0) : 0;
}

Attributes attributes_of(const Json& list) {
  Attributes out;
  for (const Json& entry : list) {
    const std::string key = text_at(entry, "key");
    const Json& value = at(entry, "value");
    std::string text = text_at(value, "stringValue");
    if (at(value, "boolValue").is_boolean()) text = at(value, "boolValue").get<bool>() ? "true" : "false";
    if (!at(value, "intValue").is_null()) text = std::to_string(whole_of(at(value, "intValue")));
    if (const auto real = number_of(at(value, "doubleValue"))) text = base::shortest_text(*real);
    if (!key.empty() && !text.empty() && key.size() + text.size() <= bus::kMaxTextBytes)
      out.insert_or_assign(key, text);
  }
  return out;
}

class Reader {
 public:
  explicit Reader(OtlpBatch& batch) : batch_(batch) {}

  void metric(const Json& m, const Shared& resource) {
    const std::string name = text_at(m, "name").substr(0, bus::kMaxTextBytes + 1);  // longer: refused
    for (const char* kind : {"gauge", "sum", "histogram"}) {
      const Json& data = at(m, kind);
      const Json& temporality = at(data, "aggregationTemporality");
      const bool kept = kind == std::string_view("gauge") || temporality == 2 ||
                        temporality == "AGGREGATION_TEMPORALITY_CUMULATIVE";
      for (const Json& p : at(data, "dataPoints")) {
        if (!kept)
          ++batch_.drops[kDelta];
        else if (kind == std::string_view("histogram"))
          histogram(name, p, resource);
        else
          number(name, p, resource);
      }
    }
    for (const char* kind : {"exponentialHistogram", "summary"}) {
      const std::size_t n = at(at(m, kind), "dataPoints").size();
      if (n != 0) batch_.drops["exponential histograms and summaries are not kept"] += n;
    }
  }

 private:
  void number(const std::string& name, const Json& p, const Shared& resource) {
    auto value = number_of(at(p, "asDouble"));
    if (!value) value = number_of(at(p, "asInt"));
    if (!value || (whole_of(at(p, "flags")) & 1) != 0) {
      ++batch_.drops["the point has no value"];
      return;
    }
    add(name, p, resource, *value);
  }
  void histogram(const std::string& name, const Json& p, const Shared& resource) {
    const bool kept = add(name + ".count", p, resource, static_cast<double>(whole_of(at(p, "count"))));
    if (const auto sum = number_of(at(p, "sum")); kept && sum) add(name + ".sum", p, resource, *sum);
  }
  bool add(std::string name, const Json& p, const Shared& resource, double value) {
    const std::int64_t time = whole_of(at(p, "timeUnixNano"));
    if (time <= 0) return ++batch_.drops["the point has no time"], false;
    batch_.points.push_back({std::move(name), resource, attributes_of(at(p, "attributes")), time, value});
    return true;
  }
  OtlpBatch& batch_;
};

}  // namespace

base::Result<OtlpBatch> read_otlp_json(std::string_view text) {
  const Json j = Json::parse(text, nullptr, false);
  if (!j.is_object() || !at(j, "resourceMetrics").is_array())
    return base::bad_input(kWhat, "body", "it is no JSON object with resourceMetrics");
  OtlpBatch batch;
  Reader reader(batch);
  for (const Json& rm : at(j, "resourceMetrics")) {
    const auto resource =
        std::make_shared<const Attributes>(attributes_of(at(at(rm, "resource"), "attributes")));
    for (const Json& sm : at(rm, "scopeMetrics")) {
      for (const Json& m : at(sm, "metrics")) reader.metric(m, resource);
      if (batch.points.size() > kMostOtlpPoints)
        return base::bad_input(kWhat, "body", "it has more than 65,536 points", "Send smaller batches");
    }
  }
  return batch;
}

std::string otlp_response_json(const Drops& drops) {
  nlohmann::ordered_json j = nlohmann::ordered_json::object();
  if (!drops.empty())
    j["partialSuccess"] = {{"rejectedDataPoints", std::to_string(count_of(drops))},
                           {"errorMessage", text_of(drops)}};
  return j.dump() + "\n";
}

}  // namespace perjoule::api
