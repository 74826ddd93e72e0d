#include "bus/store_folder.hpp"

#include <fmt/format.h>

#include "base/text.hpp"

namespace perjoule::bus {

std::string manifest_path(const std::string& directory) {
  return fmt::format("{}/{}", directory, kManifestFile);
}

std::string lock_path(const std::string& directory) { return fmt::format("{}/{}", directory, kLockFile); }

std::string log_directory_of(const std::string& directory) { return directory + "/wal"; }

std::string segment_file_name(Table table, std::uint64_t part) {
  return fmt::format("{}/part-{:06}.parquet", schema_of(table).name, part);
}

std::uint64_t segment_part(std::string_view file) {
  constexpr std::string_view kName = "/part-", kEnd = ".parquet";
  const std::size_t at = file.find(kName);
  if (at == std::string_view::npos || !file.ends_with(kEnd)) return 0;
  file.remove_prefix(at + kName.size());
  const auto number = base::parse_int(file.substr(0, file.size() - kEnd.size()));
  return number && *number > 0 ? static_cast<std::uint64_t>(*number) : 0;
}

base::Status remove_log(base::Env& env, const std::string& log_directory) {
  if (!env.exists(log_directory)) return base::ok_status();
  PJ_ASSIGN(const auto names, env.list(log_directory));
  for (const auto& name : names) {
    if (name.find(".log") != std::string::npos) PJ_TRY(env.remove(log_directory + "/" + name));
  }
  return base::ok_status();
}

base::Status check_free(base::Env& env, const std::string& directory, std::string what) {
  PJ_ASSIGN(const auto names, env.list(directory));
  // A writer that died before its first manifest leaves an empty catalogue.
  const bool only_catalog = names.size() == 1 && names[0] == "catalog/";
  if (names.empty() || only_catalog) return base::ok_status();
  return base::bad_input(std::move(what), directory, "the folder holds other files ('" + names[0] + "')",
                         "Choose an empty or new folder for --store");
}

}  // namespace perjoule::bus
