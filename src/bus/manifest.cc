#include "bus/manifest.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "bus/hash.hpp"
#include "bus/rollup.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {
namespace {

using Json = nlohmann::ordered_json;

// The envelope never changes, whatever the format version: {"xxh3_128":"<hash of body>","manifest":<body>}\n
constexpr std::string_view kHead = "{\"xxh3_128\":\"";
constexpr std::string_view kMiddle = "\",\"manifest\":";
constexpr std::string_view kTail = "}\n";
constexpr std::size_t kHashDigits = 32;
constexpr std::int64_t kAlways = TableMark{}.kept_from_ns;

Json json_of(const SegmentEntry& e) {
  Json j{{"table", e.table},
         {"file", e.file},
         {"rows", e.summary.rows},
         {"bytes", e.summary.bytes},
         {"xxh3_128", e.summary.xxh3_128}};
  if (e.summary.tail.bytes != 0) {
    j["footer_bytes"] = e.summary.tail.bytes;
    j["footer_xxh3_128"] = e.summary.tail.xxh3_128;
  }
  if (e.summary.time.known) {
    j["first_ns"] = e.summary.time.first_ns;
    j["last_ns"] = e.summary.time.last_ns;
  }
  if (e.energy_uj) j["energy_uj"] = *e.energy_uj;
  for (const auto& [rollup, step] : e.rolled_up) j["rolled_up"][rollup] = step;
  return j;
}

// The body, if the envelope is whole and its hash fits.
std::optional<std::string_view> body_of(std::string_view text) {
  const std::size_t frame = kHead.size() + kHashDigits + kMiddle.size() + kTail.size();
  if (text.size() < frame || !text.starts_with(kHead) || !text.ends_with(kTail)) return std::nullopt;
  const std::string_view hash = text.substr(kHead.size(), kHashDigits);
  if (text.substr(kHead.size() + kHashDigits, kMiddle.size()) != kMiddle) return std::nullopt;
  const std::string_view body = text.substr(frame - kTail.size(), text.size() - frame);
  if (xxh3_128_of(body) != hash) return std::nullopt;
  return body;
}

bool is_segment_name(const std::string& table, const std::string& file) {
  const std::string folder = table + "/";
  return find_table(table).has_value() && file.starts_with(folder) && file.ends_with(".parquet") &&
         file.find('/', folder.size()) == std::string::npos;
}

template <class T>
bool get(const Json& j, const char* key, T& out) {
  const auto it = j.find(key);
  if (it == j.end()) return false;
  if constexpr (std::is_same_v<T, std::string>) {
    if (!it->is_string()) return false;
  } else if constexpr (std::is_same_v<T, bool>) {
    if (!it->is_boolean()) return false;
  } else if constexpr (std::is_unsigned_v<T>) {
    if (!it->is_number_unsigned()) return false;
  } else {
    if (!it->is_number_integer()) return false;
  }
  out = it->get<T>();
  return true;
}

// Absent is fine, another kind of value is not.
bool get_optional(const Json& j, const char* key, std::optional<std::int64_t>& out) {
  std::int64_t value = 0;
  if (!j.contains(key)) return true;
  if (!get(j, key, value)) return false;
  out = value;
  return true;
}

bool is_step(std::int64_t value) {
  return value == 0 || std::find(kRollupSteps.begin(), kRollupSteps.end(), value) != kRollupSteps.end();
}

bool read_steps(const Json& j, SegmentEntry& e) {
  if (!j.is_object()) return false;
  for (const auto& [rollup, step] : j.items()) {
    if (!find_table(rollup) || find_event_table(rollup) || !step.is_number_integer()) return false;
    const auto value = step.get<std::int64_t>();
    const bool known =
        rollup == schema_of(Table::kSamplesLast).name ? value == 0 || value == 1 : is_step(value);
    if (!known) return false;
    e.rolled_up[rollup] = value;
  }
  return true;
}

bool read_segment(const Json& j, int format_version, SegmentEntry& e) {
  auto& s = e.summary;
  if (!j.is_object() || !get(j, "table", e.table) || !get(j, "file", e.file) || !get(j, "rows", s.rows) ||
      !get(j, "bytes", s.bytes) || !get(j, "xxh3_128", s.xxh3_128) || !is_segment_name(e.table, e.file)) {
    return false;
  }
  const bool has_tail =
      get(j, "footer_bytes", s.tail.bytes) && s.tail.bytes != 0 && get(j, "footer_xxh3_128", s.tail.xxh3_128);
  if (format_version >= 2 && !has_tail) return false;
  if (!has_tail) s.tail = {};
  s.time.known = get(j, "first_ns", s.time.first_ns) && get(j, "last_ns", s.time.last_ns);
  if (!get_optional(j, "energy_uj", e.energy_uj) ||
      (j.contains("rolled_up") && !read_steps(j["rolled_up"], e)))
    return false;
  // Sums are of some step.
  return find_event_table(e.table) || e.table == schema_of(Table::kSamplesLast).name ||
         e.step_in(e.table) != 0;
}

// What only an engine's store has; a store that was written at once has none of it.
Json log_json(const Manifest& m) {
  Json j{{"segment", m.log.segment},
         {"group", m.log.group},
         {"segment_bytes", m.log.bytes},
         {"tables", Json::object()},
         {"sources", Json::object()}};
  for (const auto& [name, t] : m.tables) {
    Json& mark = j["tables"][name] = Json{{"sealed_entry", t.sealed_entry}, {"parts", t.parts}};
    if (t.kept_from_ns != kAlways) mark["kept_from_ns"] = t.kept_from_ns;
  }
  for (const auto& [source, last] : m.sources) j["sources"][source] = last;
  return j;
}

bool read_log_part(const Json& j, Manifest& m) {
  const auto tables = j.find("tables"), sources = j.find("sources");
  if (!get(j, "segment", m.log.segment) || !get(j, "group", m.log.group)) return false;
  if (j.contains("segment_bytes") && !get(j, "segment_bytes", m.log.bytes)) return false;
  if (m.log.segment == 0 || tables == j.end() || !tables->is_object()) return false;
  for (const auto& [name, t] : tables->items()) {
    TableMark& mark = m.tables[name];
    if (!find_table(name) || !get(t, "sealed_entry", mark.sealed_entry) || !get(t, "parts", mark.parts) ||
        (t.contains("kept_from_ns") && !get(t, "kept_from_ns", mark.kept_from_ns)))
      return false;
  }
  if (sources == j.end() || !sources->is_object()) return false;
  for (const auto& [source, last] : sources->items()) {
    if (!last.is_number_unsigned()) return false;
    m.sources[source] = last.get<std::uint64_t>();
  }
  return true;
}

Json dropped_json(const Manifest& m) {
  Json j = Json::array();
  for (const auto& d : m.dropped) {
    Json& one = j.emplace_back(Json{{"table", d.table},
                                    {"files", d.files},
                                    {"rows", d.rows},
                                    {"first_ns", d.first_ns},
                                    {"last_ns", d.last_ns}});
    if (d.energy_uj) one["energy_uj"] = *d.energy_uj;
    if (!d.rolled_up.empty()) one["rolled_up"] = d.rolled_up;
  }
  return j;
}

bool read_names(const Json& j, std::set<std::string>& out) {
  if (!j.is_array()) return false;
  for (const auto& name : j) {
    if (!name.is_string()) return false;
    out.insert(name.get<std::string>());
  }
  return true;
}

bool read_dropped(const Json& j, Manifest& m) {
  if (!j.is_array()) return false;
  return std::all_of(j.begin(), j.end(), [&](const Json& one) {
    DroppedRows& d = m.dropped.emplace_back();
    return one.is_object() && get(one, "table", d.table) && find_table(d.table) &&
           get(one, "files", d.files) && get(one, "rows", d.rows) && get(one, "first_ns", d.first_ns) &&
           get(one, "last_ns", d.last_ns) && get_optional(one, "energy_uj", d.energy_uj) &&
           (!one.contains("rolled_up") || read_names(one["rolled_up"], d.rolled_up));
  });
}

bool read_body(const Json& j, Manifest& m) {
  const auto meta = j.find("meta"), segments = j.find("segments");
  if (!get(j, "complete", m.complete) || meta == j.end() || !meta->is_object()) return false;
  for (const auto& [key, value] : meta->items()) {
    if (!value.is_string()) return false;
    m.meta[key] = value.get<std::string>();
  }
  if (segments == j.end() || !segments->is_array()) return false;
  for (const auto& s : *segments) {
    if (!read_segment(s, m.format_version, m.segments.emplace_back())) return false;
  }
  const auto dropped = j.find("dropped");
  if (dropped != j.end() && !read_dropped(*dropped, m)) return false;
  const auto log = j.find("log");
  return log == j.end() || (log->is_object() && read_log_part(*log, m));
}

}  // namespace

std::vector<std::string> forget_rollup(Manifest& manifest, const std::string& rollup) {
  std::vector<std::string> files;
  if (!find_table(rollup) || find_event_table(rollup)) return files;
  std::erase_if(manifest.segments, [&](const auto& e) {
    if (e.table == rollup) files.push_back(e.file);
    return e.table == rollup;
  });
  for (auto& e : manifest.segments) {
    // A segment without any mark is read again; where others have its rows, this one does without.
    if (e.rolled_up.erase(rollup) != 0 && !e.rolled_up.empty()) e.rolled_up[rollup] = 0;
  }
  for (auto& d : manifest.dropped) d.rolled_up.erase(rollup);
  return files;
}

std::vector<std::string> forget_rollups(Manifest& manifest) {
  std::vector<std::string> files;
  for (const auto& table : all_table_names()) {
    const auto gone = forget_rollup(manifest, table);
    files.insert(files.end(), gone.begin(), gone.end());
  }
  for (auto& e : manifest.segments) e.rolled_up.clear();
  return files;
}

void sort_segments(Manifest& manifest) {
  const auto key = [](const SegmentEntry& e) { return std::pair(find_table(e.table), e.file); };
  std::sort(manifest.segments.begin(), manifest.segments.end(),
            [&](const auto& a, const auto& b) { return key(a) < key(b); });
}

std::string to_json(const Manifest& manifest) {
  Json j{
      {"format_version", manifest.format_version}, {"complete", manifest.complete}, {"meta", Json::object()}};
  for (const auto& [key, value] : manifest.meta) j["meta"][key] = value;
  j["segments"] = Json::array();
  for (const auto& e : manifest.segments) j["segments"].push_back(json_of(e));
  if (!manifest.dropped.empty()) j["dropped"] = dropped_json(manifest);
  if (!manifest.tables.empty()) j["log"] = log_json(manifest);
  // Invalid UTF-8 in a meta value is replaced, not a reason to lose a store.
  const std::string body = j.dump(1, ' ', false, Json::error_handler_t::replace);
  std::string out(kHead);
  return out.append(xxh3_128_of(body)).append(kMiddle).append(body).append(kTail);
}

base::Result<Manifest> parse_manifest(std::string_view text, const std::string& path) {
  const auto damaged = [&](std::string why) {
    return base::corrupt(
        "read a store's manifest", path, std::move(why),
        "The segments beside it may be whole; restore the manifest from a copy of the store");
  };
  const auto body = body_of(text);
  if (!body.has_value()) return damaged("its own hash does not fit: damaged or edited");
  const Json j = Json::parse(*body, nullptr, false);
  Manifest m;
  if (!j.is_object() || !get(j, "format_version", m.format_version))
    return damaged("it states no format version");
  if (m.format_version > kFormatVersion) {
    return base::bad_input("open a store", path,
                           "its format " + std::to_string(m.format_version) +
                               " is newer than this perjoule's " + std::to_string(kFormatVersion),
                           "Upgrade perjoule");
  }
  if (!read_body(j, m)) return damaged("a field is missing or of a wrong kind");
  return m;
}

}  // namespace perjoule::bus
