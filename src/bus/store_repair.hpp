// Mends a damaged store, and says what was lost. plan_repair() only looks; apply_repair() does what the plan
// says, in an order that leaves a readable store after a crash at any moment: new files first, then a line in
// STORE/catalog/repairs.jsonl, then the manifest that names the files, then the damaged ones into
// STORE/lost+found (nothing is deleted but unfinished temporary files, and rollups that are made again).
//   damaged segment     its sound row groups become a new file; the old one is kept in lost+found
//   damaged log         only if `give_up_log_from` names the place: every block that is whole, before and
//                       behind it, is sealed into files, and a new log begins
//   damaged manifest    made anew from the sealed files' footers, where no row can then count twice
//   strays              files that no manifest names: into lost+found
// Thread rule: one thread; the caller holds the store's lock. Ownership: values; the Env must outlive them.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/time.hpp"
#include "bus/store.hpp"
#include "bus/store_lock.hpp"

namespace perjoule::bus {

struct RepairOptions {
  // "wal/0000000001.log:8192", the first damaged place as audit names it, or "start": the whole log.
  std::string give_up_log_from;
  std::string build;  // for the report
};

struct RepairPlan {
  std::vector<Finding> lost;         // what no repair brings back
  std::vector<std::string> rewrite;  // segments whose sound row groups become new files
  std::vector<std::string> move;     // files that go to lost+found
  std::vector<std::string> remove;   // unfinished temporary files
  bool new_manifest = false;         // made from the files' footers
  bool new_log = false;
  std::vector<std::string> uncertain;  // what cannot be known any more
  // Whoever applies the plan as it stands is refused for this reason; empty: it can be applied.
  std::string refused, hint;
  bool nothing_to_do() const {
    return lost.empty() && rewrite.empty() && move.empty() && remove.empty() && !new_manifest && !new_log;
  }
  // For apply_repair().
  Manifest manifest;
  std::vector<TailBlock> tail;
  std::map<std::string, std::uint64_t> sources;
  std::uint64_t next_segment = 1, next_group = 1;
};

// Hold it from the plan to the end. Errors: kMissing without a store, kIo for a writer at work.
base::Result<StoreLock> lock_for_repair(base::Env& env, const std::string& directory);
// Errors: kMissing without a store, kBadInput for a newer format, kIo.
base::Result<RepairPlan> plan_repair(base::Env& env, const std::string& directory,
                                     const RepairOptions& options);
// kAnswerIsNo for a plan that is refused; kIo.
base::Status apply_repair(base::Env& env, const std::string& directory, const RepairPlan& plan,
                          const RepairOptions& options, base::TimePoint now);

// A line of catalog/repairs.jsonl: {"xxh3_128":"...","repair":{...}}.
struct RepairRecord {
  std::string line;   // the inner object
  bool whole = true;  // its hash fits
};
// Empty if there was none. Error: kIo.
base::Result<std::vector<RepairRecord>> repairs_of(base::Env& env, const std::string& directory);

}  // namespace perjoule::bus
