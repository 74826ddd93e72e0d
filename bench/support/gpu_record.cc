#include "bench/support/gpu_record.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <string_view>
#include <utility>

namespace perjoule::bench {
namespace {

// gzopen reads plain files too.
base::Result<std::string> read_all(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr)
    return base::missing("cannot read the record", path, "the file does not open",
                         "check the data directory");
  std::string text;
  std::array<char, 1 << 16> buffer{};
  int got = 0;
  while ((got = gzread(file, buffer.data(), buffer.size())) > 0)
    text.append(buffer.data(), static_cast<std::size_t>(got));
  gzclose(file);
  if (got < 0) return base::corrupt("cannot read the record", path, "the compressed data is damaged");
  return text;
}

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (!text.empty()) {
    const auto at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) break;
    text.remove_prefix(at + 1);
  }
  return parts;
}

std::string_view trimmed(std::string_view s) {
  while (!s.empty() && (s.front() == ' ' || s.front() == '\r')) s.remove_prefix(1);
  while (!s.empty() && (s.back() == ' ' || s.back() == '\r')) s.remove_suffix(1);
  return s;
}

template <class Number>
bool parse(std::string_view text, Number& out) {
  text = trimmed(text);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size();
}

base::Error bad_line(const std::string& path, std::size_t line, std::string why) {
  return base::bad_input("cannot read the record", path + ":" + std::to_string(line), std::move(why));
}

base::Result<GpuPoll> parse_poll(const std::vector<std::string_view>& cells, base::Duration zone) {
  if (cells.size() != 7) return base::bad_input("cannot read a poll", "", "not 7 columns");
  std::string stamp(trimmed(cells[0]));
  std::replace(stamp.begin(), stamp.end(), '/', '-');
  PJ_ASSIGN(const base::TimePoint local, base::parse_iso8601(stamp));
  double power = 0.0;
  double instant = 0.0;
  if (!parse(cells[5], power) || !parse(cells[6], instant))
    return base::bad_input("cannot read a poll", "", "power is not a number");
  return GpuPoll{local - zone, base::Watts(power), base::Watts(instant)};
}

std::string first_existing(const std::string& stem) {
  return std::filesystem::exists(stem + ".gz") ? stem + ".gz" : stem;
}

}  // namespace

base::Result<std::vector<GpuPoll>> read_gpu_polls(const std::string& path, base::Duration zone) {
  PJ_ASSIGN(const std::string text, read_all(path));
  const auto lines = split(text, '\n');
  std::vector<GpuPoll> polls;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (trimmed(lines[i]).empty()) continue;
    auto poll = parse_poll(split(lines[i], ','), zone);
    if (!poll.ok()) return bad_line(path, i + 1, poll.error().why);
    polls.push_back(*poll);
  }
  return polls;
}

base::Result<std::vector<base::TimePoint>> read_marks(const std::string& path) {
  PJ_ASSIGN(const std::string text, read_all(path));
  const auto lines = split(text, '\n');
  std::vector<base::TimePoint> marks;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    if (trimmed(lines[i]).empty()) continue;
    std::int64_t us = 0;
    if (!parse(lines[i], us)) return bad_line(path, i + 1, "not a whole number of microseconds");
    const base::TimePoint t{us * base::kNsPerUs};
    if (marks.empty() || marks.back() != t) marks.push_back(t);
  }
  return marks;
}

namespace {

constexpr std::size_t kRecordBytes = 18;
constexpr double kStampsPerNs = 2933.5e-6;
constexpr double kVoltsPerCount = 0.007568;
constexpr double kAmperesPerCount = 0.0488;
constexpr base::Duration kLead =
    base::milliseconds(50);  // the first record is this long before the stated start

std::uint16_t word(const std::string& bytes, std::size_t at) {
  return static_cast<std::uint16_t>(static_cast<unsigned char>(bytes[at]) |
                                    static_cast<unsigned char>(bytes[at + 1]) << 8);
}

double record_watts(const std::string& bytes, std::size_t record) {
  double watts = 0.0;
  for (std::size_t input = 0; input < 4; ++input) {
    const std::size_t at = record + 2 + 4 * input;
    const int volts = word(bytes, at) >> 4;
    const int raw = word(bytes, at + 2) >> 4;
    // Readings just below zero wrap to the top of the 12 bits; no connector of this meter reaches 175 A.
    const int amperes = raw >= 3584 ? raw - 4096 : raw;
    watts += volts * kVoltsPerCount * amperes * kAmperesPerCount;
  }
  return watts;
}

base::Result<base::TimePoint> meter_start(const std::string& path) {
  PJ_ASSIGN(const std::string text, read_all(path));
  std::int64_t us = 0;
  const auto lines = split(text, '\n');
  if (lines.empty() || !parse(lines[0], us)) return bad_line(path, 1, "not a whole number of microseconds");
  return base::TimePoint{us * base::kNsPerUs} - kLead;
}

}  // namespace

base::Result<MeterTrace> read_meter(const std::string& path, const std::string& start_path) {
  PJ_ASSIGN(const base::TimePoint start, meter_start(start_path));
  PJ_ASSIGN(const std::string bytes, read_all(path));
  if (bytes.size() < 2 * kRecordBytes || bytes.size() % kRecordBytes != 0) {
    return base::corrupt("cannot read the meter", path, "the size is not a whole number of 18-byte records");
  }
  MeterTrace trace;
  std::int64_t stamps = 0;
  double joules = 0.0;
  double watts_before = 0.0;
  for (std::size_t at = 0; at < bytes.size(); at += kRecordBytes) {
    if (at > 0) stamps += static_cast<std::uint16_t>(word(bytes, at) - word(bytes, at - kRecordBytes));
    const auto t = start + base::Duration{std::llround(static_cast<double>(stamps) / kStampsPerNs)};
    if (at > 0) joules += watts_before * base::to_seconds(t - trace.at.back()).value();
    watts_before = record_watts(bytes, at);
    trace.at.push_back(t);
    trace.energy.push_back(base::to_microjoules(base::Joules(joules)));
  }
  return trace;
}

base::Microjoules MeterTrace::energy_at(base::TimePoint t) const {
  constexpr std::size_t kEdge = 240;  // samples, 50 ms
  const std::size_t last = at.size() - 1;
  std::size_t hi = static_cast<std::size_t>(std::upper_bound(at.begin(), at.end(), t) - at.begin());
  std::size_t lo = hi == 0 ? 0 : hi - 1;
  if (hi == 0) hi = std::min(kEdge, last);
  if (hi > last) lo = last - std::min(kEdge, last), hi = last;
  const double slope =
      static_cast<double>((energy[hi] - energy[lo]).value()) / static_cast<double>((at[hi] - at[lo]).ns);
  return energy[lo] + base::Microjoules(std::llround(slope * static_cast<double>((t - at[lo]).ns)));
}

base::Watts MeterTrace::mean(base::TimePoint a, base::TimePoint b) const {
  return base::to_joules(energy_at(b) - energy_at(a)) / base::to_seconds(b - a);
}

base::Result<GpuRecord> read_gpu_record(const std::string& directory, const std::string& name) {
  const std::string stem = directory + "/gpupb_" + name + "_";
  GpuRecord record;
  PJ_ASSIGN(record.polls, read_gpu_polls(first_existing(stem + "gpudata.csv"), base::seconds(3600)));
  PJ_ASSIGN(record.marks, read_marks(first_existing(stem + "timestamps.csv")));
  PJ_ASSIGN(record.meter, read_meter(first_existing(stem + "PMD_data.bin"), stem + "PMD_start_ts.txt"));
  return record;
}

}  // namespace perjoule::bench
