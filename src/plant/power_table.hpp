// Reader of a power table: one row per workload and power cap (or core clock) with time and mean power, as
// CSV with a header. Columns are found by name; the default names are those of the Zeus NSDI'23 traces.
// Thread rule: pure functions. Ownership: returns owned rows. Units: W or MHz, s, W.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "plant/gpu_cap_model.hpp"

namespace perjoule::plant {

struct PowerTableMapping {
  std::vector<std::string> workload = {"dataset", "network", "batch_size",
                                       "optimizer"};  // joined to the workload key
  std::string group = "network";                      // held out together in cross-validation
  std::string limit = "power_limit";
  std::string time = "time_per_epoch";
  std::string power = "average_power";
  // Not needed: a table without these columns is read without steps. `steps`: steps within the row's time.
  // Without it, steps are the samples of a data set of known size (known_samples) over the batch size.
  std::string steps = "steps";
  std::string dataset = "dataset";
  std::string batch = "batch_size";
};

// Training samples of the public data sets of the Zeus traces, by the name there; nothing for another name.
std::optional<double> known_samples(std::string_view dataset);

// Every row of `text`; `name` stands in front of error places. Mapped columns that are not among the workload
// columns must be numbers. Errors (bad_input, at file:line:column): no header, no rows, a mapped column
// missing (with the columns there are), a row with another number of fields, an empty field, a number that is
// NaN, infinite, negative or zero, or not a number.
base::Result<std::vector<CapSample>> parse_power_table(std::string_view text, std::string_view name,
                                                       const PowerTableMapping& mapping = {});

}  // namespace perjoule::plant
