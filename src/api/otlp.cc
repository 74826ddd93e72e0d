#include "api/otlp.hpp"

#include <array>

#include "api/proto_reader.hpp"
#include "base/text.hpp"
#include "bus/block.hpp"

namespace perjoule::api {
namespace {

constexpr const char* kWhat = "read OTLP metrics";
constexpr std::size_t kMostAttributes = 128;

// A scalar AnyValue as text; lists and structures are left out.
std::string any_value(std::string_view bytes, bool& good) {
  ProtoReader in(bytes);
  std::string out;
  while (in.next()) {
    if (in.field() == 1) out = std::string(in.bytes());
    if (in.field() == 2) out = in.number() != 0 ? "true" : "false";
    if (in.field() == 3) out = std::to_string(static_cast<std::int64_t>(in.number()));
    if (in.field() == 4) out = base::shortest_text(in.real());
  }
  good = good && !in.failed();
  return out;
}

void put_varint(std::string& out, std::uint64_t v) {
  for (; v >= 0x80; v >>= 7) out += static_cast<char>((v & 0x7F) | 0x80);
  out += static_cast<char>(v);
}
void put_bytes(std::string& out, std::uint32_t field, std::string_view bytes) {
  put_varint(out, field << 3 | 2);
  put_varint(out, bytes.size());
  out += bytes;
}

// What says which device it is, or only describes it; everything else tells two points of one device apart.
constexpr std::array<std::string_view, 14> kDescriptions{"hw.id",
                                                         "hw.name",
                                                         "hw.type",
                                                         "hw.parent",
                                                         "hw.model",
                                                         "hw.vendor",
                                                         "hw.serial_number",
                                                         "host.id",
                                                         "host.name",
                                                         "hw.driver_version",
                                                         "hw.firmware_version",
                                                         "hw.bios_version",
                                                         "hw.sensor_location",
                                                         "hw.logical_disk.raid_level"};

bool is_description(std::string_view key) {
  for (const auto& known : kDescriptions) {
    if (known == key) return true;
  }
  return false;
}

std::string first_of(const Attributes& attributes, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    if (const auto found = attributes.find(name); found != attributes.end()) return found->second;
  }
  return {};
}

// "host/part": a hw.id is unique within its host only.
std::string device_of(const OtlpPoint& p) {
  std::string host = first_of(p.point, {"host.id", "host.name"});
  if (host.empty()) host = first_of(*p.resource, {"host.id", "host.name", "k8s.node.name"});
  std::string part = first_of(p.point, {"hw.id", "hw.name"});
  if (part.empty()) part = first_of(*p.resource, {"hw.id", "hw.name"});
  if (host.empty() && part.empty()) return first_of(*p.resource, {"service.instance.id", "service.name"});
  return host.empty() || part.empty() ? host + part : host + "/" + part;
}

const OtlpMapping* mapping_of(const OtlpPoint& p) {
  for (const OtlpMapping& m : otlp_mappings()) {
    if (m.metric != p.metric) continue;
    if (m.attribute.empty()) return &m;
    if (first_of(p.point, {m.attribute}) == m.value || first_of(*p.resource, {m.attribute}) == m.value)
      return &m;
  }
  return nullptr;
}

}  // namespace

// Units: ours are the catalogue's (J, W, Cel, Hz, By, %); the conventions give utilisation as a fraction.
std::span<const OtlpMapping> otlp_mappings() {
  static constexpr std::array kTable = std::to_array<OtlpMapping>({
      {"hw.energy", "hw.type", "gpu", "gpu.energy"},
      {"hw.energy", "hw.type", "cpu", "cpu.pkg.energy"},
      {"hw.energy", "hw.type", "memory", "dram.energy"},
      {"hw.power", "hw.type", "gpu", "gpu.power.avg"},
      {"hw.power", "hw.type", "power_supply", "psu.in"},
      {"hw.host.energy", "", "", "psys.energy"},
      {"hw.host.power", "", "", "node.power"},
      {"hw.host.ambient_temperature", "", "", "inlet.temp"},
      {"hw.temperature", "hw.type", "gpu", "gpu.temp"},
      {"hw.temperature", "hw.type", "cpu", "core.temp"},
      {"hw.temperature", "hw.type", "memory", "dimm.temp"},
      {"hw.temperature", "hw.type", "network", "nic.temp"},
      {"hw.temperature", "hw.type", "physical_disk", "disk.temp"},
      {"hw.gpu.utilization", "", "", "gpu.util", 100.0},
      {"hw.gpu.memory.usage", "", "", "gpu.fb.used"},
      {"hw.gpu.io", "network.io.direction", "transmit", "gpu.pcie.tx"},
      {"hw.gpu.io", "network.io.direction", "receive", "gpu.pcie.rx"},
      {"hw.cpu.speed", "", "", "cpu.freq"},
      {"hw.fan.speed", "", "", "fan.speed"},
      {"hw.power_supply.usage", "", "", "psu.in"},
  });
  return kTable;
}

std::uint64_t count_of(const Drops& drops) {
  std::uint64_t n = 0;
  for (const auto& [why, points] : drops) n += points;
  return n;
}

std::string text_of(const Drops& drops) {
  std::string out;
  for (const auto& [why, n] : drops)
    out += (out.empty() ? "" : "; ") + std::to_string(n) + (n == 1 ? " point: " : " points: ") + why;
  return out;
}

bool read_attribute(std::string_view bytes, Attributes& out) {
  ProtoReader in(bytes);
  std::string_view key, value;
  while (in.next()) {
    if (in.field() == 1) key = in.bytes();
    if (in.field() == 2) value = in.bytes();
  }
  bool good = !in.failed();
  std::string text = any_value(value, good);
  if (!key.empty() && !text.empty() && key.size() + text.size() <= bus::kMaxTextBytes &&
      out.size() < kMostAttributes)
    out.insert_or_assign(std::string(key), std::move(text));
  return good;
}

base::Result<MappedPoint> map_point(const OtlpPoint& p) {
  MappedPoint out{device_of(p), p.metric, p.value};
  const auto refused = [&](std::string why) { return base::bad_input(kWhat, p.metric, std::move(why)); };
  if (p.metric.empty()) return refused("the metric has no name");
  if (out.device.empty())
    return refused("neither host.id, host.name, hw.id, hw.name nor service.name says which device it is");
  const OtlpMapping* mapping = mapping_of(p);
  if (mapping != nullptr) {
    out.signal = mapping->signal;
    out.value *= mapping->scale;
  }
  std::string labels;
  for (const auto& [key, value] : p.point) {
    if (is_description(key) || (mapping != nullptr && key == mapping->attribute)) continue;
    labels += (labels.empty() ? "" : ",") + key + "=" + value;
  }
  if (!labels.empty()) out.signal += "{" + labels + "}";
  if (out.signal.size() > bus::kMaxTextBytes || out.device.size() > bus::kMaxTextBytes)
    return refused("its name with its attributes is longer than 1,024 bytes");
  return out;
}

std::string otlp_response(const Drops& drops) {
  if (drops.empty()) return {};
  std::string partial, out;
  put_varint(partial, 1 << 3);
  put_varint(partial, count_of(drops));
  put_bytes(partial, 2, text_of(drops));
  put_bytes(out, 1, partial);
  return out;
}

}  // namespace perjoule::api
