// The slow, obvious reader of OTLP in protobuf: every point with its attributes as a map. For tests and the
// fuzzer, which compare OtlpReader with it. Thread rule: pure functions.
#pragma once

#include <bit>
#include <string>
#include <utility>
#include <vector>

#include "api/otlp.hpp"
#include "api/otlp_rows.hpp"
#include "api/proto_reader.hpp"
#include "bus/block.hpp"

namespace perjoule::api {
namespace reference {

inline constexpr std::uint64_t kCumulative = 2;
inline constexpr std::uint64_t kNoRecordedValue = 1;  // DataPointFlags

// Message numbers of opentelemetry/proto/metrics/v1/metrics.proto.
enum : std::uint32_t {
  kGaugeField = 5,
  kSumField = 7,
  kHistogramField = 9,
  kExponentialField = 10,
  kSummaryField = 11
};

using Shared = std::shared_ptr<const Attributes>;

struct RawPoint {
  std::uint64_t time = 0, flags = 0, count = 0;
  double value = energy::kAbsent;
  bool has_value = false;
  Attributes attributes;
};

inline RawPoint number_point(std::string_view bytes, bool& good) {
  RawPoint p;
  ProtoReader in(bytes);
  while (in.next()) {
    if (in.field() == 7) good = read_attribute(in.bytes(), p.attributes) && good;
    if (in.field() == 3) p.time = in.number();
    if (in.field() == 8) p.flags = in.number();
    if (!in.is_fixed64() || (in.field() != 4 && in.field() != 6)) continue;
    p.value = in.field() == 4 ? in.real() : static_cast<double>(static_cast<std::int64_t>(in.number()));
    p.has_value = true;
  }
  good = good && !in.failed();
  return p;
}

inline RawPoint histogram_point(std::string_view bytes, bool& good) {
  RawPoint p;
  ProtoReader in(bytes);
  while (in.next()) {
    if (in.field() == 9) good = read_attribute(in.bytes(), p.attributes) && good;
    if (in.field() == 3) p.time = in.number();
    if (in.field() == 4) p.count = in.number();
    if (in.field() == 10) p.flags = in.number();
    if (in.field() != 5 || !in.is_fixed64()) continue;
    p.value = in.real();
    p.has_value = true;
  }
  good = good && !in.failed();
  return p;
}

// What both forms of the message are turned into points with.
class Collector {
 public:
  explicit Collector(OtlpBatch& batch) : batch_(batch) {}
  bool too_many() const { return seen_ > kMostOtlpPoints; }
  bool one_more() { return ++seen_ <= kMostOtlpPoints; }
  void drop(const char* why, std::uint64_t n = 1) {
    if (n != 0) batch_.drops[why] += n;
  }

  void number(const std::string& metric, const Shared& resource, RawPoint p) {
    if ((p.flags & kNoRecordedValue) != 0 || !p.has_value) return drop(kDropNoValue);
    add(metric, resource, p, p.value);
  }
  void histogram(const std::string& metric, const Shared& resource, const RawPoint& p) {
    if ((p.flags & kNoRecordedValue) != 0) return drop(kDropNoValue);
    const bool kept = add(metric + ".count", resource, p, static_cast<double>(p.count));
    if (kept && p.has_value) add(metric + ".sum", resource, p, p.value);
  }

 private:
  bool add(std::string metric, const Shared& resource, const RawPoint& p, double value) {
    if (p.time == 0 || p.time > static_cast<std::uint64_t>(INT64_MAX)) return drop(kDropNoTime), false;
    batch_.points.push_back(
        {std::move(metric), resource, p.attributes, static_cast<std::int64_t>(p.time), value});
    return true;
  }
  OtlpBatch& batch_;
  std::size_t seen_ = 0;
};

class Reader {
 public:
  explicit Reader(OtlpBatch& batch) : collector_(batch) {}

  base::Status read(std::string_view bytes) {
    ProtoReader in(bytes);
    while (in.next()) {
      if (in.field() == 1 && in.is_bytes()) resource_metrics(in.bytes());
      if (collector_.too_many())
        return base::bad_input("read OTLP metrics", "body", "it has more than 65,536 points",
                               "Send smaller batches");
    }
    if (in.failed() || !good_)
      return base::bad_input("read OTLP metrics", "body", "it is no ExportMetricsServiceRequest in protobuf");
    return base::ok_status();
  }

 private:
  // The resource may stand behind what it belongs to, so it is read first.
  void resource_metrics(std::string_view bytes) {
    Attributes attributes;
    ProtoReader first(bytes);
    while (first.next()) {
      if (first.field() != 1) continue;
      ProtoReader in(first.bytes());
      while (in.next()) {
        if (in.field() == 1) good_ = read_attribute(in.bytes(), attributes) && good_;
      }
      good_ = good_ && !in.failed();
    }
    good_ = good_ && !first.failed();
    const auto resource = std::make_shared<const Attributes>(std::move(attributes));
    ProtoReader second(bytes);
    while (good_ && second.next()) {
      if (second.field() == 2) scope_metrics(second.bytes(), resource);
    }
  }

  void scope_metrics(std::string_view bytes, const Shared& resource) {
    ProtoReader in(bytes);
    while (good_ && !collector_.too_many() && in.next()) {
      if (in.field() == 2) metric(in.bytes(), resource);
    }
    good_ = good_ && !in.failed();
  }

  void metric(std::string_view bytes, const Shared& resource) {
    std::string name;
    std::string_view data;
    std::uint32_t kind = 0;
    ProtoReader in(bytes);
    while (in.next()) {
      if (in.field() == 1)
        name = std::string(in.bytes().substr(0, bus::kMaxTextBytes + 1));  // longer: refused
      if (in.field() < kGaugeField || in.field() > kSummaryField) continue;
      kind = in.field();
      data = in.bytes();
    }
    good_ = good_ && !in.failed();
    if (good_) points(name, kind, data, resource);
  }

  void points(const std::string& name, std::uint32_t kind, std::string_view data, const Shared& resource) {
    std::uint64_t temporality = kCumulative;
    if (kind == kSumField || kind == kHistogramField) {
      ProtoReader in(data);
      temporality = 0;
      while (in.next()) {
        if (in.field() == 2 && in.is_varint()) temporality = in.number();
      }
    }
    ProtoReader in(data);
    while (in.next()) {
      if (in.field() != 1 || !in.is_bytes()) continue;
      if (!collector_.one_more()) return;
      if (kind == kExponentialField || kind == kSummaryField)
        collector_.drop(kDropKind);
      else if (temporality != kCumulative)
        collector_.drop(kDropDelta);
      else if (kind == kHistogramField)
        collector_.histogram(name, resource, histogram_point(in.bytes(), good_));
      else
        collector_.number(name, resource, number_point(in.bytes(), good_));
    }
    good_ = good_ && !in.failed();
  }

  Collector collector_;
  bool good_ = true;
};

}  // namespace reference

inline base::Result<OtlpBatch> read_otlp_slowly(std::string_view bytes) {
  OtlpBatch batch;
  PJ_TRY(reference::Reader(batch).read(bytes));
  return batch;
}

// What becomes of a message: a line for each row, in order, and then for each reason.
struct OtlpOutcome {
  bool good = false;
  std::vector<std::string> lines;
  bool operator==(const OtlpOutcome&) const = default;

  void add(std::int64_t t_ns, std::string_view device, std::string_view signal, double value) {
    lines.push_back(std::to_string(t_ns) + " " + std::string(device) + " " + std::string(signal) + " " +
                    std::to_string(std::bit_cast<std::uint64_t>(value)));
  }
  void add(const Drops& drops) {
    for (const auto& [why, n] : drops) lines.push_back(std::to_string(n) + " dropped: " + why);
  }
};

inline OtlpOutcome slow_outcome(std::string_view bytes) {
  OtlpOutcome out;
  auto batch = read_otlp_slowly(bytes);
  out.good = batch.ok();
  if (!out.good) return out;
  for (const OtlpPoint& point : batch->points) {
    const auto mapped = map_point(point);
    if (mapped.ok()) {
      out.add(point.t_ns, mapped->device, mapped->signal, mapped->value);
    } else {
      ++batch->drops[mapped.error().why];
    }
  }
  out.add(batch->drops);
  return out;
}

inline OtlpOutcome outcome_of(OtlpReader& reader, std::string_view bytes) {
  OtlpOutcome out;
  const auto rows = reader.read(bytes);
  out.good = rows.ok();
  if (!out.good) return out;
  for (const bus::Batch& b : rows->batches) {
    for (std::size_t i = 0; i < b.rows; ++i)
      out.add(b.columns[0].ints[i], b.columns[1].text(i), b.columns[2].text(i), b.columns[3].doubles[i]);
  }
  out.add(rows->drops);
  return out;
}

}  // namespace perjoule::api
