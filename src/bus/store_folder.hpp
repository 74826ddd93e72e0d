// Where everything lies in a store's folder (docs/formats/store.md, log.md). Internal to the bus. Thread
// rule: pure functions; check_free looks at the folder.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/env.hpp"
#include "bus/tables.hpp"

namespace perjoule::bus {

// Relative to the store.
inline constexpr std::string_view kManifestFile = "catalog/manifest.json";
inline constexpr std::string_view kLockFile = "catalog/writer.lock";
inline constexpr std::string_view kRepairsFile = "catalog/repairs.jsonl";  // what each repair lost
inline constexpr std::string_view kLostAndFound = "lost+found/";           // what repairs put aside

std::string manifest_path(const std::string& directory);
std::string lock_path(const std::string& directory);
std::string log_directory_of(const std::string& directory);
// "<table>/part-<part>.parquet", relative to the store.
std::string segment_file_name(Table table, std::uint64_t part);
// The part's number in "joules/part-000012.parquet"; 0 if it has none.
std::uint64_t segment_part(std::string_view file);

// Removes every segment of a log, spare ones too.
base::Status remove_log(base::Env& env, const std::string& log_directory);

// For a folder without a manifest: it is absent, empty or has an empty catalogue. Error: kBadInput, of
// `what`, for one with other files.
base::Status check_free(base::Env& env, const std::string& directory, std::string what);

}  // namespace perjoule::bus
