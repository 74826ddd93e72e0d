// The store's catalogue, STORE/catalog/manifest.json: which segments belong to the store, and each one's size
// and hash. The file hashes itself, so a flipped byte anywhere in a store is found (docs/formats/store.md).
// Thread rule: values, pure functions. Ownership: values. Units: nanoseconds, bytes.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.hpp"
#include "bus/log_reader.hpp"
#include "bus/parquet_writer.hpp"

namespace perjoule::bus {

// Facts about the run that made the store: seed, scenario text, build version, ...
using StoreMeta = std::map<std::string, std::string>;

struct SegmentEntry {
  std::string table;
  std::string file;  // relative to the store: "joules/part-000001.parquet"
  FileSummary summary;
  // By the name of a rollup of its table (rollup.hpp): the step of time of the sums that its rows are in; 0:
  // they are in none, as those would have been too many. Without a name nothing has been decided yet. Of a
  // rollup's own file: the step of its sums.
  std::map<std::string, std::int64_t> rolled_up = {};
  std::int64_t step_in(std::string_view rollup) const {
    const auto found = rolled_up.find(std::string(rollup));
    return found == rolled_up.end() ? 0 : found->second;
  }
  // Sum of that column, where there is one and it fits; of files that an engine sealed.
  std::optional<std::int64_t> energy_uj = {};
};

// How far a table is in sealed files.
struct TableMark {
  std::uint64_t sealed_entry = 0;  // blocks of the log up to this one are
  std::uint64_t parts = 0;         // files numbered so far
  // Rows before this time may have been dropped for their age.
  std::int64_t kept_from_ns = std::numeric_limits<std::int64_t>::min();
};

// Files of one table that were dropped for their age.
struct DroppedRows {
  std::string table;
  std::uint64_t files = 0, rows = 0;
  std::int64_t first_ns = 0, last_ns = 0;
  std::optional<std::int64_t> energy_uj;  // as in SegmentEntry
  std::set<std::string> rolled_up;        // rollups that have the rows
};

struct Manifest {
  int format_version = kFormatVersion;
  bool complete = false;  // the writer finished; false: a run in progress or broken off
  StoreMeta meta;
  std::vector<SegmentEntry> segments;
  LogStart log;                                  // where a reader of the log begins
  std::map<std::string, TableMark> tables;       // of an engine's store
  std::map<std::string, std::uint64_t> sources;  // last number of each that was on the disk
  std::vector<DroppedRows> dropped;              // oldest first
};

// No rollup and no mark of one: whoever opens the store to write makes them again from the rows. The files
// that are no longer named.
std::vector<std::string> forget_rollups(Manifest& manifest);
// The same of one rollup; nothing for a table that is none.
std::vector<std::string> forget_rollup(Manifest& manifest, const std::string& rollup);
// By table and part, not by the time of sealing.
void sort_segments(Manifest& manifest);
std::string to_json(const Manifest& manifest);
// Errors, with `path`: kBadInput for a newer format, kCorrupt for everything else that does not fit.
base::Result<Manifest> parse_manifest(std::string_view text, const std::string& path);

}  // namespace perjoule::bus
