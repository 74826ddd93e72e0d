// What a store holds at one moment: its manifest, and the blocks of the log that are in no sealed file yet.
// A writer may be at work: a manifest that is replaced while the log is read begins it again, so the two
// always belong together. Internal to the bus. Thread rule: one thread per call. Ownership: the state owns
// its blocks' bytes; the Env must outlive the call.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/env.hpp"
#include "bus/manifest.hpp"
#include "bus/tail.hpp"

namespace perjoule::bus {

struct Snapshot;

struct StoreState {
  Manifest manifest;
  std::string manifest_text;             // as it stands in the file; empty for an engine's snapshot
  std::vector<TailBlock> tail;           // all with their bytes, oldest first
  std::optional<base::Error> log_fault;  // why the log could not be read to its end
};

// Errors: kMissing when there is no store, kCorrupt for a damaged manifest, kBadInput for a newer format, kIo
// when the store changes faster than it can be read.
base::Result<StoreState> load_state(base::Env& env, const std::string& directory);
// The state an engine's snapshot tells. Error: kIo when blocks of it that only the log had were sealed since
// (take another snapshot).
base::Result<StoreState> state_of(base::Env& env, const std::string& directory, const Snapshot& snapshot);

}  // namespace perjoule::bus
