// Cross-validated error of the GPU cap model on the two Zeus tables, beside the nearest-neighbour baseline.
//   cap_model [--json] [DIRECTORY of the tables, default data/power]
// Exit status: 0 when every table meets the median target (4 %), 1 when one does not, 2 for bad input.
#include <zlib.h>

#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "plant/gpu_cap_model.hpp"
#include "plant/power_table.hpp"

namespace {

namespace plant = perjoule::plant;
namespace base = perjoule::base;
using Json = nlohmann::ordered_json;

constexpr double kMedianTarget = 0.04;
constexpr double kBestTarget = 0.85;

base::Result<std::string> read_gzip(const std::string& path) {
  gzFile file = gzopen(path.c_str(), "rb");
  if (file == nullptr) return base::missing("cannot read the power table", path, "the file cannot be opened");
  std::string out;
  char buffer[1 << 14];
  int got = 0;
  while ((got = gzread(file, buffer, sizeof buffer)) > 0) out.append(buffer, static_cast<std::size_t>(got));
  const bool whole = got == 0 && gzclose(file) == Z_OK;
  if (!whole)
    return base::bad_input("cannot read the power table", path, "the gzip stream is damaged or cut short");
  return out;
}

struct Row {
  std::string table, model;
  plant::CapCrossValidation score;
};

base::Result<std::vector<Row>> measure(const std::string& directory, const std::string& table) {
  const std::string path = directory + "/zeus_summary_power_" + table + ".csv.gz";
  PJ_ASSIGN(const std::string text, read_gzip(path));
  PJ_ASSIGN(const std::vector<plant::CapSample> samples, plant::parse_power_table(text, path));
  plant::CapCrossOptions mechanism;
  mechanism.fit.residual_correction = false;
  std::vector<Row> out;
  PJ_ASSIGN(plant::CapCrossValidation nearest, plant::cross_validate_nearest_neighbour(samples));
  out.push_back({table, "nearest_neighbour", std::move(nearest)});
  PJ_ASSIGN(plant::CapCrossValidation bare, plant::cross_validate(samples, mechanism));
  out.push_back({table, "mechanism_alone", std::move(bare)});
  PJ_ASSIGN(plant::CapCrossValidation full, plant::cross_validate(samples));
  out.push_back({table, "cap_model", std::move(full)});
  return out;
}

Json to_json(const Row& row) {
  const auto& s = row.score;
  Json out{{"table", row.table},
           {"model", row.model},
           {"rows", s.rows},
           {"workloads", s.workloads},
           {"energy_error_median", s.energy_median},
           {"energy_error_p90", s.energy_p90},
           {"time_error_median", s.time_median},
           {"best_within_step_share", s.share_within_step()},
           {"best_within_step", s.best_within_step},
           {"bindable_workloads", s.bindable_workloads},
           {"bindable_within_step", s.bindable_within_step},
           {"mean_regret", s.mean_regret}};
  for (const auto& [name, group] : s.groups) {
    out["groups"][name] = {{"workloads", group.workloads},
                           {"rows", group.rows},
                           {"energy_error_median", group.energy_median},
                           {"energy_error_p90", group.energy_p90},
                           {"best_within_step", group.best_within_step}};
  }
  return out;
}

void print(const Row& row) {
  const auto& s = row.score;
  std::printf("%-5s %-18s %5.2f %% %6.2f %% %6.2f %%   %2d/%2d = %4.1f %%   %2d/%2d   %5.2f %%\n",
              row.table.c_str(), row.model.c_str(), 100 * s.energy_median, 100 * s.energy_p90,
              100 * s.time_median, s.best_within_step, s.workloads, 100 * s.share_within_step(),
              s.bindable_within_step, s.bindable_workloads, 100 * s.mean_regret);
  if (row.model != "cap_model") return;
  for (const auto& [name, group] : s.groups) {
    std::printf("      left out: %-18s %5.2f %% %6.2f %%            %2d/%2d\n", name.c_str(),
                100 * group.energy_median, 100 * group.energy_p90, group.best_within_step, group.workloads);
  }
}

}  // namespace

int main(int argc, char** argv) {
  bool json = false;
  std::string directory = "data/power";
  for (int i = 1; i < argc; ++i) {
    const std::string arg = argv[i];
    (arg == "--json") ? void(json = true) : void(directory = arg);
  }
  std::vector<Row> rows;
  for (const char* table : {"v100", "a40"}) {
    auto measured = measure(directory, table);
    if (!measured.ok()) {
      std::fprintf(stderr, "%s\n", measured.error().message().c_str());
      return base::exit_status(measured.error().kind);
    }
    for (auto& row : *measured) rows.push_back(std::move(row));
  }
  bool met = true;
  for (const auto& row : rows)
    met = met && (row.model != "cap_model" || row.score.energy_median <= kMedianTarget);
  if (json) {
    Json out{{"median_target", kMedianTarget}, {"best_within_step_target", kBestTarget}, {"median_met", met}};
    for (const auto& row : rows) out["results"].push_back(to_json(row));
    std::printf("%s\n", out.dump(2).c_str());
  } else {
    std::printf("Energy relative to the highest cap, leave one network out\n");
    std::printf("table model              median      p90     time   best within 25 W  bindable  regret\n");
    for (const auto& row : rows) print(row);
  }
  return met ? 0 : 1;
}
