// Text form of a fitted GPU cap model, so that a scenario can load a calibrated device.
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "plant/gpu_cap_model.hpp"

namespace perjoule::plant {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "perjoule.gpu_cap_model";
constexpr int kVersion = 2;

const std::pair<const char*, double CapParameters::*> kParameterKeys[] = {
    {"floor_w", &CapParameters::floor_w},
    {"running_w", &CapParameters::running_w},
    {"voltage_floor_sq", &CapParameters::voltage_floor_sq},
    {"knee", &CapParameters::knee},
    {"voltage_curvature", &CapParameters::voltage_curvature},
    {"clock_floor", &CapParameters::clock_floor},
    {"duty_exponent", &CapParameters::duty_exponent},
    {"overlap", &CapParameters::overlap},
    {"memory_share", &CapParameters::memory_share},
    {"host_s", &CapParameters::host_s},
    {"duty_shift", &CapParameters::duty_shift},
};
const std::pair<const char*, double CapValidity::*> kRangeKeys[] = {
    {"lowest_limit", &CapValidity::lowest_limit},
    {"highest_limit", &CapValidity::highest_limit},
    {"lowest_reference_w", &CapValidity::lowest_reference_w},
    {"highest_reference_w", &CapValidity::highest_reference_w},
    {"lowest_step_s", &CapValidity::lowest_step_s},
    {"typical_step_s", &CapValidity::typical_step_s},
    {"highest_step_s", &CapValidity::highest_step_s},
    {"energy_residual_median", &CapValidity::energy_residual_median},
    {"energy_residual_p90", &CapValidity::energy_residual_p90},
};
const std::pair<const char*, double CapTuning::*> kTuningKeys[] = {
    {"power_width", &CapTuning::power_width},
    {"step_width", &CapTuning::step_width},
    {"prior_workloads", &CapTuning::prior_workloads},
};
const std::pair<const char*, std::vector<double> CapResiduals::*> kResidualKeys[] = {
    {"reference_w", &CapResiduals::reference_w}, {"step_s", &CapResiduals::step_s},
    {"log_energy", &CapResiduals::log_energy},   {"log_time", &CapResiduals::log_time},
    {"left_out", &CapResiduals::left_out},
};
const std::pair<const char*, int CapValidity::*> kCountKeys[] = {
    {"workloads", &CapValidity::workloads},
    {"rows", &CapValidity::rows},
    {"rows_above_cap", &CapValidity::rows_above_cap},
    {"workloads_without_top", &CapValidity::workloads_without_top},
};

// Reads typed members of one object; the first failure is kept and ends everything after it.
class Reader {
 public:
  Reader(const Json& object, std::string where) : object_(object), where_(std::move(where)) {}

  double number(const char* key) {
    const auto it = object_.is_object() ? object_.find(key) : object_.end();
    if (it != object_.end() && it->is_number() && std::isfinite(it->get<double>())) return it->get<double>();
    fail(key, "needs a finite number");
    return 0.0;
  }
  bool flag(const char* key) {
    const auto it = object_.is_object() ? object_.find(key) : object_.end();
    if (it != object_.end() && it->is_boolean()) return it->get<bool>();
    fail(key, "needs true or false");
    return false;
  }
  std::vector<double> numbers(const char* key) {
    std::vector<double> out;
    const auto it = object_.is_object() ? object_.find(key) : object_.end();
    if (it == object_.end() || !it->is_array()) return fail(key, "needs an array of numbers"), out;
    for (const auto& item : *it) {
      if (!item.is_number()) return fail(key, "needs an array of numbers"), out;
      out.push_back(item.get<double>());
    }
    return out;
  }
  void fail(const char* key, const char* why) {
    if (status_.ok()) {
      status_ = base::bad_input("cannot read the GPU cap model", where_ + ": key " + key, why,
                                "write the file anew with: perjoule calibrate power FILE");
    }
  }
  const base::Status& status() const { return status_; }

 private:
  const Json& object_;
  std::string where_;
  base::Status status_ = base::ok_status();
};

// The mechanism divides by these; a file that breaks them would give infinities far away from here.
void check_parameters(const CapParameters& p, Reader& reader) {
  if (!(p.floor_w > 0.0)) reader.fail("floor_w", "must be positive");
  if (!(p.running_w > p.floor_w)) reader.fail("running_w", "must exceed floor_w");
  if (!(p.voltage_floor_sq > 0.0 && p.voltage_floor_sq <= 1.0))
    reader.fail("voltage_floor_sq", "must lie in (0, 1]");
  if (!(p.knee > 0.0 && p.knee < 1.0)) reader.fail("knee", "must lie in (0, 1)");
  if (!(p.voltage_curvature > 0.0)) reader.fail("voltage_curvature", "must be positive");
  if (!(p.clock_floor > 0.0 && p.clock_floor <= 1.0)) reader.fail("clock_floor", "must lie in (0, 1]");
  if (!(p.duty_exponent >= 0.0 && p.duty_exponent <= 1.0)) reader.fail("duty_exponent", "must lie in [0, 1]");
  if (!(p.overlap >= 1.0)) reader.fail("overlap", "must be 1 or more");
  if (!(p.memory_share >= 0.0 && p.memory_share < 1.0)) reader.fail("memory_share", "must lie in [0, 1)");
  if (!(p.host_s >= 0.0)) reader.fail("host_s", "must not be negative");
  if (!(std::abs(p.duty_shift) <= 1.0)) reader.fail("duty_shift", "must lie in [-1, 1]");
}

void check_tuning(const CapTuning& t, Reader& reader) {
  if (!(t.power_width >= 0.0)) reader.fail("power_width", "must not be negative");
  if (!(t.step_width >= 0.0)) reader.fail("step_width", "must not be negative");
  if (!(t.prior_workloads > 0.0)) reader.fail("prior_workloads", "must be positive");
}

base::Result<std::vector<CapResiduals>> read_residuals(const Json& root, const std::string& name) {
  std::vector<CapResiduals> out;
  const auto list = root.find("residuals");
  if (list == root.end() || !list->is_array()) {
    return base::bad_input("cannot read the GPU cap model", name + ": key residuals", "needs an array");
  }
  for (const auto& item : *list) {
    Reader reader(item, name + ": residuals[" + std::to_string(out.size()) + "]");
    CapResiduals r;
    r.limit = reader.number("limit");
    for (const auto& [key, member] : kResidualKeys) {
      r.*member = reader.numbers(key);
      if ((r.*member).size() != r.reference_w.size()) reader.fail(key, "must be as long as reference_w");
    }
    if (!out.empty() && r.limit <= out.back().limit) reader.fail("limit", "must rise from entry to entry");
    PJ_TRY(reader.status());
    out.push_back(std::move(r));
  }
  return out;
}

base::Result<Json> parse(std::string_view text, const std::string& name) {
  try {
    Json root = Json::parse(text);
    if (root.is_object() && root.value("format", "") == kFormat && root.value("version", 0) == kVersion)
      return root;
  } catch (const Json::parse_error& e) {
    return base::bad_input("cannot read the GPU cap model", name + ":byte " + std::to_string(e.byte),
                           "not JSON");
  } catch (const Json::type_error&) {
    return base::bad_input("cannot read the GPU cap model", name, "format or version has the wrong type");
  }
  return base::bad_input("cannot read the GPU cap model", name,
                         std::string("not format ") + kFormat + " version " + std::to_string(kVersion),
                         "write the file anew with: perjoule calibrate power FILE");
}

}  // namespace

std::string GpuCapModel::to_json() const {
  Json root{{"format", kFormat},
            {"version", kVersion},
            {"limit_kind", kind_ == LimitKind::kPowerCap ? "power_cap_w" : "core_clock_mhz"},
            {"quality", "modelled"}};
  for (const auto& [key, member] : kParameterKeys) root["parameters"][key] = parameters_.*member;
  for (const auto& [key, member] : kRangeKeys) root["validity"][key] = validity_.*member;
  for (const auto& [key, member] : kCountKeys) root["validity"][key] = validity_.*member;
  root["tuning"]["shifts_duty"] = tuning_.shifts_duty;
  for (const auto& [key, member] : kTuningKeys) root["tuning"][key] = tuning_.*member;
  root["scatter"] = {{"reference_w", scatter_.reference_w}, {"variance", scatter_.variance}};
  root["residuals"] = Json::array();
  for (const auto& r : residuals_) {
    Json item{{"limit", r.limit}};
    for (const auto& [key, member] : kResidualKeys) item[key] = r.*member;
    root["residuals"].push_back(std::move(item));
  }
  return root.dump(1) + "\n";
}

base::Result<GpuCapModel> GpuCapModel::from_json(std::string_view text, std::string_view name) {
  const std::string where(name);
  PJ_ASSIGN(const Json root, parse(text, where));
  GpuCapModel model;
  const std::string kind = root.contains("limit_kind") && root["limit_kind"].is_string()
                               ? root["limit_kind"].get<std::string>()
                               : std::string();
  if (kind != "power_cap_w" && kind != "core_clock_mhz") {
    return base::bad_input("cannot read the GPU cap model", where + ": key limit_kind",
                           "must be power_cap_w or core_clock_mhz");
  }
  model.kind_ = kind == "power_cap_w" ? LimitKind::kPowerCap : LimitKind::kCoreClock;
  const Json none = Json::object();
  Reader parameters(root.contains("parameters") ? root["parameters"] : none, where + ": parameters");
  for (const auto& [key, member] : kParameterKeys) model.parameters_.*member = parameters.number(key);
  check_parameters(model.parameters_, parameters);
  PJ_TRY(parameters.status());
  Reader validity(root.contains("validity") ? root["validity"] : none, where + ": validity");
  for (const auto& [key, member] : kRangeKeys) model.validity_.*member = validity.number(key);
  for (const auto& [key, member] : kCountKeys)
    model.validity_.*member = static_cast<int>(validity.number(key));
  PJ_TRY(validity.status());
  Reader tuning(root.contains("tuning") ? root["tuning"] : none, where + ": tuning");
  model.tuning_.shifts_duty = tuning.flag("shifts_duty");
  for (const auto& [key, member] : kTuningKeys) model.tuning_.*member = tuning.number(key);
  check_tuning(model.tuning_, tuning);
  PJ_TRY(tuning.status());
  Reader scatter(root.contains("scatter") ? root["scatter"] : none, where + ": scatter");
  model.scatter_ = {scatter.numbers("reference_w"), scatter.numbers("variance")};
  if (model.scatter_.variance.size() != model.scatter_.reference_w.size())
    scatter.fail("variance", "must be as long as reference_w");
  PJ_TRY(scatter.status());
  PJ_ASSIGN(model.residuals_, read_residuals(root, where));
  return model;
}

}  // namespace perjoule::plant
