#include "api/otlp_rows.hpp"

#include <cstring>
#include <numeric>
#include <optional>

#include "api/proto_reader.hpp"
#include "base/symbol.hpp"
#include "bus/block.hpp"

namespace perjoule::api {
namespace {

using base::Symbol;

constexpr const char* kWhat = "read OTLP metrics";
constexpr std::uint64_t kCumulative = 2;
constexpr std::uint64_t kNoRecordedValue = 1;  // DataPointFlags
// Of what is remembered; some hundred bytes each.
constexpr std::size_t kMostSeries = 1U << 17;
constexpr std::size_t kMostBytes = 32U << 20;

// Message numbers of opentelemetry/proto/metrics/v1/metrics.proto.
enum : std::uint32_t {
  kGaugeField = 5,
  kSumField = 7,
  kHistogramField = 9,
  kExponentialField = 10,
  kSummaryField = 11,
  kNumberAttributes = 7,
  kHistogramAttributes = 9
};

// A metric of a resource.
struct Metric {
  Symbol resource;
  std::string name;
};

struct Series {
  Symbol device, signal;
  double scale = 1.0;
  Symbol refused;  // why its points are dropped
};

// "number, then bytes" as a key.
std::string_view joined(std::string& into, std::uint32_t number, std::string_view bytes) {
  into.resize(sizeof number);
  std::memcpy(into.data(), &number, sizeof number);
  into.append(bytes);
  return into;
}

}  // namespace

// ---- what is remembered ----

class OtlpReader::Memory {
 public:
  bool is_full() const { return series_.size() > kMostSeries || bytes_ > kMostBytes; }
  std::string_view text(Symbol s) const { return texts_.text(s); }
  std::uint32_t texts() const { return texts_.size(); }

  // `bytes`: all of what the message says about the resource. 0: damaged.
  Symbol resource(std::string_view bytes) {
    const std::string_view key = joined(key_, 0, bytes);
    if (const Symbol known = resource_keys_.find(key); !known.empty()) return known;
    Attributes attributes;
    ProtoReader outer(bytes);
    bool good = true;
    while (outer.next()) {
      ProtoReader in(outer.bytes());
      while (in.next()) {
        if (in.field() == 1) good = read_attribute(in.bytes(), attributes) && good;
      }
      good = good && !in.failed();
    }
    if (!good || outer.failed()) return {};
    resources_.push_back(std::make_shared<const Attributes>(std::move(attributes)));
    return remember(resource_keys_, key);
  }

  Symbol metric(Symbol resource, std::string_view name, std::string_view suffix) {
    name_ = name.substr(0, bus::kMaxTextBytes + 1);  // longer: refused
    name_ += suffix;
    const std::string_view key = joined(key_, resource.id, name_);
    if (const Symbol known = metric_keys_.find(key); !known.empty()) return known;
    metrics_.push_back({resource, name_});
    return remember(metric_keys_, key);
  }

  // `attributes`: the fields of that number of a point, as they stand there. nullptr: damaged.
  const Series* series(Symbol metric, std::string_view attributes, std::uint32_t field) {
    const std::string_view key = joined(key_, metric.id, attributes);
    if (const Symbol known = series_keys_.find(key); !known.empty()) return &series_[known.id - 1];
    OtlpPoint point{
        metrics_[metric.id - 1].name, resources_[metrics_[metric.id - 1].resource.id - 1], {}, 0, 1.0};
    ProtoReader in(attributes);
    while (in.next()) {
      if (in.field() == field && !read_attribute(in.bytes(), point.point)) return nullptr;
    }
    series_.push_back(series_of(point));
    remember(series_keys_, key);
    return &series_.back();
  }

  // The value of `point` must be 1.
  Series series_of(const OtlpPoint& point) {
    const auto mapped = map_point(point);
    if (!mapped.ok()) return {{}, {}, 1.0, intern(mapped.error().why)};
    return {intern(mapped->device), intern(mapped->signal), mapped->value, {}};
  }

 private:
  Symbol remember(base::SymbolTable& keys, std::string_view key) {
    bytes_ += key.size();
    return keys.intern(key);
  }
  Symbol intern(std::string_view text) {
    const std::uint32_t before = texts_.size();
    const Symbol s = texts_.intern(text);
    if (texts_.size() != before) bytes_ += text.size();
    return s;
  }

  // Symbol n of the keys is entry n - 1.
  base::SymbolTable resource_keys_, metric_keys_, series_keys_, texts_;
  std::vector<std::shared_ptr<const Attributes>> resources_;
  std::vector<Metric> metrics_;
  std::vector<Series> series_;
  std::size_t bytes_ = 0;
  std::string key_, name_;
};

// ---- columns under construction ----

class OtlpReader::Rows {
 public:
  Rows(const Memory& memory, std::string_view source) : memory_(memory), source_(source) {}

  void drop(const char* why) { ++out_.drops[why]; }
  // False: the point has no time that the store can hold.
  bool add(const Series& series, std::uint64_t t_ns, double value) {
    if (t_ns == 0 || t_ns > static_cast<std::uint64_t>(INT64_MAX)) return drop(kDropNoTime), false;
    if (!series.refused.empty()) return ++out_.drops[std::string(memory_.text(series.refused))], true;
    if (times_.size() == bus::kMaxBlockRows) flush();
    times_.push_back(static_cast<std::int64_t>(t_ns));
    values_.push_back(value * series.scale);
    device_codes_.push_back(devices_.code_of(series.device, memory_));
    signal_codes_.push_back(signals_.code_of(series.signal, memory_));
    return true;
  }
  OtlpRows take() {
    flush();
    return std::move(out_);
  }

 private:
  // The dictionary of one column of one batch.
  struct Codes {
    std::vector<std::uint32_t> of;  // by symbol
    std::vector<std::string_view> dictionary;
    std::uint32_t code_of(Symbol s, const Memory& memory) {
      if (s.id >= of.size()) of.resize(memory.texts(), bus::kNullCode);
      std::uint32_t& code = of[s.id];
      if (code == bus::kNullCode) {
        code = static_cast<std::uint32_t>(dictionary.size());
        dictionary.push_back(memory.text(s));
      }
      return code;
    }
  };

  void flush() {
    const std::size_t rows = times_.size();
    if (rows == 0) return;
    bus::Batch batch;
    batch.rows = rows;
    batch.columns.push_back(ints(std::move(times_)));
    batch.columns.push_back(texts(std::move(device_codes_), std::move(devices_.dictionary)));
    batch.columns.push_back(texts(std::move(signal_codes_), std::move(signals_.dictionary)));
    batch.columns.push_back(doubles(std::move(values_)));
    batch.columns.push_back(
        one_text(rows, energy::kQualityNames[static_cast<std::size_t>(energy::Quality::kMeasured)]));
    batch.columns.push_back(doubles(std::vector<double>(rows, energy::kAbsent)));
    batch.columns.push_back(one_text(rows, source_));
    std::vector<std::int64_t> numbers(rows);
    std::iota(numbers.begin(), numbers.end(), std::int64_t{1});
    batch.columns.push_back(ints(std::move(numbers)));
    out_.batches.push_back(std::move(batch));
    times_ = {};
    values_ = {};
    device_codes_ = signal_codes_ = {};
    devices_ = signals_ = {};
  }

  static bus::Column ints(std::vector<std::int64_t> values) {
    bus::Column c;
    c.type = bus::ColumnType::kInt64;
    c.ints = std::move(values);
    return c;
  }
  static bus::Column doubles(std::vector<double> values) {
    bus::Column c;
    c.type = bus::ColumnType::kDouble;
    c.doubles = std::move(values);
    return c;
  }
  static bus::Column texts(std::vector<std::uint32_t> codes, std::vector<std::string_view> dictionary) {
    bus::Column c;
    c.type = bus::ColumnType::kText;
    c.codes = std::move(codes);
    c.dictionary = std::move(dictionary);
    c.all_used = true;
    return c;
  }
  static bus::Column one_text(std::size_t rows, std::string_view text) {
    return texts(std::vector<std::uint32_t>(rows, 0), {text});
  }

  const Memory& memory_;
  const std::string_view source_;
  OtlpRows out_;
  std::vector<std::int64_t> times_;
  std::vector<double> values_;
  std::vector<std::uint32_t> device_codes_, signal_codes_;
  Codes devices_, signals_;
};

// ---- the message ----

class OtlpReader::Walk {
 public:
  Walk(Memory& memory, Rows& rows) : memory_(memory), rows_(rows) {}

  base::Status read(std::string_view bytes) {
    ProtoReader in(bytes);
    while (in.next()) {
      if (in.field() == 1 && in.is_bytes()) resource_metrics(in.bytes());
      if (seen_ > kMostOtlpPoints)
        return base::bad_input(kWhat, "body", "it has more than 65,536 points", "Send smaller batches");
    }
    if (in.failed() || !good_)
      return base::bad_input(kWhat, "body", "it is no ExportMetricsServiceRequest in protobuf");
    return base::ok_status();
  }

 private:
  struct Point {
    std::uint64_t time = 0, flags = 0, count = 0;
    double value = energy::kAbsent;
    bool has_value = false;
  };

  // The fields of one number as they stand there, one behind the other.
  class Stretch {
   public:
    explicit Stretch(std::string& apart) : apart_(apart) {}
    void add(std::string_view raw) {
      if (bytes_.empty()) {
        bytes_ = raw;
      } else if (!is_apart_ && bytes_.data() + bytes_.size() == raw.data()) {
        bytes_ = {bytes_.data(), bytes_.size() + raw.size()};
      } else {
        if (!is_apart_) apart_ = bytes_;
        is_apart_ = true;
        apart_.append(raw);
        bytes_ = apart_;
      }
    }
    std::string_view bytes() const { return bytes_; }

   private:
    std::string& apart_;
    std::string_view bytes_;
    bool is_apart_ = false;
  };

  // The resource may stand behind what it belongs to, so it is read first.
  void resource_metrics(std::string_view bytes) {
    Stretch described(apart_);
    ProtoReader first(bytes);
    while (first.next()) {
      if (first.field() == 1) described.add(first.raw());
    }
    resource_ = memory_.resource(described.bytes());
    good_ = good_ && !first.failed() && !resource_.empty();
    ProtoReader second(bytes);
    while (good_ && second.next()) {
      if (second.field() == 2) scope_metrics(second.bytes());
    }
  }

  void scope_metrics(std::string_view bytes) {
    ProtoReader in(bytes);
    while (good_ && seen_ <= kMostOtlpPoints && in.next()) {
      if (in.field() == 2) metric(in.bytes());
    }
    good_ = good_ && !in.failed();
  }

  void metric(std::string_view bytes) {
    std::string_view name, data;
    std::uint32_t kind = 0;
    ProtoReader in(bytes);
    while (in.next()) {
      if (in.field() == 1) name = in.bytes();
      if (in.field() < kGaugeField || in.field() > kSummaryField) continue;
      kind = in.field();
      data = in.bytes();
    }
    good_ = good_ && !in.failed();
    if (good_) points(name, kind, data);
  }

  void points(std::string_view name, std::uint32_t kind, std::string_view data) {
    if (kind == 0) return;
    const bool takes_temporality = kind == kSumField || kind == kHistogramField;
    const bool kept = !takes_temporality || temporality_of(data) == kCumulative;
    const bool histogram = kind == kHistogramField;
    const Symbol metric = memory_.metric(resource_, name, histogram ? ".count" : "");
    const Symbol sum = histogram ? memory_.metric(resource_, name, ".sum") : Symbol{};
    ProtoReader in(data);
    while (in.next()) {
      if (in.field() != 1 || !in.is_bytes()) continue;
      if (++seen_ > kMostOtlpPoints) return;
      if (kind == kExponentialField || kind == kSummaryField)
        rows_.drop(kDropKind);
      else if (!kept)
        rows_.drop(kDropDelta);
      else if (histogram)
        histogram_point(metric, sum, in.bytes());
      else
        number_point(metric, in.bytes());
    }
    good_ = good_ && !in.failed();
  }

  static std::uint64_t temporality_of(std::string_view data) {
    std::uint64_t temporality = 0;
    ProtoReader in(data);
    while (in.next()) {
      if (in.field() == 2 && in.is_varint()) temporality = in.number();
    }
    return temporality;
  }

  void number_point(Symbol metric, std::string_view bytes) {
    Point p;
    Stretch attributes(apart_);
    ProtoReader in(bytes);
    while (in.next()) {
      switch (in.field()) {
        case kNumberAttributes:
          attributes.add(in.raw());
          break;
        case 3:
          p.time = in.number();
          break;
        case 8:
          p.flags = in.number();
          break;
        case 4:
        case 6:
          if (!in.is_fixed64()) break;
          p.value = in.field() == 4 ? in.real() : static_cast<double>(static_cast<std::int64_t>(in.number()));
          p.has_value = true;
          break;
        default:
          break;
      }
    }
    const Series* series = series_of(metric, attributes.bytes(), kNumberAttributes, in);
    if (series == nullptr) return;
    if ((p.flags & kNoRecordedValue) != 0 || !p.has_value) return rows_.drop(kDropNoValue);
    rows_.add(*series, p.time, p.value);
  }

  void histogram_point(Symbol metric, Symbol sum, std::string_view bytes) {
    Point p;
    Stretch attributes(apart_);
    ProtoReader in(bytes);
    while (in.next()) {
      if (in.field() == kHistogramAttributes) attributes.add(in.raw());
      if (in.field() == 3) p.time = in.number();
      if (in.field() == 4) p.count = in.number();
      if (in.field() == 10) p.flags = in.number();
      if (in.field() != 5 || !in.is_fixed64()) continue;
      p.value = in.real();
      p.has_value = true;
    }
    const Series* counts = series_of(metric, attributes.bytes(), kHistogramAttributes, in);
    if (counts == nullptr) return;
    if ((p.flags & kNoRecordedValue) != 0) return rows_.drop(kDropNoValue);
    if (!rows_.add(*counts, p.time, static_cast<double>(p.count)) || !p.has_value) return;
    rows_.add(*series_of(sum, attributes.bytes(), kHistogramAttributes, in), p.time, p.value);
  }

  // nullptr: the point or its attributes are damaged.
  const Series* series_of(Symbol metric, std::string_view attributes, std::uint32_t field,
                          const ProtoReader& point) {
    const Series* series = point.failed() ? nullptr : memory_.series(metric, attributes, field);
    good_ = good_ && series != nullptr;
    return series;
  }

  Memory& memory_;
  Rows& rows_;
  Symbol resource_;
  std::size_t seen_ = 0;
  bool good_ = true;
  std::string apart_;
};

// ---- the reader ----

OtlpReader::OtlpReader(std::string source)
    : source_(std::move(source)), memory_(std::make_unique<Memory>()) {}
OtlpReader::~OtlpReader() = default;

void OtlpReader::make_room() {
  if (memory_->is_full()) memory_ = std::make_unique<Memory>();
}

base::Result<OtlpRows> OtlpReader::read(std::string_view bytes) {
  make_room();
  Rows rows(*memory_, source_);
  PJ_TRY(Walk(*memory_, rows).read(bytes));
  return rows.take();
}

OtlpRows OtlpReader::take(OtlpBatch batch) {
  make_room();
  Rows rows(*memory_, source_);
  for (OtlpPoint& point : batch.points) {
    const double value = std::exchange(point.value, 1.0);
    rows.add(memory_->series_of(point), static_cast<std::uint64_t>(point.t_ns), value);
  }
  OtlpRows out = rows.take();
  for (const auto& [why, n] : batch.drops) out.drops[why] += n;
  return out;
}

}  // namespace perjoule::api
