// Long because one reader knows every section of a scenario and each mistake in it.
#include "compose/scenario.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <unordered_set>

#include "backends/grid/carbon_readers.hpp"
#include "backends/intake/toml_include.hpp"
#include "backends/replay/job_trace.hpp"
#include "base/rng.hpp"
#include "base/text.hpp"
#include "plant/llm_model_facts.hpp"
#include "plant/training.hpp"

namespace perjoule::compose {
namespace {

namespace grid = backends::grid;
namespace replay = backends::replay;
using base::Error;
using base::Result;
using base::Status;
using Names = std::vector<std::string>;

constexpr const char* kWhat = "read a scenario";
constexpr std::size_t kLongestText = 16U << 20;
constexpr std::size_t kLongestName = 64;
constexpr std::int64_t kMostNodes = 100'000;  // and racks
constexpr std::int64_t kMostGpusPerNode = 16;
constexpr std::int64_t kMostJobs = 5'000'000;
constexpr std::int64_t kMostRepeats = 10'000;
constexpr double kMostHours = 8784.0;  // a leap year
constexpr double kLargest = 1e9;
constexpr std::int64_t kTenants = 4;
constexpr double kMostJoules = 9.2e12;
// Site over server draw: losses, switches and cooling together stay below.
constexpr double kMostOverheadFactor = 2.0;

struct Range {
  double low = 0.0;
  double high = kLargest;
  bool above_low = false;  // low itself is refused
};

std::string range_text(const Range& r) {
  return (r.above_low ? "above " : "from ") + base::shortest_text(r.low) +
         (r.above_low ? ", at most " : " to ") + base::shortest_text(r.high);
}

// Typed access to one TOML document; every error carries file:line:column.
class Document {
 public:
  explicit Document(std::string name) : name_(std::move(name)) {}

  Result<toml::table> parse(std::string_view text) const {
    if (text.size() > kLongestText)
      return base::bad_input(kWhat, name_ + ":1:1", "the file is larger than 16 MiB");
    if (const std::size_t line = base::line_with_deep_key(text); line != 0)
      return base::bad_input(kWhat, name_ + ":" + std::to_string(line) + ":1", base::kDeepKey);
    toml::parse_result parsed = toml::parse(text, name_);
    if (parsed) return std::move(parsed).table();
    return base::bad_input(kWhat, place(parsed.error().source()), std::string(parsed.error().description()),
                           "See docs/formats/scenario.md");
  }

  std::string place(const toml::source_region& at) const {
    return name_ + ":" + std::to_string(std::max(1U, at.begin.line)) + ":" +
           std::to_string(std::max(1U, at.begin.column));
  }
  Error fault(const toml::node& node, std::string why, std::string hint = {}) const {
    return base::bad_input(kWhat, place(node.source()), std::move(why), std::move(hint));
  }
  // At the value of `key`, or at the section when the key is not there.
  Error fault_at(const toml::table& table, std::string_view key, std::string why,
                 std::string hint = {}) const {
    const toml::node* node = table.get(key);
    return fault(node != nullptr ? *node : table, std::move(why), std::move(hint));
  }

  Status known_keys(const toml::table& table, const Names& names) const {
    for (const auto& [key, node] : table) {
      const std::string text(key.str());
      if (std::find(names.begin(), names.end(), text) != names.end()) continue;
      return base::bad_input(kWhat, place(key.source()), "unknown key '" + text + "'",
                             base::nearest_name_hint(text, names));
    }
    return base::ok_status();
  }

  Result<std::optional<std::string>> text(const toml::table& table, std::string_view key) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return std::optional<std::string>{};
    if (!node->is_string()) return fault(*node, "'" + std::string(key) + "' must be text in quotes");
    return std::optional(node->as_string()->get());
  }
  Result<std::string> needed_text(const toml::table& table, std::string_view key, std::string hint) const {
    PJ_ASSIGN(auto value, text(table, key));
    if (!value || value->empty())
      return fault_at(table, key, "'" + std::string(key) + "' is missing", std::move(hint));
    return *value;
  }

  // A name that may stand in paths of devices and in tables: letters, digits, '.', '_' and '-'.
  Status check_name(const toml::node& node, std::string_view name) const {
    const auto good = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
             c == '_' || c == '-';
    };
    if (!name.empty() && name.size() <= kLongestName && std::all_of(name.begin(), name.end(), good)) {
      return base::ok_status();
    }
    return fault(node, "'" + std::string(name.substr(0, kLongestName)) + "' is no name",
                 "Use up to 64 letters, digits, '.', '_' and '-'");
  }
  Result<std::string> name(const toml::table& table, std::string_view key) const {
    PJ_ASSIGN(auto value, needed_text(table, key, "Add " + std::string(key) + " = \"...\""));
    PJ_TRY(check_name(*table.get(key), value));
    return value;
  }
  Result<std::string> name_or(const toml::table& table, std::string_view key, std::string fallback) const {
    if (!table.contains(key)) return fallback;
    return name(table, key);
  }

  Result<double> number(const toml::node& node, std::string_view key, const Range& range) const {
    const auto value = node.value<double>();
    if (!node.is_number() || !value) return fault(node, "'" + std::string(key) + "' must be a number");
    const bool low_good = range.above_low ? *value > range.low : *value >= range.low;
    if (!std::isfinite(*value) || !low_good || *value > range.high) {
      const std::string shown = std::isnan(*value) ? "nan" : base::shortest_text(*value);
      return fault(node, "'" + std::string(key) + "' is " + shown, "It must be " + range_text(range));
    }
    return *value;
  }
  Result<double> number_or(const toml::table& table, std::string_view key, double fallback,
                           const Range& range) const {
    const toml::node* node = table.get(key);
    return node == nullptr ? Result<double>(fallback) : number(*node, key, range);
  }

  Result<std::int64_t> integer(const toml::node& node, std::string_view key, std::int64_t low,
                               std::int64_t high) const {
    if (!node.is_integer()) return fault(node, "'" + std::string(key) + "' must be a whole number");
    const std::int64_t value = node.as_integer()->get();
    if (value >= low && value <= high) return value;
    return fault(node, "'" + std::string(key) + "' is " + std::to_string(value),
                 "It must be from " + std::to_string(low) + " to " + std::to_string(high));
  }
  Result<std::int64_t> integer_or(const toml::table& table, std::string_view key, std::int64_t fallback,
                                  std::int64_t low, std::int64_t high) const {
    const toml::node* node = table.get(key);
    return node == nullptr ? Result<std::int64_t>(fallback) : integer(*node, key, low, high);
  }

  Result<bool> flag_or(const toml::table& table, std::string_view key, bool fallback) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return fallback;
    if (!node->is_boolean()) return fault(*node, "'" + std::string(key) + "' must be true or false");
    return node->as_boolean()->get();
  }

  // The range is in seconds.
  Result<base::Duration> duration(const toml::table& table, std::string_view key,
                                  const Range& seconds) const {
    PJ_ASSIGN(const auto value, needed_text(table, key, "Write it as \"30s\", \"5m\", \"24h\" or \"3d\""));
    const auto parsed = base::parse_duration(value);
    if (!parsed.ok())
      return fault_at(table, key, "'" + value + "': " + parsed.error().why, parsed.error().hint);
    const double s = static_cast<double>(parsed->ns) / 1e9;  // exact for whole seconds
    if (s < seconds.low || (seconds.above_low && parsed->ns <= 0) || s > seconds.high) {
      return fault_at(table, key, "'" + std::string(key) + "' is " + value,
                      "It must be " + range_text(seconds) + " seconds");
    }
    return *parsed;
  }

  Result<const toml::table*> section(const toml::table& table, std::string_view key) const {
    const toml::node* node = table.get(key);
    if (node == nullptr) return static_cast<const toml::table*>(nullptr);
    if (!node->is_table()) return fault(*node, "must be a section: [" + std::string(key) + "]");
    return node->as_table();
  }
  // [[key]] sections, or `key = [{...}, ...]`.
  Result<std::vector<const toml::table*>> sections(const toml::table& table, std::string_view key) const {
    std::vector<const toml::table*> out;
    const toml::node* node = table.get(key);
    if (node == nullptr) return out;
    if (!node->is_array()) return fault(*node, "must be [[" + std::string(key) + "]] sections");
    for (const toml::node& item : *node->as_array()) {
      if (!item.is_table()) return fault(item, "must be [[" + std::string(key) + "]] sections");
      out.push_back(item.as_table());
    }
    return out;
  }
  Result<std::vector<const toml::node*>> items(const toml::table& table, std::string_view key) const {
    std::vector<const toml::node*> out;
    const toml::node* node = table.get(key);
    if (node == nullptr) return out;
    if (!node->is_array()) return fault(*node, "'" + std::string(key) + "' must be a list: [...]");
    for (const toml::node& item : *node->as_array()) out.push_back(&item);
    return out;
  }

 private:
  std::string name_;
};

// "name", or NAME-01, NAME-02 ... when a section stands for several.
Names numbered(const std::string& name, std::optional<std::int64_t> count) {
  if (!count) return {name};
  const std::size_t width = std::max<std::size_t>(2, std::to_string(*count).size());
  Names out;
  for (std::int64_t i = 1; i <= *count; ++i) {
    const std::string digits = std::to_string(i);
    out.push_back(name + "-" + std::string(width - digits.size(), '0') + digits);
  }
  return out;
}

bool matches(std::string_view pattern, std::string_view name) {
  if (pattern.ends_with('*')) return name.starts_with(pattern.substr(0, pattern.size() - 1));
  return name == pattern;
}

// The models' names as the user wrote: with the hub's prefix or without.
Names like(std::string_view model) {
  Names out;
  for (const plant::ModelFacts& facts : plant::all_model_facts()) {
    const bool whole = model.find('/') != std::string_view::npos;
    out.emplace_back(whole ? facts.name : facts.name.substr(facts.name.find('/') + 1));
  }
  return out;
}

// From 1970 on; earlier instants of 1969 count as 1970.
int year_of(base::TimePoint t) { return base::civil_from_days(t.ns / base::kNsPerDay).year; }

class ScenarioReader {
 public:
  ScenarioReader(base::Env& env, const std::string& name, std::string base_directory)
      : env_(env), doc_(name), base_(std::move(base_directory)) {}

  Result<Scenario> read(const std::string& text, const ScenarioChanges& changes) {
    PJ_ASSIGN(const toml::table top, doc_.parse(text));
    PJ_TRY(doc_.known_keys(
        top, {"name", "start", "hours", "length", "window", "seed", "kernel_sample", "traced_requests",
              "perfect_meters", "site", "feed", "rack", "node", "service", "requests", "jobs"}));
    out_.text = text;
    PJ_TRY(read_top(top));
    PJ_TRY(change(changes));
    PJ_TRY(read_feeds(top));
    PJ_TRY(read_racks(top));
    PJ_TRY(check_feeds(top));
    PJ_TRY(read_nodes(top));
    PJ_TRY(read_services(top));
    PJ_TRY(read_requests(top));
    PJ_TRY(read_jobs(top));
    PJ_TRY(read_site(top));
    PJ_TRY(check_energy(top));
    return std::move(out_);
  }

 private:
  base::TimePoint end() const { return out_.hall.start + out_.length; }

  // A site's counter is a 64-bit number of microjoules.
  Status check_energy(const toml::table& top) const {
    double watts = 0.0;
    for (const plant::NodeSpec& node : out_.hall.nodes) {
      watts += plant::GpuServerParams::h200(node.gpus).supply_rated.value() * kMostOverheadFactor;
    }
    const double joules = watts * base::to_seconds(out_.length).value();
    if (joules < kMostJoules) return base::ok_status();
    return doc_.fault_at(top, top.contains("length") ? "length" : "hours",
                         "this hall may use " + base::si_text(joules, "J") +
                             " in so long a run, more than a 64-bit counter of microjoules holds (9.2 TJ)",
                         "Make the run shorter or the hall smaller: at most " +
                             base::shortest_text(std::floor(kMostJoules / watts / 3600.0)) +
                             " hours of this hall");
  }

  Status read_top(const toml::table& top) {
    PJ_ASSIGN(out_.name, doc_.name(top, "name"));
    PJ_TRY(read_start(top));
    PJ_TRY(read_length(top));
    PJ_ASSIGN(const auto seed, doc_.integer_or(top, "seed", 1, 0, INT64_MAX));
    out_.hall.seed = static_cast<std::uint64_t>(seed);
    PJ_ASSIGN(out_.kernel_sample, doc_.number_or(top, "kernel_sample", 0.01, {0.0, 1.0, false}));
    PJ_ASSIGN(out_.hall.perfect_meters, doc_.flag_or(top, "perfect_meters", false));
    PJ_ASSIGN(const auto traced, doc_.items(top, "traced_requests"));
    for (const toml::node* node : traced) {
      PJ_ASSIGN(const auto id, doc_.integer(*node, "traced_requests", 1, INT64_MAX));
      out_.traced_requests.push_back(static_cast<std::uint64_t>(id));
    }
    return base::ok_status();
  }

  Status change(const ScenarioChanges& changes) {
    if (changes.seed) out_.hall.seed = *changes.seed;
    if (!changes.hours) return base::ok_status();
    const double seconds = *changes.hours * 3600.0;
    const bool sane = seconds > 0.0 && seconds <= kMostHours * 3600.0;
    // Whole nanoseconds: 900 s / 30 s in floating point is not always 30.
    const std::int64_t windows =
        sane ? base::to_duration(base::Seconds(seconds)).ns / out_.hall.window.ns : 0;
    if (windows == 0) {
      return base::bad_input(
          "read the length of the run", "--hours",
          base::shortest_text(*changes.hours) + " is below one settlement window or above 8784",
          "Try --hours 1");
    }
    out_.length = out_.hall.window * windows;
    return base::ok_status();
  }

  Status read_start(const toml::table& top) {
    PJ_ASSIGN(const auto text, doc_.needed_text(top, "start", "Add start = \"2026-05-01T00:00:00Z\""));
    const auto start = base::parse_iso8601(text);
    if (!start.ok())
      return doc_.fault_at(top, "start", "'" + text + "': " + start.error().why, start.error().hint);
    const int year = year_of(*start);
    if (start->ns % base::kNsPerSecond != 0 || year < 1971 || year > 2190) {
      return doc_.fault_at(top, "start", "'" + text + "' is out of range",
                           "Give a whole second in the years 1971 to 2190");
    }
    out_.hall.start = *start;
    return base::ok_status();
  }

  Status read_length(const toml::table& top) {
    if (top.contains("hours") == top.contains("length")) {
      return doc_.fault_at(top, "hours", "give either 'hours' or 'length'",
                           "Add hours = 24, or length = \"24h\"");
    }
    if (top.contains("length")) {
      PJ_ASSIGN(out_.length, doc_.duration(top, "length", {0.0, kMostHours * 3600.0, true}));
    } else {
      PJ_ASSIGN(const double hours, doc_.number(*top.get("hours"), "hours", {0.0, kMostHours, true}));
      out_.length = base::to_duration(base::Seconds(hours * 3600.0));
    }
    if (top.contains("window")) {
      PJ_ASSIGN(out_.hall.window, doc_.duration(top, "window", {1.0, 3600.0, false}));
    }
    if (out_.length.ns > 0 && out_.length.ns % out_.hall.window.ns == 0) return base::ok_status();
    return doc_.fault_at(top, top.contains("length") ? "length" : "hours",
                         "the length is not a whole number of windows of " +
                             base::shortest_text(base::to_seconds(out_.hall.window).value()) + " s",
                         "Change 'window' or the length");
  }

  Status take(const toml::table& table, std::string_view what, std::unordered_set<std::string>& taken,
              const std::string& name) {
    if (taken.insert(name).second) return base::ok_status();
    return doc_.fault_at(table, "name", std::string(what) + " '" + name + "' is there twice",
                         "Give it another name");
  }

  Result<Names> counted_names(const toml::table& table) const {
    PJ_ASSIGN(const auto name, doc_.name(table, "name"));
    if (!table.contains("count")) return Names{name};
    PJ_ASSIGN(const auto count, doc_.integer(*table.get("count"), "count", 1, kMostNodes));
    return numbered(name, count);
  }

  Status read_feeds(const toml::table& top) {
    PJ_ASSIGN(const auto feeds, doc_.sections(top, "feed"));
    std::unordered_set<std::string> taken;
    for (const toml::table* table : feeds) {
      PJ_TRY(doc_.known_keys(*table, {"name"}));
      PJ_ASSIGN(const auto name, doc_.name(*table, "name"));
      PJ_TRY(take(*table, "feed", taken, name));
      out_.hall.feeds.push_back(name);
    }
    if (out_.hall.feeds.empty())
      return doc_.fault(top, "there is no feed", "Add [[feed]] with name = \"feed-a\"");
    return base::ok_status();
  }

  Status check_feeds(const toml::table& top) const {
    PJ_ASSIGN(const auto feeds, doc_.sections(top, "feed"));
    for (std::size_t f = 0; f < feeds.size(); ++f) {
      const std::string& name = out_.hall.feeds[f];
      const bool used = std::any_of(out_.hall.racks.begin(), out_.hall.racks.end(),
                                    [&](const plant::RackSpec& rack) { return rack.feed == name; });
      if (used) continue;
      return doc_.fault_at(*feeds[f], "name", "no rack hangs on feed '" + name + "'",
                           "Add a [[rack]] with feed = \"" + name + "\", or take the feed out");
    }
    return base::ok_status();
  }

  Status read_racks(const toml::table& top) {
    PJ_ASSIGN(const auto racks, doc_.sections(top, "rack"));
    const std::unordered_set<std::string> feeds(out_.hall.feeds.begin(), out_.hall.feeds.end());
    std::unordered_set<std::string> taken;
    for (const toml::table* table : racks) {
      PJ_TRY(doc_.known_keys(*table, {"name", "feed", "count"}));
      PJ_ASSIGN(const auto names, counted_names(*table));
      PJ_ASSIGN(const auto feed,
                doc_.needed_text(*table, "feed", "Every rack hangs on a feed: add feed = \"...\""));
      if (!feeds.contains(feed)) {
        return doc_.fault_at(*table, "feed", "feed '" + feed + "' does not exist",
                             base::nearest_name_hint(feed, out_.hall.feeds));
      }
      for (const std::string& name : names) {
        PJ_TRY(take(*table, "rack", taken, name));
        out_.hall.racks.push_back({name, feed});
      }
      if (out_.hall.racks.size() > static_cast<std::size_t>(kMostNodes)) {
        return doc_.fault(*table, "there are more than 100000 racks");
      }
    }
    for (const plant::RackSpec& rack : out_.hall.racks) rack_names_.push_back(rack.name);
    return base::ok_status();
  }

  Status read_nodes(const toml::table& top) {
    PJ_ASSIGN(const auto nodes, doc_.sections(top, "node"));
    std::unordered_set<std::string> taken;
    for (const toml::table* table : nodes) PJ_TRY(read_node(*table, taken));
    if (out_.hall.nodes.empty())
      return doc_.fault(top, "there is no node", "Add [[node]] with name, rack and role");
    for (const plant::NodeSpec& node : out_.hall.nodes) node_names_.push_back(node.name);
    return base::ok_status();
  }

  Status read_node(const toml::table& table, std::unordered_set<std::string>& taken) {
    PJ_TRY(doc_.known_keys(table, {"name", "rack", "racks", "count", "gpus", "role"}));
    PJ_ASSIGN(const auto names, counted_names(table));
    PJ_ASSIGN(const auto racks, racks_of(table));
    PJ_ASSIGN(const auto gpus, doc_.integer_or(table, "gpus", 8, 1, kMostGpusPerNode));
    PJ_ASSIGN(const auto role, doc_.needed_text(table, "role", "Add role = \"serve\" or \"train\""));
    if (role != "serve" && role != "train") {
      return doc_.fault_at(table, "role", "'" + role + "' is no role",
                           base::nearest_name_hint(role, Names{"serve", "train"}));
    }
    for (std::size_t i = 0; i < names.size(); ++i) {
      PJ_TRY(take(table, "node", taken, names[i]));
      out_.hall.nodes.push_back({names[i], racks[i % racks.size()], static_cast<int>(gpus), role == "train"});
    }
    if (out_.hall.nodes.size() > static_cast<std::size_t>(kMostNodes)) {
      return doc_.fault(table, "there are more than 100000 nodes");
    }
    return base::ok_status();
  }

  Result<Names> racks_of(const toml::table& table) const {
    if (table.contains("rack") == table.contains("racks")) {
      return doc_.fault_at(table, "rack", "give either 'rack' or 'racks'", "Add rack = \"...\"");
    }
    if (table.contains("racks")) return chosen(table, "racks", "rack", rack_names_);
    PJ_ASSIGN(const auto rack, doc_.needed_text(table, "rack", "Add rack = \"...\""));
    if (std::find(rack_names_.begin(), rack_names_.end(), rack) != rack_names_.end()) return Names{rack};
    return doc_.fault_at(table, "rack", "rack '" + rack + "' does not exist",
                         base::nearest_name_hint(rack, rack_names_));
  }

  // The names that a list of names and "prefix*" patterns picks, in the list's order.
  Result<Names> chosen(const toml::table& table, std::string_view key, const std::string& what,
                       const Names& names) const {
    PJ_ASSIGN(const auto list, doc_.items(table, key));
    Names out;
    std::unordered_set<std::string_view> seen;
    for (const toml::node* item : list) {
      if (!item->is_string()) return doc_.fault(*item, "must be a name in quotes");
      const std::string& pattern = item->as_string()->get();
      bool any = false;
      for (const std::string& name : names) {
        if (!matches(pattern, name)) continue;
        any = true;
        if (seen.insert(name).second) out.push_back(name);
      }
      if (!any)
        return doc_.fault(*item, "no " + what + " is called '" + pattern + "'",
                          base::nearest_name_hint(pattern, names));
    }
    if (out.empty()) return doc_.fault_at(table, key, "'" + std::string(key) + "' names no " + what);
    return out;
  }

  Status read_services(const toml::table& top) {
    PJ_ASSIGN(const auto services, doc_.sections(top, "service"));
    std::unordered_set<std::string> taken;
    for (const toml::table* table : services) {
      PJ_TRY(doc_.known_keys(*table, {"name", "tenant", "model", "tensor_parallel", "weight_bits", "nodes",
                                      "batch_limit", "share", "ttft_target_ms", "token_gap_target_ms"}));
      plant::ServiceSpec service;
      PJ_ASSIGN(service.name, doc_.name(*table, "name"));
      PJ_TRY(take(*table, "service", taken, service.name));
      PJ_ASSIGN(service.tenant, doc_.name_or(*table, "tenant", service.name));
      PJ_TRY(read_model(*table, service));
      PJ_TRY(read_service_nodes(*table, service));
      PJ_TRY(read_service_limits(*table, service));
      out_.hall.services.push_back(std::move(service));
      PJ_ASSIGN(const double share, doc_.number_or(*table, "share", 1.0, {0.0, kLargest, true}));
      out_.requests.service_weights.push_back(share);
    }
    return base::ok_status();
  }

  Status read_model(const toml::table& table, plant::ServiceSpec& service) const {
    PJ_ASSIGN(const auto model,
              doc_.needed_text(table, "model", "Add model = \"meta-llama/Llama-3.1-8B-Instruct\""));
    const auto facts = plant::find_model_facts(model);
    if (!facts.ok()) {
      return doc_.fault_at(table, "model", "unknown model '" + model + "'",
                           base::nearest_name_hint(model, like(model)));
    }
    service.model = std::string(facts->name);
    PJ_ASSIGN(const auto bits, doc_.integer_or(table, "weight_bits", 0, 0, 16));
    if (bits != 0 && bits != 4 && bits != 8 && bits != 16) {
      return doc_.fault_at(table, "weight_bits", "'weight_bits' is " + std::to_string(bits),
                           "Use 4, 8 or 16, or leave it out for the model's own weights");
    }
    service.weight_bits = static_cast<int>(bits);
    return base::ok_status();
  }

  Status read_service_nodes(const toml::table& table, plant::ServiceSpec& service) {
    PJ_ASSIGN(service.nodes, chosen(table, "nodes", "node", node_names_));
    PJ_ASSIGN(const auto width, doc_.integer_or(table, "tensor_parallel", 1, 1, kMostGpusPerNode));
    service.tensor_parallel = static_cast<int>(width);
    if (node_index_.empty()) {
      for (std::size_t i = 0; i < node_names_.size(); ++i) node_index_.emplace(node_names_[i], i);
    }
    for (const std::string& name : service.nodes) {
      const plant::NodeSpec& node = out_.hall.nodes[node_index_.at(name)];
      if (node.trains) {
        return doc_.fault_at(table, "nodes", "node '" + name + "' trains, it does not serve",
                             "Change its role to \"serve\"");
      }
      if (node.gpus % service.tensor_parallel != 0) {
        return doc_.fault_at(table, "tensor_parallel",
                             "'tensor_parallel' is " + std::to_string(width) + ", node '" + name + "' has " +
                                 std::to_string(node.gpus) + " GPUs",
                             "It must divide the GPUs of a node");
      }
      const auto [it, fresh] = server_.emplace(name, service.name);
      if (!fresh) {
        return doc_.fault_at(table, "nodes", "node '" + name + "' already serves '" + it->second + "'",
                             "Give each node one service");
      }
    }
    return base::ok_status();
  }

  Status read_service_limits(const toml::table& table, plant::ServiceSpec& service) const {
    PJ_ASSIGN(service.batch_limit, doc_.integer_or(table, "batch_limit", service.batch_limit, 1, 65'536));
    PJ_ASSIGN(service.slo_ttft_ms,
              doc_.number_or(table, "ttft_target_ms", service.slo_ttft_ms, {0.0, kLargest, true}));
    PJ_ASSIGN(service.slo_token_gap_ms,
              doc_.number_or(table, "token_gap_target_ms", service.slo_token_gap_ms, {0.0, kLargest, true}));
    return base::ok_status();
  }

  // Path of a file named in the scenario; the error for one that is not there names its nearest neighbour.
  Result<std::string> file(const toml::table& table, std::string_view key) const {
    PJ_ASSIGN(const auto given, doc_.needed_text(table, key, "Add " + std::string(key) + " = \"...\""));
    const std::string path = given.starts_with('/') || base_.empty() ? given : base_ + "/" + given;
    if (env_.exists(path)) return path;
    Error error = doc_.fault_at(table, key, "file '" + given + "' is not there");
    error.kind = base::ErrorKind::kMissing;
    const auto slash = path.rfind('/');
    const auto entries = env_.list(slash == std::string::npos ? "." : path.substr(0, slash));
    error.hint = entries.ok() && !entries->empty() ? base::nearest_name_hint(path.substr(slash + 1), *entries)
                                                   : "Paths count from the scenario's folder";
    return error;
  }
  Result<std::string> format(const toml::table& table, const Names& known) const {
    PJ_ASSIGN(auto value, doc_.needed_text(table, "format", base::nearest_name_hint("", known)));
    if (std::find(known.begin(), known.end(), value) != known.end()) return value;
    return doc_.fault_at(table, "format", "unknown format '" + value + "'",
                         base::nearest_name_hint(value, known));
  }

  Status read_requests(const toml::table& top) {
    out_.requests.profile.fill(1.0);
    PJ_ASSIGN(const toml::table* table, doc_.section(top, "requests"));
    if (table == nullptr) return base::ok_status();
    if (out_.hall.services.empty())
      return doc_.fault(*table, "there is no service to ask", "Add a [[service]]");
    if (table->contains("list")) return read_request_list(*table);
    PJ_TRY(doc_.known_keys(*table, {"file", "format", "rate", "profile", "list"}));
    PJ_ASSIGN(const auto path, file(*table, "file"));
    PJ_ASSIGN(const auto form, format(*table, {"azure", "mooncake", "canonical"}));
    PJ_ASSIGN(out_.requests.rate, doc_.number_or(*table, "rate", 1.0, {0.0, 1e6, true}));
    PJ_TRY(read_profile(*table));
    auto trace = form == "azure"      ? replay::read_requests_azure(env_, path)
                 : form == "mooncake" ? replay::read_requests_mooncake(env_, path)
                                      : replay::read_requests_csv(env_, path);
    if (!trace.ok()) return trace.error().within(kWhat);
    if (trace->rows.empty() || trace->rows.back().arrival.value() <= 0.0) {
      return doc_.fault_at(*table, "file", "the trace spans no time, so it cannot be repeated");
    }
    out_.requests.trace = std::make_shared<const replay::RequestTrace>(std::move(*trace));
    return base::ok_status();
  }

  Status read_profile(const toml::table& table) {
    if (!table.contains("profile")) return base::ok_status();
    PJ_ASSIGN(const auto list, doc_.items(table, "profile"));
    if (list.size() != out_.requests.profile.size()) {
      return doc_.fault_at(table, "profile", "'profile' has " + std::to_string(list.size()) + " numbers",
                           "Give 24, one for each UTC hour");
    }
    for (std::size_t h = 0; h < list.size(); ++h) {
      PJ_ASSIGN(out_.requests.profile[h], doc_.number(*list[h], "profile", {0.0, 1000.0, true}));
    }
    return base::ok_status();
  }

  Status read_request_list(const toml::table& table) {
    PJ_TRY(doc_.known_keys(table, {"list"}));
    PJ_ASSIGN(const auto list, doc_.sections(table, "list"));
    replay::RequestTrace trace;
    trace.source = "scenario";
    Names services;
    for (const plant::ServiceSpec& s : out_.hall.services) services.push_back(s.name);
    for (const toml::table* row : list) {
      PJ_TRY(doc_.known_keys(*row, {"at", "input", "output", "service"}));
      PJ_ASSIGN(const auto at, doc_.duration(*row, "at", {0.0, kMostHours * 3600.0, false}));
      const base::Seconds arrival = base::to_seconds(at);
      if (!trace.rows.empty() && arrival < trace.rows.back().arrival) {
        return doc_.fault_at(*row, "at", "times go backwards", "Write the list in order of 'at'");
      }
      PJ_ASSIGN(const auto input, doc_.integer_or(*row, "input", 0, 1, replay::kMostTokens));
      PJ_ASSIGN(const auto output, doc_.integer_or(*row, "output", 0, 1, replay::kMostTokens));
      if (input == 0 || output == 0) return doc_.fault(*row, "a request needs 'input' and 'output' tokens");
      PJ_ASSIGN(const auto service, doc_.name_or(*row, "service", services.front()));
      const auto found = std::find(services.begin(), services.end(), service);
      if (found == services.end()) {
        return doc_.fault_at(*row, "service", "service '" + service + "' does not exist",
                             base::nearest_name_hint(service, services));
      }
      trace.rows.push_back({arrival, input, output, {}, {}, {}});
      out_.requests.row_service.push_back(static_cast<std::size_t>(found - services.begin()));
    }
    out_.requests.tiled = false;
    out_.requests.trace = std::make_shared<const replay::RequestTrace>(std::move(trace));
    return base::ok_status();
  }

  Status read_jobs(const toml::table& top) {
    PJ_ASSIGN(const toml::table* table, doc_.section(top, "jobs"));
    if (table == nullptr) return base::ok_status();
    for (const plant::NodeSpec& n : out_.hall.nodes) {
      if (n.trains) largest_node_ = std::max<std::int64_t>(largest_node_, n.gpus);
    }
    if (largest_node_ == 0)
      return doc_.fault(*table, "there is no node that trains", "Add a [[node]] with role = \"train\"");
    PJ_TRY(table->contains("list") ? read_job_list(*table) : read_job_trace(*table));
    std::stable_sort(out_.hall.jobs.begin(), out_.hall.jobs.end(),
                     [](const auto& a, const auto& b) { return a.submit < b.submit; });
    return base::ok_status();
  }

  Status read_job_list(const toml::table& table) {
    PJ_TRY(doc_.known_keys(table, {"list"}));
    PJ_ASSIGN(const auto list, doc_.sections(table, "list"));
    std::unordered_set<std::string> taken;
    for (const toml::table* row : list) {
      PJ_TRY(doc_.known_keys(*row, {"name", "at", "gpus", "profile", "work", "tenant"}));
      plant::TrainingJobSpec job;
      PJ_ASSIGN(job.name, doc_.name(*row, "name"));
      PJ_TRY(take(*row, "job", taken, job.name));
      PJ_ASSIGN(job.tenant, doc_.name_or(*row, "tenant", "research-1"));
      PJ_ASSIGN(const auto at, doc_.duration(*row, "at", {0.0, kMostHours * 3600.0, false}));
      job.submit = out_.hall.start + at;
      PJ_ASSIGN(const auto gpus, doc_.integer_or(*row, "gpus", 1, 1, largest_node_));
      job.gpus = static_cast<int>(gpus);
      PJ_ASSIGN(job.profile, training_profile(*row));
      PJ_ASSIGN(const auto work, doc_.duration(*row, "work", {0.0, kMostHours * 3600.0, true}));
      job.work_seconds = base::to_seconds(work).value();
      if (job.submit < end()) out_.hall.jobs.push_back(std::move(job));
    }
    return base::ok_status();
  }

  Result<std::size_t> training_profile(const toml::table& row) const {
    PJ_ASSIGN(const auto name, doc_.needed_text(row, "profile", "Add profile = \"vit-large\""));
    Names known;
    for (const plant::TrainingProfile& p : plant::training_profiles()) known.emplace_back(p.model);
    const auto found = std::find(known.begin(), known.end(), name);
    if (found != known.end()) return static_cast<std::size_t>(found - known.begin());
    return doc_.fault_at(row, "profile", "unknown profile '" + name + "'",
                         base::nearest_name_hint(name, known));
  }

  Status read_job_trace(const toml::table& table) {
    PJ_TRY(doc_.known_keys(table, {"file", "format", "repeat", "list"}));
    PJ_ASSIGN(const auto path, file(table, "file"));
    PJ_ASSIGN(const auto form, format(table, {"gaia_pai_1k", "gaia_pai_100k", "gavel", "swf", "canonical"}));
    PJ_ASSIGN(const auto repeat, doc_.integer_or(table, "repeat", 1, 1, kMostRepeats));
    auto trace = form == "gaia_pai_1k"     ? replay::read_jobs_gaia_1k(env_, path)
                 : form == "gaia_pai_100k" ? replay::read_jobs_gaia_100k(env_, path)
                 : form == "gavel"         ? replay::read_jobs_gavel(env_, path)
                 : form == "swf"           ? replay::read_jobs_swf(env_, path)
                                           : replay::read_jobs_csv(env_, path);
    if (!trace.ok()) return trace.error().within(kWhat);
    if (static_cast<std::int64_t>(trace->rows.size()) > kMostJobs / repeat) {
      return doc_.fault(table, "there are more than 5000000 jobs", "Lower 'repeat' or shorten the trace");
    }
    return take_trace_jobs(table, trace->rows, repeat);
  }

  // Copy c of a job comes c / repeat of the trace's mean gap after it, so that copies do not arrive as one.
  Status take_trace_jobs(const toml::table& table, const std::vector<replay::JobTraceRow>& rows,
                         std::int64_t repeat) {
    const double span = rows.empty() ? 0.0 : rows.back().arrival.value();
    const double gap = rows.size() < 2 ? 0.0 : span / static_cast<double>(rows.size() - 1);
    for (std::size_t i = 0; i < rows.size(); ++i) {
      for (std::int64_t copy = 0; copy < repeat; ++copy) {
        const double at =
            rows[i].arrival.value() + gap * static_cast<double>(copy) / static_cast<double>(repeat);
        if (at >= base::to_seconds(out_.length).value()) continue;
        if (rows[i].gpus > largest_node_) {
          return doc_.fault_at(table, "file",
                               "job " + std::to_string(i + 1) + " of the trace needs " +
                                   std::to_string(rows[i].gpus) + " GPUs, the largest node that trains has " +
                                   std::to_string(largest_node_),
                               "A job runs on one node: add a larger one");
        }
        take_trace_job(rows[i], i, copy, at);
      }
    }
    return base::ok_status();
  }

  // What the trace does not say is drawn: the training profile, then the tenant.
  void take_trace_job(const replay::JobTraceRow& row, std::size_t index, std::int64_t copy, double at) {
    const auto profiles = plant::training_profiles();
    base::Rng rng =
        base::Rng::stream(out_.hall.seed, "job", index + (static_cast<std::uint64_t>(copy) << 32));
    plant::TrainingJobSpec job;
    job.profile = static_cast<std::size_t>(rng.below(profiles.size()));
    const std::uint64_t tenant = 1 + rng.below(kTenants);
    job.name = row.job.empty() ? "job-" + std::to_string(index + 1) : row.job;
    if (copy > 0) job.name += "." + std::to_string(copy + 1);
    job.tenant = row.tenant.empty() ? "research-" + std::to_string(tenant) : row.tenant;
    job.gpus = static_cast<int>(row.gpus);
    job.submit = out_.hall.start + base::to_duration(base::Seconds(at));
    job.work_seconds = row.duration
                           ? row.duration->value()
                           : static_cast<double>(row.steps.value_or(1)) * profiles[job.profile].step_seconds;
    out_.hall.jobs.push_back(std::move(job));
  }

  Status read_site(const toml::table& top) {
    PJ_ASSIGN(const toml::table* table, doc_.section(top, "site"));
    if (table == nullptr) return base::ok_status();
    PJ_TRY(doc_.known_keys(*table, {"name", "weather", "carbon"}));
    PJ_ASSIGN(out_.hall.site, doc_.name_or(*table, "name", out_.hall.site));
    if (table->contains("weather")) {
      PJ_ASSIGN(const auto path, file(*table, "weather"));
      auto weather = plant::WeatherSeries::read(env_, path);
      if (!weather.ok()) return weather.error().within(kWhat);
      out_.hall.weather = std::move(*weather);
    }
    PJ_ASSIGN(const auto series, doc_.sections(*table, "carbon"));
    for (const toml::table* row : series) {
      PJ_ASSIGN(auto one, read_carbon(*row));
      PJ_TRY(check_carbon(*row, one));
      out_.carbon.push_back(std::move(one));
    }
    return base::ok_status();
  }

  // Every window has a factor, its own or that of the same hour of the day before.
  Status check_carbon(const toml::table& row, const grid::CarbonSeries& series) const {
    std::int64_t without = 0;
    base::TimePoint first;
    for (base::TimePoint t = out_.hall.start; t < end(); t = t + out_.hall.window) {
      if (series.at_window(t, t + out_.hall.window, grid::GapPolicy::kSameHourPreviousDay).intensity)
        continue;
      if (without++ == 0) first = t;
    }
    if (without == 0) return base::ok_status();
    return doc_.fault_at(row, row.contains("file") ? "file" : "region",
                         "carbon of " + series.region() + " has no value for " + std::to_string(without) +
                             " windows of the run, the first at " + base::format_iso8601(first) +
                             ", nor for the same hours of the day before",
                         "Use a file that covers the run, or { region, g_per_kwh } for a constant");
  }

  Result<grid::CarbonSeries> read_carbon(const toml::table& table) const {
    PJ_ASSIGN(const auto region, doc_.name(table, "region"));
    if (table.contains("g_per_kwh")) return constant_carbon(table, region);
    PJ_TRY(doc_.known_keys(table, {"region", "file", "format", "g_per_kwh"}));
    PJ_ASSIGN(const auto path, file(table, "file"));
    PJ_ASSIGN(const auto form, format(table, {"dcrl", "opendc", "factors", "canonical"}));
    const int year = year_of(out_.hall.start);
    auto series = form == "dcrl"      ? grid::read_carbon_dcrl(env_, path, region)
                  : form == "opendc"  ? grid::read_carbon_opendc(env_, path, region)
                  : form == "factors" ? grid::read_carbon_factors(env_, path, region, year)
                                      : grid::read_carbon_csv(env_, path);
    if (!series.ok()) return series.error().within(kWhat);
    if (series->region() != region) {
      return doc_.fault_at(table, "region", "the file is of region '" + series->region() + "'",
                           "Write that name here");
    }
    if (series->begin() < end() && series->end() > out_.hall.start) return series;
    auto moved = over_the_run(*series);
    if (!moved.ok()) return doc_.fault_at(table, "file", moved.error().message());
    return moved;
  }

  // A series of another year, moved to each year the run touches.
  Result<grid::CarbonSeries> over_the_run(const grid::CarbonSeries& series) const {
    const int first = year_of(out_.hall.start), last = year_of(end() - base::nanoseconds(1));
    PJ_ASSIGN(grid::CarbonSeries whole, series.shifted_to_year(first));
    for (int year = first + 1; year <= last; ++year) {
      PJ_ASSIGN(const grid::CarbonSeries next, series.shifted_to_year(year));
      PJ_ASSIGN(grid::CarbonSeries joined, whole.followed_by(next));
      whole = std::move(joined);
    }
    return whole;
  }

  Result<grid::CarbonSeries> constant_carbon(const toml::table& table, const std::string& region) const {
    PJ_TRY(doc_.known_keys(table, {"region", "g_per_kwh"}));
    PJ_ASSIGN(const double grams, doc_.number(*table.get("g_per_kwh"), "g_per_kwh",
                                              {0.0, grid::kHighestIntensity.value(), false}));
    const grid::CarbonPoint point{out_.hall.start, end(), base::GramsPerKwh(grams),
                                  energy::Quality::kModelled};
    return grid::CarbonSeries::make({region, energy::CarbonKind::kAverage, "scenario"}, {point}, {});
  }

  base::Env& env_;
  Document doc_;
  std::string base_;
  Scenario out_;
  Names rack_names_, node_names_;
  std::unordered_map<std::string, std::size_t> node_index_;
  std::unordered_map<std::string, std::string> server_;  // node -> service
  std::int64_t largest_node_ = 0;
};

}  // namespace

Result<Scenario> parse_scenario(base::Env& env, const std::string& text, const std::string& name,
                                const std::string& base_directory, const ScenarioChanges& changes) {
  return ScenarioReader(env, name, base_directory).read(text, changes);
}

Result<Scenario> read_scenario(base::Env& env, const std::string& path, const ScenarioChanges& changes) {
  PJ_ASSIGN(const std::string text, env.read_file(path, kLongestText));
  const auto slash = path.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  return parse_scenario(env, text, path, directory, changes);
}

}  // namespace perjoule::compose
