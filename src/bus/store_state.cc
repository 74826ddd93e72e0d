#include "bus/store_state.hpp"

#include <algorithm>
#include <chrono>
#include <thread>

#include "bus/engine.hpp"
#include "bus/store_folder.hpp"

namespace perjoule::bus {
namespace {

constexpr int kTries = 50;
// Damage stays; what a writer at work causes does not. So a fault counts when it was met this often.
constexpr int kFaultTries = 4;

base::Result<std::string> read_manifest(base::Env& env, const std::string& directory) {
  const std::string path = manifest_path(directory);
  if (!env.exists(path)) {
    return base::missing("open a store", directory, "there is no store here",
                         "Make one with perjoule demo, or name it with --store DIR");
  }
  return env.read_file(path);
}

// The blocks of the log above each table's mark.
base::Status read_tail(base::Env& env, const std::string& directory, StoreState& state) {
  const auto on_block = [&](const LogEntry& entry) -> base::Status {
    PJ_ASSIGN(const auto view, BlockView::open(entry.block, log_directory_of(directory)));
    const auto mark = state.manifest.tables.find(std::string(schema_of(view.table()).name));
    if (mark != state.manifest.tables.end() && entry.number <= mark->second.sealed_entry)
      return base::ok_status();
    state.tail.push_back({entry.number, view.table(), view.rows(), view.first_ns(), view.last_ns(),
                          entry.place, std::make_shared<const std::string>(entry.block)});
    return base::ok_status();
  };
  const auto end = read_log(env, log_directory_of(directory), state.manifest.log, on_block);
  return end.ok() ? base::ok_status() : base::Status(end.error());
}

base::Result<bool> still_holds(base::Env& env, const std::string& directory, const StoreState& state) {
  PJ_ASSIGN(const std::string text, read_manifest(env, directory));
  return text == state.manifest_text;
}

base::Error changes_too_fast(const std::string& directory) {
  return base::io_error("open a store", directory, "its log is sealed faster than it can be read",
                        "Try again in a moment");
}

}  // namespace

base::Result<StoreState> load_state(base::Env& env, const std::string& directory) {
  std::string last_fault;
  int same_faults = 0;
  for (int i = 0; i < kTries; ++i) {
    StoreState state;
    PJ_ASSIGN(state.manifest_text, read_manifest(env, directory));
    PJ_ASSIGN(state.manifest, parse_manifest(state.manifest_text, manifest_path(directory)));
    // A store that was written at once has no log.
    if (state.manifest.tables.empty()) return state;
    const base::Status read = read_tail(env, directory, state);
    PJ_ASSIGN(const bool holds, still_holds(env, directory, state));
    if (!holds) continue;
    if (read.ok()) return state;
    same_faults = read.error().message() == last_fault ? same_faults + 1 : 1;
    last_fault = read.error().message();
    if (same_faults == kFaultTries) {
      state.log_fault = read.error();
      return state;
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return changes_too_fast(directory);
}

base::Result<StoreState> state_of(base::Env& env, const std::string& directory, const Snapshot& snapshot) {
  StoreState state;
  state.manifest = *snapshot.manifest;
  state.tail = snapshot.tail;
  std::uint64_t first_segment = UINT64_MAX;
  TailReader log(env, log_directory_of(directory));
  for (TailBlock& block : state.tail) {
    if (block.bytes != nullptr) continue;
    first_segment = std::min(first_segment, block.place.segment);
    PJ_ASSIGN(block.bytes, log.bytes_of(block));
  }
  if (first_segment == UINT64_MAX) return state;
  // A segment is only used again after a manifest has left it behind.
  PJ_ASSIGN(const std::string text, read_manifest(env, directory));
  PJ_ASSIGN(const Manifest now, parse_manifest(text, manifest_path(directory)));
  if (now.log.segment > first_segment) return changes_too_fast(directory);
  return state;
}

}  // namespace perjoule::bus
